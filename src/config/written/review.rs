//! What `check` may pass over, and what helps to find a mistake, as they are written.

use super::List;
use schemars::JsonSchema;
use serde::Deserialize;

/// A finding of `vestibule check` that is meant, and why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping such as {finding: csrf-off, because: the app has tokens of its own}"
)]
pub(in crate::config) struct Accept {
    /// Its name, which stands in brackets behind what `check` says (`docs/findings.md`).
    #[schemars(required, extend("examples" = ["csrf-off"]))]
    pub(in crate::config) finding: Option<String>,
    /// The key that it is about, or one above it, as `check` says it; all of that name where there is none.
    #[schemars(extend("examples" = ["routes[2]"]))]
    pub(in crate::config) at: Option<String>,
    /// Why it is meant.
    #[schemars(required, extend("examples" = ["the app has tokens of its own"]))]
    pub(in crate::config) because: Option<String>,
}

/// What helps to find a mistake, and is not for everyday use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {decision_header: [192.0.2.0/28]}")]
pub(in crate::config) struct Debug {
    /// Addresses and networks whose clients get a header with every answer that the gate decides,
    /// `X-Vestibule-Decision`: the route and what each rule came to, with nothing of the person
    /// (`docs/explain.md`). Nobody gets it by default.
    #[schemars(extend("examples" = [["192.0.2.7", "10.1.2.0/24"]]))]
    pub(in crate::config) decision_header: Option<List<String>>,
}

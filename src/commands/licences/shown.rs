//! Licences and the people under them, as the listener's answers say it, in words for people.
//!
//! Called by `licences` and `seats`. Whatever is shown is plain.

use super::super::Failure;
use super::super::say::{columns, plain};
use serde_json::Value;

/// One line a licence, in columns.
pub(in super::super) fn table(licences: &[Value]) -> String {
    const HEADS: [&str; 8] = ["ID", "SERIAL", "OWNER", "IN USE", "SEATS", "STATE", "ENDS", "KEPT IN"];
    rows(HEADS, licences, |one| {
        let owner = text(one, "/licence/owner/affiliation").or_else(|| text(one, "/licence/owner/surname"));
        let kept = if one.get("managed") == Some(&Value::Bool(true)) { "store" } else { "configuration" };
        [
            text(one, "/licence/id"),
            text(one, "/licence/serial"),
            owner,
            number(one, "/in_use"),
            number(one, "/licence/seats"),
            text(one, "/standing"),
            text(one, "/ends"),
            Some(kept.to_owned()),
        ]
    })
}

/// One line a person, in columns.
pub(super) fn people(people: &[Value]) -> String {
    rows(["PERSON", "WHO", "ROLE", "FIRST SEEN", "LAST SEEN", "SIGN-INS"], people, |one| {
        [
            text(one, "/person"),
            text(one, "/email").or_else(|| text(one, "/sub")),
            text(one, "/role"),
            text(one, "/first_seen"),
            text(one, "/last_seen"),
            number(one, "/sign_ins"),
        ]
    })
}

/// A licence as a configuration has it, how it stands, and the tag of this state.
pub(super) fn licence(shown: &Value, tag: Option<&str>) -> Result<String, Failure> {
    let written = shown.get("licence").ok_or("the answer shows no licence")?;
    let yaml = serde_yaml::to_string(written)?;
    let lines: Vec<_> = yaml.lines().map(plain).collect();
    let yaml = lines.join("\n") + "\n";
    let state = |at: &str| text(shown, at).unwrap_or_else(|| "-".to_owned());
    let in_use = number(shown, "/in_use").unwrap_or_else(|| "-".to_owned());
    let tag = tag.map(|tag| format!("# etag: {}\n", plain(tag))).unwrap_or_default();
    Ok(format!("{yaml}# {}, in use: {in_use}, ends: {}\n{tag}", state("/standing"), state("/ends")))
}

/// A row for each of them below the heads; a dash for what is not said.
pub(in super::super) fn rows<const N: usize>(
    heads: [&str; N],
    all: &[Value],
    cells: impl Fn(&Value) -> [Option<String>; N],
) -> String {
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|one| cells(one).map(|cell| cell.unwrap_or_else(|| "-".to_owned())).to_vec()));
    columns(&rows)
}

/// The list of this name in an answer.
pub(in super::super) fn listed<'v>(found: &'v Value, name: &str) -> &'v [Value] {
    found.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether an answer says that there are more than it holds.
pub(in super::super) fn has_more(found: &Value) -> bool {
    found.get("more") == Some(&Value::Bool(true))
}

/// The text there, plain; none where it is empty.
pub(in super::super) fn text(one: &Value, at: &str) -> Option<String> {
    one.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty()).map(plain)
}

/// The number there, in digits.
pub(in super::super) fn number(one: &Value, at: &str) -> Option<String> {
    one.pointer(at).and_then(Value::as_u64).map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_licence_is_shown_in_one_line_that_moves_no_cursor() {
        let one = json!({
            "licence": {"id": "i", "serial": "L\u{1b}[2J", "seats": 3, "owner": {"affiliation": "Lycée"}},
            "managed": true, "standing": "in_force", "ends": null, "in_use": 2,
        });
        let shown = table(std::slice::from_ref(&one));
        assert!(!shown.contains('\u{1b}') && shown.lines().count() == 2, "{shown}");
        assert!(shown.contains("Lycée") && shown.contains("store"), "{shown}");
        let shown = licence(&one, Some("\"ab\"")).unwrap();
        assert!(!shown.contains('\u{1b}') && shown.ends_with("# etag: \"ab\"\n"), "{shown}");
    }
}

//! The versions of Albert API, and the table of what each has and says differently.

/// A version whose admin interface differs from the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 0.1.6: users have a name and no e-mail address, and everything lies at the root.
    V01,
    /// 0.2.0 to 0.4.1: `/v1/admin/tokens`, and 403 for a dead key.
    V04,
    /// 0.4.5: as before, but 401 for a dead key, and a new user is shown in full.
    V045,
    /// 0.4.7 and later: `/v1/admin/keys`, `role_id`, e-mail addresses searched by substring.
    Late,
}

/// A path as `/openapi.json` has it, and its methods.
pub(super) type Path = (&'static str, &'static [&'static str]);

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const GET_POST: &[&str] = &["GET", "POST"];
const GET_DELETE: &[&str] = &["GET", "DELETE"];
const GET_PATCH_DELETE: &[&str] = &["GET", "PATCH", "DELETE"];

/// What every version has.
const EVERYWHERE: [Path; 6] = [
    ("/health", GET),
    ("/openapi.json", GET),
    ("/v1/models", GET),
    ("/v1/models/{model}", GET),
    ("/v1/chat/completions", POST),
    ("/v1/audio/transcriptions", POST),
];

/// `/me` stands before the path with a parameter, as the first that fits is taken.
const ROOT: [Path; 8] = [
    ("/roles/me", GET),
    ("/roles", GET_POST),
    ("/roles/{role}", GET_DELETE),
    ("/users/me", GET),
    ("/users", GET_POST),
    ("/users/{user}", GET_PATCH_DELETE),
    ("/tokens", GET_POST),
    ("/tokens/{token}", GET_DELETE),
];

const ADMIN: [Path; 6] = [
    ("/v1/admin/roles", GET_POST),
    ("/v1/admin/roles/{role}", GET_DELETE),
    ("/v1/admin/users", GET_POST),
    ("/v1/admin/users/{user}", GET_PATCH_DELETE),
    ("/v1/admin/organizations", GET_POST),
    ("/v1/admin/routers", GET),
];

const TOKENS: [Path; 5] = [
    ("/v1/admin/tokens", GET_POST),
    ("/v1/admin/tokens/{token}", GET_DELETE),
    ("/v1/me/info", GET),
    ("/v1/me/keys", GET_POST),
    ("/v1/me/keys/{key}", GET_DELETE),
];

const KEYS: [Path; 8] = [
    ("/v1/admin/keys", GET_POST),
    ("/v1/admin/keys/{key_id}", GET_DELETE),
    ("/v1/keys", GET_POST),
    ("/v1/keys/{key_id}", GET_DELETE),
    ("/v1/me", GET),
    ("/v1/me/info", GET),
    ("/v1/me/keys", GET_POST),
    ("/v1/me/keys/{key_id}", GET_DELETE),
];

impl Version {
    pub(crate) const ALL: [Self; 4] = [Self::V01, Self::V04, Self::V045, Self::Late];

    /// What `/openapi.json` says it is.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::V01 => "0.1.6",
            Self::V04 => "0.4.1",
            Self::V045 => "0.4.5",
            Self::Late => "0.4.8",
        }
    }

    pub(super) fn title(self) -> &'static str {
        if self == Self::V01 { "Albert API" } else { "OpenGateLLM" }
    }

    pub(super) fn paths(self) -> Vec<Path> {
        let own: &[&[Path]] = match self {
            Self::V01 => &[&ROOT],
            Self::V04 | Self::V045 => &[&ADMIN, &TOKENS],
            Self::Late => &[&ADMIN, &KEYS],
        };
        EVERYWHERE.into_iter().chain(own.iter().copied().flatten().copied()).collect()
    }

    /// The status for a key that is dead or never was.
    pub(super) fn invalid_key(self) -> u16 {
        if self <= Self::V04 { 403 } else { 401 }
    }

    /// The status for a request without a bearer token.
    pub(super) fn not_authenticated(self) -> u16 {
        if self == Self::V01 { 403 } else { 401 }
    }

    /// Whether some paths look at a key's signature alone, and so accept dead keys.
    pub(super) fn trusts_signatures(self) -> bool {
        matches!(self, Self::V04 | Self::V045)
    }

    pub(super) fn no_rights(self) -> &'static str {
        if self == Self::Late { "User has no admin rights." } else { "Insufficient rights." }
    }

    /// What a user, role or organization that is not there is called: later versions say which.
    pub(super) fn not_found(self, what: &str, id: impl std::fmt::Display) -> String {
        if self == Self::Late { format!("{what} {id} not found.") } else { format!("{what} not found.") }
    }

    /// The same for what is there already.
    pub(super) fn already_exists(self, what: &str, name: &str) -> String {
        if self == Self::Late { format!("{what} {name} already exists.") } else { format!("{what} already exists.") }
    }

    pub(super) fn beyond_the_cap(self, days: u64) -> String {
        let what = if self == Self::Late { "Key" } else { "Token" };
        format!("{what} expiration timestamp cannot be greater than {days} days from now.")
    }

    pub(super) fn must_be_in_the_future(self) -> &'static str {
        match self {
            Self::Late => "Value error, Expiration time must be in the future.",
            _ => "Value error, Wrong timestamp, must be in the future.",
        }
    }

    /// What the role and the organization of a user are called.
    pub(super) fn role(self) -> &'static str {
        if self == Self::Late { "role_id" } else { "role" }
    }

    pub(super) fn organization(self) -> &'static str {
        if self == Self::Late { "organization_id" } else { "organization" }
    }
}

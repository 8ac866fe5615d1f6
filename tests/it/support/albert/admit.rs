//! Who is calling, and whether this version lets them: the bearer is checked as the version does
//! it, its holes included.

use super::reply::Reply;
use super::state::{Key, State};
use super::version::Version;

/// Which bearer came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// No `Authorization` at all.
    None,
    /// One with another scheme than `Bearer`.
    OtherScheme,
    /// One that the API never gave out.
    Unknown,
    /// The administrator's.
    Admin,
    /// A key, alive or dead, by its number.
    Key(u64),
}

/// What a path asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A live key of an account that has not expired.
    Account,
    /// A live key, even of an account that has expired.
    Key,
    /// A key that was signed here; up to 0.4.5 nothing more is looked at.
    Signature,
    /// An administrator.
    Admin,
    /// An administrator's key that was signed here; likewise.
    AdminSignature,
}

/// Who has been let in.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// The administrator.
    Admin,
    /// The holder of a key.
    Holder(Key),
}

impl Caller {
    /// The caller's number: the administrator's is 0.
    pub(super) fn user(&self) -> u64 {
        match self {
            Self::Admin => 0,
            Self::Holder(key) => key.user,
        }
    }
}

/// What `Authorization` says.
pub(super) fn bearer(state: &State, authorization: Option<&str>) -> Bearer {
    let Some(authorization) = authorization else { return Bearer::None };
    let Some(secret) = authorization.strip_prefix("Bearer ") else { return Bearer::OtherScheme };
    if secret == state.admin_key {
        return Bearer::Admin;
    }
    let key = state.keys.iter().find(|key| key.secret == secret);
    key.map_or(Bearer::Unknown, |key| Bearer::Key(key.id))
}

/// # Errors
/// The answer of this version to a caller who may not.
pub(super) fn admit(state: &State, bearer: Bearer, needs: Needs) -> Result<Caller, Reply> {
    let version = state.version;
    let invalid = || Reply::detail(version.invalid_key(), "Invalid API key.");
    let key = match bearer {
        Bearer::Admin => return Ok(Caller::Admin),
        Bearer::Unknown => return Err(invalid()),
        Bearer::OtherScheme if version == Version::V01 => {
            return Err(Reply::detail(403, "Invalid authentication credentials"));
        }
        Bearer::None | Bearer::OtherScheme => return Err(not_authenticated(version)),
        Bearer::Key(id) => state.keys.iter().find(|key| key.id == id).unwrap(),
    };
    let signature_will_do = version.trusts_signatures() && matches!(needs, Needs::Signature | Needs::AdminSignature);
    if !key.lives(state.now()) && !signature_will_do {
        return Err(invalid());
    }
    let Some(user) = state.user(key.user) else {
        return Err(if signature_will_do { Reply::detail(404, "User not found.") } else { invalid() });
    };
    let expired = user.expires.is_some_and(|expires| expires <= state.now());
    // Later versions look at the account everywhere but where people see why they are refused.
    let account_matters = needs == Needs::Account || (version == Version::Late && needs != Needs::Key);
    if expired && account_matters {
        return Err(if version <= Version::V04 { invalid() } else { account_expired() });
    }
    let is_admin = state.role_of(user).permissions.iter().any(|permission| permission == "admin");
    if matches!(needs, Needs::Admin | Needs::AdminSignature) && !is_admin {
        return Err(no_rights(version));
    }
    Ok(Caller::Holder(key.clone()))
}

fn not_authenticated(version: Version) -> Reply {
    let reply = Reply::detail(version.not_authenticated(), "Not authenticated");
    if version == Version::V01 { reply } else { reply.with("www-authenticate", "Bearer") }
}

pub(super) fn account_expired() -> Reply {
    Reply::detail(403, "Your account has expired. Please contact support to renew your account.")
}

pub(super) fn no_rights(version: Version) -> Reply {
    Reply::detail(403, version.no_rights())
}

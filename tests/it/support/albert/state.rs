//! What the fake remembers: roles, organizations, users and keys, and the rules that hold for
//! them in every version.

use super::super::log_watch;
use super::reply::Reply;
use super::version::Version;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use vestibule::clock::Clock;
use vestibule::random::{self, SystemRandom};

const DAY: u64 = 24 * 60 * 60;

/// An account. The administrator's own is not among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) id: u64,
    /// Empty in [`Version::V01`], whose users have none.
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    /// Its name, not its number.
    pub(crate) role: String,
    /// Its name.
    pub(crate) organization: Option<String>,
    pub(crate) budget: Option<f64>,
    /// Unix seconds.
    pub(crate) expires: Option<u64>,
    pub(crate) priority: u64,
    pub(crate) password: String,
    pub(crate) created: u64,
    pub(crate) updated: u64,
}

/// A key, dead ones too.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: u64,
    /// The number of its user.
    pub(crate) user: u64,
    pub(crate) name: String,
    pub(crate) secret: String,
    /// Unix seconds; none for a key that never expires.
    pub(crate) expires: Option<u64>,
    pub(crate) created: u64,
    pub(crate) deleted: bool,
}

impl Key {
    pub(crate) fn lives(&self, now: u64) -> bool {
        !self.deleted && !self.expired(now)
    }

    pub(super) fn expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// As lists show it: the key itself is shown once, when it is made.
    pub(super) fn masked(&self) -> String {
        let (start, end) = (&self.secret[..8], &self.secret[self.secret.len() - 8..]);
        format!("{start}...{end}")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) permissions: Vec<String>,
    /// Without limits its users see no model.
    pub(super) limits: Value,
}

#[derive(Clone, Debug)]
pub(super) struct Organization {
    pub(super) id: u64,
    pub(super) name: String,
}

pub(super) struct State {
    pub(super) version: Version,
    pub(super) clock: Clock,
    pub(super) admin_key: String,
    pub(super) roles: Vec<Role>,
    pub(super) organizations: Vec<Organization>,
    pub(super) users: Vec<User>,
    /// Never shrinks: a deleted key is still signed.
    pub(super) keys: Vec<Key>,
    /// `auth_key_max_expiration_days`.
    pub(super) cap_days: Option<u64>,
    pub(super) unique_key_names: bool,
    numbers: u64,
}

impl State {
    pub(super) fn new(version: Version, clock: Clock) -> Self {
        let role = |id, name: &str, permissions: &[&str]| Role {
            id,
            name: name.to_owned(),
            permissions: permissions.iter().copied().map(str::to_owned).collect(),
            limits: limits(),
        };
        let organization = |id, name: &str| Organization { id, name: name.to_owned() };
        Self {
            version,
            clock,
            admin_key: new_admin_key(version),
            roles: vec![role(1, "Freemium", &[]), role(2, "Agent", &[]), role(3, "Admin", &["admin"])],
            organizations: vec![organization(1, "default"), organization(2, "DINUM")],
            users: Vec::new(),
            keys: Vec::new(),
            cap_days: None,
            unique_key_names: false,
            // Numbers of users, keys and whatever else never meet: one taken for another shows.
            numbers: 40,
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now().as_unix()
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn user(&self, id: u64) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(super) fn role_by_id(&self, id: u64) -> Result<String, Reply> {
        let role = self.roles.iter().find(|role| role.id == id);
        role.map(|role| role.name.clone()).ok_or_else(|| Reply::detail(404, self.version.not_found("Role", id)))
    }

    pub(super) fn organization_by_id(&self, id: u64) -> Result<String, Reply> {
        let organization = self.organizations.iter().find(|organization| organization.id == id);
        let missing = || Reply::detail(404, self.version.not_found("Organization", id));
        organization.map(|organization| organization.name.clone()).ok_or_else(missing)
    }

    pub(super) fn role_of(&self, user: &User) -> &Role {
        self.roles.iter().find(|role| role.name == user.role).unwrap()
    }

    /// The number of the user's organization.
    pub(super) fn organization_of(&self, user: &User) -> Option<u64> {
        let name = user.organization.as_ref()?;
        self.organizations.iter().find(|organization| organization.name == *name).map(|organization| organization.id)
    }

    pub(super) fn add_user(&mut self, user: User) -> u64 {
        let (id, now) = (self.next_number(), self.now());
        log_watch::never_logged(&user.password);
        self.users.push(User { id, created: now, updated: now, ..user });
        id
    }

    /// Deletes a user, whose keys stay behind, signed as they are.
    pub(super) fn delete_user(&mut self, id: u64) -> Result<Reply, Reply> {
        let there = self.users.iter().position(|user| user.id == id);
        let at = there.ok_or_else(|| Reply::detail(404, self.version.not_found("User", id)))?;
        self.users.remove(at);
        Ok(Reply::no_content())
    }

    /// Makes a key, unless it would live longer than it may.
    pub(super) fn mint(&mut self, user: u64, name: String, expires: Option<u64>) -> Result<Key, Reply> {
        let now = self.now();
        let mut expires = expires;
        if let Some(days) = self.cap_days {
            let last = now + days * DAY;
            if expires.is_some_and(|expires| expires > last) {
                return Err(Reply::detail(400, self.version.beyond_the_cap(days)));
            }
            expires = expires.or(Some(last));
        }
        if self.unique_key_names && self.keys.iter().any(|key| key.user == user && key.name == name && key.lives(now)) {
            return Err(Reply::detail(409, self.version.already_exists("Key", &name)));
        }
        let id = self.next_number();
        let secret = new_secret(user, id, expires);
        let key = Key { id, user, name, secret, expires, created: now, deleted: false };
        self.keys.push(key.clone());
        Ok(key)
    }

    /// Deletes the key of `user` (anybody's, where none is given).
    pub(super) fn delete_key(&mut self, id: u64, user: Option<u64>) -> Option<Key> {
        let mut keys = self.keys.iter_mut();
        let key = keys.find(|key| key.id == id && !key.deleted && user.is_none_or(|user| key.user == user))?;
        key.deleted = true;
        Some(key.clone())
    }
}

/// No limit on the one model there is.
fn limits() -> Value {
    ["rpm", "rpd", "tpm", "tpd"].map(|kind| json!({ "router": 1, "type": kind, "value": null })).as_slice().into()
}

/// The unguessable part of a secret, which must not be logged without the rest of it either.
fn random_text() -> String {
    let text = BASE64_URL_SAFE_NO_PAD.encode(random::bytes::<32>(&SystemRandom::new()).unwrap());
    log_watch::never_logged(&text);
    text
}

/// `sk-` and a JWT, as all keys are; nobody looks into it.
fn new_secret(user: u64, id: u64, expires: Option<u64>) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = json!({ "user_id": user, "token_id": id, "expires": expires });
    format!("sk-{header}.{}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()), random_text())
}

/// Up to 0.4.1 the master key of the settings, which is any text; a key like others from then on.
pub(super) fn new_admin_key(version: Version) -> String {
    if version <= Version::V04 { format!("master-{}", random_text()) } else { new_secret(0, 0, None) }
}

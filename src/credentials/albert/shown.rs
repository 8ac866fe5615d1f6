//! An account as the API shows it, and the body that changes it.
//!
//! `account` reads and sends these. Must never leave out what an operator has set: up to 0.4.5 the
//! API clears what an update does not repeat, and later it refuses the update.

use super::error::AlbertError;
use super::settings::Dialect;
use crate::clock::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What an account holds besides its number and the role, as far as we send it back.
const KEPT: [&str; 6] = ["email", "name", "budget", "expires", "expires_at", "priority"];

/// An account as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) fields: Map<String, Value>,
}

impl Shown {
    /// Its e-mail address.
    pub(super) fn email(&self, dialect: Dialect) -> Option<&str> {
        self.fields.get(dialect.email())?.as_str()
    }

    /// A number that it holds under one of these names.
    pub(super) fn number(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.fields.get(*name)?.as_u64())
    }

    /// Whether its owner may have a key now.
    pub(super) fn usable(&self, dialect: Dialect, now: Timestamp) -> Result<(), AlbertError> {
        let present = |name: &str| self.fields.get(name).filter(|value| !value.is_null());
        let number = |value: &Value| value.as_f64().ok_or(AlbertError::Malformed { call: "find the account" });
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64 for ages")]
        let now = now.as_unix() as f64;
        if present(dialect.expires()).map(number).transpose()?.is_some_and(|expires| expires <= now) {
            return Err(AlbertError::AccountExpired);
        }
        if present("budget").map(number).transpose()?.is_some_and(|budget| budget <= 0.0) {
            return Err(AlbertError::BudgetGone);
        }
        Ok(())
    }

    /// All of it that an update must repeat: what it leaves out is cleared up to 0.4.5, and a
    /// mistake later.
    fn kept(&self, dialect: Dialect) -> Map<String, Value> {
        let shown = KEPT.into_iter().filter_map(|name| Some((name.to_owned(), self.fields.get(name)?.clone())));
        let mut kept: Map<String, Value> = shown.collect();
        set(&mut kept, dialect.role(), self.number(dialect.role()));
        set(&mut kept, dialect.organization(), self.number(dialect.organization()));
        kept
    }
}

/// Sets a field under each of its names.
pub(super) fn set(fields: &mut Map<String, Value>, names: &[&str], value: Option<u64>) {
    fields.extend(names.iter().map(|name| ((*name).to_owned(), json!(value))));
}

/// What an update would change.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    pub(super) role: Option<u64>,
    pub(super) organization: Option<u64>,
}

impl Changes {
    pub(super) fn is_none(&self) -> bool {
        self.email.is_none() && self.name.is_none() && !self.of_the_grant()
    }

    /// Whether it is about what the person may do, not only about how they are called.
    pub(super) fn of_the_grant(&self) -> bool {
        self.role.is_some() || self.organization.is_some()
    }

    /// The body of the update: all of the account, with the changes.
    pub(super) fn applied_to(&self, account: &Shown, dialect: Dialect) -> Value {
        let mut fields = account.kept(dialect);
        if let Some(name) = &self.name {
            fields.insert("name".to_owned(), json!(name));
        }
        if let Some(email) = &self.email {
            fields.insert(dialect.email().to_owned(), json!(email));
        }
        if self.role.is_some() {
            set(&mut fields, dialect.role(), self.role);
        }
        if self.organization.is_some() {
            set(&mut fields, dialect.organization(), self.organization);
        }
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    #[test]
    fn an_account_is_usable_while_it_lives_and_has_a_budget() {
        for (fields, expected) in [
            (json!({"id": 1}), Ok(())),
            (json!({"id": 1, "expires": null, "budget": null}), Ok(())),
            (json!({"id": 1, "expires": 1_000_001, "budget": 0.01}), Ok(())),
            (json!({"id": 1, "expires": 1_000_000}), Err(AlbertError::AccountExpired)),
            (json!({"id": 1, "expires": 999_999.5}), Err(AlbertError::AccountExpired)),
            (json!({"id": 1, "budget": 0}), Err(AlbertError::BudgetGone)),
            (json!({"id": 1, "budget": -3.5}), Err(AlbertError::BudgetGone)),
            (json!({"id": 1, "expires": "never"}), Err(AlbertError::Malformed { call: "find the account" })),
        ] {
            let shown: Shown = serde_json::from_value(fields.clone()).unwrap();
            assert_eq!(shown.usable(Dialect::Tokens, NOW), expected, "{fields}");
        }
        let legacy: Shown = serde_json::from_value(json!({"id": 1, "expires_at": 5})).unwrap();
        assert_eq!(legacy.usable(Dialect::Legacy, NOW), Err(AlbertError::AccountExpired));
    }

    #[test]
    fn an_update_repeats_what_it_does_not_change() {
        let shown: Shown = serde_json::from_value(json!({
            "object": "user", "id": 4, "email": "a@x.fr", "name": null, "sub": "s", "iss": "i", "role": 2,
            "organization": 3, "budget": 5.5, "expires": 2_000_000, "created": 1, "updated": 1, "priority": 9,
        }))
        .unwrap();
        let changes = Changes { name: Some("New".to_owned()), role: Some(6), ..Changes::default() };
        let tokens = json!({
            "email": "a@x.fr", "name": "New", "role": 6, "organization": 3, "budget": 5.5, "expires": 2_000_000,
            "priority": 9,
        });
        assert_eq!(changes.applied_to(&shown, Dialect::Tokens), tokens);
        let keys = changes.applied_to(&shown, Dialect::Keys);
        assert_eq!((&keys["role"], &keys["role_id"]), (&json!(6), &json!(6)));
        assert_eq!((&keys["organization"], &keys["organization_id"]), (&json!(3), &json!(3)));
        assert_eq!(keys["budget"], json!(5.5));
        // A version that has no budgets is not told of one.
        let shown: Shown = serde_json::from_value(json!({"id": 4, "email": "a@x.fr", "role_id": 2})).unwrap();
        assert_eq!(changes.applied_to(&shown, Dialect::Keys).get("budget"), None);
        let shown: Shown =
            serde_json::from_value(json!({"id": 4, "name": "a@x.fr", "role": 2, "expires_at": 7})).unwrap();
        let changes = Changes { email: Some("b@x.fr".to_owned()), ..Changes::default() };
        let legacy = json!({"name": "b@x.fr", "role": 2, "expires_at": 7});
        assert_eq!(changes.applied_to(&shown, Dialect::Legacy), legacy);
    }
}

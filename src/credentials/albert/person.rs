//! The person as the API is to know them: an e-mail address, a name, and what the rules grant.
//!
//! Made by the front page before anything is asked of the API; `account` reads it. Must never take
//! an address that the provider does not vouch for.

use super::error::AlbertError;
use super::rules::{self, Granted};
use super::settings::Settings;
use crate::claims::ClaimsView;

/// The longest e-mail address that the API takes.
const LONGEST_EMAIL: usize = 254;

/// The most letters of a name that are passed on.
const LONGEST_NAME: usize = 200;

/// What the claims and the rules say of an account.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// As the provider writes it.
    pub(super) email: &'a str,
    pub(super) name: Option<String>,
    pub(super) granted: Granted<'a>,
}

impl<'a> Wanted<'a> {
    /// What `person` is to have.
    ///
    /// # Errors
    /// [`AlbertError`], where they are to have no account.
    pub(super) fn new(settings: &'a Settings, person: &ClaimsView<'a>) -> Result<Self, AlbertError> {
        let email = email(person)?;
        let granted = rules::decide(&settings.rules, &settings.otherwise, person)?;
        Ok(Self { email, name: name(person), granted })
    }
}

/// The verified e-mail address. Absence of `email_verified` says nothing; anything but `true` does.
fn email<'a>(person: &ClaimsView<'a>) -> Result<&'a str, AlbertError> {
    if person.get("email_verified").is_some() && person.text("email_verified") != Some("true") {
        return Err(AlbertError::EmailNotVerified);
    }
    person.text("email").filter(|email| is_plausible(email)).ok_or(AlbertError::NoEmail)
}

/// Whether an address can be an account's. White space would be cut off by the API, and
/// `master`, the name of its administrator, has no `@`.
fn is_plausible(email: &str) -> bool {
    let Some((local, domain)) = email.split_once('@') else { return false };
    let printable = !email.chars().any(|c| c.is_control() || c.is_whitespace());
    let labelled = domain.split('.').all(|label| !label.is_empty());
    printable && labelled && !local.is_empty() && !domain.contains('@') && email.len() <= LONGEST_EMAIL
}

/// The person's name: given and usual name, else given and family name, or what there is of them.
fn name(person: &ClaimsView<'_>) -> Option<String> {
    let parts = [person.text("given_name"), person.text("usual_name").or_else(|| person.text("family_name"))];
    let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let printable: String = joined.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    Some(printable.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use serde_json::{Value, json};

    fn claims(value: &Value) -> Claims {
        Claims::from_json(value.as_object().unwrap())
    }

    #[test]
    fn an_address_is_verified_and_plausible_or_none() {
        let long = format!("{}@x.fr", "a".repeat(LONGEST_EMAIL));
        for (person, expected) in [
            (json!({"email": "Jean@X.fr"}), Ok("Jean@X.fr")),
            (json!({"email": "a+b@x.fr", "email_verified": true}), Ok("a+b@x.fr")),
            (json!({"email": "a@x.fr", "email_verified": false}), Err(AlbertError::EmailNotVerified)),
            (json!({"email": "a@x.fr", "email_verified": "no"}), Err(AlbertError::EmailNotVerified)),
            (json!({"email": "a@x.fr", "email_verified": ["true"]}), Err(AlbertError::EmailNotVerified)),
            (json!({"email_verified": false}), Err(AlbertError::EmailNotVerified)),
            (json!({}), Err(AlbertError::NoEmail)),
            (json!({"email": ""}), Err(AlbertError::NoEmail)),
            (json!({"email": "master"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@b@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": "@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@.x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": " a@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@x.fr\n"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a\u{a0}@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": ["a@x.fr"]}), Err(AlbertError::NoEmail)),
            (json!({"email": long}), Err(AlbertError::NoEmail)),
        ] {
            assert_eq!(email(&claims(&person).view()), expected, "{person}");
        }
    }

    #[test]
    fn a_name_is_made_of_what_there_is() {
        for (person, expected) in [
            (json!({"given_name": "Camille", "usual_name": "Test", "family_name": "Born"}), Some("Camille Test")),
            (json!({"given_name": "Camille", "family_name": "Born"}), Some("Camille Born")),
            (json!({"usual_name": "Test"}), Some("Test")),
            (json!({"given_name": " \n", "usual_name": ""}), None),
            (json!({"given_name": "A\u{0}B\r\nC"}), Some("ABC")),
            (json!({}), None),
        ] {
            assert_eq!(name(&claims(&person).view()).as_deref(), expected, "{person}");
        }
        let long = claims(&json!({"given_name": "é".repeat(1000)}));
        assert_eq!(name(&long.view()).unwrap().chars().count(), LONGEST_NAME);
    }
}

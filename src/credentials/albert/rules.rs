//! Who gets which role and organisation: an ordered list of conditions on verified claims.
//!
//! Called by `account` before anything is asked of the API, so that a person who is refused never
//! has an account made. Must never see claims that were not verified: it is handed a session's.

use super::error::AlbertError;
use crate::claims::{ClaimValue, ClaimsView};
use crate::web::domain;

/// What becomes of the people to whom every condition applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of them must hold. A rule without conditions applies to everybody.
    pub when: Vec<Condition>,
    /// What it decides.
    pub then: Then,
}

/// What is asked of a person's claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The claim is one of these values, exactly; of a list, one of its members is. A claim that
    /// is an object equals nothing.
    Claim {
        /// The claim's name.
        name: String,
        /// The values of which one is wanted.
        values: Vec<String>,
    },
    /// The e-mail address is at one of these domains or below one, at a dot, without regard to case.
    EmailDomain(Vec<String>),
}

/// What a rule decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The person has, or gets, an account with this.
    Grant(Grant),
    /// The person gets no key.
    Refuse,
}

/// What becomes of a person to whom no rule applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// A new account gets this; one that is there keeps what it has.
    Grant(Grant),
    /// The person gets no key.
    Refuse,
}

/// A role and an organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The role. A rule that names none leaves an account's role as it is; a new account then gets
    /// the default's.
    pub role: Option<Reference>,
    /// The organisation, likewise.
    pub organization: Option<Reference>,
}

/// A role or an organisation, as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By its number at the API.
    Id(u64),
    /// By its name, exactly.
    Name(String),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What the rules say of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted<'a> {
    /// What an account must have: a rule said so.
    pub(super) required: Option<&'a Grant>,
    /// What a new account has where no rule says otherwise.
    pub(super) default: Option<&'a Grant>,
}

impl<'a> Granted<'a> {
    /// The role of a new account.
    pub(super) fn initial_role(&self) -> Option<&'a Reference> {
        let of = |grant: Option<&'a Grant>| grant.and_then(|grant| grant.role.as_ref());
        of(self.required).or(of(self.default))
    }

    /// The organisation of a new account.
    pub(super) fn initial_organization(&self) -> Option<&'a Reference> {
        let of = |grant: Option<&'a Grant>| grant.and_then(|grant| grant.organization.as_ref());
        of(self.required).or(of(self.default))
    }
}

/// What `rules` and `otherwise` say of `person`.
///
/// # Errors
/// [`AlbertError::RefusedByRule`].
pub(super) fn decide<'a>(
    rules: &'a [Rule],
    otherwise: &'a Otherwise,
    person: &ClaimsView<'_>,
) -> Result<Granted<'a>, AlbertError> {
    let default = match otherwise {
        Otherwise::Grant(grant) => Some(grant),
        Otherwise::Refuse => None,
    };
    match (rules.iter().find(|rule| rule.applies(person)).map(|rule| &rule.then), default) {
        (Some(Then::Refuse), _) | (None, None) => Err(AlbertError::RefusedByRule),
        (Some(Then::Grant(grant)), default) => Ok(Granted { required: Some(grant), default }),
        (None, default) => Ok(Granted { required: None, default }),
    }
}

impl Rule {
    fn applies(&self, person: &ClaimsView<'_>) -> bool {
        self.when.iter().all(|condition| condition.holds(person))
    }

    /// The names of the claims that it asks for.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        self.when.iter().map(|condition| match condition {
            Condition::Claim { name, .. } => name.as_str(),
            Condition::EmailDomain(_) => "email",
        })
    }

    /// What it grants, if it does.
    pub(super) fn grant(&self) -> Option<&Grant> {
        match &self.then {
            Then::Grant(grant) => Some(grant),
            Then::Refuse => None,
        }
    }
}

impl Condition {
    fn holds(&self, person: &ClaimsView<'_>) -> bool {
        match self {
            Self::Claim { name, values } => {
                let held = person.get(name).map_or(&[][..], ClaimValue::values);
                held.iter().any(|held| values.iter().any(|value| value == held))
            }
            Self::EmailDomain(domains) => {
                let domain = person.text("email").and_then(domain::of_email);
                domain.is_some_and(|domain| domains.iter().any(|wanted| domain::is_at_or_below(domain, wanted)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use serde_json::json;

    fn claims(value: &serde_json::Value) -> Claims {
        Claims::from_json(value.as_object().unwrap())
    }

    fn claim(name: &str, values: &[&str]) -> Condition {
        Condition::Claim { name: name.to_owned(), values: values.iter().map(|&value| value.to_owned()).collect() }
    }

    fn role(id: u64) -> Grant {
        Grant { role: Some(Reference::Id(id)), organization: None }
    }

    #[test]
    fn a_claim_is_compared_exactly_and_a_list_by_its_members() {
        let person = claims(&json!({
            "siret": "13002526500013", "roles": ["agent_public_etat", "x"], "custom": {"a": 1}, "empty": "",
            "staff": true, "none": null,
        }));
        for (name, values, expected) in [
            ("siret", &["1", "13002526500013"][..], true),
            ("siret", &["1300252650001"], false),
            ("siret", &["130025265000130"], false),
            ("siret", &[], false),
            ("roles", &["x"], true),
            ("roles", &["X"], false),
            ("roles", &["agent_public"], false),
            ("roles", &["agent_public_etat,x"], false),
            ("custom", &["{\"a\":1}"], false),
            ("empty", &[""], true),
            ("staff", &["true"], true),
            ("none", &["null", ""], false),
            ("absent", &[""], false),
        ] {
            assert_eq!(claim(name, values).holds(&person.view()), expected, "{name} {values:?}");
        }
    }

    #[test]
    fn a_domain_is_matched_whole_or_below_at_a_dot() {
        let condition = Condition::EmailDomain(vec!["Culture.gouv.fr".to_owned(), String::new()]);
        for (email, expected) in [
            ("a@culture.gouv.fr", true),
            ("a@CULTURE.GOUV.FR", true),
            ("a@drac.culture.gouv.fr", true),
            ("a@notculture.gouv.fr", false),
            ("a@culture.gouv.fr.evil.example", false),
            ("a@gouv.fr", false),
            ("a@evil.example@culture.gouv.fr", false),
            ("culture.gouv.fr", false),
            ("a@", false),
            ("a@culture.gouv.fr.", false),
            // The Kelvin sign folds to k elsewhere; no letter of another alphabet stands for one here.
            ("a@culture.gouv.\u{17f}r", false),
        ] {
            let person = claims(&json!({ "email": email }));
            assert_eq!(condition.holds(&person.view()), expected, "{email}");
        }
        let several = claims(&json!({ "email": ["a@culture.gouv.fr"] }));
        assert!(!condition.holds(&several.view()));
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let rule = |when: &[Condition], then: Then| Rule { when: when.to_vec(), then };
        let rules = [
            rule(&[claim("roles", &["banned"])], Then::Refuse),
            rule(&[claim("siret", &["1"]), claim("roles", &["agent"])], Then::Grant(role(2))),
            rule(&[claim("siret", &["1"])], Then::Grant(role(3))),
        ];
        let default = role(1);
        let otherwise = Otherwise::Grant(default.clone());
        let required = |person: serde_json::Value| {
            let person = claims(&person);
            let granted = decide(&rules, &otherwise, &person.view()).ok()?;
            assert_eq!(granted.default, Some(&default));
            Some(granted.required.and_then(|grant| grant.role.clone()))
        };
        assert_eq!(required(json!({"siret": "1", "roles": ["agent"]})), Some(Some(Reference::Id(2))));
        assert_eq!(required(json!({"siret": "1", "roles": ["agent", "banned"]})), None);
        assert_eq!(required(json!({"siret": "1"})), Some(Some(Reference::Id(3))));
        assert_eq!(required(json!({})), Some(None));

        let nobody = claims(&json!({}));
        let refused = decide(&rules, &Otherwise::Refuse, &nobody.view());
        assert_eq!(refused, Err(AlbertError::RefusedByRule));
        let everybody = [rule(&[], Then::Grant(role(4)))];
        let granted = decide(&everybody, &Otherwise::Refuse, &nobody.view()).unwrap();
        assert_eq!(granted.initial_role(), Some(&Reference::Id(4)));
    }

    #[test]
    fn what_a_rule_leaves_out_a_new_account_has_from_the_default() {
        let organization = Grant { role: None, organization: Some(Reference::Name("DINUM".to_owned())) };
        let default = Grant { role: Some(Reference::Id(1)), organization: Some(Reference::Id(9)) };
        let granted = Granted { required: Some(&organization), default: Some(&default) };
        assert_eq!(granted.initial_role(), Some(&Reference::Id(1)));
        assert_eq!(granted.initial_organization(), Some(&Reference::Name("DINUM".to_owned())));
        let granted = Granted { required: Some(&organization), default: None };
        assert_eq!(granted.initial_role(), None);
    }
}

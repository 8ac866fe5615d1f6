//! Who gets which role and organisation: an ordered list of conditions on verified claims.
//!
//! Called by `account` before anything is asked of the API, so that a person who is refused never
//! has an account made. Must never see claims that were not verified: it is handed a session's.

use super::error::AlbertError;
use crate::claims::{ClaimValue, ClaimsView};

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
                let wanted = |held: &str| values.iter().any(|value| value == held);
                match person.get(name) {
                    Some(ClaimValue::Text(held)) => wanted(held),
                    Some(ClaimValue::List(held)) => held.iter().any(|held| wanted(held)),
                    Some(ClaimValue::Json(_)) | None => false,
                }
            }
            Self::EmailDomain(domains) => {
                let domain = person.text("email").and_then(domain_of);
                domain.is_some_and(|domain| domains.iter().any(|wanted| is_at_or_below(domain, wanted)))
            }
        }
    }
}

/// What follows the one `@` of an address.
fn domain_of(email: &str) -> Option<&str> {
    let (_, domain) = email.split_once('@')?;
    (!domain.contains('@')).then_some(domain)
}

/// ASCII case only: other letters that fold together are other domains.
fn is_at_or_below(domain: &str, wanted: &str) -> bool {
    let (domain, wanted) = (domain.as_bytes(), wanted.as_bytes());
    let Some(above) = domain.len().checked_sub(wanted.len()) else { return false };
    let (labels, end) = domain.split_at(above);
    !wanted.is_empty() && end.eq_ignore_ascii_case(wanted) && (labels.is_empty() || labels.ends_with(b"."))
}

//! A condition, and whether it holds for somebody.
//!
//! Called by `rules` for each rule of a route. Three answers: of claims it can always be told, for
//! what is not known satisfies nothing; of an address that nobody vouches for and of an expression
//! that fails it cannot, and then neither the condition nor its opposite may let anybody in.

use super::Asker;
use super::expression::Expression;
use super::listed::{Listed, Networks};
use super::window::Window;
use crate::claims::{ClaimValue, ClaimsView};
use crate::web::domain;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// What has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Each of them.
    All(Vec<Self>),
    /// One of them.
    Any(Vec<Self>),
    /// None of them.
    None(Vec<Self>),
    /// One of the values of something that is known of somebody passes a test.
    Is(Subject, Test),
    /// They proved who they are no longer ago than this. A moment that is not known is no recent one.
    MaxAge(Duration),
    /// They ask from one of these networks.
    Network(Listed<Networks>),
    /// They ask within these hours and days.
    During(Arc<Window>),
    /// This expression is true.
    When(Arc<Expression>),
}

/// What becomes of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It cannot be told: nobody passes by it, and nobody passes by its opposite.
    Unknown,
}

impl Outcome {
    fn negated(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Outcome {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// What is known of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A claim, by its name; with dots, what is below it in an object.
    Claim(String),
    /// The groups: the first that is there of `groups` and `roles`.
    Groups,
    /// The domain of the e-mail address, in lower case.
    EmailDomain,
    /// The e-mail address, in lower case.
    Email,
    /// The provider that they have signed in with, by its name here.
    Provider,
    /// The SIREN: its own claim, or else the first nine digits of the SIRET.
    Siren,
}

/// What a value has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// There, and not empty.
    Present,
    /// One of these.
    OneOf(Listed<HashSet<String>>),
    /// All of these are among the values.
    AllOf(Vec<String>),
    /// A domain: one of these, or below one that is there with a dot before it.
    Domain(Listed<HashSet<String>>),
    /// Begins with one of these.
    Prefix(Vec<String>),
    /// A number, this or more.
    AtLeast(Number),
    /// A number, this or less.
    AtMost(Number),
}

/// A number of the configuration: a whole one, or with decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

/// `config` lets no NaN in.
impl Eq for Number {}

impl Condition {
    /// What becomes of it for somebody.
    pub fn outcome(&self, asker: &Asker<'_>) -> Outcome {
        match self {
            Self::All(all) => worst(all.iter().map(|one| one.outcome(asker))),
            Self::Any(any) => worst(any.iter().map(|one| one.outcome(asker).negated())).negated(),
            Self::None(none) => worst(none.iter().map(|one| one.outcome(asker).negated())),
            Self::Is(Subject::Provider, test) => test.passes(asker.provider.map(Cow::Borrowed).as_slice()).into(),
            Self::Is(subject, test) => test.passes(&subject.values(asker.claims)).into(),
            Self::MaxAge(age) => asker.authenticated_at.is_some_and(|at| asker.at.now.since(at) < *age).into(),
            Self::Network(networks) => {
                let client = asker.at.client;
                client.map_or(Outcome::Unknown, |client| networks.look(|networks| networks.hold(client)).into())
            }
            Self::During(window) => window.holds(asker.at.now).map_or(Outcome::Unknown, Outcome::from),
            Self::When(expression) => expression.holds(asker).map_or(Outcome::Unknown, Outcome::from),
        }
    }

    /// Whether it holds for somebody, and can be told.
    pub fn holds(&self, asker: &Asker<'_>) -> bool {
        self.outcome(asker) == Outcome::Holds
    }

    /// Whether it may hold at one moment and not at the next, though nothing else is said of anybody.
    pub fn changes_by_itself(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => parts.iter().any(Self::changes_by_itself),
            Self::Is(_, Test::OneOf(these) | Test::Domain(these)) => these.changes(),
            Self::Is(..) => false,
            Self::Network(networks) => networks.changes(),
            Self::MaxAge(_) | Self::During(_) => true,
            Self::When(expression) => expression.looks_at_the_time(),
        }
    }

    /// Whether it depends on where somebody asks from.
    pub fn looks_at_the_address(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => parts.iter().any(Self::looks_at_the_address),
            Self::Network(_) => true,
            Self::When(expression) => expression.looks_at_the_address(),
            Self::Is(..) | Self::MaxAge(_) | Self::During(_) => false,
        }
    }

    /// What it is made of.
    pub(crate) fn parts(&self) -> &[Self] {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => parts,
            Self::Is(..) | Self::MaxAge(_) | Self::Network(_) | Self::During(_) | Self::When(_) => &[],
        }
    }

    /// Each condition in it that has no others in it.
    pub(in crate::gate) fn leaves<'c>(&'c self, note: &mut impl FnMut(&'c Self)) {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => {
                for part in parts {
                    part.leaves(note);
                }
            }
            leaf => note(leaf),
        }
    }

    /// Everything that is known of somebody by name and that it looks at: not what an expression does.
    pub(crate) fn subjects<'c>(&'c self, note: &mut impl FnMut(&'c Subject)) {
        match self {
            Self::Is(subject, _) => note(subject),
            _ => self.parts().iter().for_each(|part| part.subjects(note)),
        }
    }

    /// What it looks at, as the log and the configuration call it.
    pub(super) fn looks_at<'c>(&'c self, note: &mut impl FnMut(&'c str)) {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => {
                for part in parts {
                    part.looks_at(note);
                }
            }
            Self::Is(subject, _) => note(subject.name()),
            Self::MaxAge(_) => note("auth_time"),
            Self::Network(_) => note("network"),
            Self::During(_) => note("time"),
            Self::When(_) => note("when"),
        }
    }

    /// The claims that it looks at.
    pub(crate) fn claims<'c>(&'c self, note: &mut impl FnMut(&'c str)) {
        match self {
            Self::All(parts) | Self::Any(parts) | Self::None(parts) => {
                for part in parts {
                    part.claims(note);
                }
            }
            Self::Is(subject, _) => subject.claims().into_iter().for_each(note),
            Self::When(expression) => expression.claims().for_each(note),
            Self::MaxAge(_) | Self::Network(_) | Self::During(_) => {}
        }
    }
}

/// Whether all hold: one that fails settles it, and else one of which it cannot be told.
fn worst(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let mut worst = Outcome::Holds;
    for outcome in outcomes {
        match outcome {
            Outcome::Fails => return Outcome::Fails,
            Outcome::Unknown => worst = Outcome::Unknown,
            Outcome::Holds => {}
        }
    }
    worst
}

impl Subject {
    /// As the log and the configuration call it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Claim(name) => name,
            Self::Groups => "groups",
            Self::EmailDomain => "email_domain",
            Self::Email => "email",
            Self::Provider => "provider",
            Self::Siren => "siren",
        }
    }

    /// The claims that say it.
    pub(crate) fn claims(&self) -> Vec<&str> {
        match self {
            Self::Claim(name) => claims_of(name).collect(),
            Self::Groups => crate::claims::GROUPS.to_vec(),
            Self::EmailDomain | Self::Email => vec!["email"],
            Self::Provider => Vec::new(),
            Self::Siren => vec!["siren", "siret"],
        }
    }

    pub(in crate::gate) fn values<'a>(&self, claims: &'a ClaimsView<'_>) -> Vec<Cow<'a, str>> {
        let plain = |values: &[&'a str]| values.iter().map(|value| Cow::Borrowed(*value)).collect();
        let folded = |text: &'a str| vec![Cow::Owned(text.to_ascii_lowercase())];
        match self {
            Self::Claim(name) => values_of(claims, name).unwrap_or_default(),
            // No claim says it.
            Self::Provider => Vec::new(),
            Self::Groups => plain(claims.groups()),
            // One address; with several nobody can say which is meant.
            Self::Email => claims.text("email").map(folded).unwrap_or_default(),
            // With a dot at its end it is the same domain (RFC 1034 §3.1): no way round a `deny`.
            Self::EmailDomain => {
                let domain = claims.text("email").and_then(domain::of_email);
                domain.map(|domain| folded(domain.strip_suffix('.').unwrap_or(domain))).unwrap_or_default()
            }
            Self::Siren => {
                let own = claims.text("siren");
                let of_siret =
                    || claims.text("siret").filter(|siret| siret.len() == 14).and_then(|siret| siret.get(..9));
                own.or_else(of_siret).map(|siren| vec![Cow::Borrowed(siren)]).unwrap_or_default()
            }
        }
    }
}

/// The claims that may say what a name with dots means: itself, or an object.
pub(super) fn claims_of(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.split_once('.').map(|(top, _)| top))
}

/// The values of a claim, or of what is below one; none where there is no such claim, or where it is an
/// object.
pub(super) fn values_of<'a>(claims: &'a ClaimsView<'_>, name: &str) -> Option<Vec<Cow<'a, str>>> {
    match claims.get(name) {
        Some(ClaimValue::Json(_)) => None,
        Some(value) => Some(value.values().iter().map(|value| Cow::Borrowed(*value)).collect()),
        None => below(claims, name),
    }
}

/// What `custom.unit.code` names in the object of the claim `custom`.
fn below(claims: &ClaimsView<'_>, path: &str) -> Option<Vec<Cow<'static, str>>> {
    let (top, rest) = path.split_once('.')?;
    let ClaimValue::Json(object) = claims.get(top)? else { return None };
    let object: serde_json::Value = serde_json::from_str(object).ok()?;
    let found = rest.split('.').try_fold(&object, |value, name| value.get(name))?;
    let held = crate::claims::Claims::from_json(&serde_json::Map::from_iter([(String::new(), found.clone())]));
    let view = held.view();
    match view.get("")? {
        ClaimValue::Json(_) => None,
        value => Some(value.values().iter().map(|value| Cow::Owned((*value).to_owned())).collect()),
    }
}

impl Test {
    fn passes(&self, values: &[Cow<'_, str>]) -> bool {
        let any = |passes: &dyn Fn(&str) -> bool| values.iter().any(|value| !value.is_empty() && passes(value));
        match self {
            Self::Present => any(&|_| true),
            Self::OneOf(these) => these.look(|these| any(&|value| these.contains(value))),
            Self::AllOf(these) => these.iter().all(|wanted| any(&|value| value == wanted)),
            Self::Domain(these) => these.look(|these| any(&|domain| is_of(these, domain))),
            Self::Prefix(these) => any(&|value| these.iter().any(|prefix| value.starts_with(prefix.as_str()))),
            Self::AtLeast(Number(least)) => any(&|value| number(value).is_some_and(|number| number >= *least)),
            Self::AtMost(Number(most)) => any(&|value| number(value).is_some_and(|number| number <= *most)),
        }
    }
}

/// A number as JSON writes it; `inf`, `NaN` and `1e999` are none.
fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && text.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Whether a domain is one of these, or below one that is there with a dot before it.
pub(crate) fn is_of(these: &HashSet<String>, domain: &str) -> bool {
    let mut above = domain.match_indices('.').filter_map(|(dot, _)| domain.get(dot..));
    these.contains(domain) || above.any(|above| these.contains(above))
}

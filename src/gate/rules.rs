//! What a route asks of whoever passes, besides being signed in: conditions on verified claims, on
//! where they come from and on when.
//!
//! Made by `config`, judged by `policy`, explained by `gate` for the log and the page. Pure. What is
//! not known of somebody satisfies no condition: only `none` holds without it. What cannot be told
//! (an address that nobody vouches for, an expression that fails) keeps out everywhere.
//!
//! | key of a route | somebody passes where |
//! |---|---|
//! | `deny` | none of these holds, and of each it can be told: it wins over the others |
//! | `require` | each of these holds |
//! | `allow` | one of these holds |
//!
//! `condition` is what holds or not, `listed` what it compares with, `window` its hours,
//! `expression` what `when` says.

use crate::claims::ClaimsView;
use crate::clock::Timestamp;
use crate::session::Session;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

mod condition;
mod expression;
mod listed;
mod window;

pub(crate) use condition::is_of;
pub use condition::{Condition, Number, Outcome, Subject, Test};
pub use expression::{Compiler, Expression, Mistake};
pub use listed::{Listed, Networks};
pub(crate) use window::DAYS;
pub use window::{Hours, Window, Zone};

/// In which circumstances a request is judged.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The present moment.
    pub now: Timestamp,
    /// The client's address, where somebody who is believed says it.
    pub client: Option<IpAddr>,
}

/// Whom the rules are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// What was verified of them.
    pub claims: &'a ClaimsView<'a>,
    /// The name of the provider that they have signed in with; none of whoever shows a bearer token.
    pub provider: Option<&'a str>,
    /// When they proved who they are to the provider (`auth_time`), where it said so.
    pub authenticated_at: Option<Timestamp>,
    /// When, and from where, they ask.
    pub at: Circumstances,
}

impl<'a> Asker<'a> {
    /// Whoever has this session.
    pub fn of(session: &'a Session<'a>, at: Circumstances) -> Self {
        let (claims, provider) = (session.claims(), Some(session.provider()));
        Self { claims, provider, authenticated_at: session.authenticated_at(), at }
    }
}

/// The rules of a route. Without any it is open to whoever is signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Each holds, or nobody passes.
    pub require: Vec<Rule>,
    /// One holds, or nobody passes; nothing where it is empty.
    pub allow: Vec<Rule>,
    /// None holds, or nobody passes.
    pub deny: Vec<Rule>,
}

/// A condition under the name that the log gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name of a policy, or the place in the file where it is written.
    pub name: Arc<str>,
    /// What has to hold.
    pub condition: Condition,
    /// Who may enter by it, in the operator's words, for people whom it keeps out.
    pub who: Option<Arc<Who>>,
}

/// Who may enter, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// In French.
    pub fr: String,
    /// In English.
    pub en: String,
}

/// Which rule kept somebody out. Small, so that a decision can carry it; [`Rules::explain`] has the
/// words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    list: List,
    /// Which of the list; none where none of it held.
    rule: Option<usize>,
    /// What became of it.
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Require,
    Allow,
    Deny,
}

/// Why somebody was kept out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'r> {
    /// The name of the rule; of the first where none of several held.
    pub rule: &'r str,
    /// Who may enter, where the operator says so.
    pub who: Vec<&'r Who>,
    /// For the log: the list, the rule and what it looks at. Nothing of anybody's.
    pub cause: String,
}

impl Rules {
    /// Whether nobody is kept out.
    pub fn is_empty(&self) -> bool {
        self.require.is_empty() && self.allow.is_empty() && self.deny.is_empty()
    }

    /// Judges somebody.
    ///
    /// # Errors
    /// Which rule keeps them out; `deny` before `require` before `allow`.
    pub fn judge(&self, asker: &Asker<'_>) -> Result<(), Refusal> {
        // The first whose outcome is not the one with which people pass.
        let stopping = |rules: &[Rule], passing: Outcome| {
            let mut outcomes = rules.iter().map(|rule| rule.condition.outcome(asker)).enumerate();
            outcomes.find(|(_, outcome)| *outcome != passing)
        };
        if let Some((rule, outcome)) = stopping(&self.deny, Outcome::Fails) {
            return Err(Refusal { list: List::Deny, rule: Some(rule), outcome });
        }
        if let Some((rule, outcome)) = stopping(&self.require, Outcome::Holds) {
            return Err(Refusal { list: List::Require, rule: Some(rule), outcome });
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|rule| rule.condition.holds(asker)) {
            return Err(Refusal { list: List::Allow, rule: None, outcome: Outcome::Fails });
        }
        Ok(())
    }

    /// Whether somebody who passes now may not pass later, or the other way round, though nothing else
    /// is said of them: for there are hours, or lists that are read again. Then whoever has a live
    /// connection is judged again and again.
    pub fn change_by_themselves(&self) -> bool {
        self.each().any(|rule| rule.condition.changes_by_itself())
    }

    /// Whether they depend on where somebody asks from.
    pub fn look_at_the_address(&self) -> bool {
        self.each().any(|rule| rule.condition.looks_at_the_address())
    }

    fn each(&self) -> impl Iterator<Item = &Rule> {
        self.require.iter().chain(&self.allow).chain(&self.deny)
    }

    /// Puts a refusal of these rules into words.
    pub fn explain(&self, refusal: Refusal) -> Option<Explanation<'_>> {
        let (word, list) = match refusal.list {
            List::Require => ("require", &self.require),
            List::Allow => ("allow", &self.allow),
            List::Deny => ("deny", &self.deny),
        };
        let asked: Vec<&Rule> = match refusal.rule {
            Some(index) => list.get(index).into_iter().collect(),
            None => list.iter().collect(),
        };
        let rule = &asked.first()?.name;
        let names: Vec<&str> = asked.iter().map(|rule| &*rule.name).collect();
        let mut looks_at = BTreeSet::new();
        for rule in &asked {
            rule.condition.looks_at(&mut |what| {
                looks_at.insert(what);
            });
        }
        let looks_at: Vec<&str> = looks_at.into_iter().collect();
        let outcome = match (refusal.list, refusal.outcome) {
            (List::Allow, _) => "none holds",
            (_, Outcome::Unknown) => "cannot be told",
            (List::Deny, _) => "holds",
            (List::Require, _) => "does not hold",
        };
        let cause = format!("{word} {}: {outcome} (by {})", names.join(", "), looks_at.join(", "));
        // Whom one denies is no answer to who may enter.
        let who = if refusal.list == List::Deny { Vec::new() } else { asked };
        Some(Explanation { rule, who: who.into_iter().filter_map(|rule| rule.who.as_deref()).collect(), cause })
    }

    /// The claims that these rules look at.
    pub fn claims(&self) -> BTreeSet<String> {
        let mut claims = BTreeSet::new();
        for rule in self.each() {
            rule.condition.claims(&mut |claim| {
                claims.insert(claim.to_owned());
            });
        }
        claims
    }
}

#[cfg(test)]
mod tests;

//! Findings that the configuration accepts: named one by one, with the reason.
//!
//! What is accepted is still listed by `check`, as such; an acceptance that accepts nothing is a
//! finding itself, so that none outlives what it was written for.

use super::Code;
use crate::config::problem::{Finding, KeyPath};

/// An acceptance.
#[derive(Clone, Debug)]
pub(in crate::config) struct Acceptance {
    /// Where it is written.
    pub(in crate::config) path: KeyPath,
    pub(in crate::config) code: Code,
    /// The key that the finding is about, or one above it; every one where none is given.
    pub(in crate::config) at: Option<String>,
    pub(in crate::config) because: String,
}

impl Acceptance {
    fn accepts(&self, finding: &Finding) -> bool {
        let is_there = |at: &String| {
            let place = finding.path.to_string();
            place.strip_prefix(at.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        finding.code == self.code && self.at.as_ref().is_none_or(is_there)
    }
}

/// Parts findings into those that stand and those that are accepted, these with the reason.
pub(in crate::config) fn apply(
    acceptances: &[Acceptance],
    findings: Vec<Finding>,
) -> (Vec<Finding>, Vec<(Finding, String)>) {
    let (mut standing, mut accepted) = (Vec::new(), Vec::new());
    let mut is_used = vec![false; acceptances.len()];
    for finding in findings {
        let mut reason = None;
        for (acceptance, used) in acceptances.iter().zip(&mut is_used) {
            if acceptance.accepts(&finding) {
                *used = true;
                reason.get_or_insert_with(|| acceptance.because.clone());
            }
        }
        match reason {
            Some(because) => accepted.push((finding, because)),
            None => standing.push(finding),
        }
    }
    for (acceptance, _) in acceptances.iter().zip(is_used).filter(|(_, used)| !used) {
        let what = acceptance.code.name();
        let place = acceptance.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        standing.push(Finding {
            code: Code::AcceptsNothing,
            path: acceptance.path.clone(),
            file: String::new(),
            line: None,
            message: format!("nothing is found that is {what}{place}; remove it"),
            is_idle: false,
        });
    }
    (standing, accepted)
}

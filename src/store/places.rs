//! Sets of so many places: who has one, until when, and who gets one.
//!
//! [`Places`] is one set as the memory store holds it and the file store reads it for one change; in
//! Redis the same rule is a script. One contract holds for all three (`tests/it/stores/contract.rs`).
//! Must never give more places than there are.

use crate::clock::Timestamp;
use std::collections::BTreeMap;

/// What is asked for in [`super::Store::claim_place`].
#[derive(Clone, Copy, Debug)]
pub struct Claim<'c> {
    /// Who.
    pub member: &'c [u8],
    /// Until when. What has ended at `now` gets no place, and takes away none.
    pub until: Timestamp,
    /// How many places the set has. Where more are taken, since there were more, nobody loses one.
    pub limit: usize,
    /// Where all are taken: the place whose end comes first is given to this claim if it comes at this
    /// moment or before.
    pub displacing: Option<Timestamp>,
}

/// What came of a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It had a place.
    Held,
    /// It has one now.
    Added,
    /// It has the place of this member now.
    Displaced(Vec<u8>),
    /// All are taken; the end of the one that ends first, where there is any.
    Full(Option<Timestamp>),
}

/// One set: who has a place, and until when.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<Vec<u8>, Timestamp>);

impl Places {
    /// A set of these members, whether or not their ends have come.
    pub(super) fn of(members: BTreeMap<Vec<u8>, Timestamp>) -> Self {
        Self(members)
    }

    /// Lets go of those whose end has come.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.0.retain(|_, until| *until > now);
    }

    pub(super) fn claim(&mut self, claim: &Claim<'_>, now: Timestamp) -> Claimed {
        self.sweep(now);
        if claim.until <= now {
            return Claimed::Full(self.first().map(|(_, until)| until));
        }
        if self.extend(claim.member, claim.until) {
            return Claimed::Held;
        }
        let claimed = if self.0.len() < claim.limit {
            Claimed::Added
        } else {
            let may_go = |until: Timestamp| claim.displacing.is_some_and(|before| until <= before);
            match self.first() {
                Some((member, until)) if self.0.len() == claim.limit && may_go(until) => {
                    self.0.remove(&member);
                    Claimed::Displaced(member)
                }
                first => return Claimed::Full(first.map(|(_, until)| until)),
            }
        };
        self.0.insert(claim.member.to_vec(), claim.until);
        claimed
    }

    /// Whose place ends first.
    fn first(&self) -> Option<(Vec<u8>, Timestamp)> {
        let (member, until) = self.0.iter().min_by_key(|(_, until)| **until)?;
        Some((member.clone(), *until))
    }

    /// Moves the end of one that has a place; whether it has one. Asked after [`Self::sweep`].
    pub(super) fn extend(&mut self, member: &[u8], until: Timestamp) -> bool {
        self.0.get_mut(member).map(|end| *end = until.max(*end)).is_some()
    }

    /// Frees the place of one; whether it had any. Asked after [`Self::sweep`].
    pub(super) fn free(&mut self, member: &[u8]) -> bool {
        self.0.remove(member).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who has a place at this moment.
    pub(super) fn held(&self, now: Timestamp) -> impl Iterator<Item = (&Vec<u8>, Timestamp)> {
        self.0.iter().filter(move |(_, until)| **until > now).map(|(member, until)| (member, *until))
    }
}

//! What replicas tell each other of seats, in the log of the store that all follow.
//!
//! `session/follow` hears it and hands on what is not its own. An entry begins with bytes that no
//! announcement of sessions has, also not of an older version: that one passes over it. Must never make
//! anybody believe that somebody has a seat: news only take away.

use super::licence::LicenceId;
use super::{Freed, Member, Seats};
use crate::clock::Timestamp;
use crate::store::StoreError;
use std::time::Duration;

/// An announcement of sessions begins with its end, which is never 1970, and a kind that is below 127.
const BEGINS: [u8; 2] = [0, 127];
/// For how long an announcement is of use: longer than anything is believed.
const LASTS: Duration = Duration::from_secs(300);

const SIGNED_OUT: u8 = 1;
const DISPLACED: u8 = 2;
const BY_ADMINISTRATOR: u8 = 3;
const LICENCES_CHANGED: u8 = 4;

impl Seats {
    /// Whether an entry of the log is about seats.
    pub fn is_about_seats(entry: &[u8]) -> bool {
        entry.starts_with(&BEGINS)
    }

    /// Takes in what another replica, or this one, has announced. What a newer version says and this one
    /// does not know changes nothing. Whether the licences that administrators keep have changed, which
    /// [`Seats::keep`] then reads.
    pub fn hear(&self, entry: &[u8], now: Timestamp) -> bool {
        let Some(([kind], rest)) = entry.strip_prefix(&BEGINS).and_then(|rest| rest.split_first_chunk::<1>()) else {
            return false;
        };
        let why = match *kind {
            SIGNED_OUT => Freed::SignedOut,
            DISPLACED => Freed::Displaced,
            BY_ADMINISTRATOR => Freed::ByAdministrator,
            LICENCES_CHANGED => {
                self.managed.note(LicenceId::from_bytes(rest));
                return true;
            }
            _ => return false,
        };
        if let Some((licence, at, member)) = parts_of(rest) {
            // Also one that they took since: clocks may differ, and whoever has one gets it again.
            self.lose(member, licence, why, at.min(now));
        }
        false
    }

    pub(super) async fn announce(
        &self,
        member: Member,
        licence: LicenceId,
        why: Freed,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let kind = match why {
            Freed::SignedOut => SIGNED_OUT,
            Freed::Displaced => DISPLACED,
            Freed::ByAdministrator => BY_ADMINISTRATOR,
        };
        let entry = [&BEGINS[..], &[kind], &licence.bytes(), &now.as_unix().to_be_bytes(), member.bytes()].concat();
        self.store.announce(&entry, now.plus(LASTS), now).await
    }

    /// Tells every replica that a licence which administrators keep has changed, or any of them.
    pub(super) async fn announce_licences(&self, which: Option<LicenceId>, now: Timestamp) -> Result<(), StoreError> {
        let id = which.map(LicenceId::bytes);
        let entry = [&BEGINS[..], &[LICENCES_CHANGED], id.as_ref().map_or(&[][..], |id| &id[..])].concat();
        self.store.announce(&entry, now.plus(LASTS), now).await
    }
}

fn parts_of(rest: &[u8]) -> Option<(LicenceId, Timestamp, Member)> {
    let (id, rest) = rest.split_at_checked(16)?;
    let (at, member) = rest.split_first_chunk::<8>()?;
    Some((LicenceId::from_bytes(id)?, Timestamp::from_unix(u64::from_be_bytes(*at)), Member::from_bytes(member)?))
}

//! What renewals say of people, for the connections that were opened before them.
//!
//! A live connection holds what the cookie of its beginning said. Who its person is can be another
//! thing once the provider was asked again, and rights follow from that: [`super::refresh`] notes what
//! it learns, and `server/live` takes it from here. What another replica has renewed is found in the
//! store: a session is renewed when it is due and not before, so only those that are due are looked for.

use super::{Held, OpenedSession, Session, SessionId, Sessions};
use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The latest of each session that was renewed since they were taken.
#[derive(Default)]
pub(super) struct Renewals(Mutex<HashMap<SessionId, Arc<OpenedSession>>>);

impl Sessions {
    /// Notes what a session says since it was renewed.
    pub(super) fn note_renewal(&self, session: &Session<'_>) {
        let Some(opened) = OpenedSession::renewed(session) else { return };
        self.renewals.0.lock().unwrap_or_else(PoisonError::into_inner).insert(session.id(), Arc::new(opened));
        self.endings.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What was renewed since the last time. For the one who looks after the live connections.
    pub fn take_renewals(&self) -> HashMap<SessionId, Arc<OpenedSession>> {
        std::mem::take(&mut *self.renewals.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a later renewal in the place of what a connection holds; says whether it is one.
    pub fn bring_up_to_date(&self, held: &mut Held, latest: &Arc<OpenedSession>, now: Timestamp) -> bool {
        let generation = |opened: &OpenedSession| opened.read().map(|session| session.generation()).ok();
        if generation(latest) <= generation(&held.opened) {
            return false;
        }
        let Some(renewed) = self.held(Arc::clone(latest), now) else { return false };
        // Nobody was seen: that another tab was renewed says nothing of who sits before this one.
        let last_seen = held.last_seen;
        *held = renewed;
        held.last_seen = last_seen;
        true
    }

    /// What a connection holds, where another replica may have renewed it since.
    pub fn may_be_renewed(&self, held: &Held, now: Timestamp) -> Option<Arc<OpenedSession>> {
        let is_due = held.session().is_ok_and(|session| self.is_due(&session, now));
        is_due.then(|| Arc::clone(&held.opened))
    }

    /// Looks in the store for a later renewal of a session, and notes it.
    pub async fn look_for_renewal(&self, opened: &OpenedSession, now: Timestamp) {
        let Ok(session) = opened.read() else { return };
        let Ok(Some(kept)) = self.kept(&session, now).await else { return };
        if kept.generation() > session.generation()
            && let (opened, _) = kept.into_parts()
            && let Ok(latest) = opened.read()
        {
            self.note_renewal(&latest);
        }
    }
}

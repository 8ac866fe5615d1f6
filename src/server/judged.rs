//! One judgement of a request, with what the gate wants to know of others in between.
//!
//! Called by `look` for what came to us and by `forward_auth` for what a front proxy has: the same questions, in
//! the same order, each asked once.

use super::exchange::Exchange;
use super::proxy::Proxy;
use super::seats::take_seat;
use crate::bearer::Caller;
use crate::clock::Timestamp;
use crate::gate::rules::Circumstances;
use crate::gate::{Case, Verdict};
use crate::session::{NoSession, OpenedSession, Refreshed};
use crate::web::client_certificate::ClientCertificate;
use http::HeaderMap;
use std::sync::Arc;
use std::time::Instant;

/// The moment from which a decision is measured.
#[expect(clippy::disallowed_methods, reason = "measures the decision; nothing is decided by it")]
pub(super) fn began() -> Instant {
    Instant::now()
}

impl Proxy {
    /// What the gate says, and whose token or certificate it is that counts. `holder`: of the certificate, where
    /// the connection has one that may let it pass. `began`: before the case was made, which is most of the work.
    pub(super) async fn judged<'g>(
        &'g self,
        case: &Case<'g, '_>,
        holder: Option<Arc<Caller>>,
        headers: &HeaderMap,
        exchange: &mut Exchange,
        (at, began): (Circumstances, Instant),
    ) -> (Verdict<'g>, Option<Arc<Caller>>) {
        let random = &*self.endpoints.random;
        let mut verdict = match &holder {
            Some(holder) => case.by_bearer(Ok(holder), at),
            None => self.gate.judge(case, at, random),
        };
        self.metrics.decision_seconds.observe(began.elapsed().as_secs_f64());
        if let Verdict::Refresh(opened) = verdict {
            let session = self.refresh(opened, headers, exchange, at.now).await;
            verdict = self.gate.judge_again(case, session, at, random);
        }
        if let Verdict::TakeSeat(opened) = verdict {
            let seats = self.endpoints.seats.as_deref();
            let seat = take_seat(seats, (&self.gate, &self.sessions), &opened, at.now, random).await;
            verdict = self.gate.judge_seated(case, opened, seat, at, random);
        }
        let mut caller = holder;
        if let Verdict::Verify { token, rules } = verdict {
            let verified = self.verified(&token, rules, exchange, at.now).await;
            verdict = case.by_bearer(verified.as_deref().map_err(|fault| *fault), at);
            caller = verified.ok();
        }
        (verdict, caller)
    }

    /// Who has the certificate of the connection, where that says something on the request's route.
    pub(super) fn holder(
        &self,
        case: &Case<'_, '_>,
        shown: &ClientCertificate,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Option<Arc<Caller>> {
        exchange.certificate = Some(shown.to_string());
        let holder = self.bearers.holder(self.gate.rules_for_certificate(case)?, shown, now)?;
        exchange.bearer = Some(holder.label());
        Some(Arc::new(holder))
    }

    /// Asks the provider, or the store, how it stands with a session.
    pub(super) async fn refresh(
        &self,
        opened: OpenedSession,
        headers: &HeaderMap,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<OpenedSession, NoSession> {
        let (label, session) = match self.refresher.refresh(opened, headers, now).await {
            Refreshed::Anew(opened, cookies) => {
                exchange.renewal = cookies;
                ("renewed", Ok(opened))
            }
            Refreshed::Unchanged(opened) => ("unchanged", Ok(opened)),
            Refreshed::Over(reason) if reason.is_outage() => ("unavailable", Err(reason)),
            Refreshed::Over(reason) => ("over", Err(reason)),
        };
        self.metrics.refreshes.with_label_values(&[label]).inc();
        session
    }
}

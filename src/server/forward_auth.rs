//! `GET /oauth2/auth`: whose session is this?
//!
//! Called by `server/proxy`. Front proxies and apps ask it with the cookies of a request that came
//! to them; the answer is a status, and the identity in headers. It renders what the gate says and
//! decides nothing. Must never say more than an app behind us would be told: no token, and nothing
//! that a page of another site could read.
//!
//! | the gate says | answer |
//! |---|---|
//! | `Forward` | 202 with `X-Auth-Request-User`, `-Email`, `-Preferred-Username`, `-Groups`, as far as the session has them |
//! | `Deny`, `SignIn` | 401 |
//! | `Unavailable` | 503: an outage is not a sign-out |

use super::exchange::Exchange;
use super::proxy::Proxy;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::gate::{Denial, Forward, Verdict};
use crate::session::NoSession;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

/// Its name below the prefix.
pub(super) const AUTH: &str = "auth";

/// The family of headers that is told.
const TOLD: &str = "x-auth-request-";

impl Proxy {
    /// Answers whether the session that a request shows is good, and whose it is.
    pub(super) async fn forward_auth(&self, parts: &Parts, exchange: &mut Exchange) -> Reply {
        exchange.decision = "auth";
        if parts.method != Method::GET && parts.method != Method::HEAD {
            exchange.decision = "method_not_allowed";
            return Reply::new(StatusCode::METHOD_NOT_ALLOWED, "")
                .fixed_headers([("allow", "GET, HEAD"), ("cache-control", "no-store")]);
        }
        let (headers, now, random) = (&parts.headers, self.endpoints.clock.now(), &*self.endpoints.random);
        let mut verdict = self.gate.vouch(headers, now, random);
        if let Verdict::Refresh(opened) = verdict {
            let session = self.refresh(opened, headers, exchange, now).await;
            verdict = self.gate.vouch_again(headers, session, now, random);
        }
        match verdict {
            Verdict::Forward(forward) => self.vouched(forward, parts, exchange),
            // Whoever asks is a program, so that there is nobody to be led to sign in.
            Verdict::SignIn { reason, .. } => self.endpoints.deny(Denial::NotSignedIn(reason), parts, exchange),
            Verdict::Deny(denial) => self.endpoints.deny(denial, parts, exchange),
            Verdict::Unavailable(reason) => self.endpoints.rescue(Rescue::OF_OUTAGE, &reason, parts, exchange),
            // Asked once already; whatever asks again is not decided.
            Verdict::Refresh(_) => self.endpoints.rescue(Rescue::OF_OUTAGE, &NoSession::ProviderDown, parts, exchange),
        }
    }

    fn vouched(&self, forward: Forward<'_>, parts: &Parts, exchange: &mut Exchange) -> Reply {
        exchange.session = forward.session;
        let mut cookies = std::mem::take(&mut exchange.renewal);
        cookies.extend(forward.renewal);
        if self.sessions.is_by_proof(&parts.headers) {
            // An app asks, which must never get a cookie of ours. What was renewed is in the store,
            // where the browser's next request finds it.
            cookies.clear();
        } else if let Some(id) = forward.session
            && !cookies.is_empty()
        {
            let now = self.endpoints.clock.now();
            if self.sessions.was_present(id, now) {
                self.list(forward.opened.as_ref(), &parts.headers, exchange, now);
            }
        }
        let told = forward.identity.iter().filter(|(name, _)| name.as_str().starts_with(TOLD)).cloned();
        told.fold(Reply::new(StatusCode::ACCEPTED, ""), |reply, (name, value)| reply.header(name, value))
            .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .fixed_headers([("cross-origin-resource-policy", "same-origin")])
            .cookies(cookies)
    }
}

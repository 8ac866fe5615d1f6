//! The two endpoints by which the provider ends sessions here: back-channel and front-channel
//! logout.
//!
//! Called by `endpoints`. Neither answer says anything about who is signed in: the provider hears
//! whether it was understood, and nobody else has anything to hear.

use super::endpoints::Endpoints;
use super::exchange::Exchange;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::login::frontchannel::Told;
use crate::pages::{ErrorKind, FRAMED_HEADERS, framed_by};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

/// What a frame shows that nobody sees.
const FRAME: &str = "<!doctype html><html lang=\"en\"><title>Signed out</title></html>\n";

impl Endpoints {
    /// §2.8 of the specification has 400 for all that fails. What is wrong on our side is 503 here:
    /// it may well be otherwise when the provider tries again.
    pub(super) async fn backchannel_logout(&self, form: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let outcome = self.login.backchannel_logout(&parts.headers, form, self.clock.now()).await;
        let Err(error) = outcome else {
            self.count("back", "ended");
            return Reply::new(StatusCode::OK, "").header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        };
        let Rescue { kind, level } = Rescue::of_backchannel(&error);
        exchange.because(error);
        exchange.level = level;
        self.count("back", outcome_of(kind));
        let code = if kind.status().is_server_error() { "temporarily_unavailable" } else { "invalid_request" };
        let reply = Reply::json(kind.status(), &serde_json::json!({ "error": code }));
        match kind.retry_after() {
            Some(seconds) => reply.header(RETRY_AFTER, HeaderValue::from_static(seconds)),
            None => reply,
        }
    }

    pub(super) async fn frontchannel_logout(&self, query: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        match self.login.frontchannel_logout(query, &parts.headers, self.clock.now()).await {
            Ok(Told { ended, cookies, origin }) => {
                self.count("front", if ended { "ended" } else { "unknown" });
                let policy = framed_by(origin.as_deref());
                // An origin as a URL parser writes it: header text.
                let policy =
                    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("frame-ancestors 'none'"));
                Reply::new(StatusCode::OK, FRAME)
                    .fixed_headers(FRAMED_HEADERS)
                    .header(CONTENT_SECURITY_POLICY, policy)
                    .cookies(cookies)
            }
            Err(error) => {
                let rescue = Rescue::of_frontchannel(&error);
                self.count("front", outcome_of(rescue.kind));
                self.rescue(rescue, &error, parts, exchange)
            }
        }
    }

    fn count(&self, channel: &str, outcome: &str) {
        self.metrics.provider_logouts.with_label_values(&[channel, outcome]).inc();
    }
}

fn outcome_of(kind: ErrorKind) -> &'static str {
    if kind.status().is_server_error() { "unavailable" } else { "refused" }
}

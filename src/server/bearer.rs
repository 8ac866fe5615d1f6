//! Bearer tokens on their way through the server: who verifies one, and what is said of one that
//! does not count (RFC 6750 §3).
//!
//! Called by `server/judged` when the gate wants a token verified, and by
//! `server/refusal` when the gate denies. The client hears one thing for all tokens that do not count;
//! why is in the log. Must never repeat anything of a token.

use super::endpoints::Endpoints;
use super::exchange::Exchange;
use super::proxy::Proxy;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::bearer::{Caller, Fault, NotVerified, Presented};
use crate::clock::Timestamp;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;

impl Proxy {
    /// Has a token verified, and notes what came of it. It may ask an issuer.
    pub(super) async fn verified(
        &self,
        token: &Presented,
        rules: &[usize],
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<Arc<Caller>, Fault> {
        let verified = self.bearers.verify(rules, token, now).await;
        let (label, outcome) = match verified {
            Ok(caller) => {
                exchange.bearer = Some(caller.label());
                ("accepted", Ok(caller))
            }
            Err(cause) => {
                let fault = cause.fault();
                exchange.not_verified = Some(cause);
                (error_code(fault), Err(fault))
            }
        };
        self.metrics.bearer_tokens.with_label_values(&[label]).inc();
        outcome
    }
}

impl Endpoints {
    /// Answers a bearer token that does not count.
    pub(super) fn refuse_bearer(&self, fault: Fault, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let cause = exchange.not_verified.take();
        let (status, message) = match fault {
            Fault::Request => {
                (StatusCode::BAD_REQUEST, "Send one Authorization header: the word Bearer, a space, and one token.")
            }
            Fault::Token => (StatusCode::UNAUTHORIZED, "The bearer token does not count here."),
            Fault::Scope => (StatusCode::FORBIDDEN, "The bearer token lacks a scope."),
            Fault::Outage => {
                let cause = cause.map_or_else(|| fault.to_string(), |cause| cause.to_string());
                return self.rescue(Rescue::OF_BEARER_OUTAGE, &cause, parts, exchange);
            }
        };
        let (code, description) = (error_code(fault), fault.to_string());
        let mut attributes = format!(r#", error="{code}", error_description="{description}""#);
        let mut body = serde_json::json!({ "error": code, "message": message });
        if let Some(NotVerified::Scope { scope, .. }) = &cause {
            // `config` lets nothing in that a quoted text cannot have.
            attributes = format!(r#"{attributes}, scope="{scope}""#);
            body = serde_json::json!({ "error": code, "message": message, "scope": scope });
        }
        match cause {
            Some(cause) => exchange.because(cause),
            None => exchange.because(fault),
        }
        Reply::json(status, &body).header(WWW_AUTHENTICATE, self.bearer_challenge(&attributes))
    }

    /// Answers a request without a token where nothing else is taken. No error is named then
    /// (RFC 6750 §3.1).
    pub(super) fn ask_for_bearer(&self) -> Reply {
        let body = serde_json::json!({
            "error": "no_bearer_token",
            "message": "Send an access token or a service key in the header Authorization: Bearer.",
        });
        Reply::json(StatusCode::UNAUTHORIZED, &body).header(WWW_AUTHENTICATE, self.bearer_challenge(""))
    }

    /// The challenge of RFC 6750 §3.
    pub(super) fn bearer_challenge(&self, attributes: &str) -> HeaderValue {
        let challenge = format!(r#"Bearer realm="{}"{attributes}"#, self.public_url.host());
        HeaderValue::from_str(&challenge).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

/// RFC 6750 §3.1; an outage has none there.
fn error_code(fault: Fault) -> &'static str {
    match fault {
        Fault::Request => "invalid_request",
        Fault::Token => "invalid_token",
        Fault::Scope => "insufficient_scope",
        Fault::Outage => "unavailable",
    }
}

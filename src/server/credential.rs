//! What the upstream needs to trust a request: got before it leaves, and anew where the app refuses it.
//!
//! Called by `server/look` once the gate has let a request through, and again when the app answers.
//! Must never let a request go to the app without the credential that its route names.

use super::exchange::{Again, Exchange};
use super::proxy::Proxy;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::clock::Timestamp;
use crate::credentials::CredentialError;
use crate::gate::route::{ClientAuthorization, Route};
use crate::web::hygiene::CleanRequest;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use pingora::proxy::Session;

impl Proxy {
    /// Gets what the upstream needs to trust the request. What a client brings itself stays where
    /// the route says so.
    pub(super) async fn provide(
        &self,
        route: &Route,
        request: &CleanRequest<'_>,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<(), Reply> {
        let Some(index) = route.credential else { return Ok(()) };
        let headers = &request.parts().headers;
        if route.client_authorization == ClientAuthorization::Keep && self.brings_its_own(index, headers) {
            return Ok(());
        }
        exchange.replaces = Some(index);
        let session = exchange.session.zip(exchange.opened.as_ref());
        match self.credentials.provide(index, session, headers, now).await {
            Ok(provided) => {
                exchange.take(provided);
                Ok(())
            }
            Err(failed) => Err(self.without_credential(index, &failed, request.parts(), exchange)),
        }
    }

    /// Whether a client brings a credential of its own. Our access token is none: it says whose
    /// session it is.
    fn brings_its_own(&self, index: usize, headers: &HeaderMap) -> bool {
        if !self.sessions.shows_token(headers) {
            return self.credentials.is_brought(index, headers);
        }
        let mut others = headers.clone();
        others.remove(AUTHORIZATION);
        self.credentials.is_brought(index, &others)
    }

    /// Whether our own access token is taken out of a request on this route before its app gets it.
    pub(super) fn takes_token_away(&self, route: Option<&Route>, headers: &HeaderMap) -> bool {
        self.sessions.shows_token(headers)
            && route.is_none_or(|route| route.client_authorization != ClientAuthorization::Keep)
    }

    /// Answers a request that cannot go on for want of a credential.
    pub(super) fn without_credential(
        &self,
        index: usize,
        failed: &CredentialError,
        parts: &http::request::Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        exchange.decision = "no_credential";
        self.metrics.credential_failures.with_label_values(&[self.credentials.name(index)]).inc();
        let reason = format!("credentials {}: {failed}", self.credentials.name(index));
        self.endpoints.rescue(Rescue::of_credential(failed), &reason, parts, exchange)
    }

    /// Whether the app's refusal is the credential's fault and the request can be sent once more,
    /// with another one. It can while nothing was answered and its body is still at hand.
    pub(super) async fn tries_again(&self, session: &Session, status: StatusCode, exchange: &mut Exchange) -> bool {
        if exchange.again != Again::NotYet {
            return false;
        }
        let (Some(index), Some(opened), Some(refused)) =
            (exchange.replaces, exchange.opened.clone(), exchange.credential.held.clone())
        else {
            return false;
        };
        if !self.credentials.is_refusal(index, status) {
            return false;
        }
        let (headers, now) = (&session.req_header().headers, self.endpoints.clock.now());
        let Some(provided) = self.credentials.replace(index, &opened, headers, refused, now).await else {
            return false;
        };
        exchange.take(provided);
        // A body that is no longer at hand: the next request has the new one.
        !session.as_ref().retry_buffer_truncated()
    }
}

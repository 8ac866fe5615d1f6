//! The playgrounds of 2025 behind us: pages that open with `?encrypted_token=`.
//!
//! Called by `server/look` for requests on a route with an `envelope`. A page that is asked for by
//! a browser window is answered with a redirect to itself with a fresh envelope, which the
//! playground's server opens; such a page forgets its sign-in when it is loaded again, so each
//! envelope is good for one load. Must never let an envelope through that is not of this session:
//! whoever sends somebody a link with their own would have them work under another name.

use super::exchange::Exchange;
use super::proxy::Proxy;
use super::reply::Reply;
use super::settings::{EnvelopeSettings, PlaygroundSettings};
use crate::clock::Timestamp;
use crate::credentials::envelope::Contents;
use crate::secret::{ExposeSecret, SecretString};
use crate::session::OpenedSession;
use crate::store::{Key, Store};
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;
use http::{HeaderMap, Method};
use ring::digest;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// The parameter.
pub(super) const PARAMETER: &str = "encrypted_token";

/// What opens playgrounds.
pub(super) struct Playground {
    pub(super) settings: PlaygroundSettings,
    pub(super) store: Arc<dyn Store>,
}

/// What of an envelope says whose it is.
#[derive(Deserialize)]
struct Inside<'a> {
    #[serde(borrow)]
    app_token: Cow<'a, str>,
}

impl Proxy {
    /// A redirect with a fresh envelope, where the request has none that is good for this load.
    pub(super) async fn open_playground(
        &self,
        index: usize,
        request: &CleanRequest<'_>,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Option<Reply> {
        let settings = self.playground.settings.envelopes.get(index)?;
        let opened = exchange.opened.clone()?;
        let parts = request.parts();
        if parts.method != Method::GET || Kind::of(parts) != Kind::Navigation {
            return None;
        }
        let shown: Vec<_> = url::form_urlencoded::parse(request.query().as_bytes())
            .filter(|(name, _)| name == PARAMETER)
            .map(|(_, value)| value)
            .collect();
        if let [one] = &shown[..]
            && self.is_good_for_this_load(settings, &opened, &parts.headers, one, now).await
        {
            return None;
        }
        let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
        // Everything else as it was written.
        let others: Vec<&str> =
            query.split('&').filter(|pair| !pair.is_empty() && !names_the_parameter(pair)).collect();
        let (envelope, cookies) = match self.envelope(settings, &opened, &parts.headers, now).await {
            Ok(sealed) => sealed,
            Err(failed) => return Some(self.without_credential(settings.credential, &failed, parts, exchange)),
        };
        let query = others.join("&");
        let and = if query.is_empty() { "" } else { "&" };
        exchange.decision = "envelope";
        let location = format!("{path}?{query}{and}{PARAMETER}={envelope}");
        let location = format!("{}{location}", self.endpoints.public_url.origin());
        let renewal = std::mem::take(&mut exchange.renewal);
        Some(hand_over(&parts.method, &location).cookies(renewal).cookies(cookies))
    }

    /// Whether an envelope in the address is this session's, in time, and opened for the first time.
    async fn is_good_for_this_load(
        &self,
        settings: &EnvelopeSettings,
        opened: &OpenedSession,
        headers: &HeaderMap,
        shown: &str,
        now: Timestamp,
    ) -> bool {
        let Some(inside) = settings.envelope.open(shown, settings.ttl, now) else { return false };
        // Another replica may have handed it over.
        self.credentials.note(headers, now).await;
        let Ok(Inside { app_token }) = serde_json::from_str(&inside) else { return false };
        let key = SecretString::from(&*app_token);
        if !self.credentials.is_of(settings.credential, opened, &key, now).await {
            return false;
        }
        let used = Key::new("envelope", digest::digest(&digest::SHA256, shown.as_bytes()).as_ref());
        // Where the store is away, a reload shows a sign-in page again; that is all.
        self.playground.store.put_new(&used, &[], now.plus(settings.ttl), now).await.unwrap_or(true)
    }

    /// A fresh envelope with the session's key, and cookies for the browser.
    pub(super) async fn envelope(
        &self,
        settings: &EnvelopeSettings,
        opened: &Arc<OpenedSession>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<(String, Vec<http::HeaderValue>), crate::credentials::Failed> {
        let handed = self.credentials.hand_off(settings.credential, opened, headers, now).await?;
        let id_token = self.id_token(opened, headers, now).await;
        if let Some(id_token) = id_token.as_ref().filter(|_| self.playground.settings.endpoints.is_some()) {
            self.note_handed_token(opened, id_token, now).await;
        }
        let contents = Contents {
            app_token: &handed.secret,
            token_id: handed.key,
            proconnect_token: id_token.as_ref().map_or("", |token| token.as_str()),
        };
        let sealed = settings.envelope.seal(&contents, now);
        Ok((sealed.expose_secret().to_owned(), handed.cookies))
    }

    async fn id_token(
        &self,
        opened: &OpenedSession,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<zeroize::Zeroizing<String>> {
        let session = self.sessions.read(opened, now).ok()?;
        let tokens = self.sessions.tokens(headers, &session, now).await.ok().flatten()?;
        Some(zeroize::Zeroizing::new(tokens.id_token.expose_secret().to_owned()))
    }
}

/// A redirect whose address nobody keeps or passes on, as far as that can be said.
pub(super) fn hand_over(method: &Method, location: &str) -> Reply {
    Reply::redirect(method, location).fixed_headers([("referrer-policy", "no-referrer")])
}

pub(super) fn names_the_parameter(pair: &str) -> bool {
    url::form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == PARAMETER)
}

//! A book behind an HTTP endpoint: one question and one answer per claim value.
//!
//! `KeyBook` asks; the wallet keeps the answer, so that a session asks once. The question is
//! `POST {"claim": "siret", "value": "…"}`: values are personal data and never part of an address,
//! which logs keep. The answer is `200 {"key": "…", "expires": 1800000000}`, where `expires` (unix
//! seconds) may be left out, or `404` for a value that has no key.

use super::{Found, KeyBookError, LONGEST_KEY, is_header_text};
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use url::Url;
use zeroize::{Zeroize, Zeroizing};

/// Where to ask, and how. `config` makes sure that the address is https, or on loopback.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where the question is posted. Holds nothing secret.
    pub url: Url,
    /// What we present there as `Authorization: Bearer`.
    pub bearer: Option<SecretString>,
    /// How long one question may take.
    pub timeout: Duration,
}

#[derive(Deserialize)]
struct Answer {
    key: String,
    expires: Option<u64>,
}

impl Endpoint {
    /// The key of one claim value; none where the endpoint says that there is none.
    pub(super) async fn ask(
        &self,
        claim: &str,
        value: &str,
        fetch: &Fetch,
        now: Timestamp,
    ) -> Result<Option<Found>, KeyBookError> {
        let request = self.request(claim, value).map_err(KeyBookError::Unreachable)?;
        let answer = fetch.send(request, self.timeout).await.map_err(KeyBookError::Unreachable)?;
        let status = answer.status();
        let body = Zeroizing::new(answer.into_body());
        match status {
            StatusCode::OK => self.found(&body, value, now).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(KeyBookError::Status(status.as_u16())),
        }
    }

    fn request(&self, claim: &str, value: &str) -> Result<http::Request<Vec<u8>>, FetchError> {
        let mut request = http::Request::post(self.url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(bearer) = &self.bearer {
            let text = Zeroizing::new(format!("Bearer {}", bearer.expose_secret()));
            let mut header = HeaderValue::from_str(&text).map_err(|_| FetchError::Request)?;
            header.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, header);
        }
        let question = json!({"claim": claim, "value": value});
        request.body(question.to_string().into_bytes()).map_err(|_| FetchError::Request)
    }

    fn found(&self, body: &[u8], value: &str, now: Timestamp) -> Result<Found, KeyBookError> {
        let malformed = KeyBookError::Malformed;
        // serde would take a list for the members in their order.
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let answer = serde_json::from_slice(body).ok().filter(|_| is_object);
        let Answer { mut key, expires } = answer.ok_or(malformed("not the JSON expected"))?;
        let secret = SecretString::from(key.as_str());
        key.zeroize();
        let key = secret.expose_secret();
        if key.len() > LONGEST_KEY || !is_header_text(key) {
            return Err(malformed("the key does not fit into a header"));
        }
        // An echo is no key: the app would see one person's claim, or our own secret, as one.
        if key.eq_ignore_ascii_case(value) || self.bearer.as_ref().is_some_and(|own| own.expose_secret() == key) {
            return Err(malformed("what was sent came back as the key"));
        }
        let until = expires.map(Timestamp::from_unix);
        if until.is_some_and(|until| until <= now) {
            return Err(malformed("the key has expired"));
        }
        Ok(Found { secret, until })
    }
}

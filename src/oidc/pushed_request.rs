//! The authorization request, handed to the provider directly (RFC 9126): the browser carries a
//! reference to it, so that nobody on the way sees it or can change it.
//!
//! Called by the facade where the provider announces it. What is refused here has no other way: a
//! request that went by the browser after all would make of the protection a courtesy.

use super::client_request::{self, Refusal};
use super::query::Parameter;
use super::settings::{ClientAuthentication, Settings};
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use serde::Deserialize;
use url::Url;

/// The longest reference that is sent on: it goes into an address.
const LONGEST: usize = 2048;

/// Why the provider did not take a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It could not be reached.
    #[error("its endpoint could not be asked: {0}")]
    NotAsked(FetchError),
    /// An error of RFC 9126 §2.3, by its code.
    #[error("it was refused ({0})")]
    Refused(String),
    /// A status that is neither success nor an OAuth error.
    #[error("its endpoint answered with status {0}")]
    Status(u16),
    /// Success, but without a reference.
    #[error("its endpoint's answer is malformed")]
    Malformed,
    /// It takes no other, and announces no place for them.
    #[error("it requires them and announces no endpoint for them")]
    NoEndpoint,
}

/// Hands over the request; its reference, which counts once and for a short while.
pub(super) async fn push(
    endpoint: &Url,
    settings: &Settings,
    fetch: &Fetch,
    parameters: &[Parameter<'_>],
    now: Timestamp,
) -> Result<String, PushError> {
    #[derive(Deserialize)]
    struct Pushed {
        request_uri: String,
    }
    // The client says who it is in proving it, unless that is by a header.
    let says_itself = settings.client_authentication != ClientAuthentication::ClientSecretBasic;
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_ref()))
        .filter(|(name, _)| !(says_itself && *name == "client_id"))
        .collect();
    let answer =
        client_request::post(endpoint, settings, fetch, &parameters, now).await.map_err(PushError::NotAsked)?;
    // §2.2: 201. There are providers that answer 200.
    if !matches!(answer.status().as_u16(), 200 | 201) {
        return Err(match client_request::refusal(&answer) {
            Refusal::Error(code) => PushError::Refused(code),
            Refusal::Status(status) => PushError::Status(status),
        });
    }
    let pushed: Pushed = serde_json::from_slice(answer.body()).map_err(|_| PushError::Malformed)?;
    let is_plain = !pushed.request_uri.is_empty()
        && pushed.request_uri.len() <= LONGEST
        && pushed.request_uri.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(pushed.request_uri) } else { Err(PushError::Malformed) }
}

//! The admin listener of a sidecar that runs, as the commands ask it.
//!
//! Called by `sessions`, `licences` and `seats`. Must never print the token, nor give out a reason that would move
//! the cursor of a terminal.

use super::say::plain;
use super::{Failure, admin_address, load, names};
use clap::Args;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vestibule::config::{Environment, SystemEnvironment};
use vestibule::fetch::{Fetch, FetchError};
use vestibule::secret::{ExposeSecret, SecretString};

/// For one answer: longer than the listener takes to look through all sessions.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: ten thousand licences as one file, with room to spare.
const LONGEST: usize = 256 * 1024 * 1024;

/// The longest reason in plain text that is said on, in bytes.
const LONGEST_REASON: usize = 200;

/// It is not known whether what was asked for was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unsure(String);

/// Where the admin listener is, and its token.
#[derive(Args)]
pub(crate) struct AdminListener {
    /// The configuration of the sidecar, for its admin listener and its token: all of its files
    #[arg(long, value_name = "FILE", required_unless_present = "admin", conflicts_with = "admin")]
    pub(super) config: Vec<PathBuf>,
    /// The address of the admin listener, such as http://127.0.0.1:4181
    #[arg(long, value_name = "URL", requires = "token_file")]
    admin: Option<String>,
    /// The file that holds the token
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
}

/// The admin listener and what opens it.
pub(super) struct Door {
    address: String,
    token: SecretString,
}

impl Door {
    pub(super) fn to(listener: AdminListener) -> Result<Self, Failure> {
        match listener {
            AdminListener { admin: Some(address), token_file: Some(path), .. } => {
                Ok(Self { address: admin_address::given(&address)?, token: token_in(&path)? })
            }
            AdminListener { config: paths, .. } if !paths.is_empty() => Self::of_configuration(&paths),
            _ => Err("give --config FILE, or --admin URL and --token-file FILE".into()),
        }
    }

    fn of_configuration(paths: &[PathBuf]) -> Result<Self, Failure> {
        let server = load(paths)?.server;
        let file = names(paths);
        let token = server.admin_token.ok_or_else(|| {
            format!("{file}: set admin.token, {{file: PATH}} or {{env: NAME}}, to see and end sessions")
        })?;
        let address = admin_address::of(&file, &server.admin, "--admin URL and --token-file FILE")?;
        Ok(Self { address, token })
    }

    /// Asks, and gives the JSON of an answer that is good.
    pub(super) async fn ask(&self, method: Method, target: &str) -> Result<Value, Failure> {
        Ok(self.send(method, target, None, None).await?.json())
    }

    /// Asks with JSON, and about the state of a thing that this tag names.
    pub(super) async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
        tag: Option<&str>,
    ) -> Result<Answer, Failure> {
        let address = &self.address;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{address}{target}"))
            .header("authorization", format!("Bearer {}", self.token.expose_secret()))
            .header("accept", "application/json");
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .map_err(|_| format!("{address} is no address, or the token holds what no header carries"))?;
        let answer = Fetch::new()?.send_for(request, WITHIN, LONGEST).await.map_err(|error| {
            let what = format!("{address}: {error}; is this the admin listener of a sidecar that runs?");
            match error {
                FetchError::Request | FetchError::Connect(_) => Failure::from(what),
                FetchError::Timeout | FetchError::TooLarge | FetchError::Broken(_) => Unsure(what).into(),
            }
        })?;
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        let is_text = content_type.is_some_and(|value| value.starts_with("text/plain"));
        let body = answer.into_body();
        if matches!(status, StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT) {
            return Ok(Answer { body, tag });
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(format!("{address}: this is not its token (admin.token)").into());
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let what = match (said.get("message").and_then(Value::as_str), reason(is_text, &body)) {
            (Some(message), _) => format!("{address}: {}", plain(message)),
            (None, Some(reason)) => format!("{address} answers {status}: {reason}"),
            (None, None) => format!("{address} answers {status}, which no admin listener of Vestibule's does"),
        };
        Err(if status.is_server_error() { Unsure(what).into() } else { what.into() })
    }
}

/// What a short answer in plain text says: so is refused what the listener did not even look into.
fn reason(is_text: bool, body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok().filter(|text| is_text && text.len() <= LONGEST_REASON)?;
    Some(plain(text.trim())).filter(|text| !text.is_empty())
}

/// An answer that is good.
pub(super) struct Answer {
    body: Vec<u8>,
    /// What tells the state that it shows from another.
    pub(super) tag: Option<String>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The parameters of a query that are given.
pub(super) fn query<const N: usize>(given: [(&str, Option<String>); N]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in given {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    query.finish()
}

fn token_in(path: &Path) -> Result<SecretString, Failure> {
    let bytes = SystemEnvironment.file(path).map_err(|cause| format!("--token-file: {} {cause}", path.display()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("--token-file: {} is not text", path.display()))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_reason_in_plain_text_is_said_on_and_nothing_else() {
        assert_eq!(
            reason(true, b"only GET, HEAD is answered here\n").as_deref(),
            Some("only GET, HEAD is answered here")
        );
        assert_eq!(reason(true, b"a\x1b[2J").as_deref(), Some("a\u{fffd}[2J"));
        for (is_text, body) in [(false, &b"<h1>no</h1>"[..]), (true, b" \n"), (true, b"\xff"), (true, &[b'x'; 201])] {
            assert_eq!(reason(is_text, body), None, "{body:?}");
        }
    }
}

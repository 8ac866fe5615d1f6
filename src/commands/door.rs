//! The admin listener of a sidecar that runs, as the commands ask it.
//!
//! Called by `sessions`, `licences` and `seats`. Must never print the token, nor give out text that would move
//! the cursor of a terminal ([`plain`]).

use super::{Failure, admin_address, load, names};
use clap::Args;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vestibule::config::{Environment, SystemEnvironment};
use vestibule::fetch::Fetch;
use vestibule::secret::{ExposeSecret, SecretString};

/// For one answer: longer than the listener takes to look through all sessions.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: ten thousand licences as one file, with room to spare.
const LONGEST: usize = 256 * 1024 * 1024;

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
        let answer = Fetch::new()?
            .send_for(request, WITHIN, LONGEST)
            .await
            .map_err(|error| format!("{address}: {error}; is this the admin listener of a sidecar that runs?"))?;
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        let body = answer.into_body();
        if matches!(status, StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT) {
            return Ok(Answer { body, tag });
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(format!("{address}: this is not its token (admin.token)").into());
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        match said.get("message").and_then(Value::as_str) {
            Some(message) => Err(format!("{address}: {}", plain(message)).into()),
            None => Err(format!("{address} answers {status}, which no admin listener of Vestibule's does").into()),
        }
    }
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

/// Text without what a terminal would obey: it comes from browsers and from a provider.
pub(super) fn plain(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// Rows of as many cells each, in columns; the first row says what they are.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

//! Token exchange (RFC 8693): a token for another service in the place of the person's own.
//!
//! `credentials` calls it, once per session and target, and keeps what comes out until it expires.
//! The request goes to the provider's token endpoint, or to an [`ExchangeEndpoint`] of somebody
//! else's with credentials of its own: the provider's client secret never leaves the provider. What
//! is issued goes into a header for an app, so it is taken only if it is what was asked for.

use super::client_request::{self, Client, Refusal};
use super::settings::{ClientAuthentication, ClientProof};
use super::token::{is_bearer_token, seconds};
use super::{Provider, Tokens, Unreachable};
use crate::clock::Timestamp;
use crate::fetch::FetchError;
use crate::secret::{ExposeSecret, SecretString};
use crate::web::strict_json;
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;

/// How long a token is taken for good whose lifetime is not said (§2.2.1 only recommends it):
/// shorter than what servers usually issue, so that it is replaced before it is refused.
const UNSAID_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The longest token that is taken, in bytes. Common servers refuse requests whose headers are
/// longer than 8 or 16 KiB altogether.
const LONGEST_TOKEN: usize = 12 * 1024;

/// What is asked for, as configured.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who is asked; the provider, at its token endpoint, where nobody is named.
    pub endpoint: Option<ExchangeEndpoint>,
    /// The service that the token is for, by the name it has at the endpoint (§2.1).
    pub audience: Option<String>,
    /// The service that the token is for, by its address (§2.1).
    pub resource: Option<String>,
    /// Scopes of the token, with spaces between them; the endpoint's choice where none is named.
    pub scope: Option<String>,
    /// Which of the person's tokens is exchanged.
    pub subject: SubjectToken,
    /// The type to ask for. Where none is, nothing is said of it and an access token is expected.
    pub requested_token_type: Option<TokenType>,
}

/// Another token endpoint than the provider's, such as an API gateway's, and our registration
/// there. `config` makes sure that the address is https, or on loopback.
#[derive(Clone, Debug)]
pub struct ExchangeEndpoint {
    /// Where the request is posted. The person's token goes there.
    pub url: Url,
    /// Our `client_id` there.
    pub client_id: String,
    /// Our `client_secret` there; none for a public client.
    pub client_secret: Option<SecretString>,
    /// How our client proves itself there.
    pub client_authentication: ClientAuthentication,
    /// What it proves that with. Its assertions are for the address, for the endpoint has no other name.
    pub client_proof: ClientProof,
}

/// Which of the person's tokens is exchanged (§2.1, `subject_token_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectToken {
    /// The access token.
    #[default]
    AccessToken,
    /// The ID token.
    IdToken,
}

/// What kind of token is asked for (§3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// An access token of whatever form.
    AccessToken,
    /// A JWT.
    Jwt,
}

impl TokenType {
    fn identifier(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

/// A token for the service that was named.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Goes into `Authorization: Bearer`; fit for a header as it is.
    pub token: SecretString,
    /// When it ends; five minutes from now where the answer does not say it.
    pub expires_at: Timestamp,
}

/// Why there is no exchanged token. Messages hold nothing that a token or an endpoint said, but
/// error codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The provider's metadata cannot be had.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The token endpoint could not be reached.
    #[error("the token endpoint could not be asked for an exchange: {0}")]
    NotAsked(FetchError),
    /// The person's token does not count there (any more): `invalid_grant`, `invalid_token`, or
    /// `invalid_request`, which is what §2.2.2 has for it.
    #[error("the token to be exchanged was refused ({0})")]
    SubjectToken(String),
    /// No token is issued for this audience or resource: `invalid_target` (§2.2.2).
    #[error("the audience or resource of the exchange was refused (invalid_target)")]
    InvalidTarget,
    /// Another error of RFC 6749 §5.2, by its code: `invalid_client`, `unauthorized_client`,
    /// `unsupported_grant_type`, `invalid_scope`…
    #[error("the token exchange was refused ({0})")]
    Refused(String),
    /// A status that is neither success nor an OAuth error.
    #[error("the token endpoint answered an exchange with status {0}")]
    Status(u16),
    /// Success, but not with what was asked for.
    #[error("the token endpoint's answer to an exchange is malformed: {0}")]
    Malformed(&'static str),
}

impl ExchangeError {
    /// Whether nobody gets a token now and time may mend it: the endpoint is out of reach or fails.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::NotAsked(_) => true,
            Self::Refused(code) => matches!(code.as_str(), "temporarily_unavailable" | "server_error"),
            Self::Status(status) => matches!(status, 408 | 429 | 500..),
            Self::SubjectToken(_) | Self::InvalidTarget | Self::Malformed(_) => false,
        }
    }

    /// Whether it is about the person's token: after a refresh, one more attempt makes sense.
    pub fn is_about_subject_token(&self) -> bool {
        matches!(self, Self::SubjectToken(_))
    }

    /// Whether an operator must mend it, here or at the endpoint: everything else.
    pub fn is_misconfiguration(&self) -> bool {
        !self.is_outage() && !self.is_about_subject_token()
    }
}

impl Provider {
    /// Exchanges one of `tokens` for a token as `wanted`. Asked once; nothing is kept here.
    ///
    /// # Errors
    /// [`ExchangeError`], one variant per cause.
    pub async fn exchange(&self, tokens: &Tokens, wanted: &Wanted, now: Timestamp) -> Result<Exchanged, ExchangeError> {
        let subject = match wanted.subject {
            SubjectToken::AccessToken => &tokens.access_token,
            SubjectToken::IdToken => &tokens.id_token,
        };
        let parameters = parameters(wanted, subject);
        let (timeout, fetch) = (self.settings.timeout, &self.fetch);
        let answer = match &wanted.endpoint {
            Some(other) => {
                client_request::post_as(
                    other.into(),
                    &other.url,
                    timeout,
                    other.client_proof.presenting.as_ref().unwrap_or(fetch),
                    &parameters,
                    now,
                )
                .await
            }
            None => {
                let known = self.known(now).await?;
                client_request::post(&known.metadata.token_endpoint, &self.settings, fetch, &parameters, now).await
            }
        };
        let answer = answer.map_err(ExchangeError::NotAsked)?;
        if answer.status() != http::StatusCode::OK {
            return Err(refused(&answer, subject));
        }
        let expected = wanted.requested_token_type.unwrap_or(TokenType::AccessToken);
        let (token, lifetime) = issued(answer.body(), expected)?;
        // A token for one service would become a token for all: whoever runs the app could be the
        // person everywhere.
        if token.expose_secret() == subject.expose_secret() {
            return Err(ExchangeError::Malformed("the token that was to be exchanged came back"));
        }
        Ok(Exchanged { token, expires_at: now.plus(lifetime) })
    }
}

impl<'a> From<&'a ExchangeEndpoint> for Client<'a> {
    fn from(endpoint: &'a ExchangeEndpoint) -> Self {
        Self {
            id: &endpoint.client_id,
            secret: endpoint.client_secret.as_ref(),
            authentication: endpoint.client_authentication,
            assertions: endpoint.client_proof.assertions.as_deref(),
            audience: endpoint.url.as_str(),
        }
    }
}

/// §2.1. The person acts through us and nobody acts for the person: no `actor_token`.
fn parameters<'a>(wanted: &'a Wanted, subject: &'a SecretString) -> Vec<(&'static str, &'a str)> {
    let subject_type = match wanted.subject {
        SubjectToken::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
        SubjectToken::IdToken => "urn:ietf:params:oauth:token-type:id_token",
    };
    let always = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", subject.expose_secret()),
        ("subject_token_type", subject_type),
    ];
    let where_given = [
        ("audience", wanted.audience.as_deref()),
        ("resource", wanted.resource.as_deref()),
        ("scope", wanted.scope.as_deref()),
        ("requested_token_type", wanted.requested_token_type.map(TokenType::identifier)),
    ];
    let given = where_given.into_iter().filter_map(|(name, value)| Some((name, value?)));
    always.into_iter().chain(given).collect()
}

fn refused(answer: &http::Response<Vec<u8>>, subject: &SecretString) -> ExchangeError {
    match client_request::refusal(answer) {
        Refusal::Status(status) => ExchangeError::Status(status),
        // Codes are logged, and an opaque token could pass for one that is echoed in its place.
        Refusal::Error(code) if subject.expose_secret().contains(&code) => ExchangeError::Refused("unnamed".to_owned()),
        Refusal::Error(code) => match code.as_str() {
            "invalid_grant" | "invalid_request" | "invalid_token" => ExchangeError::SubjectToken(code),
            "invalid_target" => ExchangeError::InvalidTarget,
            _ => ExchangeError::Refused(code),
        },
    }
}

/// The token of a success and its lifetime (§2.2.1), if it is one that was asked for.
fn issued(body: &[u8], expected: TokenType) -> Result<(SecretString, Duration), ExchangeError> {
    let malformed = ExchangeError::Malformed;
    let mut answer = strict_json::object(body).map_err(|_| malformed("not the JSON expected"))?;
    let text = |answer: &Map<String, Value>, name| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    // §3: identifiers are compared as they are. An ID or refresh token is nothing for an app.
    if text(&answer, "issued_token_type").is_none_or(|issued| issued != expected.identifier()) {
        return Err(malformed("issued_token_type is not what was asked for"));
    }
    // `N_A` is what a token has that opens nothing by itself.
    if !text(&answer, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")) {
        return Err(malformed("token_type is not Bearer"));
    }
    let lifetime = answer.get("expires_in").and_then(seconds).map_or(UNSAID_LIFETIME, Duration::from_secs);
    if lifetime.is_zero() {
        return Err(malformed("expires_in is zero"));
    }
    let Some(Value::String(token)) = answer.remove("access_token") else { return Err(malformed("no access_token")) };
    let token = SecretString::from(token);
    if !is_bearer_token(token.expose_secret()) || token.expose_secret().len() > LONGEST_TOKEN {
        return Err(malformed("access_token does not fit into a header"));
    }
    Ok((token, lifetime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Value {
        json!({
            "access_token": "narrowed", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer", "expires_in": 60, "scope": "read", "refresh_token": "not asked for",
        })
    }

    fn read(answer: &Value) -> Result<(SecretString, Duration), ExchangeError> {
        issued(answer.to_string().as_bytes(), TokenType::AccessToken)
    }

    #[test]
    fn a_token_is_taken_if_it_is_what_was_asked_for() {
        let (token, lifetime) = read(&answer()).unwrap();
        assert_eq!((token.expose_secret(), lifetime.as_secs()), ("narrowed", 60));
        for (name, value) in [
            ("access_token", json!(null)),
            ("access_token", json!("")),
            ("access_token", json!(["narrowed"])),
            ("access_token", json!("a\r\nX-User: admin")),
            ("access_token", json!("a b")),
            ("access_token", json!("clé")),
            ("access_token", json!("x".repeat(LONGEST_TOKEN + 1))),
            ("issued_token_type", json!(null)),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:id_token")),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:jwt")),
            ("issued_token_type", json!("access_token")),
            ("token_type", json!(null)),
            ("token_type", json!("N_A")),
            ("token_type", json!("DPoP")),
            ("expires_in", json!(0)),
        ] {
            let mut broken = answer();
            broken[name] = value.clone();
            assert!(matches!(read(&broken), Err(ExchangeError::Malformed(_))), "{name} {value}");
        }
        let mut jwt = answer();
        jwt["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:jwt");
        assert!(issued(jwt.to_string().as_bytes(), TokenType::Jwt).is_ok());
        assert!(issued(answer().to_string().as_bytes(), TokenType::Jwt).is_err());
    }

    #[test]
    fn only_one_object_without_duplicates_is_an_answer() {
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        for text in [
            "<html>".to_owned(),
            String::new(),
            format!(r#"["narrowed", "{kind}", "Bearer"]"#),
            format!(r#"{{"access_token":"a","access_token":"b","issued_token_type":"{kind}","token_type":"Bearer"}}"#),
            format!("{} {{}}", answer()),
        ] {
            assert!(issued(text.as_bytes(), TokenType::AccessToken).is_err(), "{text}");
        }
    }

    #[test]
    fn a_lifetime_that_is_not_said_is_short() {
        for (said, expected) in [
            (json!(null), 300),
            (json!(-1), 300),
            (json!("soon"), 300),
            (json!(1.5), 300),
            (json!("60"), 60),
            (json!(u64::MAX), u64::MAX),
        ] {
            let mut answer = answer();
            answer["expires_in"] = said.clone();
            let (_, lifetime) = read(&answer).unwrap();
            assert_eq!(lifetime.as_secs(), expected, "{said}");
            assert!(Timestamp::from_unix(1_800_000_000).plus(lifetime).as_unix() > 1_800_000_000);
        }
    }

    #[test]
    fn a_token_that_is_echoed_as_an_error_code_is_not_repeated() {
        let subject = SecretString::from("fN9xQ2hW-7sVb0mYt4cK_1eRpLdA5uJz");
        for (code, expected) in [
            (subject.expose_secret(), ExchangeError::Refused("unnamed".to_owned())),
            ("fN9xQ2hW-7sVb0mYt4cK", ExchangeError::Refused("unnamed".to_owned())),
            ("invalid_scope", ExchangeError::Refused("invalid_scope".to_owned())),
            ("invalid_target", ExchangeError::InvalidTarget),
        ] {
            let body = json!({ "error": code }).to_string().into_bytes();
            let answer = http::Response::builder().status(400).body(body).unwrap();
            assert_eq!(refused(&answer, &subject), expected);
        }
    }

    #[test]
    fn every_cause_is_an_outage_or_the_operators_or_the_tokens() {
        let refused = |code: &str| ExchangeError::Refused(code.to_owned());
        let subject = |code: &str| ExchangeError::SubjectToken(code.to_owned());
        for (error, outage, operators, tokens) in [
            (ExchangeError::NotAsked(FetchError::Timeout), true, false, false),
            (ExchangeError::Unreachable(Unreachable::InvalidIssuer), true, false, false),
            (ExchangeError::Status(500), true, false, false),
            (ExchangeError::Status(503), true, false, false),
            (ExchangeError::Status(429), true, false, false),
            (refused("temporarily_unavailable"), true, false, false),
            (subject("invalid_grant"), false, false, true),
            (subject("invalid_request"), false, false, true),
            (ExchangeError::InvalidTarget, false, true, false),
            (refused("invalid_client"), false, true, false),
            (refused("unauthorized_client"), false, true, false),
            (refused("unsupported_grant_type"), false, true, false),
            (ExchangeError::Status(302), false, true, false),
            (ExchangeError::Status(404), false, true, false),
            (ExchangeError::Malformed("x"), false, true, false),
        ] {
            let said = (error.is_outage(), error.is_misconfiguration(), error.is_about_subject_token());
            assert_eq!(said, (outage, operators, tokens), "{error:?}");
        }
    }
}

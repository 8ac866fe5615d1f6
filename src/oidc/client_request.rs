//! A form that our client posts to the provider under its own name (RFC 6749 §2.3.1), and how a
//! refusal is read (§5.2).
//!
//! `token`, `exchange`, `revocation` and `introspection` send theirs through here. Each is sent once. What an answer says never
//! reaches a log in the provider's own words.

use super::settings::{ClientAuthentication, Settings};
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use crate::signing::{ClientAssertions, NotSigned};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use serde::Deserialize;
use std::time::Duration;
use url::{Url, form_urlencoded};

/// Why the provider did not do what the form asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// An error of §5.2, by its code.
    Error(String),
    /// A status that says no more than itself: anything without such a code, and every status of
    /// the server's own trouble, whatever was written below it.
    Status(u16),
}

/// Who posts: our client as it is registered with whoever owns the endpoint, and nobody else.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) id: &'a str,
    pub(super) secret: Option<&'a SecretString>,
    pub(super) authentication: ClientAuthentication,
    /// What signs for it, with the methods that need it.
    pub(super) assertions: Option<&'a ClientAssertions>,
    /// For whom that is: the issuer, by its name. Not the address of an endpoint, which a provider
    /// that means ill could have announced as its own (RFC 9700 §4.4, and the advice of January 2025
    /// on `aud` of client assertions).
    pub(super) audience: &'a str,
}

/// RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl<'a> From<&'a Settings> for Client<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self {
            id: &settings.client_id,
            secret: settings.client_secret.as_ref(),
            authentication: settings.client_authentication,
            assertions: settings.client_proof.assertions.as_deref(),
            audience: &settings.issuer,
        }
    }
}

/// Posts `parameters` to the provider's `endpoint`, with our client's authentication, and hands out
/// the answer.
pub(super) async fn post(
    endpoint: &Url,
    settings: &Settings,
    fetch: &Fetch,
    parameters: &[(&str, &str)],
    now: Timestamp,
) -> Result<http::Response<Vec<u8>>, FetchError> {
    let fetch = settings.client_proof.presenting.as_ref().unwrap_or(fetch);
    post_as(settings.into(), endpoint, settings.timeout, fetch, parameters, now).await
}

/// What an answer may be, where nothing else is asked for.
const JSON: &str = "application/json";

/// The same as `client`, which may be another than the provider's.
pub(super) async fn post_as(
    client: Client<'_>,
    endpoint: &Url,
    timeout: Duration,
    fetch: &Fetch,
    parameters: &[(&str, &str)],
    now: Timestamp,
) -> Result<http::Response<Vec<u8>>, FetchError> {
    post_for(JSON, client, endpoint, timeout, fetch, parameters, now).await
}

/// The same for an answer in another form.
pub(super) async fn post_for(
    accept: &str,
    client: Client<'_>,
    endpoint: &Url,
    timeout: Duration,
    fetch: &Fetch,
    parameters: &[(&str, &str)],
    now: Timestamp,
) -> Result<http::Response<Vec<u8>>, FetchError> {
    fetch.send(request(accept, endpoint, client, parameters, now)?, timeout).await
}

fn request(
    accept: &str,
    endpoint: &Url,
    client: Client<'_>,
    parameters: &[(&str, &str)],
    now: Timestamp,
) -> Result<http::Request<Vec<u8>>, FetchError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters);
    let mut request = http::Request::post(endpoint.as_str())
        .header(header::ACCEPT, accept)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    match (client.authentication, client.secret) {
        (ClientAuthentication::ClientSecretJwt | ClientAuthentication::PrivateKeyJwt, _) => {
            // Without one nothing is sent: a request that proves nothing could be taken for a public client's.
            let assertions = client.assertions.ok_or(FetchError::Request)?;
            let assertion =
                assertions.assertion(client.id, client.audience, now).map_err(|NotSigned| FetchError::Request)?;
            form.append_pair("client_id", client.id)
                .append_pair("client_assertion_type", JWT_BEARER)
                .append_pair("client_assertion", assertion.expose_secret());
        }
        (ClientAuthentication::ClientSecretBasic, Some(secret)) => {
            request = request.header(header::AUTHORIZATION, basic(client.id, secret));
        }
        (ClientAuthentication::ClientSecretPost, Some(secret)) => {
            form.append_pair("client_id", client.id).append_pair("client_secret", secret.expose_secret());
        }
        // RFC 6749 §3.2.1: a public client says who it is, and proves nothing. RFC 8705 §2: one with a
        // certificate has proved it by the connection.
        (
            ClientAuthentication::None
            | ClientAuthentication::TlsClientAuth
            | ClientAuthentication::SelfSignedTlsClientAuth,
            _,
        )
        | (_, None) => {
            form.append_pair("client_id", client.id);
        }
    }
    request.body(form.finish().into_bytes()).map_err(|_| FetchError::Request)
}

/// Name and password are form-encoded before they are joined (RFC 6749 §2.3.1), so that a colon in
/// either stays where it is.
fn basic(client_id: &str, secret: &SecretString) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose_secret()));
    format!("Basic {}", STANDARD.encode(pair))
}

/// What an answer other than success says.
pub(super) fn refusal(answer: &http::Response<Vec<u8>>) -> Refusal {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let status = answer.status();
    // A server in trouble says nothing about a grant or a client, even if a gateway words it so: a
    // session must not end over it.
    let in_trouble = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    match serde_json::from_slice(answer.body()) {
        Ok(Body { error }) if !in_trouble => Refusal::Error(printable(&error)),
        _ => Refusal::Status(status.as_u16()),
    }
}

/// An error code as it may stand in a log: registered ones are short and of these characters.
fn printable(code: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !code.is_empty() && code.len() <= 64 && code.chars().all(plain) { code.to_owned() } else { "unnamed".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::settings::ClientProof;
    use crate::oidc::stub;
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp::from_unix(1_795_000_000);

    fn sent(settings: &Settings) -> (Option<String>, Vec<(String, String)>) {
        let endpoint = Url::parse("https://op.test/token").unwrap();
        let request = request(JSON, &endpoint, settings.into(), &[("code", "the code")], NOW).unwrap();
        assert_eq!(request.method(), "POST");
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        (authorization, form_urlencoded::parse(request.body()).into_owned().collect())
    }

    #[test]
    fn the_client_presents_itself_as_registered() {
        let mut settings = stub::settings("https://op.test");
        settings.client_id = "client:1".to_owned();
        settings.client_secret = Some("s€cret +:&".into());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (authorization, form) = sent(&settings);
        assert_eq!(authorization, None);
        let secret = pair("client_secret", "s€cret +:&");
        assert_eq!(form, [pair("code", "the code"), pair("client_id", "client:1"), secret]);

        settings.client_authentication = ClientAuthentication::ClientSecretBasic;
        let (authorization, form) = sent(&settings);
        let encoded = authorization.unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"client%3A1:s%E2%82%ACcret+%2B%3A%26");
        assert_eq!(form, [pair("code", "the code")]);

        for (secret, authentication) in [
            (None, ClientAuthentication::None),
            (None, ClientAuthentication::ClientSecretBasic),
            (Some("never sent".into()), ClientAuthentication::None),
        ] {
            settings.client_secret = secret;
            settings.client_authentication = authentication;
            let (authorization, form) = sent(&settings);
            assert_eq!(authorization, None, "{authentication:?}");
            assert_eq!(form, [pair("code", "the code"), pair("client_id", "client:1")], "{authentication:?}");
        }
    }

    #[test]
    fn a_client_that_signs_shows_no_secret_and_one_that_cannot_sends_nothing() {
        let mut settings = stub::settings("https://op.test");
        settings.client_proof.assertions =
            settings.client_secret.clone().map(ClientAssertions::by_secret).map(Arc::new);
        for authentication in [ClientAuthentication::ClientSecretJwt, ClientAuthentication::PrivateKeyJwt] {
            settings.client_authentication = authentication;
            let (authorization, form) = sent(&settings);
            assert_eq!(authorization, None);
            let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["code", "client_id", "client_assertion_type", "client_assertion"]);
            assert!(!format!("{form:?}").contains(stub::CLIENT_SECRET));
            let claims = form[3].1.split('.').nth(1).unwrap();
            let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!((&claims["aud"], &claims["sub"]), (&"https://op.test".into(), &"client".into()));

            let unable = Settings { client_proof: ClientProof::default(), ..settings.clone() };
            let endpoint = Url::parse("https://op.test/token").unwrap();
            assert_eq!(request(JSON, &endpoint, (&unable).into(), &[], NOW).unwrap_err(), FetchError::Request);
        }
    }

    #[test]
    fn refusals_are_told_apart_and_their_words_not_repeated() {
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant","error_description":"x"}"#, Refusal::Error("invalid_grant".into())),
            (401, r#"{"error":"invalid_client"}"#, Refusal::Error("invalid_client".into())),
            (400, r#"{"error":"a\nforged log line"}"#, Refusal::Error("unnamed".into())),
            (400, r#"{"error":["invalid_grant"]}"#, Refusal::Status(400)),
            (400, r#"{"error":"invalid_scope","error":"invalid_grant"}"#, Refusal::Status(400)),
            (502, "<html>", Refusal::Status(502)),
            (302, "", Refusal::Status(302)),
            (500, r#"{"error":"invalid_grant"}"#, Refusal::Status(500)),
            (503, r#"{"error":"invalid_client"}"#, Refusal::Status(503)),
            (429, r#"{"error":"invalid_grant"}"#, Refusal::Status(429)),
        ] {
            let answer = http::Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap();
            assert_eq!(refusal(&answer), expected, "{status} {body}");
        }
    }
}

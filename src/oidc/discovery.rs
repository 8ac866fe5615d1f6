//! A provider's metadata: fetched from its discovery document (OpenID Connect Discovery §4) or
//! given by hand.
//!
//! Called by `cache`. Reads the few members that are used and no others, so that a mistake in one
//! that is not used (an empty `op_policy_uri`, say) signs nobody out. Must never accept a document
//! of another issuer, nor an endpoint that would carry secrets in the clear.

use super::Unreachable;
use super::settings::{Algorithm, ClientAuthentication, Endpoints, GivenEndpoints, Settings};
use crate::fetch::Fetch;
use serde::Deserialize;
use url::Url;

const DOCUMENT: &str = "discovery document";
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What is used of a provider's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) end_session_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    /// Where authorization requests are pushed (RFC 9126 §5).
    pub(super) pushed_authorization_request_endpoint: Option<Url>,
    /// Whether no others are taken.
    pub(super) requires_pushed_requests: bool,
    /// `None` where nothing is announced.
    pub(super) id_token_algorithms: Option<Vec<Algorithm>>,
    /// `None` where nothing is announced.
    pub(super) userinfo_algorithms: Option<Vec<Algorithm>>,
    /// Every callback carries `iss` (RFC 9207 §3).
    pub(super) callback_iss: bool,
}

/// The document, as far as it is used.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    pushed_authorization_request_endpoint: Option<String>,
    require_pushed_authorization_requests: Option<bool>,
    #[serde(default)]
    mtls_endpoint_aliases: Option<Aliases>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    userinfo_signing_alg_values_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: Option<bool>,
}

/// Where the same endpoints are for whoever shows a certificate (RFC 8705 §5).
#[derive(Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of the document")]
struct Aliases {
    token_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    pushed_authorization_request_endpoint: Option<String>,
}

/// The metadata of the provider that `settings` name.
pub(super) async fn metadata(settings: &Settings, fetch: &Fetch) -> Result<Metadata, Unreachable> {
    match &settings.endpoints {
        Endpoints::Given(given) => Ok(Metadata::from(given.as_ref())),
        Endpoints::Discovered => discover(settings, fetch).await,
    }
}

async fn discover(settings: &Settings, fetch: &Fetch) -> Result<Metadata, Unreachable> {
    // §4.1: a final slash of the issuer is left out of the document's address, not of the issuer.
    let address = format!("{}{WELL_KNOWN}", settings.issuer.strip_suffix('/').unwrap_or(&settings.issuer));
    let request = http::Request::get(address)
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|_| Unreachable::InvalidIssuer)?;
    let answer = fetch
        .send(request, settings.timeout)
        .await
        .map_err(|cause| Unreachable::NotFetched { document: DOCUMENT, cause })?;
    if answer.status() != http::StatusCode::OK {
        return Err(Unreachable::Status { document: DOCUMENT, status: answer.status().as_u16() });
    }
    let document: Document =
        serde_json::from_slice(answer.body()).map_err(|_| Unreachable::Malformed { document: DOCUMENT })?;
    document.for_client(settings.client_authentication).checked(&settings.issuer)
}

impl Unreachable {
    /// Whether the discovery document is not there, or not this provider's: what endpoints written
    /// by hand mend.
    pub fn is_about_discovery(&self) -> bool {
        match self {
            Self::Status { document, .. } | Self::Malformed { document } => *document == DOCUMENT,
            Self::WrongIssuer => true,
            Self::NotFetched { .. }
            | Self::InvalidIssuer
            | Self::InsecureEndpoint { .. }
            | Self::NotPushed(_)
            | Self::InvalidEndpoint { .. } => false,
        }
    }
}

impl Document {
    /// With the endpoints that a client of this kind uses.
    fn for_client(mut self, authentication: ClientAuthentication) -> Self {
        let aliases = self.mtls_endpoint_aliases.take().filter(|_| authentication.is_by_tls()).unwrap_or_default();
        self.token_endpoint = aliases.token_endpoint.unwrap_or(self.token_endpoint);
        self.userinfo_endpoint = aliases.userinfo_endpoint.or(self.userinfo_endpoint);
        self.revocation_endpoint = aliases.revocation_endpoint.or(self.revocation_endpoint);
        let pushed = aliases.pushed_authorization_request_endpoint;
        self.pushed_authorization_request_endpoint = pushed.or(self.pushed_authorization_request_endpoint);
        self
    }

    fn checked(self, issuer: &str) -> Result<Metadata, Unreachable> {
        // §4.3: exactly the issuer that was asked for; nothing is normalised.
        if self.issuer != issuer {
            return Err(Unreachable::WrongIssuer);
        }
        let plain_allowed = issuer.starts_with("http://");
        let endpoint = |name, address: String| endpoint(name, &address, plain_allowed);
        Ok(Metadata {
            authorization_endpoint: endpoint("authorization_endpoint", self.authorization_endpoint)?,
            token_endpoint: endpoint("token_endpoint", self.token_endpoint)?,
            jwks_uri: endpoint("jwks_uri", self.jwks_uri)?,
            userinfo_endpoint: self.userinfo_endpoint.map(|url| endpoint("userinfo_endpoint", url)).transpose()?,
            end_session_endpoint: self
                .end_session_endpoint
                .map(|url| endpoint("end_session_endpoint", url))
                .transpose()?,
            // Left out where it cannot be used: a courtesy at the end is no reason to sign nobody in.
            revocation_endpoint: self.revocation_endpoint.and_then(|url| endpoint("revocation_endpoint", url).ok()),
            // Not left out: whoever may not sign people in elsewhere would be led there in the clear.
            pushed_authorization_request_endpoint: self
                .pushed_authorization_request_endpoint
                .map(|url| endpoint("pushed_authorization_request_endpoint", url))
                .transpose()?,
            requires_pushed_requests: self.require_pushed_authorization_requests.unwrap_or(false),
            id_token_algorithms: self.id_token_signing_alg_values_supported.map(supported),
            userinfo_algorithms: self.userinfo_signing_alg_values_supported.map(supported),
            callback_iss: self.authorization_response_iss_parameter_supported.unwrap_or(false),
        })
    }
}

/// Codes, secrets and tokens go to these addresses: https, unless the issuer itself is plain http
/// (tests and the demo, on loopback). No fragment (RFC 6749 §3.1) and no name and password in them.
pub(super) fn endpoint(name: &'static str, address: &str, plain_allowed: bool) -> Result<Url, Unreachable> {
    let url = Url::parse(address).map_err(|_| Unreachable::InvalidEndpoint { endpoint: name })?;
    match url.scheme() {
        "https" => {}
        "http" if plain_allowed => {}
        _ => return Err(Unreachable::InsecureEndpoint { endpoint: name }),
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(Unreachable::InvalidEndpoint { endpoint: name });
    }
    Ok(url)
}

/// The announced algorithms that are ours too.
#[expect(clippy::needless_pass_by_value, reason = "reads as the one step that it is")]
fn supported(announced: Vec<String>) -> Vec<Algorithm> {
    announced.iter().filter_map(|name| Algorithm::from_name(name)).collect()
}

impl From<&GivenEndpoints> for Metadata {
    fn from(given: &GivenEndpoints) -> Self {
        Self {
            authorization_endpoint: given.authorization.clone(),
            token_endpoint: given.token.clone(),
            jwks_uri: given.jwks_uri.clone(),
            userinfo_endpoint: given.userinfo.clone(),
            end_session_endpoint: given.end_session.clone(),
            revocation_endpoint: given.revocation.clone(),
            pushed_authorization_request_endpoint: given.pushed_authorization.clone(),
            requires_pushed_requests: false,
            id_token_algorithms: None,
            userinfo_algorithms: None,
            callback_iss: given.callback_iss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document() -> Value {
        json!({
            "issuer": "https://op.test/api/v2",
            "authorization_endpoint": "https://op.test/api/v2/authorize",
            "token_endpoint": "https://op.test/api/v2/token",
            "jwks_uri": "https://op.test/api/v2/jwks",
            "userinfo_endpoint": "https://op.test/api/v2/userinfo",
            "id_token_signing_alg_values_supported": ["HS256", "ES256", "ES512", "none"],
            "authorization_response_iss_parameter_supported": true,
            "op_policy_uri": "",
        })
    }

    fn checked(document: Value, issuer: &str) -> Result<Metadata, Unreachable> {
        serde_json::from_value::<Document>(document).unwrap().checked(issuer)
    }

    #[test]
    fn what_is_used_is_read() {
        let metadata = checked(document(), "https://op.test/api/v2").unwrap();
        assert_eq!(metadata.token_endpoint.as_str(), "https://op.test/api/v2/token");
        assert_eq!(metadata.end_session_endpoint, None);
        assert_eq!(metadata.id_token_algorithms, Some(vec![Algorithm::HS256, Algorithm::ES256]));
        assert_eq!(metadata.userinfo_algorithms, None);
        assert!(metadata.callback_iss);
    }

    #[test]
    fn who_shows_a_certificate_goes_to_the_aliases_and_nobody_else_does() {
        let mut document = document();
        document["mtls_endpoint_aliases"] = json!({"token_endpoint": "https://mtls.op.test/token"});
        for (authentication, host) in [
            (ClientAuthentication::TlsClientAuth, "mtls.op.test"),
            (ClientAuthentication::SelfSignedTlsClientAuth, "mtls.op.test"),
            (ClientAuthentication::PrivateKeyJwt, "op.test"),
        ] {
            let document: Document = serde_json::from_value(document.clone()).unwrap();
            let metadata = document.for_client(authentication).checked("https://op.test/api/v2").unwrap();
            assert_eq!(metadata.token_endpoint.host_str(), Some(host), "{authentication:?}");
            assert_eq!(metadata.userinfo_endpoint.unwrap().host_str(), Some("op.test"), "{authentication:?}");
        }
        document["mtls_endpoint_aliases"] = json!({"token_endpoint": "http://mtls.op.test/token"});
        let document: Document = serde_json::from_value(document).unwrap();
        let refused = document.for_client(ClientAuthentication::TlsClientAuth).checked("https://op.test/api/v2");
        assert!(matches!(refused, Err(Unreachable::InsecureEndpoint { .. })));
    }

    #[test]
    fn the_issuer_is_compared_exactly() {
        for issuer in [
            "https://op.test/api/v2/",
            "https://op.test/api/v",
            "https://OP.test/api/v2",
            "https://op.test:443/api/v2",
            "http://op.test/api/v2",
            "",
        ] {
            assert!(matches!(checked(document(), issuer), Err(Unreachable::WrongIssuer)), "{issuer}");
        }
    }

    #[test]
    fn endpoints_are_https_unless_the_issuer_is_not() {
        for (name, address, refused) in [
            ("token_endpoint", "http://op.test/token", true),
            ("jwks_uri", "file:///etc/keys", true),
            ("authorization_endpoint", "javascript:alert(1)", true),
            ("userinfo_endpoint", "//op.test/userinfo", true),
            ("end_session_endpoint", "https://op.test/end#now", true),
            ("token_endpoint", "https://user:pass@op.test/token", true),
            ("token_endpoint", "https://elsewhere.test/token", false),
        ] {
            let mut document = document();
            document[name] = json!(address);
            assert_eq!(checked(document, "https://op.test/api/v2").is_err(), refused, "{name} {address}");
        }
        for (address, kept) in [
            (json!("https://op.test/revoke"), true),
            (json!("http://op.test/revoke"), false),
            (json!(""), false),
            (json!(null), false),
        ] {
            let mut document = document();
            document["revocation_endpoint"] = address.clone();
            let metadata = checked(document, "https://op.test/api/v2").unwrap();
            assert_eq!(metadata.revocation_endpoint.is_some(), kept, "{address}");
        }
        let mut plain = document();
        plain["issuer"] = json!("http://127.0.0.1:8080");
        plain["token_endpoint"] = json!("http://127.0.0.1:8080/token");
        assert!(checked(plain.clone(), "http://127.0.0.1:8080").is_ok());
        plain["token_endpoint"] = json!("ftp://127.0.0.1/token");
        assert!(checked(plain, "http://127.0.0.1:8080").is_err());
    }
}

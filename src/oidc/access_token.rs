//! Access tokens that are JWTs (RFC 9068), verified as a resource server does (§4).
//!
//! Called by `bearer` with what anybody may send. The claims of an introspection (`introspection`)
//! are checked here too, by the same rules. Must never take anything else that an issuer signs for
//! one: an ID token says who signed in at some client, and whoever runs any client has some.

use super::id_token::IdTokenError;
use super::identity::drop_unverified_email;
use super::jws::{self, JwsError, Kind, Trust};
use super::logout_token::announces_logout;
use super::published_keys::{KeySource, PublishedKeys};
use super::registered_claims::{audiences, check_times, is_name, text, time};
use super::settings::Algorithm;
use super::{Unreachable, keys::Keys};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::fetch::Fetch;
use serde_json::{Map, Value};
use std::time::Duration;

/// Claims that speak of the token and not of whom it was issued to: they end with verification.
const OF_THE_TOKEN: [&str; 12] =
    ["aud", "exp", "iat", "nbf", "jti", "nonce", "cnf", "active", "typ", "token_type", "token_use", "auth_time"];

/// Claims that ID tokens have and access tokens have not: OpenID Connect Core §2 and §3.3.2.11.
const OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// Whether an issuer says of its access tokens that they are some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum AccessTokenType {
    /// `typ: at+jwt` in the header (RFC 9068 §2.1): nothing else is called so.
    #[default]
    #[serde(rename = "at+jwt")]
    AtJwt,
    /// `typ` may also be `JWT` or missing. A token with a mark of ID tokens or of others is refused.
    #[serde(rename = "any")]
    Any,
}

/// An issuer of JWT access tokens, and what its tokens must say to count here.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The issuer, and where its keys are.
    pub keys: KeySource,
    /// What `aud` must name: us, as a resource server.
    pub audience: String,
    /// The algorithms that its access tokens are signed with. Never HS256: no secret is shared.
    pub algorithms: Vec<Algorithm>,
    /// Scopes that a token must have, all of them.
    pub scopes: Vec<String>,
    /// How its access tokens are told from its other tokens.
    pub typ: AccessTokenType,
    /// The `client_id`s under which we sign people in. Where access tokens do not say what they are,
    /// one whose `aud` names a client is an ID token.
    pub client_ids: Vec<String>,
    /// How far the issuer's clock may differ from ours.
    pub clock_leeway: Duration,
}

/// An issuer of JWT access tokens: its settings, and its keys as last fetched.
#[derive(Debug)]
pub struct TokenIssuer {
    settings: IssuerSettings,
    keys: PublishedKeys,
}

/// A verified access token.
///
/// Part of the security perimeter: only [`TokenIssuer::verify`] and
/// [`super::Introspection::ask`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    claims: Claims,
    ends_at: Option<Timestamp>,
    authenticated_at: Option<Timestamp>,
}

/// Why an access token does not count. Messages hold nothing that the token says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// The issuer's keys cannot be had: not the token's fault.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// Its signature does not count.
    #[error("{0}")]
    Signature(#[from] JwsError),
    /// `iss` is not the configured issuer.
    #[error("iss is not the configured issuer")]
    WrongIssuer,
    /// `aud` does not name us.
    #[error("aud does not name the configured audience")]
    WrongAudience,
    /// `exp` is missing or past, or another time is malformed or in the future.
    #[error("out of date: {0}")]
    OutOfDate(IdTokenError),
    /// Something else that an issuer signs or knows: an ID token, a logout token, a refresh token.
    #[error("it is no access token: {0}")]
    NotAnAccessToken(&'static str),
    /// It is bound to a key (`cnf`, RFC 7800; DPoP, mTLS), and whoever sent it has not shown that
    /// they have the key.
    #[error("it is bound to a key of its sender (cnf or token_type), which a bearer does not show")]
    SenderConstrained,
    /// Neither `sub` nor `client_id`, or one that is malformed.
    #[error("sub or client_id is missing or malformed")]
    NamesNobody,
    /// A required scope is missing. All else is right.
    #[error("a required scope is missing")]
    InsufficientScope,
}

impl AccessToken {
    /// What it says of whom it was issued to. `iss`, `client_id` and `scope` are among them, where
    /// they are in the token; what speaks of the token alone is not.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// From this moment on its dates refuse it, the leeway included; none where it says no end.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// When the person proved who they are (RFC 9068 §2.2.1), where it says so.
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated_at
    }
}

impl TokenIssuer {
    /// An issuer, not asked for its keys yet.
    pub fn new(settings: IssuerSettings, fetch: Fetch) -> Self {
        let keys = PublishedKeys::new(settings.keys.clone(), fetch);
        Self { settings, keys }
    }

    /// Fetches the keys unless fresh ones are held.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn prepare(&self, now: Timestamp) -> Result<(), Unreachable> {
        self.keys.known(now).await.map(drop)
    }

    /// Whether a token claims to be of this issuer. It proves nothing, and only says who can verify
    /// it: nobody's keys are fetched for a token of somebody else.
    pub fn is_named_by(&self, token: &str) -> bool {
        jws::claimed_issuer(token).is_some_and(|named| named == self.keys.issuer())
    }

    /// Verifies `token` at the moment `now`.
    ///
    /// # Errors
    /// [`AccessTokenError`], one variant per cause; [`AccessTokenError::Unreachable`] is the
    /// issuer's fault, all others the token's.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<AccessToken, AccessTokenError> {
        let verify = |keys: &Keys| verify(token, keys, &self.settings, now);
        self.keys
            .verify(now, verify, |error| match error {
                AccessTokenError::Signature(error) => Some(error),
                _ => None,
            })
            .await
    }
}

fn verify(
    token: &str,
    keys: &Keys,
    settings: &IssuerSettings,
    now: Timestamp,
) -> Result<AccessToken, AccessTokenError> {
    let kind = match settings.typ {
        AccessTokenType::AtJwt => Kind::AccessToken,
        AccessTokenType::Any => Kind::UntypedAccessToken,
    };
    let trust = Trust { keys, algorithms: &settings.algorithms, client_secret: None };
    let claims = jws::verify(token, kind, &trust)?.claims;
    if text(&claims, "iss") != Some(&settings.keys.issuer) {
        return Err(AccessTokenError::WrongIssuer);
    }
    if !claims.contains_key("exp") {
        return Err(AccessTokenError::OutOfDate(IdTokenError::MalformedTime("exp")));
    }
    if settings.typ == AccessTokenType::Any {
        check_type(&claims, &settings.client_ids)?;
    }
    let demands =
        Demands { audience: Some(&settings.audience), scopes: &settings.scopes, clock_leeway: settings.clock_leeway };
    accepted(claims, &demands, now)
}

/// What an access token must say, whoever vouches for its claims.
pub(super) struct Demands<'a> {
    pub(super) audience: Option<&'a str>,
    pub(super) scopes: &'a [String],
    pub(super) clock_leeway: Duration,
}

/// Checks claims that are vouched for, whose issuer is the right one.
pub(super) fn accepted(
    mut claims: Map<String, Value>,
    demands: &Demands<'_>,
    now: Timestamp,
) -> Result<AccessToken, AccessTokenError> {
    if announces_logout(&claims) {
        return Err(AccessTokenError::NotAnAccessToken("it announces a sign-out"));
    }
    if let Some(audience) = demands.audience
        && !audiences(&claims).unwrap_or_default().contains(&audience)
    {
        return Err(AccessTokenError::WrongAudience);
    }
    check_times(&claims, demands.clock_leeway, now).map_err(AccessTokenError::OutOfDate)?;
    if claims.contains_key("cnf") {
        return Err(AccessTokenError::SenderConstrained);
    }
    names_somebody(&claims)?;
    let has = scopes(&claims);
    if !demands.scopes.iter().all(|scope| has.contains(&scope.as_str())) {
        return Err(AccessTokenError::InsufficientScope);
    }
    let exp = time(&claims, "exp").map_err(AccessTokenError::OutOfDate)?;
    let authenticated_at = time(&claims, "auth_time").map_err(AccessTokenError::OutOfDate)?;
    if authenticated_at.is_some_and(|at| at > now.plus(demands.clock_leeway)) {
        return Err(AccessTokenError::OutOfDate(IdTokenError::NotYet("auth_time")));
    }
    drop_unverified_email(&mut claims);
    let claims = Claims::from_json(&claims).retaining(|name| !OF_THE_TOKEN.contains(&name));
    Ok(AccessToken { claims, authenticated_at, ends_at: exp.map(|exp| exp.plus(demands.clock_leeway)) })
}

/// Where the header does not say what a token is: what else does. Nothing is, in general, that an
/// access token has and no other; so whatever has a mark of another is refused.
fn check_type(claims: &Map<String, Value>, client_ids: &[String]) -> Result<(), AccessTokenError> {
    if OF_ID_TOKENS.iter().any(|name| claims.contains_key(*name)) {
        return Err(AccessTokenError::NotAnAccessToken("it has a claim of ID tokens (nonce, at_hash, c_hash, s_hash)"));
    }
    // Keycloak writes `ID`, `Refresh`, `Logout` or `Bearer`; Cognito `id` or `access`.
    let says = |name: &str, expected: &str| {
        claims.get(name).is_none_or(|said| said.as_str().is_some_and(|said| said.eq_ignore_ascii_case(expected)))
    };
    if !says("typ", "Bearer") || !says("token_use", "access") {
        return Err(AccessTokenError::NotAnAccessToken("its typ or token_use says so"));
    }
    let audiences = audiences(claims).unwrap_or_default();
    if client_ids.iter().any(|client| audiences.contains(&client.as_str())) {
        return Err(AccessTokenError::NotAnAccessToken("its aud names a client, as that of an ID token does"));
    }
    Ok(())
}

/// RFC 9068 §2.2 wants both; an issuer that knows no person says who the client is.
fn names_somebody(claims: &Map<String, Value>) -> Result<(), AccessTokenError> {
    let mut any = false;
    for name in ["sub", "client_id"] {
        match claims.get(name) {
            None => {}
            Some(Value::String(value)) if is_name(value) => any = true,
            Some(_) => return Err(AccessTokenError::NamesNobody),
        }
    }
    if any { Ok(()) } else { Err(AccessTokenError::NamesNobody) }
}

/// `scope` (RFC 9068 §2.2.3, RFC 7662 §2.2): names with spaces between them. Some issuers write
/// `scp`, and some a list.
fn scopes(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(scopes)) => scopes.split(' ').filter(|scope| !scope.is_empty()).collect(),
        Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::stub::{Signer, Stub};
    use Algorithm::{ES256, HS256, RS256};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const ISSUER: &str = "https://op.test/api/v2";
    const AUDIENCE: &str = "https://api.test";

    fn settings(typ: AccessTokenType) -> IssuerSettings {
        let timeout = Duration::from_secs(10);
        IssuerSettings {
            keys: KeySource { name: "api".to_owned(), issuer: ISSUER.to_owned(), jwks_uri: None, timeout },
            audience: AUDIENCE.to_owned(),
            algorithms: vec![ES256],
            scopes: vec!["read".to_owned()],
            typ,
            client_ids: vec!["our-client".to_owned()],
            clock_leeway: Duration::from_secs(60),
        }
    }

    fn claims() -> Value {
        let now = NOW.as_unix();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "s", "client_id": "c", "iat": now, "exp": now + 300, "jti": "j",
            "scope": "write read", "email": "h@example.fr",
        })
    }

    fn header(typ: &str) -> Value {
        json!({"alg": "ES256", "kid": "k", "typ": typ})
    }

    fn verified_by(token: &str, signer: &Signer, settings: &IssuerSettings) -> Result<AccessToken, AccessTokenError> {
        verify(token, &Keys::from_json(&json!({ "keys": [signer.jwk()] })), settings, NOW)
    }

    fn verified_as(header: &Value, claims: &Value, typ: AccessTokenType) -> Result<AccessToken, AccessTokenError> {
        let signer = Signer::new(ES256, "k");
        verified_by(&signer.sign_with(header, claims), &signer, &settings(typ))
    }

    fn verified(claims: &Value) -> Result<AccessToken, AccessTokenError> {
        verified_as(&header("at+jwt"), claims, AccessTokenType::AtJwt)
    }

    #[test]
    fn a_token_that_says_what_it_must_is_accepted_and_read() {
        let token = verified(&claims()).unwrap();
        let view = token.claims().view();
        let names: Vec<_> = view.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["client_id", "email", "iss", "scope", "sub"]);
        assert_eq!(token.ends_at(), Some(NOW.plus(Duration::from_secs(360))));
    }

    /// Each case changes one claim of a good token.
    #[test]
    fn each_claim_is_checked() {
        use AccessTokenError as E;
        let now = NOW.as_unix();
        let absent = Value::Null;
        let no_time = |name| E::OutOfDate(IdTokenError::MalformedTime(name));
        let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        let cases = [
            ("iss", absent.clone(), Some(E::WrongIssuer)),
            ("iss", json!("https://op.test/api/v2/"), Some(E::WrongIssuer)),
            ("iss", json!("https://evil.test"), Some(E::WrongIssuer)),
            ("iss", json!([ISSUER]), Some(E::WrongIssuer)),
            ("aud", absent.clone(), Some(E::WrongAudience)),
            ("aud", json!("https://api.test/"), Some(E::WrongAudience)),
            ("aud", json!("our-client"), Some(E::WrongAudience)),
            ("aud", json!([]), Some(E::WrongAudience)),
            ("aud", json!({"https://api.test": true}), Some(E::WrongAudience)),
            ("aud", json!(["https://other.test", AUDIENCE]), None),
            ("exp", absent.clone(), Some(no_time("exp"))),
            ("exp", json!("never"), Some(no_time("exp"))),
            ("exp", json!(now - 59), None),
            ("exp", json!(now - 60), Some(E::OutOfDate(IdTokenError::Expired))),
            ("nbf", json!(now + 60), None),
            ("nbf", json!(now + 61), Some(E::OutOfDate(IdTokenError::NotYet("nbf")))),
            ("nbf", json!(true), Some(no_time("nbf"))),
            ("iat", absent.clone(), None),
            ("iat", json!(now + 61), Some(E::OutOfDate(IdTokenError::NotYet("iat")))),
            ("scope", absent.clone(), Some(E::InsufficientScope)),
            ("scope", json!("write"), Some(E::InsufficientScope)),
            ("scope", json!("reader"), Some(E::InsufficientScope)),
            ("scope", json!("READ"), Some(E::InsufficientScope)),
            ("scope", json!("read\twrite"), Some(E::InsufficientScope)),
            ("scope", json!({"read": 1}), Some(E::InsufficientScope)),
            ("scope", json!(["read"]), None),
            ("scope", json!("read"), None),
            ("sub", absent.clone(), None),
            ("sub", json!(""), Some(E::NamesNobody)),
            ("sub", json!(7), Some(E::NamesNobody)),
            ("sub", json!("a\r\nX: y"), Some(E::NamesNobody)),
            ("sub", json!("s".repeat(256)), Some(E::NamesNobody)),
            ("client_id", absent.clone(), None),
            ("client_id", json!(""), Some(E::NamesNobody)),
            ("cnf", json!({"jkt": "x"}), Some(E::SenderConstrained)),
            ("cnf", json!({"x5t#S256": "x"}), Some(E::SenderConstrained)),
            ("cnf", json!({}), Some(E::SenderConstrained)),
            ("cnf", json!(false), Some(E::SenderConstrained)),
            ("events", event, Some(E::NotAnAccessToken("it announces a sign-out"))),
        ];
        for (name, value, expected) in cases {
            let mut claims = claims();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
            assert_eq!(verified(&claims).err(), expected, "{name} {value}");
            if name != "cnf" && expected.is_some() {
                let untyped = verified_as(&header("JWT"), &claims, AccessTokenType::Any);
                assert!(untyped.is_err(), "{name} {value}");
            }
        }
        let mut nobody = claims();
        nobody.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "client_id");
        assert_eq!(verified(&nobody).unwrap_err(), E::NamesNobody);
        let mut of_scp = claims();
        of_scp.as_object_mut().unwrap().remove("scope");
        of_scp["scp"] = json!(["read"]);
        assert!(verified(&of_scp).is_ok());
    }

    #[test]
    fn by_default_a_token_says_that_it_is_an_access_token() {
        let unsupported = Some(AccessTokenError::Signature(JwsError::UnsupportedHeader));
        let untyped = json!({"alg": "ES256", "kid": "k"});
        let as_typ = |typ: &str| verified_as(&header(typ), &claims(), AccessTokenType::AtJwt).err();
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
            assert_eq!(as_typ(typ), None, "{typ}");
        }
        for typ in ["JWT", "logout+jwt", "token-introspection+jwt", "dpop+jwt", "at+jwt ", "", "at+jwtx"] {
            assert_eq!(as_typ(typ), unsupported, "{typ}");
        }
        assert_eq!(verified_as(&untyped, &claims(), AccessTokenType::AtJwt).err(), unsupported);

        // Where the issuer does not say it.
        for typ in ["at+jwt", "JWT", "application/jwt"] {
            assert!(verified_as(&header(typ), &claims(), AccessTokenType::Any).is_ok(), "{typ}");
        }
        assert!(verified_as(&untyped, &claims(), AccessTokenType::Any).is_ok());
        for typ in ["logout+jwt", "token-introspection+jwt", "dpop+jwt", "secevent+jwt", ""] {
            assert_eq!(verified_as(&header(typ), &claims(), AccessTokenType::Any).err(), unsupported, "{typ}");
        }
    }

    /// Well signed by the right issuer, and still no access tokens.
    #[test]
    fn where_tokens_are_not_typed_an_id_token_is_no_access_token_whosever_it_is() {
        for (name, value) in [
            ("nonce", json!("n")),
            ("nonce", json!("")),
            ("at_hash", json!("h")),
            ("c_hash", json!("h")),
            ("s_hash", json!("h")),
            ("typ", json!("ID")),
            ("typ", json!("Refresh")),
            ("typ", json!("Logout")),
            ("typ", json!("DPoP")),
            ("typ", json!(null)),
            ("token_use", json!("id")),
            ("aud", json!(["our-client", AUDIENCE])),
        ] {
            let mut claims = claims();
            claims[name] = value.clone();
            let refused = verified_as(&header("JWT"), &claims, AccessTokenType::Any);
            assert!(matches!(refused, Err(AccessTokenError::NotAnAccessToken(_))), "{name} {value}: {refused:?}");
        }
        for (name, value) in [("typ", "Bearer"), ("token_use", "access")] {
            let mut claims = claims();
            claims[name] = json!(value);
            assert!(verified_as(&header("JWT"), &claims, AccessTokenType::Any).is_ok(), "{name}");
        }
        // Ours as the provider writes it: for us, and without the scopes that a rule requires.
        let mut id_token = claims();
        id_token["aud"] = json!("our-client");
        assert!(verified_as(&header("JWT"), &id_token, AccessTokenType::Any).is_err());
        id_token["aud"] = json!("another-client");
        assert!(verified_as(&header("JWT"), &id_token, AccessTokenType::Any).is_err());
    }

    #[test]
    fn only_the_issuer_s_key_and_the_pinned_algorithm_count() {
        let signer = Signer::new(ES256, "k");
        let rsa = Signer::new(RS256, "k");
        let unsigned = signer.sign_with(&json!({"alg": "none", "typ": "at+jwt"}), &claims());
        let stripped = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
        let with_public_key = |secret: &[u8]| {
            Signer::with_secret(secret).sign_with(&json!({"alg": "HS256", "kid": "k", "typ": "at+jwt"}), &claims())
        };
        let modulus = URL_SAFE_NO_PAD.decode(rsa.jwk()["n"].as_str().unwrap()).unwrap();
        let own_key = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k", "jwk": Signer::new(ES256, "k").jwk()});
        for (what, token, expected) in [
            ("none", unsigned, JwsError::UnsupportedAlgorithm),
            ("none, stripped", stripped, JwsError::UnsupportedAlgorithm),
            ("another key", Signer::new(ES256, "k").sign_with(&header("at+jwt"), &claims()), JwsError::WrongSignature),
            ("its own key", Signer::new(ES256, "k").sign_with(&own_key, &claims()), JwsError::WrongSignature),
            (
                "the key as a secret",
                with_public_key(signer.jwk().to_string().as_bytes()),
                JwsError::UnacceptedAlgorithm(HS256),
            ),
            ("RSA's as a secret", with_public_key(&modulus), JwsError::UnacceptedAlgorithm(HS256)),
        ] {
            let refused = verified_by(&token, &signer, &settings(AccessTokenType::AtJwt));
            assert_eq!(refused.unwrap_err(), AccessTokenError::Signature(expected), "{what}");
        }
        // Even where somebody had pinned it, there is no secret for it.
        let pinned = IssuerSettings { algorithms: vec![HS256], ..settings(AccessTokenType::AtJwt) };
        let refused = verified_by(&with_public_key(&modulus), &rsa, &pinned);
        assert_eq!(refused.unwrap_err(), AccessTokenError::Signature(JwsError::WeakSecret));
    }

    #[test]
    fn whom_a_token_names_is_looked_at_without_believing_it() {
        let issuer = TokenIssuer::new(settings(AccessTokenType::AtJwt), Fetch::new().unwrap());
        let signer = Signer::new(ES256, "k");
        let named = |iss: Value| {
            let mut claims = claims();
            claims["iss"] = iss;
            issuer.is_named_by(&signer.sign(&claims))
        };
        assert!(named(json!(ISSUER)));
        assert!(!named(json!("https://op.test/api/v2/")) && !named(json!([ISSUER])) && !named(json!(null)));
        for other in ["", ".", "..", "a.b.c", "opaque", "e30.e30.e30", "a.b.c.d.e"] {
            assert!(!issuer.is_named_by(other), "{other}");
        }
    }

    #[tokio::test]
    async fn a_new_key_is_fetched_once_a_minute_and_an_outage_is_not_the_token_s_fault() {
        let signers = [Signer::new(ES256, "one")];
        let stub = Stub::start(&signers).await;
        let keys = KeySource { issuer: stub.issuer.clone(), ..settings(AccessTokenType::AtJwt).keys };
        let issuer = TokenIssuer::new(
            IssuerSettings { keys: keys.clone(), ..settings(AccessTokenType::AtJwt) },
            Fetch::new().unwrap(),
        );
        let token = |signer: &Signer, kid: &str| {
            let mut claims = claims();
            claims["iss"] = json!(stub.issuer);
            signer.sign_with(&json!({"alg": "ES256", "kid": kid, "typ": "at+jwt"}), &claims)
        };
        assert!(issuer.verify(&token(&signers[0], "one"), NOW).await.is_ok());
        let newer = [Signer::new(ES256, "two")];
        stub.publish(&newer);
        assert!(issuer.verify(&token(&newer[0], "two"), NOW).await.is_ok());
        for _ in 0..5 {
            let refused = issuer.verify(&token(&newer[0], "three"), NOW).await;
            assert_eq!(refused, Err(AccessTokenError::Signature(JwsError::UnknownKey)));
        }
        assert_eq!(stub.hits("/jwks"), 2);

        stub.fail("/jwks");
        let unasked =
            TokenIssuer::new(IssuerSettings { keys, ..settings(AccessTokenType::AtJwt) }, Fetch::new().unwrap());
        let refused = unasked.verify(&token(&newer[0], "two"), NOW).await;
        assert!(matches!(refused, Err(AccessTokenError::Unreachable(_))), "{refused:?}");
    }
}

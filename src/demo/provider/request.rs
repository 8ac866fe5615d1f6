//! The authorization request: from parameters to a [`Request`] that may be answered, or a [`Refusal`].
//!
//! `authorize` calls it. What is wrong before the client and its redirect URI are known is told on
//! a page and goes nowhere; everything later goes to the callback (RFC 6749 §4.1.2.1). Where
//! ProConnect's code is laxer than its documentation (`state` and `nonce` shorter than 32
//! characters), this follows the documentation, so that a client that passes here passes there.

use super::agents::{IDENTITY_PROVIDERS, SCOPE_CLAIMS};
use super::settings::{Client, ProviderSettings};
use serde_json::{Map, Value};

/// The shortest `state` and `nonce` that ProConnect's documentation allows.
pub(super) const SHORTEST_STATE: usize = 32;

/// The longest `nonce` that ProConnect takes.
const LONGEST_NONCE: usize = 512;

/// An authorization request that may be answered.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) client: Client,
    pub(super) redirect_uri: String,
    pub(super) state: String,
    pub(super) nonce: String,
    /// Known scopes, all of them the client's.
    pub(super) scopes: Vec<String>,
    pub(super) acr: AcrRequest,
    /// Claims asked for in the ID token by the `claims` parameter.
    pub(super) id_token_claims: Vec<String>,
    /// Claims asked for in userinfo by the `claims` parameter.
    pub(super) userinfo_claims: Vec<String>,
    pub(super) silent: bool,
    pub(super) login_hint: Option<String>,
    pub(super) siret_hint: Option<String>,
    pub(super) idp_hint: Option<String>,
    /// The S256 challenge (RFC 7636 §4.3).
    pub(super) code_challenge: Option<String>,
}

/// Which `acr` values are asked for, and how earnestly.
#[derive(Clone, Debug, Default)]
pub(super) struct AcrRequest {
    /// By `acr_values` or `claims`; then the ID token says the `acr`.
    pub(super) asked: bool,
    /// Every value named.
    pub(super) values: Vec<String>,
    /// The values of which one is essential; empty when none is.
    pub(super) essential: Vec<String>,
}

impl AcrRequest {
    /// Whether `acr` is enough: exact membership, not "at least".
    pub(super) fn is_satisfied_by(&self, acr: &str) -> bool {
        self.essential.is_empty() || self.essential.iter().any(|value| value == acr)
    }

    /// Whether ProConnect authenticates anew whatever session there is.
    pub(super) fn needs_new_authentication(&self) -> bool {
        self.values.iter().any(|value| matches!(value.as_str(), "eidas2" | "eidas3"))
    }
}

/// Why an authorization request is not answered with a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Told on a page of the provider; the browser goes nowhere.
    Page { code: &'static str, cause: String },
    /// Told to the client.
    Callback(CallbackError),
}

/// An error for the client (RFC 6749 §4.1.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallbackError {
    pub(super) redirect_uri: String,
    pub(super) state: String,
    pub(super) error: String,
    pub(super) description: String,
}

impl Request {
    pub(super) fn error(&self, error: &str, description: &str) -> CallbackError {
        CallbackError {
            redirect_uri: self.redirect_uri.clone(),
            state: self.state.clone(),
            error: error.to_owned(),
            description: description.to_owned(),
        }
    }

    /// Checks `parameters`, as they came in a query or a form.
    pub(super) fn parse(settings: &ProviderSettings, parameters: &Parameters) -> Result<Self, Refusal> {
        let malformed = |cause: String| Refusal::Page { code: "Y000400", cause };
        if let Some(name) = parameters.repeated() {
            return Err(malformed(format!("the parameter {name} is given twice")));
        }
        let required = |name| parameters.get(name).ok_or_else(|| malformed(format!("the parameter {name} is missing")));
        let client_id = required("client_id")?;
        let client = settings.clients.iter().find(|client| client.client_id == client_id).ok_or(Refusal::Page {
            code: "oidc-provider-rendered-error:invalid_client",
            cause: "no client has this client_id".to_owned(),
        })?;
        let redirect_uri = required("redirect_uri")?;
        if !client.redirect_uris.iter().any(|registered| registered == redirect_uri) {
            let cause =
                "the redirect_uri is not registered (oidc-provider-rendered-error:invalid_redirect_uri)".to_owned();
            return Err(Refusal::Page { code: "Y030031", cause });
        }
        let response_type = required("response_type")?;
        let scope = required("scope")?;
        let (state, nonce) = (required("state")?, required("nonce")?);
        if state.chars().count() < SHORTEST_STATE {
            return Err(malformed(format!("state has fewer than {SHORTEST_STATE} characters")));
        }
        if !nonce.is_ascii() || !(SHORTEST_STATE..=LONGEST_NONCE).contains(&nonce.len()) {
            return Err(malformed(format!("nonce is not {SHORTEST_STATE} to {LONGEST_NONCE} ASCII characters")));
        }
        let login_hint = parameters.get("login_hint");
        if login_hint.is_some_and(|hint| !is_email(hint)) {
            return Err(malformed("login_hint is not an e-mail address".to_owned()));
        }
        let siret_hint = parameters.get("siret_hint");
        if siret_hint.is_some_and(|hint| hint.chars().count() != 14) {
            return Err(malformed("siret_hint has not 14 characters".to_owned()));
        }

        let mut request = Self {
            client: client.clone(),
            redirect_uri: redirect_uri.to_owned(),
            state: state.to_owned(),
            nonce: nonce.to_owned(),
            scopes: Vec::new(),
            acr: AcrRequest::default(),
            id_token_claims: Vec::new(),
            userinfo_claims: Vec::new(),
            silent: false,
            login_hint: login_hint.map(str::to_owned),
            siret_hint: siret_hint.map(str::to_owned),
            idp_hint: parameters.get("idp_hint").map(str::to_owned),
            code_challenge: parameters.get("code_challenge").map(str::to_owned),
        };
        request
            .refine(parameters, response_type, scope)
            .map_err(|(error, description)| Refusal::Callback(request.error(error, description)))?;
        Ok(request)
    }

    /// The second half: what is wrong here is told to the client.
    fn refine(
        &mut self,
        parameters: &Parameters,
        response_type: &str,
        scope: &str,
    ) -> Result<(), (&'static str, &'static str)> {
        if response_type != "code" {
            return Err(("unsupported_response_type", "unsupported response_type requested"));
        }
        if !matches!(parameters.get("response_mode"), None | Some("query")) {
            return Err(("unsupported_response_mode", "unsupported response_mode requested"));
        }
        for name in scope.split_ascii_whitespace().filter(|name| SCOPE_CLAIMS.iter().any(|(known, _)| known == name)) {
            if !self.client.scopes.iter().any(|allowed| allowed == name) {
                return Err(("invalid_scope", "requested scope is not allowed"));
            }
            self.scopes.push(name.to_owned());
        }
        if !self.scopes.iter().any(|name| name == "openid") {
            return Err(("invalid_request", "openid scope must be requested"));
        }
        let prompts: Vec<_> = parameters.get("prompt").unwrap_or_default().split_ascii_whitespace().collect();
        if prompts.iter().any(|prompt| !matches!(*prompt, "none" | "login" | "consent")) {
            return Err(("invalid_request", "invalid prompt value(s) provided"));
        }
        self.silent = prompts.contains(&"none");
        if self.silent && prompts.len() > 1 {
            return Err(("invalid_request", "prompt none must only be used alone"));
        }
        match (&self.code_challenge, parameters.get("code_challenge_method")) {
            (None, None) => {}
            (None, Some(_)) => {
                return Err(("invalid_request", "code_challenge must be provided with code_challenge_method"));
            }
            (Some(challenge), Some("S256")) if is_challenge(challenge) => {}
            (Some(_), Some("S256")) => {
                return Err(("invalid_request", "code_challenge must be a string with 43 characters"));
            }
            (Some(_), _) => return Err(("invalid_request", "not supported value of code_challenge_method")),
        }
        let known_idp = |id: &String| IDENTITY_PROVIDERS.iter().any(|(known, _)| known == id);
        if self.idp_hint.as_ref().is_some_and(|id| !known_idp(id)) {
            return Err(("idp_hint_not_found", "provided idp_hint could not be found"));
        }
        self.read_claims(parameters).map_err(|description| ("invalid_request", description))
    }

    /// `acr_values` and `claims` (OpenID Connect Core §5.5).
    fn read_claims(&mut self, parameters: &Parameters) -> Result<(), &'static str> {
        let wished: Vec<String> =
            parameters.get("acr_values").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
        self.acr.asked = !wished.is_empty();
        self.acr.values.clone_from(&wished);
        let Some(text) = parameters.get("claims") else { return Ok(()) };
        let claims: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| "claims parameter should be a JSON object")?;
        let member = |name: &str| match claims.get(name) {
            None => Ok(Map::new()),
            Some(Value::Object(member)) => Ok(member.clone()),
            Some(_) => Err("claims.id_token and claims.userinfo should be objects"),
        };
        let (id_token, userinfo) = (member("id_token")?, member("userinfo")?);
        if let Some(acr) = id_token.get("acr") {
            self.acr.asked = true;
            let one = acr.get("value").and_then(Value::as_str).map(str::to_owned);
            let several = acr.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let named: Vec<String> = one.into_iter().chain(several.map(str::to_owned)).collect();
            if acr.get("essential") == Some(&Value::Bool(true)) {
                self.acr.essential = if named.is_empty() { wished } else { named.clone() };
            }
            self.acr.values.extend(named);
        }
        self.id_token_claims = id_token.into_iter().map(|(name, _)| name).collect();
        self.userinfo_claims = userinfo.into_iter().map(|(name, _)| name).collect();
        Ok(())
    }
}

/// The parameters of a query or of a form, in their order.
#[derive(Clone, Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn parse(form: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(form).into_owned().collect())
    }

    /// The first value of `name`, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// A name that is there more than once (RFC 6749 §3.1 forbids it).
    pub(super) fn repeated(&self) -> Option<&str> {
        let mut seen = std::collections::HashSet::new();
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !seen.insert(*name))
    }
}

/// Whether `text` is an e-mail address, as far as a form can tell.
pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    plain(local) && !local.contains('@') && plain(domain) && domain.contains('.') && !domain.starts_with('.')
}

fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretString;

    const GOOD: [(&str, &str); 6] = [
        ("client_id", "c1"),
        ("redirect_uri", "http://127.0.0.1/cb"),
        ("response_type", "code"),
        ("scope", "openid email unheard_of"),
        ("state", "0123456789abcdef0123456789abcdef"),
        ("nonce", "fedcba9876543210fedcba9876543210"),
    ];

    type Changes<'a> = &'a [(&'a str, &'a str)];

    /// Parses the good request with `changes`: another value, or none for an empty one.
    fn parse(changes: Changes<'_>) -> Result<Request, Refusal> {
        let client = Client::new("c1", SecretString::from("s"), "http://127.0.0.1/cb", "http://127.0.0.1/out");
        let settings = ProviderSettings { clients: vec![client], ..ProviderSettings::default() };
        let kept = GOOD.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let all = kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()));
        Request::parse(
            &settings,
            &Parameters(all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
        )
    }

    #[test]
    fn a_good_request_keeps_the_known_scopes() {
        let request = parse(&[]).unwrap();
        assert_eq!(request.scopes, ["openid", "email"]);
        assert!(!request.silent && !request.acr.asked);
    }

    #[test]
    fn what_concerns_client_or_form_is_told_on_a_page() {
        let cases: [(Changes, &str); 14] = [
            (&[("client_id", "")], "Y000400"),
            (&[("client_id", "c2")], "oidc-provider-rendered-error:invalid_client"),
            (&[("redirect_uri", "")], "Y000400"),
            (&[("redirect_uri", "http://127.0.0.1/cb/")], "Y030031"),
            (&[("redirect_uri", "http://127.0.0.1/cb?x")], "Y030031"),
            (&[("redirect_uri", "http://127.0.0.1.evil.example/cb")], "Y030031"),
            (&[("scope", "")], "Y000400"),
            (&[("state", "")], "Y000400"),
            (&[("state", "0123456789abcdef0123456789abcde")], "Y000400"),
            (&[("nonce", "")], "Y000400"),
            (&[("nonce", "fedcba9876543210")], "Y000400"),
            (&[("login_hint", "nobody")], "Y000400"),
            (&[("siret_hint", "1100000110001")], "Y000400"),
            (&[("prompt", "none"), ("prompt", "none")], "Y000400"),
        ];
        for (changes, expected) in cases {
            match parse(changes) {
                Err(Refusal::Page { code, .. }) => assert_eq!(code, expected, "{changes:?}"),
                other => panic!("{changes:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_concerns_the_request_is_told_to_the_client() {
        let cases: [(Changes, &str); 13] = [
            (&[("response_type", "token")], "unsupported_response_type"),
            (&[("response_mode", "fragment")], "unsupported_response_mode"),
            (&[("scope", "openid siren")], "invalid_scope"),
            (&[("scope", "email")], "invalid_request"),
            (&[("prompt", "select_account")], "invalid_request"),
            (&[("prompt", "none login")], "invalid_request"),
            (&[("code_challenge_method", "S256")], "invalid_request"),
            (&[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")], "invalid_request"),
            (&[("code_challenge", "E9Mel"), ("code_challenge_method", "S256")], "invalid_request"),
            (
                &[
                    ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
                    ("code_challenge_method", "plain"),
                ],
                "invalid_request",
            ),
            (&[("idp_hint", "71144ab3")], "idp_hint_not_found"),
            (&[("claims", "[]")], "invalid_request"),
            (&[("claims", r#"{"id_token":1}"#)], "invalid_request"),
        ];
        for (changes, expected) in cases {
            match parse(changes) {
                Err(Refusal::Callback(error)) => assert_eq!(error.error, expected, "{changes:?}"),
                other => panic!("{changes:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn acr_is_a_wish_unless_it_is_an_essential_claim() {
        let essential = r#"{"id_token":{"acr":{"essential":true,"values":["eidas1-mfa","eidas2"]}}}"#;
        let bare = r#"{"id_token":{"acr":{"essential":true}}}"#;
        let cases: [(Changes, &str, bool); 6] = [
            (&[("acr_values", "eidas1-mfa")], "eidas1", true),
            (&[("claims", essential)], "eidas1", false),
            (&[("claims", essential)], "eidas3", false),
            (&[("claims", essential)], "eidas1-mfa", true),
            (&[("acr_values", "eidas1"), ("claims", bare)], "eidas0", false),
            (&[("acr_values", "eidas1"), ("claims", bare)], "eidas1", true),
        ];
        for (changes, acr, satisfied) in cases {
            let request = parse(changes).unwrap();
            assert!(request.acr.asked);
            assert_eq!(request.acr.is_satisfied_by(acr), satisfied, "{changes:?} {acr}");
        }
        assert!(parse(&[("claims", essential)]).unwrap().acr.needs_new_authentication());
        assert!(!parse(&[("acr_values", "eidas1")]).unwrap().acr.needs_new_authentication());
    }

    #[test]
    fn tells_addresses_from_other_texts() {
        for good in ["a@b.fr", "prénom.nom@test.proconnect.gouv.fr", "a+b@c.d.e"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@b.fr", "a@", "a@b", "a b@c.fr", "a@b@c.fr", "a@.fr", "a@b.fr\n"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}

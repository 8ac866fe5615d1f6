//! The authorization request (OpenID Connect Core §3.1.2.1): where the browser is sent to sign in.
//!
//! Called by the facade. PKCE S256, `state` and `nonce` are in every request; no setting takes one
//! of them away or puts another in its place.

use super::AuthorizationRequest;
use super::query::{Parameter, with_parameters};
use super::settings::{Reauthentication, Settings};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use url::Url;

/// Parameters that are ours alone. One of these among [`Settings::parameters`] is left out, and
/// `config` reports it.
pub const RESERVED_PARAMETERS: &[&str] = &[
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "claims",
    "acr_values",
    // Either would replace all the others (OpenID Connect Core §6).
    "request",
    "request_uri",
];

/// The address of the authorization request.
pub(super) fn url(endpoint: &Url, settings: &Settings, request: &AuthorizationRequest<'_>) -> Url {
    with_parameters(endpoint, &parameters(settings, request))
}

/// The address where the provider has its parameters already (RFC 9126 §4).
pub(super) fn pushed_url(endpoint: &Url, settings: &Settings, request_uri: &str) -> Url {
    with_parameters(endpoint, &[("client_id", settings.client_id.as_str().into()), ("request_uri", request_uri.into())])
}

/// What the request says.
pub(super) fn parameters<'a>(settings: &'a Settings, request: &AuthorizationRequest<'a>) -> Vec<Parameter<'a>> {
    let mut parameters: Vec<Parameter<'_>> = vec![
        ("response_type", "code".into()),
        ("client_id", settings.client_id.as_str().into()),
        ("redirect_uri", request.redirect_uri.unwrap_or(&settings.redirect_uri).as_str().into()),
        ("scope", settings.scopes.join(" ").into()),
        ("state", request.state.into()),
        ("nonce", request.nonce.into()),
        ("code_challenge", challenge(request.pkce_verifier).into()),
        ("code_challenge_method", "S256".into()),
    ];
    let levels = levels(settings, request);
    if let Some(claims) = claims(settings, &levels) {
        parameters.push(("claims", claims.into()));
    }
    if !levels.is_empty() {
        parameters.push(("acr_values", levels.join(" ").into()));
    }
    if request.silent {
        parameters.push(("prompt", "none".into()));
    } else if let Some(max_age) = request.step_up.and_then(|step_up| step_up.max_age)
        && settings.reauthentication == Reauthentication::ByRequest
    {
        // Each for those that do not know the other; §3.1.2.1 has `auth_time` come with `max_age`.
        parameters.push(("max_age", max_age.as_secs().to_string().into()));
        parameters.push(("prompt", "login".into()));
    }
    if let Some(hint) = request.login_hint {
        parameters.push(("login_hint", hint.into()));
    }
    for (name, value) in &settings.parameters {
        let taken = parameters.iter().any(|(held, _)| held == name);
        if !taken && !RESERVED_PARAMETERS.contains(&name.as_str()) {
            parameters.push((name, Cow::Borrowed(value)));
        }
    }
    parameters
}

/// `BASE64URL(SHA256(verifier))` (RFC 7636 §4.2).
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// The `acr` values of which one is required: those of this request, as far as all sign-ins have to be
/// one of some.
fn levels<'a>(settings: &'a Settings, request: &AuthorizationRequest<'a>) -> Vec<&'a str> {
    let always = || settings.acr_values.iter().map(String::as_str);
    let asked = request.step_up.map(|step_up| step_up.acr_values.as_slice()).unwrap_or_default();
    let both: Vec<&str> = asked.iter().map(String::as_str).filter(|one| always().any(|level| level == *one)).collect();
    match (settings.acr_values.is_empty(), asked.is_empty()) {
        (_, true) => always().collect(),
        (true, false) => asked.iter().map(String::as_str).collect(),
        // Never less than all sign-ins have to be.
        (false, false) if both.is_empty() => always().collect(),
        (false, false) => both,
    }
}

/// The `claims` parameter (§5.5), with the required `acr` values as an essential claim of the ID
/// token: `acr_values` alone would be a wish (§5.5.1.1).
fn claims(settings: &Settings, levels: &[&str]) -> Option<String> {
    let mut claims = settings.claims.clone();
    if !levels.is_empty() {
        let acr = json!({"essential": true, "values": levels});
        match claims.entry("id_token").or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(id_token) => {
                id_token.insert("acr".to_owned(), acr);
            }
            other => *other = json!({ "acr": acr }),
        }
    }
    (!claims.is_empty()).then(|| Value::Object(claims).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::{StepUp, stub};
    use std::collections::HashMap;
    use std::time::Duration;

    fn parameters(settings: &Settings, silent: bool, login_hint: Option<&str>) -> HashMap<String, String> {
        stepping_up(settings, silent, login_hint, None)
    }

    fn stepping_up(
        settings: &Settings,
        silent: bool,
        login_hint: Option<&str>,
        step_up: Option<&StepUp>,
    ) -> HashMap<String, String> {
        let endpoint = Url::parse("https://op.test/authorize?tenant=1&state=theirs").unwrap();
        let request = AuthorizationRequest {
            state: "the-state",
            nonce: "the-nonce",
            pkce_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            silent,
            login_hint,
            step_up,
            redirect_uri: None,
        };
        let pairs: Vec<(String, String)> = url(&endpoint, settings, &request).query_pairs().into_owned().collect();
        let by_name: HashMap<_, _> = pairs.iter().cloned().collect();
        assert_eq!(pairs.len(), by_name.len(), "no parameter appears twice");
        by_name
    }

    #[test]
    fn everything_that_is_always_on_is_there() {
        let sent = parameters(&stub::settings("https://op.test"), false, None);
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "client"),
            ("redirect_uri", "https://app.test/oauth2/callback"),
            ("scope", "openid email"),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            // RFC 7636, appendix B.
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
            ("tenant", "1"),
        ] {
            assert_eq!(sent[name], value, "{name}");
        }
        for absent in ["prompt", "login_hint", "claims", "acr_values"] {
            assert!(!sent.contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn silence_and_a_hint_are_sent_when_asked_for() {
        let sent = parameters(&stub::settings("https://op.test"), true, Some("a@b.fr"));
        assert_eq!((sent["prompt"].as_str(), sent["login_hint"].as_str()), ("none", "a@b.fr"));
    }

    #[test]
    fn required_acr_values_are_an_essential_claim_beside_the_configured_ones() {
        let mut settings = stub::settings("https://op.test");
        settings.acr_values = vec!["eidas1-mfa".into(), "eidas2".into()];
        settings.claims = json!({
            "id_token": {"amr": null, "acr": {"essential": false}},
            "userinfo": {"email": null},
        })
        .as_object()
        .unwrap()
        .clone();
        let sent = parameters(&settings, false, None);
        assert_eq!(sent["acr_values"], "eidas1-mfa eidas2");
        let claims: Value = serde_json::from_str(&sent["claims"]).unwrap();
        assert_eq!(
            claims,
            json!({
                "id_token": {"amr": null, "acr": {"essential": true, "values": ["eidas1-mfa", "eidas2"]}},
                "userinfo": {"email": null},
            })
        );
        settings.claims = json!({"id_token": "broken"}).as_object().unwrap().clone();
        let claims: Value = serde_json::from_str(&parameters(&settings, false, None)["claims"]).unwrap();
        assert_eq!(claims["id_token"]["acr"]["essential"], true);
    }

    #[test]
    fn fixed_parameters_are_sent_and_never_replace_ours() {
        let mut settings = stub::settings("https://op.test");
        settings.parameters = RESERVED_PARAMETERS
            .iter()
            .copied()
            .chain(["prompt", "login_hint", "siret_hint", "siret_hint"])
            .map(|name| (name.to_owned(), "theirs".to_owned()))
            .collect();
        let sent = parameters(&settings, true, Some("ours"));
        assert_eq!(sent["siret_hint"], "theirs");
        for name in RESERVED_PARAMETERS.iter().chain(&["prompt", "login_hint"]) {
            assert_ne!(sent.get(*name).map(String::as_str), Some("theirs"), "{name}");
        }
        let sent = parameters(&settings, false, None);
        assert_eq!(sent["prompt"], "theirs", "a fixed prompt counts where none is asked for");
    }

    #[test]
    fn a_step_up_asks_for_its_levels_and_for_a_recent_proof_where_the_provider_knows_how() {
        let mut settings = stub::settings("https://op.test");
        let level = StepUp { acr_values: vec!["eidas2".into(), "eidas3".into()], max_age: None };
        let recent = StepUp { max_age: Some(Duration::from_secs(900)), ..StepUp::default() };
        let essential = |sent: &HashMap<String, String>| {
            let claims: Value = serde_json::from_str(&sent["claims"]).unwrap();
            assert_eq!(claims["id_token"]["acr"]["essential"], true);
            claims["id_token"]["acr"]["values"].clone()
        };
        let sent = stepping_up(&settings, false, None, Some(&level));
        assert_eq!(essential(&sent), json!(["eidas2", "eidas3"]));
        assert!(sent["acr_values"] == "eidas2 eidas3" && !sent.contains_key("max_age") && !sent.contains_key("prompt"));
        // What all sign-ins have to be, it has to be as well.
        settings.acr_values = vec!["eidas1-mfa".into(), "eidas3".into()];
        assert_eq!(essential(&stepping_up(&settings, false, None, Some(&level))), json!(["eidas3"]));
        let sent = stepping_up(&settings, false, None, Some(&recent));
        assert_eq!((sent["max_age"].as_str(), sent["prompt"].as_str()), ("900", "login"));
        assert_eq!(essential(&sent), json!(["eidas1-mfa", "eidas3"]));
        settings.reauthentication = Reauthentication::AfterSignOut;
        let sent = stepping_up(&settings, false, None, Some(&recent));
        assert!(!sent.contains_key("max_age") && !sent.contains_key("prompt"));
    }
}

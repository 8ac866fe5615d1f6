//! The provider: preset over defaults, what was written over the preset.

use super::Resolver;
use super::client_authentication::WrittenClient;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written::{self, Preset, ProConnect, UserinfoFormat, defaults};
use crate::oidc::{Algorithm, ClientAuthentication, Endpoints, Settings, Userinfo};
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// What ProConnect's tokens are signed with unless a registration says HS256, which has to be
/// written: with it, whoever holds the client secret can make tokens.
const PINNED: [Algorithm; 2] = [Algorithm::ES256, Algorithm::RS256];

/// Parameters of the authorization request that the protocol or another key decides, with why.
const RESERVED: [(&str, &str); 20] = [
    ("response_type", ""),
    ("response_mode", ""),
    ("client_id", ""),
    ("client_secret", ""),
    ("redirect_uri", ""),
    ("state", ""),
    ("nonce", ""),
    ("code_challenge", ""),
    ("code_challenge_method", ""),
    ("request", ""),
    ("request_uri", ""),
    ("id_token_hint", ""),
    ("registration", ""),
    ("login_hint", ""),
    ("max_age", ": the age of an authentication is not checked by this version"),
    ("scope", ": write `scopes` instead"),
    ("claims", ": write `claims` beside `parameters` instead"),
    ("acr_values", ": write `acr_values` beside `parameters` instead, which is also checked"),
    ("siret_hint", ": write `siret_hint` beside `parameters` instead"),
    ("idp_hint", ": write `idp_hint` beside `parameters` instead"),
];

const MOST_LEEWAY: Duration = Duration::from_secs(300);

impl ProConnect {
    /// The issuer of the environment. The names still say what ProConnect was once called.
    fn issuer(self) -> &'static str {
        match self {
            Self::Integration => "https://fca.integ01.dev-agentconnect.fr/api/v2",
            Self::Production => "https://auth.agentconnect.gouv.fr/api/v2",
            Self::RieIntegration => "https://fca.integ02.agentconnect.rie.gouv.fr/api/v2",
            Self::RieProduction => "https://auth.agentconnect.rie.gouv.fr/api/v2",
        }
    }
}

impl Resolver<'_> {
    pub(super) fn provider(
        &mut self,
        at: &KeyPath,
        name: &str,
        written: &written::Provider,
        ours: Option<(&PublicUrl, &Prefix)>,
        callback: Option<&str>,
    ) -> Option<Settings> {
        let preset = written.preset.unwrap_or_default();
        let issuer = self.issuer(at, preset, written);
        let endpoints = self.endpoints(&at.key("endpoints"), written);
        if let (Some(Endpoints::Given(given)), Some(issuer)) = (&endpoints, &issuer) {
            self.endpoints_elsewhere(&at.key("endpoints"), given, issuer);
        }
        let client_id = self.required_text(
            &at.key("client_id"),
            written.client_id.as_ref(),
            "the one that the provider registered for you",
        );
        let secret_at = at.key("client_secret");
        let client_secret = written.client_secret.as_ref().and_then(|secret| self.secret(&secret_at, secret));
        let client = WrittenClient {
            at,
            secret: client_secret.as_ref(),
            has_secret: written.client_secret.is_some(),
            authentication: written.client_authentication,
            keys: written.client_keys.as_ref(),
            certificate: written.client_certificate.as_ref(),
        };
        let (client_authentication, client_proof) = self.provider_authentication(preset, &client);
        if let (Some((public_url, _)), Some(id)) = (ours, client_id)
            && id == public_url.origin()
            && client_authentication == ClientAuthentication::PrivateKeyJwt
        {
            // An assertion for an app says this of its issuer: what it may say of a client must differ.
            self.fault(
                &at.key("client_id"),
                "is public_url itself, by which apps know who signs assertions for them; register another",
            );
        }
        let scopes = self.scopes(&at.key("scopes"), preset, written.scopes.as_ref());
        let acr_values = self.words(&at.key("acr_values"), written.acr_values.as_ref());
        self.claims(&at.key("claims"), written.claims.as_ref());
        let parameters = self.parameters(at, written);
        let id_token_algorithms = self.algorithms(at, preset, written);
        let userinfo = self.userinfo(&at.key("userinfo"), preset, written, &id_token_algorithms);
        let leeway_at = at.key("clock_leeway");
        let clock_leeway = self.span(&leeway_at, written.clock_leeway, defaults::CLOCK_LEEWAY, Duration::ZERO);
        if clock_leeway > MOST_LEEWAY {
            self.fault(&leeway_at, "is more than five minutes, for which an expired token would still be taken; write 5m or less, and set the clocks");
        }
        let timeout =
            self.span(&at.key("timeout"), written.timeout, defaults::PROVIDER_TIMEOUT, Duration::from_millis(100));
        let (public_url, prefix) = ours?;
        let address = |path: &str| Url::parse(&format!("{}{path}", public_url.origin())).ok();
        Some(Settings {
            name: name.to_owned(),
            issuer: issuer?,
            endpoints: endpoints?,
            client_id: client_id?.to_owned(),
            client_secret,
            client_authentication,
            client_proof,
            pushes_requests: written.pushed_requests.unwrap_or(true),
            redirect_uri: address(callback?)?,
            post_logout_redirect_uri: address(&format!("{}/signed_out", prefix.as_str()))?,
            scopes,
            acr_values,
            claims: written.claims.clone().unwrap_or_default(),
            parameters,
            id_token_algorithms,
            userinfo,
            clock_leeway,
            timeout,
            domain_owners: Arc::default(),
        })
    }

    fn issuer(&mut self, at: &KeyPath, preset: Preset, written: &written::Provider) -> Option<String> {
        let issuer_at = at.key("issuer");
        let environment_at = at.key("environment");
        let environments = "integration, production, rie-integration or rie-production";
        match (preset, written.environment, &written.issuer) {
            (_, Some(_), Some(_)) => {
                self.fault(&issuer_at, "is written beside environment, which says it too; remove one of them");
                None
            }
            (Preset::ProConnect, Some(environment), None) => Some(environment.issuer().to_owned()),
            (Preset::ProConnect, None, None) => {
                self.fault(&environment_at, format!("is missing; write {environments} (or an issuer)"));
                None
            }
            (Preset::Generic, Some(_), None) => {
                self.fault(
                    &environment_at,
                    "is ProConnect's; write `preset: proconnect` beside it, or an issuer instead",
                );
                None
            }
            (_, None, issuer) => {
                let example = "the issuer as the provider announces it, such as https://login.example.org";
                let text = self.required_text(&issuer_at, issuer.as_ref(), example)?;
                let url = self.provider_url(&issuer_at, text)?;
                if url.query().is_some() || url.fragment().is_some() {
                    self.fault(&issuer_at, "has a query or a fragment, which no issuer has");
                    return None;
                }
                // The text itself: issuers are compared, never normalised.
                Some(text.to_owned())
            }
        }
    }

    fn scopes(&mut self, at: &KeyPath, preset: Preset, written: Option<&written::List<String>>) -> Vec<String> {
        let Some(list) = written else {
            let default: &[&str] = match preset {
                Preset::ProConnect => &defaults::PROCONNECT_SCOPES,
                Preset::Generic => &defaults::GENERIC_SCOPES,
            };
            return default.iter().map(|scope| (*scope).to_owned()).collect();
        };
        let scopes = self.words(at, Some(list));
        if !scopes.iter().any(|scope| scope == "openid") {
            self.fault(at, "must hold openid; without it the provider signs nobody in");
        }
        if preset == Preset::ProConnect {
            for scope in
                scopes.iter().filter(|scope| ["profile", "offline_access", "phone_number"].contains(&scope.as_str()))
            {
                self.found(Code::ScopeUnknown, at, format!("ProConnect knows no scope {scope} and ignores it"));
            }
        }
        scopes
    }

    /// A list of words without spaces (RFC 6749 §3.3).
    pub(super) fn words(&mut self, at: &KeyPath, list: Option<&written::List<String>>) -> Vec<String> {
        let mut words = Vec::new();
        for (at, word) in self.items(at, list) {
            let token = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
            if word.is_empty() || !word.chars().all(token) {
                self.fault(&at, format!("{word:?} is not one word; write each as an item of its own"));
            }
            words.push(word.clone());
        }
        words
    }

    fn claims(&mut self, at: &KeyPath, written: Option<&serde_json::Map<String, serde_json::Value>>) {
        for (part, wanted) in written.into_iter().flatten() {
            let at = at.key(part);
            if part != "id_token" && part != "userinfo" {
                self.fault(
                    &at,
                    "claims are asked for in id_token or userinfo: write {id_token: {…}} or {userinfo: {…}}",
                );
            } else if !wanted.is_object() {
                self.fault(&at, "expected a mapping of claim names, such as {amr: null}");
            } else if wanted.get("acr").is_some() {
                // Asked for here, it would be sent and never checked.
                self.fault(&at.key("acr"), "write `acr_values` instead, which is asked for as essential and checked");
            }
        }
    }

    fn parameters(&mut self, at: &KeyPath, written: &written::Provider) -> Vec<(String, String)> {
        let mut parameters = Vec::new();
        for (name, value) in written.parameters.iter().flatten() {
            let at = at.key("parameters").key(name);
            if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                self.fault(&at, format!("is not yours to set{instead}"));
                continue;
            }
            let Some(value) = value else {
                self.fault(&at, "is empty; write a text");
                continue;
            };
            if name == "prompt" && value.split(' ').any(|word| word == "none") {
                self.fault(&at, "prompt=none would sign nobody in; write `sign_in: {entry: silent}`");
            }
            parameters.push((name.clone(), value.clone()));
        }
        if let Some(siret) = &written.siret_hint {
            if siret.len() != 14 || !siret.chars().all(|c| c.is_ascii_digit()) {
                self.fault(&at.key("siret_hint"), "is no SIRET; write its 14 digits without spaces, in quotes");
            }
            parameters.push(("siret_hint".to_owned(), siret.clone()));
        }
        if let Some(idp) = &written.idp_hint {
            if idp.is_empty() || !idp.chars().all(|c| c.is_ascii_graphic()) {
                self.fault(
                    &at.key("idp_hint"),
                    "is no idp_id; write the one that ProConnect lists, such as 71144ab3-ee1a-4401-b7b3-79b44f7daeeb",
                );
            }
            parameters.push(("idp_hint".to_owned(), idp.clone()));
        }
        parameters
    }

    fn algorithms(&mut self, at: &KeyPath, preset: Preset, written: &written::Provider) -> Vec<Algorithm> {
        let list = written.id_token_algorithms.as_ref();
        let Some(algorithms) = self.algorithm_list(&at.key("id_token_algorithms"), list, written) else {
            // By hand, nothing is announced either.
            let pinned = preset == Preset::ProConnect || written.endpoints.is_some();
            return if pinned { PINNED.to_vec() } else { Vec::new() };
        };
        algorithms
    }

    fn algorithm_list(
        &mut self,
        at: &KeyPath,
        list: Option<&written::List<Algorithm>>,
        provider: &written::Provider,
    ) -> Option<Vec<Algorithm>> {
        let list = list?;
        if list.is_empty() {
            self.fault(at, "is empty; leave the key out for the default");
        }
        let algorithms: Vec<Algorithm> =
            self.items(at, Some(list)).into_iter().map(|(_, algorithm)| *algorithm).collect();
        if algorithms.contains(&Algorithm::HS256) {
            if provider.client_secret.is_none() {
                self.fault(at, "HS256 signs with the client secret, and there is none; write client_secret, or ES256 or RS256 here");
            } else {
                self.found(Code::Hs256, at, "with HS256 whoever knows the client secret can make tokens; ES256 is better where the registration allows it");
            }
        }
        Some(algorithms)
    }

    fn userinfo(
        &mut self,
        at: &KeyPath,
        preset: Preset,
        written: &written::Provider,
        id_token_algorithms: &[Algorithm],
    ) -> Userinfo {
        let userinfo = written.userinfo.as_ref();
        let list = userinfo.and_then(|userinfo| userinfo.algorithms.as_ref());
        let listed = self.algorithm_list(&at.key("algorithms"), list, written);
        let by_hand_without = written.endpoints.as_ref().is_some_and(|endpoints| endpoints.userinfo.is_none());
        let format = match userinfo.and_then(|userinfo| userinfo.format) {
            None if by_hand_without => UserinfoFormat::None,
            Some(UserinfoFormat::JsonOrSigned | UserinfoFormat::Signed) if by_hand_without => {
                self.fault(at, "is to be read, but endpoints.userinfo is missing; write its URL");
                UserinfoFormat::None
            }
            format => format.unwrap_or_default(),
        };
        if format == UserinfoFormat::None {
            if listed.is_some() {
                self.fault(&at.key("algorithms"), "is written, but userinfo is not read; remove it");
            }
            if preset == Preset::ProConnect {
                self.found(
                    Code::UserinfoNotRead,
                    at,
                    "ProConnect's ID token holds no e-mail and no name: without userinfo the app learns `sub` only",
                );
            }
        }
        let algorithms = listed.unwrap_or_else(|| id_token_algorithms.to_vec());
        match format {
            UserinfoFormat::None => Userinfo::NotRead,
            UserinfoFormat::JsonOrSigned => Userinfo::JsonOrSigned(algorithms),
            UserinfoFormat::Signed => Userinfo::Signed(algorithms),
        }
    }
}

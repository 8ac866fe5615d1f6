//! The part about the provider: who it is, our registration there, and what is asked for.
//!
//! Called by `translate`. Only OpenID Providers are taken over: where there is no ID token nobody
//! proves who signed in.

use super::settings::Text;
use super::translate::Import;
use crate::commands::import::{is_proconnect_identite, list, proconnect_environment, scalar, scopes};
use std::fmt::Write as _;

/// The issuers of providers that have one for everybody.
const ISSUERS: [(&str, &str); 2] = [("google", "https://accounts.google.com"), ("gitlab", "https://gitlab.com")];

/// Those that are no OpenID Providers, as oauth2-proxy speaks to them.
const NO_OPENID: [&str; 9] =
    ["bitbucket", "digitalocean", "facebook", "github", "keycloak", "linkedin", "nextcloud", "sourcehut", "login.gov"];

/// The algorithms of ID tokens that can be verified here.
const ALGORITHMS: [&str; 10] =
    ["ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "HS256"];

/// Parameters of the authorization request that cannot be set, as they are the protocol's or have a
/// key of their own with another meaning.
const RESERVED: [&str; 16] = [
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "redirect_uri",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
    "id_token_hint",
    "registration",
    "login_hint",
    "scope",
    "claims",
];

impl Import {
    pub(super) fn provider(&mut self) {
        let kind = self.settings.text("provider");
        let kind_name = kind.as_ref().and_then(|kind| kind.value.clone()).unwrap_or_else(|| "google".to_owned());
        let issuer = self.settings.text("oidc-issuer-url");
        let url = issuer.as_ref().and_then(|issuer| self.url(issuer));
        let host = url.as_ref().and_then(url::Url::host_str);
        let environment = host.and_then(proconnect_environment);
        let name = if environment.is_some() { "proconnect".to_owned() } else { provider_name(&kind_name) };
        let _ = write!(self.out, "\nproviders:\n  {name}:\n");
        if let (Some(environment), Some(issuer)) = (environment, &issuer) {
            let _ = write!(
                self.out,
                "    # From {}.\n    preset: proconnect\n    environment: {environment}\n",
                issuer.name
            );
        } else {
            self.issuer(kind.as_ref(), &kind_name, issuer.as_ref(), host);
        }
        if let Some(kind) = &kind {
            let says = match kind_name.as_str() {
                _ if environment.is_some() => "ProConnect is known by its issuer",
                "oidc" => "every OpenID Provider is spoken to alike",
                _ => "is spoken to as every OpenID Provider is; its groups say nothing here",
            };
            self.not_needed(&kind.name, says);
        }
        self.client(environment.is_some());
        if environment.is_none() {
            self.endpoints();
        }
        if let Some(scope) = self.settings.text("scope") {
            self.scopes(&scope, environment.is_some());
        }
        self.acr_values();
        self.parameters();
        self.algorithms();
        if self.settings.switch("skip-claims-from-profile-url") {
            self.line("    # From skip-claims-from-profile-url.\n    userinfo: {format: none}");
        }
        self.verification();
    }

    fn issuer(&mut self, kind: Option<&Text>, kind_name: &str, issuer: Option<&Text>, host: Option<&str>) {
        let tenant = self.settings.text("azure-tenant");
        if let Some(tenant) = &tenant {
            self.without(&tenant.name, "the issuer says which tenant it is");
        }
        let (name, origin) = kind.map_or(("provider", ""), |kind| (&kind.name, &kind.origin));
        if NO_OPENID.contains(&kind_name) {
            let says = format!("{kind_name} is no OpenID Provider that can be used here: write the issuer of one");
            let _ = writeln!(self.out, "    # From {name}: {says}.\n    # issuer:");
            self.note(origin, name, &says);
            return;
        }
        match issuer {
            Some(issuer) => {
                self.value("    ", "issuer", issuer);
                if host.is_some_and(is_proconnect_identite) {
                    let says = "is ProConnect Identité, one of the identity providers behind ProConnect and not \
                                ProConnect; register there, and write `preset: proconnect` instead of the issuer";
                    self.note(&issuer.origin, &issuer.name, says);
                }
            }
            None => match ISSUERS.iter().find(|(known, _)| *known == kind_name) {
                Some((_, issuer)) => {
                    let by_default = if kind.is_none() { ", which is google by default" } else { "" };
                    let _ = writeln!(self.out, "    # From {name}{by_default}.\n    issuer: {issuer}");
                }
                None => self.missing("    ", "issuer", "oidc-issuer-url", "write the issuer of the provider"),
            },
        }
    }

    fn client(&mut self, is_proconnect: bool) {
        match self.settings.text("client-id") {
            Some(client_id) => self.value("    ", "client_id", &client_id),
            None => self.missing("    ", "client_id", "client-id", "write the one of your registration"),
        }
        let secret = self.settings.secret("client-secret");
        let file = self.settings.text("client-secret-file");
        let has_one = secret.is_some() || file.is_some();
        match (secret, file) {
            (Some(secret), file) => {
                let reference = self.reference(&secret, "CLIENT_SECRET");
                let _ = writeln!(self.out, "    # From {}.\n    client_secret: {reference}", secret.name);
                if let Some(file) = file {
                    self.not_needed(&file.name, "oauth2-proxy reads it only where client-secret is not given");
                }
            }
            (None, Some(file)) => match &file.value {
                Some(path) => {
                    let _ =
                        writeln!(self.out, "    # From {}.\n    client_secret: {{file: {}}}", file.name, scalar(path));
                }
                None => self.value("    ", "client_secret", &file),
            },
            (None, None) if is_proconnect => {
                self.missing("    ", "client_secret", "client-secret", "write where the one of your registration is");
            }
            (None, None) => {
                self.line("    # client-secret is not set: a public client.");
                self.line("    client_authentication: none");
            }
        }
        if has_one && !is_proconnect {
            self.line("    # The secret goes into the header; oauth2-proxy tries both ways. If the provider wants it in the form:");
            self.line("    # client_authentication: client_secret_post");
        }
    }

    /// Endpoints, where they are not discovered.
    fn endpoints(&mut self) {
        let names = [
            ("login-url", "authorization"),
            ("redeem-url", "token"),
            ("oidc-jwks-url", "jwks_uri"),
            ("profile-url", "userinfo"),
        ];
        let given: Vec<(Option<Text>, &str)> = names.map(|(name, key)| (self.settings.text(name), key)).into();
        if !self.settings.switch("skip-oidc-discovery") {
            for (text, _) in given {
                if let Some(text) = text {
                    self.not_needed(&text.name, "is what the provider announces");
                }
            }
            return;
        }
        self.line("    # From skip-oidc-discovery.\n    endpoints:");
        for ((text, key), (name, _)) in given.iter().zip(names) {
            match text {
                Some(text) => {
                    if self.url(text).is_some() || text.value.is_none() {
                        self.value("      ", key, text);
                    }
                }
                None if *key == "userinfo" => {}
                None => self.missing("      ", key, name, "write that address of the provider"),
            }
        }
    }

    fn scopes(&mut self, scope: &Text, is_proconnect: bool) {
        let Some(value) = &scope.value else {
            self.value("    ", "scopes", scope);
            return;
        };
        let (scopes, of_profile) = scopes(value, is_proconnect);
        let profile = if of_profile { ": ProConnect has no `profile`, but given_name and usual_name" } else { "" };
        let _ = writeln!(self.out, "    # From {}{profile}.\n    scopes: {}", scope.name, list(scopes));
    }

    /// Authentication levels: asked for, and here also checked. They may also be given as groups that
    /// are read from the claim `acr`.
    fn acr_values(&mut self) {
        let mut from = Vec::new();
        let mut values: Vec<String> = Vec::new();
        let mut add = |name: String, text: &str| {
            from.push(name);
            for value in text.split_ascii_whitespace() {
                if !values.iter().any(|known| known == value) {
                    values.push(value.to_owned());
                }
            }
        };
        if let Some(Text { name, value: Some(value), .. }) = self.settings.text("acr-values") {
            add(name, &value);
        }
        let parameters = self.settings.alpha.as_ref().map_or(&[][..], |alpha| &alpha.parameters);
        for parameter in parameters.iter().filter(|parameter| parameter.name == "acr_values") {
            add(parameter.from.clone(), &parameter.values.join(" "));
        }
        if self.groups_are_levels() {
            // Those that are let in count, whatever is asked for besides.
            let groups = self.settings.list("allowed-group");
            values.clear();
            from.clear();
            from.extend(groups.first().map(|group| format!("{}, which are read from acr", group.name)));
            values.extend(groups.into_iter().filter_map(|group| group.value));
        }
        if values.is_empty() {
            return;
        }
        let values = list(values.iter().map(String::as_str));
        let _ =
            writeln!(self.out, "    # From {}: asked for, and checked.\n    acr_values: {values}", from.join(" and "));
    }

    /// Whether groups are authentication levels: who may enter is then a matter of `acr_values`.
    pub(super) fn groups_are_levels(&mut self) -> bool {
        let claim = self.settings.text("oidc-groups-claim").and_then(|claim| claim.value);
        let groups = self.settings.list("allowed-group");
        claim.as_deref() == Some("acr") && !groups.is_empty() && groups.iter().all(|group| group.value.is_some())
    }

    fn parameters(&mut self) {
        let mut parameters: Vec<(String, String, String)> = Vec::new();
        if let Some(prompt) = self.settings.text("prompt") {
            match prompt.value {
                Some(value) => parameters.push((prompt.name, "prompt".to_owned(), value)),
                None => self.without(&prompt.name, "depends on what is not known here; write it into `parameters`"),
            }
        }
        let of_alpha =
            self.settings.alpha.as_mut().map(|alpha| std::mem::take(&mut alpha.parameters)).unwrap_or_default();
        for parameter in of_alpha {
            if parameter.is_open {
                self.without(&parameter.from, "browsers do not choose parameters of the authorization request");
            }
            let value = parameter.values.join(" ");
            if value.is_empty() || parameter.name == "acr_values" {
                continue;
            }
            if matches!(parameter.name.as_str(), "siret_hint" | "idp_hint") {
                let _ =
                    writeln!(self.out, "    # From {}.\n    {}: {}", parameter.from, parameter.name, scalar(&value));
            } else {
                parameters.push((parameter.from, parameter.name, value));
            }
        }
        let mut first = true;
        for (from, name, value) in parameters {
            if RESERVED.contains(&name.as_str()) || (name == "max_age") {
                let instead = if name == "max_age" {
                    "`session: {sign_in_age: …}` asks for it and checks it"
                } else {
                    "is not yours to set"
                };
                self.without(&from, format!("{name} {instead}"));
            } else if name == "prompt" && value.split(' ').any(|word| word == "none") {
                self.without(&from, "prompt=none would sign nobody in; `sign_in: {entry: silent}` tries it first");
            } else if name == "approval_prompt" {
                self.without(&from, "approval_prompt is no parameter of OpenID Connect");
            } else {
                if std::mem::take(&mut first) {
                    self.line("    parameters:");
                }
                let _ = writeln!(self.out, "      # From {from}.\n      {}: {}", scalar(&name), scalar(&value));
            }
        }
    }

    fn algorithms(&mut self) {
        let algorithms = self.settings.list("oidc-enabled-signing-alg");
        let Some(first) = algorithms.first() else { return };
        let is_known = |text: &&Text| text.value.as_deref().is_some_and(|value| ALGORITHMS.contains(&value));
        let (known, unknown): (Vec<&Text>, Vec<&Text>) = algorithms.iter().partition(is_known);
        if !unknown.is_empty() {
            self.without(
                &first.name,
                format!("of the algorithms only these are verified here: {}", ALGORITHMS.join(", ")),
            );
        }
        if !known.is_empty() {
            let algorithms = list(known.iter().filter_map(|text| text.value.as_deref()));
            let _ = writeln!(self.out, "    # From {}.\n    id_token_algorithms: {algorithms}", first.name);
        }
    }

    /// What oauth2-proxy lets one change of how a sign-in is verified.
    fn verification(&mut self) {
        for name in ["code-challenge-method", "force-code-challenge-method"] {
            let Some(method) = self.settings.text(name) else { continue };
            if method.value.as_deref() == Some("S256") {
                self.not_needed(&method.name, "is always S256");
            } else {
                self.refuse(&method.name, "whoever sees the request could redeem the code; the method is S256, always");
            }
        }
        let audiences = self.settings.list("oidc-audience-claim");
        let Some(first) = audiences.first() else { return };
        if audiences.iter().all(|text| text.value.as_deref() == Some("aud")) {
            self.not_needed(&first.name, "is `aud`, always");
        } else {
            let says =
                "whom a token is for is said by `aud` alone; by another claim a token of another service could pass";
            self.refuse(&first.name, says);
        }
    }
}

/// The provider's name in the configuration.
fn provider_name(kind: &str) -> String {
    let plain = kind.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if plain && !kind.is_empty() && kind.len() <= 32 { kind.to_owned() } else { "provider".to_owned() }
}

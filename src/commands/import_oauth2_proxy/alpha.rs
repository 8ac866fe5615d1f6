//! oauth2-proxy's alpha configuration, in YAML.
//!
//! Called by `inputs` and `manifest`. What a flag says as well becomes that flag, under the name that
//! it has here; headers and upstreams, which say more than flags can, are handed on as they are.
//! Whatever is not known is a mistake. No value is repeated in a message.

use super::alpha_block::Block;
use super::gathered::Gathered;
use serde_yaml::{Mapping, Value};

/// What no flag can say.
#[derive(Default)]
pub(super) struct Alpha {
    pub(super) request_headers: Vec<Header>,
    pub(super) response_headers: Vec<Header>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) parameters: Vec<Parameter>,
    /// Keys that are set and have no flag: the key, and why it is not taken over.
    pub(super) others: Vec<(String, &'static str)>,
}

/// A header that is made of what is known of the person.
pub(super) struct Header {
    /// What asks for it: a flag or a key.
    pub(super) from: String,
    pub(super) name: String,
    /// Whether the client's own stays.
    pub(super) preserved: bool,
    pub(super) values: Vec<HeaderValue>,
}

pub(super) enum HeaderValue {
    Claim {
        claim: String,
        prefix: String,
    },
    /// A user and a password.
    Password,
    /// A text that is the same for everybody, and may be a secret: where it comes from.
    Fixed(Fixed),
}

/// Where a fixed value comes from.
pub(super) enum Fixed {
    Here,
    Variable(String),
    File(String),
}

pub(super) struct Upstream {
    /// What asks for it: a flag or a key.
    pub(super) from: String,
    pub(super) id: Option<String>,
    pub(super) path: String,
    pub(super) rewrite: Option<String>,
    pub(super) uri: Option<String>,
    /// The status that is answered to every request, where no app is asked.
    pub(super) answers: Option<u16>,
    pub(super) timeout: Option<String>,
}

/// A parameter of the authorization request.
pub(super) struct Parameter {
    pub(super) from: String,
    pub(super) name: String,
    pub(super) values: Vec<String>,
    /// Whether browsers may choose it.
    pub(super) is_open: bool,
}

/// Its top-level keys.
const KEYS: [&str; 6] =
    ["upstreamConfig", "injectRequestHeaders", "injectResponseHeaders", "server", "metricsServer", "providers"];

/// Whether a mapping is an alpha configuration: by keys that nothing else has.
pub(super) fn is_alpha(mapping: &Mapping) -> bool {
    let has = |key: &str| mapping.keys().filter_map(Value::as_str).any(|name| name.eq_ignore_ascii_case(key));
    let all = mapping
        .keys()
        .all(|name| KEYS.iter().any(|key| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(key))));
    KEYS.iter().take(3).any(|key| has(key)) || (all && !mapping.is_empty())
}

/// Reads an alpha configuration; `origin` is what messages call it.
pub(super) fn read(mapping: &Mapping, origin: &str, out: &mut Gathered) {
    if out.alpha.is_some() {
        out.mistake(origin, "is a second alpha configuration; oauth2-proxy takes one");
        return;
    }
    let mut alpha = Alpha::default();
    let mut top = Block::of(mapping, "", origin, out);
    for (key, flags) in [("server", SERVER), ("metricsServer", METRICS)] {
        if let Some(mut server) = top.block(key) {
            alpha.others.extend(read_server(&mut server, flags));
            server.finish();
        }
    }
    let Alpha { request_headers, response_headers, upstreams, others, .. } = &mut alpha;
    for (key, headers) in [("injectRequestHeaders", request_headers), ("injectResponseHeaders", response_headers)] {
        top.each(key, |_, header| headers.push(read_header(header, others)));
    }
    if let Some(mut config) = top.block("upstreamConfig") {
        if config.switch("proxyRawPath") == Some(true) {
            others.push((config.at("proxyRawPath"), "paths arrive at the app as they were sent"));
        }
        config.each("upstreams", |_, upstream| upstreams.extend(read_upstream(upstream, others)));
        config.finish();
    }
    top.each("providers", |index, provider| {
        if index == 0 {
            read_provider(provider, &mut alpha);
        } else {
            alpha
                .others
                .push((provider.here(), "there is one provider; oauth2-proxy too signs people in with the first"));
            provider.pass_over();
        }
    });
    top.finish();
    out.alpha = Some(alpha);
}

/// The flags that say what a server's keys say: address, address with TLS, certificate, key.
const SERVER: [&str; 4] = ["http-address", "https-address", "tls-cert-file", "tls-key-file"];
const METRICS: [&str; 4] =
    ["metrics-address", "metrics-secure-address", "metrics-tls-cert-file", "metrics-tls-key-file"];

fn read_server(server: &mut Block<'_, '_>, flags: [&'static str; 4]) -> Vec<(String, &'static str)> {
    let [address, secure_address, certificate, key] = flags;
    let mut others = Vec::new();
    server.flag("bindAddress", address);
    server.flag("secureBindAddress", secure_address);
    if let Some(mut tls) = server.block("tls") {
        for (part, flag) in [("cert", certificate), ("key", key)] {
            let Some(mut source) = tls.block(part) else { continue };
            source.flag("fromFile", flag);
            for other in ["value", "fromEnv"] {
                if source.has(other) {
                    others.push((source.at(other), "certificates and their keys are files: put it into one"));
                }
            }
            source.finish();
        }
        if flags == SERVER {
            tls.flag("minVersion", "tls-min-version");
            tls.flag("cipherSuites", "tls-cipher-suite");
        } else {
            tls.ignore(&["minVersion", "cipherSuites"]);
        }
        tls.finish();
    }
    others
}

fn read_header(header: &mut Block<'_, '_>, others: &mut Vec<(String, &'static str)>) -> Header {
    let name = header.text("name").unwrap_or_default();
    let preserved = header.switch("preserveRequestValue") == Some(true);
    if header.switch("InsecureSkipHeaderNormalization") == Some(true) {
        let says =
            "refused: a client could send it with `_` for `-`; whatever looks like an identity header is removed";
        others.push((header.at("InsecureSkipHeaderNormalization"), says));
    }
    let mut values = Vec::new();
    header.each("values", |_, value| {
        // Both sources may also stand in the value itself.
        for place in ["claimSource", "secretSource", ""] {
            let inner = if place.is_empty() { Some(value.again()) } else { value.block(place) };
            let Some(mut source) = inner else { continue };
            if let Some(claim) = source.text("claim") {
                let prefix = source.text("prefix").unwrap_or_default();
                let has_password = source.has("basicAuthPassword");
                values.push(if has_password { HeaderValue::Password } else { HeaderValue::Claim { claim, prefix } });
            }
            values.extend(fixed(&mut source).map(HeaderValue::Fixed));
            source.ignore(&["prefix", "basicAuthPassword", "claimSource", "secretSource"]);
            source.finish();
        }
        value.pass_over();
    });
    Header { from: header.here(), name, preserved, values }
}

fn fixed(source: &mut Block<'_, '_>) -> Option<Fixed> {
    let variable = source.text("fromEnv").map(Fixed::Variable);
    let file = source.text("fromFile").map(Fixed::File);
    let here = source.has("value").then_some(Fixed::Here);
    variable.or(file).or(here)
}

fn read_upstream(upstream: &mut Block<'_, '_>, others: &mut Vec<(String, &'static str)>) -> Option<Upstream> {
    let dangers = [
        (
            "insecureSkipTLSVerify",
            true,
            "refused: whoever stands between would be the app; an upstream's certificate is always checked",
        ),
        ("passHostHeader", false, "`Host` arrives at the app unchanged"),
        ("proxyWebSockets", false, "WebSockets go through wherever a route leads"),
        ("disableKeepAlives", true, "connections to the app are kept for the next request"),
    ];
    for (key, unusual, says) in dangers {
        if upstream.switch(key) == Some(unusual) {
            others.push((upstream.at(key), says));
        }
    }
    if upstream.has("flushInterval") {
        others.push((upstream.at("flushInterval"), "answers are streamed, piece by piece"));
    }
    let answers = upstream.number("staticCode").unwrap_or(200);
    let path = upstream.text("path");
    if path.is_none() {
        upstream.mistake("has no path");
    }
    Some(Upstream {
        from: upstream.here(),
        id: upstream.text("id"),
        path: path?,
        rewrite: upstream.text("rewriteTarget"),
        uri: upstream.text("uri"),
        answers: upstream.switch("static").filter(|is_static| *is_static).map(|_| answers),
        timeout: upstream.text("timeout"),
    })
}

/// The keys of a provider that are flags.
const OF_A_PROVIDER: [(&str, &str); 17] = [
    ("clientID", "client-id"),
    ("clientSecret", "client-secret"),
    ("clientSecretFile", "client-secret-file"),
    ("provider", "provider"),
    ("name", "provider-display-name"),
    ("caFiles", "provider-ca-file"),
    ("useSystemTrustStore", "use-system-trust-store"),
    ("loginURL", "login-url"),
    ("authRequestResponseMode", "auth-request-response-mode"),
    ("redeemURL", "redeem-url"),
    ("profileURL", "profile-url"),
    ("skipClaimsFromProfileURL", "skip-claims-from-profile-url"),
    ("resource", "resource"),
    ("validateURL", "validate-url"),
    ("scope", "scope"),
    ("allowedGroups", "allowed-group"),
    ("backendLogoutURL", "backend-logout-url"),
];

/// The blocks of a provider, and those of their keys that are flags.
const BLOCKS: [(&str, &[(&str, &str)]); 9] = [
    ("keycloakConfig", &[("groups", "keycloak-group"), ("roles", "allowed-role")]),
    ("azureConfig", &[("tenant", "azure-tenant"), ("graphGroupField", "azure-graph-group-field")]),
    (
        "microsoftEntraIDConfig",
        &[("allowedTenants", "entra-id-allowed-tenant"), ("federatedTokenAuth", "entra-id-federated-token-auth")],
    ),
    ("bitbucketConfig", &[("team", "bitbucket-team"), ("repository", "bitbucket-repository")]),
    (
        "githubConfig",
        &[
            ("org", "github-org"),
            ("team", "github-team"),
            ("repo", "github-repo"),
            ("token", "github-token"),
            ("users", "github-user"),
        ],
    ),
    ("gitlabConfig", &[("group", "gitlab-group"), ("projects", "gitlab-project")]),
    (
        "googleConfig",
        &[
            ("group", "google-group"),
            ("adminEmail", "google-admin-email"),
            ("serviceAccountJson", "google-service-account-json"),
            ("useApplicationDefaultCredentials", "google-use-application-default-credentials"),
            ("targetPrincipal", "google-target-principal"),
            ("useOrganizationID", "google-use-organization-id"),
            ("adminAPIUserScope", "google-admin-api-user-scope"),
        ],
    ),
    (
        "oidcConfig",
        &[
            ("issuerURL", "oidc-issuer-url"),
            ("insecureAllowUnverifiedEmail", "insecure-oidc-allow-unverified-email"),
            ("insecureSkipIssuerVerification", "insecure-oidc-skip-issuer-verification"),
            ("insecureSkipNonce", "insecure-oidc-skip-nonce"),
            ("skipDiscovery", "skip-oidc-discovery"),
            ("jwksURL", "oidc-jwks-url"),
            ("publicKeyFiles", "oidc-public-key-file"),
            ("emailClaim", "oidc-email-claim"),
            ("groupsClaim", "oidc-groups-claim"),
            ("userIDClaim", "user-id-claim"),
            ("audienceClaims", "oidc-audience-claim"),
            ("extraAudiences", "oidc-extra-audience"),
            ("enabledSigningAlgs", "oidc-enabled-signing-alg"),
        ],
    ),
    ("loginGovConfig", &[("jwtKey", "jwt-key"), ("jwtKeyFile", "jwt-key-file"), ("pubjwkURL", "pubjwk-url")]),
];

fn read_provider(provider: &mut Block<'_, '_>, alpha: &mut Alpha) {
    for (key, flag) in OF_A_PROVIDER {
        provider.flag(key, flag);
    }
    provider.flag("code_challenge_method", "code-challenge-method");
    provider.ignore(&["id"]);
    for (name, keys) in BLOCKS {
        let Some(mut block) = provider.block(name) else { continue };
        for (key, flag) in keys {
            block.flag(key, flag);
        }
        block.finish();
    }
    if let Some(mut adfs) = provider.block("ADFSConfig") {
        if adfs.switch("skipScope") == Some(true) {
            alpha.others.push((adfs.at("skipScope"), "write the scopes that the provider wants into `scopes`"));
        }
        adfs.finish();
    }
    if provider.has("additionalClaims") {
        let says = "claims are kept where a header names them, or under `identity: {claims: […]}`";
        alpha.others.push((provider.at("additionalClaims"), says));
    }
    provider.each("loginURLParameters", |_, parameter| {
        let from = parameter.here();
        let name = parameter.text("name").unwrap_or_default();
        let values = parameter.texts("default").unwrap_or_default();
        let is_open = parameter.has("allow");
        alpha.parameters.push(Parameter { from, name, values, is_open });
    });
}

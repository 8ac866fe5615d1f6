//! Golden cases: each file of `tests/config/` is a configuration above the line and what comes of
//! it below. The examples in `config/` are held to the same, and mutated.
//!
//! `UPDATE=1 cargo test config` writes the lower halves anew; read the difference before you keep it.

use super::*;
use crate::bearer;
use crate::clock::Timestamp;
use crate::credentials;
use crate::gate::rules::{Asker, Circumstances, Zone};
use crate::oidc::Endpoints;
use crate::seal::KeyMaterial;
use crate::secret::{ExposeSecret, SecretString};
use crate::web::public_url::PublicUrl;
use crate::web::return_hosts::ReturnHosts;
use proptest::prelude::*;
use std::fmt::Write;
use std::path::PathBuf;
use zeroize::Zeroizing;

const LINE: &str = "\n======\n";

/// Base64url of 32 bytes counted up from 1, and of another.
const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";
const OTHER_KEY: &str = "4eLj5OXm5-jp6uvs7e7v8PHy8_T19vf4-fr7_P3-_4A";
const THIRD_KEY: &str = "gYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6A";
const TOKEN: &str = "the-admin-token-of-the-golden-cases";
const GATEWAY: &str = "the-gateway-key-of-the-golden-cases";
/// Made with `openssl genpkey` for these tests; they protect nothing.
const P256: &str = include_str!("../signing/testdata/test-only-p256.pem");
const ED25519: &str = include_str!("../signing/testdata/test-only-ed25519.pem");
/// What must be in no message.
const CANARIES: [&str; 7] = ["hunter2", KEY, OTHER_KEY, THIRD_KEY, "s3cret-of-the-client", TOKEN, GATEWAY];

/// A world of a few variables and files.
pub(super) struct World;

impl Environment for World {
    fn variable(&self, name: &str) -> Result<SecretString, Unreadable> {
        match name {
            "SESSION_KEY" => Ok(KEY.into()),
            "OTHER_KEY" => Ok(OTHER_KEY.into()),
            "CLIENT_SECRET" => Ok("s3cret-of-the-client".into()),
            "THIRD_KEY" => Ok(THIRD_KEY.into()),
            "ADMIN_TOKEN" => Ok(TOKEN.into()),
            "GATEWAY_KEY" | "ALBERT_ADMIN_KEY" | "PLAYGROUND_ENCRYPTION_KEY" => Ok(GATEWAY.into()),
            "REDIS_PASSWORD" => Ok("hunter2".into()),
            "CHANGEME" => Ok("changeme".into()),
            "EMPTY" => Ok("".into()),
            "ACCENTED" => Ok("hunter2é".into()),
            "SHORT" => Ok("aHVudGVyMg".into()),
            "ZEROS" => Ok("A".repeat(43).into()),
            "TYPED" => Ok("VGhpcyBpcyBhIHBhc3NwaHJhc2UsIG5vdCBhIGtleS4=".into()),
            "NOT_BASE64" => Ok("hunter2 hunter2".into()),
            _ => Err(Unreadable::Absent),
        }
    }

    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let text = match path.to_str().unwrap_or_default() {
            "/run/secrets/session-key" => format!("{KEY}\n"),
            "/run/secrets/session-key-before" => format!("{OTHER_KEY}=\r\n"),
            "/run/secrets/session-key-next" => THIRD_KEY.to_owned(),
            "/run/secrets/standard-base64" => format!("{}=\n", OTHER_KEY.replace('-', "+").replace('_', "/")),
            "/run/secrets/proconnect" | "/run/secrets/oidc" => "s3cret-of-the-client\n".to_owned(),
            "/run/secrets/admin-token" => format!("{TOKEN}\n"),
            "/run/secrets/gateway" => format!("{GATEWAY}\n"),
            "/run/secrets/short-token" => "hunter2hunter2hunter2hunter2hun".to_owned(),
            "/run/secrets/dull-token" => "a".repeat(40),
            "/run/secrets/spaced-token" => "hunter2 hunter2 hunter2 hunter2 hunter2".to_owned(),
            "/run/secrets/two-lines" => "hunter2\nhunter2\n".to_owned(),
            "/etc/vestibule/people.txt" => "# who\n\nHelene.Moreau@example.gouv.fr # a guest\n".to_owned(),
            "/etc/vestibule/spoilt.txt" => "a@example.fr\nhunter2\n\n@example.fr\n".to_owned(),
            "/tls/chain.pem" => "-----BEGIN CERTIFICATE-----\n".to_owned(),
            "/run/secrets/signing-key.pem" => P256.to_owned(),
            "/run/secrets/signing-key-before.pem" => ED25519.to_owned(),
            "/run/secrets/rsa.pem" => include_str!("../oidc/testdata/test-only-rsa.pem").to_owned(),
            "/run/secrets/client.crt" => include_str!("../signing/testdata/test-only-client.crt").to_owned(),
            "/run/secrets/client.key" => include_str!("../signing/testdata/test-only-client.key").to_owned(),
            "/run/secrets/redis" => "hunter2\n".to_owned(),
            "/tls/key.pem" => "-----BEGIN PRIVATE KEY-----\n".to_owned(),
            "/run/secrets/latin-1" => return Ok(Zeroizing::new(vec![b'a', 0xE9])),
            "/root/forbidden" => return Err(Unreadable::Refused(std::io::ErrorKind::PermissionDenied)),
            _ => return Err(Unreadable::Absent),
        };
        Ok(Zeroizing::new(text.into_bytes()))
    }

    fn now(&self) -> Timestamp {
        // A day in November 2026.
        Timestamp::from_unix(1_795_000_000)
    }
}

pub(super) fn root(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

pub(super) fn files(below: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root(below)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "no {extension} files in {below}");
    files
}

/// What comes of a configuration. A line `=== NAME` begins a further file, which goes over those
/// before it.
fn outcome(input: &str) -> String {
    let mut parts = input.split("\n=== ");
    let first = ("vestibule.yaml", parts.next().unwrap());
    let others = parts.map(|part| part.split_once('\n').unwrap_or((part, "")));
    let files: Vec<(&str, &str)> = std::iter::once(first).chain(others).collect();
    match from_texts(&files, &World) {
        Err(problems) => problems.to_string(),
        Ok(config) => {
            let sites = config.each_site().map(|site| match &site.site {
                Some(name) => format!("--- {name}\n{}", summary(site)),
                None => summary(site),
            });
            sites
                .chain(config.findings().iter().map(|finding| format!("finding {finding}")))
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

/// Which front proxies ask, and where.
fn who_asks(server: &crate::server::Settings) -> String {
    let Some(forward_auth) = &server.forward_auth else { return String::new() };
    let grpc = server.forward_auth_grpc_listener.as_ref();
    let grpc = grpc.map(|address| format!("gRPC on {address:?}\n")).unwrap_or_default();
    format!("{forward_auth:?} on {:?}\n{grpc}", server.forward_auth_listener)
}

/// The licences and how their seats are given, where people need one.
fn licensing(config: &Config) -> String {
    let Some(settings) = &config.seats else { return String::new() };
    let licences = config.licences.iter().map(|licence| serde_json::json!(licence.written()).to_string() + "\n");
    let seatless: Vec<_> =
        config.routes.iter().filter(|route| !route.needs_seat).map(|route| route.path.as_str().to_owned()).collect();
    format!("{settings:?} not for {seatless:?}\n{}", licences.collect::<String>())
}

/// What pages in the browser may do, where any of another origin may do something.
fn browser(config: &Config) -> String {
    let Some(cors) = &config.server.cors else { return String::new() };
    let guarded: Vec<_> = config.routes.iter().map(|route| route.csrf).collect();
    let trusted: Vec<&str> = config.login.origins.iter().map(PublicUrl::origin).collect();
    format!(
        "{cors:?}\nsame-site {:?} after {}\ntrusts {trusted:?} csrf {guarded:?} sign-out {}\nkeeps forms {} {:?}\n",
        config.cookies.same_site,
        config.login.after.as_str(),
        config.sign_out_answer,
        config.login.keep_forms,
        config.cookies.request_token
    )
}

/// What signs what.
fn signs(config: &Config) -> String {
    let mut out = String::new();
    if let Some(assertion) = &config.assertion {
        let routes: Vec<_> = config.routes.iter().map(|route| route.assertion.as_deref().unwrap_or("-")).collect();
        let (header, issuer, claims) = (&assertion.header, &assertion.issuer, &assertion.claims);
        writeln!(out, "asserts {header} {issuer} {:?} {claims:?} to {routes:?}", assertion.lifetime).unwrap();
    }
    for keys in &config.signing {
        writeln!(out, "{}: {:?}", keys.files.at(), keys.ring).unwrap();
    }
    out
}

/// How our client proves itself, where that is by more than a secret.
fn proves(provider: &crate::oidc::Settings) -> String {
    let proof = &provider.client_proof;
    let pushes = if provider.pushes_requests { "" } else { " unpushed" };
    let (signs, shows) = (proof.assertions.is_some(), proof.presenting.is_some());
    if signs || shows || !pushes.is_empty() {
        format!("  signs {signs} shows a certificate {shows}{pushes}\n")
    } else {
        String::new()
    }
}

/// What runs, on a few lines: enough to see that every key arrived where it belongs.
fn summary(config: &Config) -> String {
    let mut out = String::new();
    let server = &config.server;
    writeln!(out, "public_url {} prefix {}", config.public_url.origin(), config.prefix.as_str()).unwrap();
    writeln!(out, "listen {:?} {:?}", server.proxy, server.admin).unwrap();
    if server.admin_token.is_some() {
        writeln!(out, "admin token").unwrap();
    }
    writeln!(
        out,
        "trusted {:?} threads {:?} grace {:?}",
        server.trusted_proxies, server.threads, server.shutdown_grace
    )
    .unwrap();
    for upstream in &server.upstreams {
        writeln!(out, "upstream {} {:?} {:?}", upstream.name, upstream.address, upstream.timeouts).unwrap();
    }
    out.push_str(&routes(config));
    for credentials::Settings { name, kind } in &config.credentials {
        writeln!(out, "credentials {name} {}", kind_in_short(kind)).unwrap();
    }
    if let Some(domains) = config.playground.endpoints.as_ref().map(|endpoints| &endpoints.allowed_domains) {
        writeln!(out, "returns to {domains:?}").unwrap();
    }
    for (path, endpoint) in &server.aliases {
        writeln!(out, "{endpoint} {path}").unwrap();
    }
    out.push_str(&licensing(config));
    out.push_str(&who_asks(server));
    out.push_str(&signs(config));
    if config.login.return_hosts != ReturnHosts::default() {
        writeln!(out, "{:?}", config.login.return_hosts).unwrap();
    }
    config.providers.iter().for_each(|provider| provider_in_short(&mut out, provider));
    if config.providers.len() > 1 {
        writeln!(out, "several {:?} {:?}", config.pages.providers, config.login.domain_owners).unwrap();
    }
    let ends = |until: Timestamp| format!(" until {}", until.date_and_time());
    let named = |key: &KeyMaterial| format!("{}{}", key.id, key.until.map(ends).unwrap_or_default());
    let keys: Vec<String> = config.keys.iter().map(named).collect();
    writeln!(
        out,
        "session {keys:?} idle {:?} lifetime {:?} cookie domain {:?}",
        config.session.idle, config.session.lifetime, config.cookies.domain
    )
    .unwrap();
    if let Some(app_data) = config.session.app_data {
        writeln!(out, "data {app_data:?}").unwrap();
    }
    writeln!(out, "sign-in {:?} {:?}", config.login.entry, config.login.attempt_lifetime).unwrap();
    out += &browser(config);
    if let Some(by_app) = &config.login.by_app {
        let (uri, lifetime) = (by_app.redirect_uri.as_str(), config.session.access_token);
        let (is_cookieless, login_cookie) = (by_app.is_cookieless, config.cookies.scripts_sign_in);
        if let Some(provider) = &by_app.provider {
            writeln!(out, "tokens of {provider}").unwrap();
        }
        writeln!(out, "tokens back at {uri} {lifetime:?} cookieless {is_cookieless} by scripts {login_cookie}")
            .unwrap();
    }
    let headers: Vec<&str> = config.identity.headers.iter().map(|(name, _)| name.as_str()).collect();
    writeln!(out, "headers {headers:?} {:?} claims {:?}", config.identity.encoding, config.kept_claims).unwrap();
    writeln!(out, "store {:?} {:?}", config.store, config.on_store_down).unwrap();
    let pages = &config.pages;
    writeln!(
        out,
        "Pages {{ application: {:?}, contact: {:?}, proconnect: {:?} }}",
        pages.application, pages.contact, pages.proconnect
    )
    .unwrap();
    write!(out, "log {:?} {}", config.telemetry.format, config.telemetry.level).unwrap();
    out
}

fn provider_in_short(out: &mut String, provider: &crate::oidc::Settings) {
    writeln!(
        out,
        "provider {} {} client {} secret {}",
        provider.name,
        provider.issuer,
        provider.client_id,
        provider.client_secret.is_some()
    )
    .unwrap();
    match &provider.endpoints {
        Endpoints::Discovered => writeln!(out, "  discovered").unwrap(),
        Endpoints::Given(given) => {
            let optional = |url: &Option<url::Url>| url.as_ref().map_or("-".to_owned(), url::Url::to_string);
            let [userinfo, end_session, revocation, pushed] =
                [&given.userinfo, &given.end_session, &given.revocation, &given.pushed_authorization].map(optional);
            writeln!(
                out,
                "  given {} {} {} {userinfo} {end_session} {revocation}{} {}",
                given.authorization,
                given.token,
                given.jwks_uri,
                if pushed == "-" { String::new() } else { format!(" {pushed}") },
                given.callback_iss
            )
            .unwrap();
        }
    }
    out.push_str(&proves(provider));
    writeln!(out, "  {:?} scopes {}", provider.client_authentication, provider.scopes.join(" ")).unwrap();
    writeln!(
        out,
        "  acr {:?} claims {} parameters {:?}",
        provider.acr_values,
        serde_json::Value::from(provider.claims.clone()),
        provider.parameters
    )
    .unwrap();
    writeln!(out, "  id_token {:?} userinfo {:?}", provider.id_token_algorithms, provider.userinfo).unwrap();
    writeln!(out, "  leeway {:?} timeout {:?}", provider.clock_leeway, provider.timeout).unwrap();
    writeln!(out, "  {} {}", provider.redirect_uri, provider.post_logout_redirect_uri).unwrap();
}

fn routes(config: &Config) -> String {
    let (mut out, server) = (String::new(), &config.server);
    for route in config.routes.iter() {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        let host = route.host.as_deref().unwrap_or("*");
        let upstream = route.upstream.map_or("-", |index| server.upstreams[index].name.as_str());
        let (path, strip) = (route.path.as_str(), route.strip_prefix.as_deref().unwrap_or("-"));
        write!(out, "route {host} {path} {methods:?} {:?} {upstream} strip {strip}", route.access).unwrap();
        if let Some(credential) = route.credential {
            write!(out, " with {} {:?}", config.credentials[credential].name, route.client_authorization).unwrap();
        }
        if let Some(envelope) = route.envelope.map(|index| &config.playground.envelopes[index]) {
            write!(out, " envelope of {} {:?}", config.credentials[envelope.credential].name, envelope.ttl).unwrap();
        }
        if !route.providers.is_empty() {
            write!(out, " of {:?}", route.providers).unwrap();
        }
        if !route.bearer.is_empty() {
            let names: Vec<&str> = route.bearer.iter().map(|index| config.bearers[*index].name.as_str()).collect();
            write!(out, " bearer {names:?}").unwrap();
        }
        writeln!(out).unwrap();
    }
    for bearer::Settings { name, kind } in &config.bearers {
        writeln!(out, "bearer {name} {kind:?}").unwrap();
    }
    out
}

fn kind_in_short(kind: &credentials::Kind) -> String {
    use credentials::Kind;
    match kind {
        Kind::Static { header, value } => {
            let before = value.to_str().unwrap().strip_suffix(GATEWAY).unwrap();
            assert!(value.is_sensitive());
            format!("static {header:?} {before:?}")
        }
        Kind::Token(templates) => format!("token {templates:?}"),
        Kind::Albert { settings, mint, key_name } => {
            let (url, timeout, lifetime) = (&settings.url, settings.timeout, settings.key_lifetime);
            format!("albert {url} {} rules {mint:?} {key_name:?} {timeout:?} {lifetime:?}", settings.rules.len())
        }
        Kind::Exchange { wanted, placement } => format!("exchange {:?} {wanted:?}", placement.header),
        Kind::Keys { settings, placement } => format!("keys {:?} {settings:?}", placement.header),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a developer asks for the cases to be written anew")]
fn every_golden_case_comes_out_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in files("tests/config", "case") {
        let case = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = case.split_once(LINE).unwrap_or((&case, ""));
        let outcome = outcome(input);
        for canary in CANARIES {
            assert!(!outcome.contains(canary), "{}: a secret is in a message: {outcome}", path.display());
        }
        if update {
            std::fs::write(&path, format!("{input}{LINE}{outcome}\n")).unwrap();
        } else if outcome != expected.trim_end() {
            wrong.push(format!("--- {}\n{outcome}\n", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_runs_without_a_finding_that_it_does_not_explain() {
    let deployments = std::fs::read_dir(root("deploy")).unwrap().map(|entry| entry.unwrap().path());
    let deployments = deployments.map(|folder| folder.join("vestibule.yaml")).filter(|path| path.exists());
    for path in files("config", "yaml").into_iter().chain(deployments) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let config = from_text(name, &text, &World).unwrap_or_else(|problems| panic!("{problems}"));
        let findings: Vec<String> = config.findings().iter().map(|finding| finding.path.to_string()).collect();
        let expected: &[&str] = if name == "sidecar.yaml" { &["listeners.admin"] } else { &[] };
        assert_eq!(findings, expected, "{name}");
    }
}

/// `deploy/environments/`: one configuration, and what is particular to each environment.
#[test]
fn each_environment_of_the_example_runs_without_a_finding() {
    let folder = root("deploy/environments");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let base = text("base.yaml");
    assert!(from_text("base.yaml", &base, &World).is_err(), "what environments differ in is in no base");
    for (name, issuer) in [
        ("staging.yaml", "https://fca.integ01.dev-agentconnect.fr"),
        ("production.yaml", "https://auth.agentconnect.gouv.fr"),
    ] {
        let files = [("base.yaml", base.as_str()), (name, &text(name))];
        let config = from_texts(&files, &World).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.findings(), [], "{name}");
        assert!(config.providers[0].issuer.starts_with(issuer), "{name}");
    }
}

/// `deploy/sites/` says of two sites what its head says.
#[test]
fn the_example_of_several_sites_has_two_that_are_apart() {
    let text = std::fs::read_to_string(root("deploy/sites/vestibule.yaml")).unwrap();
    let config = from_text("vestibule.yaml", &text, &World).unwrap_or_else(|problems| panic!("{problems}"));
    let sites: Vec<_> =
        config.each_site().map(|site| (site.site.as_deref().unwrap(), site.public_url.origin())).collect();
    assert_eq!(sites, [("agents", "https://agents.example.gouv.fr"), ("partners", "https://partners.example.fr")]);
    for site in config.each_site() {
        assert!(text.contains(&format!("{}/oauth2/callback", site.public_url.origin())), "{:?}", site.site);
    }
}

#[test]
fn the_smallest_file_of_the_reference_page_runs() {
    let page = reference();
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let config = from_text("reference", yaml, &World).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.findings(), []);
}

#[test]
fn secrets_arrive_without_their_line_break() {
    let config = from_text("v.yaml", &good(), &World).unwrap();
    assert_eq!(config.providers[0].client_secret.clone().unwrap().expose_secret(), "s3cret-of-the-client");
    let counted: Vec<u8> = (1..=32).collect();
    assert_eq!(config.keys[0].secret.as_slice(), counted);
}

#[test]
fn a_documented_default_is_the_one_that_runs() {
    fn fill(value: &mut serde_json::Value, schema: &serde_json::Value) {
        for (key, of_key) in schema["properties"].as_object().into_iter().flatten() {
            // Say nothing where there are no credentials, no front proxy asks, or there are no licences, and
            // are mistakes there.
            if ["client_authorization", "forward_auth", "assertion", "seat", "seats"].contains(&key.as_str()) {
                continue;
            }
            if let Some(default) = of_key.get("default") {
                value.as_object_mut().unwrap().entry(key).or_insert_with(|| default.clone());
            } else if of_key.get("properties").is_some()
                // Not where a part that is left out would then lack what it requires.
                && (value.get(key).is_some() || of_key.get("required").is_none())
            {
                fill(value.as_object_mut().unwrap().entry(key).or_insert_with(|| serde_json::json!({})), of_key);
            } else if let (Some(entry), Some(entries)) =
                (of_key.get("additionalProperties"), value[key].as_object_mut())
            {
                entries.values_mut().filter(|entry| entry.is_object()).for_each(|value| fill(value, entry));
            } else if let (Some(item), Some(items)) = (of_key.get("items"), value[key].as_array_mut()) {
                for value in items {
                    fill(value, item);
                }
            }
        }
    }
    // Every default of the schema, written out, changes nothing.
    let mut defaults = serde_yaml::from_str::<serde_json::Value>(SMALL).unwrap();
    fill(&mut defaults, schema());
    let written_out = serde_yaml::to_string(&defaults).unwrap();
    assert!(written_out.contains("websocket_idle") && written_out.contains("/oauth2"), "{written_out}");
    assert_eq!(outcome(&written_out), outcome(SMALL));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    for (path, why) in [
        ("/nowhere.yaml", "/nowhere.yaml: does not exist\n"),
        ("/root/forbidden", "/root/forbidden: cannot be read (permission denied)\n"),
        ("/run/secrets/latin-1", "/run/secrets/latin-1: is not UTF-8 text\n"),
    ] {
        let problems = load(&[path], &World).unwrap_err().to_string();
        assert_eq!(problems, format!("{why}1 mistake; nothing was started"));
    }
    let problems = load(&["/nowhere.yaml", "/root/forbidden"], &World).unwrap_err().to_string();
    assert!(problems.starts_with("/nowhere.yaml: does not exist\n/root/forbidden: cannot be read"), "{problems}");
}

#[test]
fn a_file_is_given_once_whatever_it_is_called() {
    let good = good();
    for (first, second, said) in [
        ("a.yaml", "a.yaml", "a.yaml: is given twice"),
        ("dir/a.yaml", "dir/./a.yaml", "dir/./a.yaml: is given twice"),
        ("a.yaml", "./a.yaml", "./a.yaml: is a.yaml once more"),
    ] {
        let problems = from_texts(&[(first, &good), (second, &good)], &World).unwrap_err().to_string();
        assert_eq!(problems.lines().next().unwrap().split(", ").next().unwrap().split(';').next().unwrap(), said);
    }
}

/// The configuration in two: the top-level keys whose turn it is in one, the others in the other.
fn in_two(text: &str, turns: u32) -> [String; 2] {
    let whole: serde_yaml::Mapping = serde_yaml::from_str(text).unwrap();
    let mut parts = [serde_yaml::Mapping::new(), serde_yaml::Mapping::new()];
    for (index, (key, value)) in whole.into_iter().enumerate() {
        parts[usize::from(turns & (1 << index) != 0)].insert(key, value);
    }
    parts.map(|part| serde_yaml::to_string(&part).unwrap())
}

/// Nothing but what is required, with a generic provider.
const SMALL: &str = "\
public_url: https://app.example.fr
providers: {p: {issuer: https://login.example.org, client_id: c, client_secret: {env: CLIENT_SECRET}}}
session: {keys: [{id: a, secret: {env: SESSION_KEY}}]}
upstreams: {app: {url: 'http://127.0.0.1:8501'}}
routes: [{path: /**, upstream: app}]
";

fn good() -> String {
    std::fs::read_to_string(root("config/proconnect-integration.yaml")).unwrap()
}

/// Whether `path`, or the place that holds it, is in the file.
fn is_in(text: &str, path: &KeyPath) -> bool {
    let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let holder = path.parent().unwrap_or_default();
    let found = holder.segments().iter().try_fold(&value, |value, segment| match segment {
        Segment::Key(name) => value.get(name),
        Segment::Item(index) => value.get(index),
    });
    found.is_some()
}

/// One small accident of editing.
fn mutate(text: &str, at: usize, kind: u8, other: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let line = at % lines.len();
    let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let chars: Vec<char> = lines[line].chars().collect();
    match kind % 8 {
        0 => drop(changed.remove(line)),
        1 => changed.insert(line, lines[other % lines.len()].to_owned()),
        2 => changed.swap(line, other % lines.len()),
        3 => changed[line] = format!(" {}", lines[line]),
        4 => changed[line] = lines[line].replacen(':', ": [x]", 1),
        5 => changed[line] = lines[line].split(':').next().unwrap_or_default().to_owned() + ":",
        6 => {
            changed[line] =
                chars.iter().enumerate().filter(|(i, _)| *i != other % chars.len().max(1)).map(|(_, c)| c).collect();
        }
        _ => {
            let odd = ['\t', '*', '&', '!', '{', '}', '[', ']', '"', '\'', '#', '-', ':', '\u{e9}', '0', '~', '|', '%'];
            let mut chars = chars;
            chars.insert(other % (chars.len() + 1), odd[other % odd.len()]);
            changed[line] = chars.into_iter().collect();
        }
    }
    changed.join("\n")
}

#[test]
fn a_file_made_to_exhaust_is_refused_at_once() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{items}]").unwrap();
    }
    let deep = format!("routes: {}{}", "[".repeat(1_000), "]".repeat(1_000));
    let wide = (0..500).fold(String::new(), |text, n| text + &format!("k{n}: 1\n"));
    for text in [bomb, deep, wide] {
        assert!(from_text("v.yaml", &text, &World).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_accident_of_editing_panics_leaks_or_points_nowhere(
        accidents in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<usize>()), 1..6),
    ) {
        let text = accidents.into_iter().fold(good(), |text, (at, kind, other)| mutate(&text, at, kind, other));
        let lines = text.lines().count();
        if let Err(problems) = from_text("v.yaml", &text, &World) {
            prop_assert!(problems.iter().count() > 0);
            let printed = problems.to_string();
            for canary in CANARIES {
                prop_assert!(!printed.contains(canary), "{printed}");
            }
            for problem in problems.iter() {
                prop_assert!(!problem.message.is_empty());
                prop_assert!(problem.line.is_none_or(|line| (1..=lines + 1).contains(&line)), "{printed}");
                if !problem.path.segments().is_empty() {
                    let named = problem.message.starts_with("is missing") || is_in(&text, &problem.path);
                    prop_assert!(named, "{}: {printed}\n{text}", problem.path);
                }
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}", yaml in "[a-z:{}\\[\\], \n\"'&*!|>-]{0,120}") {
        let _ = from_text("v.yaml", &text, &World);
        let _ = from_text("v.yaml", &yaml, &World);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn a_configuration_in_two_files_is_the_one_in_one(turns in any::<u32>()) {
        let whole = good();
        let [first, second] = in_two(&whole, turns);
        let config = from_texts(&[("a.yaml", &first), ("b.yaml", &second)], &World);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        prop_assert_eq!(summary(&config), summary(&from_text("a.yaml", &whole, &World).unwrap()));
    }

    #[test]
    fn no_accident_in_one_of_two_files_panics_leaks_or_points_nowhere(
        turns in any::<u32>(),
        accidents in proptest::collection::vec((any::<bool>(), any::<usize>(), any::<u8>(), any::<usize>()), 1..6),
    ) {
        let mut texts = [good(), in_two(&good(), turns)[0].clone()];
        for (which, at, kind, other) in accidents {
            let text = &mut texts[usize::from(which)];
            if !text.is_empty() {
                *text = mutate(text, at, kind, other);
            }
        }
        if let Err(problems) = from_texts(&[("a.yaml", &texts[0]), ("b.yaml", &texts[1])], &World) {
            let printed = problems.to_string();
            prop_assert!(problems.iter().count() > 0);
            for canary in CANARIES {
                prop_assert!(!printed.contains(canary), "{printed}");
            }
            for problem in problems.iter() {
                let lines = match problem.file.as_str() {
                    "a.yaml" => texts[0].lines().count(),
                    "b.yaml" => texts[1].lines().count(),
                    both => {
                        prop_assert_eq!(both, "a.yaml, b.yaml");
                        0
                    }
                };
                prop_assert!(problem.line.is_none_or(|line| (1..=lines + 1).contains(&line)), "{printed}");
            }
        }
    }
}

/// Who passes where: what is above the dashes is laid over a small configuration, below them stand
/// people with their claims, and below the line what becomes of each on each route.
#[test]
#[expect(clippy::disallowed_methods, reason = "a developer asks for the cases to be written anew")]
fn who_passes_where_is_as_the_tables_of_policies_say() {
    const BASE: &str = "public_url: https://app.example.fr\n\
        providers: {p: {issuer: https://login.example.org, client_id: c, client_secret: {env: CLIENT_SECRET}}}\n\
        session: {keys: [{id: a, secret: {env: SESSION_KEY}}]}\n\
        upstreams: {app: {url: \"http://127.0.0.1:8501\"}}\n";
    for path in files("tests/policy", "case") {
        let case = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = case.split_once("======\n").unwrap();
        let (rules, people) = input.split_once("------\n").unwrap();
        let config = from_text("v.yaml", &format!("{BASE}{rules}"), &World)
            .unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
        let mut out = String::new();
        for route in config.routes.iter() {
            writeln!(out, "{}", route.path.as_str()).unwrap();
            for person in people.lines() {
                // A name, then from where (`@192.0.2.7`) and when (`2026-11-20T08:00`, in UTC), then claims.
                let (before, claims) = person.split_at(person.find('{').unwrap());
                let mut words = before.split_whitespace();
                let name = words.next().unwrap();
                let mut at = Circumstances { now: Timestamp::from_unix(0), client: None };
                for word in words {
                    match word.strip_prefix('@') {
                        Some(address) => at.client = Some(address.parse().unwrap()),
                        None => {
                            let (date, time) = word.split_once('T').unwrap();
                            at.now = Zone::named("UTC").unwrap().moment(date, time).unwrap();
                        }
                    }
                }
                let claims: serde_json::Value = serde_json::from_str(claims).unwrap();
                // No claim, but what the session says.
                let provider = claims["@provider"].as_str();
                let kept = |claim: &str| {
                    claim == "sub" || claim == "acr" || config.kept_claims.iter().any(|kept| kept == claim)
                };
                // As a session has them: rules see nothing that is not kept.
                let claims = crate::claims::Claims::from_json(claims.as_object().unwrap()).retaining(kept);
                let outcome =
                    match route.rules.judge(&Asker { claims: &claims.view(), provider, authenticated_at: None, at }) {
                        Ok(()) => "passes".to_owned(),
                        Err(refusal) => route.rules.explain(refusal).unwrap().cause,
                    };
                writeln!(out, "  {name}: {outcome}").unwrap();
            }
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{input}======\n{out}")).unwrap();
        } else {
            assert_eq!(out, expected, "{}", path.display());
        }
    }
}

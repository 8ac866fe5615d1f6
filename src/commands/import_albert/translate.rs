//! From the settings of an Albert API to a configuration of ours, with comments that say from what.
//!
//! Called by `import_albert`. Names and meanings are those of Albert API 0.1 and OpenGateLLM 0.2,
//! which changed from version to version (`docs/albert.md`). What cannot be known from the file is
//! left out behind a `#`, so that `vestibule check` asks for it.

use super::found::{Secret, Source, Text};
use std::fmt::Write as _;
use url::Url;
use vestibule::web::public_url::{BadPublicUrl, PublicUrl};

/// Where the settings of the sign-in stand, one of them in a file.
const BLOCKS: [&str; 3] = ["dependencies.proconnect", "oauth2", "settings.oauth2"];
/// The names in such a block, the last one not in the first block.
const OF_A_BLOCK: [&str; 8] = [
    "client_id",
    "client_secret",
    "server_metadata_url",
    "redirect_uri",
    "scope",
    "allowed_domains",
    "default_role",
    "encryption_key",
];
/// The names that are read elsewhere.
const OF_SETTINGS: [&str; 6] =
    ["oauth2", "encryption_key", "oauth2_encryption_key", "session_secret_key", "front_url", "auth_master_key"];
const OF_PLAYGROUND: [&str; 6] =
    ["proconnect_enabled", "auth_encryption_key", "encryption_key", "oauth2_encryption_key", "api_url", "home_url"];

/// Where the key of the envelope may stand, the playground's own before the API's, and how the
/// playground of that version derives it.
const ENVELOPE_KEYS: [(&str, &str, &str); 8] = [
    ("playground.auth_encryption_key", "pbkdf2", "the playground of 0.2.1 to 0.2.8 derives it with PBKDF2"),
    ("playground.encryption_key", "raw", "the playground of 0.1 takes it as it is, whatever the API makes of its own"),
    ("oauth2.encryption_key", "raw", "both ends take it as it is"),
    ("settings.oauth2.encryption_key", "raw", "both ends take it as it is"),
    ("settings.encryption_key", "raw", "both ends take it as it is"),
    (
        "settings.oauth2_encryption_key",
        "sha256",
        "this API takes its SHA-256, which in base64url has to be the playground.encryption_key",
    ),
    ("playground.oauth2_encryption_key", "raw", "as documented; see that playground.encryption_key is the same"),
    ("settings.auth_master_key", "pbkdf2", "from 0.2.1 on the playground has the master key as auth_encryption_key"),
];

/// ProConnect's environments by host.
const PROCONNECT: [(&str, &str); 4] = [
    ("fca.integ01.dev-agentconnect.fr", "integration"),
    ("auth.agentconnect.gouv.fr", "production"),
    ("fca.integ02.agentconnect.rie.gouv.fr", "rie-integration"),
    ("auth.agentconnect.rie.gouv.fr", "rie-production"),
];
const METADATA: &str = "/.well-known/openid-configuration";

/// Domains under which strangers have hosts.
const SHARED: [&str; 8] = [
    "gouv.fr",
    "beta.gouv.fr",
    "asso.fr",
    "incubateur.net",
    "scalingo.io",
    "github.io",
    "herokuapp.com",
    "netlify.app",
];

/// The configuration, and what the person who asked for it has to know.
pub(super) fn translate(source: &mut Source) -> (String, Vec<String>) {
    let mut import = Import { source, block: BLOCKS[0], out: String::new(), notes: Vec::new() };
    if import.finds_something() {
        import.everything();
    }
    (import.out, import.notes)
}

struct Import<'a> {
    source: &'a mut Source,
    block: &'static str,
    out: String,
    notes: Vec<String>,
}

impl Import<'_> {
    fn finds_something(&mut self) -> bool {
        for block in ["settings", "dependencies"] {
            self.source.has_block(block);
        }
        let blocks: Vec<_> = BLOCKS.into_iter().filter(|block| self.source.has_block(block)).collect();
        let playground = self.source.has_block("playground");
        match blocks.as_slice() {
            [] if playground => true,
            [] => {
                self.source.mistake("dependencies.proconnect", "is missing, and so are oauth2 and playground");
                false
            }
            [block] => {
                self.block = block;
                true
            }
            [_, another, ..] => {
                self.source.mistake(another, "says again what another block says; remove the one that is not used");
                false
            }
        }
    }

    fn everything(&mut self) {
        self.line("# The sign-in of an Albert API as Vestibule's configuration. Look through it, then:");
        self.line("# vestibule check --config vestibule.yaml --online");
        let (host, callback) = self.public_url();
        self.provider();
        self.session();
        self.line("\nupstreams:\n  # Where Streamlit listens by itself; the file does not say.");
        self.line("  playground: {url: http://127.0.0.1:8501}");
        self.credentials();
        self.routes();
        self.endpoints(host.as_deref());
        if let Some((at, path)) = callback {
            let _ = write!(self.out, "\n# From {at}: the redirect URI that ProConnect knows stays.\n");
            let _ = writeln!(self.out, "aliases: {{callback: {}}}", scalar(&path));
        }
        self.the_rest();
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn note(&mut self, at: &str, says: &str) {
        self.notes.push(format!("{at}: {says}"));
    }

    fn of_block(&self, name: &str) -> String {
        format!("{}.{name}", self.block)
    }

    /// `key: value` with where it comes from; behind a `#` where the value is not known.
    fn value(&mut self, indent: &str, key: &str, setting: &Text) {
        let Text { at, value, variables } = setting;
        let names = variables.iter().map(|name| format!("${{{name}}}")).collect::<Vec<_>>().join(", ");
        if let Some(value) = value {
            let by_default = if names.is_empty() { "." } else { ", as it is by default." };
            let _ = writeln!(self.out, "{indent}# From {at}{by_default}\n{indent}{key}: {}", scalar(value));
            if !names.is_empty() {
                self.note(
                    at,
                    &format!("depends on {names}, of which the default was taken; write what it is into {key}"),
                );
            }
        } else {
            let _ = writeln!(self.out, "{indent}# From {at}: write what {names} is.\n{indent}# {key}:");
            self.note(at, &format!("depends on {names}, which has no default; write what it is into {key}"));
        }
    }

    /// The same for a key that nothing in the file is for.
    fn missing(&mut self, indent: &str, key: &str, from: &str, says: &str) {
        let _ = writeln!(self.out, "{indent}# {from} is not set: {says}.\n{indent}# {key}:");
        self.note(from, &format!("is not set; {says}, under {key}"));
    }

    /// A reference to a secret: the variable that it comes from, or one for it to be put into.
    fn reference(&mut self, secret: &Secret, ours: &str) -> String {
        if let Some(variable) = &secret.variable {
            let default = if secret.has_default() { "; its default was not copied" } else { "" };
            let says = format!("is read from the variable {variable}, which has to be set for Vestibule too{default}");
            self.note(&secret.at, &says);
            return format!("{{env: {variable}}}");
        }
        let from = if secret.is_in_the_file() { "" } else { ", with its variables filled in," };
        let says = format!("is a secret and was not copied: put it{from} into the variable {ours}, or into a file");
        self.note(&secret.at, &format!("{says}, with {{file: PATH}} instead of {{env: {ours}}}"));
        format!("{{env: {ours}}}")
    }

    /// An address with a host and no password. Its text may hold one and is not repeated.
    fn url(&mut self, setting: Option<&Text>) -> Option<Url> {
        let Text { at, value: Some(value), .. } = setting? else { return None };
        let says = match Url::parse(value) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                "must begin with https:// or http:// and a host"
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "holds a user or a password; remove them"
            }
            Ok(url) => return Some(url),
            Err(_) => "is no URL",
        };
        self.source.mistake(at, says);
        None
    }

    /// The host of `public_url`; where the callback's path stays as it is registered, that with its
    /// key path.
    fn public_url(&mut self) -> (Option<String>, Option<(String, String)>) {
        let front = self.source.text("settings.front_url");
        let home = self.source.text("playground.home_url");
        let redirect = self.source.text(&self.of_block("redirect_uri"));
        let urls = [&front, &home, &redirect].map(|setting| self.url(setting.as_ref()));
        let origins = urls.each_ref().map(|url| url.as_ref().map(|url| url.origin().ascii_serialization()));
        let chosen = [(&front, 0), (&home, 1), (&redirect, 2)].into_iter().find(|(setting, _)| setting.is_some());
        self.line("");
        let Some((Some(setting), index)) = chosen else {
            self.missing(
                "",
                "public_url",
                "settings.front_url",
                "write the address that browsers use for the playground",
            );
            return (None, None);
        };
        let origin = origins.get(index).cloned().flatten();
        self.value("", "public_url", &Text { value: origin.clone(), ..setting.clone() });
        let Some(origin) = origin else { return (None, None) };
        if PublicUrl::parse(&origin) == Err(BadPublicUrl::Insecure) {
            self.note(&setting.at, "is http, which Vestibule takes on loopback only; write the https address");
        }
        if let (Some(home), Some(Some(at_home))) = (&home, origins.get(1))
            && *at_home != origin
        {
            let says = "has another origin than public_url; set it to that address in the playground: \
                        its sign-in button leads there";
            self.note(&home.at, says);
        }
        let mut callback = None;
        if let (Some(redirect), Some(Some(registered)), Some(Some(url))) = (&redirect, origins.get(2), urls.get(2)) {
            if *registered != origin {
                let says =
                    format!("has another origin than public_url; register {origin}/oauth2/callback at the provider");
                self.note(&redirect.at, &says);
            } else if url.query().is_some() || url.fragment().is_some() || url.path() == "/" {
                let says = format!("cannot be kept; register {origin}/oauth2/callback at the provider");
                self.note(&redirect.at, &says);
            } else if url.path() != "/oauth2/callback" {
                callback = Some((redirect.at.clone(), url.path().to_owned()));
            }
        } else if redirect.is_none() {
            let says = format!("is not set; register {origin}/oauth2/callback at the provider");
            self.note(&self.of_block("redirect_uri"), &says);
        }
        let says = format!("register {origin}/oauth2/signed_out at the provider too, as post-logout redirect URI");
        self.note(&self.of_block("redirect_uri"), &says);
        let host = urls.get(index).and_then(Option::as_ref).and_then(Url::host_str);
        (host.map(str::to_owned), callback)
    }

    fn provider(&mut self) {
        self.line("\nproviders:\n  proconnect:");
        let metadata = self.source.text(&self.of_block("server_metadata_url"));
        let url = self.url(metadata.as_ref());
        let mut is_proconnect = false;
        match (&metadata, url) {
            (Some(metadata), Some(url)) => is_proconnect = self.issuer(metadata, &url),
            (Some(metadata), None) => self.value("    ", "issuer", metadata),
            (None, _) => {
                let at = self.of_block("server_metadata_url");
                let says = "write `preset: proconnect` with its environment, or an issuer";
                self.missing("    ", "preset", &at, says);
            }
        }
        let at = self.of_block("client_id");
        match self.source.text(&at) {
            Some(client_id) => self.value("    ", "client_id", &client_id),
            None => self.missing("    ", "client_id", &at, "write the one of your registration"),
        }
        let at = self.of_block("client_secret");
        match self.source.secret(&at) {
            Some(secret) => {
                let reference = self.reference(&secret, "PROCONNECT_CLIENT_SECRET");
                let _ = writeln!(self.out, "    # From {at}.\n    client_secret: {reference}");
            }
            None => self.missing("    ", "client_secret", &at, "write where the one of your registration is"),
        }
        let at = self.of_block("scope");
        if let Some(scope) = self.source.text(&at) {
            self.scopes(&scope, is_proconnect);
        }
    }

    /// The preset or the issuer that a metadata URL stands for; whether it is ProConnect.
    fn issuer(&mut self, metadata: &Text, url: &Url) -> bool {
        let known = PROCONNECT.iter().find(|(host, _)| url.host_str() == Some(host));
        if let Some((_, environment)) = known {
            self.value("    ", "preset", &Text { value: Some("proconnect".to_owned()), ..metadata.clone() });
            let _ = writeln!(self.out, "    environment: {environment}");
            return true;
        }
        let Some(issuer) = url.as_str().strip_suffix(METADATA) else {
            self.source.mistake(&metadata.at, &format!("must end with {METADATA}, before which the issuer stands"));
            return false;
        };
        self.value("    ", "issuer", &Text { value: Some(issuer.to_owned()), ..metadata.clone() });
        if url.host_str().is_some_and(|host| host.starts_with("identite") && host.ends_with("proconnect.gouv.fr")) {
            let says = "is ProConnect Identité, one of the identity providers behind ProConnect and not ProConnect; \
                        register there, and write `preset: proconnect` instead of the issuer";
            self.note(&metadata.at, says);
        }
        false
    }

    fn scopes(&mut self, scope: &Text, is_proconnect: bool) {
        let Some(value) = &scope.value else {
            self.value("    ", "scopes", scope);
            return;
        };
        let mut scopes: Vec<&str> = vec!["openid"];
        let mut of_profile = false;
        for name in value.split_ascii_whitespace() {
            let names: &[&str] = if is_proconnect && name == "profile" {
                of_profile = true;
                &["given_name", "usual_name"]
            } else {
                &[name]
            };
            scopes.extend(names);
        }
        let mut seen = std::collections::BTreeSet::new();
        scopes.retain(|name| seen.insert(*name));
        let list = scopes.iter().map(|name| scalar(name)).collect::<Vec<_>>().join(", ");
        let profile = if of_profile { ": ProConnect has no `profile`, but given_name and usual_name" } else { "" };
        let _ = writeln!(self.out, "    # From {}{profile}.\n    scopes: [{list}]", scope.at);
        if !scope.variables.is_empty() {
            self.note(&scope.at, "depends on a variable, of which the default was taken; write what it is into scopes");
        }
    }

    fn session(&mut self) {
        self.line("\nsession:\n  # New: `vestibule keys new` prints one.");
        self.line("  keys: [{id: first, secret: {env: VESTIBULE_SESSION_KEY}}]");
        self.note(
            "session.keys",
            "put what `vestibule keys new` prints into the variable VESTIBULE_SESSION_KEY, or a file",
        );
        if self.source.secret("settings.session_secret_key").is_some() {
            let says =
                "not taken over: it signed the API's own cookie during a sign-in, and Vestibule has keys of its own";
            self.note("settings.session_secret_key", says);
        }
    }

    fn credentials(&mut self) {
        self.line("\ncredentials:\n  albert:\n    kind: albert");
        let api = self.source.text("playground.api_url");
        match (&api, self.url(api.as_ref())) {
            (Some(api), Some(url)) => {
                let origin = url.origin().ascii_serialization();
                if url.path() != "/" || url.query().is_some() {
                    self.note(&api.at, "has a path, which was left out");
                }
                self.value("    ", "url", &Text { value: Some(origin), ..api.clone() });
                let says = "keep it, but know that the playground sends its sign-outs there: those that should end the \
                            session have to reach Vestibule at /v1/auth/logout and /v1/oauth2/logout (docs/albert.md)";
                self.note(&api.at, says);
            }
            (Some(api), None) => self.value("    ", "url", api),
            (None, _) => self.missing("    ", "url", "playground.api_url", "write the address of the API"),
        }
        self.line("    # A key of an administrator. Not the master key, from which every key can be made.");
        self.line("    admin_key: {env: ALBERT_ADMIN_KEY}");
        let says =
            "put the key of an API user with the permission `admin` into the variable ALBERT_ADMIN_KEY, or a file";
        self.note("credentials.albert.admin_key", says);
        if self.source.secret("settings.auth_master_key").is_some() {
            self.note("settings.auth_master_key", "not taken over: whoever has it can make any key of the API");
        }
        let at = self.of_block("default_role");
        match self.source.text(&at) {
            Some(role) => self.value("    ", "role", &role),
            None => self.missing("    ", "role", &at, "write the role of people who are new to the API"),
        }
        self.line("    mint: at_sign_in");
    }

    fn routes(&mut self) {
        self.line("\nroutes:\n  - {path: /_stcore/health, access: public, upstream: playground}");
        self.line("  - path: /**\n    upstream: playground\n    envelope:\n      credentials: albert");
        let mut found = Vec::new();
        for (at, derivation, says) in ENVELOPE_KEYS {
            if let Some(key) = self.source.secret(at) {
                found.push((key, derivation, says));
            }
        }
        let mut found = found.into_iter();
        if let Some((key, derivation, says)) = found.next() {
            let reference = self.envelope_key(&key, derivation);
            let _ = writeln!(self.out, "      # From {}: {says}.", key.at);
            let _ = writeln!(self.out, "      key: {reference}\n      derivation: {derivation}\n      ttl: 5m");
            for (other, ..) in found.filter(|(other, ..)| other.at != "settings.auth_master_key") {
                let says = format!("not taken over: what the playground opens envelopes with follows from {}", key.at);
                self.note(&other.at, &says);
            }
        } else {
            self.line("      # No key of an envelope is in the file. This is how 0.2.1 to 0.2.8 derive it.");
            self.line("      key: {env: PLAYGROUND_ENCRYPTION_KEY}\n      derivation: pbkdf2\n      ttl: 5m");
            let says =
                "is not set; put the same long random text there and into the variable PLAYGROUND_ENCRYPTION_KEY";
            self.note("playground.auth_encryption_key", says);
        }
        if self.source.is_off("playground.proconnect_enabled") {
            self.note(
                "playground.proconnect_enabled",
                "is off; switch it on in the playground, or it shows no sign-in",
            );
        }
    }

    fn envelope_key(&mut self, key: &Secret, derivation: &str) -> String {
        let master_key = self.source.secret("settings.auth_master_key");
        if master_key.is_some_and(|master_key| master_key.is_same_as(key)) {
            let says = "is the API's master key, which Vestibule should not have: put one new long random text into \
                        playground.auth_encryption_key and into the variable PLAYGROUND_ENCRYPTION_KEY";
            self.note(&key.at, says);
            return "{env: PLAYGROUND_ENCRYPTION_KEY}".to_owned();
        }
        if key.is_placeholder() {
            let says = "is, or is by default, the word of the examples, with which anybody makes envelopes; put a new one at both ends";
            self.note(&key.at, says);
        } else if derivation == "raw" && key.is_no_fernet_key() {
            self.note(
                &key.at,
                "is not 32 bytes in base64url, so the playground cannot read it; put a new one at both ends",
            );
        }
        self.reference(key, "PLAYGROUND_ENCRYPTION_KEY")
    }

    fn endpoints(&mut self, host: Option<&str>) {
        let at = self.of_block("allowed_domains");
        let written = self.source.list(&at);
        let mut domains: Vec<String> = Vec::new();
        for domain in written.iter().flatten() {
            let Some(value) = &domain.value else {
                let names = domain.variables.join(", ");
                let says = format!("depends on {names}, which has no default; write what it is into allowed_domains");
                self.note(&domain.at, &says);
                continue;
            };
            let value = value.trim().to_ascii_lowercase();
            if !is_domain(&value) {
                self.note(&domain.at, "has an entry that is no name of a host, which matched nothing: not taken over");
                continue;
            }
            let shared = SHARED.contains(&value.as_str()) || (!value.contains('.') && value != "localhost");
            if shared {
                let says =
                    format!("{value} lets every host below it ask for a sign-in and name itself as the way back");
                self.note(&domain.at, &format!("{says}; write your own hosts instead"));
            }
            if !domains.contains(&value) {
                domains.push(value);
            }
        }
        let mut from = format!("From {at}.");
        if written.is_none() {
            from = format!("{at} is not set: the host of public_url alone.");
            domains.extend(host.map(str::to_owned));
        } else if let Some(host) = host
            && !domains.iter().any(|domain| is_at_or_below(host, domain))
        {
            self.note(&at, "does not have the host of public_url, so its sign-in button would be refused; add it");
        }
        let _ = write!(self.out, "\n# /v1/oauth2/… and /v1/auth/…, as the API had them. {from}\nalbert_endpoints:\n");
        if domains.is_empty() {
            self.line("  # Write the hosts whose pages may ask for a sign-in.\n  # allowed_domains:");
            return;
        }
        let list = domains.iter().map(|domain| scalar(domain)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(self.out, "  allowed_domains: [{list}]");
    }

    /// What was not looked at.
    fn the_rest(&mut self) {
        let block = self.block;
        let known = ["settings", "dependencies", "playground", "oauth2"];
        let [of_first @ .., _] = &OF_A_BLOCK;
        let of_block: &[&str] = if block == BLOCKS[0] { of_first } else { &OF_A_BLOCK };
        let rest: [(&str, &[&str], &str); 5] = [
            (block, of_block, "not known here, and not taken over"),
            ("settings", &OF_SETTINGS, "not about the sign-in: it stays with the API"),
            ("dependencies", &["proconnect"], "not about the sign-in: it stays with the API"),
            ("playground", &OF_PLAYGROUND, "not about the sign-in: it stays with the playground"),
            ("", &known, "not about the sign-in: it stays with the API"),
        ];
        for (at, known, says) in rest {
            let names = self.source.names(at).into_iter().filter(|name| !known.contains(&name.as_str()));
            let prefix = if at.is_empty() { String::new() } else { format!("{at}.") };
            let paths: Vec<String> = names.map(|name| format!("{prefix}{name}")).collect();
            if !paths.is_empty() {
                self.note(&paths.join(", "), says);
            }
        }
    }
}

fn is_domain(text: &str) -> bool {
    let labels = |text: &str| text.split('.').all(|label| !label.is_empty() && !label.starts_with('-'));
    labels(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}

fn is_at_or_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A text as YAML: as it is where it can only be read as this text, else in quotes.
fn scalar(text: &str) -> String {
    let plain = text.contains(|c: char| c.is_ascii_alphabetic())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && !text.ends_with(':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@+-".contains(c))
        && serde_yaml::from_str::<serde_yaml::Value>(text).is_ok_and(|read| read.as_str() == Some(text));
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

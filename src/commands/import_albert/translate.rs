//! From the settings of an Albert API to a configuration of ours, with comments that say from what.
//!
//! Called by `import_albert`. Names and meanings are those of Albert API 0.1 and OpenGateLLM 0.2,
//! which changed from version to version (`docs/albert.md`). What cannot be known from the file is
//! left out behind a `#`, so that `vestibule check` asks for it.

use super::found::{Secret, Source, Text};
use crate::commands::import::{list, scalar};
use std::fmt::Write as _;
use vestibule::web::domain::is_at_or_below;

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

/// What has been printed so far, and what there is to say about it.
pub(super) struct Import<'a> {
    pub(super) source: &'a mut Source,
    /// Which of [`BLOCKS`] the file has.
    block: &'static str,
    pub(super) out: String,
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
            let _ = write!(self.out, "\n# From {at}: the redirect URI that the provider knows stays.\n");
            let _ = writeln!(self.out, "aliases: {{callback: {}}}", scalar(&path));
        }
        self.the_rest();
    }

    pub(super) fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    pub(super) fn note(&mut self, at: &str, says: &str) {
        self.notes.push(format!("{at}: {says}"));
    }

    pub(super) fn of_block(&self, name: &str) -> String {
        format!("{}.{name}", self.block)
    }

    /// `key: value` with where it comes from; behind a `#` where the value is not known.
    pub(super) fn value(&mut self, indent: &str, key: &str, setting: &Text) {
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
    pub(super) fn missing(&mut self, indent: &str, key: &str, from: &str, says: &str) {
        let _ = writeln!(self.out, "{indent}# {from} is not set: {says}.\n{indent}# {key}:");
        self.note(from, &format!("is not set; {says}, under {key}"));
    }

    /// A reference to a secret: the variable that it comes from, or one for it to be put into.
    pub(super) fn reference(&mut self, secret: &Secret, ours: &str) -> String {
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
        self.line("    # The playground deletes keys of this name, and makes its own by it.");
        self.line("    key_name: playground");
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
            let there = match derivation {
                "pbkdf2" => "the same into playground.auth_encryption_key",
                "sha256" => "its SHA-256 in base64url into playground.encryption_key",
                _ => "the same into playground.encryption_key",
            };
            let says = "is the API's master key, which Vestibule should not have";
            let says = format!("{says}: put a new one into the variable PLAYGROUND_ENCRYPTION_KEY, and {there}");
            self.note(&key.at, &says);
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
        let _ = writeln!(self.out, "  allowed_domains: {}", list(domains.iter().map(String::as_str)));
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

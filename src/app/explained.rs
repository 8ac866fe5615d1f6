//! What explains requests: the gate of each site once more, for people who are only supposed.
//!
//! [`explainer`] is for the command line, which opens cookies by the keys of the configuration and
//! asks nobody; a sidecar that runs has the same beside the gate that serves ([`explained`]).

use super::{StartError, gate_of, known_providers, ring_of};
use crate::config::Config;
use crate::credentials::{self, Kind};
use crate::gate::{Gate, assertion};
use crate::random::Random;
use crate::server::explain::{ExplainedSite, Explainer};
use crate::session::{Sessions, SupposedSessions};
use crate::store::{self, OnDown};
use crate::web::cookies::Cookies;
use crate::web::cors::Cors;
use std::sync::Arc;

/// Explains by a configuration alone: no network, no store.
///
/// # Errors
/// [`StartError`], by cause.
pub fn explainer(config: &Config, random: Arc<dyn Random>) -> Result<Explainer, StartError> {
    let site = |config: &Config| {
        let store = store::open(&store::Settings::Memory)?;
        let cookies = Cookies::new(&config.public_url, &config.cookies);
        let kept = config.kept_claims.clone();
        let sessions = Sessions::new(ring_of(config)?, cookies, config.session, kept, store, OnDown::default());
        let sessions = Arc::new(sessions.of_providers(known_providers(config)));
        let gate = Arc::new(gate_of(config, &sessions, config.assertion.clone()));
        explained(config, gate, config.assertion.clone(), &*random).map(Arc::new)
    };
    let sites = config.each_site().map(site).collect::<Result<_, _>>()?;
    Ok(Explainer::new(sites, random))
}

/// What is to be known of a site whose gate this is, and whose assertions are signed by that.
pub(super) fn explained(
    config: &Config,
    gate: Arc<Gate>,
    assertion: Option<assertion::Settings>,
    random: &dyn Random,
) -> Result<ExplainedSite, StartError> {
    let cookies = Cookies::new(&config.public_url, &config.cookies);
    let cookie = cookies.session.clone();
    let supposed = SupposedSessions::new(cookies, config.session, config.kept_claims.clone(), random)?;
    Ok(ExplainedSite {
        name: config.site.clone(),
        public_url: config.public_url.clone(),
        prefix: config.prefix.clone(),
        aliases: config.server.aliases.clone(),
        playground: config.playground.endpoints.is_some(),
        cors: config.server.cors.as_ref().map(Cors::new),
        gate,
        cookie,
        supposing: gate_of(config, supposed.sessions(), assertion),
        supposed,
        providers: config.providers.iter().map(|one| (one.name.clone(), one.issuer.clone())).collect(),
        domain_owners: Arc::clone(&config.login.domain_owners),
        upstreams: config.server.upstreams.clone(),
        credentials: config.credentials.iter().map(in_words).collect(),
        bearers: config
            .bearers
            .iter()
            .map(|rule| (rule.name.clone(), matches!(rule.kind, crate::bearer::Kind::Certificates(_))))
            .collect(),
        kept_claims: config.kept_claims.iter().cloned().collect(),
    })
}

/// A credential's name and what it is, with the headers that it goes into. Nothing of its value.
fn in_words(settings: &credentials::Settings) -> String {
    let what = match &settings.kind {
        Kind::Static { header, .. } => format!("one fixed secret, in {header}"),
        Kind::Token(headers) => {
            let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
            format!("the person's own tokens, in {}", names.join(", "))
        }
        Kind::Albert { settings, .. } => format!("the person's own key for {}", settings.url),
        Kind::Exchange { placement, .. } => format!("a token in exchange for the person's, in {}", placement.header),
        Kind::Keys { placement, .. } => format!("the person's key out of a key book, in {}", placement.header),
    };
    format!("{}: {what}", settings.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::{Environment, Unreadable, from_text};
    use crate::random::SystemRandom;
    use crate::secret::SecretString;
    use crate::server::explain::{BadQuestion, Explanation, Question, SupposedClaims, Who};
    use std::fmt::Write;
    use std::path::Path;

    struct World;

    impl Environment for World {
        fn variable(&self, name: &str) -> Result<SecretString, Unreadable> {
            match name {
                "SESSION_KEY" => Ok(SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")),
                "CLIENT_SECRET" => Ok(SecretString::from("s3cret-of-the-client-0123456789")),
                _ => Err(Unreadable::Absent),
            }
        }

        fn file(&self, _: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Unreadable> {
            Err(Unreadable::Absent)
        }

        fn list(&self, path: &Path) -> Result<Vec<u8>, Unreadable> {
            match path.to_str().unwrap_or_default() {
                "/etc/vestibule/people.txt" => Ok(b"Helene.Moreau@example.gouv.fr # a guest\n7@example.fr\n".to_vec()),
                "/etc/vestibule/offices.txt" => Ok(b"192.0.2.0/24\n2001:db8::/32\n".to_vec()),
                _ => Err(Unreadable::Absent),
            }
        }
    }

    /// Where a case has none of its own.
    const PROVIDERS: &str = "providers: {p: {issuer: https://login.example.org, client_id: c, client_secret: {env: CLIENT_SECRET}, scopes: [openid, profile, email, siret, roles]}}\n";
    const BASE: &str = "session: {keys: [{id: a, secret: {env: SESSION_KEY}}]}\n\
        upstreams: {app: {url: \"http://127.0.0.1:8501\"}, api: {url: \"http://127.0.0.1:8000\"}}\n";
    const AT: Timestamp = Timestamp::from_unix(1_795_262_400);

    fn explainer_of(rules: &str) -> Explainer {
        let url = if rules.contains("sites:") { "" } else { "public_url: https://app.example.fr\n" };
        let providers = if rules.contains("providers:") { "" } else { PROVIDERS };
        let config = from_text("v.yaml", &format!("{url}{providers}{BASE}{rules}"), &World);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        explainer(&config, Arc::new(SystemRandom::new())).unwrap()
    }

    /// `GET /x --claims {…} --header A: b`, as behind `vestibule explain`.
    fn question(line: &str) -> Result<Question, BadQuestion> {
        let mut parts = line.split(" --");
        let (method, url) = parts.next().unwrap().split_once(' ').unwrap();
        let (mut claims, mut rule, mut client, mut at, mut headers) = (None, None, None, AT, Vec::new());
        for part in parts {
            let (option, value) = part.split_once(' ').unwrap();
            match option {
                "claims" => claims = Some(SupposedClaims::parse(value)?),
                "bearer" => rule = Some(value.to_owned()),
                "client" => client = Some(value.parse().unwrap()),
                "at" => at = Timestamp::from_rfc3339(value).unwrap(),
                "header" => {
                    let (name, value) = value.split_once(": ").unwrap();
                    headers.push((name.to_owned(), value.to_owned()));
                }
                other => panic!("{other}"),
            }
        }
        let who = match (rule, claims) {
            (Some(rule), claims) => Who::Caller { rule, claims: claims.unwrap_or_default() },
            (None, Some(claims)) => Who::Person(claims),
            (None, None) => Who::Nobody,
        };
        Ok(Question { method: method.to_owned(), url: url.to_owned(), headers, client, at, who })
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a developer asks for the cases to be written anew")]
    fn requests_are_explained_as_the_cases_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(paths.len() >= 3, "{paths:?}");
        for path in paths {
            let case = std::fs::read_to_string(&path).unwrap();
            let (input, expected) = case.split_once("======\n").unwrap();
            let (rules, questions) = input.split_once("------\n").unwrap();
            let explainer = explainer_of(rules);
            let mut out = String::new();
            for line in questions.lines() {
                writeln!(out, "$ {line}").unwrap();
                match question(line).and_then(|question| explainer.explain(&question)) {
                    Ok(said) => write!(out, "{said}").unwrap(),
                    Err(mistake) => writeln!(out, "mistake: {mistake}").unwrap(),
                }
                writeln!(out).unwrap();
            }
            assert!(!out.contains("s3cret"), "{}", path.display());
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, format!("{input}======\n{out}")).unwrap();
            } else {
                assert_eq!(out, expected, "{}", path.display());
            }
        }
    }

    #[test]
    fn who_is_supposed_is_judged_as_the_rules_judge_and_the_trace_says_the_same() {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain/rules.case");
        let case = std::fs::read_to_string(case).unwrap();
        let explainer = explainer_of(case.split_once("------\n").unwrap().0);
        let values = |name: &str, values: &[&str]| -> Vec<String> {
            let given = values.iter().map(|value| format!("\"{name}\": {value}"));
            std::iter::once(String::new()).chain(given).collect()
        };
        let mut seen = [0, 0];
        for roles in values("roles", &["[\"agent_public\"]", "[]", "\"agent_public\""]) {
            for email in values("email", &["\"a@dinum.gouv.fr\"", "\"former@dinum.gouv.fr\"", "\"a@b@dinum.gouv.fr\""])
            {
                for level in values("level", &["3", "\"x\""]) {
                    for unit in values("unit", &["\"x\"", "\"y\""]) {
                        let given = [&roles, &email, &level, &unit].map(String::as_str);
                        let given: Vec<&str> = given.into_iter().filter(|claim| !claim.is_empty()).collect();
                        let comma = if given.is_empty() { "" } else { ", " };
                        for path in ["/", "/admin/x", "/admin/users"] {
                            let claims = format!("{{\"sub\": \"7\"{comma}{}}}", given.join(", "));
                            for method in ["GET", "POST"] {
                                let line = format!("{method} {path} --claims {claims}");
                                let said: Explanation = explainer.explain(&question(&line).unwrap()).unwrap();
                                assert_eq!(said.rules.passes(), said.is_forwarded(), "{line}\n{said}");
                                if let Some(index) = seen.get_mut(usize::from(said.is_forwarded())) {
                                    *index += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
    }
}

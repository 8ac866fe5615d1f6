//! `vestibule import oauth2-proxy`: each folder of `tests/import/oauth2-proxy/` is a set of inputs, with
//! what is printed of them: `vestibule.yaml` and, on standard error, `said`. A file `words` has what else
//! stands on the command line, a word on each line.
//!
//! `UPDATE=1 cargo test --test it -- every_set_of_inputs_prints` writes the outcomes anew; read the
//! difference before you keep it.

use crate::support::counterparts::skipped;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use vestibule::claims::Claims;
use vestibule::clock::Timestamp;
use vestibule::config::{self, Environment, Unreadable};
use vestibule::gate::route::Access;
use vestibule::gate::rules::{Asker, Circumstances};
use vestibule::secret::SecretString;
use zeroize::Zeroizing;

/// What the cases have in places of secrets, and what therefore may be printed nowhere.
const CANARY: &str = "hunter2";
const CONFIGURATION: &str = "vestibule.yaml";
const SAID: &str = "said";
const WORDS: &str = "words";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/oauth2-proxy")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 11, "only {} cases", folders.len());
    folders
}

/// Whether it worked, and the two outputs.
fn import(folder: &Path, words: &[String]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(["import", "oauth2-proxy"]).args(words).current_dir(folder);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The inputs of a case, as they stand on the command line.
fn inputs(case: &Path) -> Vec<String> {
    let names = std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut words: Vec<String> = names.filter(|name| ![CONFIGURATION, SAID, WORDS].contains(&name.as_str())).collect();
    words.sort();
    if let Ok(more) = std::fs::read_to_string(case.join(WORDS)) {
        words.extend(more.lines().map(str::to_owned));
    }
    words
}

#[test]
fn every_set_of_inputs_prints_what_it_says() {
    #[expect(clippy::disallowed_methods, reason = "how the test run is told to write the cases anew")]
    let update = std::env::var_os("UPDATE").is_some();
    for case in cases() {
        let (worked, configuration, said) = import(&case, &inputs(&case));
        assert!(worked, "{}: {said}", case.display());
        assert!(!format!("{configuration}{said}").contains(CANARY), "{}: a secret is printed", case.display());
        for (name, found) in [(CONFIGURATION, configuration), (SAID, said)] {
            if update {
                std::fs::write(case.join(name), found).unwrap();
            } else {
                assert_eq!(found, std::fs::read_to_string(case.join(name)).unwrap(), "{} {name}", case.display());
            }
        }
    }
}

/// Every variable and every file holds a secret, as far as this test is concerned, and every
/// certificate its key.
struct Plenty;

impl Environment for Plenty {
    fn variable(&self, _: &str) -> Result<SecretString, Unreadable> {
        Ok("4eLj5OXm5-jp6uvs7e7v8PHy8_T19vf4-fr7_P3-_4A".into())
    }

    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let text = match path.extension() {
            Some(extension) if extension == "pem" => "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
            _ => "a secret of the provider's",
        };
        Ok(Zeroizing::new(text.as_bytes().to_vec()))
    }

    fn list(&self, _: &Path) -> Result<Vec<u8>, Unreadable> {
        Ok(b"# who may enter\nGuest@example.net\n".to_vec())
    }
}

#[test]
fn what_is_printed_loads_or_is_said_not_to() {
    let mut good = Vec::new();
    for case in cases() {
        let configuration = std::fs::read_to_string(case.join(CONFIGURATION)).unwrap();
        let said = std::fs::read_to_string(case.join(SAID)).unwrap();
        match config::from_text(CONFIGURATION, &configuration, &Plenty) {
            Ok(_) => {
                assert!(!said.contains("`vestibule check` will say"), "{}", case.display());
                good.push(case.file_name().unwrap().to_str().unwrap().to_owned());
            }
            Err(problems) => {
                let expected = said.lines().filter(|line| line.contains("`vestibule check` will say")).count();
                assert_eq!(problems.iter().count(), expected, "{}: {problems}", case.display());
            }
        }
    }
    assert_eq!(good, ["listening", "nginx-proconnect", "precedence", "several-apps", "traefik-alpha", "unsafe"]);
}

#[test]
fn where_people_were_kept_out_nothing_loads_until_somebody_has_decided() {
    let base = "client_id = \"a\"\nredirect_url = \"https://a.example.org/oauth2/callback\"\nprovider = \"oidc\"\n\
                oidc_issuer_url = \"https://login.example.org\"\nupstreams = [\"http://127.0.0.1:8501\"]\n";
    let open = format!("{base}email_domains = [\"*\"]\n");
    for (name, text, loads) in [
        ("everybody", open.clone(), true),
        ("everybody, with a file of addresses", format!("{open}authenticated_emails_file = \"/f\"\n"), true),
        (
            "some domains and a file",
            format!("{base}email_domains = [\"example.org\"]\nauthenticated_emails_file = \"/f\"\n"),
            true,
        ),
        ("what is no domain", format!("{base}email_domains = [\"exa mple\"]\n"), false),
        (
            "an address in another claim",
            format!("{base}email_domains = [\"example.org\"]\noidc_email_claim = \"upn\"\n"),
            false,
        ),
        ("another name", format!("{base}email_domains = [\"example.org\"]\nuser_id_claim = \"sub\"\n"), false),
        (
            "an address in its own claim",
            format!("{base}email_domains = [\"example.org\"]\noidc_email_claim = \"email\"\n"),
            true,
        ),
        ("a file of addresses", format!("{base}authenticated_emails_file = \"/f\"\n"), true),
        (
            "a file of addresses, which are in another claim",
            format!("{base}authenticated_emails_file = \"/f\"\noidc_email_claim = \"upn\"\n"),
            false,
        ),
        ("nothing about addresses", base.to_owned(), false),
        ("roles", format!("{open}allowed_roles = [\"a\"]\n"), false),
        ("no groups", format!("{open}allowed_groups = []\n"), true),
        ("groups that are levels", format!("{open}allowed_groups = [\"eidas2\"]\noidc_groups_claim = \"acr\"\n"), true),
        ("groups of GitLab", format!("{open}gitlab_groups = [\"a\"]\n"), false),
        ("an organisation", format!("{open}github_org = \"a\"\n"), false),
        ("tenants", format!("{open}entra_id_allowed_tenants = [\"a\"]\n"), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        // With a path that is open to everybody: that one alone must not make it load.
        std::fs::write(folder.path().join("o.cfg"), format!("{text}skip_auth_routes = [\"^/ping$\"]\n")).unwrap();
        let (worked, configuration, said) = import(folder.path(), &["o.cfg".to_owned()]);
        assert!(worked, "{name}: {said}");
        let outcome = config::from_text(CONFIGURATION, &configuration, &Plenty);
        assert_eq!(outcome.is_ok(), loads, "{name}: {configuration}");
        if let Err(problems) = outcome {
            let at: Vec<String> = problems.iter().map(|problem| problem.path.to_string()).collect();
            assert_eq!(at, ["routes"], "{name}");
            // What is behind the # is what is meant.
            let opened = configuration
                .replace("# routes:", "routes:")
                .replace("#   - {", "  - {")
                .replace("#   # From", "# From");
            config::from_text(CONFIGURATION, &opened, &Plenty).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        }
    }
}

#[test]
fn whom_domains_and_groups_kept_out_a_policy_keeps_out_of_every_route() {
    let base = "client_id = \"a\"\nredirect_url = \"https://a.example.org/oauth2/callback\"\nprovider = \"oidc\"\n\
                oidc_issuer_url = \"https://login.example.org\"\nupstreams = [\"http://127.0.0.1:8501\", \"http://127.0.0.1:8502/api/\"]\n\
                skip_auth_routes = [\"^/ping$\"]\nemail_domains = [\"example.org\", \".example.fr\"]\n";
    for (settings, inside, outside) in [
        ("", json!({"email": "a@Example.ORG"}), json!({"email": "a@b.example.org"})),
        ("", json!({"email": "a@b.example.fr"}), json!({"email": "a@example.fr"})),
        ("", json!({"email": "a@example.org"}), json!({"email": "a@badexample.org"})),
        (
            "allowed_groups = [\"x\"]\n",
            json!({"email": "a@example.org", "groups": ["x"]}),
            json!({"email": "a@example.org", "roles": ["x"]}),
        ),
        (
            "allowed_groups = [\"x\"]\noidc_groups_claim = \"roles\"\n",
            json!({"email": "a@example.org", "roles": "x"}),
            json!({"email": "a@example.com", "roles": "x"}),
        ),
        // The file, or the domain.
        (
            "authenticated_emails_file = \"/f\"\n",
            json!({"email": "guest@EXAMPLE.net"}),
            json!({"email": "other@example.net"}),
        ),
        ("authenticated_emails_file = \"/f\"\n", json!({"email": "a@example.org"}), json!({"email": "a@example.fr"})),
        // A group, or a role; and the address in any case.
        (
            "authenticated_emails_file = \"/f\"\nprovider = \"keycloak-oidc\"\nallowed_groups = [\"x\"]\n\
             allowed_roles = [\"chief\", \"app:editor\"]\n",
            json!({"email": "guest@example.net", "resource_access": {"app": {"roles": ["editor"]}}}),
            json!({"email": "guest@example.net", "resource_access": {"other": {"roles": ["editor"]}}}),
        ),
        (
            "authenticated_emails_file = \"/f\"\nprovider = \"keycloak-oidc\"\nallowed_groups = [\"x\"]\n\
             allowed_roles = [\"chief\", \"app:editor\"]\n",
            json!({"email": "guest@example.net", "groups": ["x"]}),
            json!({"email": "other@example.net", "realm_access": {"roles": ["chief"]}}),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let base =
            if settings.contains("provider =") { base.replace("provider = \"oidc\"\n", "") } else { base.to_owned() };
        std::fs::write(folder.path().join("o.cfg"), format!("{base}{settings}")).unwrap();
        let (worked, configuration, said) = import(folder.path(), &["o.cfg".to_owned()]);
        assert!(worked, "{said}");
        let config = config::from_text(CONFIGURATION, &configuration, &Plenty)
            .unwrap_or_else(|problems| panic!("{problems}\n{configuration}"));
        let routes: Vec<_> = config.routes.iter().filter(|route| route.access != Access::Public).collect();
        assert_eq!((routes.len(), config.routes.iter().count()), (2, 3), "{configuration}");
        for route in routes {
            let passes = |claims: &serde_json::Value| {
                let claims = Claims::from_json(claims.as_object().unwrap());
                let at = Circumstances { now: Timestamp::from_unix(0), client: None };
                route.rules.judge(&Asker { claims: &claims.view(), provider: None, authenticated_at: None, at }).is_ok()
            };
            assert!(passes(&inside) && !passes(&outside), "{settings} {inside} {outside}\n{configuration}");
        }
    }
}

#[test]
fn files_that_were_not_given_may_keep_people_out() {
    let flags = |more: &str| -> Vec<String> {
        let words = format!(
            "-- --provider=oidc --client-id=a --oidc-issuer-url=https://login.example.org --email-domain=* \
             --redirect-url=https://a.example.org/ --upstream=http://127.0.0.1:1 {more}"
        );
        words.split_whitespace().map(str::to_owned).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let loads = |words: &[String]| {
        let (worked, configuration, said) = import(folder.path(), words);
        assert!(worked, "{said}");
        config::from_text(CONFIGURATION, &configuration, &Plenty).is_ok()
    };
    assert!(loads(&flags("")));
    assert!(!loads(&flags("--config=/etc/o.cfg")));
    std::fs::write(folder.path().join("o.cfg"), "banner = \"-\"\n").unwrap();
    let with_it: Vec<String> = std::iter::once("o.cfg".to_owned()).chain(flags("--config=/etc/o.cfg")).collect();
    assert!(loads(&with_it));
}

#[test]
fn bad_input_is_said_with_its_place_and_nothing_is_printed() {
    let long = format!("client_id = \"{}\"\n", "a".repeat(10 << 20));
    for (name, text, says) in [
        (
            "a.cfg",
            "client_secret = hunter2\n",
            "a.cfg:1: is not TOML: look at this line; texts are in quotes, lists in [ ]",
        ),
        (
            "a.cfg",
            "a = 1\nclient_id = 7\n",
            "a.cfg:1: a is no setting of oauth2-proxy 7.15\na.cfg:2: client_id takes a text in quotes, but this is a number",
        ),
        (
            "a.cfg",
            "cookie_samesit = \"hunter2\"\n",
            "a.cfg:1: cookie_samesit is no setting of oauth2-proxy 7.15; did you mean \"cookie_samesite\"?",
        ),
        ("a.cfg", "", "no setting of oauth2-proxy was given"),
        (
            "a.cfg",
            "redirect_url = \"https://u:hunter2@a.example.org/\"\n",
            "a.cfg:1: redirect-url: holds a user or a password; remove them",
        ),
        ("a.cfg", "upstreams = [\"http://u:hunter2@a/\"]\n", "upstream: holds a user or a password; remove them"),
        (
            "a.cfg",
            "upstreams = [\"http://a/\", \"http://b/\"]\n",
            "upstream: is for the same paths as another upstream",
        ),
        ("a.cfg", "session_store_type = \"file\"\n", "a.cfg:1: session-store-type: must be cookie or redis"),
        ("a.cfg", "scope = \"openid\\u2028routes: []\"\n", "a.cfg:1: scope: holds a line break or a control character"),
        ("a.cfg", long.as_str(), "a.cfg: is larger than 1 MiB"),
        ("a.yaml", "providers: [\n", "a.yaml:2: is not YAML, or has a key twice: look at this line"),
        ("a.yaml", "a: 1\na: 2\n", "a.yaml:1: is not YAML, or has a key twice: look at this line"),
        ("a.yaml", "a: hunter2\n", "a.yaml: holds no arguments, environment or configuration of oauth2-proxy"),
        (
            "a.yaml",
            "providers:\n- clientId: a\n  clientSecrte: hunter2\n",
            "a.yaml: providers[0].clientSecrte is no key of oauth2-proxy's alpha configuration; did you mean \"clientSecret\"?",
        ),
        ("a.yaml", "providers: hunter2\n", "a.yaml: providers must be a list of mappings"),
        (
            "a.yaml",
            "injectRequestHeaders:\n- {name: [hunter2]}\n",
            "a.yaml: injectRequestHeaders[0].name must be a text",
        ),
        (
            "a.env",
            "OAUTH2_PROXY_COOKIE_SECRT=hunter2\n",
            "a.env:1: OAUTH2_PROXY_COOKIE_SECRT is no variable of oauth2-proxy 7.15; did you mean \"OAUTH2_PROXY_COOKIE_SECRET\"?",
        ),
        (
            "a.sh",
            "oauth2-proxy --client-id=a --client-id=b\n",
            "a.sh: --client-id is given twice; remove one of the two",
        ),
        (
            "a.sh",
            "oauth2-proxy --cookie-expire=hunter2\n",
            "a.sh: --cookie-expire: takes a length of time with its unit, such as 12h or 1h30m",
        ),
        (
            "a.txt",
            "hunter2\n",
            "a.txt: is not recognised: neither oauth2-proxy's TOML, nor its alpha configuration, an environment, a command line, a systemd unit or a manifest with one",
        ),
        ("a.bin", "\u{0}\u{1}hunter2", "a.bin: is no text"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let (worked, configuration, said) = import(folder.path(), &[name.to_owned()]);
        assert!(!worked && configuration.is_empty(), "{name}: {configuration}");
        assert_eq!(said, format!("{says}\nNothing was printed\n"), "{name} {}", text.get(..40).unwrap_or(text));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), [0xff, 0xfe, 0x00]).unwrap();
    let (_, _, said) = import(folder.path(), &["a".to_owned(), "b".to_owned()]);
    assert_eq!(said, "a: is not UTF-8 text\nb: does not exist\nNothing was printed\n");
}

#[test]
fn both_files_may_not_say_the_same_thing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.cfg", "b.cfg"] {
        std::fs::write(folder.path().join(name), "client_id = \"a\"\n").unwrap();
    }
    let (worked, _, said) = import(folder.path(), &["a.cfg".to_owned(), "b.cfg".to_owned()]);
    assert!(!worked);
    assert_eq!(
        said,
        "b.cfg:1: client-id: is given a second time; it was given in a.cfg:1 before\nNothing was printed\n"
    );
}

/// Every flag of 7.15, by its name alone.
const RECORDED: &str = include_str!("../import/oauth2-proxy/flags-7.15.txt");

#[test]
fn the_recorded_flags_are_those_of_the_program() {
    #[expect(clippy::disallowed_methods, reason = "how the test run is told where the program is")]
    let program = std::env::var_os("OAUTH2_PROXY").unwrap_or_else(|| "oauth2-proxy".into());
    let Ok(help) = Command::new(&program).arg("--help").output() else {
        // It comes from no registry of programs: not even a run of everything must have it.
        skipped("oauth2-proxy is neither on the path nor named by OAUTH2_PROXY");
        return;
    };
    let help = format!("{}{}", String::from_utf8_lossy(&help.stdout), String::from_utf8_lossy(&help.stderr));
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let mut flags: Vec<&str> = flags.filter_map(|line| line.split([' ', '=', '[']).next()).collect();
    flags.sort_unstable();
    flags.dedup();
    let recorded: Vec<&str> = RECORDED.lines().collect();
    assert_eq!(flags, recorded, "{}", program.to_string_lossy());
}

#[test]
fn what_no_app_answers_any_more_is_not_opened_on_another_one() {
    let text = "client_id = \"a\"\nredirect_url = \"https://a.example.org/oauth2/callback\"\nprovider = \"oidc\"\n\
                oidc_issuer_url = \"https://login.example.org\"\nemail_domains = \"*\"\n\
                upstreams = [\"http://127.0.0.1:8501\", \"file:///var/www/#/files/\", \"http://127.0.0.1:8000/api/\"]\n\
                skip_auth_routes = [\"^/files/public/\", \"^/files\", \"^/ping$\", \"GET=^/api/\", \"^/oauth2/x$\"]\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("o.cfg"), text).unwrap();
    let (_, configuration, said) = import(folder.path(), &["o.cfg".to_owned()]);
    config::from_text(CONFIGURATION, &configuration, &Plenty).unwrap_or_else(|problems| panic!("{problems}\n{said}"));
    let routes: Vec<&str> = configuration.lines().filter(|line| line.starts_with("  - {path")).collect();
    assert_eq!(
        routes,
        [
            "  - {path: /ping, access: public, upstream: app}",
            "  - {path: /api/**, access: public, methods: [GET], upstream: api}",
            "  - {path: /files/**, upstream: nowhere}",
            "  - {path: /api/**, upstream: api}",
            "  - {path: /**, upstream: app}",
        ]
    );
}

/// Every key of the alpha configuration of 7.15, with a value that it takes.
const EVERY_ALPHA_KEY: &str = "
server: &server
  bindAddress: 127.0.0.1:4180
  secureBindAddress: 127.0.0.1:4443
  tls:
    key: {value: aHVudGVyMg==, fromEnv: A, fromFile: /key.pem}
    cert: {value: aHVudGVyMg==, fromEnv: A, fromFile: /cert.pem}
    minVersion: TLS1.3
    cipherSuites: [A]
metricsServer: {<<: *server, bindAddress: 127.0.0.1:4181, secureBindAddress: 127.0.0.1:4182}
upstreamConfig:
  proxyRawPath: true
  upstreams:
    - {id: a, path: /, uri: http://a, insecureSkipTLSVerify: true, flushInterval: 1s, passHostHeader: false,
       proxyWebSockets: false, timeout: 1s, disableKeepAlives: true}
    - {id: b, path: /b/, static: true, staticCode: 403}
    - {id: c, path: ^/c/(.*)$, rewriteTarget: /$1, uri: http://c}
injectRequestHeaders: &headers
  - name: A
    preserveRequestValue: true
    InsecureSkipHeaderNormalization: true
    values:
      - claimSource: {claim: user, prefix: p, basicAuthPassword: {value: aHVudGVyMg==}}
  - {name: B, values: [{secretSource: {value: aHVudGVyMg==}}]}
  - {name: C, values: [{claim: email}, {fromEnv: A}]}
injectResponseHeaders: *headers
providers:
  - clientID: a
    clientSecret: hunter2
    clientSecretFile: /f
    keycloakConfig: {groups: [a], roles: [a]}
    azureConfig: {tenant: a, graphGroupField: a}
    microsoftEntraIDConfig: {allowedTenants: [a], federatedTokenAuth: true}
    ADFSConfig: {skipScope: true}
    bitbucketConfig: {team: a, repository: a}
    githubConfig: {org: a, team: a, repo: a, token: hunter2, users: [a]}
    gitlabConfig: {group: [a], projects: [a]}
    googleConfig: {group: [a], adminEmail: a, serviceAccountJson: a, useApplicationDefaultCredentials: true,
                   targetPrincipal: a, useOrganizationID: true, adminAPIUserScope: a}
    oidcConfig: {issuerURL: 'https://login.example.org', insecureAllowUnverifiedEmail: true,
                 insecureSkipIssuerVerification: true, insecureSkipNonce: true, skipDiscovery: true,
                 jwksURL: 'https://login.example.org/k', publicKeyFiles: [a], emailClaim: mail, groupsClaim: g,
                 userIDClaim: u, audienceClaims: [azp], extraAudiences: [a], enabledSigningAlgs: [ES256]}
    loginGovConfig: {jwtKey: hunter2, jwtKeyFile: a, pubjwkURL: a}
    id: a
    provider: oidc
    name: a
    caFiles: [a]
    useSystemTrustStore: true
    loginURL: https://login.example.org/a
    loginURLParameters: [{name: a, default: [b], allow: [{value: c}, {pattern: d}]}]
    authRequestResponseMode: query
    redeemURL: https://login.example.org/t
    profileURL: https://login.example.org/p
    skipClaimsFromProfileURL: true
    resource: a
    validateURL: https://login.example.org/v
    scope: openid
    allowedGroups: [a]
    code_challenge_method: S256
    additionalClaims: [a]
    backendLogoutURL: https://login.example.org/o
";

#[test]
fn every_key_of_the_alpha_configuration_is_known_and_says_where_it_went() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("alpha.yaml"), EVERY_ALPHA_KEY).unwrap();
    let (worked, configuration, said) = import(folder.path(), &["alpha.yaml".to_owned()]);
    assert!(worked, "{said}");
    assert!(
        !format!("{configuration}{said}").contains(CANARY) && !configuration.contains("aHVudGVyMg"),
        "{configuration}"
    );
    // Closed in more than one way: nothing of it may load.
    assert!(configuration.contains("\n# routes:\n"), "{configuration}");
    let provider = EVERY_ALPHA_KEY.split("    oidcConfig: {").nth(1).unwrap().split('}').next().unwrap();
    for key in provider.split(", ").filter_map(|entry| entry.trim().split(':').next()) {
        assert!(configuration.contains(&format!("oidcConfig.{key}")), "{key} is not in {configuration}");
    }
    for key in [
        "bitbucketConfig.team",
        "githubConfig.org",
        "gitlabConfig.projects",
        "googleConfig.adminEmail",
        "loginGovConfig.jwtKey",
    ] {
        assert!(configuration.contains(&format!("providers[0].{key}")), "{key} is not in {configuration}");
    }
}

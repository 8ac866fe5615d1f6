//! What goes wrong at Albert API, by cause: each has its page, its code for programs and its line in
//! the log; whoever needs no key goes on; and an API that is down is not stormed.

use crate::support::albert::{FakeAlbert, Fault, User, Version};
use crate::support::client::{Answer, Client, NAVIGATION};
use crate::support::keyed::{Differing, Keyed, bearer_at_api};
use crate::support::log_watch;
use crate::support::shown::{assert_error, email_at_app};
use crate::support::site::{START, Site, agent};
use crate::support::waiting::{promptly, until};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;
use vestibule::demo::provider::Agent;
use vestibule::pages::{ErrorKind, Language};

/// One way to have no key.
struct Case {
    name: &'static str,
    /// Further keys of the credential.
    credential: &'static str,
    kind: ErrorKind,
    /// For programs.
    code: &'static str,
    /// Of the log line.
    level: &'static str,
    /// The end of the reason in the log line.
    cause: &'static str,
}

/// Ways that differ by little.
const ROLE_MISSING: Case = Case {
    name: "",
    credential: "",
    kind: ErrorKind::ApiRoleMissing,
    code: "api_role_missing",
    level: "ERROR",
    cause: "",
};
const NOT_GRANTED: Case =
    Case { kind: ErrorKind::ApiNotGranted, code: "api_not_granted", level: "INFO", ..ROLE_MISSING };
const UNAVAILABLE: Case = Case { kind: ErrorKind::ApiUnavailable, code: "api_unavailable", ..ROLE_MISSING };
const MISCONFIGURED: Case = Case { kind: ErrorKind::ApiMisconfigured, code: "api_misconfigured", ..ROLE_MISSING };

const CASES: [Case; 13] = [
    Case {
        name: "account expired",
        kind: ErrorKind::ApiAccountExpired,
        code: "api_account_expired",
        cause: "the account at the API has expired",
        ..NOT_GRANTED
    },
    Case {
        name: "budget gone",
        kind: ErrorKind::ApiBudgetGone,
        code: "api_budget_gone",
        cause: "the budget of the account at the API is used up",
        ..NOT_GRANTED
    },
    Case {
        name: "role missing",
        credential: ", role: Nulle part",
        cause: "the API has no role «Nulle part»",
        ..ROLE_MISSING
    },
    Case {
        name: "organisation missing",
        credential: ", role: Freemium, organization: Nulle part",
        cause: "the API has no organisation «Nulle part»",
        ..ROLE_MISSING
    },
    Case {
        name: "admin bearer refused",
        kind: ErrorKind::ApiAdminRefused,
        code: "api_admin_refused",
        cause: "the API refuses the admin bearer",
        ..UNAVAILABLE
    },
    Case {
        name: "refused by a rule",
        credential: ", role: Freemium, organization: default, rules: [{when: {siret: \"00000011700010\"}, refuse: true}]",
        cause: "the rules refuse this person a key",
        ..NOT_GRANTED
    },
    Case { name: "no e-mail", cause: "there is no usable e-mail address", ..NOT_GRANTED },
    Case { name: "down", cause: "the API fails: status 503", ..UNAVAILABLE },
    Case { name: "closed", cause: "the API cannot be reached: ", ..UNAVAILABLE },
    Case { name: "hangs", credential: ", timeout: 2s", cause: "the API cannot be reached: ", ..UNAVAILABLE },
    Case { name: "limits us", cause: " was answered with status 429", ..UNAVAILABLE },
    Case { name: "garbage", cause: "the answer to «find the account» is not understood", ..MISCONFIGURED },
    Case {
        name: "no admin interface",
        credential: ", version: legacy",
        cause: " is not there: another version of the API",
        ..MISCONFIGURED
    },
];

impl Case {
    async fn arrange(&self, keyed: &Keyed) {
        let account = |change: fn(&mut User)| {
            let mut user = User { email: agent().email, ..User::default() };
            change(&mut user);
            keyed.api.add_user(user);
        };
        match self.name {
            "account expired" => account(|user| user.expires = Some(START - 1)),
            "budget gone" => account(|user| user.budget = Some(0.0)),
            "admin bearer refused" => drop(keyed.api.replace_admin_key()),
            "no e-mail" => keyed.site.provider.sign_in_as(Agent { email: "helene".to_owned(), ..agent() }),
            "down" => keyed.api.fault(Fault::Down),
            "closed" => keyed.api.close().await,
            "hangs" => keyed.api.fault(Fault::Hang { path_prefix: "/" }),
            "limits us" => {
                let path_prefix = "/v1/admin/users";
                keyed.api.fault(Fault::Status { method: "GET", path_prefix, status: 429, times: 99 });
            }
            "garbage" => {
                keyed.api.fault(Fault::GarbageBody { method: "GET", path_prefix: "/v1/admin/users", times: 99 });
            }
            _ => {}
        }
    }

    async fn start(&self) -> Keyed {
        let credential = format!("{}, mint: on_first_use", self.credential);
        let api = FakeAlbert::start(Version::Late).await;
        let keyed = Keyed::before(api, Differing { credential: &credential, ..Differing::default() }).await;
        self.arrange(&keyed).await;
        keyed
    }

    /// The reason in a log line says which credential, and why.
    fn assert_reason(&self, reason: &str) {
        assert!(reason.starts_with("credentials albert: "), "{}: {reason}", self.name);
        assert!(reason.contains(self.cause), "{}: {reason}", self.name);
        assert!(!reason.contains("sk-") && !reason.contains(&agent().email), "{}: {reason}", self.name);
    }
}

async fn in_english(client: &Client, path: &str) -> Answer {
    let headers: Vec<_> = NAVIGATION.into_iter().chain([("accept-language", "en-GB,en;q=0.9")]).collect();
    client.get(path, &headers).await
}

/// How many requests could not go on for want of the credential.
async fn counted(site: &Site) -> u64 {
    let metrics = Client::new(site.admin).get("/metrics", &[]).await.text();
    let name = "vestibule_credential_failures_total{credential=\"albert\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cause_has_its_page_its_code_and_its_line_and_whoever_needs_no_key_goes_on() {
    for case in &CASES {
        let keyed = case.start().await;
        // Signing in, and what needs no key.
        let client = keyed.site.signed_in().await;
        assert!(email_at_app(&client.fetch("/anything").await).is_some(), "{}", case.name);
        assert_eq!(client.fetch("/public/x").await.status, 200, "{}", case.name);

        let french = client.navigate("/v1/models").await;
        case.assert_reason(&assert_error(&french, case.kind, Language::French).await);
        let english = in_english(&client, "/v1/models").await;
        case.assert_reason(&assert_error(&english, case.kind, Language::English).await);

        let json = client.fetch("/v1/models").await;
        let body = json.json();
        assert_eq!((json.status, &body["error"]), (case.kind.status().as_u16(), &case.code.into()), "{}", case.name);
        assert_eq!(json.header("retry-after"), case.kind.retry_after(), "{}", case.name);
        assert_eq!(json.header("cache-control"), Some("no-store"), "{}", case.name);
        assert!(json.set_cookies().is_empty(), "{}: {:?}", case.name, json.set_cookies());
        let id = body["id"].as_str().unwrap();
        let line = log_watch::access_line_with(id).await;
        case.assert_reason(line["reason"].as_str().unwrap());
        assert_eq!((&line["level"], &line["decision"]), (&case.level.into(), &"no_credential".into()), "{line}");
        assert_eq!(log_watch::access_lines_with(id).len(), 1, "{}", case.name);

        assert_eq!(counted(&keyed.site).await, 3, "{}", case.name);
        assert_eq!(keyed.api.all_keys().len(), 0, "{}", case.name);
        // Nothing of it reached the API as a request of the person's.
        assert_eq!(keyed.api.count("GET", "/v1/models"), 0, "{}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_asks_an_api_that_fails_once_and_recovers_by_itself() {
    let outages = CASES.iter().filter(|case| case.kind == ErrorKind::ApiUnavailable);
    join_all(outages.map(async |case| {
        let keyed = case.start().await;
        let client = keyed.site.signed_in().await;
        let first = client.fetch("/v1/echo").await;
        assert_eq!(first.status, 503, "{}", case.name);
        // A session of its own, so that the time counts from its first request.
        let client = keyed.site.signed_in().await;
        let (before, began) = (keyed.api.calls().len(), Instant::now());
        for answer in join_all((0..50).map(|_| client.fetch("/v1/echo"))).await {
            assert_eq!(answer.status, 503, "{}", case.name);
        }
        let asked = keyed.api.calls().len() - before;
        let allowed = usize::try_from(1 + began.elapsed().as_secs() / 5).unwrap();
        assert!(asked <= allowed * 2, "{}: {asked} calls for 50 requests: {:?}", case.name, keyed.api.calls());
        if case.name == "closed" {
            keyed.api.open();
        } else {
            keyed.api.clear_faults();
        }
        until("it recovers", async || client.fetch("/v1/echo").await.status == 200).await;
        bearer_at_api(&client).await;
        assert_eq!(keyed.api.all_keys().len(), 1, "{}", case.name);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_with_the_api_down_is_a_sign_in() {
    let keyed = Keyed::start(Version::V04).await;
    keyed.api.fault(Fault::Hang { path_prefix: "/" });
    let client = promptly("signed in", Duration::from_secs(5), keyed.site.signed_in()).await;
    assert_eq!(client.fetch("/anything").await.status, 200);
    keyed.api.clear_faults();
    bearer_at_api(&client).await;
    assert_eq!(keyed.api.all_keys().len(), 1, "what was under way is what serves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_s_failure_is_not_another_s() {
    let keyed =
        Keyed::with(Version::Late, Differing { credential: ", mint: on_first_use", ..Differing::default() }).await;
    keyed.api.add_user(User { email: agent().email, expires: Some(START - 1), ..User::default() });
    let refused = keyed.site.signed_in().await;
    assert_eq!(refused.fetch("/v1/echo").await.status, 403);
    keyed.site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe.diallo@test.proconnect.gouv.fr"));
    let welcome = keyed.site.signed_in().await;
    bearer_at_api(&welcome).await;
    assert_eq!(refused.fetch("/v1/echo").await.status, 403);
}

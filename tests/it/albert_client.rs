//! The client of Albert API's admin interface against the fake of every version: accounts are
//! found, made and kept up to date, keys are minted and discarded, and what goes wrong has its name.

use crate::support::albert::{Bearer, FakeAlbert, Fault, Refusal, User, Version};
use crate::support::log_watch;
use crate::support::site::START;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use vestibule::claims::Claims;
use vestibule::clock::Timestamp;
use vestibule::credentials::albert::{
    Account, Albert, AlbertError, Condition, Dialect, Grant, Known, Otherwise, Reference, Rule, Settings, Then,
};
use vestibule::fetch::Fetch;
use vestibule::random::SystemRandom;
use vestibule::secret::{ExposeSecret, SecretString};

const NOW: Timestamp = Timestamp::from_unix(START);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A fake, and a client of it.
struct Scene {
    fake: FakeAlbert,
    albert: Albert,
}

impl Scene {
    async fn new(version: Version) -> Self {
        Self::with(version, |_| {}).await
    }

    async fn with(version: Version, change: impl FnOnce(&mut Settings)) -> Self {
        log_watch::begin();
        let fake = FakeAlbert::start(version).await;
        let mut settings = Settings {
            name: "albert".to_owned(),
            url: fake.url(),
            admin_key: fake.admin_key().into(),
            version: None,
            rules: Vec::new(),
            otherwise: Otherwise::Grant(grant(Some("Freemium"), None)),
            key_lifetime: None,
            timeout: Duration::from_secs(20),
        };
        change(&mut settings);
        Self { fake, albert: Albert::new(settings, Fetch::new().unwrap()) }
    }

    async fn account(&self, person: Value, known: Option<u64>) -> Result<Account, AlbertError> {
        let person = Claims::from_json(person.as_object().unwrap());
        let address = |user: User| if user.email.is_empty() { user.name.unwrap_or_default() } else { user.email };
        let known = known.map(|id| {
            let user = self.fake.users().into_iter().find(|user| user.id == id);
            Known::new(id, &user.map(address).unwrap_or_default())
        });
        self.albert.account(&person.view(), known, NOW, &SystemRandom::new()).await.map(|(account, _)| account)
    }

    fn user(&self, id: u64) -> User {
        self.fake.users().into_iter().find(|user| user.id == id).unwrap()
    }
}

fn grant(role: Option<&str>, organization: Option<&str>) -> Grant {
    let named = |name: Option<&str>| name.map(|name| Reference::Name(name.to_owned()));
    Grant { role: named(role), organization: named(organization) }
}

fn rule(name: &str, value: &str, grant: Grant) -> Rule {
    let claim = Condition::Claim { name: name.to_owned(), values: vec![value.to_owned()] };
    Rule { when: vec![claim], then: Then::Grant(grant) }
}

fn camille() -> Value {
    json!({"email": "Camille@X.gouv.fr", "given_name": "Camille", "usual_name": "Test"})
}

/// An account as it stands at the API, with the address where the version keeps it.
fn there(version: Version, email: &str) -> User {
    match version {
        Version::V01 => User { name: Some(email.to_owned()), ..User::default() },
        _ => User { email: email.to_owned(), name: Some("Camille Test".to_owned()), ..User::default() },
    }
}

fn address(version: Version, user: &User) -> String {
    if version == Version::V01 { user.name.clone().unwrap() } else { user.email.clone() }
}

#[tokio::test]
async fn a_new_person_gets_an_account_once_and_keeps_it() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let account = scene.account(camille(), None).await.unwrap();
        assert_eq!(scene.account(camille(), None).await, Ok(account), "{version:?}");
        assert_eq!(scene.account(camille(), Some(account.id)).await, Ok(account), "{version:?}");
        let users = scene.fake.users();
        assert_eq!(users.len(), 1, "{version:?}");
        assert_eq!(address(version, &users[0]), "camille@x.gouv.fr");
        assert_eq!(users[0].role, "Freemium");
        if version != Version::V01 {
            assert_eq!(users[0].name.as_deref(), Some("Camille Test"));
            assert_eq!(users[0].password.len(), 43);
        }
        assert_eq!(scene.fake.count("PATCH", "/"), 0, "{version:?}");
        assert_eq!(scene.fake.count("GET", "/openapi.json"), 1, "{version:?}");
    }
}

#[tokio::test]
async fn an_account_is_found_whatever_its_case_and_among_many_that_look_like_it() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        for number in 0..230 {
            scene.fake.add_user(there(version, &format!("x{number}camille@x.gouv.fr")));
        }
        let capital = scene.fake.add_user(there(version, "Camille@X.gouv.fr"));
        assert_eq!(scene.account(camille(), None).await, Ok(Account { id: capital }), "{version:?}");
        let lower = scene.fake.add_user(there(version, "camille@x.gouv.fr"));
        assert_eq!(scene.account(camille(), None).await, Ok(Account { id: lower }), "{version:?}");
        let plus = scene.fake.add_user(there(version, "a+b@x.gouv.fr"));
        let person = json!({"email": "a+b@x.gouv.fr"});
        assert_eq!(scene.account(person, None).await, Ok(Account { id: plus }), "{version:?}");
        assert_eq!(scene.fake.count("POST", "/"), 0, "{version:?}");
    }
}

#[tokio::test]
async fn sign_ins_that_race_share_one_account() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let accounts = join_all((0..8).map(|_| scene.account(camille(), None))).await;
        let first = accounts[0].clone().unwrap();
        assert!(accounts.iter().all(|account| *account == Ok(first)), "{version:?}: {accounts:?}");
        assert_eq!(scene.fake.users().len(), 1, "{version:?}");

        scene.fake.fault(Fault::DuplicateOnCreate);
        let other = scene.account(json!({"email": "other@x.gouv.fr"}), None).await;
        assert_eq!(other.unwrap().id, scene.fake.users().last().unwrap().id, "{version:?}");
    }
}

#[tokio::test]
async fn a_known_account_follows_a_new_address_unless_another_account_has_it() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let known = scene.fake.add_user(User {
            expires: Some(START + 9999),
            budget: Some(5.5),
            ..there(version, "old@x.gouv.fr")
        });
        assert_eq!(scene.account(camille(), Some(known)).await, Ok(Account { id: known }), "{version:?}");
        let user = scene.user(known);
        assert_eq!(address(version, &user), "camille@x.gouv.fr");
        assert_eq!((user.expires, user.budget), (Some(START + 9999), Some(5.5)), "{version:?}");

        scene.fake.add_user(there(version, "taken@x.gouv.fr"));
        if version != Version::V01 {
            let person = json!({"email": "taken@x.gouv.fr", "given_name": "New", "usual_name": "Name"});
            assert_eq!(scene.account(person, Some(known)).await, Ok(Account { id: known }), "{version:?}");
            let user = scene.user(known);
            assert_eq!((user.email.as_str(), user.name.as_deref()), ("camille@x.gouv.fr", Some("New Name")));
        }
        // An account that is gone is not missed.
        scene.fake.remove_user(known);
        let account = scene.account(camille(), Some(known)).await.unwrap();
        assert_ne!(account.id, known, "{version:?}");
    }
}

#[tokio::test]
async fn a_rule_moves_an_account_and_the_default_does_not() {
    for version in Version::ALL {
        let rules = vec![rule("siret", "1", grant(Some("Agent"), Some("DINUM")))];
        let scene = Scene::with(version, |settings| settings.rules = rules).await;
        let full = User {
            role: "Freemium".to_owned(),
            organization: (version != Version::V01).then(|| "default".to_owned()),
            budget: Some(5.5),
            expires: Some(START + 9999),
            priority: 3,
            ..there(version, "camille@x.gouv.fr")
        };
        let id = scene.fake.add_user(full);
        scene.account(camille(), None).await.unwrap();
        assert_eq!(scene.user(id).role, "Freemium", "{version:?}");

        let mut agent = camille();
        agent["siret"] = json!("1");
        scene.account(agent.clone(), None).await.unwrap();
        let user = scene.user(id);
        assert_eq!((user.role.as_str(), user.budget, user.expires), ("Agent", Some(5.5), Some(START + 9999)));
        if version != Version::V01 {
            assert_eq!((user.organization.as_deref(), user.priority), (Some("DINUM"), 3), "{version:?}");
        }
        scene.account(camille(), None).await.unwrap();
        assert_eq!(scene.user(id).role, "Agent", "{version:?}: the default takes nothing away");
        let patched = scene.fake.count("PATCH", "/");
        scene.account(agent.clone(), None).await.unwrap();
        assert_eq!(scene.fake.count("PATCH", "/"), patched, "{version:?}: nothing to change");

        scene.fake.change_user(id, |user| "Admin".clone_into(&mut user.role));
        scene.account(agent, None).await.unwrap();
        assert_eq!(scene.user(id).role, "Admin", "{version:?}: an administrator stays one");
    }
}

#[tokio::test]
async fn what_the_person_or_the_configuration_lacks_has_its_name() {
    for version in Version::ALL {
        let rules = vec![
            rule("siret", "1", grant(Some("Nobody"), None)),
            rule("siret", "2", Grant { role: Some(Reference::Id(77)), organization: None }),
            rule("siret", "3", grant(None, Some("Nowhere"))),
        ];
        let scene = Scene::with(version, |settings| settings.rules = rules).await;
        let of = |siret: &str| json!({"email": "a@x.gouv.fr", "siret": siret});
        assert_eq!(scene.account(of("1"), None).await, Err(AlbertError::RoleMissing("Nobody".to_owned())));
        assert_eq!(scene.account(of("2"), None).await, Err(AlbertError::RoleMissing("77".to_owned())), "{version:?}");
        if version != Version::V01 {
            let missing = AlbertError::OrganizationMissing("Nowhere".to_owned());
            assert_eq!(scene.account(of("3"), None).await, Err(missing), "{version:?}");
        }
        let expired = User { expires: Some(START), ..there(version, "old@x.gouv.fr") };
        scene.fake.add_user(expired);
        let poor = User { budget: Some(0.0), ..there(version, "poor@x.gouv.fr") };
        scene.fake.add_user(poor);
        let users = scene.fake.users().len();
        let outcome = scene.account(json!({"email": "old@x.gouv.fr"}), None).await;
        assert_eq!(outcome, Err(AlbertError::AccountExpired), "{version:?}");
        let outcome = scene.account(json!({"email": "poor@x.gouv.fr"}), None).await;
        assert_eq!(outcome, Err(AlbertError::BudgetGone), "{version:?}");
        assert_eq!(scene.fake.users().len(), users, "{version:?}: nobody gets a second account");

        scene.fake.replace_admin_key();
        assert_eq!(scene.account(camille(), None).await, Err(AlbertError::AdminRefused), "{version:?}");
        assert_eq!(scene.albert.examine().await, Err(AlbertError::AdminRefused), "{version:?}");
        scene.fake.fault(Fault::Down);
        assert_eq!(scene.account(camille(), None).await, Err(AlbertError::Down(503)), "{version:?}");
        scene.fake.close().await;
        assert!(scene.account(camille(), None).await.unwrap_err().is_outage(), "{version:?}");
    }
}

#[tokio::test]
async fn a_key_is_minted_works_and_is_discarded() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let account = scene.account(camille(), None).await.unwrap();
        let until = NOW.plus(HOUR);
        let minted = scene.albert.mint(&account, "vestibule-1", until, NOW).await.unwrap();
        let live = scene.fake.live_keys(START);
        assert_eq!(live.len(), 1, "{version:?}");
        assert_eq!((live[0].id, live[0].user, live[0].name.as_str()), (minted.id, account.id, "vestibule-1"));
        assert_eq!((live[0].expires, minted.until), (Some(until.as_unix()), until), "{version:?}");
        assert_eq!(live[0].secret, minted.secret.expose_secret());
        assert_eq!(scene.albert.is_alive(&minted.secret).await, Ok(true), "{version:?}");

        let discard = || scene.albert.discard(account.id, minted.id, Some(&minted.secret), "helper", NOW);
        assert_eq!(discard().await, Ok(()), "{version:?}");
        assert_eq!(scene.albert.is_alive(&minted.secret).await, Ok(false), "{version:?}");
        assert_eq!(discard().await, Ok(()), "{version:?}: what is gone is gone");
        assert_eq!(scene.fake.live_keys(START).len(), 0, "{version:?}: no helper is left");
        assert_eq!(scene.fake.count("GET", "/v1/models"), 0);
    }
}

#[tokio::test]
async fn a_key_is_discarded_without_its_secret_where_that_is_possible() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let account = scene.account(camille(), None).await.unwrap();
        let minted = scene.albert.mint(&account, "vestibule-1", NOW.plus(HOUR), NOW).await.unwrap();
        let outcome = scene.albert.discard(account.id, minted.id, None, "helper", NOW).await;
        if version == Version::V01 {
            assert_eq!(outcome, Err(AlbertError::CannotDiscard));
            continue;
        }
        assert_eq!(outcome, Ok(()), "{version:?}");
        assert_eq!(scene.fake.live_keys(START).len(), 0, "{version:?}");
        assert!(scene.fake.all_keys().iter().all(|key| key.name != "helper" || key.expires == Some(START + 300)));

        // Another key of the person's that has died is of no use, and does no harm.
        let dead: SecretString = minted.secret;
        let other = scene.albert.mint(&account, "vestibule-2", NOW.plus(HOUR), NOW).await.unwrap();
        assert_eq!(scene.albert.discard(account.id, other.id, Some(&dead), "helper", NOW).await, Ok(()));
        assert_eq!(scene.fake.live_keys(START).len(), 0, "{version:?}");

        scene.fake.remove_user(account.id);
        assert_eq!(scene.albert.discard(account.id, 4242, None, "helper", NOW).await, Ok(()), "{version:?}");
        let gone = scene.albert.mint(&account, "x", NOW.plus(HOUR), NOW).await;
        assert_eq!(gone.unwrap_err(), AlbertError::AccountGone, "{version:?}");
    }
}

#[tokio::test]
async fn a_key_that_would_live_too_long_lives_as_long_as_it_may() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        scene.fake.fault(Fault::CapDays(2));
        let account = scene.account(camille(), None).await.unwrap();
        let minted = scene.albert.mint(&account, "a", NOW.plus(30 * DAY), NOW).await.unwrap();
        let cap = NOW.plus(2 * DAY);
        assert!(minted.until <= cap && minted.until > cap.minus(HOUR), "{version:?}");
        // Learnt: the next one is not refused first.
        let refusals =
            |fake: &FakeAlbert| fake.calls().iter().filter(|call| matches!(call.status, Some(400 | 422))).count();
        let before = refusals(&scene.fake);
        scene.albert.mint(&account, "b", NOW.plus(30 * DAY), NOW).await.unwrap();
        assert_eq!((before, refusals(&scene.fake)), (1, 1), "{version:?}");

        let known = Scene::with(version, |settings| settings.key_lifetime = Some(HOUR)).await;
        let account = known.account(camille(), None).await.unwrap();
        let minted = known.albert.mint(&account, "a", NOW.plus(DAY), NOW).await.unwrap();
        assert_eq!(minted.until, NOW.plus(HOUR), "{version:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_taken_gets_a_suffix_and_a_strange_answer_is_no_key() {
    let scene = Scene::new(Version::Late).await;
    scene.fake.fault(Fault::UniqueKeyNames);
    let account = scene.account(camille(), None).await.unwrap();
    let mint = || scene.albert.mint(&account, "vestibule", NOW.plus(HOUR), NOW);
    mint().await.unwrap();
    mint().await.unwrap();
    let names: Vec<String> = scene.fake.live_keys(START).into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["vestibule".to_owned(), format!("vestibule-{START}")]);
    // Both names taken: not tried for ever.
    assert!(matches!(mint().await, Err(AlbertError::Unexpected { status: 409, .. })));

    scene.fake.clear_faults();
    scene.fake.fault(Fault::GarbageBody { method: "POST", path_prefix: "/v1/admin/keys", times: 1 });
    assert_eq!(mint().await.unwrap_err(), AlbertError::Malformed { call: "mint a key" });
    scene.fake.fault(Fault::Refuse { path_prefix: "/v1/admin/keys", refusal: Refusal::RateLimited, times: 1 });
    assert!(mint().await.unwrap_err().is_outage());
    scene.fake.fault(Fault::LostAnswer { method: "POST", path_prefix: "/v1/admin/keys", times: 1 });
    assert!(matches!(mint().await, Err(AlbertError::Unreachable(_))));
}

#[tokio::test]
async fn the_dialect_is_found_out_and_the_rules_are_examined() {
    for version in Version::ALL {
        for hidden in [false, true] {
            let rules = vec![
                rule("siret", "1", grant(Some("Agent"), Some("DINUM"))),
                rule("siret", "2", grant(Some("Nobody"), Some("Nowhere"))),
                rule("siret", "3", Grant { role: Some(Reference::Id(3)), organization: None }),
            ];
            let scene = Scene::with(version, |settings| settings.rules = rules).await;
            if hidden {
                scene.fake.fault(Fault::NoOpenapi);
            }
            let found = scene.albert.examine().await.unwrap();
            let expected = match version {
                Version::V01 => Dialect::Legacy,
                Version::V04 | Version::V045 => Dialect::Tokens,
                Version::Late => Dialect::Keys,
            };
            assert_eq!(found.dialect, expected, "{version:?}");
            assert_eq!(found.version.as_deref(), (!hidden).then(|| version.number()), "{version:?}");
            assert_eq!(found.missing_roles, [Reference::Name("Nobody".to_owned())], "{version:?}");
            let named = |names: &[&str]| names.iter().map(|&name| Reference::Name(name.to_owned())).collect::<Vec<_>>();
            let none = if version == Version::V01 { named(&["DINUM", "Nowhere"]) } else { named(&["Nowhere"]) };
            assert_eq!(found.missing_organizations, none, "{version:?}");
            assert_eq!(found.administrative_roles, [Reference::Id(3)], "{version:?}");
        }
    }
}

#[tokio::test]
async fn addresses_hold_numbers_and_the_e_mail_address_looked_for_and_the_admin_bearer_goes_to_the_interface_only() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let account = scene.account(camille(), None).await.unwrap();
        let minted = scene.albert.mint(&account, "vestibule-1", NOW.plus(HOUR), NOW).await.unwrap();
        scene.albert.discard(account.id, minted.id, Some(&minted.secret), "helper", NOW).await.unwrap();
        for call in scene.fake.calls() {
            assert!(!call.path.contains('@') && !call.path.contains("sk-"), "{call:?}");
            assert!(!call.query.contains("sk-") && !call.query.contains("Camille Test"), "{call:?}");
            let described = call.path == "/openapi.json";
            assert_eq!(matches!(call.bearer, Bearer::None), described, "{call:?}");
        }
    }
}

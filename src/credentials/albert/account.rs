//! A person's account: found, created, kept up to date.
//!
//! Called by the front page. E-mail addresses are compared exactly but for ASCII case: what folds
//! together otherwise is another person's address. Must never change the role of an administrator,
//! nor clear what an operator has set: what is not changed is sent back as it was.

use super::calls::{Answer, Call, RESERVED_EMAIL};
use super::error::AlbertError;
use super::rules::{self, Granted};
use super::settings::{Dialect, Settings};
use super::{Account, Albert};
use crate::claims::ClaimsView;
use crate::clock::Timestamp;
use crate::random::{self, Random};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

/// The longest e-mail address that the API takes.
const LONGEST_EMAIL: usize = 254;

/// The most letters of a name that are passed on.
const LONGEST_NAME: usize = 200;

/// What an account holds besides its number and the role, as far as we send it back.
const KEPT: [&str; 6] = ["email", "name", "budget", "expires", "expires_at", "priority"];

/// What the claims and the rules say of an account.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// As the provider writes it.
    email: &'a str,
    name: Option<String>,
    granted: Granted<'a>,
}

impl<'a> Wanted<'a> {
    /// What `person` is to have.
    ///
    /// # Errors
    /// [`AlbertError`], where they are to have no account.
    pub(super) fn new(settings: &'a Settings, person: &ClaimsView<'a>) -> Result<Self, AlbertError> {
        let email = email(person)?;
        let granted = rules::decide(&settings.rules, &settings.otherwise, person)?;
        Ok(Self { email, name: name(person), granted })
    }
}

/// The verified e-mail address. Absence of `email_verified` says nothing; anything but `true` does.
fn email<'a>(person: &ClaimsView<'a>) -> Result<&'a str, AlbertError> {
    if person.get("email_verified").is_some() && person.text("email_verified") != Some("true") {
        return Err(AlbertError::EmailNotVerified);
    }
    person.text("email").filter(|email| is_plausible(email)).ok_or(AlbertError::NoEmail)
}

/// Whether an address can be an account's. White space would be cut off by the API, and
/// `master`, the name of its administrator, has no `@`.
fn is_plausible(email: &str) -> bool {
    let Some((local, domain)) = email.split_once('@') else { return false };
    let printable = !email.chars().any(|c| c.is_control() || c.is_whitespace());
    let labelled = domain.split('.').all(|label| !label.is_empty());
    printable && labelled && !local.is_empty() && !domain.contains('@') && email.len() <= LONGEST_EMAIL
}

/// The person's name: given and usual name, else given and family name, or what there is of them.
fn name(person: &ClaimsView<'_>) -> Option<String> {
    let parts = [person.text("given_name"), person.text("usual_name").or_else(|| person.text("family_name"))];
    let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let printable: String = joined.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    Some(printable.trim().to_owned()).filter(|name| !name.is_empty())
}

/// An account as the API shows it.
#[derive(Clone, Debug, Deserialize)]
struct Shown {
    id: u64,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Shown {
    fn email(&self, dialect: Dialect) -> Option<&str> {
        self.fields.get(dialect.email())?.as_str()
    }

    fn number(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.fields.get(*name)?.as_u64())
    }

    /// Whether its owner may have a key now.
    fn usable(&self, dialect: Dialect, now: Timestamp) -> Result<(), AlbertError> {
        let present = |name: &str| self.fields.get(name).filter(|value| !value.is_null());
        let number = |value: &Value| value.as_f64().ok_or(AlbertError::Malformed { call: "find the account" });
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64 for ages")]
        let now = now.as_unix() as f64;
        if present(dialect.expires()).map(number).transpose()?.is_some_and(|expires| expires <= now) {
            return Err(AlbertError::AccountExpired);
        }
        if present("budget").map(number).transpose()?.is_some_and(|budget| budget <= 0.0) {
            return Err(AlbertError::BudgetGone);
        }
        Ok(())
    }

    /// All of it that an update must repeat: what it leaves out is cleared up to 0.4.5, and a
    /// mistake later.
    fn kept(&self, dialect: Dialect) -> Map<String, Value> {
        let shown = KEPT.into_iter().filter_map(|name| Some((name.to_owned(), self.fields.get(name)?.clone())));
        let mut kept: Map<String, Value> = shown.collect();
        set(&mut kept, dialect.role(), self.number(dialect.role()));
        set(&mut kept, dialect.organization(), self.number(dialect.organization()));
        kept
    }
}

/// Sets a field under each of its names.
fn set(fields: &mut Map<String, Value>, names: &[&str], value: Option<u64>) {
    fields.extend(names.iter().map(|name| ((*name).to_owned(), json!(value))));
}

/// What an update would change.
#[derive(Default)]
struct Changes {
    email: Option<String>,
    name: Option<String>,
    role: Option<u64>,
    organization: Option<u64>,
}

impl Changes {
    fn is_none(&self) -> bool {
        self.email.is_none() && self.name.is_none() && !self.of_the_grant()
    }

    /// Whether it is about what the person may do, not only about how they are called.
    fn of_the_grant(&self) -> bool {
        self.role.is_some() || self.organization.is_some()
    }

    fn applied_to(&self, account: &Shown, dialect: Dialect) -> Value {
        let mut fields = account.kept(dialect);
        if let Some(name) = &self.name {
            fields.insert("name".to_owned(), json!(name));
        }
        if let Some(email) = &self.email {
            fields.insert(dialect.email().to_owned(), json!(email));
        }
        if self.role.is_some() {
            set(&mut fields, dialect.role(), self.role);
        }
        if self.organization.is_some() {
            set(&mut fields, dialect.organization(), self.organization);
        }
        Value::Object(fields)
    }
}

/// What came of an attempt to create an account.
enum Creation {
    Created(Account),
    /// Another sign-in was faster.
    Taken(AlbertError),
}

impl Albert {
    pub(super) async fn find_or_create(
        &self,
        dialect: Dialect,
        wanted: &Wanted<'_>,
        known: Option<u64>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Account, AlbertError> {
        let remembered = match known {
            Some(id) => self.by_id(dialect, id).await?,
            None => None,
        };
        let found = match remembered {
            Some(account) => Some(account),
            None => self.by_email(dialect, wanted.email).await?,
        };
        if let Some(account) = found {
            return self.brought_up_to_date(dialect, account, wanted, now).await;
        }
        match self.create(dialect, wanted, now, random).await? {
            Creation::Created(account) => Ok(account),
            Creation::Taken(refusal) => match self.by_email(dialect, wanted.email).await? {
                Some(account) => self.brought_up_to_date(dialect, account, wanted, now).await,
                None => Err(refusal),
            },
        }
    }

    async fn by_id(&self, dialect: Dialect, id: u64) -> Result<Option<Shown>, AlbertError> {
        let call = Call::get("read the account", format!("{}/{id}", dialect.users()));
        let answer = self.calls.as_admin(call).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let account: Shown = answer.json()?;
        if account.id == id { Ok(Some(account)) } else { Err(answer.malformed()) }
    }

    /// The account with this address. Older accounts may have capitals where the API compares
    /// exactly: those are looked for as the provider writes them.
    async fn by_email(&self, dialect: Dialect, email: &str) -> Result<Option<Shown>, AlbertError> {
        let lower = email.to_ascii_lowercase();
        if let Some(account) = self.search(dialect, &lower).await? {
            return Ok(Some(account));
        }
        // 0.1.x has no search: all names were seen.
        if lower == email || dialect == Dialect::Legacy { Ok(None) } else { self.search(dialect, email).await }
    }

    /// Of the accounts with this address the one in lower case, else the oldest. The API may have
    /// matched a part of an address, or a pattern, as well.
    async fn search(&self, dialect: Dialect, email: &str) -> Result<Option<Shown>, AlbertError> {
        let lower = email.to_ascii_lowercase();
        let filter = match dialect {
            Dialect::Legacy => String::new(),
            Dialect::Tokens | Dialect::Keys => {
                format!("&email={}", form_urlencoded::byte_serialize(email.as_bytes()).collect::<String>())
            }
        };
        let exact = |account: &Shown| account.email(dialect) == Some(&lower);
        let mut accounts = self.calls.list("find the account", dialect.users(), &filter, exact).await?;
        accounts.retain(|account| account.email(dialect).is_some_and(|held| held.eq_ignore_ascii_case(email)));
        Ok(accounts.into_iter().min_by_key(|account| (!exact(account), account.id)))
    }

    async fn create(
        &self,
        dialect: Dialect,
        wanted: &Wanted<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Creation, AlbertError> {
        let email = wanted.email.to_ascii_lowercase();
        let role = wanted.granted.initial_role();
        let role = role.ok_or_else(|| AlbertError::RoleMissing("none is configured".to_owned()))?;
        let organization = wanted.granted.initial_organization();
        let mut fields = Map::new();
        let role_id = self.calls.role_id(dialect, role, &self.roles, now).await?;
        set(&mut fields, dialect.role(), Some(role_id));
        // Said even where there is none: the latest versions want to read it.
        set(&mut fields, dialect.organization(), None);
        if let Some(organization) = organization.filter(|_| dialect.organizations().is_some()) {
            let id = self.calls.organization_id(dialect, organization, &self.organizations, now).await?;
            set(&mut fields, dialect.organization(), Some(id));
        }
        if dialect != Dialect::Legacy {
            fields.insert("name".to_owned(), json!(wanted.name.as_deref().unwrap_or(&email)));
            fields.insert("password".to_owned(), json!(password(random)?));
        }
        fields.insert(dialect.email().to_owned(), json!(email));

        let call = Call::post("create the account", dialect.users(), Value::Object(fields));
        let answer = self.calls.as_admin(call).await?;
        match answer.status {
            409 => Ok(Creation::Taken(answer.unexpected())),
            400 if dialect == Dialect::Legacy => Ok(Creation::Taken(answer.unexpected())),
            403 if answer.detail() == RESERVED_EMAIL => Err(AlbertError::NoEmail),
            _ if answer.is_success() => {
                #[derive(Deserialize)]
                struct Created {
                    id: u64,
                }
                let Created { id } = answer.json()?;
                tracing::info!(credential = self.calls.settings.name, account = id, "an account was created");
                Ok(Creation::Created(Account { id }))
            }
            _ => {
                let organization = organization.map_or_else(|| "none is configured".to_owned(), ToString::to_string);
                Err(self.refused(&answer, &role.to_string(), &organization))
            }
        }
    }

    /// Why an account was not created or changed, from what the API says about it.
    fn refused(&self, answer: &Answer, role: &str, organization: &str) -> AlbertError {
        let detail = answer.detail();
        match answer.status {
            404 if detail.starts_with("Role") => {
                self.roles.forget();
                AlbertError::RoleMissing(role.to_owned())
            }
            404 if detail.starts_with("Organization") => {
                self.organizations.forget();
                AlbertError::OrganizationMissing(organization.to_owned())
            }
            // The latest versions take no account without one.
            422 if detail.contains("\"organization") => AlbertError::OrganizationMissing(organization.to_owned()),
            _ => answer.unexpected(),
        }
    }

    async fn brought_up_to_date(
        &self,
        dialect: Dialect,
        account: Shown,
        wanted: &Wanted<'_>,
        now: Timestamp,
    ) -> Result<Account, AlbertError> {
        account.usable(dialect, now)?;
        let mut changes = self.changes(dialect, &account, wanted, now).await?;
        let credential = &self.calls.settings.name;
        while !changes.is_none() {
            let call = Call::patch(
                "update the account",
                format!("{}/{}", dialect.users(), account.id),
                changes.applied_to(&account, dialect),
            );
            let answer = self.calls.as_admin(call).await?;
            if answer.is_success() {
                tracing::info!(credential, account = account.id, "an account was brought up to date");
                break;
            }
            let taken = answer.status == 409 || (answer.status == 400 && dialect == Dialect::Legacy);
            if taken && changes.email.take().is_some() {
                tracing::warn!(
                    credential,
                    account = account.id,
                    "the account keeps its e-mail address: another account has the new one"
                );
            } else if changes.of_the_grant() {
                let named = |grant: Option<u64>| grant.map(|id| id.to_string()).unwrap_or_default();
                return Err(self.refused(&answer, &named(changes.role), &named(changes.organization)));
            } else {
                // How somebody is called is no reason to keep them out.
                tracing::warn!(credential, account = account.id, status = answer.status, "an account was not updated");
                break;
            }
        }
        Ok(Account { id: account.id })
    }

    async fn changes(
        &self,
        dialect: Dialect,
        account: &Shown,
        wanted: &Wanted<'_>,
        now: Timestamp,
    ) -> Result<Changes, AlbertError> {
        let mut changes = Changes::default();
        if !account.email(dialect).is_some_and(|held| held.eq_ignore_ascii_case(wanted.email)) {
            changes.email = Some(wanted.email.to_ascii_lowercase());
        }
        if dialect != Dialect::Legacy && wanted.name.is_some() {
            let held = account.fields.get("name").and_then(Value::as_str);
            changes.name.clone_from(&wanted.name);
            changes.name.take_if(|name| held == Some(name));
        }
        let Some(required) = wanted.granted.required else { return Ok(changes) };
        if let Some(role) = &required.role {
            let id = self.calls.role_id(dialect, role, &self.roles, now).await?;
            let held = account.number(dialect.role());
            if held != Some(id) && self.may_change_role(dialect, account.id, held).await? {
                changes.role = Some(id);
            }
        }
        if let Some(organization) = required.organization.as_ref().filter(|_| dialect.organizations().is_some()) {
            let id = self.calls.organization_id(dialect, organization, &self.organizations, now).await?;
            changes.organization = Some(id).filter(|id| account.number(dialect.organization()) != Some(*id));
        }
        Ok(changes)
    }

    /// Whether an account's role is one that rules may take away: an administrator keeps theirs, or
    /// a rule that is too wide would lock everybody out of the API.
    async fn may_change_role(&self, dialect: Dialect, account: u64, held: Option<u64>) -> Result<bool, AlbertError> {
        let roles = self.calls.roles(dialect).await?;
        let known = roles.iter().find(|role| Some(role.id) == held);
        let may = known.is_some_and(|role| !role.is_administrative());
        if !may {
            let credential = &self.calls.settings.name;
            tracing::info!(credential, account, "the account keeps its role: it is an administrator's, or not listed");
        }
        Ok(may)
    }
}

/// A password that nobody knows: the API wants one. 43 characters of the 72 that it takes.
fn password(random: &dyn Random) -> Result<String, AlbertError> {
    Ok(URL_SAFE_NO_PAD.encode(random::bytes::<32>(random)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use crate::credentials::albert::rules::{Grant, Otherwise, Reference, Rule, Then};
    use crate::credentials::albert::stub::{Asked, Stub, detail};
    use crate::fetch::Fetch;
    use crate::random::SystemRandom;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    fn claims(value: &Value) -> Claims {
        Claims::from_json(value.as_object().unwrap())
    }

    #[test]
    fn an_address_is_verified_and_plausible_or_none() {
        let long = format!("{}@x.fr", "a".repeat(LONGEST_EMAIL));
        for (person, expected) in [
            (json!({"email": "Jean@X.fr"}), Ok("Jean@X.fr")),
            (json!({"email": "a+b@x.fr", "email_verified": true}), Ok("a+b@x.fr")),
            (json!({"email": "a@x.fr", "email_verified": false}), Err(AlbertError::EmailNotVerified)),
            (json!({"email": "a@x.fr", "email_verified": "no"}), Err(AlbertError::EmailNotVerified)),
            (json!({"email": "a@x.fr", "email_verified": ["true"]}), Err(AlbertError::EmailNotVerified)),
            (json!({"email_verified": false}), Err(AlbertError::EmailNotVerified)),
            (json!({}), Err(AlbertError::NoEmail)),
            (json!({"email": ""}), Err(AlbertError::NoEmail)),
            (json!({"email": "master"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@b@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": "@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@.x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": " a@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a@x.fr\n"}), Err(AlbertError::NoEmail)),
            (json!({"email": "a\u{a0}@x.fr"}), Err(AlbertError::NoEmail)),
            (json!({"email": ["a@x.fr"]}), Err(AlbertError::NoEmail)),
            (json!({"email": long}), Err(AlbertError::NoEmail)),
        ] {
            assert_eq!(email(&claims(&person).view()), expected, "{person}");
        }
    }

    #[test]
    fn a_name_is_made_of_what_there_is() {
        for (person, expected) in [
            (json!({"given_name": "Camille", "usual_name": "Test", "family_name": "Born"}), Some("Camille Test")),
            (json!({"given_name": "Camille", "family_name": "Born"}), Some("Camille Born")),
            (json!({"usual_name": "Test"}), Some("Test")),
            (json!({"given_name": " \n", "usual_name": ""}), None),
            (json!({"given_name": "A\u{0}B\r\nC"}), Some("ABC")),
            (json!({}), None),
        ] {
            assert_eq!(name(&claims(&person).view()).as_deref(), expected, "{person}");
        }
        let long = claims(&json!({"given_name": "é".repeat(1000)}));
        assert_eq!(name(&long.view()).unwrap().chars().count(), LONGEST_NAME);
    }

    #[test]
    fn an_account_is_usable_while_it_lives_and_has_a_budget() {
        for (fields, expected) in [
            (json!({"id": 1}), Ok(())),
            (json!({"id": 1, "expires": null, "budget": null}), Ok(())),
            (json!({"id": 1, "expires": 1_000_001, "budget": 0.01}), Ok(())),
            (json!({"id": 1, "expires": 1_000_000}), Err(AlbertError::AccountExpired)),
            (json!({"id": 1, "expires": 999_999.5}), Err(AlbertError::AccountExpired)),
            (json!({"id": 1, "budget": 0}), Err(AlbertError::BudgetGone)),
            (json!({"id": 1, "budget": -3.5}), Err(AlbertError::BudgetGone)),
            (json!({"id": 1, "expires": "never"}), Err(AlbertError::Malformed { call: "find the account" })),
        ] {
            let shown: Shown = serde_json::from_value(fields.clone()).unwrap();
            assert_eq!(shown.usable(Dialect::Tokens, NOW), expected, "{fields}");
        }
        let legacy: Shown = serde_json::from_value(json!({"id": 1, "expires_at": 5})).unwrap();
        assert_eq!(legacy.usable(Dialect::Legacy, NOW), Err(AlbertError::AccountExpired));
    }

    #[test]
    fn an_update_repeats_what_it_does_not_change() {
        let shown: Shown = serde_json::from_value(json!({
            "object": "user", "id": 4, "email": "a@x.fr", "name": null, "sub": "s", "iss": "i", "role": 2,
            "organization": 3, "budget": 5.5, "expires": 2_000_000, "created": 1, "updated": 1, "priority": 9,
        }))
        .unwrap();
        let changes = Changes { name: Some("New".to_owned()), role: Some(6), ..Changes::default() };
        let tokens = json!({
            "email": "a@x.fr", "name": "New", "role": 6, "organization": 3, "budget": 5.5, "expires": 2_000_000,
            "priority": 9,
        });
        assert_eq!(changes.applied_to(&shown, Dialect::Tokens), tokens);
        let keys = changes.applied_to(&shown, Dialect::Keys);
        assert_eq!((&keys["role"], &keys["role_id"]), (&json!(6), &json!(6)));
        assert_eq!((&keys["organization"], &keys["organization_id"]), (&json!(3), &json!(3)));
        assert_eq!(keys["budget"], json!(5.5));
        // A version that has no budgets is not told of one.
        let shown: Shown = serde_json::from_value(json!({"id": 4, "email": "a@x.fr", "role_id": 2})).unwrap();
        assert_eq!(changes.applied_to(&shown, Dialect::Keys).get("budget"), None);
        let shown: Shown =
            serde_json::from_value(json!({"id": 4, "name": "a@x.fr", "role": 2, "expires_at": 7})).unwrap();
        let changes = Changes { email: Some("b@x.fr".to_owned()), ..Changes::default() };
        let legacy = json!({"name": "b@x.fr", "role": 2, "expires_at": 7});
        assert_eq!(changes.applied_to(&shown, Dialect::Legacy), legacy);
    }

    fn list(entries: &[Value]) -> (u16, String) {
        (200, json!({"object": "list", "data": entries}).to_string())
    }

    async fn account_at(
        stub: &Stub,
        rules: Vec<Rule>,
        known: Option<u64>,
        email: &str,
    ) -> Result<Account, AlbertError> {
        let settings = Settings { rules, ..stub.settings(Some(Dialect::Tokens)) };
        let albert = Albert::new(settings, Fetch::new().unwrap());
        let person = claims(&json!({ "email": email }));
        albert.account(&person.view(), known, NOW, &SystemRandom::new()).await
    }

    #[tokio::test]
    async fn only_the_same_address_is_the_same_person() {
        let stub = Stub::new(|asked: &Asked| {
            if asked.line.starts_with("POST") {
                return (201, json!({"id": 99}).to_string());
            }
            let addresses = ["xa@x.fr", "a@x.fr.evil.example", "a@x.fra", "\u{212a}@x.fr", "A@X.FR", "a@x.FR"];
            let user = |(id, email): (usize, &&str)| json!({"id": 20 - id, "email": email, "role": 1});
            list(&addresses.iter().enumerate().map(user).collect::<Vec<_>>())
        });
        let stub = stub.await;
        // Two that differ in case alone: the oldest.
        assert_eq!(account_at(&stub, vec![], None, "a@x.fr").await, Ok(Account { id: 15 }));
        // The Kelvin sign is not a k.
        assert_eq!(account_at(&stub, vec![], None, "k@x.fr").await, Ok(Account { id: 99 }));
        let made = stub.asked().pop().unwrap().body;
        assert_eq!((&made["email"], &made["name"], &made["role"]), (&json!("k@x.fr"), &json!("k@x.fr"), &json!(1)));
        assert_eq!(made["password"].as_str().unwrap().len(), 43);
    }

    #[tokio::test]
    async fn an_address_is_encoded_and_asked_for_in_lower_case_first() {
        let stub = Stub::new(|asked| match asked.line.as_str() {
            "GET /v1/admin/users?limit=100&offset=0&email=A%2BB%25%26%3D%23%40X.fr" => {
                list(&[json!({"id": 5, "email": "A+B%&=#@X.fr", "role": 1})])
            }
            "GET /v1/admin/users?limit=100&offset=0&email=a%2Bb%25%26%3D%23%40x.fr" => detail(404, "User not found."),
            other => panic!("{other}"),
        });
        let stub = stub.await;
        assert_eq!(account_at(&stub, vec![], None, "A+B%&=#@X.fr").await, Ok(Account { id: 5 }));
        assert_eq!(stub.lines().len(), 2);
    }

    #[tokio::test]
    async fn a_refused_person_is_not_asked_for() {
        let stub = Stub::new(|_| (500, String::new())).await;
        let refuse = || vec![Rule { when: vec![], then: Then::Refuse }];
        assert_eq!(account_at(&stub, refuse(), Some(4), "a@x.fr").await, Err(AlbertError::RefusedByRule));
        assert_eq!(account_at(&stub, vec![], Some(4), "master").await, Err(AlbertError::NoEmail));
        assert_eq!(stub.lines().len(), 0);
    }

    #[tokio::test]
    async fn another_account_than_the_one_asked_for_is_not_believed() {
        let stub = Stub::new(|_| (200, json!({"id": 5, "email": "a@x.fr", "role": 1}).to_string())).await;
        let outcome = account_at(&stub, vec![], Some(4), "a@x.fr").await;
        assert_eq!(outcome, Err(AlbertError::Malformed { call: "read the account" }));
    }

    #[tokio::test]
    async fn a_demotion_that_fails_keeps_the_person_out_and_a_name_that_fails_does_not() {
        let stub = Stub::new(|asked: &Asked| match asked.line.split('?').next().unwrap() {
            "GET /v1/admin/users/4" => (200, json!({"id": 4, "email": "a@x.fr", "role": 2}).to_string()),
            "GET /v1/admin/roles" => list(&[json!({"id": 2, "name": "Wide"})]),
            _ => detail(418, "no"),
        });
        let stub = stub.await;
        let demote = Then::Grant(Grant { role: Some(Reference::Id(1)), organization: None });
        let outcome = account_at(&stub, vec![Rule { when: vec![], then: demote }], Some(4), "a@x.fr").await;
        assert_eq!(outcome, Err(AlbertError::Unexpected { call: "update the account", status: 418 }));
        assert_eq!(account_at(&stub, vec![], Some(4), "b@x.fr").await, Ok(Account { id: 4 }));
    }

    #[tokio::test]
    async fn a_role_that_is_not_listed_is_left_alone() {
        let stub = Stub::new(|asked: &Asked| match asked.line.split('?').next().unwrap() {
            "GET /v1/admin/users/4" => (200, json!({"id": 4, "email": "a@x.fr", "role": 2}).to_string()),
            "GET /v1/admin/roles" => list(&[]),
            other => panic!("{other}"),
        });
        let stub = stub.await;
        let change = Then::Grant(Grant { role: Some(Reference::Id(1)), organization: None });
        let outcome = account_at(&stub, vec![Rule { when: vec![], then: change }], Some(4), "a@x.fr").await;
        assert_eq!(outcome, Ok(Account { id: 4 }));
    }

    #[tokio::test]
    async fn without_randomness_there_is_no_account() {
        struct Broken;
        impl Random for Broken {
            fn fill(&self, _: &mut [u8]) -> Result<(), crate::random::NoRandomness> {
                Err(crate::random::NoRandomness)
            }
        }
        let stub = Stub::new(|_| list(&[])).await;
        let person = claims(&json!({"email": "a@x.fr"}));
        let outcome = stub.albert(Some(Dialect::Tokens)).account(&person.view(), None, NOW, &Broken).await;
        assert_eq!(outcome, Err(AlbertError::Randomness));
        assert!(stub.lines().iter().all(|line| !line.starts_with("POST")));
    }

    #[tokio::test]
    async fn a_version_that_wants_an_organisation_says_so() {
        let stub = Stub::new(|asked: &Asked| {
            if asked.line.starts_with("GET") {
                return list(&[]);
            }
            (422, json!({"detail": [{"loc": ["body", "organization_id"], "msg": "Field required"}]}).to_string())
        });
        let outcome = account_at(&stub.await, vec![], None, "a@x.fr").await;
        assert_eq!(outcome, Err(AlbertError::OrganizationMissing("none is configured".to_owned())));
    }

    #[tokio::test]
    async fn without_a_role_no_account_is_made() {
        let stub = Stub::new(|_| list(&[])).await;
        let mut settings = stub.settings(Some(Dialect::Tokens));
        settings.otherwise = Otherwise::Grant(Grant::default());
        let albert = Albert::new(settings, Fetch::new().unwrap());
        let person = claims(&json!({"email": "a@x.fr"}));
        let outcome = albert.account(&person.view(), None, NOW, &SystemRandom::new()).await;
        assert_eq!(outcome, Err(AlbertError::RoleMissing("none is configured".to_owned())));
    }
}

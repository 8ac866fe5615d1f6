//! A person's account: found, created, kept up to date.
//!
//! Called by the front page. E-mail addresses are compared exactly but for ASCII case: what folds
//! together otherwise is another person's address. Must never change the role of an administrator,
//! nor clear what an operator has set: what is not changed is sent back as it was.

use super::calls::{Answer, Call, RESERVED_EMAIL};
use super::error::AlbertError;
use super::person::Wanted;
use super::settings::Dialect;
use super::shown::{Changes, Shown, set};
use super::{Account, Albert, Known};
use crate::clock::Timestamp;
use crate::random::{self, Random};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

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
        known: Option<Known>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(Account, Known), AlbertError> {
        let remembered = match known {
            Some(known) => self.by_id(dialect, known.id).await?.filter(|account| {
                let held = account.email(dialect).unwrap_or_default();
                held.eq_ignore_ascii_case(wanted.email) || Known::new(account.id, held) == known
            }),
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
            Creation::Created(account) => Ok((account, Known::new(account.id, wanted.email))),
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
    ) -> Result<(Account, Known), AlbertError> {
        account.usable(dialect, now)?;
        let mut changes = self.changes(dialect, &account, wanted, now).await?;
        let mut address = account.email(dialect).unwrap_or_default();
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
                address = changes.email.as_deref().unwrap_or(address);
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
        Ok((Account { id: account.id }, Known::new(account.id, address)))
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
    use crate::credentials::albert::settings::Settings;
    use crate::credentials::albert::stub::{Asked, Stub, detail};
    use crate::fetch::Fetch;
    use crate::random::SystemRandom;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    fn claims(value: &Value) -> Claims {
        Claims::from_json(value.as_object().unwrap())
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
        let known = known.map(|id| Known::new(id, "a@x.fr"));
        albert.account(&person.view(), known, NOW, &SystemRandom::new()).await.map(|(account, _)| account)
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

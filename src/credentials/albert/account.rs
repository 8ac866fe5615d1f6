//! A person's account: found, created, kept up to date.
//!
//! Called by the front page. E-mail addresses are compared exactly but for ASCII case: what folds
//! together otherwise is another person's address. Must never change the role of an administrator,
//! nor clear what an operator has set: what is not changed is sent back as it was.

use super::calls::{Answer, Call, RESERVED_EMAIL};
use super::error::AlbertError;
use super::rules::{self, Granted};
use super::settings::{Dialect, Settings};
use super::{Account, Albert, Known};
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
    printable && !local.is_empty() && !domain.is_empty() && !domain.contains('@') && email.len() <= LONGEST_EMAIL
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
            tracing::info!(credential, account, "the account keeps its role: it is an administrator's");
        }
        Ok(may)
    }
}

/// A password that nobody knows: the API wants one. 43 characters of the 72 that it takes.
fn password(random: &dyn Random) -> Result<String, AlbertError> {
    Ok(URL_SAFE_NO_PAD.encode(random::bytes::<32>(random)?))
}

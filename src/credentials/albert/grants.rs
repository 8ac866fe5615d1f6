//! Roles and organisations by name, as the API lists them.
//!
//! Called by `account`. The lists are remembered for a few minutes, so that a morning's sign-ins
//! do not each read them. Must never decide on a remembered list whether a role is an
//! administrator's.

use super::calls::Calls;
use super::error::AlbertError;
use super::rules::Reference;
use super::settings::Dialect;
use crate::clock::Timestamp;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a list is remembered: a role that is renamed is found again after that.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// Permissions of 0.1.x that make a role an administrator's; later there is `admin`.
const ADMINISTRATIVE: [&str; 7] =
    ["admin", "create_role", "update_role", "delete_role", "create_user", "update_user", "delete_user"];

/// A role or an organisation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default)]
    permissions: Vec<String>,
}

impl Named {
    /// Whether those who have this role can change other people's accounts.
    pub(super) fn is_administrative(&self) -> bool {
        self.permissions.iter().any(|permission| ADMINISTRATIVE.contains(&permission.as_str()))
    }

    pub(super) fn is(&self, reference: &Reference) -> bool {
        match reference {
            Reference::Id(id) => self.id == *id,
            Reference::Name(name) => self.name == *name,
        }
    }
}

/// A list that is remembered for a while.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Option<(Timestamp, Vec<Named>)>>);

impl Remembered {
    fn find(&self, reference: &Reference, now: Timestamp) -> Option<u64> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, list) = held.as_ref()?;
        let fresh = *since <= now && now.since(*since) < REMEMBERED;
        list.iter().find(|named| fresh && named.is(reference)).map(|named| named.id)
    }

    fn keep(&self, list: Vec<Named>, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, list));
    }

    /// Forgets the list: something in it is no longer so.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Calls {
    /// Every role.
    pub(super) async fn roles(&self, dialect: Dialect) -> Result<Vec<Named>, AlbertError> {
        self.list("list roles", dialect.roles(), "", |_| false).await
    }

    /// Every organisation; none in 0.1.x.
    pub(super) async fn organizations(&self, dialect: Dialect) -> Result<Vec<Named>, AlbertError> {
        match dialect.organizations() {
            Some(path) => self.list("list organisations", path, "", |_| false).await,
            None => Ok(Vec::new()),
        }
    }

    /// The number of a role.
    pub(super) async fn role_id(
        &self,
        dialect: Dialect,
        role: &Reference,
        remembered: &Remembered,
        now: Timestamp,
    ) -> Result<u64, AlbertError> {
        if let Some(id) = by_number(role).or_else(|| remembered.find(role, now)) {
            return Ok(id);
        }
        let roles = self.roles(dialect).await?;
        let found = roles.iter().find(|named| named.is(role)).map(|named| named.id);
        remembered.keep(roles, now);
        found.ok_or_else(|| AlbertError::RoleMissing(role.to_string()))
    }

    /// The number of an organisation.
    pub(super) async fn organization_id(
        &self,
        dialect: Dialect,
        organization: &Reference,
        remembered: &Remembered,
        now: Timestamp,
    ) -> Result<u64, AlbertError> {
        if let Some(id) = by_number(organization).or_else(|| remembered.find(organization, now)) {
            return Ok(id);
        }
        let organizations = self.organizations(dialect).await?;
        let found = organizations.iter().find(|named| named.is(organization)).map(|named| named.id);
        remembered.keep(organizations, now);
        found.ok_or_else(|| AlbertError::OrganizationMissing(organization.to_string()))
    }
}

fn by_number(reference: &Reference) -> Option<u64> {
    match reference {
        Reference::Id(id) => Some(*id),
        Reference::Name(_) => None,
    }
}

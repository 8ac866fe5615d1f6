//! The providers of one site.
//!
//! Made by `app`, asked by whoever has to find the one that is meant: by its name, as the session
//! says it, or by its issuer. Each keeps its own secrets, metadata and keys; nothing of one is ever
//! handed to another. Where a site has one it is meant in any case, whatever a session calls it: a
//! configuration may give it another name.

use super::{Provider, Settings};
use crate::fetch::Fetch;
use std::sync::Arc;

/// All providers of a site, in the order of their names. Never empty.
#[derive(Clone, Debug)]
pub struct Providers(Arc<[Arc<Provider>]>);

impl Providers {
    /// Providers of these settings, not asked yet; none where there are none.
    pub fn new(settings: Vec<Settings>, fetch: &Fetch) -> Option<Self> {
        let all: Arc<[_]> =
            settings.into_iter().map(|settings| Arc::new(Provider::new(settings, fetch.clone()))).collect();
        (!all.is_empty()).then_some(Self(all))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.0.iter()
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The one that there is, where there is one.
    pub fn only(&self) -> Option<&Arc<Provider>> {
        match &*self.0 {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The one of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Provider>> {
        self.iter().find(|provider| provider.settings().name == name)
    }

    /// The one with which a session began that calls it so. None where it has left the configuration.
    pub fn of_session(&self, name: &str) -> Option<&Arc<Provider>> {
        self.only().or_else(|| self.named(name))
    }

    /// Those of an issuer: of several registrations there may be one for each.
    pub fn of_issuer<'a>(&'a self, issuer: &'a str) -> impl Iterator<Item = &'a Arc<Provider>> {
        self.iter().filter(move |provider| provider.is_issuer(issuer))
    }

    /// Whether somebody can sign in: one of them was had.
    pub fn any_is_ready(&self) -> bool {
        self.iter().any(|provider| provider.is_ready())
    }
}

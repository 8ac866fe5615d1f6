//! Which provider somebody signs in with, where there are several.
//!
//! Called by `start` for what a person asked for and for navigations, with the providers of the route
//! that they are on their way to. In this order: a provider that was named, the owner of the domain of an
//! address that was typed, the one that the route leaves; else the person chooses, on the sign-in page.
//! Must never choose by anything that the person did not do and the operator did not write: a guess
//! would make somebody else of them.

use super::Login;
use super::start::Asked;
use crate::clock::Timestamp;
use crate::oidc::Provider;
use crate::web::kind::is_ahead_of_need;
use http::HeaderMap;
use std::sync::Arc;

/// What comes of it.
#[derive(Debug)]
pub(super) enum Chosen<'a> {
    /// This one.
    Provider(&'a Arc<Provider>),
    /// The person has to say it.
    ByPerson,
    /// They have typed an address that leads to none.
    Unfit(String),
}

impl Login {
    /// Those of all providers that a route names; all where it names none.
    pub(super) fn offered<'a>(&'a self, of_route: &'a [String]) -> impl Iterator<Item = &'a Arc<Provider>> {
        self.providers.iter().filter(|provider| of_route.is_empty() || of_route.contains(&provider.settings().name))
    }

    /// The only one of those.
    pub(super) fn only_offered<'a>(&'a self, of_route: &'a [String]) -> Option<&'a Arc<Provider>> {
        let mut offered = self.offered(of_route);
        offered.next().filter(|_| offered.next().is_none())
    }

    /// The provider that is meant by what a person asked for.
    pub(super) fn chosen<'a>(&'a self, asked: &Asked, of_route: &'a [String]) -> Chosen<'a> {
        if let Some(only) = self.providers.only() {
            return Chosen::Provider(only);
        }
        let of_name = |name: &str| self.offered(of_route).find(|provider| provider.settings().name == name);
        let of_address = |email: &str| of_name(self.settings.domain_owners.owner(email)?);
        if let Some(name) = &asked.provider {
            return of_name(name).map_or(Chosen::ByPerson, Chosen::Provider);
        }
        if let Some(email) = &asked.email {
            return of_address(email).map_or_else(|| Chosen::Unfit(email.clone()), Chosen::Provider);
        }
        let hinted = asked.login_hint.as_deref().and_then(of_address);
        hinted.or_else(|| self.only_offered(of_route)).map_or(Chosen::ByPerson, Chosen::Provider)
    }

    /// The provider to be asked without a screen: the only one that may be meant, or that of the session
    /// which the browser had.
    pub(super) fn asked_silently<'a>(
        &'a self,
        of_route: &'a [String],
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<&'a Arc<Provider>> {
        self.only_offered(of_route).or_else(|| {
            let last = self.sessions.provider_shown(headers, now)?;
            self.offered(of_route).find(|provider| provider.settings().name == last)
        })
    }

    /// The name of another provider than this, with which the browser has a live session.
    pub(super) fn signed_in_elsewhere(
        &self,
        provider: &Provider,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<String> {
        let name = self.told_apart(provider)?;
        let present = self.sessions.provider_shown(headers, now)?;
        (present != name && self.has_session(headers, now)).then_some(present)
    }

    /// Whether a page of this site leads there: not one of another site, by which somebody could be made
    /// somebody else without having asked for it.
    pub(super) fn is_meant(&self, headers: &HeaderMap) -> bool {
        let is = |name: &str, expected: &str| headers.get(name).is_some_and(|value| value == expected);
        // Neither an image of a page nor what is fetched ahead of need was asked for by anybody.
        !is_ahead_of_need(headers)
            && ((is("sec-fetch-site", "same-origin") && is("sec-fetch-mode", "navigate"))
                || self.is_from_our_page(headers))
    }

    /// The provider whose callback this is: `below` is what follows `callback` in its path, behind a slash.
    /// None where it is nobody's.
    pub fn of_callback(&self, below: Option<&str>) -> Option<&Arc<Provider>> {
        match (self.providers.only(), below) {
            (Some(only), None) => Some(only),
            (Some(_), Some(_)) => None,
            (None, Some(name)) => self.providers.named(name),
            (None, None) => {
                let path = format!("{}/callback", self.prefix.as_str());
                self.providers.iter().find(|provider| provider.settings().redirect_uri.path() == path)
            }
        }
    }

    /// The provider that an app signs in with which keeps a token itself.
    pub fn of_app(&self) -> Option<&Arc<Provider>> {
        let named = || self.providers.named(self.by_app()?.provider.as_deref()?);
        self.providers.only().or_else(named)
    }
}

//! The sign-in, from its start to its callback, and the sign-out.
//!
//! Called by `server` for our own endpoints and for navigations that the gate sends to sign in.
//! The files in the order in which a browser meets them: [`start`] → (provider) → [`callback`],
//! which opens the [`attempt`] first of all → session; later [`logout`], or the provider's own word
//! that it is over: [`backchannel`], [`frontchannel`]. An app that keeps a token itself has both ends
//! in its own hands: [`by_app`]. A form that met the end of a session waits in [`kept_form`].
//!
//! No state is kept between the two ends of a sign-in: what is needed travels sealed in `state`,
//! which opens only together with the [`browser`]'s cookie. Any number of tabs may be under way,
//! with replicas and restarts in between (docs/decisions/0001-stateless-sign-in.md).

pub mod attempt;
pub mod backchannel;
pub mod browser;
pub mod by_app;
pub mod callback;
pub mod choice;
pub mod frontchannel;
pub mod kept_form;
pub mod logout;
mod query;
pub mod start;

use crate::oidc::{Provider, Providers};
use crate::seal::KeyRing;
use crate::session::Sessions;
use crate::web::cookies::Cookies;
use crate::web::domain::DomainOwners;
use crate::web::origin::{Initiator, Origins};
use crate::web::public_url::PublicUrl;
use crate::web::return_hosts::ReturnHosts;
use crate::web::return_to::{Prefix, ReturnTo};
use attempt::UsedAttempts;
use http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How people are led to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// Straight to the provider. Browsers pass a page that shows nothing, and keeps what stands behind `#`.
    #[default]
    Automatic,
    /// By a page with the provider's button.
    Page,
    /// Silently (`prompt=none`) first; by the page when the provider knows nobody.
    Silent,
}

/// How sign-in goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How people are led to the provider.
    pub entry: Entry,
    /// How long a person may take at the provider.
    pub attempt_lifetime: Duration,
    /// The hosts beyond this site that a sign-in or a sign-out may return to.
    pub return_hosts: ReturnHosts,
    /// Where a sign-in leads that does not say.
    pub after: ReturnTo,
    /// The origins besides our own whose pages may sign people out.
    pub origins: Vec<PublicUrl>,
    /// Whether a form that met a session which is over is kept over the sign-in.
    pub keep_forms: bool,
    /// To which of several providers an e-mail address leads that is typed on the sign-in page.
    pub domain_owners: Arc<DomainOwners>,
    /// The sign-ins whose two ends are in an app that keeps a token itself; none where there is no
    /// such app.
    pub by_app: Option<ByApp>,
}

/// How an app signs people in that keeps a token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByApp {
    /// The app's own route to which the provider returns.
    pub redirect_uri: Url,
    /// Whether it does without any cookie.
    pub is_cookieless: bool,
    /// The name of the provider that it signs in with, where there are several.
    pub provider: Option<String>,
}

impl Default for Settings {
    /// Straight to the provider, with an hour for it: people look for their second factor.
    fn default() -> Self {
        Self {
            entry: Entry::default(),
            attempt_lifetime: Duration::from_secs(3600),
            return_hosts: ReturnHosts::default(),
            after: ReturnTo::root(),
            origins: Vec::new(),
            domain_owners: Arc::default(),
            by_app: None,
            keep_forms: true,
        }
    }
}

/// The sign-in of one site, with one provider or several.
pub struct Login {
    settings: Settings,
    providers: Providers,
    sessions: Arc<Sessions>,
    ring: Arc<KeyRing>,
    cookies: Cookies,
    public_url: PublicUrl,
    prefix: Prefix,
    origins: Origins,
    used: UsedAttempts,
}

impl Login {
    /// A sign-in of these parts.
    pub fn new(
        settings: Settings,
        providers: Providers,
        sessions: Arc<Sessions>,
        ring: Arc<KeyRing>,
        cookies: Cookies,
        public_url: PublicUrl,
        prefix: Prefix,
    ) -> Self {
        let used = UsedAttempts::new(settings.attempt_lifetime);
        let origins = Origins::new(public_url.clone(), settings.origins.clone());
        Self { settings, providers, sessions, ring, cookies, public_url, prefix, origins, used }
    }

    /// Whether a page of ours or of a listed origin sent a request; a program that does not say is
    /// none.
    pub fn is_sent_by_us(&self, headers: &HeaderMap) -> bool {
        self.origins.initiator(headers) == Initiator::Trusted
    }

    /// How an app signs people in that keeps a token itself, where there is one.
    pub fn by_app(&self) -> Option<&ByApp> {
        self.settings.by_app.as_ref()
    }

    /// The providers.
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// The name of a provider where it has to be said which one is meant.
    fn told_apart<'p>(&self, provider: &'p Provider) -> Option<&'p str> {
        self.providers.are_several().then(|| provider.settings().name.as_str())
    }
}

//! The configuration as it will run: every setting present, checked and typed by the room it is for.
//!
//! `resolve` makes it; `app` takes it apart and hands each room its part.

use super::findings::Acceptance;
use super::key_files::{KeyFiles, SigningKeyFiles};
use super::list_files::ListFiles;
use super::problem::Finding;
use crate::pages::NamedProvider;
use crate::seal::KeyMaterial;
use crate::signing::SigningRing;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use crate::{bearer, credentials, gate, login, oidc, seats, server, session, store, telemetry, web};
use std::fmt;
use std::sync::Arc;

/// What will run: all of it, or with `sites` the first of them, beside which the others stand. What
/// belongs to the process (listeners, trusted proxies, store, threads, log) is the same in all.
pub struct Config {
    /// The name of the site, where there are some.
    pub site: Option<String>,
    /// The other sites, none of which has others itself.
    pub other_sites: Vec<Config>,
    /// The address that browsers use.
    pub public_url: PublicUrl,
    /// Below which path our own pages are.
    pub prefix: Prefix,
    /// Listeners, trusted proxies and upstreams.
    pub server: server::Settings,
    /// The providers, by their names. Never empty.
    pub providers: Vec<oidc::Settings>,
    /// When sessions end.
    pub session: session::Settings,
    /// The session keys, the one that seals first. Never empty.
    pub keys: Vec<KeyMaterial>,
    /// Where they came from, to read them again.
    pub key_files: KeyFiles,
    /// The lists of rules that stand in files, to read them again.
    pub list_files: ListFiles,
    /// How cookies are set.
    pub cookies: web::cookies::Settings,
    /// How sign-in goes.
    pub login: login::Settings,
    /// What a script is answered that signs a person out.
    pub sign_out_answer: serde_json::Value,
    /// Every route, most specific first.
    pub routes: gate::route::Table,
    /// What upstreams need to trust a request; routes name them by index.
    pub credentials: Vec<credentials::Settings>,
    /// Which bearer tokens count; routes name them by index.
    pub bearers: Vec<bearer::Settings>,
    /// How seats are given, where people need one.
    pub seats: Option<seats::Settings>,
    /// The licences that are declared.
    pub licences: Vec<seats::Licence>,
    /// The playgrounds of 2025.
    pub playground: server::PlaygroundSettings,
    /// Which identity headers the app gets.
    pub identity: gate::headers::Settings,
    /// How the signed assertion is made, where there is one.
    pub assertion: Option<gate::assertion::Settings>,
    /// Our own signing keys, whatever for: all are published.
    pub signing: Vec<SigningKeys>,
    /// The claims that a session keeps: those that the headers name, and those asked for besides.
    /// Sorted, without `sub`, which every session has.
    pub kept_claims: Vec<String>,
    /// Where state is kept between requests.
    pub store: store::Settings,
    /// What happens while that is unavailable.
    pub on_store_down: store::OnDown,
    /// What the pages say.
    pub pages: Pages,
    /// What is logged, and how.
    pub telemetry: telemetry::Settings,
    pub(super) findings: Vec<Finding>,
    pub(super) accepted: Vec<(Finding, String)>,
    pub(super) acceptances: Vec<Acceptance>,
    /// All of it as it was written, file over file, to compare.
    pub(super) written: serde_yaml::Value,
}

/// A ring of signing keys, and where they came from, to read them again.
pub struct SigningKeys {
    /// The ring that is in use.
    pub ring: Arc<SigningRing>,
    /// Its files.
    pub files: SigningKeyFiles,
}

/// What the pages say of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The name of the service, as people know it.
    pub application: Option<String>,
    /// Whom people can ask for help: an e-mail address, a web address, or words.
    pub contact: Option<String>,
    /// Whether each provider is ProConnect, whose button and words the pages then use.
    pub proconnect: bool,
    /// What people call the providers, where there are several.
    pub providers: Vec<NamedProvider>,
}

impl Config {
    /// This and the other sites.
    pub fn each_site(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.other_sites)
    }

    /// Settings that run but are dangerous, or that do nothing, in the order of their lines: those of
    /// all sites.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Those that the configuration accepts (`accept`), each with the reason that it gives.
    pub fn accepted(&self) -> &[(Finding, String)] {
        &self.accepted
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

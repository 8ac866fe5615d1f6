//! What explains requests: the gate of each site once more, for people who are only supposed.
//!
//! [`explainer`] is for the command line, which opens cookies by the keys of the configuration and
//! asks nobody; a sidecar that runs has the same beside the gate that serves ([`explained`]).

use super::{StartError, gate_of, ring_of};
use crate::config::Config;
use crate::credentials::{self, Kind};
use crate::gate::Gate;
use crate::random::Random;
use crate::server::Upstream;
use crate::server::explain::{ExplainedSite, Explainer};
use crate::session::{Sessions, SupposedSessions};
use crate::store::{self, OnDown};
use crate::web::cookies::Cookies;
use crate::web::cors::Cors;
use std::sync::Arc;

/// Explains by a configuration alone: no network, no store.
///
/// # Errors
/// [`StartError`], by cause.
pub fn explainer(config: &Config, random: Arc<dyn Random>) -> Result<Explainer, StartError> {
    let site = |config: &Config| {
        let store = store::open(&store::Settings::Memory)?;
        let cookies = Cookies::new(&config.public_url, &config.cookies);
        let kept = config.kept_claims.clone();
        let sessions = Sessions::new(ring_of(config)?, cookies, config.session, kept, store, OnDown::default());
        let sessions = Arc::new(sessions);
        let gate = Arc::new(gate_of(config, Arc::clone(&sessions)));
        explained(config, gate, sessions, &*random)
    };
    let sites = config.each_site().map(site).collect::<Result<_, _>>()?;
    Ok(Explainer::new(sites, random))
}

/// What is to be known of a site whose gate and sessions these are.
pub(super) fn explained(
    config: &Config,
    gate: Arc<Gate>,
    sessions: Arc<Sessions>,
    random: &dyn Random,
) -> Result<ExplainedSite, StartError> {
    let cookies = Cookies::new(&config.public_url, &config.cookies);
    let cookie = cookies.session.clone();
    let supposed = SupposedSessions::new(cookies, config.session, config.kept_claims.clone(), random)?;
    Ok(ExplainedSite {
        name: config.site.clone(),
        public_url: config.public_url.clone(),
        prefix: config.prefix.clone(),
        aliases: config.server.aliases.clone(),
        playground: config.playground.endpoints.is_some(),
        cors: config.server.cors.as_ref().map(Cors::new),
        gate,
        sessions,
        cookie,
        supposing: gate_of(config, Arc::clone(supposed.sessions())),
        supposed,
        provider: config.provider.name.clone(),
        upstreams: config.server.upstreams.iter().map(Upstream::clone).collect(),
        credentials: config.credentials.iter().map(in_words).collect(),
        bearers: config
            .bearers
            .iter()
            .map(|rule| (rule.name.clone(), matches!(rule.kind, crate::bearer::Kind::Certificates(_))))
            .collect(),
        kept_claims: config.kept_claims.iter().cloned().collect(),
    })
}

/// A credential's name and what it is, with the headers that it goes into. Nothing of its value.
fn in_words(settings: &credentials::Settings) -> String {
    let what = match &settings.kind {
        Kind::Static { header, .. } => format!("one fixed secret, in {header}"),
        Kind::Token(headers) => {
            let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
            format!("the person's own tokens, in {}", names.join(", "))
        }
        Kind::Albert { settings, .. } => format!("the person's own key for {}", settings.url),
        Kind::Exchange { placement, .. } => format!("a token in exchange for the person's, in {}", placement.header),
        Kind::Keys { placement, .. } => format!("the person's key out of a key book, in {}", placement.header),
    };
    format!("{}: {what}", settings.name)
}

//! Whose a request is: the only site's, or that of the one whose host it names.
//!
//! `server` opens every listener for browsers and front proxies with a [`Front`]. It takes what serves
//! at present ([`super::turn`]), once for each request, chooses the site, and hands every phase of Pingora's
//! on to that one's [`Proxy`], to the end of the request. Where the configuration has `sites` the host says
//! whose a request is, as `web/hygiene` takes it, and nothing else does; a question of a trusted front proxy
//! whose own `Host` names no site is for the one that it asks about. What is for no site is answered here: 421
//! (RFC 9110 §15.5.20), or `ping` and `ready`, for which balancers ask by address. Must never hand a request to
//! a site whose host the browser did not use: there is no default.

use super::endpoints::plain;
use super::exchange::{AccessLine, Exchange};
use super::forward_auth::AUTH;
use super::metrics::Metrics;
use super::proxy::Proxy;
use super::reply::Reply;
use super::turn::Present;
use crate::web::forwarded::TrustedProxies;
use crate::web::hygiene::{Ambiguous, CleanRequest, host_header};
use crate::web::site_hosts::SiteHosts;
use arc_swap::Guard;
use async_trait::async_trait;
use http::StatusCode;
use http::header::HOST;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use std::sync::Arc;

/// In both languages: what a browser prefers is not known of what is not ours.
const MISDIRECTED: &str = "421\n\nThis address is not served here.\nCette adresse n’est pas servie ici.\n";

/// One site.
pub(super) struct Site {
    /// None where it is the only one.
    pub(super) name: Option<Arc<str>>,
    pub(super) proxy: Arc<Proxy>,
}

/// The sites of a turn.
pub(super) struct Sites {
    all: Vec<Site>,
    /// None where there is one site, whatever the host.
    hosts: Option<Arc<SiteHosts>>,
    trusted: TrustedProxies,
}

impl Sites {
    /// The sites, in the order in which `hosts` counts them.
    pub(super) fn new(all: Vec<Site>, hosts: Option<Arc<SiteHosts>>, trusted: TrustedProxies) -> Self {
        Self { all, hosts, trusted }
    }

    /// The same sites on the listener for front proxies alone.
    pub(super) fn answering_front_proxies_alone(&self) -> Self {
        let alone = |site: &Site| {
            let proxy = Proxy { answers_front_proxies_alone: true, ..Proxy::clone(&site.proxy) };
            Site { name: site.name.clone(), proxy: Arc::new(proxy) }
        };
        self.followed_by(self.all.iter().map(alone).collect(), self.hosts.clone())
    }

    /// Others in their place.
    pub(super) fn followed_by(&self, all: Vec<Site>, hosts: Option<Arc<SiteHosts>>) -> Self {
        Self { all, hosts, trusted: self.trusted.clone() }
    }

    pub(super) fn all(&self) -> &[Site] {
        &self.all
    }

    pub(super) fn hosts(&self) -> Option<&Arc<SiteHosts>> {
        self.hosts.as_ref()
    }

    /// The site that has this host, or the only one; which is noted.
    pub(super) fn at(&self, host: &str, exchange: &mut Exchange) -> Option<&Arc<Proxy>> {
        let Some(hosts) = &self.hosts else { return self.all.first().map(|site| &site.proxy) };
        let index = hosts.find(host)?;
        let site = self.all.get(index)?;
        exchange.site = site.name.clone().map(|name| (index, name));
        Some(&site.proxy)
    }

    /// The site of a request.
    fn choose(&self, session: &Session, exchange: &mut Exchange) -> Option<&Arc<Proxy>> {
        let Some(hosts) = &self.hosts else { return self.all.first().map(|site| &site.proxy) };
        // What is no host at all is not looked for: the whole of it is judged further down.
        let host = host_header(session.req_header().as_ref()).ok()?;
        self.at(host, exchange).or_else(|| self.choose_by_question(hosts, session, exchange))
    }

    /// Where a trusted front proxy asks about a request: the site of that. Which front proxy asks is the
    /// same for all sites.
    fn choose_by_question(&self, hosts: &SiteHosts, session: &Session, exchange: &mut Exchange) -> Option<&Arc<Proxy>> {
        let parts = session.req_header().as_ref();
        let from = self.all.first()?.proxy.forward_auth?.from?;
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        if !self.trusted.resolve(&parts.headers, peer, "https").is_from_trusted {
            return None;
        }
        let request = clean(session).ok()?;
        let original = from.original(parts, "").ok()?;
        let host = original.parts().headers.get(HOST)?.to_str().ok()?;
        let index = hosts.find(host)?;
        // Only a question is for the request behind it; whatever else comes is for its own host.
        if endpoint(&self.all.get(index)?.proxy, &request) == Some(AUTH) { self.at(host, exchange) } else { None }
    }

    /// Answers what is for no site.
    fn answer(&self, session: &Session, exchange: &mut Exchange) -> Reply {
        let request = match clean(session) {
            Ok(request) => request,
            Err(cause) => {
                exchange.decision = "bad_request";
                exchange.because(cause);
                return plain(StatusCode::BAD_REQUEST, "400\n").closing();
            }
        };
        let named = |site: &Site| match endpoint(&site.proxy, &request) {
            _ if site.proxy.answers_front_proxies_alone => None,
            Some(name @ ("ping" | "ready")) => Some(name == "ready"),
            _ => None,
        };
        match self.all.iter().find_map(named) {
            Some(false) => {
                exchange.decision = "ping";
                plain(StatusCode::OK, "OK")
            }
            Some(true) => {
                exchange.decision = "ready";
                let mut each = self.all.iter().map(|site| site.proxy.endpoints.ready());
                each.find(|reply| reply.status() != StatusCode::OK).unwrap_or_else(|| plain(StatusCode::OK, "OK"))
            }
            None => self.misdirected(request.host(), exchange),
        }
    }

    /// Answers what is for a host that no site has.
    pub(super) fn misdirected(&self, host: &str, exchange: &mut Exchange) -> Reply {
        exchange.decision = "misdirected";
        let known: Vec<&str> = self.all.iter().map(|site| site.proxy.endpoints.public_url.origin()).collect();
        exchange.because(format_args!("no site has the host {host:?}; there are {}", known.join(", ")));
        plain(StatusCode::MISDIRECTED_REQUEST, MISDIRECTED).closing()
    }
}

/// The request, where it has one meaning.
fn clean(session: &Session) -> Result<CleanRequest<'_>, Ambiguous> {
    let header = session.req_header();
    let head = session.as_downstream().as_http1().map(HttpSession::get_headers_raw_bytes).unwrap_or_default();
    CleanRequest::inspect(header.as_ref(), header.raw_path(), &head)
}

/// The endpoint of a site's that a request would be for.
fn endpoint<'r>(proxy: &'r Proxy, request: &CleanRequest<'r>) -> Option<&'r str> {
    if proxy.asked_below(request.target()).is_some() {
        return Some(AUTH);
    }
    let path = request.target().split('?').next().filter(|_| request.path().others().is_empty())?;
    let alias = proxy.aliases.iter().find(|(alias, _)| alias == path).map(|(_, name)| name.as_str());
    alias.or_else(|| proxy.endpoints.prefix.below(path))
}

/// Where requests come in.
#[derive(Clone)]
pub(super) struct Front {
    present: Arc<Present>,
    /// Whether no browser comes this way.
    is_for_front_proxies: bool,
    metrics: Arc<Metrics>,
}

impl Front {
    pub(super) fn new(present: Arc<Present>, is_for_front_proxies: bool, metrics: Arc<Metrics>) -> Self {
        Self { present, is_for_front_proxies, metrics }
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What serves at present.
    pub(super) fn sites(&self) -> Guard<Arc<Sites>> {
        self.present.sites(self.is_for_front_proxies)
    }
}

/// What is left where no site was chosen: nothing goes on from there.
fn nobody<T>() -> pingora::Result<T> {
    Err(Error::explain(ErrorType::InternalError, "the request is for no site"))
}

/// Each phase takes the site's proxy out of the exchange and puts it back: it is needed beside it.
#[async_trait]
impl ProxyHttp for Front {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.metrics))
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<()> {
        let (chosen, any) = {
            let sites = self.sites();
            (sites.choose(session, exchange).cloned(), sites.all.first().map(|site| Arc::clone(&site.proxy)))
        };
        exchange.proxy = chosen;
        // How long a connection may rest is the same for all.
        match any {
            Some(proxy) => proxy.early_request_filter(session, exchange).await,
            None => Ok(()),
        }
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<bool> {
        if let Some(proxy) = exchange.proxy.take() {
            let outcome = proxy.request_filter(session, exchange).await;
            exchange.proxy = Some(proxy);
            return outcome;
        }
        let reply = self.sites().answer(session, exchange);
        reply.send(session).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<Box<HttpPeer>> {
        let Some(proxy) = exchange.proxy.take() else { return nobody() };
        let outcome = proxy.upstream_peer(session, exchange).await;
        exchange.proxy = Some(proxy);
        outcome
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let Some(proxy) = exchange.proxy.take() else { return nobody() };
        let outcome = proxy.upstream_request_filter(session, request, exchange).await;
        exchange.proxy = Some(proxy);
        outcome
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let Some(proxy) = exchange.proxy.take() else { return nobody() };
        let outcome = proxy.upstream_response_filter(session, response, exchange).await;
        exchange.proxy = Some(proxy);
        outcome
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Exchange,
        client_reused: bool,
    ) -> Box<Error> {
        let Some(proxy) = exchange.proxy.take() else { return error };
        let error = proxy.error_while_proxy(peer, session, error, exchange, client_reused);
        exchange.proxy = Some(proxy);
        error
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let Some(proxy) = exchange.proxy.take() else { return nobody() };
        let outcome = proxy.response_filter(session, response, exchange).await;
        exchange.proxy = Some(proxy);
        outcome
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Exchange,
        error: Box<Error>,
    ) -> Box<Error> {
        let Some(proxy) = exchange.proxy.take() else { return error };
        let error = proxy.fail_to_connect(session, peer, exchange, error);
        exchange.proxy = Some(proxy);
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        let Some(proxy) = exchange.proxy.take() else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        let outcome = proxy.fail_to_proxy(session, error, exchange).await;
        exchange.proxy = Some(proxy);
        outcome
    }

    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Exchange, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        if let Some(proxy) = exchange.proxy.take() {
            return proxy.logging(session, error, exchange).await;
        }
        self.metrics.requests.with_label_values(&["", exchange.decision]).inc();
        if let (Some(error), None) = (error, &exchange.reason) {
            exchange.because(error);
        }
        let request = session.req_header();
        exchange.log(&AccessLine {
            method: request.method.as_str(),
            host: request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
            path: request.uri.path(),
            status: session.response_written().map_or(0, |response| response.status.as_u16()),
            route: "",
            upstream: "",
            bytes: session.body_bytes_sent(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The phases that a file has, by the names of its functions.
    fn phases(source: &str) -> BTreeSet<&str> {
        let (_, phases) = source.split_once("\nimpl ProxyHttp for ").unwrap();
        let phases = phases.split("\n}\n").next().unwrap().split("\n    ");
        let named = phases.filter_map(|line| line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")));
        named.filter_map(|line| line.split(['(', '<']).next()).collect()
    }

    /// One that is not handed on would not run where there are sites.
    #[test]
    fn every_phase_is_handed_on() {
        let (one, all) = (phases(include_str!("proxy.rs")), phases(include_str!("sites.rs")));
        assert!(one.len() > 10, "{one:?}");
        assert_eq!(one, all);
    }
}

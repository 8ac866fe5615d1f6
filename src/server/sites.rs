//! Several sites on one listener: the host of a request says whose it is, and nothing else does.
//!
//! `server` puts this in front where the configuration has `sites`; each site is a [`Proxy`] of its own,
//! to which every phase of Pingora's is handed on. The host is what `web/hygiene` takes for it; a question
//! of a trusted front proxy whose own `Host` names no site is for the one that it asks about. What is for
//! no site is answered here: 421 (RFC 9110 §15.5.20), or `ping` and `ready`, for which balancers ask by
//! address. Must never hand a request to a site whose host the browser did not use: there is no default.

use super::endpoints::plain;
use super::exchange::{AccessLine, Exchange};
use super::forward_auth::AUTH;
use super::metrics::Metrics;
use super::proxy::Proxy;
use super::reply::Reply;
use crate::web::forwarded::TrustedProxies;
use crate::web::hygiene::{Ambiguous, CleanRequest, host_header};
use crate::web::site_hosts::SiteHosts;
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
#[derive(Clone)]
pub(super) struct Site {
    pub(super) name: Arc<str>,
    pub(super) proxy: Proxy,
}

/// The sites of a listener.
#[derive(Clone)]
pub(super) struct Sites {
    all: Arc<[Site]>,
    hosts: Arc<SiteHosts>,
    trusted: TrustedProxies,
    metrics: Arc<Metrics>,
}

impl Sites {
    /// The sites, in the order in which `hosts` counts them.
    pub(super) fn new(all: Vec<Site>, hosts: Arc<SiteHosts>, trusted: TrustedProxies, metrics: Arc<Metrics>) -> Self {
        Self { all: all.into(), hosts, trusted, metrics }
    }

    /// The same sites on the listener for front proxies alone.
    pub(super) fn answering_front_proxies_alone(&self) -> Self {
        let alone = |site: &Site| {
            let proxy = Proxy { answers_front_proxies_alone: true, ..site.proxy.clone() };
            Site { name: Arc::clone(&site.name), proxy }
        };
        Self { all: self.all.iter().map(alone).collect(), ..self.clone() }
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The site that has this host, which is noted.
    pub(super) fn at(&self, host: &str, exchange: &mut Exchange) -> Option<&Proxy> {
        let index = self.hosts.find(host)?;
        let site = self.all.get(index)?;
        exchange.site = Some((index, Arc::clone(&site.name)));
        Some(&site.proxy)
    }

    /// The site that was noted.
    fn of(&self, exchange: &Exchange) -> Option<&Proxy> {
        let (index, _) = exchange.site.as_ref()?;
        self.all.get(*index).map(|site| &site.proxy)
    }

    fn choose(&self, session: &Session, exchange: &mut Exchange) {
        // What is no host at all is not looked for: the whole of it is judged further down.
        let Ok(host) = host_header(session.req_header().as_ref()) else { return };
        if self.at(host, exchange).is_none() {
            self.choose_by_question(session, exchange);
        }
    }

    /// Where a trusted front proxy asks about a request: the site of that. Which front proxy asks is the
    /// same for all sites.
    fn choose_by_question(&self, session: &Session, exchange: &mut Exchange) -> Option<()> {
        let parts = session.req_header().as_ref();
        let from = self.all.first()?.proxy.forward_auth?.from?;
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        if !self.trusted.resolve(&parts.headers, peer, "https").is_from_trusted {
            return None;
        }
        let request = clean(session).ok()?;
        let original = from.original(parts, "").ok()?;
        let host = original.parts().headers.get(HOST)?.to_str().ok()?;
        let index = self.hosts.find(host)?;
        // Only a question is for the request behind it; whatever else comes is for its own host.
        if endpoint(&self.all.get(index)?.proxy, &request) == Some(AUTH) {
            self.at(host, exchange);
        }
        None
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

/// What is left where no site was chosen: nothing goes on from there.
fn nobody<T>() -> pingora::Result<T> {
    Err(Error::explain(ErrorType::InternalError, "the request is for no site"))
}

#[async_trait]
impl ProxyHttp for Sites {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.metrics))
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<()> {
        self.choose(session, exchange);
        // How long a connection may rest is the same for all.
        match self.of(exchange).or_else(|| self.all.first().map(|site| &site.proxy)) {
            Some(proxy) => proxy.early_request_filter(session, exchange).await,
            None => Ok(()),
        }
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<bool> {
        if let Some(proxy) = self.of(exchange) {
            return proxy.request_filter(session, exchange).await;
        }
        self.answer(session, exchange).send(session).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<Box<HttpPeer>> {
        let Some(proxy) = self.of(exchange) else { return nobody() };
        proxy.upstream_peer(session, exchange).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let Some(proxy) = self.of(exchange) else { return nobody() };
        proxy.upstream_request_filter(session, request, exchange).await
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let Some(proxy) = self.of(exchange) else { return nobody() };
        proxy.upstream_response_filter(session, response, exchange).await
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Exchange,
        client_reused: bool,
    ) -> Box<Error> {
        match self.of(exchange) {
            Some(proxy) => proxy.error_while_proxy(peer, session, error, exchange, client_reused),
            None => error,
        }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let Some(proxy) = self.of(exchange) else { return nobody() };
        proxy.response_filter(session, response, exchange).await
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Exchange,
        error: Box<Error>,
    ) -> Box<Error> {
        match self.of(exchange) {
            Some(proxy) => proxy.fail_to_connect(session, peer, exchange, error),
            None => error,
        }
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        match self.of(exchange) {
            Some(proxy) => proxy.fail_to_proxy(session, error, exchange).await,
            None => FailToProxy { error_code: 0, can_reuse_downstream: false },
        }
    }

    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Exchange, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        if let Some(proxy) = self.of(exchange) {
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

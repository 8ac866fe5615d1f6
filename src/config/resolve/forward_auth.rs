//! How front proxies ask, and under which further paths our own endpoints answer.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written::{self, Written};
use crate::server::ForwardAuth;
use crate::session::Keep;
use crate::web::original::FrontProxy;
use crate::web::return_hosts::{ReturnHost, ReturnHosts};
use crate::web::return_to::Prefix;

/// The longest time for which a front proxy may use an answer again, in seconds.
const MOST_CACHE: u64 = 10;

impl Resolver<'_> {
    pub(super) fn forward_auth(&mut self, at: &KeyPath, written: &Written) -> Option<ForwardAuth> {
        let asks = written.forward_auth.as_ref()?;
        let grpc = written.listeners.as_ref().is_some_and(|listeners| listeners.forward_auth_grpc.is_some());
        let from = asks.from;
        // A message has one place for the request.
        if !grpc {
            self.required(&at.key("from"), from.as_ref(), "nginx, traefik, caddy, haproxy or envoy");
        }
        let cache = asks.cache.map(|span| span.0).unwrap_or_default();
        if cache.subsec_nanos() != 0 || cache.as_secs() > MOST_CACHE {
            self.fault(&at.key("cache"), format!("must be whole seconds, and no more than {MOST_CACHE}s"));
        } else if from.is_none() && !cache.is_zero() {
            self.fault(&at.key("cache"), "is for front proxies that ask over HTTP; Envoy keeps no answer of gRPC");
        }
        if written.trusted_proxies.as_ref().is_none_or(Vec::is_empty) {
            self.fault(
                &KeyPath::root().key("trusted_proxies"),
                "must name the front proxy that asks: what others say of a request is not believed",
            );
        }
        let keep = written.session.as_ref().and_then(|session| session.keep).unwrap_or_default();
        if from == Some(FrontProxy::Nginx) && keep == Keep::Cookie {
            self.found(
                Code::NginxLosesCookies,
                &at.key("from"),
                "nginx hands one Set-Cookie of an answer on: with session.keep: store there is one, otherwise renewed tokens are lost",
            );
        }
        Some(ForwardAuth {
            from,
            not_signed_in: asks.not_signed_in.unwrap_or_default(),
            cache_seconds: cache.as_secs(),
        })
    }

    /// The hosts beyond this site that browsers may be led back to.
    pub(super) fn return_hosts(&mut self, at: &KeyPath, written: Option<&written::SignIn>) -> ReturnHosts {
        let list = written.and_then(|sign_in| sign_in.return_to.as_ref());
        let mut hosts = Vec::new();
        for (at, text) in self.items(at, list) {
            match ReturnHost::parse(text) {
                Ok(host) => hosts.push(host),
                Err(bad) => self.fault(&at, format!("{text:?} {bad}")),
            }
        }
        ReturnHosts::new(hosts)
    }

    /// Further paths of our own endpoints, with the endpoint's name.
    pub(super) fn aliases(&mut self, written: &Written, prefix: Option<&Prefix>) -> Vec<(String, String)> {
        let root = KeyPath::root();
        let aliases = written.aliases.iter().flat_map(|aliases| {
            [
                ("callback", "callback", &aliases.callback),
                ("sign_in", "sign_in", &aliases.sign_in),
                ("start", "start", &aliases.start),
                ("sign_out", "sign_out", &aliases.sign_out),
                ("auth", "auth", &aliases.auth),
                ("userinfo", "userinfo", &aliases.userinfo),
                ("ping", "ping", &aliases.ping),
                ("ready", "ready", &aliases.ready),
                ("robots", "robots.txt", &aliases.robots),
            ]
            .map(|(key, endpoint, path)| (root.key("aliases").key(key), key, endpoint, path))
        });
        // Paths of the same kind, written beside what else is to be said of these endpoints.
        let token_endpoints = written.token_endpoints.iter().flat_map(|endpoints| {
            [
                ("authorize", &endpoints.authorize),
                ("token", &endpoints.token),
                ("refresh", &endpoints.refresh),
                ("logout", &endpoints.logout),
            ]
            .map(|(key, path)| (root.key("token_endpoints").key(key), key, key, path))
        });
        let each: Vec<_> = aliases.chain(token_endpoints).collect();
        let mut resolved: Vec<(String, String)> = Vec::new();
        for (at, key, endpoint, path) in each {
            let Some(path) = path else { continue };
            if !super::is_plain_path(path) {
                self.fault(&at, format!("{path:?} is no plain path; write such as /v1/auth/{key}"));
            } else if prefix.is_some_and(|prefix| prefix.holds(path)) {
                self.fault(&at, format!("{path:?} is below Vestibule's own prefix already"));
            } else if resolved.iter().any(|(other, _)| other == path) {
                self.fault(&at, format!("{path:?} is the path of another alias"));
            }
            resolved.push((path.clone(), endpoint.to_owned()));
        }
        resolved
    }
}

//! `token_endpoints`: an app that keeps an access token in its page's memory.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written::{self, Written, defaults};
use crate::gate::route::{Access, Found, Table};
use crate::login::ByApp;
use crate::session::Keep;
use crate::web::cors;
use crate::web::path::RequestPath;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use http::Method;
use std::time::Duration;
use url::Url;

const LEAST_LIFETIME: Duration = Duration::from_secs(30);
const MOST_LIFETIME: Duration = Duration::from_secs(3600);

/// What they are judged against.
pub(super) struct Surroundings<'a> {
    pub(super) public_url: Option<&'a PublicUrl>,
    pub(super) prefix: Option<&'a Prefix>,
    pub(super) cors: Option<&'a cors::Settings>,
    pub(super) aliases: &'a [(String, String)],
    pub(super) routes: Option<&'a Table>,
    pub(super) keep: Keep,
}

impl Resolver<'_> {
    /// How the app signs people in, and how long its tokens count. Their paths are resolved with all
    /// aliases.
    pub(super) fn token_endpoints(
        &mut self,
        at: &KeyPath,
        written: &Written,
        around: &Surroundings<'_>,
    ) -> Option<(ByApp, Duration)> {
        let endpoints = written.token_endpoints.as_ref()?;
        let lifetime_at = at.key("lifetime");
        let lifetime = self.span(&lifetime_at, endpoints.lifetime, defaults::ACCESS_TOKEN, LEAST_LIFETIME);
        if lifetime > MOST_LIFETIME {
            self.fault(&lifetime_at, "is too long for a token that scripts can read; write 1h or less");
        }
        let is_cookieless = endpoints.cookieless.unwrap_or_default();
        if is_cookieless {
            let at = at.key("cookieless");
            if around.keep == Keep::Cookie {
                self.fault(&at, "leaves no cookie to keep the provider's tokens in; write session.keep: store");
            }
            self.found(
                Code::CookielessSignIn,
                &at,
                "binds no sign-in to the browser that began it: the app must compare `state` itself, or somebody can be signed in as somebody else by a link",
            );
        }
        let redirect_uri = self.app_callback(&at.key("callback"), endpoints, written, around)?;
        Some((ByApp { redirect_uri, is_cookieless, provider: None }, lifetime))
    }

    fn app_callback(
        &mut self,
        at: &KeyPath,
        endpoints: &written::TokenEndpoints,
        written: &Written,
        around: &Surroundings<'_>,
    ) -> Option<Url> {
        let text =
            self.required_text(at, endpoints.callback.as_ref(), "the app's own route, such as /auth/callback")?;
        let public_url = around.public_url?;
        let own = text.strip_prefix(public_url.origin()).filter(|path| path.starts_with('/'));
        if let Some(path) = text.starts_with('/').then_some(text).or(own) {
            self.own_app_callback(at, path, written, around);
            return Url::parse(&format!("{}{path}", public_url.origin())).ok();
        }
        // The text is not repeated: a URL may hold a password.
        let Ok(url) = Url::parse(text) else {
            self.fault(at, "is neither a path, such as /auth/callback, nor an address on an origin of cors");
            return None;
        };
        let origin = url.origin().ascii_serialization();
        let is_listed = around.cors.is_some_and(|cors| cors.origins.iter().any(|listed| listed.origin() == origin));
        if !is_listed {
            self.fault(at, "is on an origin that cors does not list, whose pages could not ask for a token");
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            self.fault(
                at,
                "holds more than scheme, host and path; write such as https://front.example.gouv.fr/auth/callback",
            );
        }
        Some(url)
    }

    /// A callback of the app's on our own origin: its page has to be there for nobody in particular.
    fn own_app_callback(&mut self, at: &KeyPath, path: &str, written: &Written, around: &Surroundings<'_>) {
        if !super::is_plain_path(path) {
            self.fault(at, format!("{path:?} is no plain path; write such as /auth/callback"));
            return;
        }
        if around.prefix.is_some_and(|prefix| prefix.holds(path))
            || around.aliases.iter().any(|(alias, _)| alias == path)
        {
            self.fault(at, format!("{path:?} is Vestibule's own; write a path that the app answers"));
            return;
        }
        let (Some(routes), Some(public_url)) = (around.routes, around.public_url) else { return };
        let Ok(request) = RequestPath::parse(path) else { return };
        match routes.find(public_url.host(), &Method::GET, &request) {
            Found::Route(_, route) if route.access == Access::Public => {}
            // The front proxy need not ask about it.
            Found::Nothing if written.forward_auth.is_some() => {}
            _ => self.fault(
                at,
                format!(
                    "{path:?} is not on a route with access: public, and whoever comes back there has no session yet"
                ),
            ),
        }
    }
}

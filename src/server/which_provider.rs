//! The pages on which somebody says which of several providers they sign in with.
//!
//! Called by `endpoints` and by `look`. Nobody is sent to another provider than the one whose session they
//! have without having pressed a button for it: a page says what is so, and offers the way.

use super::endpoints::Endpoints;
use super::exchange::Exchange;
use super::reply::Reply;
use crate::pages::{Notice, Page, ProviderKind};
use crate::web::kind::Kind;
use crate::web::return_to::ReturnTo;
use http::StatusCode;
use http::request::Parts;
use tracing::Level;

/// An address that somebody typed, as far as it is shown again.
const LONGEST_SHOWN: usize = 254;

impl Endpoints {
    /// The sign-in page: with the one button of the one provider, or with those that may be meant.
    pub(super) fn page_to_sign_in<'a>(
        &self,
        return_to: &'a str,
        notice: Option<Notice>,
        offered: &'a [String],
    ) -> Page<'a> {
        if self.login.providers().are_several() {
            Page::ChooseProvider { return_to, offered, notice, form: None, unfit: None, goes_on: false }
        } else {
            Page::SignIn { return_to: Some(return_to), notice }
        }
    }

    /// The same, which goes on to the provider that was chosen.
    pub(super) fn page_that_goes_on<'a>(&self, return_to: &'a str, chosen: &'a [String]) -> Page<'a> {
        if self.login.providers().are_several() {
            Page::ChooseProvider { return_to, offered: chosen, notice: None, form: None, unfit: None, goes_on: true }
        } else {
            Page::GoOn { return_to }
        }
    }

    /// The same for somebody whose typed address leads to no provider.
    pub(super) fn nobody_for(&self, email: &str, return_to: &ReturnTo, parts: &Parts, exchange: &Exchange) -> Reply {
        let shown: String = email.chars().filter(|c| !c.is_control()).take(LONGEST_SHOWN).collect();
        let page = Page::ChooseProvider {
            return_to: return_to.as_str(),
            offered: &exchange.offered,
            notice: None,
            form: None,
            unfit: Some(&shown),
            goes_on: false,
        };
        self.page(StatusCode::BAD_REQUEST, page, parts)
    }

    /// Asks whoever has a session whether it is to be another provider's.
    pub(super) fn confirm_switch(&self, to: &str, from: &str, return_to: &ReturnTo, parts: &Parts) -> Reply {
        let wanted = [to.to_owned()];
        let page = Page::OtherProvider { wanted: &wanted, present: from, return_to: return_to.as_str(), id: None };
        self.page(StatusCode::OK, page, parts)
    }

    /// Answers whoever has signed in with another provider than those whose people a route takes: with a
    /// page that offers the right ones, or with a refusal that says where to go.
    pub(super) fn other_provider(
        &self,
        wanted: &[String],
        return_to: &ReturnTo,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let present = self.sessions.provider_shown(&parts.headers, self.clock.now()).unwrap_or_default();
        let reason = format!("the route is for people of {}, and the session is of {present}", wanted.join(", "));
        let id = self.note_error(Level::INFO, &reason, exchange);
        if Kind::of(parts) == Kind::Program || self.sessions.shows_token(&parts.headers) {
            let origin = self.public_url.origin();
            let providers: Vec<_> = wanted
                .iter()
                .map(|name| {
                    let sign_in = format!("{origin}{}/start?provider={name}", self.prefix.as_str());
                    serde_json::json!({ "name": name, "sign_in": sign_in })
                })
                .collect();
            let body = serde_json::json!({
                "error": "other_provider",
                "message": "The session is of another provider than those whose people may come here. To lead the \
                            browser to one of these ends it.",
                "provider": present,
                "providers": providers,
                "id": id,
            });
            return Reply::json(StatusCode::FORBIDDEN, &body);
        }
        let page = Page::OtherProvider { wanted, present: &present, return_to: return_to.as_str(), id: Some(&id) };
        self.page(StatusCode::FORBIDDEN, page, parts)
    }

    /// Whose words and codes a provider's are.
    pub(super) fn kind_of(&self, provider: &str) -> ProviderKind {
        if self.proconnect.iter().any(|name| name == provider) { ProviderKind::ProConnect } else { ProviderKind::Other }
    }
}

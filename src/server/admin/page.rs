//! The same for a browser: one plain page at `/` that lists sessions, looks for an e-mail address,
//! and ends one session or all of a person.
//!
//! Called by `mod` for whoever has the token, here also as the password of HTTP Basic. A browser
//! that knows it sends it with the forms of every site, so a form counts from our own page alone.

use super::access::is_from_own_page;
use super::answer::{Failure, set_headers, text};
use super::api::{Filter, session_id};
use super::{Admin, Asked};
use crate::pages::{AdminPage, OwnedRow, SessionRow};
use crate::server::endpoints::language_of;
use crate::server::form::field;
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};

impl Admin {
    pub(super) async fn show_page(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let email = field(asked.query, "email").unwrap_or_default();
        let email = email.trim();
        let looked_for = Some(email).filter(|email| !email.is_empty()).map(str::to_owned);
        let (found, more) = self.found(&Filter { email: looked_for, ..Filter::default() }).await?;
        let ids: Vec<String> = found.iter().map(|listed| listed.id.to_string()).collect();
        let row = |(listed, id)| {
            let listed: &crate::session::Listed = listed;
            OwnedRow {
                session: SessionRow {
                    id,
                    agent: &listed.agent,
                    address: listed.address,
                    started: listed.started,
                    last_seen: listed.last_seen,
                    current: false,
                },
                provider: &listed.provider,
                subject: &listed.subject,
                email: listed.email.as_deref(),
                organization: listed.organization.as_deref().or(listed.siret.as_deref()),
            }
        };
        let rows: Vec<OwnedRow<'_>> = found.iter().zip(ids.iter().map(String::as_str)).map(row).collect();
        let language = language_of(asked.headers);
        let page = AdminPage { rows: &rows, email, more, now: self.clock.now() };
        let mut answer = text(StatusCode::OK, &self.pages.render_admin(page, language));
        set_headers(&mut answer, self.pages.admin_headers(language));
        Ok(answer)
    }

    pub(super) async fn end_from_page(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        if !is_from_own_page(asked.headers) {
            return Err(Failure::OtherSite);
        }
        match (field(asked.form, "end"), field(asked.form, "person")) {
            (Some(id), None) => match self.end_one(session_id(&id)?, asked).await {
                // Ended by somebody else meanwhile: the page then shows it.
                Ok(()) | Err(Failure::NotFound) => {}
                Err(failure) => return Err(failure),
            },
            (None, Some(subject)) => {
                let provider = field(asked.form, "provider");
                self.end_everything_of(self.provider(provider.as_deref())?, &subject, asked).await?;
            }
            _ => return Err(Failure::BadRequest("the form names a session or a person".to_owned())),
        }
        let mut back = "/".to_owned();
        if let Some(email) = field(asked.form, "email").filter(|email| !email.is_empty()) {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("email", &email).finish();
            back = format!("/?{query}");
        }
        let mut answer = text(StatusCode::SEE_OTHER, "");
        let location = HeaderValue::from_str(&back).unwrap_or_else(|_| HeaderValue::from_static("/"));
        answer.headers_mut().insert(LOCATION, location);
        Ok(answer)
    }
}

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
        let (sites, site) = (self.site_names(), field(asked.query, "site"));
        if let (None, Some(first)) = (&site, sites.first()) {
            return Ok(leads_to(Some(first), email));
        }
        let filter = Filter { email: looked_for, site: site.clone(), ..Filter::default() };
        let (found, more) = self.found(&filter).await?;
        let has_licences = self.site(site.as_deref())?.seats.is_some();
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
        let site = site.as_deref().unwrap_or_default();
        let page = AdminPage { rows: &rows, email, more, site, sites: &sites, has_licences, now: self.clock.now() };
        let mut answer = text(StatusCode::OK, &self.pages.render_admin(page, language));
        set_headers(&mut answer, self.pages.admin_headers(language));
        Ok(answer)
    }

    pub(super) async fn end_from_page(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        if !is_from_own_page(asked.headers) {
            return Err(Failure::OtherSite);
        }
        let named = field(asked.form, "site");
        let site = self.site(named.as_deref())?;
        match (field(asked.form, "end"), field(asked.form, "person")) {
            (Some(id), None) => match self.end_one(site, session_id(&id)?, asked).await {
                // Ended by somebody else meanwhile: the page then shows it.
                Ok(()) | Err(Failure::NotFound) => {}
                Err(failure) => return Err(failure),
            },
            (None, Some(subject)) => {
                let provider = field(asked.form, "provider");
                let provider = site.provider(provider.as_deref())?;
                self.end_everything_of(site, provider, &subject, asked, self.clock.now()).await?;
            }
            _ => return Err(Failure::BadRequest("the form names a session or a person".to_owned())),
        }
        Ok(leads_to(named.as_deref(), &field(asked.form, "email").unwrap_or_default()))
    }
}

/// To the page of a site, or of the only one, with what was looked for.
fn leads_to(site: Option<&str>, email: &str) -> Response<Vec<u8>> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(site.map(|site| ("site", site)));
    query.extend_pairs(Some(email).filter(|email| !email.is_empty()).map(|email| ("email", email)));
    let query = query.finish();
    let back = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
    let mut answer = text(StatusCode::SEE_OTHER, "");
    let location = HeaderValue::from_str(&back).unwrap_or_else(|_| HeaderValue::from_static("/"));
    answer.headers_mut().insert(LOCATION, location);
    answer
}

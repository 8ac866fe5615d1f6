//! Sessions for programs: `/sessions`, `/sessions/{id}`, `/people/{sub}/sessions`.
//!
//! Called by `mod` for whoever has the token; `page` stands on it. To list everybody means to read
//! what the store has of every session, so that is done by one request at a time and within
//! [`WITHIN`]; to list one person (`sub`) reads that person's alone. What is to end ends whether
//! or not the store can say that it is there: an outage must not keep a session alive here.

use super::answer::{Failure, json, text};
use super::{Admin, Asked, SeenSite};
use crate::clock::Timestamp;
use crate::server::form::field;
use crate::session::{Listed, SessionId};
use futures_util::future::try_join_all;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::cmp::Reverse;
use std::time::Duration;

/// How long looking through all sessions may take, waiting for others who do included.
const WITHIN: Duration = Duration::from_secs(20);
/// How many sessions one answer holds, unless it says otherwise, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

const PARAMETERS: &str = "site, sub, email, siret, organization, provider and limit, each at most once";

/// Which sessions are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) site: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) email: Option<String>,
    pub(super) siret: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { site: None, subject: None, email: None, siret: None, organization: None, provider: None, limit: LIMIT }
    }
}

impl Filter {
    fn parse(query: &str) -> Result<Self, Failure> {
        let mut filter = Self::default();
        let mut limit = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let bad = |what: &str| Failure::BadRequest(format!("{name:?} {what}; the parameters are {PARAMETERS}"));
            let place = match name.as_ref() {
                "site" => &mut filter.site,
                "sub" => &mut filter.subject,
                "email" => &mut filter.email,
                "siret" => &mut filter.siret,
                "organization" => &mut filter.organization,
                "provider" => &mut filter.provider,
                "limit" => &mut limit,
                _ => return Err(bad("is no parameter")),
            };
            if value.is_empty() {
                return Err(bad("is empty"));
            }
            if place.replace(value.into_owned()).is_some() {
                return Err(bad("is there twice"));
            }
        }
        if let Some(limit) = limit {
            let number = limit.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
            let bad = || Failure::BadRequest(format!("limit is a number from 1 to {MAX_LIMIT}"));
            filter.limit = number.ok_or_else(bad)?;
        }
        Ok(filter)
    }

    fn admits(&self, listed: &Listed) -> bool {
        let lower = |text: &str| text.to_lowercase();
        let is = |asked: &Option<String>, held: Option<&str>| {
            asked.as_ref().is_none_or(|asked| held.is_some_and(|held| lower(held) == lower(asked.trim())))
        };
        let digits = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        is(&self.email, listed.email.as_deref())
            && self.siret.as_deref().is_none_or(|siret| listed.siret.as_deref() == Some(&*digits(siret)))
            && self.subject.as_deref().is_none_or(|subject| listed.subject == subject)
            && self.provider.as_deref().is_none_or(|provider| listed.provider == provider)
            && self.organization.as_deref().is_none_or(|asked| {
                listed.organization.as_deref().is_some_and(|held| lower(held).contains(&lower(asked.trim())))
            })
    }
}

impl Admin {
    pub(super) async fn list(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let (found, more) = self.found(&Filter::parse(asked.query)?).await?;
        let sessions: Vec<_> = found.iter().map(json_of).collect();
        Ok(json(StatusCode::OK, &serde_json::json!({ "sessions": sessions, "more": more })))
    }

    /// The sessions that a filter admits, the latest in use first, and whether there are more.
    pub(super) async fn found(&self, filter: &Filter) -> Result<(Vec<Listed>, bool), Failure> {
        let now = self.clock.now();
        let site = self.site(filter.site.as_deref())?;
        let providers = site.providers_meant(filter.provider.as_deref())?;
        let looked = async {
            match &filter.subject {
                Some(subject) => {
                    let each = providers.iter().map(|provider| site.sessions.listed_of(provider, subject, now));
                    let each = try_join_all(each).await;
                    each.map(|all| {
                        let mut all: Vec<Listed> = all.into_iter().flatten().collect();
                        all.sort_by_key(|listed| Reverse(listed.last_seen));
                        all
                    })
                }
                None => {
                    let _turn = self.listing.lock().await;
                    site.sessions.listed(now).await
                }
            }
        };
        let looked = tokio::time::timeout(WITHIN, looked).await.map_err(|_| Failure::TooMany)?;
        let mut found: Vec<Listed> = looked.map_err(Failure::StoreDown)?;
        found.retain(|listed| filter.admits(listed));
        let more = found.len() > filter.limit;
        found.truncate(filter.limit);
        Ok((found, more))
    }

    pub(super) async fn one(&self, id: &str, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let site = self.site(field(asked.query, "site").as_deref())?;
        let listed = site.sessions.listed_one(session_id(id)?, self.clock.now()).await.map_err(Failure::StoreDown)?;
        let listed = listed.ok_or(Failure::NotListed)?;
        Ok(json(StatusCode::OK, &json_of(&listed)))
    }

    pub(super) async fn end_session(&self, id: &str, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let site = self.site(field(asked.query, "site").as_deref())?;
        self.end_one(site, session_id(id)?, asked).await?;
        let mut done = text(StatusCode::NO_CONTENT, "");
        done.headers_mut().remove(http::header::CONTENT_TYPE);
        Ok(done)
    }

    /// Ends a session, whether the store lists it or not.
    pub(super) async fn end_one(&self, site: &SeenSite, id: SessionId, asked: &Asked<'_>) -> Result<(), Failure> {
        let now = self.clock.now();
        let listed = site.sessions.listed_one(id, now).await;
        let ended = site.sessions.end(id, now).await;
        let listed_for = listed.as_ref().ok().and_then(Option::as_ref).map(|listed| listed.subject.as_str());
        tracing::info!(client = ?asked.client, site = site.name, session = id.short(), subject = listed_for, "an administrator ended a session");
        ended.map_err(Failure::NotAnnounced)?;
        match listed {
            Ok(None) => Err(Failure::NotFound),
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    pub(super) async fn end_person(&self, subject: &str, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let subject = percent_decode_str(subject).decode_utf8();
        let subject = subject.ok().filter(|subject| !subject.is_empty());
        let subject =
            subject.ok_or_else(|| Failure::BadRequest("the subject is UTF-8 text, percent-encoded".into()))?;
        let (mut provider, mut site, mut data) = (None, None, None);
        for (name, value) in url::form_urlencoded::parse(asked.query.as_bytes()) {
            let place = match name.as_ref() {
                "provider" => Some(&mut provider),
                "site" => Some(&mut site),
                "data" => Some(&mut data),
                _ => None,
            };
            if place.is_none_or(|place| place.replace(value.into_owned()).is_some()) {
                let hint = "the parameters are site, provider and data, each at most once";
                return Err(Failure::BadRequest(hint.to_owned()));
            }
        }
        if data.as_deref().is_some_and(|data| data != "forget") {
            return Err(Failure::BadRequest("data is forget, or not there".to_owned()));
        }
        let site = self.site(site.as_deref())?;
        let provider = site.provider(provider.as_deref())?;
        let now = self.clock.now();
        let ended = self.end_everything_of(site, provider, &subject, asked, now).await?;
        if data.is_some() {
            // Of the same moment as the end of the sessions, none of which puts it there again.
            let forgotten = site.sessions.forget_app_data_of(provider, &subject, now, self.clock.now()).await;
            forgotten.map_err(Failure::StoreDown)?;
            tracing::info!(client = ?asked.client, site = site.name, provider, subject = &*subject, "an administrator had what the app keeps of a person forgotten");
        }
        Ok(json(StatusCode::OK, &serde_json::json!({ "ended": ended })))
    }

    /// Ends every session of a person that began until `now`, listed or not; says how many were
    /// listed.
    pub(super) async fn end_everything_of(
        &self,
        site: &SeenSite,
        provider: &str,
        subject: &str,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<usize, Failure> {
        let listed = site.sessions.listed_of(provider, subject, now).await;
        let ended = site.sessions.end_person(provider, subject, now, now).await;
        let count = listed.as_ref().map_or(0, Vec::len);
        tracing::info!(client = ?asked.client, site = site.name, provider, subject, sessions = count, "an administrator ended every session of a person");
        ended.map_err(Failure::NotAnnounced)?;
        // Ended, though nobody can say how many.
        listed.map(|listed| listed.len()).map_err(Failure::StoreDown)
    }
}

impl SeenSite {
    /// The provider that is meant: the only one, or the one that is named. The same subject of another one is
    /// somebody else.
    pub(super) fn provider(&self, asked: Option<&str>) -> Result<&str, Failure> {
        match self.providers_meant(asked)?.as_slice() {
            [one] => Ok(one),
            several => Err(Failure::BadRequest(format!(
                "say whose person is meant, once, as `provider`; there are {}",
                several.join(", ")
            ))),
        }
    }

    /// The provider that is named; all where none is.
    fn providers_meant(&self, asked: Option<&str>) -> Result<Vec<&str>, Failure> {
        let all: Vec<&str> = self.providers.iter().map(|(name, _)| name.as_str()).collect();
        match (asked, all.as_slice()) {
            (None, _) => Ok(all),
            (Some(asked), _) if all.contains(&asked) => Ok(all.into_iter().filter(|name| *name == asked).collect()),
            (Some(asked), [one]) => {
                Err(Failure::BadRequest(format!("no provider is named {asked:?}; there is {one:?}")))
            }
            (Some(asked), _) => {
                Err(Failure::BadRequest(format!("no provider is named {asked:?}; there are {}", all.join(", "))))
            }
        }
    }
}

/// Reads an identifier as it is shown.
pub(super) fn session_id(text: &str) -> Result<SessionId, Failure> {
    let bad = || Failure::BadRequest("a session's identifier is 32 hexadecimal digits in lower case".to_owned());
    SessionId::parse(text).ok_or_else(bad)
}

fn json_of(listed: &Listed) -> serde_json::Value {
    serde_json::json!({
        "id": listed.id.to_string(),
        "provider": listed.provider,
        "sub": listed.subject,
        "email": listed.email,
        "siret": listed.siret,
        "organization": listed.organization,
        "started": listed.started.rfc3339(),
        "last_seen": listed.last_seen.rfc3339(),
        "ends_at": listed.ends_at.rfc3339(),
        "agent": listed.agent,
        "address": listed.address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_sessions_or_what_is_wrong_with_it() {
        let good = |filter: Filter| Ok(filter);
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            ("", good(Filter::default())),
            ("sub=a%2Fb&limit=1", good(Filter { subject: text("a/b"), limit: 1, ..Filter::default() })),
            (
                "email=h%40x.fr&provider=p",
                good(Filter { email: text("h@x.fr"), provider: text("p"), ..Filter::default() }),
            ),
            ("limit=1000", good(Filter { limit: 1000, ..Filter::default() })),
            ("limit=0", Err("limit is a number from 1 to 1000")),
            ("limit=1001", Err("limit is a number from 1 to 1000")),
            ("limit=-1", Err("limit is a number from 1 to 1000")),
            ("sub=a&sub=a", Err("\"sub\" is there twice")),
            ("email=", Err("\"email\" is empty")),
            ("mail=x", Err("\"mail\" is no parameter; the parameters are site,")),
            ("site=front", good(Filter { site: text("front"), ..Filter::default() })),
        ];
        for (query, expected) in cases {
            match (Filter::parse(query), expected) {
                (Ok(filter), Ok(expected)) => assert_eq!(filter, expected, "{query}"),
                (Err(failure), Err(words)) => assert!(failure.to_string().starts_with(words), "{query}: {failure}"),
                (result, _) => panic!("{query}: {result:?}"),
            }
        }
    }
}

//! Licences for programs: `/licences`, `/licences/{id}`, and what is done to one.
//!
//! Called by `mod` for whoever has the token. Those of the configuration are shown beside those that
//! administrators keep, and these alone are changed. A change names the state that it is about (`If-Match`),
//! as the answer that showed it did (`ETag`). Every change has its line in the log.

use super::answer::{Failure, json, text};
use super::{Admin, Asked, SeenSite};
use crate::clock::Timestamp;
use crate::seats::licence::WrittenValidity;
use crate::seats::managed::tag_of;
use crate::seats::{ChangeError, Entry, Fault, Licence, LicenceId, Seats, Standing, Written};
use futures_util::future::try_join_all;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many things one answer holds, unless it says otherwise, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// How many licences are counted at once.
const AT_ONCE: usize = 32;

/// What a path below `/licences` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfLicences<'a> {
    /// All of them.
    All,
    /// All of them as one file.
    Export,
    /// The use of all of them as one file.
    Use,
    One(&'a str),
    /// What is to be done with one.
    Change(&'a str, Verb),
    People(&'a str),
    Person(&'a str, &'a str),
    Seats(&'a str),
    Seat(&'a str, &'a str),
    UseOf(&'a str),
}

/// What can be done with a licence in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Suspend,
    Resume,
    Extend,
}

impl<'a> OfLicences<'a> {
    /// By the segments of a path after `licences`.
    pub(super) fn by(segments: &[&'a str]) -> Option<Self> {
        Some(match *segments {
            [] => Self::All,
            ["export"] => Self::Export,
            ["use"] => Self::Use,
            [id] if !id.is_empty() => Self::One(id),
            [id, "suspend"] => Self::Change(id, Verb::Suspend),
            [id, "resume"] => Self::Change(id, Verb::Resume),
            [id, "extend"] => Self::Change(id, Verb::Extend),
            [id, "people"] => Self::People(id),
            [id, "people", person] => Self::Person(id, person),
            [id, "seats"] => Self::Seats(id),
            [id, "seats", person] => Self::Seat(id, person),
            [id, "use"] => Self::UseOf(id),
            _ => return None,
        })
    }

    /// The methods that it answers to.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::All => "GET, HEAD, POST",
            Self::One(_) | Self::Person(..) => "GET, HEAD, PUT, DELETE",
            Self::Change(..) => "POST",
            Self::Seat(..) => "DELETE",
            Self::Export | Self::Use | Self::People(_) | Self::Seats(_) | Self::UseOf(_) => "GET, HEAD",
        }
    }
}

impl Admin {
    /// Answers what is asked of licences.
    pub(super) async fn licences(
        &self,
        named: OfLicences<'_>,
        asked: &Asked<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let (method, now) = (asked.method, self.clock.now());
        match named {
            OfLicences::All if *method == Method::POST => self.add_licence(asked, now).await,
            OfLicences::All => self.list_licences(asked, now).await,
            OfLicences::Export => self.export_licences(asked),
            OfLicences::Use => self.use_of_licences(asked, now).await,
            OfLicences::One(id) if *method == Method::PUT => self.replace_licence(id, asked, now).await,
            OfLicences::One(id) if *method == Method::DELETE => self.remove_licence(id, asked, now).await,
            OfLicences::One(id) => self.show_licence(id, asked, now).await,
            OfLicences::Change(id, verb) => self.do_to_licence(id, verb, asked, now).await,
            OfLicences::People(id) => self.people(id, asked, now).await,
            OfLicences::Person(id, person) => self.person(id, person, asked, now).await,
            OfLicences::Seats(id) => self.seats(id, asked, now).await,
            OfLicences::Seat(id, person) => self.free_seat(id, person, asked, now).await,
            OfLicences::UseOf(id) => self.use_of_licence(id, asked, now).await,
        }
    }

    async fn list_licences(&self, asked: &Asked<'_>, now: Timestamp) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site", "q", "serial", "used", "after", "limit"])?;
        let (_, seats) = self.seats_of(given.get("site"))?;
        let limit = limit_of(&given)?;
        let mut all = seats.register().all();
        if let Some(after) = given.get("after") {
            let after = licence_id(after)?;
            // In the order of all: it need not be among those that are asked for, and may have been on the page before.
            let at = all.iter().position(|entry| entry.licence().id() == after);
            let at = at.ok_or_else(|| Failure::BadRequest("`after` names no licence that there is".to_owned()))?;
            all.drain(..=at);
        }
        let mut all = found(all, given.get("q").map_or("", String::as_str));
        if let Some(serial) = given.get("serial") {
            all.retain(|entry| entry.licence().written().serial == *serial);
        }
        match given.get("used").map(String::as_str) {
            None | Some("false") => {}
            Some("true") => {
                let used = seats.used(now).await.map_err(Failure::StoreDown)?;
                all.retain(|entry| used.binary_search(&entry.licence().id()).is_ok());
            }
            Some(_) => return Err(Failure::BadRequest("used is true or false".to_owned())),
        }
        let more = all.len() > limit;
        all.truncate(limit);
        let in_use = in_use(seats, &all, now).await?;
        let shown = all.iter().zip(in_use).map(|(entry, in_use)| Shown::of(entry, in_use).json(now));
        let licences: Vec<Value> = shown.collect();
        Ok(json(StatusCode::OK, &json!({ "licences": licences, "more": more })))
    }

    async fn show_licence(&self, id: &str, asked: &Asked<'_>, now: Timestamp) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site"])?;
        let (_, seats) = self.seats_of(given.get("site"))?;
        let id = licence_id(id)?;
        let entry = seats.register().get(id).ok_or(ChangeError::Unknown(id))?;
        let in_use = seats.taken(id, now).await.map_err(Failure::StoreDown)?.len();
        Ok(Shown::of(&entry, in_use).answer(StatusCode::OK, now))
    }

    /// A licence as a change has made it: the change was made, whether or not anything can be read since.
    async fn changed(&self, seats: &Seats, licence: &Licence, status: StatusCode, now: Timestamp) -> Response<Vec<u8>> {
        let first_use = seats.register().get(licence.id()).and_then(|entry| entry.first_use());
        let in_use = seats.taken(licence.id(), now).await.map(|taken| taken.len()).ok();
        Shown { licence, is_managed: true, first_use, in_use }.answer(status, now)
    }

    async fn add_licence(&self, asked: &Asked<'_>, now: Timestamp) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site"])?;
        let (site, seats) = self.seats_of(given.get("site"))?;
        let added = seats.add_licence(sent::<Written>(asked)?, now).await;
        let licence = logged(added, "added", site, asked)?;
        let mut answer = self.changed(seats, &licence, StatusCode::CREATED, now).await;
        if let Ok(location) = HeaderValue::from_str(&format!("/licences/{}", licence.id())) {
            answer.headers_mut().insert(LOCATION, location);
        }
        Ok(answer)
    }

    async fn replace_licence(&self, id: &str, asked: &Asked<'_>, now: Timestamp) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site"])?;
        let (site, seats) = self.seats_of(given.get("site"))?;
        let (id, written) = (licence_id(id)?, sent::<Written>(asked)?);
        if written.id.as_deref().is_some_and(|other| LicenceId::parse(other) != Some(id)) {
            return Err(fault("id", format!("expected {id}, as in the path: a licence keeps its name")));
        }
        let state = state_sent(asked.headers)?;
        if state == State::Unsaid {
            return Err(Failure::NoTag);
        }
        let changed = seats.change_licence(id, state.tag(), |_| written, now).await;
        let licence = logged(changed, "replaced", site, asked)?;
        Ok(self.changed(seats, &licence, StatusCode::OK, now).await)
    }

    async fn do_to_licence(
        &self,
        id: &str,
        verb: Verb,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site"])?;
        let (site, seats) = self.seats_of(given.get("site"))?;
        let (id, state) = (licence_id(id)?, state_sent(asked.headers)?);
        let (change, what): (Box<dyn FnOnce(Written) -> Written + Send>, _) = match verb {
            Verb::Suspend => (Box::new(|former| Written { active: false, ..former }), "suspended"),
            Verb::Resume => (Box::new(|former| Written { active: true, ..former }), "resumed"),
            Verb::Extend => {
                let new = sent::<WrittenValidity>(asked)?;
                if new.from.is_some() {
                    return Err(fault("from", "a licence is extended at its end: give `to`, or `duration`".to_owned()));
                }
                if new.to.is_some() == new.duration.is_some() {
                    return Err(fault("to", "give one of `to` and `duration`".to_owned()));
                }
                let extend = move |mut former: Written| {
                    (former.valid.to, former.valid.duration) = (new.to, new.duration);
                    former
                };
                (Box::new(extend), "extended")
            }
        };
        let changed = seats.change_licence(id, state.tag(), change, now).await;
        let licence = logged(changed, what, site, asked)?;
        Ok(self.changed(seats, &licence, StatusCode::OK, now).await)
    }

    async fn remove_licence(&self, id: &str, asked: &Asked<'_>, now: Timestamp) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site", "force"])?;
        let (site, seats) = self.seats_of(given.get("site"))?;
        let force = match given.get("force").map(String::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Failure::BadRequest("force is true or false".to_owned())),
        };
        let (id, state) = (licence_id(id)?, state_sent(asked.headers)?);
        let removed = seats.remove_licence(id, state.tag(), force, now).await;
        logged(removed, "removed", site, asked)?;
        Ok(nothing())
    }

    /// The licences of the site that is meant.
    pub(super) fn seats_of(&self, site: Option<&String>) -> Result<(&SeenSite, &Seats), Failure> {
        let site = self.site(site.map(String::as_str))?;
        Ok((site, site.seats.as_deref().ok_or(Failure::NoLicences)?))
    }
}

/// Writes into the log what an administrator has done, also where only the other replicas do not know it yet. What
/// was refused, or may have been done, has its line with its answer (`mod`).
fn logged(
    changed: Result<Licence, ChangeError>,
    what: &'static str,
    site: &SeenSite,
    asked: &Asked<'_>,
) -> Result<Licence, Failure> {
    match &changed {
        Ok(licence) => {
            let (id, written) = (licence.id(), licence.written());
            tracing::info!(client = ?asked.client, site = site.name, licence = %id, serial = written.serial, seats = written.seats, active = written.active, change = what, "an administrator changed a licence");
        }
        Err(ChangeError::NotAnnounced(cause)) => {
            tracing::info!(client = ?asked.client, site = site.name, path = asked.path, %cause, change = what, "an administrator changed a licence, which other replicas do not know yet");
        }
        Err(_) => {}
    }
    Ok(changed?)
}

/// Those of them that a text is found in; all where it is empty.
pub(super) fn found(mut all: Vec<Arc<Entry>>, text: &str) -> Vec<Arc<Entry>> {
    let asked = text.trim().to_lowercase();
    all.retain(|entry| {
        let written = entry.licence().written();
        let owner = &written.owner;
        let texts = [&written.serial, &owner.name, &owner.surname, &owner.email, &owner.affiliation];
        asked.is_empty()
            || texts.iter().any(|text| text.to_lowercase().contains(&asked))
            || entry.licence().id().to_string() == asked
    });
    all
}

/// How many seats of each are in use.
pub(super) async fn in_use(seats: &Seats, of: &[Arc<Entry>], now: Timestamp) -> Result<Vec<usize>, Failure> {
    let mut counts = Vec::with_capacity(of.len());
    for part in of.chunks(AT_ONCE) {
        let taken = try_join_all(part.iter().map(|entry| seats.taken(entry.licence().id(), now))).await;
        counts.extend(taken.map_err(Failure::StoreDown)?.iter().map(Vec::len));
    }
    Ok(counts)
}

/// A licence, and what is said of it.
struct Shown<'a> {
    licence: &'a Licence,
    is_managed: bool,
    first_use: Option<Timestamp>,
    /// Not known where the store could not be asked.
    in_use: Option<usize>,
}

impl<'a> Shown<'a> {
    fn of(entry: &'a Entry, in_use: usize) -> Self {
        let (licence, is_managed) = (entry.licence(), entry.is_managed());
        Self { licence, is_managed, first_use: entry.first_use(), in_use: Some(in_use) }
    }

    fn json(&self, now: Timestamp) -> Value {
        let standing = self.licence.standing(self.first_use, now);
        let begins = if let Standing::NotYet(from) = standing { Some(from.rfc3339()) } else { None };
        json!({
            "licence": self.licence.written(),
            "managed": self.is_managed,
            "standing": standing_name(standing),
            "begins": begins,
            "ends": self.licence.until(self.first_use).map(Timestamp::rfc3339),
            "first_use": self.first_use.map(Timestamp::rfc3339),
            "in_use": self.in_use,
        })
    }

    /// The same with the tag of its state.
    fn answer(&self, status: StatusCode, now: Timestamp) -> Response<Vec<u8>> {
        let mut answer = json(status, &self.json(now));
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", tag_of(self.licence.written()))) {
            answer.headers_mut().insert(ETAG, tag);
        }
        answer
    }
}

/// As programs read it.
pub(super) fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::InForce => "in_force",
        Standing::Suspended => "suspended",
        Standing::NotYet(_) => "not_yet",
        Standing::Expired(_) => "expired",
    }
}

/// The parameters of a query: of those that are known, each once and said.
pub(super) fn parameters(query: &str, known: &[&'static str]) -> Result<BTreeMap<&'static str, String>, Failure> {
    let mut given = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let bad = |what: &str| {
            Failure::BadRequest(format!("{name:?} {what}; the parameters are {}, each at most once", known.join(", ")))
        };
        let name = known.iter().find(|known| **known == name).ok_or_else(|| bad("is no parameter"))?;
        if value.is_empty() {
            return Err(bad("is empty"));
        }
        if given.insert(*name, value.into_owned()).is_some() {
            return Err(bad("is there twice"));
        }
    }
    Ok(given)
}

/// How many are asked for.
pub(super) fn limit_of(given: &BTreeMap<&'static str, String>) -> Result<usize, Failure> {
    let Some(limit) = given.get("limit") else { return Ok(LIMIT) };
    let number = limit.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
    number.ok_or_else(|| Failure::BadRequest(format!("limit is a number from 1 to {MAX_LIMIT}")))
}

/// Reads an identifier as it is shown.
pub(super) fn licence_id(text: &str) -> Result<LicenceId, Failure> {
    let bad = || Failure::BadRequest("a licence's identifier is a UUID".to_owned());
    LicenceId::parse(text).ok_or_else(bad)
}

/// What was sent as JSON; a mistake is said with its key.
pub(super) fn sent<T: DeserializeOwned>(asked: &Asked<'_>) -> Result<T, Failure> {
    let content_type = asked.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(Failure::BadRequest("send JSON, with Content-Type: application/json".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_str(asked.form);
    let read = serde_path_to_error::deserialize(&mut reader);
    let read = read.map_err(|error| fault(&error.path().to_string(), error.inner().to_string()))?;
    reader.end().map_err(|error| fault(".", error.to_string()))?;
    Ok(read)
}

fn fault(at: &str, what: String) -> Failure {
    Failure::Licence(ChangeError::Faults(vec![Fault { at: at.to_owned(), what }]))
}

/// Which state of a licence a change is about.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It is not said.
    Unsaid,
    /// Whatever it has become.
    Any,
    /// The one of this tag.
    Tagged(String),
}

impl State {
    fn tag(&self) -> Option<&str> {
        match self {
            Self::Tagged(tag) => Some(tag),
            Self::Unsaid | Self::Any => None,
        }
    }
}

fn state_sent(headers: &HeaderMap) -> Result<State, Failure> {
    let mut sent = headers.get_all(IF_MATCH).iter();
    let Some(first) = sent.next() else { return Ok(State::Unsaid) };
    let bad = || Failure::BadRequest("If-Match is one ETag, as a licence was answered with, or *".to_owned());
    let text = first.to_str().ok().map(str::trim).filter(|_| sent.next().is_none()).ok_or_else(bad)?;
    if text == "*" {
        return Ok(State::Any);
    }
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|tag| !tag.contains('"'));
    Ok(State::Tagged(tag.ok_or_else(bad)?.to_owned()))
}

/// Done, and there is nothing to say.
pub(super) fn nothing() -> Response<Vec<u8>> {
    let mut done = text(StatusCode::NO_CONTENT, "");
    done.headers_mut().remove(CONTENT_TYPE);
    done
}

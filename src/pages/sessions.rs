//! The two pages that list sessions: a person's own, and the administrators'.
//!
//! Rendered by `mod`. A person's page shows our own words only, made of what is known by type;
//! the administrators' shows who it is besides, escaped as everything is.

use super::contact::Contact;
use super::device::device;
use super::language::Language;
use super::moment::{ago, moment};
use super::{Frame, html};
use crate::clock::Timestamp;
use askama::Template;
use std::net::IpAddr;

/// A session, as a page lists it.
#[derive(Clone, Copy, Debug)]
pub struct SessionRow<'a> {
    /// Its name, which the button sends back.
    pub id: &'a str,
    /// The browser's own words for itself.
    pub agent: &'a str,
    /// Where it was last used.
    pub address: Option<IpAddr>,
    /// Since when.
    pub started: Timestamp,
    /// Last seen.
    pub last_seen: Timestamp,
    /// Whether it is the reader's own, at this moment.
    pub current: bool,
}

/// A session and whose it is, for administrators.
#[derive(Clone, Copy, Debug)]
pub struct OwnedRow<'a> {
    /// The session.
    pub session: SessionRow<'a>,
    /// The provider that vouched.
    pub provider: &'a str,
    /// `sub`.
    pub subject: &'a str,
    /// E-mail address.
    pub email: Option<&'a str>,
    /// The organisation, in words or by its number.
    pub organization: Option<&'a str>,
}

/// What the administrators' page shows.
#[derive(Clone, Copy, Debug)]
pub struct AdminPage<'a> {
    /// The sessions that were found.
    pub rows: &'a [OwnedRow<'a>],
    /// The address that was looked for; empty where none was.
    pub email: &'a str,
    /// Whether there are more.
    pub more: bool,
    /// The name of the site whose sessions these are; empty where there is one without a name.
    pub site: &'a str,
    /// The names of all sites; empty likewise.
    pub sites: &'a [&'a str],
    /// Whether it has licences, which have a page of their own.
    pub has_licences: bool,
    /// The present moment.
    pub now: Timestamp,
}

/// A row in words.
struct Shown<'a> {
    id: &'a str,
    device: String,
    address: Option<String>,
    started: String,
    started_exactly: String,
    last_seen: String,
    last_seen_exactly: String,
    current: bool,
}

impl<'a> Shown<'a> {
    fn of(row: &SessionRow<'a>, now: Timestamp, language: Language) -> Self {
        Self {
            id: row.id,
            device: device(row.agent, language),
            address: row.address.map(|address| address.to_string()),
            started: moment(row.started, language),
            started_exactly: row.started.rfc3339(),
            last_seen: ago(now.since(row.last_seen), language),
            last_seen_exactly: row.last_seen.rfc3339(),
            current: row.current,
        }
    }
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage<'a> {
    frame: Frame<'a>,
    sessions: Vec<Shown<'a>>,
    others: bool,
}

#[derive(Template)]
#[template(path = "admin.html")]
struct AdminHtml<'a> {
    frame: Frame<'a>,
    /// The pages of the sites, and their names.
    links: Vec<(String, &'a str)>,
    sessions: Vec<(Shown<'a>, OwnedRow<'a>)>,
    /// The page of its licences, and what that is called.
    licences: Option<(String, &'static str)>,
    page: AdminPage<'a>,
}

pub(super) fn own(frame: Frame<'_>, rows: &[SessionRow<'_>], now: Timestamp, language: Language) -> String {
    let sessions = rows.iter().map(|row| Shown::of(row, now, language)).collect();
    html(&SessionsPage { frame, sessions, others: rows.iter().any(|row| !row.current) })
}

pub(super) fn of_everybody(frame: Frame<'_>, page: AdminPage<'_>, language: Language) -> String {
    let sessions = page.rows.iter().map(|row| (Shown::of(&row.session, page.now, language), *row)).collect();
    let links = page.sites.iter().map(|site| (link(frame.prefix, "", site), *site)).collect();
    let licences = page.has_licences.then(|| (link(frame.prefix, "seats", page.site), super::seats::title(language)));
    html(&AdminHtml { frame, links, sessions, licences, page })
}

/// A page of administrators for a site; `site` is empty where there is one without a name.
pub(super) fn link(prefix: &str, page: &str, site: &str) -> String {
    let site = Some(("site", site)).filter(|(_, site)| !site.is_empty());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(site).finish();
    if query.is_empty() { format!("{prefix}/{page}") } else { format!("{prefix}/{page}?{query}") }
}

//! Licences for a browser: at `/seats`, those that are in use, or all, a leaf at a time; and with `licence` the
//! history of one as graphs.
//!
//! Called by `mod` for whoever has the token, here also as the password of HTTP Basic. It changes nothing, so
//! where a request comes from does not matter. Must never count more licences than one leaf shows.

use super::answer::{Failure, set_headers, text};
use super::licences::{found, in_use, licence_id, parameters};
use super::{Admin, Asked};
use crate::clock::Timestamp;
use crate::pages::{LicenceRow, LicenceStanding, SeatsPage, UseHistory};
use crate::seats::history::{A_DAY, EVERY};
use crate::seats::{ChangeError, Entry, LicenceId, Seats, Standing};
use crate::server::endpoints::language_of;
use http::{Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// How many licences a leaf shows.
const A_LEAF: usize = 20;
const DAY: u64 = 24 * 3600;
const DAYS: u64 = 30;

impl Admin {
    pub(super) async fn show_seats(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters_said(asked.query)?;
        let sites = self.site_names();
        let site = given.get("site").map(String::as_str).or(sites.first().copied());
        let (_, seats) = self.seats_of(site.map(str::to_owned).as_ref())?;
        let now = self.clock.now();
        let query = given.get("q").map(|query| query.trim()).unwrap_or_default();
        let all = given.contains_key("all");
        let skip = given.get("skip").and_then(|skip| skip.parse::<usize>().ok()).unwrap_or_default();
        let (mut entries, mut history) = (Vec::new(), None);
        let (mut count, mut skipped) = (1, 0);
        if let Some(id) = given.get("licence") {
            let id = licence_id(id)?;
            entries.push(seats.register().get(id).ok_or(ChangeError::Unknown(id))?);
            history = Some(history_of(seats, id, now).await?);
        } else {
            entries = if all || !query.is_empty() {
                found(seats.register().all(), query)
            } else {
                in_use_now(seats, now).await?
            };
            count = entries.len();
            skipped = skip.min(count);
            entries.drain(..skipped);
        }
        let next = (entries.len() > A_LEAF).then_some(skipped + A_LEAF);
        entries.truncate(A_LEAF);
        let counts = in_use(seats, &entries, now).await?;
        let rows: Vec<LicenceRow> = entries.iter().zip(counts).map(|(entry, count)| row(entry, count, now)).collect();
        let page = SeatsPage {
            rows: &rows,
            query,
            all,
            previous: (skipped > 0).then(|| skipped.saturating_sub(A_LEAF)),
            next,
            count,
            history,
            site: site.unwrap_or_default(),
            sites: &sites,
        };
        let language = language_of(asked.headers);
        let mut answer = text(StatusCode::OK, &self.pages.render_seats(&page, language));
        set_headers(&mut answer, self.pages.admin_headers(language));
        Ok(answer)
    }
}

/// What the form and the links of the page say; an empty field says nothing.
fn parameters_said(query: &str) -> Result<std::collections::BTreeMap<&'static str, String>, Failure> {
    let said = url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty());
    let said = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(said).finish();
    parameters(&said, &["site", "q", "all", "skip", "licence"])
}

/// Those of which a seat may be in use, in the order of the register.
async fn in_use_now(seats: &Seats, now: Timestamp) -> Result<Vec<Arc<Entry>>, Failure> {
    let used = seats.used(now).await.map_err(Failure::StoreDown)?;
    let mut entries = seats.register().all();
    entries.retain(|entry| used.binary_search(&entry.licence().id()).is_ok());
    Ok(entries)
}

/// The last 24 hours and the last 30 days.
async fn history_of(seats: &Seats, id: LicenceId, now: Timestamp) -> Result<UseHistory, Failure> {
    let today = now.as_unix() / DAY;
    let first = today.saturating_sub(DAYS - 1);
    let used = seats.use_of(id, Timestamp::from_unix(first * DAY), now, now).await.map_err(Failure::StoreDown)?;
    let on = |day: u64| used.iter().find(|used| used.begins.as_unix() == day * DAY);
    let last = now.as_unix() / EVERY;
    let begins = (last + 1).saturating_sub(A_DAY as u64);
    let figure = |interval: u64| {
        let (day, at) = (interval * EVERY / DAY, interval * EVERY % DAY / EVERY);
        let figures = on(day).map(|used| used.figures.as_slice()).unwrap_or_default();
        usize::try_from(at).ok().and_then(|at| figures.get(at).copied()).unwrap_or_default()
    };
    let mut day: Vec<u32> = (begins..=last).map(figure).collect();
    if let Some(present) = day.last_mut() {
        // Its figure may not have been written yet.
        let taken = seats.taken(id, now).await.map_err(Failure::StoreDown)?.len();
        *present = u32::try_from(taken).unwrap_or(u32::MAX);
    }
    let month = (first..=today).map(|day| {
        let used = on(day);
        let date = Timestamp::from_unix(day * DAY).date();
        let mean = used.map_or(0, crate::seats::history::UsedOn::mean_in_hundredths);
        (date, used.map_or(0, crate::seats::history::UsedOn::peak), mean)
    });
    Ok(UseHistory { day, day_begins: Timestamp::from_unix(begins * EVERY), month: month.collect() })
}

fn row(entry: &Entry, in_use: usize, now: Timestamp) -> LicenceRow {
    let (licence, written) = (entry.licence(), entry.licence().written());
    let owner = &written.owner;
    let person = format!("{} {}", owner.name, owner.surname);
    LicenceRow {
        id: licence.id().to_string(),
        serial: written.serial.clone(),
        owner: if owner.affiliation.is_empty() { person.trim().to_owned() } else { owner.affiliation.clone() },
        in_use,
        seats: licence.seats(),
        standing: match entry.standing(now) {
            Standing::InForce => LicenceStanding::InForce,
            Standing::Suspended => LicenceStanding::Suspended,
            Standing::NotYet(_) => LicenceStanding::NotYet,
            Standing::Expired(_) => LicenceStanding::Expired,
        },
        // Said as the last moment in which it counts.
        ends: licence.until(entry.first_use()).map(|until| until.minus(Duration::from_secs(1))),
        is_unused: licence.counts_from_first_use() && entry.first_use().is_none(),
    }
}

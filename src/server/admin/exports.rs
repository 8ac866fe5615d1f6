//! Licences and their use as files: for another configuration, for a spreadsheet, for an invoice.
//!
//! Called by `licences` for whoever has the token. What is exported as YAML is what `licences:` of a
//! configuration reads. The use of all licences means to read a value for each licence and day, so that is
//! done by one request at a time, within [`WITHIN`], and what was read is a line of the table at once.

use super::answer::{Failure, download, json};
use super::licences::{licence_id, parameters, standing_name};
use super::{Admin, Asked, csv};
use crate::clock::Timestamp;
use crate::seats::history::{DAYS, EVERY, UsedOn};
use crate::seats::{Entry, LicenceId, Seats, WhenFull};
use http::{Response, StatusCode};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long reading the use of all licences may take, waiting for others who do included.
const WITHIN: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest table, in bytes, which is in memory as a whole: ten thousand licences on forty days with 300
/// bytes each.
const MOST: usize = 128 * 1024 * 1024;

const CSV: &str = "text/csv; charset=utf-8; header=present";
const LICENCE_COLUMNS: [&str; 16] = [
    "id",
    "serial",
    "seats",
    "active",
    "standing",
    "managed",
    "from",
    "to",
    "duration",
    "when_full",
    "owner_name",
    "owner_surname",
    "owner_email",
    "owner_affiliation",
    "owner_comments",
    "covers",
];
const USE_COLUMNS: [&str; 10] = [
    "day",
    "licence",
    "serial",
    "seats",
    "peak",
    "mean",
    "owner_name",
    "owner_surname",
    "owner_email",
    "owner_affiliation",
];

impl Admin {
    /// All licences, as a configuration reads them or as a table.
    pub(super) fn export_licences(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site", "format"])?;
        let (_, seats) = self.seats_of(given.get("site"))?;
        let all = seats.register().all();
        match given.get("format").map_or("yaml", String::as_str) {
            "yaml" => {
                // By way of JSON, in which both read what happens when all seats are taken.
                let written = all.iter().map(|entry| json!(entry.licence().written()));
                let yaml = serde_yaml::to_string(&json!({ "licences": written.collect::<Vec<_>>() }));
                let yaml = yaml.map_err(|error| Failure::BadRequest(error.to_string()))?;
                Ok(download("application/yaml; charset=utf-8", "attachment; filename=\"licences.yaml\"", yaml))
            }
            "csv" => {
                let now = self.clock.now();
                let mut table = csv::line(LICENCE_COLUMNS);
                for entry in &all {
                    let cells = cells_of(entry, now);
                    table.push_str(&csv::line(cells.iter().map(String::as_str)));
                }
                Ok(download(CSV, "attachment; filename=\"licences.csv\"", table))
            }
            _ => Err(Failure::BadRequest("format is yaml or csv".to_owned())),
        }
    }

    /// The use of one licence: the figures of its days.
    pub(super) async fn use_of_licence(
        &self,
        id: &str,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site", "from", "to"])?;
        let (_, seats) = self.seats_of(given.get("site"))?;
        let (from, to) = days_of(&given, now)?;
        let days = seats.use_of(licence_id(id)?, from, to, now).await.map_err(Failure::StoreDown)?;
        let days: Vec<_> = days
            .iter()
            .map(|day| {
                json!({
                    "day": day.begins.date(),
                    "peak": day.peak(),
                    "mean": mean(day),
                    "figures": day.figures,
                })
            })
            .collect();
        Ok(json(StatusCode::OK, &json!({ "every": EVERY, "days": days })))
    }

    /// The use of all licences, a line for each day on which somebody used one.
    pub(super) async fn use_of_licences(
        &self,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let given = parameters(asked.query, &["site", "from", "to"])?;
        let (_, seats) = self.seats_of(given.get("site"))?;
        let (from, to) = days_of(&given, now)?;
        let mut table = csv::line(USE_COLUMNS);
        let read = async {
            let _turn = self.listing.lock().await;
            let each = seats.each_use(from, to, now, |id, day| {
                table.push_str(&line_of(seats, id, day));
                table.len() <= MOST
            });
            each.await.map_err(Failure::StoreDown)
        };
        tokio::time::timeout(WITHIN, read).await.map_err(|_| Failure::TooSlow)??;
        if table.len() > MOST {
            return Err(Failure::TooSlow);
        }
        Ok(download(CSV, "attachment; filename=\"use.csv\"", table))
    }
}

/// The line of a day on which somebody used a licence.
fn line_of(seats: &Seats, id: LicenceId, day: &UsedOn) -> String {
    let entry = seats.register().get(id);
    let written = entry.as_ref().map(|entry| entry.licence().written());
    let owner = written.map(|written| &written.owner);
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    let cells = [
        day.begins.date(),
        id.to_string(),
        text(written.map(|written| &written.serial)),
        written.map(|written| written.seats.to_string()).unwrap_or_default(),
        day.peak().to_string(),
        mean(day),
        text(owner.map(|owner| &owner.name)),
        text(owner.map(|owner| &owner.surname)),
        text(owner.map(|owner| &owner.email)),
        text(owner.map(|owner| &owner.affiliation)),
    ];
    csv::line(cells.iter().map(String::as_str))
}

/// The first moments of the first and of the last day that are asked for, both included: 30 days up to today where
/// nothing is said. What is older than is kept is not asked for.
fn days_of(given: &BTreeMap<&'static str, String>, now: Timestamp) -> Result<(Timestamp, Timestamp), Failure> {
    let day = |name: &str| {
        let Some(text) = given.get(name) else { return Ok(None) };
        let moment = Timestamp::from_rfc3339(&format!("{text}T00:00:00Z")).filter(|_| text.len() == 10);
        let bad = || Failure::BadRequest(format!("{name} is a day such as 2027-01-31, of UTC"));
        moment.map(Some).ok_or_else(bad)
    };
    let today = Timestamp::from_unix(now.as_unix() / DAY.as_secs() * DAY.as_secs());
    let to = day("to")?.unwrap_or(today).min(today);
    let from = day("from")?.unwrap_or_else(|| to.minus(DAY * 29));
    if from > to {
        return Err(Failure::BadRequest("from is a day before to, or the same, and none that is to come".to_owned()));
    }
    let oldest = today.minus(DAY * u32::try_from(DAYS).unwrap_or_default());
    Ok((from.max(oldest), to.max(oldest)))
}

/// With two digits after the point.
fn mean(day: &UsedOn) -> String {
    let hundredths = day.mean_in_hundredths();
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn cells_of(entry: &Arc<Entry>, now: Timestamp) -> [String; 16] {
    let written = entry.licence().written();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let when_full = match &written.when_full {
        None => String::new(),
        Some(WhenFull::Refuse) => "refuse".to_owned(),
        Some(WhenFull::DisplaceIdlest(grace)) => format!("displace_idlest {}s", grace.as_secs()),
        Some(WhenFull::Overflow(more)) => format!("overflow {more}"),
    };
    // As YAML in one line, which JSON is.
    let covers = serde_json::to_string(&written.covers).unwrap_or_default();
    let owner = &written.owner;
    [
        entry.licence().id().to_string(),
        written.serial.clone(),
        written.seats.to_string(),
        written.active.to_string(),
        standing_name(entry.standing(now)).to_owned(),
        entry.is_managed().to_string(),
        text(&written.valid.from),
        text(&written.valid.to),
        written.valid.duration.map(|duration| format!("{}s", duration.as_secs())).unwrap_or_default(),
        when_full,
        owner.name.clone(),
        owner.surname.clone(),
        owner.email.clone(),
        owner.affiliation.clone(),
        owner.comments.clone(),
        covers,
    ]
}

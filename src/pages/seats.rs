//! The administrators' pages of licences: which are in use, and the history of one.
//!
//! Rendered by `mod` for the admin listener. They show what administrators wrote of a licence, escaped as
//! everything is, and no person. Must never need a script.

use super::graph::{self, Picture};
use super::language::Language;
use super::moment::moment;
use super::{Contact, Frame, html, sessions};
use crate::clock::Timestamp;
use askama::Template;

/// How a licence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LicenceStanding {
    /// It gives seats.
    InForce,
    /// It was taken out of use.
    Suspended,
    /// It is to come.
    NotYet,
    /// It is over.
    Expired,
}

/// A licence, as a page shows it.
#[derive(Clone, Debug)]
pub struct LicenceRow {
    /// Its UUID.
    pub id: String,
    /// The number by which people call it; empty where it has none.
    pub serial: String,
    /// The institution, or whose it is; empty where that is not said.
    pub owner: String,
    /// How many seats are in use.
    pub in_use: usize,
    /// How many it has.
    pub seats: usize,
    /// How it stands.
    pub standing: LicenceStanding,
    /// When it is over, where that is known.
    pub ends: Option<Timestamp>,
    /// That counts from its first use, which is to come.
    pub is_unused: bool,
}

/// The use of a licence, for its graphs.
#[derive(Clone, Debug)]
pub struct UseHistory {
    /// How many seats were in use, every five minutes: the last 24 hours, the present last.
    pub day: Vec<u32>,
    /// When the first of them was.
    pub day_begins: Timestamp,
    /// Of the last 30 days, today last: its date, the most that were in use, and how many on average, in
    /// hundredths.
    pub month: Vec<(String, u32, u64)>,
}

/// What the page shows.
#[derive(Clone, Debug)]
pub struct SeatsPage<'a> {
    /// The licences that were found.
    pub rows: &'a [LicenceRow],
    /// What was looked for; empty where nothing was.
    pub query: &'a str,
    /// Whether all are shown, and not those alone that are in use.
    pub all: bool,
    /// Where the ones before them begin, if there are some.
    pub previous: Option<usize>,
    /// Where the next ones begin, if there are more.
    pub next: Option<usize>,
    /// How many there are of what is shown.
    pub count: usize,
    /// The history of the only one that is shown, where one was asked for.
    pub history: Option<UseHistory>,
    /// The name of the site; empty where there is one without a name.
    pub site: &'a str,
    /// The names of all sites; empty likewise.
    pub sites: &'a [&'a str],
}

/// What the page says.
struct Words {
    title: &'static str,
    search: &'static str,
    search_button: &'static str,
    in_use_only: &'static str,
    every_licence: &'static str,
    show_all: &'static str,
    show_used: &'static str,
    none: &'static str,
    none_used: &'static str,
    in_use: &'static str,
    of: &'static str,
    owner: &'static str,
    standing: &'static str,
    ends: &'static str,
    never: &'static str,
    unused: &'static str,
    id: &'static str,
    back: &'static str,
    next: &'static str,
    previous: &'static str,
    day: &'static str,
    month: &'static str,
    as_table: &'static str,
    hour: &'static str,
    date: &'static str,
    peak: &'static str,
    mean: &'static str,
    limit: &'static str,
    seats: &'static str,
}

const FRENCH: Words = Words {
    title: "Licences et places",
    search: "Numéro, établissement ou identifiant",
    search_button: "Rechercher",
    in_use_only: "Licences utilisées en ce moment",
    every_licence: "Toutes les licences",
    show_all: "Voir toutes les licences",
    show_used: "Voir celles qui sont utilisées en ce moment",
    none: "Aucune licence.",
    none_used: "Aucune place n’est prise en ce moment.",
    in_use: "Places prises",
    of: "sur",
    owner: "Titulaire",
    standing: "État",
    ends: "Fin",
    never: "sans fin prévue",
    unused: "selon la première utilisation, à venir",
    id: "Identifiant",
    back: "Retour à la liste",
    next: "Suivantes",
    previous: "Précédentes",
    day: "Dernières 24 heures",
    month: "30 derniers jours",
    as_table: "Les mêmes chiffres en tableau",
    hour: "Heure (UTC)",
    date: "Jour (UTC)",
    peak: "Maximum",
    mean: "Moyenne",
    limit: "La ligne marque le nombre de places de la licence.",
    seats: "places",
};

const ENGLISH: Words = Words {
    title: "Licences and seats",
    search: "Serial, institution or identifier",
    search_button: "Search",
    in_use_only: "Licences in use now",
    every_licence: "All licences",
    show_all: "Show all licences",
    show_used: "Show those in use now",
    none: "There is no licence.",
    none_used: "No seat is taken now.",
    in_use: "Seats in use",
    of: "of",
    owner: "Owner",
    standing: "State",
    ends: "Ends",
    never: "no end is set",
    unused: "counts from the first use, which is to come",
    id: "Identifier",
    back: "Back to the list",
    next: "Next",
    previous: "Previous",
    day: "Last 24 hours",
    month: "Last 30 days",
    as_table: "The same figures as a table",
    hour: "Hour (UTC)",
    date: "Day (UTC)",
    peak: "Most",
    mean: "Mean",
    limit: "The line marks how many seats the licence has.",
    seats: "seats",
};

impl Words {
    fn of(language: Language) -> &'static Self {
        match language {
            Language::French => &FRENCH,
            Language::English => &ENGLISH,
        }
    }
}

impl LicenceStanding {
    fn words(self, language: Language) -> &'static str {
        let (french, english) = match self {
            Self::InForce => ("en vigueur", "in force"),
            Self::Suspended => ("suspendue", "suspended"),
            Self::NotYet => ("à venir", "not yet in force"),
            Self::Expired => ("expirée", "expired"),
        };
        match language {
            Language::French => french,
            Language::English => english,
        }
    }
}

/// A licence in words.
struct Shown<'a> {
    row: &'a LicenceRow,
    /// What it is called: its serial, or its identifier.
    name: &'a str,
    standing: &'static str,
    ends: String,
    link: String,
}

/// A graph with what stands around it, and its table.
struct Figure {
    title: &'static str,
    /// What is to be seen on it, in words.
    says: String,
    /// What its line is, where it has one.
    limit: Option<&'static str>,
    /// The figure at its top.
    top: u64,
    picture: Picture,
    from: String,
    to: String,
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

#[derive(Template)]
#[template(path = "seats.html")]
struct SeatsHtml<'a> {
    frame: Frame<'a>,
    words: &'static Words,
    /// The pages of the sites, and their names.
    links: Vec<(String, &'a str)>,
    shown: Vec<Shown<'a>>,
    figures: Vec<Figure>,
    page: &'a SeatsPage<'a>,
    other: String,
    next: Option<String>,
    previous: Option<String>,
    back: String,
    /// The page of the sessions.
    sessions: String,
}

/// The title of the page.
pub(super) fn title(language: Language) -> &'static str {
    Words::of(language).title
}

pub(super) fn page(frame: Frame<'_>, page: &SeatsPage<'_>, language: Language) -> String {
    let words = Words::of(language);
    let prefix = frame.prefix;
    let link = |pairs: &[(&str, &str)]| {
        let site = Some(("site", page.site)).filter(|(_, site)| !site.is_empty());
        let pairs = site.into_iter().chain(pairs.iter().copied().filter(|(_, value)| !value.is_empty()));
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        if query.is_empty() { format!("{prefix}/seats") } else { format!("{prefix}/seats?{query}") }
    };
    let all = if page.all { "1" } else { "" };
    let leaf = |skip: usize| {
        let skip = if skip == 0 { String::new() } else { skip.to_string() };
        link(&[("q", page.query), ("all", all), ("skip", &skip)])
    };
    let shown = page.rows.iter().map(|row| Shown {
        row,
        name: if row.serial.is_empty() { &row.id } else { &row.serial },
        standing: row.standing.words(language),
        ends: match row.ends {
            Some(ends) => moment(ends, language),
            None if row.is_unused => words.unused.to_owned(),
            None => words.never.to_owned(),
        },
        link: link(&[("licence", &row.id)]),
    });
    let figures = page.history.iter().zip(page.rows).flat_map(|(history, row)| {
        let seats = u64::try_from(row.seats).unwrap_or(u64::MAX);
        [of_day(history, seats, language), of_month(history, seats, language)]
    });
    html(&SeatsHtml {
        words,
        links: page.sites.iter().map(|site| (sessions::link(prefix, "seats", site), *site)).collect(),
        shown: shown.collect(),
        figures: figures.collect(),
        other: link(&[("all", if page.all { "" } else { "1" })]),
        next: page.next.map(leaf),
        previous: page.previous.map(leaf),
        back: link(&[]),
        sessions: sessions::link(prefix, "", page.site),
        frame,
        page,
    })
}

fn of_day(history: &UseHistory, seats: u64, language: Language) -> Figure {
    let words = Words::of(language);
    let figures: Vec<u64> = history.day.iter().map(|figure| u64::from(*figure)).collect();
    let peak = figures.iter().copied().max().unwrap_or_default();
    let now = figures.last().copied().unwrap_or_default();
    let begins = history.day_begins;
    let at = |figure: usize| Timestamp::from_unix(begins.as_unix() + u64::try_from(figure).unwrap_or_default() * 300);
    let rows = figures.chunks(12).enumerate().map(|(hour, figures)| {
        let most = figures.iter().max().copied().unwrap_or_default();
        vec![moment(at(hour * 12), language), most.to_string()]
    });
    let picture = graph::draw(&[&figures], seats);
    Figure {
        title: words.day,
        says: match language {
            Language::French => {
                format!("Places prises\u{a0}: {now} sur {seats} en ce moment, au plus {peak} à la fois.")
            }
            Language::English => format!("{now} of {seats} seats now, at most {peak} at once."),
        },
        limit: picture.limit.map(|_| words.limit),
        top: picture.top,
        picture,
        from: moment(begins, language),
        to: moment(at(figures.len().saturating_sub(1)), language),
        heads: vec![words.hour, words.peak],
        rows: rows.collect(),
    }
}

fn of_month(history: &UseHistory, seats: u64, language: Language) -> Figure {
    let words = Words::of(language);
    // In hundredths, as the means are.
    let peaks: Vec<u64> = history.month.iter().map(|(_, peak, _)| u64::from(*peak) * 100).collect();
    let means: Vec<u64> = history.month.iter().map(|(_, _, mean)| *mean).collect();
    let peak = peaks.iter().copied().max().unwrap_or_default() / 100;
    let today = peaks.last().copied().unwrap_or_default() / 100;
    let point = match language {
        Language::French => ',',
        Language::English => '.',
    };
    let decimal = |mean: u64| format!("{}{point}{:02}", mean / 100, mean % 100);
    let rows = history.month.iter().map(|(date, peak, mean)| vec![date.clone(), peak.to_string(), decimal(*mean)]);
    let date = |at: Option<&(String, u32, u64)>| at.map(|(date, ..)| date.clone()).unwrap_or_default();
    let picture = graph::draw(&[&peaks, &means], seats.saturating_mul(100));
    Figure {
        title: words.month,
        says: match language {
            Language::French => {
                format!("Au plus {peak} à la fois, {today} aujourd’hui. La surface pleine est la moyenne du jour.")
            }
            Language::English => {
                format!("At most {peak} at once, {today} today. The solid part is the mean of the day.")
            }
        },
        limit: picture.limit.map(|_| words.limit),
        top: picture.top.div_ceil(100),
        picture,
        from: date(history.month.first()),
        to: date(history.month.last()),
        heads: vec![words.date, words.peak, words.mean],
        rows: rows.collect(),
    }
}

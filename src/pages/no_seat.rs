//! The page of somebody who may pass and has no seat: why, and what to do.
//!
//! `server/seats` says which trouble it is. Must never name another person: who has the seats is nobody's
//! business here.

use super::contact::Contact;
use super::kept_form;
use super::language::Language;
use super::moment::{ago, moment};
use super::{Frame, WaitingForm, html};
use crate::clock::Timestamp;
use askama::Template;
use std::time::Duration;

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatTrouble {
    /// All are taken.
    Full {
        /// How many there are.
        seats: usize,
        /// For how long the least active of their holders has done nothing.
        idle: Option<Duration>,
    },
    /// Somebody else has it now.
    Displaced {
        /// Since when.
        at: Timestamp,
        /// Whether an administrator freed it.
        by_administrator: bool,
    },
    /// The licence was taken out of use.
    Suspended,
    /// It begins later.
    NotYet(Timestamp),
    /// It is over.
    Expired(Timestamp),
    /// No licence covers them.
    NotCovered,
}

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub struct NoSeatPage<'a> {
    /// Why.
    pub trouble: SeatTrouble,
    /// The licence's serial; empty where there is none to be said.
    pub serial: &'a str,
    /// Whose licence it is, by e-mail address; empty where nobody is named.
    pub owner: &'a str,
    /// After how many seconds the page asks again by itself, where it does.
    pub retry: Option<u64>,
    /// Where the reader goes with a seat.
    pub return_to: &'a str,
    /// What has become of a form that was sent.
    pub form: WaitingForm<'a>,
    /// The id that the log line carries too.
    pub id: &'a str,
}

#[derive(Template)]
#[template(path = "no_seat.html")]
struct NoSeatTemplate<'a> {
    frame: Frame<'a>,
    explanation: &'static str,
    detail: Option<String>,
    advice: &'static str,
    button: &'static str,
    /// Whether the reader asks for a seat, or only looks whether there is one.
    claims: bool,
    retries: Option<String>,
    licence: Option<String>,
    ask: &'static str,
    /// What is said of a form, and what discards it.
    notice: Option<&'static str>,
    discard: Option<String>,
    page: &'a NoSeatPage<'a>,
}

/// The words: title, explanation, advice.
struct Words {
    title: &'static str,
    explanation: &'static str,
    advice: &'static str,
    button: &'static str,
}

pub(super) fn title(trouble: SeatTrouble, language: Language) -> &'static str {
    words(trouble, language).title
}

pub(super) fn page<'a>(frame: Frame<'a>, page: &'a NoSeatPage<'a>, language: Language) -> String {
    let Words { explanation, advice, button, .. } = words(page.trouble, language);
    let licence = (!page.serial.is_empty()).then(|| match language {
        Language::French => format!("Licence\u{a0}: {}", page.serial),
        Language::English => format!("Licence: {}", page.serial),
    });
    let retries = page.retry.map(|seconds| match language {
        Language::French => format!("Cette page réessaie d’elle-même toutes les {seconds} secondes."),
        Language::English => format!("This page tries again by itself every {seconds} seconds."),
    });
    let ask = match language {
        Language::French => "Responsable de la licence\u{a0}:",
        Language::English => "In charge of the licence:",
    };
    let (notice, kept) = frame.words.waiting_form(page.form);
    html(&NoSeatTemplate {
        frame,
        explanation,
        detail: detail(page.trouble, language),
        advice,
        button,
        claims: matches!(page.trouble, SeatTrouble::Displaced { .. }),
        retries,
        licence,
        ask,
        notice,
        discard: kept.map(kept_form::discard),
        page,
    })
}

/// The figures and moments.
fn detail(trouble: SeatTrouble, language: Language) -> Option<String> {
    let french = language == Language::French;
    match trouble {
        SeatTrouble::Full { seats, idle } => {
            let seats = match (french, seats) {
                (true, 1) => "L’unique place est prise.".to_owned(),
                (true, _) => format!("Les {seats}\u{a0}places sont prises."),
                (false, 1) => "The only seat is taken.".to_owned(),
                (false, _) => format!("All {seats} seats are taken."),
            };
            let idle = idle.map(|idle| {
                let ago = ago(idle, language);
                if french {
                    format!(" La personne la moins active a agi pour la dernière fois {ago}.")
                } else {
                    format!(" The least active person last did something {ago}.")
                }
            });
            Some(seats + &idle.unwrap_or_default())
        }
        SeatTrouble::Displaced { at, .. } => Some(if french {
            format!("C’était le {}.", moment(at, language))
        } else {
            format!("That was on {}.", moment(at, language))
        }),
        SeatTrouble::NotYet(from) => Some(if french {
            format!("Elle commence le {}.", moment(from, language))
        } else {
            format!("It begins on {}.", moment(from, language))
        }),
        SeatTrouble::Expired(since) => Some(if french {
            format!("Elle a pris fin le {}.", moment(since, language))
        } else {
            format!("It ended on {}.", moment(since, language))
        }),
        SeatTrouble::Suspended | SeatTrouble::NotCovered => None,
    }
}

fn words(trouble: SeatTrouble, language: Language) -> Words {
    let (title, explanation, advice, button) = match (language, trouble) {
        (Language::French, SeatTrouble::Full { .. }) => (
            "Toutes les places sont prises",
            "Vous êtes bien identifié, mais la licence de votre organisme ne permet qu’un certain nombre de personnes \
             actives en même temps.",
            "Une place se libère dès que quelqu’un se déconnecte ou reste inactif un moment.",
            "Réessayer",
        ),
        (Language::English, SeatTrouble::Full { .. }) => (
            "All seats are taken",
            "You are signed in, but your institution’s licence allows only so many people to be active at once.",
            "A seat becomes free as soon as somebody signs out or does nothing for a while.",
            "Try again",
        ),
        (Language::French, SeatTrouble::Displaced { by_administrator: false, .. }) => (
            "Votre place a été donnée à quelqu’un d’autre",
            "Vous n’aviez rien fait depuis un moment et toutes les places de la licence étaient prises. Votre session \
             reste ouverte.",
            "Si une place est libre, vous pouvez la reprendre tout de suite.",
            "Reprendre une place",
        ),
        (Language::English, SeatTrouble::Displaced { by_administrator: false, .. }) => (
            "Your seat was given to somebody else",
            "You had done nothing for a while and all seats of the licence were taken. You are still signed in.",
            "If a seat is free, you can take it now.",
            "Take a seat again",
        ),
        (Language::French, SeatTrouble::Displaced { by_administrator: true, .. }) => (
            "Votre place a été libérée",
            "Une personne chargée de la licence a libéré votre place. Votre session reste ouverte.",
            "Si une place est libre, vous pouvez la reprendre tout de suite.",
            "Reprendre une place",
        ),
        (Language::English, SeatTrouble::Displaced { by_administrator: true, .. }) => (
            "Your seat was freed",
            "Somebody in charge of the licence has freed your seat. You are still signed in.",
            "If a seat is free, you can take it now.",
            "Take a seat again",
        ),
        (Language::French, SeatTrouble::Suspended) => (
            "La licence est suspendue",
            "Vous êtes bien identifié, mais la licence de votre organisme est suspendue pour le moment.",
            "Adressez-vous à la personne qui s’occupe de cette licence.",
            "Réessayer",
        ),
        (Language::English, SeatTrouble::Suspended) => (
            "The licence is suspended",
            "You are signed in, but your institution’s licence is suspended for the moment.",
            "Please ask the person in charge of this licence.",
            "Try again",
        ),
        (Language::French, SeatTrouble::NotYet(_)) => (
            "La licence n’a pas encore commencé",
            "Vous êtes bien identifié, mais la licence de votre organisme n’est pas encore en vigueur.",
            "Revenez à partir de cette date, ou adressez-vous à la personne qui s’occupe de cette licence.",
            "Réessayer",
        ),
        (Language::English, SeatTrouble::NotYet(_)) => (
            "The licence has not begun yet",
            "You are signed in, but your institution’s licence is not in force yet.",
            "Come back from that day on, or ask the person in charge of this licence.",
            "Try again",
        ),
        (Language::French, SeatTrouble::Expired(_)) => (
            "La licence a expiré",
            "Vous êtes bien identifié, mais la licence de votre organisme n’est plus en vigueur.",
            "Adressez-vous à la personne qui s’occupe de cette licence pour la renouveler.",
            "Réessayer",
        ),
        (Language::English, SeatTrouble::Expired(_)) => (
            "The licence has expired",
            "You are signed in, but your institution’s licence is no longer in force.",
            "Please ask the person in charge of this licence to renew it.",
            "Try again",
        ),
        (Language::French, SeatTrouble::NotCovered) => (
            "Aucune licence ne vous couvre",
            "Vous êtes bien identifié, mais aucune licence de ce service ne concerne votre compte ou votre organisme.",
            "Adressez-vous à votre organisme, ou identifiez-vous avec un autre compte professionnel.",
            "Réessayer",
        ),
        (Language::English, SeatTrouble::NotCovered) => (
            "No licence covers you",
            "You are signed in, but no licence of this service is for your account or your institution.",
            "Please ask your institution, or sign in with another professional account.",
            "Try again",
        ),
    };
    Words { title, explanation, advice, button }
}

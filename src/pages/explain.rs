//! The administrators' page that says why: a form, and what the gate says of the request.
//!
//! Rendered by `mod` for the admin listener. The headings are in both languages; what the gate says
//! is in the words of the log, which are English. Everything that came from outside is escaped.

use super::contact::Contact;
use super::language::Language;
use super::{Frame, html};
use askama::Template;

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub struct ExplainPage {
    /// What was asked, to be asked again with a change.
    pub asked: ExplainForm,
    /// Why it has no answer.
    pub mistake: Option<String>,
    /// The answer.
    pub told: Option<Told>,
}

/// The fields of the form.
#[derive(Clone, Debug, Default)]
pub struct ExplainForm {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Claims, as JSON.
    pub claims: String,
    /// The name of a live session.
    pub session: String,
    /// The name of a rule of `bearer`.
    pub bearer: String,
    /// Headers, one a line.
    pub headers: String,
    /// The client's address.
    pub client: String,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The decision's name.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// What is known besides, each with its lines.
    pub facts: Vec<(Fact, Vec<String>)>,
    /// The rules.
    pub rules: Vec<ToldRule>,
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Which request.
    Request,
    /// Its route.
    Route,
    /// The routes that come nearest.
    Others,
    /// How its path may be read.
    Readings,
    /// Where it goes.
    Upstream,
    /// Which headers are set.
    Sets,
    /// Which are taken away.
    Strips,
    /// Which credential goes along.
    Credential,
    /// What else is to be known.
    Notes,
}

/// A rule with its outcome.
#[derive(Clone, Debug)]
pub struct ToldRule {
    /// Its list and its name.
    pub name: String,
    /// Whether it holds; nothing where that cannot be told.
    pub holds: Option<bool>,
    /// Its conditions, from the outermost inwards.
    pub steps: Vec<ToldStep>,
}

/// A condition.
#[derive(Clone, Debug)]
pub struct ToldStep {
    /// How deep it stands, from 0 to 3.
    pub depth: usize,
    /// What it asks, and what there was.
    pub says: String,
    /// Whether it holds; nothing where that cannot be told.
    pub holds: Option<bool>,
}

/// The words of the page.
struct Words {
    title: &'static str,
    method: &'static str,
    url: &'static str,
    claims: &'static str,
    session: &'static str,
    bearer: &'static str,
    headers: &'static str,
    client: &'static str,
    ask: &'static str,
    rules: &'static str,
    holds: &'static str,
    fails: &'static str,
    untold: &'static str,
    mistake: &'static str,
}

const FRENCH: Words = Words {
    title: "Pourquoi\u{a0}?",
    method: "Méthode",
    url: "Adresse demandée",
    claims: "Claims de la personne ou du programme (JSON)",
    session: "ou identifiant d’une session en cours",
    bearer: "Règle de bearer (pour un programme)",
    headers: "En-têtes, un par ligne",
    client: "Adresse du client",
    ask: "Expliquer",
    rules: "Règles",
    holds: "oui",
    fails: "non",
    untold: "impossible à dire",
    mistake: "La question n’a pas de réponse",
};

const ENGLISH: Words = Words {
    title: "Why?",
    method: "Method",
    url: "Address asked for",
    claims: "Claims of the person or program (JSON)",
    session: "or the identifier of a live session",
    bearer: "Rule of bearer (for a program)",
    headers: "Headers, one a line",
    client: "Address of the client",
    ask: "Explain",
    rules: "Rules",
    holds: "yes",
    fails: "no",
    untold: "cannot be told",
    mistake: "The question has no answer",
};

impl Words {
    /// Whether something holds.
    fn outcome(&self, holds: Option<bool>) -> &'static str {
        match holds {
            Some(true) => self.holds,
            Some(false) => self.fails,
            None => self.untold,
        }
    }

    fn of(language: Language) -> &'static Self {
        match language {
            Language::French => &FRENCH,
            Language::English => &ENGLISH,
        }
    }
}

impl Fact {
    fn words(self, language: Language) -> &'static str {
        let (french, english) = match self {
            Self::Request => ("Requête", "Request"),
            Self::Route => ("Route", "Route"),
            Self::Others => ("Autres routes", "Other routes"),
            Self::Readings => ("Lectures du chemin", "Readings of the path"),
            Self::Upstream => ("Transmise à", "Forwarded to"),
            Self::Sets => ("En-têtes ajoutés", "Headers set"),
            Self::Strips => ("En-têtes retirés", "Headers taken away"),
            Self::Credential => ("Secret ajouté", "Credential"),
            Self::Notes => ("À savoir", "Notes"),
        };
        match language {
            Language::French => french,
            Language::English => english,
        }
    }
}

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainHtml<'a> {
    frame: Frame<'a>,
    words: &'static Words,
    facts: Vec<(&'static str, Vec<String>)>,
    page: ExplainPage,
}

/// The title of the page.
pub(super) fn title(language: Language) -> &'static str {
    Words::of(language).title
}

pub(super) fn explained(frame: Frame<'_>, page: ExplainPage, language: Language) -> String {
    let told = page.told.iter().flat_map(|told| told.facts.iter());
    let facts = told.map(|(fact, lines)| (fact.words(language), lines.clone())).collect();
    html(&ExplainHtml { frame, words: Words::of(language), facts, page })
}

//! The pages on which somebody chooses among several providers, or learns that theirs is not the right
//! one.
//!
//! One form holds them all, so that the page needs no script: the address and its button come first, for
//! that is the button which the Enter key presses.

use super::contact::Contact;
use super::kept_form;
use super::wording::Wording;
use super::{Frame, Language, Pages, ProviderKind, html};
use askama::Template;

/// A provider, as the pages call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedProvider {
    /// The name that it has in the configuration.
    pub name: String,
    /// What people call it, in French.
    pub fr: String,
    /// The same in English.
    pub en: String,
    /// Whose button it has.
    pub kind: ProviderKind,
}

impl NamedProvider {
    fn label(&self, language: Language) -> &str {
        match language {
            Language::French => &self.fr,
            Language::English => &self.en,
        }
    }
}

/// A button.
struct Button<'a> {
    name: &'a str,
    label: &'a str,
    proconnect: bool,
}

/// What [`super::Page::ChooseProvider`] holds.
pub(super) struct Choice<'a> {
    pub(super) return_to: &'a str,
    pub(super) offered: &'a [String],
    pub(super) notice: Option<&'a str>,
    pub(super) form: Option<&'a str>,
    pub(super) unfit: Option<&'a str>,
    pub(super) keeps_fragment: bool,
    pub(super) goes_on: bool,
}

/// What [`super::Page::OtherProvider`] holds.
pub(super) struct Other<'a> {
    pub(super) wanted: &'a [String],
    pub(super) present: &'a str,
    pub(super) return_to: &'a str,
    pub(super) id: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "choose_provider.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is asked by its own line of the template")]
struct ChooseProviderPage<'a> {
    frame: Frame<'a>,
    heading: &'a str,
    notice: Option<&'a str>,
    return_to: &'a str,
    unfit: Option<&'a str>,
    by_address: bool,
    buttons: &'a [Button<'a>],
    keeps_fragment: bool,
    goes_on: bool,
    /// Where nobody has to choose.
    only: Option<&'a str>,
    discard: Option<String>,
    about_proconnect: bool,
}

#[derive(Template)]
#[template(path = "other_provider.html")]
struct OtherProviderPage<'a> {
    frame: Frame<'a>,
    title: &'a str,
    present: &'a str,
    wanted: Option<String>,
    return_to: &'a str,
    buttons: &'a [Button<'a>],
    id: Option<&'a str>,
}

impl Pages {
    /// The same pages for a site with these providers; `by_address` says whether an e-mail address leads to
    /// one of them.
    #[must_use]
    pub fn of_providers(self, providers: Vec<NamedProvider>, by_address: bool) -> Self {
        Self { providers, by_address, ..self }
    }

    /// Those of the providers; all where none is named.
    fn buttons<'a>(&'a self, names: &'a [String], language: Language) -> Vec<Button<'a>> {
        let meant = self.providers.iter().filter(|provider| names.is_empty() || names.contains(&provider.name));
        let button = |provider: &'a NamedProvider| Button {
            name: &provider.name,
            label: provider.label(language),
            proconnect: provider.kind == ProviderKind::ProConnect,
        };
        meant.map(button).collect()
    }

    pub(super) fn choose_provider(&self, choice: &Choice<'_>, language: Language) -> String {
        let words = Wording::of(language);
        let buttons = self.buttons(choice.offered, language);
        html(&ChooseProviderPage {
            frame: self.frame(language, words.sign_in),
            heading: &self.heading(words),
            notice: choice.notice,
            return_to: choice.return_to,
            unfit: choice.unfit,
            by_address: self.by_address && buttons.len() > 1,
            keeps_fragment: choice.keeps_fragment,
            goes_on: choice.goes_on && buttons.len() == 1,
            only: match buttons.as_slice() {
                [only] => Some(only.name),
                _ => None,
            },
            discard: choice.form.map(kept_form::discard),
            about_proconnect: buttons.iter().any(|button| button.proconnect),
            buttons: &buttons,
        })
    }

    pub(super) fn other_provider(&self, other: &Other<'_>, language: Language) -> String {
        let words = Wording::of(language);
        let buttons = self.buttons(other.wanted, language);
        let labels: Vec<&str> = buttons.iter().map(|button| button.label).collect();
        let present = self.providers.iter().find(|provider| provider.name == other.present);
        // Without an id nobody was kept out: they have followed a link.
        let (title, wanted) = match other.id {
            Some(_) => (words.other_provider, Some(labels.join(words.or_between))),
            None => (words.switch_provider, None),
        };
        html(&OtherProviderPage {
            frame: self.frame(language, title),
            title,
            present: present.map_or("", |provider| provider.label(language)),
            wanted,
            return_to: other.return_to,
            buttons: &buttons,
            id: other.id,
        })
    }
}

//! The providers as the pages call them, their buttons, and the page on which somebody learns that theirs
//! is not the right one.

use super::contact::Contact;
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

    /// Its button, where it is the only one.
    pub(super) fn button(&self, language: Language) -> Button<'_> {
        let proconnect = self.kind == ProviderKind::ProConnect;
        Button { name: None, label: Some(self.label(language)), proconnect, below_address: false }
    }
}

/// A button (`provider_button.html`).
pub(super) struct Button<'a> {
    /// What it sends; nothing where there is no other.
    pub(super) name: Option<&'a str>,
    /// The provider, where it is called something.
    pub(super) label: Option<&'a str>,
    pub(super) proconnect: bool,
    /// Whether it stands below a field for an address, which it does without.
    pub(super) below_address: bool,
}

/// What [`super::Page::OtherProvider`] holds.
pub(super) struct Other<'a> {
    pub(super) wanted: &'a [String],
    pub(super) present: &'a str,
    pub(super) return_to: &'a str,
    pub(super) id: Option<&'a str>,
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

    /// The provider of that name, where there are several.
    pub(super) fn named(&self, name: &str) -> Option<&NamedProvider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// The buttons of these providers; of all where none is named.
    pub(super) fn buttons<'a>(&'a self, names: &'a [String], language: Language) -> Vec<Button<'a>> {
        let meant = self.providers.iter().filter(|provider| names.is_empty() || names.contains(&provider.name));
        meant.map(|provider| Button { name: Some(&provider.name), ..provider.button(language) }).collect()
    }

    pub(super) fn other_provider(&self, other: &Other<'_>, language: Language) -> String {
        let words = Wording::of(language);
        let buttons = self.buttons(other.wanted, language);
        let labels: Vec<&str> = buttons.iter().filter_map(|button| button.label).collect();
        let present = self.named(other.present);
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

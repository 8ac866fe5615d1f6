//! The page that leads to a provider, in its three uses: for whoever signs in, for whoever chooses among
//! several providers, and for whoever has to prove more of themselves.
//!
//! One form holds all buttons, so that the page needs no script: an address and its button come first, for
//! that is the button which the Enter key presses.

use super::contact::Contact;
use super::kept_form;
use super::providers::Button;
use super::wording::Wording;
use super::{AskedAgain, Frame, Language, Page, Pages, ProviderKind, WaitingForm, html};
use askama::Template;

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

#[derive(Template)]
#[template(path = "sign_in.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is asked by its own line of the template")]
struct SignInPage<'a> {
    frame: Frame<'a>,
    heading: &'a str,
    lead: &'a str,
    notice: Option<&'a str>,
    return_to: Option<&'a str>,
    /// What else goes along.
    asked: Vec<(&'static str, String)>,
    /// Whether an address can be typed.
    by_address: bool,
    unfit: Option<&'a str>,
    buttons: Vec<Button<'a>>,
    keeps_fragment: bool,
    goes_on: bool,
    discard: Option<String>,
    about_proconnect: bool,
}

impl Pages {
    pub(super) fn sign_in(
        &self,
        page: Page<'_>,
        return_to: Option<&str>,
        notice: Option<&str>,
        form: Option<&str>,
        language: Language,
    ) -> String {
        let words = Wording::of(language);
        html(&SignInPage {
            return_to,
            notice,
            keeps_fragment: page.keeps_fragment(),
            goes_on: matches!(page, Page::GoOn { .. }),
            discard: form.map(kept_form::discard),
            ..self.with_one_button(
                (words.sign_in, &self.heading(words)),
                words.sign_in_lead(self.provider),
                None,
                language,
            )
        })
    }

    pub(super) fn step_up(
        &self,
        asked: AskedAgain<'_>,
        provider: Option<&str>,
        form: WaitingForm<'_>,
        language: Language,
    ) -> String {
        let words = Wording::of(language);
        let (notice, kept) = words.waiting_form(form);
        let lead = if asked.max_age.is_some() { words.step_up_for_recent } else { words.step_up_for_level };
        html(&SignInPage {
            return_to: Some(asked.return_to),
            asked: asked.parameters(),
            notice,
            discard: kept.map(kept_form::discard),
            ..self.with_one_button((words.step_up, words.step_up), lead, provider, language)
        })
    }

    /// The page with the button of this provider, or of the only one.
    fn with_one_button<'a>(
        &'a self,
        (title, heading): (&'a str, &'a str),
        lead: &'a str,
        provider: Option<&str>,
        language: Language,
    ) -> SignInPage<'a> {
        let only = || {
            let proconnect = self.provider == ProviderKind::ProConnect;
            Button { name: None, label: None, proconnect, below_address: false }
        };
        let named = provider.and_then(|name| self.named(name));
        let button = named.map_or_else(only, |provider| provider.button(language));
        SignInPage {
            frame: self.frame(language, title),
            heading,
            lead,
            notice: None,
            return_to: None,
            asked: Vec::new(),
            by_address: false,
            unfit: None,
            about_proconnect: button.proconnect,
            buttons: vec![button],
            keeps_fragment: false,
            goes_on: false,
            discard: None,
        }
    }

    pub(super) fn choose_provider(&self, choice: &Choice<'_>, language: Language) -> String {
        let words = Wording::of(language);
        let mut buttons = self.buttons(choice.offered, language);
        let by_address = self.by_address && buttons.len() > 1;
        for button in &mut buttons {
            button.below_address = by_address;
        }
        // Where nobody has to choose, a script can send the form.
        let only = match buttons.as_mut_slice() {
            [only] => only.name.take(),
            _ => None,
        };
        html(&SignInPage {
            frame: self.frame(language, words.sign_in),
            heading: &self.heading(words),
            lead: words.choose_provider,
            notice: choice.notice,
            return_to: Some(choice.return_to),
            asked: only.map(|name| ("provider", name.to_owned())).into_iter().collect(),
            by_address,
            unfit: choice.unfit,
            keeps_fragment: choice.keeps_fragment,
            goes_on: choice.goes_on && buttons.len() == 1,
            discard: choice.form.map(kept_form::discard),
            about_proconnect: buttons.iter().any(|button| button.proconnect),
            buttons,
        })
    }

    /// Of the sign-in page.
    fn heading(&self, words: &Wording) -> String {
        match &self.application {
            Some(application) => format!("{} {application}", words.sign_in_to),
            None => words.sign_in.to_owned(),
        }
    }
}

//! The pages that people see: made from templates, in French and English. They need no script; the
//! sign-in page has a small one, which keeps the fragment of an address.
//!
//! `server` makes [`Pages`] once at load, and asks it for each page's text and for the headers
//! that go with it. This room is pure: it reads no request, chooses no cause, sets no cookie.
//! It must never show a token, a claim or a message that came from outside; what does come from
//! outside (a return address) stands in one hidden field, escaped, and is judged anew when the
//! form comes back. The exceptions are the administrators' page, which says whose sessions it
//! lists ([`Pages::render_admin`]), and that of a form that was kept, which holds what the reader wrote.

mod assets;
mod contact;
mod device;
mod error_kind;
mod explain;
mod graph;
mod kept_form;
mod language;
mod loop_cause;
mod messages;
mod moment;
mod no_seat;
mod providers;
mod response_headers;
mod seats;
mod sessions;
mod sign_in;
#[cfg(test)]
mod tests;
mod wording;

pub use assets::Asset;
pub use error_kind::ErrorKind;
pub use explain::{ExplainForm, ExplainPage, Fact, Told, ToldRule, ToldStep};
pub use language::Language;
pub use loop_cause::LoopCause;
pub use messages::{Text, text};
pub use no_seat::{NoSeatPage, SeatTrouble};
pub use providers::NamedProvider;
pub use response_headers::{
    ASSET_HEADERS, FRAMED_HEADERS, Header, PAGE_HEADERS, content_security_policy, framed_by, sign_in_policy,
};
pub use seats::{LicenceRow, LicenceStanding, SeatsPage, UseHistory};
pub use sessions::{AdminPage, OwnedRow, SessionRow};

use crate::clock::Timestamp;
use crate::web::submitted::Submitted;
use askama::Template;
use assets::Assets;
use contact::Contact;
use error_kind::Action;
use providers::Other;
use sign_in::Choice;
use wording::Wording;

/// What the operator says of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// Its name, as people know it.
    pub application: Option<String>,
    /// Whom to turn to: an e-mail address, a web address, or words.
    pub contact: Option<String>,
}

/// Which provider the pages speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// ProConnect, with its official button.
    ProConnect,
    /// Any other; the pages do not name it.
    Other,
}

/// Why somebody sees the sign-in page again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There was a session, and it has ended.
    SessionEnded,
    /// A form was sent after the session's end: it has not reached the app.
    FormNotSent,
}

/// A form that was sent where a step-up has to come first, or a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingForm<'a> {
    /// None was.
    None,
    /// It is not kept.
    Lost,
    /// It is kept, under this name.
    Kept(&'a str),
}

/// What somebody who is signed in is asked for, as a form of ours sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedAgain<'a> {
    /// As for [`Page::SignIn`].
    pub return_to: &'a str,
    /// The levels, as a parameter has them; or none.
    pub acr_values: &'a str,
    /// How recent the proof has to be, in seconds.
    pub max_age: Option<u64>,
}

impl AskedAgain<'_> {
    /// The parameters that `start` takes, but for where to go afterwards.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let levels = Some(self.acr_values).filter(|levels| !levels.is_empty());
        let levels = levels.map(|levels| ("acr_values", levels.to_owned()));
        levels.into_iter().chain(self.max_age.map(|seconds| ("max_age", seconds.to_string()))).collect()
    }
}

/// How far a sign-out went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOutReach {
    /// Here and at the provider: we come back from its `end_session_endpoint`.
    Provider,
    /// Here only: the provider has no such place, or could not be reached.
    LocalOnly,
}

/// One page, with what varies in it.
#[derive(Clone, Copy, Debug)]
pub enum Page<'a> {
    /// The provider's button.
    SignIn {
        /// Where to go afterwards: comes back as `rd`, to be judged by `web`'s `ReturnTo` again.
        return_to: Option<&'a str>,
        /// Why the reader is here.
        notice: Option<Notice>,
    },
    /// The same, which goes on to the provider by itself where scripts run: it is there for the fragment
    /// of its address.
    GoOn {
        /// As for [`Page::SignIn`].
        return_to: &'a str,
    },
    /// The same, for somebody whose form is kept meanwhile.
    SignInForForm {
        /// The page of the form, where to go afterwards.
        return_to: &'a str,
        /// The form's name, for the button that discards it.
        form: &'a str,
    },
    /// The same for somebody who is signed in, and has to prove more of themselves or once more.
    StepUp {
        /// What is asked for.
        asked: AskedAgain<'a>,
        /// The name of the provider whose session it is, of several.
        provider: Option<&'a str>,
        /// What has become of a form that was sent.
        form: WaitingForm<'a>,
    },
    /// The buttons of several providers, and a field for an address that leads to one of them.
    ChooseProvider {
        /// As for [`Page::SignIn`].
        return_to: &'a str,
        /// The names of those that may be meant; all where there are none.
        offered: &'a [String],
        /// Why the reader is here.
        notice: Option<Notice>,
        /// As for [`Page::SignInForForm`].
        form: Option<&'a str>,
        /// The address that the reader has typed, where it leads to none.
        unfit: Option<&'a str>,
        /// As for [`Page::GoOn`], with the one that is offered.
        goes_on: bool,
    },
    /// Says that there is a session with another provider, and offers to sign in with the right one.
    OtherProvider {
        /// The names of the right ones.
        wanted: &'a [String],
        /// The name of the other one.
        present: &'a str,
        /// As for [`Page::SignIn`].
        return_to: &'a str,
        /// The id that the log line carries too; none where the reader was not kept out but led here.
        id: Option<&'a str>,
    },
    /// Offers to send a form that was kept over the sign-in. Shows the names in it and no value; the
    /// values stand in its hidden fields.
    KeptForm {
        /// Its name.
        id: &'a str,
        /// The path that it was sent to.
        to: &'a str,
        /// What is in it.
        form: &'a Submitted,
    },
    /// Asks before signing out somebody who was sent here by a link.
    ConfirmSignOut {
        /// As for [`Page::SignIn`].
        return_to: Option<&'a str>,
    },
    /// The reader's own sessions, to be seen and ended.
    Sessions {
        /// All of them, the reader's present one among them.
        sessions: &'a [SessionRow<'a>],
        /// The present moment.
        now: Timestamp,
    },
    /// The end of a sign-out. Never begins a sign-in by itself.
    SignedOut {
        /// How far it went.
        reach: SignOutReach,
    },
    /// Signed in, but not admitted ([`ErrorKind::NotAdmitted`]).
    Refused {
        /// Who may enter, in the operator's words.
        who_may_enter: Option<&'a str>,
        /// The id that the log line carries too.
        id: &'a str,
    },
    /// Signed in and admitted, but all seats of the licence are taken, or there is none for them.
    NoSeat(&'a NoSeatPage<'a>),
    /// The browser was sent round in circles.
    Loop {
        /// Why.
        cause: LoopCause,
        /// The id that the log line carries too.
        id: &'a str,
    },
    /// A step-up that did not bring what was asked for. The session is as it was.
    InVain {
        /// Why.
        kind: ErrorKind,
        /// What was asked for, to be tried again.
        asked: AskedAgain<'a>,
        /// The id that the log line carries too.
        id: &'a str,
    },
    /// Everything else that went wrong, [`ErrorKind::AccessDenied`] included.
    Error {
        /// Why.
        kind: ErrorKind,
        /// The id that the log line carries too.
        id: &'a str,
    },
}

impl Page<'_> {
    /// Whether a script on it takes the fragment of its address along to where the sign-in returns: the
    /// page stands in the place of what was asked for, and no server hears of fragments.
    const fn keeps_fragment(&self) -> bool {
        matches!(
            self,
            Self::SignIn { return_to: Some(_), notice: None }
                | Self::GoOn { .. }
                | Self::ChooseProvider { notice: None, form: None, unfit: None, .. }
        )
    }
}

/// All pages of one instance.
#[derive(Clone, Debug)]
pub struct Pages {
    application: Option<String>,
    contact: Option<Contact>,
    prefix: String,
    provider: ProviderKind,
    /// Where there are several.
    providers: Vec<NamedProvider>,
    /// Whether an e-mail address leads to one of them.
    by_address: bool,
    over_https: bool,
    assets: Assets,
}

impl Pages {
    /// Pages for an application; `prefix` is that of our own paths, such as `/oauth2`, without a
    /// final slash; `over_https` says whether both the site and the provider are on `https`.
    pub fn new(branding: &Branding, prefix: &str, provider: ProviderKind, over_https: bool) -> Self {
        let application = branding.application.as_deref().map(str::trim).filter(|name| !name.is_empty());
        Self {
            application: application.map(str::to_owned),
            contact: branding.contact.as_deref().and_then(Contact::parse),
            prefix: prefix.to_owned(),
            provider,
            providers: Vec::new(),
            by_address: false,
            over_https,
            assets: Assets::new(),
        }
    }

    /// The HTML of a page.
    pub fn render(&self, page: Page<'_>, language: Language) -> String {
        let words = Wording::of(language);
        match page {
            Page::SignIn { return_to, notice } => {
                self.sign_in(page, return_to, notice.map(|notice| words.notice(notice)), None, language)
            }
            Page::GoOn { return_to } => self.sign_in(page, Some(return_to), None, None, language),
            Page::SignInForForm { return_to, form } => {
                self.sign_in(page, Some(return_to), Some(words.form_kept), Some(form), language)
            }
            Page::StepUp { asked, provider, form } => self.step_up(asked, provider, form, language),
            Page::ChooseProvider { return_to, offered, notice, form, unfit, goes_on } => {
                let notice = match form {
                    Some(_) => Some(words.form_kept),
                    None => notice.map(|notice| words.notice(notice)),
                };
                let keeps_fragment = page.keeps_fragment();
                let choice = Choice { return_to, offered, notice, form, unfit, keeps_fragment, goes_on };
                self.choose_provider(&choice, language)
            }
            Page::OtherProvider { wanted, present, return_to, id } => {
                self.other_provider(&Other { wanted, present, return_to, id }, language)
            }
            Page::KeptForm { id, to, form } => kept_form::page(self.frame(language, words.kept_form), id, to, form),
            Page::ConfirmSignOut { return_to } => html(&ConfirmSignOutPage {
                frame: self.frame(language, words.confirm_sign_out),
                lead: words.confirm_sign_out_lead(self.provider),
                return_to,
            }),
            Page::Sessions { sessions, now } => {
                sessions::own(self.frame(language, words.sessions), sessions, now, language)
            }
            Page::SignedOut { reach } => html(&SignedOutPage {
                frame: self.frame(language, words.signed_out),
                lead: words.signed_out_lead(self.provider, reach),
            }),
            Page::Refused { who_may_enter, id } => self.error(ErrorKind::NotAdmitted, who_may_enter, id, language),
            Page::NoSeat(page) => {
                no_seat::page(self.frame(language, no_seat::title(page.trouble, language)), page, language)
            }
            Page::Loop { cause, id } => self.goes_round(cause, id, language),
            Page::InVain { kind, asked, id } => self.in_vain(kind, asked, id, language),
            Page::Error { kind, id } => self.error(kind, None, id, language),
        }
    }

    /// The administrators' page, for the admin listener.
    pub fn render_admin(&self, page: AdminPage<'_>, language: Language) -> String {
        sessions::of_everybody(self.frame(language, Wording::of(language).all_sessions), page, language)
    }

    /// The page that says why, for the admin listener.
    pub fn render_explain(&self, page: ExplainPage, language: Language) -> String {
        explain::explained(self.frame(language, explain::title(language)), page, language)
    }

    /// The page of licences and their use, for the admin listener.
    pub fn render_seats(&self, page: &SeatsPage<'_>, language: Language) -> String {
        seats::page(self.frame(language, seats::title(language)), page, language)
    }

    /// The same pages for a listener where they have another prefix.
    #[must_use]
    pub fn at(&self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self.clone() }
    }

    /// The headers that go with a page, `content-type` and the content security policy included.
    /// `Retry-After` goes with the cause: [`ErrorKind::retry_after`].
    pub fn headers(&self, page: Page<'_>, language: Language) -> impl Iterator<Item = Header> + use<> {
        let policy = if page.keeps_fragment() { sign_in_policy } else { content_security_policy };
        headers_under(policy(self.over_https), language)
    }

    /// The same for the administrators' page.
    pub fn admin_headers(&self, language: Language) -> impl Iterator<Item = Header> + use<> {
        headers_under(content_security_policy(self.over_https), language)
    }

    /// The static file at `{prefix}/static/{name}`. It goes with [`ASSET_HEADERS`] and its own
    /// `content-type`.
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.find(name)
    }

    fn error(&self, kind: ErrorKind, who_may_enter: Option<&str>, id: &str, language: Language) -> String {
        let text = text(kind, language);
        let action = kind.action();
        let label = Wording::of(language).action(action);
        html(&ErrorPage {
            frame: self.frame(language, text.title),
            text,
            cause: None,
            who_may_enter,
            action,
            label,
            again: Vec::new(),
            id,
        })
    }

    /// With the way to try again, and for the rest one away from here: the session is there.
    fn in_vain(&self, kind: ErrorKind, asked: AskedAgain<'_>, id: &str, language: Language) -> String {
        let text = text(kind, language);
        let action = match kind.action() {
            Action::SwitchAccount => Action::SwitchAccount,
            Action::SignInAgain | Action::Retry | Action::Home => Action::Home,
        };
        let mut again = vec![("rd", asked.return_to.to_owned())];
        again.append(&mut asked.parameters());
        html(&ErrorPage {
            frame: self.frame(language, text.title),
            text,
            cause: None,
            who_may_enter: None,
            action,
            label: Wording::of(language).action(action),
            again,
            id,
        })
    }

    fn goes_round(&self, cause: LoopCause, id: &str, language: Language) -> String {
        let said = loop_cause::loop_text(cause, language);
        let text = Text { title: said.title, explanation: said.explanation, advice: said.advice };
        let label = Wording::of(language).action(Action::Retry);
        html(&ErrorPage {
            frame: self.frame(language, text.title),
            text,
            cause: Some(said.cause),
            who_may_enter: None,
            action: Action::Retry,
            label,
            again: Vec::new(),
            id,
        })
    }

    fn frame<'a>(&'a self, language: Language, title: &'a str) -> Frame<'a> {
        Frame {
            language,
            words: Wording::of(language),
            title,
            application: self.application.as_deref(),
            contact: self.contact.as_ref(),
            prefix: &self.prefix,
            assets: &self.assets,
        }
    }
}

/// What surrounds every page.
struct Frame<'a> {
    language: Language,
    words: &'static Wording,
    title: &'a str,
    application: Option<&'a str>,
    contact: Option<&'a Contact>,
    prefix: &'a str,
    assets: &'a Assets,
}

#[derive(Template)]
#[template(path = "confirm_sign_out.html")]
struct ConfirmSignOutPage<'a> {
    frame: Frame<'a>,
    lead: &'a str,
    return_to: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    frame: Frame<'a>,
    lead: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame<'a>,
    text: Text,
    cause: Option<&'a str>,
    who_may_enter: Option<&'a str>,
    action: Action,
    label: &'a str,
    /// What a button to try again sends, where there is one.
    again: Vec<(&'static str, String)>,
    id: &'a str,
}

/// The headers of a page under this content security policy.
fn headers_under(policy: &'static str, language: Language) -> impl Iterator<Item = Header> + use<> {
    let varying = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-language", language.tag()),
        ("content-security-policy", policy),
    ];
    varying.into_iter().chain(PAGE_HEADERS)
}

fn html(page: &impl Template) -> String {
    let mut out = String::with_capacity(4096);
    // The only error is the writer's, and a `String` takes everything.
    let _ = page.render_into(&mut out);
    out
}

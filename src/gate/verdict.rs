//! What the gate says of a request, in terms that whoever answers can render: the decision of
//! [`mod@super::decide`], with what it borrowed worked out.

use super::decide::Denial;
use super::headers::IdentityHeaders;
use super::route::Route;
use crate::bearer::Presented;
use crate::clock::Timestamp;
use crate::oidc::StepUp;
use crate::session::{NoSession, OpenedSession, SessionId};
use crate::web::kind::Kind;
use crate::web::return_to::ReturnTo;
use http::HeaderValue;
use std::sync::Arc;

/// A decision, with what it borrowed worked out.
#[derive(Debug)]
pub enum Verdict<'g> {
    /// The request goes to the app.
    Forward(Forward<'g>),
    /// The browser is led to sign in.
    SignIn {
        /// Where it comes back to.
        return_to: ReturnTo,
        /// Why it has no session; for the log.
        reason: NoSession,
        /// The providers whose people the route takes; all where it names none.
        providers: Arc<[String]>,
    },
    /// A person is told that the route is for people of another provider than theirs.
    OtherProvider {
        /// Its index.
        index: usize,
        /// Where they come back to when they have signed in there.
        return_to: ReturnTo,
    },
    /// The rules of the route would hold after this step-up.
    StepUp {
        /// What is asked for.
        step_up: StepUp,
        /// The session that it is for; none where it is a bearer token that does not do.
        session: Option<OpenedSession>,
        /// Who waits.
        kind: Kind,
        /// Where a browser comes back to.
        return_to: ReturnTo,
    },
    /// The provider or the store has to be asked how it stands with the session first; then
    /// [`super::Gate::judge_again`].
    Refresh(OpenedSession),
    /// They pass if they get a seat ([`super::Gate::applicant`]); then [`super::Gate::judge_seated`].
    TakeSeat(OpenedSession),
    /// The bearer token that it shows has to be verified first, by the rules of its route; then
    /// [`super::Case::by_bearer`].
    Verify {
        /// The token.
        token: Presented,
        /// The rules, by their index.
        rules: &'g [usize],
    },
    /// The request cannot be decided now: an outage has lasted too long.
    Unavailable(NoSession),
    /// The request is refused.
    Deny(Denial),
}

impl Verdict<'_> {
    /// Its name, as the log and explanations have it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Forward(_) => "forward",
            Self::SignIn { .. } => "sign_in",
            Self::OtherProvider { .. } => "other_provider",
            Self::StepUp { .. } => "step_up",
            Self::Refresh(_) => "refresh",
            Self::TakeSeat(_) => "take_seat",
            Self::Verify { .. } => "verify",
            Self::Unavailable(_) => "unavailable",
            Self::Deny(_) => "deny",
        }
    }
}

/// A request that goes to the app.
#[derive(Debug)]
pub struct Forward<'g> {
    /// Index of its route.
    pub index: usize,
    /// Its route.
    pub route: &'g Route,
    /// The headers that say who it is.
    pub identity: IdentityHeaders,
    /// The session it belongs to, if any.
    pub session: Option<SessionId>,
    /// Its cookie as it opened, for what outlives this decision.
    pub opened: Option<OpenedSession>,
    /// The session's cookies with the idle limit moved on, or under a newer key, when that is due.
    pub renewal: Vec<HeaderValue>,
    /// The app is only asked what a page may send: nobody's request, which needs nothing to be
    /// trusted.
    pub is_preflight: bool,
    /// When the bearer token ends that lets it pass, where it is one that says so.
    pub bearer_ends_at: Option<Timestamp>,
}

//! The one table from errors to HTTP: what a person sees, and how loud the log is.
//!
//! Called wherever `server` has an error in its hand. Exhaustive on purpose: a new cause does not
//! compile until it has a page and a level. `Error` is for what an operator must mend, `Warn` for
//! what may become that or may be an attack, `Info` for what people and scanners do all day.

use crate::credentials::CredentialError;
use crate::credentials::albert::AlbertError;
use crate::gate::Denial;
use crate::login::attempt::NoAttempt;
use crate::login::backchannel::BackchannelError;
use crate::login::callback::CallbackError;
use crate::login::frontchannel::FrontchannelError;
use crate::login::start::StartError;
use crate::login::step_up::StepUpError;
use crate::oidc::{Lacks, LogoutTokenError, RedeemError, TokenError, Unreachable, UserinfoError};
use crate::pages::{ErrorKind, ProviderKind};
use crate::seats::NoSeat;
use crate::session::{BeginError, NotEnded, NotSteppedUp};
use crate::web::hygiene::Ambiguous;
use pingora::{Error, ErrorSource, ErrorType};
use tracing::Level;

/// What becomes of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rescue {
    /// The page, which has the status.
    pub(super) kind: ErrorKind,
    /// How loud the log line is.
    pub(super) level: Level,
}

const fn rescue(kind: ErrorKind, level: Level) -> Rescue {
    Rescue { kind, level }
}

impl Rescue {
    pub(super) fn of_ambiguous(error: Ambiguous) -> Self {
        match error {
            Ambiguous::Path(_)
            | Ambiguous::Method
            | Ambiguous::Host
            | Ambiguous::BodyLength
            | Ambiguous::TransferEncoding
            | Ambiguous::Expect
            | Ambiguous::Upgrade
            | Ambiguous::TooLong
            | Ambiguous::HeaderValue => rescue(ErrorKind::BadRequest, Level::INFO),
        }
    }

    /// `None` for those that are no error but a request to sign in, or to show a good bearer token.
    pub(super) fn of_denial(denial: Denial) -> Option<Self> {
        match denial {
            Denial::NoRoute | Denial::NoApp => Some(rescue(ErrorKind::NotFound, Level::INFO)),
            Denial::AmbiguousPath | Denial::ForgedIdentity => Some(rescue(ErrorKind::BadRequest, Level::WARN)),
            Denial::OtherSite => Some(rescue(ErrorKind::OtherSite, Level::WARN)),
            // The last has words of its own; this is where there is no page to put them on.
            Denial::NotAllowed | Denial::NotAdmitted(..) | Denial::OtherProvider(_) => {
                Some(rescue(ErrorKind::NotAdmitted, Level::INFO))
            }
            // Likewise, but for an outage.
            Denial::NoSeat(NoSeat::StoreDown) => Some(Self::OF_OUTAGE),
            Denial::NoSeat(_) => Some(rescue(ErrorKind::NotAdmitted, Level::INFO)),
            Denial::OwnPath => Some(rescue(ErrorKind::NotFound, Level::WARN)),
            Denial::NotSignedIn(_)
            | Denial::FormWithoutSession(_)
            | Denial::NeitherSessionNorBearer(_)
            | Denial::NoBearer
            | Denial::Bearer(_) => None,
        }
    }

    /// An outage in the middle of a session. Loud once where it begins, not at every request.
    pub(super) const OF_OUTAGE: Self = rescue(ErrorKind::SessionUnavailable, Level::WARN);

    /// Nothing is known of a bearer token: its issuer cannot be asked. No reason to let anybody in, nor
    /// to tell a client that its token is bad.
    pub(super) const OF_BEARER_OUTAGE: Self = rescue(ErrorKind::TemporarilyUnavailable, Level::WARN);

    pub(super) fn of_start(error: &StartError) -> Self {
        match error {
            StartError::Provider(unreachable) => Self::of_unreachable(unreachable),
            StartError::NoProvider | StartError::Randomness(_) => rescue(ErrorKind::Internal, Level::ERROR),
        }
    }

    pub(super) fn of_callback(error: &CallbackError, provider: ProviderKind) -> Self {
        match error {
            CallbackError::RepeatedParameter => rescue(ErrorKind::BadRequest, Level::WARN),
            CallbackError::NoState => rescue(ErrorKind::CallbackWithoutState, Level::INFO),
            CallbackError::NoLoginCookie => rescue(ErrorKind::CookieMissing, Level::WARN),
            CallbackError::Attempt(NoAttempt::Unreadable | NoAttempt::Expired | NoAttempt::OtherCookie(_))
            | CallbackError::AlreadyUsed => rescue(ErrorKind::SignInExpired, Level::INFO),
            // Somebody has led an answer elsewhere than to where it was asked for: no accident.
            CallbackError::Attempt(NoAttempt::OtherProvider) | CallbackError::NoCode => {
                rescue(ErrorKind::SignInNotVerified, Level::WARN)
            }
            CallbackError::Issuer => rescue(ErrorKind::SignInNotVerified, Level::ERROR),
            CallbackError::Refused { code, description } => {
                let kind = ErrorKind::from_callback(provider, code, Some(description));
                let ours = kind.status().is_server_error();
                rescue(kind, if ours { Level::ERROR } else { Level::INFO })
            }
            CallbackError::Unreachable(unreachable) => Self::of_unreachable(unreachable),
            CallbackError::Redeem(error) => Self::of_redeem(error),
            CallbackError::NoProvider
            | CallbackError::Begin(
                BeginError::Randomness(_) | BeginError::IdentityTooLarge(_) | BeginError::TokensTooLarge(_),
            ) => rescue(ErrorKind::Internal, Level::ERROR),
            CallbackError::Begin(BeginError::SignInTooOld(_)) => rescue(ErrorKind::SignInTooOld, Level::INFO),
            // Loud once, where it begins.
            CallbackError::Begin(BeginError::Store(_)) => rescue(ErrorKind::TemporarilyUnavailable, Level::WARN),
            CallbackError::StepUp(error) => Self::of_step_up(error),
        }
    }

    /// What was missing. The session is as it was.
    fn of_step_up(error: &StepUpError) -> Self {
        match error {
            StepUpError::Lacks(Lacks::Level) | StepUpError::Not(NotSteppedUp::Lower) => {
                rescue(ErrorKind::AuthenticationLevelNotReached, Level::INFO)
            }
            StepUpError::Lacks(Lacks::Recent) | StepUpError::Not(NotSteppedUp::Earlier) => {
                rescue(ErrorKind::ProofTooOld, Level::WARN)
            }
            // No age can ever be met there.
            StepUpError::Lacks(Lacks::Moment) => rescue(ErrorKind::ProofTooOld, Level::ERROR),
            StepUpError::Not(NotSteppedUp::OtherPerson) => rescue(ErrorKind::OtherPerson, Level::WARN),
            StepUpError::Not(NotSteppedUp::Over(_)) => rescue(ErrorKind::SignInExpired, Level::INFO),
            StepUpError::Not(NotSteppedUp::Begin(BeginError::Store(_))) => {
                rescue(ErrorKind::TemporarilyUnavailable, Level::WARN)
            }
            StepUpError::Not(NotSteppedUp::Begin(_)) => rescue(ErrorKind::Internal, Level::ERROR),
        }
    }

    fn of_redeem(error: &RedeemError) -> Self {
        match error {
            RedeemError::Unreachable(unreachable) => Self::of_unreachable(unreachable),
            RedeemError::InsufficientAcr => rescue(ErrorKind::AuthenticationLevelNotReached, Level::INFO),
            RedeemError::Token(error) => Self::of_token(error),
            RedeemError::IdToken(_) => rescue(ErrorKind::SignInNotVerified, Level::ERROR),
            RedeemError::Userinfo(error) => Self::of_userinfo(error),
        }
    }

    /// An outage says that it is one: whoever reads that their identity could not be verified
    /// suspects their own account.
    fn of_token(error: &TokenError) -> Self {
        match error {
            TokenError::Unreachable(_) => rescue(ErrorKind::ProviderUnreachable, Level::ERROR),
            TokenError::Status(500..) => rescue(ErrorKind::ServerError, Level::ERROR),
            TokenError::Refused(code) if code == "server_error" => rescue(ErrorKind::ServerError, Level::ERROR),
            TokenError::Refused(code) if code == "temporarily_unavailable" => {
                rescue(ErrorKind::TemporarilyUnavailable, Level::ERROR)
            }
            // Codes live for a minute: whoever paused on the way back is late, not suspect.
            TokenError::InvalidGrant => rescue(ErrorKind::SignInExpired, Level::WARN),
            // Our registration or configuration.
            TokenError::InvalidClient | TokenError::Refused(_) => rescue(ErrorKind::InvalidRequest, Level::ERROR),
            TokenError::Status(_) | TokenError::Malformed(_) => rescue(ErrorKind::SignInNotVerified, Level::ERROR),
        }
    }

    fn of_userinfo(error: &UserinfoError) -> Self {
        match error {
            UserinfoError::Unreachable(_) => rescue(ErrorKind::ProviderUnreachable, Level::ERROR),
            UserinfoError::Status(500..) => rescue(ErrorKind::ServerError, Level::ERROR),
            UserinfoError::Status(_)
            | UserinfoError::NoEndpoint
            | UserinfoError::ContentType
            | UserinfoError::NotSigned
            | UserinfoError::Signature(_)
            | UserinfoError::Malformed
            | UserinfoError::WrongIssuer
            | UserinfoError::WrongAudience
            | UserinfoError::OutOfDate(_)
            | UserinfoError::WrongSubject => rescue(ErrorKind::SignInNotVerified, Level::ERROR),
        }
    }

    /// A provider that is refused here is registered wrongly, or it is not the provider: to be seen
    /// either way.
    pub(super) fn of_backchannel(error: &BackchannelError) -> Self {
        match error {
            BackchannelError::ContentType | BackchannelError::NoToken | BackchannelError::RepeatedToken => {
                rescue(ErrorKind::BadRequest, Level::WARN)
            }
            BackchannelError::Token(LogoutTokenError::Unreachable(unreachable)) => Self::of_unreachable(unreachable),
            BackchannelError::Token(
                LogoutTokenError::Signature(_)
                | LogoutTokenError::WrongIssuer
                | LogoutTokenError::WrongAudience
                | LogoutTokenError::OutOfDate(_)
                | LogoutTokenError::TooOld
                | LogoutTokenError::MalformedId
                | LogoutTokenError::NoLogoutEvent
                | LogoutTokenError::Nonce
                | LogoutTokenError::MalformedSubject
                | LogoutTokenError::MalformedSession
                | LogoutTokenError::NamesNobody,
            )
            | BackchannelError::NotEnded(NotEnded::Replayed) => rescue(ErrorKind::BadRequest, Level::WARN),
            BackchannelError::NotEnded(NotEnded::Store(_)) => rescue(ErrorKind::TemporarilyUnavailable, Level::ERROR),
        }
    }

    pub(super) fn of_frontchannel(error: &FrontchannelError) -> Self {
        match error {
            FrontchannelError::Missing(_) | FrontchannelError::Repeated => rescue(ErrorKind::BadRequest, Level::INFO),
            FrontchannelError::WrongIssuer => rescue(ErrorKind::BadRequest, Level::WARN),
            FrontchannelError::Store(_) => rescue(ErrorKind::TemporarilyUnavailable, Level::ERROR),
        }
    }

    /// Each cause of an API has its own words: an operator who is asked about it must not have to
    /// guess.
    pub(super) fn of_credential(error: &CredentialError) -> Self {
        match error {
            CredentialError::Albert(error) => Self::of_albert(error),
            CredentialError::Exchange(error) if error.is_outage() => rescue(ErrorKind::ApiUnavailable, Level::WARN),
            CredentialError::Exchange(error) if error.is_misconfiguration() => {
                rescue(ErrorKind::ApiMisconfigured, Level::ERROR)
            }
            CredentialError::KeyBook(error) if error.is_outage() => rescue(ErrorKind::ApiUnavailable, Level::WARN),
            CredentialError::KeyBook(error) if error.is_misconfiguration() => {
                rescue(ErrorKind::ApiMisconfigured, Level::ERROR)
            }
            CredentialError::Exchange(_) | CredentialError::KeyBook(_) => rescue(ErrorKind::ApiNotGranted, Level::INFO),
            CredentialError::NoTokens | CredentialError::Over(_) => rescue(ErrorKind::SignInExpired, Level::INFO),
            CredentialError::Store(_) | CredentialError::Busy => rescue(ErrorKind::ApiUnavailable, Level::WARN),
            CredentialError::NotHeaderText | CredentialError::Randomness => rescue(ErrorKind::Internal, Level::ERROR),
        }
    }

    fn of_albert(error: &AlbertError) -> Self {
        match error {
            AlbertError::Unreachable(_) | AlbertError::Down(_) | AlbertError::Unexpected { status: 429, .. } => {
                rescue(ErrorKind::ApiUnavailable, Level::ERROR)
            }
            AlbertError::AdminRefused => rescue(ErrorKind::ApiAdminRefused, Level::ERROR),
            AlbertError::RoleMissing(_) | AlbertError::OrganizationMissing(_) => {
                rescue(ErrorKind::ApiRoleMissing, Level::ERROR)
            }
            AlbertError::RefusedByRule | AlbertError::NoEmail | AlbertError::EmailNotVerified => {
                rescue(ErrorKind::ApiNotGranted, Level::INFO)
            }
            AlbertError::AccountExpired => rescue(ErrorKind::ApiAccountExpired, Level::INFO),
            AlbertError::BudgetGone => rescue(ErrorKind::ApiBudgetGone, Level::INFO),
            AlbertError::AccountGone => rescue(ErrorKind::ApiNotGranted, Level::WARN),
            AlbertError::UnknownVersion
            | AlbertError::NoSuchCall { .. }
            | AlbertError::Unexpected { .. }
            | AlbertError::Malformed { .. } => rescue(ErrorKind::ApiMisconfigured, Level::ERROR),
            AlbertError::CannotDiscard | AlbertError::Randomness => rescue(ErrorKind::Internal, Level::ERROR),
        }
    }

    fn of_unreachable(_: &Unreachable) -> Self {
        rescue(ErrorKind::ProviderUnreachable, Level::ERROR)
    }

    /// For errors while a request was under way to the app. `None` when the client is gone and
    /// nobody is there to be told.
    pub(super) fn of_proxy(error: &Error) -> Option<Self> {
        match (error.esource(), error.etype()) {
            (ErrorSource::Downstream, ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed) => {
                None
            }
            (ErrorSource::Downstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => None,
            (ErrorSource::Downstream, _) | (_, ErrorType::HTTPStatus(400..=499)) => {
                Some(rescue(ErrorKind::BadRequest, Level::INFO))
            }
            (
                ErrorSource::Upstream,
                ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout,
            ) => Some(rescue(ErrorKind::AppTimeout, Level::ERROR)),
            (ErrorSource::Upstream, _) => Some(rescue(ErrorKind::AppUnavailable, Level::ERROR)),
            (ErrorSource::Internal | ErrorSource::Unset, _) => Some(rescue(ErrorKind::Internal, Level::ERROR)),
        }
    }
}

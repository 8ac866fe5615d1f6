//! Why a page has bad news, as far as the reader is told: one name per cause that deserves its own
//! words or its own advice.
//!
//! `server` turns every error into one of these; `messages` has the words. What the reader must
//! not learn (which check of a token failed) has no name here: that is for the log.

use super::ProviderKind;
use http::StatusCode;

/// Declares the causes once, so that the list of them all cannot miss one.
macro_rules! causes {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// The cause of an error page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind {
            $($(#[$doc])+ $name,)+
        }

        impl ErrorKind {
            /// Every cause, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

causes! {
    // What the provider answers at the callback (OpenID Connect Core §3.1.2.6, RFC 6749 §4.1.2.1).
    /// `access_denied`: cancelled by the person, or refused by the provider.
    AccessDenied,
    /// `login_required`: a silent sign-in found nobody signed in at the provider.
    LoginRequired,
    /// `interaction_required` and its kin: a silent sign-in needs a screen.
    InteractionRequired,
    /// `invalid_request`, `unauthorized_client`: the provider does not accept how we ask.
    InvalidRequest,
    /// `invalid_scope`: we ask for claims that we are not entitled to.
    InvalidScope,
    /// `unsupported_response_type`: the provider does not know the code flow for us.
    UnsupportedResponseType,
    /// `server_error`: the provider failed.
    ServerError,
    /// `temporarily_unavailable`: the provider is busy or being maintained.
    TemporarilyUnavailable,
    /// `idp_hint_not_found`: ProConnect does not know the identity provider that we suggest.
    IdpHintNotFound,
    /// Any other `error`.
    UnknownProviderError,

    // What ProConnect adds in `error_description`, by its own codes.
    /// Y500015: people of the private sector are not accepted here.
    PrivateSectorNotAccepted,
    /// Y500024: the account is blocked.
    AccountBlocked,
    /// Y500025: the e-mail address is not allowed.
    EmailNotAllowed,
    /// Y500027: the domain of the e-mail address is not valid.
    EmailDomainInvalid,
    /// Y190001, Y190012, Y030110, Y470001, Y470002: the visit at ProConnect took too long, or its
    /// cookies were lost.
    ProviderSessionLost,
    /// Y500001: no identity provider for this person.
    NoIdentityProvider,
    /// Y500006: the identity that came is incomplete or malformed.
    InvalidIdentity,
    /// Y020017, Y020019: the person's identity provider is disabled or unknown.
    IdentityProviderDisabled,
    /// Y020026, Y020027, Y020031, Y020032: the person's identity provider failed.
    IdentityProviderFailed,
    /// Y000400, Y030031, Y04A586: our registration at ProConnect is not right.
    Misregistered,

    // Our own part of the sign-in.
    /// The attempt is too old, already used, or was begun in another browser.
    SignInExpired,
    /// The login cookie did not come back.
    CookieMissing,
    /// A callback without `state`.
    CallbackWithoutState,
    /// The provider cannot be reached: nobody can sign in for the moment.
    ProviderUnreachable,
    /// A check of the provider's answer failed. The reader is not told which.
    SignInNotVerified,
    /// The required `acr` was not reached.
    AuthenticationLevelNotReached,
    /// Signed in, but the rules do not admit this person.
    NotAdmitted,
    /// The provider signed the person in by a proof older than the configuration allows.
    SignInTooOld,
    /// A step-up brought no proof as recent as was asked for.
    ProofTooOld,
    /// Somebody else came back from the provider than the one who was to prove more of themselves.
    OtherPerson,
    /// Signed in, but an outage has lasted too long to know whether that still counts.
    SessionUnavailable,

    // The API that a page works with, and what it needs to know the person there.
    /// No account of the API's for this person, by our rules or the API's.
    ApiNotGranted,
    /// The person's account at the API has expired.
    ApiAccountExpired,
    /// The budget of the person's account at the API is used up.
    ApiBudgetGone,
    /// The role that the account should have is not there at the API.
    ApiRoleMissing,
    /// The API does not accept the bearer that we administer accounts with.
    ApiAdminRefused,
    /// What the API answers, or how we are set up to ask it, is not right.
    ApiMisconfigured,
    /// The API cannot be reached, or fails.
    ApiUnavailable,

    // The request and the app.
    /// The request is malformed or ambiguous.
    BadRequest,
    /// Another site's page made the browser send it.
    OtherSite,
    /// A form that was kept is no longer there: sent, discarded, too old, or another person's.
    FormGone,
    /// No route, or nothing under our own prefix.
    NotFound,
    /// The app cannot be reached.
    AppUnavailable,
    /// The app did not answer in time.
    AppTimeout,
    /// Our own fault.
    Internal,
}

/// What the reader can do from the page itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A link to `/`, where a new sign-in begins.
    SignInAgain,
    /// Sign out everywhere, to come back as somebody else.
    SwitchAccount,
    /// The same address once more. Never for a callback, which works once.
    Retry,
    /// A link to `/`.
    Home,
}

/// How long a browser or a client should wait where we cannot know better: long enough for a
/// provider's restart, short enough for a person at the screen.
const RETRY_AFTER_SECONDS: &str = "30";

impl ErrorKind {
    /// The cause that a callback's `error` and `error_description` name. The description is only
    /// searched for known codes; nothing of it is ever shown.
    pub fn from_callback(provider: ProviderKind, error: &str, description: Option<&str>) -> Self {
        if provider == ProviderKind::ProConnect
            && let Some(kind) = description.and_then(Self::from_proconnect_description)
        {
            return kind;
        }
        match error {
            "access_denied" => Self::AccessDenied,
            "login_required" => Self::LoginRequired,
            "interaction_required" | "consent_required" | "account_selection_required" => Self::InteractionRequired,
            "unmet_authentication_requirements" => Self::AuthenticationLevelNotReached,
            "invalid_request" | "unauthorized_client" | "invalid_client" => Self::InvalidRequest,
            "invalid_scope" => Self::InvalidScope,
            "unsupported_response_type" => Self::UnsupportedResponseType,
            "server_error" => Self::ServerError,
            "temporarily_unavailable" => Self::TemporarilyUnavailable,
            "idp_hint_not_found" => Self::IdpHintNotFound,
            _ => Self::UnknownProviderError,
        }
    }

    /// The first known code in ProConnect's description, or the one sentence of it that has a
    /// meaning of its own (an essential `acr` that could not be had comes as `access_denied`).
    fn from_proconnect_description(description: &str) -> Option<Self> {
        if description.contains("requested ACRs could not be satisfied") {
            return Some(Self::AuthenticationLevelNotReached);
        }
        description.split(|character: char| !character.is_ascii_alphanumeric()).find_map(|word| {
            Some(match word {
                "Y500015" => Self::PrivateSectorNotAccepted,
                "Y500024" => Self::AccountBlocked,
                "Y500025" => Self::EmailNotAllowed,
                "Y500027" => Self::EmailDomainInvalid,
                "Y190001" | "Y190012" | "Y030110" | "Y470001" | "Y470002" => Self::ProviderSessionLost,
                "Y500001" => Self::NoIdentityProvider,
                "Y500006" => Self::InvalidIdentity,
                "Y020017" | "Y020019" => Self::IdentityProviderDisabled,
                "Y020026" | "Y020027" | "Y020031" | "Y020032" => Self::IdentityProviderFailed,
                "Y000400" | "Y030031" | "Y04A586" => Self::Misregistered,
                _ => return None,
            })
        })
    }

    /// The status that the page goes with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::SignInExpired | Self::CookieMissing | Self::CallbackWithoutState | Self::BadRequest => {
                StatusCode::BAD_REQUEST
            }
            // Not 401: that would owe a `WWW-Authenticate`, and a reload would not help.
            Self::AccessDenied
            | Self::LoginRequired
            | Self::InteractionRequired
            | Self::UnknownProviderError
            | Self::PrivateSectorNotAccepted
            | Self::AccountBlocked
            | Self::EmailNotAllowed
            | Self::EmailDomainInvalid
            | Self::ProviderSessionLost
            | Self::NoIdentityProvider
            | Self::InvalidIdentity
            | Self::IdentityProviderDisabled
            | Self::SignInNotVerified
            | Self::AuthenticationLevelNotReached
            | Self::NotAdmitted
            | Self::SignInTooOld
            | Self::ProofTooOld
            | Self::OtherPerson
            | Self::ApiNotGranted
            | Self::ApiAccountExpired
            | Self::ApiBudgetGone
            | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::FormGone => StatusCode::GONE,
            // The provider says that we are set up wrongly: an operator has to act.
            Self::InvalidRequest
            | Self::InvalidScope
            | Self::UnsupportedResponseType
            | Self::IdpHintNotFound
            | Self::Misregistered
            | Self::ApiRoleMissing
            | Self::ApiAdminRefused
            | Self::ApiMisconfigured
            | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServerError | Self::IdentityProviderFailed | Self::AppUnavailable => StatusCode::BAD_GATEWAY,
            Self::TemporarilyUnavailable
            | Self::ProviderUnreachable
            | Self::SessionUnavailable
            | Self::ApiUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::AppTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The value of `Retry-After`, in seconds, where one goes with the page: with every 503.
    pub const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::TemporarilyUnavailable
            | Self::ProviderUnreachable
            | Self::SessionUnavailable
            | Self::ApiUnavailable => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }

    pub(super) const fn action(self) -> Action {
        match self {
            Self::PrivateSectorNotAccepted
            | Self::AccountBlocked
            | Self::EmailNotAllowed
            | Self::AuthenticationLevelNotReached
            | Self::NotAdmitted
            | Self::SignInTooOld
            | Self::OtherPerson
            | Self::ApiNotGranted
            | Self::ApiAccountExpired => Action::SwitchAccount,
            Self::AppUnavailable
            | Self::AppTimeout
            | Self::SessionUnavailable
            | Self::ApiBudgetGone
            | Self::ApiRoleMissing
            | Self::ApiAdminRefused
            | Self::ApiMisconfigured
            | Self::ApiUnavailable => Action::Retry,
            Self::ProofTooOld
            | Self::BadRequest
            | Self::OtherSite
            | Self::FormGone
            | Self::NotFound
            | Self::Internal => Action::Home,
            Self::AccessDenied
            | Self::LoginRequired
            | Self::InteractionRequired
            | Self::InvalidRequest
            | Self::InvalidScope
            | Self::UnsupportedResponseType
            | Self::ServerError
            | Self::TemporarilyUnavailable
            | Self::IdpHintNotFound
            | Self::UnknownProviderError
            | Self::EmailDomainInvalid
            | Self::ProviderSessionLost
            | Self::NoIdentityProvider
            | Self::InvalidIdentity
            | Self::IdentityProviderDisabled
            | Self::IdentityProviderFailed
            | Self::Misregistered
            | Self::SignInExpired
            | Self::CookieMissing
            | Self::CallbackWithoutState
            | Self::ProviderUnreachable
            | Self::SignInNotVerified => Action::SignInAgain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_s_error_finds_its_cause() {
        let cases = [
            ("access_denied", None, ErrorKind::AccessDenied),
            ("access_denied", Some("requested ACRs could not be satisfied"), ErrorKind::AuthenticationLevelNotReached),
            ("access_denied", Some("The user's roles are not allowed (Y500015)"), ErrorKind::PrivateSectorNotAccepted),
            ("access_denied", Some("Y500024"), ErrorKind::AccountBlocked),
            ("access_denied", Some("code=Y500025, see support"), ErrorKind::EmailNotAllowed),
            ("access_denied", Some("Y500027:domain"), ErrorKind::EmailDomainInvalid),
            ("access_denied", Some("Y190001"), ErrorKind::ProviderSessionLost),
            ("server_error", Some("Y500006"), ErrorKind::InvalidIdentity),
            ("server_error", Some("Y000000 then Y020017"), ErrorKind::IdentityProviderDisabled),
            ("invalid_request", Some("Y04A586"), ErrorKind::Misregistered),
            // Not codes: longer words, other cases.
            ("access_denied", Some("UY5000158 y500015 Y50001"), ErrorKind::AccessDenied),
            ("login_required", Some(""), ErrorKind::LoginRequired),
            ("consent_required", None, ErrorKind::InteractionRequired),
            ("invalid_scope", Some("requested scope is not allowed"), ErrorKind::InvalidScope),
            ("unsupported_response_type", None, ErrorKind::UnsupportedResponseType),
            ("temporarily_unavailable", None, ErrorKind::TemporarilyUnavailable),
            ("idp_hint_not_found", None, ErrorKind::IdpHintNotFound),
            ("ACCESS_DENIED", None, ErrorKind::UnknownProviderError),
            ("", None, ErrorKind::UnknownProviderError),
            ("<script>", Some("<script>"), ErrorKind::UnknownProviderError),
        ];
        for (error, description, expected) in cases {
            let kind = ErrorKind::from_callback(ProviderKind::ProConnect, error, description);
            assert_eq!(kind, expected, "{error} {description:?}");
        }
    }

    #[test]
    fn proconnect_s_codes_mean_nothing_at_another_provider() {
        let kind = ErrorKind::from_callback(ProviderKind::Other, "access_denied", Some("Y500015"));
        assert_eq!(kind, ErrorKind::AccessDenied);
    }

    #[test]
    fn every_503_and_nothing_else_says_when_to_come_back() {
        for kind in ErrorKind::ALL {
            let unavailable = kind.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(kind.retry_after().is_some(), unavailable, "{kind:?}");
        }
    }

    #[test]
    fn every_page_is_an_error_to_a_client() {
        for kind in ErrorKind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind:?}");
        }
    }

    #[test]
    fn only_pages_in_the_place_of_the_app_s_offer_the_same_address_again() {
        use ErrorKind::{
            ApiAdminRefused, ApiBudgetGone, ApiMisconfigured, ApiRoleMissing, ApiUnavailable, AppTimeout,
            AppUnavailable, SessionUnavailable,
        };
        for kind in ErrorKind::ALL {
            let of_the_app = matches!(
                kind,
                AppUnavailable
                    | AppTimeout
                    | SessionUnavailable
                    | ApiBudgetGone
                    | ApiRoleMissing
                    | ApiAdminRefused
                    | ApiMisconfigured
                    | ApiUnavailable
            );
            assert_eq!(kind.action() == Action::Retry, of_the_app, "{kind:?}");
        }
    }
}

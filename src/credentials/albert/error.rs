//! Why a person has no key, by cause.
//!
//! `server` turns each into a page, a status and a log line. Texts hold nothing that the API
//! answered beyond its status: a body may repeat an e-mail address or a key.

use crate::fetch::FetchError;
use crate::random::NoRandomness;

/// Why the admin interface did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlbertError {
    /// No answer.
    #[error("the API cannot be reached: {0}")]
    Unreachable(#[from] FetchError),
    /// The API, or what stands before it, is in trouble of its own (5xx).
    #[error("the API fails: status {0}")]
    Down(u16),
    /// The admin bearer is not valid, or has no admin rights.
    #[error("the API refuses the admin bearer")]
    AdminRefused,
    /// The API has no such role; or none is configured for a new account.
    #[error("the API has no role «{0}»")]
    RoleMissing(String),
    /// The API has no such organisation; or wants one for a new account and none is configured.
    #[error("the API has no organisation «{0}»")]
    OrganizationMissing(String),
    /// A rule refuses the person, or no rule applies and the default is to refuse.
    #[error("the rules refuse this person a key")]
    RefusedByRule,
    /// There is no e-mail address, or none that can be an account's.
    #[error("there is no usable e-mail address")]
    NoEmail,
    /// The provider says that the e-mail address is not verified.
    #[error("the e-mail address is not verified")]
    EmailNotVerified,
    /// The person's account at the API has expired.
    #[error("the account at the API has expired")]
    AccountExpired,
    /// The budget of the person's account at the API is used up.
    #[error("the budget of the account at the API is used up")]
    BudgetGone,
    /// The account that a key was asked for is no longer there.
    #[error("the account is no longer there")]
    AccountGone,
    /// What answers is no admin interface that is known.
    #[error("the API has none of the known admin interfaces")]
    UnknownVersion,
    /// A path that this version should have is not there.
    #[error("«{call}» is not there: another version of the API")]
    NoSuchCall {
        /// What was asked.
        call: &'static str,
    },
    /// A status that the call should not bring.
    #[error("«{call}» was answered with status {status}")]
    Unexpected {
        /// What was asked.
        call: &'static str,
        /// The status.
        status: u16,
    },
    /// An answer that is not what the call should bring.
    #[error("the answer to «{call}» is not understood")]
    Malformed {
        /// What was asked.
        call: &'static str,
    },
    /// This version lets nobody discard the key but the key itself, which is not at hand or no
    /// longer works. It ends by itself when it expires; trying again is of no use.
    #[error("this version of the API cannot discard the key; it ends when it expires")]
    CannotDiscard,
    /// No password could be made.
    #[error("the operating system gave no random bytes")]
    Randomness,
}

impl From<NoRandomness> for AlbertError {
    fn from(_: NoRandomness) -> Self {
        Self::Randomness
    }
}

impl AlbertError {
    /// Whether the API is out of reach or in trouble: anybody's call would have ended so, and a
    /// later one may not.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Down(_) | Self::Unexpected { status: 429, .. })
    }

    /// Whether the fault is in how the API or our access to it is set up: an operator's to mend.
    pub fn is_misconfiguration(&self) -> bool {
        matches!(
            self,
            Self::AdminRefused
                | Self::RoleMissing(_)
                | Self::OrganizationMissing(_)
                | Self::UnknownVersion
                | Self::NoSuchCall { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_pass_and_misconfigurations_are_mended() {
        let call = "mint a key";
        for (error, outage, misconfiguration) in [
            (AlbertError::Unreachable(FetchError::Timeout), true, false),
            (AlbertError::Down(503), true, false),
            (AlbertError::Unexpected { call, status: 429 }, true, false),
            (AlbertError::Unexpected { call, status: 418 }, false, false),
            (AlbertError::AdminRefused, false, true),
            (AlbertError::RoleMissing("x".to_owned()), false, true),
            (AlbertError::NoSuchCall { call }, false, true),
            (AlbertError::UnknownVersion, false, true),
            (AlbertError::AccountExpired, false, false),
            (AlbertError::RefusedByRule, false, false),
        ] {
            assert_eq!((error.is_outage(), error.is_misconfiguration()), (outage, misconfiguration), "{error}");
        }
    }
}

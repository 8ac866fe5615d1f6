//! The page for a browser that is sent round between the provider and us: why, in words for the person and
//! for whoever runs the site.
//!
//! `login` finds the cause, from what it has seen; `server` shows the page.

use super::language::Language;

/// Why a session that has just begun is not there at the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoopCause {
    /// The cookie was set for other hosts than the one that is asked for.
    #[error("the host of the request is not one that the session cookie is set for (public_url, cookies.domain)")]
    Domain,
    /// The browser speaks plain http, and keeps the cookie for https.
    #[error("the browser speaks http here, and the session cookie is Secure: it comes over https alone (public_url)")]
    Insecure,
    /// The site is shown within another site's page.
    #[error("the site is framed by another site's page, where browsers do not send the session cookie (SameSite)")]
    Framed,
    /// The browser holds so many or so large cookies that it drops some.
    #[error("the browser holds so many or such large cookies for this host that ours is dropped")]
    TooMuch,
    /// Two cookies of this name came.
    #[error("the session cookie came twice: another one is set for a wider or a narrower domain or path")]
    Twice,
    /// It came, and no key of ours opens it.
    #[error(
        "the session cookie came back and opens under no key: another instance with other session.keys set it, or \
         something on the way changed it"
    )]
    OtherKeys,
    /// It came and opened, and says a moment that is not now.
    #[error("the session cookie was set at a moment that is not now here: the clocks of two instances differ")]
    Clock,
    /// It came, and the session is over already.
    #[error("the session was ended as soon as it had begun")]
    Ended,
    /// It is there when we are asked, and was not when the front proxy asked.
    #[error(
        "the session cookie is here, and the front proxy leads here all the same: it does not hand Cookie on with its \
         question, or not our X-Vestibule-Step-Up"
    )]
    NotHandedOn,
    /// It was set, and nothing of it is left.
    #[error("the browser did not keep the session cookie, or something on the way took it out")]
    NotKept,
}

/// What the page says: the cause, and what to do.
pub(super) struct LoopText {
    pub(super) title: &'static str,
    pub(super) explanation: &'static str,
    pub(super) cause: &'static str,
    pub(super) advice: &'static str,
}

pub(super) const fn loop_text(cause: LoopCause, language: Language) -> LoopText {
    match language {
        Language::French => LoopText {
            title: "La connexion tourne en rond",
            explanation: "Vous vous êtes bien identifié, mais votre session s’est perdue aussitôt, plusieurs fois de \
                          suite. Nous nous sommes arrêtés là.",
            cause: french(cause),
            advice: "Vous pouvez réessayer. Si cela recommence, transmettez la référence ci-dessous à l’assistance.",
        },
        Language::English => LoopText {
            title: "The sign-in goes round in circles",
            explanation: "You signed in, but your session was lost at once, several times in a row. We stopped there.",
            cause: english(cause),
            advice: "You can try again. If it happens again, give the reference below to support.",
        },
    }
}

const fn french(cause: LoopCause) -> &'static str {
    match cause {
        LoopCause::Domain => {
            "Cause\u{a0}: l’adresse que vous avez ouverte n’est pas celle pour laquelle la session est enregistrée. \
             Ouvrez le service par son adresse habituelle."
        }
        LoopCause::Insecure => {
            "Cause\u{a0}: la page est ouverte en http, et la session n’existe qu’en https. Ouvrez l’adresse qui \
             commence par https."
        }
        LoopCause::Framed => {
            "Cause\u{a0}: ce service est affiché à l’intérieur d’un autre site, où le navigateur ne transmet pas votre \
             session. Ouvrez-le dans une fenêtre à lui."
        }
        LoopCause::TooMuch => {
            "Cause\u{a0}: le navigateur garde trop de cookies pour cette adresse. Effacez les cookies de ce site, puis \
             réessayez."
        }
        LoopCause::Twice => {
            "Cause\u{a0}: le navigateur garde deux sessions pour cette adresse. Effacez les cookies de ce site, puis \
             réessayez."
        }
        LoopCause::OtherKeys => {
            "Cause\u{a0}: la session revient, mais ce service ne peut pas la lire. Le service est à corriger\u{a0}: ses \
             instances n’ont pas les mêmes clés."
        }
        LoopCause::Clock => {
            "Cause\u{a0}: la session porte une heure qui n’est pas celle d’ici. Le service est à corriger\u{a0}: ses \
             horloges diffèrent."
        }
        LoopCause::Ended => "Cause\u{a0}: la session est terminée de l’extérieur dès qu’elle commence.",
        LoopCause::NotHandedOn => {
            "Cause\u{a0}: votre session est là, mais ne parvient pas jusqu’à la page. Le serveur placé devant ce service \
             est à corriger."
        }
        LoopCause::NotKept => {
            "Cause\u{a0}: le navigateur ne garde pas la session. Autorisez les cookies pour ce site, ou essayez une \
             fenêtre ordinaire plutôt que privée."
        }
    }
}

const fn english(cause: LoopCause) -> &'static str {
    match cause {
        LoopCause::Domain => {
            "Cause: the address that you opened is not the one that the session is kept for. Open the service by its \
             usual address."
        }
        LoopCause::Insecure => {
            "Cause: the page was opened with http, and the session is there with https alone. Open the address that \
             begins with https."
        }
        LoopCause::Framed => {
            "Cause: this service is shown inside another site, where the browser does not send your session. Open it in \
             a window of its own."
        }
        LoopCause::TooMuch => {
            "Cause: the browser holds too many cookies for this address. Clear the cookies of this site, then try again."
        }
        LoopCause::Twice => {
            "Cause: the browser holds two sessions for this address. Clear the cookies of this site, then try again."
        }
        LoopCause::OtherKeys => {
            "Cause: the session comes back, but this service cannot read it. The service has to be mended: its \
             instances do not have the same keys."
        }
        LoopCause::Clock => {
            "Cause: the session carries another time than the one here. The service has to be mended: its clocks differ."
        }
        LoopCause::Ended => "Cause: the session is ended from outside as soon as it begins.",
        LoopCause::NotHandedOn => {
            "Cause: your session is there, but does not reach the page. The server in front of this service has to be \
             mended."
        }
        LoopCause::NotKept => {
            "Cause: the browser does not keep the session. Allow cookies for this site, or try an ordinary window \
             instead of a private one."
        }
    }
}

impl LoopCause {
    /// Every cause, for whoever looks at all pages.
    pub const ALL: [Self; 10] = [
        Self::Domain,
        Self::Insecure,
        Self::Framed,
        Self::TooMuch,
        Self::Twice,
        Self::OtherKeys,
        Self::Clock,
        Self::Ended,
        Self::NotHandedOn,
        Self::NotKept,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_words_of_its_own_in_both_languages() {
        let mut seen = std::collections::HashSet::new();
        for cause in LoopCause::ALL {
            for language in [Language::French, Language::English] {
                let text = loop_text(cause, language);
                assert!(text.cause.starts_with("Cause") && text.cause.ends_with('.'), "{cause:?}");
                assert!(seen.insert(text.cause), "{cause:?}");
            }
        }
    }
}

//! What every error page says: one table, both languages, every cause.
//!
//! The explanation says what happened in plain words, the advice what to do about it. No
//! protocol word, no name of a check, nothing that came from outside. A sentence that only holds
//! for ProConnect names it; the others speak of the sign-in service.

use super::error_kind::ErrorKind;
use super::language::Language;

/// The words of one error page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// The heading, and the page's title.
    pub title: &'static str,
    /// What happened.
    pub explanation: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// The words for a cause in a language.
pub fn text(kind: ErrorKind, language: Language) -> Text {
    let (title, explanation, advice) = match language {
        Language::French => french(kind),
        Language::English => english(kind),
    };
    Text { title, explanation, advice }
}

type Words = (&'static str, &'static str, &'static str);

#[expect(clippy::too_many_lines, reason = "a table: one entry per cause")]
const fn french(kind: ErrorKind) -> Words {
    match kind {
        ErrorKind::AccessDenied => (
            "Connexion refusée ou annulée",
            "Le service d’identification n’a pas autorisé la connexion, ou celle-ci a été interrompue.",
            "Vous pouvez recommencer, au besoin avec un autre compte professionnel.",
        ),
        ErrorKind::LoginRequired => (
            "Vous devez vous identifier",
            "Aucune session n’est ouverte auprès du service d’identification.",
            "Recommencez la connexion pour vous identifier.",
        ),
        ErrorKind::InteractionRequired => (
            "Une étape reste à faire",
            "Le service d’identification a besoin d’une action de votre part avant de vous laisser entrer.",
            "Recommencez la connexion et suivez les étapes qui vous sont proposées.",
        ),
        ErrorKind::InvalidRequest => (
            "Connexion impossible",
            "Le service d’identification n’a pas accepté la demande de cette application. Vous n’y êtes pour rien.",
            "Signalez le problème à l’assistance\u{a0}: la configuration de l’application est à corriger.",
        ),
        ErrorKind::InvalidScope => (
            "Connexion impossible",
            "Cette application demande des informations que le service d’identification ne lui a pas accordées.",
            "Signalez le problème à l’assistance\u{a0}: l’habilitation de l’application est à revoir.",
        ),
        ErrorKind::UnsupportedResponseType => (
            "Connexion impossible",
            "Cette application et le service d’identification ne s’accordent pas sur la façon de vous connecter.",
            "Signalez le problème à l’assistance\u{a0}: l’inscription de l’application est à revoir.",
        ),
        ErrorKind::ServerError => (
            "Le service d’identification a rencontré un problème",
            "Il n’a pas pu terminer votre connexion.",
            "Recommencez dans quelques minutes.",
        ),
        ErrorKind::TemporarilyUnavailable => (
            "Le service d’identification est momentanément indisponible",
            "Il est surchargé ou en maintenance.",
            "Recommencez dans quelques minutes.",
        ),
        ErrorKind::IdpHintNotFound => (
            "Connexion impossible",
            "L’application vous a orienté vers un fournisseur d’identité que ProConnect ne connaît pas.",
            "Signalez le problème à l’assistance\u{a0}: la configuration de l’application est à corriger.",
        ),
        ErrorKind::UnknownProviderError => (
            "La connexion n’a pas abouti",
            "Le service d’identification a répondu par une erreur.",
            "Vous pouvez recommencer. Si l’erreur persiste, signalez-la à l’assistance.",
        ),
        ErrorKind::PrivateSectorNotAccepted => (
            "Application réservée au secteur public",
            "Cette application n’accepte pas les comptes rattachés à une organisation du secteur privé.",
            "Si vous êtes agent public, changez de compte et choisissez votre organisation publique dans ProConnect.",
        ),
        ErrorKind::AccountBlocked => (
            "Compte bloqué",
            "Votre compte est bloqué dans ProConnect.",
            "Adressez-vous au service informatique de votre organisation, ou changez de compte.",
        ),
        ErrorKind::EmailNotAllowed => (
            "Adresse électronique non autorisée",
            "L’adresse électronique de ce compte n’est pas autorisée par votre organisation dans ProConnect.",
            "Changez de compte et utilisez votre adresse professionnelle.",
        ),
        ErrorKind::EmailDomainInvalid => (
            "Adresse électronique non reconnue",
            "ProConnect ne reconnaît pas le domaine de l’adresse électronique, c’est-à-dire ce qui suit l’arobase.",
            "Vérifiez l’adresse et recommencez avec votre adresse professionnelle.",
        ),
        ErrorKind::ProviderSessionLost => (
            "Le passage par ProConnect a expiré",
            "L’identification a pris trop de temps, ou le navigateur n’a pas conservé les cookies de ProConnect.",
            "Recommencez la connexion dans un seul onglet, en acceptant les cookies.",
        ),
        ErrorKind::NoIdentityProvider => (
            "Organisation introuvable",
            "ProConnect n’a pas trouvé de fournisseur d’identité pour votre adresse électronique.",
            "Vérifiez l’adresse saisie, ou demandez au service informatique de votre organisation si elle a \
             rejoint ProConnect.",
        ),
        ErrorKind::InvalidIdentity => (
            "Informations incomplètes",
            "Votre organisation a transmis à ProConnect des informations incomplètes ou mal formées.",
            "Signalez le problème au service informatique de votre organisation.",
        ),
        ErrorKind::IdentityProviderDisabled => (
            "Connexion suspendue pour votre organisation",
            "Le fournisseur d’identité de votre organisation n’est pas actif dans ProConnect.",
            "Adressez-vous au service informatique de votre organisation, ou recommencez plus tard.",
        ),
        ErrorKind::IdentityProviderFailed => (
            "Votre organisation ne répond pas",
            "ProConnect n’a pas pu vous identifier auprès de votre organisation.",
            "Recommencez dans quelques minutes. Si le problème persiste, prévenez le service informatique de \
             votre organisation.",
        ),
        ErrorKind::Misregistered => (
            "Connexion impossible",
            "Cette application n’est pas correctement inscrite auprès de ProConnect. Vous n’y êtes pour rien.",
            "Signalez le problème à l’assistance\u{a0}: l’inscription de l’application est à corriger.",
        ),
        ErrorKind::SignInExpired => (
            "Cette connexion n’est plus valable",
            "Elle a été commencée il y a trop longtemps, dans un autre navigateur, ou elle a déjà servi.",
            "Recommencez la connexion et terminez-la dans le même navigateur.",
        ),
        ErrorKind::CookieMissing => (
            "Le navigateur n’a pas renvoyé le cookie de connexion",
            "Sans ce cookie, nous ne pouvons pas savoir que c’est bien vous qui avez commencé cette connexion.",
            "Acceptez les cookies de ce site, puis recommencez dans le même navigateur, sans passer par un marque-page.",
        ),
        ErrorKind::CallbackWithoutState => (
            "Lien de connexion incomplet",
            "L’adresse par laquelle vous arrivez ne correspond à aucune connexion commencée ici.",
            "Recommencez la connexion depuis l’application.",
        ),
        ErrorKind::ProviderUnreachable => (
            "La connexion est momentanément indisponible",
            "Nous n’arrivons pas à joindre le service d’identification. Les personnes déjà connectées peuvent \
             continuer.",
            "Recommencez dans quelques minutes.",
        ),
        ErrorKind::SignInTooOld => (
            "Il faut vous identifier à nouveau",
            "Cette application demande une identification récente, et la vôtre date de trop longtemps.",
            "Déconnectez-vous partout, puis identifiez-vous à nouveau.",
        ),
        ErrorKind::ProofTooOld => (
            "Votre identification n’est pas assez récente",
            "Cette page demandait que vous vous identifiiez à nouveau, et cela n’a pas eu lieu. Votre session reste \
             comme elle était.",
            "Vous pouvez réessayer. Si cela recommence, transmettez la référence ci-dessous à l’assistance.",
        ),
        ErrorKind::OtherPerson => (
            "Ce n’est pas le même compte",
            "Cette page demandait que vous vous identifiiez à nouveau, et c’est un autre compte qui l’a fait. Rien n’a \
             changé\u{a0}: votre session reste ouverte avec le premier.",
            "Réessayez avec le même compte, ou changez de compte.",
        ),
        ErrorKind::SessionUnavailable => (
            "Votre session ne peut pas être vérifiée pour le moment",
            "Un service dont dépend la connexion est en panne depuis trop longtemps. Votre session n’est pas perdue.",
            "Recommencez dans quelques minutes.",
        ),
        ErrorKind::SignInNotVerified => (
            "Votre identité n’a pas pu être vérifiée",
            "Par sécurité, la connexion a été interrompue.",
            "Vous pouvez recommencer. Si l’erreur persiste, signalez-la à l’assistance.",
        ),
        ErrorKind::AuthenticationLevelNotReached => (
            "Identification trop faible",
            "Cette application demande une identification plus sûre, par exemple en deux étapes, que votre compte \
             n’a pas permise.",
            "Activez la double authentification auprès de votre organisation, ou changez de compte.",
        ),
        ErrorKind::NotAdmitted => (
            "Vous n’avez pas accès à cette page",
            "Votre identité est bien établie, mais votre compte n’est pas parmi ceux qui peuvent entrer ici.",
            "Si vous devriez avoir accès, demandez-le à l’assistance, ou changez de compte.",
        ),
        ErrorKind::ApiNotGranted => (
            "Votre compte ne donne pas accès à ce service",
            "Votre identité est bien établie, mais ce service n’est pas ouvert à votre compte.",
            "Si vous devriez y avoir accès, demandez-le à l’assistance, ou changez de compte.",
        ),
        ErrorKind::ApiAccountExpired => (
            "Votre accès à ce service a expiré",
            "Votre identité est bien établie, mais votre compte auprès de ce service est arrivé à son terme.",
            "Demandez à l’assistance de le prolonger, ou changez de compte.",
        ),
        ErrorKind::ApiBudgetGone => (
            "Votre crédit est épuisé",
            "Le crédit de votre compte auprès de ce service est entièrement utilisé.",
            "Demandez à l’assistance d’en ajouter, puis réessayez.",
        ),
        ErrorKind::ApiRoleMissing => (
            "Votre accès n’a pas pu être préparé",
            "Le profil prévu pour les comptes comme le vôtre n’existe pas auprès de ce service. Vous n’y êtes pour rien.",
            "Signalez le problème à l’assistance\u{a0}: la configuration de l’application est à corriger.",
        ),
        ErrorKind::ApiAdminRefused => (
            "Votre accès n’a pas pu être préparé",
            "Ce service ne reconnaît pas l’application qui devait vous y ouvrir un accès. Vous n’y êtes pour rien.",
            "Signalez le problème à l’assistance\u{a0}: l’habilitation de l’application est à revoir.",
        ),
        ErrorKind::ApiMisconfigured => (
            "Votre accès n’a pas pu être préparé",
            "L’application et le service dont elle a besoin ne se comprennent pas. Vous n’y êtes pour rien.",
            "Signalez le problème à l’assistance\u{a0}: la configuration de l’application est à corriger.",
        ),
        ErrorKind::ApiUnavailable => (
            "Un service nécessaire est momentanément indisponible",
            "L’application a besoin d’un service qui ne répond pas. Votre connexion n’est pas en cause.",
            "Réessayez dans quelques instants.",
        ),
        ErrorKind::BadRequest => (
            "Demande incompréhensible",
            "L’adresse ou la demande envoyée par le navigateur est mal formée.",
            "Vérifiez l’adresse, ou revenez à l’accueil.",
        ),
        ErrorKind::OtherSite => (
            "Demande venue d’un autre site",
            "Votre navigateur a envoyé cette demande depuis la page d’un autre site. Par sécurité, rien n’a été fait.",
            "Revenez à l’accueil et recommencez depuis l’application.",
        ),
        ErrorKind::FormGone => (
            "Ce formulaire n’est plus là",
            "Il a déjà été envoyé ou abandonné, il a été gardé trop longtemps, ou une autre personne est connectée à \
             présent.",
            "Vérifiez dans l’application s’il a été pris en compte avant de le remplir à nouveau.",
        ),
        ErrorKind::NotFound => {
            ("Page introuvable", "Il n’y a rien à cette adresse.", "Vérifiez l’adresse, ou revenez à l’accueil.")
        }
        ErrorKind::AppUnavailable => (
            "L’application est momentanément indisponible",
            "Elle est arrêtée ou en cours de redémarrage.",
            "Réessayez dans quelques instants.",
        ),
        ErrorKind::AppTimeout => (
            "L’application n’a pas répondu à temps",
            "Elle est peut-être surchargée.",
            "Réessayez dans quelques instants. Avant de renvoyer un formulaire, vérifiez s’il a été pris en compte.",
        ),
        ErrorKind::Internal => (
            "Une erreur est survenue",
            "Le problème vient de nous, et il a été enregistré.",
            "Réessayez dans quelques minutes. Si l’erreur persiste, signalez-la à l’assistance.",
        ),
    }
}

#[expect(clippy::too_many_lines, reason = "a table: one entry per cause")]
const fn english(kind: ErrorKind) -> Words {
    match kind {
        ErrorKind::AccessDenied => (
            "Sign-in refused or cancelled",
            "The sign-in service did not allow this sign-in, or it was interrupted.",
            "You can start again, with another work account if need be.",
        ),
        ErrorKind::LoginRequired => {
            ("You need to sign in", "You have no open session with the sign-in service.", "Start again to sign in.")
        }
        ErrorKind::InteractionRequired => (
            "One step is left",
            "The sign-in service needs you to do something before it lets you in.",
            "Start again and follow the steps that you are shown.",
        ),
        ErrorKind::InvalidRequest => (
            "Sign-in is not possible",
            "The sign-in service did not accept this application’s request. This is not your doing.",
            "Please tell support: the application’s configuration needs correcting.",
        ),
        ErrorKind::InvalidScope => (
            "Sign-in is not possible",
            "This application asks for information that the sign-in service has not granted to it.",
            "Please tell support: what the application is entitled to needs reviewing.",
        ),
        ErrorKind::UnsupportedResponseType => (
            "Sign-in is not possible",
            "This application and the sign-in service do not agree on how to sign you in.",
            "Please tell support: the application’s registration needs reviewing.",
        ),
        ErrorKind::ServerError => (
            "The sign-in service had a problem",
            "It could not finish signing you in.",
            "Please start again in a few minutes.",
        ),
        ErrorKind::TemporarilyUnavailable => (
            "The sign-in service is unavailable for the moment",
            "It is overloaded or under maintenance.",
            "Please start again in a few minutes.",
        ),
        ErrorKind::IdpHintNotFound => (
            "Sign-in is not possible",
            "The application sent you to an identity provider that ProConnect does not know.",
            "Please tell support: the application’s configuration needs correcting.",
        ),
        ErrorKind::UnknownProviderError => (
            "Sign-in did not succeed",
            "The sign-in service answered with an error.",
            "You can start again. If the error persists, please tell support.",
        ),
        ErrorKind::PrivateSectorNotAccepted => (
            "For the public sector only",
            "This application does not accept accounts that belong to a private-sector organisation.",
            "If you work in the public sector, use another account and choose your public organisation in ProConnect.",
        ),
        ErrorKind::AccountBlocked => (
            "Account blocked",
            "Your account is blocked in ProConnect.",
            "Please contact your organisation’s IT department, or use another account.",
        ),
        ErrorKind::EmailNotAllowed => (
            "E-mail address not allowed",
            "Your organisation does not allow this account’s e-mail address in ProConnect.",
            "Use another account, with your work e-mail address.",
        ),
        ErrorKind::EmailDomainInvalid => (
            "E-mail address not recognised",
            "ProConnect does not recognise the domain of the e-mail address, that is, what follows the @ sign.",
            "Check the address and start again with your work e-mail address.",
        ),
        ErrorKind::ProviderSessionLost => (
            "Your visit to ProConnect has expired",
            "Signing in took too long, or the browser did not keep ProConnect’s cookies.",
            "Start again in a single tab, with cookies allowed.",
        ),
        ErrorKind::NoIdentityProvider => (
            "Organisation not found",
            "ProConnect found no identity provider for your e-mail address.",
            "Check the address that you typed, or ask your organisation’s IT department whether it has joined \
             ProConnect.",
        ),
        ErrorKind::InvalidIdentity => (
            "Incomplete information",
            "Your organisation sent ProConnect incomplete or malformed information.",
            "Please tell your organisation’s IT department.",
        ),
        ErrorKind::IdentityProviderDisabled => (
            "Sign-in is suspended for your organisation",
            "Your organisation’s identity provider is not active in ProConnect.",
            "Please contact your organisation’s IT department, or start again later.",
        ),
        ErrorKind::IdentityProviderFailed => (
            "Your organisation does not answer",
            "ProConnect could not identify you with your organisation.",
            "Please start again in a few minutes. If the problem persists, tell your organisation’s IT department.",
        ),
        ErrorKind::Misregistered => (
            "Sign-in is not possible",
            "This application is not correctly registered with ProConnect. This is not your doing.",
            "Please tell support: the application’s registration needs correcting.",
        ),
        ErrorKind::SignInExpired => (
            "This sign-in is no longer valid",
            "It was begun too long ago, in another browser, or has already been used.",
            "Start again, and finish in the same browser.",
        ),
        ErrorKind::CookieMissing => (
            "The browser did not send the sign-in cookie back",
            "Without this cookie we cannot tell that it was you who began this sign-in.",
            "Allow cookies for this site, then start again in the same browser, without using a bookmark.",
        ),
        ErrorKind::CallbackWithoutState => (
            "Incomplete sign-in link",
            "The address that brought you here belongs to no sign-in begun here.",
            "Start again from the application.",
        ),
        ErrorKind::ProviderUnreachable => (
            "Sign-in is unavailable for the moment",
            "We cannot reach the sign-in service. People who are already signed in can go on.",
            "Please start again in a few minutes.",
        ),
        ErrorKind::SignInTooOld => (
            "Please sign in once more",
            "This application asks for a recent sign-in, and yours is too old.",
            "Sign out everywhere, then sign in again.",
        ),
        ErrorKind::ProofTooOld => (
            "Your proof of identity is not recent enough",
            "This page asked you to identify yourself once more, and that has not happened. Your session is as it was.",
            "You can try again. If it happens again, give the reference below to support.",
        ),
        ErrorKind::OtherPerson => (
            "This is not the same account",
            "This page asked you to identify yourself once more, and another account has done so. Nothing has \
             changed: you are still signed in with the first one.",
            "Try again with the same account, or use another account.",
        ),
        ErrorKind::SessionUnavailable => (
            "Your session cannot be checked for the moment",
            "A service that sign-in depends on has been down for too long. Your session is not lost.",
            "Please try again in a few minutes.",
        ),
        ErrorKind::SignInNotVerified => (
            "Your identity could not be verified",
            "For safety, the sign-in was stopped.",
            "You can start again. If the error persists, please tell support.",
        ),
        ErrorKind::AuthenticationLevelNotReached => (
            "A stronger sign-in is needed",
            "This application asks for a safer way of signing in, in two steps for example, which your account did \
             not provide.",
            "Turn on two-factor authentication with your organisation, or use another account.",
        ),
        ErrorKind::NotAdmitted => (
            "You do not have access to this page",
            "You are signed in, but your account is not among those that may enter here.",
            "If you should have access, ask support for it, or use another account.",
        ),
        ErrorKind::ApiNotGranted => (
            "Your account does not open this service",
            "You are signed in, but this service is not open to your account.",
            "If you should have access, ask support for it, or use another account.",
        ),
        ErrorKind::ApiAccountExpired => (
            "Your access to this service has expired",
            "You are signed in, but your account with this service has come to its end.",
            "Ask support to extend it, or use another account.",
        ),
        ErrorKind::ApiBudgetGone => (
            "Your budget is used up",
            "Nothing is left of the budget of your account with this service.",
            "Ask support to add to it, then try again.",
        ),
        ErrorKind::ApiRoleMissing => (
            "Your access could not be prepared",
            "The profile for accounts like yours is not there at this service. You have done nothing wrong.",
            "Tell support: the configuration of the application has to be corrected.",
        ),
        ErrorKind::ApiAdminRefused => (
            "Your access could not be prepared",
            "This service does not accept the application that was to open it for you. You have done nothing wrong.",
            "Tell support: what the application may do there has to be looked at.",
        ),
        ErrorKind::ApiMisconfigured => (
            "Your access could not be prepared",
            "The application and the service that it needs do not understand each other. You have done nothing wrong.",
            "Tell support: the configuration of the application has to be corrected.",
        ),
        ErrorKind::ApiUnavailable => (
            "A service that is needed is unavailable for the moment",
            "The application needs a service that does not answer. Your sign-in is not the reason.",
            "Please try again in a moment.",
        ),
        ErrorKind::BadRequest => (
            "Request not understood",
            "The address or the request that the browser sent is malformed.",
            "Check the address, or go to the home page.",
        ),
        ErrorKind::OtherSite => (
            "Request from another site",
            "Your browser sent this request from a page of another site. For your safety nothing was done.",
            "Go to the home page and start again from the application.",
        ),
        ErrorKind::FormGone => (
            "This form is no longer here",
            "It was sent or discarded already, it was kept for too long, or somebody else is signed in now.",
            "Check in the application whether it has arrived before you fill it in again.",
        ),
        ErrorKind::NotFound => {
            ("Page not found", "There is nothing at this address.", "Check the address, or go to the home page.")
        }
        ErrorKind::AppUnavailable => (
            "The application is unavailable for the moment",
            "It is stopped or restarting.",
            "Please try again in a moment.",
        ),
        ErrorKind::AppTimeout => (
            "The application did not answer in time",
            "It may be overloaded.",
            "Please try again in a moment. Before you send a form again, check whether it went through.",
        ),
        ErrorKind::Internal => (
            "Something went wrong",
            "The fault is ours, and it has been recorded.",
            "Please try again in a few minutes. If the error persists, tell support.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn parts(text: Text) -> [&'static str; 3] {
        [text.title, text.explanation, text.advice]
    }

    #[test]
    fn every_cause_is_explained_in_both_languages() {
        for kind in ErrorKind::ALL {
            let french = parts(text(*kind, Language::French));
            let english = parts(text(*kind, Language::English));
            for (french, english) in french.iter().zip(&english) {
                assert!(french.len() > 8 && english.len() > 8, "{kind:?}");
                assert_eq!(french.trim(), *french, "{kind:?}");
                assert_eq!(english.trim(), *english, "{kind:?}");
                assert_ne!(french, english, "{kind:?}");
            }
        }
    }

    #[test]
    fn titles_are_headings_and_the_rest_are_sentences() {
        for language in Language::ALL {
            for kind in ErrorKind::ALL {
                let text = text(*kind, language);
                assert!(!text.title.ends_with('.'), "{kind:?}");
                assert!(text.explanation.ends_with('.') && text.advice.ends_with('.'), "{kind:?}");
                assert!(parts(text).iter().all(|part| !part.contains("  ") && !part.contains('\'')), "{kind:?}");
            }
        }
    }

    #[test]
    fn french_has_no_break_spaces_before_its_high_marks() {
        for kind in ErrorKind::ALL {
            for part in parts(text(*kind, Language::French)) {
                assert!(![" :", " ;", " ?", " !"].iter().any(|mark| part.contains(mark)), "{kind:?}");
            }
        }
    }

    #[test]
    fn no_two_causes_are_explained_alike() {
        for language in Language::ALL {
            let explanations: HashSet<_> =
                ErrorKind::ALL.iter().map(|kind| text(*kind, language).explanation).collect();
            assert_eq!(explanations.len(), ErrorKind::ALL.len(), "{language:?}");
        }
    }

    #[test]
    fn the_reader_of_a_failed_check_learns_nothing_of_it() {
        for language in Language::ALL {
            for part in parts(text(ErrorKind::SignInNotVerified, language)) {
                for word in ["token", "jeton", "signature", "nonce", "issuer", "JWT", "clé", "key", "audience"] {
                    assert!(!part.contains(word), "{word}");
                }
            }
        }
    }
}

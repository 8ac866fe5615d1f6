//! The words of all pages but the explanations of errors: headings, buttons, notices.
//!
//! Read by the templates. The text of ProConnect's button is not here but in its template: it is
//! official, and the same in every language.

use super::error_kind::Action;
use super::language::Language;
use super::{Notice, ProviderKind, SignOutReach, WaitingForm};

/// The fixed words of one language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wording {
    pub(super) sign_in: &'static str,
    /// The heading, before the application's name.
    pub(super) sign_in_to: &'static str,
    pub(super) sign_in_with_proconnect: &'static str,
    pub(super) sign_in_with_other: &'static str,
    pub(super) sign_in_button: &'static str,
    pub(super) about_proconnect: &'static str,
    pub(super) about_proconnect_title: &'static str,
    pub(super) session_ended: &'static str,
    pub(super) form_not_sent: &'static str,
    pub(super) form_kept: &'static str,
    pub(super) choose_provider: &'static str,
    pub(super) your_address: &'static str,
    pub(super) go_on: &'static str,
    pub(super) address_unfit: &'static str,
    pub(super) or_choose: &'static str,
    pub(super) sign_in_with: &'static str,
    pub(super) other_provider: &'static str,
    pub(super) for_people_of: &'static str,
    pub(super) switch_provider: &'static str,
    pub(super) signed_in_with: &'static str,
    pub(super) session_would_end: &'static str,
    /// Between the names of two providers.
    pub(super) or_between: &'static str,
    pub(super) kept_form: &'static str,
    pub(super) kept_form_lead: &'static str,
    pub(super) sent_to: &'static str,
    pub(super) fields_in_it: &'static str,
    pub(super) choose_files_again: &'static str,
    pub(super) send_form: &'static str,
    pub(super) discard_form: &'static str,
    pub(super) step_up: &'static str,
    pub(super) step_up_for_level: &'static str,
    pub(super) step_up_for_recent: &'static str,
    pub(super) form_waits: &'static str,
    pub(super) form_lost: &'static str,
    pub(super) confirm_sign_out: &'static str,
    pub(super) confirm_sign_out_of_proconnect: &'static str,
    pub(super) confirm_sign_out_of_other: &'static str,
    pub(super) sign_out_button: &'static str,
    pub(super) cancel: &'static str,
    pub(super) signed_out: &'static str,
    pub(super) signed_out_of_proconnect: &'static str,
    pub(super) signed_out_of_other: &'static str,
    pub(super) signed_out_locally: &'static str,
    pub(super) sign_in_again: &'static str,
    pub(super) start_again: &'static str,
    pub(super) retry: &'static str,
    pub(super) home: &'static str,
    pub(super) switch_account: &'static str,
    pub(super) who_may_enter: &'static str,
    pub(super) reference: &'static str,
    pub(super) reference_hint: &'static str,
    pub(super) contact: &'static str,
    pub(super) sessions: &'static str,
    pub(super) sessions_lead: &'static str,
    pub(super) this_session: &'static str,
    pub(super) device: &'static str,
    pub(super) address: &'static str,
    pub(super) unknown_address: &'static str,
    pub(super) signed_in_on: &'static str,
    pub(super) last_seen: &'static str,
    pub(super) end_session: &'static str,
    pub(super) end_others: &'static str,
    pub(super) all_sessions: &'static str,
    pub(super) search_email: &'static str,
    pub(super) search_button: &'static str,
    pub(super) no_session: &'static str,
    pub(super) more_sessions: &'static str,
    pub(super) organization: &'static str,
    pub(super) session_id: &'static str,
    pub(super) end_person: &'static str,
}

/// No-break spaces stand before `:` and `?`, as French typography has it.
const FRENCH: Wording = Wording {
    sign_in: "Connexion",
    sign_in_to: "Connexion à",
    sign_in_with_proconnect: "Identifiez-vous avec votre compte professionnel pour continuer.",
    sign_in_with_other: "Identifiez-vous pour continuer.",
    sign_in_button: "Se connecter",
    about_proconnect: "Qu'est-ce que ProConnect\u{a0}?",
    about_proconnect_title: "Qu'est-ce que ProConnect\u{a0}? - nouvelle fenêtre",
    session_ended: "Votre session est terminée.",
    form_not_sent: "Votre formulaire n’a pas été envoyé, car votre session était terminée. Après la connexion, \
                    remplissez-le à nouveau.",
    form_kept: "Votre formulaire n’a pas été envoyé, car votre session était terminée. Il est gardé\u{a0}: après la \
                connexion, vous pourrez l’envoyer.",
    choose_provider: "Choisissez avec quel compte vous identifier.",
    your_address: "Votre adresse électronique",
    go_on: "Continuer",
    address_unfit: "Aucun service d’identification n’est prévu pour cette adresse. Vérifiez-la, ou choisissez votre \
                    compte ci-dessous.",
    or_choose: "Ou choisissez votre compte\u{a0}:",
    sign_in_with: "Se connecter avec",
    other_provider: "Un autre compte est nécessaire",
    for_people_of: "Cette page est réservée aux personnes connectées avec",
    switch_provider: "Changer de compte\u{a0}?",
    signed_in_with: "Vous êtes connecté avec",
    session_would_end: "Si vous continuez, votre session actuelle ici se terminera.",
    or_between: " ou avec ",
    kept_form: "Envoyer votre formulaire\u{a0}?",
    kept_form_lead: "Il ne pouvait pas être transmis quand vous l’avez envoyé. Il a été gardé, et ne sera envoyé \
                     qu’une fois.",
    sent_to: "Destination",
    fields_in_it: "Champs",
    choose_files_again: "Les fichiers n’ont pas été gardés\u{a0}: choisissez-les à nouveau avant l’envoi.",
    send_form: "Envoyer le formulaire",
    discard_form: "Abandonner le formulaire",
    // A hyphen at which no line breaks.
    step_up: "Identifiez\u{2011}vous à nouveau",
    step_up_for_level: "Cette page demande une identification plus sûre que la vôtre, par exemple en deux étapes.",
    step_up_for_recent: "Cette page demande que vous vous soyez identifié récemment.",
    form_waits: "Votre formulaire n’a pas encore été transmis. Il est gardé\u{a0}: vous pourrez l’envoyer ensuite.",
    form_lost: "Votre formulaire n’a pas été transmis. Remplissez-le à nouveau ensuite.",
    confirm_sign_out: "Se déconnecter\u{a0}?",
    confirm_sign_out_of_proconnect: "Votre session ici et votre session ProConnect seront fermées.",
    confirm_sign_out_of_other: "Votre session sera fermée.",
    sign_out_button: "Se déconnecter",
    cancel: "Annuler",
    signed_out: "Déconnexion effectuée",
    signed_out_of_proconnect: "Votre session ici et votre session ProConnect sont fermées. Les autres services que vous \
                               avez ouverts avec ProConnect peuvent le rester.",
    signed_out_of_other: "Votre session ici et votre session auprès du service d’identification sont fermées.",
    signed_out_locally: "Votre session ici est fermée. Celle du service d’identification peut rester ouverte\u{a0}: sur \
                         un poste partagé, fermez toutes les fenêtres du navigateur.",
    sign_in_again: "Se reconnecter",
    start_again: "Recommencer la connexion",
    retry: "Réessayer",
    home: "Revenir à l’accueil",
    switch_account: "Changer de compte",
    who_may_enter: "Qui peut entrer\u{a0}:",
    reference: "Référence de l’incident\u{a0}:",
    reference_hint: "À communiquer à l’assistance si vous la contactez.",
    contact: "Assistance\u{a0}:",
    sessions: "Mes sessions",
    sessions_lead: "Voici où votre compte est connecté à ce service. Le nom de l’appareil est celui que donne le navigateur. Terminez une session que vous ne reconnaissez pas.",
    this_session: "cette session-ci",
    device: "Appareil",
    address: "Adresse IP",
    unknown_address: "inconnue",
    signed_in_on: "Connexion",
    last_seen: "Dernière activité",
    end_session: "Terminer cette session",
    end_others: "Terminer toutes les autres sessions",
    all_sessions: "Sessions en cours",
    search_email: "Adresse électronique",
    search_button: "Rechercher",
    no_session: "Aucune session en cours.",
    more_sessions: "Il y en a d’autres\u{a0}: précisez l’adresse électronique.",
    organization: "Organisation",
    session_id: "Identifiant",
    end_person: "Terminer toutes ses sessions",
};

const ENGLISH: Wording = Wording {
    sign_in: "Sign in",
    sign_in_to: "Sign in to",
    sign_in_with_proconnect: "Identify yourself with your work account to continue.",
    sign_in_with_other: "Identify yourself to continue.",
    sign_in_button: "Sign in",
    about_proconnect: "What is ProConnect?",
    about_proconnect_title: "What is ProConnect? - new window",
    session_ended: "Your session has ended.",
    form_not_sent: "Your form was not sent, because your session had ended. After signing in, please fill it in again.",
    form_kept: "Your form was not sent, because your session had ended. It has been kept: after signing in, you can \
                send it.",
    choose_provider: "Choose the account to sign in with.",
    your_address: "Your e-mail address",
    go_on: "Continue",
    address_unfit: "No sign-in service is known for this address. Check it, or choose your account below.",
    or_choose: "Or choose your account:",
    sign_in_with: "Sign in with",
    other_provider: "Another account is needed",
    for_people_of: "This page is for people who have signed in with",
    switch_provider: "Change the account?",
    signed_in_with: "You are signed in with",
    session_would_end: "If you go on, your present session here will end.",
    or_between: " or with ",
    kept_form: "Send your form?",
    kept_form_lead: "It could not be passed on when you sent it. It was kept, and will be sent once only.",
    sent_to: "It goes to",
    fields_in_it: "Fields in it",
    choose_files_again: "Files were not kept: please choose them again before you send the form.",
    send_form: "Send the form",
    discard_form: "Discard the form",
    step_up: "Identify yourself once more",
    step_up_for_level: "This page asks for a safer way of signing in than you used, in two steps for example.",
    step_up_for_recent: "This page asks that you identified yourself recently.",
    form_waits: "Your form has not been passed on yet. It has been kept: you can send it afterwards.",
    form_lost: "Your form was not passed on. Please fill it in again afterwards.",
    confirm_sign_out: "Sign out?",
    confirm_sign_out_of_proconnect: "Your session here and your ProConnect session will be closed.",
    confirm_sign_out_of_other: "Your session will be closed.",
    sign_out_button: "Sign out",
    cancel: "Cancel",
    signed_out: "You are signed out",
    signed_out_of_proconnect: "Your session here and your ProConnect session are closed. Other services that you opened \
                               with ProConnect may still be open.",
    signed_out_of_other: "Your session here and your session with the sign-in service are closed.",
    signed_out_locally: "Your session here is closed. The one with the sign-in service may still be open: on a shared \
                         computer, close all windows of the browser.",
    sign_in_again: "Sign in again",
    start_again: "Start again",
    retry: "Try again",
    home: "Go to the home page",
    switch_account: "Use another account",
    who_may_enter: "Who may enter:",
    reference: "Incident reference:",
    reference_hint: "Please quote it if you contact support.",
    contact: "Support:",
    sessions: "My sessions",
    sessions_lead: "This is where your account is signed in to this service. The device is what the browser calls itself. End a session that you do not recognise.",
    this_session: "this session",
    device: "Device",
    address: "IP address",
    unknown_address: "unknown",
    signed_in_on: "Signed in",
    last_seen: "Last seen",
    end_session: "End this session",
    end_others: "End all other sessions",
    all_sessions: "Live sessions",
    search_email: "E-mail address",
    search_button: "Search",
    no_session: "There is no live session.",
    more_sessions: "There are more: give the e-mail address.",
    organization: "Their organisation",
    session_id: "Identifier",
    end_person: "End all sessions of this person",
};

impl Wording {
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::French => &FRENCH,
            Language::English => &ENGLISH,
        }
    }

    pub(super) const fn sign_in_lead(&self, provider: ProviderKind) -> &'static str {
        match provider {
            ProviderKind::ProConnect => self.sign_in_with_proconnect,
            ProviderKind::Other => self.sign_in_with_other,
        }
    }

    pub(super) const fn notice(&self, notice: Notice) -> &'static str {
        match notice {
            Notice::SessionEnded => self.session_ended,
            Notice::FormNotSent => self.form_not_sent,
        }
    }

    /// What is said of a form that was sent, and its name where it is kept.
    pub(super) const fn waiting_form<'a>(&self, form: WaitingForm<'a>) -> (Option<&'static str>, Option<&'a str>) {
        match form {
            WaitingForm::None => (None, None),
            WaitingForm::Lost => (Some(self.form_lost), None),
            WaitingForm::Kept(id) => (Some(self.form_waits), Some(id)),
        }
    }

    pub(super) const fn confirm_sign_out_lead(&self, provider: ProviderKind) -> &'static str {
        match provider {
            ProviderKind::ProConnect => self.confirm_sign_out_of_proconnect,
            ProviderKind::Other => self.confirm_sign_out_of_other,
        }
    }

    pub(super) const fn signed_out_lead(&self, provider: ProviderKind, reach: SignOutReach) -> &'static str {
        match (reach, provider) {
            (SignOutReach::Provider, ProviderKind::ProConnect) => self.signed_out_of_proconnect,
            (SignOutReach::Provider, ProviderKind::Other) => self.signed_out_of_other,
            (SignOutReach::LocalOnly, _) => self.signed_out_locally,
        }
    }

    pub(super) const fn action(&self, action: Action) -> &'static str {
        match action {
            Action::SignInAgain => self.start_again,
            Action::SwitchAccount => self.switch_account,
            Action::Retry => self.retry,
            Action::Home => self.home,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field, by way of `Debug`: a new one cannot be forgotten.
    fn entries(wording: &Wording) -> Vec<(String, String)> {
        let shown = format!("{wording:#?}");
        let entry = |line: &str| {
            let (name, value) = line.trim().split_once(": ")?;
            Some((name.to_owned(), value.trim_end_matches(',').to_owned()))
        };
        shown.lines().filter_map(entry).collect()
    }

    #[test]
    fn every_word_exists_in_both_languages() {
        let (french, english) = (entries(&FRENCH), entries(&ENGLISH));
        assert!(french.len() > 25);
        for ((name, french), (_, english)) in french.iter().zip(&english) {
            assert!(french.len() > 5 && english.len() > 5, "{name}");
            assert_ne!(french, english, "{name}");
        }
    }
}

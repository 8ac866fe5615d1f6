//! Accounts at Albert API: whose they are, how they are found again, and what they may do.

use crate::support::albert::{User, Version};
use crate::support::keyed::{Differing, Keyed, bearer_at_api};
use crate::support::site::agent;
use vestibule::demo::provider::Agent;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_a_person_s_whatever_becomes_of_their_address() {
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        let named = |user: &User| if version == Version::V01 { user.name.clone().unwrap() } else { user.email.clone() };
        bearer_at_api(&keyed.site.signed_in().await).await;
        let before = keyed.api.users();
        // Married.
        let address = "helene.dupont@test.proconnect.gouv.fr";
        keyed.site.provider.sign_in_as(Agent { email: address.to_owned(), usual_name: "Dupont".to_owned(), ..agent() });
        bearer_at_api(&keyed.site.signed_in().await).await;
        let after = keyed.api.users();
        assert_eq!(after.iter().map(|user| user.id).collect::<Vec<_>>(), [before[0].id], "{version:?}");
        assert_eq!(named(&after[0]), address, "{version:?}");
    }
}

/// What is remembered of an account is no proof of whose it is: the numbers of an API that was set
/// up anew are other people's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_an_account_that_is_another_person_s_by_now_is_not_believed() {
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        bearer_at_api(&keyed.site.signed_in().await).await;
        let number = keyed.api.users()[0].id;
        let other = "zoe.diallo@test.proconnect.gouv.fr";
        keyed.api.change_user(number, |user| match version {
            Version::V01 => user.name = Some(other.to_owned()),
            _ => other.clone_into(&mut user.email),
        });
        bearer_at_api(&keyed.site.signed_in().await).await;
        let users = keyed.api.users();
        assert_eq!(users.len(), 2, "{version:?}: {users:?}");
        assert!(
            [users[0].email.as_str(), users[0].name.as_deref().unwrap_or_default()].contains(&other),
            "{version:?}"
        );
        assert_eq!(keyed.live_keys().last().unwrap().user, users[1].id, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_capitals_in_its_address_is_found() {
    let written = "Helene.MOREAU@test.proconnect.gouv.fr";
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        let (email, name) = match version {
            Version::V01 => (String::new(), Some(written.to_owned())),
            _ => (written.to_owned(), None),
        };
        let account = keyed.api.add_user(User { email, name, ..User::default() });
        // Up to 0.4.5 addresses are found as they are written.
        keyed.site.provider.sign_in_as(Agent { email: written.to_owned(), ..agent() });
        bearer_at_api(&keyed.site.signed_in().await).await;
        assert_eq!(keyed.api.users().len(), 1, "{version:?}: {:?}", keyed.api.users());
        assert_eq!(keyed.live_keys()[0].user, account, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_and_organisation_follow_the_rules() {
    let credential = ", role: Freemium, organization: default, rules: [{when: {siret: \"13002526500013\"}, refuse: true}, \
                      {when: {roles: agent_public_etat, email_domain: proconnect.gouv.fr}, role: Agent, organization: DINUM}]";
    for version in Version::ALL {
        let keyed = Keyed::with(version, Differing { credential, ..Differing::default() }).await;
        bearer_at_api(&keyed.site.signed_in().await).await;
        let Agent { mut roles, .. } = agent();
        roles.clear();
        let email = "prive@test.proconnect.gouv.fr";
        keyed.site.provider.sign_in_as(Agent { roles, ..Agent::new("Paul", "Privé", email) });
        bearer_at_api(&keyed.site.signed_in().await).await;
        let organization = |name: &str| (version != Version::V01).then(|| name.to_owned());
        let got: Vec<_> = keyed.api.users().into_iter().map(|user| (user.role, user.organization)).collect();
        let expected = [("Agent".to_owned(), organization("DINUM")), ("Freemium".to_owned(), organization("default"))];
        assert_eq!(got, expected, "{version:?}");
    }
}

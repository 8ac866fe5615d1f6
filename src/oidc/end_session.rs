//! The sign-out request (OpenID Connect RP-Initiated Logout §2): where the browser is sent so that
//! the provider's own session ends too.

use super::query::{Parameter, with_parameters};
use super::settings::Settings;
use crate::secret::{ExposeSecret, SecretString};
use url::Url;

/// The address of the sign-out request. The ID token says who signs out and of which client; where
/// it is no longer had, `client_id` at least names the client, without which providers do not
/// honour the return address.
pub(super) fn url(endpoint: &Url, settings: &Settings, id_token: Option<&SecretString>, state: &str) -> Url {
    let who: Parameter<'_> = match id_token {
        Some(id_token) => ("id_token_hint", id_token.expose_secret().into()),
        None => ("client_id", settings.client_id.as_str().into()),
    };
    let back = ("post_logout_redirect_uri", settings.post_logout_redirect_uri.as_str().into());
    with_parameters(endpoint, &[who, back, ("state", state.into())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::stub;

    #[test]
    fn the_id_token_or_the_client_is_named_with_the_exact_return_address() {
        let endpoint = Url::parse("https://op.test/session/end").unwrap();
        let settings = stub::settings("https://op.test");
        let with_hint = url(&endpoint, &settings, Some(&"a.b.c".into()), "s");
        assert_eq!(
            with_hint.as_str(),
            "https://op.test/session/end?id_token_hint=a.b.c\
             &post_logout_redirect_uri=https%3A%2F%2Fapp.test%2Foauth2%2Fsigned_out&state=s"
        );
        let without = url(&endpoint, &settings, None, "s");
        assert!(without.as_str().starts_with("https://op.test/session/end?client_id=client&post_logout_"));
    }
}

//! An endpoint with the parameters of a request: how `authorize` and `end_session` send a browser.

use std::borrow::Cow;
use url::Url;

/// One parameter of a request.
pub(super) type Parameter<'a> = (&'a str, Cow<'a, str>);

/// `endpoint` with `parameters` in its query. What its query holds already is retained (RFC 6749
/// §3.1) unless a parameter has that name: none may appear twice.
pub(super) fn with_parameters(endpoint: &Url, parameters: &[Parameter<'_>]) -> Url {
    let ours = |name: &str| parameters.iter().any(|(held, _)| *held == name);
    let mut url = endpoint.clone();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(endpoint.query_pairs().filter(|(name, _)| !ours(name)))
        .extend_pairs(parameters);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_own_query_stays_and_never_doubles_a_parameter() {
        let endpoint = Url::parse("https://op.test/a?tenant=1&client_id=evil").unwrap();
        let url = with_parameters(&endpoint, &[("client_id", "us".into()), ("state", "a&b=c #é".into())]);
        assert_eq!(url.as_str(), "https://op.test/a?tenant=1&client_id=us&state=a%26b%3Dc+%23%C3%A9");
    }
}

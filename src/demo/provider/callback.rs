//! The way back to the client: the callback's address, and going there.
//!
//! Carries `iss` always, with a code and with an error (RFC 9207 §2). The redirect URI has been
//! compared with the registered ones before anything comes here.

use super::faults::CallbackFault;
use super::request::CallbackError;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

/// Where to send the browser with a code.
pub(super) fn with_code(
    redirect_uri: &str,
    state: &str,
    code: &str,
    issuer: &str,
    fault: Option<&CallbackFault>,
) -> String {
    let code = match fault {
        Some(CallbackFault::UnknownCode) => Some("a-code-that-was-never-issued"),
        Some(CallbackFault::WithoutCode) => None,
        _ => Some(code),
    };
    let code = code.map(|code| ("code", code));
    address(redirect_uri, code.into_iter().collect(), state, issuer, fault)
}

/// Where to send the browser with an error.
pub(super) fn with_error(error: &CallbackError, issuer: &str, fault: Option<&CallbackFault>) -> String {
    let said = vec![("error", error.error.as_str()), ("error_description", error.description.as_str())];
    address(&error.redirect_uri, said, &error.state, issuer, fault)
}

fn address<'a>(
    redirect_uri: &str,
    mut parameters: Vec<(&'a str, &'a str)>,
    state: &'a str,
    issuer: &'a str,
    fault: Option<&CallbackFault>,
) -> String {
    match fault {
        Some(CallbackFault::WithoutState) => {}
        Some(CallbackFault::WrongState) => parameters.push(("state", "a-state-that-nobody-sent-0123456789")),
        _ => parameters.push(("state", state)),
    }
    match fault {
        Some(CallbackFault::WithoutIssuer) => {}
        Some(CallbackFault::WrongIssuer) => parameters.push(("iss", "https://another-provider.example/api/v2")),
        _ => parameters.push(("iss", issuer)),
    }
    append(redirect_uri, &parameters)
}

/// `uri` with `parameters` after those that it has.
pub(super) fn append(uri: &str, parameters: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if query.is_empty() {
        return uri.to_owned();
    }
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{query}")
}

/// 303: the browser goes there by GET, whatever brought it here.
pub(super) fn go_to(address: &str) -> Response {
    let mut response = Response::default();
    match HeaderValue::try_from(address) {
        Ok(location) => {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(header::LOCATION, location);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_state_and_issuer_with_code_and_error() {
        let issuer = "http://127.0.0.1:1/api/v2";
        assert_eq!(
            with_code("http://a/cb", "s t", "c", issuer, None),
            "http://a/cb?code=c&state=s+t&iss=http%3A%2F%2F127.0.0.1%3A1%2Fapi%2Fv2"
        );
        let error = CallbackError {
            redirect_uri: "http://a/cb?x=1".to_owned(),
            state: "s".to_owned(),
            error: "access_denied".to_owned(),
            description: "é&".to_owned(),
        };
        assert_eq!(
            with_error(&error, "i", None),
            "http://a/cb?x=1&error=access_denied&error_description=%C3%A9%26&state=s&iss=i"
        );
        assert_eq!(with_error(&error, "i", Some(&CallbackFault::WithoutIssuer)).matches("iss=").count(), 0);
    }

    #[test]
    fn goes_nowhere_that_breaks_the_header() {
        assert_eq!(go_to("http://a/\r\nSet-Cookie: x").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

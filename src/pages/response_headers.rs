//! The headers that go with every page and every static file, each with its reason.
//!
//! `server` adds them in one place. They say nothing of the app's own answers, which keep theirs.

/// A header's name, in lower case, and its value.
pub type Header = (&'static str, &'static str);

/// With every page, besides `content-security-policy`, `content-type` and `content-language`.
pub const PAGE_HEADERS: [Header; 9] = [
    // A page can show a return address or an error of this one person.
    ("cache-control", "no-store"),
    ("vary", "Accept-Language"),
    ("x-content-type-options", "nosniff"),
    // Not `no-referrer`: with it browsers send `Origin: null` with our own POST forms, which the
    // cross-site check refuses. Other sites, the provider among them, learn no address of ours.
    ("referrer-policy", "same-origin"),
    // For what does not know `frame-ancestors`.
    ("x-frame-options", "DENY"),
    // Whoever opened us in a window keeps no handle on it. Costs an app that opens `sign_in` in a
    // pop-up its `window.opener` once one of our pages is shown there; such an app sends its
    // pop-up to `start`, which redirects and shows no page.
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-robots-tag", "noindex"),
];

/// With every static file, besides `content-type`. A file's name holds the hash of its content:
/// it can be kept for ever.
pub const ASSET_HEADERS: [Header; 4] = [
    ("cache-control", "public, max-age=31536000, immutable"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    // An SVG that is opened by itself is a document.
    ("content-security-policy", "default-src 'none'; sandbox"),
];

/// With the empty page that the provider frames when somebody signs out there, besides
/// `content-security-policy`. No `x-frame-options`, which knows no origins but our own, and no
/// opener or resource policy: the frame is the provider's.
pub const FRAMED_HEADERS: [Header; 5] = [
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    // Its address holds the name of a session.
    ("referrer-policy", "no-referrer"),
    ("x-robots-tag", "noindex"),
];

/// The policy of that page: nothing in it, and in nobody's frame but the provider's. `origin` as a
/// URL parser writes it.
pub fn framed_by(origin: Option<&str>) -> String {
    format!("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {}", origin.unwrap_or("'none'"))
}

/// The policy with something about scripts, or nothing, and more that a form may lead to.
macro_rules! policy {
    ($script:literal, $more:literal) => {
        concat!(
            "default-src 'none'; ",
            $script,
            "style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https:",
            $more
        )
    };
}

/// The policy of pages where the site and its provider are on `https`.
///
/// No script, no frame, nothing from elsewhere. `form-action` cannot be `'self'` alone: Chromium
/// applies it to every redirect that follows a form, and ours lead to the provider, from there
/// to the identity provider of the person's organisation, which we cannot know, and back.
/// Whatever the form carries (a return address) is ours to redirect, and stays with us.
const OVER_HTTPS: &str = policy!("", "");

/// The same where one of them is on `http`, which is so on loopback only.
const OVER_HTTP: &str = policy!("", " http:");

/// The same for the sign-in page, whose one script runs by its hash, and no other does.
const SIGN_IN_OVER_HTTPS: &str = policy!("script-src 'sha256-kdTmTnehXWDP+/5XqjJWuc2OScUavE8rv6yMWUVI5FQ='; ", "");
const SIGN_IN_OVER_HTTP: &str = policy!("script-src 'sha256-kdTmTnehXWDP+/5XqjJWuc2OScUavE8rv6yMWUVI5FQ='; ", " http:");

/// The content security policy of pages; `over_https` where the site and its provider are on `https`.
pub const fn content_security_policy(over_https: bool) -> &'static str {
    if over_https { OVER_HTTPS } else { OVER_HTTP }
}

/// The content security policy of the sign-in page, which keeps the fragment of an address.
pub const fn sign_in_policy(over_https: bool) -> &'static str {
    if over_https { SIGN_IN_OVER_HTTPS } else { SIGN_IN_OVER_HTTP }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn no_policy_lets_a_script_or_a_frame_in() {
        for policy in [content_security_policy(true), content_security_policy(false)] {
            assert!(policy.starts_with("default-src 'none';"));
            assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
            for word in ["script-src", "unsafe", "*", "data:", "  ", "connect-src", "frame-src"] {
                assert!(!policy.contains(word), "{word} in {policy}");
            }
        }
    }

    #[test]
    fn on_the_sign_in_page_its_own_script_runs_and_no_other() {
        let page = include_str!("templates/sign_in.html");
        let script = page.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
        let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, script.as_bytes()));
        for over_https in [true, false] {
            let only = format!("script-src 'sha256-{hash}'; ");
            assert_eq!(sign_in_policy(over_https).replace(&only, ""), content_security_policy(over_https));
            assert!(sign_in_policy(over_https).contains(&only), "the script is another one: {hash}");
        }
    }

    #[test]
    fn one_origin_frames_the_empty_page_and_x_frame_options_does_not_contradict() {
        assert!(framed_by(Some("https://op.example:8443")).ends_with("; frame-ancestors https://op.example:8443"));
        assert!(framed_by(None).ends_with("; frame-ancestors 'none'"));
        assert!(framed_by(None).starts_with("default-src 'none';"));
        assert!(FRAMED_HEADERS.iter().all(|(name, _)| *name != "x-frame-options"));
    }

    #[test]
    fn plain_http_is_a_form_s_target_on_loopback_only() {
        assert!(!content_security_policy(true).contains("http:"));
        assert!(content_security_policy(false).ends_with("form-action 'self' https: http:"));
    }

    #[test]
    fn header_names_are_lower_case_and_valid() {
        for (name, value) in PAGE_HEADERS.iter().chain(&ASSET_HEADERS).chain(&FRAMED_HEADERS) {
            assert_eq!(name.to_lowercase(), *name);
            assert!(http::HeaderName::from_bytes(name.as_bytes()).is_ok());
            assert!(http::HeaderValue::from_str(value).is_ok());
        }
    }
}

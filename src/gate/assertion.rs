//! The signed assertion: a short-lived JWT that says who sent one request, for apps that verify in
//! the place of trusting their network.
//!
//! Made by `gate` beside the identity headers, of a [`Permit`] and for nobody else: not for a
//! preflight, not for whoever passes a public route without a session, not for a question that is
//! about no request. It is bound to the request as the app gets it, so that whoever finds one in a
//! log or behind another app cannot use it for anything else (`docs/assertion.md`). Must never hold a
//! claim that was not verified, nor outlive a minute.

use super::policy::Permit;
use super::route::Route;
use crate::bearer::Caller;
use crate::claims::{ClaimValue, ClaimsView};
use crate::clock::Timestamp;
use crate::session::Session;
use crate::signing::SigningRing;
use crate::web::hygiene::CleanRequest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use ring::digest;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::sync::Arc;
use std::time::Duration;

/// The header that it goes into, unless another is configured.
pub const HEADER: HeaderName = HeaderName::from_static("x-vestibule-assertion");

/// How long one counts by default: for an app on a slow machine to read it.
pub const LIFETIME: Duration = Duration::from_secs(30);

/// The longest that one may count.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Claims that an assertion has of its own: no claim of a person is put in their place.
pub const RESERVED: [&str; 15] = [
    "iss",
    "aud",
    "sub",
    "iat",
    "nbf",
    "exp",
    "jti",
    "sid",
    "provider",
    "caller",
    "acr",
    "auth_time",
    "htm",
    "host",
    "target_hash",
];

/// How assertions are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose keys sign them.
    pub ring: Arc<SigningRing>,
    /// The header that they go into.
    pub header: HeaderName,
    /// Who issues them: the origin of `public_url`.
    pub issuer: String,
    /// How long each counts; [`LONGEST`] at most.
    pub lifetime: Duration,
    /// Further claims of the person that each holds, where they are there.
    pub claims: Vec<String>,
}

/// What makes assertions.
#[derive(Debug)]
pub struct Assertions(Settings);

impl Assertions {
    /// By these settings.
    pub fn new(settings: Settings) -> Self {
        Self(settings)
    }

    /// The header with the assertion of who passes, where the route asks for one. None where the
    /// operating system gives no randomness to sign with: the app then takes them for nobody.
    pub fn header(
        &self,
        permit: Permit<'_>,
        route: &Route,
        request: &CleanRequest<'_>,
        now: Timestamp,
    ) -> Option<(HeaderName, HeaderValue)> {
        let audience = route.assertion.as_deref()?;
        let who = match (permit.person(), permit.caller()) {
            (Some(person), _) => Who::Person(person),
            (None, Some(caller)) => Who::Caller(caller),
            (None, None) => return None,
        };
        let stripped = route.target_for_app(request.target())?;
        let statement = Statement {
            settings: &self.0,
            audience,
            who,
            method: request.parts().method.as_str(),
            host: request.host(),
            target_hash: target_hash(stripped.as_deref().unwrap_or(request.target())),
            now,
        };
        let jws = self.0.ring.sign(&statement).ok()?;
        Some((self.0.header.clone(), HeaderValue::try_from(jws).ok()?))
    }
}

/// The SHA-256 of path and query as the app gets them, in base64url. A `?` with nothing behind it is
/// left out, for most frameworks do not tell that from none.
fn target_hash(target: &str) -> String {
    let target = target.strip_suffix('?').filter(|path| !path.contains('?')).unwrap_or(target);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, target.as_bytes()))
}

enum Who<'a> {
    Person(&'a Session<'a>),
    Caller(&'a Caller),
}

/// The claims of one assertion, written as they are: nothing is gathered first.
struct Statement<'a> {
    settings: &'a Settings,
    audience: &'a str,
    who: Who<'a>,
    method: &'a str,
    host: &'a str,
    target_hash: String,
    now: Timestamp,
}

impl Statement<'_> {
    fn expires_at(&self) -> Timestamp {
        let end = self.now.plus(self.settings.lifetime.min(LONGEST));
        match self.who {
            Who::Person(_) => end,
            Who::Caller(caller) => caller.ends_at().map_or(end, |token_ends| token_ends.min(end)),
        }
    }

    /// The claims of theirs that are asked for.
    fn theirs<S: SerializeMap>(&self, claims: &ClaimsView<'_>, map: &mut S) -> Result<(), S::Error> {
        if let Some(acr) = claims.text("acr") {
            map.serialize_entry("acr", acr)?;
        }
        for name in &self.settings.claims {
            match claims.get(name) {
                None => {}
                Some(ClaimValue::Text(text)) => map.serialize_entry(name, text)?,
                Some(ClaimValue::List(values)) => map.serialize_entry(name, values)?,
                // It was JSON when it came.
                Some(ClaimValue::Json(json)) => {
                    if let Ok(value) = serde_json::from_str::<serde_json::Value>(json) {
                        map.serialize_entry(name, &value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Statement<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("iss", &self.settings.issuer)?;
        map.serialize_entry("aud", self.audience)?;
        map.serialize_entry("iat", &self.now)?;
        map.serialize_entry("exp", &self.expires_at())?;
        map.serialize_entry("htm", self.method)?;
        map.serialize_entry("host", self.host)?;
        map.serialize_entry("target_hash", &self.target_hash)?;
        match self.who {
            Who::Person(session) => {
                map.serialize_entry("sub", session.subject())?;
                map.serialize_entry("provider", session.provider())?;
                map.serialize_entry("sid", &format_args!("{}", session.id()))?;
                if let Some(at) = session.authenticated_at() {
                    map.serialize_entry("auth_time", &at)?;
                }
                self.theirs(session.claims(), &mut map)?;
            }
            Who::Caller(caller) => {
                let claims = caller.claims().view();
                if let Some(sub) = claims.text("sub") {
                    map.serialize_entry("sub", sub)?;
                }
                map.serialize_entry("caller", caller.rule_name())?;
                self.theirs(&claims, &mut map)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::constraints::NONE;
    use crate::gate::policy::{admit, admit_caller};
    use crate::gate::route::{Access, PathPattern};
    use crate::gate::rules::Circumstances;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens};
    use crate::signing::{Purpose, SigningKey, new_key};
    use http::HeaderMap;
    use serde_json::{Value, json};

    const AT: Circumstances = Circumstances { now: START, client: None };

    fn assertions(claims: &[&str]) -> Assertions {
        let key = SigningKey::from_pem(&new_key().unwrap(), None).unwrap();
        Assertions::new(Settings {
            ring: Arc::new(SigningRing::new(Purpose::Assertion, vec![Arc::new(key)]).unwrap()),
            header: HEADER,
            issuer: "https://app.example.fr".to_owned(),
            lifetime: LIFETIME,
            claims: claims.iter().map(|name| (*name).to_owned()).collect(),
        })
    }

    fn route(path: &str, access: Access) -> Route {
        let path = PathPattern::parse(path).unwrap();
        Route { assertion: Some("app".into()), bearer: vec![1], ..Route::new(path, access) }
    }

    fn said(header: Option<(HeaderName, HeaderValue)>) -> Option<Value> {
        let (_, value) = header?;
        let claims = value.to_str().unwrap().split('.').nth(1).unwrap().to_owned();
        Some(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap())
    }

    fn about(target: &str, check: impl Fn(&CleanRequest<'_>)) {
        let parts = http::Request::post(target).header("host", "App.Example.fr:443").body(()).unwrap().into_parts().0;
        check(&CleanRequest::inspect(&parts, target.as_bytes(), b"").unwrap());
    }

    #[test]
    fn a_person_is_said_with_the_request_as_the_app_gets_it() {
        let sessions = sessions(&[[1; 32]]);
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        let opened = sessions.open(&request_after(&HeaderMap::new(), &begun.cookies), START).unwrap();
        let session = sessions.read(&opened, START).unwrap();
        let permit = |route: &Route| admit(route, &NONE, Ok(&session), AT).unwrap();
        let assertions = assertions(&["email", "roles", "no such"]);
        about("/api/x?q=1", |request| {
            let whole = route("/**", Access::SignedIn);
            let claims = said(assertions.header(permit(&whole), &whole, request, START)).unwrap();
            let is = |name: &str| claims[name].clone();
            assert_eq!((is("iss"), is("aud")), (json!("https://app.example.fr"), json!("app")));
            assert_eq!((is("htm"), is("host")), (json!("POST"), json!("app.example.fr")));
            assert_eq!(is("exp").as_u64().unwrap(), is("iat").as_u64().unwrap() + 30);
            assert_eq!((is("sub"), is("sid")), (json!(session.subject()), json!(session.id().to_string())));
            assert_eq!(is("provider"), session.provider());
            assert_eq!(is("target_hash"), target_hash("/api/x?q=1"));
            assert_eq!(is("email").as_str(), session.claims().text("email"));
            assert!(claims.get("no such").is_none() && claims.get("caller").is_none());

            let stripping = Route { strip_prefix: Some("/api".to_owned()), ..route("/api/**", Access::SignedIn) };
            let claims = said(assertions.header(permit(&stripping), &stripping, request, START)).unwrap();
            assert_eq!(claims["target_hash"], target_hash("/x?q=1"));

            let silent = Route { assertion: None, ..whole };
            assert_eq!(said(assertions.header(permit(&silent), &silent, request, START)), None);
        });
    }

    #[test]
    fn an_api_client_is_said_with_its_rule_and_no_longer_than_its_token_lasts() {
        let claims = json!({"sub": "machine", "acr": "eidas1", "sid": "its own", "email": "m@example.org"});
        let caller = Caller::for_tests(1, claims.as_object().unwrap());
        let route = route("/**", Access::Bearer);
        let permit = admit_caller(&route, &NONE, &caller, AT).unwrap();
        about("/", |request| {
            let claims = said(assertions(&[]).header(permit, &route, request, START)).unwrap();
            assert_eq!((claims["caller"].as_str(), claims["sub"].as_str()), (Some("api"), Some("machine")));
            assert_eq!(claims["acr"], "eidas1");
            for absent in ["sid", "provider", "email"] {
                assert!(claims.get(absent).is_none(), "{absent}");
            }
        });
    }

    #[test]
    fn nobody_gets_none() {
        let route = route("/**", Access::Public);
        about("/", |request| {
            let nobody = admit(&route, &NONE, Err(crate::session::NoSession::Absent), AT).unwrap();
            assert_eq!(said(assertions(&[]).header(nobody, &route, request, START)), None);
            assert_eq!(said(assertions(&[]).header(Permit::to_ask(), &route, request, START)), None);
        });
    }

    #[test]
    fn a_path_is_hashed_with_its_query_as_it_stands() {
        // printf /a?b | openssl sha256 -binary | basenc --base64url
        assert_eq!(target_hash("/"), "il7asoJjJEMhngUeSt4tHVu8Zxx4EFG_FDeJfL3-oPE");
        assert_eq!(target_hash("/a?"), target_hash("/a"));
        let different = ["/a", "/a?b", "/a?b?", "/a/", "/%61", "/A", "/a??"].map(target_hash);
        for (index, one) in different.iter().enumerate() {
            assert!(different.iter().skip(index + 1).all(|other| one != other), "{index}");
        }
    }
}

//! The verified person: made by this room's verification and by nothing else.

use super::id_token::IdToken;
use super::registered_claims::name;
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::web::domain::DomainOwners;
use serde_json::{Map, Value};

/// Claims that speak of the token and not of the person: they end with verification.
const OF_THE_TOKEN: &[&str] =
    &["iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash"];

/// Claims that are believed from the ID token only.
///
/// `sub` is equal in both. The others speak of one authentication, and userinfo does not say of
/// which: ProConnect's answers for the person's latest session, which may be another than this one
/// and a stronger one. A provider sends them in the ID token when asked by the `claims` parameter.
const OF_THE_SIGN_IN: &[&str] = &["sub", "acr", "amr", "auth_time", "sid"];

/// A person whom a provider has named, after every check of the ID token and of userinfo.
///
/// Part of the security perimeter: its fields are private to `oidc`, which makes one only at the
/// end of `Provider::redeem` and of `Provider::refresh`. A session begins with an `Identity`, so no
/// session can begin without verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(in crate::oidc) provider: String,
    pub(in crate::oidc) subject: String,
    pub(in crate::oidc) claims: Claims,
    pub(in crate::oidc) authenticated_at: Option<Timestamp>,
    pub(in crate::oidc) sid: Option<String>,
}

impl Identity {
    /// The person of a verified ID token and of the userinfo that was verified with it, whose
    /// claims lie over the ID token's.
    pub(in crate::oidc) fn verified(provider: &str, id_token: IdToken, userinfo: Map<String, Value>) -> Self {
        let IdToken { subject, authenticated_at, mut claims } = id_token;
        // A null is a claim that is not there: it takes nothing away.
        let adds = |name: &str, value: &Value| !value.is_null() && !OF_THE_SIGN_IN.contains(&name);
        claims.extend(userinfo.into_iter().filter(|(name, value)| adds(name, value)));
        let sid = name(&claims, "sid").cloned();
        let claims = said_of_the_person(claims);
        Self { provider: provider.to_owned(), subject, claims, authenticated_at, sid }
    }

    /// The same person without an e-mail address at a domain that belongs to another provider: by it
    /// they would be another one's person to every app that knows people by their address.
    #[must_use]
    pub(in crate::oidc) fn within(mut self, owners: &DomainOwners) -> Self {
        if is_another_s_address(&self.claims, &self.provider, owners) {
            tracing::warn!(
                provider = self.provider,
                "an e-mail address at a domain of another provider's is left out: it is that one's to vouch for"
            );
            self.claims = self.claims.retaining(|name| name != "email");
        }
        self
    }

    /// A person for the tests of other rooms, as if these claims had been verified.
    #[cfg(test)]
    pub(crate) fn for_tests(provider: &str, claims: &Map<String, Value>) -> Self {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let sid = name(claims, "sid").cloned();
        let authenticated_at = claims.get("auth_time").and_then(Value::as_u64).map(Timestamp::from_unix);
        let claims = Claims::from_json(claims);
        Self { provider: provider.to_owned(), subject, claims, authenticated_at, sid }
    }

    /// The configured name of the provider that vouches.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// `sub`: who it is, unique at that provider.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// All verified claims of the ID token and userinfo, those of the protocol itself
    /// (`iss`, `aud`, `exp`, `nonce` …) left out; `sub`, `acr` and `amr` among them.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// `auth_time`, where the provider says it.
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated_at
    }

    /// `sid`: the provider's own session, by which its logouts name ours (Back-Channel Logout
    /// §2.1). At most 255 printable ASCII characters; one that is anything else is none.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }
}

/// Whether there is an e-mail address that another provider than this one has to vouch for, or that is none.
pub fn is_another_s_address(claims: &Claims, provider: &str, owners: &DomainOwners) -> bool {
    if owners.is_empty() {
        return false;
    }
    match claims.view().get("email") {
        Some(ClaimValue::Json(_)) => true,
        Some(value) => value.values().iter().any(|email| owners.owner(email).is_some_and(|owner| owner != provider)),
        None => false,
    }
}

/// What of the claims of a token speaks of the person: no address that is not verified, and nothing
/// of the protocol itself. It proves nothing; explanations use it for people who are supposed.
pub fn said_of_the_person(mut claims: Map<String, Value>) -> Claims {
    drop_unverified_email(&mut claims);
    Claims::from_json(&claims).retaining(|name| !OF_THE_TOKEN.contains(&name))
}

/// Whoever may write any address into a profile would else be whomever an app knows by it. Nothing
/// is said by providers that only know verified ones, ProConnect among them.
pub(super) fn drop_unverified_email(claims: &mut Map<String, Value>) {
    if claims.get("email_verified").is_some_and(|verified| *verified != true && *verified != "true") {
        claims.remove("email");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::domain::OwnedDomain;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn userinfo_lies_over_the_id_token_except_for_the_sign_in_itself() {
        let id_token = IdToken {
            subject: "s".into(),
            authenticated_at: None,
            claims: object(json!({
                "iss": "i", "aud": "a", "exp": 1, "iat": 1, "nonce": "n", "at_hash": "h", "azp": "a", "jti": "j",
                "sub": "s", "acr": "eidas1", "email": "old@x.fr", "given_name": "kept",
            })),
        };
        let userinfo = object(json!({
            "sub": "s", "acr": "eidas3", "amr": ["mfa"], "auth_time": 9, "sid": "theirs", "iss": "forged",
            "nonce": "x", "email": "new@x.fr", "roles": ["a", "b"], "phone_number": null, "given_name": null,
        }));
        let identity = Identity::verified("proconnect", id_token, userinfo);
        let claims = identity.claims().view();
        let names: Vec<_> = claims.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["acr", "email", "given_name", "roles", "sub"]);
        assert_eq!(claims.text("acr"), Some("eidas1"));
        assert_eq!(claims.text("email"), Some("new@x.fr"));
        assert_eq!(claims.get("roles"), Some(&ClaimValue::List(vec!["a", "b"])));
        assert_eq!((identity.provider(), identity.subject()), ("proconnect", "s"));
    }

    #[test]
    fn the_provider_s_session_is_the_id_token_s_and_plain_text() {
        let sid = |sid: Value| {
            let claims = object(json!({ "sub": "s", "sid": sid }));
            let id_token = IdToken { subject: "s".into(), authenticated_at: None, claims };
            let userinfo = object(json!({ "sub": "s", "sid": "of-another-session" }));
            Identity::verified("p", id_token, userinfo).sid().map(str::to_owned)
        };
        assert_eq!(sid(json!("08a5019c-17e1")), Some("08a5019c-17e1".to_owned()));
        assert_eq!(sid(json!("s".repeat(255))), Some("s".repeat(255)));
        for other in [json!(null), json!(""), json!(" "), json!(1), json!(["a"]), json!("é"), json!("a\nb")] {
            assert_eq!(sid(other.clone()), None, "{other}");
        }
        assert_eq!(sid(json!("s".repeat(256))), None);
    }

    #[test]
    fn an_address_that_the_provider_calls_unverified_is_nobody_s() {
        let email = |verified: Option<Value>| {
            let id_token =
                IdToken { subject: "s".into(), authenticated_at: None, claims: object(json!({ "sub": "s" })) };
            let mut userinfo = object(json!({ "sub": "s", "email": "chief@x.fr" }));
            userinfo.extend(verified.map(|verified| ("email_verified".to_owned(), verified)));
            Identity::verified("p", id_token, userinfo).claims().view().text("email").is_some()
        };
        assert!(email(None) && email(Some(json!(true))) && email(Some(json!("true"))) && email(Some(json!(null))));
        for other in [json!(false), json!("false"), json!(0), json!("")] {
            assert!(!email(Some(other.clone())), "{other}");
        }
    }

    #[test]
    fn an_address_at_another_provider_s_domain_is_left_out() {
        let owned = |domain: &str, owner: &str| OwnedDomain {
            domain: domain.to_owned(),
            and_below: true,
            owner: owner.to_owned(),
        };
        let owners = DomainOwners::new(vec![owned("a.fr", "a"), owned("b.fr", "b")]);
        let email = |provider: &str, email: Value| {
            let identity = Identity::for_tests(provider, &object(json!({"sub": "s", "email": email}))).within(&owners);
            identity.claims().view().get("email").is_some()
        };
        for (provider, address, expected) in [
            ("a", json!("x@a.fr"), true),
            ("b", json!("x@a.fr"), false),
            ("b", json!("X@sub.A.FR."), false),
            ("b", json!("x@c.fr"), true),
            ("b", json!(["x@c.fr", "x@a.fr"]), false),
            ("b", json!({"address": "x@a.fr"}), false),
        ] {
            assert_eq!(email(provider, address.clone()), expected, "{provider} {address}");
        }
        let other = Identity::for_tests("b", &object(json!({"sub": "s", "email": "x@a.fr"})));
        assert!(other.within(&DomainOwners::default()).claims().view().text("email").is_some());
    }
}

//! What both are asked: every row of oauth2-proxy's truth table that a request can bring about.

use crate::support::client::NAVIGATION;
use http::Method;
use vestibule::demo::provider::{CallbackFault, Faults, IdTokenFault, TokenFault, UserinfoFault};

/// How the programs are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// An app is behind them.
    Alone,
    /// A front proxy asks them, as Traefik does. `/public/**` is open to everybody.
    Asked,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A browser without cookies.
    Nobody,
    /// One with a session.
    Person,
    /// One with a cookie that is no session.
    Garbage,
    /// One that comes back from the provider: `{code}` and `{state}` are those of its sign-in.
    Beginner,
    /// One that has them from another browser, without the cookie that goes with them.
    OtherBrowser,
    /// One that has begun another sign-in meanwhile.
    OtherTab,
}

/// One request.
#[derive(Debug)]
pub(super) struct Case {
    /// All of it, in a line: `asked: person: GET /oauth2/auth`.
    pub(super) name: String,
    pub(super) set: Set,
    pub(super) who: Who,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: &'static str,
    /// What goes wrong at the provider meanwhile.
    pub(super) fault: fn(&mut Faults),
}

/// Where else a sign-in may lead: `--whitelist-domain`, `sign_in.return_to`.
pub(super) const LISTED_HOSTS: [&str; 5] =
    [".listed.example", "*.star.example", "one.example", "port.example:8443", "any.example:*"];

const QUERIES: [&str; 25] = [
    "allowed_groups=agent_public",
    "allowed_groups=x,agent_public",
    "allowed_groups=x&allowed_groups=agent_public",
    "allowed_groups=x",
    "allowed_groups=Agent_Public",
    "allowed_groups=agent_public,",
    "allowed_groups=",
    "allowed_groups=,",
    "allowed_emails=helene.moreau@test.proconnect.gouv.fr",
    "allowed_emails=x@example.fr,helene.moreau@test.proconnect.gouv.fr",
    "allowed_emails=Helene.Moreau@test.proconnect.gouv.fr",
    "allowed_emails=x@example.fr",
    "allowed_emails=",
    "allowed_email_domains=test.proconnect.gouv.fr",
    "allowed_email_domains=TEST.proconnect.gouv.fr",
    "allowed_email_domains=proconnect.gouv.fr",
    "allowed_email_domains=.proconnect.gouv.fr",
    "allowed_email_domains=*.proconnect.gouv.fr",
    "allowed_email_domains=.test.proconnect.gouv.fr",
    "allowed_email_domains=*.test.proconnect.gouv.fr",
    "allowed_email_domains=.connect.gouv.fr",
    "allowed_email_domains=*",
    "allowed_email_domains=",
    "allowed_groups=agent_public&allowed_email_domains=example.fr",
    "allowed_groups=x&allowed_emails=helene.moreau@test.proconnect.gouv.fr",
];

/// Where a sign-in is to lead.
const RETURNS: [&str; 38] = [
    "",
    "/",
    "/app/x?y=z",
    "/app/x%3Fa%3Db%26c%3Dd%23part",
    "/oauth2/sign_in",
    "app/x",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%20/evil.example",
    "/./evil.example",
    "/.//evil.example",
    "/../evil.example",
    "/x/..//evil.example",
    "/a//b",
    "https://app.example/app/x",
    "http://app.example/app/x",
    "https://evil.example/",
    "https:/evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    "https://listed.example/x",
    "https://a.listed.example/x",
    "https://a.b.listed.example/x",
    "https://badlisted.example/x",
    "https://a.listed.example.evil.example/x",
    "https://evil.example%23.listed.example/",
    "https://user@a.listed.example/x",
    "https://A.LISTED.example/x",
    "https://a.listed.example:8443/x",
    "http://a.listed.example/x",
    "https://a.star.example/x",
    "https://one.example",
    "https://a.one.example/",
    "https://one.example/\\evil.example",
];

const PORTS: [&str; 5] = [
    "https://port.example:8443/x",
    "https://port.example/x",
    "https://port.example:8444/x",
    "https://any.example:1234/x",
    "https://any.example/x",
];

const JSON: [(&str, &str); 1] = [("accept", "application/json")];
const OWN_PAGE: [(&str, &str); 4] = [
    ("origin", "https://app.example"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("content-type", "application/x-www-form-urlencoded"),
];
const FOREIGN_LINK: [(&str, &str); 3] =
    [("accept", "text/html"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
const FOREIGN_FORM: [(&str, &str); 4] = [
    ("origin", "https://evil.example"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("content-type", "application/x-www-form-urlencoded"),
];

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = auth();
    cases.extend(asked());
    cases.extend(sign_in());
    cases.extend(callback());
    cases.extend(faults());
    cases.extend(session());
    cases.extend(ours());
    cases.extend(proxied());
    cases
}

fn case(set: Set, who: Who, method: &str, path: &str) -> Case {
    let name = format!("{}: {method} {path}", format!("{set:?}: {who:?}").to_lowercase());
    let method = method.parse().unwrap();
    Case { name, set, who, method, path: path.to_owned(), headers: Vec::new(), body: "", fault: |_| {} }
}

impl Case {
    /// The same with these headers; `how` says in words what they mean.
    fn with(mut self, how: &str, headers: &[(&'static str, &'static str)]) -> Self {
        self.headers.extend(headers);
        self.named(how)
    }

    fn sending(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    fn named(mut self, how: &str) -> Self {
        self.name = format!("{} ({how})", self.name);
        self
    }
}

/// `/oauth2/auth`, about a session alone.
fn auth() -> Vec<Case> {
    let mut cases = Vec::new();
    for who in [Who::Nobody, Who::Garbage, Who::Person] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            cases.push(case(Set::Alone, who, method, "/oauth2/auth"));
        }
    }
    for query in QUERIES {
        cases.push(case(Set::Alone, Who::Person, "GET", &format!("/oauth2/auth?{query}")));
    }
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/oauth2/auth?allowed_groups=x"));
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/oauth2/auth").with("as a browser", &NAVIGATION));
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/oauth2/auth").with("as json", &JSON));
    let forged = [("x-forwarded-uri", "/public/x"), ("x-forwarded-host", "app.example")];
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/oauth2/auth").with("says it is about /public/x", &forged));
    let basic = [("authorization", "Basic YTpi")];
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/oauth2/auth").with("a password", &basic));
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/oauth2/auth").with("a token", &[("authorization", "Bearer x")]));
    cases
}

/// `/oauth2/auth`, about a request.
fn asked() -> Vec<Case> {
    let about = |who, method: &'static str, uri: &'static str, query: &str| {
        let told = [
            ("x-forwarded-method", method),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-uri", uri),
        ];
        case(Set::Asked, who, "GET", &format!("/oauth2/auth{query}")).with(&format!("about {method} {uri}"), &told)
    };
    let mut cases = Vec::new();
    for who in [Who::Nobody, Who::Garbage, Who::Person] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            cases.push(about(who, method, "/app/x?y=z", ""));
            cases.push(about(who, method, "/public/x", ""));
        }
    }
    for query in QUERIES {
        cases.push(about(Who::Person, "GET", "/app/x", &format!("?{query}")));
    }
    cases.push(about(Who::Person, "GET", "/public/x", "?allowed_groups=x"));
    cases.push(about(Who::Nobody, "GET", "/public/x", "?allowed_groups=x"));
    for uri in
        ["/public/../app/x", "/public/%2e%2e/app/x", "/public%2fx", "//app/x", "/oauth2/start", "/app/x#/public/"]
    {
        cases.push(about(Who::Nobody, "GET", uri, ""));
        cases.push(about(Who::Person, "GET", uri, ""));
    }
    cases.push(about(Who::Nobody, "GET", "/app/x", "").with("as a browser", &NAVIGATION));
    cases.push(about(Who::Nobody, "GET", "/app/x", "").with("as json", &JSON));
    let forged = [("x-auth-request-email", "admin@example.gouv.fr")];
    cases.push(about(Who::Nobody, "GET", "/public/x", "").with("with an identity of its own", &forged));
    cases.push(about(Who::Person, "GET", "/app/x", "").with("with an identity of its own", &forged));
    let again = [("x-forwarded-uri", "/public/x")];
    cases.push(about(Who::Nobody, "GET", "/app/x", "").with("and about /public/x", &again));
    cases.push(case(Set::Asked, Who::Person, "GET", "/oauth2/auth").named("about nothing"));
    cases.push(case(Set::Asked, Who::Nobody, "GET", "/oauth2/auth").named("about nothing"));
    cases
}

fn sign_in() -> Vec<Case> {
    let mut cases = Vec::new();
    for who in [Who::Nobody, Who::Person] {
        cases.push(case(Set::Alone, who, "GET", "/oauth2/sign_in?rd=/app/x").with("as a browser", &NAVIGATION));
    }
    cases.push(case(Set::Alone, Who::Nobody, "HEAD", "/oauth2/sign_in"));
    cases.push(
        case(Set::Alone, Who::Nobody, "POST", "/oauth2/sign_in")
            .with("a password", &OWN_PAGE)
            .sending("username=a&password=b"),
    );
    for rd in RETURNS.into_iter().chain(PORTS) {
        cases.push(case(Set::Alone, Who::Nobody, "GET", &format!("/oauth2/start?rd={}", rd.replace('\\', "%5C"))));
    }
    for method in ["GET", "HEAD"] {
        cases.push(case(Set::Alone, Who::Nobody, method, "/oauth2/start"));
    }
    let start = || case(Set::Alone, Who::Nobody, "GET", "/oauth2/start");
    cases.push(case(Set::Alone, Who::Person, "GET", "/oauth2/start?rd=/app/x"));
    cases.push(case(Set::Alone, Who::Nobody, "POST", "/oauth2/start").with("a form", &OWN_PAGE).sending("rd=/app/x"));
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/oauth2/start?rd=/a&rd=/b"));
    for told in ["/app/told", "https://a.listed.example/told", "https://evil.example/"] {
        cases.push(start().with(&format!("told of {told}"), &[("x-auth-request-redirect", told)]));
    }
    let both = case(Set::Alone, Who::Nobody, "GET", "/oauth2/start?rd=https://evil.example/");
    cases.push(both.with("told of /app/told", &[("x-auth-request-redirect", "/app/told")]));
    let forwarded =
        [("x-forwarded-proto", "https"), ("x-forwarded-host", "a.listed.example"), ("x-forwarded-uri", "/from")];
    cases.push(case(Set::Asked, Who::Nobody, "GET", "/oauth2/start").with("for a.listed.example/from", &forwarded));
    cases
}

fn callback() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |who, query: &str| {
        cases.push(case(Set::Alone, who, "GET", &format!("/oauth2/callback{query}")).with("as a browser", &NAVIGATION));
    };
    add(Who::Beginner, "?code={code}&state={state}");
    add(Who::Beginner, "?code={code}&state={state}x");
    add(Who::Beginner, "?code={code}&state=garbage");
    add(Who::Beginner, "?code={code}&state=gar:bage");
    add(Who::Beginner, "?code={code}");
    add(Who::Beginner, "?code=wrong&state={state}");
    add(Who::Beginner, "?state={state}");
    add(Who::Beginner, "?error=access_denied&state={state}");
    add(Who::Beginner, "?error=access_denied");
    add(Who::Beginner, "?error=login_required&state={state}");
    add(Who::OtherBrowser, "?code={code}&state={state}");
    add(Who::OtherBrowser, "?error=access_denied&state={state}");
    add(Who::OtherTab, "?code={code}&state={state}");
    add(Who::Nobody, "");
    add(Who::Nobody, "?error=access_denied");
    add(Who::Nobody, "?code=x&state=y");
    cases.push(
        case(Set::Alone, Who::Nobody, "POST", "/oauth2/callback").with("a form", &OWN_PAGE).sending("code=x&state=y"),
    );
    cases
}

/// A callback, while the provider, or somebody in its place, misbehaves.
fn faults() -> Vec<Case> {
    let faults: [(&str, fn(&mut Faults)); 23] = [
        ("iss of another provider", |faults| faults.callback = Some(CallbackFault::WrongIssuer)),
        ("no tokens", |faults| faults.token = Some(TokenFault::Failing)),
        ("invalid_grant", |faults| faults.token = Some(TokenFault::InvalidGrant)),
        ("no ID token", |faults| faults.token = Some(TokenFault::WithoutIdToken)),
        ("ID token: another key", |faults| faults.id_token = Some(IdTokenFault::WrongKey)),
        ("ID token: alg none", |faults| faults.id_token = Some(IdTokenFault::AlgNone)),
        ("ID token: HMAC under the public key", |faults| faults.id_token = Some(IdTokenFault::HmacUnderPublicKey)),
        ("ID token: another nonce", |faults| faults.id_token = Some(IdTokenFault::WrongNonce)),
        ("ID token: another issuer", |faults| faults.id_token = Some(IdTokenFault::WrongIssuer)),
        ("ID token: another audience", |faults| faults.id_token = Some(IdTokenFault::WrongAudience)),
        ("ID token: a second audience", |faults| faults.id_token = Some(IdTokenFault::SecondAudience)),
        ("ID token: another azp", |faults| faults.id_token = Some(IdTokenFault::WrongAuthorizedParty)),
        ("ID token: over", |faults| faults.id_token = Some(IdTokenFault::Expired)),
        ("ID token: from the future", |faults| faults.id_token = Some(IdTokenFault::IssuedInFuture)),
        ("ID token: another at_hash", |faults| faults.id_token = Some(IdTokenFault::WrongAtHash)),
        ("userinfo: none", |faults| faults.userinfo = Some(UserinfoFault::Failing)),
        ("userinfo: another person", |faults| faults.userinfo = Some(UserinfoFault::WrongSubject)),
        ("userinfo: another key", |faults| faults.userinfo = Some(UserinfoFault::WrongKey)),
        ("userinfo: alg none", |faults| faults.userinfo = Some(UserinfoFault::AlgNone)),
        ("userinfo: another issuer", |faults| faults.userinfo = Some(UserinfoFault::WrongIssuer)),
        ("userinfo: another audience", |faults| faults.userinfo = Some(UserinfoFault::WrongAudience)),
        ("userinfo: over", |faults| faults.userinfo = Some(UserinfoFault::Expired)),
        ("userinfo: not signed", |faults| faults.userinfo = Some(UserinfoFault::PlainJson)),
    ];
    let callback = |(how, fault)| {
        let case = case(Set::Alone, Who::Beginner, "GET", "/oauth2/callback?code={code}&state={state}");
        Case { fault, ..case.with(how, &NAVIGATION) }
    };
    faults.into_iter().map(callback).collect()
}

/// What belongs to a session: who it is of, and its end.
fn session() -> Vec<Case> {
    let mut cases = Vec::new();
    for who in [Who::Nobody, Who::Garbage, Who::Person] {
        cases.push(case(Set::Alone, who, "GET", "/oauth2/userinfo"));
    }
    cases.push(case(Set::Alone, Who::Person, "HEAD", "/oauth2/userinfo"));
    cases.push(case(Set::Alone, Who::Person, "POST", "/oauth2/userinfo"));
    for who in [Who::Nobody, Who::Person] {
        for (how, headers) in [("typed", &NAVIGATION[..]), ("a link of another site", &FOREIGN_LINK[..])] {
            cases.push(case(Set::Alone, who, "GET", "/oauth2/sign_out?rd=/app/bye").with(how, headers));
        }
        for (how, headers) in [("our own page", &OWN_PAGE), ("a form of another site", &FOREIGN_FORM)] {
            cases.push(case(Set::Alone, who, "POST", "/oauth2/sign_out").with(how, headers).sending("rd=/app/bye"));
        }
    }
    for (rd, query) in
        [("", ""), ("elsewhere", "?rd=https://evil.example/"), ("listed", "?rd=https://a.listed.example/x")]
    {
        let own = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("accept", "text/html")];
        let path = format!("/oauth2/sign_out{query}");
        cases.push(case(Set::Alone, Who::Person, "GET", &path).with(&format!("a link of our own {rd}"), &own));
    }
    cases
}

fn ours() -> Vec<Case> {
    let mut cases = Vec::new();
    for set in [Set::Alone, Set::Asked] {
        for path in ["/ping", "/ready", "/robots.txt"] {
            cases.push(case(set, Who::Nobody, "GET", path));
        }
    }
    for path in ["/ping", "/ready"] {
        cases.push(case(Set::Alone, Who::Nobody, "HEAD", path));
        cases.push(case(Set::Alone, Who::Nobody, "POST", path));
    }
    for path in ["/ping?x=y", "/ping/", "/%70ing", "/oauth2/nothing", "/oauth2/static/nothing", "/oauth2/", "/oauth2"] {
        cases.push(case(Set::Alone, Who::Nobody, "GET", path));
    }
    cases
}

/// Requests for the app.
fn proxied() -> Vec<Case> {
    let mut cases = Vec::new();
    for who in [Who::Nobody, Who::Garbage, Who::Person] {
        cases.push(case(Set::Alone, who, "GET", "/app/x").with("as a browser", &NAVIGATION));
        cases.push(case(Set::Alone, who, "GET", "/app/x").with("as json", &JSON));
        cases.push(case(Set::Alone, who, "GET", "/public/x"));
    }
    cases.push(case(Set::Alone, Who::Nobody, "GET", "/app/x"));
    cases.push(case(Set::Alone, Who::Nobody, "POST", "/app/x").with("as json", &JSON));
    cases.push(case(Set::Alone, Who::Nobody, "OPTIONS", "/app/x"));
    cases.push(case(Set::Alone, Who::Person, "GET", "/app/x?allowed_groups=x"));
    let forged = [
        ("x-forwarded-email", "admin@example.gouv.fr"),
        ("x_forwarded_email", "admin@example.gouv.fr"),
        ("x-auth-request-email", "admin@example.gouv.fr"),
        ("x-forwarded-access-token", "forged"),
    ];
    for who in [Who::Nobody, Who::Person] {
        cases.push(case(Set::Alone, who, "GET", "/public/x").with("with an identity of its own", &forged));
    }
    cases.push(case(Set::Alone, Who::Person, "GET", "/app/x").with("with an identity of its own", &forged));
    cases
}

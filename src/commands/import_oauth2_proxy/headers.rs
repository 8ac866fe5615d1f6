//! The part about what the app learns of the person: identity headers, and tokens.
//!
//! Called by `translate`. oauth2-proxy has headers for the app and others for the proxy in front that
//! asks it; Vestibule has one set, and which of the two it is follows from whether there are apps
//! behind it.

use super::alpha::{Alpha, Fixed, Header, HeaderValue};
use super::settings::Text;
use super::translate::Import;
use crate::commands::import::scalar;
use std::fmt::Write as _;
use vestibule::gate::headers::{NAMED_SETS, Template, named_set};

/// What the app is told.
#[derive(Default)]
pub(super) struct Told {
    identity: Vec<Made>,
    tokens: Vec<Made>,
    fixed: Option<(Made, Fixed)>,
    /// The name of the credential that routes need for it.
    pub(super) credential: Option<&'static str>,
}

/// A header, with what its value is made of.
struct Made {
    from: String,
    name: String,
    value: String,
}

const TOKENS: &str = "tokens";
const FIXED: &str = "fixed";

impl Import {
    /// What the app is told, or the proxy in front where there is no app behind.
    pub(super) fn headers(&mut self, is_forward_auth: bool) -> Told {
        let (request, response) = match self.settings.alpha.as_mut() {
            Some(Alpha { request_headers, response_headers, .. }) => {
                (std::mem::take(request_headers), std::mem::take(response_headers))
            }
            None => self.headers_of_flags(),
        };
        let (told, others) = if is_forward_auth { (response, request) } else { (request, response) };
        // Those of the proxy in front are told to whoever asks, whatever is written here.
        let mut unused: Vec<&str> =
            others.iter().map(|header| header.from.as_str()).filter(|_| !is_forward_auth).collect();
        unused.dedup();
        for from in unused {
            let says = "browsers are not shown who they are; a proxy in front that asks /oauth2/auth gets X-Auth-Request-*, \
                        and an app behind that asks it back needs `session_cookie: proof` on its route";
            self.without(from, says);
        }
        let mut found = Told::default();
        for header in told {
            self.header(header, &mut found);
        }
        if !found.tokens.is_empty() {
            found.credential = Some(TOKENS);
            if let Some((made, _)) = found.fixed.take() {
                self.without(&made.from, "a route has one credential, and here it is the person's tokens");
            }
        } else if found.fixed.is_some() {
            found.credential = Some(FIXED);
        }
        found
    }

    /// Headers as flags ask for them: those for the app, and those for the proxy in front.
    fn headers_of_flags(&mut self) -> (Vec<Header>, Vec<Header>) {
        let by_email = self.settings.switch("prefer-email-to-user");
        let header = |from: &str, name: &str, claim: &str, prefix: &str| Header {
            from: from.to_owned(),
            name: name.to_owned(),
            preserved: false,
            values: vec![HeaderValue::Claim { claim: claim.to_owned(), prefix: prefix.to_owned() }],
        };
        let (mut request, mut response) = (Vec::new(), Vec::new());
        let (user, basic) = (self.settings.switch("pass-user-headers"), self.settings.switch("pass-basic-auth"));
        if user || basic {
            let from = if user { "pass-user-headers" } else { "pass-basic-auth" };
            let is_given = self.settings.given(from).is_some();
            let from = if is_given { from.to_owned() } else { format!("{from}, which is on where it is not given") };
            let from = if by_email { format!("prefer-email-to-user and {from}") } else { from };
            let from = from.as_str();
            request.push(header(from, "X-Forwarded-User", if by_email { "email" } else { "user" }, ""));
            if !by_email {
                request.push(header(from, "X-Forwarded-Email", "email", ""));
            }
            request.push(header(from, "X-Forwarded-Preferred-Username", "preferred_username", ""));
            request.push(header(from, "X-Forwarded-Groups", "groups", ""));
        }
        let access_token = self.settings.switch("pass-access-token");
        if access_token {
            request.push(header("pass-access-token", "X-Forwarded-Access-Token", "access_token", ""));
        }
        if self.settings.switch("pass-authorization-header") {
            request.push(header("pass-authorization-header", "Authorization", "id_token", "Bearer "));
        }
        if self.settings.switch("set-xauthrequest") {
            for (name, claim) in [
                ("X-Auth-Request-User", "user"),
                ("X-Auth-Request-Email", "email"),
                ("X-Auth-Request-Preferred-Username", "preferred_username"),
                ("X-Auth-Request-Groups", "groups"),
            ] {
                response.push(header("set-xauthrequest", name, claim, ""));
            }
            if access_token {
                response.push(header("pass-access-token", "X-Auth-Request-Access-Token", "access_token", ""));
            }
        }
        if self.settings.switch("set-authorization-header") {
            response.push(header("set-authorization-header", "Authorization", "id_token", "Bearer "));
        }
        (request, response)
    }

    fn header(&mut self, header: Header, found: &mut Told) {
        let Header { from, name, preserved, values } = header;
        if preserved {
            let says = "a client could say who it is; its own header of this name is always removed";
            self.refuse(&format!("{from}.preserveRequestValue"), says);
        }
        let mut values = values.into_iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            self.without(
                &from,
                "has no value or several, and a header here is made of one template; write it yourself",
            );
            return;
        };
        match value {
            HeaderValue::Password => {
                self.without(&from, "no password goes to the app; an identity header or a token of the person does it");
            }
            HeaderValue::Fixed(_) if name.eq_ignore_ascii_case("authorization") || found.fixed.is_some() => {
                self.without(&from, "is the same for everybody: write it as a credential of `kind: static`");
            }
            HeaderValue::Fixed(fixed) => found.fixed = Some((Made { from, name, value: String::new() }, fixed)),
            HeaderValue::Claim { claim, prefix } => match claim.as_str() {
                "access_token" | "id_token" if !prefix.contains(['{', '}']) => {
                    found.tokens.push(Made { from, name, value: format!("{prefix}{{{claim}}}") });
                }
                "refresh_token" => self.refuse(&from, "whoever has the refresh token has the session; no app gets it"),
                "created_at" | "expires_on" | "access_token" | "id_token" => {
                    self.without(&from, format!("{claim} is not told to apps in this way"));
                }
                _ if name.eq_ignore_ascii_case("authorization") => {
                    self.without(&from, "Authorization takes a token and no claim");
                }
                _ => {
                    let claims = self.claims(&claim);
                    let prefix = prefix.replace('{', "{{").replace('}', "}}");
                    let value = format!("{prefix}{{{claims}}}");
                    if Template::parse(&value).is_ok() {
                        found.identity.push(Made { from, name, value });
                    } else {
                        self.without(&from, "has a claim or a prefix that a template cannot hold");
                    }
                }
            },
        }
    }

    /// What says that the e-mail address is another claim than `email`.
    pub(super) fn email_claim(&self) -> Option<Text> {
        let other = |flag| self.settings.text(flag).filter(|text| text.value.as_deref() != Some("email"));
        other("oidc-email-claim").or_else(|| other("user-id-claim"))
    }

    /// Which claims hold what oauth2-proxy calls by this name.
    fn claims(&mut self, name: &str) -> String {
        let written = |flag, usual: &str| {
            let text = self.settings.text(flag).and_then(|text| text.value);
            text.filter(|claim| claim != usual)
        };
        match name {
            "user" => "sub".to_owned(),
            "email" => self.email_claim().and_then(|text| text.value).unwrap_or_else(|| "email".to_owned()),
            // ProConnect's name for it as well.
            "groups" => written("oidc-groups-claim", "groups").unwrap_or_else(|| "groups|roles".to_owned()),
            other => other.to_owned(),
        }
    }

    /// The credentials, where routes need some.
    pub(super) fn credentials(&mut self, told: &Told) {
        match told.credential {
            Some(TOKENS) => {
                let _ = write!(self.out, "\ncredentials:\n  {TOKENS}:\n    kind: token\n    headers:\n");
                for Made { from, name, value } in &told.tokens {
                    let _ = writeln!(self.out, "      # From {from}.\n      {}: {}", scalar(name), scalar(value));
                }
            }
            Some(_) => {
                let Some((Made { from, name, .. }, fixed)) = &told.fixed else { return };
                let says = "is a secret and was not copied: put it into the variable UPSTREAM_SECRET, or into a file";
                let secret = match fixed {
                    Fixed::Variable(variable) => format!("{{env: {}}}", scalar(variable)),
                    Fixed::File(path) => format!("{{file: {}}}", scalar(path)),
                    Fixed::Here => {
                        self.note("", from, says);
                        "{env: UPSTREAM_SECRET}".to_owned()
                    }
                };
                let _ = write!(self.out, "\ncredentials:\n  {FIXED}:\n    # From {from}.\n    kind: static\n");
                let _ = writeln!(self.out, "    header: {}\n    secret: {secret}", scalar(name));
            }
            None => {}
        }
    }

    pub(super) fn identity(&mut self, told: &Told, is_forward_auth: bool) {
        let mut used: Vec<String> = Vec::new();
        for (flag, unused) in
            [("oidc-email-claim", "email"), ("oidc-groups-claim", "groups"), ("user-id-claim", "email")]
        {
            let Some(text) = self.settings.text(flag) else { continue };
            if text.value.as_deref() == Some(unused) {
                self.not_needed(&text.name, format!("is {unused} here too"));
            } else if told
                .identity
                .iter()
                .any(|made| text.value.as_deref().is_some_and(|claim| made.value.contains(claim)))
            {
                used.push(text.name);
            } else {
                self.not_needed(&text.name, "no header is made of it");
            }
        }
        self.line("\nidentity:");
        let Some(first) = told.identity.first() else {
            if is_forward_auth {
                self.line("  # What /oauth2/auth tells the proxy in front.\n  headers: x-auth-request");
            } else {
                self.line("  # The app is told nothing.\n  headers: {}");
            }
            return;
        };
        let mut names: Vec<&str> = told.identity.iter().map(|made| made.from.as_str()).collect();
        names.dedup();
        if !used.is_empty() {
            let _ = writeln!(self.out, "  # With {}.", used.join(" and "));
        }
        if let Some(set) = NAMED_SETS.into_iter().find(|set| is_set(set, &told.identity)) {
            let _ = writeln!(self.out, "  # From {}.\n  headers: {set}", names.join(", "));
            return;
        }
        let is_one = names.len() == 1;
        if is_one {
            let _ = writeln!(self.out, "  # From {}.", first.from);
        }
        self.line("  headers:");
        for Made { from, name, value } in &told.identity {
            if !is_one {
                let _ = writeln!(self.out, "    # From {from}.");
            }
            let _ = writeln!(self.out, "    {}: {}", scalar(name), scalar(value));
        }
    }
}

/// Whether these headers are those of a set that has a name.
fn is_set(set: &str, headers: &[Made]) -> bool {
    let Some(of_set) = named_set(set) else { return false };
    of_set.len() == headers.len()
        && headers.iter().all(|made| {
            // Of the one provider that there is, the subject is all that a set says of who somebody is.
            let is_subject = made.value == "{sub}";
            let template = if is_subject { Some(Template::user()) } else { Template::parse(&made.value).ok() };
            of_set
                .iter()
                .any(|(name, known)| made.name.eq_ignore_ascii_case(name.as_str()) && template.as_ref() == Some(known))
        })
}

//! Why, for administrators: the page with its form at `/explain`, and the same for programs, which
//! send JSON there.
//!
//! Called by `mod` for whoever has the token. What is told is `server/explain`'s; a live session is
//! known by what the store lists of it, which is not all that its cookie holds. Must never show a
//! cookie that was sent, and takes none from a browser's form.

use super::access::{self, Access, Scheme, is_from_own_page};
use super::answer::{Failure, json_text, set_headers, text};
use super::api::session_id;
use super::{Admin, Asked};
use crate::gate::trace::Step;
use crate::pages::{ExplainForm, ExplainPage, Fact, Told, ToldRule, ToldStep};
use crate::server::endpoints::language_of;
use crate::server::explain::{Explanation, Question, SupposedClaims, Who};
use crate::server::form::field;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A question as programs send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    method: String,
    url: String,
    claims: Option<serde_json::Map<String, serde_json::Value>>,
    /// The name of a live session.
    session: Option<String>,
    cookie: Option<String>,
    bearer: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    client: Option<IpAddr>,
}

/// What is known of a live session by its name.
const LISTED: &str = "of a live session the store lists sub, email, siret and organization_label, and its cookie alone holds the rest: \
     a rule on another claim is judged as if there were none";

impl Admin {
    /// The page, with nothing asked.
    pub(super) fn show_explain(&self, asked: &Asked<'_>) -> Response<Vec<u8>> {
        let form = ExplainForm { method: "GET".to_owned(), url: "/".to_owned(), ..ExplainForm::default() };
        self.explain_page(ExplainPage { asked: form, ..ExplainPage::default() }, asked)
    }

    /// Answers a question, in the form in which it came.
    pub(super) async fn explain(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let content_type = asked.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/json") {
            // A browser sends the password that it knows with whatever a page asks for.
            if access::check(self.token.as_ref(), asked.headers, Scheme::Bearer) != Access::Granted {
                return Err(Failure::Unauthorized);
            }
            return self.explain_json(asked).await;
        }
        if !is_from_own_page(asked.headers) {
            return Err(Failure::OtherSite);
        }
        let text = |name: &str| field(asked.form, name).unwrap_or_default().trim().to_owned();
        let form = ExplainForm {
            method: text("method"),
            url: text("url"),
            claims: text("claims"),
            session: text("session"),
            bearer: text("bearer"),
            headers: text("headers"),
            client: text("client"),
        };
        let page = match self.of_form(&form).await {
            Ok(explained) => ExplainPage { told: Some(told(&explained)), asked: form, mistake: None },
            Err(Failure::BadRequest(mistake)) => ExplainPage { mistake: Some(mistake), asked: form, told: None },
            Err(failure @ Failure::NotListed) => {
                ExplainPage { mistake: Some(failure.to_string()), asked: form, told: None }
            }
            Err(failure) => return Err(failure),
        };
        Ok(self.explain_page(page, asked))
    }

    fn explain_page(&self, page: ExplainPage, asked: &Asked<'_>) -> Response<Vec<u8>> {
        let language = language_of(asked.headers);
        let mut answer = text(StatusCode::OK, &self.pages.render_explain(page, language));
        set_headers(&mut answer, self.pages.admin_headers(language));
        answer
    }

    async fn explain_json(&self, asked: &Asked<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let sent: Sent = serde_json::from_str(asked.form).map_err(|error| {
            // The words of the parser may hold what was sent.
            Failure::BadRequest(format!(
                "line {}, column {}: no question; send {{\"method\": \"GET\", \"url\": \"/\", \"claims\": {{…}}}}, with claims, session or cookie, and bearer, headers and client where they matter",
                error.line(),
                error.column()
            ))
        })?;
        let claims = sent.claims.map(SupposedClaims::from);
        let (who, note) = match (sent.bearer, sent.session, sent.cookie, claims) {
            (Some(rule), None, None, claims) => (Who::Caller { rule, claims: claims.unwrap_or_default() }, None),
            (None, Some(id), None, None) => self.live(&id, &sent.url).await?,
            (None, None, Some(cookie), None) => (Who::Cookie(cookie), None),
            (None, None, None, Some(claims)) => (Who::Person(claims), None),
            (None, None, None, None) => (Who::Nobody, None),
            _ => {
                return Err(Failure::BadRequest(
                    "give one of claims, session and cookie; bearer goes with claims".to_owned(),
                ));
            }
        };
        let headers = sent.headers.into_iter().collect();
        let explained = self.told(sent.method, sent.url, headers, sent.client, who, note)?;
        let body = serde_json::to_string(&explained).map_err(|error| Failure::BadRequest(error.to_string()))?;
        Ok(json_text(StatusCode::OK, body))
    }

    async fn of_form(&self, form: &ExplainForm) -> Result<Explanation, Failure> {
        let bad = |what: &str| Failure::BadRequest(what.to_owned());
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let claims = given(&form.claims).map(|text| SupposedClaims::parse(&text)).transpose();
        let claims = claims.map_err(|error| Failure::BadRequest(error.to_string()))?;
        let (who, note) = match (given(&form.bearer), given(&form.session), claims) {
            (Some(rule), None, claims) => (Who::Caller { rule, claims: claims.unwrap_or_default() }, None),
            (None, Some(id), None) => self.live(&id, &form.url).await?,
            (None, None, Some(claims)) => (Who::Person(claims), None),
            (None, None, None) => (Who::Nobody, None),
            _ => return Err(bad("give claims or a session; a rule of bearer goes with claims")),
        };
        let header = |line: &str| {
            let (name, value) = line.split_once(':').ok_or_else(|| bad("a header is written as Name: value"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        let headers = form.headers.lines().filter(|line| !line.trim().is_empty()).map(header);
        let headers = headers.collect::<Result<Vec<_>, Failure>>()?;
        let client = given(&form.client).map(|text| text.parse::<IpAddr>()).transpose();
        let client = client.map_err(|_| bad("the client's address is no IP address"))?;
        self.told(form.method.clone(), form.url.clone(), headers, client, who, note)
    }

    fn told(
        &self,
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        client: Option<IpAddr>,
        who: Who,
        note: Option<&str>,
    ) -> Result<Explanation, Failure> {
        let question = Question { method, url, headers, client, at: self.clock.now(), who };
        let explained = self.explainer.load().explain(&question);
        let mut explained = explained.map_err(|bad| Failure::BadRequest(bad.to_string()))?;
        explained.notes.extend(note.map(str::to_owned));
        Ok(explained)
    }

    /// Whose session it is, as the store lists it.
    async fn live(&self, id: &str, url: &str) -> Result<(Who, Option<&'static str>), Failure> {
        let id = session_id(id)?;
        let name = self.explainer.load().site_named(url);
        let site = self.site(name.as_deref())?;
        let listed = site.sessions.listed_one(id, self.clock.now()).await.map_err(Failure::StoreDown)?;
        let listed = listed.ok_or(Failure::NotListed)?;
        let held = [
            ("sub", Some(&listed.subject)),
            ("email", listed.email.as_ref()),
            ("siret", listed.siret.as_ref()),
            ("organization_label", listed.organization.as_ref()),
        ];
        let claims = held.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone().into())));
        let claims = SupposedClaims::from(claims.collect::<serde_json::Map<_, _>>()).by(listed.provider.clone());
        Ok((Who::Person(claims), Some(LISTED)))
    }
}

/// The answer as the page shows it.
fn told(explained: &Explanation) -> Told {
    let mut facts = vec![(
        Fact::Request,
        vec![
            format!("{} {}", explained.method, explained.url),
            explained.client_kind.to_owned(),
            explained.who.clone(),
        ],
    )];
    let mut add = |fact: Fact, lines: Vec<String>| {
        if !lines.is_empty() {
            facts.push((fact, lines));
        }
    };
    add(Fact::Route, explained.route.iter().chain(&explained.ours).cloned().collect());
    add(Fact::Others, explained.others.iter().map(|other| format!("{}: {}", other.route, other.why)).collect());
    let reading = |reading: &crate::server::explain::ReadingOf| {
        let taken = reading.taken_for.as_ref().map(|other| format!(" (≈ {other})")).unwrap_or_default();
        format!("{} → {}{taken}", reading.path, reading.route.as_deref().unwrap_or("—"))
    };
    add(Fact::Readings, explained.readings.iter().map(reading).collect());
    if let Some(forwarded) = &explained.forwarded {
        let to = forwarded.upstream.iter().chain(&forwarded.address).cloned();
        add(Fact::Upstream, to.chain([format!("{}{}", forwarded.host, forwarded.target)]).collect());
        add(Fact::Sets, forwarded.identity.iter().map(|(name, value)| format!("{name}: {value}")).collect());
        add(Fact::Strips, forwarded.stripped.clone());
        add(Fact::Credential, forwarded.credential.iter().cloned().collect());
    }
    add(Fact::Notes, explained.notes.clone());
    let rules = explained.rules.rules.iter().map(|rule| {
        let mut steps = Vec::new();
        flatten(&rule.step, 0, &mut steps);
        ToldRule { name: format!("{} {}", rule.list, rule.name), holds: rule.step.holds, steps }
    });
    Told { decision: explained.decision.to_owned(), reason: explained.reason.clone(), rules: rules.collect(), facts }
}

fn flatten(step: &Step, depth: usize, into: &mut Vec<ToldStep>) {
    let saw = if step.saw.is_empty() { String::new() } else { format!(" ({})", step.saw.join(", ")) };
    into.push(ToldStep { depth: depth.min(3), says: format!("{}{saw}", step.says), holds: step.holds });
    for part in &step.parts {
        flatten(part, depth + 1, into);
    }
}

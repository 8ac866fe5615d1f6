//! The provider's pages: sign-in, confirm sign-out, signed out, sessions, refused.
//!
//! French first, English beside it, no JavaScript. Every page says that this is not ProConnect.
//! Whatever comes from a request is escaped by the templates.

use super::agents::{ACR_VALUES, IDENTITY_PROVIDERS, ROLES, TestAgent};
use super::logout_token::Delivery;
use super::request::Request;
use super::sign_in::Typed;
use super::state::Session;
use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

/// What is wrong with one field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldError {
    pub(super) field: &'static str,
    pub(super) fr: &'static str,
    pub(super) en: &'static str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{ title }} — Fournisseur de démonstration</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/api/v2/style.css">
</head>
<body>
<p class="notice"><strong>Fournisseur de démonstration — ce n’est pas ProConnect.</strong>
<span lang="en">Demonstration provider — this is not ProConnect. Nothing here is real.</span></p>
<main>
{{ body|safe }}
</main>
<footer>
<p>Vestibule · démonstration sur cette machine seulement <span lang="en">· demonstration, on this machine only</span></p>
</footer>
</body>
</html>
"#
)]
struct Document<'a, T: Template> {
    title: &'a str,
    body: T,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<h1>Se connecter à «&nbsp;{{ client }}&nbsp;»</h1>
<p class="lead">Choisissez un agent de test, ou saisissez une identité. Toutes ces personnes sont fictives.
<span lang="en">Choose a test agent, or type an identity. All of these people are invented.</span></p>
{% if !errors.is_empty() %}
<div class="alert" role="alert" id="errors">
<h2>Le formulaire contient des erreurs <span lang="en">The form has errors</span></h2>
<ul>{% for error in errors %}
<li><a href="#{{ error.field }}">{{ error.fr }}</a> <span lang="en">{{ error.en }}</span></li>{% endfor %}
</ul>
</div>
{% endif %}
{% if !required_acr.is_empty() %}
<p class="info">Le service exige l’un de ces niveaux&nbsp;: <code>{{ required_acr }}</code>.
<span lang="en">The service requires one of these levels.</span></p>
{% endif %}
<section aria-labelledby="agents">
<h2 id="agents">Agents de test <span lang="en">Test agents</span></h2>
<form method="post" action="{{ action }}" class="agents">
{% for test in agents %}
<button type="submit" name="agent" value="{{ test.key }}" class="agent">
<span class="name">{{ test.agent.given_name }} {{ test.agent.usual_name }}</span>
<span class="function">{{ test.function }}</span>
<span class="function" lang="en">{{ test.function_en }}</span>
<span class="detail">{{ test.agent.email }}</span>
<span class="detail">{{ test.agent.organization_label.as_deref().unwrap_or_default() }}</span>
<span class="detail">SIRET&nbsp;{{ test.agent.siret }}</span>
<span class="tags">{% for role in test.agent.roles %}<span class="tag">{{ role }}</span> {% endfor %}<span class="tag acr">{{ test.agent.acr }}</span></span>
</button>
{% endfor %}
</form>
</section>
<section aria-labelledby="typed">
<details{% if !errors.is_empty() || !typed.email.is_empty() %} open{% endif %}>
<summary><h2 id="typed">Une autre identité <span lang="en">Another identity</span></h2></summary>
<form method="post" action="{{ action }}" class="typed" novalidate>
{% for field in fields %}
<div class="field{% if field.error.is_some() %} wrong{% endif %}">
<label for="{{ field.name }}">{{ field.label }} <span lang="en">{{ field.label_en }}</span></label>
<input id="{{ field.name }}" name="{{ field.name }}" type="{{ field.kind }}" value="{{ field.value }}" required{% if field.numeric %} inputmode="numeric"{% endif %} autocomplete="off"{% if field.error.is_some() %} aria-invalid="true" aria-describedby="{{ field.name }}-error"{% endif %}>
{% if let Some(error) = field.error %}<p class="error" id="{{ field.name }}-error">{{ error.fr }} <span lang="en">{{ error.en }}</span></p>{% endif %}
</div>
{% endfor %}
<fieldset id="roles">
<legend>Rôles <span lang="en">Roles — none means private sector</span></legend>
{% for (role, checked) in roles %}
<label class="choice"><input type="checkbox" name="roles" value="{{ role }}"{% if *checked %} checked{% endif %}> <code>{{ role }}</code></label>
{% endfor %}
</fieldset>
<div class="field">
<label for="acr">Niveau d’authentification <span lang="en">Authentication level (acr)</span></label>
<select id="acr" name="acr">{% for (acr, selected) in acr_values %}
<option value="{{ acr }}"{% if *selected %} selected{% endif %}>{{ acr }}</option>{% endfor %}
</select>
</div>
<button type="submit" class="primary">Se connecter <span lang="en">Sign in</span></button>
</form>
</details>
</section>
<form method="post" action="{{ action }}">
<button type="submit" name="cancel" value="1" class="secondary">Annuler et revenir au service <span lang="en">Cancel and go back</span></button>
</form>
{% if !idp.is_empty() %}<p class="small">Fournisseur d’identité demandé&nbsp;: {{ idp }}</p>{% endif %}
"##
)]
struct SignIn<'a> {
    client: &'a str,
    action: &'a str,
    agents: &'a [TestAgent],
    typed: &'a Typed,
    errors: &'a [FieldError],
    fields: [Field<'a>; 4],
    roles: Vec<(&'static str, bool)>,
    acr_values: Vec<(&'static str, bool)>,
    required_acr: String,
    idp: &'static str,
}

struct Field<'a> {
    name: &'static str,
    kind: &'static str,
    label: &'static str,
    label_en: &'static str,
    value: &'a str,
    numeric: bool,
    error: Option<FieldError>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>Se déconnecter</h1>
<p class="lead">Votre session auprès du fournisseur de démonstration va prendre fin.
<span lang="en">Your session at the demonstration provider is about to end.</span></p>
<form method="post" action="/api/v2/session/end/confirm">
<input type="hidden" name="post_logout_redirect_uri" value="{{ address }}">
<input type="hidden" name="state" value="{{ state }}">
{% if let Some(hint) = hint %}<input type="hidden" name="id_token_hint" value="{{ hint }}">{% endif %}
{% if let Some(client_id) = client_id %}<input type="hidden" name="client_id" value="{{ client_id }}">{% endif %}
<button type="submit" class="primary">Se déconnecter <span lang="en">Sign out</span></button>
</form>
"#
)]
struct ConfirmSignOut<'a> {
    address: &'a str,
    state: &'a str,
    hint: Option<&'a str>,
    client_id: Option<&'a str>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>{{ heading }}</h1>
<p class="lead">{{ fr }} <span lang="en">{{ en }}</span></p>
{% if !code.is_empty() %}
<dl class="codes">
<dt>Code</dt><dd><code>{{ code }}</code></dd>
<dt>Cause</dt><dd lang="en">{{ cause }}</dd>
</dl>
{% endif %}
"#
)]
struct Message<'a> {
    heading: &'a str,
    fr: &'a str,
    en: &'a str,
    code: &'a str,
    cause: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>Vous êtes bien déconnecté</h1>
{% if let Some(back) = back %}<p class="lead"><a href="{{ back }}">Revenir au service</a> <span lang="en">You are signed out. Go back to the service.</span></p>
{% else %}<p class="lead">Vous pouvez fermer cette fenêtre. <span lang="en">You are signed out. You may close this window.</span></p>
{% endif %}{% for frame in frames %}<iframe src="{{ frame }}" title="Déconnexion d’un service" width="0" height="0" hidden></iframe>
{% endfor %}"#
)]
struct SignedOut<'a> {
    frames: &'a [String],
    back: Option<&'a str>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>Sessions en cours <span lang="en">Sessions</span></h1>
{% if let Some(told) = told %}
<div class="info" role="status"><p>Déconnexion faite. <span lang="en">Signed out everywhere.</span></p>
<ul>{% for delivery in told %}
<li><code>{{ delivery.client_id }}</code>&nbsp;: {% match delivery.status %}{% when Some with (status) %}{{ status }}{% when None %}injoignable <span lang="en">out of reach</span>{% endmatch %}</li>{% endfor %}
</ul></div>
{% endif %}
{% if sessions.is_empty() %}<p class="lead">Personne n’est connecté. <span lang="en">Nobody is signed in.</span></p>{% endif %}
<form method="post" action="/api/v2/sessions" class="agents">
{% for session in sessions %}
<button type="submit" name="sub" value="{{ session.agent.sub }}" class="agent">
<span class="name">{{ session.agent.given_name }} {{ session.agent.usual_name }}</span>
<span class="function">Déconnecter partout <span lang="en">Sign out everywhere</span></span>
<span class="detail">{{ session.agent.email }}</span>
<span class="detail">sid&nbsp;{{ session.sid }}</span>
</button>
{% endfor %}
</form>
"#
)]
struct SignedIn<'a> {
    sessions: &'a [Session],
    told: Option<&'a [Delivery]>,
}

pub(super) fn sign_in(
    action: &str,
    request: &Request,
    agents: &[TestAgent],
    typed: &Typed,
    errors: &[FieldError],
) -> Response {
    let field = |name, kind, label, label_en, value| {
        let error = errors.iter().find(|error| error.field == name).copied();
        Field { name, kind, label, label_en, value, numeric: name == "siret", error }
    };
    let body = SignIn {
        client: &request.client.name,
        action,
        agents,
        typed,
        errors,
        fields: [
            field("email", "email", "Adresse électronique", "E-mail", &typed.email),
            field("given_name", "text", "Prénom(s)", "Given name(s)", &typed.given_name),
            field("usual_name", "text", "Nom d’usage", "Usual name", &typed.usual_name),
            field("siret", "text", "Numéro SIRET (14 chiffres)", "SIRET number (14 digits)", &typed.siret),
        ],
        roles: ROLES.into_iter().map(|role| (role, typed.roles.iter().any(|typed| typed == role))).collect(),
        acr_values: ACR_VALUES.into_iter().map(|acr| (acr, typed.acr == acr)).collect(),
        required_acr: request.acr.essential.join(", "),
        idp: IDENTITY_PROVIDERS
            .into_iter()
            .find(|(id, _)| request.idp_hint.as_deref() == Some(id))
            .map_or("", |(_, name)| name),
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    document(status, "Se connecter", body, Some(&request.redirect_uri))
}

pub(super) fn confirm_sign_out(address: &str, state: &str, hint: Option<&str>, client_id: Option<&str>) -> Response {
    document(StatusCode::OK, "Se déconnecter", ConfirmSignOut { address, state, hint, client_id }, Some(address))
}

/// Signed out: with a frame for each client that is told so, and the way back.
pub(super) fn signed_out(frames: &[String], back: Option<&str>) -> Response {
    framing(StatusCode::OK, "Déconnexion", SignedOut { frames, back }, None, frames)
}

/// Who is signed in here, with a button each to sign them out everywhere.
pub(super) fn signed_in(sessions: &[Session], told: Option<&[Delivery]>) -> Response {
    document(StatusCode::OK, "Sessions", SignedIn { sessions, told }, None)
}

/// The page for what cannot be told to the client, with ProConnect's code for it.
pub(super) fn refused(code: &str, cause: &str) -> Response {
    tracing::info!(code, cause, "the demo provider refuses a request");
    let body = Message {
        heading: "Une erreur est survenue",
        fr: "La demande du service n’est pas recevable : elle n’est pas renvoyée au service.",
        en: "The service’s request cannot be accepted, and nothing is sent back to the service.",
        code,
        cause,
    };
    document(StatusCode::BAD_REQUEST, "Erreur", body, None)
}

/// The page for what is our own failure.
pub(super) fn failed() -> Response {
    let body = Message {
        heading: "Une erreur est survenue",
        fr: "Le fournisseur de démonstration ne peut pas répondre.",
        en: "The demonstration provider cannot answer.",
        code: "server_error",
        cause: "the system gave no random bytes",
    };
    document(StatusCode::INTERNAL_SERVER_ERROR, "Erreur", body, None)
}

pub(super) async fn not_found() -> Response {
    let body = Message {
        heading: "Page introuvable",
        fr: "Cette adresse n’existe pas ici.",
        en: "There is nothing at this address.",
        code: "Y000404",
        cause: "unknown route",
    };
    document(StatusCode::NOT_FOUND, "Page introuvable", body, None)
}

pub(super) async fn style() -> Response {
    let mut response = Response::new(Body::from(include_str!("style.css")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A whole page. `leads_to` is where its forms end after a redirect: browsers check that too.
fn document(status: StatusCode, title: &str, body: impl Template, leads_to: Option<&str>) -> Response {
    framing(status, title, body, leads_to, &[])
}

/// A whole page that may show these addresses in frames.
fn framing(
    status: StatusCode,
    title: &str,
    body: impl Template,
    leads_to: Option<&str>,
    frames: &[String],
) -> Response {
    let Ok(text) = (Document { title, body }).render() else {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    let client = leads_to.and_then(|uri| url::Url::parse(uri).ok()).map(|url| url.origin());
    let form_action = match client {
        Some(origin) if origin.is_tuple() => format!("'self' {}", origin.ascii_serialization()),
        _ => "'self'".to_owned(),
    };
    let origins = frames.iter().filter_map(|uri| Some(url::Url::parse(uri).ok()?.origin().ascii_serialization()));
    let frame_src = if frames.is_empty() { "'none'".to_owned() } else { origins.collect::<Vec<_>>().join(" ") };
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src data:; frame-src {frame_src}; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

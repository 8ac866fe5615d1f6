//! The app's pages and its one JSON answer.

use super::Shared;
use super::headers::{self, Shown};
use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::json;
use std::sync::Arc;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% if is_public %}Page publique{% else %}Application de démonstration{% endif %}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/app.css">
{% if !is_public %}<script src="/app.js" defer></script>{% endif %}
</head>
<body>
<header>
<p class="brand">Application de démonstration <span lang="en">Demonstration app</span></p>
<nav aria-label="Pages"><a href="/"{% if !is_public %} aria-current="page"{% endif %}>Accueil</a> <a href="/public"{% if is_public %} aria-current="page"{% endif %}>Page publique</a></nav>
{% if person.is_some() %}<form method="post" action="{{ sign_out }}"><button type="submit">Se déconnecter <span lang="en">Sign out</span></button></form>{% endif %}
</header>
<main>
{% if is_public %}
<h1>Une page publique</h1>
<p class="lead">Cette route est ouverte à tous. Sans connexion, aucun en-tête d’identité n’y parvient, même si le navigateur en envoie&nbsp;; après une connexion, ceux que Vestibule a vérifiés.
<span lang="en">This route is open to all. Without a sign-in no identity header reaches it, even if the browser sends some; after one, those that Vestibule has verified.</span></p>
{% else if let Some(person) = person %}
<h1>Bonjour {{ person }}</h1>
<p class="lead">Cette application ne contient aucun code de connexion&nbsp;: elle lit les en-têtes que Vestibule a vérifiés.
<span lang="en">This app holds no sign-in code: it reads the headers that Vestibule has verified.</span></p>
{% else %}
<h1>Bonjour</h1>
<p class="lead">Aucun en-tête n’identifie la personne. <span lang="en">No header names the person.</span></p>
{% endif %}
<section aria-labelledby="identity">
<h2 id="identity">Identité reçue <span lang="en">Identity received</span></h2>
{% if identity.is_empty() %}<p class="none">Aucun en-tête d’identité. <span lang="en">No identity header.</span></p>
{% else %}<div class="scroll"><table class="identity">
<thead><tr><th scope="col">En-tête <span lang="en">Header</span></th><th scope="col">Valeur <span lang="en">Value</span></th></tr></thead>
<tbody>{% for header in identity %}
<tr><th scope="row">{{ header.name }}</th><td>{{ header.reads }}{% if header.is_encoded() %} <span class="raw">reçu&nbsp;: <code>{{ header.value }}</code></span>{% endif %}</td></tr>{% endfor %}
</tbody></table></div>{% endif %}
</section>
{% if !is_public %}
<div class="live">
<section aria-labelledby="socket">
<h2 id="socket">WebSocket <span class="state" id="socket-state" role="status">…</span></h2>
<p>Battements reçus&nbsp;: <strong id="socket-ticks">0</strong> · identité à l’ouverture&nbsp;: <strong id="socket-person">—</strong>
<span lang="en">Ticks received, and who opened it</span></p>
<form id="socket-form"><label for="socket-text">Message à renvoyer <span lang="en">Message to echo</span></label>
<div class="row"><input id="socket-text" autocomplete="off" maxlength="200"><button type="submit">Envoyer</button></div></form>
<ol id="socket-log" class="log" aria-live="polite"></ol>
</section>
<section aria-labelledby="stream">
<h2 id="stream">Flux d’événements <span class="state" id="stream-state" role="status">…</span></h2>
<p>Événements reçus&nbsp;: <strong id="stream-count">0</strong> · identité&nbsp;: <strong id="stream-person">—</strong>
<span lang="en">Events received, one a second</span></p>
<ol id="stream-log" class="log"></ol>
</section>
</div>
<noscript><p class="none">Le WebSocket et le flux demandent JavaScript. <span lang="en">The WebSocket and the stream need JavaScript.</span></p></noscript>
{% endif %}
<section aria-labelledby="others">
<details><summary><h2 id="others">Autres en-têtes de la requête ({{ others.len() }}) <span lang="en">Other headers of the request</span></h2></summary>
<div class="scroll"><table>
<thead><tr><th scope="col">En-tête <span lang="en">Header</span></th><th scope="col">Valeur <span lang="en">Value</span></th></tr></thead>
<tbody>{% for header in others %}
<tr><th scope="row">{{ header.name }}</th><td>{{ header.value }}</td></tr>{% endfor %}
</tbody></table></div>
</details>
</section>
</main>
</body>
</html>
"#
)]
struct Page<'a> {
    is_public: bool,
    person: Option<String>,
    sign_out: &'a str,
    identity: Vec<Shown>,
    others: Vec<Shown>,
}

pub(super) async fn home(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    page(&shared, &headers, false)
}

pub(super) async fn public(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    page(&shared, &headers, true)
}

fn page(shared: &Shared, headers: &HeaderMap, is_public: bool) -> Response {
    let (identity, others) = headers::shown(headers).into_iter().partition(|header| header.is_identity);
    let page = Page { is_public, person: headers::person(headers), sign_out: &shared.sign_out, identity, others };
    let Ok(text) = page.render() else {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    let mut response = answer("text/html; charset=utf-8", text);
    // No form-action: the sign-out form goes round by the provider, and browsers check every
    // redirect on the way against it.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                  base-uri 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What was received, for programs: the headers in the order of the page, repeated ones too.
pub(super) async fn api_headers(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let listed: Vec<_> = headers::shown(&headers)
        .into_iter()
        .map(|header| json!({"name": header.name, "value": header.value, "shown": header.reads, "identity": header.is_identity}))
        .collect();
    let text = json!({"method": method.as_str(), "target": uri.to_string(), "headers": listed}).to_string();
    let mut response = answer("application/json; charset=utf-8", text);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) async fn script() -> Response {
    answer("text/javascript; charset=utf-8", include_str!("app.js").to_owned())
}

pub(super) async fn style() -> Response {
    answer("text/css; charset=utf-8", include_str!("app.css").to_owned())
}

fn answer(content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

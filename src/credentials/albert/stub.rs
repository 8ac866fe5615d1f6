//! For this room's tests: an API on loopback that answers as a test says, and writes down what it
//! was asked.

use super::Albert;
use super::calls::Calls;
use super::rules::{Grant, Otherwise, Reference};
use super::settings::{Dialect, Settings};
use crate::fetch::Fetch;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as `METHOD path?query`, the bearer that it carried, and its body.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) bearer: Option<String>,
    pub(super) body: Value,
}

/// An API that answers with what a test makes of each request: a status and a body.
#[derive(Clone)]
pub(super) struct Stub {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    pub(super) async fn new(answer: impl Fn(&Asked) -> (u16, String) + Clone + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let routes = axum::Router::new().fallback(move |request: Request| {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let bearer = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
                let asked = Asked {
                    line: format!("{} {}", parts.method, parts.uri),
                    bearer,
                    body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                };
                let (status, body) = answer(&asked);
                log.lock().unwrap().push(asked);
                Response::builder().status(status).body(Body::from(body)).unwrap()
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    pub(super) fn settings(&self, version: Option<Dialect>) -> Settings {
        Settings {
            name: "albert".to_owned(),
            url: self.url.clone(),
            admin_key: "sk-the-admin".into(),
            version,
            rules: Vec::new(),
            otherwise: Otherwise::Grant(Grant { role: Some(Reference::Id(1)), organization: None }),
            key_lifetime: None,
            timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn calls(&self) -> Calls {
        Calls { settings: self.settings(None), fetch: Fetch::new().unwrap() }
    }

    pub(super) fn albert(&self, version: Option<Dialect>) -> Albert {
        Albert::new(self.settings(version), Fetch::new().unwrap())
    }
}

/// FastAPI's answer to a path that it does not have.
pub(super) fn no_such_path() -> (u16, String) {
    detail(404, "Not Found")
}

pub(super) fn detail(status: u16, detail: &str) -> (u16, String) {
    (status, serde_json::json!({ "detail": detail }).to_string())
}

//! The admin listener: health, readiness, metrics. Nothing of it answers on the proxy listener.

use super::metrics::Metrics;
use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;

/// What readiness depends on.
pub(super) type IsReady = Arc<dyn Fn() -> bool + Send + Sync>;

pub(super) struct Admin {
    pub(super) metrics: Arc<Metrics>,
    pub(super) is_ready: IsReady,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        const TEXT: &str = "text/plain; charset=utf-8";
        let request = session.req_header();
        if request.method != Method::GET && request.method != Method::HEAD {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is answered here\n".to_owned());
        }
        match request.uri.path() {
            "/healthz" => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" if (self.is_ready)() => answer(StatusCode::OK, TEXT, "ready\n".to_owned()),
            "/readyz" => {
                let why = "not ready: the provider's metadata and keys have not been had yet; the log says why\n";
                answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, why.to_owned())
            }
            "/metrics" => answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render()),
            _ => answer(StatusCode::NOT_FOUND, TEXT, "try /healthz, /readyz or /metrics\n".to_owned()),
        }
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = status;
    let length = response.body().len();
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response.headers_mut().insert(CONTENT_LENGTH, http::HeaderValue::from(length));
    response
}

//! Envoy's gRPC `ext_authz`: the question of `/oauth2/auth` in a message.
//!
//! Called by `server` for `listeners.forward_auth_grpc`. The message says the request in one place
//! (`attributes.request.http`), where no client can write; the request is rebuilt from it
//! (`web/original`) and judged by `server/forward_auth`, as every other question. What is here is the
//! wire: messages in, and the answer as a message out. It decides nothing. What is no message, or not
//! a question, is an error or a refusal, never an answer that lets something pass.
//!
//! | the answer | `CheckResponse` |
//! |---|---|
//! | the request may pass | status 0, `ok_response`: what to set on the request, what to take off it, cookies for the browser |
//! | it may not | status 16 (not signed in), 14 (an outage) or 7, `denied_response`: what the browser gets, as over HTTP |

mod messages;

use super::exchange::{AccessLine, Exchange};
use super::forward_auth::{Answer, Granted, NoQuestion};
use super::listen::{Bound, Socket};
use super::metrics::Metrics;
use super::proxy::Proxy;
use super::reply::Reply;
use super::settings::NotSignedIn;
use super::sites::Front;
use crate::gate::constraints::Constraints;
use crate::web::cookies::{self, ForApp};
use crate::web::original::OriginalRequest;
use futures_util::stream::{Stream, unfold};
use http::header::{AUTHORIZATION, COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use messages::{
    CheckRequest, CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValueOption, HttpResponse, HttpStatus,
    OkHttpResponse, Status,
};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::{TcpConnectInfo, UdsConnectInfo};
use tonic::{Code, Request, Response};
use tonic_prost::ProstCodec;
use tower_service::Service;
use tracing::Level;

/// The one method of `envoy.service.auth.v3.Authorization`.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Told over HTTP alone.
const GAP_AUTH: &str = "gap-auth";

/// The longest message, in bytes: a request head of the most that is served, and the certificates
/// and labels that Envoy can be told to send with it.
const LONGEST_QUESTION: usize = 256 * 1024;
/// Questions under way on one connection; Envoy opens another for more.
const QUESTIONS_AT_ONCE: u32 = 256;
/// The most bytes of a call's own headers, which say nothing of the request.
const LONGEST_METADATA: u32 = 16 * 1024;
/// Finds out that the other end is gone without a word.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Until the next try when no connection can be taken (no descriptors left, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The service that Envoy calls.
#[derive(Clone)]
pub(super) struct ExtAuthz {
    front: Front,
}

/// A site, as Envoy asks it.
struct OfSite {
    proxy: Arc<Proxy>,
}

impl ExtAuthz {
    /// Answers as `front` would, which has to be one for front proxies alone.
    pub(super) fn new(front: Front) -> Self {
        Self { front }
    }

    /// Answers until told to stop; then until the last connection is closed.
    pub(super) async fn serve(self, listener: Bound, mut stopped: watch::Receiver<bool>) {
        let server = Server::builder()
            .initial_stream_window_size(u32::try_from(LONGEST_QUESTION).ok())
            .initial_connection_window_size(u32::try_from(4 * LONGEST_QUESTION).ok())
            .max_concurrent_streams(QUESTIONS_AT_ONCE)
            .http2_max_header_list_size(LONGEST_METADATA)
            .http2_keepalive_interval(Some(KEEP_ALIVE));
        // An error is a sender that is gone, which is an end as well.
        let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        let outcome = match listener.into_socket() {
            Socket::Tcp(socket, _) => match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => {
                    let accept = async |socket: &tokio::net::TcpListener| {
                        let stream = socket.accept().await?.0;
                        // Fails where the other end is gone already, which is found out soon enough.
                        let _ = stream.set_nodelay(true);
                        Ok(stream)
                    };
                    server.serve_with_incoming_shutdown(self, connections(socket, accept), stop).await
                }
                Err(error) => return tracing::error!(%error, "the gRPC listener cannot be used"),
            },
            Socket::Unix(socket, _) => match tokio::net::UnixListener::from_std(socket) {
                Ok(socket) => {
                    let accept = async |socket: &tokio::net::UnixListener| Ok(socket.accept().await?.0);
                    server.serve_with_incoming_shutdown(self, connections(socket, accept), stop).await
                }
                Err(error) => return tracing::error!(%error, "the gRPC listener cannot be used"),
            },
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "the gRPC listener ended");
        }
    }

    /// Answers one question, with its line in the log.
    async fn check(&self, call: &Call, question: &CheckRequest) -> CheckResponse {
        let mut exchange = Exchange::new(Arc::clone(self.front.metrics()));
        exchange.decision = "auth";
        let proxy = self.front.sites().at(question.host(), &mut exchange).cloned();
        if let Some(proxy) = proxy {
            return OfSite { proxy }.check(call, question, &mut exchange).await;
        }
        let (status, response) = refused(self.front.sites().misdirected(question.host(), &mut exchange));
        log(call, status, "", self.front.metrics(), &mut exchange);
        response
    }
}

impl OfSite {
    async fn check(&self, call: &Call, question: &CheckRequest, exchange: &mut Exchange) -> CheckResponse {
        let (status, response) = self.answer(call, question, exchange).await;
        let gate = &self.proxy.gate;
        let route = exchange.route.and_then(|index| gate.route(index)).map_or("", |route| route.path.as_str());
        log(call, status, route, &self.proxy.metrics, exchange);
        response
    }

    async fn answer(&self, call: &Call, question: &CheckRequest, exchange: &mut Exchange) -> (u16, CheckResponse) {
        let proxy = &self.proxy;
        let original = match self.original(call, question, exchange) {
            Ok(original) => original,
            Err(cause) => {
                let nobody = http::Request::new(()).into_parts().0;
                return refused(proxy.not_asked(&cause, &nobody, exchange));
            }
        };
        let not_signed_in = proxy.forward_auth.map_or(NotSignedIn::Status, |settings| settings.not_signed_in);
        let cause = match proxy.about(&original, not_signed_in, Constraints::parse(""), exchange).await {
            Ok(Answer::Granted(granted)) => match self.granted(granted, &original.parts().headers, exchange) {
                Some(response) => return (200, response),
                None => NoQuestion::NotText,
            },
            Ok(Answer::Refused(reply)) => return refused(reply),
            Err(cause) => cause,
        };
        refused(proxy.not_asked(&cause, original.parts(), exchange))
    }

    /// The request that is asked about, where who asks is believed.
    fn original(
        &self,
        call: &Call,
        question: &CheckRequest,
        exchange: &mut Exchange,
    ) -> Result<OriginalRequest, NoQuestion> {
        let proxy = &self.proxy;
        let scheme = if proxy.endpoints.public_url.is_secure() { "https" } else { "http" };
        let peer = match call.peer {
            Peer::Address(address) => Some(address),
            Peer::UnixSocket => None,
            Peer::Unknown => return Err(NoQuestion::Peer),
        };
        let resolve = |headers: &HeaderMap| Some(proxy.trusted.resolve(headers, peer, scheme));
        exchange.forwarded = resolve(&HeaderMap::new());
        if !exchange.forwarded.as_ref().is_some_and(|forwarded| forwarded.is_from_trusted) {
            return Err(NoQuestion::Peer);
        }
        let original = question.original()?;
        exchange.forwarded = resolve(&original.parts().headers);
        Ok(original)
    }

    /// Tells Envoy that a request with these `headers` may pass. What Envoy sets on it takes the
    /// place of the client's own; what it does not set and an app could take for ours comes off.
    /// `None` where what it has to set is no text.
    fn granted(&self, granted: Granted, headers: &HeaderMap, exchange: &Exchange) -> Option<CheckResponse> {
        use HeaderAppendAction::{AppendIfExistsOrAdd, OverwriteIfExistsOrAdd};
        let Granted { identity, credential, cookies, takes_token_away, .. } = granted;
        let ours = self.proxy.gate.headers();
        // What is told to front proxies of oauth2-proxy's contract is nothing for the app.
        let for_app = |name: &HeaderName| name != GAP_AUTH || ours.names().any(|known| known == name);
        let mut set: Vec<(HeaderName, String)> = Vec::new();
        for (name, value) in identity.iter().filter(|(name, _)| for_app(name)).chain(&credential) {
            set.push((name.clone(), text(value)?));
        }
        // Envoy's own are among the last.
        let stripped = |name: &HeaderName| ours.must_strip(name) && !name.as_str().starts_with("x-forwarded-");
        let replaced = |name: &HeaderName| {
            exchange.replaces.is_some_and(|credential| self.proxy.credentials.replaces(credential, name))
        };
        let brought = headers.keys().filter(|name| stripped(name) || replaced(name));
        let mut remove: Vec<HeaderName> = self.proxy.not_set(&identity).chain(brought).cloned().collect();
        remove.extend(takes_token_away.then_some(AUTHORIZATION));
        let token = self.proxy.sessions.request_token();
        remove.extend(token.map(|token| token.header.clone()).filter(|name| headers.contains_key(name)));
        match cookies::for_app(headers, token) {
            ForApp::Unchanged => {}
            ForApp::Nothing => remove.push(COOKIE),
            // A message holds UTF-8 alone. An app without cookies is safe, and with ours it is not.
            ForApp::Others(others) => match text(&others) {
                Some(others) => set.push((COOKIE, others)),
                None => remove.push(COOKIE),
            },
        }
        remove.retain(|removed| !set.iter().any(|(name, _)| name == removed));
        let option = |name: &HeaderName, value, action| HeaderValueOption::new(name.as_str(), value, action);
        let added = cookies.iter().map(|cookie| Some(option(&SET_COOKIE, text(cookie)?, AppendIfExistsOrAdd)));
        let ok = OkHttpResponse {
            headers: set.into_iter().map(|(name, value)| option(&name, value, OverwriteIfExistsOrAdd)).collect(),
            headers_to_remove: remove.iter().map(ToString::to_string).collect(),
            response_headers_to_add: added.collect::<Option<_>>()?,
        };
        Some(CheckResponse { status: Some(Status { code: 0 }), http_response: Some(HttpResponse::Ok(ok)) })
    }
}

fn log(call: &Call, status: u16, route: &str, metrics: &Metrics, exchange: &mut Exchange) {
    metrics.requests.with_label_values(&[route, exchange.decision]).inc();
    exchange.log(&AccessLine {
        method: "POST",
        host: &call.host,
        path: &call.path,
        status,
        route,
        upstream: "",
        bytes: 0,
    });
}

/// Tells Envoy what to answer in the place of the app.
fn refused(reply: Reply) -> (u16, CheckResponse) {
    let (status, headers, body) = reply.into_parts();
    // Envoy goes by this: 0 would let the request pass.
    let code = match status.as_u16() {
        300..=399 | 401 => Code::Unauthenticated,
        500.. => Code::Unavailable,
        _ => Code::PermissionDenied,
    };
    let headers = headers.iter().filter_map(|(name, value)| {
        let action = if *name == SET_COOKIE {
            HeaderAppendAction::AppendIfExistsOrAdd
        } else {
            HeaderAppendAction::OverwriteIfExistsOrAdd
        };
        Some(HeaderValueOption::new(name.as_str(), text(value)?, action))
    });
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(status.as_u16()) }),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let status_of_call = Status { code: code.into() };
    let response = CheckResponse { status: Some(status_of_call), http_response: Some(HttpResponse::Denied(denied)) };
    (status.as_u16(), response)
}

fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
}

/// What is known of a call besides its message.
#[derive(Clone)]
struct Call {
    path: String,
    host: String,
    peer: Peer,
}

/// The other end of a connection.
#[derive(Clone, Copy)]
enum Peer {
    Address(IpAddr),
    UnixSocket,
    /// Gone already, or it cannot be told: nobody, who is not trusted.
    Unknown,
}

impl Call {
    fn of(request: &http::Request<Body>) -> Self {
        let (uri, extensions) = (request.uri(), request.extensions());
        let tcp = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let peer = match (tcp, extensions.get::<UdsConnectInfo>()) {
            (Some(address), _) => Peer::Address(address.ip()),
            (None, Some(_)) => Peer::UnixSocket,
            (None, None) => Peer::Unknown,
        };
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        Self {
            path: uri.path().to_owned(),
            host: uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default().to_owned(),
            peer,
        }
    }
}

type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<http::Request<Body>> for ExtAuthz {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let call = Call::of(&request);
            let response = if call.path == CHECK {
                let codec = ProstCodec::<CheckResponse, CheckRequest>::default();
                let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(LONGEST_QUESTION), None);
                grpc.unary(Check { service: this.clone(), call: call.clone() }, request).await
            } else {
                tonic::Status::unimplemented("Check alone is answered").into_http()
            };
            // What is no question did not come as far as `check`.
            if let Some(status) = response.extensions().get::<tonic::Status>() {
                let mut exchange = Exchange::new(Arc::clone(this.front.metrics()));
                (exchange.decision, exchange.level) = ("bad_request", Level::WARN);
                exchange.because(format_args!("no question of ext_authz: {:?}", status.code()));
                log(&call, 0, "", this.front.metrics(), &mut exchange);
            }
            Ok(response)
        })
    }
}

/// The method, as `tonic` calls it.
struct Check {
    service: ExtAuthz,
    call: Call,
}

impl UnaryService<CheckRequest> for Check {
    type Response = CheckResponse;
    type Future = Answering<Result<Response<CheckResponse>, tonic::Status>>;

    fn call(&mut self, request: Request<CheckRequest>) -> Self::Future {
        let (service, call) = (self.service.clone(), self.call.clone());
        Box::pin(async move { Ok(Response::new(service.check(&call, request.get_ref()).await)) })
    }
}

/// The connections that come, for as long as the program runs: one that cannot be taken is no reason
/// to take none any more.
fn connections<L, C>(
    listener: L,
    accept: impl AsyncFn(&L) -> io::Result<C>,
) -> impl Stream<Item = Result<C, Infallible>> {
    unfold((listener, accept), async |(listener, accept)| {
        loop {
            match accept(&listener).await {
                Ok(connection) => return Some((Ok(connection), (listener, accept))),
                Err(error) => {
                    tracing::debug!(%error, "a connection to the gRPC listener cannot be taken");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    })
}

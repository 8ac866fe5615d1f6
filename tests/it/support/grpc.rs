//! Envoy's side of gRPC `ext_authz`, by hand: the bytes of a question, and what an answer's bytes say.
//!
//! Written from Envoy's field numbers once more and not with Vestibule's own messages, so that a
//! mistake in those cannot hide. (The program itself is in `front_proxies`.)

use super::waiting::in_time;
use bytes::{BufMut, Bytes};
use http::{HeaderMap, Request};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The method that Envoy calls.
pub(crate) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// A connection as Envoy has one.
#[derive(Clone)]
pub(crate) struct Asker(h2::client::SendRequest<Bytes>);

/// What came back of a call.
#[derive(Debug)]
pub(crate) struct Called {
    /// `grpc-status`
    pub(crate) status: u16,
    /// The message, without its frame.
    pub(crate) message: Vec<u8>,
}

/// A `CheckResponse`.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// `status.code`: 0 lets the request pass.
    pub(crate) code: u64,
    /// Whether there is an `ok_response`, which must be so with the code 0 alone.
    pub(crate) is_ok: bool,
    /// The status for the browser.
    pub(crate) status: u64,
    /// Headers: for the app, or of a refusal for the browser. Name, value, `append_action`.
    pub(crate) headers: Vec<(String, String, u64)>,
    /// What is taken off the request.
    pub(crate) removed: Vec<String>,
    /// What is added to the app's answer.
    pub(crate) added: Vec<(String, String, u64)>,
    /// The page of a refusal.
    pub(crate) body: String,
}

impl Asker {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    /// Calls a method with these bytes, framed as a message.
    pub(crate) async fn call(&self, path: &str, message: &[u8]) -> Result<Called, h2::Error> {
        let mut framed = vec![0];
        framed.put_u32(u32::try_from(message.len()).unwrap());
        framed.extend(message);
        self.send(path, "application/grpc", framed).await
    }

    /// Sends these very bytes.
    pub(crate) async fn send(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Result<Called, h2::Error> {
        let request = Request::post(format!("http://vestibule.internal{path}"))
            .header("content-type", content_type)
            .header("te", "trailers");
        in_time("an answer over gRPC", async {
            let mut ready = self.0.clone().ready().await?;
            let (response, mut body) = ready.send_request(request.body(()).unwrap(), false)?;
            body.send_data(bytes.into(), true)?;
            let (head, mut body) = response.await?.into_parts();
            let mut bytes = Vec::new();
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                bytes.extend(data);
            }
            let trailers = body.trailers().await?.unwrap_or_default();
            let status = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
            let status = status(&head.headers).or_else(|| status(&trailers)).unwrap_or_else(|| panic!("{head:?}"));
            Ok(Called { status, message: bytes.get(5..).unwrap_or_default().to_vec() })
        })
        .await
    }

    /// Asks a question that is one.
    pub(crate) async fn check(&self, question: &[u8]) -> Checked {
        let called = self.call(CHECK, question).await.unwrap();
        assert_eq!(called.status, 0);
        Checked::read(&called.message)
    }
}

impl Checked {
    fn read(message: &[u8]) -> Self {
        let mut checked = Self::default();
        for (number, value, bytes) in fields(message) {
            match number {
                1 => checked.code = fields(&bytes).first().map_or(0, |field| field.1),
                2 => {
                    for (number, _, bytes) in fields(&bytes) {
                        match number {
                            1 => checked.status = fields(&bytes)[0].1,
                            2 => checked.headers.push(header_of(&bytes)),
                            _ => checked.body = String::from_utf8(bytes).unwrap(),
                        }
                    }
                }
                3 => {
                    (checked.is_ok, checked.status) = (true, 200);
                    for (number, _, bytes) in fields(&bytes) {
                        match number {
                            2 => checked.headers.push(header_of(&bytes)),
                            5 => checked.removed.push(String::from_utf8(bytes).unwrap()),
                            6 => checked.added.push(header_of(&bytes)),
                            other => panic!("field {other} of an ok_response"),
                        }
                    }
                }
                other => panic!("field {other} with {value}"),
            }
        }
        assert_eq!(checked.code == 0, checked.is_ok, "{checked:?}");
        checked
    }

    /// The value of a header that is there once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(its, ..)| its == name);
        let first = values.next()?;
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        Some(&first.1)
    }
}

/// A `HeaderValueOption`.
fn header_of(bytes: &[u8]) -> (String, String, u64) {
    let (mut name, mut text, mut action) = (String::new(), String::new(), 0);
    for (number, value, bytes) in fields(bytes) {
        match number {
            1 => {
                for (number, _, bytes) in fields(&bytes) {
                    *(if number == 1 { &mut name } else { &mut text }) = String::from_utf8(bytes).unwrap();
                }
            }
            3 => action = value,
            other => panic!("field {other} of a header"),
        }
    }
    (name, text, action)
}

/// The fields of a message: number, and a number or bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = take_number(&mut message);
        let value = take_number(&mut message);
        match tag & 7 {
            0 => fields.push((tag >> 3, value, Vec::new())),
            2 => {
                let (bytes, rest) = message.split_at(usize::try_from(value).unwrap());
                fields.push((tag >> 3, 0, bytes.to_vec()));
                message = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    fields
}

fn take_number(message: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = message.split_first().unwrap();
        *message = rest;
        value |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            return value;
        }
    }
}

/// A field of bytes, text or a message.
pub(crate) fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut written = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        written.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    written.push(u8::try_from(len).unwrap());
    written.extend(bytes);
    written
}

/// The fields of a request but its headers, as Envoy writes them.
pub(crate) fn line(method: &str, host: &str, path: &str) -> Vec<u8> {
    [field(2, method), field(4, path), field(5, host), field(6, "https"), field(10, "HTTP/1.1")].concat()
}

/// `header_map`, as Envoy fills it with `encode_raw_headers`.
pub(crate) fn raw(headers: &[(&str, &str)]) -> Vec<u8> {
    let header = |(name, value): &(&str, &str)| field(1, [field(1, name), field(3, value)].concat());
    field(13, headers.iter().map(header).collect::<Vec<_>>().concat())
}

/// `headers`, as it fills that otherwise, and Istio always.
pub(crate) fn map(headers: &[(&str, &str)]) -> Vec<u8> {
    let header = |(name, value): &(&str, &str)| field(3, [field(1, name), field(2, value)].concat());
    headers.iter().map(header).collect::<Vec<_>>().concat()
}

/// A question about a request with these fields, with what else Envoy says.
pub(crate) fn about(http: &[Vec<u8>]) -> Vec<u8> {
    // The address of the peer, a label, and the moment.
    let more = [field(1, field(1, "peer")), field(2, field(4, "spiffe://mesh/app")), field(10, field(1, "label"))];
    let request = field(4, [field(1, b"\x08\x01"), field(2, http.concat())].concat());
    field(1, [more.concat(), request].concat())
}

//! One call to the admin interface: a path, a bearer and JSON; and a list, page by page.
//!
//! Called by `dialect`, `account`, `grants` and `key`. Must never put anything into an address but
//! numbers and the e-mail address that is looked for, nor print an address, a body or a bearer.

use super::error::AlbertError;
use super::settings::Settings;
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The most entries that the API gives at once.
const PAGE: usize = 100;

/// After so many pages a list is not believed to end.
const MAX_PAGES: usize = 1000;

/// Where calls go, and with which bearer.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) settings: Settings,
    pub(super) fetch: Fetch,
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Call {
    /// Its name in errors.
    pub(super) name: &'static str,
    pub(super) method: Method,
    /// With its query. It begins with a slash.
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

/// What was answered, unless it was trouble of the server's own or a path that is not there.
pub(super) struct Answer {
    call: &'static str,
    pub(super) status: u16,
    body: Vec<u8>,
}

impl Call {
    pub(super) fn get(name: &'static str, path: String) -> Self {
        Self { name, method: Method::GET, path, body: None }
    }

    pub(super) fn delete(name: &'static str, path: String) -> Self {
        Self { name, method: Method::DELETE, path, body: None }
    }

    pub(super) fn post(name: &'static str, path: &str, body: Value) -> Self {
        Self { name, method: Method::POST, path: path.to_owned(), body: Some(body) }
    }

    pub(super) fn patch(name: &'static str, path: String, body: Value) -> Self {
        Self { name, method: Method::PATCH, path, body: Some(body) }
    }
}

impl Calls {
    /// Makes `call` as the administrator.
    pub(super) async fn as_admin(&self, call: Call) -> Result<Answer, AlbertError> {
        let answer = self.with_key(call, &self.settings.admin_key).await?;
        // Versions differ in which of the two means a bad bearer and which a powerless one.
        if matches!(answer.status, 401 | 403) && answer.detail() != RESERVED_EMAIL {
            return Err(AlbertError::AdminRefused);
        }
        Ok(answer)
    }

    /// Makes `call` as the owner of `key`; whether the API takes the key is for the caller to see.
    pub(super) async fn with_key(&self, call: Call, key: &SecretString) -> Result<Answer, AlbertError> {
        self.send(call, Some(key)).await
    }

    /// Makes `call` as nobody.
    pub(super) async fn as_nobody(&self, call: Call) -> Result<Answer, AlbertError> {
        self.send(call, None).await
    }

    async fn send(&self, call: Call, bearer: Option<&SecretString>) -> Result<Answer, AlbertError> {
        let name = call.name;
        let request = self.request(call, bearer)?;
        let answer = self.fetch.send(request, self.settings.timeout).await?;
        let answer = Answer { call: name, status: answer.status().as_u16(), body: answer.into_body() };
        match answer.status {
            500.. => Err(AlbertError::Down(answer.status)),
            405 => Err(AlbertError::NoSuchCall { call: name }),
            404 if answer.is_of_the_router() => Err(AlbertError::NoSuchCall { call: name }),
            _ => Ok(answer),
        }
    }

    fn request(&self, call: Call, bearer: Option<&SecretString>) -> Result<http::Request<Vec<u8>>, FetchError> {
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.settings.url, call.path))
            .header(header::ACCEPT, "application/json");
        if let Some(key) = bearer {
            let value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()));
            let mut value = value.map_err(|_| FetchError::Request)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = match call.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        request.body(body).map_err(|_| FetchError::Request)
    }

    /// The entries of a list, in the API's order, up to the page with the first that is `enough`.
    /// `filter` is empty or begins with `&`. A list of nothing may be a 404.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        name: &'static str,
        path: &str,
        filter: &str,
        enough: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, AlbertError> {
        #[derive(Deserialize)]
        struct Page<T> {
            data: Vec<T>,
        }
        let mut all = Vec::new();
        let mut before = Vec::new();
        for page in 0..MAX_PAGES {
            let path = format!("{path}?limit={PAGE}&offset={}{filter}", page * PAGE);
            let answer = self.as_admin(Call::get(name, path)).await?;
            if answer.status == 404 {
                return Ok(all);
            }
            let Page { data } = answer.json::<Page<T>>()?;
            // A server that knows no `offset` would say the same for ever.
            if answer.body == before {
                return Err(AlbertError::Malformed { call: name });
            }
            before = answer.body;
            let last = data.len() < PAGE || data.iter().any(&enough);
            all.extend(data);
            if last {
                return Ok(all);
            }
        }
        Err(AlbertError::Malformed { call: name })
    }
}

/// The one 403 to the administrator that is about something else.
pub(super) const RESERVED_EMAIL: &str = "Reserved email.";

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The answer, where the call succeeded.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, AlbertError> {
        if !self.is_success() {
            return Err(self.unexpected());
        }
        serde_json::from_slice(&self.body).map_err(|_| AlbertError::Malformed { call: self.call })
    }

    /// What the API says went wrong, to tell cases apart; never to be printed. Of several mistakes
    /// in a request (a 422) each has its place and its message.
    pub(super) fn detail(&self) -> String {
        #[derive(Deserialize)]
        struct Body {
            detail: Value,
        }
        match serde_json::from_slice(&self.body) {
            Ok(Body { detail: Value::String(text) }) => text,
            Ok(Body { detail: Value::Array(mistakes) }) => mistakes
                .iter()
                .flat_map(|mistake| [mistake.get("loc"), mistake.get("msg")])
                .flatten()
                .map(Value::to_string)
                .collect::<Vec<_>>()
                .join("\n"),
            _ => String::new(),
        }
    }

    /// Whether a 404 says that there is no such path: FastAPI's own words, or none of the API's.
    fn is_of_the_router(&self) -> bool {
        matches!(self.detail().as_str(), "" | "Not Found")
    }

    pub(super) fn unexpected(&self) -> AlbertError {
        AlbertError::Unexpected { call: self.call, status: self.status }
    }

    pub(super) fn malformed(&self) -> AlbertError {
        AlbertError::Malformed { call: self.call }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::albert::stub::{Stub, detail};
    use serde_json::json;

    #[tokio::test]
    async fn a_bearer_goes_into_its_header_and_nowhere_else() {
        let stub = Stub::new(|_| (200, "{}".to_owned())).await;
        let call = Call::post("try", "/v1/x", json!({"a": 1}));
        stub.calls().as_admin(call).await.unwrap();
        stub.calls().with_key(Call::get("try", "/v1/y".to_owned()), &"sk-mine".into()).await.unwrap();
        let asked = stub.asked();
        assert_eq!(asked[0].line, "POST /v1/x");
        assert_eq!(asked[0].bearer.as_deref(), Some("Bearer sk-the-admin"));
        assert_eq!(asked[0].body, json!({"a": 1}));
        assert_eq!(asked[1].bearer.as_deref(), Some("Bearer sk-mine"));
    }

    #[tokio::test]
    async fn a_key_with_a_line_break_is_not_sent() {
        let stub = Stub::new(|_| (200, "{}".to_owned())).await;
        let call = Call::get("try", "/".to_owned());
        let sent = stub.calls().with_key(call, &"sk-x\r\nHost: evil".into()).await;
        assert_eq!(sent.err(), Some(AlbertError::Unreachable(FetchError::Request)));
        assert_eq!(stub.lines().len(), 0);
    }

    #[tokio::test]
    async fn statuses_to_the_administrator_are_told_apart() {
        let name = "try";
        for (answer, expected) in [
            (detail(401, "Invalid API key."), AlbertError::AdminRefused),
            (detail(403, "Invalid API key."), AlbertError::AdminRefused),
            (detail(403, "Insufficient rights."), AlbertError::AdminRefused),
            (detail(403, "User has no admin rights."), AlbertError::AdminRefused),
            ((403, "<html>".to_owned()), AlbertError::AdminRefused),
            (detail(404, "Not Found"), AlbertError::NoSuchCall { call: name }),
            ((404, "<html>".to_owned()), AlbertError::NoSuchCall { call: name }),
            (detail(405, "Method Not Allowed"), AlbertError::NoSuchCall { call: name }),
            (detail(404, "User not found."), AlbertError::Unexpected { call: name, status: 404 }),
            ((302, String::new()), AlbertError::Unexpected { call: name, status: 302 }),
            ((500, "Internal Server Error".to_owned()), AlbertError::Down(500)),
            (detail(503, "sk-leaked"), AlbertError::Down(503)),
            ((200, "<html>".to_owned()), AlbertError::Malformed { call: name }),
        ] {
            let stub = Stub::new(move |_| answer.clone()).await;
            let read = async { stub.calls().as_admin(Call::get(name, "/".to_owned())).await?.json::<Value>() };
            assert_eq!(read.await, Err(expected));
        }
    }

    fn entries(count: usize) -> String {
        json!({"data": vec![json!(1); count]}).to_string()
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_last_page() {
        let stub = Stub::new(|asked| {
            let pages = ["100&offset=0&a=b", "100&offset=100&a=b", "100&offset=200&a=b"];
            let page = pages.iter().position(|page| asked.line == format!("GET /l?limit={page}")).unwrap();
            let first = json!({"data": (0..100).collect::<Vec<u64>>()}).to_string();
            (200, [first, entries(100), entries(3)][page].clone())
        });
        let stub = stub.await;
        let all: Vec<u64> = stub.calls().list("try", "/l", "&a=b", |_| false).await.unwrap();
        assert_eq!(all.len(), 203);
        let some: Vec<u64> = stub.calls().list("try", "/l", "&a=b", |entry| *entry == 7).await.unwrap();
        assert_eq!(some.len(), 100);
    }

    #[tokio::test]
    async fn a_list_without_end_is_given_up() {
        let stub = Stub::new(|_| (200, entries(100))).await;
        let all: Result<Vec<u64>, _> = stub.calls().list("try", "/l", "", |_| false).await;
        assert_eq!(all, Err(AlbertError::Malformed { call: "try" }));
        assert_eq!(stub.lines().len(), 2);
    }

    #[tokio::test]
    async fn mistakes_in_a_request_are_read_without_what_was_sent() {
        let body = json!({"detail": [{"loc": ["body", "expires"], "msg": "at most 3 days", "input": "s3cret"}]});
        let stub = Stub::new(move |_| (422, body.to_string())).await;
        let answer = stub.calls().as_admin(Call::get("try", "/".to_owned())).await.unwrap();
        assert!(answer.detail().contains("at most 3 days") && !answer.detail().contains("s3cret"));
    }
}

//! A real browser: headless Chromium, driven over the WebDriver protocol (W3C WebDriver §6).
//!
//! Every browser has its own ChromeDriver, its own profile and its own cookies, and ends when it
//! is dropped. What is asked of a page is asked again until it answers or [`HANGS`] has passed:
//! a page is another program, and nothing tells us when it is done.

use super::running::Running;
use super::waiting::HANGS;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(50);

/// How long ChromeDriver may take until it listens, and how often it is started anew.
const DRIVER_READY_WITHIN: Duration = Duration::from_secs(40);
const DRIVER_STARTS: usize = 3;

/// The name under which WebDriver returns an element (W3C WebDriver §12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Chromium, without a window and without calling anyone but the pages under test.
const FLAGS: [&str; 10] = [
    "--headless",
    // Root, in a container or on a build machine, has no other way.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,960",
];

/// A running Chromium with one window.
pub(crate) struct Browser {
    http: reqwest::Client,
    /// `host:port` of ChromeDriver.
    driver: String,
    /// The path of our session there.
    session: String,
    // In this order: the program ends before its profile is removed.
    #[expect(dead_code, reason = "ends the program when dropped")]
    process: Running,
    #[expect(dead_code, reason = "removes the profile when dropped")]
    profile: TempDir,
}

/// What a browser does with the cookies of a site in the pages of another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ThirdPartyCookies {
    /// What Chromium does by itself: they are sent where the cookie says so.
    Kept,
    /// What its settings can be set to, and others do by themselves.
    Blocked,
}

/// An element of the page as it is now; gone when the page changes.
pub(crate) struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

/// A cookie, as the browser holds it.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    #[serde(default)]
    pub(crate) same_site: String,
}

/// What WebDriver answered instead of a value: its error code (W3C WebDriver §6.6), and its words.
#[derive(Debug)]
struct Refused {
    error: String,
    message: String,
}

impl Browser {
    /// A browser that has seen nothing yet and prefers English.
    pub(crate) async fn start() -> Self {
        Self::start_in("en").await
    }

    /// A browser that asks for pages in `language`.
    ///
    /// # Panics
    /// When Chromium does not start: `require!(Chromium)` comes first.
    pub(crate) async fn start_in(language: &str) -> Self {
        Self::start_with(&[format!("--accept-lang={language}")], json!({})).await
    }

    /// A browser to which `host` is this address, whatever its certificate says.
    pub(crate) async fn start_reaching(host: &str, address: SocketAddr) -> Self {
        Self::start_reaching_all(&[(host, address)], ThirdPartyCookies::Kept).await
    }

    /// The same for several hosts.
    pub(crate) async fn start_reaching_all(hosts: &[(&str, SocketAddr)], cookies: ThirdPartyCookies) -> Self {
        let rules: Vec<_> = hosts.iter().map(|(host, address)| format!("MAP {host} {address}")).collect();
        let flags = [
            "--accept-lang=en".to_owned(),
            "--ignore-certificate-errors".to_owned(),
            format!("--host-resolver-rules={}", rules.join(", ")),
        ];
        // As the browser's settings number it: 1 blocks them everywhere.
        let mode = u8::from(matches!(cookies, ThirdPartyCookies::Blocked));
        let settings = json!({ "profile": { "cookie_controls_mode": mode, "block_third_party_cookies": mode == 1 } });
        Self::start_with(&flags, settings).await
    }

    async fn start_with(more: &[String], settings: Value) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (process, port) = driver(profile.path()).await;
        let driver = format!("127.0.0.1:{port}");

        let mut flags = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        flags.extend_from_slice(more);
        let capabilities = json!({ "alwaysMatch": {
            "browserName": "chrome",
            // Milliseconds; they only end what hangs.
            "timeouts": { "script": HANGS.as_millis(), "pageLoad": HANGS.as_millis() },
            "goog:chromeOptions": { "args": flags, "prefs": settings },
        }});

        let mut browser = Self { http: client(), driver, session: String::new(), process, profile };
        let started = browser.call("POST", "/session", Some(json!({ "capabilities": capabilities }))).await;
        let id = started.unwrap_or_else(|refused| panic!("Chromium did not start: {refused:?}"));
        browser.session = format!("/session/{}", id["sessionId"].as_str().unwrap());
        browser
    }

    /// Opens `url` and waits until it is loaded.
    pub(crate) async fn goto(&self, url: &str) {
        self.ask("POST", "/url", Some(json!({ "url": url }))).await;
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.ask("POST", "/refresh", Some(json!({}))).await;
    }

    /// Where the browser is.
    pub(crate) async fn url(&self) -> String {
        text_of(&self.ask("GET", "/url", None).await)
    }

    /// The page's title.
    pub(crate) async fn title(&self) -> String {
        text_of(&self.ask("GET", "/title", None).await)
    }

    /// The page's source, as the browser has it now.
    pub(crate) async fn source(&self) -> String {
        text_of(&self.ask("GET", "/source", None).await)
    }

    /// The first element that `css` selects, if there is one now.
    pub(crate) async fn find(&self, css: &str) -> Option<Element<'_>> {
        let query = json!({ "using": "css selector", "value": css });
        match self.call("POST", &format!("{}/element", self.session), Some(query)).await {
            Ok(found) => Some(Element { browser: self, id: text_of(&found[ELEMENT]) }),
            Err(refused) if refused.error == "no such element" => None,
            Err(refused) => panic!("finding {css}: {refused:?}"),
        }
    }

    /// Waits for an element that `css` selects.
    pub(crate) async fn wait_for(&self, css: &str) -> Element<'_> {
        self.repeat(&format!("there is {css}"), async || self.find(css).await).await
    }

    /// Waits until the text of an element that `css` selects holds `text`.
    pub(crate) async fn wait_for_text(&self, css: &str, text: &str) {
        // In one step, because an element may be replaced between being found and being read.
        let holds =
            "return [...document.querySelectorAll(arguments[0])].some((one) => one.textContent.includes(arguments[1]))";
        self.wait_until(&format!("{css} says {text:?}"), async || {
            self.execute(holds, json!([css, text])).await == true
        })
        .await;
    }

    /// Waits until the browser is at an address that `arrived` accepts, and returns it.
    pub(crate) async fn wait_for_url(&self, arrived: impl Fn(&str) -> bool) -> String {
        self.repeat("the address is the one waited for", async || Some(self.url().await).filter(|url| arrived(url)))
            .await
    }

    /// Waits until `condition` holds; `what` says in words what was waited for in vain.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        self.repeat(what, async || condition().await.then_some(())).await;
    }

    /// Clicks what `css` selects, as soon as it is there and can be clicked.
    pub(crate) async fn click(&self, css: &str) {
        self.repeat(&format!("{css} can be clicked"), async || self.find(css).await?.try_to("/click", json!({})).await)
            .await;
    }

    /// Types `text` into what `css` selects, as soon as it is there; the path of a file chooses it.
    pub(crate) async fn type_text(&self, css: &str, text: &str) {
        let keys = json!({ "text": text });
        self.repeat(&format!("{css} takes text"), async || self.find(css).await?.try_to("/value", keys.clone()).await)
            .await;
    }

    /// Empties the field that `css` selects and types `text` into it.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        self.repeat(&format!("{css} can be emptied"), async || self.find(css).await?.try_to("/clear", json!({})).await)
            .await;
        self.type_text(css, text).await;
    }

    /// The visible text of what `css` selects, as soon as it is there.
    pub(crate) async fn text(&self, css: &str) -> String {
        self.repeat(&format!("{css} can be read"), async || self.find(css).await?.try_text().await).await
    }

    /// Runs `script` in the page, with `arguments` (a JSON array) as its `arguments`.
    pub(crate) async fn execute(&self, script: &str, arguments: Value) -> Value {
        self.ask("POST", "/execute/sync", Some(json!({ "script": script, "args": arguments }))).await
    }

    /// Gives the window this size.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        self.ask("POST", "/window/rect", Some(json!({ "width": width, "height": height }))).await;
    }

    /// Writes a picture of the window, as PNG, to `path`.
    pub(crate) async fn screenshot(&self, path: &Path) {
        use base64::Engine as _;
        let picture = text_of(&self.ask("GET", "/screenshot", None).await);
        let png = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
        std::fs::write(path, png).unwrap();
    }

    /// The cookies that go to the page where the browser is, `HttpOnly` ones too.
    pub(crate) async fn cookies(&self) -> Vec<Cookie> {
        serde_json::from_value(self.ask("GET", "/cookie", None).await).unwrap()
    }

    /// Presses and releases a key, wherever the focus is (W3C WebDriver §17.4.2 has their names).
    pub(crate) async fn press(&self, key: char) {
        let stroke = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": stroke });
        self.ask("POST", "/actions", Some(json!({ "actions": [keyboard] }))).await;
    }

    /// Forgets the cookie of that name.
    pub(crate) async fn forget_cookie(&self, name: &str) {
        self.ask("DELETE", &format!("/cookie/{name}"), None).await;
    }

    /// Forgets the cookies that go to the page where the browser is.
    pub(crate) async fn forget_cookies(&self) {
        self.ask("DELETE", "/cookie", None).await;
    }

    /// Opens another tab with the same cookies, moves to it and returns its handle.
    pub(crate) async fn open_tab(&self) -> String {
        let opened = self.ask("POST", "/window/new", Some(json!({ "type": "tab" }))).await;
        let handle = text_of(&opened["handle"]);
        self.switch_to_tab(&handle).await;
        handle
    }

    /// The handle of the tab that is driven now.
    pub(crate) async fn tab(&self) -> String {
        text_of(&self.ask("GET", "/window", None).await)
    }

    /// Moves to the tab with this handle.
    pub(crate) async fn switch_to_tab(&self, handle: &str) {
        self.ask("POST", "/window", Some(json!({ "handle": handle }))).await;
    }

    /// Closes the tab that is driven now and moves to the one with this handle.
    pub(crate) async fn close_tab(&self, next: &str) {
        self.ask("DELETE", "/window", None).await;
        self.switch_to_tab(next).await;
    }

    /// Asks `attempt` again until it returns something.
    async fn repeat<T>(&self, what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
        let again = async {
            loop {
                if let Some(found) = attempt().await {
                    return found;
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        let Ok(found) = tokio::time::timeout(HANGS, again).await else {
            panic!("not after {HANGS:?}: {what}; at {}:\n{}", self.url().await, self.source().await)
        };
        found
    }

    /// One command of our session, which must succeed.
    async fn ask(&self, method: &str, command: &str, body: Option<Value>) -> Value {
        match self.call(method, &format!("{}{command}", self.session), body).await {
            Ok(value) => value,
            Err(refused) => panic!("{method} {command}: {refused:?}"),
        }
    }

    /// One command (W3C WebDriver §6.3): JSON there, `{"value": …}` back.
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, Refused> {
        let url = format!("http://{}{path}", self.driver);
        let mut request = self.http.request(method.parse().unwrap(), url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("ChromeDriver answers");
        let succeeded = answer.status().is_success();
        let mut answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let value = answer["value"].take();
        if succeeded {
            Ok(value)
        } else {
            Err(Refused { error: text_of(&value["error"]), message: text_of(&value["message"]) })
        }
    }
}

impl Element<'_> {
    /// Its visible text.
    pub(crate) async fn text(&self) -> String {
        self.try_text().await.expect("the element is still there")
    }

    /// The value of its attribute `name`, if it has one.
    pub(crate) async fn attribute(&self, name: &str) -> Option<String> {
        let value = self.browser.ask("GET", &format!("/element/{}/attribute/{name}", self.id), None).await;
        value.as_str().map(str::to_owned)
    }

    async fn try_text(&self) -> Option<String> {
        self.attempt("GET", "/text", None).await.map(|text| text_of(&text))
    }

    async fn try_to(&self, command: &str, body: Value) -> Option<()> {
        self.attempt("POST", command, Some(body)).await.map(|_| ())
    }

    /// A command of this element; none when the page is not ready for it yet.
    async fn attempt(&self, method: &str, command: &str, body: Option<Value>) -> Option<Value> {
        let path = format!("{}/element/{}{command}", self.browser.session, self.id);
        match self.browser.call(method, &path, body).await {
            Ok(value) => Some(value),
            Err(refused) => match refused.error.as_str() {
                "stale element reference"
                | "element click intercepted"
                | "element not interactable"
                | "invalid element state" => None,
                _ => panic!("{command}: {}: {}", refused.error, refused.message),
            },
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium writes its profile until it is told to stop. The answer is awaited, not read.
        if let Ok(mut driver) = TcpStream::connect(&self.driver) {
            let _ = driver.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = write!(
                driver,
                "DELETE {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.session, self.driver
            );
            let _ = driver.read(&mut [0; 1]);
        }
    }
}

/// A ChromeDriver, and its port. One that says nothing is given up for another: in some two
/// thousand starts one has hung before it listened, for two minutes and for no reason of ours.
async fn driver(home: &Path) -> (Running, u16) {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").env("HOME", home);
    for _ in 0..DRIVER_STARTS {
        let mut process = Running::start("chromium", &command);
        let port = |line: &str| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok();
        if let Some(port) = process.ready_within(DRIVER_READY_WITHIN, port).await {
            return (process, port);
        }
    }
    panic!("ChromeDriver did not start, {DRIVER_STARTS} times in {DRIVER_READY_WITHIN:?} each")
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn client() -> reqwest::Client {
    // ChromeDriver speaks plain HTTP. A TLS configuration is given all the same, so that no
    // process-wide one is needed, the lack of which a test may be about.
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    #[expect(clippy::disallowed_methods, reason = "a test's client, on loopback")]
    let client = reqwest::Client::builder();
    client.no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

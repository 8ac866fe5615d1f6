//! Who may enter from where and when, and by lists that change while the sidecar runs: with what
//! clients write to be taken for somebody else, in front of every way in.

use super::support::client::Client;
use super::support::grpc::{Asker, about, line, raw};
use super::support::log_watch::{access_line_with, lines_with};
use super::support::raw::Raw;
use super::support::site::{ORIGIN, Setup, Site, agent};
use super::support::socket::{Socket, close_of, echoes, socket};
use super::support::waiting::{promptly, until};
use std::path::Path;
use std::time::Duration;
use vestibule::app::Reloaded;
use vestibule::demo::provider::Agent;

const ROUTES: &str = "[{path: /office/**, require: {network: [192.0.2.0/24, \"2001:db8::/32\"]}}, \
    {path: /here/**, require: {network: 127.0.0.0/8}}, \
    {path: /not-from-there/**, deny: {network: 198.51.100.0/24}}, \
    {path: /elsewhere/**, require: {none: [{network: 192.0.2.0/24}]}}, \
    {path: /said/**, require: {when: \"client == '192.0.2.7'\"}}, \
    {path: /hours/**, strip_prefix: /hours, require: {time: {days: mon-fri, hours: \"08:00-19:00\"}}}, \
    {path: /evening/**, require: {time: {hours: \"19:00-22:00\"}}}, \
    {path: /**}]";

/// A site with these routes, each to the app.
async fn site_with(more: &str) -> Site {
    let routes = ROUTES.replace("/**,", "/**, upstream: app,").replace("/**}]", "/**, upstream: app}]");
    let more =
        format!("{more}session: {{idle: 24h, lifetime: 48h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n");
    Site::with(Setup { more, routes, ..Setup::default() }).await
}

async fn status(client: &Client, path: &str, headers: &[(&str, &str)]) -> u16 {
    client.get(path, headers).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_writes_of_its_address_counts_for_nothing() {
    let site = site_with("").await;
    let person = site.signed_in().await;
    for name in [
        "x-forwarded-for",
        "x-real-ip",
        "forwarded",
        "x-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-envoy-external-address",
        "x-original-forwarded-for",
        "x-cluster-client-ip",
        "x_forwarded_for",
    ] {
        let value = if name == "forwarded" { "for=192.0.2.7" } else { "192.0.2.7" };
        let said = [(name, value)];
        assert_eq!(status(&person, "/office/x", &said).await, 403, "{name}");
        assert_eq!(status(&person, "/said/x", &said).await, 403, "{name}");
        // It is who it is.
        assert_eq!(status(&person, "/here/x", &said).await, 200, "{name}");
        assert_eq!(status(&person, "/elsewhere/x", &said).await, 200, "{name}");
    }
    access_line_with("require routes[0].require: does not hold (by network)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_front_proxy_the_address_is_the_one_that_it_wrote_and_is_judged_at_each_request() {
    let site = site_with("trusted_proxies: [127.0.0.1]\n").await;
    let person = site.signed_in().await;
    let from = |address: &'static str| [("x-forwarded-for", address)];
    // One session, here and there and back.
    for (address, office, not_there, elsewhere) in [
        ("192.0.2.7", 200, 200, 403),
        ("198.51.100.9", 403, 403, 200),
        ("2001:db8::7", 200, 200, 200),
        ("::ffff:192.0.2.8", 200, 200, 403),
        // What stands before the last address is what the client itself wrote.
        ("192.0.2.7, 198.51.100.9", 403, 403, 200),
        ("198.51.100.9, 192.0.2.7", 200, 200, 403),
        // Nobody knows: neither in nor out.
        ("unknown", 403, 403, 403),
        ("", 403, 403, 403),
        ("192.0.2.7:4711", 403, 403, 403),
        ("192.0.2.7, _hidden", 403, 403, 403),
    ] {
        let said = from(address);
        let found = [
            status(&person, "/office/x", &said).await,
            status(&person, "/not-from-there/x", &said).await,
            status(&person, "/elsewhere/x", &said).await,
        ];
        assert_eq!(found, [office, not_there, elsewhere], "{address}");
    }
    for path in ["/office/x", "/here/x", "/not-from-there/x", "/elsewhere/x", "/said/x"] {
        assert_eq!(status(&person, path, &[]).await, 403, "a proxy that says nothing: {path}");
    }
    access_line_with("deny routes[2].deny: cannot be told (by network)").await;
    assert_eq!(status(&person, "/said/x", &from("192.0.2.7")).await, 200);
    let twice = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-for", "198.51.100.9")];
    assert_eq!(status(&person, "/office/x", &twice).await, 403, "the line below is the last that was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn front_proxies_that_ask_are_believed_about_the_address_and_nobody_else_is() {
    for trusted in ["127.0.0.1", "10.0.0.0/8"] {
        let site =
            site_with(&format!("trusted_proxies: [{trusted}]\nforward_auth: {{from: nginx, cache: 2s}}\n")).await;
        let person = site.signed_in().await;
        let ask = async |path: &str, address: Option<&str>| {
            let url = format!("{ORIGIN}{path}");
            let mut headers = vec![("x-original-url", url.as_str()), ("x-original-method", "GET")];
            headers.extend(address.map(|address| ("x-forwarded-for", address)));
            status(&person, "/oauth2/auth", &headers).await
        };
        let is_trusted = trusted == "127.0.0.1";
        let answer = ask("/office/x", Some("192.0.2.7")).await;
        assert_eq!(answer == 202, is_trusted, "{trusted}: {answer}");
        if is_trusted {
            // Nobody else may use what was found of this address.
            for (path, kept) in [("/office/x", "no-store"), ("/hours/x", "max-age=2"), ("/x", "max-age=2")] {
                let url = format!("{ORIGIN}{path}");
                let headers =
                    [("x-original-url", url.as_str()), ("x-original-method", "GET"), ("x-forwarded-for", "192.0.2.7")];
                let answer = person.get("/oauth2/auth", &headers).await;
                assert_eq!((answer.status, answer.header("cache-control")), (202, Some(kept)), "{path}");
            }
        }
        for address in [Some("198.51.100.9"), Some("192.0.2.7, 198.51.100.9"), Some("unknown"), None] {
            assert_ne!(ask("/office/x", address).await, 202, "{trusted} {address:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_that_asks_over_grpc_says_the_address_and_its_client_does_not() {
    let site = site_with("trusted_proxies: [127.0.0.1]\nforward_auth: {}\n").await;
    let person = site.client();
    person.browse("/oauth2/start?rd=/x").await;
    let cookies = person.cookie_header("app.example").unwrap();
    let asker = Asker::connect(site.grpc.unwrap()).await;
    let ask = async |path: &str, address: Option<&str>| {
        let mut headers = vec![
            (":method", "GET"),
            (":path", path),
            (":authority", "app.example"),
            (":scheme", "https"),
            ("cookie", cookies.as_str()),
        ];
        headers.extend(address.map(|address| ("x-forwarded-for", address)));
        asker.check(&about(&[line("GET", "app.example", path), raw(&headers)])).await.status
    };
    for (path, address, expected) in [
        ("/office/x", Some("192.0.2.7"), 200),
        ("/office/x", Some("192.0.2.7,198.51.100.9"), 403),
        ("/office/x", None, 403),
        ("/not-from-there/x", Some("192.0.2.7"), 200),
        ("/not-from-there/x", Some("192.0.2.7,198.51.100.9"), 403),
        ("/not-from-there/x", None, 403),
        ("/here/x", None, 403),
    ] {
        assert_eq!(ask(path, address).await, expected, "{path} {address:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_open_and_close_while_a_session_goes_on() {
    // It begins on a Wednesday at 12:06 in Paris.
    let site = site_with("").await;
    let person = site.signed_in().await;
    for (hours, day, evening) in [(0, 200, 403), (6, 200, 403), (1, 403, 200), (3, 403, 403)] {
        site.clock.advance(Duration::from_secs(hours * 3600));
        let found = [status(&person, "/hours/x", &[]).await, status(&person, "/evening/x", &[]).await];
        assert_eq!(found, [day, evening], "{hours} hours later");
        assert_eq!(status(&person, "/x", &[]).await, 200);
    }
    access_line_with("require routes[5].require: does not hold (by time)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_a_file_lets_in_and_keeps_out_as_it_changes_and_not_when_it_is_spoilt() {
    let folder = tempfile::tempdir().unwrap();
    let (people, banned) = (folder.path().join("people.txt"), folder.path().join("banned.txt"));
    std::fs::write(&people, "# who may enter\nsomebody@example.org\n").unwrap();
    std::fs::write(&banned, "").unwrap();
    let routes = format!(
        "[{{path: /listed/**, upstream: app, require: {{email: {{file: {people}}}}}}}, \
          {{path: /unless/**, upstream: app, deny: {{email: {{file: {banned}}}}}}}, {{path: /**, upstream: app}}]",
        people = people.display(),
        banned = banned.display(),
    );
    let site = Site::with(Setup { routes, ..Setup::default() }).await;
    let person = site.signed_in().await;
    let found = async || [status(&person, "/listed/x", &[]).await, status(&person, "/unless/x", &[]).await];
    assert_eq!(found().await, [403, 200]);
    let becomes = async |what: &str, expected: [u16; 2]| {
        until(what, async || found().await == expected).await;
    };
    // Added and removed, without a restart and without signing in again; in whatever case.
    std::fs::write(&people, format!("somebody@example.org\r\n\r\n{}  # Hélène\r\n", agent().email.to_uppercase()))
        .unwrap();
    becomes("she is on the list", [200, 200]).await;
    std::fs::write(&banned, agent().email).unwrap();
    becomes("she is on the other list too", [200, 403]).await;
    // By a new file in the place of the old one, as editors and deployments do it.
    std::fs::write(folder.path().join("new"), "somebody@example.org\n").unwrap();
    std::fs::rename(folder.path().join("new"), &people).unwrap();
    becomes("she is off the list", [403, 403]).await;
    // What is spoilt changes nothing, and is said once.
    std::fs::write(&banned, "not an address\n").unwrap();
    std::fs::remove_file(&people).unwrap();
    for (file, why) in [(&banned, "has on line 1 what is no e-mail address"), (&people, "does not exist")] {
        until(&format!("it is said that {} {why}", file.display()), async || {
            lines_with(&file.display().to_string()).iter().any(|line| line.contains(why))
        })
        .await;
    }
    assert_eq!(found().await, [403, 403]);
    std::fs::write(&banned, "# nobody\n").unwrap();
    std::fs::write(&people, agent().email).unwrap();
    becomes("all is as it was meant", [200, 200]).await;
}

/// What is promised: two readings of the file, a second apart and the first of them a second from now,
/// and a second in which whoever is there is looked at again.
const WITHIN: Duration = Duration::from_secs(3);

async fn open(site: &Site, client: &Client, path: &str) -> Socket {
    socket(site, path, client.cookie_header("app.example")).await
}

/// It is cut, once the file has been read.
async fn is_cut(socket: &mut Socket) {
    let frame = promptly("it is cut", WITHIN, close_of(socket)).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "no longer admitted"));
}

async fn site_with_list(people: &Path, more: &str) -> Site {
    let routes = format!(
        "[{{path: /listed/**, upstream: app, strip_prefix: /listed, require: {{email: {{file: {}}}}}}}{more}, \
         {{path: /**, upstream: app}}]",
        people.display()
    );
    Site::with(Setup { routes, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_taken_off_a_list_is_cut_there_and_nobody_else_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let people = folder.path().join("people.txt");
    std::fs::write(&people, format!("{}\nzoe@example.org\n", agent().email)).unwrap();
    let site = site_with_list(&people, "").await;
    let former = site.signed_in().await;
    site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe@example.org"));
    let stays = site.signed_in().await;
    let mut cut = open(&site, &former, "/listed/ws").await;
    let mut others = [open(&site, &former, "/ws").await, open(&site, &stays, "/listed/ws").await];
    let mut events = Raw::connect(site.address).await;
    let cookie = former.cookie_header("app.example").unwrap();
    events.send(format!("GET /listed/events HTTP/1.1\r\nHost: app.example\r\nCookie: {cookie}\r\n\r\n")).await;
    assert_eq!(events.head().await.status, 200);
    std::fs::write(&people, "zoe@example.org\n").unwrap();
    is_cut(&mut cut).await;
    promptly("the event stream ends in order", WITHIN, async {
        while !events.chunk().await.is_empty() {}
        assert!(events.is_closed().await);
    })
    .await;
    for socket in &mut others {
        assert!(echoes(socket).await);
    }
    assert_eq!(status(&former, "/listed/x", &[]).await, 403);
    access_line_with("cut: no longer admitted: require routes[0].require: does not hold (by email)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_there_when_the_hours_end_is_cut() {
    let site = site_with("").await;
    let person = site.signed_in().await;
    let mut day = open(&site, &person, "/hours/ws").await;
    let mut other = open(&site, &person, "/ws").await;
    // From 12:06 to 19:06.
    site.clock.advance(Duration::from_secs(7 * 3600));
    is_cut(&mut day).await;
    assert!(echoes(&mut other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reload_a_list_that_changes_still_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (people, others) = (folder.path().join("people.txt"), folder.path().join("others.txt"));
    std::fs::write(&people, agent().email).unwrap();
    std::fs::write(&others, "").unwrap();
    let site = site_with_list(&people, ", {path: /later/**, upstream: app}").await;
    let person = site.signed_in().await;
    let banned = format!("{{path: /later/**, upstream: app, deny: {{email: {{file: {}}}}}}}", others.display());
    assert_eq!(site.reload("{path: /later/**, upstream: app}", &banned).await, Reloaded::Applied);
    let found = async || [status(&person, "/listed/x", &[]).await, status(&person, "/later/x", &[]).await];
    assert_eq!(found().await, [200, 200]);
    let mut live = open(&site, &person, "/listed/ws").await;
    std::fs::write(&people, "somebody@example.org").unwrap();
    // The list that the configuration did not name before.
    std::fs::write(&others, agent().email).unwrap();
    is_cut(&mut live).await;
    until("both lists count", async || found().await == [403, 403]).await;
}

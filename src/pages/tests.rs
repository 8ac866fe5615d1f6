//! What holds for every page in every language, and for every string that someone else chose.

use super::*;
use crate::web::submitted::{Content, Encoding, Field};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::time::Duration;

const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</title></head><body onload=alert(1)>",
    "\"><script>alert(1)</script>",
    "\" autofocus onfocus=\"alert(1)",
    "' onmouseover='alert(1)",
    "` onclick=`alert(1)",
    "--><img src=x onerror=alert(1)>",
    "</main></form><form action=https://elsewhere.example>",
    "javascript:alert(1)",
    "&quot;&gt;&lt;script&gt;",
    "&#34; onclick=alert(1) ",
    "\u{0}\u{1b}\u{202e}\u{2028}<b",
    "{{ 7 * 7 }}{% raw %}",
    "<!--",
    "]]><style>*{background:red}",
    "/a\r\nSet-Cookie: x=y",
];

fn pages_of(provider: ProviderKind, application: Option<&str>, contact: Option<&str>) -> Pages {
    let branding = Branding { application: application.map(str::to_owned), contact: contact.map(str::to_owned) };
    let named = |name: &str, kind| NamedProvider {
        name: name.to_owned(),
        fr: "l’agence".to_owned(),
        en: "<b>the agency".to_owned(),
        kind,
    };
    let several = vec![named("agency", ProviderKind::Other), named("state", ProviderKind::ProConnect)];
    Pages::new(&branding, "/oauth2", provider, true).of_providers(several, true)
}

/// The page of several providers, with an address that was typed.
fn choice(outside: &str) -> Page<'_> {
    Page::ChooseProvider {
        return_to: outside,
        offered: &[],
        notice: None,
        form: Some(outside),
        unfit: Some(outside),
        goes_on: false,
    }
}

const NOW: Timestamp = Timestamp::from_unix(1_795_000_000);

/// A session whose every text is `outside`.
fn row(outside: &str, current: bool) -> SessionRow<'_> {
    let address = Some(std::net::IpAddr::from([192, 0, 2, 7]));
    SessionRow { id: outside, agent: outside, address, started: NOW, last_seen: NOW, current }
}

/// A form whose every text is `outside`.
fn form(outside: &str) -> Submitted {
    let field = |content| Field { name: outside.to_owned(), content };
    let contents = [Content::Text(outside.to_owned()), Content::File(outside.to_owned()), Content::File(String::new())];
    Submitted { encoding: Encoding::Multipart, fields: contents.map(field).into() }
}

/// One of each page and variant, with `outside` wherever a string comes from elsewhere.
fn all_pages(outside: &str) -> Vec<Page<'_>> {
    let mut pages = vec![
        Page::SignIn { return_to: None, notice: None },
        Page::SignIn { return_to: Some(outside), notice: None },
        Page::GoOn { return_to: outside },
        Page::SignIn { return_to: Some(outside), notice: Some(Notice::SessionEnded) },
        Page::SignIn { return_to: Some(outside), notice: Some(Notice::FormNotSent) },
        Page::SignInForForm { return_to: outside, form: outside },
        choice(outside),
        Page::ChooseProvider {
            return_to: outside,
            offered: &[],
            notice: None,
            form: None,
            unfit: None,
            goes_on: false,
        },
        Page::OtherProvider { wanted: &[], present: "agency", return_to: outside, id: Some(outside) },
        Page::OtherProvider { wanted: &[], present: outside, return_to: outside, id: None },
        Page::ConfirmSignOut { return_to: None },
        Page::ConfirmSignOut { return_to: Some(outside) },
        Page::Sessions { sessions: &[], now: NOW },
        Page::SignedOut { reach: SignOutReach::Provider },
        Page::SignedOut { reach: SignOutReach::LocalOnly },
        Page::Refused { who_may_enter: Some(outside), id: outside },
        Page::Refused { who_may_enter: None, id: outside },
    ];
    let acr_values = if outside.is_empty() { "gold" } else { outside };
    let asked = AskedAgain { return_to: outside, acr_values, max_age: Some(900) };
    for form in [WaitingForm::None, WaitingForm::Lost, WaitingForm::Kept(outside)] {
        pages.push(Page::StepUp { asked, provider: None, form });
        pages.push(Page::StepUp { asked: AskedAgain { max_age: None, ..asked }, provider: Some("agency"), form });
    }
    pages.extend(ErrorKind::ALL.iter().map(|kind| Page::InVain { kind: *kind, asked, id: outside }));
    pages.extend(ErrorKind::ALL.iter().map(|kind| Page::Error { kind: *kind, id: outside }));
    pages
}

/// The page of somebody without a seat, for each trouble.
fn no_seat_pages(outside: &str) -> Vec<NoSeatPage<'_>> {
    let troubles = [
        SeatTrouble::Full { seats: 1, idle: None },
        SeatTrouble::Full { seats: 25, idle: Some(Duration::from_secs(720)) },
        SeatTrouble::Displaced { at: NOW, by_administrator: false },
        SeatTrouble::Displaced { at: NOW, by_administrator: true },
        SeatTrouble::Suspended,
        SeatTrouble::NotYet(NOW),
        SeatTrouble::Expired(NOW),
        SeatTrouble::NotCovered,
    ];
    let page = |trouble, form| {
        let is_said = trouble != SeatTrouble::NotCovered;
        let text = if is_said { outside } else { "" };
        let retry = is_said.then_some(10);
        NoSeatPage { trouble, serial: text, owner: text, retry, return_to: outside, form, id: outside }
    };
    let forms = [WaitingForm::None, WaitingForm::Lost, WaitingForm::Kept(outside)];
    troubles.into_iter().flat_map(|trouble| forms.map(|form| page(trouble, form))).collect()
}

/// Every page in every language for both providers, rendered, with a name for messages.
fn rendered(outside: &str, application: Option<&str>, contact: Option<&str>) -> Vec<(String, Language, String)> {
    let mut all = Vec::new();
    for provider in [ProviderKind::ProConnect, ProviderKind::Other] {
        let pages = pages_of(provider, application, contact);
        for page in all_pages(outside) {
            for language in Language::ALL {
                all.push((format!("{provider:?} {page:?} {language:?}"), language, pages.render(page, language)));
            }
        }
        let form = form(outside);
        for language in Language::ALL {
            let page = Page::KeptForm { id: outside, to: outside, form: &form };
            all.push((format!("{provider:?} {page:?} {language:?}"), language, pages.render(page, language)));
        }
        for (page, language) in
            no_seat_pages(outside).iter().flat_map(|page| Language::ALL.map(|language| (page, language)))
        {
            let page = Page::NoSeat(page);
            all.push((format!("{provider:?} {page:?} {language:?}"), language, pages.render(page, language)));
        }
        let sessions = [row(outside, true), row(outside, false)];
        for (count, language) in [1, 2].into_iter().flat_map(|count| Language::ALL.map(|language| (count, language))) {
            let page = Page::Sessions { sessions: &sessions[..count], now: NOW };
            all.push((format!("{provider:?} {page:?} {language:?}"), language, pages.render(page, language)));
        }
    }
    all
}

/// A start tag, as a browser would read it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }
}

/// The tags of a page (end tags as `/name`). Reads the HTML that we write: quoted attributes, no
/// comments; anything else is a failure.
fn tags(html: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let name_end = rest.find(|c: char| c.is_whitespace() || c == '>').expect("a tag ends");
        let name = rest[..name_end].to_owned();
        assert!(name.trim_start_matches('/').chars().all(|c| c.is_ascii_alphanumeric() || c == '!'), "<{name}");
        rest = rest[name_end..].trim_start();
        let mut attributes = Vec::new();
        while !rest.starts_with('>') {
            let end = rest.find(['=', '>', ' ']).expect("an attribute ends");
            let attribute = rest[..end].to_owned();
            rest = &rest[end..];
            let value = match rest.strip_prefix("=\"") {
                Some(quoted) => {
                    let end = quoted.find('"').expect("a value ends");
                    rest = &quoted[end + 1..];
                    quoted[..end].to_owned()
                }
                None => String::new(),
            };
            attributes.push((attribute, value));
            rest = rest.trim_start();
        }
        found.push(Tag { name, attributes });
    }
    found
}

/// A page without the one script that there is.
fn without_script(html: &str) -> String {
    let template = include_str!("templates/sign_in.html");
    let script = template.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    html.replace(&format!("<script>{script}</script>"), "")
}

/// A page's skeleton: names of tags and attributes, without values and text.
fn skeleton(html: &str) -> String {
    let mut out = String::new();
    for tag in tags(html) {
        let names: Vec<_> = tag.attributes.iter().map(|(name, _)| name.as_str()).collect();
        writeln!(out, "{} {}", tag.name, names.join(" ")).unwrap();
    }
    out
}

fn named<'t>(tags: &'t [Tag], name: &str) -> Vec<&'t Tag> {
    tags.iter().filter(|tag| tag.name == name).collect()
}

/// The text between tags, one space between words.
fn visible_text(html: &str) -> String {
    let mut out = String::new();
    for piece in html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)) {
        out.push_str(piece);
    }
    out.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_page_is_a_whole_document_with_one_heading_in_its_language() {
    for (name, language, html) in rendered("id-1", Some("Assistant"), Some("aide@example.gouv.fr")) {
        let tags = tags(&html);
        assert!(html.starts_with("<!doctype html>\n<html "), "{name}");
        assert_eq!(named(&tags, "html")[0].get("lang"), Some(language.tag()), "{name}");
        for once in ["html", "head", "title", "body", "main", "h1", "header", "footer"] {
            assert_eq!(named(&tags, once).len(), 1, "{once} in {name}");
            assert_eq!(named(&tags, &format!("/{once}")).len(), 1, "/{once} in {name}");
        }
        for (open, close) in [("<title>", "</title>"), ("<h1>", "</h1>"), ("<main>", "</main>")] {
            let inner = html.split_once(open).unwrap().1.split_once(close).unwrap().0;
            assert!(!inner.trim().is_empty(), "{open} in {name}");
        }
    }
}

#[test]
fn elements_are_closed_in_order() {
    const VOID: [&str; 6] = ["!doctype", "meta", "link", "input", "img", "br"];
    for (name, _, html) in rendered("id-1", Some("Assistant"), Some("poste 4321")) {
        let mut open = Vec::new();
        for tag in tags(&html) {
            match tag.name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop().as_deref(), Some(closed), "{name}"),
                None if VOID.contains(&tag.name.as_str()) => {}
                None => open.push(tag.name),
            }
        }
        assert!(open.is_empty(), "{open:?} in {name}");
    }
}

#[test]
fn no_page_holds_a_script_a_style_or_anything_from_elsewhere() {
    for (name, _, html) in rendered("id-1", Some("Assistant"), None) {
        for tag in tags(&without_script(&html)) {
            assert!(!["script", "style", "iframe", "object", "embed", "base"].contains(&tag.name.as_str()), "{name}");
            for (attribute, value) in &tag.attributes {
                assert!(!attribute.starts_with("on") && attribute != "style", "{attribute} in {name}");
                let fetched =
                    attribute == "src" || (tag.name == "link" && attribute == "href") || attribute == "action";
                assert!(!fetched || value.starts_with("/oauth2/"), "{value} in {name}");
            }
            assert_ne!(tag.get("http-equiv"), Some("refresh"), "{name}");
        }
    }
}

#[test]
fn the_sign_in_page_alone_has_a_script_and_the_policy_that_lets_it_run() {
    let pages = pages_of(ProviderKind::ProConnect, None, None);
    for page in all_pages("id-1") {
        let has_one = matches!(
            page,
            Page::SignIn { return_to: Some(_), notice: None }
                | Page::GoOn { .. }
                | Page::ChooseProvider { notice: None, form: None, unfit: None, .. }
        );
        let html = pages.render(page, Language::French);
        assert_eq!(html.contains("<script>"), has_one, "{page:?}");
        assert_eq!(html.contains("data-goes-on>"), matches!(page, Page::GoOn { .. }), "{page:?}");
        let policy = pages.headers(page, Language::French).find(|(name, _)| *name == "content-security-policy");
        assert_eq!(policy.unwrap().1.contains("script-src"), has_one, "{page:?}");
    }
}

#[test]
fn every_file_that_a_page_names_is_served() {
    let pages = pages_of(ProviderKind::ProConnect, None, None);
    for page in all_pages("id-1") {
        let html = pages.render(page, Language::French);
        let mut count = 0;
        for tag in tags(&html) {
            for value in [tag.get("src"), tag.get("href")].into_iter().flatten() {
                if let Some(file) = value.strip_prefix("/oauth2/static/") {
                    assert!(pages.asset(file).is_some(), "{file}");
                    count += 1;
                }
            }
        }
        assert!(count >= 2, "{page:?}");
    }
}

#[test]
fn every_control_is_labelled() {
    for (name, _, html) in rendered("id-12", None, None) {
        for element in ["button", "a"] {
            let close = format!("</{element}>");
            for piece in html.split(&format!("<{element} ")).skip(1) {
                let inner = piece.split_once('>').unwrap().1.split_once(&close).unwrap().0;
                assert!(visible_text(inner).len() > 4, "{element} in {name}");
            }
        }
        let tags = tags(&html);
        let labels: Vec<_> = named(&tags, "label").iter().filter_map(|label| label.get("for")).collect();
        for input in named(&tags, "input").iter().filter(|input| input.get("type") != Some("hidden")) {
            assert!(matches!(input.get("type"), Some("file" | "email")), "{name}");
            let labelled = input.get("id").is_some_and(|id| labels.contains(&id));
            assert!(labelled || input.get("hidden").is_some(), "{name}");
        }
        assert!(named(&tags, "button").iter().all(|button| button.get("type") == Some("submit")), "{name}");
        assert!(named(&tags, "img").iter().all(|image| image.get("alt") == Some("")), "{name}");
        assert!(named(&tags, "form").iter().all(|form| form.get("method") == Some("post")), "{name}");
    }
}

#[test]
fn the_official_button_is_a_button_with_the_official_text_and_link() {
    let pages = pages_of(ProviderKind::ProConnect, None, None);
    for language in Language::ALL {
        let html = pages.render(Page::SignIn { return_to: Some("/chat?a=1&b=2"), notice: None }, language);
        let html = without_script(&html);
        let form = html.split_once("<form method=\"post\" action=\"/oauth2/start\">").unwrap().1;
        let (form, after) = form.split_once("</form>").unwrap();
        assert!(form.contains("<input type=\"hidden\" name=\"rd\" value=\"/chat?a=1&#38;b=2\">"));
        assert_eq!(visible_text(form), "S'identifier avec ProConnect");
        let link = &tags(after)[1];
        assert_eq!(link.name, "a");
        assert_eq!(link.get("href"), Some("https://www.proconnect.gouv.fr/"));
        assert_eq!((link.get("target"), link.get("rel")), (Some("_blank"), Some("noopener noreferrer")));
        let (window, label) = match language {
            Language::French => ("nouvelle fenêtre", "Qu&#39;est-ce que ProConnect\u{a0}?"),
            Language::English => ("new window", "What is ProConnect?"),
        };
        assert!(link.get("title").unwrap().contains(window));
        assert!(visible_text(after).starts_with(label));
    }
}

#[test]
fn another_provider_gets_a_plain_button_and_no_word_of_proconnect() {
    let pages = pages_of(ProviderKind::Other, Some("Assistant"), None);
    for (language, label) in [(Language::French, "Se connecter"), (Language::English, "Sign in")] {
        let html = pages.render(Page::SignIn { return_to: None, notice: None }, language);
        assert!(html.contains(&format!("<button type=\"submit\">{label}</button>")));
        for page in [
            Page::SignIn { return_to: None, notice: None },
            Page::ConfirmSignOut { return_to: None },
            Page::SignedOut { reach: SignOutReach::Provider },
            Page::SignedOut { reach: SignOutReach::LocalOnly },
        ] {
            assert!(!pages.render(page, language).to_lowercase().contains("proconnect"), "{page:?}");
        }
    }
}

#[test]
fn the_sign_out_pages_sign_nobody_in_or_out_by_themselves() {
    for (name, _, html) in rendered("id-1", None, None) {
        for tag in tags(&html) {
            if let Some(href) = tag.get("href").filter(|_| tag.name == "a") {
                let own = href.starts_with("/oauth2");
                assert!(!own, "a link to {href} acts on GET in {name}");
            }
        }
    }
}

#[test]
fn what_is_configured_appears() {
    let pages = pages_of(ProviderKind::ProConnect, Some("  Assistant IA "), Some("aide@example.gouv.fr"));
    let html = pages.render(Page::SignIn { return_to: None, notice: None }, Language::French);
    assert!(html.contains("<title>Connexion - Assistant IA</title>"));
    assert!(html.contains("<h1>Connexion à Assistant IA</h1>"));
    assert!(html.contains("<a href=\"mailto:aide@example.gouv.fr\">aide@example.gouv.fr</a>"));
    let html =
        pages.render(Page::Refused { who_may_enter: Some("les agents du service"), id: "7f3a" }, Language::French);
    assert!(html.contains("les agents du service") && html.contains("<code>7f3a</code>"));
}

#[test]
fn blank_branding_leaves_no_empty_element() {
    for blank in [None, Some(""), Some("  ")] {
        let pages = pages_of(ProviderKind::ProConnect, blank, blank);
        let html = pages.render(Page::SignIn { return_to: None, notice: None }, Language::English);
        assert!(!html.contains("<header") && !html.contains("<footer"));
        assert!(html.contains("<title>Sign in</title>") && html.contains("<h1>Sign in</h1>"));
    }
}

#[test]
fn hostile_strings_change_no_page() {
    let plain = rendered("plain", Some("plain"), Some("plain"));
    for hostile in HOSTILE {
        for ((name, _, plain), (_, _, html)) in plain.iter().zip(rendered(hostile, Some(hostile), Some(hostile))) {
            assert_eq!(skeleton(&html), skeleton(plain), "{name}");
        }
    }
}

#[test]
fn the_page_of_sessions_names_them_and_ends_one_or_all_others() {
    let pages = pages_of(ProviderKind::ProConnect, None, None);
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let mine = SessionRow { agent: firefox, ..row("id-1", true) };
    let other = SessionRow { agent: "<b>", address: None, ..row("id-2", false) };
    let alone = pages.render(Page::Sessions { sessions: &[mine], now: NOW }, Language::English);
    assert!(alone.contains("Firefox on Linux <span class=\"mark\">this session</span>"), "{alone}");
    assert!(alone.contains("192.0.2.7") && alone.contains("18 November 2026, 11:06 UTC"), "{alone}");
    assert!(!alone.contains("value=\"others\""), "{alone}");
    let both = pages.render(Page::Sessions { sessions: &[mine, other], now: NOW }, Language::French);
    assert!(both.contains("Firefox sous Linux") && both.contains("Appareil inconnu"), "{both}");
    assert!(both.contains("value=\"id-1\"") && both.contains("value=\"id-2\""), "{both}");
    assert!(both.contains("value=\"others\"") && both.contains("action=\"/oauth2/sessions\""), "{both}");
    assert_eq!(both.matches("cette session-ci").count(), 1);
}

#[test]
fn the_page_of_a_form_shows_names_holds_values_and_asks_for_files() {
    let pages = pages_of(ProviderKind::ProConnect, None, None);
    let text = |name: &str, value: &str| Field { name: name.to_owned(), content: Content::Text(value.to_owned()) };
    let file = |name: &str, file: &str| Field { name: name.to_owned(), content: Content::File(file.to_owned()) };
    let fields = vec![text("title", "Été"), text("password", "hunter2"), text("title", "<b>"), file("f", "été.pdf")];
    let form = Submitted { encoding: Encoding::Multipart, fields };
    let html = pages.render(Page::KeptForm { id: "id-1", to: "/save", form: &form }, Language::English);
    let (shown, sent) = html.split_once("<form method=\"post\" action=\"/oauth2/form?id=id-1\"").unwrap();
    let (sent, after) = sent.split_once("</form>").unwrap();
    assert!(shown.contains("<code>/save</code>") && shown.contains("4 (title, password, f)"), "{shown}");
    assert!(shown.contains("Files were not kept") && !shown.contains("hunter2"), "{shown}");
    assert!(sent.contains("enctype=\"multipart/form-data\" accept-charset=\"UTF-8\""), "{sent}");
    let values: Vec<_> = tags(sent).iter().filter(|tag| tag.get("type") == Some("hidden")).cloned().collect();
    let values: Vec<_> = values.iter().map(|tag| (tag.get("name").unwrap(), tag.get("value").unwrap())).collect();
    assert_eq!(values, [("title", "Été"), ("password", "hunter2"), ("title", "&#60;b&#62;")]);
    assert!(visible_text(sent).contains("f (été.pdf)"), "{sent}");
    assert!(after.contains("action=\"/oauth2/form?discard=id-1\"") && !after.contains("<input"), "{after}");

    let fields = (0..25).map(|number| text(&format!("field-{number}-{}", "x".repeat(100)), "")).collect();
    let form = Submitted { encoding: Encoding::UrlEncoded, fields };
    let html = pages.render(Page::KeptForm { id: "id-1", to: "/save", form: &form }, Language::French);
    let shown = html.split("<form").next().unwrap();
    assert!(shown.contains("field-19") && !shown.contains("field-20") && shown.contains("…)"), "{shown}");
    assert!(!shown.contains(&"x".repeat(60)) && !shown.contains("fichiers"), "{shown}");
    let none = Submitted { encoding: Encoding::UrlEncoded, fields: Vec::new() };
    let html = pages.render(Page::KeptForm { id: "id-1", to: "/save", form: &none }, Language::French);
    assert!(html.contains("<dd>0</dd>"), "{html}");
}

#[test]
fn nothing_outside_changes_the_administrators_page() {
    let pages = pages_of(ProviderKind::Other, None, None).at("");
    let of = |outside: &str, language| {
        let owned = OwnedRow {
            session: row(outside, false),
            provider: outside,
            subject: outside,
            email: Some(outside),
            organization: Some(outside),
        };
        let rows = [owned, OwnedRow { email: None, organization: None, ..owned }];
        let page = AdminPage {
            rows: &rows,
            email: outside,
            more: true,
            site: outside,
            sites: &[outside, "other"],
            has_licences: true,
            now: NOW,
        };
        pages.render_admin(page, language)
    };
    for language in Language::ALL {
        let plain = of("plain", language);
        assert!(plain.contains("action=\"/\"") && plain.contains("href=\"/static/"), "{plain}");
        assert!(plain.contains("<label for=\"email\">"), "{plain}");
        for hostile in HOSTILE {
            assert_eq!(skeleton(&of(hostile, language)), skeleton(&plain), "{hostile}");
        }
    }
    let nobody = AdminPage { rows: &[], email: "", more: false, site: "", sites: &[], has_licences: false, now: NOW };
    assert!(pages.render_admin(nobody, Language::English).contains("There is no live session."));
}

#[test]
fn a_hostile_address_of_a_contact_stays_in_its_link() {
    let plain = rendered("plain", None, Some("https://aide.example/"));
    let html = rendered("plain", None, Some("https://aide.example/\" onclick=\"alert(1)"));
    for ((name, _, plain), (_, _, html)) in plain.iter().zip(html) {
        assert_eq!(skeleton(&html), skeleton(plain), "{name}");
    }
}

#[test]
fn a_hostile_prefix_changes_no_page() {
    let of = |prefix: &str| Pages::new(&Branding::default(), prefix, ProviderKind::ProConnect, true);
    for page in all_pages("id-1") {
        let plain = of("/oauth2").render(page, Language::French);
        let hostile = of("/\"><script>alert(1)</script>").render(page, Language::French);
        assert_eq!(skeleton(&hostile), skeleton(&plain), "{page:?}");
    }
}

#[test]
fn templates_trust_nothing() {
    let templates = [
        include_str!("templates/base.html"),
        include_str!("templates/sign_in.html"),
        include_str!("templates/provider_button.html"),
        include_str!("templates/other_provider.html"),
        include_str!("templates/kept_form.html"),
        include_str!("templates/confirm_sign_out.html"),
        include_str!("templates/signed_out.html"),
        include_str!("templates/error.html"),
        include_str!("templates/sessions.html"),
        include_str!("templates/admin.html"),
        include_str!("templates/explain.html"),
        include_str!("templates/seats.html"),
    ];
    for template in templates {
        let template = without_script(template);
        for word in ["safe", "escape", "<script", "<style", " style=", " on"] {
            assert!(!template.contains(word), "{word}");
        }
        // An expression in an unquoted attribute could be left by a space.
        assert!(!template.contains("={{"));
    }
}

#[test]
fn headers_are_complete_and_none_comes_twice() {
    let pages = pages_of(ProviderKind::ProConnect, None, None);
    for language in Language::ALL {
        let headers: Vec<_> = pages.headers(Page::ConfirmSignOut { return_to: None }, language).collect();
        let value = |name| headers.iter().find(|(held, _)| *held == name).map(|(_, value)| *value);
        assert_eq!(value("content-language"), Some(language.tag()));
        assert_eq!(value("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(value("cache-control"), Some("no-store"));
        assert_eq!(value("referrer-policy"), Some("same-origin"));
        assert_eq!(value("content-security-policy"), Some(content_security_policy(true)));
        let mut names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), headers.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever anyone writes anywhere, the page is built of the same elements and attributes.
    #[test]
    fn no_string_breaks_out(
        outside in hostile_string(),
        application in hostile_string(),
        contact in hostile_string(),
    ) {
        // A contact that is plainly an address is a link, as it should be.
        prop_assume!(matches!(Contact::parse(&contact), Some(Contact::Words(_))));
        prop_assume!(!application.trim().is_empty());
        for provider in [ProviderKind::ProConnect, ProviderKind::Other] {
            let plain = pages_of(provider, Some("plain"), Some("plain"));
            let hostile = pages_of(provider, Some(&application), Some(&contact));
            for (plain_page, hostile_page) in all_pages("plain").into_iter().zip(all_pages(&outside)) {
                let html = hostile.render(hostile_page, Language::English);
                prop_assert_eq!(skeleton(&html), skeleton(&plain.render(plain_page, Language::English)));
                prop_assert!(!without_script(&html).contains("<script"));
            }
        }
    }
}

/// Anything, rich in the characters that mean something in HTML.
fn hostile_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(HOSTILE).prop_map(str::to_owned),
        "[<>\"'`=/&;# \n\t!-]{0,8}",
        "\\PC{0,8}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

#[test]
fn who_chooses_among_several_has_a_button_for_each_and_a_field_for_an_address() {
    let pages = pages_of(ProviderKind::Other, None, None);
    let offered = ["agency".to_owned()];
    let page = |offered, goes_on| Page::ChooseProvider {
        return_to: "/x",
        offered,
        notice: None,
        form: None,
        unfit: None,
        goes_on,
    };
    let all = pages.render(page(&[], false), Language::English);
    assert_eq!((all.matches("name=\"provider\"").count(), all.matches("name=\"email\"").count()), (2, 1), "{all}");
    assert!(all.contains("Sign in with &#60;b&#62;the agency") && all.contains("<strong>ProConnect</strong>"), "{all}");
    // The first button is the one that the Enter key presses.
    let first = all.split_once("<button ").unwrap().1.split_once('>').unwrap().0;
    assert!(first.contains("name=\"by\" value=\"email\""), "{first}");
    // Where nobody has to choose there is nothing to type, and a script can send the form.
    for goes_on in [true, false] {
        let one = pages.render(page(&offered, goes_on), Language::English);
        assert!(one.contains("<input type=\"hidden\" name=\"provider\" value=\"agency\">"), "{one}");
        assert!(one.matches("name=\"provider\"").count() == 1 && !one.contains("name=\"email\""), "{one}");
        assert_eq!(one.contains("data-goes-on>"), goes_on, "{one}");
    }
    assert!(!pages.render(page(&[], true), Language::English).contains("data-goes-on>"), "nobody guesses");
}

#[test]
fn who_steps_up_has_the_button_of_their_own_provider_and_whoever_did_so_in_vain_may_try_again() {
    let pages = pages_of(ProviderKind::ProConnect, None, None);
    let asked = AskedAgain { return_to: "/x?a=b", acr_values: "gold platinum", max_age: Some(900) };
    let sent = |html: &str| {
        let form = html.split_once("<form method=\"post\" action=\"/oauth2/start\">").unwrap().1;
        let form = form.split_once("</form>").unwrap().0.to_owned();
        for (name, value) in [("rd", "/x?a=b"), ("acr_values", "gold platinum"), ("max_age", "900")] {
            assert!(form.contains(&format!("name=\"{name}\" value=\"{value}\"")), "{name}: {form}");
        }
        visible_text(&form)
    };
    for (provider, label) in [(None, "S'identifier avec ProConnect"), (Some("agency"), "Se connecter avec")] {
        let html = pages.render(Page::StepUp { asked, provider, form: WaitingForm::None }, Language::French);
        assert!(sent(&html).starts_with(label), "{html}");
        assert_eq!(html.contains("www.proconnect.gouv.fr"), provider.is_none(), "{html}");
    }
    for (kind, other) in [
        (
            ErrorKind::AuthenticationLevelNotReached,
            "<button class=\"quiet\" type=\"submit\">Changer de compte</button>",
        ),
        (ErrorKind::OtherPerson, "<button class=\"quiet\" type=\"submit\">Changer de compte</button>"),
        (ErrorKind::ProofTooOld, "<a href=\"/\">Revenir à l’accueil</a>"),
        (ErrorKind::AccessDenied, "<a href=\"/\">Revenir à l’accueil</a>"),
    ] {
        let html = pages.render(Page::InVain { kind, asked, id: "7f3a" }, Language::French);
        assert_eq!(sent(&html), "Réessayer", "{kind:?}");
        assert!(html.contains(other) && html.contains("<code>7f3a</code>"), "{html}");
    }
}

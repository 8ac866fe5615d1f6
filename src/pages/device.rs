//! A device in words: what a browser says of itself (`User-Agent`), as a person would say it.
//!
//! Called by `sessions`. Whatever the header holds, what comes out is made of this file's words
//! alone: nothing of the header is ever shown on a page of ours. It is a hint for the owner of a
//! session and no proof, since a client may call itself whatever it likes.

use super::language::Language;

/// A mark in the header, and what it stands for. The first that is found counts: nearly every
/// browser calls itself Chrome and Safari besides, nearly every system something like its parent.
type Marks = &'static [(&'static str, &'static str)];

const BROWSERS: Marks = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
    ("curl/", "curl"),
    ("python-", "Python"),
];

const SYSTEMS: Marks = &[
    ("Windows NT", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
];

fn first(marks: Marks, agent: &str) -> Option<&'static str> {
    marks.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
}

/// The device that `agent` speaks of: `Firefox on Linux`, `Firefox sous Linux`.
pub(super) fn device(agent: &str, language: Language) -> String {
    // On a device that one holds French says `sur`, of a system `sous`.
    let on = |system: &str| match (language, system) {
        (Language::French, "iPhone" | "iPad") => "sur",
        (Language::French, _) => "sous",
        (Language::English, _) => "on",
    };
    match (first(BROWSERS, agent), first(SYSTEMS, agent), language) {
        (Some(browser), Some(system), _) => format!("{browser} {} {system}", on(system)),
        (Some(browser), None, _) => browser.to_owned(),
        (None, Some(system), Language::French) => format!("Navigateur inconnu {} {system}", on(system)),
        (None, Some(system), Language::English) => format!("Unknown browser on {system}"),
        (None, None, Language::French) => "Appareil inconnu".to_owned(),
        (None, None, Language::English) => "Unknown device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_say_of_themselves_is_put_in_words() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        let ios = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let cases = [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
                "Firefox on Linux",
                "Firefox sous Linux",
            ),
            (
                format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/141.0.0.0 Safari/537.36"),
                "Chrome on Windows",
                "Chrome sous Windows",
            ),
            (
                format!(
                    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0"
                ),
                "Edge on Windows",
                "Edge sous Windows",
            ),
            (
                format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {ios} Version/18.5 Safari/605.1.15"),
                "Safari on macOS",
                "Safari sous macOS",
            ),
            (
                format!(
                    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {ios} Version/18.5 Mobile/15E148 Safari/604.1"
                ),
                "Safari on iPhone",
                "Safari sur iPhone",
            ),
            (
                format!("Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) {ios} CriOS/141.0 Mobile/15E148 Safari/604.1"),
                "Chrome on iPad",
                "Chrome sur iPad",
            ),
            (
                format!(
                    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {ios} FxiOS/140.0 Mobile/15E148 Safari/605.1.15"
                ),
                "Firefox on iPhone",
                "Firefox sur iPhone",
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/141.0.0.0 Mobile Safari/537.36"),
                "Chrome on Android",
                "Chrome sous Android",
            ),
            (
                format!(
                    "Mozilla/5.0 (Linux; Android 10; K) {webkit} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"
                ),
                "Samsung Internet on Android",
                "Samsung Internet sous Android",
            ),
            (
                "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0".to_owned(),
                "Firefox on Android",
                "Firefox sous Android",
            ),
            (
                format!("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {webkit} Chrome/141.0.0.0 Safari/537.36"),
                "Chrome on ChromeOS",
                "Chrome sous ChromeOS",
            ),
            (
                format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/141.0.0.0 Safari/537.36"),
                "Chrome on Linux",
                "Chrome sous Linux",
            ),
            (
                format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/141.0.0.0 Safari/537.36 OPR/124.0.0.0"),
                "Opera on Linux",
                "Opera sous Linux",
            ),
            ("curl/8.14.1".to_owned(), "curl", "curl"),
            ("python-httpx/0.28.1".to_owned(), "Python", "Python"),
            (
                "Mozilla/5.0 (X11; Linux x86_64) Something/1".to_owned(),
                "Unknown browser on Linux",
                "Navigateur inconnu sous Linux",
            ),
            (String::new(), "Unknown device", "Appareil inconnu"),
            ("<script>alert(1)</script>".to_owned(), "Unknown device", "Appareil inconnu"),
            ("Firefox/<script>alert(1)</script>".to_owned(), "Firefox", "Firefox"),
        ];
        for (agent, english, french) in cases {
            assert_eq!(device(&agent, Language::English), english, "{agent}");
            assert_eq!(device(&agent, Language::French), french, "{agent}");
        }
    }
}

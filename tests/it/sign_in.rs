//! Signing in, as a browser meets it.

use crate::support::site::{ORIGIN, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_navigation_leads_through_the_provider_and_back_to_the_same_address() {
    let site = Site::start().await;
    let client = site.client();
    let first = client.navigate("/chat?room=7&q=a%20b").await;
    assert_eq!(first.status, 302, "{}", first.text());
    assert!(first.location().starts_with(site.provider.issuer()), "{}", first.location());
    let page = client.follow(first).await;
    assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}/chat?room=7&q=a%20b")));
    let seen = page.json();
    assert_eq!(seen["target"], "/chat?room=7&q=a%20b");
}

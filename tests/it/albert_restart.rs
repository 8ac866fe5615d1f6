//! Keys for Albert API over a restart of the program: what was minted before is used and deleted
//! after it.

use crate::support::albert::{FakeAlbert, Version};
use crate::support::client::Client;
use crate::support::keyed::{bearer_in, bearer_with, cookies_of, secret_file};
use crate::support::process::{Process, provider_for_programs};
use crate::support::site::{CLIENT_SECRET, ORIGIN};
use crate::support::waiting::until;
use http::Method;
use std::path::Path;
use tempfile::NamedTempFile;
use vestibule::clock::Clock;
use vestibule::demo::Provider;

/// The real program, whose store is a file, with the API behind it.
struct Program {
    process: Option<Process>,
    configuration: String,
    provider: Provider,
    api: FakeAlbert,
    _admin_key: NamedTempFile,
}

impl Program {
    async fn start(version: Version, store: &Path, session: &str) -> Self {
        let api = FakeAlbert::start(version).await;
        api.follow(Clock::System);
        let admin_key = secret_file(&api.admin_key());
        let provider = provider_for_programs().await;
        let configuration = format!(
            "public_url: {ORIGIN}\n\
             listeners: {{proxy: \"127.0.0.1:0\", admin: \"127.0.0.2:0\"}}\n\
             providers: {{proconnect: {{preset: proconnect, issuer: \"{issuer}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
             session: {{{session}keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             store: {{file: \"{store}\"}}\n\
             upstreams: {{api: {{url: \"{api}\"}}}}\n\
             credentials: {{albert: {{kind: albert, url: \"{api}\", admin_key: {{file: {admin_key}}}, role: Freemium, organization: default}}}}\n\
             routes: [{{path: /public, access: public, upstream: api}}, {{path: /**, upstream: api, credentials: albert}}]\n",
            issuer = provider.issuer(),
            store = store.display(),
            api = api.url(),
            admin_key = admin_key.path().display(),
        );
        let mut this = Self { process: None, configuration, provider, api, _admin_key: admin_key };
        this.start_again().await;
        this
    }

    async fn start_again(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.running.signal("KILL");
            process.running.ended().await;
        }
        let environment = [("CLIENT_SECRET", CLIENT_SECRET)];
        self.process = Some(Process::serve_with(&self.configuration, &environment).await);
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    async fn signed_in(&self) -> Client {
        let client = Client::new(self.process().address());
        let page = client.browse("/v1/echo").await;
        bearer_in(&page);
        client
    }

    fn lives(&self) -> bool {
        !self.api.live_keys(Clock::System.now().as_unix()).is_empty()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_before_a_restart_is_used_and_deleted_after_it() {
    for (version, keep) in [(Version::V01, "keep: store, "), (Version::V04, "")] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::start(version, &folder.path().join("state.db"), keep).await;
        let (client, other) = (program.signed_in().await, program.signed_in().await);
        assert_eq!(program.api.all_keys().len(), 2);
        let (cookies, others) = (cookies_of(&client), cookies_of(&other));
        program.start_again().await;
        let again = Client::new(program.process().address());
        bearer_with(&again, &cookies).await;
        assert_eq!(program.api.all_keys().len(), 2, "{version:?}: the same as before");
        for cookies in [cookies, others] {
            let headers = [("origin", ORIGIN), ("sec-fetch-site", "same-origin"), ("cookie", cookies.as_str())];
            let out = again.send(Method::POST, "/oauth2/sign_out", &headers, Vec::new()).await;
            assert_eq!(out.status, 200, "{version:?}");
        }
        until("both are deleted", async || !program.lives()).await;
        assert_eq!(program.api.all_keys().len(), 2, "{version:?}: with the keys themselves");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_being_deleted_is_not_forgotten_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(Version::V045, &folder.path().join("state.db"), "").await;
    let client = program.signed_in().await;
    program.api.close().await;
    assert_eq!(client.submit("/oauth2/sign_out", "").await.status, 303);
    let running = &mut program.process.as_mut().unwrap().running;
    running.ready(|line| line.contains("cannot be deleted yet").then_some(())).await;
    program.start_again().await;
    assert!(program.lives());
    program.api.open();
    until("it is deleted", async || !program.lives()).await;
    let names: Vec<String> = program.api.all_keys().into_iter().skip(1).map(|key| key.name).collect();
    assert_eq!(names, ["vestibule-discard"], "the key itself was not at hand any more");
    drop(program.provider);
}

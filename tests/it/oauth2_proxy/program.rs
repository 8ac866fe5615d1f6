//! The real oauth2-proxy, set up as Vestibule is, with a provider and an app of its own.

use super::answers::Side;
use super::cases::{LISTED_HOSTS, Set};
use crate::support::client::Client;
use crate::support::echo::Echo;
use crate::support::ports::free_port;
use crate::support::running::Running;
use crate::support::site::{CLIENT_SECRET, ORIGIN, agent, registration};
use crate::support::waiting::until;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::net::TcpListener;
use vestibule::clock::Clock;
use vestibule::demo::Provider;
use vestibule::demo::provider::ProviderSettings;
use vestibule::random::SystemRandom;

/// It runs until this is dropped.
pub(super) struct Program {
    address: SocketAddr,
    provider: Provider,
    _echo: Echo,
    _running: Running,
}

impl Program {
    pub(super) async fn start(program: &Path, set: Set) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = ProviderSettings { clients: vec![registration()], ..ProviderSettings::default() };
        // It goes by the machine's clock.
        let provider = Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new())).unwrap();
        provider.sign_in_as(agent());
        let echo = Echo::start().await;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));

        let mut command = Command::new(program);
        command.args([
            format!("--http-address={address}"),
            "--provider=oidc".to_owned(),
            format!("--oidc-issuer-url={}", provider.issuer()),
            "--client-id=app".to_owned(),
            format!("--client-secret={CLIENT_SECRET}"),
            "--scope=openid email roles".to_owned(),
            "--oidc-groups-claim=roles".to_owned(),
            // This provider, as ProConnect, wants a nonce.
            "--insecure-oidc-skip-nonce=false".to_owned(),
            format!("--redirect-url={ORIGIN}/oauth2/callback"),
            "--email-domain=*".to_owned(),
            "--cookie-secret=0123456789abcdef0123456789abcdef".to_owned(),
            "--cookie-secure=false".to_owned(),
            "--set-xauthrequest".to_owned(),
            "--skip-auth-route=^/public/".to_owned(),
        ]);
        command.args(LISTED_HOSTS.map(|host| format!("--whitelist-domain={host}")));
        match set {
            Set::Alone => command.arg(format!("--upstream=http://{}", echo.address)),
            Set::Asked => command.args(["--upstream=static://202", "--reverse-proxy", "--trusted-proxy-ip=127.0.0.1"]),
        };
        let running = Running::start("oauth2-proxy", &command);
        let asking = Client::new(address);
        until("oauth2-proxy listens", async || {
            asking.try_send(http::Method::GET, "/ping", &[], Vec::new()).await.is_ok()
        })
        .await;
        Self { address, provider, _echo: echo, _running: running }
    }

    pub(super) fn side(&self) -> Side<'_> {
        Side { address: self.address, provider: &self.provider, session: "_oauth2_proxy" }
    }
}

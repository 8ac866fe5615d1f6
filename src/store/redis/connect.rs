//! Finds the server to talk to, and connects: one server, the master that Sentinels name, or a
//! cluster; over TLS where it is asked for.
//!
//! Called by [`super::link`] whenever there is no connection. Every step has its time limit. The
//! password goes to the client library and nowhere else.

use crate::secret::ExposeSecret;
use crate::store::{Mode, Node, OpenError, RedisSettings};
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates, Value, cmd,
};
use std::collections::HashMap;
use std::time::Duration;

/// The longest wait for a connection to one server, with TLS and the password.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for an answer that was not told to wait.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest wait for one Sentinel or node that is only asked where another one is: there are others.
const QUICK: Duration = Duration::from_millis(500);
/// The longest that a search over several servers takes.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// To which server.
pub(super) enum Target {
    /// To whichever has the key of each command.
    Any,
    /// To the one that has this key, and to it alone: no other may take over unnoticed.
    HolderOf(String),
}

/// A connection. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

/// Whether these settings can work at all: the authorities' file is one.
pub(crate) fn check(settings: &RedisSettings) -> Result<(), OpenError> {
    let refused = |why: String| OpenError::Authorities { path: settings.ca.clone().unwrap_or_default(), why };
    let Some(path) = &settings.ca else { return Ok(()) };
    let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let none = !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----");
    if none {
        return Err(refused("it holds no PEM certificate".to_owned()));
    }
    for node in settings.nodes.iter().take(1) {
        client(settings, node, RedisConnectionInfo::default()).map_err(|_| refused("it is not PEM".to_owned()))?;
    }
    Ok(())
}

/// Connects to the target. Takes [`SEARCH_TIMEOUT`] at most.
pub(super) async fn connect(settings: &RedisSettings, target: &Target) -> RedisResult<Connection> {
    let found = tokio::time::timeout(SEARCH_TIMEOUT, find(settings, target)).await;
    found.unwrap_or_else(|_| Err(timed_out()))
}

async fn find(settings: &RedisSettings, target: &Target) -> RedisResult<Connection> {
    match (&settings.mode, target) {
        (Mode::Single, _) => first(settings, |node| async move { open(settings, &node).await }).await,
        (Mode::Sentinel { master_name, .. }, _) => {
            first(settings, |sentinel| async move {
                let master = master(settings, &sentinel, master_name).await?;
                let mut connection = open(settings, &master).await?;
                // A Sentinel may not have heard of the failover yet. (HELLO says it to everybody; ROLE
                // and INFO are for administrators.)
                let about: HashMap<String, Value> = connection.ask(&cmd("HELLO")).await?;
                let role = about.get("role").and_then(|role| String::from_redis_value_ref(role).ok());
                if role.as_deref() == Some("master") {
                    Ok(connection)
                } else {
                    Err(RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "not the master")))
                }
            })
            .await
        }
        (Mode::Cluster, Target::Any) => cluster(settings).await,
        (Mode::Cluster, Target::HolderOf(key)) => first(settings, |node| holder(settings, node, key)).await,
    }
}

/// What the first node gives that gives anything; else what the last one said.
async fn first<F: Future<Output = RedisResult<Connection>>>(
    settings: &RedisSettings,
    of: impl Fn(Node) -> F,
) -> RedisResult<Connection> {
    let mut outcome = Err(RedisError::from((ErrorKind::InvalidClientConfig, "no node is named")));
    for node in &settings.nodes {
        outcome = of(node.clone()).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn open(settings: &RedisSettings, node: &Node) -> RedisResult<Connection> {
    let client = client(settings, node, credentials(settings))?;
    // How long an answer may take is for the caller: the log is asked to wait.
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
}

/// Asks a Sentinel which server is the master.
async fn master(settings: &RedisSettings, sentinel: &Node, master_name: &str) -> RedisResult<Node> {
    let mut credentials = RedisConnectionInfo::default();
    if let Mode::Sentinel { username, password, .. } = &settings.mode {
        credentials = with_user(credentials, username.as_deref(), password.as_ref());
    }
    let client = client(settings, sentinel, credentials)?;
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(QUICK)).set_response_timeout(Some(QUICK));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut ask = cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master_name);
    let address: Option<(String, u16)> = ask.query_async(&mut connection).await?;
    let unknown = || RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "no master of this name"));
    address.map(|(host, port)| Node { host, port }).ok_or_else(unknown)
}

/// The node of a cluster that has `key`, as `node` says.
async fn holder(settings: &RedisSettings, node: Node, key: &str) -> RedisResult<Connection> {
    let mut at = node;
    // A move under way may be told in two steps.
    for _ in 0..3 {
        let mut connection = open(settings, &at).await?;
        let mut exists = cmd("EXISTS");
        exists.arg(key);
        match tokio::time::timeout(RESPONSE_TIMEOUT, connection.ask::<u64>(&exists)).await.map_err(|_| timed_out())? {
            Ok(_) => return Ok(connection),
            Err(error) => match error.redirect_node() {
                Some((address, _)) => {
                    // `host:port`, with no host where the node thinks that the caller knows it.
                    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
                    let host = if host.is_empty() { at.host } else { host.trim_matches(['[', ']']).to_owned() };
                    at = Node { host, port: port.parse().map_err(|_| error.clone())? };
                }
                None => return Err(error),
            },
        }
    }
    Err(RedisError::from((ErrorKind::ClusterConnectionNotFound, "the log moves from node to node")))
}

async fn cluster(settings: &RedisSettings) -> RedisResult<Connection> {
    let nodes = settings.nodes.iter().map(|node| information(settings, node, credentials(settings)));
    let mut builder = redis::cluster::ClusterClient::builder(nodes.collect::<RedisResult<Vec<_>>>()?)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(RESPONSE_TIMEOUT)
        // Enough for a slot that moved; what a failover takes longer for is unavailable.
        .retries(3);
    if settings.tls {
        builder = builder.certs(certificates(settings)?);
    }
    builder.build()?.get_async_connection().await.map(Connection::Cluster)
}

fn client(settings: &RedisSettings, node: &Node, credentials: RedisConnectionInfo) -> RedisResult<Client> {
    let information = information(settings, node, credentials)?;
    if settings.tls { Client::build_with_tls(information, certificates(settings)?) } else { Client::open(information) }
}

fn information(settings: &RedisSettings, node: &Node, credentials: RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
    let (host, port) = (node.host.clone(), node.port);
    let address = if settings.tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    Ok(address.into_connection_info()?.set_redis_settings(credentials))
}

/// Read at every connection: authorities are renewed without a restart.
fn certificates(settings: &RedisSettings) -> RedisResult<TlsCertificates> {
    let root_cert = settings.ca.as_ref().map(std::fs::read).transpose()?;
    Ok(TlsCertificates { client_tls: None, root_cert })
}

fn credentials(settings: &RedisSettings) -> RedisConnectionInfo {
    let credentials = RedisConnectionInfo::default().set_db(i64::from(settings.database));
    with_user(credentials, settings.username.as_deref(), settings.password.as_ref())
}

fn with_user(
    mut credentials: RedisConnectionInfo,
    username: Option<&str>,
    password: Option<&crate::secret::SecretString>,
) -> RedisConnectionInfo {
    if let Some(username) = username {
        credentials = credentials.set_username(username);
    }
    if let Some(password) = password {
        credentials = credentials.set_password(password.expose_secret());
    }
    credentials
}

pub(super) fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

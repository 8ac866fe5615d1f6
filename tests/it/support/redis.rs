//! Real Redis on loopback: one server, a Sentinel set, a cluster, TLS. Each on ports and in a
//! folder of its own.

use super::certificates::Certificate;
use super::ports::free_port;
use super::running::Running;
use super::waiting::until;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use vestibule::store::{Mode, Node, RedisSettings};

/// A `redis-server`. Ends when dropped.
pub(crate) struct Redis {
    pub(crate) port: u16,
    running: Option<Running>,
    folder: TempDir,
    options: Vec<String>,
}

/// How to reach a server at this port.
pub(crate) fn settings(ports: &[u16]) -> RedisSettings {
    RedisSettings {
        mode: Mode::Single,
        nodes: ports.iter().map(|port| Node { host: "127.0.0.1".to_owned(), port: *port }).collect(),
        tls: false,
        ca: None,
        username: None,
        password: None,
        database: 0,
        prefix: "vestibule:".to_owned(),
    }
}

impl Redis {
    /// One server, which keeps what it is told over a restart: not its machine's, so that nothing
    /// has to wait for a disk.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "no"]).await
    }

    /// One server with these options.
    pub(crate) async fn start_with(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut redis = Self { port: free_port(), running: None, folder: tempfile::tempdir().unwrap(), options };
        redis.start_again().await;
        redis
    }

    /// One server that speaks TLS only.
    pub(crate) async fn start_with_tls(certificate: &Certificate) -> Self {
        let file = |path: &Path| path.to_str().unwrap().to_owned();
        let port = free_port();
        let (certificate, key) = (file(&certificate.certificate), file(&certificate.key));
        let options = ["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]
            .into_iter()
            .chain(["--tls-cert-file", &certificate, "--tls-key-file", &key])
            .map(str::to_owned)
            .collect();
        let mut redis = Self { port, running: None, folder: tempfile::tempdir().unwrap(), options };
        redis.start_again().await;
        redis
    }

    /// Starts it on the port that it had, with what it kept.
    pub(crate) async fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--loglevel", "notice"]);
        command.args(["--repl-diskless-sync-delay", "0"]);
        command.args(["--dir", self.folder.path().to_str().unwrap()]).args(&self.options);
        let mut running = Running::start("redis-server", &command);
        running.ready(|line| line.contains("Ready to accept connections").then_some(())).await;
        self.running = Some(running);
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Halts it without closing anything, or lets it go on: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        self.running.as_ref().unwrap().signal(name);
    }

    /// What `redis-cli` prints.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments)
    }
}

fn cli(port: u16, arguments: &[&str]) -> String {
    printed(Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments))
}

fn printed(command: &mut Command) -> String {
    let Output { stdout, .. } = command.output().unwrap();
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

/// A master, its replica, and three Sentinels over them.
pub(crate) struct SentinelSet {
    /// The master first, as long as nothing happens to it.
    pub(crate) servers: [Redis; 2],
    _sentinels: Vec<Running>,
    pub(crate) ports: Vec<u16>,
    _folder: TempDir,
}

impl SentinelSet {
    pub(crate) const NAME: &str = "sessions";
    const PASSWORD: &str = "of-the-sentinels";

    pub(crate) async fn start() -> Self {
        let master = Redis::start().await;
        let replica = Redis::start_with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]).await;
        until("a replica follows", async || replica.cli(&["info", "replication"]).contains("master_link_status:up"))
            .await;
        let folder = tempfile::tempdir().unwrap();
        let mut sentinels = Vec::new();
        let mut ports = Vec::new();
        for number in 0..3 {
            let (port, file) = (free_port(), folder.path().join(format!("{number}.conf")));
            let name = Self::NAME;
            let configuration = format!(
                "port {port}\nbind 127.0.0.1\nrequirepass {}\nsentinel monitor {name} 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 5000\n",
                Self::PASSWORD,
                master.port
            );
            std::fs::write(&file, configuration).unwrap();
            let mut command = Command::new("redis-server");
            command.arg(&file).arg("--sentinel");
            let mut running = Running::start("redis-sentinel", &command);
            running.ready(|line| line.contains("+monitor master").then_some(())).await;
            sentinels.push(running);
            ports.push(port);
        }
        let knows = |port: &u16| {
            let mut asked = Command::new("redis-cli");
            asked.env("REDISCLI_AUTH", Self::PASSWORD).args([
                "-p",
                &port.to_string(),
                "sentinel",
                "master",
                Self::NAME,
            ]);
            let master = printed(&mut asked).replace('\n', " ");
            master.contains("num-slaves 1") && master.contains("num-other-sentinels 2")
        };
        until("a Sentinel set stands", async || ports.iter().all(knows)).await;
        Self { servers: [master, replica], _sentinels: sentinels, ports, _folder: folder }
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        let master_name = Self::NAME.to_owned();
        RedisSettings {
            mode: Mode::Sentinel { master_name, username: None, password: Some(Self::PASSWORD.into()) },
            ..settings(&self.ports)
        }
    }
}

/// Three masters that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let options =
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--appendonly", "yes", "--appendfsync", "no"];
            nodes.push(Redis::start_with(&options).await);
        }
        let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let made =
            Command::new("redis-cli").args(["--cluster", "create"]).args(&addresses).arg("--cluster-yes").output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        until("a cluster stands", async || {
            nodes.iter().all(|node| node.cli(&["cluster", "info"]).contains("cluster_state:ok"))
        })
        .await;
        Self { nodes }
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        let ports: Vec<u16> = self.nodes.iter().map(|node| node.port).collect();
        RedisSettings { mode: Mode::Cluster, ..settings(&ports) }
    }
}

//! Reads the configuration again while the program runs, and has what may change take effect at once.
//!
//! Called by `App::run`; asked by `commands` on SIGHUP, and by the test suite. What is read is checked
//! as at a start, all of it. It takes effect as a whole, for every site, or not at all: a mistake, or a
//! change that needs a restart, leaves what runs as it is, for a mixture of two configurations was
//! checked by nobody (`docs/decisions/0019-reload.md`). Must never end the program, and never stop a request.

use super::explained::explained;
use super::{gate_of, known_providers, pages_of};
use crate::bearer::Bearers;
use crate::clock::Clock;
use crate::config::{Config, ListFiles, Outline, Problems};
use crate::gate::assertion;
use crate::random::Random;
use crate::seats::Seats;
use crate::server::{Metrics, Renewed, Turn};
use crate::session::Sessions;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Where a configuration is read from. Reads from the disk.
pub(super) type Source = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// By which a reload is asked for.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Reloaded>>);

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// What was read is in force.
    Applied,
    /// What was read has mistakes; nothing has changed.
    Mistaken(String),
    /// What was read would change these keys, which needs a restart; nothing has changed.
    NeedsRestart(Vec<String>),
    /// Nothing is served yet, or any more, or there is nothing to read.
    NotServing,
}

impl Reloads {
    pub(super) fn new() -> (Self, mpsc::Receiver<oneshot::Sender<Reloaded>>) {
        let (asks, asked) = mpsc::channel(1);
        (Self(asks), asked)
    }

    /// Has the configuration read again, and waits for what comes of it.
    pub async fn ask(&self) -> Reloaded {
        let (tells, told) = oneshot::channel();
        if self.0.send(tells).await.is_err() {
            return Reloaded::NotServing;
        }
        told.await.unwrap_or(Reloaded::NotServing)
    }
}

/// What of a site outlasts its turns, and has to know of them.
pub(super) struct Lasting {
    pub(super) sessions: Arc<Sessions>,
    pub(super) bearers: Arc<Bearers>,
    /// What signs assertions, by keys that have a rotation of their own.
    pub(super) assertion: Option<assertion::Settings>,
    /// The licences and seats, where people need one.
    pub(super) seats: Option<Arc<Seats>>,
    /// Where the lists of the present turn are watched.
    pub(super) lists: watch::Sender<ListFiles>,
}

/// Reads the configuration whenever it is asked to.
pub(super) struct Reloading {
    pub(super) source: Option<Source>,
    pub(super) asked: mpsc::Receiver<oneshot::Sender<Reloaded>>,
    /// Of each site, in their order.
    pub(super) sites: Vec<Lasting>,
    /// What runs, as it was written.
    pub(super) runs: Outline,
    /// Where turns are taken.
    pub(super) turns: mpsc::Sender<Turn>,
    pub(super) clock: Clock,
    pub(super) random: Arc<dyn Random>,
    pub(super) metrics: Arc<Metrics>,
}

impl Reloading {
    /// Never ends by itself.
    pub(super) async fn keep(mut self) {
        self.metrics.configuration_is_read(true, self.clock.now());
        while let Some(tells) = self.asked.recv().await {
            let outcome = self.reload().await;
            self.metrics.reloaded(match &outcome {
                Reloaded::Applied => "applied",
                Reloaded::Mistaken(_) => "mistaken",
                Reloaded::NeedsRestart(_) => "needs_restart",
                Reloaded::NotServing => "not_serving",
            });
            self.metrics.configuration_is_read(outcome == Reloaded::Applied, self.clock.now());
            // Whoever does not wait for it has read the log.
            let _ = tells.send(outcome);
        }
        std::future::pending::<()>().await;
    }

    async fn reload(&mut self) -> Reloaded {
        let Some(source) = self.source.clone() else { return Reloaded::NotServing };
        // A file system that hangs must not hold a worker.
        let config = match tokio::task::spawn_blocking(move || source()).await {
            Ok(Ok(config)) => config,
            Ok(Err(problems)) => {
                for problem in problems.iter() {
                    tracing::error!(key = %problem.path, file = problem.file, line = problem.line, "{}", problem.message);
                }
                tracing::error!(
                    problems = problems.iter().count(),
                    "the configuration has mistakes; the one from before stays in force"
                );
                return Reloaded::Mistaken(problems.to_string());
            }
            Err(_) => {
                tracing::error!("the configuration could not be read; the one from before stays in force");
                return Reloaded::Mistaken("the configuration could not be read".to_owned());
            }
        };
        let keys = self.runs.needs_restart(&config.outline());
        if !keys.is_empty() {
            let keys_in_words = keys.join(", ");
            tracing::warn!(
                "nothing of the configuration that was read is in force, for it needs a restart: {keys_in_words}"
            );
            return Reloaded::NeedsRestart(keys);
        }
        self.take_turn(&config).await
    }

    async fn take_turn(&mut self, config: &Config) -> Reloaded {
        let (mut sites, mut lists) = (Vec::with_capacity(self.sites.len()), Vec::with_capacity(self.sites.len()));
        for (config, lasting) in config.each_site().zip(&self.sites) {
            let mut files = config.list_files.clone();
            files.follow(&lasting.lists.borrow());
            lists.push(files);
            // Before the rules that look at them.
            lasting.sessions.keep_claims(config.kept_claims.iter().cloned());
            lasting.bearers.keep_claims(config.kept_claims.iter().cloned());
            let assertion = || lasting.assertion.clone();
            let gate = gate_of(config, &lasting.sessions, assertion()).seating(lasting.seats.clone());
            let gate = Arc::new(gate);
            let explained = match explained(config, Arc::clone(&gate), assertion(), &*self.random) {
                Ok(explained) => Arc::new(explained),
                Err(error) => {
                    tracing::error!(%error, "the configuration could not be put in force; the one from before stays");
                    return Reloaded::Mistaken(error.to_string());
                }
            };
            sites.push(Renewed {
                gate,
                explained,
                pages: pages_of(config),
                upstreams: config.server.upstreams.clone(),
            });
        }
        let (taken, told) = oneshot::channel();
        if self.turns.send(Turn { sites, taken }).await.is_err() || told.await.is_err() {
            return Reloaded::NotServing;
        }
        for (config, lasting) in config.each_site().zip(&self.sites) {
            if let Some(seats) = &lasting.seats {
                seats.register().declare(&config.licences, known_providers(config).are_several());
                seats.read_soon();
            }
        }
        // Its rules look at lists of their own, as they were a moment ago.
        for (files, lasting) in lists.into_iter().zip(&self.sites) {
            lasting.lists.send_replace(files);
        }
        self.runs = config.outline();
        for finding in config.findings() {
            tracing::warn!(key = %finding.path, file = finding.file, line = finding.line, "{}", finding.message);
        }
        tracing::info!("the configuration was read again and is in force");
        Reloaded::Applied
    }
}

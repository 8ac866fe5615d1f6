//! What is counted, and its text form for Prometheus.
//!
//! One registry an instance, never the global one: two instances run in one test process.

use super::seat_metrics::{MeasuredLicence, SeatMetrics};
use crate::clock::Timestamp;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) decision_seconds: Histogram,
    pub(super) sign_ins: IntCounterVec,
    pub(super) sign_outs: IntCounterVec,
    pub(super) provider_logouts: IntCounterVec,
    pub(super) refreshes: IntCounterVec,
    pub(super) bearer_tokens: IntCounterVec,
    pub(super) upstream_errors: IntCounterVec,
    pub(super) credential_failures: IntCounterVec,
    pub(super) cut_connections: IntCounterVec,
    config_reloads: IntCounterVec,
    config_reload_failing: IntGauge,
    config_reload_success: IntGauge,
    pub(super) in_flight: IntGauge,
    pub(super) revocations: IntGauge,
    pub(super) store_silent: IntGauge,
    pub(super) keys_to_delete: IntGauge,
    pub(super) provider_ready: IntGaugeVec,
    seats: SeatMetrics,
}

impl Metrics {
    /// A registry of its own.
    ///
    /// # Errors
    /// When a metric's name is invalid or taken: a mistake in this file.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let requests = counter("vestibule_requests_total", "Requests by route and decision", &["route", "decision"])?;
        let sign_ins = counter("vestibule_sign_ins_total", "Sign-ins by outcome", &["outcome"])?;
        let sign_outs = counter("vestibule_sign_outs_total", "Sign-outs by reach", &["reach"])?;
        let provider_logouts = counter(
            "vestibule_provider_logouts_total",
            "Logouts that the provider told of, by channel and outcome",
            &["channel", "outcome"],
        )?;
        let refreshes =
            counter("vestibule_refreshes_total", "Requests that asked whether a session goes on", &["outcome"])?;
        let bearer_tokens =
            counter("vestibule_bearer_tokens_total", "Bearer tokens looked at by outcome", &["outcome"])?;
        let upstream_errors =
            counter("vestibule_upstream_errors_total", "Failed requests to apps by cause", &["upstream", "cause"])?;
        let credential_failures = counter(
            "vestibule_credential_failures_total",
            "Requests that could not go on for want of a credential",
            &["credential"],
        )?;
        let cut_connections =
            counter("vestibule_cut_connections_total", "Connections cut before their end by reason", &["reason"])?;
        let config_reloads =
            counter("vestibule_config_reloads_total", "Reloads of the configuration by outcome", &["outcome"])?;
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let config_reload_failing = gauge(
            "vestibule_config_reload_failing",
            "1 while the configuration that was read last is not the one that runs, else 0",
        )?;
        let config_reload_success = gauge(
            "vestibule_config_reload_last_success_timestamp_seconds",
            "When the configuration that runs was read, in Unix seconds",
        )?;
        // From a microsecond, what a decision should cost, to a millisecond, what it never should.
        let buckets = vec![1e-6, 2e-6, 4e-6, 8e-6, 16e-6, 32e-6, 64e-6, 128e-6, 256e-6, 1e-3];
        let options = HistogramOpts::new("vestibule_decision_seconds", "Time to decide a request").buckets(buckets);
        let decision_seconds = Histogram::with_opts(options)?;
        registry.register(Box::new(decision_seconds.clone()))?;
        let in_flight = IntGauge::new("vestibule_requests_in_flight", "Requests under way, open WebSockets included")?;
        registry.register(Box::new(in_flight.clone()))?;
        let revocations =
            IntGauge::new("vestibule_revocations", "What has ended before its time, as this process knows")?;
        registry.register(Box::new(revocations.clone()))?;
        let store_silent = IntGauge::new("vestibule_store_silent", "1 while there is no word from the store, else 0")?;
        registry.register(Box::new(store_silent.clone()))?;
        let keys_to_delete =
            IntGauge::new("vestibule_keys_to_delete", "API keys of ended sessions that wait for being deleted")?;
        registry.register(Box::new(keys_to_delete.clone()))?;
        let provider_ready = IntGaugeVec::new(
            Opts::new("vestibule_provider_ready", "1 where a provider's metadata and keys were had, else 0"),
            &["site", "provider"],
        )?;
        registry.register(Box::new(provider_ready.clone()))?;
        let seats = SeatMetrics::new(&registry)?;
        Ok(Self {
            registry,
            requests,
            decision_seconds,
            sign_ins,
            sign_outs,
            provider_logouts,
            refreshes,
            bearer_tokens,
            upstream_errors,
            credential_failures,
            cut_connections,
            config_reloads,
            config_reload_failing,
            config_reload_success,
            in_flight,
            revocations,
            store_silent,
            keys_to_delete,
            provider_ready,
            seats,
        })
    }

    /// Counts what came of reading the configuration anew.
    pub fn reloaded(&self, outcome: &str) {
        self.config_reloads.with_label_values(&[outcome]).inc();
    }

    /// Notes whether the configuration that runs is the one that was read last, at this moment.
    pub fn configuration_is_read(&self, runs: bool, now: Timestamp) {
        self.config_reload_failing.set(i64::from(!runs));
        if runs {
            self.config_reload_success.set(i64::try_from(now.as_unix()).unwrap_or(i64::MAX));
        }
    }

    /// The text exposition format, with these figures of licences.
    pub(super) fn render(&self, licences: &[MeasuredLicence]) -> String {
        let _turn = self.seats.set(licences);
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

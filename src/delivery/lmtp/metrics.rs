//! What is counted (Prometheus text form): messages by outcome, seconds by step, octets in and stored,
//! who waits for memory. Nothing is counted by user or address.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::delivery::outcome::Verdict;

/// The upper bounds of the steps' seconds.
const SECONDS: [f64; 12] =
    [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0];

/// A step of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The client sends the message.
    Receive,
    /// It is parsed and compressed, once for all recipients.
    Prepare,
    /// It is sealed, for one recipient.
    Seal,
    /// The store takes it, for one recipient or for all that share it.
    HandOver,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStep {
    step: Step,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: Verdict,
}

impl EncodeLabelValue for Step {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Receive => "receive",
            Self::Prepare => "prepare",
            Self::Seal => "seal",
            Self::HandOver => "hand_over",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

impl EncodeLabelValue for Verdict {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.name(), encoder)
    }
}

/// All of it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    recipients: Family<OfOutcome, Counter>,
    seconds: Family<OfStep, Histogram, fn() -> Histogram>,
    pub(super) octets_in: Counter,
    pub(super) octets_stored: Counter,
    pub(super) connections: Gauge,
    pub(super) refused_connections: Counter,
    pub(super) memory_free: Gauge<u64, AtomicU64>,
    memory_waiting: Gauge,
    memory_waits: Counter,
    pub(super) store_idle: Gauge,
    pub(super) panics: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("nightsafe_lmtp"),
            recipients: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            octets_in: Counter::default(),
            octets_stored: Counter::default(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            memory_free: Gauge::default(),
            memory_waiting: Gauge::default(),
            memory_waits: Counter::default(),
            store_idle: Gauge::default(),
            panics: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let all = &mut self.registry;
        all.register(
            "recipients",
            "Recipients by what became of the message",
            self.recipients.clone(),
        );
        let seconds = self.seconds.clone();
        all.register_with_unit("step", "Time by step of a delivery", Unit::Seconds, seconds);
        let octets = self.octets_in.clone();
        all.register_with_unit("message_in", "Octets of messages received", Unit::Bytes, octets);
        let octets = self.octets_stored.clone();
        all.register_with_unit("message_stored", "Octets the store took", Unit::Bytes, octets);
        all.register("connections", "Clients that are connected", self.connections.clone());
        let refused = self.refused_connections.clone();
        all.register("connections_refused", "Connections over the limit", refused);
        let free = self.memory_free.clone();
        all.register_with_unit("memory_free", "What is left of the budget", Unit::Bytes, free);
        let waiting = self.memory_waiting.clone();
        all.register("memory_waiting", "Messages that wait for memory", waiting);
        all.register("memory_waits", "Messages that had to wait", self.memory_waits.clone());
        let idle = self.store_idle.clone();
        all.register("store_connections_idle", "Connections kept to the store", idle);
        all.register("panics", "Internal errors", self.panics.clone());
        for verdict in Verdict::ALL {
            // A series that begins at nothing: an alarm can count from there.
            drop(self.recipients.get_or_create(&OfOutcome { outcome: verdict }));
        }
    }

    /// Counts what became of a message for one recipient.
    pub(super) fn outcome(&self, verdict: Verdict) {
        self.recipients.get_or_create(&OfOutcome { outcome: verdict }).inc();
    }

    /// Counts what a step took.
    pub(super) fn step(&self, step: Step, took: Duration) {
        self.seconds.get_or_create(&OfStep { step }).observe(took.as_secs_f64());
    }

    /// Counts somebody as waiting for memory until the result is dropped.
    pub(super) fn waits(self: &Arc<Self>) -> Waiting {
        self.memory_waits.inc();
        self.memory_waiting.inc();
        Waiting(Arc::clone(self))
    }

    /// The text form.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Somebody who waits for memory.
pub(super) struct Waiting(Arc<Metrics>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.memory_waiting.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let metrics = Metrics::default();
        metrics.outcome(Verdict::Sealed);
        metrics.step(Step::HandOver, Duration::from_millis(2));
        metrics.octets_in.inc_by(4096);
        let text = metrics.text();
        for line in [
            "nightsafe_lmtp_recipients_total{outcome=\"sealed\"} 1",
            "nightsafe_lmtp_recipients_total{outcome=\"deferred\"} 0",
            "nightsafe_lmtp_step_seconds_count{step=\"hand_over\"} 1",
            "nightsafe_lmtp_step_seconds_sum{step=\"hand_over\"} 0.002",
            "nightsafe_lmtp_message_in_bytes_total 4096",
            "# EOF",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}

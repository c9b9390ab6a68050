//! What the Swarm client counts about itself.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Operation and how it ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Counters and gauges of one client; clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<Call, Counter>,
    latency: Family<Operation, Histogram, fn() -> Histogram>,
    writes: Counter,
    polls: Counter,
    polls_failed: Counter,
    last_poll: Gauge<f64, AtomicU64>,
    objects: Family<Kind, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            // 0.5 ms to 16 s: an Engine answers in 1 to 10 ms, a Swarm without a leader in 11 s.
            latency: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0005, 2.0, 16))
            }),
            writes: Counter::default(),
            polls: Counter::default(),
            polls_failed: Counter::default(),
            last_poll: Gauge::default(),
            objects: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds every metric to a registry, under the prefix `swarm_`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("swarm");
        r.register(
            "engine_calls",
            "Calls to the Docker Engine by operation and outcome",
            self.calls.clone(),
        );
        r.register(
            "engine_call_seconds",
            "Duration of calls to the Docker Engine",
            self.latency.clone(),
        );
        r.register(
            "engine_writes",
            "Calls that write to the Docker Engine, failed ones included",
            self.writes.clone(),
        );
        r.register("polls", "Polls of the Swarm", self.polls.clone());
        r.register(
            "polls_failed",
            "Polls of the Swarm that failed",
            self.polls_failed.clone(),
        );
        r.register(
            "last_poll_timestamp_seconds",
            "When a poll of the Swarm last succeeded",
            self.last_poll.clone(),
        );
        r.register(
            "objects",
            "Objects in the last snapshot by kind",
            self.objects.clone(),
        );
    }

    /// Write calls made so far, failed ones included.
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// Polls made so far, failed ones included.
    pub fn polls(&self) -> u64 {
        self.polls.get()
    }

    pub(crate) fn called(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&Call { operation, outcome }).inc();
        self.latency
            .get_or_create(&Operation { operation })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn wrote(&self) {
        self.writes.inc();
    }

    pub(crate) fn polled(&self, ok: bool) {
        self.polls.inc();
        if ok {
            self.last_poll
                .set(jiff::Timestamp::now().as_duration().as_secs_f64());
        } else {
            self.polls_failed.inc();
        }
    }

    pub(crate) fn observed(&self, snapshot: &plan::model::Snapshot) {
        let sizes = [
            ("service", snapshot.services.len()),
            ("task", snapshot.tasks.len()),
            ("node", snapshot.nodes.len()),
            ("network", snapshot.networks.len()),
        ];
        for (kind, size) in sizes {
            self.objects
                .get_or_create(&Kind { kind })
                .set(i64::try_from(size).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_as_documented() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.called("service_create", "name_taken", Duration::from_millis(3));
        metrics.wrote();
        metrics.polled(false);
        metrics.observed(&plan::model::Snapshot::default());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"swarm_engine_calls_total{operation="service_create",outcome="name_taken"} 1"#,
            r#"swarm_engine_call_seconds_count{operation="service_create"} 1"#,
            "swarm_engine_writes_total 1",
            "swarm_polls_total 1",
            "swarm_polls_failed_total 1",
            r#"swarm_objects{kind="service"} 0"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}

//! What the server counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::audit;

/// A request, as counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// `get`, `list`, …
    pub(crate) verb: String,
    /// Plural; empty for paths that are no resource. Only of resources that exist.
    pub(crate) resource: String,
    /// HTTP code.
    pub(crate) code: u16,
}

/// The duration of a request, as measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct VerbLabels {
    /// `get`, `list`, …
    pub(crate) verb: String,
}

/// A request refused for lack of room, as counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PoolLabels {
    /// `reads`, `changes`, `watches`, …
    pool: &'static str,
}

/// Counts requests refused for lack of room.
#[derive(Clone, Default)]
pub(crate) struct Rejections(Family<PoolLabels, Counter>);

impl Rejections {
    pub(crate) fn count(&self, pool: &'static str) {
        self.0.get_or_create(&PoolLabels { pool }).inc();
    }
}

/// From 0.5 ms to about 16 s.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

/// See the module.
pub(crate) struct Metrics {
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) duration: Family<VerbLabels, Histogram, fn() -> Histogram>,
    pub(crate) watches: Gauge,
    pub(crate) rejections: Rejections,
    pub(crate) audit: audit::Counts,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(histogram as fn() -> Histogram),
            watches: Gauge::default(),
            rejections: Rejections::default(),
            audit: audit::Counts::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_requests",
            "Requests by verb, resource and code",
            self.requests.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "Time to answer, watches excepted",
            self.duration.clone(),
        );
        registry.register(
            "apiserver_watches",
            "Watches now open",
            self.watches.clone(),
        );
        registry.register(
            "apiserver_rejected_requests",
            "Requests answered with 429, by what there was no room in",
            self.rejections.0.clone(),
        );
        registry.register(
            "apiserver_audit_events",
            "Lines written to the audit log",
            self.audit.events.clone(),
        );
        registry.register(
            "apiserver_audit_lost_events",
            "Lines that the audit log had no room for",
            self.audit.lost.clone(),
        );
    }
}

//! Counters of the controllers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Labels of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reconcile {
    pub kind: &'static str,
    pub outcome: &'static str,
}

/// Labels of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    pub kind: &'static str,
}

/// Counters of the controllers; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) reconciles: Family<Reconcile, Counter>,
    pub(crate) seconds: Family<Kind, Histogram>,
    pub(crate) status_writes: Family<Kind, Counter>,
    pub(crate) pod_writes: Counter,
    pub(crate) projected_rows: Counter,
    pub(crate) orphans: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            // From a comparison that finds nothing (50 µs) to one that waits for a slow Engine.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
            }),
            status_writes: Family::default(),
            pod_writes: Counter::default(),
            projected_rows: Counter::default(),
            orphans: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("controllers");
        registry.register(
            "reconciles",
            "Reconciles by kind and outcome",
            self.reconciles.clone(),
        );
        registry.register(
            "reconcile_seconds",
            "Duration of reconciles",
            self.seconds.clone(),
        );
        registry.register(
            "status_writes",
            "Status patches sent",
            self.status_writes.clone(),
        );
        registry.register(
            "pod_writes",
            "Pods created, replaced or deleted",
            self.pod_writes.clone(),
        );
        registry.register(
            "projected_rows",
            "Rows upserted or deleted in projections",
            self.projected_rows.clone(),
        );
        registry.register(
            "orphaned_services",
            "Services with our labels whose Deployment does not exist",
            self.orphans.clone(),
        );
    }
}

//! What the store counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters and gauges of one store; cheap to clone, all clones are the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Transactions committed.
    pub commits: Counter,
    /// Writes per transaction.
    pub batch_size: Histogram,
    /// Seconds from the start of a transaction to its acknowledgement.
    pub commit_seconds: Histogram,
    /// Writes refused because of their precondition or a guard.
    pub conflicts: Counter,
    /// Transactions of which the outcome could not be learnt.
    pub unknown_outcomes: Counter,
    /// Open watches.
    pub watchers: Gauge,
    /// Watches closed because they were too slow.
    pub dropped_watchers: Counter,
    /// Newest revision in the cache.
    pub cache_revision: Gauge,
    /// Times that the cache was dropped and filled again.
    pub refills: Counter,
    /// Rows in the log, as Postgres estimates them.
    pub log_rows: Gauge,
    /// Log rows deleted by compaction.
    pub compacted_rows: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            commits: Counter::default(),
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            conflicts: Counter::default(),
            unknown_outcomes: Counter::default(),
            watchers: Gauge::default(),
            dropped_watchers: Counter::default(),
            cache_revision: Gauge::default(),
            refills: Counter::default(),
            log_rows: Gauge::default(),
            compacted_rows: Counter::default(),
        }
    }
}

impl Metrics {
    /// Adds everything to a registry, under `store_…`.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            commits,
            batch_size,
            commit_seconds,
            conflicts,
            unknown_outcomes,
            watchers,
            dropped_watchers,
            cache_revision,
            refills,
            log_rows,
            compacted_rows,
        } = self.clone();
        let r = registry.sub_registry_with_prefix("store");
        r.register("commits", "Transactions committed", commits);
        r.register("batch_size", "Writes per transaction", batch_size);
        r.register(
            "commit_seconds",
            "Time of a write transaction",
            commit_seconds,
        );
        r.register(
            "conflicts",
            "Writes refused by precondition or guard",
            conflicts,
        );
        r.register(
            "unknown_outcomes",
            "Transactions with unknown outcome",
            unknown_outcomes,
        );
        r.register("watchers", "Open watches", watchers);
        r.register(
            "dropped_watchers",
            "Watches closed as too slow",
            dropped_watchers,
        );
        r.register(
            "cache_revision",
            "Newest revision in the cache",
            cache_revision,
        );
        r.register(
            "refills",
            "Times the cache was dropped and filled again",
            refills,
        );
        r.register("log_rows", "Rows in the log, estimated", log_rows);
        r.register(
            "compacted_rows",
            "Log rows deleted by compaction",
            compacted_rows,
        );
    }
}

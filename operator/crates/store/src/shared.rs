//! What the tasks of one store share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::postgres::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::config::Config;
use crate::db::{Connector, Head};
use crate::metrics::Metrics;

/// How long a reader waits for a revision that the cache does not have yet; as kube-apiserver.
pub(crate) const FRESHNESS_PATIENCE: Duration = Duration::from_secs(3);

/// How long one attempt to connect may take.
pub(crate) const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// The tailer, the barrier, and one for the lease and the ping.
const URGENT_CONNECTIONS: u32 = 3;

/// Between two attempts to do something that failed: 50 ms doubling to 1 s, jittered. Short,
/// because Postgres being away stops all writes and few processes ask.
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(Self::LONGEST);
        jittered(delay)
    }
}

/// The duration, a quarter more or less.
pub(crate) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.75..1.25))
}

/// See the module.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) connector: Connector,
    pub(crate) pool: PgPool,
    /// For short statements that others wait for: long reads never take these connections.
    pub(crate) urgent: PgPool,
    pub(crate) cache: Arc<Cache>,
    pub(crate) metrics: Metrics,
    pub(crate) cluster_uid: uuid::Uuid,
    /// "Read the log now."
    pub(crate) tail: Notify,
    /// Backend of the committer's connection: its notifications are no news.
    pub(crate) writer_pid: AtomicU32,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// When, by our clock, the database said what time it is, in microseconds.
    clock: Mutex<(Instant, i64)>,
}

impl Core {
    pub(crate) fn new(
        config: Config,
        connector: Connector,
        pool: PgPool,
        cluster_uid: uuid::Uuid,
        head: Head,
    ) -> Self {
        let metrics = Metrics::default();
        let cache = Cache::new(config.history_events, config.history_bytes, metrics.clone());
        Self {
            config,
            urgent: connector.pool(URGENT_CONNECTIONS, FRESHNESS_PATIENCE),
            connector,
            pool,
            cache,
            metrics,
            cluster_uid,
            tail: Notify::new(),
            writer_pid: AtomicU32::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            clock: Mutex::new((Instant::now(), head.micros)),
        }
    }

    /// Remembers the clock of the database.
    pub(crate) fn note(&self, head: &Head) {
        *self.clock.lock() = (Instant::now(), head.micros);
    }

    /// The database's clock, by its last answer and the time since.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        let (at, micros) = *self.clock.lock();
        let passed = i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_microsecond(micros.saturating_add(passed))
            .unwrap_or(jiff::Timestamp::MAX)
    }

    /// Runs a task until the store stops. A task that ends before that is a bug: it stops the
    /// store, so that the process is seen to be unready rather than quietly standing still.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        struct Ended(&'static str, CancellationToken);
        impl Drop for Ended {
            fn drop(&mut self) {
                if !self.1.is_cancelled() {
                    tracing::error!(task = self.0, "a task of the store ended; the store stops");
                    self.1.cancel();
                }
            }
        }
        let ended = Ended(name, self.stop.clone());
        self.tasks.spawn(async move {
            let _ended = ended;
            task.await;
        });
    }
}

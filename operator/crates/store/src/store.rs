//! The handle to the store, and its start and stop.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use crate::batch::Prepared;
use crate::committer::{Committer, Pending};
use crate::config::Config;
use crate::db::{self, Connector, Head};
use crate::error::{Error, WriteError};
use crate::metrics::Metrics;
use crate::object::{Key, Object, Replace, Write};
use crate::query::{Consistency, ListQuery, Page, WatchQuery};
use crate::shared::{Backoff, Core, FRESHNESS_PATIENCE};
use crate::tailer::{self, Asker};
use crate::watch::Watcher;
use crate::{compact, migrate, read, watch};

/// Readers that may wait for the newest revision at once; more wait outside.
const ASKERS: usize = 1024;
/// How long the tasks may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
const PING_PATIENCE: Duration = Duration::from_secs(1);

/// Handle to the store; cheap to clone. The store stops when the last handle is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    writes: mpsc::Sender<Pending>,
    askers: mpsc::Sender<Asker>,
    _stop: DropGuard,
}

impl Store {
    /// Connects (with back-off until `Config::connect_timeout`), migrates under an advisory
    /// lock, fills the cache, starts the committer and the tailer.
    ///
    /// # Errors
    /// `Unavailable` where Postgres could not be reached in time, `Database` where the URL is not
    /// one or the schema is not ours.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let connector = Connector::new(&config)?;
        let pool = connector.pool(config.max_connections, FRESHNESS_PATIENCE);
        let (head, cluster_uid) = connect(&connector, &pool, config.connect_timeout).await?;
        warn_if_not_durable(&pool).await?;
        let core = Arc::new(Core::new(config, connector, pool, cluster_uid, head));
        tailer::fill(&core).await?;
        let (writes, queue) = mpsc::channel(core.config.write_queue);
        let (askers, questions) = mpsc::channel(ASKERS);
        // The committer ends by itself when told, so that the batch in flight is finished; the
        // others may be cut at any await.
        core.spawn("committer", Committer::new(core.clone(), queue).run());
        core.spawn("dispatcher", tailer::dispatch(core.clone()));
        core.spawn("tailer", tailer::tail(core.clone()));
        core.spawn(
            "doorbell",
            until_stopped(core.clone(), tailer::doorbell(core.clone())),
        );
        core.spawn(
            "barrier",
            until_stopped(core.clone(), tailer::barrier(core.clone(), questions)),
        );
        core.spawn(
            "compactor",
            until_stopped(core.clone(), compact::run(core.clone())),
        );
        let stop = core.stop.clone().drop_guard();
        let inner = Inner {
            core,
            writes,
            askers,
            _stop: stop,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Stops: ends watches, finishes the writes in flight, refuses others, closes connections.
    /// Bounded by some seconds.
    pub async fn close(&self) {
        let core = &self.inner.core;
        core.stop.cancel();
        core.tasks.close();
        if tokio::time::timeout(CLOSE_PATIENCE, core.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("the tasks of the store did not end in time");
        }
        let pools = async { tokio::join!(core.pool.close(), core.urgent.close()) };
        if tokio::time::timeout(CLOSE_PATIENCE, pools).await.is_err() {
            tracing::warn!("the connections of the store did not close in time");
        }
    }

    /// Identity of this control plane, made once and kept in Postgres.
    pub fn cluster_uid(&self) -> uuid::Uuid {
        self.inner.core.cluster_uid
    }

    /// Applies one write. Returns once it is durable *and* visible in this process's cache.
    /// For a delete, the object is its last state with the revision of the delete.
    ///
    /// Dropping the future does not take the write back once it is queued.
    ///
    /// # Errors
    /// `Unavailable` within `Config::write_timeout` (and the time of a statement) while Postgres
    /// is away; where the outcome is unknown, its text says so.
    pub async fn commit(&self, write: Write) -> Result<Arc<Object>, WriteError> {
        self.commit_with(write, Vec::new()).await
    }

    /// As [`Store::commit`], together with replacements of other objects: all of it happens, at
    /// revisions next to each other, or nothing. Keys must differ.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`WriteError::Replace`].
    pub async fn commit_with(
        &self,
        write: Write,
        also: Vec<Replace>,
    ) -> Result<Arc<Object>, WriteError> {
        let patience = self.inner.core.config.write_timeout;
        let deadline = Instant::now() + patience;
        let (write, also) = Prepared::together(write, also)?;
        let (answer, result) = oneshot::channel();
        let pending = Pending {
            write,
            also,
            deadline,
            answer,
        };
        match self.inner.writes.send_timeout(pending, patience).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let text = format!("the write queue was full for {patience:?}; not written");
                return Err(Error::Unavailable(text).into());
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => {
                return Err(Error::Unavailable("the store stopped; not written".into()).into());
            }
        }
        result.await.unwrap_or_else(|_| {
            let text = "the store stopped; whether the write happened is unknown";
            Err(Error::Unavailable(text.into()).into())
        })
    }

    /// One object.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn get(&self, key: &Key, at: Consistency) -> Result<Option<Arc<Object>>, Error> {
        self.freshen(at).await?;
        read::get(&self.inner.core, key, at).await
    }

    /// Many objects, true at one revision.
    ///
    /// # Errors
    /// `Unavailable` for `Latest` while Postgres is away, `Future` where the revision does not
    /// come within 3 s, `Compacted` where the history does not reach back to it.
    pub async fn list(&self, query: ListQuery) -> Result<Page, Error> {
        self.freshen(query.at).await?;
        read::list(&self.inner.core, query).await
    }

    /// Changes as they are committed, in revision order.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn watch(&self, query: WatchQuery) -> Result<Watcher, Error> {
        self.freshen(watch::freshness(query.from)).await?;
        watch::watch(&self.inner.core, &query).await
    }

    /// Waits until all that this process knew when it asked is in the queues of the watchers: what one of
    /// them began with may be newer than what another has got so far.
    pub async fn handed_out(&self) {
        let cache = &self.inner.core.cache;
        cache.handed_out(cache.revision()).await;
    }

    /// Newest revision that the cache has applied.
    pub fn revision(&self) -> u64 {
        self.inner.core.cache.revision()
    }

    /// The time by the database's clock (its last answer, and what passed since): what every
    /// process stamps objects with.
    pub fn now(&self) -> jiff::Timestamp {
        self.inner.core.now()
    }

    /// Does Postgres answer? Bounded by a second.
    ///
    /// # Errors
    /// `Unavailable` where it does not, or the store has stopped.
    pub async fn ping(&self) -> Result<(), Error> {
        let core = &self.inner.core;
        if core.stop.is_cancelled() {
            return Err(Error::Unavailable("the store stopped".into()));
        }
        match tokio::time::timeout(PING_PATIENCE, db::head(&core.urgent)).await {
            Ok(head) => head.map(|_| ()),
            Err(_) => Err(Error::Unavailable(format!(
                "no answer within {PING_PATIENCE:?}"
            ))),
        }
    }

    /// Compacts the log now, as the settings allow; returns the rows deleted. Also done at
    /// intervals, by any process.
    ///
    /// # Errors
    /// `Unavailable` or `Database`.
    pub async fn compact(&self) -> Result<u64, Error> {
        compact::compact(&self.inner.core).await
    }

    /// What the store counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.core.metrics
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.inner.core.pool
    }

    pub(crate) fn urgent(&self) -> &PgPool {
        &self.inner.core.urgent
    }

    /// Waits until the cache is as fresh as asked.
    async fn freshen(&self, at: Consistency) -> Result<(), Error> {
        let core = &self.inner.core;
        let revision = match at {
            Consistency::Cached => return Ok(()),
            Consistency::NotOlderThan(revision) | Consistency::Exact(revision) => {
                if revision > core.cache.revision() {
                    core.tail.notify_one();
                }
                let reached = core.cache.wait_for(revision, FRESHNESS_PATIENCE).await;
                let future = |current| Error::Future {
                    requested: revision,
                    current,
                };
                return reached.map_err(future);
            }
            Consistency::Latest => self.newest().await?,
        };
        core.cache
            .wait_for(revision, FRESHNESS_PATIENCE)
            .await
            .map_err(|now| {
                Error::Unavailable(format!(
                    "the cache is at {now} and does not get to {revision}"
                ))
            })
    }

    /// The newest committed revision, as of now.
    async fn newest(&self) -> Result<u64, Error> {
        let stopped = || Error::Unavailable("the store stopped".into());
        let (asker, answer) = oneshot::channel();
        self.inner.askers.send(asker).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Runs a task that may be cut at any await.
async fn until_stopped(core: Arc<Core>, task: impl Future<Output = ()>) {
    core.stop.run_until_cancelled(task).await;
}

/// Connects and migrates, again and again until it works or the time is over.
async fn connect(
    connector: &Connector,
    pool: &PgPool,
    patience: Duration,
) -> Result<(Head, uuid::Uuid), Error> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::new();
    loop {
        let attempt = async {
            migrate::migrate(connector).await?;
            Ok((db::head(pool).await?, db::cluster_uid(pool).await?))
        };
        match attempt.await {
            Err(Error::Unavailable(reason)) if Instant::now() < deadline => {
                tracing::warn!(reason, "Postgres is not reachable yet");
                tokio::time::sleep(backoff.next()).await;
            }
            result => return result,
        }
    }
}

/// What the server promises is up to its administrator; that it promises less is worth a line.
async fn warn_if_not_durable(pool: &PgPool) -> Result<(), Error> {
    let off: Vec<String> = sqlx::query_scalar(
        "select name from pg_settings where name in ('fsync', 'synchronous_commit') \
         and setting = 'off'",
    )
    .fetch_all(pool)
    .await?;
    if !off.is_empty() {
        tracing::warn!(settings = ?off, "Postgres may lose acknowledged writes: settings are off");
    }
    Ok(())
}

//! The one writer of this process: groups what waits into one transaction.
//!
//! Guarantees
//! - A batch is what was queued while the last one was in flight; nobody waits for company.
//! - Each write (with what is replaced together with it) succeeds or fails alone. Of two writes on one key, or a write and a later guard on
//!   its key, the later goes into a later batch.
//! - A write is answered when it is durable and this process's cache shows it.
//! - A connection lost in a commit leaves the outcome unknown. The log is asked for the batch: found
//!   means committed; not found is reported as unknown, because a server that is cut off from us may
//!   still be executing.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Outcome, Prepared, execute, find, finish_together};
use crate::error::{Error, WriteError, is_rolled_back};
use crate::object::Object;
use crate::shared::{Backoff, CONNECT_PATIENCE, Core};

/// How long the answer to a committed write waits for the cache.
const CACHE_PATIENCE: Duration = Duration::from_secs(10);

type Answer = Result<Arc<Object>, WriteError>;

/// A write that waits, and who waits for it.
pub(crate) struct Pending {
    pub(crate) write: Prepared,
    /// What is replaced together with it.
    pub(crate) also: Vec<Prepared>,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// See the module.
pub(crate) struct Committer {
    core: Arc<Core>,
    queue: mpsc::Receiver<Pending>,
    /// Taken from the queue, not sent yet.
    waiting: VecDeque<Pending>,
    connection: Option<PgConnection>,
}

impl Committer {
    pub(crate) fn new(core: Arc<Core>, queue: mpsc::Receiver<Pending>) -> Self {
        Self {
            core,
            queue,
            waiting: VecDeque::new(),
            connection: None,
        }
    }

    /// Commits until the store stops; the batch in flight is finished.
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.next_batch().await {
            self.commit(batch).await;
        }
        self.queue.close();
        while let Ok(pending) = self.queue.try_recv() {
            self.waiting.push_back(pending);
        }
        fail(
            self.waiting.drain(..),
            &Error::Unavailable("the store stopped; not written".into()),
        );
        if let Some(connection) = self.connection.take() {
            // Ends the session politely; one that cannot hear it is gone anyway.
            let _ = connection.close().await;
        }
    }

    async fn next_batch(&mut self) -> Option<Vec<Pending>> {
        if self.core.stop.is_cancelled() {
            return None;
        }
        if self.waiting.is_empty() {
            let stop = self.core.stop.clone();
            let first = stop.run_until_cancelled(self.queue.recv()).await??;
            self.waiting.push_back(first);
        }
        while self.waiting.len() < self.core.config.write_queue {
            match self.queue.try_recv() {
                Ok(pending) => self.waiting.push_back(pending),
                Err(_) => break,
            }
        }
        Some(select(&mut self.waiting, self.core.config.max_batch))
    }

    async fn commit(&mut self, batch: Vec<Pending>) {
        let Some((mut connection, batch)) = self.connected(batch).await else {
            return;
        };
        let id = rand::random::<i64>();
        let before = self.core.cache.revision();
        let started = Instant::now();
        // The server gives up first, so that silence means a lost connection.
        let patience = self.core.config.write_timeout + CONNECT_PATIENCE;
        match tokio::time::timeout(patience, execute(&mut connection, id, &writes(&batch))).await {
            Ok(Ok(outcomes)) => {
                self.connection = Some(connection);
                self.core.metrics.commits.inc();
                self.core.metrics.batch_size.observe(batch.len() as f64);
                self.core
                    .metrics
                    .commit_seconds
                    .observe(started.elapsed().as_secs_f64());
                self.settle(batch, outcomes);
            }
            Ok(Err(error)) if is_rolled_back(&error) => {
                self.connection = Some(connection);
                self.rolled_back(batch, error.into()).await;
            }
            Ok(Err(error)) => self.resolve(batch, id, before, &error.to_string()).await,
            Err(_) => {
                let reason = format!("no answer within {patience:?}");
                self.resolve(batch, id, before, &reason).await;
            }
        }
    }

    /// Postgres refused the whole batch: where it is to do with what is in it, each write gets its
    /// own transaction, so that one cannot fail its neighbours.
    async fn rolled_back(&mut self, mut batch: Vec<Pending>, error: Error) {
        if let Error::Unavailable(reason) = error {
            let error = Error::Unavailable(format!("{reason}; not written"));
            return fail(batch, &error);
        }
        if batch.len() == 1 {
            return fail(batch, &error);
        }
        tracing::warn!(%error, writes = batch.len(), "a batch failed; its writes are tried one by one");
        for pending in batch.drain(..) {
            Box::pin(self.commit(vec![pending])).await;
        }
    }

    /// The connection and the batch, less the writes that waited too long for it.
    async fn connected(&mut self, mut batch: Vec<Pending>) -> Option<(PgConnection, Vec<Pending>)> {
        if let Some(connection) = self.connection.take() {
            return Some((connection, batch));
        }
        let mut backoff = Backoff::new();
        loop {
            match self.connect().await {
                Ok(connection) => return Some((connection, batch)),
                Err(error) => {
                    let error = Error::Unavailable(format!("{error}; not written"));
                    let now = Instant::now();
                    let late = |pending: &mut Pending| pending.deadline <= now;
                    fail(batch.extract_if(.., late).collect::<Vec<_>>(), &error);
                }
            }
            if batch.is_empty() {
                return None;
            }
            let delay = backoff.next();
            if self
                .core
                .stop
                .run_until_cancelled(tokio::time::sleep(delay))
                .await
                .is_none()
            {
                fail(
                    batch,
                    &Error::Unavailable("the store stopped; not written".into()),
                );
                return None;
            }
        }
    }

    async fn connect(&self) -> Result<PgConnection, Error> {
        let mut connection = self.core.connector.connect(CONNECT_PATIENCE).await?;
        let timeout = self.core.config.write_timeout.as_millis();
        let (pid, _): (i32, String) =
            sqlx::query_as("select pg_backend_pid(), set_config('statement_timeout', $1, false)")
                .bind(timeout.to_string())
                .fetch_one(&mut connection)
                .await?;
        self.core
            .writer_pid
            .store(pid.unsigned_abs(), Ordering::Relaxed);
        Ok(connection)
    }

    /// Answers each write; the applied ones when the cache shows them.
    fn settle(&self, batch: Vec<Pending>, outcomes: Vec<Outcome>) {
        let mut changes = Vec::with_capacity(batch.len());
        let mut applied = Vec::with_capacity(batch.len());
        let mut outcomes = outcomes.into_iter();
        for pending in batch {
            let Pending {
                write,
                also,
                answer,
                ..
            } = pending;
            // `execute` answers every write.
            let Some(outcome) = outcomes.next() else {
                break;
            };
            let also = also.into_iter().zip(&mut outcomes).collect();
            match finish_together(write, outcome, also) {
                Ok(together) => {
                    applied.extend(together.first().map(|own| (answer, own.object.clone())));
                    changes.extend(together);
                }
                Err(error) => {
                    self.core.metrics.conflicts.inc();
                    let _ = answer.send(Err(error));
                }
            }
        }
        let Some(last) = changes.last().map(|change| change.object.revision) else {
            return;
        };
        if self.core.cache.apply(changes).is_ok() {
            for (answer, object) in applied {
                let _ = answer.send(Ok(object));
            }
            return;
        }
        // Another process wrote in between: the tailer brings both.
        self.core.tail.notify_one();
        let core = self.core.clone();
        self.core.tasks.spawn(async move {
            let shown = core.cache.wait_for(last, CACHE_PATIENCE).await;
            for (answer, object) in applied {
                let _ = answer.send(match shown {
                    Ok(()) => Ok(object),
                    Err(now) => Err(WriteError::Store(Error::Unavailable(format!(
                        "written at revision {}, but this process has only read up to {now}",
                        object.revision
                    )))),
                });
            }
        });
    }

    /// The connection was lost with the batch in flight: asks the log what became of it.
    async fn resolve(&mut self, batch: Vec<Pending>, id: i64, before: u64, reason: &str) {
        let deadline = Instant::now() + self.core.config.write_timeout;
        let mut backoff = Backoff::new();
        let found = loop {
            let attempt = async {
                let mut connection = self.connect().await?;
                let found = find(&mut connection, id, before, &writes(&batch)).await?;
                Ok::<_, Error>((connection, found))
            };
            match attempt.await {
                Ok((connection, found)) => {
                    self.connection = Some(connection);
                    break found;
                }
                Err(_) if Instant::now() >= deadline => break None,
                Err(_) => tokio::time::sleep(backoff.next()).await,
            }
        };
        self.core.tail.notify_one();
        match found {
            Some(outcomes) => {
                tracing::warn!(
                    reason,
                    writes = batch.len(),
                    "the connection was lost in a commit, which the log has"
                );
                let (mut known, mut unknown) = (Vec::new(), Vec::new());
                let (mut applied, mut outcomes) = (Vec::new(), outcomes.into_iter());
                for pending in batch {
                    // What is written together is found together, or not at all.
                    let found: Vec<_> = outcomes.by_ref().take(1 + pending.also.len()).collect();
                    match found.into_iter().collect::<Option<Vec<_>>>() {
                        Some(found) => {
                            applied.extend(found);
                            known.push(pending);
                        }
                        None => unknown.push(pending),
                    }
                }
                self.settle(known, applied);
                fail(
                    unknown,
                    &Error::Unavailable(format!("{reason}; not written")),
                );
            }
            None => {
                self.core.metrics.unknown_outcomes.inc();
                tracing::warn!(
                    reason,
                    writes = batch.len(),
                    "the connection was lost in a commit; the outcome is unknown"
                );
                let text = format!("{reason}; whether the write happened is unknown");
                fail(batch, &Error::Unavailable(text));
            }
        }
    }
}

/// Takes from the front what can go into one transaction; the rest keeps its order.
fn select(waiting: &mut VecDeque<Pending>, most: usize) -> Vec<Pending> {
    let mut batch = Vec::with_capacity(most.min(waiting.len()));
    let mut later = VecDeque::new();
    // Keys of writes in the batch or put off: nothing that depends on them may go before them.
    let mut keys = HashSet::new();
    while let Some(pending) = waiting.pop_front() {
        if batch.len() >= most {
            waiting.push_front(pending);
            break;
        }
        let write = &pending.write;
        // Among the guards are the keys of what is replaced together with the write.
        let depends =
            keys.contains(&write.key) || write.guards.iter().any(|(k, _)| keys.contains(k));
        keys.insert(write.key.clone());
        keys.extend(pending.also.iter().map(|also| also.key.clone()));
        if depends {
            later.push_back(pending);
        } else {
            batch.push(pending);
        }
    }
    later.append(waiting);
    *waiting = later;
    batch
}

fn writes(batch: &[Pending]) -> Vec<&Prepared> {
    let mut all = Vec::with_capacity(batch.len());
    for pending in batch {
        all.push(&pending.write);
        all.extend(&pending.also);
    }
    all
}

fn fail(batch: impl IntoIterator<Item = Pending>, error: &Error) {
    for pending in batch {
        // Nobody listens any more: a cancelled request.
        let _ = pending.answer.send(Err(WriteError::Store(error.clone())));
    }
}

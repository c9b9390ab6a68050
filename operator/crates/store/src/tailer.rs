//! Brings the log into the cache, and the cache to the watchers.
//!
//! Assumes that revisions have no holes above the compacted one. A hole is a bug (or a database
//! that was restored from a backup): the cache is dropped and filled again, and all watches end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use tokio::sync::{mpsc, oneshot};

use crate::db;
use crate::error::Error;
use crate::shared::{Backoff, Core, FRESHNESS_PATIENCE, jittered};

/// The log is read at least this often, whatever the doorbell does.
const TICK: Duration = Duration::from_secs(1);
/// Changes per read of the log, at most.
const PAGE: usize = 1000;
const CHANNEL: &str = "obiente_store";

/// Reads the log whenever the bell rings, and every tick.
pub(crate) async fn tail(core: Arc<Core>) {
    let mut away = false;
    loop {
        match catch_up(&core).await {
            Ok(()) if away => {
                away = false;
                tracing::info!("Postgres answers again");
            }
            Ok(()) => {}
            Err(error) if away => tracing::debug!(%error, "the log cannot be read"),
            Err(error) => {
                away = true;
                tracing::warn!(%error, "the log cannot be read; reads are served from the cache");
            }
        }
        tokio::select! {
            () = core.tail.notified() => {}
            () = tokio::time::sleep(jittered(TICK)) => {}
            () = core.stop.cancelled() => return,
        }
    }
}

async fn catch_up(core: &Core) -> Result<(), Error> {
    let mut page = db::FIRST_PAGE;
    loop {
        let after = core.cache.revision();
        let (head, changes) = db::tail(&core.urgent, after, page).await?;
        core.note(&head);
        page = db::next_page(changes.len(), PAGE);
        let last = changes
            .last()
            .map_or(after, |change| change.object.revision);
        let applied = core.cache.apply(changes);
        if applied.is_ok() && last == head.revision {
            return Ok(());
        }
        // What does not reach the head is either the first part or, with nothing in it, a hole.
        if applied.is_ok() && last > after {
            continue;
        }
        if after < head.compacted {
            let compacted = head.compacted;
            tracing::warn!(
                after,
                compacted,
                "the log was compacted before it was read; the cache is filled again"
            );
        } else {
            let head = head.revision;
            tracing::error!(
                after,
                head,
                ?applied,
                "the log does not follow on the cache; the cache is filled again"
            );
        }
        fill(core).await?;
        core.metrics.refills.inc();
    }
}

/// Fills the cache from the objects; ends all watches.
pub(crate) async fn fill(core: &Core) -> Result<(), Error> {
    let started = Instant::now();
    let (head, collections) = db::load(&core.pool).await?;
    core.note(&head);
    let objects: usize = collections
        .values()
        .map(|collection| collection.len())
        .sum();
    core.cache.replace(head.revision, collections);
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(
        revision = head.revision,
        objects,
        seconds,
        "the cache is filled"
    );
    Ok(())
}

/// Listens for commits of other processes. Every doubt means: read the log.
pub(crate) async fn doorbell(core: Arc<Core>) {
    let pool = core.connector.pool(1, FRESHNESS_PATIENCE);
    let mut backoff = Backoff::new();
    loop {
        match listen(&core, &pool, &mut backoff).await {
            Ok(never) => match never {},
            Err(error) => tracing::debug!(%error, "the doorbell is disconnected"),
        }
        core.tail.notify_one();
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn listen(
    core: &Core,
    pool: &sqlx::PgPool,
    backoff: &mut Backoff,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    *backoff = Backoff::new();
    core.tail.notify_one();
    loop {
        let notification = listener.try_recv().await?;
        // The committer hands its own changes to the cache itself.
        let own = core.writer_pid.load(Ordering::Relaxed);
        if notification.is_none_or(|notification| notification.process_id() != own) {
            core.tail.notify_one();
        }
    }
}

/// Hands out what the cache has got, and bookmarks.
pub(crate) async fn dispatch(core: Arc<Core>) {
    let mut revision = core.cache.subscribe();
    // Often enough that a bookmark is not much later than its interval says.
    let often = (core.config.bookmark_interval / 8).clamp(Duration::from_millis(10), TICK);
    let mut tick = tokio::time::interval(often);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        core.cache.dispatch();
        tokio::select! {
            changed = revision.changed() => if changed.is_err() { return },
            now = tick.tick() => core.cache.bookmark(now.into_std()),
            () = core.stop.cancelled() => break,
        }
    }
    core.cache.close();
}

/// Who wants to know the newest committed revision.
pub(crate) type Asker = oneshot::Sender<Result<u64, Error>>;

/// Answers with the newest committed revision. All who asked while the last query ran share the
/// next one, which begins after they asked.
pub(crate) async fn barrier(core: Arc<Core>, mut askers: mpsc::Receiver<Asker>) {
    let mut waiting = Vec::new();
    while askers.recv_many(&mut waiting, usize::MAX >> 1).await > 0 {
        let head = match tokio::time::timeout(FRESHNESS_PATIENCE, db::head(&core.urgent)).await {
            Ok(head) => head,
            Err(_) => Err(Error::Unavailable(format!(
                "no answer within {FRESHNESS_PATIENCE:?}"
            ))),
        };
        if let Ok(head) = &head {
            core.note(head);
            if head.revision > core.cache.revision() {
                core.tail.notify_one();
            }
        }
        for asker in waiting.drain(..) {
            let _ = asker.send(head.clone().map(|head| head.revision));
        }
    }
}

//! A running watch: what was at its start, what the log has since, then what comes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cache::{Event, Lag, Queue, Registration, Start, Subscription};
use crate::db::{self, Past};
use crate::error::Error;
use crate::object::WatchEvent;
use crate::query::{Consistency, Selection, WatchFrom, WatchQuery};
use crate::read::check;
use crate::shared::Core;

/// Changes per read of the log, at most.
const PAGE: usize = 500;

/// A running watch: an ordered stream that ends when the watcher was too slow or the store stops.
pub struct Watcher {
    ready: VecDeque<WatchEvent>,
    replay: Option<Replay>,
    live: Queue,
    /// Dropped with the watcher: nobody sends to it any more.
    _registration: Registration,
}

/// What is still to be read from the log.
struct Replay {
    core: Arc<Core>,
    selection: Selection,
    /// Everything up to here was read.
    position: u64,
    /// Everything after here comes by the channel.
    until: u64,
    /// Changes of the next read.
    page: usize,
}

impl Watcher {
    /// The next event; `None` when the watch was closed and the client must start again.
    ///
    /// May be cancelled at any time; nothing is lost.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let Some(replay) = &mut self.replay else {
                return self.live.next().await;
            };
            match replay.read().await {
                Ok(events) => self.ready = events,
                Err(error) => {
                    tracing::info!(%error, "a watch ends: the rest of its history cannot be read");
                    self.live.close();
                    self.replay = None;
                    return None;
                }
            }
            if replay.is_done() {
                self.replay = None;
            }
        }
    }
}

/// How fresh the cache must be before a watch can start.
pub(crate) fn freshness(from: WatchFrom) -> Consistency {
    match from {
        WatchFrom::Now => Consistency::Cached,
        WatchFrom::After(revision) | WatchFrom::InitialEvents(Some(revision)) => {
            Consistency::NotOlderThan(revision)
        }
        WatchFrom::InitialEvents(None) => Consistency::Latest,
    }
}

/// Starts a watch; the cache is as fresh as asked.
pub(crate) async fn watch(core: &Arc<Core>, query: &WatchQuery) -> Result<Watcher, Error> {
    if core.stop.is_cancelled() {
        return Err(Error::Unavailable("the store stopped".into()));
    }
    let start = match query.from {
        WatchFrom::Now => Start::State,
        WatchFrom::InitialEvents(_) => Start::StateAndEnd,
        WatchFrom::After(revision) => Start::After(revision),
    };
    let config = &core.config;
    let bookmarks = query.bookmarks.then_some(config.bookmark_interval);
    let lag = Lag {
        events: config.watcher_buffer,
        bytes: config.watcher_bytes,
    };
    let selection = query.selection();
    let Subscription {
        initial,
        replay_from,
        at,
        live,
        registration,
    } = core.cache.watch(selection.clone(), &start, lag, bookmarks);
    let mut watcher = Watcher {
        ready: initial.into(),
        replay: None,
        live,
        _registration: registration,
    };
    if let Some(position) = replay_from {
        let mut replay = Replay {
            core: core.clone(),
            selection,
            position,
            until: at,
            page: db::FIRST_PAGE,
        };
        // The first page now, so that a compacted revision is an error of the request.
        watcher.ready = replay.read().await?;
        watcher.replay = (!replay.is_done()).then_some(replay);
    }
    Ok(watcher)
}

impl Replay {
    fn is_done(&self) -> bool {
        self.position >= self.until
    }

    async fn read(&mut self) -> Result<VecDeque<WatchEvent>, Error> {
        let range = (self.position, self.until);
        let (head, past, more) =
            db::replay(&self.core.pool, &self.selection, range, self.page).await?;
        check(self.position, head.compacted)?;
        let last = past.last().map(|past| past.change.object.revision);
        self.position = last.filter(|_| more).unwrap_or(self.until);
        self.page = db::next_page(past.len(), PAGE);
        let events = past.into_iter().filter_map(|Past { change, previous }| {
            Event::new(change.object, previous, change.deleted).seen_through(&self.selection)
        });
        Ok(events.collect())
    }
}

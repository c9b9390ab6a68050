//! The watch cache: the newest state, the recent past, and the watchers.
//!
//! Guarantees
//! - Revisions are applied in order, each once; a hole is refused, never jumped over.
//! - A watcher gets every event after its start once, in order, bookmarks in the same channel. One
//!   that lags too far is closed, never waited for.
//! - What a reader sees is the state at one revision.
//!
//! Lock order: watchers, then state. Events are handed out by one dispatcher outside the state
//! lock, so that a thousand watchers do not slow a write.

mod history;
mod state;
mod watchers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

pub(crate) use history::Event;
use history::History;
pub(crate) use state::{Collections, State};
use watchers::Watchers;
pub(crate) use watchers::{Lag, Queue, Registration};

use crate::metrics::Metrics;
use crate::object::{Object, WatchEvent};
use crate::query::Selection;

/// Events handed out per look at the state, so that the dispatcher holds no long list.
const DISPATCH_CHUNK: usize = 512;

/// One committed change.
#[derive(Debug)]
pub(crate) struct Change {
    /// The object after the change; for a delete its last state with the delete's revision.
    pub(crate) object: Arc<Object>,
    /// Is it a delete?
    pub(crate) deleted: bool,
}

/// Changes that do not follow on what the cache has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) expected: u64,
    pub(crate) found: u64,
}

/// See the module.
pub(crate) struct Cache {
    state: RwLock<State>,
    watchers: Mutex<Watchers>,
    revision: watch::Sender<u64>,
    /// Everything up to here is in the queues of the watchers.
    handed_out: watch::Sender<u64>,
    metrics: Metrics,
}

/// What a new watcher starts with.
pub(crate) enum Start {
    /// The state as `Added` events.
    State,
    /// As `State`, then `InitialEventsEnd`.
    StateAndEnd,
    /// The changes after this revision.
    After(u64),
}

/// A registered watcher: what it gets at first, then what comes.
pub(crate) struct Subscription {
    pub(crate) initial: Vec<WatchEvent>,
    /// Changes after `Start::After` up to `at` that are no longer in memory must be read from the
    /// log: from which revision.
    pub(crate) replay_from: Option<u64>,
    /// Revision from which on the channel has everything.
    pub(crate) at: u64,
    pub(crate) live: Queue,
    pub(crate) registration: Registration,
}

impl Cache {
    pub(crate) fn new(max_events: usize, max_bytes: usize, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            state: RwLock::new(State::new(History::new(max_events, max_bytes))),
            watchers: Mutex::new(Watchers::default()),
            revision: watch::Sender::new(0),
            handed_out: watch::Sender::new(0),
            metrics,
        })
    }

    /// Newest revision applied.
    pub(crate) fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Waits until the revision is applied; the newest one where that takes too long.
    pub(crate) async fn wait_for(&self, revision: u64, patience: Duration) -> Result<(), u64> {
        let mut watch = self.revision.subscribe();
        let reached = tokio::time::timeout(patience, watch.wait_for(|now| *now >= revision)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.revision()),
        }
    }

    /// Follows the revision.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Waits until everything up to the revision is in the queues of the watchers.
    pub(crate) async fn handed_out(&self, revision: u64) {
        let mut watch = self.handed_out.subscribe();
        // It ends with the cache only, which is held here.
        let _ = watch.wait_for(|at| *at >= revision).await;
    }

    /// Reads the state; keep it short, writers wait.
    pub(crate) fn read<T>(&self, reader: impl FnOnce(&State) -> T) -> T {
        reader(&self.state.read())
    }

    /// Applies changes in revision order; those already applied are skipped.
    ///
    /// # Errors
    /// The first new change does not follow on the newest revision, or they have a hole.
    pub(crate) fn apply(&self, changes: Vec<Change>) -> Result<(), Gap> {
        let mut state = self.state.write();
        let mut result = Ok(());
        for change in changes {
            let found = change.object.revision;
            if found <= state.revision {
                continue;
            }
            let expected = state.revision + 1;
            if found != expected {
                result = Err(Gap { expected, found });
                break;
            }
            state.apply(change);
        }
        let revision = state.revision;
        // Inside the lock, so that no reader can see a revision that goes backwards.
        self.publish(revision);
        result
    }

    /// Replaces everything and closes all watchers: they start again at what is there now.
    pub(crate) fn replace(&self, revision: u64, collections: Collections) {
        let mut watchers = self.watchers.lock();
        let mut state = self.state.write();
        state.replace(revision, collections);
        self.metrics
            .watchers
            .dec_by(watchers.close_all(state.generation, revision));
        self.handed_out.send_replace(revision);
        self.publish(revision);
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        let mut watchers = self.watchers.lock();
        let (generation, position) = watchers.position();
        self.metrics
            .watchers
            .dec_by(watchers.close_all(generation, position));
    }

    fn publish(&self, revision: u64) {
        self.revision.send_replace(revision);
        self.metrics
            .cache_revision
            .set(i64::try_from(revision).unwrap_or(i64::MAX));
    }

    /// Registers a watcher and takes what it starts with, without gap or overlap.
    pub(crate) fn watch(
        self: &Arc<Self>,
        selection: Selection,
        start: &Start,
        lag: Lag,
        bookmarks: Option<Duration>,
    ) -> Subscription {
        let (mut objects, mut events, mut replay_from) = (Vec::new(), Vec::new(), None);
        // Filters run after the locks are released: nothing comes in between for this watcher.
        let (at, id, live) = {
            let mut watchers = self.watchers.lock();
            let state = self.state.read();
            let mut from = state.revision;
            match start {
                Start::State | Start::StateAndEnd => {
                    let namespace = selection.namespace.as_ref();
                    objects.extend(state.objects(&selection.resource, namespace, None).cloned());
                }
                Start::After(revision) => {
                    match state.history.after(*revision) {
                        Some(recent) => events.extend(recent.cloned()),
                        None => replay_from = Some(*revision),
                    }
                    // A client that is ahead of this cache must not get older events.
                    from = from.max(*revision);
                }
            }
            let (id, live) = watchers.add(selection.clone(), from, lag, bookmarks);
            (state.revision, id, live)
        };
        self.metrics.watchers.inc();
        let admitted = objects
            .into_iter()
            .filter(|object| selection.admits(object));
        let mut initial: Vec<_> = admitted.map(WatchEvent::Added).collect();
        initial.extend(
            events
                .iter()
                .filter_map(|event| event.seen_through(&selection)),
        );
        if matches!(start, Start::StateAndEnd) {
            initial.push(WatchEvent::InitialEventsEnd(at));
        }
        Subscription {
            initial,
            replay_from,
            at,
            live,
            registration: Registration::new(self, id),
        }
    }

    fn unregister(&self, id: u64) {
        if self.watchers.lock().remove(id) {
            self.metrics.watchers.dec();
        }
    }

    /// Hands out everything that was applied since the last time.
    pub(crate) fn dispatch(&self) {
        loop {
            let (generation, position) = self.watchers.lock().position();
            let (events, lost) = {
                let state = self.state.read();
                if state.generation != generation || state.revision <= position {
                    return;
                }
                match state.history.after(position) {
                    Some(events) => (events.take(DISPATCH_CHUNK).cloned().collect(), None),
                    None => (Vec::new(), Some(state.revision)),
                }
            };
            let mut watchers = self.watchers.lock();
            if let Some(revision) = lost {
                tracing::warn!(
                    position,
                    revision,
                    "events came faster than they could be handed out; closing all watches"
                );
                self.metrics
                    .watchers
                    .dec_by(watchers.close_all(generation, revision));
                self.handed_out.send_replace(revision);
                continue;
            }
            let dropped = watchers.hand_out(generation, &events);
            self.handed_out.send_replace(watchers.position().1);
            self.metrics.watchers.dec_by(dropped);
            self.metrics.dropped_watchers.inc_by(dropped.unsigned_abs());
        }
    }

    /// Sends the bookmarks that are due.
    pub(crate) fn bookmark(&self, now: Instant) {
        self.watchers.lock().bookmark(now);
    }
}

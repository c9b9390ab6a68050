//! Who watches what, and how far each was served.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Cache, Event};
use crate::object::WatchEvent;
use crate::query::Selection;

/// All watchers by collection.
#[derive(Default)]
pub(super) struct Watchers {
    generation: u64,
    /// Everything up to this revision has been handed out.
    position: u64,
    next_id: u64,
    by_resource: HashMap<Arc<str>, Vec<Watcher>>,
}

struct Watcher {
    id: u64,
    selection: Selection,
    /// Events up to this revision are not for it: it got them at its start.
    from: u64,
    channel: mpsc::Sender<WatchEvent>,
    /// Of the objects in the channel.
    bytes: Arc<AtomicUsize>,
    /// Of bytes.
    most: usize,
    bookmarks: Option<Bookmarks>,
}

/// How much a watcher may have to read before it is closed.
#[derive(Clone, Copy)]
pub(crate) struct Lag {
    pub(crate) events: usize,
    /// One event is let through, however large.
    pub(crate) bytes: usize,
}

/// What a watcher has to read.
pub(crate) struct Queue {
    channel: mpsc::Receiver<WatchEvent>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    pub(crate) async fn next(&mut self) -> Option<WatchEvent> {
        let event = self.channel.recv().await?;
        self.bytes.fetch_sub(size(&event), Ordering::Relaxed);
        Some(event)
    }

    /// Nothing comes any more, nor what was there.
    pub(crate) fn close(&mut self) {
        self.channel.close();
        while self.channel.try_recv().is_ok() {}
    }
}

fn size(event: &WatchEvent) -> usize {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            object.json.len()
        }
        WatchEvent::Bookmark(_) | WatchEvent::InitialEventsEnd(_) => 0,
    }
}

struct Bookmarks {
    interval: Duration,
    due: Instant,
}

impl Watchers {
    pub(super) fn position(&self) -> (u64, u64) {
        (self.generation, self.position)
    }

    pub(super) fn add(
        &mut self,
        selection: Selection,
        from: u64,
        lag: Lag,
        bookmarks: Option<Duration>,
    ) -> (u64, Queue) {
        let (channel, live) = mpsc::channel(lag.events.max(1));
        let bytes = Arc::new(AtomicUsize::new(0));
        let bookmarks = bookmarks.map(|interval| Bookmarks {
            interval,
            due: due(interval),
        });
        self.next_id += 1;
        let id = self.next_id;
        self.by_resource
            .entry(selection.resource.clone())
            .or_default()
            .push(Watcher {
                id,
                selection,
                from,
                channel,
                bytes: bytes.clone(),
                most: lag.bytes,
                bookmarks,
            });
        let channel = live;
        (id, Queue { channel, bytes })
    }

    /// Was the watcher still there?
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let mut found = false;
        self.by_resource.retain(|_, watchers| {
            if let Some(index) = watchers.iter().position(|watcher| watcher.id == id) {
                watchers.swap_remove(index);
                found = true;
            }
            !watchers.is_empty()
        });
        found
    }

    /// Closes every watch and goes on at another place. Returns how many there were.
    pub(super) fn close_all(&mut self, generation: u64, position: u64) -> i64 {
        let closed: usize = self.by_resource.values().map(Vec::len).sum();
        self.by_resource.clear();
        self.generation = generation;
        self.position = position;
        i64::try_from(closed).unwrap_or(i64::MAX)
    }

    /// Sends events that follow on `position`; closes who cannot take them and returns how many.
    pub(super) fn hand_out(&mut self, generation: u64, events: &[Arc<Event>]) -> i64 {
        let mut dropped = 0;
        if generation != self.generation {
            return dropped;
        }
        for event in events {
            self.position = event.revision();
            let Some(watchers) = self.by_resource.get_mut(&event.object.key.resource) else {
                continue;
            };
            watchers.retain(|watcher| {
                let kept = watcher.offer(event);
                dropped += i64::from(!kept);
                kept
            });
        }
        dropped
    }

    pub(super) fn bookmark(&mut self, now: Instant) {
        let position = self.position;
        for watcher in self.by_resource.values_mut().flatten() {
            let Some(bookmarks) = &mut watcher.bookmarks else {
                continue;
            };
            if bookmarks.due <= now && position >= watcher.from {
                bookmarks.due = due(bookmarks.interval);
                // A full channel has newer events in it, which say more than a bookmark.
                let _ = watcher.channel.try_send(WatchEvent::Bookmark(position));
            }
        }
    }
}

impl Watcher {
    /// Sends the event if it is for this watcher; false when the watcher cannot take it.
    fn offer(&self, event: &Event) -> bool {
        if event.revision() <= self.from {
            return true;
        }
        let Some(seen) = event.seen_through(&self.selection) else {
            return true;
        };
        let size = size(&seen);
        let waiting = self.bytes.fetch_add(size, Ordering::Relaxed);
        let sent = match waiting > 0 && waiting + size > self.most {
            true => Err(TrySendError::Full(seen)),
            false => self.channel.try_send(seen),
        };
        match sent {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                tracing::info!(
                    resource = %self.selection.resource,
                    revision = event.revision(),
                    "closing a watch that is too slow"
                );
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// When the next bookmark is due: jittered, so that a thousand watches do not get theirs at once.
fn due(interval: Duration) -> Instant {
    Instant::now() + interval.mul_f64(rand::random_range(0.75..1.0))
}

/// Takes the watcher off the list when dropped.
pub(crate) struct Registration {
    cache: Weak<Cache>,
    id: u64,
}

impl Registration {
    pub(super) fn new(cache: &Arc<Cache>, id: u64) -> Self {
        Self {
            cache: Arc::downgrade(cache),
            id,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.upgrade() {
            cache.unregister(self.id);
        }
    }
}

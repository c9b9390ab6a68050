//! The recent events of all collections, bounded by number and by bytes.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use crate::object::{Object, WatchEvent};
use crate::query::Selection;
use crate::text::restamped;

/// One change with what was there before.
#[derive(Debug)]
pub(crate) struct Event {
    /// The object after the change; of a delete its last state with the delete's revision.
    pub(crate) object: Arc<Object>,
    /// Before the change.
    pub(crate) previous: Option<Arc<Object>>,
    /// Is it a delete?
    pub(crate) deleted: bool,
    /// `previous` with the revision of the event, made when first needed.
    left: OnceLock<Arc<Object>>,
}

impl Event {
    pub(crate) fn new(object: Arc<Object>, previous: Option<Arc<Object>>, deleted: bool) -> Self {
        Self {
            object,
            previous,
            deleted,
            left: OnceLock::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.object.revision
    }

    /// The event as a watcher with this selection sees it, if it does.
    pub(crate) fn seen_through(&self, selection: &Selection) -> Option<WatchEvent> {
        if !selection.covers(&self.object.key) {
            return None;
        }
        let before = self
            .previous
            .as_ref()
            .is_some_and(|object| selection.admits(object));
        if self.deleted {
            return before.then(|| WatchEvent::Deleted(self.object.clone()));
        }
        match (before, selection.admits(&self.object)) {
            (false, true) => Some(WatchEvent::Added(self.object.clone())),
            (true, true) => Some(WatchEvent::Modified(self.object.clone())),
            (true, false) => self.left().map(WatchEvent::Deleted),
            (false, false) => None,
        }
    }

    fn left(&self) -> Option<Arc<Object>> {
        let previous = self.previous.as_ref()?;
        let left = self.left.get_or_init(|| {
            restamped(previous, self.revision()).unwrap_or_else(|error| {
                tracing::error!(key = %previous.key, %error, "an object that left a filter keeps its old revision");
                previous.clone()
            })
        });
        Some(left.clone())
    }

    fn bytes(&self) -> usize {
        self.object.json.len()
    }
}

/// See the module. Events have consecutive revisions.
pub(crate) struct History {
    events: VecDeque<Arc<Event>>,
    /// Every event after this revision is here.
    floor: u64,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

impl History {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            floor: 0,
            bytes: 0,
            max_events,
            max_bytes,
        }
    }

    pub(crate) fn reset(&mut self, floor: u64) {
        self.events = VecDeque::new();
        self.floor = floor;
        self.bytes = 0;
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push_back(Arc::new(event));
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
            self.floor = oldest.revision();
        }
    }

    /// The events after a revision, oldest first; `None` when they are not all here.
    pub(crate) fn after(
        &self,
        revision: u64,
    ) -> Option<impl DoubleEndedIterator<Item = &Arc<Event>>> {
        let skip = usize::try_from(revision.checked_sub(self.floor)?).ok()?;
        Some(self.events.range(skip.min(self.events.len())..))
    }
}

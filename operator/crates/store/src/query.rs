//! What readers ask and get.

use std::sync::Arc;

use crate::object::{Key, Object};

/// A filter of list and watch; must be a pure function of the object.
pub type Filter = Arc<dyn Fn(&Object) -> bool + Send + Sync>;

/// A list request.
#[derive(Clone)]
pub struct ListQuery {
    /// Collection.
    pub resource: Arc<str>,
    /// One namespace, or all.
    pub namespace: Option<Arc<str>>,
    /// Which objects; `None` is all.
    pub filter: Option<Filter>,
    /// At which revision.
    pub at: Consistency,
    /// Start after this namespace and name (a continue token's position).
    pub after: Option<(Arc<str>, Arc<str>)>,
    /// Most objects to return.
    pub limit: Option<usize>,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// At least as new as everything committed when the call began (unset `resourceVersion`).
    Latest,
    /// Whatever the cache has (`resourceVersion=0`).
    Cached,
    /// The cache, once it has reached this revision; waits up to 3 s.
    NotOlderThan(u64),
    /// The state at exactly this revision; `Compacted` when history no longer has it.
    Exact(u64),
}

/// Result of a list.
#[derive(Debug)]
pub struct Page {
    /// Objects sorted by namespace, then name.
    pub objects: Vec<Arc<Object>>,
    /// Revision at which the page is true.
    pub revision: u64,
    /// Is there more after the last object?
    pub more: bool,
    /// How many more, where no filter hides it and it is known.
    pub remaining: Option<usize>,
}

/// A watch request.
#[derive(Clone)]
pub struct WatchQuery {
    /// Collection.
    pub resource: Arc<str>,
    /// One namespace, or all.
    pub namespace: Option<Arc<str>>,
    /// Which objects; crossings become `Added` and `Deleted`.
    pub filter: Option<Filter>,
    /// Where to start.
    pub from: WatchFrom,
    /// Send bookmarks about every minute.
    pub bookmarks: bool,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// The current state as `Added` events, then changes (unset or `0` resourceVersion).
    Now,
    /// Changes after this revision.
    After(u64),
    /// WatchList: the state at least as new as this revision (`None`: as everything committed
    /// when the call began) as `Added` events, then `InitialEventsEnd`, then changes.
    InitialEvents(Option<u64>),
}

/// Resource, namespace and filter of a list or watch.
#[derive(Clone)]
pub(crate) struct Selection {
    pub(crate) resource: Arc<str>,
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) filter: Option<Filter>,
}

impl Selection {
    /// Is the key in the collection and namespace?
    pub(crate) fn covers(&self, key: &Key) -> bool {
        key.resource == self.resource
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == key.namespace)
    }

    /// Does the filter, where there is one, let the object through?
    pub(crate) fn admits(&self, object: &Object) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter(object))
    }
}

impl ListQuery {
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            resource: self.resource.clone(),
            namespace: self.namespace.clone(),
            filter: self.filter.clone(),
        }
    }
}

impl WatchQuery {
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            resource: self.resource.clone(),
            namespace: self.namespace.clone(),
            filter: self.filter.clone(),
        }
    }
}

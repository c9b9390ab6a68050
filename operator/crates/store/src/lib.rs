//! Objects in Postgres: a revision counter, a log, and a watch cache in front of both.
//!
//! Knows no kind: it moves JSON under a key.

#![allow(unused)] // skeleton: the signatures that others build on

mod object;

use std::sync::Arc;
use std::time::Duration;

pub use object::*;

/// How to reach and run the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// `postgres://…` or a libpq key/value string with a unix socket directory.
    pub database_url: String,
    /// Most pooled connections.
    pub max_connections: u32,
}

/// Handle to the store; cheap to clone.
#[derive(Clone)]
pub struct Store {}

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
pub struct Page {
    /// Objects sorted by namespace, then name.
    pub objects: Vec<Arc<Object>>,
    /// Revision at which the page is true.
    pub revision: u64,
    /// Is there more after the last object?
    pub more: bool,
    /// How many more, where no filter hides it.
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
    /// Send bookmarks about every minute and at the end of initial events.
    pub bookmarks: bool,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// The current state as `Added` events, then changes (unset or `0` resourceVersion).
    Now,
    /// Changes after this revision.
    After(u64),
    /// WatchList: the state at least as new as this revision as `Added` events, then
    /// `InitialEventsEnd`, then changes.
    InitialEvents(Option<u64>),
}

/// A running watch: an ordered stream that ends when the watcher was too slow or the store stops.
pub struct Watcher {}

impl Watcher {
    /// The next event; `None` when the watch was closed and the client must start again.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        unimplemented!()
    }
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The key is not in the expected state; `current` is what is there now.
    #[error("the object is not in the expected state")]
    Conflict {
        /// The object as it is now, if there is one.
        current: Option<Arc<Object>>,
    },
    /// A guard (by its position in [`Write::guards`]) does not hold.
    #[error("guard {0} does not hold")]
    Guard(usize),
    /// Postgres did not answer or refused; whether the write happened may be unknown.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres is not reachable.
    #[error("Postgres is not reachable: {0}")]
    Unavailable(String),
    /// The revision is no longer in the history.
    #[error("revision {requested} is compacted (oldest is {oldest})")]
    Compacted {
        /// What was asked for.
        requested: u64,
        /// Oldest revision in the history.
        oldest: u64,
    },
    /// The revision is ahead of the store.
    #[error("revision {requested} is ahead of the current revision {current}")]
    Future {
        /// What was asked for.
        requested: u64,
        /// Newest revision.
        current: u64,
    },
    /// A statement failed in a way that is not the network's fault.
    #[error("Postgres: {0}")]
    Database(String),
}

impl Store {
    /// Connects (with back-off until `Config::connect_timeout`), migrates under an advisory
    /// lock, fills the cache, starts the committer and the tailer.
    pub async fn open(config: Config) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Identity of this control plane, made once and kept in Postgres.
    pub fn cluster_uid(&self) -> uuid::Uuid {
        unimplemented!()
    }
    /// Applies one write. Returns once it is durable *and* visible in this process's cache.
    /// For a delete, the object is its last state with the revision of the delete.
    pub async fn commit(&self, write: Write) -> Result<Arc<Object>, WriteError> {
        unimplemented!()
    }
    /// One object.
    pub async fn get(&self, key: &Key, at: Consistency) -> Result<Option<Arc<Object>>, Error> {
        unimplemented!()
    }
    /// Many objects, true at one revision.
    pub async fn list(&self, query: ListQuery) -> Result<Page, Error> {
        unimplemented!()
    }
    /// Changes as they are committed, in revision order.
    pub async fn watch(&self, query: WatchQuery) -> Result<Watcher, Error> {
        unimplemented!()
    }
    /// Newest revision that the cache has applied.
    pub fn revision(&self) -> u64 {
        unimplemented!()
    }
    /// Does Postgres answer? Bounded by a second.
    pub async fn ping(&self) -> Result<(), Error> {
        unimplemented!()
    }
}

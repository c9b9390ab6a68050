//! Objects in Postgres: a revision counter, a log, and a watch cache in front of both.
//!
//! Knows no kind: it moves JSON under a key.
//!
//! One row holds the revision; every writing transaction locks it until its commit, so revisions
//! are given out in commit order without holes. One committer per process groups waiting writes
//! into one statement. A tailer brings the log into the cache, woken by an empty notification and
//! by a tick; reads and watches are served from the cache, and from the log where they reach back
//! further than memory.
//!
//! While Postgres is away, [`Consistency::Cached`] reads and running watches go on; everything
//! else fails within seconds with [`Error::Unavailable`]. Connections come back by themselves.

mod batch;
mod cache;
mod committer;
mod compact;
mod config;
mod db;
mod error;
mod lease;
mod metrics;
mod migrate;
mod object;
mod projections;
mod query;
mod read;
mod shared;
mod store;
mod tailer;
mod text;
mod watch;

pub use config::Config;
pub use error::{Error, WriteError};
pub use lease::{Epoch, Lease, LeaseOutcome};
pub use metrics::Metrics;
pub use object::{Expect, Key, Object, Op, Replace, WatchEvent, Write};
pub use projections::{ProjectionError, ProjectionRow, ProjectionTable};
pub use query::{Consistency, Filter, ListQuery, Page, WatchFrom, WatchQuery};
pub use store::Store;
pub use watch::Watcher;

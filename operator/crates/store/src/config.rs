//! Settings of the store.

use std::time::Duration;

/// How to reach and run the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// `postgres://user:password@host:port/database`; a unix socket is
    /// `postgres:///database?host=/directory&user=name`.
    pub database_url: String,
    /// Most connections for long reads. Besides, the writer and the doorbell have one each, and
    /// short statements that others wait for have three.
    pub max_connections: u32,
    /// How long `open` tries to connect before it gives up.
    pub connect_timeout: Duration,
    /// How long a write waits for its turn and for a lost connection before it fails, and the
    /// `statement_timeout` of a transaction of writes.
    pub write_timeout: Duration,
    /// Most writes in one transaction: enough for the group commit to pay, few enough that no
    /// transaction takes longer than some milliseconds.
    pub max_batch: usize,
    /// Most writes that wait; the next one waits outside, up to `write_timeout`.
    pub write_queue: usize,
    /// `statement_timeout` of all other statements; twice the time of the slowest statement known, a
    /// full read of 100,000 objects.
    pub statement_timeout: Duration,
    /// `lock_timeout` of every session.
    pub lock_timeout: Duration,
    /// Most recent events kept in memory for watches and reads of the past.
    pub history_events: usize,
    /// Most bytes of object text among those events.
    pub history_bytes: usize,
    /// Events that a watcher may lag behind before it is closed.
    pub watcher_buffer: usize,
    /// Bytes of object text that a watcher may lag behind, likewise: what it has to read stays in memory.
    pub watcher_bytes: usize,
    /// Between the bookmarks of a watch, more or less.
    pub bookmark_interval: Duration,
    /// Between runs of the compaction, more or less; `None` turns it off.
    pub compact_interval: Option<Duration>,
    /// History younger than this is kept.
    pub keep_for: Duration,
    /// This many revisions are kept however old.
    pub keep_revisions: u32,
}

impl Config {
    /// The defaults, for a database.
    #[must_use]
    pub fn new(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: String::new(),
            max_connections: 8,
            connect_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(5),
            max_batch: 128,
            write_queue: 1024,
            statement_timeout: Duration::from_secs(20),
            lock_timeout: Duration::from_secs(5),
            history_events: 10_000,
            history_bytes: 8 << 20,
            watcher_buffer: 1_000,
            watcher_bytes: 16 << 20,
            bookmark_interval: Duration::from_secs(60),
            compact_interval: Some(Duration::from_secs(60)),
            keep_for: Duration::from_secs(3600),
            keep_revisions: 10_000,
        }
    }
}

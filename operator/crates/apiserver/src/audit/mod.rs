//! Who did what, when, and how it ended: one line per request, in Kubernetes' own form
//! (`audit.k8s.io/v1`, level `Metadata`).
//!
//! Guarantees: no line has a body, a header with credentials, or the message of an error (which may
//! quote a value). Requests never wait for the log: lines go through a bounded queue to a thread of
//! their own, and what finds no room, or no disk, is counted and said in the ordinary log. Every
//! request of the API has one line at its end; a watch has one at its start, too. Health checks are
//! not requests of the API.

mod event;
mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, oneshot};

pub(crate) use event::{Entry, Outcome, PeerAddress, Stage};
use file::{Output, Sink};

/// Lines that may wait; some ten megabytes. Kubernetes' own number.
const QUEUE: usize = 10_000;
/// After the first line, more are waited for: waking the thread costs a request more than its line.
const GATHER: Duration = Duration::from_millis(20);
/// What is lost is said at the first line and again after so many.
const SAID_EVERY: u64 = 10_000;
/// How long a stopping server waits for its last lines to be written.
const FLUSH: Duration = Duration::from_secs(5);

/// Where the audit log goes, and how much of it is kept.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// Bytes after which a new file is begun; 0 never does.
    pub max_size: u64,
    /// Most old files that are kept; 0 keeps all.
    pub max_backups: usize,
    /// Longest that old files are kept; zero keeps all.
    pub max_age: Duration,
}

/// What the log has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: Counter,
    pub(crate) lost: Counter,
    said: Arc<AtomicU64>,
}

impl Counts {
    fn lose(&self, count: u64, why: &str) {
        self.lost.inc_by(count);
        let before = self.said.fetch_add(count, Ordering::Relaxed);
        if before == 0 || before / SAID_EVERY != (before + count) / SAID_EVERY {
            tracing::error!(lost = before + count, why, "audit events are lost");
        }
    }
}

enum Message {
    Event(Box<Entry>),
    Flush(oneshot::Sender<()>),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AuditLog {
    queue: mpsc::Sender<Message>,
    counts: Counts,
}

impl AuditLog {
    /// Opens the log.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(config: &AuditConfig, counts: Counts) -> std::io::Result<Self> {
        let output = Output::open(config)?;
        Self::over(output, counts, QUEUE)
    }

    fn over(output: Output, counts: Counts, size: usize) -> std::io::Result<Self> {
        let (queue, messages) = mpsc::channel(size);
        let sink = Sink::new(output, counts.clone());
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(messages, sink))?;
        Ok(Self { queue, counts })
    }

    /// Logs this, if there is room.
    pub(crate) fn log(&self, mut entry: Entry) {
        entry.shrink();
        if self
            .queue
            .try_send(Message::Event(Box::new(entry)))
            .is_err()
        {
            self.counts.lose(1, "more come than are written");
        }
    }

    /// Waits until everything so far is written, for a while.
    pub(crate) async fn flush(&self) {
        let flushed = async {
            let (done, flushed) = oneshot::channel();
            self.queue.send(Message::Flush(done)).await.ok()?;
            flushed.await.ok()
        };
        if tokio::time::timeout(FLUSH, flushed).await.is_err() {
            tracing::error!("the last audit events were not written in time");
        }
    }
}

fn write(mut messages: mpsc::Receiver<Message>, mut sink: Sink) {
    while let Some(message) = messages.blocking_recv() {
        if matches!(message, Message::Event(_)) {
            std::thread::sleep(GATHER);
        }
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Event(entry) => sink.add(&entry),
                Message::Flush(done) => {
                    sink.flush();
                    // Who waited may have given up.
                    let _ = done.send(());
                }
            }
            next = messages.try_recv().ok();
        }
        sink.flush();
    }
}

/// A request that is not over: its line is written when this is dropped, however that comes.
#[derive(Default)]
pub(crate) struct Open {
    pub(crate) log: Option<AuditLog>,
    pub(crate) entry: Entry,
}

impl Open {
    /// Logs that the answer has begun; the end comes later.
    pub(crate) fn started(&self) {
        if let Some(log) = &self.log {
            let mut entry = self.entry.clone();
            entry.stage = Stage::ResponseStarted;
            entry.time = Timestamp::now();
            log.log(entry);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            let mut entry = std::mem::take(&mut self.entry);
            entry.time = Timestamp::now();
            log.log(entry);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use super::*;

    fn config(path: &Path) -> AuditConfig {
        AuditConfig {
            path: path.to_owned(),
            max_size: 0,
            max_backups: 0,
            max_age: Duration::ZERO,
        }
    }

    fn entry() -> Entry {
        Entry::new(
            &http::Request::get("/api/v1/namespaces?limit=1")
                .body(())
                .unwrap(),
        )
    }

    fn lines(path: &Path) -> usize {
        std::fs::read_to_string(path).unwrap().lines().count()
    }

    #[tokio::test]
    async fn old_files_are_kept_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let log = AuditLog::open(
            &AuditConfig {
                max_size: 1000,
                max_backups: 2,
                ..config(&path)
            },
            Counts::default(),
        );
        let log = log.unwrap();
        for _ in 0..20 {
            log.log(entry());
            log.flush().await;
            assert!(std::fs::metadata(&path).unwrap().len() <= 1000);
        }
        let mut names: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(
            names[0].starts_with("audit-20") && names[0].ends_with("Z.log"),
            "{names:?}"
        );
        let aged = AuditConfig {
            max_size: 1000,
            max_age: Duration::from_nanos(1),
            ..config(&path)
        };
        let log = AuditLog::open(&aged, Counts::default()).unwrap();
        for _ in 0..10 {
            log.log(entry());
            log.flush().await;
        }
        assert_eq!(
            std::fs::read_dir(&directory).unwrap().count(),
            1,
            "all backups are too old"
        );
    }

    #[tokio::test]
    async fn a_full_disk_loses_lines_and_says_so() {
        let counts = Counts::default();
        let log = AuditLog::open(&config(Path::new("/dev/full")), counts.clone()).unwrap();
        log.log(entry());
        log.flush().await;
        log.log(entry());
        log.flush().await;
        assert_eq!((counts.events.get(), counts.lost.get()), (0, 2));
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        // Opened for both, so that neither side waits for the other.
        let mut reader = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let counts = Counts::default();
        let log = AuditLog::over(Output::open(&config(&path)).unwrap(), counts.clone(), 8).unwrap();
        while counts.lost.get() == 0 {
            log.log(entry());
        }
        // It reads again: everything that had room is there, and more has room.
        let drain = std::thread::spawn(move || {
            let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
            while !text.ends_with(b"last\n") {
                let read = reader.read(&mut chunk).unwrap();
                text.extend_from_slice(&chunk[..read]);
            }
            text.iter().filter(|byte| **byte == b'\n').count()
        });
        log.flush().await;
        let written = counts.events.get();
        let mut pipe = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        pipe.write_all(b"last\n").unwrap();
        assert_eq!(drain.join().unwrap() as u64, written + 1);
    }

    #[test]
    fn long_requests_have_short_lines() {
        let path = format!("/{}", "x".repeat(60_000));
        let request = http::Request::get(&path).header("user-agent", "ä".repeat(30_000));
        let mut entry = Entry::new(&request.body(()).unwrap());
        entry.asked.name.clone_from(&path);
        entry.asked.path = path;
        entry.shrink();
        assert!(serde_json::to_string(&entry.event()).unwrap().len() < 10_000);
    }

    #[tokio::test]
    async fn lines_are_appended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/audit.log");
        for count in 1..3 {
            let log = AuditLog::open(&config(&path), Counts::default()).unwrap();
            log.log(entry());
            log.flush().await;
            assert_eq!(lines(&path), count);
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
}

//! Stands between the store and Postgres and hangs up at the worst moment, or at any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::postgres::Database;

/// What the fatal message contains: the name of an object.
pub const MARK: &str = "hang-up-on-me";

/// Which message is not delivered.
#[derive(Clone, Copy, PartialEq)]
pub enum Cut {
    /// The one with the mark.
    Question,
    /// Postgres' answer to it.
    Answer,
    /// Any message, of which one in so many is not delivered, or not answered.
    Any(u32),
}

impl Cut {
    /// What is to happen to this message; a marked one is cut only once.
    fn of(self, message: &[u8], has_cut: &AtomicBool) -> Option<Self> {
        if let Self::Any(count) = self {
            let hits = rand::random_range(0..count) == 0;
            has_cut.fetch_or(hits, Ordering::SeqCst);
            let which = if rand::random() {
                Self::Question
            } else {
                Self::Answer
            };
            return hits.then_some(which);
        }
        let marked = message
            .windows(MARK.len())
            .any(|part| part == MARK.as_bytes());
        (marked && !has_cut.swap(true, Ordering::SeqCst)).then_some(self)
    }
}

/// Runs until dropped.
pub struct Proxy {
    pub directory: tempfile::TempDir,
    cut: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub fn start(database: &Database, what: Cut) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let (cut, server) = (Arc::new(AtomicBool::new(false)), database.server.socket());
        let shared = cut.clone();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = UnixStream::connect(&server).await.unwrap();
                tokio::spawn(forward(client, server, what, shared.clone()));
            }
        });
        Self {
            directory,
            cut,
            task,
        }
    }

    pub fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards both ways until one side ends, or the moment has come.
async fn forward(mut client: UnixStream, mut server: UnixStream, what: Cut, cut: Arc<AtomicBool>) {
    let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut fate = None;
    loop {
        tokio::select! {
            n = client.read(&mut question) => {
                let Ok(n @ 1..) = n else { return };
                fate = what.of(&question[..n], &cut);
                if fate == Some(Cut::Question) {
                    return;
                }
                server.write_all(&question[..n]).await.unwrap();
            }
            n = server.read(&mut answer) => {
                let Ok(n @ 1..) = n else { return };
                if fate.is_some() {
                    return;
                }
                if client.write_all(&answer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

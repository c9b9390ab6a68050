//! Stands between the store and Postgres and hangs up, once, at the worst moment.

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
    let mut asked = false;
    loop {
        tokio::select! {
            n = client.read(&mut question) => {
                let Ok(n @ 1..) = n else { return };
                let marked = question[..n].windows(MARK.len()).any(|part| part == MARK.as_bytes());
                asked = marked && !cut.swap(true, Ordering::SeqCst);
                if asked && what == Cut::Question {
                    return;
                }
                server.write_all(&question[..n]).await.unwrap();
            }
            n = server.read(&mut answer) => {
                let Ok(n @ 1..) = n else { return };
                if asked {
                    return;
                }
                if client.write_all(&answer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

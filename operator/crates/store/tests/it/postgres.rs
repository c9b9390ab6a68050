//! A private Postgres: own data directory, unix socket only, stopped when dropped, and also when
//! this process dies (its standard input closes then).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// How long the server may take to start; recovery after a kill included.
const START: Duration = Duration::from_secs(60);

/// A server.
pub struct Postgres {
    directory: tempfile::TempDir,
    binaries: PathBuf,
    owner: Option<(u32, u32)>,
    running: Mutex<Option<Child>>,
}

/// A database of its own on a server; the server lives as long.
pub struct Database {
    pub server: Arc<Postgres>,
    name: String,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A new database on the server that tests share while at least one of them runs.
pub async fn database() -> Database {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    // The lock is held while the server starts: the others want the same one.
    let server = tokio::task::spawn_blocking(|| {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Postgres::new());
            *shared = Arc::downgrade(&server);
            server
        })
    });
    Database::on(server.await.unwrap()).await
}

/// A new database on a server of its own, for tests that stop it.
pub async fn private_database() -> Database {
    let server = tokio::task::spawn_blocking(|| Arc::new(Postgres::new()));
    Database::on(server.await.unwrap()).await
}

impl Database {
    async fn on(server: Arc<Postgres>) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&server.url("postgres"))
            .await
            .unwrap();
        let sql = format!("create database {name}");
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut admin)
            .await
            .unwrap();
        Self { server, name }
    }

    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The same through a socket in another directory.
    pub fn url_at(&self, directory: &Path) -> String {
        url(&self.name, directory)
    }

    /// A connection beside the store, to look and to interfere.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }
}

impl Postgres {
    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("store-pg-")
            .tempdir()
            .unwrap();
        let owner = running_as_root().then(postgres_user);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((uid, gid)) = owner {
            chown(directory.path(), Some(uid), Some(gid)).unwrap();
        }
        let server = Self {
            binaries: binaries(),
            directory,
            owner,
            running: Mutex::new(None),
        };
        let output = server
            .command(&server.binaries.join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        server.start();
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn url(&self, database: &str) -> String {
        url(database, self.directory.path())
    }

    /// Where the server listens.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(".s.PGSQL.5432")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path());
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server and waits until it answers.
    pub fn start(&self) {
        let deadline = Instant::now() + START;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "Postgres runs already");
        loop {
            let log = fs::File::options()
                .create(true)
                .write(true)
                .truncate(true)
                .open(self.directory.path().join("log"))
                .unwrap();
            let mut child = self
                .command(Path::new("/bin/sh"))
                .arg("-c")
                .arg(
                    r#""$0" "$@" & cat; while kill -INT $! 2>/dev/null; do sleep 0.05; done; wait"#,
                )
                .arg(self.binaries.join("postgres"))
                .arg("-D")
                .arg(self.data())
                .args(["-c", "listen_addresses=", "-c", "shared_buffers=32MB"])
                // A stop waits for connections that are being made, up to this long.
                .args(["-c", "authentication_timeout=3s"])
                .arg("-c")
                .arg(format!(
                    "unix_socket_directories={}",
                    self.directory.path().display()
                ))
                .stdin(Stdio::piped())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            // After a kill the old processes may still hold the shared memory: try again then.
            while Instant::now() < deadline {
                if self.answers() {
                    *running = Some(child);
                    return;
                }
                if self.gave_up() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            drop(child.stdin.take());
            child.wait().unwrap();
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "Postgres does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let isready = self.binaries.join("pg_isready");
        let mut command = Command::new(isready);
        command
            .args(["-q", "-U", "postgres", "-h"])
            .arg(self.directory.path());
        command.status().unwrap().success()
    }

    fn gave_up(&self) -> bool {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let fatal = |line: &str| line.contains("FATAL:  ") && !line.contains("database system is");
        log.lines().any(fatal)
    }

    fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Stops the server: open transactions are rolled back, clients are thrown out.
    pub fn stop(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = running.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Kills the server as a crash does.
    pub fn kill(&self) {
        let pid = self.pid().expect("Postgres runs");
        assert!(
            Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
        self.stop();
    }
}

fn url(database: &str, directory: &Path) -> String {
    format!(
        "postgres:///{database}?host={}&user=postgres",
        directory.display()
    )
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn running_as_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// Postgres refuses to run as root.
fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<_> = line.expect("a user named postgres").split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// The newest installed version.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((
                entry
                    .as_ref()
                    .ok()?
                    .file_name()
                    .to_str()?
                    .parse::<u32>()
                    .ok()?,
                entry.ok()?.path(),
            ))
        })
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, path)| path.join("initdb").exists())
        .max();
    newest
        .expect("PostgreSQL's server programs in /usr/lib/postgresql (package postgresql)")
        .1
}

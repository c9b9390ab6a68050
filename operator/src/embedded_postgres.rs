//! The embedded default: a private Postgres in the data directory, from installed binaries.
//!
//! It listens on a unix socket only, in a directory that nobody but its owner and root can
//! enter, so that no password is needed. It outlives a killed operator on purpose: the next
//! start finds it running and goes on with it. An orderly stop of the operator stops it.

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::pki::create_private_dir;

/// Where Debian and others put the server's binaries, besides the PATH.
const BINARY_ROOTS: [&str; 2] = ["/usr/lib/postgresql", "/usr/local/pgsql"];
/// Longest path of a unix socket on Linux, less the name of Postgres' socket in it.
const LONGEST_SOCKET_DIR: usize = 107 - "/.s.PGSQL.5432".len();
/// Seconds that Postgres may take to start (crash recovery included) or to stop.
const START_STOP_SECONDS: &str = "60";
/// Time between two looks at whether the server still lives.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// The account that Postgres runs under when we are root, which it refuses to be.
const ACCOUNT: &str = "postgres";

/// A private Postgres server.
#[derive(Clone, Debug)]
pub struct EmbeddedPostgres {
    binaries: PathBuf,
    data: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    as_account: Option<Vec<OsString>>,
}

impl EmbeddedPostgres {
    /// Prepares the server in `directory` (initialising the database cluster when there is
    /// none) and starts it, or goes on with the one that runs there already.
    pub async fn start(directory: &Path) -> anyhow::Result<Self> {
        create_private_dir(directory)?;
        let directory = directory.canonicalize()?;
        let owner = is_root()?.then(account).transpose()?;
        let data = directory.join("data");
        let this = Self {
            binaries: find_binaries(&data)?,
            sockets: socket_directory(&directory),
            log: directory.join("postgres.log"),
            as_account: owner.map(|_| run_as(&directory)),
            data,
        };
        create_private_dir(&this.sockets)?;
        if let Some((uid, gid)) = owner {
            for path in [&directory, &this.sockets] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid))
                    .with_context(|| format!("give {} to {ACCOUNT}", path.display()))?;
            }
        }
        if !this.data.join("PG_VERSION").exists() {
            this.initialise().await?;
        }
        this.ensure_running().await?;
        Ok(this)
    }

    /// How to connect.
    pub fn url(&self) -> String {
        let mut url = String::from("postgres:///postgres?user=obiente&host=");
        for byte in self.sockets.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                    url.push(*byte as char)
                }
                other => url.push_str(&format!("%{other:02X}")),
            }
        }
        url
    }

    /// Starts the server again whenever it is gone, until `cancel`.
    pub async fn supervise(self, cancel: CancellationToken) {
        while cancel
            .run_until_cancelled(tokio::time::sleep(WATCH_INTERVAL))
            .await
            .is_some()
        {
            if self.runs() {
                continue;
            }
            tracing::warn!(log = %self.log.display(), "the embedded Postgres is gone; starting it again");
            if let Err(error) = self.ensure_running().await {
                tracing::error!("the embedded Postgres does not start: {error:#}");
            }
        }
    }

    /// Stops the server, ending its connections.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.pg_ctl(&["stop", "-m", "fast", "-t", START_STOP_SECONDS])
            .await
    }

    /// Does the process named in `postmaster.pid` live, and is it this server's? After a restart of
    /// the machine its number may be another server's; each works in its own data directory.
    fn runs(&self) -> bool {
        let Ok(pid_file) = std::fs::read_to_string(self.data.join("postmaster.pid")) else {
            return false;
        };
        let pid = pid_file.lines().next().unwrap_or_default().trim();
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|directory| directory == self.data)
    }

    async fn ensure_running(&self) -> anyhow::Result<()> {
        if self.runs() {
            tracing::info!(data = %self.data.display(), "going on with the embedded Postgres that runs");
            return Ok(());
        }
        // A supervised server needs no more than the operator: few connections, little memory.
        // A fast shutdown waits for a connection that is just being opened: not for long here.
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c unix_socket_permissions=0700 \
             -c max_connections=40 -c shared_buffers=64MB -c jit=off -c wal_compression=lz4 \
             -c max_wal_size=512MB -c authentication_timeout=5",
            self.sockets.display()
        );
        let log = self.log.to_string_lossy().into_owned();
        self.pg_ctl(&[
            "start",
            "-w",
            "-t",
            START_STOP_SECONDS,
            "-l",
            &log,
            "-o",
            &options,
        ])
        .await
        .with_context(|| format!("see {}", self.log.display()))?;
        tracing::info!(data = %self.data.display(), "the embedded Postgres runs");
        Ok(())
    }

    async fn initialise(&self) -> anyhow::Result<()> {
        tracing::info!(data = %self.data.display(), "making the embedded Postgres");
        // A half-made cluster has no PG_VERSION and nothing of value: initdb wants it gone.
        if self.data.exists() {
            std::fs::remove_dir_all(&self.data)?;
        }
        let data = self.data.to_string_lossy().into_owned();
        self.run(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "obiente",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
            ],
        )
        .await
    }

    async fn pg_ctl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let data = self.data.to_string_lossy().into_owned();
        self.run("pg_ctl", &[&["-D", &data], arguments].concat())
            .await
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let program = self.binaries.join(program);
        let mut command = match &self.as_account {
            Some(prefix) => {
                let mut command = Command::new(&prefix[0]);
                command.args(&prefix[1..]).arg(&program);
                command
            }
            None => Command::new(&program),
        };
        // A process group of its own: Ctrl-C in the terminal is for the operator, which stops
        // the server last. Output goes to a file, or a server would hold our pipes open.
        let output = self.log.with_file_name("setup.log");
        let file = std::fs::File::create(&output)?;
        let status = command
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .current_dir("/")
            .status()
            .await
            .with_context(|| format!("run {}", program.display()))?;
        if !status.success() {
            bail!(
                "{} failed ({status}): {}",
                program.display(),
                std::fs::read_to_string(&output).unwrap_or_default().trim()
            );
        }
        Ok(())
    }
}

/// Are we root? The kernel says it by the owner of our own entry in /proc.
fn is_root() -> anyhow::Result<bool> {
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

fn account() -> anyhow::Result<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&ACCOUNT))
        .and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
        .context(
            "Postgres does not run as root, and there is no account `postgres` to run it under: \
             install the package postgresql, run the operator as another user, or give --database-url",
        )
}

/// The command that drops to the account. Where a directory above ours is closed to it (such as
/// /root), it keeps the one capability that lets it pass: it still owns nothing but its files.
fn run_as(directory: &Path) -> Vec<OsString> {
    let mut command = vec![
        "setpriv",
        "--reuid",
        ACCOUNT,
        "--regid",
        ACCOUNT,
        "--init-groups",
    ];
    let closed = directory.ancestors().skip(1).any(|above| {
        std::fs::metadata(above).is_ok_and(|found| found.permissions().mode() & 0o001 == 0)
    });
    if closed {
        command.extend([
            "--inh-caps",
            "+dac_read_search",
            "--ambient-caps",
            "+dac_read_search",
        ]);
    }
    command.push("--");
    command.into_iter().map(OsString::from).collect()
}

/// Postgres' sockets: in our directory, or in the temporary one where that path is too long.
fn socket_directory(directory: &Path) -> PathBuf {
    let ours = directory.join("sockets");
    if ours.as_os_str().len() <= LONGEST_SOCKET_DIR {
        return ours;
    }
    let name = uuid::Uuid::new_v5(
        &uuid::Uuid::NAMESPACE_URL,
        directory.as_os_str().as_encoded_bytes(),
    );
    std::env::temp_dir().join(format!("obiente-{}", name.simple()))
}

/// The directory of `initdb` and its companions; for an existing cluster, of its own version.
fn find_binaries(data: &Path) -> anyhow::Result<PathBuf> {
    let version = std::fs::read_to_string(data.join("PG_VERSION"))
        .ok()
        .map(|text| text.trim().to_owned());
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for root in BINARY_ROOTS.iter().map(Path::new) {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let directory = entry.path().join("bin");
            if let Ok(major) = entry.file_name().to_string_lossy().parse()
                && directory.join("initdb").exists()
            {
                found.push((major, directory));
            }
        }
    }
    found.sort();
    let fitting = match &version {
        Some(version) => found
            .into_iter()
            .find(|(major, _)| major.to_string() == *version),
        None => found.pop(),
    };
    if let Some((_, directory)) = fitting {
        return Ok(directory);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if version.is_none()
        && let Some(directory) =
            std::env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    {
        return Ok(directory);
    }
    match version {
        Some(version) => bail!(
            "the database in {} was made by PostgreSQL {version}, whose binaries are not installed: \
             install the package postgresql-{version}",
            data.display()
        ),
        None => bail!(
            "no --database-url is given and no PostgreSQL is installed to start one of our own: \
             install the package postgresql, or give --database-url"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn it_starts_is_found_again_and_stops() {
        let dir = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .unwrap();
        let first = EmbeddedPostgres::start(&dir.path().join("postgres"))
            .await
            .unwrap();
        assert!(first.runs());
        let pid = std::fs::read_to_string(first.data.join("postmaster.pid")).unwrap();
        let second = EmbeddedPostgres::start(&dir.path().join("postgres"))
            .await
            .unwrap();
        assert_eq!(
            std::fs::read_to_string(second.data.join("postmaster.pid")).unwrap(),
            pid
        );
        let pool = sqlx::PgPool::connect(&second.url()).await.unwrap();
        let one: i32 = sqlx::query_scalar("SELECT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(one, 1);
        second.stop().await.unwrap();
        assert!(!first.runs());
    }

    #[test]
    fn a_socket_path_that_is_too_long_moves_to_the_temporary_directory() {
        let long = Path::new("/x").join("y".repeat(120));
        assert!(socket_directory(&long).as_os_str().len() <= LONGEST_SOCKET_DIR);
        assert_eq!(
            socket_directory(Path::new("/srv/o")),
            Path::new("/srv/o/sockets")
        );
    }
}

//! A Postgres server of our own.

use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::{free_port, run};
use crate::cleanup::{self, Cleanup};

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does, as in production: for measurements.
    Disk,
    /// It does not: survives the server's crash but not the machine's, and makes tests quick.
    Memory,
}

/// A running server with trust authentication on 127.0.0.1; stopped and removed on drop.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    data: PathBuf,
    port: u16,
    account: Account,
    _cleanup: Cleanup,
}

/// Whom the server runs as: it refuses to be root.
#[derive(Clone, Copy, Debug)]
enum Account {
    Own,
    Postgres { uid: u32, gid: u32 },
}

impl Account {
    fn choose() -> anyhow::Result<Self> {
        if run(Command::new("id").arg("-u"))?.trim() != "0" {
            return Ok(Self::Own);
        }
        let id = |flag: &str| -> anyhow::Result<u32> {
            Ok(run(Command::new("id").args([flag, "postgres"]))?
                .trim()
                .parse()?)
        };
        Ok(Self::Postgres {
            uid: id("-u")?,
            gid: id("-g")?,
        })
    }

    fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Self::Own => Command::new(program),
            Self::Postgres { uid, gid } => {
                let mut command = Command::new("setpriv");
                command.args([
                    format!("--reuid={uid}"),
                    format!("--regid={gid}"),
                    "--clear-groups".into(),
                ]);
                command.arg(program);
                command
            }
        }
    }
}

impl Postgres {
    /// Initialises and starts a server.
    pub fn start(durability: Durability) -> anyhow::Result<Self> {
        let account = Account::choose()?;
        let directory = cleanup::scratch()?.join(format!("postgres-{}", cleanup::unique()));
        std::fs::create_dir_all(&directory)?;
        if let Account::Postgres { uid, gid } = account {
            chown(&directory, Some(uid), Some(gid))?;
        }
        let binaries = binaries()?;
        let data = directory.join("data");
        run(account
            .command(binaries.join("initdb"))
            .current_dir(&directory)
            .arg("--pgdata")
            .arg(&data)
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ]))?;
        let port = free_port()?;
        let sync = if durability == Durability::Disk {
            "on"
        } else {
            "off"
        };
        let settings = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 300\n\
             fsync = {sync}\n"
        );
        let conf = data.join("postgresql.conf");
        let mut text = std::fs::read_to_string(&conf)?;
        text.push_str(&settings);
        std::fs::write(&conf, text)?;
        let script = format!(
            "kill -QUIT $(head -n 1 {data}/postmaster.pid 2>/dev/null) 2>/dev/null; rm -rf {directory}; true",
            data = data.display(),
            directory = directory.display()
        );
        let this = Self {
            binaries,
            data,
            port,
            account,
            _cleanup: Cleanup::register(&script)?,
        };
        this.start_again()?;
        Ok(this)
    }

    /// Starts the server after [`Postgres::crash`].
    pub fn start_again(&self) -> anyhow::Result<()> {
        self.pg_ctl(&["start", "--wait", "--silent", "--log", "/dev/null"])
            .context("start Postgres")
    }

    /// Stops the server as a crash would: without a word to its clients, to be recovered at the next start.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.pg_ctl(&["stop", "--mode=immediate", "--wait", "--silent"])
            .context("stop Postgres")
    }

    /// The server's first process, whose children serve the connections.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let text = std::fs::read_to_string(self.data.join("postmaster.pid"))?;
        Ok(text.lines().next().unwrap_or_default().parse()?)
    }

    /// Creates a database and returns its URL.
    pub fn create_database(&self, name: &str) -> anyhow::Result<String> {
        run(Command::new(self.binaries.join("createdb"))
            .args(["--host=127.0.0.1", "--username=postgres"])
            .arg(format!("--port={}", self.port))
            .arg(name))?;
        Ok(format!(
            "postgres://postgres@127.0.0.1:{}/{name}",
            self.port
        ))
    }

    fn pg_ctl(&self, args: &[&str]) -> anyhow::Result<()> {
        // Not through `run`: the server would inherit the pipes and keep them open.
        let mut command = self.account.command(self.binaries.join("pg_ctl"));
        command
            .current_dir("/")
            .arg("--pgdata")
            .arg(&self.data)
            .args(args);
        let status = command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status()?;
        anyhow::ensure!(status.success(), "{command:?}: {status}");
        Ok(())
    }
}

/// Debian keeps every version in a directory of its own; the newest is used.
fn binaries() -> anyhow::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let binaries = entry.path().join("bin");
            binaries
                .join("initdb")
                .exists()
                .then_some((version, binaries))
        })
        .collect();
    found.sort();
    let (_, newest) = found
        .pop()
        .context("no PostgreSQL in /usr/lib/postgresql: run `e2e/setup.sh test`")?;
    Ok(newest)
}

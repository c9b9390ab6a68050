//! An etcd, which the benchmark measures beside us.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use super::{free_port, run};
use crate::cleanup::{self, Cleanup};

/// A running etcd of one member, without TLS, its data on the disk that Postgres' are on; killed on drop.
#[derive(Debug)]
pub struct Etcd {
    directory: PathBuf,
    port: u16,
    peers: u16,
    child: Child,
    _cleanup: Cleanup,
}

impl Etcd {
    /// Starts it, and does not wait until it serves.
    pub fn start() -> anyhow::Result<Self> {
        let directory = cleanup::scratch()?.join(format!("etcd-{}", cleanup::unique()));
        std::fs::create_dir_all(&directory)?;
        let script = format!(
            "kill -KILL $(cat {0}/pid) 2>/dev/null; rm -rf {0}",
            directory.display()
        );
        let cleanup = Cleanup::register(&script)?;
        let (port, peers) = (free_port()?, free_port()?);
        Ok(Self {
            child: launch(&directory, port, peers)?,
            directory,
            port,
            peers,
            _cleanup: cleanup,
        })
    }

    /// Stops it in order.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        run(Command::new("kill").args(["-TERM", &self.pid().to_string()]))?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it with its data after [`Etcd::stop`], and does not wait until it serves.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = launch(&self.directory, self.port, self.peers)?;
        Ok(())
    }

    /// The port on 127.0.0.1 where clients are served.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn launch(directory: &Path, port: u16, peers: u16) -> anyhow::Result<Child> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(directory.join("data"));
    command.args(["--name=lab", "--logger=zap", "--log-level=error"]);
    command.args([
        format!("--listen-client-urls={}", url(port)),
        format!("--advertise-client-urls={}", url(port)),
        format!("--listen-peer-urls={}", url(peers)),
        format!("--initial-advertise-peer-urls={}", url(peers)),
        format!("--initial-cluster=lab={}", url(peers)),
    ]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start etcd: run `e2e/setup.sh bench`")?;
    std::fs::write(directory.join("pid"), child.id().to_string())?;
    Ok(child)
}

impl Drop for Etcd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

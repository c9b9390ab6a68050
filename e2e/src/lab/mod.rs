//! Real components, started for one process and taken down with it.

mod etcd;
mod kubectl;
mod operator;
mod postgres;
mod swarm;
mod traefik;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

pub use etcd::Etcd;
pub use kubectl::{Kubectl, KubectlVersion, Output};
pub use operator::{Metrics, Operator, OperatorConfig, operator_output};
pub use postgres::{Durability, Postgres};
pub use swarm::{Swarm, Task};
pub use traefik::Traefik;

/// The repository's root.
pub fn repository() -> PathBuf {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR"));
    e2e.parent().unwrap_or(e2e).to_owned()
}

/// A program that `e2e/setup.sh test` put into the tools directory.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let file = repository().join(".obiente/tools").join(name);
    ensure!(
        file.exists(),
        "{} is missing: run `e2e/setup.sh test`",
        file.display()
    );
    Ok(file)
}

/// Where the logs of what ran are kept for people to read after a failure.
fn logs() -> anyhow::Result<PathBuf> {
    let directory = repository().join("target/e2e-logs");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(socket.local_addr()?.port())
}

/// Runs a program to its end and returns what it printed; its complaint is the error.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

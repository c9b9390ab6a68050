//! A Swarm of several Engines: the script `e2e/lab/swarm`, held by a value.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{repository, run, tool};
use crate::cleanup::{self, Cleanup};

/// A running Swarm with a name and a network of its own; gone on drop.
#[derive(Debug)]
pub struct Swarm {
    name: String,
    net: String,
    _cleanup: Cleanup,
}

impl Swarm {
    /// Brings up `nodes` nodes, `n1` (the one manager) to `nN`, with the busybox images on all of them.
    pub fn up(nodes: u8) -> anyhow::Result<Self> {
        let name = format!("e{:x}x{:x}", std::process::id(), cleanup::unique());
        let script = script();
        let cleanup = Cleanup::register(&format!(
            "LAB_NAME={name} {} down >/dev/null",
            script.display()
        ))?;
        run(Command::new(script)
            .args(["up", &nodes.to_string()])
            .env("LAB_NAME", &name))
        .context("bring up a lab Swarm")?;
        let mut this = Self {
            name,
            net: String::new(),
            _cleanup: cleanup,
        };
        this.net = this.lab(["net"])?.trim().to_owned();
        Ok(this)
    }

    /// `DOCKER_HOST` of a node.
    pub fn docker_host(&self, node: u8) -> String {
        format!("unix:///run/labs/{}/n{node}/docker.sock", self.name)
    }

    /// A node's first process, which all others of it descend from.
    pub fn pid(&self, node: u8) -> anyhow::Result<u32> {
        let text = std::fs::read_to_string(format!("/run/labs/{}/n{node}/pid", self.name))?;
        Ok(text.trim().parse()?)
    }

    /// Address at which this machine reaches a node, ports in host mode included.
    pub fn address(&self, node: u8) -> String {
        format!("{}.{}", self.net, 10 + u16::from(node))
    }

    /// A command of the script, for example `["kill-node", "2"]`.
    pub fn lab<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<String> {
        run(Command::new(script())
            .args(args)
            .env("LAB_NAME", &self.name))
    }

    /// The docker client on the manager.
    pub fn docker<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<String> {
        run(Command::new("docker")
            .args(["--host", &self.docker_host(1)])
            .args(args))
    }

    /// The spec, the version and the rest of a service, as the Engine tells it; `None` when there is none.
    pub fn service(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let listed = self.docker([
            "service",
            "ls",
            "--quiet",
            "--filter",
            &format!("name={name}"),
        ])?;
        for id in listed.split_whitespace() {
            let Ok(text) = self.docker(["service", "inspect", id]) else {
                continue;
            };
            let found: Vec<Value> =
                serde_json::from_str(&text).context("docker service inspect")?;
            let named = found
                .into_iter()
                .find(|service| service["Spec"]["Name"] == name);
            if named.is_some() {
                return Ok(named);
            }
        }
        Ok(None)
    }

    /// Names of all services whose name starts with `prefix`, sorted, doubles included.
    pub fn services(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let text = self.docker(["service", "ls", "--format", "{{.Name}}"])?;
        let mut names: Vec<String> = text
            .lines()
            .filter(|n| n.starts_with(prefix))
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    /// Tasks of a service: id, node's host name and state in lower case, oldest last, for those
    /// that are meant to run.
    pub fn running_tasks(&self, service: &str) -> anyhow::Result<Vec<Task>> {
        let text = self.docker([
            "service",
            "ps",
            "--no-trunc",
            "--filter",
            "desired-state=running",
            "--format",
            "{{.ID}} {{.Node}} {{.CurrentState}}",
            service,
        ])?;
        let task = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some(Task {
                id: words.next()?,
                node: words.next()?,
                state: words.next()?.to_lowercase(),
            })
        };
        Ok(text.lines().filter_map(task).collect())
    }
}

/// A task as `docker service ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Host name of its node.
    pub node: String,
    /// For example `running`.
    pub state: String,
}

fn script() -> PathBuf {
    repository().join("e2e/lab/swarm")
}

/// The script finds Traefik by itself; this only says early what is missing.
pub(super) fn traefik_is_there() -> anyhow::Result<()> {
    tool("traefik").map(drop)
}

//! The operator binary, as a user runs it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::{Kubectl, KubectlVersion, free_port, logs, run};
use crate::cleanup::{self, Cleanup};
use crate::{eventually, eventually_within};

/// Longest orderly stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to run an operator.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// Engine of a manager.
    pub docker_host: String,
    /// Database; `None` lets the operator run its embedded Postgres.
    pub database_url: Option<String>,
    /// More flags of `operator run`.
    pub flags: Vec<String>,
}

impl OperatorConfig {
    /// Against that Engine and that database, with defaults for the rest.
    pub fn new(docker_host: String, database_url: Option<String>) -> Self {
        Self {
            docker_host,
            database_url,
            flags: Vec::new(),
        }
    }
}

/// A running operator with a data directory, a port and a log of its own; killed on drop.
#[derive(Debug)]
pub struct Operator {
    config: OperatorConfig,
    data: PathBuf,
    port: u16,
    log: PathBuf,
    child: Option<Child>,
    _cleanup: Cleanup,
}

impl Operator {
    /// Starts it and waits until it is ready.
    pub async fn start(config: OperatorConfig) -> anyhow::Result<Self> {
        let mut this = Self::prepare(config)?;
        this.launch()?;
        this.await_ready().await?;
        Ok(this)
    }

    /// An operator that is not running yet.
    pub fn prepare(config: OperatorConfig) -> anyhow::Result<Self> {
        let number = cleanup::unique();
        let data = cleanup::scratch()?.join(format!("operator-{number}"));
        let log = logs()?.join(format!("operator-{}-{number}.log", std::process::id()));
        // The embedded Postgres outlives a killed operator, by design.
        let script = format!(
            "[ -e {data}/e2e.pid ] && kill -KILL $(cat {data}/e2e.pid) 2>/dev/null
             for pid in $(find {data} -name postmaster.pid -exec head -n 1 {{}} \\; 2>/dev/null); do kill -QUIT $pid; done
             rm -rf {data}",
            data = data.display()
        );
        Ok(Self {
            config,
            data,
            port: free_port()?,
            log,
            child: None,
            _cleanup: Cleanup::register(&script)?,
        })
    }

    /// Starts the process, without waiting for anything.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = Command::new(binary()?);
        command.arg("run").arg("--data-dir").arg(&self.data);
        command.args([
            "--listen",
            &format!("127.0.0.1:{}", self.port),
            "--docker-host",
            &self.config.docker_host,
        ]);
        command
            .args(&self.config.flags)
            .env_remove("DATABASE_URL")
            .env_remove("DOCKER_HOST");
        if let Some(url) = &self.config.database_url {
            command.env("DATABASE_URL", url);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        std::fs::create_dir_all(&self.data)?;
        std::fs::write(self.data.join("e2e.pid"), child.id().to_string())?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits for `/readyz`.
    pub async fn await_ready(&mut self) -> anyhow::Result<()> {
        for_child(self.child.as_mut(), &self.log)?;
        let kubeconfig = self.kubeconfig();
        let (child, log) = (&mut self.child, &self.log);
        eventually("the operator is ready", async || {
            for_child(child.as_mut(), log)?;
            let client = client(&kubeconfig).await?;
            let answer = raw(&client, "/readyz").await?;
            ensure!(answer == "ok", "{answer}");
            Ok(())
        })
        .await
        .with_context(|| format!("log: {}", self.log.display()))
    }

    /// The admin kubeconfig that it wrote.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    /// Everything that it printed so far.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// Its process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self
            .child
            .as_ref()
            .context("the operator does not run")?
            .id())
    }

    /// A kubectl for it.
    pub fn kubectl(&self, version: KubectlVersion) -> anyhow::Result<Kubectl> {
        Kubectl::new(version, &self.kubeconfig())
    }

    /// A client over HTTPS. Clients belong to the runtime of the test that asks.
    pub async fn client(&self) -> anyhow::Result<kube::Client> {
        client(&self.kubeconfig()).await
    }

    /// The body of a path that is no resource, for example `/healthz`.
    pub async fn raw(&self, path: &str) -> anyhow::Result<String> {
        raw(&self.client().await?, path).await
    }

    /// All samples of `/metrics`: `name{labels}` to value.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Ok(Metrics::parse(&self.raw("/metrics").await?))
    }

    /// SIGKILL: nothing is said, nothing is finished.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the operator does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and how it ended.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("the operator does not run")?;
        run(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
        let ended = eventually_within(STOP_LIMIT, "the operator has stopped", async || {
            child.try_wait()?.context("it still runs")
        });
        ended
            .await
            .with_context(|| format!("log: {}", self.log.display()))
    }

    /// Starts again after a kill or a stop, and waits until it is ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        self.await_ready().await
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// An operator that ended while it should run: says why, from the end of its log.
fn for_child(child: Option<&mut Child>, log: &Path) -> anyhow::Result<()> {
    let ended = child.context("the operator does not run")?.try_wait()?;
    if let Some(status) = ended {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        anyhow::bail!("the operator ended with {status}:\n{}", tail.join("\n"));
    }
    Ok(())
}

async fn client(kubeconfig: &Path) -> anyhow::Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

async fn raw(client: &kube::Client, path: &str) -> anyhow::Result<String> {
    Ok(client
        .request_text(http::Request::get(path).body(Vec::new())?)
        .await?)
}

/// What the binary prints when it is run to its end; its complaint is the error.
pub fn operator_output(args: &[&str]) -> anyhow::Result<String> {
    run(Command::new(binary()?).args(args))
}

/// The binary of this very build: beside the test's or the benchmark's own.
fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("operator"))
        .find(|file| file.is_file());
    found.context(
        "the operator is not built: run `cargo build -p operator` (or `make test`, which does)",
    )
}

/// Samples of a Prometheus exposition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        )
    }

    /// Sum of all series of a metric whose labels contain all of `labels` (as `name="value"`).
    /// A metric that nobody has counted yet sums to nothing.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_metric = |series: &str| series.split('{').next() == Some(name);
        let matching = |series: &str| labels.iter().all(|label| series.contains(label));
        self.0
            .iter()
            .filter(|(series, _)| of_metric(series) && matching(series))
            .map(|(_, value)| value)
            .sum()
    }
}

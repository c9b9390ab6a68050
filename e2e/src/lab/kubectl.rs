//! Real kubectl, of several versions.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::tool;
use crate::cleanup;

/// Which kubectl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubectlVersion {
    /// 1.20: OpenAPI v2 and validation by the client.
    V1_20,
    /// 1.32: OpenAPI v3, aggregated discovery, validation by the server, protobuf bodies.
    V1_32,
    /// 1.36: reads by streaming lists (`sendInitialEvents`) wherever it waits.
    V1_36,
}

impl KubectlVersion {
    /// Those that scenarios about kubectl itself run with.
    pub const ALL: [Self; 2] = [Self::V1_20, Self::V1_32];

    fn program(self) -> &'static str {
        match self {
            Self::V1_20 => "kubectl-1.20",
            Self::V1_32 => "kubectl-1.32",
            Self::V1_36 => "kubectl-1.36",
        }
    }
}

/// kubectl with one kubeconfig, and with a home directory of its own (it caches discovery there).
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    namespace: Option<String>,
    editor: String,
}

/// How a kubectl command ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code 0?
    pub success: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Kubectl {
    /// kubectl of that version with that kubeconfig.
    pub fn new(version: KubectlVersion, kubeconfig: &Path) -> anyhow::Result<Self> {
        let home = cleanup::scratch()?.join(format!("home-{}", cleanup::unique()));
        std::fs::create_dir_all(&home)?;
        let program = tool(version.program())?;
        Ok(Self {
            program,
            kubeconfig: kubeconfig.to_owned(),
            home,
            namespace: None,
            editor: "false".to_owned(),
        })
    }

    /// The same with a program that `kubectl edit` calls with the file to edit.
    pub fn with_editor(self, editor: &str) -> Self {
        Self {
            editor: editor.to_owned(),
            ..self
        }
    }

    /// The same in a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    /// A command that may fail.
    pub async fn try_run(&self, args: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let mut child = self.spawn(args, Stdio::piped())?;
        let mut input = child
            .stdin
            .take()
            .context("kubectl has no standard input")?;
        // kubectl takes what starts with a brace for JSON; ours may be YAML in flow style.
        let text = if stdin.trim_start().starts_with('{') {
            format!("---\n{stdin}")
        } else {
            stdin.to_owned()
        };
        // A kubectl that ends early leaves its input unread: that is its right.
        let feed = tokio::spawn(async move { drop(input.write_all(text.as_bytes()).await) });
        let output = child.wait_with_output().await.context("run kubectl")?;
        feed.await?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// A command that runs until it is killed (on drop), for example a watch.
    pub fn spawn(&self, args: &[&str], stdin: Stdio) -> anyhow::Result<tokio::process::Child> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("EDITOR", &self.editor);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        if let Some(namespace) = &self.namespace {
            command.args(["--namespace", namespace]);
        }
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))
    }

    /// A command that must succeed; returns what it printed.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        self.run_with(args, "").await
    }

    /// The same with standard input.
    pub async fn run_with(&self, args: &[&str], stdin: &str) -> anyhow::Result<String> {
        let output = self.try_run(args, stdin).await?;
        ensure!(
            output.success,
            "kubectl {}: {}{}",
            args.join(" "),
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
    }

    /// `apply -f -`.
    pub async fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        self.run_with(&["apply", "-f", "-"], manifest).await
    }

    /// `apply -f -` that must be refused; returns the complaint.
    pub async fn refused(&self, manifest: &str) -> anyhow::Result<String> {
        let output = self.try_run(&["apply", "-f", "-"], manifest).await?;
        ensure!(
            !output.success,
            "was not refused: {manifest}\n{}",
            output.stdout
        );
        Ok(output.stderr)
    }

    /// `get … -o json`.
    pub async fn get(&self, args: &[&str]) -> anyhow::Result<Value> {
        let text = self.run(&[&["get", "-o", "json"], args].concat()).await?;
        serde_json::from_str(&text).context("kubectl get -o json")
    }
}

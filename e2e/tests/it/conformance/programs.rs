//! Programs in other languages: Helm 3 and 4, the Python and the JavaScript client.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;

use anyhow::{Context as _, ensure};
use e2e::cleanup;
use e2e::lab::{Output, repository, tool};
use tokio::process::Command;

use crate::world::{Namespace, shared};

/// A program that finds the operator by `KUBECONFIG`, with a home directory of its own.
struct Program {
    command: Command,
}

impl Program {
    fn new(ns: &Namespace<'_>, program: impl AsRef<OsStr>) -> anyhow::Result<Self> {
        let home = cleanup::scratch()?.join(format!("home-{}", cleanup::unique()));
        std::fs::create_dir_all(&home)?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("KUBECONFIG", ns.world.operator.kubeconfig())
            .kill_on_drop(true);
        Ok(Self { command })
    }

    fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    async fn try_run<A: AsRef<OsStr>>(
        mut self,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Output> {
        let output = self.command.args(args).output().await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: match output.status.signal() {
                Some(signal) => format!("{stderr}ended by signal {signal}"),
                None => stderr.into_owned(),
            },
        })
    }

    async fn run<A: AsRef<OsStr>>(
        self,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<String> {
        let output = self.try_run(args).await?;
        ensure!(output.success, "{}{}", output.stdout, output.stderr);
        Ok(output.stdout)
    }
}

/// One of the scripts in `e2e/clients`; it says a line for each group of checks.
async fn script(program: Program, ns: &Namespace<'_>, file: &str) -> anyhow::Result<()> {
    let file = repository().join("e2e/clients").join(file);
    let said = program.run([file.as_os_str(), ns.name.as_ref()]).await?;
    println!("{said}");
    ensure!(said.lines().count() >= 6, "{said}");
    Ok(())
}

#[tokio::test]
async fn python() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("python").await?;
    let program = Program::new(&ns, "python3")?.env("PYTHONPATH", tool("python-client")?);
    script(program, &ns, "client.py").await
}

#[tokio::test]
async fn javascript() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("javascript").await?;
    let modules = tool("javascript-client")?.join("node_modules");
    let program = Program::new(&ns, "node")?.env("NODE_PATH", modules);
    script(program, &ns, "client.mjs").await
}

/// One Helm in the namespace that it made.
struct Helm<'w> {
    ns: Namespace<'w>,
    name: &'static str,
    app: String,
}

impl Helm<'_> {
    async fn try_run(&self, args: &[&str]) -> anyhow::Result<Output> {
        let program = Program::new(&self.ns, tool(self.name)?)?;
        program
            .try_run([args, &["--namespace", &self.app]].concat())
            .await
    }

    async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.try_run(args).await?;
        let (stdout, stderr) = (output.stdout, output.stderr);
        ensure!(output.success, "{} {args:?}: {stdout}{stderr}", self.name);
        Ok(stdout)
    }

    /// The release `web` from the chart, with these values.
    async fn chart(&self, verb: &[&str], values: &[&str]) -> anyhow::Result<Output> {
        let chart = repository().join("charts/obiente-app");
        let mut args = verb.to_vec();
        args.push(chart.to_str().context("path")?);
        for value in [&["deployment.terminationGracePeriodSeconds=0"], values].concat() {
            args.extend(["--set", value]);
        }
        self.try_run(&args).await
    }

    async fn deployment(&self, path: &str) -> anyhow::Result<String> {
        let kubectl = self.ns.kubectl.in_namespace(&self.app);
        let path = format!("jsonpath={{{path}}}");
        let args = ["get", "deployment", "web", "-o", &path];
        kubectl.run(&args).await
    }
}

/// A release's whole life with our own chart, and what is refused.
async fn helm(name: &'static str) -> anyhow::Result<()> {
    let ns = shared().await?.namespace(name).await?;
    let app = format!("{}-app", ns.name);
    let helm = Helm { ns, name, app };
    const WAIT: [&str; 2] = ["--wait", "--timeout=180s"];
    let succeeded = |output: Output| {
        ensure!(output.success, "{name}: {}{}", output.stdout, output.stderr);
        Ok(output.stdout)
    };

    let text = succeeded(helm.chart(&["template", "web"], &[]).await?)?;
    ensure!(text.contains("kind: Deployment"), "{text}");
    let install = [&["install", "web", "--create-namespace"], &WAIT[..]].concat();
    succeeded(helm.chart(&install, &[]).await?)?;
    if name == "helm-4" {
        // kstatus: it waits for our condition; Helm 3 waits for kinds that it knows.
        let ready = r#".status.conditions[?(@.type=="Ready")].status"#;
        ensure!(helm.deployment(ready).await? == "True");
    }
    let route = "routes.web.hostnames={helm.example.com}";
    let values = ["deployment.replicas=0", route];
    succeeded(helm.chart(&["upgrade", "web"], &values).await?)?;
    ensure!(helm.deployment(".spec.replicas").await? == "0");
    let kubectl = helm.ns.kubectl.in_namespace(&helm.app);
    ensure!(
        kubectl.get(&["route", "web-web"]).await?["spec"]["hostnames"][0] == "helm.example.com"
    );
    let status = helm.run(&["status", "web"]).await?;
    ensure!(status.contains("STATUS: deployed"), "{status}");
    let dry = ["upgrade", "web", "--dry-run=server"];
    succeeded(helm.chart(&dry, &["deployment.replicas=3"]).await?)?;
    ensure!(helm.deployment(".spec.replicas").await? == "0");

    helm.run(&[&["rollback", "web", "1"], &WAIT[..]].concat())
        .await?;
    ensure!(helm.deployment(".spec.replicas").await? == "1");
    let route = kubectl.try_run(&["get", "route", "web-web"], "").await?;
    ensure!(route.stderr.contains("NotFound"), "{route:?}");
    let history = helm.run(&["history", "web"]).await?;
    for part in ["superseded", "Rollback to 1"] {
        ensure!(history.contains(part), "{history}");
    }
    let list = helm.run(&["list"]).await?;
    ensure!(list.contains("obiente-app-0.1.0"), "{list}");
    helm.run(&["get", "manifest", "web"]).await?;
    helm.run(&["test", "web"]).await?;

    let bad = helm
        .chart(&["install", "bad"], &["deployment.replicas=-3"])
        .await?;
    ensure!(
        !bad.success && bad.stderr.contains("spec.replicas: Invalid value: -3"),
        "{bad:?}"
    );
    helm.run(&[&["uninstall", "web"], &WAIT[..]].concat())
        .await?;
    let left = kubectl.get(&["deployments,routes,secrets"]).await?;
    let left: Vec<_> = left["items"].as_array().into_iter().flatten().collect();
    // The failed release leaves its record, as everywhere.
    ensure!(
        left.iter()
            .all(|object| object["metadata"]["name"] == "sh.helm.release.v1.bad.v1"),
        "{left:?}"
    );
    kubectl
        .run(&["delete", "namespace", &helm.app, "--timeout=180s"])
        .await?;
    Ok(())
}

#[tokio::test]
async fn helm_3() -> anyhow::Result<()> {
    helm("helm-3").await
}

#[tokio::test]
async fn helm_4() -> anyhow::Result<()> {
    helm("helm-4").await
}

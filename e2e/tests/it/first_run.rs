//! What a new user meets: no database, no certificates, nothing configured.

use anyhow::{Context as _, ensure};
use e2e::lab::{KubectlVersion, Operator, OperatorConfig, Swarm};

use crate::world::web;

#[tokio::test]
async fn everything_embedded_and_kept() -> anyhow::Result<()> {
    let swarm = Swarm::up(1)?;
    let mut operator = Operator::start(OperatorConfig::new(swarm.docker_host(1), None)).await?;
    let kubeconfig = operator.kubeconfig();
    let said = operator.log()?;
    ensure!(
        said.contains(kubeconfig.to_str().context("path")?),
        "does not print the kubeconfig's path: {said}"
    );
    for next in ["export KUBECONFIG=", "kubectl apply", "kubectl get"] {
        ensure!(
            said.contains(next),
            "does not say {next} to type next: {said}"
        );
    }

    let kubectl = operator
        .kubectl(KubectlVersion::V1_20)?
        .in_namespace("default");
    kubectl.apply(&web("web", 1)).await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Ready",
            "deployment/web",
            "--timeout=180s",
        ])
        .await?;
    let before = kubectl.get(&["deployment", "web"]).await?;
    let tasks = swarm.running_tasks("default_web")?;

    let status = operator.stop().await?;
    ensure!(status.success(), "an orderly stop ended with {status}");
    ensure!(
        swarm.running_tasks("default_web")?.len() == tasks.len(),
        "the containers must keep running"
    );
    operator.restart().await?;
    let after = kubectl.get(&["deployment", "web"]).await?;
    ensure!(
        after["metadata"]["uid"] == before["metadata"]["uid"],
        "the data is another"
    );
    ensure!(
        operator.kubeconfig() == kubeconfig && kubectl.run(&["get", "nodes"]).await?.contains("n1")
    );

    // The embedded Postgres outlives a killed operator; the next start goes on with it.
    operator.kill()?;
    operator.restart().await?;
    kubectl
        .run(&["delete", "deployment", "web", "--timeout=180s"])
        .await?;
    ensure!(swarm.services("")?.is_empty());
    ensure!(operator.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn it_explains_itself() -> anyhow::Result<()> {
    let help = e2e::lab::operator_output(&["run", "--help"])?;
    for word in [
        "DATABASE_URL",
        "DOCKER_HOST",
        "--data-dir",
        "--listen",
        "--verbose",
        "json",
    ] {
        ensure!(help.contains(word), "no {word} in: {help}");
    }
    Ok(())
}

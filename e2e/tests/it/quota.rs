//! Quotas and limit ranges, as kubectl old and new makes and shows them.

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::KubectlVersion;

use crate::world::{Namespace, shared, web};

#[tokio::test]
async fn a_quota_bounds_a_namespace() -> anyhow::Result<()> {
    for version in KubectlVersion::ALL {
        let ns = shared().await?.namespace_with("quota", version).await?;
        bounded(&ns).await.with_context(|| format!("{version:?}"))?;
    }
    Ok(())
}

async fn bounded(ns: &Namespace<'_>) -> anyhow::Result<()> {
    let kubectl = &ns.kubectl;
    let limits = "{apiVersion: v1, kind: LimitRange, metadata: {name: small}, spec: {limits: [
        {type: Container, default: {cpu: 100m, memory: 32Mi}, max: {cpu: 1}}]}}";
    kubectl.apply(limits).await?;
    let hard =
        "--hard=requests.cpu=300m,limits.memory=96Mi,configmaps=2,count/routes.obiente.cloud=0";
    kubectl.run(&["create", "quota", "tight", hard]).await?;

    // The limits are filled in, and reach the Swarm.
    kubectl.apply(&web("web", 2)).await?;
    ns.ready("deployment.obiente.cloud", "web").await?;
    let service = ns.service("web")?;
    let bytes = &service["Spec"]["TaskTemplate"]["Resources"]["Limits"]["MemoryBytes"];
    ensure!(*bytes == 32 << 20, "{service:#}");
    let again = kubectl.apply(&web("web", 2)).await?;
    ensure!(again.contains("unchanged"), "{again}");

    let refused = kubectl
        .try_run(
            &["scale", "deployment.obiente.cloud/web", "--replicas=4"],
            "",
        )
        .await?;
    let error = refused.stderr;
    let expected = "exceeded quota: tight, requested: limits.memory=64Mi,requests.cpu=200m, \
        used: limits.memory=64Mi,requests.cpu=200m, limited: limits.memory=96Mi,requests.cpu=300m";
    ensure!(error.contains(expected), "{error}");
    let route = crate::world::route("r", "quota.localhost", "web");
    let error = kubectl.refused(&route).await?;
    ensure!(error.contains("exceeded quota: tight"), "{error}");
    kubectl
        .run(&["scale", "deployment.obiente.cloud/web", "--replicas=3"])
        .await?;

    let table = kubectl.run(&["get", "quota"]).await?;
    for part in [
        "REQUEST",
        "LIMIT",
        "requests.cpu: 300m/300m",
        "limits.memory: 96Mi/96Mi",
    ] {
        ensure!(table.contains(part), "{table}");
    }
    let described = kubectl.run(&["describe", "quota", "tight"]).await?;
    let words: Vec<&str> = described.split_whitespace().collect();
    ensure!(
        words
            .windows(3)
            .any(|row| row == ["requests.cpu", "300m", "300m"]),
        "{described}"
    );
    let described = kubectl.run(&["describe", "limits", "small"]).await?;
    ensure!(
        described.contains("Container") && described.contains("32Mi"),
        "{described}"
    );
    let explained = kubectl.run(&["explain", "quota.spec.hard"]).await?;
    ensure!(explained.contains("ResourceQuota"), "{explained}");

    // What goes gives back what it took.
    kubectl
        .run(&["delete", "deployment.obiente.cloud", "web", "--wait=true"])
        .await?;
    eventually("everything is given back", async || {
        let quota = kubectl.get(&["quota", "tight"]).await?;
        let used = quota["status"]["used"].as_object().context("no sums")?;
        // Every namespace has kube-root-ca.crt.
        let left =
            |(name, used): (&String, &serde_json::Value)| name != "configmaps" && used != "0";
        ensure!(
            !used.iter().any(left) && used["configmaps"] == "1",
            "{used:?}"
        );
        Ok(())
    })
    .await
}

//! What is done to a service behind our back is put right promptly, and said.

use anyhow::ensure;
use serde_json::json;

use crate::world::{Namespace, shared, web};

async fn deployed(scenario: &str) -> anyhow::Result<Namespace<'static>> {
    let ns = shared().await?.namespace(scenario).await?;
    ns.kubectl.apply(&web("web", 2)).await?;
    ns.ready("deployment", "web").await?;
    Ok(ns)
}

#[tokio::test]
async fn replicas() -> anyhow::Result<()> {
    let ns = deployed("drift-scale").await?;
    ns.world.swarm.docker([
        "service",
        "scale",
        "--detach",
        &format!("{}=5", ns.service_name("web")),
    ])?;
    ns.promptly(
        "2 replicas again",
        |spec| spec["Mode"]["Replicated"]["Replicas"] == 2,
        "web",
    )
    .await?;
    ns.event("web", "DriftRepaired", &["replicas", "5", "2"])
        .await
}

#[tokio::test]
async fn image_and_environment() -> anyhow::Result<()> {
    let ns = deployed("drift-update").await?;
    let name = ns.service_name("web");
    ns.world.swarm.docker([
        "service",
        "update",
        "--detach",
        "--quiet",
        "--no-resolve-image",
        "--env-add",
        "SPY=1",
        &name,
    ])?;
    ns.promptly(
        "no foreign variable",
        |spec| spec["TaskTemplate"]["ContainerSpec"]["Env"].is_null(),
        "web",
    )
    .await?;
    ns.event("web", "DriftRepaired", &["SPY"]).await?;
    ns.world.swarm.docker([
        "service",
        "update",
        "--detach",
        "--quiet",
        "--no-resolve-image",
        "--image",
        "busybox:1.37",
        &name,
    ])?;
    let image = |spec: &serde_json::Value| {
        spec["TaskTemplate"]["ContainerSpec"]["Image"]
            .as_str()
            .is_some_and(|image| image.contains("1.36"))
    };
    ns.promptly("the image again", image, "web").await?;
    ns.event(
        "web",
        "DriftRepaired",
        &["image", "busybox:1.37", "busybox:1.36"],
    )
    .await?;
    ns.ready("deployment", "web").await.map(drop)
}

#[tokio::test]
async fn our_labels_are_kept_and_foreign_ones_left_alone() -> anyhow::Result<()> {
    let ns = deployed("drift-labels").await?;
    let before = ns.service("web")?["Spec"]["Labels"].clone();
    ns.world.swarm.docker([
        "service",
        "update",
        "--detach",
        "--quiet",
        "--label-add",
        "somebody.else=1",
        "--label-add",
        "cloud.obiente.deployment-id=stolen",
        "--label-add",
        "traefik.enable=true",
        &ns.service_name("web"),
    ])?;
    let mut wanted = before.clone();
    wanted["somebody.else"] = json!("1");
    ns.promptly(
        "our labels and the foreign one",
        |spec| spec["Labels"] == wanted,
        "web",
    )
    .await?;
    ns.event(
        "web",
        "DriftRepaired",
        &["cloud.obiente.deployment-id", "stolen"],
    )
    .await
}

#[tokio::test]
async fn a_removed_service_comes_back() -> anyhow::Result<()> {
    let ns = deployed("drift-rm").await?;
    let id = ns.service("web")?["ID"].clone();
    ns.world
        .swarm
        .docker(["service", "rm", &ns.service_name("web")])?;
    let service = ns
        .promptly(
            "a service again",
            |spec| spec["Mode"]["Replicated"]["Replicas"] == 2,
            "web",
        )
        .await?;
    ensure!(service["ID"] != id, "the removed service is still there");
    ensure!(
        ns.services()? == [ns.service_name("web")],
        "{:?}",
        ns.services()?
    );
    ns.ready("deployment", "web").await.map(drop)
}

#[tokio::test]
async fn a_suspended_deployment_is_left_alone() -> anyhow::Result<()> {
    let ns = deployed("drift-suspend").await?;
    ns.kubectl
        .run(&[
            "patch",
            "deployment",
            "web",
            "--type=merge",
            "-p",
            r#"{"spec":{"suspend":true}}"#,
        ])
        .await?;
    ns.world.swarm.docker([
        "service",
        "scale",
        "--detach",
        &format!("{}=3", ns.service_name("web")),
    ])?;
    // The controllers have seen it once the status says so; had they repaired it, it would not.
    e2e::eventually("the drift is reported", async || {
        let object = ns.kubectl.get(&["deployment", "web"]).await?;
        ensure!(
            object["status"]["drift"].to_string().contains("replicas"),
            "{}",
            object["status"]
        );
        Ok(())
    })
    .await?;
    ensure!(
        ns.service("web")?["Spec"]["Mode"]["Replicated"]["Replicas"] == 3,
        "it was repaired"
    );
    ns.kubectl
        .run(&[
            "patch",
            "deployment",
            "web",
            "--type=merge",
            "-p",
            r#"{"spec":{"suspend":false}}"#,
        ])
        .await?;
    ns.promptly(
        "2 replicas again",
        |spec| spec["Mode"]["Replicated"]["Replicas"] == 2,
        "web",
    )
    .await
    .map(drop)
}

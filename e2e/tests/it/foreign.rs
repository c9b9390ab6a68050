//! What is not ours on the Swarm is not touched, and said where it is in the way.

use anyhow::ensure;
use e2e::eventually;
use e2e::lab::{KubectlVersion, Operator, OperatorConfig};

use crate::world::{condition_of, shared, web};

#[tokio::test]
async fn a_service_of_somebody_else_keeps_its_name() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("taken").await?;
    let name = ns.service_name("web");
    ns.world.swarm.docker([
        "service",
        "create",
        "--detach",
        "--quiet",
        "--no-resolve-image",
        "--name",
        &name,
        "busybox:1.36",
        "sleep",
        "600",
    ])?;
    let before = ns.service("web")?;
    ns.kubectl.apply(&web("web", 1)).await?;
    ns.condition("deployment", "web", "Ready", "False", Some("NameTaken"))
        .await?;
    ensure!(
        ns.service("web")?["Spec"] == before["Spec"],
        "somebody else's service was changed"
    );
    ns.world.swarm.docker(["service", "rm", &name])?;
    ns.ready("deployment", "web").await.map(drop)
}

#[tokio::test]
async fn two_control_planes_on_one_swarm_do_not_meet() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("planes").await?;
    let world = ns.world;
    ns.kubectl.apply(&web("web", 1)).await?;
    ns.ready("deployment", "web").await?;
    let ours = ns.service("web")?;

    let database = world.postgres.create_database("second")?;
    let mut config = OperatorConfig::new(world.swarm.docker_host(1), Some(database));
    config.flags = vec![
        "--network-prefix=second-".to_owned(),
        "--ingress-network=second-ingress".to_owned(),
    ];
    let second = Operator::start(config).await?;
    let kubectl = second.kubectl(KubectlVersion::V1_32)?;
    kubectl.run(&["create", "namespace", &ns.name]).await?;
    let kubectl = kubectl.in_namespace(&ns.name);
    kubectl
        .apply(&format!("{}---\n{}", web("web", 5), web("other", 1)))
        .await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Ready",
            "deployment/other",
            "--timeout=180s",
        ])
        .await?;
    eventually("the second one says that the name is taken", async || {
        let object = kubectl.get(&["deployment", "web"]).await?;
        let ready = condition_of(&object, "Ready")?;
        ensure!(
            ready["status"] == "False" && ready["reason"] == "NameTaken",
            "{ready}"
        );
        Ok(())
    })
    .await?;
    // Each removes its own, whatever the other has under the same name.
    kubectl
        .run(&["delete", "deployment", "--all", "--timeout=180s"])
        .await?;
    ensure!(
        ns.services()? == [ns.service_name("web")],
        "{:?}",
        ns.services()?
    );
    ensure!(
        ns.service("web")?["Version"] == ours["Version"],
        "the other one's service was written"
    );
    Ok(())
}

//! What the operator stands on goes away and comes back; it says so and catches up by itself.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::KubectlVersion;

use crate::world::{Namespace, World, condition_of, web};

async fn reason(ns: &Namespace<'_>, status: &str, reason: &str) -> anyhow::Result<()> {
    eventually(&format!("Ready={status}, {reason}"), async || {
        let object = ns.kubectl.get(&["deployment", "web"]).await?;
        let ready = condition_of(&object, "Ready")?;
        ensure!(
            ready["status"] == status && (reason.is_empty() || ready["reason"] == reason),
            "{ready}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_engine_restarts() -> anyhow::Result<()> {
    let world = World::new(1).await?;
    let ns = world.namespace("engine").await?;
    ns.kubectl.apply(&web("web", 1)).await?;
    ns.ready("deployment", "web").await?;
    let id = ns.service("web")?["ID"].clone();

    world.swarm.lab(["kill-node", "1"])?;
    reason(&ns, "Unknown", "SwarmUnreachable").await?;
    // Intent is taken all the same, and the process is alive and ready for it.
    ns.kubectl
        .run(&["scale", "deployment", "web", "--replicas=2"])
        .await?;
    ensure!(world.operator.raw("/livez").await? == "ok");

    world.swarm.lab(["start-node", "1"])?;
    let object = ns.ready("deployment", "web").await?;
    ensure!(
        object["status"]["readyReplicas"] == 2,
        "{}",
        object["status"]
    );
    ensure!(
        ns.service("web")?["ID"] == id,
        "the service was created anew"
    );
    ensure!(ns.services()?.len() == 1, "{:?}", ns.services()?);
    Ok(())
}

#[tokio::test]
async fn postgres_restarts() -> anyhow::Result<()> {
    let world = World::new(1).await?;
    let ns = world.namespace("database").await?;
    ns.kubectl.apply(&web("web", 1)).await?;
    ns.ready("deployment", "web").await?;

    world.postgres.crash()?;
    // kubectl tries a 503 again and again by itself: what counts is that it never succeeds.
    let create = ["create", "configmap", "lost", "--from-literal=a=b"];
    let tried = tokio::time::timeout(Duration::from_secs(8), ns.kubectl.try_run(&create, ""));
    if let Ok(output) = tried.await {
        ensure!(
            !output?.success,
            "a write was acknowledged without a database"
        );
    }
    ensure!(
        world.operator.raw("/livez").await? == "ok",
        "trap T32: alive, whatever Postgres does"
    );
    eventually("it says that it is not ready", async || {
        let kubectl = world.operator.kubectl(KubectlVersion::V1_32)?;
        let answer = kubectl.try_run(&["get", "--raw", "/readyz"], "").await?;
        ensure!(!answer.success, "{answer:?}");
        Ok(())
    })
    .await?;

    world.postgres.start_again()?;
    eventually("writes are taken again", async || {
        ns.kubectl
            .run(&[
                "patch",
                "deployment",
                "web",
                "--type=merge",
                "-p",
                r#"{"spec":{"replicas":2}}"#,
            ])
            .await
    })
    .await?;
    let object = ns.ready("deployment", "web").await?;
    ensure!(
        object["status"]["readyReplicas"] == 2,
        "{}",
        object["status"]
    );
    let rows = format!(
        "select 1 from deployment_locations where deployment_id = '{}/web' and status = 'running'",
        ns.name
    );
    eventually("the table has caught up", async || {
        let found = world.sql(&rows).await?.len();
        ensure!(found == 2, "{found} rows");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_watch_goes_on_after_an_orderly_restart() -> anyhow::Result<()> {
    let mut world = World::new(1).await?;
    let ns = world.namespace("restart").await?;
    ns.kubectl.apply(&web("web", 1)).await?;
    let before = ns.ready("deployment", "web").await?;
    let (name, kubectl) = (ns.name.clone(), ns.kubectl.clone());
    let tasks = world.swarm.running_tasks(&format!("{name}_web"))?;

    let status = world.operator.stop().await?;
    ensure!(status.success(), "ended with {status}");
    ensure!(
        world.swarm.running_tasks(&format!("{name}_web"))? == tasks,
        "containers must keep running"
    );
    world.operator.restart().await?;
    let after = kubectl.get(&["deployment", "web"]).await?;
    ensure!(
        after["metadata"]["uid"] == before["metadata"]["uid"],
        "another object came back"
    );
    // Nothing changed while it was away, so nothing is written (trap T22).
    tokio::time::sleep(Duration::from_secs(3)).await;
    let writes = world
        .operator
        .metrics()
        .await?
        .sum("swarm_engine_writes_total", &[]);
    ensure!(
        writes == 0.0,
        "{writes} writes to the Engine after a restart"
    );
    let tasks_after = world.swarm.running_tasks(&format!("{name}_web"))?;
    let ids =
        |tasks: &[e2e::lab::Task]| tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>();
    ensure!(ids(&tasks_after) == ids(&tasks), "tasks were restarted");
    Ok(())
}

#[tokio::test]
async fn a_second_apply_writes_nothing() -> anyhow::Result<()> {
    let world = World::new(1).await?;
    let ns = world.namespace("again").await?;
    let all: String = (0..5)
        .map(|i| format!("{}---\n", web(&format!("web-{i}"), 1)))
        .collect();
    ns.kubectl.apply(&all).await?;
    for i in 0..5 {
        ns.ready("deployment", &format!("web-{i}")).await?;
    }
    ns.all_available().await?;
    let counters = async || -> anyhow::Result<(f64, f64)> {
        let metrics = world.operator.metrics().await?;
        Ok((
            metrics.sum("swarm_engine_writes_total", &[]),
            metrics.sum("store_cache_revision", &[]),
        ))
    };
    let settled = eventually("five seconds without a write", async || {
        let before = counters().await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after = counters().await?;
        ensure!(before == after, "{before:?}, then {after:?}");
        Ok(after)
    })
    .await?;
    ensure!(settled.0 >= 5.0, "the counter does not count: {settled:?}");
    ns.kubectl.apply(&all).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = counters().await?;
    if after != settled {
        let columns = "KIND:.kind,NAME:.metadata.name,REVISION:.metadata.resourceVersion";
        let kinds = "deployments.obiente.cloud,pods,events";
        let columns = format!("-ocustom-columns={columns}");
        let all = ns.kubectl.run(&["get", kinds, &columns]).await?;
        anyhow::bail!(
            "writes to the Engine and the store's revision: {settled:?}, then {after:?}\n{all}"
        );
    }
    world
        .operator
        .raw("/health")
        .await
        .context("/health")
        .map(drop)
}

#[tokio::test]
async fn a_delete_waits_for_the_swarm_or_is_told_not_to() -> anyhow::Result<()> {
    let world = World::new(1).await?;
    let ns = world.namespace("abandon").await?;
    ns.kubectl
        .apply(&format!("{}---\n{}", web("web", 1), web("other", 1)))
        .await?;
    ns.ready("deployment", "web").await?;
    ns.ready("deployment", "other").await?;
    world.swarm.lab(["kill-node", "1"])?;
    for name in ["web", "other"] {
        let delete = ["delete", "deployment", name, "--wait=false"];
        ns.kubectl.run(&delete).await?;
    }
    eventually("it says what it waits for", async || {
        let object = ns.kubectl.get(&["deployment", "web"]).await?;
        let terminating = condition_of(&object, "Terminating")?;
        let waits = terminating["status"] == "True" && terminating["reason"] == "SwarmUnreachable";
        ensure!(waits, "{terminating}");
        Ok(())
    })
    .await?;
    // The documented way out, where the Swarm will never come back.
    let abandon = [
        "annotate",
        "deployment",
        "other",
        "obiente.cloud/abandon=true",
    ];
    ns.kubectl.run(&abandon).await?;
    let gone = async |name: &str| {
        eventually(&format!("{name} is gone"), async || {
            let found = ns.kubectl.try_run(&["get", "deployment", name], "").await?;
            ensure!(!found.success, "{}", found.stdout);
            Ok(())
        })
        .await
    };
    gone("other").await?;
    world.swarm.lab(["start-node", "1"])?;
    gone("web").await?;
    let left = ns.services()?;
    ensure!(left == [ns.service_name("other")], "{left:?}");
    Ok(())
}

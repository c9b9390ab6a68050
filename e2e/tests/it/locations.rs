//! `deployment_locations` holds one row per task, promptly, and the queries answer as promised.

use std::time::Duration;

use anyhow::ensure;
use e2e::eventually_within;
use serde_json::Value;

use crate::world::{Namespace, PROMPTLY, shared, web};

async fn rows(ns: &Namespace<'_>) -> anyhow::Result<Vec<Value>> {
    ns.world
        .sql(&format!(
            "select * from deployment_locations where deployment_id = '{}/web' order by task_id",
            ns.name
        ))
        .await
}

/// Task ids that run according to the table, and according to the Swarm.
async fn agree(ns: &Namespace<'_>, count: usize) -> anyhow::Result<()> {
    let running = |row: &&Value| row["status"] == "running" && row["desired_state"] == "running";
    let table = rows(ns).await?;
    let mut ids: Vec<&str> = table
        .iter()
        .filter(running)
        .filter_map(|row| row["task_id"].as_str())
        .collect();
    ids.sort_unstable();
    let mut swarm: Vec<String> = ns
        .world
        .swarm
        .running_tasks(&ns.service_name("web"))?
        .into_iter()
        .filter(|task| task.state.starts_with("running"))
        .map(|task| task.id)
        .collect();
    swarm.sort();
    ensure!(
        ids == swarm && ids.len() == count,
        "table {ids:?}, Swarm {swarm:?}"
    );
    Ok(())
}

#[tokio::test]
async fn rows_follow_the_swarm() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("locations").await?;
    ns.kubectl.apply(&web("web", 3)).await?;
    ns.ready("deployment", "web").await?;
    eventually_within(PROMPTLY, "a row for every task", async || {
        agree(&ns, 3).await
    })
    .await?;
    for row in rows(&ns).await? {
        let task = row["task_id"].as_str().unwrap_or_default();
        let node = ns.world.swarm.docker([
            "inspect",
            "--type",
            "task",
            "--format",
            "{{.NodeID}}",
            task,
        ])?;
        ensure!(row["node_id"] == node.trim(), "case F39: {row}, not {node}");
        for column in [
            "node_hostname",
            "container_id",
            "service_id",
            "deployment_uid",
            "image",
            "updated_at",
        ] {
            ensure!(
                row[column].as_str().is_some_and(|value| !value.is_empty()),
                "{column} in {row}"
            );
        }
    }
    ns.kubectl
        .run(&["scale", "deployment", "web", "--replicas=1"])
        .await?;
    eventually_within(PROMPTLY, "one row runs", async || agree(&ns, 1).await).await?;

    // A task that the Swarm replaces by itself: no object changed.
    let task = ns
        .world
        .swarm
        .running_tasks(&ns.service_name("web"))?
        .remove(0);
    let node = task.node.trim_start_matches('n').to_owned();
    let container = ns.world.swarm.docker([
        "inspect",
        "--type",
        "task",
        "--format",
        "{{.Status.ContainerStatus.ContainerID}}",
        &task.id,
    ])?;
    ns.world
        .swarm
        .lab(["docker", &node, "kill", container.trim()])?;
    eventually_within(PROMPTLY, "the killed task's row says so", async || {
        let table = rows(&ns).await?;
        let row = table.iter().find(|row| row["task_id"] == task.id);
        ensure!(row.is_none_or(|row| row["status"] == "failed"), "{row:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn rows_that_did_not_change_are_not_written() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("rows").await?;
    ns.kubectl.apply(&web("web", 2)).await?;
    ns.ready("deployment", "web").await?;
    eventually_within(PROMPTLY, "a row for every task", async || {
        agree(&ns, 2).await
    })
    .await?;
    let before = rows(&ns).await?;
    // Several polls later (case F78).
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = rows(&ns).await?;
    ensure!(before == after, "{before:?}\n{after:?}");
    Ok(())
}

//! Nodes: an object for every machine, whose spec is kept on the Swarm node.

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::{Kubectl, KubectlVersion, Swarm};
use serde_json::Value;

use crate::world::{PROMPTLY, World, condition_of, web};

fn inspect(swarm: &Swarm, node: &str) -> anyhow::Result<Value> {
    let found: Vec<Value> = serde_json::from_str(&swarm.docker(["node", "inspect", node])?)?;
    found.into_iter().next().context("no such node")
}

async fn patch(kubectl: &Kubectl, node: &str, patch: &str) -> anyhow::Result<()> {
    kubectl
        .run(&["patch", "node", node, "--type=merge", "-p", patch])
        .await
        .map(drop)
}

/// One scenario in order, because all of it is about the same few machines.
#[tokio::test]
async fn machines_of_the_swarm() -> anyhow::Result<()> {
    let world = World::new(3).await?;
    let kubectl = world.operator.kubectl(KubectlVersion::V1_32)?;
    appear_by_themselves(&kubectl).await?;
    keep_their_labels(&world, &kubectl).await?;
    are_declared_before_they_join(&kubectl).await?;
    drain(&world, &kubectl).await?;
    go_down_and_come_back(&world, &kubectl).await
}

async fn appear_by_themselves(kubectl: &Kubectl) -> anyhow::Result<()> {
    let wait = [
        "wait",
        "--for=condition=Ready",
        "node/n1",
        "node/n2",
        "node/n3",
        "--timeout=180s",
    ];
    // kubectl does not wait for what is not there yet.
    e2e::eventually("three Nodes", async || kubectl.run(&wait).await).await?;
    let table = kubectl.run(&["get", "nodes"]).await?;
    ensure!(
        table.lines().count() == 4 && table.contains("Manager") && table.contains("Active"),
        "{table}"
    );
    let node = kubectl.get(&["node", "n1"]).await?;
    let status = &node["status"];
    ensure!(
        status["role"] == "Manager"
            && status["engineVersion"]
                .as_str()
                .is_some_and(|v| v.starts_with("20.10"))
    );
    ensure!(
        !status["capacity"]["cpu"].is_null() && !status["capacity"]["memory"].is_null(),
        "{status}"
    );
    Ok(())
}

async fn keep_their_labels(world: &World, kubectl: &Kubectl) -> anyhow::Result<()> {
    world
        .swarm
        .docker(["node", "update", "--label-add", "foreign=1", "n2"])?;
    patch(
        kubectl,
        "n2",
        r#"{"spec":{"labels":{"disk":"ssd"},"zone":"a"}}"#,
    )
    .await?;
    let labelled = async |deadline, what: &str| {
        e2e::eventually_within(deadline, what, async || {
            let labels = inspect(&world.swarm, "n2")?["Spec"]["Labels"].clone();
            let ours = labels["disk"] == "ssd" && labels["cloud.obiente.zone"] == "a";
            ensure!(ours && labels["foreign"] == "1", "{labels}");
            Ok(())
        })
        .await
    };
    labelled(PROMPTLY, "the labels are on the Swarm node").await?;
    world
        .swarm
        .docker(["node", "update", "--label-add", "disk=tape", "n2"])?;
    labelled(PROMPTLY, "the label is put right").await?;
    patch(kubectl, "n2", r#"{"spec":{"labels":null}}"#).await?;
    eventually("the label is gone", async || {
        let labels = inspect(&world.swarm, "n2")?["Spec"]["Labels"].clone();
        ensure!(
            labels.get("disk").is_none() && labels["foreign"] == "1",
            "{labels}"
        );
        Ok(())
    })
    .await
}

async fn are_declared_before_they_join(kubectl: &Kubectl) -> anyhow::Result<()> {
    kubectl.apply("{apiVersion: obiente.cloud/v1alpha1, kind: Node, metadata: {name: n9}, spec: {labels: {a: b}}}").await?;
    eventually("n9 waits to join", async || {
        let node = kubectl.get(&["node", "n9"]).await?;
        let ready = condition_of(&node, "Ready")?;
        ensure!(
            ready["status"] == "False" && ready["reason"] == "NotJoined",
            "{ready}"
        );
        Ok(())
    })
    .await?;
    kubectl.run(&["delete", "node", "n9"]).await.map(drop)
}

async fn drain(world: &World, kubectl: &Kubectl) -> anyhow::Result<()> {
    let ns = world.namespace("drain").await?;
    ns.kubectl.apply(&web("web", 6)).await?;
    ns.ready("deployment", "web").await?;
    let on_n3 = |world: &World| -> anyhow::Result<usize> {
        let tasks = world.swarm.running_tasks(&ns.service_name("web"))?;
        Ok(tasks.iter().filter(|task| task.node == "n3").count())
    };
    ensure!(on_n3(world)? == 2, "Swarm did not spread the tasks");
    patch(kubectl, "n3", r#"{"spec":{"availability":"Drain"}}"#).await?;
    eventually("the tasks have moved", async || {
        ensure!(on_n3(world)? == 0, "{} tasks on n3", on_n3(world)?);
        let node = kubectl.get(&["node", "n3"]).await?;
        let drained = condition_of(&node, "Drained")?;
        ensure!(drained["status"] == "True", "{drained}");
        Ok(())
    })
    .await?;
    ns.ready("deployment", "web").await?;
    // Kept: somebody else's change is put right.
    world
        .swarm
        .docker(["node", "update", "--availability", "active", "n3"])?;
    e2e::eventually_within(PROMPTLY, "n3 drains again", async || {
        let availability = inspect(&world.swarm, "n3")?["Spec"]["Availability"].clone();
        ensure!(availability == "drain", "{availability}");
        Ok(())
    })
    .await?;
    let by_load =
        "SELECT * FROM node_metadata WHERE availability='active' ORDER BY deployment_count ASC";
    e2e::eventually_within(
        PROMPTLY,
        "the query names the nodes that take tasks",
        async || {
            let rows = world.sql(by_load).await?;
            let nodes: Vec<(&Value, &Value)> = rows
                .iter()
                .map(|row| (&row["hostname"], &row["deployment_count"]))
                .collect();
            // One Deployment, with tasks on both.
            let right = nodes.len() == 2
                && nodes
                    .iter()
                    .all(|(name, count)| **name != "n3" && **count == 1);
            ensure!(right, "{nodes:?}");
            Ok(())
        },
    )
    .await?;
    patch(kubectl, "n3", r#"{"spec":{"availability":"Active"}}"#).await?;
    eventually("n3 takes tasks again", async || {
        ensure!(inspect(&world.swarm, "n3")?["Spec"]["Availability"] == "active");
        Ok(())
    })
    .await
}

async fn go_down_and_come_back(world: &World, kubectl: &Kubectl) -> anyhow::Result<()> {
    world.swarm.lab(["kill-node", "2"])?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Ready=False",
            "node/n2",
            "--timeout=180s",
        ])
        .await?;
    world.swarm.lab(["start-node", "2"])?;
    kubectl
        .run(&["wait", "--for=condition=Ready", "node/n2", "--timeout=180s"])
        .await
        .map(drop)
}

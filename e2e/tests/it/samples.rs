//! Every sample applies as it is and becomes ready.

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::{KubectlVersion, repository};

use crate::world::{World, condition_of};

#[tokio::test]
async fn every_sample_becomes_ready() -> anyhow::Result<()> {
    let world = World::new(1).await?;
    let samples = repository().join("crds/samples");
    for version in KubectlVersion::ALL {
        let kubectl = world.operator.kubectl(version)?;
        let directory = samples.to_str().context("path")?;
        let said = kubectl.run(&["apply", "-f", directory]).await?;
        ensure!(said.lines().count() >= 3, "{said}");
        eventually("all of them are ready", async || {
            let text = kubectl.run(&["get", "-f", directory, "-o", "json"]).await?;
            let list: serde_json::Value = serde_json::from_str(&text)?;
            for object in list["items"].as_array().context("no list")? {
                if object["apiVersion"] == "obiente.cloud/v1alpha1" {
                    let ready = condition_of(object, "Ready")?;
                    // A sample may declare a machine that this Swarm does not have.
                    let waits = object["kind"] == "Node" && ready["reason"] == "NotJoined";
                    ensure!(
                        ready["status"] == "True" || waits,
                        "{} {}: {ready}",
                        object["kind"],
                        object["metadata"]["name"]
                    );
                }
            }
            Ok(())
        })
        .await
        .with_context(|| format!("{version:?}"))?;
        let said = kubectl.run(&["apply", "-f", directory]).await?;
        // kubectl always sends a Secret's stringData again, to any server.
        let changed = |line: &&str| !line.ends_with("unchanged") && !line.starts_with("secret/");
        let changed: Vec<&str> = said.lines().filter(changed).collect();
        ensure!(
            changed.is_empty(),
            "a second apply changed something: {changed:?}"
        );
        kubectl
            .run(&[
                "delete",
                "-f",
                directory,
                "--ignore-not-found",
                "--timeout=180s",
            ])
            .await?;
    }
    ensure!(
        world.swarm.services("")?.is_empty(),
        "{:?}",
        world.swarm.services("")?
    );
    Ok(())
}

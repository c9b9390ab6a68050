//! SIGKILL at any moment: no acknowledged write is lost, nothing is there twice, nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::{Kubectl, KubectlVersion};
use rand::{Rng as _, SeedableRng as _};

use crate::world::{World, web};

/// Kills in one run.
const KILLS: usize = 5;
/// Names that applies, changes and deletes choose from, so that they meet.
const NAMES: usize = 12;

/// What kubectl was told, by name: the replicas that were acknowledged (`None`: deleted), and what
/// was sent but not acknowledged since (either may be true).
#[derive(Clone, Debug, Default)]
struct Known {
    acknowledged: Option<u32>,
    unsure: Vec<Option<u32>>,
}

impl Known {
    fn allows(&self, found: Option<u32>) -> bool {
        self.acknowledged == found || self.unsure.contains(&found)
    }
}

#[tokio::test]
async fn killed_at_random_points() -> anyhow::Result<()> {
    let seed: u64 = std::env::var("E2E_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    let mut world = World::new(1).await?;
    survive(&mut world, seed)
        .await
        .with_context(|| format!("E2E_SEED={seed}"))
}

async fn survive(world: &mut World, seed: u64) -> anyhow::Result<()> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let kubectl = world.operator.kubectl(KubectlVersion::V1_32)?;
    kubectl.run(&["create", "namespace", "crash"]).await?;
    let kubectl = kubectl.in_namespace("crash");

    let done = AtomicBool::new(false);
    let writer_seed = random.random();
    let killer = async {
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(random.random_range(300..2500))).await;
            world.operator.kill()?;
            world.operator.restart().await?;
        }
        done.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let (killed, known) = tokio::join!(killer, write(&kubectl, writer_seed, &done));
    killed?;
    let known = known?;
    ensure!(
        known.values().any(|k| k.acknowledged.is_some()),
        "nothing was written: {known:?}"
    );
    let stored = stored(&kubectl).await?;
    for (name, known) in &known {
        let found = stored.get(name).copied();
        ensure!(known.allows(found), "{name} is {found:?}, but {known:?}");
    }
    converge(world, &stored).await
}

/// Applies, changes and deletes at random until told to stop; remembers what was acknowledged.
async fn write(
    kubectl: &Kubectl,
    seed: u64,
    done: &AtomicBool,
) -> anyhow::Result<BTreeMap<String, Known>> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        let name = format!("web-{}", random.random_range(0..NAMES));
        let replicas = (!random.random_ratio(1, 4)).then(|| random.random_range(0..3));
        let output = match replicas {
            Some(replicas) => {
                kubectl
                    .try_run(&["apply", "-f", "-"], &web(&name, replicas))
                    .await?
            }
            None => {
                kubectl
                    .try_run(
                        &[
                            "delete",
                            "deployment",
                            &name,
                            "--ignore-not-found",
                            "--timeout=20s",
                        ],
                        "",
                    )
                    .await?
            }
        };
        let entry = known.entry(name).or_default();
        if output.success {
            *entry = Known {
                acknowledged: replicas,
                unsure: Vec::new(),
            };
        } else {
            entry.unsure.push(replicas);
        }
    }
    Ok(known)
}

/// Replicas by name of all that exist and are not on their way out.
async fn stored(kubectl: &Kubectl) -> anyhow::Result<BTreeMap<String, u32>> {
    let listed = kubectl.get(&["deployments"]).await?;
    let items = listed["items"].as_array().context("no items")?;
    let living = items
        .iter()
        .filter(|item| item["metadata"]["deletionTimestamp"].is_null());
    let pair = |item: &serde_json::Value| {
        let name = item["metadata"]["name"].as_str()?.to_owned();
        Some((
            name,
            u32::try_from(item["spec"]["replicas"].as_u64()?).ok()?,
        ))
    };
    Ok(living.filter_map(pair).collect())
}

/// Waits until the Swarm, and the table, are exactly what is stored.
async fn converge(world: &World, stored: &BTreeMap<String, u32>) -> anyhow::Result<()> {
    eventually("the Swarm is what is stored", async || {
        let services = world.swarm.services("crash_")?;
        let unique: BTreeSet<&String> = services.iter().collect();
        ensure!(unique.len() == services.len(), "doubles: {services:?}");
        let mut found = BTreeMap::new();
        for name in &services {
            let service = world.swarm.service(name)?.context("gone meanwhile")?;
            let replicas = service["Spec"]["Mode"]["Replicated"]["Replicas"]
                .as_u64()
                .unwrap_or_default();
            found.insert(
                name.trim_start_matches("crash_").to_owned(),
                u32::try_from(replicas)?,
            );
        }
        ensure!(found == *stored, "Swarm {found:?}, stored {stored:?}");
        Ok(())
    })
    .await?;
    eventually("the table is what is stored", async || {
        let rows = world
            .sql("select deployment_id, count(*) from deployment_locations where status = 'running' and desired_state = 'running' group by 1")
            .await?;
        let found: BTreeMap<String, u64> = rows
            .iter()
            .filter_map(|row| Some((row["deployment_id"].as_str()?.strip_prefix("crash/")?.to_owned(), row["count"].as_u64()?)))
            .collect();
        let wanted: BTreeMap<String, u64> =
            stored.iter().filter(|(_, count)| **count > 0).map(|(name, count)| (name.clone(), u64::from(*count))).collect();
        ensure!(found == wanted, "table {found:?}, stored {wanted:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn killed_in_the_middle_of_a_delete() -> anyhow::Result<()> {
    let mut world = World::new(1).await?;
    let kubectl = world
        .operator
        .kubectl(KubectlVersion::V1_32)?
        .in_namespace("default");
    // Ten seconds to stop: the delete is in the middle for that long.
    let stubborn = web("web", 2)
        .replace("GracePeriodSeconds: 0", "GracePeriodSeconds: 10")
        .replace(
            r#"[httpd, -f, -p, "8080", -h, /www]"#,
            r#"[sh, -c, "trap '' TERM; while true; do sleep 1; done"]"#,
        );
    kubectl.apply(&stubborn).await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Ready",
            "deployment/web",
            "--timeout=180s",
        ])
        .await?;
    kubectl
        .run(&["delete", "deployment", "web", "--wait=false"])
        .await?;
    world.operator.kill()?;
    world.operator.restart().await?;
    eventually("object, service and rows are gone", async || {
        let gone = kubectl.try_run(&["get", "deployment", "web"], "").await?;
        ensure!(!gone.success, "{}", gone.stdout);
        ensure!(
            world.swarm.services("default_")?.is_empty(),
            "the service is left"
        );
        let rows = world
            .sql("select 1 from deployment_locations where deployment_id = 'default/web'")
            .await?;
        ensure!(rows.is_empty(), "{} rows are left", rows.len());
        Ok(())
    })
    .await
}

//! The lab itself: what the scenarios rely on.

use anyhow::{Context as _, ensure};
use e2e::lab::{Durability, Postgres, Swarm};
use e2e::{cleanup, eventually};

#[tokio::test]
async fn a_node_that_lost_power_is_down_and_comes_back_as_itself() -> anyhow::Result<()> {
    let swarm = Swarm::up(2)?;
    let nodes = || {
        swarm.docker([
            "node",
            "ls",
            "--format",
            "{{.ID}} {{.Hostname}} {{.Status}}",
        ])
    };
    let before = nodes()?;
    ensure!(before.contains("n2 Ready"), "{before}");
    swarm.lab(["kill-node", "2"])?;
    eventually("n2 is down", async || {
        let seen = nodes()?;
        ensure!(seen.contains("n2 Down"), "{seen}");
        Ok(())
    })
    .await?;
    swarm.lab(["start-node", "2"])?;
    eventually("the same two nodes are ready", async || {
        let seen = nodes()?;
        ensure!(seen == before, "{seen}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_labs_stand_side_by_side() -> anyhow::Result<()> {
    let (one, two) = (Swarm::up(1)?, Swarm::up(1)?);
    ensure!(
        one.address(1) != two.address(1),
        "both are {}",
        one.address(1)
    );
    let service = [
        "service",
        "create",
        "--detach",
        "--no-resolve-image",
        "--name",
        "web",
        "busybox:1.36",
        "sleep",
        "600",
    ];
    one.docker(service)?;
    ensure!(one.services("")? == ["web"] && two.services("")?.is_empty());
    let task = eventually("the task runs", async || {
        let task = one.running_tasks("web")?.pop().context("no task")?;
        ensure!(task.state.starts_with("running"), "{task:?}");
        Ok(task)
    });
    ensure!(task.await?.node == "n1");
    Ok(())
}

#[test]
fn postgres_keeps_its_data_over_a_crash() -> anyhow::Result<()> {
    let postgres = Postgres::start(Durability::Memory)?;
    postgres.create_database("kept")?;
    postgres.crash()?;
    ensure!(
        postgres.create_database("refused").is_err(),
        "a stopped server answered"
    );
    postgres.start_again()?;
    let twice = postgres
        .create_database("kept")
        .err()
        .context("the database was lost")?;
    ensure!(twice.to_string().contains("already exists"), "{twice}");
    Ok(())
}

#[test]
fn what_was_registered_runs_once_it_is_dropped() -> anyhow::Result<()> {
    let left = tempfile_name();
    let guard = cleanup::Cleanup::register(&format!("touch {left}"))?;
    ensure!(!std::path::Path::new(&left).exists(), "it ran too early");
    drop(guard);
    ensure!(std::path::Path::new(&left).exists(), "it did not run");
    std::fs::remove_file(left)?;
    Ok(())
}

fn tempfile_name() -> String {
    format!("/tmp/e2e-left-{}-{}", std::process::id(), cleanup::unique())
}

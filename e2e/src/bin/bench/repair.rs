//! How soon what happens in the Swarm behind our back is put right, and told in the tables.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::Swarm;
use sqlx::PgPool;

use crate::report::{Report, Target, quantile};

/// Times that each is measured.
const TRIES: usize = 10;
/// Of `bench::apply`'s manifest.
const SERVICE: &str = "bench_web-000";

/// With 100 Deployments of one replica standing.
pub async fn measure(swarm: &Swarm, database: &str, report: &mut Report) -> anyhow::Result<()> {
    let pool = PgPool::connect(database).await?;
    let (mut repaired, mut told) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        repaired.push(scale_behind_our_back(swarm).await?);
        told.push(kill_a_task(swarm, &pool).await?);
    }
    for (what, mut times) in [
        ("drift until repaired, s", repaired),
        ("a killed task until its row says so, s", told),
    ] {
        times.sort();
        let slowest = times.last().map_or(f64::NAN, Duration::as_secs_f64);
        let detail = format!(
            "p50 {:.0} ms, the slowest of {TRIES} counts",
            quantile(&times, 0.5)
        );
        report.row(what, &detail, slowest, Target::AtMost(2.0));
    }
    Ok(())
}

async fn scale_behind_our_back(swarm: &Swarm) -> anyhow::Result<Duration> {
    swarm.docker(["service", "scale", "--detach", &format!("{SERVICE}=2")])?;
    let begun = Instant::now();
    eventually("one replica again", async || {
        let replicas = "{{.Spec.Mode.Replicated.Replicas}}";
        let replicas = swarm.docker(["service", "inspect", "--format", replicas, SERVICE])?;
        ensure!(replicas.trim() == "1", "{replicas}");
        Ok(())
    })
    .await?;
    Ok(begun.elapsed())
}

async fn kill_a_task(swarm: &Swarm, pool: &PgPool) -> anyhow::Result<Duration> {
    let (task, container) = eventually("a task that runs", async || {
        let running = "SELECT task_id, container_id FROM deployment_locations \
                       WHERE deployment_id = 'bench/web-000' AND status = 'running' AND desired_state = 'running'";
        let rows: Vec<(String, String)> = sqlx::query_as(running).fetch_all(pool).await?;
        ensure!(rows.len() == 1, "{rows:?}");
        rows.into_iter().next().context("no row")
    })
    .await?;
    swarm.docker(["kill", &container])?;
    let begun = Instant::now();
    eventually("the row of the killed task", async || {
        let status = "SELECT status FROM deployment_locations WHERE task_id = $1";
        let status: Option<String> = sqlx::query_scalar(status)
            .bind(&task)
            .fetch_optional(pool)
            .await?;
        ensure!(status.as_deref() != Some("running"), "{status:?}");
        Ok(())
    })
    .await?;
    Ok(begun.elapsed())
}

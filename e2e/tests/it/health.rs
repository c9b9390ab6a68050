//! What monitoring asks, and what a person reads.

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::{Operator, OperatorConfig};
use serde_json::Value;

use crate::world::{shared, web};

#[tokio::test]
async fn probes_and_metrics() -> anyhow::Result<()> {
    let world = shared().await?;
    let ns = world.namespace("health").await?;
    ns.kubectl.apply(&web("web", 0)).await?;
    ns.ready("deployment", "web").await?;
    ensure!(world.operator.raw("/livez").await? == "ok");
    ensure!(world.operator.raw("/readyz?verbose").await?.contains("[+]"));
    let health: Value = serde_json::from_str(&world.operator.raw("/health").await?)
        .context("/health is not JSON")?;
    let text = health.to_string().to_lowercase();
    for part in ["store", "swarm", "leader"] {
        ensure!(text.contains(part), "nothing about {part} in {health}");
    }
    let metrics = world.operator.metrics().await?;
    for name in [
        "swarm_engine_writes_total",
        "store_cache_revision",
        "apiserver_requests_total",
        "store_commits_total",
    ] {
        ensure!(metrics.sum(name, &[]) > 0.0, "{name} counts nothing");
    }
    // They are for those who may read them; everything here asks as the administrator.
    let kubectl = ns.kubectl;
    let stranger = ["get", "--raw", "/metrics", "--as", "stranger"];
    let refused = kubectl.try_run(&stranger, "").await?.stderr;
    let says = "User \"stranger\" cannot get path \"/metrics\"";
    ensure!(refused.contains(says), "{refused}");
    Ok(())
}

#[tokio::test]
async fn logs_are_lines_or_json() -> anyhow::Result<()> {
    let world = shared().await?;
    let database = world.postgres.create_database("logs")?;
    let mut config = OperatorConfig::new(world.swarm.docker_host(1), Some(database));
    config.flags = ["--log-format", "json", "-v"].map(str::to_owned).to_vec();
    // This second control plane owns nothing on the Swarm (D2), so it disturbs nobody.
    let mut operator = Operator::start(config).await?;
    let json_lines = || -> anyhow::Result<Vec<Value>> {
        let log = operator.log()?;
        let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
        lines
            .into_iter()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
            .collect()
    };
    eventually("structured lines with a level", async || {
        let lines = json_lines()?;
        ensure!(lines.len() >= 3, "{lines:?}");
        ensure!(
            lines.iter().all(|line| line["level"].is_string()),
            "{lines:?}"
        );
        Ok(())
    })
    .await?;
    ensure!(operator.stop().await?.success());
    ensure!(!world.operator.log()?.contains("panicked"));
    Ok(())
}

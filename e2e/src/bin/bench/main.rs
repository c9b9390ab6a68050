//! The published numbers, as ratios of one run on one machine: `make bench`.
//!
//! Every number stands beside what the same machine does without us in the same minute, because
//! absolute times say more about the machine. Needs a release build.

mod apply;
mod idle;
mod report;
mod writes;

use anyhow::Context as _;
use e2e::lab::{Durability, Operator, OperatorConfig, Postgres, Swarm};

use report::Report;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("This is not a release build: the numbers say nothing about the product.");
    }
    let mut report = Report::start()?;
    let postgres = Postgres::start(Durability::Disk)?;
    writes::measure(&postgres, &mut report)
        .await
        .context("store writes")?;

    let swarm = Swarm::up(1)?;
    let database = postgres.create_database("operator")?;
    let mut operator =
        Operator::start(OperatorConfig::new(swarm.docker_host(1), Some(database))).await?;
    let bench = apply::Bench::new(&swarm, &operator).await?;
    bench
        .against_bare_creates(0, &mut report)
        .await
        .context("apply with 0 replicas")?;
    bench
        .against_bare_creates(1, &mut report)
        .await
        .context("apply with 1 replica")?;
    bench.again(&mut report).await.context("re-apply")?;
    idle::after_work(&operator, &mut report)?;
    // Memory after work is what the allocator and the watch history still hold of it; what a
    // process takes that only keeps what is there shows after a start.
    operator.stop().await?;
    operator.restart().await?;
    idle::measure(&operator, &mut report)
        .await
        .context("idle")?;
    report.print();
    Ok(())
}

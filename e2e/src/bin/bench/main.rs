//! The published numbers, as ratios of one run on one machine: `make bench`.
//!
//! Every number stands beside what the same machine does without us in the same minute, because
//! absolute times say more about the machine. Needs a release build. The API is measured beside an
//! etcd; single objects with `--beside KUBECONFIG` beside any Kubernetes API server.

mod api;
mod apply;
mod cpu;
mod idle;
mod list;
mod load;
mod repair;
mod report;
mod watch;
mod writes;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser as _;
use e2e::lab::{Durability, Operator, OperatorConfig, Postgres, Swarm};

use load::Peer;
use report::Report;

/// What can be measured alone, for example with `make bench ARGS="store api/get"`; `api` is all of its parts.
const SECTIONS: [&str; 9] = [
    "store",
    "api/create",
    "api/get",
    "api/update",
    "api/list",
    "api/watch",
    "apply",
    "repair",
    "idle",
];

/// The published numbers, as ratios of one run on one machine.
#[derive(clap::Parser)]
struct Args {
    /// Sections to measure; all where none is named.
    #[arg(value_name = "SECTION")]
    wanted: Vec<String>,
    /// A Kubernetes API server to measure creates, gets and updates beside, instead of an etcd. It
    /// keeps what it is sent: give it a new one.
    #[arg(long, value_name = "KUBECONFIG")]
    beside: Option<PathBuf>,
}

/// Whether a name on the command line means a section.
fn means(name: &str, section: &str) -> bool {
    let rest = section.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("This is not a release build: the numbers say nothing about the product.");
    }
    let Args { wanted, beside } = Args::parse();
    let known = |name: &&String| SECTIONS.iter().any(|section| means(name, section));
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        anyhow::bail!("there is no section {unknown:?}: choose of {SECTIONS:?}, or none for all");
    }
    let wants = |section: &str| wanted.is_empty() || wanted.iter().any(|name| means(name, section));
    let mut report = Report::start()?;
    let postgres = Postgres::start(Durability::Disk)?;
    if wants("store") {
        writes::measure(&postgres, &mut report)
            .await
            .context("store writes")?;
    }
    if SECTIONS
        .iter()
        .any(|section| means("api", section) && wants(section))
    {
        api(&postgres, beside.as_deref(), wants, &mut report)
            .await
            .context("API")?;
    }
    if ["apply", "repair", "idle"].into_iter().any(wants) {
        deployments(&postgres, wants, &mut report).await?;
    }
    report.print();
    Ok(())
}

async fn api(
    postgres: &Postgres,
    beside: Option<&Path>,
    wants: impl Fn(&str) -> bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let swarm = Swarm::up(1)?;
    // Each with a database of its own, so that one's objects are not the other's memory.
    let start = async |database: &str| {
        let database = postgres.create_database(database)?;
        Operator::start(OperatorConfig::new(swarm.docker_host(1), Some(database))).await
    };
    if api::Verb::ALL.iter().any(|(section, _)| wants(section)) {
        let operator = start("api").await?;
        let peer = Peer::start(beside)?;
        api::measure(&operator, postgres.pid()?, &peer, &wants, report).await?;
    }
    if wants("api/list") {
        list::measure(&mut start("list").await?, report)
            .await
            .context("list")?;
    }
    if wants("api/watch") {
        let operator = start("watch").await?;
        watch::measure(&operator, postgres.pid()?, report)
            .await
            .context("watch")?;
    }
    Ok(())
}

async fn deployments(
    postgres: &Postgres,
    wants: impl Fn(&str) -> bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let swarm = Swarm::up(1)?;
    let database = postgres.create_database("operator")?;
    let mut operator = Operator::start(OperatorConfig::new(
        swarm.docker_host(1),
        Some(database.clone()),
    ))
    .await?;
    let bench = apply::Bench::new(&swarm, &operator, postgres.pid()?).await?;
    if wants("apply") {
        for (replicas, clients) in [(0, 1), (0, 8), (1, 1), (1, 8)] {
            let measured = bench.against_bare_creates(replicas, clients, report).await;
            measured
                .with_context(|| format!("apply with {replicas} replicas by {clients} clients"))?;
        }
        bench.again(report).await.context("re-apply")?;
        idle::after_work(&operator, report)?;
    } else {
        bench.fill().await?;
    }
    if wants("repair") {
        repair::measure(&swarm, &database, report)
            .await
            .context("repair")?;
    }
    if !wants("idle") {
        return Ok(());
    }
    // Memory after work is what the allocator and the watch history still hold of it; what a
    // process takes that only keeps what is there shows after a start.
    operator.stop().await?;
    operator.restart().await?;
    idle::measure(&operator, report).await.context("idle")
}

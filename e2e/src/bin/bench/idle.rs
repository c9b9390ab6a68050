//! What the operator takes while nothing happens.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::lab::Operator;

use crate::cpu;
use crate::report::{Report, Target};

/// Long enough to hold several polls, resyncs and lease renewals.
const WATCHED: Duration = Duration::from_secs(60);

pub async fn measure(operator: &Operator, report: &mut Report) -> anyhow::Result<()> {
    let pid = operator.pid()?;
    let (before, start) = (cpu::seconds(pid)?, Instant::now());
    tokio::time::sleep(WATCHED).await;
    let share = (cpu::seconds(pid)? - before) / start.elapsed().as_secs_f64();
    let memory = resident_megabytes(pid)?;
    report.row(
        "idle: memory, MB resident",
        "with 100 Deployments of 1 replica",
        memory,
        Target::Below(60.0),
    );
    report.row(
        "idle: % of a core",
        &format!("over {} s", WATCHED.as_secs()),
        share * 100.0,
        Target::Below(1.0),
    );
    Ok(())
}

/// Memory right after the other measurements: for comparison.
pub fn after_work(operator: &Operator, report: &mut Report) -> anyhow::Result<()> {
    let memory = resident_megabytes(operator.pid()?)?;
    let detail = "after 1,200 Deployments came and went";
    report.row(
        "memory after work, MB resident",
        detail,
        memory,
        Target::None,
    );
    Ok(())
}

/// What the process has in memory now.
pub fn resident_megabytes(pid: u32) -> anyhow::Result<f64> {
    megabytes(pid, "VmRSS:")
}

/// The most it had since [`forget_peak`].
pub fn peak_megabytes(pid: u32) -> anyhow::Result<f64> {
    megabytes(pid, "VmHWM:")
}

/// Starts to look for the peak anew.
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn megabytes(pid: u32, what: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(what))
        .context("no such memory")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

//! Processor time: what a measured time is spent on.

use std::collections::BTreeMap;

use anyhow::Context as _;

/// Clock ticks per second in `/proc/*/stat`: a constant of the kernel's interface.
const TICKS: f64 = 100.0;

/// Who is watched: a name, its processes' root, and whether its descendants count.
pub struct Processes(Vec<(&'static str, u32, bool)>);

/// Processor seconds, by name.
pub type Seconds = BTreeMap<&'static str, f64>;

impl Processes {
    /// Names and root processes; a root's descendants count, but not those of this process.
    pub fn new(roots: impl IntoIterator<Item = (&'static str, u32)>) -> Self {
        let own = std::process::id();
        Self(
            roots
                .into_iter()
                .map(|(name, pid)| (name, pid, pid != own))
                .collect(),
        )
    }

    /// What each has used so far.
    pub fn used(&self) -> anyhow::Result<Seconds> {
        let parents = parents()?;
        let used = |&(name, root, descend): &(&'static str, u32, bool)| {
            let of_tree = |pid: &u32| *pid == root || descend && descends(*pid, root, &parents);
            // A process that has ended since it was listed has used what its parent was told of.
            let total = parents
                .keys()
                .filter(|pid| of_tree(pid))
                .filter_map(|pid| seconds(*pid).ok())
                .sum();
            (name, total)
        };
        Ok(self.0.iter().map(used).collect())
    }
}

/// In milliseconds, for a line of the report.
pub fn describe(seconds: &Seconds) -> String {
    let parts: Vec<String> = seconds
        .iter()
        .map(|(name, s)| {
            let ms = s * 1e3;
            let digits = if ms < 10.0 { 3 } else { 0 };
            format!("{name} {ms:.digits$}")
        })
        .collect();
    format!("CPU ms: {}", parts.join(", "))
}

/// Adds what was used between two readings.
pub fn add(total: &mut Seconds, before: &Seconds, after: &Seconds) {
    for (name, used) in after {
        *total.entry(name).or_default() += used - before.get(name).copied().unwrap_or_default();
    }
}

/// Processor seconds of one process.
pub fn seconds(pid: u32) -> anyhow::Result<f64> {
    let fields = stat(pid)?;
    let at = |i: usize| -> anyhow::Result<f64> { Ok(fields.get(i).context("stat")?.parse()?) };
    Ok((at(11)? + at(12)?) / TICKS)
}

/// The fields of `/proc/PID/stat` after the name, which is in parentheses and may have spaces: state, parent, ….
fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("stat")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn parents() -> anyhow::Result<BTreeMap<u32, u32>> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Ok(fields) = stat(pid) {
            parents.insert(pid, fields.get(1).context("stat")?.parse()?);
        }
    }
    Ok(parents)
}

fn descends(pid: u32, root: u32, parents: &BTreeMap<u32, u32>) -> bool {
    std::iter::successors(parents.get(&pid), |pid| parents.get(pid)).any(|pid| *pid == root)
}

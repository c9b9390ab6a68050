//! The table that is printed at the end.

use std::process::Command;
use std::time::Duration;

/// Lines of the table, and where they were measured.
pub struct Report {
    machine: String,
    rows: Vec<[String; 5]>,
}

/// Which side of the target is good.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    None,
}

impl Target {
    fn judge(self, value: f64) -> (String, &'static str) {
        let verdict = |met: bool| if met { "met" } else { "MISSED" };
        match self {
            Self::AtMost(limit) => (format!("<= {limit}"), verdict(value <= limit)),
            Self::Below(limit) => (format!("< {limit}"), verdict(value < limit)),
            Self::AtLeast(limit) => (format!(">= {limit}"), verdict(value >= limit)),
            Self::None => (String::new(), ""),
        }
    }
}

impl Report {
    pub fn start() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism()?;
        let load = std::fs::read_to_string("/proc/loadavg")?;
        let load = load.split_whitespace().next().unwrap_or_default();
        let version = |program: &str, flag: &str| -> String {
            let output = Command::new(program)
                .arg(flag)
                .output()
                .map(|output| output.stdout)
                .unwrap_or_default();
            String::from_utf8_lossy(&output).trim().to_owned()
        };
        let machine = format!(
            "{cores} cores, load {load} at the start, {}",
            version("dockerd", "--version")
        );
        Ok(Self {
            machine,
            rows: Vec::new(),
        })
    }

    /// A line: what, ours against theirs, the number that counts and its target.
    pub fn row(&mut self, what: &str, detail: &str, value: f64, target: Target) {
        let (target, verdict) = target.judge(value);
        let digits = if value.fract() == 0.0 || value >= 1000.0 {
            0
        } else {
            2
        };
        let row = [
            what.to_owned(),
            detail.to_owned(),
            format!("{value:.digits$}"),
            target,
            verdict.to_owned(),
        ];
        self.row_of(row);
    }

    fn row_of(&mut self, row: [String; 5]) {
        eprintln!("{}", row.join("  ").trim_end());
        self.rows.push(row);
    }

    /// A line below the last one: what its time was spent on.
    pub fn note(&mut self, text: &str) {
        self.row_of([
            text.to_owned(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }

    pub fn print(&self) {
        let head = ["what", "measured", "result", "target", ""].map(str::to_owned);
        let mut widths = [0; 5];
        for row in std::iter::once(&head).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        println!("\n{}\n", self.machine);
        for row in std::iter::once(&head).chain(&self.rows) {
            let line: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            println!("{}", line.join("  ").trim_end());
        }
    }
}

/// The middle one of an odd number of measurements.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What that share of sorted times stays below, in milliseconds.
pub fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

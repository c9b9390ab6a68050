//! What the process itself uses, for `/metrics`: the usual `process_…` series, read from /proc
//! at the moment of the scrape and from nowhere else, so that an idle process stays idle.
//!
//! A value that cannot be read is left out of the answer; a scrape never fails.

use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Clock ticks per second of `/proc/self/stat`: `USER_HZ`, 100 on every Linux architecture that
/// Docker runs on (proc(5), `sysconf(_SC_CLK_TCK)`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes per page of `/proc/self/statm` on x86_64 and, as Docker's distributions build it, arm64.
const PAGE_BYTES: i64 = 4096;

/// Registers the process series.
pub fn register_process(registry: &mut Registry) {
    registry.register_collector(Box::new(ProcessCollector));
}

/// What the process uses at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// Memory in RAM, bytes.
    pub resident_bytes: i64,
    /// User and system time since the start.
    pub cpu: Duration,
    /// Threads.
    pub threads: i64,
}

impl Process {
    /// Reads `/proc/<pid>`; `None` when the process is gone or /proc is not there.
    pub fn read(pid: Option<u32>) -> Option<Self> {
        let of = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let statm = fs::read_to_string(format!("/proc/{of}/statm")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
        Self::parse(&statm, &stat)
    }

    fn parse(statm: &str, stat: &str) -> Option<Self> {
        let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
        // The second field is the program's name in parentheses, which may hold anything:
        // count from the last one. Fields 14, 15 and 20 of proc(5) are then 11, 12 and 17.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
        let ticks = f64::from(number(11)?) + f64::from(number(12)?);
        Some(Self {
            resident_bytes: pages * PAGE_BYTES,
            cpu: Duration::from_secs_f64(ticks / TICKS_PER_SECOND),
            threads: number(17)?.into(),
        })
    }
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: i64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let used = Process::read(None);
        if let Some(used) = used {
            gauge(
                "process_resident_memory_bytes",
                "Resident memory",
                used.resident_bytes,
            )?;
            gauge("process_threads", "Threads", used.threads)?;
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            gauge(
                "process_open_fds",
                "Open file descriptors",
                i64::try_from(entries.count()).unwrap_or(i64::MAX),
            )?;
        }
        if let Some(used) = used {
            let cpu = ConstCounter::new(used.cpu.as_secs_f64());
            cpu.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "User and system time since the start",
                None,
                cpu.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 9 0 100 1 1";
        let used = Process::parse("1000 300 200 1 0 90 0", stat).unwrap();
        assert_eq!(used.cpu, Duration::from_secs(3));
        assert_eq!(used.threads, 9);
        assert_eq!(used.resident_bytes, 300 * 4096);
    }

    #[test]
    fn the_series_are_served() {
        let mut registry = Registry::default();
        register_process(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("process_resident_memory_bytes ")
                && text.contains("process_cpu_seconds_total "),
            "{text}"
        );
    }
}

//! Logging.

use tracing_subscriber::EnvFilter;

use crate::config::{LogArgs, LogFormat};

/// Crates whose lines `-v` turns up; libraries stay at `warn`, or the log is theirs.
const OURS: [&str; 6] = [
    "operator",
    "apiserver",
    "store",
    "swarm",
    "controllers",
    "metrics",
];

/// Says "failed with error" of every request of ours that fails, which we tell ourselves with what was being done.
const SILENT: &str = ",kube_client::client::builder=off";

/// Starts logging to standard error. `RUST_LOG` wins over `-v`.
pub fn init(args: &LogArgs) {
    let level = match args.verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let ours: String = OURS.iter().map(|name| format!(",{name}={level}")).collect();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn{SILENT}{ours}")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

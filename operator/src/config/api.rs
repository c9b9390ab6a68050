//! Flags of the API server: what its clients may take of it, and where it says what they did. Named as kube-apiserver's, where that
//! has them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use apiserver::{AuditConfig, Limits};
use clap::Args;

/// What the clients of the API may take at a time. Of everything, one user gets at most as much as
/// is free, so at most half; whoever finds no room gets a 429 with `Retry-After`.
#[derive(Clone, Debug, Args)]
pub struct LimitArgs {
    /// Requests that only read, at a time. One user gets at most half.
    #[arg(
        long,
        env = "OBIENTE_MAX_REQUESTS_INFLIGHT",
        default_value_t = Limits::default().reads,
        value_parser = at_least(2),
        value_name = "NUMBER"
    )]
    pub max_requests_inflight: usize,

    /// Requests that change something, at a time. One user gets at most half.
    #[arg(
        long,
        env = "OBIENTE_MAX_MUTATING_REQUESTS_INFLIGHT",
        default_value_t = Limits::default().changes,
        value_parser = at_least(2),
        value_name = "NUMBER"
    )]
    pub max_mutating_requests_inflight: usize,

    /// Watches, at a time. One user gets at most half.
    #[arg(
        long,
        env = "OBIENTE_MAX_WATCHES",
        default_value_t = Limits::default().watches,
        value_parser = at_least(2),
        value_name = "NUMBER"
    )]
    pub max_watches: usize,

    /// Memory for request bodies of more than 64 KiB, in MiB; a body may have 3. One user gets at
    /// most half.
    #[arg(
        long,
        env = "OBIENTE_MAX_BODY_MEMORY_MIB",
        default_value_t = Limits::default().body_memory / MIB,
        value_parser = at_least(6),
        value_name = "MIB"
    )]
    pub max_body_memory_mib: usize,

    /// Requests of one user per second; 0 is no limit.
    #[arg(
        long,
        env = "OBIENTE_MAX_USER_REQUESTS_PER_SECOND",
        default_value_t = Limits::default().user_rate,
        value_name = "NUMBER"
    )]
    pub max_user_requests_per_second: u32,
}

const MIB: usize = 1024 * 1024;

/// Less would refuse everything.
fn at_least(least: u32) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    move |text| match text.parse::<u32>() {
        Ok(number) if number >= least => Ok(number as usize),
        _ => Err(format!("must be a number from {least} on")),
    }
}

impl LimitArgs {
    /// As the API server takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            reads: self.max_requests_inflight,
            changes: self.max_mutating_requests_inflight,
            watches: self.max_watches,
            body_memory: self.max_body_memory_mib * MIB,
            user_rate: self.max_user_requests_per_second,
            ..Limits::default()
        }
    }
}

/// The audit log: who did what, when, and how it ended, as `audit.k8s.io/v1` events of level
/// `Metadata`.
#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    /// File of the audit log; `-` is standard output, an empty value keeps none. Default:
    /// `audit/audit.log` in the data directory.
    #[arg(long, env = "OBIENTE_AUDIT_LOG_PATH", value_name = "FILE")]
    pub audit_log_path: Option<PathBuf>,

    /// Size in MiB after which the audit log goes on in a new file; 0 never does.
    #[arg(
        long,
        env = "OBIENTE_AUDIT_LOG_MAXSIZE",
        default_value_t = 100,
        value_name = "MIB"
    )]
    pub audit_log_maxsize: u32,

    /// Old audit logs that are kept; 0 keeps all.
    #[arg(
        long,
        env = "OBIENTE_AUDIT_LOG_MAXBACKUP",
        default_value_t = 10,
        value_name = "NUMBER"
    )]
    pub audit_log_maxbackup: u32,

    /// Days that old audit logs are kept; 0 keeps all.
    #[arg(
        long,
        env = "OBIENTE_AUDIT_LOG_MAXAGE",
        default_value_t = 30,
        value_name = "DAYS"
    )]
    pub audit_log_maxage: u32,
}

impl AuditArgs {
    /// As the API server takes them.
    pub fn audit(&self, data_dir: &Path) -> Option<AuditConfig> {
        let default = || data_dir.join("audit").join("audit.log");
        let path = self.audit_log_path.clone().unwrap_or_else(default);
        (!path.as_os_str().is_empty()).then(|| AuditConfig {
            path,
            max_size: u64::from(self.audit_log_maxsize) * MIB as u64,
            max_backups: self.audit_log_maxbackup as usize,
            max_age: Duration::from_secs(u64::from(self.audit_log_maxage) * 24 * 3600),
        })
    }
}

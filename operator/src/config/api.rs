//! Flags of the API server: what its clients may take of it. Named as kube-apiserver's, where that
//! has them.

use apiserver::Limits;
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

//! How a change replaces tasks, how it is undone, and when a task is started again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a change replaces the tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// `StartFirst` starts the new task before the old one stops, `StopFirst` the other way round. Default: StartFirst,
    /// or StopFirst where a port is published in Host mode, since two tasks cannot hold the port at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UpdateOrder")]
    pub order: Option<UpdateOrder>,
    /// How many tasks are replaced at the same time, 0 to 10000; 0 means all at once. Default 1. Example: `2`.
    #[serde(default = "default_max_parallel")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_parallel: u32,
    /// Seconds between two batches, 0 to 86400. Default 0. Example: `10`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86400))]
    pub delay_seconds: u32,
    /// Seconds for which a new task is watched for failure, 1 to 86400. Default 15. Example: `30`.
    #[serde(default = "default_monitor_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub monitor_seconds: u32,
    /// Share of the new tasks that may fail before the update counts as failed, 0 to 1. Default 0: one failure is
    /// enough. Example: `0.25` (a quarter).
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_failure_ratio: f64,
    /// What happens when an update fails: `Rollback` to the previous service spec, `Pause` where it is, or `Continue`.
    /// Default `Rollback`.
    #[serde(default)]
    pub on_failure: FailureAction,
    /// Seconds without progress after which the rollout is reported as stalled (`Progressing=False`, reason
    /// ProgressDeadlineExceeded), 1 to 86400. It is a report: nothing is stopped by it. Default 600. Example: `120`.
    #[serde(default = "default_progress_deadline_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub progress_deadline_seconds: u32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            order: None,
            max_parallel: default_max_parallel(),
            delay_seconds: 0,
            monitor_seconds: default_monitor_seconds(),
            max_failure_ratio: 0.0,
            on_failure: FailureAction::default(),
            progress_deadline_seconds: default_progress_deadline_seconds(),
        }
    }
}

/// How a failed update is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackConfig {
    /// `StartFirst` or `StopFirst`. Default: as for the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UpdateOrder")]
    pub order: Option<UpdateOrder>,
    /// How many tasks are rolled back at the same time, 0 to 10000; 0 means all at once. Default 1. Example: `0`.
    #[serde(default = "default_max_parallel")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_parallel: u32,
    /// Seconds between two batches, 0 to 86400. Default 0. Example: `5`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86400))]
    pub delay_seconds: u32,
    /// Seconds for which a task is watched for failure, 1 to 86400. Default 15. Example: `30`.
    #[serde(default = "default_monitor_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub monitor_seconds: u32,
    /// Share of the tasks that may fail before the rollback counts as failed, 0 to 1. Default 0. Example: `0.5`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_failure_ratio: f64,
    /// What happens when a rollback fails: `Pause` where it is, or `Continue`. Default `Pause`.
    #[serde(default)]
    pub on_failure: RollbackFailureAction,
}

impl Default for RollbackConfig {
    fn default() -> Self {
        Self {
            order: None,
            max_parallel: default_max_parallel(),
            delay_seconds: 0,
            monitor_seconds: default_monitor_seconds(),
            max_failure_ratio: 0.0,
            on_failure: RollbackFailureAction::default(),
        }
    }
}

/// Which of the two tasks goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateOrder {
    /// The new task starts before the old one stops.
    StartFirst,
    /// The old task stops before the new one starts.
    StopFirst,
}

/// What happens when an update fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailureAction {
    /// Back to the previous service spec.
    #[default]
    Rollback,
    /// Stay where it is until the spec changes.
    Pause,
    /// Go on.
    Continue,
}

/// What happens when a rollback fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RollbackFailureAction {
    /// Stay where it is until the spec changes.
    #[default]
    Pause,
    /// Go on.
    Continue,
}

/// When a task that ended is started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestartPolicy {
    /// `Any` always, `OnFailure` when the exit code is not 0, `None` never. Default `Any`.
    #[serde(default)]
    pub condition: RestartCondition,
    /// Seconds before it is started again, 0 to 86400. Default 5. Example: `1`.
    #[serde(default = "default_restart_delay_seconds")]
    #[schemars(range(min = 0, max = 86400))]
    pub delay_seconds: u32,
    /// How many times it is started again within the window, 0 to 10000; 0 means without end. Default 0. Example: `3`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10000))]
    pub max_attempts: u32,
    /// Seconds over which attempts are counted, 0 to 86400; 0 counts all. Default 0. Example: `120`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86400))]
    pub window_seconds: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            condition: RestartCondition::default(),
            delay_seconds: default_restart_delay_seconds(),
            max_attempts: 0,
            window_seconds: 0,
        }
    }
}

/// Which ends of a task lead to a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartCondition {
    /// Every end.
    #[default]
    Any,
    /// An exit code other than 0.
    OnFailure,
    /// None.
    None,
}

const fn default_max_parallel() -> u32 {
    1
}

const fn default_monitor_seconds() -> u32 {
    15
}

const fn default_progress_deadline_seconds() -> u32 {
    600
}

const fn default_restart_delay_seconds() -> u32 {
    5
}

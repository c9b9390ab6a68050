//! A Swarm service as this product writes it, in one normal form.
//!
//! The desired spec (rendered from a Deployment) and the observed one (read from the
//! Engine) are the same type, so that drift is plain field-by-field inequality. The normal
//! form undoes what the Engine adds on its own (empty maps, default isolation, network
//! names turned into ids): see `swarm::convert`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A whole service spec: what one `POST /services/create` or `/services/{id}/update` carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Name of the service, unique in the Swarm.
    pub name: String,
    /// Service labels: ours, Traefik's and foreign ones. Changing them restarts no task.
    pub labels: BTreeMap<String, String>,
    /// Replicated or global.
    pub mode: ServiceMode,
    /// What every task runs. A difference in here replaces the tasks.
    pub task: TaskSpec,
    /// How tasks are replaced when `task` changes.
    pub update: UpdateConfig,
    /// How tasks are replaced when the Swarm rolls back.
    pub rollback: UpdateConfig,
    /// Virtual IP or DNS round robin, and the published ports.
    pub endpoint: EndpointSpec,
}

/// How many tasks a service has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceMode {
    /// This many tasks, placed by the scheduler.
    Replicated(u64),
    /// One task on every eligible node.
    Global,
    /// A mode that this product does not write (jobs); only ever observed.
    Other(String),
}

impl Default for ServiceMode {
    fn default() -> Self {
        Self::Replicated(1)
    }
}

/// The template of a service's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The container.
    pub container: ContainerSpec,
    /// Reservations and limits.
    pub resources: Resources,
    /// What happens when a task ends.
    pub restart: RestartPolicy,
    /// Where tasks may run.
    pub placement: Placement,
    /// Networks, sorted by `target`. In the normal form `target` is a network id.
    pub networks: Vec<NetworkAttachment>,
    /// Counter whose change alone replaces all tasks.
    pub force_update: u64,
}

/// The container of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Image reference, as the Engine pulls it.
    pub image: String,
    /// Container labels: immutable identity only (changing them restarts all tasks).
    pub labels: BTreeMap<String, String>,
    /// Entrypoint override (Docker's `Command`, Kubernetes' `command`). Empty: the image's.
    pub command: Vec<String>,
    /// Arguments (Docker's `Args`). Empty: the image's command.
    pub args: Vec<String>,
    /// Environment, name to value.
    pub env: BTreeMap<String, String>,
    /// Working directory. Empty: the image's.
    pub dir: String,
    /// `user[:group]`. Empty: the image's.
    pub user: String,
    /// Host name inside the container. Empty: the Engine's choice.
    pub hostname: String,
    /// Run an init process as PID 1.
    pub init: Option<bool>,
    /// Root file system read-only.
    pub read_only: bool,
    /// Allocate a terminal.
    pub tty: bool,
    /// Signal that stops the container. Empty: the image's.
    pub stop_signal: String,
    /// Nanoseconds between the stop signal and SIGKILL. The Engine's default is 10 s.
    pub stop_grace_period_ns: Option<i64>,
    /// Capabilities added, `CAP_…`, sorted.
    pub capability_add: Vec<String>,
    /// Capabilities dropped, `CAP_…`, sorted.
    pub capability_drop: Vec<String>,
    /// Health check; `None` leaves the image's own.
    pub health_check: Option<HealthCheck>,
}

/// A container health check. Durations are in nanoseconds; 0 means the Engine's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", "…"]`.
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval_ns: i64,
    /// Time after which one check counts as failed.
    pub timeout_ns: i64,
    /// Consecutive failures that make a container unhealthy.
    pub retries: u32,
    /// Time after the start in which failures do not count.
    pub start_period_ns: i64,
}

/// Reservations (what the scheduler subtracts from a node) and limits (what the kernel enforces).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Reserved cpu, in billionths of a core. 0: none.
    pub reserve_nano_cpus: i64,
    /// Reserved memory in bytes. 0: none.
    pub reserve_memory: i64,
    /// Cpu limit, in billionths of a core. 0: none.
    pub limit_nano_cpus: i64,
    /// Memory limit in bytes. 0: none.
    pub limit_memory: i64,
    /// Most processes in the container. 0: none.
    pub limit_pids: i64,
}

/// Swarm's restart policy of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// `any`, `on-failure` or `none`.
    pub condition: String,
    /// Nanoseconds between the end of a task and its replacement.
    pub delay_ns: i64,
    /// Most restarts inside the window. 0: no bound.
    pub max_attempts: u64,
    /// Nanoseconds over which attempts are counted. 0: for ever.
    pub window_ns: i64,
}

impl Default for RestartPolicy {
    /// The Engine's own defaults (swarmkit `api/defaults/service.go`).
    fn default() -> Self {
        Self {
            condition: "any".into(),
            delay_ns: 5_000_000_000,
            max_attempts: 0,
            window_ns: 0,
        }
    }
}

/// Where the scheduler may put tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Constraints in Swarm's syntax (`node.labels.zone==a`), sorted.
    pub constraints: Vec<String>,
    /// Spread preferences in order of importance, as label descriptors (`node.labels.zone`).
    pub spread: Vec<String>,
    /// Most tasks of the service on one node. 0: no bound.
    pub max_replicas_per_node: u64,
}

/// One network of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkAttachment {
    /// Network id (in a spec just rendered from names, the name: `plan` resolves it).
    pub target: String,
    /// Further DNS names of the service in that network, sorted.
    pub aliases: Vec<String>,
}

/// How a change of tasks is rolled out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// Tasks replaced at the same time. 0: all at once.
    pub parallelism: u64,
    /// Nanoseconds between two groups.
    pub delay_ns: i64,
    /// `pause`, `continue` or `rollback`.
    pub failure_action: String,
    /// Nanoseconds a new task is watched for failure.
    pub monitor_ns: i64,
    /// Share of tasks that may fail, 0 to 1.
    pub max_failure_ratio: f32,
    /// `start-first` or `stop-first`.
    pub order: String,
}

impl Eq for UpdateConfig {}

impl Default for UpdateConfig {
    /// The Engine's own defaults (swarmkit `api/defaults/service.go`).
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay_ns: 0,
            failure_action: "pause".into(),
            monitor_ns: 5_000_000_000,
            max_failure_ratio: 0.0,
            order: "stop-first".into(),
        }
    }
}

/// How a service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// `vip` or `dnsrr`.
    pub mode: String,
    /// Published ports, sorted.
    pub ports: Vec<PublishedPort>,
}

/// A port published on the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Name; informative.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Port in the container.
    pub target: u16,
    /// Port on the node.
    pub published: u16,
    /// `ingress` (every node) or `host` (the nodes that run a task).
    pub mode: String,
}

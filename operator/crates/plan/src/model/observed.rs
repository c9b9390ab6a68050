//! The Swarm as observed: one immutable snapshot of all that decisions need.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ServiceSpec;

/// Everything one poll of a Swarm manager saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Position on the Swarm client's own clock at which the poll began. An act returns such
    /// a position too; a snapshot with `as_of >= act` has seen the act's effect.
    pub as_of: u64,
    /// Services that carry our label and cluster uid.
    pub services: Vec<Service>,
    /// Tasks of those services, all states, oldest first.
    pub tasks: Vec<Task>,
    /// All nodes of the Swarm.
    pub nodes: Vec<Node>,
    /// All overlay networks.
    pub networks: Vec<Network>,
}

/// A live service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Swarm's id.
    pub id: String,
    /// Version index that an update must name.
    pub version: u64,
    /// The spec in normal form.
    pub spec: ServiceSpec,
    /// Fields set on the live service that this product does not model, as
    /// Engine-API path to compact JSON (`TaskTemplate.ContainerSpec.Mounts`): always drift.
    pub unmodelled: BTreeMap<String, String>,
    /// State of the last update, if there was one.
    pub update: Option<UpdateStatus>,
    /// When the service was created.
    pub created_at: Option<Timestamp>,
}

/// `UpdateStatus` of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStatus {
    /// What the Swarm is doing.
    pub state: UpdateState,
    /// The Engine's message.
    pub message: String,
    /// When the update began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// The states of an update (Engine API, `Service.UpdateStatus.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    /// Replacing tasks.
    Updating,
    /// Stopped after a failure, waiting for a person.
    Paused,
    /// Done.
    Completed,
    /// Going back to the previous spec.
    RollbackStarted,
    /// Stopped in the middle of a rollback.
    RollbackPaused,
    /// Back on the previous spec.
    RollbackCompleted,
    /// A state this product does not know.
    Unknown,
}

/// A task: one container's life on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Swarm's id.
    pub id: String,
    /// The service it belongs to.
    pub service_id: String,
    /// Slot of a replicated task, from 1; 0 for a global one.
    pub slot: u64,
    /// Node it is assigned to; empty before assignment.
    pub node_id: String,
    /// Where it is in its life.
    pub state: TaskState,
    /// Where the Swarm wants it.
    pub desired_state: TaskState,
    /// The Engine's message for the state.
    pub message: String,
    /// Why it is where it is, when something failed (`No such image: …`, `no suitable node …`).
    pub error: String,
    /// Exit code of an ended container.
    pub exit_code: Option<i64>,
    /// Container id, once there is one.
    pub container_id: String,
    /// Template it was made from, in the same normal form as `ServiceSpec::task`.
    pub spec: super::TaskSpec,
    /// Addresses in the service's networks, network id to address without prefix length.
    pub addresses: BTreeMap<String, String>,
    /// When the task was created.
    pub created_at: Option<Timestamp>,
    /// When `state` was last reported.
    pub state_since: Option<Timestamp>,
}

/// Task states in the order of a task's life (Engine API, `TaskState`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Created, waits for resources such as addresses.
    #[default]
    New,
    /// Resources allocated.
    Allocated,
    /// Waits for a node.
    Pending,
    /// Has a node.
    Assigned,
    /// The node accepted it.
    Accepted,
    /// The node pulls and prepares.
    Preparing,
    /// Ready to start.
    Ready,
    /// Starting; stays here until a health check passes.
    Starting,
    /// Running (and healthy, where there is a check).
    Running,
    /// Ended with exit code 0.
    Complete,
    /// Stopped on request.
    Shutdown,
    /// Ended with an error.
    Failed,
    /// The node could not run it.
    Rejected,
    /// About to be removed.
    Remove,
    /// Its node was lost.
    Orphaned,
}

/// A machine of the Swarm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Swarm's id.
    pub id: String,
    /// Version index that an update must name.
    pub version: u64,
    /// Host name; informative, not unique.
    pub hostname: String,
    /// What an administrator can set.
    pub spec: NodeSpec,
    /// `ready`, `down`, `disconnected` or `unknown`.
    pub state: String,
    /// The Engine's message for the state.
    pub message: String,
    /// Address other nodes use; never `0.0.0.0` (falls back to the manager address).
    pub address: String,
    /// Is this manager the leader?
    pub leader: bool,
    /// Manager reachability (`reachable`, …); empty for workers.
    pub reachability: String,
    /// Docker Engine version.
    pub engine_version: String,
    /// Operating system (`linux`).
    pub os: String,
    /// Architecture as the Engine says it (`x86_64`).
    pub architecture: String,
    /// Cpu, in billionths of a core.
    pub nano_cpus: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
}

/// The part of a node that the Swarm lets one change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// `Spec.Name`, usually empty.
    pub name: String,
    /// `manager` or `worker`.
    pub role: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
    /// Node labels.
    pub labels: BTreeMap<String, String>,
}

/// An overlay network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Docker's id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Subnets in CIDR notation.
    pub subnets: Vec<String>,
}

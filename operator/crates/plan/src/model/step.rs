//! Steps: what is to be done to the Swarm, with nothing left to decide.

use serde::{Deserialize, Serialize};

use super::{NodeSpec, ServiceSpec};

/// One write to the Swarm. Carrying a step out needs no further choice; it can be printed,
/// compared and refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Make an overlay network of this name, attachable, with our labels.
    CreateNetwork(NetworkSpec),
    /// Remove a network of ours.
    RemoveNetwork {
        /// Docker's id.
        id: String,
        /// Name, for messages.
        name: String,
    },
    /// Make a service.
    CreateService(Box<ServiceSpec>),
    /// Replace the spec of a service.
    UpdateService {
        /// Swarm's id.
        id: String,
        /// The version index that the plan was made from. Never replaced by a newer one: on
        /// a conflict the whole plan is thrown away.
        version: u64,
        /// The whole new spec.
        spec: Box<ServiceSpec>,
        /// Does this replace running tasks?
        restarts_tasks: bool,
    },
    /// Replace the spec of a service that has lost the label with our cluster uid, and with it
    /// its place in our snapshots. One with another cluster's uid is refused.
    AdoptService {
        /// Swarm's id.
        id: String,
        /// The version index that the decision was made from.
        version: u64,
        /// The spec as it is, with our labels.
        spec: Box<ServiceSpec>,
    },
    /// Remove a service with its tasks.
    RemoveService {
        /// Swarm's id.
        id: String,
        /// Name, for messages.
        name: String,
    },
    /// Replace the spec of a node.
    UpdateNode {
        /// Swarm's id.
        id: String,
        /// The version index that the plan was made from.
        version: u64,
        /// The whole new spec.
        spec: NodeSpec,
    },
    /// Remove a node that is down from the Swarm.
    RemoveNode {
        /// Swarm's id.
        id: String,
        /// Host name, for messages.
        hostname: String,
    },
}

/// An overlay network to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Name, unique in the Swarm.
    pub name: String,
    /// Labels: ours, with the cluster uid.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Subnet in CIDR notation; `None` leaves the choice to the Engine's address pools.
    pub subnet: Option<String>,
}

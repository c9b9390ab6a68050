//! `Node`: one machine of the Swarm, as its administrator wants it and as it was observed.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{conditions::Condition, units::Quantity};

/// What the administrator wants of a machine of the Swarm.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "obiente.cloud",
    version = "v1alpha1",
    kind = "Node",
    plural = "nodes",
    singular = "node",
    shortname = "onode",
    category = "obiente",
    status = "NodeStatus",
    derive = "PartialEq",
    doc = "A Node is one machine of the Swarm. It appears by itself when a machine joins, and may be declared before: \
           it then waits for a machine with its name as host name, or with the Swarm id named in its spec.",
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Reason of the condition Ready"
    ),
    printcolumn(
        name = "Role",
        type_ = "string",
        json_path = ".status.role",
        description = "manager or worker"
    ),
    printcolumn(
        name = "Availability",
        type_ = "string",
        json_path = ".status.availability",
        description = "Availability that the Swarm node has"
    ),
    printcolumn(
        name = "Tasks",
        type_ = "integer",
        json_path = ".status.tasks",
        description = "Tasks of Deployments on it"
    ),
    printcolumn(
        name = "CPU",
        type_ = "string",
        json_path = ".status.capacity.cpu",
        description = "Cores of the machine"
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".status.capacity.memory",
        description = "Memory of the machine"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Hostname",
        type_ = "string",
        json_path = ".status.hostname",
        description = "Host name of the machine",
        priority = 1
    ),
    printcolumn(
        name = "Addresses",
        type_ = "string",
        json_path = ".status.addresses",
        description = "Addresses of the machine",
        priority = 1
    ),
    printcolumn(
        name = "Engine",
        type_ = "string",
        json_path = ".status.engineVersion",
        description = "Version of its Docker Engine",
        priority = 1
    ),
    printcolumn(
        name = "Swarm-ID",
        type_ = "string",
        json_path = ".status.swarmId",
        description = "Id of the Swarm node",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    /// Id of the Swarm node that this object speaks of, 25 lower-case letters and digits. Default: the machine whose host
    /// name is the object's name. Example: `0jdqdyhlxmqgz8b1rrtzbqpdj`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 25, max = 25))]
    pub swarm_id: Option<String>,

    /// Labels to keep on the Swarm node, for nodeSelector, constraints and spreadBy of Deployments. At most 64. Labels
    /// that the Swarm node has beside them are left alone. Keys that start with `cloud.obiente.` are ours and refused.
    /// Example: `{disk: ssd}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::shapes::labels")]
    pub labels: BTreeMap<String, String>,

    /// `Active` takes tasks, `Pause` takes no new ones, `Drain` moves its tasks elsewhere. Default: left as it is on the
    /// Swarm node. Example: `Drain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Availability")]
    pub availability: Option<Availability>,

    /// Region of the machine, kept as the node label `cloud.obiente.region`. Default: none. Example: `eu-west`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,

    /// Zone of the machine inside its region, kept as the node label `cloud.obiente.zone`. Default: none.
    /// Example: `eu-west-1a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub zone: Option<String>,
}

/// Whether a machine takes tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Availability {
    /// It takes tasks.
    #[default]
    Active,
    /// It keeps its tasks and takes no new ones.
    Pause,
    /// Its tasks are moved elsewhere.
    Drain,
}

/// Role of a machine in the Swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeRole {
    /// It takes part in the Swarm's decisions.
    Manager,
    /// It only runs tasks.
    Worker,
}

/// What was observed of a machine; written by the Node controller only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The generation of the spec that this status speaks of; 0 when nothing was observed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Id of the Swarm node that this object is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm_id: Option<String>,
    /// Host name of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Addresses under which the machine takes part in the Swarm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// `Manager` or `Worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NodeRole")]
    pub role: Option<NodeRole>,
    /// Availability that the Swarm node has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Availability")]
    pub availability: Option<Availability>,
    /// Whether the machine leads the Swarm's managers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<bool>,
    /// State as Swarm sees it: ready, down, disconnected or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Version of the machine's Docker Engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Operating system and architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What the machine has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<NodeResources>,
    /// What tasks on it have reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<NodeResources>,
    /// How many tasks are meant to run on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,
    /// Labels of the Swarm node, ours and others'.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Conditions: Ready, Reconciling, Stalled and the Node's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Operating system and architecture of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Platform {
    /// For example `linux`.
    pub os: String,
    /// For example `x86_64`.
    pub architecture: String,
}

/// An amount of CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeResources {
    /// CPU in cores.
    pub cpu: Quantity,
    /// Memory in bytes.
    pub memory: Quantity,
}

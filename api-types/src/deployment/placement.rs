//! Where tasks run and how they are reached: ports, networks, placement.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A port that the program listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Name of the port, unique in the list: at most 15 lower-case letters, digits and `-`. Example: `http`.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// Port number inside the container, 1 to 65535, unique together with the protocol. Example: `8080`.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`. When absent: TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Protocol")]
    pub protocol: Option<Protocol>,
    /// Port number to publish on the nodes, 1 to 65535, unique together with the protocol. When absent the port is not
    /// published, and reachable inside the networks and through Routes only. Example: `80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub host_port: Option<u16>,
    /// How hostPort is published: `Ingress` on every node, forwarded to any task, or `Host` only on the nodes that run a
    /// task, without forwarding. When absent: Ingress. Only together with hostPort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PublishMode")]
    pub publish_mode: Option<PublishMode>,
}

/// Transport protocol of a port.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum Protocol {
    /// TCP.
    #[default]
    TCP,
    /// UDP.
    UDP,
    /// SCTP.
    SCTP,
}

/// How a port is published on nodes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum PublishMode {
    /// On every node, through Swarm's routing mesh.
    #[default]
    Ingress,
    /// On the nodes that run a task.
    Host,
}

/// How the service's name resolves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndpointMode {
    /// One virtual address.
    #[default]
    VIP,
    /// The addresses of all tasks.
    DNSRR,
}

/// A network to join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAttachment {
    /// Name of an existing overlay network. Example: `databases`.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Further names under which the tasks are found in that network. At most 16, unique. Example: `["api"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub aliases: Vec<String>,
}

/// Where tasks may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Labels that a Swarm node must have. At most 32. Example: `{disk: ssd}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::shapes::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Constraints in Swarm's own words, all of which must hold: `FIELD == VALUE` or `FIELD != VALUE`, where FIELD is
    /// node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, node.labels.KEY or
    /// engine.labels.KEY. At most 32, unique. Example: `["node.role == worker"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub constraints: Vec<String>,
    /// Node label keys over whose values the tasks are spread evenly, the first one first. At most 8, unique.
    /// Example: `["zone"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub spread_by: Vec<String>,
    /// How many tasks may run on one node, 1 to 10000. Default: no limit. Example: `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas_per_node: Option<u32>,
}

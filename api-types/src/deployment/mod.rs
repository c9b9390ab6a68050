//! `Deployment`: one Swarm service, described the way Kubernetes describes workloads.

mod container;
mod placement;
mod rollout;
mod status;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use container::{
    Capabilities, ConfigMapKeySelector, EnvFromSource, EnvVar, EnvVarSource, ExecAction, FieldPath,
    FieldSelector, HealthCheck, OptionalObjectReference, ResourceLimits, ResourceRequests,
    Resources, SecretKeySelector,
};
pub use placement::{EndpointMode, NetworkAttachment, Placement, Port, Protocol, PublishMode};
pub use rollout::{
    FailureAction, RestartCondition, RestartPolicy, RollbackConfig, RollbackFailureAction, Rollout,
    UpdateOrder,
};
pub use status::{
    DeploymentStatus, LastFailure, RolloutState, RolloutStatus, RoutedBy, ServiceReference,
};

/// A workload on the Swarm: exactly one Swarm service, kept as this spec says.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "obiente.cloud",
    version = "v1alpha1",
    kind = "Deployment",
    plural = "deployments",
    singular = "deployment",
    shortname = "odeploy",
    category = "all",
    category = "obiente",
    namespaced,
    status = "DeploymentStatus",
    derive = "PartialEq",
    doc = "A Deployment keeps exactly one Swarm service running as its spec says, and reports how it is doing.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".status.desiredReplicas",
        description = "Tasks that should run: spec.replicas, or the number of eligible nodes in Global mode"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Tasks that run and pass their health check"
    ),
    printcolumn(
        name = "Updated",
        type_ = "integer",
        json_path = ".status.updatedReplicas",
        description = "Tasks that run the current spec"
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.image",
        description = "Image as requested"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Reason of the condition Ready"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodes",
        description = "Nodes that run a task",
        priority = 1
    ),
    printcolumn(
        name = "Service",
        type_ = "string",
        json_path = ".status.service.name",
        description = "Name of the Swarm service",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// How tasks are counted: `Replicated` runs spec.replicas tasks, `Global` runs one task on every node that
    /// placement allows. Default `Replicated`. Swarm cannot change the mode of a service: a change replaces the
    /// service, and the Deployment is without tasks in between. Example: `Global`.
    #[serde(default)]
    pub mode: Mode,

    /// How many tasks run, 0 to 10000, in mode Replicated. Default 1. In mode Global leave it out. `kubectl scale`
    /// writes this field. Example: `3`.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: u32,

    /// Image of the container, as `docker pull` takes it: `[registry[:port]/]name[:tag][@sha256:digest]`. Without a tag
    /// `latest` is used. Example: `ghcr.io/acme/web:1.4.2`.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,

    /// Program to run instead of the image's ENTRYPOINT, one word per item, without a shell. Default: the image's own.
    /// At most 128 items. Example: `["httpd", "-f"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 4096)))]
    pub command: Vec<String>,

    /// Arguments of the program instead of the image's CMD, one per item. Default: the image's own, unless `command` is
    /// set. At most 256 items. Example: `["-p", "8080"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 4096)))]
    pub args: Vec<String>,

    /// Directory in which the program starts, an absolute path. Default: the image's WORKDIR. Example: `/srv/app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub working_dir: Option<String>,

    /// User, and after a colon the group, that the program runs as: names or numbers. Default: the image's USER.
    /// Example: `1000:1000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub user: Option<String>,

    /// Host name inside the container. May contain the Swarm placeholders `{{.Node.Hostname}}`, `{{.Service.Name}}`,
    /// `{{.Task.Slot}}` and their like. Default: the container's id. Example: `web-{{.Task.Slot}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub hostname: Option<String>,

    /// Run a small init as process 1 that forwards signals and reaps zombies. Default: what the node's Docker Engine
    /// is configured for. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,

    /// Mount the container's root file system read-only. Default false. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_root_filesystem: Option<bool>,

    /// Linux capabilities to add to and drop from Docker's default set. Default: Docker's set unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,

    /// Signal that asks the program to stop, by name or number. Default: the image's STOPSIGNAL, else SIGTERM.
    /// Example: `SIGQUIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub stop_signal: Option<String>,

    /// Seconds between the stop signal and the kill, 0 to 86400. Default 10, as Docker's. Example: `30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub termination_grace_period_seconds: Option<u32>,

    /// Give the program a terminal. Default false. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,

    /// Environment variables, unique by name; they win over `envFrom`. At most 500. A change restarts the tasks by a
    /// rolling update, also when it is the Secret or ConfigMap that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,

    /// Secrets and ConfigMaps whose every key becomes an environment variable; later items win over earlier ones.
    /// At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub env_from: Vec<EnvFromSource>,

    /// What one task reserves and what it may use. Default: nothing reserved, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Ports that the program listens on, unique by name. At most 64. A Route can only target ports listed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub ports: Vec<Port>,

    /// How the service's name resolves inside its networks: `VIP` to one virtual address, `DNSRR` to the addresses of
    /// all tasks. Default `VIP`. DNSRR excludes ports published in Ingress mode.
    #[serde(default)]
    pub endpoint_mode: EndpointMode,

    /// Labels to put on the Swarm service, beside our own. At most 64. Keys that start with `cloud.obiente.` or
    /// `traefik.` are ours and refused: write a Route for the latter. A change restarts nothing.
    /// Example: `{team: shop}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::shapes::labels")]
    pub labels: BTreeMap<String, String>,

    /// Existing attachable overlay networks to join beside the namespace's own, unique by name. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub networks: Vec<NetworkAttachment>,

    /// Command that tells whether a task is healthy. Default: the image's HEALTHCHECK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,

    /// Where tasks may run and how they spread. Default: anywhere, spread over the nodes by Swarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,

    /// How a change replaces the tasks. Default: one task at a time, the new one started before the old one stops,
    /// rolled back when it fails.
    #[serde(default)]
    pub rollout: Rollout,

    /// How a failed update is undone. Default: one task at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackConfig>,

    /// When a task that ended is started again. Default: always, after 5 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,

    /// Any text; a change restarts all tasks by a rolling update. Customarily the time of the request.
    /// Example: `2026-01-31T12:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub restarted_at: Option<String>,

    /// Leave the Swarm service as it is: nothing is created, changed or repaired until this is false again; deleting the
    /// Deployment still removes the service. Default false. Example: `true`.
    #[serde(default)]
    pub suspend: bool,
}

/// A spec without an image, with the defaults of the schema.
impl Default for DeploymentSpec {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            replicas: default_replicas(),
            image: String::new(),
            command: Vec::new(),
            args: Vec::new(),
            working_dir: None,
            user: None,
            hostname: None,
            init: None,
            read_only_root_filesystem: None,
            capabilities: None,
            stop_signal: None,
            termination_grace_period_seconds: None,
            tty: None,
            env: Vec::new(),
            env_from: Vec::new(),
            resources: None,
            ports: Vec::new(),
            endpoint_mode: EndpointMode::default(),
            labels: BTreeMap::new(),
            networks: Vec::new(),
            health_check: None,
            placement: None,
            rollout: Rollout::default(),
            rollback: None,
            restart_policy: None,
            restarted_at: None,
            suspend: false,
        }
    }
}

/// How tasks are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// `replicas` tasks.
    #[default]
    Replicated,
    /// One task on every node that placement allows.
    Global,
}

const fn default_replicas() -> u32 {
    1
}

//! Every label, annotation and finalizer key that we own, and who writes it.
//!
//! Everything destructive filters on [`DEPLOYMENT`] **and** on our own [`CLUSTER_UID`]: two control
//! planes on one Swarm must not hurt each other.

/// Prefix of our keys on Swarm objects. Nothing else may use it.
pub const PREFIX: &str = "cloud.obiente.";

/// Prefix of the keys that the Deployment controller writes for Traefik.
pub const TRAEFIK_PREFIX: &str = "traefik.";

// ---- on Swarm services (writer: the Deployment controller) ----

/// `true` on every service that is ours.
pub const DEPLOYMENT: &str = "cloud.obiente.deployment";
/// `namespace/name` of the Deployment.
pub const DEPLOYMENT_ID: &str = "cloud.obiente.deployment-id";
/// `metadata.uid` of the Deployment.
pub const DEPLOYMENT_UID: &str = "cloud.obiente.deployment-uid";
/// Uid of the control plane that owns the object; also on networks.
pub const CLUSTER_UID: &str = "cloud.obiente.cluster-uid";
/// Hash of the service spec as it was last wanted: tells our change of mind from somebody else's change.
pub const SPEC_HASH: &str = "cloud.obiente.spec-hash";
/// `metadata.generation` of the Deployment that the service was last made from.
pub const GENERATION: &str = "cloud.obiente.generation";
/// Keys of `spec.labels` that are on the service, comma-separated and sorted: which labels to take away again.
pub const LABEL_KEYS: &str = "cloud.obiente.label-keys";
/// The restart that was asked for last by `spec.restartedAt`: tells it from somebody's `--force`, which is left alone.
pub const FORCE_UPDATE: &str = "cloud.obiente.force-update";

// ---- on containers: immutable identity only, since a change restarts the tasks ----

/// `namespace/name` of the Deployment, on its containers.
pub const CONTAINER_DEPLOYMENT_ID: &str = DEPLOYMENT_ID;
/// `metadata.uid` of the Deployment, on its containers.
pub const CONTAINER_DEPLOYMENT_UID: &str = DEPLOYMENT_UID;

// ---- on Swarm networks (writer: the Deployment controller) ----

/// What a network is for: one of the two values below.
pub const NETWORK: &str = "cloud.obiente.network";
/// The network of one namespace.
pub const NETWORK_NAMESPACE: &str = "namespace";
/// The network shared with Traefik.
pub const NETWORK_INGRESS: &str = "ingress";
/// The namespace that a network belongs to.
pub const NAMESPACE: &str = "cloud.obiente.namespace";

// ---- on Swarm nodes (writer: the Node controller) ----

/// `spec.region` of the Node.
pub const NODE_REGION: &str = "cloud.obiente.region";
/// `spec.zone` of the Node.
pub const NODE_ZONE: &str = "cloud.obiente.zone";
/// Keys of `spec.labels` that are on the Swarm node, comma-separated and sorted.
pub const NODE_LABEL_KEYS: &str = "cloud.obiente.node-label-keys";

// ---- on our Kubernetes objects ----

/// Finalizer of Deployments: no object goes away before its service, tasks and rows.
pub const FINALIZER: &str = "obiente.cloud/swarm-service";
/// Annotation on a Deployment (writer: the user): `true` releases the finalizer although the service may be left.
pub const ABANDON: &str = "obiente.cloud/abandon";
/// Label on Pods of the Pod view: name of the Deployment; what `status.selector` selects on.
pub const POD_DEPLOYMENT: &str = "obiente.cloud/deployment";
/// Annotation on Pods of the Pod view: id of the Swarm task.
pub const POD_TASK: &str = "obiente.cloud/task-id";

//! What runs inside a task: environment, resources, capabilities, health check.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{shapes, units::Quantity};

/// Linux capabilities beside Docker's default set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Capabilities to add, without the prefix `CAP_`, or `ALL`. Unique. Example: `["NET_ADMIN"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shapes::capabilities")]
    pub add: Vec<String>,
    /// Capabilities to drop, without the prefix `CAP_`, or `ALL`. Unique. Example: `["ALL"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "shapes::capabilities")]
    pub drop: Vec<String>,
}

/// One environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable: letters, digits, `_`, `-` and `.`, not starting with a digit. Example: `LOG_LEVEL`.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value as it is; nothing is expanded in it. Excludes `valueFrom`. Default: empty. Example: `debug`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 131072))]
    pub value: Option<String>,
    /// Where the value is taken from. Excludes `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Source of the value of an environment variable: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVarSource {
    /// A key of a Secret in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeySelector>,
    /// A key of a ConfigMap in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeySelector>,
    /// A field of this Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldSelector>,
}

/// A key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeySelector {
    /// Name of the Secret. Example: `web-credentials`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data. Example: `password`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Leave the variable out when the Secret or the key does not exist, instead of waiting for it. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeySelector {
    /// Name of the ConfigMap. Example: `web-settings`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data. Example: `greeting`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Leave the variable out when the ConfigMap or the key does not exist, instead of waiting for it. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A field of the Deployment itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldSelector {
    /// Which field: `metadata.name`, `metadata.namespace` or `metadata.uid`.
    pub field_path: FieldPath,
}

/// Fields that an environment variable can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FieldPath {
    /// The Deployment's name.
    #[serde(rename = "metadata.name")]
    Name,
    /// The Deployment's namespace.
    #[serde(rename = "metadata.namespace")]
    Namespace,
    /// The Deployment's uid.
    #[serde(rename = "metadata.uid")]
    Uid,
}

/// A Secret or a ConfigMap whose every key becomes an environment variable: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvFromSource {
    /// Text put before every key. Default: nothing. Example: `DB_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub prefix: Option<String>,
    /// The Secret, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<OptionalObjectReference>,
    /// The ConfigMap, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<OptionalObjectReference>,
}

/// Name of a Secret or ConfigMap that may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionalObjectReference {
    /// Name of the object. Example: `web-settings`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Add no variable when the object does not exist, instead of waiting for it. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// What a task reserves and may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What must be free on a node before a task is placed there. Not above `limits`. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceRequests>,
    /// What a task may use at most. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceLimits>,
}

/// Reserved resources of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRequests {
    /// CPU in cores as a Kubernetes quantity, 1m to 1M. Examples: `250m` (a quarter of a core), `1.5`, `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory in bytes as a Kubernetes quantity, at least 4Mi. Examples: `64Mi`, `1Gi`, `500M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// Upper bounds of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceLimits {
    /// CPU in cores as a Kubernetes quantity, 1m to 1M; above it the task is slowed down. Examples: `500m`, `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory in bytes as a Kubernetes quantity, at least 6Mi; above it the task is killed. Examples: `256Mi`, `1Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Processes and threads of the task, 1 to 4194304. Example: `200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4194304))]
    pub pids: Option<i64>,
}

/// How the health of a task is found out: exactly one of `exec` and `none: true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Run a command inside the container; exit code 0 means healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecAction>,
    /// `true` switches off the image's own HEALTHCHECK. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<bool>,
    /// Seconds after the start in which failures do not count, 0 to 86400. Default 0. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub initial_delay_seconds: Option<u32>,
    /// Seconds between two checks, 1 to 86400. Default 30, as Docker's. Example: `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub period_seconds: Option<u32>,
    /// Seconds after which a check counts as failed, 1 to 86400. Default 30, as Docker's. Example: `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: Option<u32>,
    /// Failures in a row after which the task is unhealthy and replaced, 1 to 100. Default 3. Example: `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: Option<u32>,
}

/// A command run inside the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecAction {
    /// Program and arguments, one per item, without a shell; 1 to 128 items.
    /// Example: `["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/"]`.
    #[schemars(length(min = 1, max = 128), inner(length(max = 4096)))]
    pub command: Vec<String>,
}

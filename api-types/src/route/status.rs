//! What was decided about a Route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;

/// What was decided about a Route; written by its controller only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// The generation of the spec that this status speaks of; 0 when nothing was observed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the Route answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Per host name and rule: whether it was accepted, and if not, who has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostStatus>,
    /// Names of the Deployments that requests are sent to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<String>,
    /// Conditions: Ready, Reconciling, Stalled, Accepted, ResolvedRefs, Programmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What was decided about one host name in one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// The host name, as in the spec.
    pub hostname: String,
    /// The rule's name, or its number in the list counted from 0.
    pub rule: String,
    /// Whether the rule answers for this host name.
    pub accepted: bool,
    /// One word, as in the conditions.
    pub reason: String,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The Route that has the host name and path, when it is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<RouteWinner>,
}

/// The Route that won a conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteWinner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

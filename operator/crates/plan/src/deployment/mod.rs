//! Deployments: from the object and what is observed to steps, Events and status.
//!
//! [`plan`] says what to do, [`status`] what to report, [`teardown`] what to do and report while
//! the object is being deleted. All three look at the same [`Input`].

mod adopt;
mod desired;
mod diff;
mod env;
mod plan;
mod rollout;
mod situation;
mod status;
mod teardown;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::Deployment;
use jiff::Timestamp;

pub use adopt::adopt;
pub use diff::Change;
pub(crate) use env::literal;
pub use env::referenced;
pub use plan::plan;
pub(crate) use rollout::{LOOP, failure, same_template};
pub use status::{status, transitions};
pub use teardown::{Teardown, teardown};

use crate::cluster::ClusterConfig;
use crate::model::Step;
use crate::route::AttachedRoute;
use crate::{Observed, PlannedEvent};

/// Everything that a decision about one Deployment looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Settings of the installation.
    pub cluster: &'a ClusterConfig,
    /// The object as stored, status included.
    pub deployment: &'a Deployment,
    /// Accepted routes with their labels, from [`crate::route::resolve`].
    pub routes: &'a [AttachedRoute],
    /// Contents of the Secrets and ConfigMaps that [`referenced`] names, as far as they exist.
    pub references: &'a References,
    /// The Swarm.
    pub observed: Observed<'a>,
    /// The log that the last plan asked for.
    pub log_tail: Option<&'a LogTail>,
    /// Why the Swarm refused the last step for this object, until a step succeeds.
    pub refusal: Option<&'a Refusal>,
    /// Now, by the clock that conditions are stamped with.
    pub now: Timestamp,
}

/// Secrets and ConfigMaps of the Deployment's namespace, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Data of Secrets, decoded.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Data of ConfigMaps.
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
}

/// The last lines that a task printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTail {
    /// The task.
    pub task_id: String,
    /// The lines.
    pub text: String,
}

/// Why the Swarm refused a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A service or network of that name exists and is not ours.
    NameTaken(String),
    /// The Engine refuses the content, in these words.
    Refused(String),
}

/// What to do now, and what it means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Writes, to be carried out in this order. The first failure ends it: observe and plan again.
    pub steps: Vec<Step>,
    /// To be published when all steps succeeded.
    pub events: Vec<PlannedEvent>,
    /// What the steps change, in the user's words.
    pub changes: Vec<Change>,
    /// Differences that are left alone for now, and why.
    pub held: Option<Held>,
    /// Nothing can be written until somebody changes something.
    pub blocked: Option<Blocked>,
    /// Task whose log tail the status wants to show.
    pub wants_log_of: Option<String>,
    /// Look again after this time even if nothing happens.
    pub recheck: Option<Duration>,
}

/// Differences between the live service and the spec that are not written now.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// One word, of [`api_types::conditions::reason`].
    pub reason: &'static str,
    /// The differences.
    pub changes: Vec<Change>,
}

/// Why a Deployment cannot be written to the Swarm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Blocked {
    /// One word, of [`api_types::conditions::reason`].
    pub reason: &'static str,
    /// What is missing or wrong, and what would be right.
    pub message: String,
}

impl Input<'_> {
    pub(crate) fn namespace(&self) -> &str {
        self.deployment
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.deployment.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &str {
        self.deployment.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.deployment.metadata.generation.unwrap_or_default()
    }
}

//! Deletion: service, tasks, then the namespace's network, then the finalizer.

use std::time::Duration;

use api_types::DeploymentStatus;

use super::Input;
use crate::PlannedEvent;
use crate::model::Step;

/// What to do while a Deployment is being deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teardown {
    /// Writes, in this order; "not found" is success.
    pub steps: Vec<Step>,
    /// To be published when all steps succeeded.
    pub events: Vec<PlannedEvent>,
    /// Nothing is left (or it was given up on request): rows may go and the finalizer may be taken off.
    pub done: bool,
    /// Status to report while it is not done: `Terminating` with what it waits for.
    pub status: DeploymentStatus,
    /// Look again after this time even if nothing happens.
    pub recheck: Option<Duration>,
}

/// What to do about a Deployment with a deletion timestamp. `others_in_namespace`: does another
/// Deployment that is not being deleted exist in its namespace?
pub fn teardown(input: &Input<'_>, others_in_namespace: bool) -> Teardown {
    let _ = (input, others_in_namespace);
    Teardown::default()
}

//! What to report of a Deployment.

use api_types::DeploymentStatus;

use super::{Input, Plan};

/// The whole status, to be written when it differs from the stored one. `plan` is the plan made
/// from the same input.
pub fn status(input: &Input<'_>, plan: &Plan) -> DeploymentStatus {
    let _ = (input, plan);
    DeploymentStatus::default()
}

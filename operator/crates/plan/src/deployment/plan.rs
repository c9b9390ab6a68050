//! From what is wanted and what is there to steps.

use super::{Input, Plan};

/// What to do about a Deployment now. Empty when the Swarm is as it should be.
pub fn plan(input: &Input<'_>) -> Plan {
    let _ = input;
    Plan::default()
}

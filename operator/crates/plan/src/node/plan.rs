//! What to set on machines, and which objects to make for them.

use std::time::Duration;

use api_types::Node;
use jiff::Timestamp;

use super::Bindings;
use crate::model::{self, Step};
use crate::{Observed, PlannedEvent};

/// What to do about one Node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Writes.
    pub steps: Vec<Step>,
    /// To be published when all steps succeeded.
    pub events: Vec<PlannedEvent>,
}

/// What to do about a Node with a deletion timestamp.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deletion {
    /// Writes.
    pub steps: Vec<Step>,
    /// To be published when all steps succeeded.
    pub events: Vec<PlannedEvent>,
    /// The object may go.
    pub done: bool,
    /// Why it may not go yet.
    pub waiting_for: Option<String>,
    /// Look again after this time.
    pub recheck: Option<Duration>,
}

/// Objects to create for machines that no object is bound to, as they are: creating them changes
/// neither labels nor availability of a machine.
pub fn missing(bindings: &Bindings, machines: &[model::Node]) -> Vec<Node> {
    let _ = (bindings, machines);
    Vec::new()
}

/// What to set on the machine of an object.
pub fn plan(object: &Node, bindings: &Bindings, observed: Observed<'_>) -> Plan {
    let _ = (object, bindings, observed);
    Plan::default()
}

/// What to do about an object with a deletion timestamp.
pub fn delete(object: &Node, bindings: &Bindings, observed: Observed<'_>, now: Timestamp) -> Deletion {
    let _ = (object, bindings, observed, now);
    Deletion::default()
}

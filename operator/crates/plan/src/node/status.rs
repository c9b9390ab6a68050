//! What to report of a Node.

use api_types::{Node, NodeStatus};
use jiff::Timestamp;

use super::Bindings;
use crate::Observed;

/// The whole status of a Node.
pub fn status(object: &Node, bindings: &Bindings, observed: Observed<'_>, now: Timestamp) -> NodeStatus {
    let _ = (object, bindings, observed, now);
    NodeStatus::default()
}

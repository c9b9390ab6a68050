//! Rows of `deployment_routing`.

use super::Resolution;
use crate::Row;

/// All rows of the table `deployment_routing` (key `routing_key`).
pub fn rows(resolution: &Resolution) -> Vec<Row> {
    let _ = resolution;
    Vec::new()
}

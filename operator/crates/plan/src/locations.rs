//! Rows of `deployment_locations` and `node_metadata`: the Swarm as a person can query it.

use api_types::Deployment;

use crate::Row;
use crate::model::Snapshot;
use crate::route::Resolution;

/// All rows of `deployment_locations` (key `task_id`): one per task of a service of ours.
pub fn task_rows<'a>(
    snapshot: &Snapshot,
    deployments: impl IntoIterator<Item = &'a Deployment>,
    resolution: &Resolution,
) -> Vec<Row> {
    let _ = (snapshot, deployments.into_iter().count(), resolution);
    Vec::new()
}

/// All rows of `node_metadata` (key `node_id`).
pub fn node_rows(snapshot: &Snapshot) -> Vec<Row> {
    let _ = snapshot;
    Vec::new()
}

//! The port to the projections in Postgres: declared here, implemented over the store by the
//! operator binary, because controllers must not know the store.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use plan::Row;

/// Where projections are written. Implementations check the leader's epoch in the same
/// transaction, so that a deposed leader cannot write.
#[async_trait]
pub trait ProjectionSink: Send + Sync + 'static {
    /// The keys that the table holds now, each with the hash of its row, so that only
    /// differences are written.
    async fn load(&self, table: Table) -> Result<BTreeMap<String, String>, SinkError>;
    /// Upserts and deletes in one transaction.
    async fn write(
        &self,
        table: Table,
        upserts: Vec<Row>,
        deletes: BTreeSet<String>,
    ) -> Result<(), SinkError>;
}

/// The projection tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// `deployment_locations`, key `task_id`.
    Locations,
    /// `node_metadata`, key `node_id`.
    Nodes,
    /// `deployment_routing`, key `routing_key`.
    Routing,
}

/// Why a projection could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("projection {table:?}: {message}")]
pub struct SinkError {
    /// Which table.
    pub table: Table,
    /// What the store said.
    pub message: String,
}

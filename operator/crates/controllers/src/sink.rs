//! The port to the projections in Postgres: declared here, implemented over the store by the
//! operator binary, because controllers must not know the store.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

/// Where projections are written. Implementations check the leader's epoch in the same
/// transaction, so that a deposed leader cannot write.
#[async_trait]
pub trait ProjectionSink: Send + Sync + 'static {
    /// Task ids, node ids and routing keys that the tables hold now, each with a hash of the
    /// row (as `plan` computes it), so that only differences are written.
    async fn load(&self, table: Table) -> Result<BTreeMap<String, String>, SinkError>;
    /// Upserts and deletes in one transaction. Rows are JSON objects whose keys are column names.
    async fn write(
        &self,
        table: Table,
        upserts: Vec<Row>,
        deletes: BTreeSet<String>,
    ) -> Result<(), SinkError>;
}

/// The projection tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `deployment_locations`, key `task_id`.
    Locations,
    /// `node_metadata`, key `node_id`.
    Nodes,
    /// `deployment_routing`, key `routing_key`.
    Routing,
}

/// One row to upsert.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Value of the key column.
    pub key: String,
    /// Hash of `columns`, stored in the column `row_hash`.
    pub hash: String,
    /// Column name to value, without key and hash.
    pub columns: serde_json::Map<String, serde_json::Value>,
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

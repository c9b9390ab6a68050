//! The controllers' projection port over the store, fenced by the leader's epoch.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use controllers::{ProjectionSink, SinkError, Table};
use plan::Row;
use store::{ProjectionRow, ProjectionTable, Store};

use crate::leader::Leadership;

/// Writes under the epoch that this process leads by.
pub(super) struct StoreSink {
    store: Store,
    leadership: Leadership,
}

impl StoreSink {
    pub fn new(store: Store, leadership: Leadership) -> Self {
        Self { store, leadership }
    }
}

#[async_trait]
impl ProjectionSink for StoreSink {
    async fn load(&self, table: Table) -> Result<BTreeMap<String, String>, SinkError> {
        self.store
            .load_projection(of(table))
            .await
            .map_err(failed(table))
    }

    async fn write(
        &self,
        table: Table,
        upserts: Vec<Row>,
        deletes: BTreeSet<String>,
    ) -> Result<(), SinkError> {
        let Some(epoch) = self.leadership.epoch() else {
            return Err(SinkError {
                table,
                message: "this process does not lead".to_owned(),
            });
        };
        let rows = upserts
            .into_iter()
            .map(|row| ProjectionRow {
                key: row.key,
                hash: row.hash,
                columns: row.columns,
            })
            .collect();
        self.store
            .write_projection(&epoch, of(table), rows, deletes)
            .await
            .map_err(failed(table))
    }
}

fn of(table: Table) -> ProjectionTable {
    match table {
        Table::Locations => ProjectionTable::Locations,
        Table::Nodes => ProjectionTable::Nodes,
        Table::Routing => ProjectionTable::Routing,
    }
}

fn failed<E: std::fmt::Display>(table: Table) -> impl FnOnce(E) -> SinkError {
    move |error| SinkError {
        table,
        message: error.to_string(),
    }
}

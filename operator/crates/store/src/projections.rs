//! Tables for people and dashboards: written by their one leader, fenced by its epoch.
//!
//! A row is written whole: a column that it does not name becomes null (or its default), except
//! `resource_usage`, which another writer owns, and `updated_at`, which is the database's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sqlx::Row;

use crate::error::Error;
use crate::lease::{Epoch, holds_in_txn};
use crate::store::Store;

/// The projection tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProjectionTable {
    /// `deployment_locations`, key `task_id`.
    Locations,
    /// `node_metadata` (a view over `node_metadata_base`), key `node_id`.
    Nodes,
    /// `deployment_routing`, key `routing_key`.
    Routing,
}

/// One row to upsert.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionRow {
    /// Value of the key column.
    pub key: String,
    /// Hash of `columns`, stored in the column `row_hash`.
    pub hash: String,
    /// Column name to value, without key and hash.
    pub columns: Map<String, Value>,
}

/// Why a projection was not written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// Another process leads now.
    #[error("epoch {number} of the lease {lease} is over: another process leads", number = .0.number, lease = .0.lease)]
    Deposed(Epoch),
    /// The table has no such column that may be written.
    #[error("{table} has no column {column} to write; it has {known}")]
    UnknownColumn {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: String,
        /// What would be right.
        known: String,
    },
    /// Postgres did not answer or refused.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<sqlx::Error> for ProjectionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ProjectionTable {
    fn table(self) -> &'static str {
        match self {
            Self::Locations => "deployment_locations",
            Self::Nodes => "node_metadata_base",
            Self::Routing => "deployment_routing",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Locations => "task_id",
            Self::Nodes => "node_id",
            Self::Routing => "routing_key",
        }
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Locations => &[
                "deployment_id",
                "deployment_uid",
                "service_id",
                "slot",
                "node_id",
                "node_hostname",
                "container_id",
                "status",
                "desired_state",
                "port",
                "domain",
                "health_status",
                "image",
                "error",
                "exit_code",
                "created_at",
            ],
            Self::Nodes => &[
                "hostname",
                "role",
                "availability",
                "status",
                "region",
                "labels",
                "total_cpu_millicores",
                "total_memory_bytes",
                "max_deployments",
            ],
            Self::Routing => &[
                "deployment_id",
                "domain",
                "path_prefix",
                "target_port",
                "protocol",
                "ssl_enabled",
                "ssl_cert_resolver",
                "load_balancer_algo",
                "middleware",
                "route_uid",
                "rule",
            ],
        }
    }

    /// Columns that are `not null` with a default: what a row leaves out or has as null.
    fn default(self, column: &str) -> Option<&'static str> {
        match (self, column) {
            (Self::Routing, "path_prefix" | "rule") => Some("''"),
            _ => None,
        }
    }

    fn upsert(self) -> String {
        let (table, key) = (self.table(), self.key());
        let names = self.columns().join(", ");
        let values: Vec<_> = self
            .columns()
            .iter()
            .map(|column| match self.default(column) {
                Some(default) => format!("coalesce(r.{column}, {default})"),
                None => format!("r.{column}"),
            })
            .collect();
        let values = values.join(", ");
        let sets: Vec<_> = self
            .columns()
            .iter()
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let sets = sets.join(", ");
        format!(
            "insert into {table} ({key}, row_hash, updated_at, {names})
             select r.{key}, r.row_hash, clock_timestamp(), {values}
             from jsonb_populate_recordset(null::{table}, $1) r
             on conflict ({key}) do update
             set row_hash = excluded.row_hash, updated_at = excluded.updated_at, {sets}"
        )
    }

    /// The row as one JSON object, all columns checked.
    fn record(self, row: ProjectionRow) -> Result<Value, ProjectionError> {
        let ProjectionRow {
            key,
            hash,
            mut columns,
        } = row;
        for column in columns.keys() {
            if !self.columns().contains(&column.as_str()) {
                return Err(ProjectionError::UnknownColumn {
                    table: self.table(),
                    column: column.clone(),
                    known: self.columns().join(", "),
                });
            }
        }
        columns.insert(self.key().to_owned(), key.into());
        columns.insert("row_hash".to_owned(), hash.into());
        let mut record = Value::Object(columns);
        replace_nul(&mut record);
        Ok(record)
    }
}

/// Text in Postgres cannot have NUL, and a container's last words may.
fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(values) => values.iter_mut().for_each(replace_nul),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(key, value)| (key.replace('\0', "\u{fffd}"), value))
                    .collect();
            }
            fields.values_mut().for_each(replace_nul);
        }
        _ => {}
    }
}

impl Store {
    /// Key and row hash of every row, so that only differences need be written.
    ///
    /// # Errors
    /// `Unavailable` or `Database`.
    pub async fn load_projection(
        &self,
        table: ProjectionTable,
    ) -> Result<BTreeMap<String, String>, Error> {
        let sql = format!(
            "select {} as key, row_hash from {}",
            table.key(),
            table.table()
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("key")?, row.try_get("row_hash")?)))
            .collect()
    }

    /// Deletes and upserts in one transaction, if the epoch is still the current one.
    ///
    /// # Errors
    /// `Deposed` where another process leads; nothing is written then, nor with any other error.
    pub async fn write_projection(
        &self,
        epoch: &Epoch,
        table: ProjectionTable,
        upserts: Vec<ProjectionRow>,
        deletes: BTreeSet<String>,
    ) -> Result<(), ProjectionError> {
        let records = upserts
            .into_iter()
            .map(|row| table.record(row))
            .collect::<Result<Vec<_>, _>>()?;
        let mut transaction = self.pool().begin().await?;
        if !holds_in_txn(&mut transaction, epoch).await? {
            return Err(ProjectionError::Deposed(epoch.clone()));
        }
        if !deletes.is_empty() {
            let sql = format!(
                "delete from {} where {} = any($1)",
                table.table(),
                table.key()
            );
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(deletes.into_iter().collect::<Vec<_>>())
                .execute(&mut *transaction)
                .await?;
        }
        if !records.is_empty() {
            sqlx::query(sqlx::AssertSqlSafe(table.upsert()))
                .bind(Value::Array(records))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

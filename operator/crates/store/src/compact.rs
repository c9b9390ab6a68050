//! Keeps the log bounded.
//!
//! Any process may do it: each step takes an advisory lock, and what is gone and the revision up to
//! which it is gone become visible together.

use std::sync::Arc;

use crate::db::{from_db, to_db};
use crate::error::Error;
use crate::shared::{Core, jittered};

/// Revisions per transaction: some milliseconds of work.
const STEP: i64 = 1000;

/// Compacts at intervals.
pub(crate) async fn run(core: Arc<Core>) {
    let Some(interval) = core.config.compact_interval else {
        return core.stop.cancelled().await;
    };
    loop {
        tokio::time::sleep(jittered(interval)).await;
        match compact(&core).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "the log was compacted"),
            Err(error) => tracing::warn!(%error, "the log was not compacted"),
        }
    }
}

/// Compacts all that the settings allow. Returns the rows deleted.
pub(crate) async fn compact(core: &Core) -> Result<u64, Error> {
    let target: i64 =
        sqlx::query_scalar("select store_compact_target(make_interval(secs => $1), $2)")
            .bind(core.config.keep_for.as_secs_f64())
            .bind(i64::from(core.config.keep_revisions))
            .fetch_one(&core.pool)
            .await?;
    let rows = compact_to(core, from_db(target)).await?;
    let estimate: i64 = sqlx::query_scalar(
        "select coalesce(max(n_live_tup), 0) from pg_stat_user_tables where relname = 'object_log'",
    )
    .fetch_one(&core.pool)
    .await?;
    core.metrics.log_rows.set(estimate);
    Ok(rows)
}

async fn compact_to(core: &Core, target: u64) -> Result<u64, Error> {
    let mut rows = 0;
    loop {
        let deleted: Option<i64> = sqlx::query_scalar("select store_compact($1, $2)")
            .bind(to_db(target))
            .bind(STEP)
            .fetch_one(&core.pool)
            .await?;
        let Some(deleted) = deleted else {
            return Ok(rows);
        };
        rows += from_db(deleted);
        core.metrics.compacted_rows.inc_by(from_db(deleted));
    }
}

//! The projections in Postgres: rows of tasks, nodes and routes, written where they differ.
//!
//! One writer, and a pure function of what is observed: a table can be emptied at any time and
//! is the same again after the next load (T27).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plan::Row;
use plan::{locations, route};
use swarm::Observation;

use crate::context::Context;
use crate::sink::{ProjectionSink, SinkError, Table};

/// Changes that come within this time of each other are written together.
const GATHER: Duration = Duration::from_millis(100);
/// Time between two tries while Postgres is away.
const RETRY: Duration = Duration::from_secs(1);
/// The tables are read again this often, in case somebody else wrote them.
const RELOAD: Duration = Duration::from_secs(300);

/// Keeps the tables true. Ends with the process.
pub(crate) async fn project(context: Arc<Context>, sink: Arc<dyn ProjectionSink>) {
    let mut observations = context.swarm.observations();
    let mut resolutions = context.resolver.changes();
    if !context.deployments.complete().await || !context.routes.complete().await {
        return;
    }
    let mut tables = BTreeMap::new();
    let mut reload = tokio::time::interval(RELOAD);
    loop {
        context.pending.settled().await;
        let observation = observations.borrow_and_update().clone();
        resolutions.mark_unchanged();
        if let Err(error) = write_all(&context, &*sink, &observation, &mut tables).await {
            tracing::warn!("{error}");
            // What was written is unknown until it is read back.
            tables.clear();
            tokio::time::sleep(RETRY).await;
            continue;
        }
        tokio::select! {
            changed = observations.changed() => if changed.is_err() { return },
            changed = resolutions.changed() => if changed.is_err() { return },
            _ = reload.tick() => tables.clear(),
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Per table, key to hash of the row, as Postgres has it.
type Tables = BTreeMap<Table, BTreeMap<String, String>>;

async fn write_all(
    context: &Context,
    sink: &dyn ProjectionSink,
    observation: &Observation,
    tables: &mut Tables,
) -> Result<(), SinkError> {
    let resolution = context.resolver.resolution();
    write(
        context,
        sink,
        Table::Routing,
        route::rows(&resolution),
        tables,
    )
    .await?;
    // What is not known is not written: the rows stay as they were last seen (case F74).
    let Observation::Known(snapshot) = observation else {
        return Ok(());
    };
    let deployments = context.deployments.state();
    let tasks = locations::task_rows(snapshot, deployments.iter().map(Arc::as_ref), &resolution);
    write(context, sink, Table::Locations, tasks, tables).await?;
    write(
        context,
        sink,
        Table::Nodes,
        locations::node_rows(snapshot),
        tables,
    )
    .await
}

async fn write(
    context: &Context,
    sink: &dyn ProjectionSink,
    table: Table,
    rows: Vec<Row>,
    tables: &mut Tables,
) -> Result<(), SinkError> {
    let have = match tables.remove(&table) {
        Some(have) => have,
        None => sink.load(table).await?,
    };
    let wanted: BTreeMap<String, String> = rows
        .iter()
        .map(|row| (row.key.clone(), row.hash.clone()))
        .collect();
    let upserts: Vec<Row> = rows
        .into_iter()
        .filter(|row| have.get(&row.key) != Some(&row.hash))
        .collect();
    let deletes: BTreeSet<String> = have
        .keys()
        .filter(|key| !wanted.contains_key(*key))
        .cloned()
        .collect();
    let count = upserts.len() + deletes.len();
    if count > 0 {
        sink.write(table, upserts, deletes).await?;
        context.metrics.projected_rows.inc_by(count as u64);
    }
    tables.insert(table, wanted);
    Ok(())
}

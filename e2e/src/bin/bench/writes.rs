//! Durable object writes per second through the store, against one transaction per write on the
//! same Postgres, tables included, written by hand and as well as we can: a single statement, so
//! that the counter row is locked for as short as possible.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::lab::Postgres;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use store::{Config, Expect, Key, Op, Store, Write};

use crate::report::{Report, Target, median};

/// How long one measurement takes.
const ROUND: Duration = Duration::from_secs(3);
/// Measurements of each side, alternating; the median counts.
const ROUNDS: usize = 3;
const WRITERS: [usize; 3] = [1, 16, 64];

const ONE_WRITE: &str = "
    with head as (update store_state set revision = revision + 1 returning revision),
    put as (
        insert into objects (resource, namespace, name, revision, created_revision, value)
        select $1, $2, $3, revision, revision, $4::json from head
    )
    insert into object_log (revision, batch, resource, namespace, name, op, value)
    select revision, 0, $1, $2, $3, 'put', $4::json from head";

static NAMES: AtomicU64 = AtomicU64::new(0);

fn name() -> String {
    format!("object-{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// About as large as a Deployment with its status.
fn object(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "bench"},
           "data": {"text": "x".repeat(800)}})
}

pub async fn measure(postgres: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let store = Store::open(Config::new(postgres.create_database("grouped")?)).await?;
    let single = postgres.create_database("single")?;
    Store::open(Config::new(&single)).await?.close().await; // the same tables
    let most = u32::try_from(WRITERS.into_iter().max().context("no writers")?)?;
    let pool = PgPoolOptions::new()
        .max_connections(most)
        .min_connections(most)
        .connect(&single)
        .await?;
    for writers in WRITERS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(rate(writers, Grouped(store.clone())).await?);
            theirs.push(rate(writers, Single(pool.clone())).await?);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let target = if writers == 64 {
            Target::AtLeast(8.0)
        } else {
            Target::None
        };
        let detail =
            format!("{ours:.0}/s through the store, {theirs:.0}/s with one transaction each");
        report.row(
            &format!("writes, {writers} at once"),
            &detail,
            ours / theirs,
            target,
        );
    }
    pool.close().await;
    store.close().await;
    Ok(())
}

/// One way to write an object.
trait Writer: Send + Sync + 'static {
    fn write(&self, name: String) -> impl Future<Output = anyhow::Result<()>> + Send;
}

struct Grouped(Store);

impl Writer for Grouped {
    async fn write(&self, name: String) -> anyhow::Result<()> {
        let op = Op::Put(object(&name));
        let write = Write {
            key: Key::new("configmaps", "bench", name),
            expect: Expect::Absent,
            op,
            guards: Vec::new(),
        };
        self.0.commit(write).await?;
        Ok(())
    }
}

struct Single(PgPool);

impl Writer for Single {
    async fn write(&self, name: String) -> anyhow::Result<()> {
        let text = object(&name).to_string();
        sqlx::query(ONE_WRITE)
            .bind("configmaps")
            .bind("bench")
            .bind(name)
            .bind(text)
            .execute(&self.0)
            .await?;
        Ok(())
    }
}

/// Writes per second of so many writers that each wait for their write.
async fn rate(writers: usize, writer: impl Writer) -> anyhow::Result<f64> {
    let (writer, start) = (Arc::new(writer), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let writer = writer.clone();
        tasks.spawn(async move {
            let mut written = 0_u32;
            while start.elapsed() < ROUND {
                writer.write(name()).await?;
                written += 1;
            }
            anyhow::Ok(written)
        });
    }
    let mut total = 0_u32;
    while let Some(written) = tasks.join_next().await {
        total += written??;
    }
    Ok(f64::from(total) / start.elapsed().as_secs_f64())
}

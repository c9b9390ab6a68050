//! Durable writes per second: grouped by the store, against one transaction per write, on one
//! private Postgres. `cargo run --release -p store --example commits`

#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../tests/it/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::{Config, Consistency, Expect, Key, ListQuery, Op, Store, Write};

const SECONDS: Duration = Duration::from_secs(4);

/// About 1 KB, as a small ConfigMap.
fn value(n: u64) -> Value {
    json!({"metadata": {"name": n.to_string(), "labels": {"app": "bench"}}, "data": "x".repeat(900)})
}

fn create(resource: &str, n: u64, value: Value) -> Write {
    let key = Key::new(resource, "bench", n.to_string());
    Write {
        key,
        expect: Expect::Absent,
        op: Op::Put(value),
        guards: Vec::new(),
    }
}

/// Writes per second, and the median and 99th percentile latency.
async fn measure(store: &Store, writers: usize, resource: &str) -> (f64, Duration, Duration) {
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (store, next, resource) = (store.clone(), next.clone(), resource.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < SECONDS {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let before = Instant::now();
                    store.commit(create(&resource, n, value(n))).await.unwrap();
                    times.push(before.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort();
    (rate, times[times.len() / 2], times[times.len() * 99 / 100])
}

/// The same statement with one write each, on as many connections as there are writers.
async fn measure_single(url: &str, writers: usize, resource: &str) -> f64 {
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(writers as u32);
    let pool = options.connect(url).await.unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (pool, next, resource) = (pool.clone(), next.clone(), resource.to_owned());
            tokio::spawn(async move {
                while started.elapsed() < SECONDS {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    sqlx::query(
                        "select * from store_write(0, array[$1], array['bench'], array[$2], \
                         array[0::bigint], array[false], array[$3], array[]::int[], array[]::int[], \
                         array[]::text[], array[]::text[], array[]::text[], array[]::bigint[])",
                    )
                    .bind(&*resource)
                    .bind(n.to_string())
                    .bind(value(n).to_string())
                    .fetch_all(&pool)
                    .await
                    .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    next.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A cache of 10,000 objects of 1.7 KB: time to fill, memory, time to list.
async fn cache(database: &postgres::Database) {
    // The objects come by SQL, so that the heap has held nothing before.
    drop(Store::open(Config::new(database.url())).await.unwrap());
    let sql = r#"insert into objects
        select 'big', 'bench', i::text, 1, 1, json_build_object(
            'metadata', json_build_object(
                'name', i::text, 'labels', json_build_object('app', 'x', 'tier', 'y')),
            'data', repeat('x', 1600))
        from generate_series(1, 10000) i"#;
    sqlx::query(sql)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let before = resident_kb();
    let started = Instant::now();
    let store = Store::open(Config::new(database.url())).await.unwrap();
    let filled = started.elapsed();
    let query = ListQuery {
        resource: "big".into(),
        namespace: None,
        filter: None,
        at: Consistency::Latest,
        after: None,
        limit: None,
    };
    let started = Instant::now();
    let page = store.list(query).await.unwrap();
    let bytes: usize = page.objects.iter().map(|object| object.json.len()).sum();
    println!(
        "cache of {} objects, {} KB of text: filled in {filled:?}, +{} KB resident, listed in {:?}",
        page.objects.len(),
        bytes / 1024,
        resident_kb().saturating_sub(before),
        started.elapsed(),
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // A fresh process measures the cache before anything else has grown the heap.
    if std::env::args().any(|argument| argument == "cache") {
        return cache(&postgres::private_database().await).await;
    }
    println!(
        "writers | grouped/s (p50, p99) | one per transaction, one connection/s | as many connections/s | ratio to the better"
    );
    for writers in [1, 8, 64] {
        let database = postgres::private_database().await;
        let grouped = Store::open(Config::new(database.url())).await.unwrap();
        let (rate, p50, p99) = measure(&grouped, writers, "grouped").await;
        drop(grouped);
        let config = Config {
            max_batch: 1,
            ..Config::new(database.url())
        };
        let (single, _, _) = measure(&Store::open(config).await.unwrap(), writers, "single").await;
        let raw = measure_single(&database.url(), writers, "raw").await;
        println!(
            "{writers:7} | {rate:7.0} ({p50:?}, {p99:?}) | {single:7.0} | {raw:7.0} | {:.1}x",
            rate / single.max(raw)
        );
    }
}

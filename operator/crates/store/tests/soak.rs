//! The store stays flat: many updates of a hundred objects, leases renewing beside them, watchers
//! following, compaction at work. `make soak` runs a million updates; without `UPDATES` it is
//! twenty thousand. A process of its own, because it looks at the memory of the process.
//!
//! Time is scaled with the number of updates: the history kept is to the run what the defaults are
//! to some hundred hours, and Postgres' autovacuum looks as often as it can instead of every minute.

#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "it/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "it/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use sqlx::{PgConnection, Row};
use store::{
    Config, Consistency, Expect, Key, LeaseOutcome, Op, Store, WatchEvent, WatchFrom, WatchQuery,
};

use crate::postgres::{Database, private_database};
use crate::support::*;

const OBJECTS: u64 = 100;
const WRITERS: u64 = 20;
const WATCHERS: usize = 8;
/// Looks at sizes, evenly over the updates.
const SAMPLES: u64 = 20;
/// Bytes of a row of the log, with its head and what does not fit into its page.
const ROW: u64 = 2300;
/// Bytes of dead rows that a few seconds of updates leave in a table between two vacuums.
const DEAD: u64 = 32 << 20;
/// What a size may grow by that is no growth: some pages, a free list, an allocator's arena.
const SLACK: u64 = 4 << 20;

/// What all tasks of the run share.
struct Soak {
    updates: u64,
    done: AtomicU64,
    watches_closed: AtomicU64,
}

impl Soak {
    fn is_over(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.updates
    }
}

fn config_for(updates: u64, database: &Database) -> Config {
    // An hour, once a minute and 10,000 at a million updates of 100 hours.
    let keep_for = Duration::from_micros(updates * 10);
    Config {
        keep_for,
        compact_interval: Some(keep_for / 60),
        keep_revisions: u32::try_from(updates / 100).unwrap(),
        ..Config::new(database.url())
    }
}

/// About 1.5 KB that do not compress away; every tenth object is too big for its row.
fn content(object: u64, n: u64) -> serde_json::Value {
    let length = if object.is_multiple_of(10) { 800 } else { 150 };
    let noise: String = (0..length)
        .map(|_| format!("{:09}", rand::random_range(0..1_000_000_000)))
        .collect();
    json!({"metadata": {"labels": {"even": object.is_multiple_of(2).to_string()}}, "n": n, "noise": noise})
}

/// Updates its share of the objects in turn; `n` counts the updates of an object.
async fn write(store: Store, soak: Arc<Soak>, writer: u64) {
    let mine: Vec<u64> = (0..OBJECTS).filter(|i| i % WRITERS == writer).collect();
    let mut last = BTreeMap::new();
    for n in 0_u64.. {
        for object in &mine {
            if soak.done.fetch_add(1, Ordering::Relaxed) >= soak.updates {
                return;
            }
            let expect = last
                .get(object)
                .map_or(Expect::Absent, |r| Expect::Revision(*r));
            let put = Op::Put(content(*object, n));
            let written = write_to(&store, &format!("o-{object}"), expect, put).await;
            last.insert(*object, written);
        }
    }
}

async fn write_to(store: &Store, name: &str, expect: Expect, op: Op) -> u64 {
    let committed = store.commit(support::write(key(name), expect, op)).await;
    committed.unwrap().revision
}

/// Holds a lease by renewing it, and renews the objects that others' leases are.
async fn renew(store: Store, soak: Arc<Soak>) {
    let ttl = Duration::from_secs(30);
    let LeaseOutcome::Held(mut lease) = store.acquire_lease("leader", "soak", ttl).await.unwrap()
    else {
        panic!("nobody else wants the lease");
    };
    let mut revision = None;
    while !soak.is_over() {
        assert!(
            store.renew_lease(&mut lease).await.unwrap(),
            "lost the lease"
        );
        let expect = revision.map_or(Expect::Absent, Expect::Revision);
        let value = json!({"metadata": {}, "spec": {"renewTime": store.now().to_string()}});
        let write = support::write(Key::new("leases", "default", "l"), expect, Op::Put(value));
        revision = Some(store.commit(write).await.unwrap().revision);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Follows all objects, or the even ones: each object's `n` rises by one, revisions rise. A watch
/// that was closed as too slow goes on from its last revision.
async fn follow(store: Store, soak: Arc<Soak>, only_even: bool) {
    let mut seen: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    let mut revision = 1;
    loop {
        let query = WatchQuery {
            filter: only_even.then(|| Arc::new(even) as store::Filter),
            bookmarks: true,
            ..watching(WatchFrom::After(revision))
        };
        let mut watcher = store.watch(query).await.unwrap();
        loop {
            let last: u64 = seen.values().map(|n| n + 1).sum();
            let share = if only_even {
                soak.updates / 2
            } else {
                soak.updates
            };
            // The odd and the even writers need not end alike: the last events are awaited by time.
            let patience = if last + OBJECTS * 200 < share {
                PATIENCE
            } else {
                Duration::from_secs(3)
            };
            let event = match tokio::time::timeout(patience, watcher.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) => {
                    assert!(soak.is_over(), "no event for {patience:?} in mid-run");
                    return assert_complete(&store, &seen, only_even).await;
                }
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    assert!(object.revision > revision, "{object:?} after {revision}");
                    revision = object.revision;
                    let expected = seen.get(&object.key.name).map_or(0, |n| n + 1);
                    assert_eq!(n(&object), expected, "{} at {revision}", object.key);
                    seen.insert(object.key.name.clone(), expected);
                }
                WatchEvent::Bookmark(at) => {
                    assert!(at >= revision);
                    revision = at;
                }
                other => panic!("{other:?}"),
            }
        }
        soak.watches_closed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn assert_complete(store: &Store, seen: &BTreeMap<Arc<str>, u64>, only_even: bool) {
    let page = store.list(things(Consistency::Latest)).await.unwrap();
    let wanted = page
        .objects
        .iter()
        .filter(|object| !only_even || even(object));
    let wanted: BTreeMap<_, _> = wanted
        .map(|object| (object.key.name.clone(), n(object)))
        .collect();
    assert_eq!(*seen, wanted);
}

/// Reads the newest state all the time; returns how long each read took.
async fn read(store: Store, soak: Arc<Soak>) -> Vec<Duration> {
    let mut times = Vec::new();
    while !soak.is_over() {
        let started = Instant::now();
        let page = store.list(things(Consistency::Latest)).await.unwrap();
        times.push(started.elapsed());
        assert!(page.objects.len() <= OBJECTS as usize);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times
}

/// One look at everything that could grow. Bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    updates: u64,
    seconds: f64,
    log_rows: u64,
    young_rows: u64,
    log: u64,
    log_indexes: u64,
    objects: u64,
    others: u64,
    resident: u64,
}

const SIZES: &str = "
    select count(*) as log_rows,
        count(*) filter (where committed_at > clock_timestamp() - make_interval(secs => $1)) as young,
        pg_table_size('object_log') as log, pg_indexes_size('object_log') as log_indexes,
        pg_total_relation_size('objects') as objects,
        pg_total_relation_size('store_state') + pg_total_relation_size('leases') as others
    from object_log";

async fn sample(
    connection: &mut PgConnection,
    keep: Duration,
    updates: u64,
    started: Instant,
) -> Sample {
    let row = sqlx::query(SIZES)
        .bind(keep.as_secs_f64())
        .fetch_one(connection)
        .await
        .unwrap();
    let get = |name: &str| row.get::<i64, _>(name).unsigned_abs();
    Sample {
        updates,
        seconds: started.elapsed().as_secs_f64(),
        log_rows: get("log_rows"),
        young_rows: get("young"),
        log: get("log"),
        log_indexes: get("log_indexes"),
        objects: get("objects"),
        others: get("others"),
        resident: resident(),
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

/// Looks at the sizes until the updates are done.
async fn measure(database: &Database, soak: &Soak, config: &Config) -> Vec<Sample> {
    let mut connection = database.connect().await;
    let started = Instant::now();
    // Writers fill every core: compaction may lag by as much as it keeps. The end of the test
    // checks that it catches up.
    let keep = 2 * config.keep_for + 3 * config.compact_interval.unwrap() + Duration::from_secs(2);
    let mut samples = Vec::new();
    for nth in 1..=SAMPLES {
        let at = soak.updates * nth / SAMPLES;
        while soak.done.load(Ordering::Relaxed) < at {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let taken = sample(&mut connection, keep, at, started).await;
        println!(
            "{:9} updates {:6.0} s | log {:7} rows ({:7} young) {:6} KB + {:6} KB indexes | objects {:5} KB | others {:4} KB | resident {:6} KB",
            taken.updates,
            taken.seconds,
            taken.log_rows,
            taken.young_rows,
            taken.log >> 10,
            taken.log_indexes >> 10,
            taken.objects >> 10,
            taken.others >> 10,
            taken.resident >> 10
        );
        samples.push(taken);
    }
    samples
}

/// The second half needs no more than the first, for as many rows in the log: writers that were
/// faster for a while left more behind. Medians, because vacuum may have to wait for a core once.
fn assert_flat(what: &str, samples: &[Sample], size: impl Fn(&Sample) -> u64) {
    let median = |half: &[Sample], size: &dyn Fn(&Sample) -> u64| {
        let mut sizes: Vec<u64> = half.iter().map(size).collect();
        sizes.sort_unstable();
        sizes[sizes.len() / 2]
    };
    let (first, second) = samples.split_at(samples.len() / 2);
    let rows = |half| median(half, &|sample| sample.log_rows);
    let (first, second) = (
        median(first, &size) * rows(second).max(rows(first)) / rows(first),
        median(second, &size),
    );
    assert!(
        second <= first + first / 4 + SLACK,
        "{what} grows: {first}, then {second} bytes"
    );
}

fn assert_bounded(samples: &[Sample], config: &Config) {
    let mut most_rows = 0;
    for sample in samples {
        let kept = sample.young_rows.max(config.keep_revisions.into());
        // Compaction goes in steps of a thousand; the last version of each object stays.
        assert!(sample.log_rows <= kept + 1000 + 2 * OBJECTS, "{sample:?}");
        most_rows = most_rows.max(sample.log_rows);
        assert!(sample.log <= 2 * ROW * most_rows + DEAD, "{sample:?}");
        assert!(sample.objects <= DEAD, "{sample:?}");
    }
    assert_flat("the log", samples, |s| s.log);
    assert_flat("the index of the log", samples, |s| s.log_indexes);
    assert_flat("the table of objects", samples, |s| s.objects);
    assert_flat("the small tables", samples, |s| s.others);
    assert_flat("memory", samples, |s| s.resident);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_updates_leave_the_store_flat() {
    let updates = std::env::var("UPDATES").map_or(20_000, |text| text.parse().unwrap());
    let database = private_database().await;
    let mut admin = database.connect().await;
    for sql in [
        "alter system set autovacuum_naptime = '1s'",
        "select pg_reload_conf()",
    ] {
        sqlx::query(sql).execute(&mut admin).await.unwrap();
    }
    let config = config_for(updates, &database);
    // Two processes: one writes, the other one only hears of it.
    let stores = [
        Store::open(config.clone()).await.unwrap(),
        Store::open(config.clone()).await.unwrap(),
    ];
    let soak = Arc::new(Soak {
        updates,
        done: AtomicU64::new(0),
        watches_closed: AtomicU64::new(0),
    });
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|i| tokio::spawn(follow(stores[i % 2].clone(), soak.clone(), i % 4 > 1)))
        .collect();
    let renewing = tokio::spawn(renew(stores[1].clone(), soak.clone()));
    let readers = [0, 1].map(|i: usize| tokio::spawn(read(stores[i].clone(), soak.clone())));
    let writers: Vec<_> = (0..WRITERS)
        .map(|i| tokio::spawn(write(stores[0].clone(), soak.clone(), i)))
        .collect();
    let samples = measure(&database, &soak, &config).await;
    for task in writers.into_iter().chain([renewing]).chain(watchers) {
        task.await.unwrap();
    }
    let mut reads = Vec::new();
    for task in join_all(readers).await {
        reads.extend(task.unwrap());
    }
    reads.sort();
    let last = samples.last().unwrap();
    println!(
        "{:.0} updates/s; {} reads of the newest state, p50 {:?}, p99 {:?}, longest {:?}; {} watches closed as too slow and resumed",
        updates as f64 / last.seconds,
        reads.len(),
        reads[reads.len() / 2],
        reads[reads.len() * 99 / 100],
        reads.last().unwrap(),
        soak.watches_closed.load(Ordering::Relaxed),
    );
    assert_bounded(&samples, &config);
    for store in &stores {
        assert_eq!(
            store.metrics().refills.get(),
            0,
            "a cache had to be filled again"
        );
    }
    let kept = i64::from(config.keep_revisions) + i64::try_from(OBJECTS).unwrap() + 1;
    eventually("a log of no more than is to be kept", || async {
        let mut connection = database.connect().await;
        let rows = sqlx::query_scalar::<_, i64>("select count(*) from object_log");
        rows.fetch_one(&mut connection).await.unwrap() <= kept
    })
    .await;
}

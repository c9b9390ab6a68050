//! Postgres goes away in mid-traffic: nothing acknowledged is lost, everything comes back by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use store::{Config, Consistency, Error, Expect, Store, WatchFrom, WriteError};

use crate::postgres::{Database, Postgres, private_database};
use crate::proxy::{Cut, MARK, Proxy};
use crate::support::*;

/// What writers know of each key: the last acknowledged value, and whether a later write is unknown.
type Ledger = Arc<Mutex<BTreeMap<String, (u64, bool)>>>;

async fn writer(store: Store, name: String, ledger: Ledger, stop: Arc<AtomicBool>) {
    let mut value = 0;
    while !stop.load(Ordering::Relaxed) {
        value += 1;
        let expect = if value == 1 {
            Expect::Absent
        } else {
            Expect::Exists
        };
        // After an unknown create the key may be there or not.
        let result = match put(&store, &name, expect, value).await {
            Err(WriteError::Conflict { .. }) => {
                let other = if expect == Expect::Absent {
                    Expect::Exists
                } else {
                    Expect::Absent
                };
                put(&store, &name, other, value).await
            }
            result => result,
        };
        let mut ledger = ledger.lock().unwrap();
        match result {
            Ok(_) => drop(ledger.insert(name.clone(), (value, false))),
            Err(WriteError::Store(Error::Unavailable(text))) => {
                if text.contains("unknown") || text.contains("written at revision") {
                    ledger.entry(name.clone()).or_default().1 = true;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn survive(fault: impl Fn(&Postgres) + Send + Clone + 'static) {
    let database = private_database().await;
    let store = open(&database).await;
    let mut watcher = store.watch(watching(WatchFrom::Now)).await.unwrap();
    let (ledger, stop) = (Ledger::default(), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..8)
        .map(|i| {
            tokio::spawn(writer(
                store.clone(),
                format!("w-{i}"),
                ledger.clone(),
                stop.clone(),
            ))
        })
        .collect();
    for _ in 0..3 {
        let at = store.revision();
        eventually("traffic", || async { store.revision() > at + 50 }).await;
        let (server, fault) = (database.server.clone(), fault.clone());
        let restart = move || {
            fault(&server);
            server.start();
        };
        tokio::task::spawn_blocking(restart).await.unwrap();
    }
    let at = store.revision();
    eventually("traffic after the last fault", || async {
        store.revision() > at + 50
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for result in join_all(writers).await {
        result.unwrap();
    }
    let page = store.list(things(Consistency::Latest)).await.unwrap();
    let fresh = open(&database).await;
    let reread = fresh.list(things(Consistency::Latest)).await.unwrap();
    assert_eq!(
        state(&page),
        state(&reread),
        "the cache is what Postgres has"
    );
    for (name, (acknowledged, unknown)) in &*ledger.lock().unwrap() {
        let (_, n) = state(&page)[name];
        assert!(
            n >= *acknowledged,
            "{name}: acknowledged {acknowledged}, found {n}"
        );
        assert!(
            n == *acknowledged || *unknown,
            "{name}: {n} was never acknowledged"
        );
    }
    assert_eq!(store.metrics().refills.get(), 0, "no hole in the log");
    let mut folded = Folded {
        revision: 1,
        ..Folded::default()
    };
    while folded.revision < page.revision {
        folded.live(&next(&mut watcher).await);
    }
    assert_eq!(folded.objects, state(&page), "the watch went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_mid_traffic() {
    survive(Postgres::stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_mid_traffic() {
    survive(Postgres::kill).await;
}

/// While Postgres is away: the cache serves, the rest fails in time; then all comes back.
#[tokio::test]
async fn away_and_back() {
    let database = private_database().await;
    let write_timeout = Duration::from_secs(1);
    let store = Store::open(Config {
        write_timeout,
        ..config(&database)
    })
    .await
    .unwrap();
    create(&store, "a", 1).await;
    stop(&database).await;
    let started = Instant::now();
    let unavailable = |error: &Error| matches!(error, Error::Unavailable(_));
    assert!(unavailable(
        &store.list(things(Consistency::Latest)).await.unwrap_err()
    ));
    assert!(unavailable(&store.ping().await.unwrap_err()));
    let result = put(&store, "b", Expect::Absent, 1).await;
    let Err(WriteError::Store(error)) = result else {
        panic!("{result:?}")
    };
    assert!(unavailable(&error), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        names(&store.list(things(Consistency::Cached)).await.unwrap()),
        ["a"]
    );
    let server = database.server.clone();
    tokio::task::spawn_blocking(move || server.start())
        .await
        .unwrap();
    eventually("writes again", || async {
        put(&store, "c", Expect::Absent, 1).await.is_ok()
    })
    .await;
    assert_eq!(
        names(&store.list(things(Consistency::Latest)).await.unwrap()),
        ["a", "c"]
    );
}

/// The store opens when Postgres comes, and gives up when it does not.
#[tokio::test]
async fn opening_before_postgres() {
    let database = private_database().await;
    stop(&database).await;
    let connect_timeout = Duration::from_millis(300);
    let error = Store::open(Config {
        connect_timeout,
        ..config(&database)
    })
    .await
    .err()
    .unwrap();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    let opening = tokio::spawn(Store::open(config(&database)));
    let server = database.server.clone();
    tokio::task::spawn_blocking(move || server.start())
        .await
        .unwrap();
    opening.await.unwrap().unwrap();
}

/// A connection that dies when the commit was durable and not yet answered: the log tells.
#[tokio::test]
async fn a_commit_whose_answer_is_lost() {
    let (database, proxy, store) = through_proxy(Cut::Answer).await;
    let written = create(&store, MARK, 1).await;
    assert!(proxy.has_cut());
    let reread = open(&database).await;
    let there = reread.get(&key(MARK), Consistency::Latest).await.unwrap();
    assert_eq!(there.unwrap().revision, written.revision);
    assert_eq!(store.metrics().unknown_outcomes.get(), 0);
    let next = create(&store, "next", 1).await;
    assert_eq!(next.revision, written.revision + 1);
}

/// A connection that dies on the way there: nobody can know.
#[tokio::test]
async fn a_commit_that_may_have_been_lost() {
    let (_database, proxy, store) = through_proxy(Cut::Question).await;
    let result = put(&store, MARK, Expect::Absent, 1).await;
    let Err(WriteError::Store(Error::Unavailable(text))) = result else {
        panic!("{result:?}")
    };
    assert!(
        proxy.has_cut() && text.contains("whether the write happened is unknown"),
        "{text}"
    );
    assert_eq!(store.metrics().unknown_outcomes.get(), 1);
    assert_eq!(create(&store, MARK, 1).await.revision, 3);
}

async fn through_proxy(cut: Cut) -> (Database, Proxy, Store) {
    let database = crate::postgres::database().await;
    let proxy = Proxy::start(&database, cut);
    let database_url = database.url_at(proxy.directory.path());
    let config = Config {
        database_url,
        ..config(&database)
    };
    let store = Store::open(config).await.unwrap();
    create(&store, "first", 1).await;
    (database, proxy, store)
}

async fn stop(database: &Database) {
    let server = database.server.clone();
    tokio::task::spawn_blocking(move || server.stop())
        .await
        .unwrap();
}

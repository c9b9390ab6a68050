//! The log stays bounded, and what is left of it is complete.

use std::time::Duration;

use store::{Config, Consistency, Error, Expect, Store, WatchFrom};

use crate::postgres::Database;
use crate::support::*;

async fn opened(database: &Database, keep_for: Duration, keep_revisions: u32) -> Store {
    let config = Config {
        keep_for,
        keep_revisions,
        ..config(database)
    };
    Store::open(config).await.unwrap()
}

async fn log_rows(database: &Database) -> i64 {
    let mut connection = database.connect().await;
    sqlx::query_scalar("select count(*) from object_log")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_compacted_is_gone_and_the_rest_is_complete() {
    let (database, store) = fresh().await;
    for i in 0..3000 {
        let name = format!("t-{}", i % 7);
        put(
            &store,
            &name,
            if i < 7 {
                Expect::Absent
            } else {
                Expect::Exists
            },
            i,
        )
        .await
        .unwrap();
    }
    delete(&store, "t-0", Expect::Exists).await.unwrap();
    create(&store, "last", 1).await;
    let newest = store.revision();
    let kept = newest - 100;
    let wanted = store.list(things(Consistency::Exact(kept))).await.unwrap();
    let compactor = opened(&database, Duration::ZERO, 100).await;
    assert_eq!(
        compactor.compact().await.unwrap(),
        kept - 1 - 7,
        "one version of each key stays"
    );
    assert_eq!(log_rows(&database).await, 100 + 7);
    assert_eq!(compactor.compact().await.unwrap(), 0);
    // A restarted process has only the log.
    let restarted = open(&database).await;
    let error = |requested| Error::Compacted {
        requested,
        oldest: kept,
    };
    for old in [1, kept - 1] {
        let list = restarted.list(things(Consistency::Exact(old))).await;
        assert_eq!(list.unwrap_err(), error(old));
        let get = restarted.get(&key("t-1"), Consistency::Exact(old)).await;
        assert_eq!(get.unwrap_err(), error(old));
        let watch = restarted.watch(watching(WatchFrom::After(old))).await;
        assert_eq!(watch.err().unwrap(), error(old));
    }
    let page = restarted
        .list(things(Consistency::Exact(kept)))
        .await
        .unwrap();
    assert_eq!(state(&page), state(&wanted));
    let mut folded = Folded {
        objects: state(&page),
        revision: kept,
    };
    let mut watcher = restarted
        .watch(watching(WatchFrom::After(kept)))
        .await
        .unwrap();
    while folded.revision < newest {
        folded.live(&next(&mut watcher).await);
    }
    let now = restarted.list(things(Consistency::Latest)).await.unwrap();
    assert_eq!(folded.objects, state(&now));
}

#[tokio::test]
async fn tombstones_go() {
    let (database, store) = fresh().await;
    for i in 0..50 {
        let name = format!("t-{i}");
        create(&store, &name, i).await;
        delete(&store, &name, Expect::Exists).await.unwrap();
    }
    let compactor = opened(&database, Duration::ZERO, 0).await;
    assert_eq!(compactor.compact().await.unwrap(), 100);
    assert_eq!(log_rows(&database).await, 0);
    let page = open(&database)
        .await
        .list(things(Consistency::Exact(101)))
        .await
        .unwrap();
    assert!(page.objects.is_empty());
    create(&compactor, "a", 1).await;
}

/// Neither young nor few revisions go.
#[tokio::test]
async fn what_is_kept() {
    let (database, store) = fresh().await;
    for i in 0..50 {
        put(
            &store,
            "a",
            if i == 0 {
                Expect::Absent
            } else {
                Expect::Exists
            },
            i,
        )
        .await
        .unwrap();
    }
    let hour = Duration::from_secs(3600);
    assert_eq!(
        opened(&database, hour, 10).await.compact().await.unwrap(),
        0
    );
    assert_eq!(
        opened(&database, Duration::ZERO, 50)
            .await
            .compact()
            .await
            .unwrap(),
        0
    );
    let sql = "update object_log set committed_at = committed_at - interval '2 hours' \
               where revision <= 21";
    sqlx::query(sql)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    assert_eq!(
        opened(&database, hour, 10).await.compact().await.unwrap(),
        19
    );
    assert_eq!(
        opened(&database, hour, 40).await.compact().await.unwrap(),
        0
    );
}

/// It happens by itself, in whichever process, while writes go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_background() {
    let (database, _) = fresh().await;
    let config = Config {
        compact_interval: Some(Duration::from_millis(20)),
        keep_for: Duration::ZERO,
        keep_revisions: 50,
        ..config(&database)
    };
    let stores = [
        Store::open(config.clone()).await.unwrap(),
        Store::open(config).await.unwrap(),
    ];
    for i in 0..600 {
        let expect = if i == 0 {
            Expect::Absent
        } else {
            Expect::Exists
        };
        put(&stores[i as usize % 2], "a", expect, i).await.unwrap();
    }
    eventually("a short log", || async { log_rows(&database).await <= 51 }).await;
    assert_eq!(stores[0].metrics().refills.get(), 0);
}

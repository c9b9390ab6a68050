//! Two processes on one database, many writers.

use futures::future::join_all;
use store::{Config, Consistency, Expect, Store, WatchEvent, WatchFrom};

use crate::postgres::database;
use crate::support::*;

/// No event is lost or doubled, and every replica's watchers see one order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost() {
    const WRITERS: u64 = 16;
    const WRITES: u64 = 60;
    let database = database().await;
    let stores = [open(&database).await, open(&database).await];
    assert_eq!(stores[0].cluster_uid(), stores[1].cluster_uid());
    let mut watchers = Vec::new();
    for store in &stores {
        watchers.push(store.watch(watching(WatchFrom::Now)).await.unwrap());
    }
    let writing = join_all((0..WRITERS).map(|writer| {
        let store = stores[writer as usize % 2].clone();
        tokio::spawn(async move {
            for i in 0..WRITES {
                let name = format!("w-{writer}-{}", i % 5);
                let result = match i % 3 {
                    2 => delete(&store, &name, Expect::Exists).await,
                    _ => match put(&store, &name, Expect::Absent, i).await {
                        Ok(object) => Ok(object),
                        Err(_) => put(&store, &name, Expect::Exists, i).await,
                    },
                };
                if let Ok(object) = result {
                    assert!(store.revision() >= object.revision);
                }
            }
        })
    }));
    for result in writing.await {
        result.unwrap();
    }
    let pages = [
        stores[0].list(things(Consistency::Latest)).await.unwrap(),
        stores[1].list(things(Consistency::Latest)).await.unwrap(),
    ];
    assert_eq!(state(&pages[0]), state(&pages[1]));
    for mut watcher in watchers {
        let mut folded = Folded {
            revision: 1,
            ..Folded::default()
        };
        while folded.revision < pages[0].revision {
            let before = folded.revision;
            folded.live(&next(&mut watcher).await);
            assert_eq!(
                folded.revision,
                before + 1,
                "every revision is of this collection"
            );
        }
        assert_eq!(folded.objects, state(&pages[0]));
    }
}

/// T7: what one replica acknowledged, the other reads with `Latest`.
#[tokio::test]
async fn read_after_write_on_another_replica() {
    let database = database().await;
    let (one, two) = (open(&database).await, open(&database).await);
    for i in 0..50 {
        let written = create(&one, &format!("t-{i}"), i).await;
        let read = two.get(&written.key, Consistency::Latest).await.unwrap();
        assert_eq!(read.map(|o| o.revision), Some(written.revision));
    }
}

/// A compaction by one replica ahead of another's cache (a process that slept) makes that one
/// start anew, with all objects.
#[tokio::test]
async fn a_replica_that_slept_too_long() {
    let database = database().await;
    let store = open(&database).await;
    create(&store, "a", 1).await;
    let mut connection = database.connect().await;
    // As if others had written and compacted while this process slept.
    for sql in [
        "begin",
        "update store_state set revision = 50, compact_revision = 50",
        "delete from object_log",
        "insert into object_log (revision, batch, resource, namespace, name, op, value)
         values (40, 0, 'things', 'default', 'b', 'put', '{\"metadata\": {}, \"n\": 4}')",
        "insert into objects values ('things', 'default', 'b', 40, 40, '{\"metadata\": {}, \"n\": 4}')",
        "delete from objects where name = 'a'",
        "commit",
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    let page = store.list(things(Consistency::Latest)).await.unwrap();
    assert_eq!((names(&page), page.revision), (vec!["b"], 50));
    assert_eq!(store.metrics().refills.get(), 1);
}

/// Versions that are too large to be read at once are read in parts: by a process that is behind, and
/// for a watch that begins in the log.
#[tokio::test]
async fn large_versions() {
    let database = database().await;
    let store = open(&database).await;
    let mut connection = database.connect().await;
    let sql = "with n as (
             insert into object_log (revision, batch, resource, namespace, name, op, value)
             select 1 + n, 0, 'things', 'default', 't', 'put', ('{\"metadata\": {}, \"n\": ' || n
                 || ', \"x\": \"' || repeat('x', 1000000) || '\"}')::json
             from generate_series(1, 70) n
             returning *
         ), o as (
             insert into objects select resource, namespace, name, revision, 2, value
             from n where revision = 71
         )
         update store_state set revision = 71";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let late = open(&database).await;
    for store in [store, late] {
        let page = store.list(things(Consistency::Latest)).await.unwrap();
        assert_eq!(page.revision, 71);
        let mut watcher = store.watch(watching(WatchFrom::After(1))).await.unwrap();
        for revision in 2..=71 {
            let event = next(&mut watcher).await;
            assert_eq!(short(&event).2, revision);
            assert_eq!(matches!(event, WatchEvent::Added(_)), revision == 2);
        }
        assert_eq!(store.metrics().refills.get(), 0);
    }
}

/// A database restored from a backup goes back; the cache follows and watches end.
#[tokio::test]
async fn a_restored_database() {
    let database = database().await;
    let store = open(&database).await;
    create(&store, "a", 1).await;
    create(&store, "b", 1).await;
    let mut watcher = store.watch(watching(WatchFrom::After(3))).await.unwrap();
    let mut connection = database.connect().await;
    let sql = "with o as (delete from objects where name = 'b'), \
               l as (delete from object_log where revision = 3) \
               update store_state set revision = 2";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    assert!(
        tokio::time::timeout(PATIENCE, watcher.next())
            .await
            .unwrap()
            .is_none()
    );
    let page = store.list(things(Consistency::Latest)).await.unwrap();
    assert_eq!((names(&page), page.revision), (vec!["a"], 2));
    assert_eq!(create(&store, "c", 1).await.revision, 3);
}

/// Replicas start at the same time on an empty database; a newer one is refused.
#[tokio::test]
async fn migrations() {
    let database = database().await;
    let opened = join_all((0..4).map(|_| Store::open(config(&database)))).await;
    assert!(opened.iter().all(Result::is_ok));
    let sql =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
               values (9999, 'from the future', true, '', 0)";
    sqlx::query(sql)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let error = Store::open(config(&database))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("9999") && error.contains("newer version"),
        "{error}"
    );
    let bad = Config::new("host=/nowhere dbname=x");
    let error = Store::open(bad).await.err().unwrap().to_string();
    assert!(error.contains("postgres://"), "{error}");
}

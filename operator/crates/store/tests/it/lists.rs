//! Get and list at every kind of revision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Config, Consistency, Error, Expect, Key, ListQuery, Op, Store};

use crate::support::*;

#[tokio::test]
async fn an_empty_list_has_a_revision() {
    let (_database, store) = fresh().await;
    let page = store.list(things(Consistency::Latest)).await.unwrap();
    assert!(page.objects.is_empty() && page.revision == 1 && !page.more);
}

#[tokio::test]
async fn namespaces_filters_and_order() {
    let (_database, store) = fresh().await;
    for (i, (namespace, name)) in [
        ("b", "x"),
        ("a", "z"),
        ("a", "y"),
        ("a-b", "x"),
        ("", "cluster"),
    ]
    .iter()
    .enumerate()
    {
        let op = Op::Put(value(name, i as u64));
        store
            .commit(write(
                Key::new("things", *namespace, *name),
                Expect::Absent,
                op,
            ))
            .await
            .unwrap();
    }
    let op = Op::Put(value("other", 0));
    store
        .commit(write(Key::new("others", "a", "other"), Expect::Absent, op))
        .await
        .unwrap();
    for at in [Consistency::Latest, Consistency::Exact(7)] {
        let all = store.list(things(at)).await.unwrap();
        assert_eq!(names(&all), ["cluster", "y", "z", "x", "x"]);
        let one = ListQuery {
            namespace: Some("a".into()),
            ..things(at)
        };
        assert_eq!(names(&store.list(one).await.unwrap()), ["y", "z"]);
        let filter = ListQuery {
            filter: Some(Arc::new(even)),
            ..things(at)
        };
        assert_eq!(
            names(&store.list(filter).await.unwrap()),
            ["cluster", "y", "x"]
        );
        let none = ListQuery {
            namespace: Some("none".into()),
            ..things(at)
        };
        assert!(store.list(none).await.unwrap().objects.is_empty());
        let after = Some(("a".into(), "y".into()));
        let rest = ListQuery {
            namespace: Some("a".into()),
            after,
            ..things(at)
        };
        assert_eq!(names(&store.list(rest).await.unwrap()), ["z"]);
        let before = Some(("a".into(), "y".into()));
        let rest = ListQuery {
            namespace: Some("b".into()),
            after: before,
            ..things(at)
        };
        assert_eq!(names(&store.list(rest).await.unwrap()), ["x"]);
    }
}

/// Pages of one list are true at one revision, whatever is written in between; from memory and
/// from the log.
#[tokio::test]
async fn paging_is_consistent_under_writes() {
    for history_events in [10_000, 3] {
        let (database, _) = fresh().await;
        let config = Config {
            history_events,
            ..config(&database)
        };
        let store = Store::open(config).await.unwrap();
        let mut objects = Vec::new();
        for i in 0..10 {
            objects.push(create(&store, &format!("t-{i}"), i).await);
        }
        let first = ListQuery {
            limit: Some(4),
            ..things(Consistency::Latest)
        };
        let mut page = store.list(first).await.unwrap();
        assert_eq!(
            (page.revision, page.more, page.remaining),
            (11, true, Some(6))
        );
        let mut seen: Vec<_> = page.objects.clone();
        while page.more {
            let last = &page.objects.last().unwrap().key;
            let after = Some((last.namespace.clone(), last.name.clone()));
            // Changes ahead of the reader, behind it, and right at its place.
            let round = seen.len() as u64;
            for name in ["t-0", "t-9", &last.name] {
                put(&store, name, Expect::Exists, round * 1000).await.ok();
            }
            delete(&store, "t-8", Expect::Exists).await.ok();
            put(&store, &format!("t-{round}-new"), Expect::Absent, 0)
                .await
                .unwrap();
            let at = Consistency::Exact(page.revision);
            page = store
                .list(ListQuery {
                    limit: Some(4),
                    after,
                    ..things(at)
                })
                .await
                .unwrap();
            assert_eq!(page.revision, 11);
            seen.extend(page.objects.clone());
        }
        let jsons =
            |list: &[Arc<store::Object>]| list.iter().map(|o| o.json.clone()).collect::<Vec<_>>();
        assert_eq!(jsons(&seen), jsons(&objects), "history of {history_events}");
    }
}

#[tokio::test]
async fn a_limit_with_a_filter() {
    let (_database, store) = fresh().await;
    for i in 0..10 {
        create(&store, &format!("t-{i}"), i).await;
    }
    let query = |limit| ListQuery {
        limit: Some(limit),
        filter: Some(Arc::new(even)),
        ..things(Consistency::Latest)
    };
    let page = store.list(query(3)).await.unwrap();
    assert_eq!(names(&page), ["t-0", "t-2", "t-4"]);
    assert_eq!((page.more, page.remaining), (true, None));
    let page = store.list(query(5)).await.unwrap();
    assert_eq!((page.objects.len(), page.more), (5, false));
}

/// Every past revision reads as it was, from memory and from the log.
#[tokio::test]
async fn every_exact_revision() {
    let (database, store) = fresh().await;
    let mut states = vec![(1, Default::default())];
    for i in 0..30_u64 {
        let name = format!("t-{}", i % 4);
        let result = match i % 5 {
            0 | 3 => delete(&store, &name, Expect::Exists).await,
            _ => match store.get(&key(&name), Consistency::Cached).await.unwrap() {
                Some(_) => put(&store, &name, Expect::Exists, i).await,
                None => put(&store, &name, Expect::Absent, i).await,
            },
        };
        if let Ok(object) = result {
            let page = store.list(things(Consistency::Cached)).await.unwrap();
            states.push((object.revision, state(&page)));
        }
    }
    let restarted = open(&database).await;
    for (revision, wanted) in states {
        for store in [&store, &restarted] {
            let page = store
                .list(things(Consistency::Exact(revision)))
                .await
                .unwrap();
            assert_eq!((page.revision, &state(&page)), (revision, &wanted));
            for i in 0..4 {
                let name = format!("t-{i}");
                let got = store
                    .get(&key(&name), Consistency::Exact(revision))
                    .await
                    .unwrap();
                assert_eq!(got.map(|o| (o.revision, n(&o))), wanted.get(&name).copied());
            }
        }
    }
}

/// A revision that has not been is waited for, then refused.
#[tokio::test]
async fn the_future() {
    let (_database, store) = fresh().await;
    let started = Instant::now();
    for at in [Consistency::NotOlderThan(9), Consistency::Exact(9)] {
        let error = store.list(things(at)).await.unwrap_err();
        assert_eq!(
            error,
            Error::Future {
                requested: 9,
                current: 1
            }
        );
    }
    assert!(started.elapsed() >= Duration::from_secs(6));
    let waiting = store.list(things(Consistency::NotOlderThan(2)));
    let (page, _) = tokio::join!(waiting, create(&store, "a", 1));
    assert_eq!(names(&page.unwrap()), ["a"]);
}

/// Reads of the log that take long hold up neither reads of the newest state nor the lease.
#[tokio::test]
async fn long_reads_stand_in_nobodys_way() {
    let (database, store) = fresh().await;
    create(&store, "a", 1).await;
    // A new process has nothing in memory and reads the past from the log, which is locked here.
    let store = open(&database).await;
    let mut other = database.connect().await;
    for sql in ["begin", "lock table object_log in access exclusive mode"] {
        sqlx::query(sql).execute(&mut other).await.unwrap();
    }
    let stuck: Vec<_> = (0..2 * config(&database).max_connections)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.list(things(Consistency::Exact(1))).await })
        })
        .collect();
    eventually("all connections for reads wait for the lock", || async {
        let sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut database.connect().await).await.unwrap();
        waiting >= config(&database).max_connections.into()
    })
    .await;
    assert_eq!(
        names(&store.list(things(Consistency::Latest)).await.unwrap()),
        ["a"]
    );
    store.ping().await.unwrap();
    let ttl = Duration::from_secs(10);
    store.acquire_lease("l", "me", ttl).await.unwrap();
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    for reading in stuck {
        assert!(reading.await.unwrap().unwrap().objects.is_empty());
    }
}

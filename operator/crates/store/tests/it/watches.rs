//! Watch: where it starts, what it sees, how it ends.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use store::{Config, Error, Expect, Key, Op, Store, WatchFrom, WatchQuery};

use crate::support::*;

/// From the state, and from every revision, in memory and in the log (after a restart).
#[tokio::test]
async fn from_every_revision() {
    let (database, store) = fresh().await;
    let a = create(&store, "a", 1).await;
    update(&store, &a, 2).await;
    create(&store, "b", 3).await;
    delete(&store, "a", Expect::Exists).await.unwrap();
    create(&store, "a", 4).await;
    let history = [
        ("added", "a".to_owned(), 2, 1),
        ("modified", "a".to_owned(), 3, 2),
        ("added", "b".to_owned(), 4, 3),
        ("deleted", "a".to_owned(), 5, 2),
        ("added", "a".to_owned(), 6, 4),
    ];
    let restarted = open(&database).await;
    let mut open = Vec::new();
    for store in [&store, &restarted] {
        for revision in 1..=6 {
            let mut watcher = store
                .watch(watching(WatchFrom::After(revision)))
                .await
                .unwrap();
            for wanted in history.iter().filter(|event| event.2 > revision) {
                assert_eq!(
                    short(&next(&mut watcher).await),
                    *wanted,
                    "after {revision}"
                );
            }
            open.push(watcher);
        }
        let mut watcher = store.watch(watching(WatchFrom::Now)).await.unwrap();
        assert_eq!(
            short(&next(&mut watcher).await),
            ("added", "a".to_owned(), 6, 4)
        );
        assert_eq!(
            short(&next(&mut watcher).await),
            ("added", "b".to_owned(), 4, 3)
        );
        open.push(watcher);
    }
    assert_eq!(store.metrics().watchers.get(), 7);
    create(&store, "c", 5).await;
    for mut watcher in open {
        assert_eq!(
            short(&next(&mut watcher).await),
            ("added", "c".to_owned(), 7, 5)
        );
    }
    assert_eq!(store.metrics().watchers.get(), 0, "dropped watchers leave");
}

#[tokio::test]
async fn only_what_was_asked_for() {
    let (_database, store) = fresh().await;
    let query = WatchQuery {
        namespace: Some("mine".into()),
        ..watching(WatchFrom::Now)
    };
    let mut watcher = store.watch(query).await.unwrap();
    for key in [
        Key::new("others", "mine", "a"),
        Key::new("things", "yours", "a"),
        Key::new("things", "mine", "a"),
    ] {
        let op = Op::Put(value("a", 1));
        store.commit(write(key, Expect::Absent, op)).await.unwrap();
    }
    assert_eq!(
        short(&next(&mut watcher).await),
        ("added", "a".to_owned(), 4, 1)
    );
}

/// T6 (a): live, from memory, from the log.
#[tokio::test]
async fn crossing_a_filter() {
    let (database, store) = fresh().await;
    let query = |from| WatchQuery {
        filter: Some(Arc::new(even)),
        ..watching(from)
    };
    let mut live = store.watch(query(WatchFrom::Now)).await.unwrap();
    for n in [1, 2, 4, 5, 7, 8] {
        let expect = if n == 1 {
            Expect::Absent
        } else {
            Expect::Exists
        };
        put(&store, "a", expect, n).await.unwrap();
    }
    let op = Op::Delete(Some(value("a", 9)));
    store
        .commit(write(key("a"), Expect::Exists, op))
        .await
        .unwrap();
    put(&store, "a", Expect::Absent, 11).await.unwrap();
    delete(&store, "a", Expect::Exists).await.unwrap();
    let wanted = [
        ("added", "a".to_owned(), 3, 2),
        ("modified", "a".to_owned(), 4, 4),
        // Left the filter: what it was, at the revision at which it left.
        ("deleted", "a".to_owned(), 5, 4),
        ("added", "a".to_owned(), 7, 8),
        ("deleted", "a".to_owned(), 8, 9),
    ];
    let restarted = open(&database).await;
    let mut memory = store.watch(query(WatchFrom::After(1))).await.unwrap();
    let mut log = restarted.watch(query(WatchFrom::After(1))).await.unwrap();
    for wanted in wanted {
        for watcher in [&mut live, &mut memory, &mut log] {
            assert_eq!(short(&next(watcher).await), wanted);
        }
    }
}

#[tokio::test]
async fn initial_events() {
    let (_database, store) = fresh().await;
    create(&store, "a", 1).await;
    create(&store, "b", 2).await;
    for from in [None, Some(0), Some(3)] {
        let mut watcher = store
            .watch(watching(WatchFrom::InitialEvents(from)))
            .await
            .unwrap();
        assert_eq!(short(&next(&mut watcher).await).0, "added");
        assert_eq!(short(&next(&mut watcher).await).0, "added");
        assert_eq!(
            short(&next(&mut watcher).await),
            ("end", String::new(), 3, 0)
        );
    }
    let error = store
        .watch(watching(WatchFrom::InitialEvents(Some(9))))
        .await
        .err()
        .unwrap();
    assert_eq!(
        error,
        Error::Future {
            requested: 9,
            current: 3
        }
    );
}

#[tokio::test]
async fn the_future() {
    let (_database, store) = fresh().await;
    let error = store
        .watch(watching(WatchFrom::After(9)))
        .await
        .err()
        .unwrap();
    assert_eq!(
        error,
        Error::Future {
            requested: 9,
            current: 1
        }
    );
    let waiting = store.watch(watching(WatchFrom::After(2)));
    let (watcher, _) = tokio::join!(waiting, create(&store, "a", 1));
    create(&store, "b", 2).await;
    assert_eq!(
        short(&next(&mut watcher.unwrap()).await),
        ("added", "b".to_owned(), 3, 2)
    );
}

/// T4: a bookmark says what was sent, and comes after it.
#[tokio::test]
async fn bookmarks_in_order() {
    let (database, _) = fresh().await;
    let bookmark_interval = Duration::from_millis(1);
    let store = Store::open(Config {
        bookmark_interval,
        ..config(&database)
    })
    .await
    .unwrap();
    let query = WatchQuery {
        bookmarks: true,
        ..watching(WatchFrom::Now)
    };
    let mut watcher = store.watch(query).await.unwrap();
    let mut folded = Folded {
        revision: 1,
        ..Folded::default()
    };
    let mut bookmarks = 0;
    let writes = async {
        for i in 0_u64.. {
            put(&store, &format!("t-{i}"), Expect::Absent, i)
                .await
                .unwrap();
        }
    };
    let reads = async {
        while bookmarks < 3 {
            let event = next(&mut watcher).await;
            folded.live(&event);
            if short(&event).0 == "bookmark" {
                bookmarks += 1;
                // Every revision is an object here: all up to the bookmark have come.
                assert_eq!(folded.objects.len() as u64 + 1, short(&event).2);
            }
        }
    };
    tokio::select! { () = writes => {}, () = reads => {} }
    assert_eq!(bookmarks, 3);
}

/// T6 (b): a watcher that does not read is closed; the others and the writers do not wait.
#[tokio::test]
async fn a_slow_watcher_is_closed() {
    let (database, _) = fresh().await;
    let store = Store::open(Config {
        watcher_buffer: 10,
        ..config(&database)
    })
    .await
    .unwrap();
    let mut slow = store.watch(watching(WatchFrom::Now)).await.unwrap();
    let mut quick = store.watch(watching(WatchFrom::Now)).await.unwrap();
    for i in 0..30 {
        create(&store, &format!("t-{i:02}"), i).await;
        assert_eq!(short(&next(&mut quick).await).2, i + 2);
    }
    assert_eq!(store.metrics().dropped_watchers.get(), 1);
    for i in 0..10 {
        assert_eq!(
            short(&next(&mut slow).await).2,
            i + 2,
            "what was sent still comes"
        );
    }
    assert!(slow.next().await.is_none());
    // It comes back from where it was.
    let mut again = store.watch(watching(WatchFrom::After(11))).await.unwrap();
    assert_eq!(short(&next(&mut again).await).2, 12);
}

/// What a watcher does not read stays in memory, so that large objects count for more.
#[tokio::test]
async fn a_watcher_that_lags_by_bytes_is_closed() {
    let (database, _) = fresh().await;
    let store = Store::open(Config {
        watcher_bytes: 250,
        ..config(&database)
    })
    .await
    .unwrap();
    let mut slow = store.watch(watching(WatchFrom::Now)).await.unwrap();
    let mut quick = store.watch(watching(WatchFrom::Now)).await.unwrap();
    for i in 0..6 {
        let made = create(&store, &format!("t-{i}"), i).await;
        assert!((90..120).contains(&made.json.len()));
        assert_eq!(short(&next(&mut quick).await).2, made.revision);
    }
    assert_eq!(store.metrics().dropped_watchers.get(), 1);
    for i in 0..2 {
        assert_eq!(short(&next(&mut slow).await).2, i + 2);
    }
    assert!(slow.next().await.is_none());
}

/// Whoever follows several collections can have everything that one of them began with.
#[tokio::test]
async fn what_is_known_is_handed_out() {
    let (_database, store) = fresh().await;
    let mut watcher = store.watch(watching(WatchFrom::Now)).await.unwrap();
    for i in 0..50 {
        let made = create(&store, &format!("t-{i}"), i).await;
        store.handed_out().await;
        let event = watcher.next().now_or_never().flatten();
        assert_eq!(short(&event.unwrap()).2, made.revision);
    }
}

#[tokio::test]
async fn closing_the_store_ends_watches() {
    let (_database, store) = fresh().await;
    let mut watcher = store.watch(watching(WatchFrom::Now)).await.unwrap();
    store.close().await;
    assert!(watcher.next().await.is_none());
    assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
    assert!(put(&store, "a", Expect::Absent, 1).await.is_err());
    assert!(store.watch(watching(WatchFrom::Now)).await.is_err());
}

#[tokio::test]
async fn dropping_the_store_ends_watches() {
    let (_database, store) = fresh().await;
    let mut watcher = store.watch(watching(WatchFrom::Now)).await.unwrap();
    drop(store);
    assert!(
        tokio::time::timeout(PATIENCE, watcher.next())
            .await
            .unwrap()
            .is_none()
    );
}

/// A watch that starts in the log joins the live stream without gap or overlap, page by page.
#[tokio::test]
async fn from_the_log_into_the_live_stream() {
    let (database, store) = fresh().await;
    for i in 0..1200 {
        // Pairs, so that batches form.
        let (a, b) = (format!("a-{i}"), format!("b-{i}"));
        tokio::join!(create(&store, &a, i), create(&store, &b, i));
    }
    let restarted = open(&database).await;
    let writing = async {
        for i in 0..200 {
            create(&store, &format!("c-{i}"), i).await;
        }
    };
    let reading = async {
        let mut watcher = restarted
            .watch(watching(WatchFrom::After(1)))
            .await
            .unwrap();
        for revision in 2..=2601 {
            assert_eq!(short(&next(&mut watcher).await).2, revision);
        }
    };
    tokio::join!(writing, reading);
}

//! Create, update, delete, batches.

use futures::future::join_all;
use serde_json::json;
use store::{Consistency, Error, Expect, Key, Op, Replace, Write, WriteError};

use crate::support::*;

#[tokio::test]
async fn create_get_update_delete() {
    let (_database, store) = fresh().await;
    assert_eq!(store.revision(), 1);
    let created = create(&store, "a", 1).await;
    assert_eq!(created.revision, 2);
    assert_eq!(store.revision(), 2, "visible when acknowledged");
    assert_eq!(parsed(&created)["metadata"]["resourceVersion"], json!("2"));
    assert_eq!(created.labels["even"], "false");
    let updated = update(&store, &created, 2).await;
    assert_eq!(updated.revision, 3);
    for at in [
        Consistency::Latest,
        Consistency::Cached,
        Consistency::Exact(3),
    ] {
        let got = store.get(&key("a"), at).await.unwrap().unwrap();
        assert_eq!(got.json, updated.json);
    }
    let deleted = delete(&store, "a", Expect::Revision(3)).await.unwrap();
    assert_eq!(
        (deleted.revision, n(&deleted)),
        (4, 2),
        "last state, revision of the delete"
    );
    assert_eq!(parsed(&deleted)["metadata"]["resourceVersion"], json!("4"));
    assert!(
        store
            .get(&key("a"), Consistency::Latest)
            .await
            .unwrap()
            .is_none()
    );
    let past = store
        .get(&key("a"), Consistency::Exact(2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(past.json, created.json);
}

#[tokio::test]
async fn delete_with_a_last_state() {
    let (_database, store) = fresh().await;
    create(&store, "a", 1).await;
    let op = Op::Delete(Some(value("a", 9)));
    let deleted = store
        .commit(write(key("a"), Expect::Exists, op))
        .await
        .unwrap();
    assert_eq!((deleted.revision, n(&deleted)), (3, 9));
}

#[tokio::test]
async fn a_conflict_shows_what_is_there() {
    let (_database, store) = fresh().await;
    let absent = [
        put(&store, "a", Expect::Exists, 1).await,
        put(&store, "a", Expect::Revision(7), 1).await,
        put(&store, "a", Expect::Revision(0), 1).await,
        delete(&store, "a", Expect::Exists).await,
        delete(&store, "a", Expect::Revision(7)).await,
    ];
    for result in absent {
        assert!(
            matches!(result, Err(WriteError::Conflict { current: None })),
            "{result:?}"
        );
    }
    let there = create(&store, "a", 1).await;
    let present = [
        put(&store, "a", Expect::Absent, 2).await,
        put(&store, "a", Expect::Revision(1), 2).await,
        delete(&store, "a", Expect::Revision(1)).await,
    ];
    for result in present {
        let Err(WriteError::Conflict {
            current: Some(current),
        }) = result
        else {
            panic!("{result:?}")
        };
        assert_eq!(
            (current.revision, &current.json),
            (there.revision, &there.json)
        );
    }
    assert_eq!(
        store.revision(),
        there.revision,
        "what fails takes no revision"
    );
}

#[tokio::test]
async fn guards() {
    let (_database, store) = fresh().await;
    let space = Key::new("namespaces", "", "default");
    let guarded = |guards: Vec<(Key, Expect)>| {
        let op = Op::Put(value("a", 1));
        store.commit(Write {
            guards,
            ..write(key("a"), Expect::Absent, op)
        })
    };
    let absent = guarded(vec![
        (key("x"), Expect::Absent),
        (space.clone(), Expect::Exists),
    ])
    .await;
    assert!(matches!(absent, Err(WriteError::Guard(1))), "{absent:?}");
    let op = Op::Put(json!({"metadata": {}}));
    let at = store
        .commit(write(space.clone(), Expect::Absent, op))
        .await
        .unwrap()
        .revision;
    let changed = guarded(vec![(space.clone(), Expect::Revision(at - 1))]).await;
    assert!(matches!(changed, Err(WriteError::Guard(0))), "{changed:?}");
    guarded(vec![
        (space.clone(), Expect::Revision(at)),
        (space, Expect::Exists),
    ])
    .await
    .unwrap();
}

/// Of a delete of a namespace and creates in it at the same time, no create comes after.
#[tokio::test]
async fn a_guard_holds_within_a_batch() {
    let (_database, store) = fresh().await;
    let space = Key::new("namespaces", "", "default");
    for round in 0..20_u64 {
        let op = Op::Put(json!({"metadata": {}}));
        store
            .commit(write(space.clone(), Expect::Absent, op))
            .await
            .unwrap();
        let creates = (0..10).map(|i| {
            let name = format!("{round}-{i}");
            let op = Op::Put(value(&name, i));
            let guards = vec![(space.clone(), Expect::Exists)];
            store.commit(Write {
                guards,
                ..write(key(&name), Expect::Absent, op)
            })
        });
        let gone = store.commit(write(space.clone(), Expect::Exists, Op::Delete(None)));
        let (first, second): (Vec<_>, Vec<_>) = creates.enumerate().partition(|(i, _)| i % 2 == 0);
        let bare = |list: Vec<(usize, _)>| list.into_iter().map(|(_, write)| write);
        let (first, gone, second) =
            tokio::join!(join_all(bare(first)), gone, join_all(bare(second)));
        let gone = gone.unwrap().revision;
        for result in first.into_iter().chain(second) {
            match result {
                Ok(object) => assert!(object.revision < gone),
                Err(error) => assert!(matches!(error, WriteError::Guard(0)), "{error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn one_failing_write_never_fails_its_neighbours() {
    let (_database, store) = fresh().await;
    let there = create(&store, "there", 0).await;
    let results = join_all((0..60_u64).map(|i| {
        let (store, there) = (&store, &there);
        async move {
            match i % 4 {
                0 => put(store, "there", Expect::Absent, i).await,
                1 => {
                    let guards = vec![(key("nowhere"), Expect::Exists)];
                    let op = Op::Put(value("x", i));
                    store
                        .commit(Write {
                            guards,
                            ..write(key("x"), Expect::Absent, op)
                        })
                        .await
                }
                2 => delete(store, &there.key.name, Expect::Revision(1)).await,
                _ => put(store, &format!("ok-{i}"), Expect::Absent, i).await,
            }
        }
    }))
    .await;
    for (i, result) in results.iter().enumerate() {
        let right = match i % 4 {
            0 | 2 => matches!(result, Err(WriteError::Conflict { current: Some(_) })),
            1 => matches!(result, Err(WriteError::Guard(0))),
            _ => result.is_ok(),
        };
        assert!(right, "{i}: {result:?}");
    }
    assert_eq!(
        store.revision(),
        there.revision + 15,
        "revisions without holes"
    );
}

/// A write that Postgres refuses fails its statement, not the writes beside it.
#[tokio::test]
async fn a_poisoned_write_fails_alone() {
    let (database, store) = fresh().await;
    let sql = "alter table objects add check (name <> 'poison')";
    sqlx::query(sql)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let names = (0..40).map(|i| {
        if i % 10 == 5 {
            "poison".to_owned()
        } else {
            format!("ok-{i}")
        }
    });
    let results = join_all(names.map(|name| {
        let store = &store;
        async move { (name.clone(), put(store, &name, Expect::Absent, 1).await) }
    }))
    .await;
    for (name, result) in results {
        match result {
            Err(WriteError::Store(Error::Database(_))) => assert_eq!(name, "poison"),
            result => assert!(name != "poison" && result.is_ok(), "{name}: {result:?}"),
        }
    }
    assert_eq!(store.revision(), 37);
}

/// A server that is out of something says so with the statement, which has then written nothing.
#[tokio::test]
async fn a_full_disk() {
    let (database, store) = fresh().await;
    let mut connection = database.connect().await;
    let sql = "create function full_disk() returns trigger language plpgsql as $$
            begin raise exception using errcode = 'disk_full'; end
        $$;
        create trigger full_disk before insert on object_log execute function full_disk()";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    let result = put(&store, "a", Expect::Absent, 1).await;
    let Err(WriteError::Store(Error::Unavailable(text))) = result else {
        panic!("{result:?}")
    };
    assert!(text.ends_with("; not written"), "{text}");
    assert_eq!(store.metrics().unknown_outcomes.get(), 0);
    let sql = "drop trigger full_disk on object_log";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    assert_eq!(create(&store, "a", 1).await.revision, 2);
}

#[tokio::test]
async fn bad_input_is_refused_before_it_is_sent() {
    let (_database, store) = fresh().await;
    let bad = [
        write(
            Key::new("things", "", "a\0"),
            Expect::Absent,
            Op::Put(json!({})),
        ),
        write(key("a"), Expect::Absent, Op::Put(json!([]))),
        write(key("a"), Expect::Absent, Op::Put(json!({"metadata": 1}))),
        write(key("a"), Expect::Absent, Op::Delete(None)),
    ];
    for write in bad {
        let result = store.commit(write).await;
        assert!(
            matches!(result, Err(WriteError::Store(Error::Database(_)))),
            "{result:?}"
        );
    }
}

/// `json` keeps what `jsonb` refuses (T10).
#[tokio::test]
async fn text_comes_back_as_it_was_written() {
    let (database, store) = fresh().await;
    let odd = json!({"metadata": {"name": "a", "annotations": {"x": "\u{0}\u{1f600}\"\\"}}, "n": 1.50, "big": 18_446_744_073_709_551_615_u64});
    let written = store
        .commit(write(key("a"), Expect::Absent, Op::Put(odd.clone())))
        .await
        .unwrap();
    let again = open(&database).await;
    let read = again
        .get(&key("a"), Consistency::Cached)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.json, written.json);
    let mut wanted = odd;
    wanted["metadata"]["resourceVersion"] = json!("2");
    assert_eq!(parsed(&read), wanted);
}

/// Compare-and-swap: of many writers on one key, one wins each revision.
#[tokio::test]
async fn concurrent_updates_of_one_key() {
    let (_database, store) = fresh().await;
    let first = create(&store, "a", 0).await;
    join_all((0..8).map(|_| async {
        for _ in 0..20 {
            let mut old = store
                .get(&key("a"), Consistency::Cached)
                .await
                .unwrap()
                .unwrap();
            loop {
                let expect = Expect::Revision(old.revision);
                match put(&store, "a", expect, n(&old) + 1).await {
                    Ok(_) => break,
                    Err(WriteError::Conflict {
                        current: Some(current),
                    }) => old = current,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }))
    .await;
    let last = store
        .get(&key("a"), Consistency::Latest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((n(&last), last.revision), (160, first.revision + 160));
}

#[tokio::test]
async fn what_is_replaced_together_with_a_write() {
    let (_database, store) = fresh().await;
    let count = create(&store, "count", 0).await;
    let other = create(&store, "other", 0).await;
    let replace = |name: &str, revision: u64, n: u64| Replace {
        key: key(name),
        revision,
        value: value(name, n),
    };
    let new = |name: &str| write(key(name), Expect::Absent, Op::Put(value(name, 1)));
    let both = vec![
        replace("count", count.revision, 1),
        replace("other", other.revision, 1),
    ];
    let a = store.commit_with(new("a"), both.clone()).await.unwrap();
    let now = |name: &str| {
        let (store, key) = (store.clone(), key(name));
        async move { store.get(&key, Consistency::Cached).await.unwrap() }
    };
    let (count, other) = (now("count").await.unwrap(), now("other").await.unwrap());
    assert_eq!((n(&count), n(&other)), (1, 1));
    assert_eq!(
        (count.revision, other.revision),
        (a.revision + 1, a.revision + 2)
    );

    // They are others by now: told what they are, and nothing is written.
    let stale = [
        both,
        vec![replace("count", count.revision, 2), replace("none", 7, 1)],
    ];
    for (also, expected) in stale.into_iter().zip([Some(other.revision), None]) {
        let result = store.commit_with(new("b"), also).await;
        let Err(WriteError::Replace { current }) = result else {
            panic!("{result:?}")
        };
        let current: Vec<_> = current
            .iter()
            .map(|o| o.as_ref().map(|o| o.revision))
            .collect();
        assert_eq!(current, [Some(count.revision), expected]);
    }
    // The write itself fails, and takes the rest with it.
    let taken = vec![replace("count", count.revision, 9)];
    let taken = store.commit_with(new("a"), taken).await;
    assert!(
        matches!(taken, Err(WriteError::Conflict { current: Some(_) })),
        "{taken:?}"
    );
    assert_eq!(n(&now("count").await.unwrap()), 1);
    assert_eq!(store.revision(), other.revision);
    // Writes of one batch that replace the same object: one of them gets through.
    let racing = (0..16).map(|i| {
        let beside = vec![replace("count", count.revision, 2)];
        store.commit_with(new(&format!("r{i}")), beside)
    });
    let results = join_all(racing).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

//! One holder at a time, and an epoch for each.

use std::time::Duration;

use store::{Lease, LeaseOutcome, Store};

use crate::support::*;

const LONG: Duration = Duration::from_secs(3600);

async fn held(store: &Store, holder: &str, ttl: Duration) -> Lease {
    match store.acquire_lease("leader", holder, ttl).await.unwrap() {
        LeaseOutcome::Held(lease) => lease,
        other @ LeaseOutcome::Taken { .. } => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn acquire_renew_release() {
    let (_database, store) = fresh().await;
    let mut first = held(&store, "one", LONG).await;
    assert_eq!(first.epoch().number, 1);
    assert!(first.may_act());
    let taken = store.acquire_lease("leader", "two", LONG).await.unwrap();
    let LeaseOutcome::Taken {
        holder,
        epoch: 1,
        remaining,
    } = taken
    else {
        panic!("{taken:?}")
    };
    assert!(holder == "one" && remaining > Duration::from_secs(3500));
    let before = first.act_until();
    assert!(store.renew_lease(&mut first).await.unwrap());
    assert!(first.act_until() > before);
    store.release_lease(first.clone()).await.unwrap();
    assert_eq!(held(&store, "two", LONG).await.epoch().number, 2);
    assert!(!store.renew_lease(&mut first).await.unwrap());
    store.release_lease(first).await.unwrap();
    let taken = store.acquire_lease("leader", "one", LONG).await.unwrap();
    assert!(
        matches!(taken, LeaseOutcome::Taken { epoch: 2, .. }),
        "an old release frees nothing"
    );
}

/// Two processes by one name: the second one leads, and the first cannot go on.
#[tokio::test]
async fn one_name_twice() {
    let (_database, store) = fresh().await;
    let mut first = held(&store, "one", LONG).await;
    let mut second = held(&store, "one", LONG).await;
    assert_eq!(second.epoch().number, 2);
    assert!(!store.renew_lease(&mut first).await.unwrap());
    store.release_lease(first).await.unwrap();
    assert!(store.renew_lease(&mut second).await.unwrap());
}

#[tokio::test]
async fn an_expired_lease_is_taken_over() {
    let (_database, store) = fresh().await;
    let mut old = held(&store, "one", Duration::from_millis(30)).await;
    eventually("expiry", || async {
        let outcome = store.acquire_lease("leader", "two", LONG).await.unwrap();
        matches!(outcome, LeaseOutcome::Held(lease) if lease.epoch().number == 2)
    })
    .await;
    assert!(!old.may_act());
    assert!(!store.renew_lease(&mut old).await.unwrap());
}

/// Of many that ask at once, one gets it.
#[tokio::test]
async fn a_race() {
    let (_database, store) = fresh().await;
    let ask = |i: usize| {
        let store = store.clone();
        async move {
            store
                .acquire_lease("leader", &i.to_string(), LONG)
                .await
                .unwrap()
        }
    };
    let outcomes = futures::future::join_all((0..8).map(ask)).await;
    let held = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, LeaseOutcome::Held(_)));
    assert_eq!(held.count(), 1);
}

/// T29: one clock, the database's.
#[tokio::test]
async fn the_clock_of_the_database() {
    let (database, store) = fresh().await;
    let mut connection = database.connect().await;
    let sql = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
    let theirs: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let ours = store.now().as_millisecond();
    assert!((ours - theirs).abs() < 2000, "{ours} {theirs}");
}

//! Concurrent compare-and-swap by several clients over two processes, while connections are cut:
//! there is an order in which what each was told is true (linearizability).
//!
//! The checker is Wing and Gong's search with Lowe's memory of places it was at before, for one key
//! at a time: histories of different keys are linearizable together when each is alone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::join_all;
use store::{Config, Consistency, Error, Expect, Object, Store, WriteError};

use crate::postgres::database;
use crate::proxy::{Cut, Proxy};
use crate::support::*;

/// What is under a key: the number of the write that put it there.
type Value = Option<u64>;

/// What a client asked for and was told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// It was this.
    Read(Value),
    /// It was the first and became the second.
    Swapped(Value, Value),
    /// It was not the first but the second.
    Refused(Value, Value),
    /// It was the first and became the second, or nothing happened; perhaps later.
    Unknown(Value, Value),
}

#[derive(Clone, Copy, Debug)]
struct Call {
    what: What,
    start: u64,
    /// What is unknown has no end.
    end: u64,
}

impl What {
    /// The value after it, if it can happen at this value.
    fn after(self, value: Value) -> Option<Value> {
        match self {
            Self::Read(found) => (found == value).then_some(value),
            Self::Swapped(from, to) | Self::Unknown(from, to) => (from == value).then_some(to),
            Self::Refused(expected, found) => {
                (found == value && expected != value).then_some(value)
            }
        }
    }
}

/// Is there an order of the calls, each between its start and its end, that explains them all?
fn is_linearizable(calls: &[Call]) -> bool {
    fn search(calls: &[Call], done: u128, value: Value, seen: &mut HashSet<(u128, Value)>) -> bool {
        let open = || {
            calls
                .iter()
                .enumerate()
                .filter(move |(i, _)| done & (1 << i) == 0)
        };
        let Some(first_end) = open().map(|(_, call)| call.end).min() else {
            return true;
        };
        // Only what is unknown is left, which need not have happened.
        if first_end == u64::MAX {
            return true;
        }
        open()
            .filter(|(_, call)| call.start < first_end)
            .any(|(i, call)| {
                let Some(after) = call.what.after(value) else {
                    return false;
                };
                let next = (done | (1 << i), after);
                seen.insert(next) && search(calls, next.0, next.1, seen)
            })
    }
    assert!(calls.len() <= 128);
    search(calls, 0, None, &mut HashSet::new())
}

/// What all clients of a run share.
struct Run {
    started: Instant,
    writes: AtomicU64,
}

impl Run {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap()
    }
}

const KEYS: u64 = 3;
const CLIENTS: u64 = 6;
/// Few enough that the history of one key fits into the checker.
const CALLS: u64 = 50;

/// Each begins with an empty store.
const ROUNDS: usize = 5;

/// Random calls; returns them by key. A client knows of each key what it was told last.
async fn client(run: Arc<Run>, store: Store) -> Vec<(u64, Call)> {
    let mut known: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        let on = rand::random_range(0..KEYS);
        let start = run.now();
        let (what, found) = call(&run, &store, &format!("k-{on}"), known.get(&on).copied()).await;
        // A read that failed says nothing.
        let Some(what) = what else { continue };
        let end = if matches!(what, What::Unknown(..)) {
            u64::MAX
        } else {
            run.now()
        };
        calls.push((on, Call { what, start, end }));
        match found {
            Some(object) => drop(known.insert(on, (object.revision, n(&object)))),
            None => drop(known.remove(&on)),
        }
    }
    calls
}

/// One call, and what the client believes to be there after it.
async fn call(
    run: &Run,
    store: &Store,
    name: &str,
    known: Option<(u64, u64)>,
) -> (Option<What>, Option<Arc<Object>>) {
    let choice = rand::random_range(0..5);
    if choice < 2 {
        return match store.get(&key(name), Consistency::Latest).await {
            Ok(found) => (Some(What::Read(found.as_deref().map(n))), found),
            Err(Error::Unavailable(_)) => (None, None),
            Err(error) => panic!("{error}"),
        };
    }
    let new = run.writes.fetch_add(1, Ordering::Relaxed);
    let expect = known.map_or(Expect::Absent, |(revision, _)| Expect::Revision(revision));
    let before = known.map(|(_, n)| n);
    let (after, result) = match (choice, known) {
        (4, Some(_)) => (None, delete(store, name, expect).await),
        _ => (Some(new), put(store, name, expect, new).await),
    };
    match result {
        Ok(object) => (Some(What::Swapped(before, after)), after.map(|_| object)),
        Err(WriteError::Conflict { current }) => (
            Some(What::Refused(before, current.as_deref().map(n))),
            current,
        ),
        Err(WriteError::Store(Error::Unavailable(text))) if text.contains("not written") => {
            (None, None)
        }
        Err(WriteError::Store(Error::Unavailable(_))) => (Some(What::Unknown(before, after)), None),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_swaps_are_linearizable() {
    let mut unknown = 0;
    for _ in 0..ROUNDS {
        let database = database().await;
        let proxy = Proxy::start(&database, Cut::Any(40));
        let cut = Config {
            database_url: database.url_at(proxy.directory.path()),
            ..config(&database)
        };
        // One process whose connections are cut, and one that must not suffer from it.
        let cut = loop {
            if let Ok(store) = Store::open(cut.clone()).await {
                break store;
            }
        };
        let stores = [cut, open(&database).await];
        let run = Arc::new(Run {
            started: Instant::now(),
            writes: AtomicU64::new(1),
        });
        let clients =
            (0..CLIENTS).map(|i| tokio::spawn(client(run.clone(), stores[i as usize % 2].clone())));
        let mut histories: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
        for calls in join_all(clients).await {
            for (key, call) in calls.unwrap() {
                histories.entry(key).or_default().push(call);
            }
        }
        assert!(proxy.has_cut());
        for (key, calls) in histories {
            unknown += calls.iter().filter(|call| call.end == u64::MAX).count();
            assert!(is_linearizable(&calls), "key {key}: {calls:#?}");
        }
    }
    assert!(
        unknown > 0,
        "no commit had an unknown outcome: the cuts cut nothing"
    );
}

fn history(calls: &[(u64, u64, What)]) -> Vec<Call> {
    calls
        .iter()
        .map(|(start, end, what)| Call {
            what: *what,
            start: *start,
            end: *end,
        })
        .collect()
}

/// The test of the test: what must not be is found, what may be is not.
#[test]
fn the_checker_knows_right_from_wrong() {
    use What::*;
    const LOST: u64 = u64::MAX;
    let right: &[&[(u64, u64, What)]] = &[
        &[],
        &[
            (0, 1, Swapped(None, Some(1))),
            (2, 3, Read(Some(1))),
            (4, 5, Swapped(Some(1), None)),
            (6, 7, Read(None)),
        ],
        // At the same time: either order.
        &[
            (0, 9, Swapped(None, Some(1))),
            (1, 2, Read(None)),
            (3, 4, Read(Some(1))),
        ],
        &[
            (0, 9, Swapped(Some(2), Some(1))),
            (1, 8, Swapped(None, Some(2))),
            (10, 11, Read(Some(1))),
        ],
        &[
            (0, 1, Swapped(None, Some(1))),
            (2, 5, Swapped(Some(1), Some(2))),
            (3, 4, Refused(Some(1), Some(2))),
        ],
        // Unknown: it never happened, or happened long after.
        &[
            (0, LOST, Unknown(None, Some(1))),
            (2, 3, Read(None)),
            (4, 5, Swapped(None, Some(2))),
        ],
        &[
            (0, LOST, Unknown(None, Some(1))),
            (2, 3, Read(None)),
            (4, 5, Read(Some(1))),
        ],
    ];
    for calls in right {
        assert!(is_linearizable(&history(calls)), "{calls:?}");
    }
    let wrong: &[&[(u64, u64, What)]] = &[
        // A value that nobody wrote.
        &[(0, 1, Read(Some(1)))],
        // A read of the past.
        &[(0, 1, Swapped(None, Some(1))), (2, 3, Read(None))],
        // An acknowledged write that is lost.
        &[
            (0, 1, Swapped(None, Some(1))),
            (2, 3, Swapped(Some(1), Some(2))),
            (4, 5, Swapped(Some(1), Some(3))),
        ],
        // Two winners, however they overlap.
        &[
            (0, 9, Swapped(None, Some(1))),
            (0, 9, Swapped(None, Some(2))),
        ],
        // A conflict with what was expected.
        &[
            (0, 1, Swapped(None, Some(1))),
            (2, 3, Refused(Some(1), Some(1))),
        ],
        // Two readers who see two writes in different orders.
        &[
            (0, 9, Swapped(None, Some(1))),
            (0, 9, Swapped(Some(1), Some(2))),
            (1, 2, Read(Some(2))),
            (3, 4, Read(Some(1))),
        ],
        // Unknown, seen, and then not to have been.
        &[
            (0, LOST, Unknown(None, Some(1))),
            (2, 3, Read(Some(1))),
            (4, 5, Read(None)),
        ],
        // Unknown, but seen before it began.
        &[(0, 1, Read(Some(1))), (2, LOST, Unknown(None, Some(1)))],
    ];
    for calls in wrong {
        assert!(!is_linearizable(&history(calls)), "{calls:?}");
    }
}

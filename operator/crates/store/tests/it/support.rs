//! Short words for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use store::{
    Config, Consistency, Expect, Key, ListQuery, Object, Op, Page, Store, WatchEvent, WatchFrom,
    WatchQuery, Watcher, Write, WriteError,
};

use crate::postgres::{Database, database};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn open(database: &Database) -> Store {
    Store::open(config(database)).await.unwrap()
}

pub fn config(database: &Database) -> Config {
    Config {
        compact_interval: None,
        max_connections: 4,
        ..Config::new(database.url())
    }
}

pub async fn fresh() -> (Database, Store) {
    let database = database().await;
    let store = open(&database).await;
    (database, store)
}

pub fn key(name: &str) -> Key {
    Key::new("things", "default", name)
}

pub fn value(name: &str, n: u64) -> Value {
    json!({"kind": "Thing", "metadata": {"name": name, "labels": {"even": n.is_multiple_of(2).to_string()}}, "n": n})
}

pub fn write(key: Key, expect: Expect, op: Op) -> Write {
    Write {
        key,
        expect,
        op,
        guards: Vec::new(),
    }
}

pub async fn create(store: &Store, name: &str, n: u64) -> Arc<Object> {
    put(store, name, Expect::Absent, n).await.unwrap()
}

pub async fn update(store: &Store, old: &Object, n: u64) -> Arc<Object> {
    put(store, &old.key.name, Expect::Revision(old.revision), n)
        .await
        .unwrap()
}

pub async fn put(
    store: &Store,
    name: &str,
    expect: Expect,
    n: u64,
) -> Result<Arc<Object>, WriteError> {
    store
        .commit(write(key(name), expect, Op::Put(value(name, n))))
        .await
}

pub async fn delete(store: &Store, name: &str, expect: Expect) -> Result<Arc<Object>, WriteError> {
    store
        .commit(write(key(name), expect, Op::Delete(None)))
        .await
}

pub fn parsed(object: &Object) -> Value {
    serde_json::from_slice(&object.json).unwrap()
}

pub fn n(object: &Object) -> u64 {
    parsed(object)["n"].as_u64().unwrap()
}

pub fn things(at: Consistency) -> ListQuery {
    ListQuery {
        resource: "things".into(),
        namespace: None,
        filter: None,
        at,
        after: None,
        limit: None,
    }
}

pub fn names(page: &Page) -> Vec<&str> {
    page.objects
        .iter()
        .map(|object| &*object.key.name)
        .collect()
}

pub fn watching(from: WatchFrom) -> WatchQuery {
    WatchQuery {
        resource: "things".into(),
        namespace: None,
        filter: None,
        from,
        bookmarks: false,
    }
}

pub fn even(object: &Object) -> bool {
    object.labels.get("even").is_some_and(|even| even == "true")
}

/// The next event, which must come.
pub async fn next(watcher: &mut Watcher) -> WatchEvent {
    let event = tokio::time::timeout(PATIENCE, watcher.next()).await;
    event.expect("an event in time").expect("an open watch")
}

/// An event in short: what, name, revision, n.
pub fn short(event: &WatchEvent) -> (&'static str, String, u64, u64) {
    let of = |what, object: &Arc<Object>| {
        let resource_version = &parsed(object)["metadata"]["resourceVersion"];
        assert_eq!(*resource_version, json!(object.revision.to_string()));
        (
            what,
            object.key.name.to_string(),
            object.revision,
            n(object),
        )
    };
    match event {
        WatchEvent::Added(object) => of("added", object),
        WatchEvent::Modified(object) => of("modified", object),
        WatchEvent::Deleted(object) => of("deleted", object),
        WatchEvent::Bookmark(revision) => ("bookmark", String::new(), *revision, 0),
        WatchEvent::InitialEventsEnd(revision) => ("end", String::new(), *revision, 0),
    }
}

/// The state that a client makes of events; checks that they fit on it.
#[derive(Default, Debug, Clone, PartialEq)]
pub struct Folded {
    pub objects: BTreeMap<String, (u64, u64)>,
    pub revision: u64,
}

impl Folded {
    pub fn fold(&mut self, event: &WatchEvent) {
        let (what, name, revision, n) = short(event);
        match what {
            "added" => assert!(
                self.objects.insert(name, (revision, n)).is_none(),
                "{event:?}"
            ),
            "modified" => assert!(
                self.objects.insert(name, (revision, n)).is_some(),
                "{event:?}"
            ),
            "deleted" => assert!(self.objects.remove(&name).is_some(), "{event:?}"),
            _ => {}
        }
        self.revision = self.revision.max(revision);
    }

    /// Folds initial events, which come in the order of names, then checks that revisions rise.
    pub fn live(&mut self, event: &WatchEvent) {
        let (what, _, revision, _) = short(event);
        let rises = if what == "bookmark" {
            revision >= self.revision
        } else {
            revision > self.revision
        };
        assert!(rises, "{event:?} after {}", self.revision);
        self.fold(event);
    }
}

/// The store's state, as folded.
pub fn state(page: &Page) -> BTreeMap<String, (u64, u64)> {
    page.objects
        .iter()
        .map(|o| (o.key.name.to_string(), (o.revision, n(o))))
        .collect()
}

/// Waits until something holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

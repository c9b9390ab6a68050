//! Garbage collection by owner references, as Kubernetes does it.
//!
//! - An object whose owners are all gone is deleted. An owner is gone when nothing with its name
//!   *and uid* is there; an owner of a kind that is not served here is taken to be there.
//! - *Foreground*: an owner with the finalizer `foregroundDeletion` waits until those with
//!   `blockOwnerDeletion` are gone; they are deleted meanwhile.
//! - *Orphan*: an owner with the finalizer `orphan` goes after the references to it are taken off.
//!
//! The loop follows every collection. Before it acts it takes in all events that have arrived; the
//! store hands events of all collections out in one order, so whatever was owned when an owner was
//! marked is known by then. Every act names the version (and uid) that it was decided on, and
//! doing it twice is harmless: any number of processes may run the loop. A pass from the start
//! every few minutes makes up for whatever was missed.

mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use store::{
    Consistency, Expect, Key, Object, Op, WatchFrom, WatchQuery, Watcher, Write, WriteError,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::graph::{Graph, Item, Owner};
use crate::admission::quota;
use crate::handlers::{DeleteOptions, conflict, delete_stored, is_held};
use crate::meta;
use crate::registry::{Backing, ResourceDef, Snapshot};
use crate::server::ApiServer;
use crate::status_error::ApiError;

/// Finalizer of an owner that waits for its dependents.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner whose dependents stay.
pub(crate) const ORPHAN: &str = "orphan";
/// How often everything is looked at from the start.
const RESYNC: Duration = Duration::from_secs(5 * 60);
/// Pause after the store did not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Pause before something that was changed meanwhile is looked at again.
const AGAIN: Duration = Duration::from_millis(50);
/// How soon a change of what is served is noticed.
const POLL: Duration = Duration::from_secs(1);
/// How many objects are looked at at the same time.
const CONCURRENCY: usize = 16;

/// What becomes of those that an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They stay, without the reference.
    Orphan,
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
}

impl Propagation {
    /// Puts the finalizers of this policy on an object, and takes those of the others off. Says
    /// whether that changed something.
    pub(crate) fn put_on(self, object: &mut Value) -> bool {
        let wanted = match self {
            Self::Orphan => Some(ORPHAN),
            Self::Background => None,
            Self::Foreground => Some(FOREGROUND),
        };
        let before = meta::finalizers(object);
        let others = before
            .iter()
            .filter(|name| ![ORPHAN, FOREGROUND].contains(name));
        let list: Vec<&str> = others.copied().chain(wanted).collect();
        let same = |name: &&str| before.contains(name);
        if list.len() == before.len() && list.iter().all(same) {
            return false;
        }
        let list = json!(list);
        set(object, "finalizers", list);
        true
    }
}

/// Sets a list of `metadata`, or removes it when it is empty.
fn set(object: &mut Value, field: &str, list: Value) {
    if let Ok(metadata) = meta::fields(object) {
        if list.as_array().is_none_or(Vec::is_empty) {
            metadata.remove(field);
        } else {
            metadata.insert(field.to_owned(), list);
        }
    }
}

/// The loop; ends when cancelled.
pub(crate) async fn run(server: ApiServer, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        match cancel.run_until_cancelled(follow(&server)).await {
            None | Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot collect garbage, trying again");
                let _ = cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await;
            }
        }
    }
}

/// One pass from the start; ends when it is time for the next one.
async fn follow(server: &ApiServer) -> Result<(), ApiError> {
    let snapshot = server.inner.registry.snapshot();
    let mut watchers = Vec::new();
    for resource in collections(&snapshot).into_keys() {
        let query = WatchQuery {
            resource,
            namespace: None,
            filter: None,
            from: WatchFrom::Now,
            bookmarks: false,
        };
        watchers.push(server.inner.store.watch(query).await?);
    }
    // An object may have been marked before the last watch began, but after one who names it came.
    server.inner.store.handed_out().await;
    let mut graph = Graph::default();
    let end = Instant::now() + RESYNC.mul_f64(rand::random_range(0.9..1.1));
    while drain(&mut watchers, &mut graph) {
        let changed = server.inner.registry.snapshot().generation != snapshot.generation;
        if changed || Instant::now() >= end {
            return Ok(());
        }
        let work = graph.take_work();
        let round = Round {
            server,
            snapshot: &snapshot,
            graph: &graph,
        };
        let again = round.act(work).await?;
        if again.is_empty() {
            wait(&mut watchers, &mut graph).await;
            continue;
        }
        again.into_iter().for_each(|key| graph.again(key));
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// What is stored, one row for each collection. Events own nothing and are owned by nobody.
fn collections(snapshot: &Snapshot) -> BTreeMap<Arc<str>, &Arc<ResourceDef>> {
    let rows = snapshot.stored().filter(|def| &*def.storage != "events");
    rows.map(|def| (def.storage.clone(), def)).collect()
}

/// Takes in all that has arrived; false when a watch ended.
fn drain(watchers: &mut [Watcher], graph: &mut Graph) -> bool {
    loop {
        let mut quiet = true;
        for watcher in &mut *watchers {
            while let Some(event) = tokio::task::unconstrained(watcher.next()).now_or_never() {
                let Some(event) = event else {
                    return false;
                };
                graph.apply(&event);
                quiet = false;
            }
        }
        // An event of one collection may have come while another was looked at.
        if quiet {
            return true;
        }
    }
}

/// Waits for an event, but not for ever. The end of a watch is found by [`drain`].
async fn wait(watchers: &mut [Watcher], graph: &mut Graph) {
    if watchers.is_empty() {
        return tokio::time::sleep(POLL).await;
    }
    let next = watchers.iter_mut().map(|watcher| watcher.next().boxed());
    let first = tokio::time::timeout(POLL, futures::future::select_all(next)).await;
    if let Ok((Some(event), _, _)) = first {
        graph.apply(&event);
    }
}

/// What decisions are made from.
struct Round<'a> {
    server: &'a ApiServer,
    snapshot: &'a Snapshot,
    graph: &'a Graph,
}

/// How an object's owners are.
#[derive(Default)]
struct Owners<'o> {
    solid: Vec<&'o Owner>,
    gone: Vec<&'o Owner>,
    waiting: Vec<&'o Owner>,
}

impl Round<'_> {
    /// Looks at these objects; returns those that changed meanwhile.
    async fn act(&self, work: BTreeSet<Key>) -> Result<Vec<Key>, ApiError> {
        let looks = work.into_iter().map(|key| async move {
            match self.look_at(&key).await {
                Ok(()) | Err(ApiError::NotFound(_)) => Ok(None),
                Err(ApiError::Conflict { .. }) => Ok(Some(key)),
                Err(error @ (ApiError::Unavailable(_) | ApiError::Internal(_))) => Err(error),
                Err(error) => {
                    tracing::warn!(%key, %error, "cannot collect this object");
                    Ok(None)
                }
            }
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(CONCURRENCY);
        let mut again = Vec::new();
        while let Some(done) = looks.next().await {
            again.extend(done?);
        }
        Ok(again)
    }

    /// Does for one object what its owners and finalizers ask for.
    async fn look_at(&self, key: &Key) -> Result<(), ApiError> {
        let store = &self.server.inner.store;
        let Some(def) = self.collection(key) else {
            return Ok(());
        };
        let Some(object) = store.get(key, Consistency::Latest).await? else {
            return Ok(());
        };
        let item = Item::read(&object);
        if !item.is_deleting() {
            return self.look_at_owners(def, &object, &item).await;
        }
        // The graph may be behind: once it has seen the mark, it knows all who named the object before.
        if item.has_finalizer(ORPHAN) && self.graph.is_orphaning(&item.metadata.uid) {
            self.orphan(&item.metadata.uid).await?;
            return self.release(def, &object, ORPHAN).await;
        }
        if item.has_finalizer(FOREGROUND) && self.graph.is_free(&item.metadata.uid) {
            return self.release(def, &object, FOREGROUND).await;
        }
        Ok(())
    }

    fn collection(&self, key: &Key) -> Option<&Arc<ResourceDef>> {
        self.snapshot
            .stored()
            .find(|def| def.storage == key.resource)
    }

    async fn look_at_owners(
        &self,
        def: &ResourceDef,
        object: &Object,
        item: &Item,
    ) -> Result<(), ApiError> {
        let owners = self.owners(&object.key, item.owners()).await?;
        let uid = &item.metadata.uid;
        let policy = match (owners.solid.is_empty(), owners.waiting.is_empty()) {
            _ if item.owners().is_empty() => return Ok(()),
            (false, _) => return self.keep(def, object, &owners).await,
            (true, false) if self.graph.dependents(uid).next().is_some() => {
                if self.graph.has_waiting_dependent(uid) && self.unblock(def, object).await? {
                    // Its new references bring it here again.
                    return Ok(());
                }
                Some(Propagation::Foreground)
            }
            // Finalizers that are there say what becomes of the object's own dependents.
            _ => None,
        };
        let options = DeleteOptions {
            uid: Some(uid.to_string()),
            resource_version: Some(object.revision.to_string()),
            policy,
            ..DeleteOptions::default()
        };
        delete_stored(self.server, def, &object.key, &options).await?;
        tracing::debug!(key = %object.key, "deleted an object whose owners are gone");
        Ok(())
    }

    /// Which of the owners are there, in the namespace of the one who names them.
    async fn owners<'o>(&self, key: &Key, named: &'o [Owner]) -> Result<Owners<'o>, ApiError> {
        let mut owners = Owners::default();
        for owner in named {
            match self.owner(key, owner).await? {
                None => owners.gone.push(owner),
                Some(true) => owners.waiting.push(owner),
                Some(false) => owners.solid.push(owner),
            }
        }
        Ok(owners)
    }

    /// Is the owner there, and if so, does it wait for its dependents? What cannot be looked up
    /// is taken to be there: nothing is deleted on a guess.
    async fn owner(&self, key: &Key, owner: &Owner) -> Result<Option<bool>, ApiError> {
        let wanted = |def: &&Arc<ResourceDef>| {
            *def.kind == *owner.kind && def.api_version() == owner.api_version
        };
        let def = self.snapshot.resources.iter().find(wanted);
        let Some(def) = def.filter(|def| def.backing == Backing::Stored) else {
            tracing::debug!(%key, kind = owner.kind, "the kind of an owner is not stored here");
            return Ok(Some(false));
        };
        let namespace: Arc<str> = match (def.namespaced, key.namespace.is_empty()) {
            (false, _) => "".into(),
            (true, false) => key.namespace.clone(),
            (true, true) => {
                tracing::debug!(%key, owner = owner.name, "a namespaced owner of a cluster object");
                return Ok(Some(false));
            }
        };
        let place = Key::new(def.storage.clone(), namespace, owner.name.as_str());
        for at in [Consistency::Cached, Consistency::Latest] {
            let found = self.server.inner.store.get(&place, at).await?;
            let item = found.as_deref().map(Item::read);
            if let Some(item) = item.filter(|item| item.metadata.uid == owner.uid) {
                return Ok(Some(item.waits_for_dependents()));
            }
        }
        Ok(None)
    }

    /// The object has an owner that stays: it is no longer owned by the others.
    async fn keep(
        &self,
        def: &ResourceDef,
        object: &Object,
        owners: &Owners<'_>,
    ) -> Result<(), ApiError> {
        let lost = owners.gone.iter().chain(&owners.waiting);
        let lost: Vec<&str> = lost.map(|owner| &*owner.uid).collect();
        self.rewrite(def, object, |object| without_owners(object, &lost))
            .await?;
        Ok(())
    }

    /// Takes the reference to an owner off all who name it.
    async fn orphan(&self, uid: &str) -> Result<(), ApiError> {
        for key in self.graph.dependents(uid) {
            let found = self
                .server
                .inner
                .store
                .get(key, Consistency::Latest)
                .await?;
            if let (Some(def), Some(object)) = (self.collection(key), found) {
                self.rewrite(def, &object, |object| without_owners(object, &[uid]))
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes a finalizer off; the object goes if it was the last.
    async fn release(
        &self,
        def: &ResourceDef,
        object: &Object,
        finalizer: &str,
    ) -> Result<(), ApiError> {
        let edit = |object: &mut Value| {
            let mut left = meta::finalizers(object);
            left.retain(|name| *name != finalizer);
            let left = json!(left);
            set(object, "finalizers", left);
        };
        self.rewrite(def, object, edit).await?;
        Ok(())
    }

    /// No longer keeps its owners from going. Says whether it did before.
    async fn unblock(&self, def: &ResourceDef, object: &Object) -> Result<bool, ApiError> {
        let edit = |object: &mut Value| {
            for owner in references(object) {
                if owner["blockOwnerDeletion"] == true {
                    owner["blockOwnerDeletion"] = json!(false);
                }
            }
        };
        self.rewrite(def, object, edit).await
    }

    /// Writes a change of exactly this version. Says whether there was one.
    async fn rewrite(
        &self,
        def: &ResourceDef,
        object: &Object,
        edit: impl FnOnce(&mut Value),
    ) -> Result<bool, ApiError> {
        let old: Value = serde_json::from_slice(&object.json)
            .map_err(|error| ApiError::Internal(format!("a stored object is not JSON: {error}")))?;
        let mut new = old.clone();
        edit(&mut new);
        if new == old {
            return Ok(false);
        }
        let released = meta::is_deleting(&new) && !is_held(def, &new);
        let write = Write {
            key: object.key.clone(),
            expect: Expect::Revision(object.revision),
            op: if released {
                Op::Delete(Some(new))
            } else {
                Op::Put(new)
            },
            guards: Vec::new(),
        };
        match quota::commit(self.server, def, Some(object), write).await? {
            Ok(_) => Ok(true),
            Err(WriteError::Store(error)) => Err(error.into()),
            Err(
                WriteError::Conflict { .. } | WriteError::Guard(_) | WriteError::Replace { .. },
            ) => Err(conflict(
                def,
                &object.key.name,
                "the object has been modified",
            )),
        }
    }
}

fn references(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let list = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("ownerReferences"))
        .and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn without_owners(object: &mut Value, uids: &[&str]) {
    let is_left = |owner: &Value| !uids.iter().any(|uid| owner["uid"] == **uid);
    let left: Vec<Value> = references(object)
        .map(|owner| owner.clone())
        .filter(is_left)
        .collect();
    set(object, "ownerReferences", Value::Array(left));
}

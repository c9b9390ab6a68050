//! Keeps the table of what is served equal to the stored definitions.
//!
//! Every process runs the loop. What it writes (names, conditions, the end of a definition) names
//! the version that it was decided on, so several may write at once. A kind is in the table of
//! this process before its definition says `Established` here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{
    Consistency, Expect, Key, ListQuery, Object, Op, WatchEvent, WatchFrom, WatchQuery, Write,
    WriteError,
};
use tokio_util::sync::CancellationToken;

use super::{CLEANUP, GROUP, KIND, STORAGE, has_condition, names, set_condition};
use crate::handlers::{DeleteOptions, Deleted, delete_stored};
use crate::meta;
use crate::registry::{
    CrdError, CustomStrategy, ResourceDef, Verb, WriteContext, from_crd, storage_name,
};
use crate::server::ApiServer;
use crate::status_error::ApiError;

/// Pause after the store did not answer.
const RETRY: Duration = Duration::from_secs(1);
/// How soon a definition whose objects wait for their finalizers is looked at again.
const RECHECK: Duration = Duration::from_millis(200);
/// What can be asked of a kind whose definition goes.
const ENDING: &[Verb] = &[
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Update,
    Verb::Watch,
];

/// Which definitions are in the table, and in which state.
#[derive(Debug, Default)]
pub(crate) struct Registered(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    group: String,
    plural: String,
    /// Hash of what the rows were made from.
    state: [u8; 32],
    /// The definition is being deleted.
    ending: bool,
}

/// Stores the server's own definitions as they are in this version of it.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn bootstrap(
    server: &ApiServer,
    own: &[CustomResourceDefinition],
) -> Result<(), ApiError> {
    let snapshot = server.inner.registry.snapshot();
    let def = snapshot
        .find(GROUP, "v1", "customresourcedefinitions")
        .ok_or(ApiError::NoSuchPath)?;
    for crd in own {
        let mut wanted =
            serde_json::to_value(crd).map_err(|error| ApiError::Internal(error.to_string()))?;
        wanted["apiVersion"] = json!(format!("{GROUP}/v1"));
        wanted["kind"] = json!(KIND);
        let now = meta::now();
        def.schema.drop_nulls(&mut wanted);
        def.strategy.complete(&mut wanted);
        meta::fill_new(&mut wanted, def, "", &now)?;
        let context = WriteContext { now: &now };
        def.strategy.prepare_create(&mut wanted, &context);
        names::decide(&mut wanted, &[]);
        store_own(server, def, wanted).await?;
    }
    Ok(())
}

async fn store_own(server: &ApiServer, def: &ResourceDef, wanted: Value) -> Result<(), ApiError> {
    let store = &server.inner.store;
    let key = key(meta::name(&wanted));
    let (expect, object) = match store.get(&key, Consistency::Latest).await? {
        None => (Expect::Absent, wanted),
        Some(found) => {
            let old = parse(&found)?;
            if old["spec"] == wanted["spec"] {
                return Ok(());
            }
            let mut object = old.clone();
            object["spec"] = wanted["spec"].clone();
            object["status"] = wanted["status"].clone();
            meta::count_generation(&mut object, &old, def);
            (Expect::Revision(found.revision), object)
        }
    };
    let op = Op::Put(object);
    match commit(server, key, expect, op).await {
        // Another process of the same version did it.
        Ok(_) | Err(ApiError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Serves what is defined already, before the first request.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn load(server: &ApiServer) -> Result<(), ApiError> {
    for object in definitions(server).await? {
        register(server, &object);
    }
    Ok(())
}

/// Looks for a definition that this process has not heard of yet. True when it is in the table now.
pub(crate) async fn catch_up(server: &ApiServer, group: &str, plural: &str) -> bool {
    if !group.contains('.') {
        return false;
    }
    let key = key(&format!("{plural}.{group}"));
    let found = server.inner.store.get(&key, Consistency::Latest).await;
    let Ok(Some(object)) = found else {
        return false;
    };
    parse(&object).is_ok_and(|object| register(server, &object))
}

/// The loop; ends when cancelled.
pub(crate) async fn run(server: ApiServer, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Some(Err(error)) = cancel.run_until_cancelled(follow(&server)).await {
            tracing::warn!(%error, "cannot follow definitions, trying again");
        }
        let _ = cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
}

/// Ends when the watch ends.
async fn follow(server: &ApiServer) -> Result<(), ApiError> {
    let query = WatchQuery {
        resource: STORAGE.into(),
        namespace: None,
        filter: None,
        from: WatchFrom::InitialEvents(None),
        bookmarks: false,
    };
    let mut watcher = server.inner.store.watch(query).await?;
    let mut pending: BTreeSet<Arc<str>> = BTreeSet::new();
    // Those that want a name which another one has: every change may free it.
    let mut waiting: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut found: Option<BTreeSet<String>> = Some(BTreeSet::new());
    loop {
        let event = match pending.is_empty() {
            true => watcher.next().await,
            false => match tokio::time::timeout(RECHECK, watcher.next()).await {
                Ok(event) => event,
                Err(_) => {
                    for name in std::mem::take(&mut pending) {
                        if !settle(server, &name).await? {
                            pending.insert(name);
                        }
                    }
                    continue;
                }
            },
        };
        match event {
            None => return Ok(()),
            Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                let name = object.key.name.clone();
                found.iter_mut().for_each(|found| {
                    found.insert(name.to_string());
                });
                let object = parse(&object)?;
                register(server, &object);
                pending.extend(waiting.iter().cloned());
                if has_condition(&object, "NamesAccepted") {
                    waiting.remove(&name);
                } else {
                    waiting.insert(name.clone());
                }
                if !settle(server, &name).await? {
                    pending.insert(name);
                }
            }
            Some(WatchEvent::Deleted(object)) => {
                unregister(server, &object.key.name);
                waiting.remove(&object.key.name);
                pending.extend(waiting.iter().cloned());
            }
            Some(WatchEvent::InitialEventsEnd(_)) => {
                // What went while nobody looked.
                for name in server
                    .inner
                    .definitions
                    .missing_in(&found.take().unwrap_or_default())
                {
                    unregister(server, &name);
                }
            }
            Some(WatchEvent::Bookmark(_)) => {}
        }
    }
}

impl Registered {
    fn missing_in(&self, found: &BTreeSet<String>) -> Vec<String> {
        let entries = self.0.lock();
        let names = entries.keys().filter(|name| !found.contains(*name));
        names.cloned().collect()
    }
}

/// Puts what an established definition defines into the table. True when it is there.
fn register(server: &ApiServer, object: &Value) -> bool {
    let name = meta::name(object);
    if server.inner.own.contains(name) || !has_condition(object, "Established") {
        return false;
    }
    let state = json!([
        object["metadata"]["uid"],
        object["spec"],
        object["status"]["acceptedNames"],
    ]);
    let entry = Entry {
        group: object["spec"]["group"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        plural: object["spec"]["names"]["plural"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        state: Sha256::digest(state.to_string()).into(),
        ending: meta::is_deleting(object),
    };
    let registry = &server.inner.registry;
    let mut entries = server.inner.definitions.0.lock();
    let known = entries.get(name);
    if known == Some(&entry) {
        return true;
    }
    if known.is_none_or(|known| known.state != entry.state) {
        match rows(object) {
            Ok(rows) => registry.replace(&entry.group, &entry.plural, rows),
            Err(error) => {
                tracing::warn!(name, %error, "a stored definition cannot be served");
                return false;
            }
        }
        tracing::info!(name, "serving a kind that was defined");
    }
    if entry.ending {
        // The rows stay what they are, so that open watches see the deletions.
        registry.restrict(&entry.group, &entry.plural, ENDING);
    }
    entries.insert(name.to_owned(), entry);
    true
}

fn unregister(server: &ApiServer, name: &str) {
    if let Some(entry) = server.inner.definitions.0.lock().remove(name) {
        server.inner.registry.remove(&entry.group, &entry.plural);
        tracing::info!(name, "a defined kind is no longer served");
    }
}

/// The rows of a definition under its accepted names.
fn rows(object: &Value) -> Result<Vec<ResourceDef>, CrdError> {
    let name = meta::name(object);
    let mut named = object.clone();
    named["spec"]["names"] = object["status"]["acceptedNames"].clone();
    let crd: CustomResourceDefinition =
        serde_json::from_value(named).map_err(|_| CrdError::NoVersion(name.to_owned()))?;
    match from_crd(&crd, CustomStrategy::default()) {
        // Nothing is served, which is fine.
        Err(CrdError::NoVersion(_)) => Ok(Vec::new()),
        rows => rows,
    }
}

/// One step of a definition's life: its names, or its end. True when there is nothing left to do.
async fn settle(server: &ApiServer, name: &str) -> Result<bool, ApiError> {
    let store = &server.inner.store;
    let Some(current) = store.get(&key(name), Consistency::Latest).await? else {
        return Ok(true);
    };
    let old = parse(&current)?;
    let mut object = old.clone();
    if meta::is_deleting(&old) {
        if !meta::finalizers(&old).contains(&CLEANUP) {
            return Ok(true);
        }
        let gone = server.inner.own.contains(name) || delete_objects(server, &old).await?;
        let (reason, message) = match gone {
            true => ("InstanceDeletionCompleted", "removed all instances"),
            false => (
                "InstanceDeletionInProgress",
                "CustomResource deletion is in progress",
            ),
        };
        set_condition(&mut object, "Terminating", !gone, reason, message);
        if gone {
            without_cleanup(&mut object);
        } else if object == old {
            return Ok(false);
        }
    } else if !names::are_settled(&old) {
        names::decide(&mut object, &definitions(server).await?);
        register(server, &object);
    }
    if object == old {
        return Ok(true);
    }
    let released = meta::is_deleting(&object) && meta::finalizers(&object).is_empty();
    let op = if released {
        Op::Delete(Some(object))
    } else {
        Op::Put(object)
    };
    let expect = Expect::Revision(current.revision);
    match commit(server, current.key.clone(), expect, op).await {
        Ok(()) => Ok(released || !meta::is_deleting(&old)),
        // Somebody wrote it in the meantime: the next round sees what.
        Err(ApiError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes the objects of a definition that is being deleted; true when none is left.
async fn delete_objects(server: &ApiServer, definition: &Value) -> Result<bool, ApiError> {
    let mut all = definition.clone();
    let versions = all["spec"]["versions"].as_array_mut();
    for version in versions.into_iter().flatten() {
        version["served"] = json!(true);
    }
    if all["status"]["acceptedNames"]["plural"] == "" {
        // It was never served.
        return Ok(true);
    }
    let rows = rows(&all).map_err(|error| ApiError::Internal(error.to_string()))?;
    let Some(def) = rows.first() else {
        return Ok(true);
    };
    let query = ListQuery {
        resource: storage_name(&def.group, &def.plural),
        namespace: None,
        filter: None,
        at: Consistency::Latest,
        after: None,
        limit: None,
    };
    let objects = server.inner.store.list(query).await?.objects;
    // Another process may have been faster, and these be of another definition of the name.
    let key = key(meta::name(definition));
    let now = server.inner.store.get(&key, Consistency::Latest).await?;
    let now = now.map(|now| parse(&now)).transpose()?;
    if now.is_none_or(|now| meta::text(&now, "uid") != meta::text(definition, "uid")) {
        return Ok(false);
    }
    let mut left = false;
    for object in objects {
        let options = DeleteOptions {
            uid: Some(meta::text(&parse(&object)?, "uid").to_owned()),
            ..DeleteOptions::default()
        };
        match delete_stored(server, def, &object.key, &options).await {
            Ok(Deleted::Gone(_)) | Err(ApiError::NotFound(_)) => {}
            Ok(_) | Err(ApiError::Conflict { .. }) => left = true,
            Err(error) => return Err(error),
        }
    }
    Ok(!left)
}

fn without_cleanup(object: &mut Value) {
    let list = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("finalizers"))
        .and_then(Value::as_array_mut);
    if let Some(list) = list {
        list.retain(|name| name != CLEANUP);
    }
}

async fn definitions(server: &ApiServer) -> Result<Vec<Value>, ApiError> {
    let query = ListQuery {
        resource: STORAGE.into(),
        namespace: None,
        filter: None,
        at: Consistency::Latest,
        after: None,
        limit: None,
    };
    let page = server.inner.store.list(query).await?;
    page.objects.iter().map(|object| parse(object)).collect()
}

async fn commit(server: &ApiServer, key: Key, expect: Expect, op: Op) -> Result<(), ApiError> {
    let name = key.name.to_string();
    let write = Write {
        key,
        expect,
        op,
        guards: Vec::new(),
    };
    match server.inner.store.commit(write).await {
        Ok(_) => Ok(()),
        Err(WriteError::Store(error)) => Err(error.into()),
        Err(WriteError::Conflict { .. } | WriteError::Guard(_) | WriteError::Replace { .. }) => {
            Err(ApiError::Conflict {
                subject: crate::status_error::Subject {
                    group: GROUP.to_owned(),
                    resource: "customresourcedefinitions".to_owned(),
                    name,
                },
                message: "the object has been modified".to_owned(),
            })
        }
    }
}

fn key(name: &str) -> Key {
    Key::new(STORAGE, "", name)
}

fn parse(object: &Object) -> Result<Value, ApiError> {
    serde_json::from_slice(&object.json)
        .map_err(|error| ApiError::Internal(format!("a stored object is not JSON: {error}")))
}

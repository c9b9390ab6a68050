//! Namespaces and their life cycle.
//!
//! Creation into a namespace is guarded by the namespace's revision, checked in the transaction
//! that writes: once a namespace is `Terminating` nothing can appear in it any more, and so an
//! empty terminating namespace stays empty and can go. The loop here deletes the contents, then
//! releases the finalizer `kubernetes`. It acts on what is there and may be run by several
//! processes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use store::{
    Consistency, Expect, Key, ListQuery, Object, Op, WatchEvent, WatchFrom, WatchQuery, Write,
    WriteError,
};
use tokio_util::sync::CancellationToken;

use super::crd;
use crate::gc::Propagation;
use crate::handlers::{DeleteOptions, Deleted, delete_stored};
use crate::meta;
use crate::registry::{ResourceDef, Strategy, StrategyError, Subresources, Verb, WriteContext};
use crate::server::ApiServer;
use crate::status_error::{ApiError, Subject};
use crate::validation::FieldError;
use crate::validation::names::{self, NameRule};

/// Namespaces that are there from the start, and whether they stay.
const INITIAL: [(&str, bool); 4] = [
    ("default", true),
    ("kube-node-lease", false),
    ("kube-public", true),
    ("kube-system", true),
];
const FINALIZER: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// How soon a namespace whose contents wait for their finalizers is looked at again.
const RECHECK: Duration = Duration::from_millis(500);
/// Pause after the store did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct NamespaceStrategy;

impl Strategy for NamespaceStrategy {
    fn tracks_generation(&self) -> bool {
        false
    }

    fn name_rule(&self) -> NameRule {
        NameRule::Label
    }

    fn complete(&self, object: &mut Value) {
        if !meta::name(object).is_empty() {
            name_label(object);
        }
    }

    fn prepare_create(&self, object: &mut Value, _: &WriteContext<'_>) {
        name_label(object);
        if let Some(fields) = object.as_object_mut() {
            let mut finalizers = finalizers(fields.get("spec")).to_vec();
            if !finalizers.iter().any(|item| item == FINALIZER) {
                finalizers.push(json!(FINALIZER));
            }
            fields.insert("spec".to_owned(), json!({"finalizers": finalizers}));
            fields.insert("status".to_owned(), json!({"phase": "Active"}));
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, _: &WriteContext<'_>) {
        *object = with_finalizers_of(object, old);
    }

    fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        for (index, finalizer) in finalizers(object.get("spec")).iter().enumerate() {
            let name = finalizer.as_str().unwrap_or_default();
            let mut wrong = names::qualified_name(name);
            if !names::is_owned_finalizer(name) {
                wrong.push(names::NO_OWNER.to_owned());
            }
            let field = match old {
                None => "spec.finalizers".to_owned(),
                Some(_) => format!("spec.finalizers[{index}]"),
            };
            let wrong = wrong.into_iter();
            problems.extend(wrong.map(|detail| FieldError::invalid(&field, name, detail)));
        }
        let (right, when) = match meta::is_deleting(object) {
            true => ("Terminating", "not empty"),
            false => ("Active", "empty"),
        };
        let phase = &object["status"]["phase"];
        if old.is_some() && phase != right {
            problems.push(FieldError::invalid(
                "status.Phase",
                phase.as_str().unwrap_or_default(),
                format!("may only be '{right}' if `deletionTimestamp` is {when}"),
            ));
        }
        problems
    }

    fn may_delete(&self, object: &Value) -> Result<(), StrategyError> {
        if INITIAL.contains(&(meta::name(object), true)) {
            return Err(StrategyError(
                "this namespace may not be deleted".to_owned(),
            ));
        }
        Ok(())
    }

    fn deletes_gracefully(&self) -> bool {
        false
    }

    fn prepare_delete(&self, object: &mut Value) {
        if let Some(fields) = object.as_object_mut() {
            let status = fields.entry("status").or_insert_with(|| json!({}));
            if let Some(status) = status.as_object_mut() {
                status.insert("phase".to_owned(), json!("Terminating"));
            }
        }
    }

    fn held(&self, object: &Value) -> bool {
        !finalizers(object.get("spec")).is_empty()
    }
}

fn finalizers(spec: Option<&Value>) -> &[Value] {
    let list = spec.and_then(|spec| spec.get("finalizers"));
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `new` as the subresource `finalize` takes it: with what belongs to the server as it is in `old`.
///
/// # Errors
/// `BadRequest` when it is no object.
pub(crate) fn finalized(mut new: Value, old: &Value) -> Result<Value, ApiError> {
    meta::carry_over(&mut new, old)?;
    name_label(&mut new);
    new["status"] = old["status"].clone();
    Ok(new)
}

fn name_label(object: &mut Value) {
    let name = meta::name(object).to_owned();
    if let Ok(metadata) = meta::fields(object)
        && let Some(labels) = metadata
            .entry("labels")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        labels.insert(NAME_LABEL.to_owned(), json!(name));
    }
}

/// `object` with the `spec.finalizers` of `source`.
fn with_finalizers_of(object: &Value, source: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut()
        && let Some(spec) = fields
            .entry("spec")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        match source.get("spec").and_then(|spec| spec.get("finalizers")) {
            Some(finalizers) => spec.insert("finalizers".to_owned(), finalizers.clone()),
            None => spec.remove("finalizers"),
        };
    }
    object
}

/// Completes the row of the table.
pub(super) fn definition(def: ResourceDef) -> ResourceDef {
    ResourceDef {
        subresources: Subresources {
            status: true,
            finalize: true,
            ..Subresources::default()
        },
        selectable_fields: vec!["status.phase".to_owned()],
        verbs: Verb::ONE_BY_ONE,
        ..def
    }
}

/// Where a namespace is stored.
pub(crate) fn key(name: &str) -> Key {
    Key {
        resource: "namespaces".into(),
        namespace: "".into(),
        name: name.into(),
    }
}

/// A namespace, as this process knows it.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn find(server: &ApiServer, name: &str) -> Result<Option<Arc<Object>>, ApiError> {
    Ok(server
        .inner
        .store
        .get(&key(name), Consistency::Cached)
        .await?)
}

/// What must be true of the namespace for something to be created in it.
///
/// # Errors
/// The namespace does not exist, or is going away.
pub(crate) async fn guard(
    server: &ApiServer,
    subject: &Subject,
    name: &str,
) -> Result<(Key, Expect), ApiError> {
    let key = key(name);
    let mut found = find(server, name).await?;
    if found.is_none() {
        found = server.inner.store.get(&key, Consistency::Latest).await?;
    }
    let not_found = Subject {
        group: String::new(),
        resource: "namespaces".to_owned(),
        name: name.to_owned(),
    };
    let object = found.ok_or(ApiError::NotFound(not_found))?;
    if is_deleting(&object.json)? {
        return Err(ApiError::NamespaceTerminating {
            subject: subject.clone(),
            namespace: name.to_owned(),
        });
    }
    Ok((key, Expect::Revision(object.revision)))
}

fn is_deleting(json: &[u8]) -> Result<bool, ApiError> {
    Ok(meta::is_deleting(&parse(json)?))
}

pub(super) fn parse(json: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(json)
        .map_err(|error| ApiError::Internal(format!("a stored object is not JSON: {error}")))
}

/// Makes sure that the first namespaces exist.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn bootstrap(server: &ApiServer) -> Result<(), ApiError> {
    let snapshot = server.inner.registry.snapshot();
    let def = snapshot
        .find("", "v1", "namespaces")
        .ok_or(ApiError::NoSuchPath)?;
    for (name, _) in INITIAL {
        let now = meta::now();
        let mut object =
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        meta::fill_new(&mut object, def, "", &now)?;
        def.strategy
            .prepare_create(&mut object, &WriteContext { now: &now });
        let write = Write {
            key: key(name),
            expect: Expect::Absent,
            op: Op::Put(object),
            guards: Vec::new(),
        };
        match server.inner.store.commit(write).await {
            Ok(_)
            | Err(
                WriteError::Conflict { .. } | WriteError::Guard(_) | WriteError::Replace { .. },
            ) => {}
            Err(WriteError::Store(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The loop: follows namespaces until cancelled, and empties those that are going away.
pub(crate) async fn run(server: ApiServer, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Err(error) = cancel
            .run_until_cancelled(follow(&server))
            .await
            .unwrap_or(Ok(()))
        {
            tracing::warn!(%error, "cannot follow namespaces, trying again");
        }
        let _ = cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
}

/// Ends when the watch ends.
async fn follow(server: &ApiServer) -> Result<(), ApiError> {
    let query = WatchQuery {
        resource: "namespaces".into(),
        namespace: None,
        filter: None,
        from: WatchFrom::Now,
        bookmarks: false,
    };
    let mut watcher = server.inner.store.watch(query).await?;
    let mut waiting: BTreeSet<Arc<str>> = BTreeSet::new();
    loop {
        let event = match waiting.is_empty() {
            true => watcher.next().await,
            false => match tokio::time::timeout(RECHECK, watcher.next()).await {
                Ok(event) => event,
                Err(_) => {
                    recheck(server, &mut waiting).await?;
                    continue;
                }
            },
        };
        match event {
            None => return Ok(()),
            Some(WatchEvent::Added(object) | WatchEvent::Modified(object))
                if is_deleting(&object.json)? =>
            {
                waiting.insert(object.key.name.clone());
                recheck(server, &mut waiting).await?;
            }
            Some(_) => {}
        }
    }
}

async fn recheck(server: &ApiServer, waiting: &mut BTreeSet<Arc<str>>) -> Result<(), ApiError> {
    for name in waiting.clone() {
        if terminate(server, &name).await? {
            waiting.remove(&name);
        }
    }
    Ok(())
}

/// One step towards the end of a namespace; true when there is nothing left to do.
///
/// Another process may be faster, and another namespace of the name be there already. What is found is
/// deleted only if the same namespace was going away before and after the look: nothing new can have
/// appeared in it, and nothing of its successor.
async fn terminate(server: &ApiServer, name: &str) -> Result<bool, ApiError> {
    let Some((_, before)) = terminating(server, name).await? else {
        return Ok(true);
    };
    let known = server.inner.registry.snapshot().generation;
    let contents = contents(server, name).await?;
    let Some((revision, old)) = terminating(server, name).await? else {
        return Ok(true);
    };
    if meta::text(&old, "uid") != meta::text(&before, "uid") {
        return Ok(false);
    }
    let left = delete_contents(server, contents).await?;
    if left.resources.is_empty() {
        // Objects of a kind that only another process has heard of would be left behind.
        crd::load(server).await?;
        if server.inner.registry.snapshot().generation != known {
            return Ok(false);
        }
    }
    let mut object = old.clone();
    report(&mut object, &left);
    if left.resources.is_empty() {
        object = without_finalizer(object);
    }
    if meta::is_no_op(&object, &old) {
        return Ok(false);
    }
    let gone = !NamespaceStrategy.held(&object) && meta::finalizers(&object).is_empty();
    let op = if gone {
        Op::Delete(Some(object))
    } else {
        Op::Put(object)
    };
    let write = Write {
        key: key(name),
        expect: Expect::Revision(revision),
        op,
        guards: Vec::new(),
    };
    match server.inner.store.commit(write).await {
        Ok(_) => Ok(left.resources.is_empty()),
        // Somebody wrote it in the meantime: the next round sees what.
        Err(WriteError::Conflict { .. } | WriteError::Guard(_) | WriteError::Replace { .. }) => {
            Ok(false)
        }
        Err(WriteError::Store(error)) => Err(error.into()),
    }
}

/// What of a namespace is not gone yet.
#[derive(Default)]
struct Left {
    /// How many objects there are of each resource.
    resources: BTreeMap<String, usize>,
    /// How many objects wait for each finalizer.
    finalizers: BTreeMap<String, usize>,
}

/// The namespace and its revision, if it is going away.
async fn terminating(server: &ApiServer, name: &str) -> Result<Option<(u64, Value)>, ApiError> {
    let store = &server.inner.store;
    let Some(found) = store.get(&key(name), Consistency::Latest).await? else {
        return Ok(None);
    };
    let object = parse(&found.json)?;
    Ok(meta::is_deleting(&object).then_some((found.revision, object)))
}

type Contents = Vec<(Arc<ResourceDef>, Vec<Arc<Object>>)>;

/// What is in the namespace.
async fn contents(server: &ApiServer, name: &str) -> Result<Contents, ApiError> {
    let snapshot = server.inner.registry.snapshot();
    let mut contents = Vec::new();
    for def in snapshot.stored().filter(|def| def.namespaced) {
        let query = ListQuery {
            resource: def.storage.clone(),
            namespace: Some(name.into()),
            filter: None,
            at: Consistency::Latest,
            after: None,
            limit: None,
        };
        contents.push((def.clone(), server.inner.store.list(query).await?.objects));
    }
    Ok(contents)
}

/// Deletes these very objects; returns what stays for now.
async fn delete_contents(server: &ApiServer, contents: Contents) -> Result<Left, ApiError> {
    let mut left = Left::default();
    for (def, objects) in contents {
        for object in objects {
            let options = DeleteOptions {
                uid: Some(meta::text(&parse(&object.json)?, "uid").to_owned()),
                // As in Kubernetes: whoever waits for its dependents does not any more.
                policy: Some(Propagation::Background),
                ..DeleteOptions::default()
            };
            let marked = match delete_stored(server, &def, &object.key, &options).await {
                Ok(Deleted::Gone(_)) | Err(ApiError::NotFound(_)) => continue,
                Ok(Deleted::Marked(marked)) => parse(&marked.json)?,
                Ok(Deleted::WouldMark(_)) | Err(ApiError::Conflict { .. }) => Value::Null,
                Err(error) => return Err(error),
            };
            let resource = format!("{}.{}", def.plural, def.group);
            *left.resources.entry(resource).or_default() += 1;
            for finalizer in meta::finalizers(&marked) {
                *left.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(left)
}

fn without_finalizer(mut object: Value) -> Value {
    let list = object
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("finalizers"))
        .and_then(Value::as_array_mut);
    if let Some(list) = list {
        list.retain(|item| item != FINALIZER);
    }
    object
}

/// Says in the conditions that Kubernetes has for it what the namespace waits for. A time moves only
/// with the status, so that waiting writes nothing.
fn report(object: &mut Value, left: &Left) {
    let counted = |counts: &BTreeMap<String, usize>, has: &str| {
        let parts = counts
            .iter()
            .map(|(name, count)| format!("{name} {has} {count} resource instances"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let remaining = match left.resources.is_empty() {
        true => (
            false,
            "ContentRemoved",
            "All content successfully removed".to_owned(),
        ),
        false => {
            let resources = counted(&left.resources, "has");
            let message = format!("Some resources are remaining: {resources}");
            (true, "SomeResourcesRemain", message)
        }
    };
    let finalizers = match left.finalizers.is_empty() {
        true => {
            let message = "All content-preserving finalizers finished".to_owned();
            (false, "ContentHasNoFinalizers", message)
        }
        false => {
            let finalizers = counted(&left.finalizers, "in");
            let message =
                format!("Some content in the namespace has finalizers remaining: {finalizers}");
            (true, "SomeFinalizersRemain", message)
        }
    };
    let done = |reason, message: &str| (false, reason, message.to_owned());
    let wanted = [
        (
            "NamespaceDeletionDiscoveryFailure",
            done(
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            done(
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
        ),
        (
            "NamespaceDeletionContentFailure",
            done(
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        ("NamespaceContentRemaining", remaining),
        ("NamespaceFinalizersRemaining", finalizers),
    ];
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(conditions) = status
        .entry("conditions")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    else {
        return;
    };
    for (kind, (holds, reason, message)) in wanted {
        let status = if holds { "True" } else { "False" };
        let old = conditions.iter_mut().find(|found| found["type"] == kind);
        let since = old.as_ref().filter(|old| old["status"] == status);
        let since = since.map_or_else(
            || json!(meta::now()),
            |old| old["lastTransitionTime"].clone(),
        );
        let new = json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        });
        match old {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
    }
}

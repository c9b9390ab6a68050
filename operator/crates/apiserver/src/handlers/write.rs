//! The ways to write: a new object, and a change of an existing one.
//!
//! Everything is computed before the store is asked: the store only checks that the object (and
//! the namespace of a new one) is still the one that was looked at, and writes. When it is not,
//! the change is computed anew from what is there now, unless the client itself named a version.
//! Those who lost such a race wait for each other, in the order in which they lost: however many
//! change one object, each gets through.
//!
//! Guarantees: a write that changes nothing makes no revision and no event. A change that takes
//! the last finalizer off an object marked for deletion deletes it.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use store::{Consistency, Expect, Key, Object, Op, Write, WriteError};

use super::admit::{
    admit, check_namespace, check_place, check_type, check_version, validate_changed, validate_new,
};
use super::{Call, body};
use crate::admission::{Limits, quota};
use crate::audit::Outcome;
use crate::authz::escalation;
use crate::builtin::namespace;
use crate::managed_fields::{self, FieldSet, Manager};
use crate::meta;
use crate::negotiate::served;
use crate::registry::{Conversion, ResourceDef, WriteContext};
use crate::server::ApiServer;
use crate::status_error::{ApiError, Subject};

/// How often a change is computed anew before the client is told of the conflict. Every round means
/// that somebody else got through.
const ATTEMPTS: usize = 32;
/// How many generated names are tried.
const GENERATED: usize = 8;
pub(super) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Which part of an object a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but what belongs to the server and to subresources.
    Main,
    /// `status` alone.
    Status,
    /// Everything of a namespace, its `spec.finalizers` too, but its status.
    Finalize,
}

/// An object as a client proposes it.
#[derive(Debug, Default)]
pub(crate) struct Proposal {
    /// In its served form.
    pub(crate) object: Value,
    /// What strict decoding objects to.
    pub(crate) problems: Vec<String>,
    /// Is it noted already whose fields these are?
    pub(crate) tracked: bool,
}

/// What came of a write.
pub(crate) enum Written {
    /// It is stored, or was stored like this before.
    Stored(Arc<Object>),
    /// What would have been stored.
    Dry(Value),
}

impl Written {
    /// The answer with the object.
    pub(crate) fn reply(self, call: &Call, code: StatusCode) -> Result<Response, ApiError> {
        let name = match &self {
            Self::Stored(object) => object.key.name.to_string(),
            Self::Dry(object) => meta::name(object).to_owned(),
        };
        let mut response = match self {
            Self::Stored(object) => call.renderer.stored(code, &object)?,
            Self::Dry(object) => call.renderer.value(code, object),
        };
        if call.path.name.is_empty() {
            let reason = "";
            response.extensions_mut().insert(Outcome { reason, name });
        }
        Ok(response)
    }

    /// The served form.
    pub(crate) fn object(self, def: &ResourceDef) -> Result<Value, ApiError> {
        match self {
            Self::Stored(object) => served(def, &object.json),
            Self::Dry(object) => Ok(object),
        }
    }
}

/// What a client posts to be answered, not stored: of the kind `def`, in its proper form.
pub(crate) fn received(call: &Call, def: &ResourceDef) -> Result<Value, ApiError> {
    call.query.dry_run()?;
    let decoded = body::object(call, def)?;
    let mut object = decoded.value;
    check_type(def, &mut object)?;
    check_namespace(call, &object)?;
    admit(call, def, &mut object, decoded.problems)?;
    Ok(object)
}

/// Stores a new object.
pub(crate) async fn insert(call: &Call, proposal: Proposal) -> Result<Written, ApiError> {
    let def = &*call.def;
    let now = meta::now();
    let mut object = proposal.object;
    check_type(def, &mut object)?;
    check_place(call, &object)?;
    // An applied version says what it was stated of, if it was there.
    let versioned = !matches!(meta::text(&object, "resourceVersion"), "" | "0");
    if versioned && !proposal.tracked && !call.query.dry_run()? {
        return Err(ApiError::Unknown(
            "resourceVersion should not be set on objects to be created".to_owned(),
        ));
    }
    if def.namespaced {
        let name = Some(meta::name(&object)).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| meta::text(&object, "generateName"));
        let subject = Subject::resource(def, name);
        namespace::guard(&call.server, &subject, &call.path.namespace).await?;
    }
    let generated = meta::name(&object).is_empty();
    admit(call, def, &mut object, proposal.problems)?;
    meta::fill_new(&mut object, def, &call.path.namespace, &now)?;
    if !proposal.tracked {
        object = tracked(call, None, object);
    }
    if def.subresources.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
        // What the status is by default, it is from the start.
        def.schema.apply_defaults(&mut object);
    }
    def.strategy
        .prepare_create(&mut object, &WriteContext { now: &now });
    let limits = Limits::of(call).await?;
    limits.fill(&mut object, None);
    escalation::check(call, &object, None)?;
    validate_new(call, &object)?;
    call.warn_of(&object, None);
    quota::check_names(&call.server, def, &object, None)?;
    limits.check(def, &object, None)?;
    let attempts = if generated { GENERATED } else { 1 };
    for _ in 0..attempts {
        match insert_once(call, &object).await {
            Err(ApiError::AlreadyExists(_) | ApiError::Leaving(_)) if generated => {
                meta::generate_again(&mut object)?
            }
            done => return done,
        }
    }
    Err(ApiError::AlreadyExists(Subject::resource(
        def,
        meta::name(&object),
    )))
}

async fn insert_once(call: &Call, object: &Value) -> Result<Written, ApiError> {
    let (def, store) = (&*call.def, &call.server.inner.store);
    let name = meta::name(object);
    let key = call.key_of(name);
    let exists = |found: Option<&Object>| {
        let leaves = found.and_then(|found| serde_json::from_slice(&found.json).ok());
        let subject = Subject::resource(def, name);
        match leaves.is_some_and(|found: Value| meta::is_deleting(&found)) {
            true => ApiError::Leaving(subject),
            false => ApiError::AlreadyExists(subject),
        }
    };
    for _ in 0..ATTEMPTS {
        let guards = match def.namespaced {
            true => vec![
                namespace::guard(
                    &call.server,
                    &Subject::resource(def, name),
                    &call.path.namespace,
                )
                .await?,
            ],
            false => Vec::new(),
        };
        let write = Write {
            key: key.clone(),
            expect: Expect::Absent,
            op: Op::Put(def.to_stored(object.clone())),
            guards,
        };
        if call.query.dry_run()? {
            quota::check(&call.server, def, None, &write).await?;
            let found = store.get(&key, Consistency::Latest).await?;
            return if found.is_some() {
                Err(exists(found.as_deref()))
            } else {
                Ok(Written::Dry(object.clone()))
            };
        }
        match quota::commit(&call.server, def, None, write).await? {
            Ok(stored) => return Ok(Written::Stored(stored)),
            Err(WriteError::Conflict { current }) => return Err(exists(current.as_deref())),
            // The namespace changed: look at it again, as it is now.
            Err(WriteError::Guard(_) | WriteError::Replace { .. }) => {
                let space = namespace::key(&call.path.namespace);
                store.get(&space, Consistency::Latest).await?;
            }
            Err(WriteError::Store(error)) => return Err(error.into()),
        }
    }
    Err(conflict(def, name, MODIFIED))
}

/// Changes an object. `change` makes the new object from the current one in its served form, and
/// may be called several times.
pub(crate) async fn rewrite<F>(
    call: &Call,
    key: &Key,
    part: Part,
    mut change: F,
) -> Result<Written, ApiError>
where
    F: FnMut(&Value) -> Result<Proposal, ApiError>,
{
    let (def, store) = (&*call.def, &call.server.inner.store);
    let not_found = || ApiError::NotFound(Subject::resource(def, &key.name));
    let newest = async || {
        store
            .get(key, Consistency::Latest)
            .await?
            .ok_or_else(not_found)
    };
    let (limits, dry_run) = (Limits::of(call).await?, call.query.dry_run()?);
    // What is written carries its own check that the version from memory was the newest; every other
    // outcome must have been decided on the newest for sure.
    let (mut current, mut is_newest) = match store.get(key, Consistency::Cached).await? {
        Some(known) => (known, false),
        None => (newest().await?, true),
    };
    let mut turn = None;
    for _ in 0..ATTEMPTS {
        let decided = decide(call, part, &mut change, &current, &limits);
        if !is_newest && (dry_run || !matches!(decided, Ok(Some(_)))) {
            is_newest = true;
            let found = newest().await?;
            if found.revision != current.revision {
                current = found;
                continue;
            }
        }
        let Some(new) = decided? else {
            return Ok(Written::Stored(current));
        };
        if dry_run {
            let write = over(&current, Op::Put(def.to_stored(new.clone())));
            quota::check(&call.server, def, Some(&current), &write).await?;
            return Ok(Written::Dry(new));
        }
        let released = meta::is_deleting(&new) && !is_held(def, &new);
        let stored = def.to_stored(new);
        let op = if released {
            Op::Delete(Some(stored))
        } else {
            Op::Put(stored)
        };
        match commit(&call.server, def, &current, op).await? {
            Committed::Done(stored) => return Ok(Written::Stored(stored)),
            Committed::Changed(newer) => {
                (current, is_newest) = (newer, true);
                if turn.is_none() {
                    // Who named a version has lost for good, and need not wait to hear it.
                    decide(call, part, &mut change, &current, &limits)?;
                    turn = Some(call.server.inner.write_turns.of(key).lock().await);
                    current = newest().await?;
                }
            }
            Committed::Gone => return Err(not_found()),
        }
    }
    Err(conflict(def, &key.name, MODIFIED))
}

/// The object to store in place of this version; `None` when it is the same. What was stored under
/// an older definition is written again even so: that is how storage is migrated.
fn decide(
    call: &Call,
    part: Part,
    change: &mut impl FnMut(&Value) -> Result<Proposal, ApiError>,
    current: &Object,
    limits: &Limits,
) -> Result<Option<Value>, ApiError> {
    let old = served(&call.def, &current.json)?;
    let proposal = change(&old)?;
    let new = prepare(call, part, proposal, &old, limits)?;
    let outdated = || {
        let stored = serde_json::from_slice::<Value>(&current.json).ok();
        stored.is_some_and(|stored| call.def.to_stored(old.clone()) != stored)
    };
    match (new, &call.def.conversion) {
        (None, Some(Conversion::Definition(_))) if outdated() => Ok(Some(old)),
        (new, _) => Ok(new),
    }
}

/// What came of a write to a known version of an object.
pub(super) enum Committed {
    /// It happened.
    Done(Arc<Object>),
    /// The object is another by now.
    Changed(Arc<Object>),
    /// There is no object any more.
    Gone,
}

/// Writes over, or deletes, exactly this version.
pub(super) async fn commit(
    server: &ApiServer,
    def: &ResourceDef,
    current: &Object,
    op: Op,
) -> Result<Committed, ApiError> {
    match quota::commit(server, def, Some(current), over(current, op)).await? {
        Ok(stored) => Ok(Committed::Done(stored)),
        Err(WriteError::Conflict {
            current: Some(newer),
        }) => Ok(Committed::Changed(newer)),
        Err(WriteError::Conflict { current: None }) => Ok(Committed::Gone),
        // The namespace, or a quota in it, is another: what is known is brought up to date.
        Err(WriteError::Guard(_) | WriteError::Replace { .. }) => {
            let found = server.inner.store.get(&current.key, Consistency::Latest);
            Ok(found.await?.map_or(Committed::Gone, Committed::Changed))
        }
        Err(WriteError::Store(error)) => Err(error.into()),
    }
}

fn over(current: &Object, op: Op) -> Write {
    Write {
        key: current.key.clone(),
        expect: Expect::Revision(current.revision),
        op,
        guards: Vec::new(),
    }
}

/// Does something keep the object from going away once it is marked for deletion?
pub(crate) fn is_held(def: &ResourceDef, object: &Value) -> bool {
    !meta::finalizers(object).is_empty() || def.strategy.held(object)
}

/// The object to store; `None` when it is the old one.
fn prepare(
    call: &Call,
    part: Part,
    proposal: Proposal,
    old: &Value,
    limits: &Limits,
) -> Result<Option<Value>, ApiError> {
    let def = &*call.def;
    let mut new = proposal.object;
    check_type(def, &mut new)?;
    check_place(call, &new)?;
    check_version(def, &new, old)?;
    admit(call, def, &mut new, proposal.problems)?;
    if !proposal.tracked {
        new = tracked(call, Some(old), new);
    }
    let mut new = match part {
        Part::Main => main_update(def, new, old)?,
        Part::Status => status_update(def, new, old)?,
        Part::Finalize => namespace::finalized(new, old)?,
    };
    if part == Part::Main {
        limits.fill(&mut new, Some(old));
        meta::count_generation(&mut new, old, def);
    }
    escalation::check(call, &new, Some(old))?;
    validate_changed(call, part, &new, old)?;
    call.warn_of(&new, Some(old));
    quota::check_names(&call.server, def, &new, Some(old))?;
    limits.check(def, &new, Some(old))?;
    managed_fields::keep_times_if_unchanged(old, &mut new);
    Ok((!meta::is_no_op(&new, old)).then_some(new))
}

/// Calls `act` with who writes and with the fields that this request cannot write.
pub(super) fn with_manager<T>(call: &Call, act: impl FnOnce(&Manager<'_>, &FieldSet) -> T) -> T {
    let (name, version) = (call.field_manager(), call.def.api_version());
    let subresource = Some(call.path.subresource.as_str()).filter(|name| !name.is_empty());
    let manager = Manager {
        name: &name,
        subresource,
        kind: &call.def.kind,
        api_version: &version,
        time: Timestamp::now(),
    };
    let def = &call.def;
    let reset = managed_fields::reset_fields(
        &def.schema,
        def.subresources.status,
        def.custom,
        subresource,
    );
    act(&manager, &reset)
}

/// `new`, with this write of it noted in its `managedFields`.
pub(crate) fn tracked(call: &Call, old: Option<&Value>, new: Value) -> Value {
    // A view has one writer: there is nobody to tell his fields from.
    if call.def.strategy.view().is_some() {
        return new;
    }
    with_manager(call, |manager, reset| {
        managed_fields::update(&call.def.schema, old, new, manager, reset)
    })
}

fn with_managers_of(mut object: Value, source: &Value) -> Value {
    if let Ok(metadata) = meta::fields(&mut object) {
        match source.get("metadata").and_then(|m| m.get("managedFields")) {
            Some(managers) => metadata.insert("managedFields".to_owned(), managers.clone()),
            None => metadata.remove("managedFields"),
        };
    }
    object
}

/// The status of a custom kind is all that goes through its subresource; that of Kubernetes' own kinds
/// takes the metadata with it.
fn status_update(def: &ResourceDef, mut new: Value, old: &Value) -> Result<Value, ApiError> {
    let changed = with_field_of(old, &new, "status");
    if def.custom {
        return Ok(with_managers_of(changed, &new));
    }
    meta::carry_over(&mut new, old)?;
    Ok(with_field_of(&changed, &new, "metadata"))
}

fn main_update(def: &ResourceDef, mut new: Value, old: &Value) -> Result<Value, ApiError> {
    meta::carry_over(&mut new, old)?;
    if def.subresources.status {
        new = with_field_of(&new, old, "status");
    }
    def.strategy
        .prepare_update(&mut new, old, &WriteContext { now: &meta::now() });
    Ok(new)
}

/// `object` with one top-level field as `source` has it.
fn with_field_of(object: &Value, source: &Value, field: &str) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        match source.get(field) {
            Some(value) => fields.insert(field.to_owned(), value.clone()),
            None => fields.remove(field),
        };
    }
    object
}

/// A conflict about one object.
pub(crate) fn conflict(def: &ResourceDef, name: &str, message: &str) -> ApiError {
    ApiError::Conflict {
        subject: Subject::resource(def, name),
        message: message.to_owned(),
    }
}

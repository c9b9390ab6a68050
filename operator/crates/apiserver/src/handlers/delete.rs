//! Delete one object.
//!
//! An object with finalizers is marked and stays until they are gone; any other goes at once.
//! How dependents are treated (`propagationPolicy`) is written on the object as a finalizer, for
//! the loop in `gc`; without a word about it they are deleted afterwards. Deleting an object again
//! while it is marked can change that, and nothing else.

use std::sync::{Arc, LazyLock};

use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions as Options;
use serde_json::Value;
use store::{Consistency, Key, Object, Op};

use super::write::{Committed, commit, conflict, is_held};
use super::{Call, Query, Reply};
use crate::decode::{self, untyped};
use crate::gc::Propagation;
use crate::meta;
use crate::negotiate::{respond, served};
use crate::registry::ResourceDef;
use crate::schema::{Schema, core};
use crate::server::ApiServer;
use crate::status_error::{ApiError, Subject, deleted};
use crate::validation::{FieldError, cannot_unmarshal};

const ATTEMPTS: usize = 32;
const POLICIES: [&str; 4] = ["Foreground", "Background", "Orphan", "nil"];

/// What the client wants to be true of the object, and whether it means it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
    /// `None` leaves it as it was said before, or at creation.
    pub(crate) policy: Option<Propagation>,
}

/// What came of it.
pub(crate) enum Deleted {
    /// Marked; finalizers hold it.
    Marked(Arc<Object>),
    /// What a dry run would have marked.
    WouldMark(Value),
    /// Gone; this was its last state.
    Gone(Arc<Object>),
}

/// `DELETE …/NAME`
pub(crate) async fn delete(call: &Call) -> Reply {
    let options = options(call)?;
    match delete_stored(&call.server, &call.def, &call.key(), &options).await? {
        Deleted::Marked(object) => call.renderer.stored(StatusCode::OK, &object),
        Deleted::WouldMark(object) => Ok(call.renderer.value(StatusCode::OK, object)),
        Deleted::Gone(object) if call.def.strategy.returns_deleted() => {
            call.renderer.stored(StatusCode::OK, &object)
        }
        Deleted::Gone(object) => {
            let last = served(&call.def, &object.json)?;
            let status = deleted(&call.def, &call.path.name, Some(meta::text(&last, "uid")));
            Ok(respond(call.renderer.form.format, StatusCode::OK, &status))
        }
    }
}

/// Marks or removes one object.
pub(crate) async fn delete_stored(
    server: &ApiServer,
    def: &ResourceDef,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    let store = &server.inner.store;
    let not_found = || ApiError::NotFound(Subject::resource(def, &key.name));
    let mut current = store
        .get(key, Consistency::Latest)
        .await?
        .ok_or_else(not_found)?;
    let mut turn = None;
    for _ in 0..ATTEMPTS {
        let mut object = served(def, &current.json)?;
        check_preconditions(def, &object, options)?;
        def.strategy
            .may_delete(&object)
            .map_err(|error| ApiError::Forbidden {
                subject: Subject::resource(def, &key.name),
                message: error.to_string(),
            })?;
        // What waits for more than finalizers is told once.
        let told = meta::is_deleting(&object) && def.strategy.held(&object);
        let changed = !told
            && options
                .policy
                .is_some_and(|policy| policy.put_on(&mut object));
        let held = is_held(def, &object);
        if held && !changed && meta::is_deleting(&object) {
            return Ok(Deleted::Marked(current));
        }
        if held {
            meta::mark_deleted(&mut object, def, &meta::now())?;
        }
        let op = match (options.dry_run, held) {
            (true, true) => return Ok(Deleted::WouldMark(object)),
            (true, false) => return Ok(Deleted::Gone(current)),
            (false, true) => Op::Put(def.to_stored(object)),
            (false, false) => Op::Delete(None),
        };
        match commit(server, def, &current, op).await? {
            Committed::Done(object) if held => return Ok(Deleted::Marked(object)),
            Committed::Done(object) => return Ok(Deleted::Gone(object)),
            Committed::Changed(newer) => {
                current = newer;
                if turn.is_none() {
                    // As for changes: who named a version need not wait to hear that it lost.
                    check_preconditions(def, &served(def, &current.json)?, options)?;
                    turn = Some(server.inner.write_turns.of(key).lock().await);
                    let found = store.get(key, Consistency::Latest).await?;
                    current = found.ok_or_else(not_found)?;
                }
            }
            Committed::Gone => return Err(not_found()),
        }
    }
    Err(conflict(
        def,
        &key.name,
        "the object is changed too often to be deleted; please try again",
    ))
}

fn check_preconditions(
    def: &ResourceDef,
    object: &Value,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let wanted = [
        ("UID", "uid", &options.uid, "deleted and then recreated"),
        (
            "ResourceVersion",
            "resourceVersion",
            &options.resource_version,
            "modified",
        ),
    ];
    for (title, field, wanted, happened) in wanted {
        let found = meta::text(object, field);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
            return Err(ApiError::Conflict {
                subject: Subject::kind(def, meta::name(object)),
                message: format!(
                    "the {title} in the precondition ({wanted}) does not match the {title} in record ({found}). \
                     The object might have been {happened}"
                ),
            });
        }
    }
    Ok(())
}

/// The options of a request: from its body, else from its query.
pub(crate) fn options(call: &Call) -> Result<DeleteOptions, ApiError> {
    let mut options = DeleteOptions {
        dry_run: call.query.dry_run()?,
        ..DeleteOptions::default()
    };
    call.query.grace_period()?;
    options.policy = policy(
        &call.query,
        call.query.set("propagationPolicy"),
        call.query.flag_if_set("orphanDependents"),
    )?;
    if call.body.is_empty() {
        return Ok(options);
    }
    let body = decode::body(call.content_type(), &call.body)?.value;
    if let Some(why) = untyped(&body) {
        let why = format!("couldn't get version/kind; json parse error: {why}");
        return Err(ApiError::BadRequest(why));
    }
    let kind = body["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "DeleteOptions") {
        let version = body["apiVersion"].as_str().unwrap_or_default();
        let why = format!("no kind {kind:?} is registered for version {version:?}");
        return Err(ApiError::BadRequest(why));
    }
    if let Some(why) = cannot_unmarshal(schema(), &body, true) {
        return Err(ApiError::BadRequest(why));
    }
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
    let dry_run = body["dryRun"].as_array().into_iter().flatten();
    options.dry_run |= call
        .query
        .is_dry(dry_run.filter_map(Value::as_str).collect())?;
    options.policy = policy(
        &call.query,
        text("/propagationPolicy").filter(|text| !text.is_empty()),
        body["orphanDependents"].as_bool(),
    )?;
    options.uid = text("/preconditions/uid").map(str::to_owned);
    options.resource_version = text("/preconditions/resourceVersion").map(str::to_owned);
    Ok(options)
}

/// What a body may say.
fn schema() -> &'static Schema {
    // The source is fixed at compile time; the tests prove that it parses.
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| core::schema::<Options>().unwrap_or_default());
    &SCHEMA
}

fn policy(
    query: &Query,
    policy: Option<&str>,
    orphan: Option<bool>,
) -> Result<Option<Propagation>, ApiError> {
    let problem = match (policy, orphan) {
        (Some(policy), Some(_)) => FieldError::invalid(
            "propagationPolicy",
            policy,
            "orphanDependents and deletionPropagation cannot be both set",
        ),
        (None, None) => return Ok(None),
        (Some("Orphan"), None) | (None, Some(true)) => return Ok(Some(Propagation::Orphan)),
        (Some("Background"), None) | (None, Some(false)) => {
            return Ok(Some(Propagation::Background));
        }
        (Some("Foreground"), None) => return Ok(Some(Propagation::Foreground)),
        (Some(policy), None) => FieldError::not_supported("propagationPolicy", policy, &POLICIES),
    };
    Err(query.invalid(problem))
}

//! Server-side apply on whole objects.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::check::misfit;
use super::entries::{BadManagedFields, Managed, ManagerId, Operation};
use super::ownership::{self, Rules};
use super::set::{FieldSet, show};
use super::update::record;
use super::{Manager, entries_of, kubectl, metadata_mut, put_entries, server_fields, take_entries};
use crate::patch::{MAX_DEPTH, depth};
use crate::schema::Schema;

/// Owns what is in an object that was never tracked before it was applied to.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Why a configuration was not applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApplyError {
    /// The configuration is not a JSON object.
    #[error("the applied configuration must be an object")]
    NotAnObject,
    /// The configuration or the object is nested too deep.
    #[error("nested {0} deep; at most {MAX_DEPTH} is allowed")]
    TooDeep(usize),
    /// The configuration is of another kind or version than the request.
    #[error("invalid object type: {0}")]
    WrongType(String),
    /// A configuration cannot say who owns it.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsSet,
    /// The configuration does not fit the schema.
    #[error("failed to create typed patch object ({object}): {path}: {reason}")]
    Misfit {
        /// The object, as Kubernetes names it here.
        object: String,
        /// Where, for example `.spec.ports[name="http"]`.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The entries of the live object cannot be read.
    #[error("the object's metadata.managedFields cannot be read: {0}")]
    Corrupt(#[from] BadManagedFields),
    /// Others own some of the fields, with other values.
    #[error("{0}")]
    Conflicts(Conflicts),
}

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    manager: ManagerId,
    /// The field, for example `.spec.replicas`.
    pub field: String,
}

impl Conflict {
    /// Whom the conflict is with: the message of one cause in a `Status`.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

/// All conflicts of one apply; at least one. Its text is the message of the `Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(
                f,
                "Apply failed with 1 conflict: {}: {}",
                only.message(),
                only.field
            );
        }
        // By name first, whatever their operation is.
        let mut by_manager: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for conflict in &self.0 {
            by_manager
                .entry((&conflict.manager.name, &conflict.manager))
                .or_default()
                .push(&conflict.field);
        }
        let mut lines = Vec::new();
        for ((_, manager), fields) in by_manager {
            lines.push(format!("conflicts with {manager}:"));
            lines.extend(fields.iter().map(|field| format!("- {field}")));
        }
        write!(
            f,
            "Apply failed with {} conflicts: {}",
            self.0.len(),
            lines.join("\n")
        )
    }
}

/// Merges `applied`, all that `manager` wants, into `live` (`None` when the object is created by
/// this), and returns the new object with its `managedFields`.
///
/// # Errors
/// See [`ApplyError`]. Conflicts only without `force`.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager<'_>,
    force: bool,
    reset: &FieldSet,
) -> Result<Value, ApplyError> {
    let applied = checked(schema, applied, manager)?;
    let mut managed = Managed::decode(live.and_then(entries_of))?;
    let live = match live {
        Some(live) => live.clone(),
        None => {
            let mut empty = json!({"apiVersion": applied["apiVersion"], "kind": applied["kind"]});
            schema.normalize(&mut empty);
            empty
        }
    };
    let depth = depth(&live);
    if depth > MAX_DEPTH {
        return Err(ApplyError::TooDeep(depth));
    }
    let mut bare = live;
    take_entries(&mut bare);
    if managed.owners.is_empty() {
        let before = Manager {
            name: BEFORE_FIRST_APPLY,
            ..*manager
        };
        let mut empty = json!({});
        schema.normalize(&mut empty);
        managed = record(schema, &empty, &bare, managed, &before, reset);
    }
    let call = Call {
        schema,
        live: &bare,
        applied: &applied,
        manager,
        reset,
    };
    let (mut object, managed) = call.run(managed, force)?;
    if kubectl::is_kubectl(manager) {
        kubectl::refresh_annotation(&mut object, &applied);
    }
    put_entries(&mut object, Some(managed.encode()));
    Ok(object)
}

/// The configuration, without the nulls that stand for fields of the server.
fn checked(schema: &Schema, applied: &Value, manager: &Manager<'_>) -> Result<Value, ApplyError> {
    let depth = depth(applied);
    if depth > MAX_DEPTH {
        return Err(ApplyError::TooDeep(depth));
    }
    if !applied.is_object() {
        return Err(ApplyError::NotAnObject);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&applied["apiVersion"]), text(&applied["kind"]));
    let object_type = match version.contains('/') || version.is_empty() {
        true if version.is_empty() => format!("/, Kind={kind}"),
        true => format!("{version}, Kind={kind}"),
        false => format!("/{version}, Kind={kind}"),
    };
    if (version.as_str(), kind.as_str()) != (manager.api_version, manager.kind) {
        return Err(ApplyError::WrongType(object_type));
    }
    if entries_of(applied).is_some_and(|entries| !entries.is_null()) {
        return Err(ApplyError::ManagedFieldsSet);
    }
    if let Some((path, reason)) = misfit(schema, applied) {
        let metadata = &applied["metadata"];
        let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        return Err(ApplyError::Misfit {
            object: format!("{namespace}/{name}; {object_type}"),
            path: show(&path),
            reason,
        });
    }
    let mut applied = applied.clone();
    if let Some(metadata) = metadata_mut(&mut applied) {
        metadata.retain(|_, value| !value.is_null());
    }
    Ok(applied)
}

struct Call<'a> {
    schema: &'a Schema,
    live: &'a Value,
    applied: &'a Value,
    manager: &'a Manager<'a>,
    reset: &'a FieldSet,
}

impl Call<'_> {
    fn run(&self, mut managed: Managed, force: bool) -> Result<(Value, Managed), ApplyError> {
        let me = ManagerId::new(self.manager, Operation::Apply);
        let api_version = self.manager.api_version;
        let rules = Rules {
            schema: self.schema,
            api_version,
            reset: self.reset,
        };
        let apply = |force| rules.apply(self.live, self.applied, &managed.owners, &me, force);
        let (object, mut owners) = apply(force).or_else(|conflicts| {
            let left = self.not_from_client_side(conflicts);
            if left.is_empty() {
                apply(true).map_err(conflicts_error)
            } else {
                Err(conflicts_error(left))
            }
        })?;
        if let Some(mine) = owners.get_mut(&me) {
            mine.fields = mine.fields.difference(&server_fields());
            if mine.fields.is_empty() {
                owners.remove(&me);
            }
        }
        let changed = object.is_some();
        let object = object.unwrap_or_else(|| self.live.clone());
        managed.owners = owners;
        // Who only joins the owners of what is there wrote nothing.
        if changed {
            managed.set_time(me, self.manager.time);
        }
        Ok((object, managed))
    }

    /// The conflicts that are not about fields which client-side apply left in place.
    fn not_from_client_side(
        &self,
        mut conflicts: ownership::Conflicts<ManagerId>,
    ) -> ownership::Conflicts<ManagerId> {
        if kubectl::is_kubectl(self.manager)
            && let Some(allowed) =
                kubectl::fields_last_applied(self.schema, self.live, self.manager)
        {
            conflicts.retain(|(_, path)| !allowed.contains(path));
        }
        conflicts
    }
}

fn conflicts_error(conflicts: ownership::Conflicts<ManagerId>) -> ApplyError {
    let conflicts = conflicts.into_iter();
    let one = |(manager, path): (ManagerId, Vec<_>)| Conflict {
        manager,
        field: show(&path),
    };
    ApplyError::Conflicts(Conflicts(conflicts.map(one).collect()))
}

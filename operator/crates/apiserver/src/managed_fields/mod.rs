//! Who owns which field: server-side apply, and `metadata.managedFields` of every object.
//!
//! Two operations: [`apply`] merges a configuration that states all that its manager wants, and
//! [`update`] notes who changed what in any other write. Both are pure: the clock is an argument,
//! nothing is read or written elsewhere.
//!
//! **Guarantees.** An apply that changes nothing returns the live object as it was, times
//! included, so that no-op writes stay no-ops. A forced apply has no conflicts. What the manager
//! applied is in the result. `metadata.managedFields` itself and the metadata that the server sets
//! are owned by nobody.
//!
//! **Assumptions.** Objects are stored in one version; entries of other versions are kept and
//! merged by the same schema. A configuration was pruned (or refused) by its schema before: an
//! undeclared field is an error here. An object whose ownership was never tracked, or was reset by
//! its writer, stays untracked until it is applied to; then everything in it belongs to
//! `before-first-apply`.
//!
//! **Errors.** [`ApplyError`]; an update has none, it keeps the live entries where the new ones
//! make no sense.
//!
//! The parts: `path`, `set` (sets of fields and their JSON form), `shape` (what the schema
//! says about ownership), `walk` and `merge` (values), `ownership` (the rules), `entries` (the
//! list in the object), `kubectl` (the way over from client-side apply).

mod apply;
mod check;
mod entries;
mod kubectl;
mod merge;
mod ownership;
mod path;
mod set;
mod shape;
mod update;
mod walk;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::apply::{ApplyError, Conflict, Conflicts, apply};
pub use self::entries::BadManagedFields;
pub use self::path::{BadPathElement, PathElement};
pub use self::set::{BadFields, FieldSet};
pub use self::update::{keep_times_if_unchanged, update};
use crate::schema::Schema;

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Manager<'a> {
    /// The `fieldManager` of the request, or what stands for it.
    pub name: &'a str,
    /// The subresource that is written through: a part of the manager's identity.
    pub subresource: Option<&'a str>,
    /// The kind of the object.
    pub kind: &'a str,
    /// The version of the object in the request, for example `obiente.cloud/v1alpha1`.
    pub api_version: &'a str,
    /// When.
    pub time: Timestamp,
}

/// The fields that a request cannot write, because the strategy puts them back: `status` through
/// the object itself where there is a status subresource, and everything else through that, but
/// for the metadata of kinds that are not `custom`.
pub fn reset_fields(
    schema: &Schema,
    has_status: bool,
    custom: bool,
    subresource: Option<&str>,
) -> FieldSet {
    let mut reset = FieldSet::default();
    match subresource {
        Some("status") => {
            let kept = |name: &str| name == "status" || !custom && name == "metadata";
            let others = schema.properties.keys().filter(|name| !kept(name));
            others.for_each(|name| reset.insert(&[PathElement::field(name)]));
        }
        _ if has_status => reset.insert(&[PathElement::field("status")]),
        _ => {}
    }
    reset
}

/// What is in an object without anybody having written it: never owned.
fn server_fields() -> FieldSet {
    FieldSet::of_fields([
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}

/// Takes `metadata.managedFields` out of an object.
fn take_entries(object: &mut Value) -> Option<Value> {
    object
        .get_mut("metadata")?
        .as_object_mut()?
        .remove("managedFields")
}

/// Puts `metadata.managedFields` into an object; an empty list is left out. An object without
/// metadata gets none.
fn put_entries(object: &mut Value, entries: Option<Value>) {
    let entries = entries.filter(|entries| entries.as_array().is_none_or(|list| !list.is_empty()));
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(metadata), Some(entries)) = (metadata, entries) {
        metadata.insert("managedFields".to_owned(), entries);
    }
}

fn entries_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("metadata")?.as_object_mut()
}

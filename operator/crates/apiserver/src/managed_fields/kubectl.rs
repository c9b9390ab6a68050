//! The way from client-side to server-side apply, for whoever applies as `kubectl`.
//!
//! Client-side apply keeps the last configuration in an annotation and writes by patches, so its
//! fields belong to an *update* manager; kubectl itself changes that entry when it goes over. When the
//! same user applies on the server:
//! - a field that somebody else took over without changing it from the annotation is no conflict;
//! - the annotation follows the configuration, so that going back stays possible.

use serde_json::{Value, json};

use super::set::FieldSet;
use super::shape::Node;
use super::walk::{compare, fields_of};
use super::{Manager, metadata_mut, take_entries};
use crate::schema::Schema;

/// The manager to which all of this applies.
const APPLIER: &str = "kubectl";

/// The annotation of client-side apply.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations of one object may take this much together; the annotation goes first.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

pub(super) fn is_kubectl(manager: &Manager<'_>) -> bool {
    manager.name == APPLIER
}

/// The fields that `live` still has as client-side apply left them.
pub(super) fn fields_last_applied(
    schema: &Schema,
    live: &Value,
    manager: &Manager<'_>,
) -> Option<FieldSet> {
    let last = last_applied(live)?;
    let last: Value = serde_json::from_str(last).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(manager.api_version) {
        return None;
    }
    let root = Node::Typed(schema);
    let differences = compare(root, Some(&last), Some(live));
    let fields = fields_of(root, &last);
    Some(
        fields
            .difference(&differences.changed())
            .difference(&differences.removed),
    )
}

/// Brings the annotation, where `object` has it, in line with what was applied.
pub(super) fn refresh_annotation(object: &mut Value, applied: &Value) {
    if last_applied(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    take_entries(&mut applied);
    if let Some(annotations) = annotations_mut(&mut applied) {
        annotations.remove(LAST_APPLIED);
    }
    let Some(annotations) = annotations_mut(object) else {
        return;
    };
    annotations.insert(LAST_APPLIED.to_owned(), json!(format!("{applied}\n")));
    let sizes = annotations
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len));
    if sizes.sum::<usize>() > MAX_ANNOTATION_BYTES {
        annotations.remove(LAST_APPLIED);
    }
}

fn last_applied(object: &Value) -> Option<&str> {
    let text = object
        .get("metadata")?
        .get("annotations")?
        .get(LAST_APPLIED)?
        .as_str()?;
    (!text.is_empty()).then_some(text)
}

fn annotations_mut(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    metadata_mut(object)?
        .get_mut("annotations")?
        .as_object_mut()
}

//! What the server itself writes into `metadata`, and when it counts as a change.

use std::collections::HashSet;

use jiff::Timestamp;
use rand::Rng;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::registry::ResourceDef;
use crate::status_error::ApiError;

/// Longest name that `generateName` makes; the prefix is cut to leave room for the suffix.
const GENERATED_NAME: usize = 63;
const SUFFIX: usize = 5;
/// No vowels and nothing that looks like something else: random words stay harmless.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Fields of `metadata` that no client changes.
const SYSTEM_FIELDS: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "name",
    "namespace",
];

/// Those of which another value than the object's is refused.
const CHECKED_FIELDS: [&str; 2] = ["uid", "deletionGracePeriodSeconds"];

/// The time as Kubernetes writes it, in whole seconds that are over.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text of `metadata`; empty when missing.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "name")
}

/// Is the object marked for deletion?
pub(crate) fn is_deleting(object: &Value) -> bool {
    object
        .get("metadata")
        .and_then(|m| m.get("deletionTimestamp"))
        .is_some_and(|time| !time.is_null())
}

/// The finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object
        .get("metadata")
        .and_then(|m| m.get("finalizers"))
        .and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// `metadata`, made if it is missing.
///
/// # Errors
/// `BadRequest` when the object or its `metadata` is not a JSON object.
pub(crate) fn fields(object: &mut Value) -> Result<&mut Map<String, Value>, ApiError> {
    let wrong = |what: &str| ApiError::BadRequest(format!("{what} must be a JSON object"));
    let object = object.as_object_mut().ok_or_else(|| wrong("the body"))?;
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if metadata.is_null() {
        *metadata = json!({});
    }
    metadata.as_object_mut().ok_or_else(|| wrong("metadata"))
}

/// Takes out owners that are there twice; returns their uids.
pub(crate) fn single_owners(object: &mut Value) -> Vec<String> {
    let owners = object.pointer_mut("/metadata/ownerReferences");
    let Some(owners) = owners.and_then(Value::as_array_mut) else {
        return Vec::new();
    };
    let (mut seen, mut twice) = (HashSet::new(), Vec::new());
    owners.retain(|owner| {
        let first = seen.insert(owner.to_string());
        if !first {
            twice.extend(owner["uid"].as_str().map(str::to_owned));
        }
        first
    });
    twice
}

/// Fills in a new object: nothing that the client says about system fields counts.
///
/// # Errors
/// As [`fields`].
pub(crate) fn fill_new(
    object: &mut Value,
    def: &ResourceDef,
    namespace: &str,
    now: &str,
) -> Result<(), ApiError> {
    let metadata = fields(object)?;
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
        "resourceVersion",
    ] {
        metadata.remove(field);
    }
    let prefix = metadata
        .get("generateName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if metadata
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .is_empty()
        && !prefix.is_empty()
    {
        let name = generated_name(prefix);
        metadata.insert("name".to_owned(), json!(name));
    }
    if def.namespaced {
        metadata.insert("namespace".to_owned(), json!(namespace));
    } else {
        metadata.remove("namespace");
    }
    // What a view shows has an identity and an age of its own.
    let is_view = def.strategy.view().is_some();
    let mut fill = |field: &str, value: Value| {
        if !(is_view && metadata.get(field).is_some_and(Value::is_string)) {
            metadata.insert(field.to_owned(), value);
        }
    };
    fill("uid", json!(Uuid::new_v4().to_string()));
    fill("creationTimestamp", json!(now));
    if def.strategy.tracks_generation() {
        metadata.insert("generation".to_owned(), json!(1));
    }
    Ok(())
}

/// Another generated name, where the first was taken.
///
/// # Errors
/// As [`fields`].
pub(crate) fn generate_again(object: &mut Value) -> Result<(), ApiError> {
    let name = generated_name(text(object, "generateName"));
    fields(object)?.insert("name".to_owned(), json!(name));
    Ok(())
}

fn generated_name(prefix: &str) -> String {
    let keep = prefix
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= GENERATED_NAME - SUFFIX);
    let mut name = prefix[..keep.last().unwrap_or_default()].to_owned();
    let mut rng = rand::rng();
    name.extend((0..SUFFIX).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])));
    name
}

/// Takes the system fields of the old object over into the new one. Of those that no client may set,
/// a wrong one is left for validation.
///
/// # Errors
/// As [`fields`].
pub(crate) fn carry_over(object: &mut Value, old: &Value) -> Result<(), ApiError> {
    let metadata = fields(object)?;
    metadata.remove("selfLink");
    for field in SYSTEM_FIELDS {
        let before = old.get("metadata").and_then(|m| m.get(field));
        let said = metadata
            .get(field)
            .filter(|said| !said.is_null() && **said != "");
        match before {
            _ if said.is_some() && said != before && CHECKED_FIELDS.contains(&field) => {}
            Some(value) => {
                metadata.insert(field.to_owned(), value.clone());
            }
            None if field == "deletionTimestamp" && said.is_some() => {}
            None => {
                metadata.remove(field);
            }
        }
    }
    Ok(())
}

/// Counts a change of what the user wants: anything but `metadata`, and `status` where that is a
/// subresource.
pub(crate) fn count_generation(object: &mut Value, old: &Value, def: &ResourceDef) {
    if def.strategy.tracks_generation() && wanted(object, def).ne(wanted(old, def)) {
        next_generation(object, old);
    }
}

fn wanted<'a>(
    object: &'a Value,
    def: &'a ResourceDef,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter(|(name, _)| {
        let left_out = *name == "metadata" || *name == "status" && def.subresources.status;
        !left_out
    })
}

fn next_generation(object: &mut Value, old: &Value) {
    let before = old
        .get("metadata")
        .and_then(|m| m.get("generation"))
        .and_then(Value::as_i64)
        .unwrap_or_default();
    if let Ok(metadata) = fields(object) {
        metadata.insert("generation".to_owned(), json!(before.saturating_add(1)));
    }
}

/// Marks an object for deletion, once: for most kinds that counts as a change of what is wanted.
///
/// # Errors
/// As [`fields`].
pub(crate) fn mark_deleted(
    object: &mut Value,
    def: &ResourceDef,
    now: &str,
) -> Result<(), ApiError> {
    if is_deleting(object) {
        return Ok(());
    }
    let metadata = fields(object)?;
    metadata.insert("deletionTimestamp".to_owned(), json!(now));
    let graceful = def.strategy.deletes_gracefully();
    if graceful {
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
    }
    if graceful && def.strategy.tracks_generation() {
        let old = object.clone();
        next_generation(object, &old);
    }
    def.strategy.prepare_delete(object);
    Ok(())
}

/// Is there nothing to write? Times of managed fields and the version itself do not count.
pub(crate) fn is_no_op(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
        return new == old;
    };
    new.len() == old.len()
        && new.iter().all(|(name, value)| match old.get(name) {
            Some(before) if name == "metadata" => same_metadata(value, before),
            Some(before) => value == before,
            None => false,
        })
}

fn same_metadata(new: &Value, old: &Value) -> bool {
    let strip = |metadata: &Value| {
        let mut metadata = metadata.clone();
        if let Some(fields) = metadata.as_object_mut() {
            fields.remove("resourceVersion");
            let managers = fields
                .get_mut("managedFields")
                .and_then(Value::as_array_mut);
            for manager in managers
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                manager.remove("time");
            }
        }
        metadata
    };
    strip(new) == strip(old)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn generated_names() {
        let name = generated_name("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_eq!(generated_name(&"x".repeat(100)).len(), GENERATED_NAME);
        assert!(generated_name(&"ä".repeat(100)).len() <= GENERATED_NAME);
    }

    #[test]
    fn times_are_whole_seconds() {
        let text = now();
        assert_eq!(text.len(), "2026-01-01T00:00:00Z".len(), "{text}");
    }

    #[test]
    fn what_is_a_change() {
        let old = json!({"metadata": {"resourceVersion": "1", "managedFields": [{"manager": "a", "time": "1"}]}, "spec": {"a": 1}});
        let mut new = old.clone();
        new["metadata"]["resourceVersion"] = json!("2");
        new["metadata"]["managedFields"][0]["time"] = json!("2");
        assert!(is_no_op(&new, &old));
        new["spec"]["a"] = json!(2);
        assert!(!is_no_op(&new, &old));
        let mut new = old.clone();
        new["metadata"]["labels"] = json!({"a": "b"});
        assert!(!is_no_op(&new, &old));
        let mut new = old.clone();
        new["status"] = json!({});
        assert!(!is_no_op(&new, &old));
    }
}

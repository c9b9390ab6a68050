//! What Secrets and ConfigMaps have in common: entries by key, a size, a lock.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use crate::validation::{FieldError, base64, names};

/// Most bytes that all entries may have together.
pub(super) const MAX_SIZE: usize = 1024 * 1024;
const LOCKED: &str = "field is immutable when `immutable` is set";

/// The entries of a field.
pub(super) fn entries<'a>(
    object: &'a Value,
    field: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object
        .get(field)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// The bytes of an encoded value; `None` when it is not base64.
pub(super) fn decode(value: &Value) -> Option<Vec<u8>> {
    base64(value.as_str()?)
}

/// Writes encoded values in the one way there is; what is not base64 is left to validation.
pub(super) fn canonical(list: Option<&mut Value>) {
    let list = list.and_then(Value::as_object_mut);
    for (_, value) in list.into_iter().flatten() {
        if let Some(bytes) = decode(value) {
            *value = json!(BASE64_STANDARD.encode(bytes));
        }
    }
}

/// Checks the keys of a field.
pub(super) fn check_keys(object: &Value, field: &str, problems: &mut Vec<FieldError>) {
    for (key, _) in entries(object, field) {
        let wrong = |detail| FieldError::invalid(format!("{field}[{key}]"), key.as_str(), detail);
        problems.extend(names::config_key(key).into_iter().map(wrong));
    }
}

/// Checks that nothing of a locked object changes.
pub(super) fn check_lock(
    object: &Value,
    old: &Value,
    fields: &[&str],
    problems: &mut Vec<FieldError>,
) {
    let locked = |object: &Value| object.get("immutable") == Some(&Value::Bool(true));
    if !locked(old) {
        return;
    }
    if !locked(object) {
        problems.push(FieldError::forbidden("immutable", LOCKED));
    }
    let changed = fields
        .iter()
        .filter(|field| object.get(**field) != old.get(**field));
    problems.extend(changed.map(|field| FieldError::forbidden(*field, LOCKED)));
}

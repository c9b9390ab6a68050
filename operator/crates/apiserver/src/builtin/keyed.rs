//! What Secrets and ConfigMaps have in common: entries by key, a size, a lock.

use serde_json::Value;

use crate::validation::FieldError;

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

/// Checks the keys of a field.
pub(super) fn check_keys(object: &Value, field: &str, problems: &mut Vec<FieldError>) {
    for (key, _) in entries(object, field) {
        let place = format!("{field}[{key}]");
        let fits = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !fits {
            let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
                (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            problems.push(FieldError::invalid(place, key.as_str(), detail));
        } else if key.len() > 253 {
            problems.push(FieldError::invalid(
                place,
                key.as_str(),
                "must be no more than 253 characters",
            ));
        } else if key == "." || key == ".." || key.starts_with("..") {
            problems.push(FieldError::invalid(
                place,
                key.as_str(),
                "must not be '.', '..' or start with '..'",
            ));
        }
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

//! What makes an object invalid, in the words and with the field paths of Kubernetes.
//!
//! Every check returns all errors at once as [`FieldError`]s; turning them into a `Status` is
//! the business of the HTTP edge. Nothing here does I/O, and no JSON value makes it panic.
//!
//! - [`validate_object`]: schema, embedded objects, list types, CEL rules, and what neither of
//!   them expresses about our own kinds;
//! - [`meta`]: object metadata on create and update;
//! - [`names`]: the grammars of names, labels and annotations.

pub mod cel;
mod convert;
mod embedded;
pub mod field;
pub(crate) mod formats;
mod listtype;
pub mod meta;
pub mod names;
pub(crate) mod pattern;
pub mod structural;
mod unmarshal;

use serde_json::Value;

pub use self::embedded::unreadable;
pub use self::field::{FieldError, Path, Reason, TOLD, aggregate};
pub(crate) use self::unmarshal::base64;
pub use self::unmarshal::cannot_unmarshal;
use crate::schema::Schema;

/// Checks a whole object against its schema. With `old`, errors in parts that did not change and
/// can be matched to the old object are forgiven, so that a stricter schema does not freeze
/// existing objects, and transition rules apply.
pub fn validate_object(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    validate_further(schema, new, old, Vec::new(), Vec::new())
}

/// The same for an object of which something is known to be wrong already, and may keep the rules
/// from being checked: `errors` come first, `others` after those of the schema.
pub fn validate_further(
    schema: &Schema,
    new: &Value,
    old: Option<&Value>,
    mut errors: Vec<FieldError>,
    others: Vec<FieldError>,
) -> Vec<FieldError> {
    let mut found = structural::validate(schema, new);
    if let Some(old) = old.filter(|_| !found.is_empty()) {
        found = structural::validate_update(schema, new, old);
    }
    errors.append(&mut found);
    errors.extend(others);
    errors.extend(embedded::errors(schema, new));
    // A list that had duplicates before may keep them.
    if old.is_none_or(|old| listtype::errors(schema, old).is_empty()) {
        errors.extend(listtype::errors(schema, new));
    }
    let before = old.map(own_kind).unwrap_or_default();
    errors.extend(
        own_kind(new)
            .into_iter()
            .filter(|error| !before.contains(error)),
    );
    if !schema.has_rules {
        return errors;
    }
    let blocking = |error: &FieldError| {
        matches!(
            error.reason,
            Reason::Required
                | Reason::TooLong
                | Reason::TooMany
                | Reason::TypeInvalid
                | Reason::NotSupported
        )
    };
    if errors.iter().any(blocking) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        errors.push(FieldError::invalid("<nil>", Value::Null, detail));
    } else {
        errors.extend(cel::validate(schema, new, old));
    }
    errors
}

/// Checks a value that is no whole object, as a default in a schema.
pub(crate) fn whole_value(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors: Vec<_> = unreadable(schema, value).into_iter().collect();
    if errors.is_empty() {
        errors = embedded::errors(schema, value);
    }
    if errors.is_empty() {
        errors = structural::validate(schema, value);
    }
    errors
}

/// Checks that `api-types` makes for our own kinds beyond their schemas; none for other groups.
fn own_kind(object: &Value) -> Vec<FieldError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    if text("apiVersion").split('/').next() != Some(api_types::GROUP) {
        return Vec::new();
    }
    let convert =
        |error: api_types::FieldError| FieldError::invalid(error.path, error.value, error.detail);
    let found = api_types::validate(text("kind"), object);
    found.into_iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_kinds_are_checked_beyond_their_schema_and_old_errors_forgiven() {
        let schema = Schema::default();
        let object = |name: &str| json!({"apiVersion": api_types::API_VERSION, "kind": "Deployment", "metadata": {"name": name}});
        let errors = validate_object(&schema, &object("a.b"), None);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].field, "metadata.name");
        assert!(validate_object(&schema, &object("a.b"), Some(&object("a.b"))).is_empty());
        let foreign =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a.b"}});
        assert!(validate_object(&schema, &foreign, None).is_empty());
    }
}

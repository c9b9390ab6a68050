//! What makes an object invalid, in the words and with the field paths of Kubernetes.
//!
//! Every check returns all errors at once as [`FieldError`]s; turning them into a `Status` is
//! the business of the HTTP edge. Nothing here does I/O, and no JSON value makes it panic.
//!
//! - [`validate_object`]: schema, embedded objects, list types and CEL rules;
//! - [`validate_own_kind`]: what neither a schema nor CEL expresses about our own kinds;
//! - [`meta`]: object metadata on create and update;
//! - [`names`]: the grammars of names, labels and annotations.

pub mod cel;
mod convert;
mod cost;
pub mod field;
mod formats;
mod library;
mod listtype;
pub mod meta;
pub mod names;
pub mod structural;

use serde_json::Value;

pub use self::field::{FieldError, Path, Reason, aggregate};
use crate::schema::Schema;

/// Checks a whole object against its schema. With `old`, errors in parts that did not change and
/// can be matched to the old object are forgiven, so that a stricter schema does not freeze
/// existing objects, and transition rules apply.
pub fn validate_object(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = structural::validate(schema, new);
    if let Some(old) = old.filter(|_| !errors.is_empty()) {
        errors = structural::validate_update(schema, new, old);
    }
    // A list that had duplicates before may keep them.
    if old.is_none_or(|old| listtype::errors(schema, old).is_empty()) {
        errors.extend(listtype::errors(schema, new));
    }
    if !schema.has_rules {
        return errors;
    }
    let blocking = |error: &FieldError| {
        matches!(
            error.reason,
            Reason::Required | Reason::TooLong | Reason::TooMany | Reason::TypeInvalid
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

/// Checks that `api-types` makes for our own kinds beyond their schemas; none for other groups.
pub fn validate_own_kind(group: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    if group != api_types::GROUP {
        return Vec::new();
    }
    let convert =
        |error: api_types::FieldError| FieldError::invalid(error.path, error.value, error.detail);
    api_types::validate(kind, object)
        .into_iter()
        .map(convert)
        .collect()
}

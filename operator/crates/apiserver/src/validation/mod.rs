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
pub(crate) mod url;

use serde_json::Value;

pub use self::embedded::unreadable;
pub use self::field::{FieldError, Path, Reason, TOLD, aggregate};
pub(crate) use self::unmarshal::base64;
pub use self::unmarshal::cannot_unmarshal;
use crate::schema::Schema;

/// A change of an object, to be held against its schema. With `old`, errors in parts that did not
/// change and can be matched to the old object are forgiven, so that a stricter schema does not
/// freeze existing objects, and transition rules apply.
#[derive(Clone, Copy, Debug)]
pub struct Change<'v> {
    /// The whole object.
    pub new: &'v Value,
    /// What it was before.
    pub old: Option<&'v Value>,
    /// Whether nothing but the status is written: what is wrong elsewhere, the schema does not say
    /// then; the rules do.
    pub status_only: bool,
}

/// What came of a check.
#[derive(Debug, Default)]
pub struct Findings {
    /// Why the object is refused.
    pub errors: Vec<FieldError>,
    /// Violated rules that keep nobody from writing the object, because what they are about was so
    /// before.
    pub forgiven: Vec<FieldError>,
}

/// Checks a whole object against its schema.
pub fn validate_object(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let status_only = false;
    let change = Change {
        new,
        old,
        status_only,
    };
    validate_further(schema, change, Vec::new(), Vec::new()).errors
}

/// The same for an object of which something is known to be wrong already: `errors` come first, and
/// `others` after what the schema says; they may keep the rules from being checked.
pub fn validate_further(
    schema: &Schema,
    change: Change<'_>,
    mut errors: Vec<FieldError>,
    others: Vec<FieldError>,
) -> Findings {
    let Change {
        new,
        old,
        status_only,
    } = change;
    if status_only {
        errors.extend(status_errors(schema, new, old));
    } else {
        errors.extend(structural_errors(schema, new, old));
    }
    errors.extend(others);
    if !status_only {
        errors.extend(embedded::errors(schema, new));
    }
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
    let mut findings = Findings::default();
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
    if schema.has_rules && errors.iter().any(blocking) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        errors.push(FieldError::invalid("<nil>", Value::Null, detail));
    } else if schema.has_rules {
        findings = cel::validate(schema, new, old);
    }
    errors.append(&mut findings.errors);
    Findings { errors, ..findings }
}

fn structural_errors(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let found = structural::validate(schema, new);
    match old.filter(|_| !found.is_empty()) {
        Some(old) => structural::validate_update(schema, new, old),
        None => found,
    }
}

/// What is wrong with the status of an object: told as of a value of its own, at its place.
fn status_errors(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (Some(schema), Some(new)) = (schema.field("status"), new.get("status")) else {
        return Vec::new();
    };
    let old = old.and_then(|old| old.get("status"));
    let mut found = structural_errors(schema, new, old);
    for error in &mut found {
        error.field = match error.field.as_str() {
            "" | "<nil>" => "status".into(),
            field => format!("status.{field}"),
        };
    }
    found
}

/// Checks a value that is no whole object, as a default in a schema. Rules must hold both where it is
/// new and where it was so before.
pub(crate) fn whole_value(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors: Vec<_> = unreadable(schema, value).into_iter().collect();
    if errors.is_empty() {
        errors = embedded::errors(schema, value);
    }
    if errors.is_empty() {
        errors = structural::validate(schema, value);
    }
    for old in [Some(value), None] {
        if errors.is_empty() {
            let found = cel::validate(schema, value, old);
            errors = [found.errors, found.forgiven].concat();
        }
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

    #[test]
    fn a_status_is_told_as_a_value_of_its_own() {
        let schema = Schema::parse(
            &json!({"type": "object", "required": ["spec"], "properties": {
                "status": {"type": "object", "properties": {"ready": {"type": "integer", "minimum": 1}}, "not": {"required": ["no"]}},
            }}),
        );
        let schema = schema.unwrap_or_default();
        let told = |status: Value| -> Vec<_> {
            let change = Change {
                new: &json!({"status": status}),
                old: None,
                status_only: true,
            };
            let errors = validate_further(&schema, change, Vec::new(), Vec::new()).errors;
            errors.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            told(json!({"ready": 0, "no": 1})),
            [
                r#"status: Invalid value: "": "" must not validate the schema (not)"#,
                "status.ready: Invalid value: 0: ready in body should be greater than or equal to 1",
            ]
        );
        assert_eq!(told(json!({"ready": 1})), [""; 0]);
    }
}

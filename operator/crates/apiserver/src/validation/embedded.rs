//! Whole objects inside of objects (`x-kubernetes-embedded-resource`): what they are and their
//! metadata are checked as those of any object.

use serde_json::{Value, json};

use super::field::{FieldError, Path};
use super::names::{self, NameRule};
use super::{cannot_unmarshal, meta};
use crate::schema::Schema;

/// Everything wrong with the embedded objects of `value`.
pub(super) fn errors(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, value, &Path::root(), &mut |schema, object, path| {
        errors.extend(check(schema, object, path));
    });
    errors
}

/// The first field of an embedded object that no decoder with typed fields could read.
pub fn unreadable(schema: &Schema, value: &Value) -> Option<FieldError> {
    let mut first = None;
    walk(schema, value, &Path::root(), &mut |schema, object, path| {
        let texts = ["apiVersion", "kind"].into_iter().find_map(|name| {
            let found = object.get(name).filter(|found| !found.is_string())?;
            let field = path.field(name);
            Some(FieldError::invalid(
                field,
                found.clone(),
                "must be a string",
            ))
        });
        let metadata = || {
            let why = cannot_unmarshal(schema, object, false)?;
            let field = path.field("metadata");
            Some(FieldError::invalid(field, object["metadata"].clone(), why))
        };
        if first.is_none() {
            first = texts.or_else(metadata);
        }
    });
    first
}

fn walk(
    schema: &Schema,
    value: &Value,
    path: &Path<'_>,
    found: &mut impl FnMut(&Schema, &Value, &Path<'_>),
) {
    match value {
        Value::Object(fields) if schema.has_embedded => {
            if schema.embedded_resource {
                found(schema, value, path);
            }
            for (name, field) in fields {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(below), _) => walk(below, field, &path.field(name), found),
                    (None, Some(below)) => walk(below, field, &path.key(name), found),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) if schema.has_embedded => {
            for (index, item) in items.iter().enumerate() {
                if let Some(below) = &schema.items {
                    walk(below, item, &path.index(index), found);
                }
            }
        }
        _ => {}
    }
}

fn check(schema: &Schema, object: &Value, path: &Path<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for name in ["apiVersion", "kind"] {
        let field = path.field(name);
        match object.get(name).map(|value| value.as_str()) {
            None => errors.push(FieldError::required(field, "")),
            Some(None) => {}
            Some(Some("")) => errors.push(FieldError::invalid(field, "", "must not be empty")),
            Some(Some(version)) if name == "apiVersion" && version.matches('/').count() > 1 => {
                let detail = format!("unexpected GroupVersion string: {version}");
                errors.push(FieldError::invalid(field, version, detail));
            }
            Some(Some(kind)) if name == "kind" => {
                let problems = names::label_1035(&kind.to_lowercase());
                if !problems.is_empty() {
                    let detail = format!("{} {}", names::MIXED_CASE, problems.join(","));
                    errors.push(FieldError::invalid(field, kind, detail));
                }
            }
            Some(Some(_)) => {}
        }
    }
    let readable = cannot_unmarshal(schema, object, false).is_none();
    if let Some(fields) = object
        .get("metadata")
        .and_then(Value::as_object)
        .filter(|_| readable)
    {
        let mut fields = fields.clone();
        let unnamed = fields
            .get("name")
            .is_none_or(|name| name.is_null() || name == "");
        if unnamed {
            fields.insert("name".to_owned(), json!("unnamed"));
        }
        let placed = fields
            .get("namespace")
            .is_some_and(|name| !name.is_null() && name != "");
        let whole = json!({"metadata": fields});
        let problems = meta::validate_create(&whole, placed, NameRule::PathSegment);
        errors.extend(problems.into_iter().map(|error| at(path, error)));
    }
    errors
}

fn at(path: &Path<'_>, error: FieldError) -> FieldError {
    let field = format!("{path}.{}", error.field);
    FieldError { field, ..error }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn embedded_objects_say_what_they_are_and_have_right_metadata() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {"list": {"type": "array",
            "items": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}}))
        .unwrap();
        let cases = [
            (
                json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x"}}),
                vec![],
            ),
            (
                json!({}),
                vec![
                    "list[0].apiVersion: Required value",
                    "list[0].kind: Required value",
                ],
            ),
            (
                json!({"apiVersion": "a/b/c", "kind": ""}),
                vec![
                    r#"list[0].apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
                    r#"list[0].kind: Invalid value: "": must not be empty"#,
                ],
            ),
            (
                json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "a/b"}}),
                vec![r#"list[0].metadata.name: Invalid value: "a/b": may not contain '/'"#],
            ),
        ];
        for (object, expected) in cases {
            let value = json!({"list": [object]});
            let found: Vec<_> = errors(&schema, &value)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected, "{value}");
            assert_eq!(unreadable(&schema, &value), None);
        }
        let cases = [
            (
                json!({"apiVersion": 1, "kind": 2}),
                "list[0].apiVersion: Invalid value: 1: must be a string",
            ),
            (
                json!({"apiVersion": "v1", "kind": "K", "metadata": {"labels": {"a": 1}}}),
                r#"list[0].metadata: Invalid value: {"labels":{"a":1}}: json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"#,
            ),
        ];
        for (object, expected) in cases {
            let found = unreadable(&schema, &json!({"list": [object]}));
            assert_eq!(found.unwrap().to_string(), expected);
        }
    }
}

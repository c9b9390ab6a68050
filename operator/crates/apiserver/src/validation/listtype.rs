//! Uniqueness in lists that are sets or maps.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::field::{FieldError, Path};
use crate::schema::{ListType, Schema, Zero};

/// Every duplicate in `value`.
pub(super) fn errors(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate(schema, value, &Path::root(), &mut errors);
    errors
}

/// Appends a `Duplicate value` for the second of every item (set) or key (map) that is there
/// more than once.
fn validate(schema: &Schema, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(below), _) => validate(below, field, &path.field(name), errors),
                    (None, Some(below)) => validate(below, field, &path.key(name), errors),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type {
                // Whether duplicates are wrong in typed fields, their kind decides.
                _ if schema.zero != Zero::Kept => {}
                ListType::Atomic => {}
                ListType::Set => duplicates(items.iter().cloned(), path, errors),
                ListType::Map => map_list(schema, items, path, errors),
            }
            if let Some(below) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    validate(below, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn map_list(schema: &Schema, items: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let no_object = |item: &&Value| !item.is_object() && !item.is_null();
    if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| no_object(item)) {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(path.index(index), item.clone(), detail));
        return;
    }
    let keys = |item: &Value| {
        let key = |name: &String| item.get(name).map(|value| (name.clone(), value.clone()));
        Value::Object(
            schema
                .list_map_keys
                .iter()
                .filter_map(key)
                .collect::<Map<_, _>>(),
        )
    };
    duplicates(items.iter().map(keys), path, errors);
}

fn duplicates(values: impl Iterator<Item = Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::duplicate(path.index(index), value));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_and_maps_name_each_duplicate_once() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"type": "string"}}}},
            "nested": {"type": "object", "additionalProperties": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}}},
        }}))
        .unwrap();
        let value = json!({
            "set": ["a", "b", "a", "a"],
            "map": [{"port": 1}, {"port": 1, "protocol": "UDP"}, {"port": 1}],
            "nested": {"k": [1, 1]},
        });
        let errors = errors(&schema, &value);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                r#"map[2]: Duplicate value: {"port":1}"#,
                "nested[k][1]: Duplicate value: 1",
                r#"set[2]: Duplicate value: "a""#
            ]
        );
    }
}

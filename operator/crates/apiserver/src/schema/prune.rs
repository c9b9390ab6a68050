//! Removing fields that the schema does not know.

use serde_json::Value;

use super::Schema;
use crate::validation::Path;

impl Schema {
    /// Removes unknown fields and returns their paths (`spec.imge`), sorted, as they appear in
    /// strict decoding errors. Below a field that preserves unknown fields, or in a list that does,
    /// only what is specified is pruned.
    pub fn prune(&self, value: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        prune(value, Some(self), false, &Path::root(), &mut unknown);
        unknown.sort();
        unknown
    }
}

/// `schema` is `None` below an item or field of which nothing is specified. Items of a list whose
/// unknown fields are `kept` keep theirs.
fn prune(
    value: &mut Value,
    schema: Option<&Schema>,
    kept: bool,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) {
    let preserve = kept || schema.is_some_and(|schema| schema.preserve_unknown);
    let any = schema.is_some_and(|schema| schema.additional_any.is_some());
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            let path = path.field(name);
            match schema.and_then(|schema| schema.field(name)) {
                Some(below) => prune(field, Some(below), false, &path, unknown),
                None if any => prune(field, None, false, &path, unknown),
                None if preserve => {}
                None => {
                    unknown.push(path.to_string());
                    return false;
                }
            }
            true
        }),
        Value::Array(items) => {
            let below = schema.and_then(|schema| schema.items.as_deref());
            if preserve && below.is_none() {
                return;
            }
            for (index, item) in items.iter_mut().enumerate() {
                prune(item, below, preserve, &path.index(index), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn pruned(schema: Value, mut value: Value) -> (Value, Vec<String>) {
        let unknown = Schema::parse(&schema).unwrap().prune(&mut value);
        (value, unknown)
    }

    #[test]
    fn unknown_fields_go_and_are_named() {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "image": {"type": "string"},
                "ports": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            }},
        }});
        let value = json!({"spec": {"imge": "x", "image": "y", "ports": [{"port": 1}, {"prt": 2}], "labels": {"a": "b"}}});
        let (value, unknown) = pruned(schema, value);
        assert_eq!(
            value,
            json!({"spec": {"image": "y", "ports": [{"port": 1}, {}], "labels": {"a": "b"}}})
        );
        assert_eq!(unknown, ["spec.imge", "spec.ports[1].prt"]);
    }

    #[test]
    fn preserved_fields_stay_but_specified_ones_inside_are_pruned() {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "known": {"type": "object", "properties": {"a": {"type": "string"}}},
        }});
        let (value, unknown) = pruned(
            schema,
            json!({"free": {"x": [{"y": 1}]}, "known": {"a": "1", "b": 2}}),
        );
        assert_eq!(
            value,
            json!({"free": {"x": [{"y": 1}]}, "known": {"a": "1"}})
        );
        assert_eq!(unknown, ["known.b"]);
    }

    #[test]
    fn lists_preserve_in_their_items_and_any_fields_have_none_of_their_own() {
        let known = json!({"type": "object", "properties": {"a": {"type": "object"}}});
        let schema = json!({"type": "object", "properties": {
            "list": {"type": "array", "x-kubernetes-preserve-unknown-fields": true, "items": {"type": "array", "items": known}},
            "any": {"type": "object", "additionalProperties": true, "properties": {"a": known}},
        }});
        let (value, unknown) = pruned(
            schema,
            json!({"list": [[{"a": {"b": 1}, "c": {"d": 2}}]], "any": {"a": {"a": {}, "b": 1}, "c": {"d": 2}, "e": 3}}),
        );
        assert_eq!(
            value,
            json!({"list": [[{"a": {}, "c": {"d": 2}}]], "any": {"a": {"a": {}}, "c": {}, "e": 3}})
        );
        assert_eq!(unknown, ["any.a.b", "any.c.d", "list[0][0].a.b"]);
    }

    #[test]
    fn metadata_of_custom_and_embedded_objects_is_known() {
        let schema = Schema::custom_resource(&json!({"type": "object", "properties": {
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        }}))
        .unwrap();
        let mut value = json!({
            "apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n", "labels": {"a": "b"}, "nme": 1},
            "template": {"apiVersion": "v1", "kind": "P", "metadata": {"name": "p"}, "spec": {"x": 1}},
        });
        assert_eq!(schema.prune(&mut value), ["metadata.nme"]);
        assert_eq!(value["template"]["spec"]["x"], 1);
    }
}

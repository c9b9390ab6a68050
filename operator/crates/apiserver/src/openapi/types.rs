//! The types that Kubernetes itself defines, each a named schema, as k8s-openapi has them.
//!
//! They are made anew for every document: what is written there is needed nowhere else, and is
//! several times the size of what a server at rest keeps.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::schemas::Refer;
use crate::schema::core;

pub(super) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
pub(super) const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// Fields that a type requires and k8s-openapi, or our own decoding, does not.
const REQUIRED: [(&str, &str); 2] = [
    ("io.k8s.api.core.v1.Event", "metadata"),
    ("io.k8s.api.events.v1.Event", "eventTime"),
];

/// The schemas of all types that were asked of `types`, and of those that they refer to.
pub(super) fn definitions(mut types: SchemaGenerator, refer: Refer) -> Map<String, Value> {
    let mut definitions = types.take_definitions(false);
    for (name, schema) in &mut definitions {
        if let Some(schema) = schema.as_object_mut() {
            definition(name, schema, refer);
        }
    }
    definitions
}

fn definition(name: &str, schema: &mut Map<String, Value>, refer: Refer) {
    let fixed = match name {
        QUANTITY => Some(json!({"oneOf": [{"type": "string"}, {"type": "number"}]})),
        INT_OR_STRING => Some(
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        ),
        name if core::is_free_form(name) => Some(json!({})),
        _ => None,
    };
    if let Some(Value::Object(fixed)) = fixed {
        schema.retain(|keyword, _| keyword == "description");
        schema.extend(fixed);
        return;
    }
    core::complete(name, schema);
    for (_, field) in REQUIRED.iter().filter(|(of, _)| *of == name) {
        let required = schema.entry("required").or_insert_with(|| json!([]));
        required
            .as_array_mut()
            .into_iter()
            .for_each(|all| all.push(json!(field)));
    }
    fields(schema, refer);
}

/// Everything below a node. Lists in fields are atomic where nothing else is said.
fn fields(node: &mut Map<String, Value>, refer: Refer) {
    for keyword in ["items", "additionalProperties"] {
        node.get_mut(keyword)
            .into_iter()
            .for_each(|below| field(below, refer));
    }
    let properties = node.get_mut("properties").and_then(Value::as_object_mut);
    for below in properties.into_iter().flat_map(|all| all.values_mut()) {
        field(below, refer);
        if below["type"] == "array" && below["x-kubernetes-list-type"].is_null() {
            below["x-kubernetes-list-type"] = "atomic".into();
        }
    }
}

fn field(value: &mut Value, refer: Refer) {
    let Some(node) = value.as_object_mut() else {
        return;
    };
    let Some(target) = node.get("$ref").and_then(Value::as_str) else {
        return fields(node, refer);
    };
    let name = target.trim_start_matches("#/$defs/");
    *value = refer(name, node.get("description").and_then(Value::as_str));
}

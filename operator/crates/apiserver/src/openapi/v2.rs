//! OpenAPI v2 (Swagger): one document with all kinds.
//!
//! v2 can say less than v3. As in Kubernetes, what it cannot say is left out rather than said
//! wrongly, for old clients validate by it: where null is allowed or unknown fields are kept,
//! nothing is specified; combinations and defaults are dropped.

use serde_json::{Map, Value, json};

use super::operations::{self, Operation};
use super::schemas;
use super::types::{INT_OR_STRING, QUANTITY};
use crate::registry::Snapshot;

/// The whole document; `api` is the version of the API.
pub(super) fn document(snapshot: &Snapshot, api: &str) -> Value {
    let mut definitions = schemas::all(snapshot.resources.iter(), refer);
    let mut paths = Map::new();
    for def in &snapshot.resources {
        for item in operations::paths(def) {
            let methods = item
                .operations
                .iter()
                .map(|one| (one.method.to_owned(), operation(one)));
            paths.insert(item.path, Value::Object(methods.collect()));
        }
    }
    for schema in definitions.values_mut() {
        if schema["x-kubernetes-preserve-unknown-fields"] == true {
            let kinds = schema["x-kubernetes-group-version-kind"].take();
            *schema = json!({"type": "object", "x-kubernetes-group-version-kind": kinds});
        }
        reduce(schema);
    }
    for name in [QUANTITY, INT_OR_STRING] {
        if let Some(either) = definitions.get_mut(name) {
            either["type"] = "string".into();
        }
    }
    json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": api},
        "paths": paths, "definitions": definitions,
    })
}

fn refer(name: &str, description: Option<&str>) -> Value {
    let mut reference = json!({"$ref": format!("#/definitions/{name}")});
    if let Some(text) = description {
        reference["description"] = text.into();
    }
    reference
}

/// Rewrites a schema and those below it to what v2 can say.
fn reduce(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    for keyword in ["allOf", "anyOf", "oneOf", "not", "default"] {
        node.remove(keyword);
    }
    let flag = |node: &Map<String, Value>, name: &str| node.get(name) == Some(&Value::Bool(true));
    let nullable = flag(node, "nullable");
    node.remove("nullable");
    if nullable || flag(node, "x-kubernetes-preserve-unknown-fields") {
        // kubectl fails on the contents of what has no type.
        node.remove("properties");
        node.remove("items");
        if flag(node, "x-kubernetes-embedded-resource") {
            node.remove("required");
        }
        let composed = node
            .get("type")
            .is_some_and(|kind| kind == "object" || kind == "array");
        if nullable || composed {
            node.remove("type");
        }
    }
    require_no_nullable(node);
    for keyword in ["items", "additionalProperties"] {
        node.get_mut(keyword).into_iter().for_each(reduce);
    }
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(reduce);
    }
}

/// Old clients take a null for an absent field.
fn require_no_nullable(node: &mut Map<String, Value>) {
    let Some(properties) = node.get("properties").and_then(Value::as_object) else {
        return;
    };
    let nullable = properties
        .iter()
        .filter(|(_, field)| field["nullable"] == true);
    let nullable: Vec<_> = nullable.map(|(name, _)| name.clone()).collect();
    if let Some(required) = node.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !nullable.iter().any(|field| name == field.as_str()));
    }
}

fn operation(operation: &Operation) -> Value {
    let mut parameters: Vec<_> = operation
        .parameters
        .iter()
        .map(|parameter| {
            let mut out = json!({
                "name": parameter.name, "in": parameter.place, "description": parameter.description,
                "type": parameter.kind, "uniqueItems": true,
            });
            if parameter.place == "path" {
                out["required"] = true.into();
            }
            out
        })
        .collect();
    if let Some(body) = &operation.body {
        let required = operation.action != "delete" && operation.action != "deletecollection";
        parameters.insert(
            0,
            json!({"name": "body", "in": "body", "required": required, "schema": refer(body, None)}),
        );
    }
    let mut responses = json!({"401": {"description": "Unauthorized"}});
    for (code, name) in operations::answers(operation.action) {
        responses[code] = json!({"description": name, "schema": refer(&operation.answer, None)});
    }
    let (group, version, kind) = &operation.gvk;
    json!({
        "operationId": operation.id, "description": operation.description,
        "consumes": operation.consumes, "produces": ["application/json", "application/yaml"],
        "parameters": parameters,
        "responses": responses, "schemes": ["https"], "tags": [operation.tag],
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_v2_cannot_say_is_left_out() {
        let cases = [
            (
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{}], "default": 1}),
                json!({"x-kubernetes-int-or-string": true}),
            ),
            (
                json!({"type": "string", "format": "byte", "nullable": true, "description": "d"}),
                json!({"format": "byte", "description": "d"}),
            ),
            (
                json!({"type": "object", "nullable": true, "required": ["a"], "properties": {"a": {}}}),
                json!({"required": ["a"]}),
            ),
            (
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {}}}),
                json!({"x-kubernetes-preserve-unknown-fields": true}),
            ),
            (
                json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string", "nullable": true}, "b": {"type": "string", "default": "x"}}}),
                json!({"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}}),
            ),
            (
                json!({"type": "array", "items": {"type": "string", "nullable": true}, "x-kubernetes-list-type": "set"}),
                json!({"type": "array", "items": {}, "x-kubernetes-list-type": "set"}),
            ),
        ];
        for (mut schema, expected) in cases {
            reduce(&mut schema);
            assert_eq!(schema, expected);
        }
    }
}

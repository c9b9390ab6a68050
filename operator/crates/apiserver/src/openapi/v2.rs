//! OpenAPI v2 (Swagger): one document with all kinds.
//!
//! v2 can say less than v3. As in Kubernetes, what it cannot say is left out rather than said
//! wrongly, for old clients validate by it: where null is allowed or unknown fields are kept,
//! nothing is specified; combinations and CEL rules are dropped.

use serde_json::{Map, Value, json};

use super::operations::{self, Operation};
use super::schemas;
use crate::registry::Snapshot;

/// The whole document; `api` is the version of the API.
pub(super) fn document(snapshot: &Snapshot, api: &str) -> Value {
    let mut definitions = Map::new();
    let mut paths = Map::new();
    let scale = snapshot
        .resources
        .iter()
        .any(|def| def.subresources.scale.is_some());
    schemas::add_shared(&mut definitions, scale);
    for def in &snapshot.resources {
        schemas::add_kind(&mut definitions, def, refer);
        for item in operations::paths(def) {
            let methods = item
                .operations
                .iter()
                .map(|one| (one.method.to_owned(), operation(one)));
            paths.insert(item.path, Value::Object(methods.collect()));
        }
    }
    definitions.values_mut().for_each(reduce);
    json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": api},
        "paths": paths, "definitions": definitions,
    })
}

fn refer(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

/// Rewrites a schema and those below it to what v2 can say.
fn reduce(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    for keyword in [
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "x-kubernetes-validations",
        "default",
        "example",
    ] {
        node.remove(keyword);
    }
    if node
        .get("x-kubernetes-int-or-string")
        .is_some_and(|flag| flag == true)
    {
        node.insert("type".into(), "string".into());
        node.insert("format".into(), "int-or-string".into());
    }
    let nullable = node.remove("nullable").is_some_and(|flag| flag == true);
    if nullable
        || node
            .get("x-kubernetes-preserve-unknown-fields")
            .is_some_and(|flag| flag == true)
    {
        for keyword in ["properties", "items", "additionalProperties", "required"] {
            node.remove(keyword);
        }
    }
    if nullable {
        node.remove("type");
        node.remove("format");
        node.remove("enum");
    }
    for keyword in ["items", "additionalProperties"] {
        node.get_mut(keyword).into_iter().for_each(reduce);
    }
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(reduce);
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
            json!({"name": "body", "in": "body", "required": required, "schema": refer(body)}),
        );
    }
    let (group, version, kind) = &operation.gvk;
    json!({
        "operationId": operation.id, "description": operation.description,
        "consumes": operation.consumes, "produces": ["application/json", "application/yaml"],
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "schema": refer(&operation.answer)},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    })
}

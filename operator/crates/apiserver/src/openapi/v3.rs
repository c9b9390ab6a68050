//! OpenAPI v3: a root with a hash for each group and version, and a document for each.

use serde_json::{Map, Value, json};

use super::operations::{self, Operation};
use super::schemas;
use crate::registry::Snapshot;

/// The root document. Clients cache the documents it points to by their hashes.
pub(super) fn root(snapshot: &Snapshot, hash: impl Fn(&str) -> Option<String>) -> Value {
    let entry = |(group, version): (std::sync::Arc<str>, std::sync::Arc<str>)| {
        let path = if group.is_empty() {
            format!("api/{version}")
        } else {
            format!("apis/{group}/{version}")
        };
        let url = url(&path, &hash(&path)?);
        Some((path, json!({"serverRelativeURL": url})))
    };
    let paths: Map<_, _> = snapshot
        .group_versions()
        .into_iter()
        .filter_map(entry)
        .collect();
    json!({"paths": paths})
}

/// Where a document is, by its hash.
pub(super) fn url(path: &str, hash: &str) -> String {
    format!("/openapi/v3/{path}?hash={hash}")
}

/// Group and version of `api/v1` or `apis/G/V`.
pub(super) fn parse_path(path: &str) -> Option<(&str, &str)> {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => Some(("", version)),
        ["apis", group, version] if !group.is_empty() => Some((group, version)),
        _ => None,
    }
}

/// The document of one group and version.
pub(super) fn document(snapshot: &Snapshot, group: &str, version: &str, api: &str) -> Value {
    let components = schemas::all(snapshot.of_version(group, version), refer);
    let mut paths = Map::new();
    for def in snapshot.of_version(group, version) {
        for item in operations::paths(def) {
            let methods = item
                .operations
                .iter()
                .map(|one| (one.method.to_owned(), operation(one)));
            paths.insert(item.path, Value::Object(methods.collect()));
        }
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": api},
        "paths": paths, "components": {"schemas": components},
    })
}

/// In 3.0 nothing may stand beside a `$ref`, so it is wrapped for the description to have a place.
fn refer(name: &str, description: Option<&str>) -> Value {
    match description {
        Some(text) => json!({"description": text, "allOf": [reference(name)]}),
        None => reference(name),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn operation(operation: &Operation) -> Value {
    let parameters: Vec<_> = operation
        .parameters
        .iter()
        .map(|parameter| {
            let mut out = json!({
                "name": parameter.name, "in": parameter.place, "description": parameter.description,
                "schema": {"type": parameter.kind, "uniqueItems": true},
            });
            if parameter.place == "path" {
                out["required"] = true.into();
            }
            out
        })
        .collect();
    let mut responses = json!({"401": {"description": "Unauthorized"}});
    let schema = json!({"schema": reference(&operation.answer)});
    for (code, name) in operations::answers(operation.action) {
        let content = json!({"application/json": schema, "application/yaml": schema});
        responses[code] = json!({"description": name, "content": content});
    }
    let (group, version, kind) = &operation.gvk;
    let mut out = json!({
        "operationId": operation.id, "description": operation.description, "parameters": parameters,
        "responses": responses, "tags": [operation.tag],
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    });
    if let Some(body) = &operation.body {
        let media = |name: &&str| ((*name).to_owned(), json!({"schema": reference(body)}));
        let content: Map<_, _> = operation.consumes.iter().map(media).collect();
        out["requestBody"] = json!({"content": content, "required": operation.action != "delete" && operation.action != "deletecollection"});
    }
    out
}

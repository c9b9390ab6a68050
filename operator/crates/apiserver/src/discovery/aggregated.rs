//! Discovery in one document: `APIGroupDiscoveryList` of `apidiscovery.k8s.io`.

use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::{groups, resources, subresources};
use crate::registry::{ResourceDef, Snapshot, Verb};

/// The version of the aggregated form that the client prefers over the legacy one. Media
/// parameters may come in any order.
pub(super) fn accepted(headers: &HeaderMap) -> Option<&'static str> {
    let values = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    for clause in values.flat_map(|value| value.split(',')) {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let has = |name: &str, value: &str| parameters.contains(&(name, value));
        if media != "application/json" && media != "*/*" && media != "application/*" {
            continue;
        }
        if !parameters.iter().any(|(name, _)| *name == "as") {
            return None;
        }
        if has("g", "apidiscovery.k8s.io") && has("as", "APIGroupDiscoveryList") {
            let known = ["v2", "v2beta1"]
                .into_iter()
                .find(|version| has("v", version));
            if known.is_some() {
                return known;
            }
        }
    }
    None
}

/// The media type of the answer; clients insist on all three parameters.
pub(super) fn media_type(version: &str) -> String {
    format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
}

/// The document of `/api` (`core`) or `/apis`.
pub(super) fn document(snapshot: &Snapshot, core: bool, version: &str) -> Value {
    let wanted = groups(snapshot)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core);
    let items: Vec<_> = wanted
        .map(|(group, versions)| item(snapshot, &group, &versions))
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    })
}

fn item(snapshot: &Snapshot, group: &str, versions: &[String]) -> Value {
    let version = |version: &String| {
        let resources: Vec<_> = resources(snapshot, group, version)
            .into_iter()
            .map(|def| resource(def))
            .collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<_> = versions.iter().map(version).collect();
    let mut metadata = json!({"creationTimestamp": null});
    if !group.is_empty() {
        metadata["name"] = json!(group);
    }
    json!({"metadata": metadata, "versions": versions})
}

fn resource(def: &ResourceDef) -> Value {
    let verbs: Vec<_> = def.verbs.iter().copied().map(Verb::as_str).collect();
    let mut entry = json!({
        "resource": &*def.plural,
        "responseKind": {"group": &*def.group, "version": &*def.version, "kind": &*def.kind},
        "scope": if def.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": &*def.singular,
        "verbs": verbs,
    });
    if !def.short_names.is_empty() {
        entry["shortNames"] = json!(def.short_names);
    }
    if !def.categories.is_empty() {
        entry["categories"] = json!(def.categories);
    }
    let below = subresources(def).into_iter().map(|sub| {
        json!({
            "subresource": sub.name,
            "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
            "verbs": sub.verbs,
        })
    });
    let below: Vec<_> = below.collect();
    if !below.is_empty() {
        entry["subresources"] = json!(below);
    }
    entry
}

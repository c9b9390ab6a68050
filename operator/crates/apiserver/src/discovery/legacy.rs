//! Discovery one document per group and version, as all clients understand it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{groups, resources, subresources};
use crate::registry::{Backing, Conversion, ResourceDef, Snapshot, Verb, api_version};

/// The document at `path`, which has no trailing slash.
pub(super) fn document(snapshot: &Snapshot, path: &str) -> Option<Value> {
    let segments: Vec<_> = path.strip_prefix('/')?.split('/').collect();
    match segments.as_slice() {
        ["api"] => Some(versions(snapshot)),
        ["apis"] => Some(group_list(snapshot)),
        ["api", version] => resource_list(snapshot, "", version),
        ["apis", group] => {
            let found = groups(snapshot)
                .into_iter()
                .find(|(name, _)| name == group && !name.is_empty())?;
            let mut document = json!({"kind": "APIGroup", "apiVersion": "v1"});
            merge(&mut document, group_entry(&found.0, &found.1));
            Some(document)
        }
        ["apis", group, version] if !group.is_empty() => resource_list(snapshot, group, version),
        _ => None,
    }
}

fn versions(snapshot: &Snapshot) -> Value {
    let core = groups(snapshot)
        .into_iter()
        .find(|(group, _)| group.is_empty());
    let versions = core.map(|(_, versions)| versions).unwrap_or_default();
    json!({"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": []})
}

fn group_list(snapshot: &Snapshot) -> Value {
    let named = groups(snapshot)
        .into_iter()
        .filter(|(group, _)| !group.is_empty());
    let groups: Vec<_> = named
        .map(|(group, versions)| group_entry(&group, &versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group_entry(group: &str, versions: &[String]) -> Value {
    let entry =
        |version: &String| json!({"groupVersion": api_version(group, version), "version": version});
    let versions: Vec<_> = versions.iter().map(entry).collect();
    json!({"name": group, "preferredVersion": versions[0], "versions": versions})
}

fn resource_list(snapshot: &Snapshot, group: &str, version: &str) -> Option<Value> {
    let resources: Vec<_> = resources(snapshot, group, version)
        .into_iter()
        .flat_map(|def| entries(snapshot, def))
        .collect();
    let kind = json!({"kind": "APIResourceList", "apiVersion": "v1"});
    let mut list = json!({"groupVersion": api_version(group, version), "resources": resources});
    merge(&mut list, kind);
    (!resources.is_empty()).then_some(list)
}

/// Changes with the version in which objects are stored.
fn storage_version_hash(snapshot: &Snapshot, def: &ResourceDef) -> String {
    let stored_as = |row: &ResourceDef| format!("{}/{}/{}", row.group, row.version, row.kind);
    let name = match &def.conversion {
        None => stored_as(def),
        Some(Conversion::Definition(versions)) => format!("{}/{}", versions.storage, def.kind),
        Some(Conversion::Form { .. }) => {
            let mut rows = snapshot.resources.iter();
            let stored = rows.find(|row| row.storage == def.storage && row.conversion.is_none());
            stored.map_or_else(|| stored_as(def), |row| stored_as(row))
        }
    };
    BASE64_STANDARD.encode(&Sha256::digest(name)[..8])
}

fn entries(snapshot: &Snapshot, def: &ResourceDef) -> Vec<Value> {
    let verbs: Vec<_> = def.verbs.iter().copied().map(Verb::as_str).collect();
    let mut main = json!({
        "name": &*def.plural, "singularName": &*def.singular, "namespaced": def.namespaced,
        "kind": &*def.kind, "verbs": verbs,
    });
    if !def.short_names.is_empty() {
        main["shortNames"] = json!(def.short_names);
    }
    if !def.categories.is_empty() {
        main["categories"] = json!(def.categories);
    }
    if def.backing == Backing::Stored {
        main["storageVersionHash"] = json!(storage_version_hash(snapshot, def));
    }
    let mut all = vec![main];
    for sub in subresources(def) {
        let mut entry = json!({
            "name": format!("{}/{}", def.plural, sub.name), "singularName": "", "namespaced": def.namespaced,
            "kind": sub.kind, "verbs": sub.verbs,
        });
        if sub.group != &*def.group {
            merge(
                &mut entry,
                json!({"group": sub.group, "version": sub.version}),
            );
        }
        all.push(entry);
    }
    all
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

//! Object metadata, on create and on update.
//!
//! Types are the schema's business (`ObjectMeta` is part of every schema); what has the wrong
//! type is passed over here, because it has been reported there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::field::{FieldError, Path};
use super::names::{self, NameRule};

/// All annotations of an object together, keys and values.
pub const ANNOTATIONS_MAX: usize = 256 << 10;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Checks the metadata of a new object, whose name has been generated and whose namespace has
/// been set from the request by now.
pub fn validate_create(object: &Value, namespaced: bool, rule: NameRule) -> Vec<FieldError> {
    let meta = &object["metadata"];
    let mut errors = Vec::new();
    let prefix = text(meta, "generateName");
    if !prefix.is_empty() {
        let wrong = |detail| FieldError::invalid("metadata.generateName", prefix, detail);
        errors.extend(rule.check_prefix(prefix).into_iter().map(wrong));
    }
    let name = text(meta, "name");
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        let wrong = |detail| FieldError::invalid("metadata.name", name, detail);
        errors.extend(rule.check(name).into_iter().map(wrong));
    }
    match (namespaced, text(meta, "namespace")) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) => {
            let wrong = |detail| FieldError::invalid("metadata.namespace", namespace, detail);
            errors.extend(names::label(namespace).into_iter().map(wrong));
        }
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden(
            "metadata.namespace",
            "not allowed on this type",
        )),
    }
    common(meta, &mut errors);
    errors
}

/// Checks the metadata of a changed object. Identity that the client left out is not a change.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (new, old) = (&new["metadata"], &old["metadata"]);
    let mut errors = Vec::new();
    if !old["deletionTimestamp"].is_null() {
        let before = strings(old, "finalizers");
        let added: Vec<_> = strings(new, "finalizers")
            .into_iter()
            .filter(|name| !before.contains(name))
            .collect();
        if !added.is_empty() {
            let list: Vec<_> = added.iter().map(|name| format!("{name:?}")).collect();
            let list = list.join(", ");
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
            );
            errors.push(FieldError::forbidden("metadata.finalizers", detail));
        }
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let value = &new[field];
        if !value.is_null() && value != "" && *value != old[field] {
            errors.push(FieldError::invalid(
                format!("metadata.{field}"),
                value.clone(),
                "field is immutable",
            ));
        }
    }
    common(new, &mut errors);
    errors
}

fn common(meta: &Value, errors: &mut Vec<FieldError>) {
    if let Some(labels) = meta["labels"].as_object() {
        validate_labels(labels, "metadata.labels", errors);
    }
    if let Some(annotations) = meta["annotations"].as_object() {
        validate_annotations(annotations, errors);
    }
    validate_owners(&meta["ownerReferences"], errors);
    for name in texts(meta, "finalizers") {
        let wrong = |detail| FieldError::invalid("metadata.finalizers", name, detail);
        errors.extend(names::qualified_name(name).into_iter().map(wrong));
    }
    let finalizers = strings(meta, "finalizers");
    if finalizers.contains(ORPHAN) && finalizers.contains(FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        let list = meta["finalizers"].clone();
        errors.push(FieldError::invalid("metadata.finalizers", list, detail));
    }
    validate_managers(&meta["managedFields"], errors);
}

/// Finalizers of kinds that are not custom belong to somebody.
pub fn validate_finalizers(object: &Value) -> Vec<FieldError> {
    let names = texts(&object["metadata"], "finalizers").enumerate();
    names
        .filter(|(_, name)| !names::is_owned_finalizer(name))
        .map(|(index, name)| {
            let field = format!("metadata.finalizers[{index}]");
            FieldError::invalid(field, name, names::NO_OWNER)
        })
        .collect()
}

/// What whoever wrote this should know although it is valid: finalizers that belong to nobody.
pub fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let before = old.map_or_else(BTreeSet::new, |old| strings(&old["metadata"], "finalizers"));
    strings(&new["metadata"], "finalizers")
        .into_iter()
        .filter(|name| !before.contains(name) && !names::is_owned_finalizer(name))
        .map(|name| {
            let path = if name.contains('.') { " including a path (/)" } else { "" };
            format!(
                "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
            )
        })
        .collect()
}

fn validate_managers(managers: &Value, errors: &mut Vec<FieldError>) {
    for (index, entry) in managers.as_array().into_iter().flatten().enumerate() {
        for (field, max) in [("manager", 128), ("subresource", 256)] {
            if text(entry, field).len() > max {
                let field = format!("metadata.managedFields[{index}].{field}");
                errors.push(FieldError::too_long(field, max as u64));
            }
        }
    }
}

/// Labels anywhere in an object: keys are qualified names, values label values.
pub fn validate_labels(labels: &Map<String, Value>, field: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in labels {
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|detail| FieldError::invalid(field, key.as_str(), detail)),
        );
        if let Some(value) = value.as_str() {
            errors.extend(
                names::label_value(value)
                    .into_iter()
                    .map(|detail| FieldError::invalid(field, value, detail)),
            );
        }
    }
}

fn validate_annotations(annotations: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let field = "metadata.annotations";
    let mut size = 0;
    for (key, value) in annotations {
        size += key.len() + value.as_str().map_or(0, str::len);
        let wrong = |detail| FieldError::invalid(field, key.as_str(), detail);
        errors.extend(
            names::qualified_name(&key.to_lowercase())
                .into_iter()
                .map(wrong),
        );
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(field, ANNOTATIONS_MAX as u64));
    }
}

fn validate_owners(owners: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::root();
    let metadata = root.field("metadata");
    let list = metadata.field("ownerReferences");
    let mut controller: Option<String> = None;
    // Kubernetes names the list, not the item.
    let path = list;
    for owner in owners.as_array().into_iter().flatten() {
        let version = text(owner, "apiVersion");
        if version.is_empty() || version.matches('/').count() > 1 || version.ends_with('/') {
            let detail = "version must not be empty";
            errors.push(FieldError::invalid(
                path.field("apiVersion"),
                version,
                detail,
            ));
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                let detail = "must not be empty";
                errors.push(FieldError::invalid(path.field(field), "", detail));
            }
        }
        if version == "v1" && text(owner, "kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), detail));
        }
        if owner["controller"] == true {
            let this = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
            if let Some(first) = &controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                errors.push(FieldError::invalid(list, owners.clone(), detail));
            } else {
                controller = Some(this);
            }
        }
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn strings<'v>(value: &'v Value, field: &str) -> BTreeSet<&'v str> {
    texts(value, field).collect()
}

fn texts<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v str> {
    let list = value[field].as_array().into_iter().flatten();
    list.filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn create(meta: Value, namespaced: bool) -> Vec<String> {
        let errors = validate_create(&json!({"metadata": meta}), namespaced, NameRule::Subdomain);
        errors
            .iter()
            .map(|error| error.to_string().chars().take(110).collect())
            .collect()
    }

    #[test]
    fn metadata_of_new_objects() {
        let owner = |name: &str, controller: bool| json!({"apiVersion": "a/v1", "kind": "K", "name": name, "uid": "u", "controller": controller});
        let cases: &[(Value, bool, &[&str])] = &[
            (json!({"name": "a", "namespace": "n"}), true, &[]),
            (
                json!({"name": "a"}),
                true,
                &["metadata.namespace: Required value"],
            ),
            (
                json!({"name": "a", "namespace": "n"}),
                false,
                &["metadata.namespace: Forbidden: not allowed on this type"],
            ),
            (
                json!({}),
                false,
                &["metadata.name: Required value: name or generateName is required"],
            ),
            (json!({"name": "a-b1", "generateName": "a-"}), false, &[]),
            (
                json!({"name": "A"}),
                false,
                &[r#"metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain"#],
            ),
            (
                json!({"name": "a", "labels": {"x y": "v"}}),
                false,
                &[r#"metadata.labels: Invalid value: "x y": name part must consist"#],
            ),
            (
                json!({"name": "a", "labels": {"x": "v v"}}),
                false,
                &[r#"metadata.labels: Invalid value: "v v": a valid label must be"#],
            ),
            (
                json!({"name": "a", "annotations": {"Upper.Case/X": "any thing"}}),
                false,
                &[],
            ),
            (
                json!({"name": "a", "annotations": {"a": "x".repeat(ANNOTATIONS_MAX)}}),
                false,
                &["metadata.annotations: Too long: may not be more than 262144 bytes"],
            ),
            (
                json!({"name": "a", "finalizers": ["a b"]}),
                false,
                &[r#"metadata.finalizers: Invalid value: "a b": name part must"#],
            ),
            (
                json!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}),
                false,
                &[
                    r#"metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer"#,
                ],
            ),
            (
                json!({"name": "a", "ownerReferences": [owner("x", true), owner("y", false)]}),
                false,
                &[],
            ),
            (
                json!({"name": "a", "ownerReferences": [owner("", false)]}),
                false,
                &[r#"metadata.ownerReferences.name: Invalid value: "": must not be empty"#],
            ),
            (
                json!({"name": "a", "ownerReferences": [owner("x", true), owner("y", true)]}),
                false,
                &["metadata.ownerReferences: Invalid value: [{"],
            ),
            (
                json!({"name": 5, "labels": [], "ownerReferences": 1, "finalizers": {}}),
                false,
                &["metadata.name: Required value"],
            ),
        ];
        for (meta, namespaced, expected) in cases {
            let found = create(meta.clone(), *namespaced);
            assert_eq!(found.len(), expected.len(), "{meta}: {found:?}");
            assert!(
                found
                    .iter()
                    .zip(*expected)
                    .all(|(found, expected)| found.starts_with(expected)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn identity_is_immutable_and_a_dying_object_takes_no_finalizers() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "finalizers": ["x/y"], "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(
            validate_update(&json!({"metadata": {"name": "a"}}), &old),
            []
        );
        let new = json!({"metadata": {"name": "b", "uid": "2", "finalizers": ["x/y", "x/z"]}});
        let texts: Vec<_> = validate_update(&new, &old)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            texts,
            [
                r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x/z"}"#,
                r#"metadata.name: Invalid value: "b": field is immutable"#,
                r#"metadata.uid: Invalid value: "2": field is immutable"#,
            ]
        );
    }
}

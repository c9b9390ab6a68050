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
    let generate = text(meta, "generateName");
    if !generate.is_empty() {
        let wrong = |detail| FieldError::invalid("metadata.generateName", generate, detail);
        errors.extend(rule.check(generate, true).into_iter().map(wrong));
    }
    let name = text(meta, "name");
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        let wrong = |detail| FieldError::invalid("metadata.name", name, detail);
        errors.extend(rule.check(name, false).into_iter().map(wrong));
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
    let finalizers = strings(meta, "finalizers");
    if finalizers.contains(ORPHAN) && finalizers.contains(FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            meta["finalizers"].clone(),
            detail,
        ));
    }
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
    for name in strings(meta, "finalizers") {
        let wrong = |detail| FieldError::invalid("metadata.finalizers", name, detail);
        errors.extend(names::qualified_name(name).into_iter().map(wrong));
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
    for (index, owner) in owners.as_array().into_iter().flatten().enumerate() {
        let path = list.index(index);
        for field in ["apiVersion", "kind", "name", "uid"] {
            // An absent field is missing from the schema's required fields already.
            if owner[field] == "" {
                errors.push(FieldError::required(path.field(field), "must not be empty"));
            }
        }
        let version = text(owner, "apiVersion");
        if version.matches('/').count() > 1 || version.ends_with('/') || version.starts_with('/') {
            let detail = "must be <group>/<version> or <version>";
            errors.push(FieldError::invalid(
                path.field("apiVersion"),
                version,
                detail,
            ));
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
    value[field]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
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
                &["metadata.ownerReferences[0].name: Required value: must not be empty"],
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

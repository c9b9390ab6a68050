//! Patches of every format, and the owners of fields.

use std::sync::LazyLock;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::objects::{Kind, kinds};
use super::source::Source;
use crate::managed_fields::{self, FieldSet, Manager, PathElement};
use crate::patch::{self, MAX_DEPTH, depth};
use crate::schema::{Schema, core};

const NAMES: &[&str] = &[
    "a", "b", "metadata", "labels", "spec", "a/b", "a~b", "0", "-", "name",
];

pub(super) fn json_patch(data: &[u8]) {
    let mut source = Source(data);
    let document = source.value(NAMES);
    let operations: Value = (0..source.below(6))
        .map(|_| operation(&mut source))
        .collect();
    let patch = if source.rarely(16) {
        source.value(&["op", "path", "from", "value"])
    } else {
        operations
    };
    match patch::json::apply(&document, &patch) {
        Ok(result) => {
            assert!(depth(&result) <= MAX_DEPTH.max(depth(&document)));
            let only_tests = patch
                .as_array()
                .is_some_and(|all| all.iter().all(|one| one["op"] == "test"));
            assert!(
                !only_tests || result == document,
                "a test changed {document} to {result}"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn operation(source: &mut Source<'_>) -> Value {
    let op = source.pick(&[
        "add", "remove", "replace", "test", "move", "copy", "add", "odd",
    ]);
    let mut operation = json!({"op": op, "path": pointer(source), "from": pointer(source), "value": source.value(NAMES)});
    if source.rarely(8) {
        source.change(&mut operation, &["op", "path", "from", "value"]);
    }
    operation
}

fn pointer(source: &mut Source<'_>) -> String {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    (0..source.below(4))
        .map(|_| format!("/{}", escaped(source.pick(NAMES))))
        .collect()
}

/// As the `json-patch` crate merges, and once is enough.
pub(super) fn merge_patch(data: &[u8]) {
    let mut source = Source(data);
    let (document, patch) = (source.value(NAMES), source.value(NAMES));
    let mut expected = document.clone();
    json_patch::merge(&mut expected, &patch);
    let result = patch::merge::apply(&document, &patch).unwrap();
    assert_eq!(result, expected, "{document} with {patch}");
    assert_eq!(
        patch::merge::apply(&result, &patch),
        Ok(result),
        "{document} with {patch}"
    );
}

const DIRECTIVES: &[&str] = &[
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$setElementOrder/finalizers",
    "$deleteFromPrimitiveList/finalizers",
    "containers",
    "name",
    "finalizers",
    "metadata",
    "spec",
    "volumes",
    "ports",
    "containerPort",
    "labels",
];

/// On a Pod, which has every strategy: no directive of the patch is left in the result.
pub(super) fn strategic(data: &[u8]) {
    static POD: LazyLock<(Value, Schema)> = LazyLock::new(|| {
        let source = core::definition::<Pod>().unwrap();
        let schema = Schema::parse(&source).unwrap();
        (source, schema)
    });
    let (pod, schema) = &*POD;
    let mut source = Source(data);
    let document = source.shaped(pod);
    let mut patch = source.shaped(pod);
    for _ in 0..source.below(4) {
        source.change(&mut patch, DIRECTIVES);
    }
    direct(&mut source, &mut patch);
    match patch::strategic::apply(schema, &document, &patch) {
        Ok(result) => {
            assert!(depth(&result) <= MAX_DEPTH.max(depth(&document)));
            assert!(
                has_directive(&document) || !has_directive(&result),
                "a directive is left: {result}\n{document}\n{patch}"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Has a key that is one of the patch language?
fn has_directive(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, field)| {
            key == "$patch"
                || key == "$retainKeys"
                || key.starts_with("$setElementOrder/")
                || key.starts_with("$deleteFromPrimitiveList/")
                || has_directive(field)
        }),
        Value::Array(items) => items.iter().any(has_directive),
        _ => false,
    }
}

/// Puts directives where they mean something.
fn direct(source: &mut Source<'_>, patch: &mut Value) {
    match patch {
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| direct(source, field));
            if source.rarely(6) {
                fields.insert(
                    "$patch".into(),
                    source.pick(&["replace", "delete", "merge", "odd"]).into(),
                );
            }
            if source.rarely(8) {
                let kept: Value = fields
                    .keys()
                    .filter(|_| !source.rarely(8))
                    .cloned()
                    .collect();
                fields.insert("$retainKeys".into(), kept);
            }
            let lists: Vec<_> = fields
                .iter()
                .filter(|(_, field)| field.is_array())
                .map(|(name, _)| name.clone())
                .collect();
            for name in lists {
                if !source.rarely(3) {
                    continue;
                }
                let order = fields[&name].clone();
                let prefix = source.pick(&[
                    "$setElementOrder",
                    "$setElementOrder",
                    "$deleteFromPrimitiveList",
                ]);
                fields.insert(format!("{prefix}/{name}"), order);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| direct(source, item)),
        _ => {}
    }
}

fn manager<'a>(name: &'a str, kind: &'a Kind) -> Manager<'a> {
    Manager {
        name,
        subresource: None,
        kind: &kind.name,
        api_version: &kind.api_version,
        time: Timestamp::UNIX_EPOCH,
    }
}

/// Some writes by several managers, then: applying again settles, and a write of what is there is no
/// write. The second apply may still state empty containers that the first one emptied, as upstream.
pub(super) fn apply(data: &[u8]) {
    let mut source = Source(data);
    let kind = &kinds()[source.below(kinds().len())];
    let none = FieldSet::default();
    let mut live: Option<Value> = None;
    for _ in 0..source.below(5) {
        let who = source.pick(&["ada", "bob", "kubectl"]);
        let mut object = kind.object(&mut source);
        kind.schema.prune(&mut object);
        let who = manager(who, kind);
        live = if source.flip() {
            managed_fields::apply(
                &kind.schema,
                live.as_ref(),
                &object,
                &who,
                source.flip(),
                &none,
            )
            .ok()
            .or(live)
        } else {
            Some(managed_fields::update(
                &kind.schema,
                live.as_ref(),
                object,
                &who,
                &none,
            ))
        };
    }
    if let Some(live) = &live {
        let again = managed_fields::update(
            &kind.schema,
            Some(live),
            live.clone(),
            &manager("late", kind),
            &none,
        );
        assert_eq!(&again, live, "a write of the same");
    }
    let mut object = kind.object(&mut source);
    kind.schema.prune(&mut object);
    let me = manager("ada", kind);
    match managed_fields::apply(&kind.schema, live.as_ref(), &object, &me, true, &none) {
        Ok(once) => {
            let again = |live: &Value, time| {
                let later = Manager { time, ..me };
                managed_fields::apply(&kind.schema, Some(live), &object, &later, false, &none)
            };
            let twice = again(&once, Timestamp::UNIX_EPOCH).unwrap();
            let settled = again(&twice, Timestamp::MAX);
            assert_eq!(settled, Ok(twice), "applied {object} to {live:?}");
        }
        Err(managed_fields::ApplyError::Conflicts(conflicts)) => {
            panic!("a forced apply has conflicts: {conflicts}")
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

pub(super) const FIELD_SETS: &[&str] = &[
    r#"{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}"#,
    r#"{"v:1":{},"v:\"a\"":{},"i:0":{"f:x":{}},"v:{\"a\":[1.5,null]}":{},".":{}}"#,
];

/// What `managedFields` of a request may say. Fractions are left out: of those with many digits,
/// serde_json does not read the last place as it was written.
pub(super) fn field_sets(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(Some(element)) = PathElement::decode(text)
        && is_whole(&element)
    {
        assert_eq!(
            PathElement::decode(&element.encode()),
            Ok(Some(element)),
            "{text}"
        );
    }
    let Ok(fields) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    match FieldSet::decode(&fields) {
        Ok(set) if set.paths().iter().flatten().all(is_whole) => {
            assert_eq!(FieldSet::decode(&set.encode()), Ok(set), "{fields}");
        }
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn is_whole(element: &PathElement) -> bool {
    fn has_fraction(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(items) => items.iter().any(has_fraction),
            Value::Object(fields) => fields.values().any(has_fraction),
            _ => false,
        }
    }
    match element {
        PathElement::Value(value) => !has_fraction(value),
        PathElement::Key(fields) => !fields.iter().any(|(_, value)| has_fraction(value)),
        PathElement::Field(_) | PathElement::Index(_) => true,
    }
}

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply;
use crate::patch::{MAX_DEPTH, shared_cases};
use crate::schema::{Kind, Schema};

/// A schema with the given kind and fields.
fn object(fields: impl IntoIterator<Item = (&'static str, Schema)>) -> Schema {
    let properties = fields
        .into_iter()
        .map(|(name, field)| (name.to_owned(), Arc::new(field)));
    Schema {
        kind: Some(Kind::Object),
        properties: properties.collect(),
        ..Schema::default()
    }
}

fn list(items: Schema, strategy: &str, key: Option<&str>) -> Schema {
    Schema {
        kind: Some(Kind::Array),
        items: Some(Arc::new(items)),
        patch_strategy: strategy
            .split(',')
            .filter(|s| !s.is_empty())
            .map(Into::into)
            .collect(),
        patch_merge_key: key.map(Into::into),
        ..Schema::default()
    }
}

fn scalar() -> Schema {
    Schema {
        kind: Some(Kind::String),
        ..Schema::default()
    }
}

/// A small kind in which every strategy occurs.
fn ship() -> Schema {
    let berth = || object([("berth", scalar()), ("tags", list(scalar(), "merge", None))]);
    let strategy = |schema: Schema, name: &str| Schema {
        patch_strategy: vec![name.into()],
        ..schema
    };
    object([
        ("crew", list(berth(), "merge", Some("berth"))),
        ("flags", list(scalar(), "merge", None)),
        ("log", list(scalar(), "", None)),
        ("keyless", list(berth(), "merge", None)),
        ("rig", strategy(object([("sails", scalar())]), "replace")),
        ("hold", strategy(object([]), "retainKeys")),
    ])
}

fn check(document: Value, patch: Value, expected: Value) {
    let result = apply(&ship(), &document, &patch).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(result, expected, "{document} + {patch}");
}

#[test]
fn maps_merge_and_null_deletes() {
    check(json!({"a": 1}), Value::Null, json!({"a": 1}));
    check(
        json!({"name": "x", "m": {"a": 1, "b": 2}}),
        json!({"m": {"b": null, "c": {"d": null, "e": 3}}, "absent": null}),
        json!({"name": "x", "m": {"a": 1, "c": {"e": 3}}}),
    );
    // A value of another type takes the place of the old one.
    check(
        json!({"m": [1]}),
        json!({"m": {"a": null, "b": 1}}),
        json!({"m": {"b": 1}}),
    );
    check(
        json!({"rig": {"sails": "3", "x": 1}}),
        json!({"rig": {"y": 2}}),
        json!({"rig": {"y": 2}}),
    );
}

#[test]
fn lists_merge_by_their_strategy() {
    check(
        json!({"log": ["a", "b"]}),
        json!({"log": ["c"]}),
        json!({"log": ["c"]}),
    );
    check(
        json!({"undeclared": [1]}),
        json!({"undeclared": [2]}),
        json!({"undeclared": [2]}),
    );
    check(
        json!({"flags": ["a", "b"]}),
        json!({"flags": ["c", "a"]}),
        json!({"flags": ["c", "a", "b"]}),
    );
    check(
        json!({"crew": [{"berth": "1", "who": "Ada", "tags": ["x"]}, {"berth": "2"}]}),
        json!({"crew": [{"berth": "1", "who": null, "tags": ["y"]}, {"berth": "3", "who": null}]}),
        json!({"crew": [{"berth": "1", "tags": ["y", "x"]}, {"berth": "3"}, {"berth": "2"}]}),
    );
    check(
        json!({"crew": []}),
        json!({"crew": []}),
        json!({"crew": []}),
    );
    check(
        json!({"crew": null}),
        json!({"crew": [{"berth": "1"}]}),
        json!({"crew": [{"berth": "1"}]}),
    );
}

#[test]
fn patch_directive() {
    let crew = || json!({"crew": [{"berth": "1"}, {"berth": "2"}, {"berth": "1", "twin": true}]});
    check(
        crew(),
        json!({"crew": [{"$patch": "delete", "berth": "1"}]}),
        json!({"crew": [{"berth": "2"}]}),
    );
    check(
        crew(),
        json!({"crew": [{"$patch": "replace"}]}),
        json!({"crew": []}),
    );
    check(
        crew(),
        json!({"crew": [{"berth": "9", "x": null}, {"$patch": "replace"}]}),
        json!({"crew": [{"berth": "9"}]}),
    );
    check(
        json!({"m": {"a": 1}}),
        json!({"m": {"$patch": "delete"}}),
        json!({"m": {}}),
    );
    check(
        json!({"m": {"a": 1}}),
        json!({"m": {"$patch": "replace", "b": 2}}),
        json!({"m": {"b": 2}}),
    );
    check(
        json!({"m": {"a": 1}}),
        json!({"m": {"$patch": "merge", "b": 2}}),
        json!({"m": {"a": 1, "b": 2}}),
    );
    // Nothing to delete from: the directive leaves no trace.
    check(
        json!({}),
        json!({"crew": [{"$patch": "delete", "berth": "1"}]}),
        json!({"crew": []}),
    );
    check(json!({}), json!({"m": {"$patch": "delete"}}), json!({}));
}

#[test]
fn retain_keys_directive() {
    check(
        json!({"hold": {"grain": 1, "iron": 2}}),
        json!({"hold": {"$retainKeys": ["iron", "rope"], "rope": 3}}),
        json!({"hold": {"iron": 2, "rope": 3}}),
    );
    check(
        json!({}),
        json!({"hold": {"$retainKeys": ["a"], "a": 1}}),
        json!({"hold": {"a": 1}}),
    );
}

#[test]
fn element_order_directive() {
    check(
        json!({"crew": [{"berth": "1"}, {"berth": "2"}, {"berth": "own"}]}),
        json!({
            "$setElementOrder/crew": [{"berth": "3"}, {"berth": "2"}, {"berth": "1"}],
            "crew": [{"berth": "3", "who": "Bo"}],
        }),
        json!({"crew": [{"berth": "3", "who": "Bo"}, {"berth": "2"}, {"berth": "1"}, {"berth": "own"}]}),
    );
    // A new element takes the place of a deleted one, as far as the directive leaves it open.
    check(
        json!({"crew": [{"berth": "1"}, {"berth": "2"}, {"berth": "own"}]}),
        json!({
            "$setElementOrder/crew": [{"berth": "2"}, {"berth": "3"}],
            "crew": [{"berth": "3"}, {"berth": "1", "$patch": "delete"}],
        }),
        json!({"crew": [{"berth": "2"}, {"berth": "own"}, {"berth": "3"}]}),
    );
    check(
        json!({"flags": ["a", "b", "c"]}),
        json!({"$setElementOrder/flags": ["c", "a"], "$deleteFromPrimitiveList/flags": ["b"]}),
        json!({"flags": ["c", "a"]}),
    );
    check(
        json!({}),
        json!({"$setElementOrder/flags": ["a"]}),
        json!({}),
    );
    check(
        json!({"flags": []}),
        json!({"$setElementOrder/flags": []}),
        json!({"flags": []}),
    );
    check(
        json!({"flags": ["a"]}),
        json!({"$setElementOrder/flags": ["a"], "flags": null}),
        json!({}),
    );
}

#[test]
fn primitive_deletions() {
    let document = || json!({"flags": ["a", "b", "a"], "log": ["x", "y"]});
    check(
        document(),
        json!({"$deleteFromPrimitiveList/flags": ["a"], "$deleteFromPrimitiveList/log": ["y"]}),
        json!({"flags": ["b"], "log": ["x"]}),
    );
    check(
        json!({}),
        json!({"$deleteFromPrimitiveList/flags": ["a"]}),
        json!({}),
    );
}

#[test]
fn errors_name_the_place() {
    let deep = (0..=MAX_DEPTH).fold(json!(1), |inner, _| json!({"a": inner}));
    let document = json!({"crew": [{"berth": "1"}], "flags": ["a"], "keyless": [{}], "hold": {}});
    for (patch, expected) in [
        (json!([1]), "at the root: must be an object"),
        (deep, "nested 101 deep; at most 100"),
        (json!({"$patch": "explode"}), "at the root: $patch may be"),
        (json!({"hold": {"$patch": 1}}), "at hold: $patch may be"),
        (
            json!({"crew": [{"berth": "1"}, {"$patch": "merge"}]}),
            "at crew[1]: $patch may be",
        ),
        (
            json!({"crew": [{"$patch": "delete"}]}),
            "at crew[0]: {\"$patch\":\"delete\"} does not",
        ),
        (
            json!({"crew": [{"who": "Ada"}]}),
            "does not contain the declared merge key berth",
        ),
        (json!({"crew": ["x"]}), "at crew: the elements"),
        (json!({"flags": [["x"]]}), "at flags: the elements"),
        (
            json!({"keyless": [{"a": 1}]}),
            "at keyless: lists of objects cannot be merged here",
        ),
        (
            json!({"hold": {"$retainKeys": "x"}}),
            "at hold: $retainKeys must be a list",
        ),
        (
            json!({"hold": {"$retainKeys": ["x"], "y": 1}}),
            "y is set by the patch but missing",
        ),
        (
            json!({"$deleteFromPrimitiveList/flags": "a"}),
            "must be a list",
        ),
        (
            json!({"$retainKeys": ["a"], "$setElementOrder/$retainKeys": ["a"]}),
            "at $retainKeys: $retainKeys is a directive",
        ),
        (
            json!({"$setElementOrder/flags": "a"}),
            "at flags: $setElementOrder/flags must be a list",
        ),
        (
            json!({"$setElementOrder/flags": ["a", "b"], "flags": ["b", "a"]}),
            "at flags: the order in the patch list does not match",
        ),
        (
            json!({"$setElementOrder/crew": [{"berth": "2"}], "crew": [{"berth": "3"}]}),
            "at crew: the order in the patch list does not match",
        ),
    ] {
        let error = apply(&ship(), &document, &patch).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{patch}\n  expected …{expected}…\n  got {error}"
        );
    }
}

/// The kind of the reference tables, as deep as they go.
fn merge_item(levels: usize) -> Schema {
    if levels == 0 {
        return object([]);
    }
    let item = || merge_item(levels - 1);
    let strategy = |name: &str| Schema {
        patch_strategy: vec![name.into()],
        ..item()
    };
    object([
        ("mergingList", list(item(), "merge", Some("name"))),
        ("nonMergingList", list(item(), "", None)),
        ("mergingIntList", list(scalar(), "merge", None)),
        ("nonMergingIntList", list(scalar(), "", None)),
        ("mergeItemPtr", list(item(), "merge", Some("name"))),
        ("simpleMap", object([])),
        ("replacingItem", strategy("replace")),
        ("retainKeysMap", strategy("retainKeys")),
        (
            "retainKeysMergingList",
            list(item(), "merge,retainKeys", Some("name")),
        ),
    ])
}

#[test]
fn reference_vectors() {
    let Some(table) = shared_cases("strategic-merge-patch-vectors.json") else {
        return;
    };
    let schema = merge_item(4);
    let mut wrong = Vec::new();
    for case in table["vectors"].as_array().unwrap() {
        let got = apply(&schema, &case["document"], &case["patch"]);
        let right = match (&got, case.get("result")) {
            (Ok(got), Some(expected)) => got == expected,
            (got, expected) => got.is_err() && expected.is_none(),
        };
        if !right {
            wrong.push(format!("{case}\n  got {got:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

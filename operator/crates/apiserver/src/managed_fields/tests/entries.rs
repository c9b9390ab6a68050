//! What other writes do, and how entries are kept.

use serde_json::{Value, json};

use super::{Harbour, VERSION};
use crate::managed_fields::{ApplyError, keep_times_if_unchanged};
use crate::patch::{MAX_DEPTH, depth};

#[test]
fn updates_take_what_they_change_and_nothing_else() {
    let mut harbour = Harbour::new();
    harbour.create("shell", json!({"crew": 1, "name": "x", "flags": ["a"]}));
    let all = json!({"f:crew": {}, "f:name": {}, "f:flags": {".": {}, "v:\"a\"": {}}, ".": {}});
    assert_eq!(harbour.owned("shell", "Update"), all);
    harbour
        .edit("pilot", "/spec/crew", json!(2))
        .edit("pilot", "/spec/flags", json!(["a", "b"]));
    assert_eq!(
        harbour.owned("pilot", "Update"),
        json!({"f:crew": {}, "f:flags": {"v:\"b\"": {}}})
    );
    assert!(harbour.owned("shell", "Update").get("f:crew").is_none());
    harbour.edit("storm", "/spec/flags", Value::Null);
    assert_eq!(
        harbour.owned("pilot", "Update"),
        json!({"f:crew": {}}),
        "gone is owned by nobody"
    );
    assert_eq!(harbour.managers(), ["shell Update", "pilot Update"]);
}

#[test]
fn nothing_changed_changes_nothing() {
    let mut harbour = Harbour::new();
    harbour
        .apply("ada", json!({"crew": 1, "berths": [{"deck": 1}]}))
        .edit("bob", "/spec/name", json!("x"));
    let before = harbour.live.clone();
    let same = before.clone().unwrap();
    harbour.write("bob", same.clone()).write("eve", same);
    harbour.apply("ada", json!({"crew": 1, "berths": [{"deck": 1}]}));
    assert_eq!(harbour.live, before);
}

#[test]
fn status_belongs_to_its_subresource() {
    let mut harbour = Harbour::new();
    harbour.create("shell", json!({"crew": 1}));
    harbour.edit("keeper/status", "/status", json!({"ready": 1}));
    assert_eq!(harbour.managers(), ["shell Update", "keeper/status Update"]);
    let config = json!({
        "apiVersion": VERSION, "kind": "Ship", "metadata": {"name": "ada"},
        "spec": {"name": "x"}, "status": {"ready": 9},
    });
    // The strategy puts the status back; it is not owned either.
    harbour.try_apply_object("ada", &config, true).unwrap();
    assert_eq!(harbour.owned("ada", "Apply"), json!({"f:name": {}}));
    assert_eq!(
        harbour.entries()[0]["fieldsV1"].as_object().unwrap().len(),
        1
    );
    let status = json!({
        "apiVersion": VERSION, "kind": "Ship", "metadata": {"name": "ada", "labels": {"a": "b"}},
        "status": {"ready": 2},
    });
    let error = harbour
        .try_apply_object("pilot/status", &status, false)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("\"keeper\" with subresource \"status\""),
        "{error}"
    );
    harbour
        .try_apply_object("pilot/status", &status, true)
        .unwrap();
    let pilot = harbour
        .entries()
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["manager"] == "pilot")
        .unwrap();
    assert_eq!(pilot["fieldsV1"], json!({"f:status": {"f:ready": {}}}));
    assert_eq!(pilot["subresource"], json!("status"));
}

#[test]
fn server_metadata_is_owned_by_nobody() {
    let mut harbour = Harbour::new();
    harbour.create("shell", json!({"crew": 1}));
    let owned = harbour.entries()[0]["fieldsV1"]
        .as_object()
        .unwrap()
        .keys()
        .collect::<Vec<_>>();
    assert_eq!(owned, ["f:spec"]);
    harbour.edit("pilot", "/metadata/generation", json!(7));
    assert_eq!(harbour.managers(), ["shell Update"]);
    let config = json!({
        "apiVersion": VERSION, "kind": "Ship",
        "metadata": {"name": "ada", "creationTimestamp": null, "uid": null, "labels": {"a": "b"}},
    });
    harbour.try_apply_object("ada", &config, false).unwrap();
    assert_eq!(
        harbour.live.as_ref().unwrap()["metadata"]["uid"],
        json!("1"),
        "null is not a value"
    );
    assert_eq!(
        harbour.entries()[0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {"f:a": {}}}})
    );
}

#[test]
fn untracked_objects_get_an_owner_at_the_first_apply() {
    let mut harbour = Harbour::new();
    harbour.create("shell", json!({"crew": 1, "name": "x"}));
    let mut reset = harbour.live.clone().unwrap();
    reset["metadata"]["managedFields"] = json!([{}]);
    harbour.write("shell", reset);
    assert!(harbour.entries().is_null(), "the tracking is over");
    harbour.edit("shell", "/spec/crew", json!(2));
    assert!(harbour.entries().is_null(), "and stays over");
    let error = harbour
        .try_apply("ada", json!({"crew": 3}), false)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("conflict with \"before-first-apply\" using"),
        "{error}"
    );
    harbour.apply("ada", json!({"crew": 2}));
    assert_eq!(
        harbour.managers(),
        ["ada Apply", "before-first-apply Update"]
    );
}

#[test]
fn entries_can_be_edited_but_not_through_a_subresource() {
    let mut harbour = Harbour::new();
    harbour.create("shell", json!({"crew": 1}));
    let entry = json!([{
        "manager": "heir", "operation": "Apply", "apiVersion": VERSION,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:crew": {}}},
    }]);
    let before = harbour.live.clone();
    harbour.edit("x/status", "/metadata/managedFields", entry.clone());
    assert_eq!(harbour.live, before);
    for unreadable in [json!([{"manager": "y"}]), json!("text")] {
        harbour.edit("x", "/metadata/managedFields", unreadable);
        assert_eq!(harbour.live, before);
    }
    harbour.edit("x", "/metadata/managedFields", Value::Null);
    assert_eq!(
        harbour.live, before,
        "clients that know nothing of it lose nothing"
    );
    harbour.edit("x", "/metadata/managedFields", entry.clone());
    assert_eq!(harbour.entries(), &entry);
}

#[test]
fn old_updates_are_folded() {
    let mut harbour = Harbour::new();
    harbour.create("m00", json!({"crew": 0, "cargo": {"f": 1}}));
    for number in 1..15 {
        harbour.edit(
            &format!("m{number:02}"),
            &format!("/spec/cargo/f{number}"),
            json!(1),
        );
    }
    let managers = harbour.managers();
    assert_eq!(managers.len(), 10, "{managers:?}");
    assert_eq!(managers[0], "ancient-changes Update");
    assert_eq!(managers[9], "m14 Update");
    let ancient = harbour.owned("ancient-changes", "Update");
    assert!(ancient.get("f:crew").is_some() && ancient["f:cargo"].get("f:f5").is_some());
    assert!(ancient["f:cargo"].get("f:f6").is_none());
}

#[test]
fn times_alone_are_no_difference() {
    let mut harbour = Harbour::new();
    harbour
        .apply("ada", json!({"crew": 1}))
        .edit("bob", "/spec/name", json!("x"));
    let live = harbour.live.clone().unwrap();
    let mut new = live.clone();
    new["metadata"]["managedFields"][0]["time"] = json!("2030-01-01T00:00:00Z");
    let mut kept = new.clone();
    keep_times_if_unchanged(&live, &mut kept);
    assert_eq!(kept, live);
    new["spec"]["name"] = json!("y");
    let mut changed = new.clone();
    keep_times_if_unchanged(&live, &mut changed);
    assert_eq!(changed, new);
}

#[test]
fn deep_objects_keep_their_entries() {
    let mut harbour = Harbour::new();
    harbour.create("shell", json!({"crew": 1}));
    let entries = harbour.entries().clone();
    let deep = (0..500).fold(json!(1), |inner, _| json!({"a": inner}));
    harbour.edit("x", "/spec/cargo", deep);
    assert_eq!(harbour.entries(), &entries);
    let error = harbour
        .try_apply("ada", json!({"crew": 1}), false)
        .unwrap_err();
    assert!(matches!(error, ApplyError::TooDeep(_)), "{error}");
}

#[test]
fn the_deepest_object_can_be_read_back_with_its_entries() {
    let mut harbour = Harbour::new();
    // Three levels are above it: the object, its spec, and the cargo.
    let deepest = (3..MAX_DEPTH).fold(json!(1), |inner, _| json!({"a": inner}));
    harbour.create("shell", json!({"cargo": deepest}));
    assert!(!harbour.entries().is_null());
    assert_eq!(depth(harbour.live.as_ref().unwrap()), MAX_DEPTH);
    harbour
        .try_apply("ada", json!({"cargo": deepest}), false)
        .unwrap();
    assert_eq!(depth(harbour.live.as_ref().unwrap()), MAX_DEPTH);
}

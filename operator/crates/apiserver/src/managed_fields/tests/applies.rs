//! What an apply does.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Harbour, VERSION, config, ship};
use crate::managed_fields::kubectl::LAST_APPLIED;
use crate::managed_fields::{ApplyError, FieldSet, Manager, apply};
use crate::patch::MAX_DEPTH;
use crate::schema::Schema;

#[test]
fn first_apply_creates_and_owns() {
    let mut harbour = Harbour::new();
    harbour.apply("ada", json!({"crew": 3, "route": ["a", "b"]}));
    let expected = json!({
        "apiVersion": VERSION,
        "kind": "Ship",
        "metadata": {
            "name": "ada",
            "managedFields": [{
                "apiVersion": VERSION,
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:crew": {}, "f:route": {}}},
                "manager": "ada",
                "operation": "Apply",
                "time": "2023-11-14T22:14:20Z",
            }],
        },
        "spec": {"crew": 3, "route": ["a", "b"]},
    });
    assert_eq!(harbour.live, Some(expected));
}

#[test]
fn what_is_left_out_is_removed_unless_owned_by_others() {
    let mut harbour = Harbour::new();
    harbour.apply(
        "ada",
        json!({"crew": 3, "name": "x", "engine": {"fuel": "wind"}}),
    );
    harbour.apply("bob", json!({"name": "x"}));
    harbour.apply("ada", json!({"engine": {"power": 5}}));
    assert_eq!(
        harbour.spec(),
        &json!({"name": "x", "engine": {"power": 5}})
    );
    harbour.apply("ada", Value::Null);
    assert_eq!(
        harbour.spec(),
        &json!({"name": "x"}),
        "an emptied map goes with its last field"
    );
    assert_eq!(
        harbour.managers(),
        ["bob Apply"],
        "who owns nothing is forgotten"
    );
    harbour.apply("bob", json!({}));
    assert_eq!(harbour.spec(), &json!({}), "stated as empty");
}

#[test]
fn an_emptied_map_is_null_only_where_that_is_a_value() {
    let mut harbour = Harbour::new();
    harbour
        .apply(
            "ada",
            json!({"cargo": {"box": {"tea": 1}}, "engine": {"power": 5}}),
        )
        .apply("bob", json!({"cargo": {"box": {}}, "engine": {}}));
    harbour.apply("ada", Value::Null);
    assert_eq!(
        harbour.spec(),
        &json!({"cargo": {"box": null}, "engine": {}})
    );
}

#[test]
fn another_value_is_a_conflict_and_the_same_value_is_shared() {
    let mut harbour = Harbour::new();
    harbour
        .apply("ada", json!({"crew": 3, "name": "x"}))
        .apply("bob", json!({"crew": 3}));
    assert_eq!(harbour.owned("bob", "Apply"), json!({"f:crew": {}}));
    let before = harbour.live.clone();

    let error = harbour
        .try_apply("eve", json!({"crew": 4, "name": "y"}), false)
        .unwrap_err();
    let text = "Apply failed with 3 conflicts: conflicts with \"ada\":\n- .spec.crew\n- .spec.name\n\
                conflicts with \"bob\":\n- .spec.crew";
    assert_eq!(error.to_string(), text);
    let ApplyError::Conflicts(conflicts) = error else {
        panic!("{error}")
    };
    let causes: Vec<_> = conflicts
        .0
        .iter()
        .map(|one| (one.message(), one.field.as_str()))
        .collect();
    assert_eq!(
        causes[2],
        ("conflict with \"bob\"".to_owned(), ".spec.crew")
    );
    assert_eq!(harbour.live, before);

    harbour.try_apply("eve", json!({"crew": 4}), true).unwrap();
    assert_eq!(harbour.spec()["crew"], json!(4));
    assert_eq!(
        harbour.managers(),
        ["ada Apply", "eve Apply"],
        "bob had only that field"
    );
    assert_eq!(harbour.owned("ada", "Apply"), json!({"f:name": {}}));
}

#[test]
fn whoever_shares_a_field_without_changing_it_gets_an_entry_without_a_time() {
    let mut harbour = Harbour::new();
    harbour
        .apply("ada", json!({"crew": 3}))
        .apply("bob", json!({"crew": 3}));
    assert_eq!(harbour.managers(), ["bob Apply", "ada Apply"]);
    let times = [0, 1].map(|entry| harbour.entries()[entry]["time"].clone());
    assert_eq!(times, [Value::Null, json!("2023-11-14T22:14:20Z")]);
}

#[test]
fn an_owned_field_that_is_not_there_is_a_conflict_too() {
    let mut harbour = Harbour::new();
    harbour.create("shell", json!({"crew": 1}));
    let mut entries = harbour.entries().clone();
    entries[0]["fieldsV1"] = json!({"f:spec": {"f:name": {}}});
    harbour.edit("shell", "/metadata/managedFields", entries);
    let error = harbour
        .try_apply("ada", json!({"name": "x"}), false)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("using harbour.example/v1: .spec.name"),
        "{error}"
    );
}

#[test]
fn fields_without_an_owner_stay_while_their_parent_does() {
    let mut harbour = Harbour::new();
    harbour.apply(
        "ada",
        json!({"cargo": {"a": 1}, "engine": {"fuel": "wind"}}),
    );
    harbour.apply("bob", json!({"engine": {"power": 1}}));
    harbour.edit("eve", "/spec/engine/noise", json!("low"));
    let mut entries = harbour.entries().clone();
    entries
        .as_array_mut()
        .unwrap()
        .retain(|entry| entry["manager"] != "eve");
    harbour.edit("eve", "/metadata/managedFields", entries);
    harbour.apply("ada", json!({"cargo": {"a": 1}}));
    assert_eq!(
        harbour.spec()["engine"],
        json!({"power": 1, "noise": "low"})
    );
}

#[test]
fn conflicts_with_updates_name_version_and_subresource() {
    let mut harbour = Harbour::new();
    harbour.apply("ada", json!({"crew": 3, "name": "x"}));
    harbour.edit("scaler/scale", "/spec/crew", json!(9));
    let error = harbour
        .try_apply("ada", json!({"crew": 3, "name": "x"}), false)
        .unwrap_err();
    let text = "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" \
                using harbour.example/v1: .spec.crew";
    assert_eq!(error.to_string(), text);
    assert_eq!(harbour.managers(), ["ada Apply", "scaler/scale Update"]);
    // Giving the field up leaves it with the other.
    harbour.apply("ada", json!({"name": "x"}));
    assert_eq!(harbour.spec(), &json!({"crew": 9, "name": "x"}));
}

#[test]
fn keyed_lists_merge_by_key_with_defaults() {
    let mut harbour = Harbour::new();
    let starboard = json!({"deck": 1, "side": "starboard", "guest": "Ann"});
    harbour.apply(
        "ada",
        json!({"berths": [{"deck": 1, "guest": "Bo"}, starboard]}),
    );
    // `side` is left out here and spelled out there: the same element.
    harbour.apply(
        "bob",
        json!({"berths": [{"deck": 2}, {"deck": 1, "side": "port", "bags": ["b"]}]}),
    );
    let expected = json!([
        {"deck": 2},
        {"deck": 1, "guest": "Bo", "side": "port", "bags": ["b"]},
        starboard,
    ]);
    assert_eq!(harbour.spec()["berths"], expected);
    harbour.apply("ada", json!({"berths": [{"deck": 1, "guest": "Bo"}]}));
    assert_eq!(harbour.spec()["berths"].as_array().unwrap().len(), 2);
    harbour.apply("ada", json!({}));
    let expected = json!([{"deck": 2}, {"deck": 1, "side": "port", "bags": ["b"]}]);
    assert_eq!(harbour.spec()["berths"], expected);
}

#[test]
fn sets_and_atomic_values() {
    let mut harbour = Harbour::new();
    let anchor = json!({"weight": 5, "kind": "plough"});
    harbour.apply(
        "ada",
        json!({"flags": ["a", "b"], "route": ["x"], "anchor": anchor}),
    );
    harbour.apply("bob", json!({"flags": ["c", "b"]}));
    assert_eq!(harbour.spec()["flags"], json!(["a", "c", "b"]));
    harbour.apply(
        "ada",
        json!({"flags": ["b"], "route": ["x"], "anchor": anchor}),
    );
    assert_eq!(harbour.spec()["flags"], json!(["c", "b"]));
    for whole in [
        json!({"route": ["x", "y"]}),
        json!({"anchor": {"weight": 5}}),
    ] {
        assert!(
            harbour.try_apply("bob", whole, false).is_err(),
            "atomic values have one owner"
        );
    }
}

#[test]
fn order_of_lists_follows_the_applied_configuration() {
    let mut harbour = Harbour::new();
    harbour
        .apply("ada", json!({"flags": ["a", "b", "c"]}))
        .apply("bob", json!({"flags": ["x", "c"]}));
    harbour.apply("ada", json!({"flags": ["c", "n", "a"]}));
    assert_eq!(harbour.spec()["flags"], json!(["x", "c", "n", "a"]));
}

#[test]
fn values_without_a_schema_decide_for_themselves() {
    let mut harbour = Harbour::new();
    harbour.apply(
        "ada",
        json!({"cargo": {"tea": {"crates": 2}, "list": [1, {"a": 1}]}}),
    );
    harbour.apply("bob", json!({"cargo": {"tea": {"origin": "north"}}}));
    assert_eq!(
        harbour.spec()["cargo"]["tea"],
        json!({"crates": 2, "origin": "north"})
    );
    assert!(
        harbour
            .try_apply("bob", json!({"cargo": {"list": [1]}}), false)
            .is_err()
    );
    // From a map to a scalar and back.
    harbour
        .try_apply("bob", json!({"cargo": {"tea": 7}}), true)
        .unwrap();
    assert_eq!(harbour.spec()["cargo"]["tea"], json!(7));
    harbour
        .try_apply("ada", json!({"cargo": {"tea": {"crates": 1}}}), true)
        .unwrap();
    assert_eq!(harbour.spec()["cargo"], json!({"tea": {"crates": 1}}));
}

#[test]
fn fields_that_became_atomic_are_owned_whole() {
    let mut harbour = Harbour::new();
    harbour.apply("ada", json!({"engine": {"fuel": "wind"}}));
    let engine = Schema::clone(&harbour.schema.properties["spec"].properties["engine"]);
    let mut spec = Schema::clone(&harbour.schema.properties["spec"]);
    spec.properties.insert(
        "engine".into(),
        Arc::new(Schema {
            map_atomic: true,
            ..engine
        }),
    );
    harbour
        .schema
        .properties
        .insert("spec".into(), Arc::new(spec));
    let error = harbour
        .try_apply("bob", json!({"engine": {"power": 1}}), false)
        .unwrap_err();
    assert!(
        error.to_string().ends_with("\"ada\": .spec.engine"),
        "{error}"
    );
    harbour.apply("ada", json!({"engine": {"power": 2}}));
    assert_eq!(harbour.spec(), &json!({"engine": {"power": 2}}));
}

#[test]
fn an_empty_list_of_owned_elements_is_nobodys() {
    let mut harbour = Harbour::new();
    harbour.apply("ada", json!({"flags": ["a"], "crew": 1}));
    harbour.apply("ada", json!({"flags": [], "crew": 1}));
    assert_eq!(harbour.spec(), &json!({"crew": 1}));
    assert_eq!(harbour.owned("ada", "Apply"), json!({"f:crew": {}}));
    // It stays where nothing of it was there before, until the next apply of its manager.
    harbour.apply("bob", json!({"flags": []}));
    assert_eq!(harbour.spec(), &json!({"crew": 1, "flags": []}));
}

#[test]
fn from_client_side_apply() {
    let mut harbour = Harbour::new();
    let last = json!({"apiVersion": VERSION, "kind": "Ship", "metadata": {"name": "ada"},
        "spec": {"crew": 1, "name": "x", "route": ["a"]}});
    let object = json!({
        "apiVersion": VERSION, "kind": "Ship",
        "metadata": {"name": "ada", "uid": "1", "annotations": {LAST_APPLIED: last.to_string()}},
        "spec": {"crew": 1, "name": "x", "route": ["a"]},
    });
    harbour.write("kubectl-client-side-apply", object);
    // Another client wrote the same value over it: no conflict for kubectl, one for others.
    harbour
        .edit("tool", "/spec/crew", json!(5))
        .edit("tool", "/spec/crew", json!(1));
    assert!(
        harbour
            .try_apply("helm", json!({"crew": 2}), false)
            .is_err()
    );
    harbour.apply("kubectl", json!({"crew": 2, "route": ["a"]}));
    assert_eq!(
        harbour.spec(),
        &json!({"crew": 2, "name": "x", "route": ["a"]}),
        "what client-side apply owns stays until kubectl changes the entry"
    );
    assert_eq!(
        harbour.managers(),
        ["kubectl Apply", "kubectl-client-side-apply Update"]
    );
    let annotations = &harbour.live.as_ref().unwrap()["metadata"]["annotations"];
    let now: Value = serde_json::from_str(annotations[LAST_APPLIED].as_str().unwrap()).unwrap();
    assert_eq!(now["spec"], json!({"crew": 2, "route": ["a"]}));
    // What was really changed by somebody else still is a conflict.
    harbour.edit("tool", "/spec/crew", json!(7));
    assert!(
        harbour
            .try_apply("kubectl", json!({"crew": 2}), false)
            .is_err()
    );
}

#[test]
fn errors_name_the_place() {
    let mut harbour = Harbour::new();
    for (spec, expected) in [
        (
            json!({"sails": 1}),
            ".spec.sails: field not declared in schema",
        ),
        (
            json!({"berths": [{"guest": "x"}, {}]}),
            ".spec.berths: duplicate entries for key [side=\"port\"]",
        ),
        (
            json!({"berths": [1]}),
            ".spec.berths: element 0: an element of a list with keys",
        ),
        (
            json!({"flags": ["a", ["b"]]}),
            ".spec.flags: element 1: an element of a set",
        ),
        (
            json!({"flags": ["a", "a"]}),
            ".spec.flags: duplicate entries for key [=\"a\"]",
        ),
        (
            json!({"berths": [{"deck": 1, "bags": {}}]}),
            "[deck=1,side=\"port\"].bags: expected list, got &{map[]}",
        ),
        (
            json!({"engine": "wind"}),
            ".spec.engine: expected map, got &{wind}",
        ),
        (
            json!({"crew": [1]}),
            ".spec.crew: expected numeric (int or float), got []interface {}",
        ),
    ] {
        let error = harbour
            .try_apply("ada", spec, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}\n  instead of {expected}");
    }
    let with = |extra: Value| {
        let mut config = config(Value::Null);
        config
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        config
    };
    let deep = (0..=MAX_DEPTH).fold(json!(1), |inner, _| json!({"a": inner}));
    for (config, expected) in [
        (json!([]), "must be an object"),
        (
            with(json!({"apiVersion": "harbour.example/v2"})),
            "invalid object type: harbour.example/v2, Kind=Ship",
        ),
        (
            with(json!({"metadata": {"managedFields": []}})),
            "metadata.managedFields must be nil",
        ),
        (with(json!({"spec": {"cargo": deep}})), "at most 100"),
    ] {
        let error = harbour
            .try_apply_object("ada", &config, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn corrupt_entries_are_an_error_of_apply() {
    let manager = Manager {
        name: "a",
        subresource: None,
        kind: "Ship",
        api_version: VERSION,
        time: Timestamp::UNIX_EPOCH,
    };
    let config = config(Value::Null);
    for (entry, expected) in [
        (json!(1), "a list of objects"),
        (json!([1]), "a list of objects"),
        (
            json!([{"operation": "Guess"}]),
            "entry 0: operation must be",
        ),
        (
            json!([{"operation": "Apply"}]),
            "entry 0: apiVersion must not be empty",
        ),
        (
            json!([{"operation": "Apply", "apiVersion": "v1"}]),
            "entry 0: fieldsType must be",
        ),
        (
            json!([{"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}]),
            "entry 0: \"x\" is not a field path element",
        ),
    ] {
        let live = json!({"metadata": {"managedFields": entry}});
        let error = apply(
            &ship(),
            Some(&live),
            &config,
            &manager,
            true,
            &FieldSet::default(),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

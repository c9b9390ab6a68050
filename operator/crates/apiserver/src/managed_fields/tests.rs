//! The rules of ownership, one scenario each.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kubectl::LAST_APPLIED;
use super::{ApplyError, FieldSet, Manager, apply, keep_times_if_unchanged, reset_fields, update};
use crate::patch::{MAX_DEPTH, depth};
use crate::schema::{Kind, ListType, Schema};

fn of(kind: Kind) -> Schema {
    Schema {
        kind: Some(kind),
        ..Schema::default()
    }
}

fn object(fields: Vec<(&str, Schema)>) -> Schema {
    let properties = fields
        .into_iter()
        .map(|(name, field)| (name.into(), Arc::new(field)));
    Schema {
        properties: properties.collect(),
        ..of(Kind::Object)
    }
}

fn map_of(value: Schema) -> Schema {
    Schema {
        additional: Some(Arc::new(value)),
        ..of(Kind::Object)
    }
}

fn list(list_type: ListType, keys: &[&str], items: Schema) -> Schema {
    let list_map_keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Schema {
        list_type,
        list_map_keys,
        items: Some(Arc::new(items)),
        ..of(Kind::Array)
    }
}

/// A kind in which every way of merging occurs.
pub(super) fn ship() -> Schema {
    let text = || of(Kind::String);
    let number = || of(Kind::Integer);
    let side = Schema {
        default: Some(json!("port")),
        ..text()
    };
    let berth = object(vec![
        ("deck", number()),
        ("side", side),
        ("guest", text()),
        ("bags", list(ListType::Set, &[], text())),
    ]);
    let metadata = object(vec![
        ("name", text()),
        ("uid", text()),
        ("generation", number()),
        ("creationTimestamp", text()),
        ("labels", map_of(text())),
        ("annotations", map_of(text())),
        ("finalizers", list(ListType::Set, &[], text())),
    ]);
    let spec = object(vec![
        ("crew", number()),
        ("name", text()),
        ("berths", list(ListType::Map, &["deck", "side"], berth)),
        ("flags", list(ListType::Set, &[], text())),
        ("route", list(ListType::Atomic, &[], text())),
        (
            "anchor",
            Schema {
                map_atomic: true,
                ..object(vec![("weight", number()), ("kind", text())])
            },
        ),
        (
            "engine",
            object(vec![("fuel", text()), ("power", number())]),
        ),
        (
            "cargo",
            Schema {
                preserve_unknown: true,
                ..of(Kind::Object)
            },
        ),
    ]);
    let status = object(vec![("ready", number())]);
    object(vec![
        ("apiVersion", text()),
        ("kind", text()),
        ("metadata", metadata),
        ("spec", spec),
        ("status", status),
    ])
}

pub(super) const VERSION: &str = "harbour.example/v1";

/// A configuration with this spec, or none for null.
pub(super) fn config(spec: Value) -> Value {
    let mut config = json!({"apiVersion": VERSION, "kind": "Ship", "metadata": {"name": "ada"}});
    if !spec.is_null() {
        config["spec"] = spec;
    }
    config
}

/// One object and the requests that are made to it, a minute apart.
struct Harbour {
    schema: Schema,
    live: Option<Value>,
    minute: i64,
}

impl Harbour {
    fn new() -> Self {
        Self {
            schema: ship(),
            live: None,
            minute: 0,
        }
    }

    fn manager<'a>(&mut self, name: &'a str) -> Manager<'a> {
        let (name, subresource) = match name.split_once('/') {
            Some((name, subresource)) => (name, Some(subresource)),
            None => (name, None),
        };
        self.minute += 1;
        let time = Timestamp::from_second(1_700_000_000 + 60 * self.minute).unwrap();
        Manager {
            name,
            subresource,
            api_version: VERSION,
            time,
        }
    }

    fn try_apply(&mut self, who: &str, spec: Value, force: bool) -> Result<(), ApplyError> {
        self.try_apply_object(who, &config(spec), force)
    }

    fn try_apply_object(
        &mut self,
        who: &str,
        config: &Value,
        force: bool,
    ) -> Result<(), ApplyError> {
        let manager = self.manager(who);
        let reset = reset_fields(&self.schema, true, manager.subresource);
        let live = self.live.as_ref();
        self.live = Some(apply(&self.schema, live, config, &manager, force, &reset)?);
        Ok(())
    }

    fn apply(&mut self, who: &str, spec: Value) -> &mut Self {
        self.try_apply(who, spec, false).unwrap();
        self
    }

    /// Changes one place, or removes it with null, and writes the whole object.
    fn edit(&mut self, who: &str, pointer: &str, value: Value) -> &mut Self {
        let mut new = self.live.clone().unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = new.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value);
        }
        self.write(who, new)
    }

    fn write(&mut self, who: &str, new: Value) -> &mut Self {
        let manager = self.manager(who);
        let reset = reset_fields(&self.schema, true, manager.subresource);
        self.live = Some(update(
            &self.schema,
            self.live.as_ref(),
            new,
            &manager,
            &reset,
        ));
        self
    }

    fn create(&mut self, who: &str, spec: Value) -> &mut Self {
        let object = json!({
            "apiVersion": VERSION, "kind": "Ship",
            "metadata": {"name": "ada", "uid": "1", "generation": 1}, "spec": spec,
        });
        self.write(who, object)
    }

    fn spec(&self) -> &Value {
        &self.live.as_ref().unwrap()["spec"]
    }

    fn entries(&self) -> &Value {
        &self.live.as_ref().unwrap()["metadata"]["managedFields"]
    }

    /// `name/subresource Operation` of every entry, in order.
    fn managers(&self) -> Vec<String> {
        let entries = self.entries().as_array().into_iter().flatten();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        entries
            .map(|entry| {
                let subresource = text(entry, "subresource");
                let slash = if subresource.is_empty() { "" } else { "/" };
                format!(
                    "{}{slash}{subresource} {}",
                    text(entry, "manager"),
                    text(entry, "operation")
                )
            })
            .collect()
    }

    /// What an entry owns of the spec.
    fn owned(&self, manager: &str, operation: &str) -> Value {
        let entries = self.entries().as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["manager"] == manager && entry["operation"] == operation)
            .unwrap_or_else(|| panic!("no {manager} {operation} in {entries:?}"));
        entry["fieldsV1"]["f:spec"].clone()
    }
}

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
fn whoever_shares_a_field_without_changing_it_gets_an_entry_with_a_time() {
    let mut harbour = Harbour::new();
    harbour
        .apply("ada", json!({"crew": 3}))
        .apply("bob", json!({"crew": 3}));
    let times: Vec<_> = [0, 1]
        .map(|entry| harbour.entries()[entry]["time"].clone())
        .into();
    assert_eq!(times, ["2023-11-14T22:14:20Z", "2023-11-14T22:15:20Z"]);
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
        &json!({"crew": 2, "route": ["a"]}),
        "name was left out"
    );
    assert_eq!(harbour.managers(), ["kubectl Apply"]);
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
            "[deck=1,side=\"port\"].bags: expected a list, got a map",
        ),
        (
            json!({"engine": "wind"}),
            ".spec.engine: expected a map, got \"wind\"",
        ),
        (
            json!({"crew": [1]}),
            ".spec.crew: expected a number, got a list",
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
            "Specified patch version: harbour.example/v2",
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

#[test]
fn corrupt_entries_are_an_error_of_apply() {
    let manager = Manager {
        name: "a",
        subresource: None,
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

//! What rules say of a change, by what was before.

use serde_json::{Value, json};

use super::{Schema, errors, told, validate, with_rule};

#[test]
fn transition_rules_need_an_old_value() {
    let schema =
        with_rule(json!({"rule": "self.name == oldSelf.name", "message": "name is immutable"}));
    assert_eq!(errors(schema.clone(), json!({"name": "a"}), None), [""; 0]);
    assert_eq!(
        errors(schema, json!({"name": "a"}), Some(json!({"name": "b"}))),
        ["<nil>: Invalid value: name is immutable"]
    );
    let optional = with_rule(
        json!({"rule": "oldSelf.hasValue() || self.min == 1", "optionalOldSelf": true, "message": "m"}),
    );
    assert_eq!(
        errors(optional.clone(), json!({"min": 2}), None),
        ["<nil>: Invalid value: m"]
    );
    assert_eq!(
        errors(optional, json!({"min": 2}), Some(json!({"min": 2}))),
        [""; 0]
    );
}

#[test]
fn old_items_are_matched_by_their_keys() {
    let schema = json!({"type": "object", "properties": {"ports": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {
            "type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "port is immutable"}]}}},
    }}});
    let old = json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]});
    let new = json!({"ports": [{"name": "b", "port": 2}, {"name": "a", "port": 9}, {"name": "c", "port": 3}]});
    assert_eq!(
        errors(schema, new, Some(old)),
        ["ports[1].port: Invalid value: 9: port is immutable"]
    );
}

#[test]
fn what_was_wrong_before_is_forgiven_where_nothing_has_changed() {
    let rule = |rule: &str| json!([{"rule": rule, "message": "too small"}]);
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": rule("self > 5")},
        "grows": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf", "message": "must grow"}]},
        "fault": {"type": "integer", "x-kubernetes-validations": [{"rule": "1 / self > 0", "message": "fault"}]},
        "list": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": rule("self > 5")}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "x-kubernetes-validations": rule("self.all(item, item.v > 5)"),
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
                "x-kubernetes-validations": rule("self.v > 5")}},
    }});
    let old = json!({"a": 1, "grows": 1, "fault": 0, "list": [1], "map": [{"k": "x", "v": 1}, {"k": "y", "v": 2}]});
    let small = |field: &str, value: &str| format!("{field}: Invalid value: {value}too small");
    // Faults and comparisons with the value before are told all the same.
    let always = [
        r#"fault: Invalid value: "integer": division by zero evaluating rule: fault"#,
        "grows: Invalid value: 1: must grow",
    ];
    let (errors, forgiven) = told(&schema, &old, &old);
    assert_eq!(errors, always);
    assert_eq!(
        forgiven,
        [
            small("a", "1: "),
            small("list[0]", "1: "),
            small("map", ""),
            small("map[0]", ""),
            small("map[1]", ""),
        ]
    );
    // A list is as it was if its items are; of a map list in any order.
    let new = json!({"a": 2, "grows": 2, "fault": 1, "list": [1, 6], "map": [{"k": "y", "v": 2}, {"k": "x", "v": 1}]});
    let (errors, forgiven) = told(&schema, &new, &old);
    assert_eq!(errors, [small("a", "2: "), small("list[0]", "1: ")]);
    assert_eq!(
        forgiven,
        [small("map", ""), small("map[0]", ""), small("map[1]", "")]
    );
    let new = json!({"map": [{"k": "y", "v": 2}, {"k": "x", "v": 3}]});
    let (errors, forgiven) = told(&schema, &new, &old);
    assert_eq!(errors, [small("map", ""), small("map[1]", "")]);
    assert_eq!(forgiven, [small("map[0]", "")]);
}

#[test]
fn a_rule_that_was_accepted_once_is_not_dropped() {
    let source = json!({"type": "object", "properties": {"a": {"type": "integer", "x-kubernetes-validations": [
        {"rule": "self > 0", "message": "m"}, {"rule": "self > nothing"}]}}});
    assert!(Schema::parse(&source).is_err());
    let schema = Schema::custom_resource(&source).unwrap();
    let object = json!({"a": 0});
    let errors = validate(&schema, &object, Some(&object)).errors;
    let [error] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    let text = error.to_string();
    let words = r#"a: Invalid value: "integer": rule compile error: compilation failed: ERROR: <input>:1:8: undeclared reference to 'nothing'"#;
    assert!(text.starts_with(words), "{text}");
}

#[test]
fn null_is_no_value_before() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "nullable": true, "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "immutable"},
            {"rule": "oldSelf.orValue('first') == 'first'", "optionalOldSelf": true, "message": "was there"},
        ]},
    }});
    let told = |new: Value, old: Value| told(&schema, &json!({"a": new}), &json!({"a": old})).0;
    assert_eq!(told(json!("x"), Value::Null), [""; 0]);
    assert_eq!(told(Value::Null, json!("x")), [""; 0]);
    assert_eq!(
        told(json!("y"), json!("x")),
        [
            r#"a: Invalid value: "y": immutable"#,
            r#"a: Invalid value: "y": was there"#
        ]
    );
}

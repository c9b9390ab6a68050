#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;

fn errors(field: Value, value: Value) -> Vec<String> {
    let schema = Schema::parse(&json!({"type": "object", "properties": {"f": field}})).unwrap();
    validate(&schema, &json!({"f": value}))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn every_constraint_says_what_is_wrong_in_kubernetes_words() {
    let cases: &[(Value, Value, &[&str])] = &[
        (
            json!({"type": "integer"}),
            json!("x"),
            &[r#"f: Invalid value: "string": f in body must be of type integer: "string""#],
        ),
        (
            json!({"type": "integer"}),
            json!(1.5),
            &[
                r#"f: Invalid value: "number": f in body must be of type integer: "number""#,
                r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in f"#,
            ],
        ),
        (json!({"type": "integer"}), json!(2.0), &[]),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"a": 1}),
            &[r#"f: Invalid value: "a": f.a in body is a forbidden property"#],
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(true),
            &[r#"f: Invalid value: "": f in body must be of type int32: """#],
        ),
        (
            json!({"type": "string", "enum": ["a"]}),
            json!(1),
            &[
                r#"f: Invalid value: "integer": f in body must be of type string: "integer""#,
                r#"f: Unsupported value: 1: supported values: "a""#,
            ],
        ),
        (
            json!({"type": "object", "minProperties": 1, "anyOf": [{"minProperties": 1}]}),
            json!({}),
            &[
                r#"<nil>: Invalid value: "": "f" must validate at least one schema (anyOf)"#,
                "f: Invalid value: 0: f in body should have at least 1 properties",
            ],
        ),
        (
            json!({"type": "number", "enum": [1, 2.5]}),
            json!(2.25),
            &[r#"f: Unsupported value: 2.25: supported values: "1", "2.5""#],
        ),
        (json!({"type": "number", "enum": [1, 2.5]}), json!(1.5), &[]),
        (
            json!({"type": "string", "nullable": true, "enum": ["a", null]}),
            json!(null),
            &[r#"f: Unsupported value: null: supported values: "a", "null""#],
        ),
        (
            json!({"type": "number", "minimum": 1.5}),
            json!(1.25),
            &["f: Invalid value: 1.25: f in body should be greater than or equal to 1.5"],
        ),
        (
            json!({"type": "number", "maximum": 1_000_000}),
            json!(2e6),
            &["f: Invalid value: 2e+06: f in body should be less than or equal to 1e+06"],
        ),
        (
            json!({"type": "number", "multipleOf": 0.1}),
            json!(0.3),
            &[],
        ),
        (json!({"type": "number"}), json!(2), &[]),
        (
            json!({"type": "string"}),
            json!(null),
            &[r#"f: Invalid value: "null": f in body must be of type string: "null""#],
        ),
        (
            json!({"type": "string", "nullable": true}),
            json!(null),
            &[],
        ),
        (
            json!({"type": "object"}),
            json!([]),
            &[r#"f: Invalid value: "array": f in body must be of type object: "array""#],
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!("50%"),
            &[],
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            &[
                r#"f: Invalid value: "boolean": f in body must be of type integer,string: "boolean""#,
            ],
        ),
        (
            json!({"type": "integer", "minimum": 0}),
            json!(-1),
            &["f: Invalid value: -1: f in body should be greater than or equal to 0"],
        ),
        (
            json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true}),
            json!(0),
            &["f: Invalid value: 0: f in body should be greater than 0"],
        ),
        (
            json!({"type": "integer", "maximum": 10}),
            json!(11),
            &["f: Invalid value: 11: f in body should be less than or equal to 10"],
        ),
        (
            json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true}),
            json!(1.5),
            &["f: Invalid value: 1.5: f in body should be less than 1.5"],
        ),
        (
            json!({"type": "integer", "multipleOf": 5}),
            json!(7),
            &["f: Invalid value: 7: f in body should be a multiple of 5"],
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000u64),
            &[
                r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in f"#,
            ],
        ),
        (
            json!({"type": "string", "maxLength": 3}),
            json!("äöüß"),
            &["f: Too long: may not be more than 3 bytes"],
        ),
        (json!({"type": "string", "maxLength": 3}), json!("äöü"), &[]),
        (
            json!({"type": "string", "minLength": 1}),
            json!(""),
            &[r#"f: Invalid value: "": f in body should be at least 1 chars long"#],
        ),
        (
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            json!("A1"),
            &[r#"f: Invalid value: "A1": f in body should match '^[a-z]+$'"#],
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            &[r#"f: Unsupported value: "c": supported values: "a", "b""#],
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            &[r#"f: Unsupported value: 3: supported values: "1", "2""#],
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("yesterday"),
            &[r#"f: Invalid value: "yesterday": f in body must be of type date-time: "yesterday""#],
        ),
        (
            json!({"type": "string", "format": "no-such-format"}),
            json!("x"),
            &[],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            &["f: Invalid value: 0: f in body should have at least 1 items"],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            &["f: Too many: 2: must have at most 1 item"],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", 1]),
            &[r#"f[1]: Invalid value: "integer": f[1] in body must be of type string: "integer""#],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
            json!({"a": "b", "c": 1}),
            &[
                "f: Too many: 2: must have at most 1 item",
                r#"f.c: Invalid value: "integer": f.c in body must be of type string: "integer""#,
            ],
        ),
        (
            json!({"type": "object", "minProperties": 1}),
            json!({}),
            &["f: Invalid value: 0: f in body should have at least 1 properties"],
        ),
        (
            json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string"}}}),
            json!({"a": "x"}),
            &["f.b: Required value"],
        ),
    ];
    for (schema, value, expected) in cases {
        assert_eq!(
            errors(schema.clone(), value.clone()),
            *expected,
            "{schema} {value}"
        );
    }
}

#[test]
fn combinations_report_the_closest_alternative() {
    let one_of = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(errors(one_of.clone(), json!({"a": "x"})), [""; 0]);
    assert_eq!(
        errors(one_of.clone(), json!({})),
        [
            r#"<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found none valid"#,
            "f.a: Required value"
        ]
    );
    assert_eq!(
        errors(one_of, json!({"a": "x", "b": "y"})),
        [
            r#"<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    let any_of = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
    assert_eq!(errors(any_of, json!(5)), [""; 0]);
    let not = json!({"type": "string", "not": {"enum": ["root"]}});
    assert_eq!(
        errors(not, json!("root")),
        [r#"<nil>: Invalid value: "": "f" must not validate the schema (not)"#]
    );
    let all_of = json!({"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 3}]});
    assert_eq!(
        errors(all_of, json!("x")),
        [
            r#"f: Invalid value: "x": f in body should be at least 2 chars long"#,
            r#"<nil>: Invalid value: "": "f" must validate all the schemas (allOf)"#
        ]
    );
}

#[test]
fn errors_in_unchanged_parts_are_forgiven_on_update() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "a": {"type": "string", "enum": ["x"]},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "maxItems": 1,
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}}}},
        "apiVersion": {"type": "string", "pattern": "v1$"},
    }}))
    .unwrap();
    let old =
        json!({"apiVersion": "v2", "a": "old", "list": [{"k": "p", "v": 9}, {"k": "q", "v": 9}]});
    let errors = |list: Value| -> Vec<_> {
        let new = json!({"apiVersion": "v2", "a": "old", "list": list});
        let errors = validate_update(&schema, &new, &old);
        errors.into_iter().map(|error| error.field).collect()
    };
    // The version that an object is written in is never old.
    let reordered = errors(json!([{"k": "q", "v": 9}, {"k": "p", "v": 9}]));
    assert_eq!(reordered, ["apiVersion"]);
    let changed = errors(json!([{"k": "q", "v": 9}, {"k": "p", "v": 8}]));
    assert_eq!(changed, ["apiVersion", "list[1].v", "list"]);
    // What has no key is like nothing before.
    let old = json!({"list": [{"v": 9}]});
    let found = validate_update(&schema, &old, &old);
    let fields: Vec<_> = found.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["list[0].v"]);
}

#[test]
fn bytes_of_typed_fields_are_judged_by_their_decoder() {
    let secret = crate::schema::core::typed::<k8s_openapi::api::core::v1::Secret>().unwrap();
    let value = json!({"data": {"empty": "", "broken into lines": "YQ\n=="}});
    assert_eq!(validate(&secret, &value), []);
    let bytes = json!({"type": "string", "format": "byte"});
    for text in ["", "YQ\n=="] {
        assert_eq!(errors(bytes.clone(), json!(text)).len(), 1, "{text:?}");
    }
}

//! Nothing that is JSON makes the schema code panic, and its passes are idempotent.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Schema;
use crate::validation::validate_object;

/// Field names that the schemas below know, and one they do not.
const NAMES: &[&str] = &["a", "b", "c", "metadata", "name", "unknown"];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9:-]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(NAMES), inner, 0..4).prop_map(|map| {
                Value::Object(
                    map.into_iter()
                        .map(|(name, value)| (name.into(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// Schemas that are structural.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(
            json!({"type": "string", "default": "x", "pattern": "^[a-z]*$", "format": "duration"})
        ),
        Just(json!({"type": "integer", "default": 1, "minimum": 0, "format": "int32"})),
        Just(json!({"type": "boolean", "nullable": true, "default": null})),
        Just(json!({"type": "number", "multipleOf": 0.5})),
        Just(
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-validations": [{"rule": "self == 1 || self == 'a'"}]})
        ),
        Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
        Just(
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true})
        ),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let fields = prop::collection::btree_map(prop::sample::select(&NAMES[..5]), inner.clone(), 1..4);
        prop_oneof![
            fields.prop_map(|fields| json!({"type": "object", "properties": fields, "required": ["a"],
                "x-kubernetes-validations": [{"rule": "size(self) < 3", "optionalOldSelf": true}]})),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items, "maxItems": 2, "x-kubernetes-list-type": "set"})),
            inner.prop_map(|below| json!({"type": "object", "additionalProperties": below, "default": {}})),
        ]
    })
}

fn admit(schema: &Schema, value: &mut Value) {
    schema.drop_nulls(value);
    schema.prune(value);
    schema.apply_defaults(value);
}

proptest! {
    #[test]
    fn admission_is_idempotent_and_validation_total(source in schema(), mut new in value(), old in value()) {
        // Embedded objects below a default of `{}` make the default invalid: refused, rightly.
        let Ok(schema) = Schema::parse(&source) else { return Ok(()) };
        admit(&schema, &mut new);
        let mut again = new.clone();
        admit(&schema, &mut again);
        prop_assert_eq!(&new, &again);
        prop_assert!(schema.prune(&mut again).is_empty());
        let _ = validate_object(&schema, &new, None);
        let _ = validate_object(&schema, &new, Some(&old));
    }

    #[test]
    fn any_json_is_a_schema_or_an_error(source in value()) {
        let _ = Schema::parse(&source);
        let _ = Schema::custom_resource(&json!({"type": "object", "properties": {"spec": source.clone()}}));
        let _ = Schema::custom_resource(&json!({"type": "object", "default": source, "x-kubernetes-validations": source, "enum": source}));
    }

    #[test]
    fn any_object_passes_through_a_core_schema(mut value in value()) {
        let schema = super::core::object_meta();
        admit(schema, &mut value);
        let _ = validate_object(schema, &value, None);
        let _ = crate::validation::meta::validate_create(&json!({"metadata": value.clone()}), true, Default::default());
        let _ = crate::validation::meta::validate_update(&json!({"metadata": value}), &json!({}));
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = (0..200).fold(
        json!({"type": "string"}),
        |below, _| json!({"type": "array", "items": below}),
    );
    assert!(
        Schema::parse(&deep)
            .unwrap_err()
            .to_string()
            .contains("at most 60 levels")
    );
}

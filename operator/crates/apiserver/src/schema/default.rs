//! Nulls and defaults, in the order and with the meaning Kubernetes gives them.

use serde_json::Value;

use super::{Schema, Zero};

impl Schema {
    /// Removes nulls of fields that are neither nullable nor have a default. A null that has a
    /// default, or a zero value that is written, stays to be replaced; unknown fields keep theirs.
    pub fn drop_nulls(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.retain(|name, field| {
                let Some(schema) = self.field(name) else {
                    return true;
                };
                if field.is_null() {
                    let written = matches!(schema.zero, Zero::Written(_));
                    return schema.nullable || schema.default.is_some() || written;
                }
                schema.drop_nulls(field);
                true
            }),
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.drop_nulls(item));
                }
            }
            _ => {}
        }
    }

    /// Fills absent fields, and nulls that are not allowed, from the schema's defaults. A field
    /// is defaulted only where the object that holds it exists. Doing it twice changes nothing.
    pub fn apply_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    let Some(default) = &schema.default else {
                        continue;
                    };
                    if fields
                        .get(name)
                        .is_none_or(|field| field.is_null() && !schema.nullable)
                    {
                        fields.insert(name.clone(), default.clone());
                    }
                }
                for (name, field) in fields.iter_mut() {
                    match (self.properties.get(name), &self.additional) {
                        (Some(schema), _) => schema.apply_defaults(field),
                        (None, Some(schema)) => default_element(schema, field),
                        (None, None) => {}
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items
                        .iter_mut()
                        .for_each(|item| default_element(schema, item));
                }
            }
            _ => {}
        }
    }
}

fn default_element(schema: &Schema, element: &mut Value) {
    if element.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *element = default.clone();
    }
    schema.apply_defaults(element);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::parse(&json!({"type": "object", "properties": {
            "replicas": {"type": "integer", "default": 1},
            "note": {"type": "string", "nullable": true},
            "plain": {"type": "string"},
            "deep": {"type": "object", "properties": {"on": {"type": "boolean", "default": true}}},
            "filled": {"type": "object", "default": {}, "properties": {"on": {"type": "boolean", "default": true}}},
            "many": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer", "default": 7}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"n": {"type": "integer", "default": 7}}}},
        }}))
        .unwrap()
    }

    fn run(mut value: Value) -> Value {
        let schema = schema();
        schema.drop_nulls(&mut value);
        schema.apply_defaults(&mut value);
        value
    }

    #[test]
    fn defaults_fill_what_is_absent_and_only_inside_objects_that_exist() {
        assert_eq!(
            run(json!({})),
            json!({"replicas": 1, "filled": {"on": true}})
        );
        assert_eq!(
            run(
                json!({"replicas": 3, "deep": {}, "filled": {"on": false}, "many": [{}, {"n": 1}], "map": {"a": {}}})
            ),
            json!({"replicas": 3, "deep": {"on": true}, "filled": {"on": false}, "many": [{"n": 7}, {"n": 1}], "map": {"a": {"n": 7}}})
        );
    }

    #[test]
    fn nulls_go_stay_or_are_defaulted_by_what_the_field_allows() {
        assert_eq!(
            run(json!({"replicas": null, "note": null, "plain": null, "unknown": null})),
            json!({"replicas": 1, "note": null, "unknown": null, "filled": {"on": true}})
        );
    }

    #[test]
    fn values_of_the_wrong_type_are_left_for_validation() {
        assert_eq!(
            run(json!({"deep": 5, "many": "x"})),
            json!({"deep": 5, "many": "x", "replicas": 1, "filled": {"on": true}})
        );
        assert_eq!(run(json!("text")), json!("text"));
    }
}

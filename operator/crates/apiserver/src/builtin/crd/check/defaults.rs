//! Defaults: each must survive pruning and be right by its own schema and its rules, or it would
//! break every object.

use serde_json::Value;

use crate::schema::Schema;
use crate::validation::{FieldError, whole_value};

/// Everything wrong with the defaults of a schema.
pub(super) fn check(source: &Value, compiled: &Schema, place: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    node(source, compiled, place, true, &mut found);
    found
}

fn node(source: &Value, schema: &Schema, place: &str, root: bool, found: &mut Vec<FieldError>) {
    let default = &source["default"];
    if !default.is_null() {
        let field = format!("{place}.default");
        let mut pruned = default.clone();
        if !schema.prune(&mut pruned).is_empty() {
            let detail = "must not have unknown fields";
            found.push(FieldError::invalid(&field, default.clone(), detail));
        }
        // A default of the root stands for a whole object.
        let whole = Schema {
            embedded_resource: root || schema.embedded_resource,
            has_embedded: root || schema.has_embedded,
            ..schema.clone()
        };
        found.extend(whole_value(&whole, default).into_iter().map(|error| {
            let field = match error.field.as_str() {
                "" | "<nil>" => field.clone(),
                below => format!("{field}.{below}"),
            };
            FieldError { field, ..error }
        }));
    }
    // None is allowed below `additionalProperties`.
    if let Some(below) = &schema.items {
        node(
            &source["items"],
            below,
            &format!("{place}.items"),
            false,
            found,
        );
    }
    for (name, below) in source["properties"].as_object().into_iter().flatten() {
        if let Some(schema) = schema.properties.get(name) {
            let place = format!("{place}.properties[{name}]");
            node(below, schema, &place, false, found);
        }
    }
}

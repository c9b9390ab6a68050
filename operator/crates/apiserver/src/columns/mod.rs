//! The cells of `kubectl get`: `meta.k8s.io/v1` Tables are rendered by the server.
//!
//! Custom kinds name their columns by JSONPath, the core kinds have those of Kubernetes
//! ([`builtin()`]). Dates become ages here, by the server's clock, as kubectl expects.
//!
//! Guarantees: every row has as many cells as there are definitions; a value that is missing or
//! does not fit its column's type is an empty cell, never an error.

mod age;
mod builtin;
mod jsonpath;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::age::human_duration;
pub use self::builtin::builtin;
pub use self::jsonpath::{JsonPath, JsonPathError};
use crate::registry::{Cell, PrinterColumn, ResourceDef};

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.";

/// The `columnDefinitions` of a resource's tables. The name comes first, unless the resource has
/// a column of format `name` of its own.
pub fn definitions(def: &ResourceDef) -> Value {
    let mut definitions = Vec::with_capacity(def.columns.len() + 2);
    if !names_itself(def) {
        definitions.push(definition("Name", "string", "name", NAME_DESCRIPTION, 0));
    }
    for column in &def.columns {
        let made = match &column.cell {
            Cell::JsonPath(path) if column.description.is_empty() => {
                format!("Custom resource definition column (in JSONPath format): {path}")
            }
            _ => column.description.clone(),
        };
        definitions.push(definition(
            &column.name,
            &column.kind,
            &column.format,
            &made,
            column.priority,
        ));
    }
    if def.columns.is_empty() {
        definitions.push(definition("Age", "date", "", AGE_DESCRIPTION, 0));
    }
    definitions.into()
}

fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i32) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

/// The cells of one object.
pub fn cells(def: &ResourceDef, object: &Value) -> Vec<Value> {
    cells_at(def, object, Timestamp::now())
}

fn cells_at(def: &ResourceDef, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = Vec::with_capacity(def.columns.len() + 2);
    if !names_itself(def) {
        cells.push(object["metadata"]["name"].clone());
    }
    cells.extend(def.columns.iter().map(|column| cell(column, object, now)));
    if def.columns.is_empty() {
        cells.push(age::since(&object["metadata"]["creationTimestamp"], now));
    }
    cells
}

fn names_itself(def: &ResourceDef) -> bool {
    def.columns.iter().any(|column| column.format == "name")
}

fn cell(column: &PrinterColumn, object: &Value, now: Timestamp) -> Value {
    match &column.cell {
        Cell::JsonPath(path) => path
            .first(object)
            .map_or(Value::Null, |value| typed(&column.kind, value, now)),
        Cell::Computed(compute) => compute(object),
    }
}

fn typed(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(whole) => whole.into(),
            // As Go converts: towards zero.
            None => number.as_f64().map(|number| number as i64).into(),
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(_)) => age::since(value, now),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cells_have_the_type_of_their_column() {
        let now: Timestamp = "2026-01-01T00:05:30Z".parse().unwrap();
        let cases = [
            ("string", json!("x"), json!("x")),
            ("string", json!(5), json!("5")),
            ("string", json!(["a", "b"]), json!(r#"["a","b"]"#)),
            ("integer", json!(5), json!(5)),
            ("integer", json!(5.9), json!(5)),
            ("integer", json!("5"), json!(null)),
            ("number", json!(1.5), json!(1.5)),
            ("boolean", json!(true), json!(true)),
            ("boolean", json!("true"), json!(null)),
            ("date", json!("2026-01-01T00:00:00Z"), json!("5m30s")),
            ("date", json!("soon"), json!("<invalid>")),
            ("date", json!(1), json!(null)),
            ("string", json!(null), json!(null)),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(typed(kind, &value, now), expected, "{kind} {value}");
        }
    }
}

//! Whether a configuration can be applied under a schema: ownership needs to know what every
//! field is. Ranges, patterns and the like are for validation, after the merge.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::path::PathElement;
use super::shape::Node;
use crate::schema::{Kind, ListType, Schema};

/// A place in an applied configuration and what is wrong with it.
pub(super) type Misfit = (Vec<PathElement>, String);

/// The first thing in `value` that does not fit `schema`.
pub(super) fn misfit(schema: &Schema, value: &Value) -> Option<Misfit> {
    let mut path = Vec::new();
    let reason = visit(schema, value, &mut path).err()?;
    Some((path, reason))
}

/// On an error, `path` is left pointing at the place.
fn visit(schema: &Schema, value: &Value, path: &mut Vec<PathElement>) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::Object(fields) => {
            expect(schema, Kind::Object, value)?;
            for (name, value) in fields {
                path.push(PathElement::field(name));
                match schema.properties.get(name).or(schema.additional.as_ref()) {
                    Some(schema) => visit(schema, value, path)?,
                    None if is_open(schema) => {}
                    None => return Err("field not declared in schema".to_owned()),
                }
                path.pop();
            }
            Ok(())
        }
        Value::Array(items) => {
            expect(schema, Kind::Array, value)?;
            visit_items(schema, items, path)
        }
        Value::String(_) => expect(schema, Kind::String, value),
        Value::Bool(_) => expect(schema, Kind::Boolean, value),
        Value::Number(_) if schema.kind == Some(Kind::Number) => Ok(()),
        Value::Number(_) => expect(schema, Kind::Integer, value),
    }
}

fn visit_items(
    schema: &Schema,
    items: &[Value],
    path: &mut Vec<PathElement>,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (place, item) in (0_i64..).zip(items) {
        let mut step = PathElement::Index(place);
        if schema.kind.is_some() && schema.list_type != ListType::Atomic {
            let identity = Node::Typed(schema).identity(item);
            step = identity.map_err(|error| format!("element {place}: {error}"))?;
            if !seen.insert(step.clone()) {
                return Err(format!("duplicate entries for key {step}"));
            }
        }
        path.push(step);
        if let Some(schema) = &schema.items {
            visit(schema, item, path)?;
        }
        path.pop();
    }
    Ok(())
}

/// Whether a map may have fields that its schema does not list.
fn is_open(schema: &Schema) -> bool {
    schema.preserve_unknown || schema.additional_any == Some(true) || schema.properties.is_empty()
}

fn expect(schema: &Schema, kind: Kind, value: &Value) -> Result<(), String> {
    match schema.kind {
        Some(declared) if declared != kind => Err(expected(schema, value)),
        None if schema.int_or_string && matches!(kind, Kind::Object | Kind::Array) => {
            Err(expected(schema, value))
        }
        _ => Ok(()),
    }
}

fn expected(schema: &Schema, value: &Value) -> String {
    match schema.kind {
        Some(Kind::Object) => format!("expected map, got &{{{}}}", Plain(value)),
        Some(Kind::Array) => format!("expected list, got &{{{}}}", Plain(value)),
        Some(Kind::Boolean) => format!("expected boolean, got &{{{}}}", Plain(value)),
        Some(Kind::String) => {
            format!("expected string, got &value.valueUnstructured{{Value:{value}}}")
        }
        Some(Kind::Integer | Kind::Number) => {
            let found = match value {
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                Value::Object(_) => "map[string]interface {}",
                _ => "string",
            };
            format!("expected numeric (int or float), got {found}")
        }
        None => format!("expected scalar, got &{{{}}}", Plain(value)),
    }
}

/// A value as Go prints it.
struct Plain<'a>(&'a Value);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => f.write_str(text),
            Value::Null => f.write_str("<nil>"),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| Plain(item).to_string()).collect();
                write!(f, "[{}]", items.join(" "))
            }
            Value::Object(fields) => {
                let field = |(name, value)| format!("{name}:{}", Plain(value));
                let fields: Vec<_> = fields.iter().map(field).collect();
                write!(f, "map[{}]", fields.join(" "))
            }
            scalar => write!(f, "{scalar}"),
        }
    }
}

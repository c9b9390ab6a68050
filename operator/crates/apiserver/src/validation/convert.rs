//! JSON values as CEL sees them: field names escaped, formats turned into their types.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::Value;

use super::formats;
use crate::schema::{Kind, Schema};

/// Names that CEL reserves; a field of such a name is read as `__name__`.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Converts `value`, and returns beside it the length of the longest list or map inside.
pub(super) fn to_cel(value: &Value, schema: Option<&Schema>) -> (Cel, usize) {
    let mut longest = 1;
    let converted = convert(value, schema, &mut longest);
    (converted, longest)
}

fn convert(value: &Value, schema: Option<&Schema>, longest: &mut usize) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => {
            let float = schema.is_some_and(|schema| schema.kind == Some(Kind::Number));
            match number.as_i64().filter(|_| !float) {
                Some(whole) => Cel::Int(whole),
                None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
            }
        }
        Value::String(text) => text_value(text, schema),
        Value::Array(items) => {
            *longest = (*longest).max(items.len());
            let below = schema.and_then(|schema| schema.items.as_deref());
            Cel::List(Arc::new(
                items
                    .iter()
                    .map(|item| convert(item, below, longest))
                    .collect(),
            ))
        }
        Value::Object(fields) => {
            *longest = (*longest).max(fields.len());
            let is_map = schema.is_some_and(|schema| schema.additional.is_some());
            let mut map = HashMap::with_capacity(fields.len());
            for (name, field) in fields {
                // Of an object, a field that is null is as good as absent.
                let known = schema.is_some_and(|schema| schema.properties.contains_key(name));
                if field.is_null() && known {
                    continue;
                }
                let below = schema
                    .and_then(|schema| schema.field(name))
                    .map(AsRef::as_ref);
                // The keys of a map are data, the names of fields are identifiers.
                let key = if is_map {
                    name.clone()
                } else {
                    escape(name).map_or_else(|| name.clone(), Cow::into_owned)
                };
                let value = convert(field, below, longest);
                // Reserved words can be written as they are, too.
                if RESERVED.contains(&name.as_str()) && !is_map {
                    map.insert(Key::String(Arc::new(name.clone())), value.clone());
                }
                map.insert(Key::String(Arc::new(key)), value);
            }
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

fn text_value(text: &str, schema: Option<&Schema>) -> Cel {
    let format = schema
        .filter(|schema| !schema.int_or_string)
        .and_then(|schema| schema.constraints.format.as_deref());
    let typed = match format {
        Some("date-time" | "datetime") => chrono::DateTime::parse_from_rfc3339(text)
            .ok()
            .map(Cel::Timestamp),
        Some("date") => chrono::DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z"))
            .ok()
            .map(Cel::Timestamp),
        Some("duration") => formats::duration_nanos(text)
            .map(|nanos| Cel::Duration(chrono::Duration::nanoseconds(nanos))),
        Some("byte") => STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Cel::Bytes(Arc::new(bytes))),
        _ => None,
    };
    typed.unwrap_or_else(|| Cel::String(Arc::new(text.into())))
}

/// The identifier of a field: reserved words and characters outside of identifiers are escaped.
/// `None` for names that cannot be.
pub(super) fn escape(name: &str) -> Option<Cow<'_, str>> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-/".contains(letter);
    if name.is_empty()
        || name.starts_with(|first: char| first.is_ascii_digit())
        || !name.chars().all(plain)
    {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__").into());
    }
    if !name.contains("__") && !name.contains(['.', '-', '/']) {
        return Some(name.into());
    }
    let escaped = name
        .replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__");
    Some(escaped.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_escaped_as_in_kubernetes() {
        let cases = [
            ("plain", "plain"),
            ("snake_case", "snake_case"),
            ("a__b", "a__underscores__b"),
            ("namespace", "__namespace__"),
            ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
        ];
        for (name, escaped) in cases {
            assert_eq!(escape(name).as_deref(), Some(escaped));
        }
        for name in ["", "1a", "$ref", "a b", "ä"] {
            assert_eq!(escape(name), None, "{name}");
        }
    }
}

//! JSON values as CEL sees them: field names escaped, formats turned into their types.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::cel::value::{Identity, Key, List, Val};
use super::formats;
use crate::schema::{Kind, ListType, Schema};

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

/// Converts `value`, which satisfies `schema`.
pub(super) fn to_cel(value: &Value, schema: Option<&Schema>) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(flag) => Val::Bool(*flag),
        Value::Number(number) => {
            let float = schema.is_some_and(|schema| schema.kind == Some(Kind::Number));
            match number.as_i64().filter(|_| !float) {
                Some(whole) => Val::Int(whole),
                None => Val::Double(number.as_f64().unwrap_or(f64::NAN)),
            }
        }
        Value::String(text) => text_value(text, schema),
        Value::Array(items) => {
            let below = schema.and_then(|schema| schema.items.as_deref());
            let items = items.iter().map(|item| to_cel(item, below)).collect();
            let identity = match schema.map(|schema| (schema.list_type, &schema.list_map_keys)) {
                Some((ListType::Set, _)) => Identity::Value,
                Some((ListType::Map, keys)) => Identity::Fields(
                    keys.iter()
                        .map(|key| escape(key).unwrap_or_default().into_owned())
                        .collect(),
                ),
                _ => Identity::Position,
            };
            Val::List(Arc::new(List { items, identity }))
        }
        Value::Object(fields) => {
            let is_map = schema.is_some_and(|schema| schema.additional.is_some());
            let field = |(name, value): (&String, &Value)| {
                // A field that is null is none.
                if value.is_null() && !is_map {
                    return None;
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
                Some((Key::String(Arc::new(key)), to_cel(value, below)))
            };
            Val::map(fields.iter().filter_map(field).collect())
        }
    }
}

fn text_value(text: &str, schema: Option<&Schema>) -> Val {
    let format = schema
        .filter(|schema| !schema.int_or_string)
        .and_then(|schema| schema.constraints.format.as_deref());
    let typed = match format {
        Some("date-time" | "datetime") => chrono::DateTime::parse_from_rfc3339(text)
            .ok()
            .map(Val::Timestamp),
        Some("date") => chrono::DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z"))
            .ok()
            .map(Val::Timestamp),
        Some("duration") => formats::duration_nanos(text)
            .map(|nanos| Val::Duration(chrono::Duration::nanoseconds(nanos))),
        Some("byte") => STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Val::Bytes(Arc::new(bytes))),
        _ => None,
    };
    typed.unwrap_or_else(|| Val::text(text))
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

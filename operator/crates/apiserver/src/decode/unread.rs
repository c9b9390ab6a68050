//! What Kubernetes says of bodies that are no JSON: clients show it, and tests of clients look for it.

use serde_json::Value;

/// So much of a body is shown.
const SHOWN: usize = 30;
/// What every body must be.
const TYPED: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";

/// Why `bytes` could not be parsed.
pub(crate) fn syntax(bytes: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let line = bytes
        .split(|byte| *byte == b'\n')
        .nth(error.line().saturating_sub(1));
    let at = error.column().saturating_sub(1);
    let found = line
        .and_then(|line| line.get(at))
        .map(|byte| char::from(*byte));
    let text = error.to_string();
    let place = match text {
        _ if text.starts_with("trailing characters") => "after top-level value",
        _ if text.starts_with("expected value") => "looking for beginning of value",
        _ if text.starts_with("key must be a string") => {
            "looking for beginning of object key string"
        }
        _ if text.starts_with("expected `:`") => "after object key",
        _ if text.starts_with("expected `,` or `}`") => "after object key:value pair",
        _ if text.starts_with("expected `,` or `]`") => "after array element",
        _ => return text,
    };
    found.map_or(text, |found| format!("invalid character {found:?} {place}"))
}

/// Why a value is not even the beginning of an object, if it is not.
pub(crate) fn untyped(value: &Value) -> Option<String> {
    let Value::Object(fields) = value else {
        let found = (!value.is_null()).then(|| go_name(value));
        return found
            .map(|found| format!("json: cannot unmarshal {found} into Go value of type {TYPED}"));
    };
    let wrong = |name: &&str| {
        fields
            .get(*name)
            .is_some_and(|field| !field.is_string() && !field.is_null())
    };
    let name = ["apiVersion", "kind"]
        .into_iter()
        .find(|name| wrong(name))?;
    let found = go_name(&fields[name]);
    Some(format!(
        "json: cannot unmarshal {found} into Go struct field .{name} of type string"
    ))
}

/// The type of a value, as Go's decoder names it.
pub(crate) fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The beginning of a body, as text where it is an object.
pub(crate) fn beginning(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { " ..." } else { "" };
    match shown {
        [] => "<empty>".to_owned(),
        [b'{', ..] => format!("{}{more}", String::from_utf8_lossy(shown)),
        _ => {
            let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_kubernetes() {
        let cases = [
            ("", "unexpected end of JSON input", "<empty>"),
            ("{", "unexpected end of JSON input", "{"),
            (
                "a: b",
                "invalid character 'a' looking for beginning of value",
                "613a2062",
            ),
            (
                "{} x",
                "invalid character 'x' after top-level value",
                "{} x",
            ),
            (
                "{1:2}",
                "invalid character '1' looking for beginning of object key string",
                "{1:2}",
            ),
        ];
        for (body, why, shown) in cases {
            let error = super::super::json::parse(body.as_bytes()).unwrap_err();
            assert_eq!(syntax(body.as_bytes(), &error), why, "{body}");
            assert_eq!(beginning(body.as_bytes()), shown);
        }
        assert_eq!(beginning(&[b'{'; 40]), format!("{} ...", "{".repeat(30)));
        assert_eq!(
            untyped(&serde_json::json!({"kind": 5})).unwrap(),
            "json: cannot unmarshal number into Go struct field .kind of type string"
        );
        assert_eq!(untyped(&Value::Null), None);
    }
}

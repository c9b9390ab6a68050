//! Request bodies to JSON values.
//!
//! Guarantees: whatever the bytes are, the answer is a value no deeper than what can be stored, or
//! an error that says what is wrong. Duplicate fields are reported, not refused: whether they are
//! an error is the client's choice (`fieldValidation`).

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod json;
mod protobuf;
mod tables;
mod unread;
mod yaml;

use protobuf::ProtobufError;
use serde_json::Value;
pub(crate) use unread::{beginning, go_name, syntax, untyped};

use crate::patch::{MAX_DEPTH, depth};
use crate::status_error::ApiError;

/// Kubernetes' binary form; what current typed clients send for built-in kinds.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A body that was read.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Its content.
    pub(crate) value: Value,
    /// What strict decoding objects to: `duplicate field "spec.replicas"`.
    pub(crate) problems: Vec<String>,
}

/// Reads a body of one of the media types that carry objects. No media type means JSON.
///
/// # Errors
/// `UnsupportedMediaType`, or `BadRequest` for what does not parse.
pub(crate) fn body(content_type: Option<&str>, bytes: &[u8]) -> Result<Decoded, ApiError> {
    let essence = content_type
        .unwrap_or("application/json")
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let decoded = match essence.to_ascii_lowercase().as_str() {
        "" | "application/json" => json_body(bytes).map_err(|error| match error {
            ApiError::BadRequest(why) => ApiError::BadRequest(format!(
                "couldn't get version/kind; json parse error: {why}"
            )),
            error => error,
        })?,
        "application/yaml" => yaml_body(bytes)?,
        PROTOBUF => {
            let value = protobuf::parse(bytes).map_err(|error| match &error {
                ProtobufError::Kind { .. } => ApiError::UnsupportedMediaType(error.to_string()),
                _ => ApiError::BadRequest(error.to_string()),
            })?;
            Decoded {
                value,
                problems: Vec::new(),
            }
        }
        _ => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json, application/yaml, {PROTOBUF}"
            );
            return Err(ApiError::UnsupportedMediaType(message));
        }
    };
    bounded(decoded)
}

/// Reads a body that is YAML or JSON whatever its media type says (apply patches are).
pub(crate) fn yaml_body(bytes: &[u8]) -> Result<Decoded, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        ApiError::BadRequest(format!(
            "error decoding YAML: the body is not UTF-8: {error}"
        ))
    })?;
    let (value, problems) = yaml::parse(text)
        .map_err(|error| ApiError::BadRequest(format!("error decoding YAML: {error}")))?;
    bounded(Decoded { value, problems })
}

/// Reads a JSON body.
pub(crate) fn json_body(bytes: &[u8]) -> Result<Decoded, ApiError> {
    let (value, duplicates) =
        json::parse(bytes).map_err(|error| ApiError::BadRequest(syntax(bytes, &error)))?;
    let problems = duplicates
        .into_iter()
        .map(|path| format!("duplicate field \"{path}\""))
        .collect();
    bounded(Decoded { value, problems })
}

fn bounded(mut decoded: Decoded) -> Result<Decoded, ApiError> {
    let found = depth(&decoded.value);
    if found > MAX_DEPTH {
        return Err(ApiError::BadRequest(format!(
            "the body is nested {found} deep; at most {MAX_DEPTH} is allowed"
        )));
    }
    whole_numbers(&mut decoded.value);
    Ok(decoded)
}

/// Writes whole numbers as integers: `3.0` and `3e0` are a 3 to every validation, and one that was
/// stored as it was written could not be read by any client with typed fields.
fn whole_numbers(value: &mut Value) {
    /// From here on a whole number does not fit into 64 bits.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number
                .as_f64()
                .filter(|found| found.fract() == 0.0 && (-LIMIT..LIMIT).contains(found));
            #[allow(clippy::cast_possible_truncation)] // it is whole and within bounds
            if let Some(found) = whole {
                *value = Value::from(found as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The path of a string (key or value) with a NUL character, which Postgres cannot hold.
pub(crate) fn nul_at(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| Some(format!("[{index}]{}", nul_at(item)?))),
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            if name.contains('\0') {
                return Some(format!(".{}", name.replace('\0', "\\u0000")));
            }
            Some(format!(".{name}{}", nul_at(field)?))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn media_types() {
        for media in [
            None,
            Some(""),
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
        ] {
            assert_eq!(
                body(media, b"{\"a\":1}").unwrap().value,
                json!({"a": 1}),
                "{media:?}"
            );
        }
        assert_eq!(
            body(Some("application/yaml"), b"a: 1").unwrap().value,
            json!({"a": 1})
        );
        for media in ["text/plain", "application/cbor", "nonsense"] {
            assert!(
                matches!(
                    body(Some(media), b"{}"),
                    Err(ApiError::UnsupportedMediaType(_))
                ),
                "{media}"
            );
        }
        assert!(matches!(body(None, b"a: 1"), Err(ApiError::BadRequest(_))));
        assert!(matches!(
            body(Some("application/yaml"), b"\xff"),
            Err(ApiError::BadRequest(_))
        ));
        assert_eq!(
            body(None, br#"{"a":{"b":1,"b":2}}"#).unwrap().problems,
            ["duplicate field \"a.b\""]
        );
    }

    #[test]
    fn whole_numbers_are_integers_in_every_format() {
        let expected = json!({"a": [3, 0, -2, 100, 1_000_000_000_000_000_000_i64, 1.5, 1e300]});
        let text = "{\"a\": [3.0, -0.0, -2e0, 1e2, 1e18, 1.5, 1e300]}";
        for media in ["application/json", "application/yaml"] {
            let read = body(Some(media), text.as_bytes()).unwrap().value;
            assert_eq!(read, expected, "{media}");
        }
        assert_eq!(
            yaml_body(b"a: [3.0, -0.0, -2e0, 1e2, 1e18, 1.5, 1e300]")
                .unwrap()
                .value,
            expected
        );
    }

    #[test]
    fn nul_characters_are_found() {
        assert_eq!(
            nul_at(&json!({"a": [{"b": "x\0"}]})).as_deref(),
            Some(".a[0].b")
        );
        assert_eq!(nul_at(&json!({"a\0": 1})).as_deref(), Some(".a\\u0000"));
        assert_eq!(nul_at(&json!({"a": ["b", 1, null]})), None);
    }
}

//! The object in the body of a create or an update.

use serde_json::{Value, json};

use super::Call;
use super::admit::check_readable;
use crate::decode::{self, Decoded, beginning, untyped};
use crate::registry::ResourceDef;
use crate::status_error::{ApiError, Subject};
use crate::validation::FieldError;

/// So much of a body that is no object is told back.
const SHOWN: usize = 4096;

/// Reads the body as an object of the kind `def`. Custom objects must say what they are.
///
/// # Errors
/// The body cannot be read, or is of another kind.
pub(super) fn object(call: &Call, def: &ResourceDef) -> Result<Decoded, ApiError> {
    let unrecognized = |why: String| {
        ApiError::BadRequest(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            def.kind,
            beginning(&call.body)
        ))
    };
    let mut decoded = match decode::body(call.content_type(), &call.body) {
        Err(ApiError::BadRequest(why)) => return Err(unrecognized(why)),
        decoded => decoded?,
    };
    if let Some(why) = untyped(&decoded.value) {
        let why = format!("couldn't get version/kind; json parse error: {why}");
        return Err(unrecognized(why));
    }
    if def.custom && text(&decoded.value, "kind").is_empty() {
        let body = String::from_utf8_lossy(&call.body[..call.body.len().min(SHOWN)]);
        let why = format!("Object 'Kind' is missing in '{body}'");
        return Err(unrecognized(why));
    }
    if decoded.value.is_null() {
        decoded.value = json!({});
    }
    let version = text(&decoded.value, "apiVersion");
    if version.matches('/').count() > 1 {
        return Err(unrecognized(format!(
            "unexpected GroupVersion string: {version}"
        )));
    }
    check_kind(def, &decoded.value)?;
    check_readable(def, &decoded.value)?;
    Ok(decoded)
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

fn check_kind(def: &ResourceDef, object: &Value) -> Result<(), ApiError> {
    let (found, kind) = (text(object, "apiVersion"), text(object, "kind"));
    let wanted = def.api_version();
    let other_version = found != wanted;
    if def.custom {
        if other_version {
            return Err(ApiError::BadRequest(format!(
                "the API version in the data ({found}) does not match the expected API version ({wanted})"
            )));
        }
        if *kind != *def.kind {
            let detail = format!("must be {}", def.kind);
            return Err(ApiError::Invalid {
                subject: Subject {
                    group: def.group.to_string(),
                    resource: kind.to_owned(),
                    name: text(&object["metadata"], "name").to_owned(),
                },
                problems: vec![FieldError::invalid("kind", kind, detail)],
            });
        }
    } else if !found.is_empty() && other_version || !kind.is_empty() && *kind != *def.kind {
        let (found, kind) = match (found, kind) {
            ("", kind) => (&*wanted, kind),
            (found, "") => (found, &*def.kind),
            both => both,
        };
        let version = found.rsplit('/').next().unwrap_or_default();
        let why = format!("no kind {kind:?} is registered for version {found:?}");
        return Err(ApiError::BadRequest(format!(
            "{kind} in version {version:?} cannot be handled as a {}: {why}",
            def.kind
        )));
    }
    Ok(())
}

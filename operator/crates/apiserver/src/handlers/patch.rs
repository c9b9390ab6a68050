//! Change one object in part.

use http::StatusCode;
use serde_json::{Map, Value};

use super::write::{Part, Proposal, rewrite};
use super::{Call, Reply};
use crate::decode::{self, Decoded, go_name};
use crate::meta;
use crate::patch::json::MAX_OPERATIONS;
use crate::patch::{json, merge, strategic};
use crate::registry::ResourceDef;
use crate::status_error::{ApiError, Subject};
use crate::validation::{FieldError, cannot_unmarshal};

/// The formats of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, for built-in kinds.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Format {
    /// The format that a request's content type names.
    ///
    /// # Errors
    /// `UnsupportedMediaType` for anything else, and for strategic patches of custom kinds.
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        let essence = call
            .content_type()
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let format = match essence.to_ascii_lowercase().as_str() {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" if !call.def.custom => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            _ => return Err(unsupported(&call.def)),
        };
        if format != Self::Apply && call.query.flag("force") {
            let problem =
                FieldError::forbidden("force", "may not be specified for non-apply patch");
            return Err(call.query.invalid(problem));
        }
        Ok(format)
    }
}

fn unsupported(def: &ResourceDef) -> ApiError {
    let strategic = if def.custom {
        ""
    } else {
        "application/strategic-merge-patch+json, "
    };
    ApiError::UnsupportedMediaType(format!(
        "the body of the request was in an unknown format - accepted media types include: \
         application/json-patch+json, application/merge-patch+json, {strategic}application/apply-patch+yaml"
    ))
}

/// `PATCH …/NAME`, and `PATCH …/NAME/status`.
pub(crate) async fn patch(call: &Call, part: Part) -> Reply {
    let format = Format::of(call)?;
    if format == Format::Apply {
        return super::apply::apply(call, part).await;
    }
    let patch = document(format, &call.body)?;
    let change = |current: &Value| {
        let mut object = patched(&call.def, format, current, &patch)?;
        if let (Format::Strategic, Some(fields)) = (format, object.as_object_mut()) {
            // What an object is, is none of its fields to this format.
            for field in ["apiVersion", "kind"] {
                fields.insert(field.to_owned(), current[field].clone());
            }
        }
        if let Some(why) = cannot_unmarshal(&call.def.schema, &object, !call.def.custom) {
            return Err(unfit(&object, &why));
        }
        check_identity(&call.def, &object)?;
        Ok(Proposal {
            object,
            problems: patch.problems.clone(),
            ..Proposal::default()
        })
    };
    rewrite(call, &call.key(), part, change)
        .await?
        .reply(call, StatusCode::OK)
}

/// A patch does not make another kind of an object.
fn check_identity(def: &ResourceDef, object: &Value) -> Result<(), ApiError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let wanted = [
        ("kind", def.kind.to_string()),
        ("apiVersion", def.api_version()),
    ];
    let others = wanted
        .iter()
        .filter(|(field, wanted)| !text(field).is_empty() && text(field) != *wanted);
    let problems: Vec<_> = others
        .map(|(field, wanted)| FieldError::invalid(field, text(field), format!("must be {wanted}")))
        .collect();
    if problems.is_empty() || !def.custom {
        return Ok(());
    }
    let group = text("apiVersion").split_once('/');
    let subject = Subject {
        group: group.map_or("", |(group, _)| group).to_owned(),
        resource: text("kind").to_owned(),
        name: meta::name(object).to_owned(),
    };
    Err(ApiError::Invalid { subject, problems })
}

/// The body of a patch.
pub(crate) fn document(format: Format, body: &[u8]) -> Result<Decoded, ApiError> {
    let reason = |why: String| match format {
        Format::Strategic => ApiError::BadRequest(why),
        _ => ApiError::BadRequest(format!("error decoding patch: {why}")),
    };
    let mut decoded = match decode::json_body(body) {
        Err(ApiError::BadRequest(why)) => return Err(reason(why)),
        decoded => decoded?,
    };
    let no_object =
        |value: &Value| format!("json: cannot unmarshal {} into Go value of", go_name(value));
    match format {
        Format::Json => {
            let Some(operations) = decoded.value.as_array() else {
                let why = no_object(&decoded.value);
                return Err(reason(format!("{why} type []handlers.jsonPatchOp")));
            };
            if let Some(wrong) = operations.iter().find(|operation| !operation.is_object()) {
                let why = no_object(wrong);
                return Err(reason(format!("{why} type handlers.jsonPatchOp")));
            }
            if operations.len() > MAX_OPERATIONS {
                return Err(ApiError::TooLarge(format!(
                    "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                    operations.len()
                )));
            }
            let names = operations
                .iter()
                .enumerate()
                .flat_map(|(index, operation)| {
                    let names = operation.as_object().into_iter().flat_map(Map::keys);
                    names.map(move |name| (index, name))
                });
            let unknown = names
                .filter(|(_, name)| !["from", "op", "path", "value"].contains(&name.as_str()))
                .map(|(index, name)| format!("unknown field \"[{index}].{name}\""));
            decoded.problems.extend(unknown);
            for problem in &mut decoded.problems {
                *problem = format!("json patch {problem}");
            }
        }
        _ if decoded.value.is_object() => {}
        Format::Merge if decoded.value.is_null() => {
            return Err(ApiError::BadRequest("Invalid JSON Patch".to_owned()));
        }
        _ => {
            let why = no_object(&decoded.value);
            return Err(reason(format!("{why} type map[string]interface {{}}")));
        }
    }
    Ok(decoded)
}

/// The error of an object that a patch made and that no decoder can read.
pub(crate) fn unfit(object: &Value, why: &str) -> ApiError {
    ApiError::Invalid {
        subject: Subject::default(),
        problems: vec![FieldError::invalid("patch", object.to_string(), why)],
    }
}

/// A document with a patch applied.
pub(crate) fn patched(
    def: &ResourceDef,
    format: Format,
    document: &Value,
    patch: &Decoded,
) -> Result<Value, ApiError> {
    match format {
        Format::Json => json::apply(document, &patch.value)
            .map_err(|error| ApiError::Unprocessable(error.to_string())),
        Format::Merge => merge::apply(document, &patch.value)
            .map_err(|error| ApiError::BadRequest(error.to_string())),
        Format::Strategic => strategic::apply(&def.schema, document, &patch.value)
            .map_err(|error| ApiError::BadRequest(error.to_string())),
        Format::Apply => Err(unsupported(def)),
    }
}

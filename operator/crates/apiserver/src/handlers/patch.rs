//! Change one object in part.

use http::StatusCode;
use serde_json::Value;

use super::write::{Part, Proposal, rewrite};
use super::{Call, Reply};
use crate::decode::{self, Decoded};
use crate::patch::{json, merge, strategic};
use crate::registry::ResourceDef;
use crate::status_error::{ApiError, Subject};
use crate::validation::{FieldError, wrong_types};

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
        if format != Self::Apply && call.query.flag("force")? {
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
    let patch = decode::json_body(&call.body)?;
    let change = |current: &Value| {
        let object = patched(&call.def, format, current, &patch)?;
        let problems = wrong_types(&call.def.schema, &object, false);
        if !problems.is_empty() {
            let subject = Subject::kind(&call.def, &call.path.name);
            return Err(ApiError::Invalid { subject, problems });
        }
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

/// A document with a patch applied.
pub(crate) fn patched(
    def: &ResourceDef,
    format: Format,
    document: &Value,
    patch: &Decoded,
) -> Result<Value, ApiError> {
    match format {
        Format::Json => json::apply(document, &patch.value).map_err(|error| {
            let message = error.to_string();
            if error.is_malformed() {
                ApiError::BadRequest(message)
            } else {
                ApiError::Unprocessable(message)
            }
        }),
        Format::Merge if !patch.value.is_object() => Err(ApiError::BadRequest(
            "a merge patch must be a JSON object".to_owned(),
        )),
        Format::Merge => merge::apply(document, &patch.value)
            .map_err(|error| ApiError::BadRequest(error.to_string())),
        Format::Strategic => strategic::apply(&def.schema, document, &patch.value)
            .map_err(|error| ApiError::BadRequest(error.to_string())),
        Format::Apply => Err(unsupported(def)),
    }
}

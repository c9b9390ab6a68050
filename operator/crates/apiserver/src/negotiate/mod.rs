//! The form of an answer: JSON or YAML, the object or a table or its metadata.

mod accept;
pub(crate) mod pretty;
mod render;
mod untyped;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

#[cfg(any(test, fuzzing))]
pub(crate) use accept::negotiate;
pub(crate) use accept::{Form, Format, View};
pub(crate) use render::{Include, ListPosition, Renderer, served};

use crate::status_error::ApiError;

/// The form that a client asks for, of the views that are `offered`.
///
/// # Errors
/// `NotAcceptable` when none of what it accepts is served.
pub(crate) fn form(headers: &HeaderMap, offered: impl Fn(View) -> bool) -> Result<Form, ApiError> {
    form_of(headers.get_all(header::ACCEPT).iter(), offered)
}

/// The same, of the values of `Accept`: several headers of one name are one list.
///
/// # Errors
/// As [`form`].
pub(crate) fn form_of<'v>(
    accept: impl Iterator<Item = &'v HeaderValue>,
    offered: impl Fn(View) -> bool,
) -> Result<Form, ApiError> {
    let values: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    let joined = values.join(",");
    accept::negotiate(Some(&joined), offered).ok_or_else(|| {
        let message =
            "only the following media types are accepted: application/json, application/yaml";
        ApiError::NotAcceptable(message.to_owned())
    })
}

/// An answer that carries a value.
pub(crate) fn respond(format: Format, code: StatusCode, value: &Value) -> Response {
    match format {
        Format::Json => json_bytes(code, value.to_string()),
        Format::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => typed(code, "application/yaml", text),
            Err(error) => ApiError::Internal(format!("cannot write YAML: {error}")).into_response(),
        },
    }
}

/// An answer that is JSON already.
pub(crate) fn json_bytes(code: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    typed(code, "application/json", body)
}

fn typed(code: StatusCode, media: &'static str, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

//! Server-side apply.

use super::{Call, Part, Reply};
use crate::status_error::ApiError;

/// `PATCH …/NAME` with an apply patch.
pub(crate) async fn apply(_call: &Call, _part: Part) -> Reply {
    let message = "server-side apply (application/apply-patch+yaml) is not supported yet: use application/merge-patch+json";
    Err(ApiError::UnsupportedMediaType(message.to_owned()))
}

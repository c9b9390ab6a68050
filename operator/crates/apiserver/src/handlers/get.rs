//! Read one object.

use http::StatusCode;

use super::{Call, Reply};

/// `GET …/NAME`
pub(crate) async fn get(call: &Call) -> Reply {
    let at = call.query.read_consistency()?;
    let object = call
        .server
        .inner
        .store
        .get(&call.key(), at)
        .await?
        .ok_or_else(|| call.not_found())?;
    call.renderer.stored(StatusCode::OK, &object)
}

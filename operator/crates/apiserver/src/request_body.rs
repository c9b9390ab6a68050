//! Reads request bodies, within their limits, and what is left of those that nobody wants.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::flow::{Client, Flow, Share};
use crate::status_error::ApiError;

/// Smaller bodies are bounded well enough by the number of requests.
const SMALL: usize = 64 * 1024;

/// How much and how long is read of a body after the answer.
const UNWANTED: usize = 16 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(5);

/// A body, and the memory that it counts for.
///
/// # Errors
/// `UnsupportedMediaType` for compressed bodies, `TooLarge`, `TooManyRequests` when too much memory
/// is taken by bodies, `BadRequest` for one that cannot be read.
pub(crate) async fn read(
    flow: &Flow,
    client: Client,
    limit: usize,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(Bytes, Option<Share>), ApiError> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
    if let Some(encoding) = headers
        .get(header::CONTENT_ENCODING)
        .filter(|value| *value != "identity")
    {
        let message =
            format!("the body has the content encoding {encoding:?}: only plain bodies are read");
        return Err(ApiError::UnsupportedMediaType(message));
    }
    let too_large = |limit| ApiError::TooLarge(format!("limit is {limit}"));
    let broken = |error| ApiError::BadRequest(format!("cannot read the body: {error}"));
    if let Some(size) = body.size_hint().exact() {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(too_large(limit));
        }
        let share = (size > SMALL)
            .then(|| flow.body(client, size))
            .transpose()?;
        return Ok((body.collect().await.map_err(broken)?.to_bytes(), share));
    }
    let (mut read, mut share) = (BytesMut::new(), flow.body(client, 0)?);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue; // trailers
        };
        if read.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        flow.grow(&mut share, data.len())?;
        read.extend_from_slice(&data);
    }
    Ok((read.freeze(), Some(share)))
}

/// Reads on, when a request was answered before its body had come (413, 403, 504): a client that is
/// still sending when its connection or stream is reset loses the answer.
pub(crate) fn drain(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    let read = async move {
        let mut left = UNWANTED;
        while let (1.., Some(Ok(frame))) = (left, body.frame().await) {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    tokio::spawn(tokio::time::timeout(LINGER, read));
}

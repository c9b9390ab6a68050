//! Documents derived from the registry, with their entity tags.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha512};

/// A body that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Document {
    body: Bytes,
    media: HeaderValue,
    /// Hash of the body, as in entity tags and in the OpenAPI root.
    pub(crate) hash: String,
}

impl Document {
    pub(crate) fn new(body: impl Into<Bytes>, media: &str) -> Self {
        let body = body.into();
        let hash =
            Sha512::digest(&body)
                .iter()
                .fold(String::with_capacity(128), |mut hex, byte| {
                    // Writing to a String cannot fail.
                    let _ = write!(hex, "{byte:02X}");
                    hex
                });
        let media =
            HeaderValue::from_str(media).unwrap_or(HeaderValue::from_static("application/json"));
        Self { body, media, hash }
    }

    /// 200 with the body, or 304 when the client has it.
    pub(crate) fn respond(&self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", self.hash);
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let unchanged = known.flat_map(|list| list.split(',')).any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
        });
        let body = if unchanged {
            Body::empty()
        } else {
            Body::from(self.body.clone())
        };
        let mut response = Response::new(body);
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let answer = response.headers_mut();
        answer.insert(header::CONTENT_TYPE, self.media.clone());
        answer.insert(header::VARY, HeaderValue::from_static("Accept"));
        answer.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, private"),
        );
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.insert(header::ETAG, tag);
        }
        response
    }
}

/// Documents of one state of the registry. Only documents that exist are kept, so that requests
/// for others do not fill it.
#[derive(Debug, Default)]
pub(crate) struct DocumentCache {
    current: Mutex<(u64, HashMap<String, Arc<Document>>)>,
}

impl DocumentCache {
    pub(crate) fn get(
        &self,
        generation: u64,
        key: &str,
        build: impl FnOnce() -> Option<Document>,
    ) -> Option<Arc<Document>> {
        {
            let mut current = self.current.lock();
            if current.0 != generation {
                *current = (generation, HashMap::new());
            }
            if let Some(document) = current.1.get(key) {
                return Some(document.clone());
            }
        }
        // Built without the lock: big documents take milliseconds, and others need none of them.
        let document = Arc::new(build()?);
        let mut current = self.current.lock();
        if current.0 == generation {
            current.1.insert(key.into(), document.clone());
        }
        Some(document)
    }
}

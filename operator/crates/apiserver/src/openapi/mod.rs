//! The published OpenAPI documents: v3 by group and version (`/openapi/v3`), and v2 as a whole
//! (`/openapi/v2`) as JSON and as gnostic protobuf.
//!
//! Clients read three things in them: the schema of a kind, found by its
//! `x-kubernetes-group-version-kind` (explain, the diffs of Argo CD); the parameters of a kind's
//! PATCH operation (kubectl asks whether `dryRun` and `fieldValidation` are there before it sends
//! them, and validates by itself where they are not); and the hashes in the v3 root.
//!
//! Guarantees: every kind that is served is in both documents, because kubectl looks for
//! definitions elsewhere, and fails, if it finds one kind and not another; every `$ref` resolves,
//! and none has a `type` beside it; a document is built once for each state of the registry.

mod gnostic;
mod operations;
mod schemas;
mod types;
mod v2;
mod v3;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::{SignedDuration, Timestamp};

use crate::discovery::{Document, DocumentCache};
use crate::registry::Snapshot;

const JSON: &str = "application/json";
/// Media type of v2 as protobuf. Clients ask for it with `@v1.0`, which Go cannot parse in an
/// answer, and with `.v1.0`.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V2_PROTOBUF_AT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Answers requests for OpenAPI documents; one per server.
#[derive(Debug)]
pub struct OpenApi {
    documents: DocumentCache,
    version: String,
}

impl OpenApi {
    /// Documents that name `version` (`v1.32.0+…`) as that of the API.
    pub fn new(version: impl Into<String>) -> Self {
        Self {
            documents: DocumentCache::default(),
            version: version.into(),
        }
    }

    /// The answer to a GET of `path`; `None` when there is no such document.
    pub fn respond(
        &self,
        snapshot: &Snapshot,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let generation = snapshot.generation;
        let json = |value: serde_json::Value| Document::new(value.to_string(), JSON);
        let document = match path.strip_prefix("/openapi/")? {
            "v2" => match accepted(headers, &[JSON, V2_PROTOBUF, V2_PROTOBUF_AT]) {
                None => return Some(StatusCode::NOT_ACCEPTABLE.into_response()),
                Some(JSON) => self.documents.get(generation, "v2", || {
                    Some(json(v2::document(snapshot, &self.version)))
                }),
                Some(_) => self.documents.get(generation, "v2 protobuf", || {
                    let document = v2::document(snapshot, &self.version);
                    Some(Document::new(gnostic::encode(&document), V2_PROTOBUF))
                }),
            },
            "v3" => self.documents.get(generation, "v3", || {
                let hash = |path: &str| Some(self.group_version(snapshot, path)?.hash.clone());
                Some(json(v3::root(snapshot, hash)))
            }),
            other => {
                let path = other.strip_prefix("v3/")?;
                let document = self.group_version(snapshot, path)?;
                return Some(hashed(&document, path, query, headers));
            }
        };
        Some(document?.respond(headers))
    }

    /// The v3 document of `api/v1` or `apis/G/V`.
    fn group_version(&self, snapshot: &Snapshot, path: &str) -> Option<std::sync::Arc<Document>> {
        let (group, version) = v3::parse_path(path)?;
        snapshot.of_version(group, version).next()?;
        self.documents.get(snapshot.generation, path, || {
            let document = v3::document(snapshot, group, version, &self.version);
            Some(Document::new(document.to_string(), JSON))
        })
    }
}

/// A document that may be asked for by its hash: who has it by that name may keep it, and who asks
/// for another one is sent to the one that there is.
fn hashed(document: &Document, path: &str, query: &str, headers: &HeaderMap) -> Response {
    if accepted(headers, &[JSON]).is_none() {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    let mut parameters = query.split('&');
    match parameters.find_map(|one| one.strip_prefix("hash=")) {
        None | Some("") => document.respond(headers),
        Some(hash) if hash == document.hash => {
            let mut response = document.respond(headers);
            let answer = response.headers_mut();
            let forever = HeaderValue::from_static("public, immutable");
            answer.insert(header::CACHE_CONTROL, forever);
            if let Some(expires) = in_a_year() {
                answer.insert(header::EXPIRES, expires);
            }
            response
        }
        Some(_) => {
            let there = v3::url(path, &document.hash);
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, there)]).into_response()
        }
    }
}

fn in_a_year() -> Option<HeaderValue> {
    let then = Timestamp::now() + SignedDuration::from_hours(365 * 24);
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let text = printer.timestamp_to_rfc9110_string(&then).ok()?;
    text.parse().ok()
}

/// The first of the media types that the client accepts that is served.
fn accepted(headers: &HeaderMap, served: &[&'static str]) -> Option<&'static str> {
    let values = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let media = values
        .flat_map(|value| value.split(','))
        .filter_map(|clause| clause.split(';').next())
        .map(str::trim)
        .filter(|media| !media.is_empty());
    let mut media = media.peekable();
    if media.peek().is_none() {
        return served.first().copied();
    }
    media.find_map(|media| match media {
        "*/*" | "application/*" => served.first().copied(),
        media => served.iter().copied().find(|one| *one == media),
    })
}

#[cfg(test)]
mod tests;

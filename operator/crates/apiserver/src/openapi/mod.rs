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
mod v2;
mod v3;

use axum::response::Response;
use http::{HeaderMap, header};

use crate::discovery::{Document, DocumentCache};
use crate::registry::Snapshot;

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
        headers: &HeaderMap,
    ) -> Option<Response> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let generation = snapshot.generation;
        let json = |value: serde_json::Value| Document::new(value.to_string(), "application/json");
        let document = match path.strip_prefix("/openapi/")? {
            "v2" if wants_protobuf(headers) => {
                self.documents.get(generation, "v2 protobuf", || {
                    Some(Document::new(
                        gnostic::encode(&v2::document(snapshot, &self.version)),
                        V2_PROTOBUF,
                    ))
                })
            }
            "v2" => self.documents.get(generation, "v2", || {
                Some(json(v2::document(snapshot, &self.version)))
            }),
            "v3" => self.documents.get(generation, "v3", || {
                let hash = |path: &str| Some(self.group_version(snapshot, path)?.hash.clone());
                Some(json(v3::root(snapshot, hash)))
            }),
            other => self.group_version(snapshot, other.strip_prefix("v3/")?),
        };
        Some(document?.respond(headers))
    }

    /// The v3 document of `api/v1` or `apis/G/V`.
    fn group_version(&self, snapshot: &Snapshot, path: &str) -> Option<std::sync::Arc<Document>> {
        let (group, version) = v3::parse_path(path)?;
        snapshot.of_version(group, version).next()?;
        self.documents.get(snapshot.generation, path, || {
            let document = v3::document(snapshot, group, version, &self.version);
            Some(Document::new(document.to_string(), "application/json"))
        })
    }
}

/// Whether protobuf comes before JSON in what the client accepts.
fn wants_protobuf(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut media = values
        .flat_map(|value| value.split(','))
        .filter_map(|clause| clause.split(';').next())
        .map(str::trim);
    let first = media.find(|media| {
        matches!(
            *media,
            V2_PROTOBUF | V2_PROTOBUF_AT | "application/json" | "*/*"
        )
    });
    matches!(first, Some(V2_PROTOBUF | V2_PROTOBUF_AT))
}

#[cfg(test)]
mod tests;

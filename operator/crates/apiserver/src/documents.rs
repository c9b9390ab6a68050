//! Everything that is served and is no resource: version, discovery, OpenAPI.

use http::{HeaderMap, Method};
use serde_json::json;

use crate::dispatch::document;
use crate::handlers::Reply;
use crate::server::ApiServer;
use crate::status_error::ApiError;

/// Answers a path that is no resource.
pub(crate) async fn answer(
    server: &ApiServer,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Reply {
    if method != Method::GET {
        return Err(ApiError::MethodNotAllowed);
    }
    let path = path
        .strip_suffix('/')
        .filter(|path| !path.is_empty())
        .unwrap_or(path);
    match path {
        "/version" => document(headers, &json!(server.inner.config.version)),
        "/" => document(headers, &json!({"paths": paths(server)})),
        _ => {
            let snapshot = server.inner.registry.snapshot();
            let found = server.inner.discovery.respond(&snapshot, path, headers);
            let found = found.or_else(|| server.inner.openapi.respond(&snapshot, path, headers));
            found.ok_or(ApiError::NoSuchPath)
        }
    }
}

fn paths(server: &ApiServer) -> Vec<String> {
    let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
    for (group, version) in server.inner.registry.snapshot().group_versions() {
        paths.push(if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        });
    }
    paths.extend(["/openapi/v2", "/openapi/v3", "/version"].map(str::to_owned));
    paths
}

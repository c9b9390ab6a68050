//! Everything that is served and is no resource: version, discovery, OpenAPI, the public key of
//! tokens.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::dispatch::document;
use crate::handlers::Reply;
use crate::server::ApiServer;
use crate::status_error::ApiError;

const OPENID: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// Answers a request for what is no resource.
pub(crate) async fn answer(
    server: &ApiServer,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Reply {
    let found = read(server, uri, headers).await;
    match *method {
        Method::GET | Method::HEAD => found,
        _ => found.and(Err(ApiError::MethodNotAllowed)),
    }
}

async fn read(server: &ApiServer, uri: &Uri, headers: &HeaderMap) -> Reply {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let path = path
        .strip_suffix('/')
        .filter(|path| !path.is_empty())
        .unwrap_or(path);
    match path {
        "/version" => document(headers, &json!(server.inner.config.version)),
        "/" => document(headers, &json!({"paths": paths(server)})),
        OPENID => Ok(published("application/json", &openid(server))),
        KEYS => {
            let keys = json!({"keys": server.inner.authenticator.tokens.jwks()});
            Ok(published("application/jwk-set+json", &keys))
        }
        _ => {
            let snapshot = server.inner.registry.snapshot();
            let found = server.inner.discovery.respond(&snapshot, path, headers);
            let found = found.or_else(|| {
                let openapi = &server.inner.openapi;
                openapi.respond(&snapshot, path, query, headers)
            });
            match found {
                Some(found) => Ok(found),
                None => match path.split('/').collect::<Vec<_>>().as_slice() {
                    ["", "api", ..] => Err(snapshot.no_such_path("")),
                    ["", "apis", group, ..] => Err(snapshot.no_such_path(group)),
                    _ => beside(server, path).await,
                },
            }
        }
    }
}

/// The answer of the routes that are served beside the API.
async fn beside(server: &ApiServer, path: &str) -> Reply {
    let routes = server.inner.beside.get().cloned().unwrap_or_default();
    let request = Request::get(path).body(Body::empty());
    let request = request.map_err(|_| ApiError::PageNotFound)?;
    let Ok(answer) = routes.oneshot(request).await;
    match answer.status() {
        StatusCode::NOT_FOUND => Err(ApiError::PageNotFound),
        _ => Ok(answer),
    }
}

/// A document for those who verify tokens, who may keep it for a while.
fn published(media: &'static str, document: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, document.to_string()).into_response()
}

/// Where others find out how to verify tokens of service accounts.
fn openid(server: &ApiServer) -> Value {
    let issuer = server.inner.authenticator.tokens.issuer();
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{}{KEYS}", issuer.trim_end_matches('/')),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn paths(server: &ApiServer) -> Vec<String> {
    let mut paths = [OPENID, "/api", "/apis"].map(str::to_owned).to_vec();
    for (group, version) in server.inner.registry.snapshot().group_versions() {
        paths.push(if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        });
    }
    paths.extend(["/openapi/v2", "/openapi/v3", KEYS, "/version"].map(str::to_owned));
    paths
}

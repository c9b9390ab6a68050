//! Paths beside the API (metrics): who may read them is asked as for its own.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::authn::effective;
use crate::authz::{Attributes, Decision, forbidden};
use crate::server::ApiServer;
use crate::status_error::ApiError;

/// These routes, for those who have their paths among the `nonResourceURLs` of a role.
pub(crate) fn guarded(server: ApiServer, routes: Router) -> Router {
    routes.route_layer(middleware::from_fn_with_state(server, check))
}

async fn check(State(server): State<ApiServer>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match permitted(&server, &parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    }
}

async fn permitted(server: &ApiServer, parts: &http::request::Parts) -> Result<(), ApiError> {
    let (authenticator, rbac) = (&server.inner.authenticator, &server.inner.rbac);
    let user = authenticator.authenticate(&parts.headers, &parts.extensions);
    let user = effective(rbac, user.await?, &parts.headers)?;
    let attributes = Attributes {
        verb: parts.method.as_str().to_lowercase(),
        path: parts.uri.path().to_owned(),
        ..Attributes::default()
    };
    match rbac.authorize(&user, &attributes) {
        Decision::Allow => Ok(()),
        Decision::Deny(reason) => Err(forbidden(&user, &attributes, &reason)),
    }
}

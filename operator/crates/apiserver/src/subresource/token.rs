//! `token` of a service account: a `TokenRequest` is answered with a token, nothing is stored.

use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest};
use serde_json::{Value, json};
use store::{Consistency, Key};

use crate::authn::{Holder, Reference};
use crate::builtin::review;
use crate::decode;
use crate::handlers::{Call, Reply};
use crate::meta;
use crate::negotiate::respond;
use crate::status_error::{ApiError, Subject};
use crate::validation::FieldError;

const KIND: &str = "TokenRequest";
const VERSION: &str = "authentication.k8s.io/v1";
/// Seconds a token lives that is asked for without a number.
const LIFETIME: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

/// `POST …/serviceaccounts/NAME/token`
pub(crate) async fn create(call: &Call) -> Reply {
    let mut request = decode::body(call.content_type(), &call.body)?.value;
    review::fill_type(&mut request, KIND, VERSION)?;
    check_place(call, &request)?;
    let store = &call.server.inner.store;
    let account = store.get(&call.key(), Consistency::Latest).await?;
    let account = account.ok_or_else(|| call.not_found())?;
    let wanted: TokenRequest = serde_json::from_value(request.clone()).map_err(|error| {
        let message = format!("{KIND} in version \"v1\" cannot be handled as a {KIND}: {error}");
        ApiError::BadRequest(message)
    })?;
    let tokens = &call.server.inner.authenticator.tokens;
    let mut spec = wanted.spec;
    let lifetime = spec.expiration_seconds.unwrap_or(LIFETIME);
    check_lifetime(lifetime)?;
    if spec.audiences.is_empty() {
        spec.audiences.push(tokens.issuer().to_owned());
    }
    let secret = match &spec.bound_object_ref {
        Some(reference) => Some(bound_to(call, reference).await?),
        None => None,
    };
    let holder = Holder {
        namespace: call.path.namespace.clone(),
        serviceaccount: Reference {
            name: call.path.name.clone(),
            uid: uid(&account.json)?,
        },
        secret,
    };
    let now = store.now().as_second();
    let token = tokens.bound(holder, &spec.audiences, now, lifetime);
    let metadata = meta::fields(&mut request)?;
    metadata.insert("name".to_owned(), json!(call.path.name));
    metadata.insert("namespace".to_owned(), json!(call.path.namespace));
    metadata.insert("creationTimestamp".to_owned(), json!(time(now)?));
    request["spec"]["audiences"] = json!(spec.audiences);
    request["spec"]["expirationSeconds"] = json!(lifetime);
    request["status"] = json!({
        "token": token.map_err(internal)?,
        "expirationTimestamp": time(now.saturating_add(lifetime))?,
    });
    let format = call.renderer.form.format;
    Ok(respond(format, StatusCode::CREATED, &request))
}

fn invalid(name: &str, problem: FieldError) -> ApiError {
    ApiError::Invalid {
        subject: Subject {
            group: "authentication.k8s.io".to_owned(),
            resource: KIND.to_owned(),
            name: name.to_owned(),
        },
        problems: vec![problem],
    }
}

/// Name and namespace are those of the path, where the request says any.
fn check_place(call: &Call, request: &Value) -> Result<(), ApiError> {
    for (field, right) in [
        ("name", &call.path.name),
        ("namespace", &call.path.namespace),
    ] {
        let said = meta::text(request, field);
        if !said.is_empty() && said != right {
            let detail = format!("must match the service account {field} if specified");
            let problem = FieldError::invalid(format!("metadata.{field}"), said, detail);
            return Err(invalid(&call.path.name, problem));
        }
    }
    Ok(())
}

fn check_lifetime(seconds: i64) -> Result<(), ApiError> {
    let detail = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let problem = FieldError::invalid("spec.expirationSeconds", seconds, detail);
    Err(invalid("", problem))
}

/// The object that the token shall not outlive.
async fn bound_to(call: &Call, reference: &BoundObjectReference) -> Result<Reference, ApiError> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (kind, version) = (text(&reference.kind), text(&reference.api_version));
    if (kind.as_str(), version.as_str()) != ("Secret", "v1") {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", &version));
        return Err(ApiError::BadRequest(format!(
            "cannot bind token to object of type {group}/{version}, Kind={kind}: \
             only Secrets (apiVersion v1) can be bound to"
        )));
    }
    let name = text(&reference.name);
    let subject = || Subject {
        resource: "secrets".to_owned(),
        name: name.clone(),
        ..Subject::default()
    };
    let key = Key::new("secrets", call.path.namespace.as_str(), name.as_str());
    let found = call
        .server
        .inner
        .store
        .get(&key, Consistency::Latest)
        .await?;
    let uid = uid(&found.ok_or_else(|| ApiError::NotFound(subject()))?.json)?;
    let claimed = text(&reference.uid);
    if !claimed.is_empty() && claimed != uid {
        return Err(ApiError::Conflict {
            subject: subject(),
            message: format!(
                "the UID in the bound object reference ({claimed}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            ),
        });
    }
    Ok(Reference { name, uid })
}

fn uid(json: &[u8]) -> Result<String, ApiError> {
    let object: Value = serde_json::from_slice(json).map_err(internal)?;
    Ok(meta::text(&object, "uid").to_owned())
}

fn time(seconds: i64) -> Result<String, ApiError> {
    Ok(Timestamp::from_second(seconds)
        .map_err(internal)?
        .to_string())
}

fn internal(error: impl std::error::Error) -> ApiError {
    ApiError::Internal(error.to_string())
}

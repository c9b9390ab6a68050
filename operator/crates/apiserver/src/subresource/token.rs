//! `token` of a service account: a `TokenRequest` is answered with a token, nothing is stored.

use std::sync::LazyLock;

use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequestSpec};
use serde_json::{Value, json};
use store::{Consistency, Key};

use crate::authn::{Holder, Reference};
use crate::builtin::{self, namespace};
use crate::handlers::{Call, Reply, received};
use crate::meta;
use crate::negotiate::respond;
use crate::registry::ResourceDef;
use crate::server::ServerError;
use crate::status_error::{ApiError, Subject};
use crate::validation::FieldError;

/// Seconds a token lives that is asked for without a number.
const LIFETIME: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

/// What the body is: no kind of its own in the registry, for it is served here alone.
static REQUEST: LazyLock<Result<ResourceDef, ServerError>> = LazyLock::new(builtin::token_request);

/// `POST …/serviceaccounts/NAME/token`
pub(crate) async fn create(call: &Call) -> Reply {
    let def = REQUEST.as_ref().map_err(internal)?;
    let mut request = received(call, def)?;
    let subject = Subject::resource(&call.def, &call.path.name);
    namespace::guard(&call.server, &subject, &call.path.namespace).await?;
    let said = meta::name(&request);
    if !said.is_empty() && said != call.path.name {
        let detail = "must match the service account name if specified";
        let problem = FieldError::invalid("metadata.name", said, detail);
        return Err(ApiError::invalid_field(def, &call.path.name, problem));
    }
    let store = &call.server.inner.store;
    let account = store.get(&call.key(), Consistency::Latest).await?;
    let uid = uid(&account.ok_or_else(|| call.not_found())?.json)?;
    let said = meta::text(&request, "uid");
    if !said.is_empty() && said != uid {
        return Err(ApiError::Conflict {
            subject: Subject::kind(def, &call.path.name),
            message: format!(
                "the UID in the token request ({said}) does not match the UID of the service account ({uid})"
            ),
        });
    }
    let spec: Option<TokenRequestSpec> = serde_json::from_value(request["spec"].clone())
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let mut spec = spec.unwrap_or_default();
    let lifetime = spec.expiration_seconds.unwrap_or(LIFETIME);
    check_lifetime(def, lifetime)?;
    let tokens = &call.server.inner.authenticator.tokens;
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
            uid: uid.clone(),
        },
        secret,
    };
    let now = store.now().as_second();
    let token = tokens.bound(holder, &spec.audiences, now, lifetime);
    let metadata = meta::fields(&mut request)?;
    metadata.insert("name".to_owned(), json!(call.path.name));
    metadata.insert("namespace".to_owned(), json!(call.path.namespace));
    metadata.insert("uid".to_owned(), json!(uid));
    metadata.insert("creationTimestamp".to_owned(), json!(time(now)?));
    request["spec"] = json!({
        "audiences": spec.audiences,
        "expirationSeconds": lifetime,
        "boundObjectRef": spec.bound_object_ref,
    });
    request["status"] = json!({
        "token": token.map_err(internal)?,
        "expirationTimestamp": time(now.saturating_add(lifetime))?,
    });
    let format = call.renderer.form.format;
    Ok(respond(format, StatusCode::CREATED, &request))
}

fn check_lifetime(def: &ResourceDef, seconds: i64) -> Result<(), ApiError> {
    let detail = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        SHORTEST..=LONGEST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let problem = FieldError::invalid("spec.expirationSeconds", seconds, detail);
    Err(ApiError::invalid_field(def, "", problem))
}

/// The object that the token shall not outlive.
async fn bound_to(call: &Call, reference: &BoundObjectReference) -> Result<Reference, ApiError> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (kind, version) = (text(&reference.kind), text(&reference.api_version));
    let plural = match (kind.as_str(), version.split_once('/')) {
        ("Secret", None) => "secrets",
        ("Pod", None) => "pods",
        ("Node", None) => "nodes",
        (_, split) => {
            let (group, version) = split.unwrap_or(("", &version));
            return Err(ApiError::BadRequest(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    let name = text(&reference.name);
    if name.is_empty() {
        return Err(ApiError::BadRequest("Name parameter required.".to_owned()));
    }
    let subject = |resource: &str| Subject {
        resource: resource.to_owned(),
        name: name.clone(),
        ..Subject::default()
    };
    // There are no core Nodes here, so that none is found.
    let key = Key::new(plural, call.path.namespace.as_str(), name.as_str());
    let found = call
        .server
        .inner
        .store
        .get(&key, Consistency::Latest)
        .await?;
    let found = found.ok_or_else(|| ApiError::NotFound(subject(plural)))?;
    if kind == "Pod" {
        // Tasks of the Swarm run as no account.
        return Err(ApiError::BadRequest(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            call.path.name
        )));
    }
    let uid = uid(&found.json)?;
    let claimed = text(&reference.uid);
    if !claimed.is_empty() && claimed != uid {
        return Err(ApiError::Conflict {
            subject: subject(&kind),
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

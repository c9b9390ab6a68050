//! The only place where errors become HTTP codes and `metav1.Status`.
//!
//! Clients steer by `reason` and `code`, people read `message`: both are worded as Kubernetes
//! words them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::audit::Outcome;
use crate::managed_fields::{Conflict, Conflicts};
use crate::registry::ResourceDef;
use crate::validation::{FieldError, TOLD, aggregate};

/// What an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// API group; empty for core.
    pub group: String,
    /// Plural, or the kind in validation errors.
    pub resource: String,
    /// Name of the object; may be empty.
    pub name: String,
}

impl Subject {
    /// The plural form, as most errors name it.
    pub fn resource(def: &ResourceDef, name: &str) -> Self {
        Self {
            group: def.group.to_string(),
            resource: def.plural.to_string(),
            name: name.to_owned(),
        }
    }

    /// The kind, as validation errors name it.
    pub fn kind(def: &ResourceDef, name: &str) -> Self {
        Self {
            group: def.group.to_string(),
            resource: def.kind.to_string(),
            name: name.to_owned(),
        }
    }

    fn qualified(&self) -> String {
        crate::registry::qualified(&self.resource, &self.group)
    }

    fn details(&self) -> Map<String, Value> {
        let parts = [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.resource),
        ];
        let set = parts.into_iter().filter(|(_, value)| !value.is_empty());
        set.map(|(key, value)| (key.to_owned(), json!(value)))
            .collect()
    }
}

/// A request that failed. The variants are Kubernetes' reasons.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// No such object.
    #[error("{} \"{}\" not found", .0.qualified(), .0.name)]
    NotFound(Subject),
    /// No such path or resource.
    #[error("the server could not find the requested resource")]
    NoSuchPath,
    /// The same, where Kubernetes itself has nothing to say: outside the API, and for groups that
    /// it does not know.
    #[error("404 page not found\n")]
    PageNotFound,
    /// The name is taken.
    #[error("{} \"{}\" already exists", .0.qualified(), .0.name)]
    AlreadyExists(Subject),
    /// The name is taken, by an object that goes.
    #[error("object is being deleted: {} \"{}\" already exists", .0.qualified(), .0.name)]
    Leaving(Subject),
    /// The object is not in the state the client believes.
    #[error("Operation cannot be fulfilled on {} \"{}\": {message}", .subject.qualified(), .subject.name)]
    Conflict {
        /// The object.
        subject: Subject,
        /// In which way.
        message: String,
    },
    /// Server-side apply meets fields of another manager.
    #[error("{0}")]
    ApplyConflict(Conflicts),
    /// Fields are wrong.
    #[error("{} \"{}\" is invalid: {}", .subject.qualified(), .subject.name, aggregate(.problems))]
    Invalid {
        /// The object, by kind.
        subject: Subject,
        /// What is wrong with it.
        problems: Vec<FieldError>,
    },
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// A patch does not fit the object.
    #[error("the server rejected our request due to an error in our request: {0}")]
    Unprocessable(String),
    /// Who asks may not do this, or it cannot be done now.
    #[error("{}{message}", forbidden_prefix(.subject))]
    Forbidden {
        /// The object or collection.
        subject: Subject,
        /// Who may not do what, or why not.
        message: String,
    },
    /// Creation in a namespace that is going away.
    #[error("{} \"{}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated", .subject.qualified(), .subject.name)]
    NamespaceTerminating {
        /// The new object.
        subject: Subject,
        /// The namespace.
        namespace: String,
    },
    /// Who asks is not known.
    #[error("Unauthorized")]
    Unauthorized,
    /// The revision is no longer in the history.
    #[error("{message}")]
    Expired {
        /// What is too old.
        message: String,
        /// Where an inconsistent list may go on.
        next: Option<String>,
    },
    /// The revision is ahead of this server.
    #[error("Timeout: Too large resource version: {requested}, current: {current}")]
    TooLargeResourceVersion {
        /// What was asked for.
        requested: u64,
        /// What there is.
        current: u64,
    },
    /// The resource cannot do this.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// The same, of a custom resource.
    #[error("{verb} is not supported on resources of kind \"{}\"", .subject.qualified())]
    MethodNotSupported {
        /// The resource.
        subject: Subject,
        /// Empty for methods that are no verbs.
        verb: &'static str,
    },
    /// The resource cannot do this, and what can be done instead.
    #[error("{0}")]
    NotOffered(String),
    /// Nothing that `Accept` names can be served.
    #[error("{0}")]
    NotAcceptable(String),
    /// The body has a media type that is not read here.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// The body is too large.
    #[error("Request entity too large: {0}")]
    TooLarge(String),
    /// The headers are too large.
    #[error("the request's headers have more than {limit} bytes")]
    HeadersTooLarge {
        /// The limit.
        limit: usize,
    },
    /// This user has as much of the server as there is for one now.
    #[error("Too many requests, please try again later.")]
    TooManyRequests {
        /// When to come back.
        seconds: u64,
    },
    /// The deadline passed; whether a write happened is not known.
    #[error("Timeout: request did not complete within the allotted timeout")]
    Timeout,
    /// The store does not answer.
    #[error("the server is currently unable to handle the request: {0}")]
    Unavailable(String),
    /// The request cannot be answered, for a reason that has no name.
    #[error("{0}")]
    Unknown(String),
    /// A bug.
    #[error("Internal error occurred: {0}")]
    Internal(String),
}

fn forbidden_prefix(subject: &Subject) -> String {
    match (subject.resource.is_empty(), subject.name.is_empty()) {
        (true, _) => "forbidden: ".to_owned(),
        (false, true) => format!("{} is forbidden: ", subject.qualified()),
        (false, false) => format!(
            "{} \"{}\" is forbidden: ",
            subject.qualified(),
            subject.name
        ),
    }
}

/// How long a client waits before it asks again, where asking again helps.
const RETRY_AFTER_SECONDS: u64 = 1;

impl ApiError {
    /// A problem of a single field of an object of `def`.
    pub fn invalid_field(def: &ResourceDef, name: &str, problem: FieldError) -> Self {
        Self::Invalid {
            subject: Subject::kind(def, name),
            problems: vec![problem],
        }
    }

    /// Problems of the options of a request; `options` is their kind, for example `ListOptions`.
    pub fn invalid_options(options: &str, problems: Vec<FieldError>) -> Self {
        let subject = Subject {
            group: "meta.k8s.io".to_owned(),
            resource: options.to_owned(),
            name: String::new(),
        };
        Self::Invalid { subject, problems }
    }

    fn code_and_reason(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound(_) | Self::NoSuchPath | Self::PageNotFound => {
                (StatusCode::NOT_FOUND, "NotFound")
            }
            Self::AlreadyExists(_) | Self::Leaving(_) => (StatusCode::CONFLICT, "AlreadyExists"),
            Self::Conflict { .. } | Self::ApplyConflict(_) => (StatusCode::CONFLICT, "Conflict"),
            Self::Invalid { .. } | Self::Unprocessable(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Invalid")
            }
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Forbidden { .. } | Self::NamespaceTerminating { .. } => {
                (StatusCode::FORBIDDEN, "Forbidden")
            }
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Expired { .. } => (StatusCode::GONE, "Expired"),
            Self::TooLargeResourceVersion { .. } | Self::Timeout => {
                (StatusCode::GATEWAY_TIMEOUT, "Timeout")
            }
            Self::MethodNotAllowed | Self::MethodNotSupported { .. } | Self::NotOffered(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")
            }
            Self::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "NotAcceptable"),
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType")
            }
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            Self::HeadersTooLarge { .. } => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "RequestHeaderFieldsTooLarge",
            ),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::Unknown(_) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = self.subject().map(Subject::details).unwrap_or_default();
        let causes = self.causes();
        if !causes.is_empty() {
            details.insert("causes".to_owned(), Value::Array(causes));
        }
        if let Some(seconds) = self.retry_after() {
            details.insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        details
    }

    fn subject(&self) -> Option<&Subject> {
        match self {
            Self::NotFound(subject)
            | Self::AlreadyExists(subject)
            | Self::Leaving(subject)
            | Self::Conflict { subject, .. }
            | Self::Invalid { subject, .. }
            | Self::MethodNotSupported { subject, .. }
            | Self::Forbidden { subject, .. }
            | Self::NamespaceTerminating { subject, .. } => Some(subject),
            _ => None,
        }
    }

    /// Seconds after which asking again helps.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Timeout | Self::TooLargeResourceVersion { .. } | Self::Unavailable(_) => {
                Some(RETRY_AFTER_SECONDS)
            }
            Self::TooManyRequests { seconds } => Some(*seconds),
            _ => None,
        }
    }

    fn causes(&self) -> Vec<Value> {
        match self {
            Self::Invalid { problems, .. } => problems
                .iter()
                .take(TOLD)
                .map(
                    |p| json!({"reason": p.reason.as_str(), "message": p.body(), "field": p.field}),
                )
                .collect(),
            // Without a cause, kubectl before 1.22 says only that the request is invalid.
            Self::Unprocessable(message) => {
                vec![json!({"reason": "FieldValueInvalid", "message": message, "field": "patch"})]
            }
            Self::ApplyConflict(conflicts) => {
                let cause = |conflict: &Conflict| json!({"reason": "FieldManagerConflict", "message": conflict.message(), "field": conflict.field});
                conflicts.0.iter().map(cause).collect()
            }
            Self::TooLargeResourceVersion { .. } => {
                vec![
                    json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}),
                ]
            }
            Self::NamespaceTerminating { namespace, .. } => {
                let message = format!("namespace {namespace} is being terminated");
                vec![
                    json!({"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// The `metav1.Status` of this error.
    pub fn status(&self) -> Value {
        let (code, reason) = self.code_and_reason();
        let mut metadata = Map::new();
        if let Self::Expired {
            next: Some(token), ..
        } = self
        {
            metadata.insert("continue".to_owned(), json!(token));
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.to_string(),
            "reason": reason,
            "code": code.as_u16(),
        });
        let details = self.details();
        if reason.is_empty()
            && let Some(status) = status.as_object_mut()
        {
            status.remove("reason");
        }
        // Answers that know nothing of the resource say so.
        let empty = matches!(self, Self::NoSuchPath | Self::MethodNotAllowed);
        if empty || !details.is_empty() {
            status["details"] = Value::Object(details);
        }
        status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, reason) = self.code_and_reason();
        let plain = matches!(self, Self::PageNotFound);
        let body = match plain {
            true => self.to_string(),
            false => self.status().to_string(),
        };
        let mut response = (code, body).into_response();
        let name = self.subject().map(|subject| subject.name.clone());
        let name = name.unwrap_or_default();
        response.extensions_mut().insert(Outcome { reason, name });
        let headers = response.headers_mut();
        if plain {
            let nosniff = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        } else {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) => Self::Unavailable(error.to_string()),
            store::Error::Compacted { requested, oldest } => Self::Expired {
                message: format!("too old resource version: {requested} ({oldest})"),
                next: None,
            },
            store::Error::Future { requested, current } => {
                Self::TooLargeResourceVersion { requested, current }
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

/// A `Status` that says that an object is gone.
pub fn deleted(def: &ResourceDef, name: &str, uid: Option<&str>) -> Value {
    let mut details = Subject::resource(def, name).details();
    if let Some(uid) = uid {
        details.insert("uid".to_owned(), json!(uid));
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(group: &str, resource: &str, name: &str) -> Subject {
        Subject {
            group: group.into(),
            resource: resource.into(),
            name: name.into(),
        }
    }

    #[test]
    fn wording_and_codes() {
        let deployments = || subject("obiente.cloud", "deployments", "web");
        let problem = |field: &str| FieldError::required(field, "");
        let kind = || subject("obiente.cloud", "Deployment", "web");
        let cases = [
            (
                ApiError::NotFound(deployments()),
                404,
                "deployments.obiente.cloud \"web\" not found",
            ),
            (
                ApiError::NotFound(subject("", "namespaces", "x")),
                404,
                "namespaces \"x\" not found",
            ),
            (
                ApiError::AlreadyExists(deployments()),
                409,
                "deployments.obiente.cloud \"web\" already exists",
            ),
            (
                ApiError::Invalid {
                    subject: kind(),
                    problems: vec![problem("spec.image")],
                },
                422,
                "Deployment.obiente.cloud \"web\" is invalid: spec.image: Required value",
            ),
            (
                ApiError::Invalid {
                    subject: kind(),
                    problems: vec![problem("spec.image"), problem("spec.x")],
                },
                422,
                "Deployment.obiente.cloud \"web\" is invalid: [spec.image: Required value, spec.x: Required value]",
            ),
            (
                ApiError::Forbidden {
                    subject: subject("", "secrets", ""),
                    message: "User \"u\" cannot".into(),
                },
                403,
                "secrets is forbidden: User \"u\" cannot",
            ),
            (
                ApiError::Expired {
                    message: "too old resource version: 1 (2)".into(),
                    next: None,
                },
                410,
                "too old resource version: 1 (2)",
            ),
            (ApiError::Unauthorized, 401, "Unauthorized"),
        ];
        for (error, code, message) in cases {
            let status = error.status();
            assert_eq!(status["code"], code, "{message}");
            assert_eq!(status["message"], message);
            assert_eq!(status["status"], "Failure");
            assert_eq!(error.into_response().status().as_u16(), code, "{message}");
        }
    }

    #[test]
    fn causes_and_details() {
        let problems = vec![FieldError::invalid("spec.replicas", -1, "must be >= 0")];
        let status = ApiError::Invalid {
            subject: subject("g", "K", "n"),
            problems,
        }
        .status();
        let expected = json!({"name": "n", "group": "g", "kind": "K", "causes": [{
            "reason": "FieldValueInvalid", "field": "spec.replicas", "message": "Invalid value: -1: must be >= 0",
        }]});
        assert_eq!(status["details"], expected);
        let expired = ApiError::Expired {
            message: String::new(),
            next: Some("t".into()),
        };
        assert_eq!(expired.status()["metadata"]["continue"], "t");
    }
}

//! Questions about identity and permission. Nothing is stored: the answer is the question with a
//! `status`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::authn::{MASTERS, UserInfo};
use crate::authz::{Attributes, Decision};
use crate::handlers::{Call, Reply};
use crate::meta;
use crate::status_error::ApiError;
use crate::validation::FieldError;

/// Answers a review.
pub(crate) async fn answer(call: &Call, mut review: Value) -> Reply {
    meta::fields(&mut review)?;
    let (kind, version) = (call.def.kind.to_string(), call.def.api_version());
    for (field, wanted) in [("kind", &kind), ("apiVersion", &version)] {
        let found = review[field].as_str().unwrap_or_default();
        if !found.is_empty() && found != wanted.as_str() {
            let message = format!(
                "the {field} in the data ({found}) does not match the expected {field} ({wanted})"
            );
            return Err(ApiError::BadRequest(message));
        }
    }
    let problems = crate::validation::validate_object(&call.def.schema, &review, None);
    if let Some(problem) = problems
        .into_iter()
        .find(|problem| problem.field.starts_with("spec"))
    {
        return Err(ApiError::invalid_field(&call.def, "", problem));
    }
    let status = match kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
        "SelfSubjectRulesReview" => rules(&call.user),
        "SelfSubjectAccessReview" => access(call, &call.user, &review["spec"]).await?,
        _ => access(call, &subject(&review["spec"]), &review["spec"]).await?,
    };
    if let Some(fields) = review.as_object_mut() {
        fields.insert("kind".to_owned(), json!(kind));
        fields.insert("apiVersion".to_owned(), json!(version));
        fields.insert("status".to_owned(), status);
    }
    Ok(call.renderer.value(StatusCode::CREATED, review))
}

fn user_info(user: &UserInfo) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if let Some(uid) = &user.uid {
        info["uid"] = json!(uid);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn subject(spec: &Value) -> UserInfo {
    let groups = spec["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    UserInfo {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        groups: groups.map(str::to_owned).collect(),
        ..UserInfo::default()
    }
}

async fn access(call: &Call, user: &UserInfo, spec: &Value) -> Result<Value, ApiError> {
    let attributes = match (&spec["resourceAttributes"], &spec["nonResourceAttributes"]) {
        (Value::Object(_), Value::Null) => resource(&spec["resourceAttributes"]),
        (Value::Null, Value::Object(_)) => path(&spec["nonResourceAttributes"]),
        _ => {
            let detail =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let problem = FieldError::invalid(
                "spec.resourceAttributes",
                spec["resourceAttributes"].clone(),
                detail,
            );
            return Err(ApiError::invalid_field(&call.def, "", problem));
        }
    };
    Ok(
        match call
            .server
            .inner
            .authorizer
            .authorize(user, &attributes)
            .await
        {
            Decision::Allow => json!({"allowed": true}),
            Decision::Deny(reason) if reason.is_empty() => json!({"allowed": false}),
            Decision::Deny(reason) => json!({"allowed": false, "reason": reason}),
        },
    )
}

fn resource(found: &Value) -> Attributes {
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Attributes {
        verb: text("verb"),
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        path: String::new(),
    }
}

fn path(found: &Value) -> Attributes {
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Attributes {
        verb: text("verb"),
        path: text("path"),
        ..Attributes::default()
    }
}

fn rules(user: &UserInfo) -> Value {
    let all = user.groups.iter().any(|group| group == MASTERS);
    let resources = if all {
        json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}])
    } else {
        json!([
            {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
            {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
        ])
    };
    let paths = if all {
        json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}])
    } else {
        json!([{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/livez", "/readyz", "/healthz", "/version"]}])
    };
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

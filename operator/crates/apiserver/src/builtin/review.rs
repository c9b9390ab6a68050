//! Questions about identity and permission. Nothing is stored: the answer is the question with a
//! `status`.

use std::collections::BTreeMap;

use http::StatusCode;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Map, Value, json};

use crate::authn::{TokenError, UserInfo};
use crate::authz::{Attributes, Decision};
use crate::handlers::{Call, Reply};
use crate::meta;
use crate::status_error::ApiError;
use crate::validation::FieldError;

/// Answers a review.
pub(crate) async fn answer(call: &Call, mut review: Value) -> Reply {
    let (kind, version) = (call.def.kind.to_string(), call.def.api_version());
    fill_type(&mut review, &kind, &version)?;
    let problems = crate::validation::validate_object(&call.def.schema, &review, None);
    if let Some(problem) = problems
        .into_iter()
        .find(|problem| problem.field.starts_with("spec"))
    {
        return Err(ApiError::invalid_field(&call.def, "", problem));
    }
    let spec = &review["spec"];
    let status = match kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
        "SelfSubjectRulesReview" => rules(call, spec)?,
        "SelfSubjectAccessReview" => access(call, &call.user, spec)?,
        "TokenReview" => token(call, spec).await?,
        _ => access(call, &subject(call, spec)?, spec)?,
    };
    review["status"] = status;
    Ok(call.renderer.value(StatusCode::CREATED, review))
}

/// Says in a request what it is, where it does not say so itself.
///
/// # Errors
/// It says something else, or is no object.
pub(crate) fn fill_type(request: &mut Value, kind: &str, version: &str) -> Result<(), ApiError> {
    meta::fields(request)?;
    for (field, wanted) in [("kind", kind), ("apiVersion", version)] {
        let found = request[field].as_str().unwrap_or_default();
        if !found.is_empty() && found != wanted {
            let message = format!(
                "the {field} in the data ({found}) does not match the expected {field} ({wanted})"
            );
            return Err(ApiError::BadRequest(message));
        }
        request[field] = json!(wanted);
    }
    Ok(())
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

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whom a review is about.
fn subject(call: &Call, spec: &Value) -> Result<UserInfo, ApiError> {
    let refused = |problem| Err(ApiError::invalid_field(&call.def, "", problem));
    let (name, groups) = (
        spec["user"].as_str().unwrap_or_default(),
        texts(&spec["groups"]),
    );
    if name.is_empty() && groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        return refused(FieldError::invalid("spec.user", name, detail));
    }
    if call.def.namespaced {
        let asked = &spec["resourceAttributes"]["namespace"];
        if asked.as_str().unwrap_or_default() != call.path.namespace {
            let detail = "must match metadata.namespace";
            let problem =
                FieldError::invalid("spec.resourceAttributes.namespace", asked.clone(), detail);
            return refused(problem);
        }
    }
    let extra = spec["extra"].as_object().into_iter().flatten();
    let extra: BTreeMap<_, _> = extra
        .map(|(key, values)| (key.clone(), texts(values)))
        .collect();
    Ok(UserInfo {
        name: name.to_owned(),
        uid: spec["uid"].as_str().map(str::to_owned),
        groups,
        extra,
    })
}

fn access(call: &Call, user: &UserInfo, spec: &Value) -> Result<Value, ApiError> {
    let attributes = match (&spec["resourceAttributes"], &spec["nonResourceAttributes"]) {
        (Value::Object(_), Value::Null) => resource(&spec["resourceAttributes"]),
        (Value::Null, Value::Object(_)) if !call.def.namespaced => {
            path(&spec["nonResourceAttributes"])
        }
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
    Ok(match call.server.inner.rbac.authorize(user, &attributes) {
        Decision::Allow => json!({"allowed": true}),
        Decision::Deny(reason) if reason.is_empty() => json!({"allowed": false}),
        Decision::Deny(reason) => json!({"allowed": false, "reason": reason}),
    })
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

/// All that the user may do in a namespace and beyond resources.
fn rules(call: &Call, spec: &Value) -> Result<Value, ApiError> {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::BadRequest("no namespace on request".to_owned()));
    }
    let granted = call.server.inner.rbac.rules_of(&call.user, namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in &granted.rules {
        let is_path = rule.non_resource_urls.iter().any(|urls| !urls.is_empty());
        let list = if is_path { &mut paths } else { &mut resources };
        list.push(shown(rule));
    }
    let mut status =
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
    if !granted.missing.is_empty() {
        status["evaluationError"] = json!(granted.missing.join(", "));
    }
    Ok(status)
}

fn shown(rule: &PolicyRule) -> Value {
    let lists = [
        ("apiGroups", &rule.api_groups),
        ("resources", &rule.resources),
        ("resourceNames", &rule.resource_names),
        ("nonResourceURLs", &rule.non_resource_urls),
    ];
    let mut shown = Map::from_iter([("verbs".to_owned(), json!(rule.verbs))]);
    for (name, list) in lists {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            shown.insert(name.to_owned(), json!(list));
        }
    }
    Value::Object(shown)
}

/// Whose token is this?
async fn token(call: &Call, spec: &Value) -> Result<Value, ApiError> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        let problem = FieldError::required("spec.token", "");
        return Err(ApiError::invalid_field(&call.def, "", problem));
    }
    let authenticator = &call.server.inner.authenticator;
    match authenticator.token(token, &texts(&spec["audiences"])).await {
        Ok((user, audiences)) => {
            Ok(json!({"authenticated": true, "user": user_info(&user), "audiences": audiences}))
        }
        Err(TokenError::Store(error)) => Err(error.into()),
        Err(error) => Ok(json!({"authenticated": false, "error": error.to_string()})),
    }
}

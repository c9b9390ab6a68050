//! Questions about identity and permission. Nothing is stored: the answer is the question with a
//! `status`.

use std::collections::BTreeMap;

use http::StatusCode;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Map, Value, json};

use crate::authn::{TokenError, UserInfo};
use crate::authz::{Attributes, Decision, together};
use crate::handlers::{Call, Reply, received, tracked};
use crate::meta;
use crate::status_error::{ApiError, Subject};
use crate::validation::FieldError;

/// Answers a review.
pub(crate) async fn answer(call: &Call) -> Reply {
    let mut review = received(call, &call.def)?;
    let spec = review["spec"].clone();
    let status = match &*call.def.kind {
        "SelfSubjectReview" => {
            review = empty(call);
            review["metadata"]["creationTimestamp"] = json!(meta::now());
            json!({"userInfo": user_info(&call.user)})
        }
        "SelfSubjectRulesReview" => {
            review = empty(call);
            review["spec"] = json!({});
            rules(call, &spec)?
        }
        "TokenReview" => {
            review = tracked(call, None, review);
            token(call, &spec).await?
        }
        kind => {
            check(call, &review)?;
            review = tracked(call, None, review);
            if call.def.namespaced {
                review["metadata"]["namespace"] = json!(call.path.namespace);
            }
            match kind {
                "SelfSubjectAccessReview" => access(call, &call.user, &spec),
                _ => access(call, &subject(&spec), &spec),
            }
        }
    };
    review["status"] = status;
    Ok(call.renderer.value(StatusCode::CREATED, review))
}

/// An answer that has nothing of the question.
fn empty(call: &Call) -> Value {
    json!({"kind": call.def.kind, "apiVersion": call.def.api_version(), "metadata": {}})
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
fn subject(spec: &Value) -> UserInfo {
    let extra = spec["extra"].as_object().into_iter().flatten();
    let extra: BTreeMap<_, _> = extra
        .map(|(key, values)| (key.clone(), texts(values)))
        .collect();
    UserInfo {
        name: text(spec, "user").to_owned(),
        uid: Some(text(spec, "uid").to_owned()).filter(|uid| !uid.is_empty()),
        groups: texts(&spec["groups"]),
        extra,
    }
}

/// Is the question one that can be answered?
fn check(call: &Call, review: &Value) -> Result<(), ApiError> {
    let (spec, local) = (&review["spec"], call.def.namespaced);
    let mut problems = Vec::new();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    check_attributes(resource, path, &mut problems);
    let about_self = &*call.def.kind == "SelfSubjectAccessReview";
    if !about_self && text(spec, "user").is_empty() && texts(&spec["groups"]).is_empty() {
        let detail = "at least one of user or group must be specified";
        problems.push(FieldError::invalid("spec.user", "", detail));
    }
    for name in ["fieldSelector", "labelSelector"] {
        check_selector(resource, name, &mut problems);
    }
    let metadata = &review["metadata"];
    let mut said = metadata.as_object().into_iter().flatten();
    if said.any(|(name, _)| name != "managedFields" && !(local && name == "namespace")) {
        let except = if local { " except for namespace" } else { "" };
        let detail = format!("must be empty{except}");
        problems.push(FieldError::invalid("metadata", metadata.clone(), detail));
    }
    if local {
        check_local(call, resource, path, &mut problems);
    }
    if problems.is_empty() {
        return Ok(());
    }
    // As in Kubernetes, which leaves the kind out.
    let subject = Subject {
        group: call.def.group.to_string(),
        ..Subject::default()
    };
    Err(ApiError::Invalid { subject, problems })
}

/// The question is about a resource or about a path.
fn check_attributes(resource: &Value, path: &Value, problems: &mut Vec<FieldError>) {
    problems.extend(match (resource.is_object(), path.is_object()) {
        (true, true) => Some(FieldError::invalid(
            "spec.nonResourceAttributes",
            shown_path(path),
            "cannot be specified in combination with resourceAttributes",
        )),
        (false, false) => Some(FieldError::invalid(
            "spec.resourceAttributes",
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => None,
    });
}

/// The question is about the namespace that it is asked in.
fn check_local(call: &Call, resource: &Value, path: &Value, problems: &mut Vec<FieldError>) {
    let namespace = text(resource, "namespace");
    if resource.is_object() && namespace != call.path.namespace {
        problems.push(FieldError::invalid(
            "spec.resourceAttributes.namespace",
            namespace,
            "must match metadata.namespace",
        ));
    }
    if path.is_object() {
        problems.push(FieldError::invalid(
            "spec.nonResourceAttributes",
            shown_path(path),
            "disallowed on this kind of request",
        ));
    }
}

/// As Kubernetes shows it.
fn shown_path(path: &Value) -> Value {
    json!({"Path": text(path, "path"), "Verb": text(path, "verb")})
}

/// A selector is given in one of its two forms.
fn check_selector(resource: &Value, name: &str, problems: &mut Vec<FieldError>) {
    let selector = &resource[name];
    if !selector.is_object() {
        return;
    }
    let (place, raw) = (
        format!("spec.resourceAttributes.{name}"),
        text(selector, "rawSelector"),
    );
    let listed = selector["requirements"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    match (raw.is_empty(), listed) {
        (false, true) => problems.push(FieldError::invalid(
            format!("{place}.rawSelector"),
            raw,
            "may not specified at the same time as requirements",
        )),
        (true, false) => problems.push(FieldError::required(
            format!("{place}.requirements"),
            format!("when {place} is specified, requirements or rawSelector is required"),
        )),
        _ => {}
    }
}

fn access(call: &Call, user: &UserInfo, spec: &Value) -> Value {
    let attributes = match &spec["nonResourceAttributes"] {
        Value::Object(_) => path(&spec["nonResourceAttributes"]),
        _ => resource(&spec["resourceAttributes"]),
    };
    let decision = call.server.inner.rbac.authorize(user, &attributes);
    let allowed = decision.allows();
    let (Decision::Allow(reason) | Decision::Deny(reason)) = decision;
    let mut status = json!({"allowed": allowed});
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

fn text<'a>(found: &'a Value, field: &str) -> &'a str {
    found[field].as_str().unwrap_or_default()
}

fn resource(found: &Value) -> Attributes {
    let text = |field: &str| text(found, field).to_owned();
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
    let text = |field: &str| text(found, field).to_owned();
    Attributes {
        verb: text("verb"),
        path: text("path"),
        ..Attributes::default()
    }
}

/// All that the user may do in a namespace and beyond resources.
fn rules(call: &Call, spec: &Value) -> Result<Value, ApiError> {
    let namespace = text(spec, "namespace");
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
        status["evaluationError"] = json!(together(&granted.missing));
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
    let token = text(spec, "token");
    if token.is_empty() {
        let message = "token is required for TokenReview in authentication";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let authenticator = &call.server.inner.authenticator;
    match authenticator.token(token, &texts(&spec["audiences"])).await {
        Ok((user, audiences)) => {
            Ok(json!({"authenticated": true, "user": user_info(&user), "audiences": audiences}))
        }
        Err(TokenError::Store(error)) => Err(error.into()),
        Err(error) => Ok(json!({"user": {}, "error": error.to_string()})),
    }
}

//! What makes a definition invalid, by Kubernetes' rules, in its words and in its order.
//!
//! Like Kubernetes, which once had one schema, one set of subresources and one list of columns for
//! all versions, errors in what is equal in all versions are told at those former places
//! (`spec.validation`, `spec.subresources`, …), errors elsewhere at the version's own.

mod defaults;
mod openapi;
mod rules;
mod structural;
mod versions;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::has_condition;
use crate::meta;
use crate::schema::Kind;
use crate::validation::{FieldError, formats, names};

const APPROVAL: &str = "api-approved.kubernetes.io";

/// Everything about the definition as it is, and about what has changed.
pub(crate) fn definition(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut problems = Vec::new();
    if let Err(error) = CustomResourceDefinition::deserialize(object) {
        return vec![FieldError::invalid("spec", "…", error.to_string())];
    }
    if old.is_none() {
        check_name(object, &mut problems);
    }
    let spec = &object["spec"];
    check_spec(spec, &mut problems);
    if let Some(old) = old {
        check_change(object, old, &mut problems);
    }
    status_names(object, &mut problems);
    check_stored_versions(object, &mut problems);
    check_approval(object, old, &mut problems);
    if spec["preserveUnknownFields"] == true {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        let field = "spec.preserveUnknownFields";
        problems.push(FieldError::invalid(field, true, detail));
    }
    problems
}

/// The formats in the schemas of a definition that mean nothing for the type that they are given to.
pub(super) fn unknown_formats(object: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    for version in list(&object["spec"]["versions"]) {
        openapi::visit(&version["schema"]["openAPIV3Schema"], &mut |node| {
            let format = text(&node["format"]);
            let known = formats::is_known(format, Kind::named(text(&node["type"])));
            if !format.is_empty() && !known && !unknown.iter().any(|one| one == format) {
                unknown.push(format.to_owned());
            }
        });
    }
    unknown
}

/// What is wrong in metadata and status where the spec is as it was.
pub(super) fn beside_spec(object: &Value, old: &Value) -> Vec<FieldError> {
    let mut problems = Vec::new();
    status_names(object, &mut problems);
    // Who writes the status does not write the rest, and may say any versions.
    if object["status"] == old["status"] {
        check_stored_versions(object, &mut problems);
        check_approval(object, Some(old), &mut problems);
    }
    problems
}

/// The names that were accepted, which clients may write in the status.
fn status_names(object: &Value, problems: &mut Vec<FieldError>) {
    let names = &object["status"]["acceptedNames"];
    check_names(names, "status.acceptedNames", problems);
}

fn check_name(object: &Value, problems: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let expected = format!(
        "{}.{}",
        text(&spec["names"]["plural"]),
        text(&spec["group"])
    );
    let name = meta::name(object);
    if !name.is_empty() && name != expected {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        problems.push(FieldError::invalid("metadata.name", name, detail));
    }
}

fn check_spec(spec: &Value, problems: &mut Vec<FieldError>) {
    let group = text(&spec["group"]);
    let wrong = names::subdomain(group);
    if group.is_empty() {
        problems.push(FieldError::required("spec.group", ""));
    } else if !wrong.is_empty() {
        problems.push(FieldError::invalid("spec.group", group, wrong.join(",")));
    } else if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        problems.push(FieldError::invalid("spec.group", group, detail));
    }
    one_of(
        "spec.scope",
        text(&spec["scope"]),
        &["Cluster", "Namespaced"],
        problems,
    );
    versions::check(spec, problems);
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"][name]).is_empty() {
            problems.push(FieldError::required(format!("spec.names.{name}"), ""));
        }
    }
    check_names(&spec["names"], "spec.names", problems);
    versions::check_common(spec, problems);
    check_conversion(&spec["conversion"], problems);
}

/// Webhooks are not called, so no definition may ask for one.
fn check_conversion(conversion: &Value, problems: &mut Vec<FieldError>) {
    let place = "spec.conversion";
    let strategy = text(&conversion["strategy"]);
    one_of(&format!("{place}.strategy"), strategy, &["None"], problems);
    let webhook = &conversion["webhook"];
    let unwanted = "should not be set when strategy is not set to Webhook";
    if strategy == "Webhook" {
        return;
    }
    if !webhook["clientConfig"].is_null() {
        let field = format!("{place}.webhookClientConfig");
        problems.push(FieldError::forbidden(field, unwanted));
    }
    if !list(&webhook["conversionReviewVersions"]).is_empty() {
        let field = format!("{place}.conversionReviewVersions");
        problems.push(FieldError::forbidden(field, unwanted));
    }
}

fn check_names(names: &Value, place: &str, problems: &mut Vec<FieldError>) {
    let mut label = |field: String, shown: &str, optional: bool, before: &str, value: &str| {
        let wrong = names::label_1035(value);
        if !(wrong.is_empty() || optional && shown.is_empty()) {
            let detail = format!("{before}{}", wrong.join(","));
            problems.push(FieldError::invalid(field, shown, detail));
        }
    };
    for name in ["plural", "singular"] {
        let shown = text(&names[name]);
        label(format!("{place}.{name}"), shown, true, "", shown);
    }
    let mixed = format!("{} ", names::MIXED_CASE);
    for name in ["kind", "listKind"] {
        let shown = text(&names[name]);
        label(
            format!("{place}.{name}"),
            shown,
            true,
            &mixed,
            &shown.to_lowercase(),
        );
    }
    for (index, value) in list(&names["shortNames"]).iter().enumerate() {
        let field = format!("{place}.shortNames[{index}]");
        label(field, text(value), false, "", text(value));
    }
    let (kind, list_kind) = (text(&names["kind"]), text(&names["listKind"]));
    let same = !kind.is_empty() && kind == list_kind;
    let categories = list(&names["categories"]).iter().enumerate();
    let mut after = Vec::new();
    for (index, value) in categories {
        let wrong = names::label_1035(text(value));
        if !wrong.is_empty() {
            let field = format!("{place}.categories[{index}]");
            after.push(FieldError::invalid(field, text(value), wrong.join(",")));
        }
    }
    if same {
        let detail = "kind and listKind may not be the same";
        let field = format!("{place}.listKind");
        problems.push(FieldError::invalid(field, list_kind, detail));
    }
    problems.extend(after);
}

/// What cannot be changed any more.
fn check_change(object: &Value, old: &Value, problems: &mut Vec<FieldError>) {
    let established = has_condition(old, "Established");
    let fixed = [
        ("spec.scope", "/spec/scope", established),
        ("spec.names.kind", "/spec/names/kind", established),
        ("spec.group", "/spec/group", true),
        ("spec.names.plural", "/spec/names/plural", true),
    ];
    for (field, pointer, fixed) in fixed {
        let (new, old) = (object.pointer(pointer), old.pointer(pointer));
        if fixed && new != old {
            let value = new.cloned().unwrap_or_else(|| json!(""));
            problems.push(FieldError::invalid(field, value, "field is immutable"));
        }
    }
}

fn check_stored_versions(object: &Value, problems: &mut Vec<FieldError>) {
    let field = "status.storedVersions";
    let stored = list(&object["status"]["storedVersions"]);
    if stored.is_empty() {
        let detail = "must have at least one stored version";
        problems.push(FieldError::invalid(field, Value::Null, detail));
        return;
    }
    let versions = list(&object["spec"]["versions"]);
    for version in versions {
        let name = &version["name"];
        if version["storage"] == true && !stored.contains(name) {
            let detail = format!("must have the storage version {}", text(name));
            problems.push(FieldError::invalid(field, json!(stored), detail));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let shown = text(name);
            let detail = format!(
                "missing from spec.versions; {shown} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {shown} and removes {shown} from status.storedVersions"
            );
            problems.push(FieldError::invalid(
                format!("{field}[{index}]"),
                shown,
                detail,
            ));
        }
    }
}

/// What the community of Kubernetes says to a definition in one of its groups, as a condition:
/// status, reason and message.
pub(super) fn approval(object: &Value) -> Option<(bool, &'static str, String)> {
    let group = text(&object["spec"]["group"]);
    let community = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|end| group == *end || group.ends_with(&format!(".{end}")));
    let wanted = format!("protected groups must have approval annotation {APPROVAL:?}");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let whole = |url: &str| {
        let url = url.parse::<http::Uri>();
        url.is_ok_and(|url| url.host().is_some() && url.scheme().is_some())
    };
    community.then(
        || match text(&object["metadata"]["annotations"][APPROVAL]) {
            "" => (false, "MissingAnnotation", format!("{wanted}, {see}")),
            word if word.starts_with("unapproved") => (
                false,
                "UnapprovedAnnotation",
                format!("not approved: {word:?}"),
            ),
            url if whole(url) => (true, "ApprovedAnnotation", format!("approved in {url}")),
            _ => {
                let either = "with either a URL or a reason starting with \"unapproved\"";
                (
                    false,
                    "InvalidAnnotation",
                    format!("{wanted} {either}, {see}"),
                )
            }
        },
    )
}

/// Groups of Kubernetes itself need a word of its community; what was without one may stay so.
fn check_approval(object: &Value, old: Option<&Value>, problems: &mut Vec<FieldError>) {
    let Some((_, reason, detail)) = approval(object) else {
        return;
    };
    let before = old.and_then(approval);
    if before.is_some_and(|(_, before, _)| before == reason) {
        return;
    }
    let field = format!("metadata.annotations[{APPROVAL}]");
    match reason {
        "MissingAnnotation" => problems.push(FieldError::required(field, detail)),
        "InvalidAnnotation" => {
            let value = object["metadata"]["annotations"][APPROVAL].clone();
            problems.push(FieldError::invalid(field, value, detail));
        }
        _ => {}
    }
}

fn one_of(field: &str, value: &str, accepted: &[&str], problems: &mut Vec<FieldError>) {
    if value.is_empty() {
        problems.push(FieldError::required(field, ""));
    } else if !accepted.contains(&value) {
        problems.push(FieldError::not_supported(field, value, accepted));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;

//! What makes a definition invalid, by Kubernetes' rules and in its words.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::has_condition;
use crate::columns::JsonPath;
use crate::meta;
use crate::schema::{Schema, SchemaError};
use crate::validation::FieldError;
use crate::validation::names;

/// Most fields of a version that field selectors can name.
const SELECTABLE: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];

/// Everything about the definition as it is.
pub(crate) fn spec(object: &Value) -> Vec<FieldError> {
    let mut problems = Vec::new();
    if let Err(error) = serde_json::from_value::<CustomResourceDefinition>(object.clone()) {
        problems.push(FieldError::invalid("spec", "…", error.to_string()));
        return problems;
    }
    let spec = &object["spec"];
    let group = text(&spec["group"]);
    problems.extend(
        names::subdomain(group)
            .into_iter()
            .map(|detail| FieldError::invalid("spec.group", group, detail)),
    );
    if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        problems.push(FieldError::invalid("spec.group", group, detail));
    }
    let community = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|end| group == *end || group.ends_with(&format!(".{end}")));
    if community && object["metadata"]["annotations"]["api-approved.kubernetes.io"].is_null() {
        let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        let field = "metadata.annotations[api-approved.kubernetes.io]";
        problems.push(FieldError::required(field, detail));
    }
    let scopes = ["Cluster", "Namespaced"];
    if !scopes.contains(&text(&spec["scope"])) {
        let scope = text(&spec["scope"]);
        problems.push(FieldError::not_supported("spec.scope", scope, &scopes));
    }
    if spec["preserveUnknownFields"] == true {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        problems.push(FieldError::invalid(
            "spec.preserveUnknownFields",
            true,
            detail,
        ));
    }
    let strategy = text(&spec["conversion"]["strategy"]);
    if strategy != "None" {
        let field = "spec.conversion.strategy";
        problems.push(FieldError::not_supported(field, strategy, &["None"]));
    }
    check_names(object, &mut problems);
    check_versions(&spec["versions"], &mut problems);
    problems
}

fn check_names(object: &Value, problems: &mut Vec<FieldError>) {
    let (spec, names) = (&object["spec"], &object["spec"]["names"]);
    let expected = format!("{}.{}", text(&names["plural"]), text(&spec["group"]));
    if meta::name(object) != expected {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        problems.push(FieldError::invalid(
            "metadata.name",
            meta::name(object),
            detail,
        ));
    }
    let mut label = |field: String, value: &str, shown: &str| {
        for detail in dns_1035(value) {
            problems.push(FieldError::invalid(field.as_str(), shown, detail));
        }
    };
    for field in ["plural", "singular", "kind", "listKind"] {
        let shown = text(&names[field]);
        label(format!("spec.names.{field}"), &shown.to_lowercase(), shown);
    }
    for list in ["shortNames", "categories"] {
        let values = names[list].as_array().into_iter().flatten();
        for (index, value) in values.enumerate() {
            let field = format!("spec.names.{list}[{index}]");
            label(field, text(value), text(value));
        }
    }
    for field in ["plural", "singular"] {
        let shown = text(&names[field]);
        if shown.chars().any(char::is_uppercase) {
            let detail = "must be lower case";
            problems.push(FieldError::invalid(
                format!("spec.names.{field}"),
                shown,
                detail,
            ));
        }
    }
    if names["kind"] == names["listKind"] {
        let (field, value) = ("spec.names.listKind", text(&names["listKind"]));
        let detail = "kind and listKind may not be the same";
        problems.push(FieldError::invalid(field, value, detail));
    }
}

/// A label that begins with a letter.
fn dns_1035(value: &str) -> Vec<String> {
    if value.starts_with(|first: char| first.is_ascii_digit()) {
        return vec!["a DNS-1035 label must start with an alphabetic character".to_owned()];
    }
    names::label(value)
}

fn check_versions(versions: &Value, problems: &mut Vec<FieldError>) {
    let versions = versions.as_array().map_or(&[][..], Vec::as_slice);
    let mut seen = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let place = format!("spec.versions[{index}]");
        let name = text(&version["name"]);
        for detail in dns_1035(name) {
            problems.push(FieldError::invalid(format!("{place}.name"), name, detail));
        }
        if seen.contains(&name) {
            problems.push(FieldError::duplicate(format!("{place}.name"), name));
        }
        seen.push(name);
        check_schema(version, &place, problems);
        check_columns(version, &place, problems);
        check_scale(&version["subresources"]["scale"], &place, problems);
    }
    let stored = versions.iter().filter(|version| version["storage"] == true);
    if stored.count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        problems.push(FieldError::invalid(
            "spec.versions",
            names_of(&seen),
            detail,
        ));
    }
}

fn names_of(names: &[&str]) -> Value {
    names.iter().map(|name| Value::from(*name)).collect()
}

fn check_schema(version: &Value, place: &str, problems: &mut Vec<FieldError>) {
    let place = format!("{place}.schema.openAPIV3Schema");
    let source = &version["schema"]["openAPIV3Schema"];
    if source.is_null() {
        problems.push(FieldError::required(place, "schemas are required"));
        return;
    }
    match Schema::custom_resource(source) {
        Err(error) => problems.push(schema_problem(&place, &error)),
        Ok(schema) => check_selectable(version, &schema, problems),
    }
}

fn schema_problem(place: &str, error: &SchemaError) -> FieldError {
    let field = match error.path() {
        "" => place.to_owned(),
        path => format!("{place}.{path}"),
    };
    match error {
        SchemaError::Malformed {
            value, expected, ..
        } => FieldError::invalid(field, value.as_str(), format!("must be {expected}")),
        SchemaError::Required { detail, .. } => FieldError::required(field, *detail),
        SchemaError::NotSupported {
            value, supported, ..
        } => {
            let supported: Vec<_> = supported
                .split(", ")
                .map(|one| one.trim_matches('"'))
                .collect();
            FieldError::not_supported(field, value.as_str(), &supported)
        }
        SchemaError::Forbidden { detail, .. } => FieldError::forbidden(field, *detail),
        SchemaError::Pattern { pattern, cause, .. } => {
            let detail = format!("must be a valid regular expression, but isn't: {cause}");
            FieldError::invalid(field, pattern.as_str(), detail)
        }
        SchemaError::Default { value, cause, .. } => {
            FieldError::invalid(field, value.as_str(), cause.as_str())
        }
        SchemaError::Rule { error, .. } => FieldError {
            field,
            ..error.clone()
        },
        SchemaError::TooDeep { limit, .. } => {
            let detail = format!("schemas may be nested at most {limit} levels deep");
            FieldError::forbidden(field, detail)
        }
        SchemaError::DanglingRef { target, .. } => {
            FieldError::invalid(field, target.as_str(), "no such definition")
        }
    }
}

fn check_selectable(version: &Value, schema: &Schema, problems: &mut Vec<FieldError>) {
    let place = "spec.versions.selectableFields";
    let fields = version["selectableFields"].as_array();
    let fields = fields.map_or(&[][..], Vec::as_slice);
    if fields.len() > SELECTABLE {
        let (found, most) = (fields.len() as u64, SELECTABLE as u64);
        problems.push(FieldError::too_many(place, found, most));
    }
    for (index, field) in fields.iter().enumerate() {
        let path = text(&field["jsonPath"]);
        let mut node = Some(schema);
        for part in path.trim_start_matches('.').split('.') {
            node = node.and_then(|node| node.properties.get(part).map(|next| &**next));
        }
        let kind = node
            .and_then(|node| node.kind)
            .map_or("", |kind| kind.as_str());
        let known = ["string", "integer", "boolean"].contains(&kind);
        if !path.starts_with('.') || !known {
            let detail = "must point to a field of type string, boolean or integer";
            let field = format!("{place}[{index}].jsonPath");
            problems.push(FieldError::invalid(field, path, detail));
        }
    }
}

fn check_columns(version: &Value, place: &str, problems: &mut Vec<FieldError>) {
    let columns = version["additionalPrinterColumns"].as_array();
    for (index, column) in columns.into_iter().flatten().enumerate() {
        let place = format!("{place}.additionalPrinterColumns[{index}]");
        if text(&column["name"]).is_empty() {
            problems.push(FieldError::required(format!("{place}.name"), ""));
        }
        let kind = text(&column["type"]);
        if !COLUMN_TYPES.contains(&kind) {
            let field = format!("{place}.type");
            problems.push(FieldError::not_supported(field, kind, &COLUMN_TYPES));
        }
        let path = text(&column["jsonPath"]);
        if let Err(error) = JsonPath::parse(path) {
            let field = format!("{place}.jsonPath");
            problems.push(FieldError::invalid(field, path, error.to_string()));
        }
    }
}

fn check_scale(scale: &Value, place: &str, problems: &mut Vec<FieldError>) {
    let optional = !scale["labelSelectorPath"].is_null();
    let paths = [
        ("specReplicasPath", vec![".spec."], true),
        ("statusReplicasPath", vec![".status."], true),
        ("labelSelectorPath", vec![".spec.", ".status."], optional),
    ];
    for (name, under, wanted) in paths {
        let path = text(&scale[name]);
        let right = under.iter().any(|start| path.starts_with(start));
        if !scale.is_null() && wanted && !right {
            let field = format!("{place}.subresources.scale.{name}");
            let under: Vec<_> = under.iter().map(|one| one.trim_end_matches('.')).collect();
            let detail = format!("should be a json path under {}", under.join(" or "));
            problems.push(FieldError::invalid(field, path, detail));
        }
    }
}

/// What cannot be changed any more.
pub(super) fn change(object: &Value, old: &Value) -> Vec<FieldError> {
    let mut problems = Vec::new();
    let established = has_condition(old, "Established");
    let fixed = [
        ("spec.group", "/spec/group", true),
        ("spec.names.plural", "/spec/names/plural", true),
        ("spec.scope", "/spec/scope", established),
        ("spec.names.kind", "/spec/names/kind", established),
    ];
    for (field, pointer, fixed) in fixed {
        let (new, old) = (object.pointer(pointer), old.pointer(pointer));
        if fixed && new != old {
            let value = new.cloned().unwrap_or_default();
            problems.push(FieldError::invalid(field, value, "field is immutable"));
        }
    }
    let versions = object["spec"]["versions"].as_array();
    let known = |name: &Value| {
        versions
            .into_iter()
            .flatten()
            .any(|version| version["name"] == *name)
    };
    let stored = old["status"]["storedVersions"].as_array();
    for (index, name) in stored.into_iter().flatten().enumerate() {
        if !known(name) {
            let shown = text(name);
            let detail = format!(
                "missing from spec.versions; {shown} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {shown} and removes {shown} from status.storedVersions"
            );
            let field = format!("status.storedVersions[{index}]");
            problems.push(FieldError::invalid(field, shown, detail));
        }
    }
    problems
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

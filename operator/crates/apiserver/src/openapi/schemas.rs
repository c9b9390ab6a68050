//! Named schemas: one for each kind and its list, and those that all kinds share.

use std::sync::Arc;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, ObjectMeta, Status};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::types;
use crate::registry::{ResourceDef, Verb};

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
pub(super) const TOKEN: &str = "io.k8s.api.authentication.v1.TokenRequest";

/// Of `apiVersion` and of `kind`.
type Descriptions = [&'static str; 2];
const OF_OBJECT: Descriptions = [
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
];
const OF_EMBEDDED: Descriptions = [
    "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
    "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
];
const METADATA_DESCRIPTION: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA_DESCRIPTION: &str = "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// How a document refers to a named schema, and describes what stands there.
pub(super) type Refer = fn(&str, Option<&str>) -> Value;

/// The name of a kind's schema, as Kubernetes makes it: the group reversed for custom kinds, the
/// Go package for those of Kubernetes.
pub(super) fn name(def: &ResourceDef) -> String {
    let (version, kind) = (&def.version, &def.kind);
    match &*def.group {
        "" => format!("io.k8s.api.core.{version}.{kind}"),
        "apiextensions.k8s.io" => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}")
        }
        group if def.custom => {
            let reversed: Vec<_> = group.split('.').rev().collect();
            format!("{}.{version}.{kind}", reversed.join("."))
        }
        group => format!(
            "io.k8s.api.{}.{version}.{kind}",
            group.split('.').next().unwrap_or(group)
        ),
    }
}

/// The name of the schema of a kind's list.
pub(super) fn list_name(def: &ResourceDef) -> String {
    let name = name(def);
    let package = name.rsplit_once('.').map_or("", |(package, _)| package);
    format!("{package}.{}", def.list_kind)
}

/// The schemas of these kinds and of their lists, with all that they and the operations on them refer
/// to.
pub(super) fn all<'a>(
    kinds: impl Iterator<Item = &'a Arc<ResourceDef>> + Clone,
    refer: Refer,
) -> Map<String, Value> {
    let mut schemas = types::definitions(named_types(kinds.clone()), refer);
    let description =
        "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.";
    schemas.insert(
        PATCH.into(),
        json!({"description": description, "type": "object"}),
    );
    for (name, kind) in [
        (STATUS, ("", "Status")),
        (DELETE_OPTIONS, ("", "DeleteOptions")),
        (SCALE, ("autoscaling", "Scale")),
        (TOKEN, ("authentication.k8s.io", "TokenRequest")),
    ] {
        if let Some(schema) = schemas.get_mut(name) {
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": kind.0, "version": "v1", "kind": kind.1}]);
        }
    }
    for def in kinds {
        let published = schemas.entry(name(def)).or_insert_with(|| kind(def, refer));
        published["x-kubernetes-group-version-kind"] = gvk(def, &def.kind);
        if def.supports(Verb::List) {
            schemas.insert(list_name(def), list(def, refer));
        }
    }
    schemas
}

/// The types of Kubernetes that these kinds, and operations on them, refer to.
fn named_types<'a>(kinds: impl Iterator<Item = &'a Arc<ResourceDef>> + Clone) -> SchemaGenerator {
    let mut types = SchemaGenerator::default();
    types.subschema_for::<ObjectMeta>();
    types.subschema_for::<ListMeta>();
    types.subschema_for::<DeleteOptions>();
    types.subschema_for::<Status>();
    if kinds.clone().any(|def| def.subresources.scale.is_some()) {
        types.subschema_for::<Scale>();
    }
    if kinds.clone().any(|def| def.subresources.token) {
        types.subschema_for::<TokenRequest>();
    }
    for publish in kinds.filter_map(|def| def.schema.published) {
        publish(&mut types);
    }
    types
}

/// The schema of a custom kind, in which nothing has a name but metadata.
fn kind(def: &ResourceDef, refer: Refer) -> Value {
    let mut schema = match &def.schema.source {
        Value::Object(source) => source.clone(),
        _ => Map::new(),
    };
    schema.entry("type").or_insert_with(|| "object".into());
    complete(&mut schema, refer);
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        object_fields(
            properties,
            OF_OBJECT,
            refer(OBJECT_META, Some(METADATA_DESCRIPTION)),
        );
    }
    if !def.selectable_fields.is_empty() {
        let field = |path: &String| json!({"fieldPath": path});
        let fields = def.selectable_fields.iter().map(field).collect();
        schema.insert("x-kubernetes-selectable-fields".into(), fields);
    }
    Value::Object(schema)
}

/// Writes out what the extensions of structural schemas imply, for those who do not know them.
fn complete(node: &mut Map<String, Value>, refer: Refer) {
    let says = |node: &Map<_, _>, name: &str| node.get(name) == Some(&Value::Bool(true));
    if says(node, "x-kubernetes-int-or-string") && !node.contains_key("allOf") {
        let both = json!([{"type": "integer"}, {"type": "string"}]);
        node.entry("anyOf").or_insert(both);
    }
    let schemas = |value: &mut Value| {
        if let Value::Object(inner) = value {
            complete(inner, refer);
        }
    };
    for keyword in ["items", "additionalProperties"] {
        node.get_mut(keyword).into_iter().for_each(schemas);
    }
    let properties = node.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flat_map(|all| all.values_mut())
        .for_each(schemas);
    if says(node, "x-kubernetes-embedded-resource") {
        let properties = node.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            let metadata = refer(OBJECT_META, Some(METADATA_DESCRIPTION));
            object_fields(properties, OF_EMBEDDED, metadata);
        }
        node.entry("required")
            .or_insert_with(|| json!(["kind", "apiVersion"]));
    }
}

fn list(def: &ResourceDef, refer: Refer) -> Value {
    let mut properties = Map::new();
    object_fields(
        &mut properties,
        OF_OBJECT,
        refer(LIST_META, Some(LIST_METADATA_DESCRIPTION)),
    );
    let description = format!(
        "List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
        def.plural
    );
    properties.insert(
        "items".into(),
        json!({"description": description, "type": "array", "items": refer(&name(def), None)}),
    );
    json!({
        "description": format!("{} is a list of {}", def.list_kind, def.kind),
        "type": "object", "required": ["items"], "properties": properties,
        "x-kubernetes-group-version-kind": gvk(def, &def.list_kind),
    })
}

fn object_fields(properties: &mut Map<String, Value>, descriptions: Descriptions, metadata: Value) {
    for (field, description) in ["apiVersion", "kind"].into_iter().zip(descriptions) {
        properties.insert(
            field.into(),
            json!({"description": description, "type": "string"}),
        );
    }
    properties.insert("metadata".into(), metadata);
}

fn gvk(def: &ResourceDef, kind: &str) -> Value {
    json!([{"group": &*def.group, "version": &*def.version, "kind": kind}])
}

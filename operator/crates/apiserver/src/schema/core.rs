//! Schemas of the kinds that Kubernetes itself defines, from the types of k8s-openapi.
//!
//! k8s-openapi describes the fields, but not how lists merge: [`completion`] says it.

mod completion;

use std::sync::{Arc, LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceValidation;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use self::completion::is;
pub(crate) use self::completion::{complete, is_free_form};
use super::{Schema, SchemaError};

/// The format of quantities, which may be written as numbers with a fraction, too (`cpu: 0.5`).
pub const QUANTITY: &str = "quantity";

/// The schema of `ObjectMeta`, which every object has.
pub fn object_meta() -> &'static Schema {
    // The source is fixed at compile time; the tests prove that it parses.
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| typed::<ObjectMeta>().unwrap_or_default());
    &SCHEMA
}

/// The schema of schemas, as definitions have them. Those in it are cut off, and known by their name.
pub fn json_schema_props() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let around = schema::<CustomResourceValidation>().unwrap_or_default();
        let inside = around.properties.get("openAPIV3Schema");
        inside.map(|found| Schema::clone(found)).unwrap_or_default()
    });
    &SCHEMA
}

/// The schema of a type of k8s-openapi, ready for use. Metadata is always held in typed fields.
///
/// # Errors
/// A generated schema that cannot be put into structural form.
pub fn schema<T: JsonSchema>() -> Result<Schema, SchemaError> {
    let named = named::<T>()?;
    let mut schema = Schema::parse(&without_names(named.clone()))?;
    schema.source = Value::Null;
    schema.published = Some(SchemaGenerator::subschema_for::<T>);
    set_names(&mut schema, &named);
    if let Some(metadata) = schema.properties.get_mut("metadata") {
        Arc::make_mut(metadata).set_zeros();
    }
    Ok(schema)
}

/// The same for a kind that is held in typed fields: with the zero values of its fields.
///
/// # Errors
/// As [`schema`].
pub fn typed<T: JsonSchema>() -> Result<Schema, SchemaError> {
    let mut schema = schema::<T>()?;
    schema.set_zeros();
    Ok(schema)
}

/// The structural form of a type of k8s-openapi: references resolved, `allOf` folded, recursion
/// cut where it begins again, merge annotations added.
///
/// # Errors
/// A reference that points nowhere.
pub fn definition<T: JsonSchema>() -> Result<Value, SchemaError> {
    named::<T>().map(without_names)
}

/// Keyword of the name of a type, while its schema is made.
const NAME: &str = "x-name";

fn without_names(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            fields.remove(NAME);
            let below = fields.values_mut();
            below.for_each(|field| *field = without_names(field.take()));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = without_names(item.take())),
        _ => {}
    }
    schema
}

fn set_names(schema: &mut Schema, named: &Value) {
    schema.type_name = named[NAME].as_str().unwrap_or_default().to_owned();
    for (name, field) in &mut schema.properties {
        set_names(Arc::make_mut(field), &named["properties"][name]);
    }
    for (below, keyword) in [
        (&mut schema.items, "items"),
        (&mut schema.additional, "additionalProperties"),
    ] {
        if let Some(below) = below {
            set_names(Arc::make_mut(below), &named[keyword]);
        }
    }
}

/// [`definition`] with the names of all types.
fn named<T: JsonSchema>() -> Result<Value, SchemaError> {
    let root = SchemaGenerator::default()
        .into_root_schema_for::<T>()
        .to_value();
    let empty = Map::new();
    let definitions = root
        .get("$defs")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let name = T::schema_name();
    Converter { definitions }.definition(&name, &root, &mut vec![name.to_string()])
}

struct Converter<'a> {
    definitions: &'a Map<String, Value>,
}

impl Converter<'_> {
    /// One named type, with its annotations.
    fn definition(
        &self,
        name: &str,
        source: &Value,
        open: &mut Vec<String>,
    ) -> Result<Value, SchemaError> {
        if is_free_form(name) {
            return Ok(free_form(name, source));
        }
        let mut node = self.node(source, open)?;
        let Some(map) = node.as_object_mut() else {
            return Ok(node);
        };
        if is(name, "api.resource.Quantity") {
            map.insert("format".into(), QUANTITY.into());
        }
        complete(name, map);
        map.insert(NAME.into(), go_name(name).into());
        Ok(node)
    }

    fn node(&self, source: &Value, open: &mut Vec<String>) -> Result<Value, SchemaError> {
        let Some(source) = source.as_object() else {
            return Ok(free_form("", &Value::Null));
        };
        let mut out = Map::new();
        if let Some(target) = source.get("$ref").and_then(Value::as_str) {
            merge(&mut out, self.reference(target, open)?);
        }
        for part in source
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            merge(&mut out, self.node(part, open)?);
        }
        for (keyword, value) in source {
            let value = match keyword.as_str() {
                "$ref" | "$defs" | "$schema" | "allOf" | "title" | "deprecated" => continue,
                "properties" => self.properties(value, open)?,
                "items" | "additionalProperties" | "not" if value.is_object() => {
                    self.node(value, open)?
                }
                _ => value.clone(),
            };
            out.insert(keyword.clone(), value);
        }
        Ok(Value::Object(specify(out)))
    }

    fn properties(&self, source: &Value, open: &mut Vec<String>) -> Result<Value, SchemaError> {
        let fields = source.as_object().into_iter().flatten();
        let converted: Result<Map<_, _>, _> = fields
            .map(|(name, field)| Ok((name.clone(), self.node(field, open)?)))
            .collect();
        converted.map(Value::Object)
    }

    fn reference(&self, target: &str, open: &mut Vec<String>) -> Result<Value, SchemaError> {
        let name = target.trim_start_matches("#/$defs/");
        let dangling = || SchemaError::DanglingRef {
            path: open.join("."),
            target: target.into(),
        };
        let source = self.definitions.get(name).ok_or_else(dangling)?;
        if open.iter().any(|outer| outer == name) {
            return Ok(free_form(name, source));
        }
        open.push(name.into());
        let resolved = self.definition(name, source, open);
        open.pop();
        resolved
    }
}

fn merge(into: &mut Map<String, Value>, from: Value) {
    if let Value::Object(from) = from {
        into.extend(from);
    }
}

/// The name of a type as Go writes it: the last part of the package, and the type.
fn go_name(name: &str) -> &str {
    let package = name.rfind('.').and_then(|last| name[..last].rfind('.'));
    package.map_or(name, |dot| &name[dot + 1..])
}

/// A node of which only name and description are kept.
fn free_form(name: &str, source: &Value) -> Value {
    let mut out = json!({"x-kubernetes-preserve-unknown-fields": true, NAME: go_name(name)});
    if let Some(description) = source.get("description") {
        out["description"] = description.clone();
    }
    out
}

/// Objects that specify no fields hold what they like (`RawExtension`, `FieldsV1`), and `null`
/// among the types is `nullable`.
fn specify(mut node: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Array(types)) = node.get("type") {
        let nullable = types.iter().any(|name| name == "null");
        let kind = types.iter().find(|name| *name != "null").cloned();
        node.insert("nullable".into(), nullable.into());
        node.insert("type".into(), kind.unwrap_or_default());
    }
    let has = |keyword: &str| node.contains_key(keyword);
    let untyped = !has("type") && !has("x-kubernetes-int-or-string");
    let empty = node.get("type").is_some_and(|kind| kind == "object")
        && !has("properties")
        && !has("additionalProperties");
    if untyped || empty {
        node.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
    node
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::authentication::v1::TokenRequest;
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::api::core::v1::{
        ConfigMap, Event, LimitRange, Namespace, Pod, ResourceQuota, Secret, ServiceAccount,
    };
    use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    use super::*;
    use crate::schema::{Kind, ListType};

    #[test]
    fn every_core_kind_served_becomes_structural() {
        let parsed = [
            schema::<Namespace>(),
            schema::<Secret>(),
            schema::<ConfigMap>(),
            schema::<ServiceAccount>(),
            schema::<Lease>(),
            schema::<Event>(),
            schema::<Pod>(),
            schema::<LimitRange>(),
            schema::<ResourceQuota>(),
            schema::<ClusterRole>(),
            schema::<RoleBinding>(),
            schema::<CustomResourceDefinition>(),
            schema::<TokenRequest>(),
        ];
        for schema in parsed {
            let schema = schema.unwrap();
            let metadata = &schema.properties["metadata"];
            assert_eq!(metadata.properties["finalizers"].list_type, ListType::Set);
            assert_eq!(
                metadata.properties["ownerReferences"].list_map_keys,
                ["uid"]
            );
            assert!(!schema.required.iter().any(|field| field == "metadata"));
        }
    }

    #[test]
    fn lists_merge_as_in_kubernetes() {
        let pod = schema::<Pod>().unwrap();
        let container = pod.properties["spec"].properties["containers"]
            .items
            .as_ref()
            .unwrap();
        let ports = &container.properties["ports"];
        assert_eq!(ports.list_type, ListType::Map);
        assert_eq!(ports.list_map_keys, ["containerPort", "protocol"]);
        assert_eq!(ports.patch_merge_key.as_deref(), Some("containerPort"));
        assert_eq!(
            pod.properties["spec"].properties["volumes"].patch_strategy,
            ["merge", "retainKeys"]
        );
        assert_eq!(container.properties["command"].list_type, ListType::Atomic);
        assert!(
            container.properties["resources"].properties["limits"]
                .additional
                .as_ref()
                .unwrap()
                .int_or_string
        );
    }

    #[test]
    fn quantities_may_be_numbers() {
        let quota = schema::<ResourceQuota>().unwrap();
        let object = |cpu: Value| json!({"spec": {"hard": {"cpu": cpu}}});
        for good in [json!(0.5), json!(2), json!("500m")] {
            assert!(crate::validation::validate_object(&quota, &object(good), None).is_empty());
        }
        assert_eq!(
            crate::validation::validate_object(&quota, &object(json!(true)), None).len(),
            1
        );
    }

    #[test]
    fn a_reference_may_lack_its_name_and_a_role_its_group() {
        let account = schema::<ServiceAccount>().unwrap();
        let secret = account.properties["imagePullSecrets"].items.as_ref();
        assert!(secret.unwrap().required.is_empty());
        let binding = schema::<RoleBinding>().unwrap();
        assert_eq!(binding.properties["roleRef"].required, ["kind", "name"]);
    }

    #[test]
    fn object_meta_is_whole_and_managed_fields_are_kept_as_they_are() {
        let meta = object_meta();
        assert_eq!(meta.kind, Some(Kind::Object));
        let mut value = json!({"name": "x", "managedFields": [{"manager": "m", "fieldsV1": {"f:a": {".": {}}}}]});
        let before = value.clone();
        assert!(object_meta().prune(&mut value).is_empty());
        assert_eq!(value, before);
    }

    #[test]
    fn the_recursive_schema_of_definitions_is_cut_and_keeps_unknown_fields() {
        let crd = schema::<CustomResourceDefinition>().unwrap();
        let mut value = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string", "default": "b"}}}},
        }}}]}});
        let before = value.clone();
        assert!(crd.prune(&mut value).is_empty());
        assert_eq!(value, before);
    }
}

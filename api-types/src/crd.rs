//! The published `CustomResourceDefinition`s, in the form in which a Kubernetes API server stores them.
//!
//! Guarantees: nothing is in them that an API server would change or drop (empty lists, formats that
//! Kubernetes does not know, `nullable` where null means absent), so that Argo CD never sees a
//! difference; lists say how server-side apply merges them; the rules of [`crate::rules`] are in.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{Deployment, Node, Route, rules};

/// Our kinds as typed definitions.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    crd_values()
        .into_iter()
        .filter_map(|crd| serde_json::from_value(crd).ok())
        .collect()
}

/// Our kinds as JSON, numbers written as whole numbers where they are.
#[must_use]
pub fn crd_values() -> Vec<Value> {
    [Deployment::crd(), Node::crd(), Route::crd()]
        .iter()
        .filter_map(|crd| serde_json::to_value(crd).ok())
        .map(finish)
        .collect()
}

/// The files of `crds/`: file name to content.
///
/// # Errors
/// When the YAML writer refuses, which no definition gives it reason to.
pub fn render_crds() -> Result<BTreeMap<&'static str, String>, serde_saphyr::ser::Error> {
    let names = ["deployments.yaml", "nodes.yaml", "routes.yaml"];
    let texts = crd_values()
        .into_iter()
        .map(|crd| serde_saphyr::to_string(&crd));
    names
        .into_iter()
        .zip(texts)
        .map(|(name, text)| Ok((name, text?)))
        .collect()
}

fn finish(mut crd: Value) -> Value {
    let kind = crd["spec"]["names"]["kind"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if let Some(schema) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tidy(schema);
        rules::apply(&kind, schema);
    }
    crd
}

/// A bound in the place of a format.
fn unsigned(node: &mut Map<String, Value>, most: u32) {
    node.remove("format");
    node.entry("maximum").or_insert(most.into());
}

/// Rewrites a schema and all schemas in it.
fn tidy(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    for noise in ["nullable", "title"] {
        node.remove(noise);
    }
    // Formats that Kubernetes does not know; what they say must hold all the same, because one object
    // that a typed client cannot read hides all others of its kind.
    match node.get("format").and_then(Value::as_str) {
        Some("uint64" | "uint") => drop(node.insert("format".into(), "int64".into())),
        Some("uint8") => unsigned(node, u8::MAX.into()),
        Some("uint16") => unsigned(node, u16::MAX.into()),
        Some("uint32") => unsigned(node, u32::MAX),
        _ => {}
    }
    for bound in ["minimum", "maximum"] {
        whole(node, bound);
    }
    if let Some(text) = node.get_mut("description") {
        *text = text.as_str().map(one_line).into();
    }
    if node.get("items").is_some_and(is_condition) {
        node.insert("x-kubernetes-list-type".into(), "map".into());
        node.insert("x-kubernetes-list-map-keys".into(), json!(["type"]));
    }
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(tidy);
    }
    for inner in ["items", "additionalProperties"] {
        node.get_mut(inner).map(tidy);
    }
}

/// `1.0` becomes `1`: the API server writes whole bounds without a fraction.
fn whole(node: &mut Map<String, Value>, bound: &str) {
    let Some(number) = node.get(bound).and_then(Value::as_f64) else {
        return;
    };
    if number.fract() == 0.0 && number.abs() < 1e15 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and small, as just checked"
        )]
        let number = number as i64;
        node.insert(bound.into(), number.into());
    }
}

/// Line breaks of the source are not the reader's; paragraphs are.
fn one_line(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn is_condition(items: &Value) -> bool {
    items.pointer("/properties/lastTransitionTime").is_some()
}

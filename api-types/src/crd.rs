//! The published `CustomResourceDefinition`s, in the form in which a Kubernetes API server stores them.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{Deployment, Node, Route};

/// Our kinds as typed definitions.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![Deployment::crd(), Node::crd(), Route::crd()]
}

/// Our kinds as JSON.
#[must_use]
pub fn crd_values() -> Vec<Value> {
    crds()
        .iter()
        .filter_map(|crd| serde_json::to_value(crd).ok())
        .collect()
}

/// The files of `crds/`: file name to content.
#[must_use]
pub fn render_crds() -> BTreeMap<&'static str, String> {
    BTreeMap::new()
}

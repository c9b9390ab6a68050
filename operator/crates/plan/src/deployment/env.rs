//! Environment of the container, from values, Secrets and ConfigMaps.

use std::collections::BTreeSet;

use api_types::DeploymentSpec;

/// Names of the Secrets and of the ConfigMaps that a spec refers to.
pub fn referenced(spec: &DeploymentSpec) -> (BTreeSet<String>, BTreeSet<String>) {
    let _ = spec;
    (BTreeSet::new(), BTreeSet::new())
}

//! Pods: the tasks of Deployments, as the controllers see them in the Swarm.
//!
//! A view: stored like any kind, so that they have revisions, watches and selectors like any kind,
//! in every process that serves; written by the controllers alone.

use k8s_openapi::api::core::v1::Pod;

use super::{Names, stored_as};
use crate::authn::CONTROLLERS;
use crate::registry::{ResourceDef, Strategy, Verb, View};
use crate::schema::core;
use crate::server::ServerError;

static VIEW: View = View {
    writer: CONTROLLERS,
    instead: "pods are a read-only view of the tasks of Deployments: scale, edit or delete the Deployment instead \
        (a new spec.restartedAt replaces all its tasks)",
    missing: &[
        (
            "log",
            "pods/log is not served: `docker service logs NAMESPACE_DEPLOYMENT` on a manager of the Swarm shows them",
        ),
        ("exec", ON_THE_NODE),
        ("attach", ON_THE_NODE),
        ("portforward", ON_THE_NODE),
        (
            "eviction",
            "pods cannot be evicted: set spec.availability of the Node to Drain, and the Swarm moves its tasks",
        ),
    ],
};
const ON_THE_NODE: &str = "pods have no exec, attach and portforward here: use docker on the node (spec.nodeName) \
    with the container of status.containerStatuses";

struct PodStrategy;

impl Strategy for PodStrategy {
    fn tracks_generation(&self) -> bool {
        false
    }

    fn view(&self) -> Option<&'static View> {
        Some(&VIEW)
    }
}

/// The row of the table.
///
/// # Errors
/// A schema that does not compile: a bug.
pub(super) fn definition() -> Result<ResourceDef, ServerError> {
    // As Kubernetes has them, but for `spec.hostNetwork`, which no task has.
    const FIELDS: [&str; 7] = [
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.nominatedNodeName",
        "status.phase",
        "status.podIP",
    ];
    let names = Names::core("pods", "Pod", &["po"]);
    let def = stored_as(names, PodStrategy, core::schema::<Pod>())?;
    Ok(ResourceDef {
        verbs: Verb::READ,
        categories: vec!["all".to_owned()],
        selectable_fields: FIELDS.map(str::to_owned).to_vec(),
        ..def
    })
}

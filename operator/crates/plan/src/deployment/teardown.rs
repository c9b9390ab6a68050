//! Deletion: service, tasks, then the namespace's network, then the finalizer (F31, T25).
//!
//! Guarantees: what is removed carries our label and cluster uid and, for services, the uid of
//! this object; absent is success; an unreachable Swarm or node never counts as "gone", except
//! that a task on a lost node is not waited for, since nobody will ever report its end.

use std::time::Duration;

use api_types::conditions as c;
use api_types::conditions::reason;
use api_types::{DeploymentStatus, labels};

use super::Input;
use crate::conditions::{Conditions, Is};
use crate::model::{Network, Service, Snapshot, Step, Task, TaskState};
use crate::{Observed, PlannedEvent};

/// How soon to look again at tasks that are stopping.
const SOON: Duration = Duration::from_secs(1);
/// How long after the deletion the namespace's network is waited for. The Engine refuses to remove
/// it while anything of anybody hangs on it, and that must not keep a Deployment for ever.
const NETWORK_PATIENCE: Duration = Duration::from_secs(60);

/// What to do while a Deployment is being deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teardown {
    /// Writes, in this order; "not found" is success.
    pub steps: Vec<Step>,
    /// To be published when all steps succeeded.
    pub events: Vec<PlannedEvent>,
    /// Nothing is left (or it was given up on request): rows may go and the finalizer may be taken off.
    pub done: bool,
    /// Name of the service to ask the Engine for before the finalizer goes: one without our labels
    /// is in no snapshot.
    pub look_for: Option<String>,
    /// Status to report while it is not done: `Terminating` with what it waits for.
    pub status: DeploymentStatus,
    /// Look again after this time even if nothing happens.
    pub recheck: Option<Duration>,
}

/// What to do about a Deployment with a deletion timestamp. `others_in_namespace`: does another
/// Deployment that is not being deleted exist in its namespace?
pub fn teardown(input: &Input<'_>, others_in_namespace: bool) -> Teardown {
    if is_abandoned(input) {
        let name = input.cluster.service_name(input.namespace(), input.name());
        let message =
            format!("given up on request: service {name} and its tasks may be left in the Swarm");
        return Teardown {
            done: true,
            events: vec![PlannedEvent::warning(reason::ABANDONED, message)],
            ..Teardown::default()
        };
    }
    let snapshot = match input.observed {
        Observed::Known(snapshot) => snapshot,
        Observed::Unknown(why) => {
            let status = waiting(
                input,
                reason::SWARM_UNREACHABLE,
                format!("the Swarm cannot be reached, so the service cannot be removed: {why}"),
            );
            return Teardown {
                status,
                recheck: Some(SOON),
                ..Teardown::default()
            };
        }
    };
    let services = services(input, snapshot);
    if !services.is_empty() {
        return remove_services(input, &services);
    }
    let tasks = tasks(input, snapshot);
    if !tasks.is_empty() {
        let status = waiting(
            input,
            reason::DELETING,
            format!("{} to stop", count(tasks.len(), "task")),
        );
        return Teardown {
            status,
            recheck: Some(SOON),
            ..Teardown::default()
        };
    }
    match network(input, snapshot, others_in_namespace) {
        Some(network) => {
            let step = Step::RemoveNetwork {
                id: network.id.clone(),
                name: network.name.clone(),
            };
            let status = waiting(
                input,
                reason::DELETING,
                format!("network {} to be removed", network.name),
            );
            Teardown {
                steps: vec![step],
                status,
                recheck: Some(SOON),
                ..Teardown::default()
            }
        }
        None => Teardown {
            done: true,
            look_for: Some(input.cluster.service_name(input.namespace(), input.name())),
            ..Teardown::default()
        },
    }
}

fn is_abandoned(input: &Input<'_>) -> bool {
    let annotations = input.deployment.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(labels::ABANDON))
        .is_some_and(|value| value == "true")
}

fn services<'a>(input: &Input<'_>, snapshot: &'a Snapshot) -> Vec<&'a Service> {
    let has = |service: &Service, key: &str, value: &str| {
        service
            .spec
            .labels
            .get(key)
            .is_some_and(|live| live == value)
    };
    snapshot
        .services
        .iter()
        .filter(|service| {
            has(service, labels::CLUSTER_UID, &input.cluster.uid)
                && has(service, labels::DEPLOYMENT_UID, input.uid())
        })
        .collect()
}

fn remove_services(input: &Input<'_>, services: &[&Service]) -> Teardown {
    let names: Vec<&str> = services
        .iter()
        .map(|service| service.spec.name.as_str())
        .collect();
    let names = names.join(", ");
    Teardown {
        steps: services
            .iter()
            .map(|service| Step::RemoveService {
                id: service.id.clone(),
                name: service.spec.name.clone(),
            })
            .collect(),
        events: vec![PlannedEvent::normal(
            reason::SERVICE_DELETED,
            format!("service {names} removed"),
        )],
        status: waiting(
            input,
            reason::DELETING,
            format!("service {names} to be removed"),
        ),
        recheck: Some(SOON),
        ..Teardown::default()
    }
}

/// Tasks of this object, found by their container labels, that may still run.
fn tasks<'a>(input: &Input<'_>, snapshot: &'a Snapshot) -> Vec<&'a Task> {
    let answers = |id: &str| {
        id.is_empty()
            || snapshot
                .nodes
                .iter()
                .any(|node| node.id == id && node.state == "ready")
    };
    snapshot
        .tasks
        .iter()
        .filter(|task| {
            task.spec
                .container
                .labels
                .get(labels::CONTAINER_DEPLOYMENT_UID)
                .is_some_and(|uid| uid == input.uid())
        })
        // From assignment to the end there is something on a node.
        .filter(|task| {
            (TaskState::Assigned..=TaskState::Running).contains(&task.state)
                && answers(&task.node_id)
        })
        .collect()
}

/// The namespace's network, when it is ours and nobody of ours needs it any more.
fn network<'a>(
    input: &Input<'_>,
    snapshot: &'a Snapshot,
    others_in_namespace: bool,
) -> Option<&'a Network> {
    let name = input.cluster.namespace_network_name(input.namespace());
    let network = snapshot
        .networks
        .iter()
        .find(|network| network.name == name)?;
    let has = |key: &str, value: &str| network.labels.get(key).is_some_and(|live| live == value);
    let ours = has(labels::CLUSTER_UID, &input.cluster.uid)
        && has(labels::NETWORK, labels::NETWORK_NAMESPACE);
    let used = snapshot.services.iter().any(|service| {
        service
            .spec
            .task
            .networks
            .iter()
            .any(|attached| attached.target == network.id)
    });
    let patient = input
        .deployment
        .metadata
        .deletion_timestamp
        .as_ref()
        .is_none_or(|deleted| {
            Duration::try_from(input.now.duration_since(deleted.0)).unwrap_or_default()
                < NETWORK_PATIENCE
        });
    (ours && !used && !others_in_namespace && patient).then_some(network)
}

fn waiting(input: &Input<'_>, reason: &'static str, what: String) -> DeploymentStatus {
    let mut status = input.deployment.status.clone().unwrap_or_default();
    let before = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&before, input.generation(), input.now);
    let message = format!("waiting for: {what}");
    let ready = if reason == reason::SWARM_UNREACHABLE {
        Is::Unknown
    } else {
        Is::False
    };
    conditions.set(c::READY, ready, reason, message.clone());
    conditions.set(c::RECONCILING, true, reason, message.clone());
    conditions.set(c::STALLED, false, reason, "");
    conditions.set(c::TERMINATING, true, reason, message);
    status.observed_generation = Some(input.generation());
    status.conditions = conditions.finish();
    status
}

fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

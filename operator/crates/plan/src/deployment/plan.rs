//! From what is wanted and what is there to steps.

use std::time::Duration;

use api_types::conditions::{READY, reason};

use super::diff::Change;
use super::situation::{Comparison, Owned, compare};
use super::status::newest_failure;
use super::{Held, Input, Plan};
use crate::PlannedEvent;
use crate::conditions::is_true;
use crate::deployment::desired::{Desired, desired};
use crate::model::{Service, Snapshot, Step};

/// How soon to look again at something that is on its way.
const SOON: Duration = Duration::from_secs(1);
/// Most fields of one drift that are told one by one.
const MOST_DRIFT_EVENTS: usize = 10;
/// Most fields named in one message.
const MOST_FIELDS: usize = 8;

/// What to do about a Deployment now. Empty when the Swarm is as it should be, and when it is not
/// known how the Swarm is.
pub fn plan(input: &Input<'_>) -> Plan {
    let Some(snapshot) = input.observed.snapshot() else {
        return Plan::default();
    };
    if input.deployment.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let owned = Owned::find(input, snapshot);
    let desired = match desired(input, snapshot) {
        Ok(desired) => desired,
        Err(blocked) => {
            return Plan {
                blocked: Some(blocked),
                ..Plan::default()
            };
        }
    };
    match owned.primary {
        None => first(input, &desired),
        Some(service) => next(input, snapshot, &owned, service, &desired),
    }
}

/// There is no service yet.
fn first(input: &Input<'_>, desired: &Desired) -> Plan {
    if input.deployment.spec.suspend {
        return Plan {
            held: Some(Held {
                reason: reason::SUSPENDED,
                changes: Vec::new(),
            }),
            ..Plan::default()
        };
    }
    let mut steps: Vec<Step> = desired
        .networks
        .iter()
        .cloned()
        .map(Step::CreateNetwork)
        .collect();
    steps.push(Step::CreateService(Box::new(desired.spec.clone())));
    let created = format!(
        "service {} created with image {}",
        desired.spec.name, desired.spec.task.container.image
    );
    let mut events = vec![match lost_service(input) {
        Some(id) => PlannedEvent::warning(
            reason::DRIFT_REPAIRED,
            format!("service {id} was removed from the Swarm; {created}"),
        ),
        None => PlannedEvent::normal(reason::SERVICE_CREATED, created),
    }];
    events.extend(stop_first(desired));
    Plan {
        steps,
        events,
        ..Plan::default()
    }
}

/// Id of the service that was there when the Deployment was last Ready: it did not go by our
/// doing, because a service that we replace is not Ready meanwhile.
fn lost_service<'a>(input: &Input<'a>) -> Option<&'a str> {
    let status = input.deployment.status.as_ref()?;
    let service = status.service.as_ref()?;
    is_true(&status.conditions, READY).then_some(&service.id)
}

/// There is one.
fn next(
    input: &Input<'_>,
    snapshot: &Snapshot,
    owned: &Owned<'_>,
    service: &Service,
    desired: &Desired,
) -> Plan {
    let comparison = compare(input, snapshot, service, desired);
    let mut plan = write(input, &comparison);
    if plan.held.is_none() && plan.steps.is_empty() {
        remove_leftovers(&comparison, owned, &mut plan);
    }
    let (failure, wants_log) = newest_failure(input, &comparison, snapshot);
    plan.wants_log_of = failure.filter(|_| wants_log).map(|failure| failure.task_id);
    plan.recheck = [plan.recheck, comparison.tasks.next]
        .into_iter()
        .flatten()
        .min();
    plan
}

/// The step that makes the live service the wanted one, if one is due.
fn write(input: &Input<'_>, comparison: &Comparison<'_>) -> Plan {
    let changes = comparison.changes.clone();
    let hold = |reason, recheck| Plan {
        held: Some(Held {
            reason,
            changes: changes.clone(),
        }),
        recheck,
        ..Plan::default()
    };
    if input.deployment.spec.suspend {
        // Suspending is itself a new generation, and no difference worth showing.
        let mut plan = hold(reason::SUSPENDED, None);
        if let Some(held) = &mut plan.held {
            held.changes.retain(|change| !change.is_bookkeeping());
        }
        return plan;
    }
    if comparison.rollback_is_news(input) {
        return hold(reason::ROLLED_BACK, Some(SOON));
    }
    if changes.is_empty() {
        return Plan::default();
    }
    let Service {
        id, version, spec, ..
    } = comparison.service;
    if comparison.needs_replacement() {
        let message = format!(
            "service {} is removed and created again: the mode of a service cannot be changed",
            spec.name
        );
        return Plan {
            steps: vec![Step::RemoveService {
                id: id.clone(),
                name: spec.name.clone(),
            }],
            events: vec![PlannedEvent::normal(reason::SERVICE_REPLACED, message)],
            changes,
            recheck: Some(SOON),
            ..Plan::default()
        };
    }
    if comparison.must_wait_for_rollout(input) {
        return hold(reason::ROLLING_OUT, Some(SOON));
    }
    let mut steps: Vec<Step> = comparison
        .desired
        .networks
        .iter()
        .cloned()
        .map(Step::CreateNetwork)
        .collect();
    steps.push(Step::UpdateService {
        id: id.clone(),
        version: *version,
        spec: Box::new(comparison.target.clone()),
        restarts_tasks: changes.iter().any(|change| change.restarts_tasks),
    });
    Plan {
        steps,
        events: events(comparison),
        changes,
        ..Plan::default()
    }
}

/// Others that carry our uid go once the right one does its work (F70).
fn remove_leftovers(comparison: &Comparison<'_>, owned: &Owned<'_>, plan: &mut Plan) {
    if owned.leftovers.is_empty() {
        return;
    }
    if (comparison.tasks.ready.len() as u64) < comparison.tasks.desired {
        plan.recheck = Some(SOON);
        return;
    }
    for leftover in &owned.leftovers {
        plan.steps.push(Step::RemoveService {
            id: leftover.id.clone(),
            name: leftover.spec.name.clone(),
        });
        let message = format!(
            "service {} removed: {} is the service of this Deployment",
            leftover.spec.name, comparison.service.spec.name
        );
        plan.events
            .push(PlannedEvent::normal(reason::SERVICE_DELETED, message));
    }
}

/// What is to be said about an update: somebody's change field by field, ours in one sentence.
fn events(comparison: &Comparison<'_>) -> Vec<PlannedEvent> {
    let mut told: Vec<&Change> = comparison
        .changes
        .iter()
        .filter(|change| !change.is_bookkeeping())
        .collect();
    if comparison.drift && told.is_empty() {
        // Somebody took away nothing but our books.
        told.extend(
            comparison
                .changes
                .iter()
                .filter(|change| !change.is_new_generation()),
        );
    }
    let mut events = Vec::new();
    if comparison.drift {
        events.extend(
            told.iter()
                .take(MOST_DRIFT_EVENTS)
                .map(|change| PlannedEvent::warning(reason::DRIFT_REPAIRED, change.to_string())),
        );
        if told.len() > MOST_DRIFT_EVENTS {
            let rest: Vec<&str> = told
                .iter()
                .skip(MOST_DRIFT_EVENTS)
                .map(|change| change.path.as_str())
                .collect();
            events.push(PlannedEvent::warning(
                reason::DRIFT_REPAIRED,
                format!("and {}", rest.join(", ")),
            ));
        }
    } else if !told.is_empty() {
        events.push(PlannedEvent::normal(
            reason::SERVICE_UPDATED,
            summary(&told),
        ));
    }
    if told.iter().any(|change| change.path == "rollout.order") {
        events.extend(stop_first(comparison.desired));
    }
    events
}

/// `image a -> b, replicas 1 -> 3`; of Traefik's labels only how many.
fn summary(changes: &[&Change]) -> String {
    let (routing, others): (Vec<&&Change>, Vec<&&Change>) = changes
        .iter()
        .partition(|change| change.path.starts_with("labels[traefik."));
    let mut parts: Vec<String> = others
        .iter()
        .take(MOST_FIELDS)
        .map(|change| change.to_string())
        .collect();
    if others.len() > MOST_FIELDS {
        parts.push(format!("and {} more fields", others.len() - MOST_FIELDS));
    }
    if !routing.is_empty() {
        parts.push(format!("{} Traefik labels", routing.len()));
    }
    parts.join(", ")
}

fn stop_first(desired: &Desired) -> Option<PlannedEvent> {
    desired
        .stop_first_because
        .as_ref()
        .map(|why| PlannedEvent::normal(reason::STOP_FIRST_CHOSEN, why))
}

//! What to report of a Deployment.
//!
//! Guarantees: nothing in it moves by itself (no ages, no counters of restarts), so that a
//! converged object is written once (T14); every condition carries the generation; what is not
//! known is Unknown and not what it was.

use std::collections::BTreeSet;

use api_types::conditions as c;
use api_types::conditions::reason;
use api_types::deployment::{LastFailure, RolloutState, RolloutStatus, RoutedBy, ServiceReference};
use api_types::{DeploymentStatus, labels};

use super::desired::desired;
use super::situation::{Comparison, Owned, compare};
use super::verdict::{Verdict, judge};
use super::{Input, Plan};
use crate::conditions::{Conditions, Is, find};
use crate::model::{Service, Snapshot, UpdateState};
use crate::{Observed, PlannedEvent};

/// Longest log tail kept in a status.
const LONGEST_LOG: usize = 2048;

/// The whole status, to be written when it differs from the stored one. `plan` is the plan made
/// from the same input.
pub fn status(input: &Input<'_>, plan: &Plan) -> DeploymentStatus {
    let mut status = input.deployment.status.clone().unwrap_or_default();
    let before = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&before, input.generation(), input.now);
    status.observed_generation = Some(input.generation());
    status.selector = Some(format!("{}={}", labels::POD_DEPLOYMENT, input.name()));
    let snapshot = match input.observed {
        Observed::Known(snapshot) => snapshot,
        Observed::Unknown(why) => {
            for type_ in [
                c::READY,
                c::AVAILABLE,
                c::PROGRESSING,
                c::DEGRADED,
                c::ROUTED,
            ] {
                conditions.set(type_, Is::Unknown, reason::SWARM_UNREACHABLE, why);
            }
            conditions.set(c::RECONCILING, true, reason::SWARM_UNREACHABLE, why);
            conditions.set(c::STALLED, false, reason::SWARM_UNREACHABLE, "");
            status.conditions = conditions.finish();
            return status;
        }
    };
    let owned = Owned::find(input, snapshot);
    let desired = desired(input, snapshot);
    let comparison = match (&desired, owned.primary) {
        (Ok(desired), Some(service)) => Some(compare(input, snapshot, service, desired)),
        _ => None,
    };
    status.service = owned.primary.map(|service| ServiceReference {
        id: service.id.clone(),
        name: service.spec.name.clone(),
    });
    status.drift = drift(plan);
    status.routes = routes(input, owned.primary);
    if let Some(comparison) = &comparison {
        counts(&mut status, comparison, snapshot);
        status.rollout = rollout(input, comparison, plan);
        status.last_failure = newest_failure(input, comparison, snapshot).0;
    } else if owned.primary.is_none() {
        nothing_runs(&mut status, input);
    }
    let verdict = judge(
        input,
        plan,
        comparison.as_ref(),
        status.last_failure.as_ref(),
    );
    say(&mut conditions, &verdict);
    routed(&mut conditions, input, &status.routes);
    status.conditions = conditions.finish();
    status
}

/// Events about a change of state between two statuses; they say what the conditions say, once.
pub fn transitions(
    before: Option<&DeploymentStatus>,
    after: &DeploymentStatus,
) -> Vec<PlannedEvent> {
    let ready = |status: &DeploymentStatus| {
        find(&status.conditions, c::READY).map(|condition| {
            (
                condition.status.clone(),
                condition.reason.clone(),
                condition.message.clone(),
            )
        })
    };
    let Some((value, reason, message)) = ready(after) else {
        return Vec::new();
    };
    let (old_value, old_reason) = before
        .and_then(ready)
        .map(|(value, reason, _)| (value, reason))
        .unwrap_or_default();
    if value == c::status::TRUE {
        return if old_value == value {
            Vec::new()
        } else {
            vec![PlannedEvent::normal(&reason, message)]
        };
    }
    // Being on its way is no news; everything else is worth a look.
    let usual = [
        reason::PENDING,
        reason::PROGRESSING,
        reason::ROLLING_OUT,
        reason::SCALING,
        reason::REPLICAS_NOT_READY,
        reason::SUSPENDED,
        reason::DELETING,
    ];
    if usual.contains(&reason.as_str()) || (old_value == value && old_reason == reason) {
        return Vec::new();
    }
    vec![PlannedEvent::warning(&reason, message)]
}

fn drift(plan: &Plan) -> Vec<String> {
    let held = plan
        .held
        .as_ref()
        .filter(|held| held.reason == reason::SUSPENDED);
    held.map(|held| held.changes.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

/// Routes whose labels are on the live service.
fn routes(input: &Input<'_>, service: Option<&Service>) -> Vec<RoutedBy> {
    let Some(service) = service else {
        return Vec::new();
    };
    let live = &service.spec.labels;
    let on_it = input.routes.iter().filter(|route| {
        route
            .labels
            .iter()
            .all(|(key, value)| live.get(key) == Some(value))
    });
    on_it
        .map(|route| RoutedBy {
            name: route.name.clone(),
            observed_generation: route.generation,
        })
        .collect()
}

fn routed(conditions: &mut Conditions<'_>, input: &Input<'_>, on_it: &[RoutedBy]) {
    let missing: Vec<&str> = input
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .filter(|name| !on_it.iter().any(|route| route.name == *name))
        .collect();
    if input.routes.is_empty() {
        conditions.set(
            c::ROUTED,
            false,
            reason::NO_ROUTES,
            "no accepted Route names this Deployment",
        );
    } else if missing.is_empty() {
        let names: Vec<&str> = on_it.iter().map(|route| route.name.as_str()).collect();
        conditions.set(
            c::ROUTED,
            true,
            reason::ROUTES_PROGRAMMED,
            format!("the service has the labels of Route {}", names.join(", ")),
        );
    } else {
        conditions.set(
            c::ROUTED,
            false,
            reason::ROUTES_PENDING,
            format!(
                "the service does not have the labels of Route {}",
                missing.join(", ")
            ),
        );
    }
}

fn say(conditions: &mut Conditions<'_>, verdict: &Verdict) {
    let Verdict {
        ready,
        reconciling,
        stalled,
        available,
        progressing,
        degraded,
        rolled_back,
    } = verdict;
    for (type_, said) in [
        (c::READY, ready),
        (c::RECONCILING, reconciling),
        (c::STALLED, stalled),
        (c::AVAILABLE, available),
        (c::PROGRESSING, progressing),
        (c::DEGRADED, degraded),
    ] {
        conditions.set(type_, said.is, said.reason, said.message.clone());
    }
    if let Some(said) = rolled_back {
        conditions.set(c::ROLLED_BACK, said.is, said.reason, said.message.clone());
    }
}

fn counts(status: &mut DeploymentStatus, comparison: &Comparison<'_>, snapshot: &Snapshot) {
    let tasks = &comparison.tasks;
    let count = |number: usize| Some(u32::try_from(number).unwrap_or(u32::MAX));
    status.desired_replicas = Some(u32::try_from(tasks.desired).unwrap_or(u32::MAX));
    status.replicas = count(tasks.meant.len());
    status.ready_replicas = count(tasks.running.len());
    status.updated_replicas = count(tasks.updated.len());
    status.available_replicas = count(tasks.available);
    let nodes: BTreeSet<&str> = tasks
        .running
        .iter()
        .filter_map(|task| hostname(snapshot, &task.node_id))
        .collect();
    let nodes = nodes.into_iter().collect::<Vec<_>>().join(",");
    status.nodes = (!nodes.is_empty()).then_some(nodes);
}

fn nothing_runs(status: &mut DeploymentStatus, input: &Input<'_>) {
    let spec = &input.deployment.spec;
    status.desired_replicas = match spec.mode {
        api_types::deployment::Mode::Replicated => Some(spec.replicas),
        api_types::deployment::Mode::Global => None,
    };
    for count in [
        &mut status.replicas,
        &mut status.ready_replicas,
        &mut status.updated_replicas,
        &mut status.available_replicas,
    ] {
        *count = Some(0);
    }
    status.nodes = None;
    status.rollout = None;
    status.last_failure = None;
}

fn hostname<'a>(snapshot: &'a Snapshot, node_id: &str) -> Option<&'a str> {
    snapshot
        .nodes
        .iter()
        .find(|node| node.id == node_id)
        .map(|node| node.hostname.as_str())
}

fn rollout(input: &Input<'_>, comparison: &Comparison<'_>, plan: &Plan) -> Option<RolloutStatus> {
    let before = input
        .deployment
        .status
        .as_ref()
        .and_then(|status| status.rollout.clone());
    let writes = plan.changes.iter().any(|change| change.restarts_tasks) && input.refusal.is_none();
    let is_tried = comparison.template_is_live || writes;
    let attempted_hash = if is_tried {
        Some(comparison.desired.template_hash.clone())
    } else {
        before
            .as_ref()
            .and_then(|rollout| rollout.attempted_hash.clone())
    };
    let tasks = &comparison.tasks;
    let done =
        tasks.updated.len() as u64 >= tasks.desired && tasks.updated.len() == tasks.meant.len();
    let by_tasks = if done {
        RolloutState::Completed
    } else {
        RolloutState::Updating
    };
    let state = match comparison.update_state() {
        Some(UpdateState::RollbackStarted) if comparison.rolled_back => RolloutState::RollingBack,
        Some(UpdateState::RollbackPaused) if comparison.rolled_back => RolloutState::RollbackPaused,
        Some(UpdateState::RollbackCompleted) if comparison.rolled_back => RolloutState::RolledBack,
        // Written since the rollback, which left no trace in the Swarm.
        _ if comparison.rolled_back => before.as_ref().map_or(by_tasks, |rollout| rollout.state),
        Some(UpdateState::Updating) => RolloutState::Updating,
        Some(UpdateState::Paused) => RolloutState::Paused,
        _ => by_tasks,
    };
    let message = match &comparison.service.update {
        Some(update) if !update.message.is_empty() => Some(update.message.clone()),
        _ if comparison.rolled_back => before.and_then(|rollout| rollout.message),
        _ => None,
    };
    Some(RolloutStatus {
        state,
        message,
        attempted_hash,
    })
}

/// The failure to show, and whether its log is wanted. It is replaced only by one with another
/// exit code or reason: a crash loop is one failure, not a new status every few seconds.
pub(super) fn newest_failure(
    input: &Input<'_>,
    comparison: &Comparison<'_>,
    snapshot: &Snapshot,
) -> (Option<LastFailure>, bool) {
    let before = input.deployment.status.as_ref();
    let attempted = before
        .and_then(|status| status.rollout.as_ref())
        .and_then(|rollout| rollout.attempted_hash.as_ref());
    let known = before
        .and_then(|status| status.last_failure.clone())
        .filter(|_| attempted == Some(&comparison.desired.template_hash));
    let newest = comparison.tasks.failures.first();
    let mut failure = match (known, newest) {
        (known, None) => known,
        (Some(known), Some(newest))
            if known.exit_code == newest.task.exit_code && known.reason == newest.reason =>
        {
            Some(known)
        }
        (_, Some(newest)) => Some(LastFailure {
            task_id: newest.task.id.clone(),
            node: hostname(snapshot, &newest.task.node_id).map(ToOwned::to_owned),
            exit_code: newest.task.exit_code,
            reason: newest.reason.to_owned(),
            message: Some(newest.message.clone()),
            log_tail: None,
        }),
    };
    let Some(failure) = &mut failure else {
        return (None, false);
    };
    if let Some(tail) = input
        .log_tail
        .filter(|tail| tail.task_id == failure.task_id && failure.log_tail.is_none())
    {
        failure.log_tail = Some(tail_of(&tail.text));
    }
    let has_log = snapshot
        .tasks
        .iter()
        .any(|task| task.id == failure.task_id && !task.container_id.is_empty());
    let wants_log = failure.log_tail.is_none() && has_log;
    (Some(failure.clone()), wants_log)
}

/// The end of a text, from the beginning of a line where it had to be cut.
fn tail_of(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(LONGEST_LOG);
    if skip == 0 {
        return text.trim_end().to_owned();
    }
    let tail: String = text.chars().skip(skip).collect();
    tail.split_once('\n')
        .map_or(tail.as_str(), |(_, rest)| rest)
        .trim_end()
        .to_owned()
}

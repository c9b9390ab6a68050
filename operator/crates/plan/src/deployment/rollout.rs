//! How far the tasks are: which run the wanted template, which the one before, which fail and why.
//!
//! Tasks are judged by the template they were made from (F23, F24): a task of an older template
//! that runs is no success, and one that failed is no failure of this rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api_types::conditions::reason;
use jiff::Timestamp;

use crate::constraint::satisfies;
use crate::model::{
    Node, Service, ServiceMode, ServiceSpec, Snapshot, Task, TaskSpec, TaskState, UpdateState,
};

/// How long a task must run before it counts as ready: a program that dies at its start has died
/// by then, and nobody notices the wait.
const STEADY: Duration = Duration::from_secs(2);
/// How long two tasks in one place may be the Swarm's own doing: an old one that goes, a new one that comes.
const CROWDED: Duration = Duration::from_secs(10);
/// Failures of the wanted template from which on it is a loop.
pub(crate) const LOOP: usize = 2;

/// The tasks of one service, sorted out.
#[derive(Debug)]
pub(super) struct Tasks<'a> {
    /// How many tasks should run.
    pub desired: u64,
    /// Meant to run.
    pub meant: Vec<&'a Task>,
    /// Meant to run, of the wanted template.
    pub updated: Vec<&'a Task>,
    /// Running on a node that answers, any template.
    pub running: Vec<&'a Task>,
    /// Running for [`STEADY`] or longer, of the wanted template.
    pub ready: Vec<&'a Task>,
    /// Running for the monitor time, any template.
    pub available: usize,
    /// Meant to run, on a node that does not answer (F53).
    pub lost: Vec<&'a Task>,
    /// A place, in the user's words, where the Swarm has left more tasks than the one that is wanted.
    pub crowded: Option<String>,
    /// Failures of the wanted template, newest first.
    pub failures: Vec<Failure<'a>>,
    /// Next moment at which one of these numbers changes by itself.
    pub next: Option<Duration>,
}

/// A task that ended or cannot start.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    pub task: &'a Task,
    pub reason: &'static str,
    pub message: String,
}

/// Sorts the tasks of a service, of which `wanted` is wanted.
pub(super) fn tasks<'a>(
    snapshot: &'a Snapshot,
    service: &Service,
    wanted: &ServiceSpec,
    monitor: Duration,
    now: Timestamp,
) -> Tasks<'a> {
    let nodes: BTreeMap<&str, &Node> = snapshot
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let of_service: Vec<&Task> = snapshot
        .tasks
        .iter()
        .filter(|task| task.service_id == service.id)
        .collect();
    let is_lost = |task: &Task| {
        !task.node_id.is_empty()
            && nodes
                .get(task.node_id.as_str())
                .is_none_or(|node| node.state != "ready")
    };
    let meant: Vec<&Task> = of_service
        .iter()
        .copied()
        .filter(|task| task.desired_state <= TaskState::Running)
        .collect();
    let is_updated = |task: &Task| same_template(&task.spec, &wanted.task);
    let running: Vec<&Task> = meant
        .iter()
        .copied()
        .filter(|task| task.state == TaskState::Running && !is_lost(task))
        .collect();
    let mut next: Option<Duration> = None;
    let mut has_lasted = |moment: Option<Timestamp>, time: Duration| {
        let remaining = time.saturating_sub(since(moment, now));
        if !remaining.is_zero() {
            next = Some(next.map_or(remaining, |next| next.min(remaining)));
        }
        remaining.is_zero()
    };
    let ready = running
        .iter()
        .copied()
        .filter(|task| is_updated(task) && has_lasted(changed(task), STEADY))
        .collect();
    let available = running
        .iter()
        .filter(|task| has_lasted(changed(task), monitor))
        .count();
    let crowded = seconds_in_place(service, &meant)
        .into_iter()
        .find(|task| has_lasted(task.created_at, CROWDED));
    let mut failures: Vec<Failure<'_>> = of_service
        .iter()
        .copied()
        .filter(|task| is_updated(task))
        .filter_map(failure)
        .collect();
    failures.sort_by_key(|failure| {
        std::cmp::Reverse((
            failure.task.state_since,
            failure.task.created_at,
            failure.task.id.clone(),
        ))
    });
    Tasks {
        desired: desired_count(wanted, &snapshot.nodes, &meant),
        updated: meant
            .iter()
            .copied()
            .filter(|task| is_updated(task))
            .collect(),
        lost: meant
            .iter()
            .copied()
            .filter(|task| is_lost(task) && task.state <= TaskState::Running)
            .collect(),
        crowded: crowded.map(|task| match task.slot {
            0 => format!("tasks[node {}]", task.node_id),
            slot => format!("tasks[slot {slot}]"),
        }),
        meant,
        running,
        ready,
        available,
        failures,
        next,
    }
}

/// Tasks beside an older one in the same slot (of a global service: on the same node) while nothing is
/// being updated. A task that is restarted just as an update looks at its slot is not seen by that
/// update (Engine 20.10), and the Swarm does not look again before the next one. Where it stands still
/// until a person decides, nothing is to be touched.
fn seconds_in_place<'a>(service: &Service, meant: &[&'a Task]) -> Vec<&'a Task> {
    let rests = service.update.as_ref().is_none_or(|update| {
        matches!(
            update.state,
            UpdateState::Completed | UpdateState::RollbackCompleted
        )
    });
    let mut taken = BTreeSet::new();
    meant
        .iter()
        .copied()
        .filter(|task| {
            let node = if task.slot == 0 { &*task.node_id } else { "" };
            rests && !taken.insert((task.slot, node))
        })
        .collect()
}

/// Is a task of this template one of the wanted one? A difference in constraints alone is none:
/// the Swarm keeps tasks whose node satisfies the new ones (T17).
pub(crate) fn same_template(task: &TaskSpec, wanted: &TaskSpec) -> bool {
    let TaskSpec {
        container,
        resources,
        restart,
        placement,
        networks,
        force_update,
    } = wanted;
    task.container == *container
        && task.resources == *resources
        && task.restart == *restart
        && task.placement.spread == placement.spread
        && task.placement.max_replicas_per_node == placement.max_replicas_per_node
        && task.networks == *networks
        && task.force_update == *force_update
}

/// When the task's state was reported.
fn changed(task: &Task) -> Option<Timestamp> {
    task.state_since.or(task.created_at)
}

/// Time since a moment. One in the future is another machine's clock (T29).
fn since(moment: Option<Timestamp>, now: Timestamp) -> Duration {
    moment.map_or(Duration::MAX, |moment| {
        Duration::try_from(now.duration_since(moment)).unwrap_or(Duration::MAX)
    })
}

fn desired_count(wanted: &ServiceSpec, nodes: &[Node], meant: &[&Task]) -> u64 {
    match &wanted.mode {
        ServiceMode::Replicated(replicas) => *replicas,
        ServiceMode::Other(_) => 0,
        ServiceMode::Global => {
            let uses = |node: &&Node| {
                let has_task = meant.iter().any(|task| task.node_id == node.id);
                match node.spec.availability.as_str() {
                    _ if node.state != "ready" => false,
                    "drain" => false,
                    // It keeps its task and takes no new one.
                    "pause" => has_task,
                    _ => satisfies(node, &wanted.task.placement.constraints).unwrap_or(has_task),
                }
            };
            nodes.iter().filter(uses).count() as u64
        }
    }
}

/// Why a task does not do its work, in one word and in a sentence; `None` when it does, or was
/// stopped on purpose.
pub(crate) fn failure(task: &Task) -> Option<Failure<'_>> {
    let (reason, message) = match task.state {
        TaskState::Failed | TaskState::Rejected | TaskState::Orphaned => classify(task),
        TaskState::Complete => (
            reason::COMPLETED,
            "the program ended with exit code 0".to_owned(),
        ),
        // Waiting for a node, and told why there is none.
        TaskState::New | TaskState::Allocated | TaskState::Pending
            if !task.error.is_empty() && task.desired_state <= TaskState::Running =>
        {
            classify(task)
        }
        _ => return None,
    };
    Some(Failure {
        task,
        reason,
        message,
    })
}

/// The Engine tells failures apart only by their text. First match wins.
fn classify(task: &Task) -> (&'static str, String) {
    const TEXTS: [(&str, &str); 21] = [
        ("port already in use", reason::PORT_CONFLICT),
        ("port is already allocated", reason::PORT_CONFLICT),
        ("address already in use", reason::PORT_CONFLICT),
        ("no suitable node", reason::NO_SUITABLE_NODE),
        ("no such image", reason::IMAGE_NOT_FOUND),
        ("pull access denied", reason::IMAGE_NOT_FOUND),
        ("repository does not exist", reason::IMAGE_NOT_FOUND),
        ("manifest unknown", reason::IMAGE_NOT_FOUND),
        ("manifest for", reason::IMAGE_NOT_FOUND),
        ("toomanyrequests", reason::IMAGE_PULL_FAILED),
        ("unauthorized", reason::IMAGE_PULL_FAILED),
        ("no basic auth credentials", reason::IMAGE_PULL_FAILED),
        ("no matching manifest", reason::IMAGE_PULL_FAILED),
        ("pulling image", reason::IMAGE_PULL_FAILED),
        ("error pulling", reason::IMAGE_PULL_FAILED),
        ("failed to pull", reason::IMAGE_PULL_FAILED),
        ("unhealthy", reason::UNHEALTHY),
        ("oomkilled", reason::OUT_OF_MEMORY),
        ("out of memory", reason::OUT_OF_MEMORY),
        ("non-zero exit", reason::TASK_FAILED),
        ("executable file not found", reason::START_FAILED),
    ];
    let text = if task.error.is_empty() {
        &task.message
    } else {
        &task.error
    };
    let lower = text.to_lowercase();
    let known = TEXTS
        .iter()
        .find(|(pattern, _)| lower.contains(pattern))
        .map(|(_, reason)| *reason);
    let reason = known.unwrap_or(match (task.state, task.exit_code) {
        (TaskState::Failed, Some(code)) if code != 0 => reason::TASK_FAILED,
        (TaskState::Failed | TaskState::Rejected, _) => reason::START_FAILED,
        _ => reason::TASK_FAILED,
    });
    let message = match (reason, task.exit_code) {
        (reason::TASK_FAILED, Some(137)) => {
            "the program was killed (exit code 137): by hand, or for using too much memory"
                .to_owned()
        }
        (reason::TASK_FAILED, Some(code)) if code != 0 => {
            format!("the program ended with exit code {code}")
        }
        _ => text.clone(),
    };
    (reason, message)
}

/// Time that a rollout may take without anything being wrong (F22): all its groups one after
/// another, watched as long as was asked for; never less than the user's own bound.
pub(super) fn deadline(
    asked: Duration,
    desired: u64,
    parallel: u64,
    delay: Duration,
    monitor: Duration,
) -> Duration {
    let groups = if parallel == 0 {
        1
    } else {
        desired.div_ceil(parallel).max(1)
    };
    let groups = u32::try_from(groups).unwrap_or(u32::MAX);
    asked.max((delay + monitor).saturating_mul(groups))
}

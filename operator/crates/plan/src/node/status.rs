//! What to report of a Node. Only what the managers know: usage is an agent's to tell (F51).

use api_types::conditions as c;
use api_types::conditions::reason;
use api_types::node::{NodeResources, NodeRole, Platform};
use api_types::units::Quantity;
use api_types::{Node, NodeStatus};
use jiff::Timestamp;

use super::bind::name;
use super::plan::{availability, plan};
use super::{Binding, Bindings, Unbound};
use crate::Observed;
use crate::conditions::{Conditions, Is};
use crate::model::{self, Snapshot, Task, TaskState};

/// The whole status of a Node.
pub fn status(
    object: &Node,
    bindings: &Bindings,
    observed: Observed<'_>,
    now: Timestamp,
) -> NodeStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    let before = std::mem::take(&mut status.conditions);
    let mut conditions = Conditions::new(&before, generation, now);
    status.observed_generation = Some(generation);
    match observed {
        Observed::Unknown(why) => unreachable(&mut conditions, why),
        Observed::Known(snapshot) => match bindings.machine(object, &snapshot.nodes) {
            Some(machine) => {
                let pending = !plan(object, bindings, observed).steps.is_empty();
                fill(&mut status, machine, snapshot);
                bound(&mut conditions, machine, snapshot, pending);
            }
            None => {
                status = NodeStatus {
                    observed_generation: Some(generation),
                    ..NodeStatus::default()
                };
                unbound(&mut conditions, bindings.objects.get(name(object)));
            }
        },
    }
    status.conditions = conditions.finish();
    status
}

fn unreachable(conditions: &mut Conditions<'_>, why: &str) {
    for type_ in [c::READY, c::BOUND, c::SCHEDULABLE, c::DRAINED] {
        conditions.set(type_, Is::Unknown, reason::SWARM_UNREACHABLE, why);
    }
    conditions.set(c::RECONCILING, true, reason::SWARM_UNREACHABLE, why);
    conditions.set(c::STALLED, false, reason::SWARM_UNREACHABLE, "");
}

fn unbound(conditions: &mut Conditions<'_>, binding: Option<&Binding>) {
    let (reason, message) = match binding {
        Some(Binding::Not(Unbound::Ambiguous(ids))) => (
            reason::AMBIGUOUS_HOSTNAME,
            format!(
                "several machines have this host name: name one of them in spec.swarmId ({})",
                ids.join(", ")
            ),
        ),
        Some(Binding::Not(Unbound::AlreadyBound(other))) => (
            reason::ALREADY_BOUND,
            format!("Node {other} is bound to that machine"),
        ),
        Some(Binding::Not(Unbound::NotJoined) | Binding::Bound(_)) | None => (
            reason::NOT_JOINED,
            "no machine of that name or id is in the Swarm".to_owned(),
        ),
    };
    // A machine may still join; two that cannot be told apart need somebody to choose.
    let needs_help = reason != reason::NOT_JOINED;
    for type_ in [c::READY, c::BOUND, c::SCHEDULABLE] {
        conditions.set(type_, false, reason, message.clone());
    }
    conditions.set(
        c::RECONCILING,
        !needs_help,
        reason,
        if needs_help {
            String::new()
        } else {
            message.clone()
        },
    );
    conditions.set(
        c::STALLED,
        needs_help,
        reason,
        if needs_help { message } else { String::new() },
    );
}

/// Tasks that are meant to run on a machine.
fn meant<'a>(machine: &'a model::Node, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Task> {
    snapshot.tasks.iter().filter(|task| {
        task.node_id == machine.id
            && task.desired_state <= TaskState::Running
            && task.state <= TaskState::Running
    })
}

/// Tasks whose container may still be there.
fn left(machine: &model::Node, snapshot: &Snapshot) -> usize {
    let there = |task: &&Task| {
        task.node_id == machine.id
            && (TaskState::Assigned..=TaskState::Running).contains(&task.state)
    };
    snapshot.tasks.iter().filter(there).count()
}

fn fill(status: &mut NodeStatus, machine: &model::Node, snapshot: &Snapshot) {
    let (cpus, memory) = meant(machine, snapshot).fold((0_i64, 0_i64), |(cpus, memory), task| {
        let resources = &task.spec.resources;
        (
            cpus.saturating_add(resources.reserve_nano_cpus),
            memory.saturating_add(resources.reserve_memory),
        )
    });
    let resources = |cpus, memory| {
        Some(NodeResources {
            cpu: Quantity::from_nano_cpus(cpus),
            memory: Quantity::from_bytes(memory),
        })
    };
    status.swarm_id = Some(machine.id.clone());
    status.hostname = Some(machine.hostname.clone());
    status.addresses = Some(machine.address.clone())
        .filter(|address| !address.is_empty())
        .into_iter()
        .collect();
    status.role = match machine.spec.role.as_str() {
        "manager" => Some(NodeRole::Manager),
        "worker" => Some(NodeRole::Worker),
        _ => None,
    };
    status.availability = availability(&machine.spec.availability);
    status.leader = Some(machine.leader);
    status.state = Some(machine.state.clone());
    status.engine_version = Some(machine.engine_version.clone());
    status.platform = Some(Platform {
        os: machine.os.clone(),
        architecture: machine.architecture.clone(),
    });
    status.capacity = resources(machine.nano_cpus, machine.memory_bytes);
    status.allocated = resources(cpus, memory);
    status.tasks = Some(u32::try_from(meant(machine, snapshot).count()).unwrap_or(u32::MAX));
    status.labels.clone_from(&machine.spec.labels);
}

fn bound(
    conditions: &mut Conditions<'_>,
    machine: &model::Node,
    snapshot: &Snapshot,
    pending: bool,
) {
    let ready = machine.state == "ready";
    let (why, message) = match machine.state.as_str() {
        "ready" => (reason::READY, "the machine answers".to_owned()),
        "disconnected" => (
            reason::NODE_DISCONNECTED,
            format!("the machine lost the others: {}", machine.message),
        ),
        _ => (
            reason::NODE_DOWN,
            format!(
                "the machine does not answer the managers: {}",
                machine.message
            ),
        ),
    };
    conditions.set(c::READY, ready, why, message.trim_end_matches([':', ' ']));
    conditions.set(
        c::RECONCILING,
        pending,
        if pending { reason::PROGRESSING } else { why },
        if pending {
            "labels or availability are being set"
        } else {
            ""
        },
    );
    conditions.set(c::STALLED, false, why, "");
    conditions.set(
        c::BOUND,
        true,
        reason::BOUND,
        format!("Swarm node {}", machine.id),
    );
    let (schedulable, why, message) = match machine.spec.availability.as_str() {
        _ if !ready => (false, reason::NODE_DOWN, "the machine does not answer"),
        "active" => (true, reason::ACTIVE, "it takes tasks"),
        "pause" => (
            false,
            reason::PAUSED,
            "it keeps its tasks and takes no new ones",
        ),
        _ => (false, reason::DRAINING, "its tasks move elsewhere"),
    };
    conditions.set(c::SCHEDULABLE, schedulable, why, message);
    let left = left(machine, snapshot);
    if machine.spec.availability != "drain" {
        conditions.set(
            c::DRAINED,
            false,
            reason::NOT_DRAINING,
            "availability is not Drain",
        );
    } else if !ready {
        conditions.set(
            c::DRAINED,
            Is::Unknown,
            reason::NODE_DOWN,
            "the machine does not answer",
        );
    } else if left == 0 {
        conditions.set(
            c::DRAINED,
            true,
            reason::DRAINED,
            "no task of a Deployment is left",
        );
    } else {
        conditions.set(
            c::DRAINED,
            false,
            reason::DRAINING,
            format!("tasks left: {left}"),
        );
    }
}

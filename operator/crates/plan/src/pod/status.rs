//! How a task is: phase, conditions and the state of its container.

use api_types::conditions::{self, reason};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{CONTAINER, Life, Word, is_lost, meant, word};
use crate::model::{Node, Task, TaskState};

/// Also what kubectl shows of a Pod that runs for a moment in a crash loop.
const BACK_OFF: &str = "CrashLoopBackOff";
const READY: [&str; 2] = ["ContainersReady", "Ready"];

pub(super) fn status(
    task: &Task,
    life: &Life<'_>,
    node: Option<&Node>,
    networks: &[&str],
) -> PodStatus {
    let state = container_state(task, life);
    let ready = readiness(task, life);
    let addresses = addresses(task, networks);
    let host = node.map(|node| node.address.clone());
    let host = host.filter(|address| !address.is_empty());
    let stopping = !meant(task) && task.state <= TaskState::Running;
    let mut status = PodStatus {
        phase: Some(phase(task, state.as_ref()).to_owned()),
        reason: match (stopping, life.looping) {
            (true, _) => Some(conditions::TERMINATING.to_owned()),
            (_, true) => Some(BACK_OFF.to_owned()),
            _ => None,
        },
        conditions: Some(pod_conditions(task, &ready)),
        container_statuses: state.map(|state| vec![container(task, life, state, ready.is_none())]),
        host_ips: host.clone().map(|ip| vec![HostIP { ip }]),
        host_ip: host,
        pod_ip: addresses.first().cloned(),
        pod_ips: (!addresses.is_empty())
            .then(|| addresses.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: task.created_at.map(Time),
        ..PodStatus::default()
    };
    if is_lost(task, node) {
        let name = node.map_or(task.node_id.as_str(), |node| node.hostname.as_str());
        doubt(
            &mut status,
            "NodeLost",
            &format!("node {name} does not answer"),
        );
    }
    status
}

/// Says of a Pod that nothing is known of it, because the Swarm does not answer. Whatever had ended
/// is still so.
pub fn unknown(pod: &mut Pod, why: &str) {
    if let Some(status) = &mut pod.status
        && !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
        && status.reason.as_deref() != Some(reason::SWARM_UNREACHABLE)
    {
        doubt(status, reason::SWARM_UNREACHABLE, why);
    }
}

fn doubt(status: &mut PodStatus, reason: &str, message: &str) {
    status.phase = Some("Unknown".to_owned());
    status.reason = Some(reason.to_owned());
    status.message = Some(message.to_owned());
    for container in status.container_statuses.iter_mut().flatten() {
        container.ready = false;
    }
    for condition in status.conditions.iter_mut().flatten() {
        if READY.contains(&condition.type_.as_str()) {
            condition.status = conditions::status::UNKNOWN.to_owned();
            condition.reason = Some(reason.to_owned());
            condition.message = Some(message.to_owned());
            // When it became so is nowhere told.
            condition.last_transition_time = None;
        }
    }
}

/// Kubernetes' phase. A container that will be started again does not end its Pod.
fn phase(task: &Task, container: Option<&ContainerState>) -> &'static str {
    let again = meant(task);
    match task.state {
        TaskState::Complete if !again => "Succeeded",
        TaskState::Failed | TaskState::Rejected if !again => "Failed",
        _ if container.is_none_or(|state| state.waiting.is_some()) => "Pending",
        _ => "Running",
    }
}

/// `None` where there is no node yet, and so no container.
fn container_state(task: &Task, life: &Life<'_>) -> Option<ContainerState> {
    let since = task.state_since.map(Time);
    let waiting = |reason: &str, message| ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    };
    Some(match task.state {
        TaskState::New | TaskState::Allocated | TaskState::Pending if task.node_id.is_empty() => {
            return None;
        }
        TaskState::Starting if !task.container_id.is_empty() => running(since),
        TaskState::Running => running(since),
        state if state <= TaskState::Starting => match life.previous.and_then(word) {
            Some((Word::Image, message)) => waiting("ImagePullBackOff", Some(message)),
            Some((_, message)) => {
                waiting(BACK_OFF, Some(format!("back-off restarting: {message}")))
            }
            None => waiting("ContainerCreating", None),
        },
        _ => match (word(task), terminated(task)) {
            (Some((Word::Image, message)), _) => waiting("ErrImagePull", Some(message)),
            (Some((_, message)), None) => waiting("RunContainerError", Some(message)),
            (None, None) => waiting("ContainerCreating", None),
            (_, terminated) => ContainerState {
                terminated,
                ..ContainerState::default()
            },
        },
    })
}

fn running(since: Option<Time>) -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning { started_at: since }),
        ..ContainerState::default()
    }
}

/// How a container ended, where there was one.
fn terminated(task: &Task) -> Option<ContainerStateTerminated> {
    let code = task.exit_code?;
    let (word, message) = word(task).unzip();
    let reason = match word {
        Some(Word::Memory) => "OOMKilled",
        Some(Word::Completed) | None if code == 0 => "Completed",
        _ => "Error",
    };
    Some(ContainerStateTerminated {
        exit_code: i32::try_from(code).unwrap_or(i32::MAX),
        reason: Some(reason.to_owned()),
        message: message.filter(|_| code != 0),
        finished_at: task.state_since.map(Time),
        container_id: container_id(task),
        ..ContainerStateTerminated::default()
    })
}

fn container(task: &Task, life: &Life<'_>, state: ContainerState, ready: bool) -> ContainerStatus {
    let image = &task.spec.container.image;
    ContainerStatus {
        name: CONTAINER.to_owned(),
        image: image.clone(),
        image_id: image
            .split_once('@')
            .map_or_else(String::new, |_| format!("docker-pullable://{image}")),
        container_id: container_id(task),
        ready,
        started: Some(state.running.is_some()),
        restart_count: i32::try_from(life.restarts).unwrap_or(i32::MAX),
        last_state: life
            .previous
            .and_then(terminated)
            .map(|terminated| ContainerState {
                terminated: Some(terminated),
                ..ContainerState::default()
            }),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

fn container_id(task: &Task) -> Option<String> {
    (!task.container_id.is_empty()).then(|| format!("docker://{}", task.container_id))
}

/// Why it is not ready, in a word and a sentence; `None` when it is.
fn readiness(task: &Task, life: &Life<'_>) -> Option<(&'static str, String)> {
    match task.state {
        _ if life.looping => Some((
            reason::CRASH_LOOP,
            format!("the last {} tasks of this slot failed", life.restarts),
        )),
        TaskState::Complete => Some(("PodCompleted", String::new())),
        TaskState::Running if meant(task) => None,
        TaskState::Running => Some((conditions::TERMINATING, "the Swarm stops it".to_owned())),
        _ => Some((
            "ContainersNotReady",
            format!("containers with unready status: [{CONTAINER}]"),
        )),
    }
}

fn pod_conditions(task: &Task, unready: &Option<(&'static str, String)>) -> Vec<PodCondition> {
    let created = task.created_at.map(Time);
    let condition = |type_: &str, unmet: Option<(&str, &str)>, since: &Option<Time>| PodCondition {
        type_: type_.to_owned(),
        status: match unmet {
            None => conditions::status::TRUE.to_owned(),
            Some(_) => conditions::status::FALSE.to_owned(),
        },
        reason: unmet.map(|(reason, _)| reason.to_owned()),
        message: unmet
            .map(|(_, message)| message.to_owned())
            .filter(|message| !message.is_empty()),
        last_transition_time: since.clone(),
        ..PodCondition::default()
    };
    let unscheduled = task
        .node_id
        .is_empty()
        .then_some(("Unschedulable", task.error.as_str()));
    let unready = unready
        .as_ref()
        .map(|(reason, message)| (*reason, message.as_str()));
    // Until it ran, it has not been ready since it was made: the steps on the way are no news.
    let since = match task.state {
        state if state < TaskState::Running => &created,
        _ => &task.state_since.map(Time),
    };
    let [containers, pod] = READY;
    vec![
        condition("PodScheduled", unscheduled, &created),
        condition("Initialized", None, &created),
        condition(containers, unready, since),
        condition(pod, unready, since),
    ]
}

/// Its addresses, the one in its namespace's network first.
fn addresses(task: &Task, networks: &[&str]) -> Vec<String> {
    let mut addresses: Vec<(&String, &String)> = task.addresses.iter().collect();
    addresses.sort_by_key(|(network, _)| !networks.contains(&network.as_str()));
    addresses
        .into_iter()
        .map(|(_, address)| address.clone())
        .collect()
}

//! Pods: the tasks of a Deployment, in the words that Kubernetes has for them.
//!
//! A Pod is a task. Shown are tasks that are meant to run, those that still run although they are
//! not meant to, and of a slot where nothing runs any more, the last. What the Swarm keeps of
//! earlier tasks of the slot is the restart count and the last state of the container.
//!
//! # Guarantees
//! - A function of what is observed: nothing in it moves with the clock, but for the end of a crash
//!   loop ([`Pods::recheck`]). Equal observations give equal Pods.
//! - Values out of Secrets are not in it: the environment is the Deployment's, as far as the task
//!   has it.
//! - What is not known is `Unknown`, and not what it was.

mod spec;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::{Deployment, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

pub use status::unknown;

use crate::deployment::{LOOP, failure, same_template};
use crate::hash::uuid_of;
use crate::locations::identity;
use crate::model::{Node, Snapshot, Task, TaskState};
use crate::node::{Bindings, object_name};

/// How long a task must run before its slot is out of a crash loop. Longer than the Swarm's usual
/// pause between two starts: else a program that dies after some seconds would flap.
const SETTLED: Duration = Duration::from_secs(10);
/// Characters of a task's id that are in the name: 50 bits, and a slot has few tasks.
const SHORT: usize = 10;
/// Name of the only container.
const CONTAINER: &str = "main";

/// One Pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The whole object, to be written when it differs from the stored one.
    pub pod: Pod,
    /// It fails again and again: successors may be shown less often than they come.
    pub looping: bool,
}

/// The Pods of one Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    /// By name.
    pub pods: BTreeMap<String, Shown>,
    /// When one of them changes by itself.
    pub recheck: Option<Duration>,
}

/// A snapshot, looked at as Pods.
pub struct View<'a> {
    tasks: BTreeMap<&'a str, Vec<&'a Task>>,
    nodes: BTreeMap<&'a str, &'a Node>,
    /// Names of Node objects by the id of their machine.
    names: BTreeMap<&'a str, &'a str>,
    /// Networks that belong to a namespace: a Pod's address is the one in there.
    networks: Vec<&'a str>,
}

impl<'a> View<'a> {
    /// Sorts out a snapshot.
    pub fn new(snapshot: &'a Snapshot, bindings: &'a Bindings) -> Self {
        let services: BTreeMap<&str, _> = snapshot
            .services
            .iter()
            .map(|service| (service.id.as_str(), service))
            .collect();
        let mut tasks: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
        for task in &snapshot.tasks {
            let service = services.get(task.service_id.as_str()).copied();
            if let Some(id) = identity(task, service, labels::DEPLOYMENT_ID) {
                tasks.entry(id).or_default().push(task);
            }
        }
        let is_namespaces = |labels: &BTreeMap<String, String>| {
            labels.get(labels::NETWORK).map(String::as_str) == Some(labels::NETWORK_NAMESPACE)
        };
        let networks = snapshot.networks.iter();
        Self {
            tasks,
            nodes: snapshot
                .nodes
                .iter()
                .map(|node| (node.id.as_str(), node))
                .collect(),
            names: bindings.names(),
            networks: networks
                .filter(|network| is_namespaces(&network.labels))
                .map(|network| network.id.as_str())
                .collect(),
        }
    }

    /// All Pods of a Deployment.
    pub fn pods(&self, deployment: &Deployment, now: Timestamp) -> Pods {
        let metadata = &deployment.metadata;
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else {
            return Pods::default();
        };
        let mut slots: BTreeMap<(&str, String), Vec<&Task>> = BTreeMap::new();
        let tasks = self.tasks.get(format!("{namespace}/{name}").as_str());
        for task in tasks.into_iter().flatten().copied() {
            let key = (task.service_id.as_str(), slot(name, task));
            slots.entry(key).or_default().push(task);
        }
        let mut all = Pods::default();
        for ((_, slot), tasks) in &slots {
            for (at, task) in tasks.iter().enumerate() {
                if !is_shown(task, at + 1 == tasks.len()) {
                    continue;
                }
                let life = Life::new(&tasks[..at], task, now);
                if life.looping && task.state == TaskState::Running {
                    let rest = SETTLED.saturating_sub(life.age);
                    all.recheck = Some(all.recheck.map_or(rest, |recheck| recheck.min(rest)));
                }
                let name = format!("{slot}-{}", short(&task.id));
                let shown = Shown {
                    pod: self.pod(&name, deployment, task, &life),
                    looping: life.looping,
                };
                all.pods.insert(name, shown);
            }
        }
        all
    }

    fn pod(&self, name: &str, deployment: &Deployment, task: &Task, life: &Life<'_>) -> Pod {
        let node = self.nodes.get(task.node_id.as_str()).copied();
        let named = self.names.get(task.node_id.as_str());
        let node_name = named
            .map(|name| (*name).to_owned())
            .or_else(|| node.map(|node| object_name(&node.hostname)));
        Pod {
            metadata: metadata(name, deployment, task),
            spec: Some(spec::spec(deployment, task, node_name)),
            status: Some(status::status(task, life, node, &self.networks)),
        }
    }
}

/// What the tasks of a slot before this one say about it.
struct Life<'a> {
    /// How many tasks of its template ended by themselves before it, as far as the Swarm remembers.
    restarts: usize,
    /// The last of them.
    previous: Option<&'a Task>,
    /// Time since the task's state was reported.
    age: Duration,
    /// It is one of a row of failures, and does not run long enough to be the end of it.
    looping: bool,
}

impl<'a> Life<'a> {
    fn new(before: &[&'a Task], task: &Task, now: Timestamp) -> Self {
        let ended: Vec<&Task> = before
            .iter()
            .rev()
            .copied()
            .take_while(|other| same_template(&other.spec, &task.spec) && ended(other))
            .collect();
        let since = task.state_since.or(task.created_at).unwrap_or(now);
        // A time in the future is another machine's clock (T29).
        let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let settled = task.state == TaskState::Running && age >= SETTLED;
        Self {
            restarts: ended.len(),
            previous: ended.first().copied(),
            age,
            looping: ended.len() >= LOOP && !settled && meant(task),
        }
    }
}

/// Beginning of the names of the Pods of a slot, which no other slot has: a number, or of a global
/// service the node.
fn slot(deployment: &str, task: &Task) -> String {
    match task.slot {
        0 => format!("{deployment}-{}", short(&task.node_id)),
        slot => format!("{deployment}-{slot}"),
    }
}

/// The slot that a Pod of this name shows.
pub fn slot_of(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(slot, _)| slot)
}

fn short(id: &str) -> String {
    id.chars().take(SHORT).collect::<String>().to_lowercase()
}

fn is_shown(task: &Task, last: bool) -> bool {
    let still_runs = matches!(task.state, TaskState::Starting | TaskState::Running);
    meant(task) || still_runs || last && ended(task) && task.desired_state != TaskState::Remove
}

/// Does the Swarm want it to run?
fn meant(task: &Task) -> bool {
    task.desired_state <= TaskState::Running
}

/// Did it end by itself?
fn ended(task: &Task) -> bool {
    matches!(
        task.state,
        TaskState::Complete | TaskState::Failed | TaskState::Rejected
    )
}

/// Is it on a node that does not answer (F53)?
fn is_lost(task: &Task, node: Option<&Node>) -> bool {
    !task.node_id.is_empty()
        && (TaskState::Assigned..=TaskState::Running).contains(&task.state)
        && node.is_none_or(|node| node.state != "ready")
}

fn metadata(name: &str, deployment: &Deployment, task: &Task) -> ObjectMeta {
    let owner = &deployment.metadata;
    let mut labels = owner.labels.clone().unwrap_or_default();
    labels.insert(
        labels::POD_DEPLOYMENT.to_owned(),
        owner.name.clone().unwrap_or_default(),
    );
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: owner.namespace.clone(),
        uid: Some(uuid_of(&task.id)),
        creation_timestamp: task.created_at.map(Time),
        labels: Some(labels),
        annotations: Some([(labels::POD_TASK.to_owned(), task.id.clone())].into()),
        owner_references: Some(vec![OwnerReference {
            api_version: api_types::API_VERSION.to_owned(),
            kind: "Deployment".to_owned(),
            name: owner.name.clone().unwrap_or_default(),
            uid: owner.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

/// The failure of a task as kubectl users know it.
fn word(task: &Task) -> Option<(Word, String)> {
    use api_types::conditions::reason;
    let failure = failure(task)?;
    let word = match failure.reason {
        reason::IMAGE_NOT_FOUND | reason::IMAGE_PULL_FAILED => Word::Image,
        reason::OUT_OF_MEMORY => Word::Memory,
        reason::COMPLETED => Word::Completed,
        reason::START_FAILED | reason::PORT_CONFLICT => Word::Start,
        _ => Word::Error,
    };
    Some((word, failure.message))
}

/// Kinds of failure that kubectl users tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Image,
    Start,
    Memory,
    Completed,
    Error,
}

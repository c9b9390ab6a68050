//! From "the Swarm looks different" to "look at these objects".
//!
//! Triggers carry no data: whoever is triggered observes for himself, and a trigger that is
//! lost is made up for by the periodic reconcile.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api_types::{Deployment, Node, Route, labels};
use futures::{Stream, StreamExt as _};
use kube::runtime::reflector::{Lookup, ObjectRef};
use plan::model::{Snapshot, Task};
use plan::route::{ObjectKey, Resolution};
use swarm::Observation;
use tokio::sync::mpsc;

use crate::context::Context;

/// Sends references to one controller's queue.
#[derive(Debug)]
pub struct Trigger<K: Lookup<DynamicType = ()>>(mpsc::UnboundedSender<ObjectRef<K>>);

impl<K: Lookup<DynamicType = ()>> Clone for Trigger<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Lookup<DynamicType = ()>> Trigger<K> {
    /// A trigger and the receiver that the controller drains. Unbounded, because its length is
    /// bounded by objects times observations and the controller's queue deduplicates.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<ObjectRef<K>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Look at this object.
    pub fn fire(&self, object: ObjectRef<K>) {
        // The controller has ended: nobody needs the trigger any more.
        let _ = self.0.send(object);
    }
}

/// The queues of the controllers.
#[derive(Clone, Debug)]
pub(crate) struct Triggers {
    pub deployments: Trigger<Deployment>,
    pub routes: Trigger<Route>,
    pub nodes: Trigger<Node>,
}

/// Triggers what a new observation of the Swarm concerns. Ends with the process.
pub(crate) async fn on_snapshots(context: Arc<Context>, triggers: Triggers) {
    let mut observations = context.swarm.observations();
    let mut changes = SnapshotChanges::default();
    let mut known = None;
    if !context.deployments.complete().await {
        return;
    }
    loop {
        context.pending.settled().await;
        let observation = observations.borrow_and_update().clone();
        let deployments = match &observation {
            Observation::Known(snapshot) => {
                report_orphans(&context, snapshot);
                changes.update(snapshot)
            }
            Observation::Unknown { .. } => vec![],
        };
        // From known to unknown or back is news for everything.
        if known.replace(observation.snapshot().is_some()) != Some(observation.snapshot().is_some())
        {
            everything(&context, &triggers);
        } else {
            for id in deployments {
                trigger_deployment(&context, &triggers, &id);
            }
            for node in context.nodes.state() {
                triggers.nodes.fire(ObjectRef::from_obj(&*node));
            }
        }
        if observations.changed().await.is_err() {
            return;
        }
    }
}

fn everything(context: &Context, triggers: &Triggers) {
    for deployment in context.deployments.state() {
        triggers.deployments.fire(ObjectRef::from_obj(&*deployment));
    }
    for route in context.routes.state() {
        triggers.routes.fire(ObjectRef::from_obj(&*route));
    }
    for node in context.nodes.state() {
        triggers.nodes.fire(ObjectRef::from_obj(&*node));
    }
}

/// A Deployment, and the Routes whose labels are on its service.
fn trigger_deployment(context: &Context, triggers: &Triggers, id: &str) {
    let Some((namespace, name)) = id.split_once('/') else {
        return;
    };
    triggers
        .deployments
        .fire(ObjectRef::new(name).within(namespace));
    let key = ObjectKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    for route in context
        .resolver
        .resolution()
        .by_deployment
        .get(&key)
        .into_iter()
        .flatten()
    {
        triggers
            .routes
            .fire(ObjectRef::new(&route.name).within(namespace));
    }
}

/// Triggers the Deployments and Routes for which a change of Routes or Deployments means
/// something else than before.
pub(crate) async fn on_resolutions(context: Arc<Context>, triggers: Triggers) {
    let mut changes = context.resolver.changes();
    let mut last = Arc::<Resolution>::default();
    loop {
        let now = context.resolver.resolution();
        for key in different(&last.by_deployment, &now.by_deployment) {
            triggers
                .deployments
                .fire(ObjectRef::new(&key.name).within(&key.namespace));
        }
        for key in different(&last.routes, &now.routes) {
            triggers
                .routes
                .fire(ObjectRef::new(&key.name).within(&key.namespace));
        }
        last = now;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Keys with different values in the two maps.
fn different<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(key) != Some(value))
        .map(|(key, _)| key);
    changed.chain(before.keys().filter(|key| !after.contains_key(*key)))
}

/// Triggers the Deployments that take something from a Secret (or ConfigMap) that changed.
pub(crate) async fn on_references(
    context: Arc<Context>,
    triggers: Triggers,
    changed: impl Stream<Item = (String, String)>,
    secrets: bool,
) {
    let mut changed = std::pin::pin!(changed);
    while let Some((namespace, name)) = changed.next().await {
        let refers = |deployment: &Deployment| {
            let (of_secrets, of_config_maps) = plan::deployment::referenced(&deployment.spec);
            deployment.metadata.namespace.as_deref() == Some(&namespace)
                && if secrets {
                    &of_secrets
                } else {
                    &of_config_maps
                }
                .contains(&name)
        };
        for deployment in context.deployments.state_filter(refers) {
            triggers.deployments.fire(ObjectRef::from_obj(&*deployment));
        }
    }
}

/// Counts services of ours that belong to no object. They are told of and never removed: an
/// empty store after a restore must not empty the Swarm (case F61).
fn report_orphans(context: &Context, snapshot: &Snapshot) {
    let orphans: Vec<&str> = snapshot
        .services
        .iter()
        .filter(|service| {
            let id = service
                .spec
                .labels
                .get(labels::DEPLOYMENT_ID)
                .and_then(|id| id.split_once('/'));
            id.is_none_or(|(namespace, name)| {
                context
                    .deployments
                    .get(&ObjectRef::new(name).within(namespace))
                    .is_none()
            })
        })
        .map(|service| service.spec.name.as_str())
        .collect();
    let count = i64::try_from(orphans.len()).unwrap_or(i64::MAX);
    if context.metrics.orphans.set(count) < count {
        tracing::warn!(
            services = orphans.join(", "),
            "services with our labels have no Deployment; they are left alone"
        );
    }
}

/// Remembers a digest per Deployment and tells which have changed.
#[derive(Debug, Default)]
pub struct SnapshotChanges {
    digests: HashMap<String, u64>,
}

impl SnapshotChanges {
    /// `namespace/name` of every Deployment whose services, tasks or nodes look different from
    /// the last snapshot, those that vanished included.
    pub fn update(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let digests = digest(snapshot);
        let mut changed: Vec<String> = digests
            .iter()
            .filter(|(id, digest)| self.digests.get(*id) != Some(digest))
            .map(|(id, _)| id.clone())
            .collect();
        changed.extend(
            self.digests
                .keys()
                .filter(|id| !digests.contains_key(*id))
                .cloned(),
        );
        self.digests = digests;
        changed
    }
}

/// Per `namespace/name` of a Deployment, a digest of its services, tasks and their nodes.
pub(crate) fn digest(snapshot: &Snapshot) -> HashMap<String, u64> {
    let nodes: HashMap<&str, &str> = snapshot
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node.state.as_str()))
        .collect();
    let mut tasks: HashMap<&str, Vec<&Task>> = HashMap::new();
    for task in &snapshot.tasks {
        tasks.entry(&task.service_id).or_default().push(task);
    }
    let mut digests: HashMap<String, u64> = HashMap::new();
    for service in &snapshot.services {
        let Some(id) = service.spec.labels.get(labels::DEPLOYMENT_ID) else {
            continue;
        };
        let mut hasher = DefaultHasher::new();
        (&service.id, service.version, &service.unmodelled).hash(&mut hasher);
        if let Some(update) = &service.update {
            (update.state as u8, update.completed_at).hash(&mut hasher);
        }
        for task in tasks.get(service.id.as_str()).into_iter().flatten() {
            (&task.id, task.state as u8, task.desired_state as u8).hash(&mut hasher);
            (
                &task.error,
                task.exit_code,
                nodes.get(task.node_id.as_str()),
            )
                .hash(&mut hasher);
        }
        // Two services of one Deployment (a leftover) both count.
        let digest = digests.entry(id.clone()).or_default();
        *digest = digest.rotate_left(1) ^ hasher.finish();
    }
    digests
}

#[cfg(test)]
mod tests {
    use plan::model::{Node, Service, TaskState};

    use super::*;

    fn snapshot() -> Snapshot {
        let mut service = Service {
            id: "s1".into(),
            version: 1,
            ..Service::default()
        };
        service
            .spec
            .labels
            .insert(labels::DEPLOYMENT_ID.into(), "shop/web".into());
        let task = Task {
            id: "t1".into(),
            service_id: "s1".into(),
            node_id: "n1".into(),
            state: TaskState::Running,
            ..Task::default()
        };
        let node = Node {
            id: "n1".into(),
            state: "ready".into(),
            ..Node::default()
        };
        Snapshot {
            services: vec![service],
            tasks: vec![task],
            nodes: vec![node],
            ..Snapshot::default()
        }
    }

    #[test]
    fn only_what_changed_is_triggered() {
        let mut changes = SnapshotChanges::default();
        assert_eq!(changes.update(&snapshot()), ["shop/web"]);
        assert!(changes.update(&snapshot()).is_empty());

        let mut failed = snapshot();
        failed.tasks[0].state = TaskState::Failed;
        assert_eq!(changes.update(&failed), ["shop/web"]);

        let mut down = failed.clone();
        down.nodes[0].state = "down".into();
        assert_eq!(
            changes.update(&down),
            ["shop/web"],
            "case F53: a node that is lost concerns its tasks"
        );

        assert_eq!(
            changes.update(&Snapshot::default()),
            ["shop/web"],
            "case F40: a service that is gone"
        );
        assert!(changes.update(&Snapshot::default()).is_empty());
    }
}

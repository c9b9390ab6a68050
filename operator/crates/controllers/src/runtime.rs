//! Starting the controllers, and what their runs have in common.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::{Deployment, Node, Route};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use plan::retry::{Class, Retry, retry};
use serde::de::DeserializeOwned;
use swarm::Swarm;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Scope, Settings};
use crate::error::Error;
use crate::events::Events;
use crate::memory::Memory;
use crate::metrics::{Kind, Metrics, Reconcile};
use crate::projections;
use crate::resolver::{Changes, Resolver};
use crate::sink::ProjectionSink;
use crate::triggers::{Trigger, Triggers};
use crate::watchers::{Watched, metadata, objects};
use crate::{deployment, node, route, triggers};

/// A reconcile that takes longer is logged: it holds one of a few places.
const SLOW: Duration = Duration::from_secs(5);

/// Runs the controllers until `cancel` is cancelled; running reconciles are finished.
pub async fn run(
    client: Client,
    swarm: Swarm,
    sink: Arc<dyn ProjectionSink>,
    settings: Settings,
    metrics: Metrics,
    cancel: CancellationToken,
) {
    let changes = Arc::<Changes>::default();
    let (deployments, deployment_changes) = objects::<Deployment>(&client, changes.clone());
    let (routes, route_changes) = objects::<Route>(&client, changes.clone());
    let (nodes, node_changes) = objects::<Node>(&client, Arc::default());
    let context = Arc::new(Context {
        events: Events::new(client.clone()),
        resolver: Resolver::new(routes.store.clone(), deployments.store.clone(), changes),
        notes: parking_lot::Mutex::default(),
        client: client.clone(),
        swarm,
        settings,
        metrics,
        deployments,
        routes,
        nodes,
    });
    let (to_deployments, for_deployments) = Trigger::new();
    let (to_routes, for_routes) = Trigger::new();
    let (to_nodes, for_nodes) = Trigger::new();
    let triggers = Triggers { deployments: to_deployments, routes: to_routes, nodes: to_nodes };

    let mut tasks = JoinSet::new();
    let drive = |kind| Drive { kind, context: context.clone(), cancel: cancel.clone() };
    tasks.spawn(drive("Deployment").run(
        deployment_changes,
        context.deployments.store.clone(),
        for_deployments,
        deployment::reconcile,
    ));
    tasks.spawn(drive("Route").run(route_changes, context.routes.store.clone(), for_routes, route::reconcile));
    tasks.spawn(drive("Node").run(node_changes, context.nodes.store.clone(), for_nodes, node::reconcile));
    let background = [
        tokio::spawn(triggers::on_snapshots(context.clone(), triggers.clone())),
        tokio::spawn(triggers::on_resolutions(context.clone(), triggers.clone())),
        tokio::spawn(triggers::on_references(context.clone(), triggers.clone(), metadata::<Secret>(&client), true)),
        tokio::spawn(triggers::on_references(context.clone(), triggers, metadata::<ConfigMap>(&client), false)),
        tokio::spawn(node::discover(context.clone())),
        tokio::spawn(projections::project(context.clone(), sink)),
    ];
    tracing::info!("controllers started");
    tasks.join_all().await;
    for task in background {
        task.abort();
    }
    tracing::info!("controllers stopped");
}

/// One controller.
struct Drive {
    kind: &'static str,
    context: Arc<Context>,
    cancel: CancellationToken,
}

impl Drive {
    async fn run<K, F>(
        self,
        changes: impl Stream<Item = Watched<K>> + Send + 'static,
        store: Store<K>,
        triggers: UnboundedReceiver<ObjectRef<K>>,
        reconcile: fn(Arc<K>, Arc<Scope<K>>) -> F,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        F: Future<Output = Result<Action, Error>> + Send + 'static,
    {
        let scope = Arc::new(Scope { kind: self.kind, context: self.context.clone(), memory: Memory::default() });
        let config = controller::Config::default().concurrency(self.context.settings.concurrency);
        Controller::for_stream(changes, store)
            .with_config(config)
            .reconcile_on(UnboundedReceiverStream::new(triggers))
            .graceful_shutdown_on(self.cancel.cancelled_owned())
            .run(move |object, scope| measured(reconcile(object.clone(), scope.clone()), object, scope), failed, scope)
            .for_each(|outcome| {
                // Failed reconciles are logged where they are handled; this is the queue itself.
                if let Err(error @ (controller::Error::QueueError(_) | controller::Error::RunnerError(_))) = outcome {
                    tracing::warn!("watch: {error}");
                }
                std::future::ready(())
            })
            .await;
    }
}

/// Runs one reconcile, counts it and notes its success.
async fn measured<K>(
    reconcile: impl Future<Output = Result<Action, Error>>,
    object: Arc<K>,
    scope: Arc<Scope<K>>,
) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug,
{
    let began = Instant::now();
    let outcome = reconcile.await;
    let took = began.elapsed();
    let metrics = &scope.context.metrics;
    let word = if outcome.is_ok() { "ok" } else { "error" };
    metrics.reconciles.get_or_create(&Reconcile { kind: scope.kind, outcome: word }).inc();
    metrics.seconds.get_or_create(&Kind { kind: scope.kind }).observe(took.as_secs_f64());
    if took > SLOW {
        tracing::warn!(kind = scope.kind, object = %path(&*object), seconds = took.as_secs(), "a reconcile took long");
    }
    if outcome.is_ok() {
        scope.memory.succeeded(&object.uid().unwrap_or_default());
    }
    outcome
}

/// Logs a failed reconcile and says when to try again (T21).
fn failed<K>(object: Arc<K>, error: &Error, scope: Arc<Scope<K>>) -> Action
where
    K: Resource<DynamicType = ()> + Clone + Debug,
{
    let uid = object.uid().unwrap_or_default();
    let attempts = scope.memory.failed(&uid);
    let class = error.class();
    let object = path(&*object);
    match class {
        Class::Conflict => tracing::debug!(kind = scope.kind, %object, attempts, "plan dropped: {error}"),
        Class::Bug => tracing::error!(kind = scope.kind, %object, attempts, "reconcile failed: {error}"),
        _ => tracing::warn!(kind = scope.kind, %object, attempts, "reconcile failed: {error}"),
    }
    let seed = u64::from(attempts) ^ uid.bytes().fold(0, |hash: u64, byte| hash.rotate_left(5) ^ u64::from(byte));
    match retry(class, attempts, seed) {
        Retry::OnChange => Action::await_change(),
        Retry::Now => Action::requeue(Duration::ZERO),
        Retry::After(delay) => Action::requeue(delay),
    }
}

/// `namespace/name`, or the name of a cluster-scoped object.
pub(crate) fn path<K: ResourceExt>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

//! Starting the controllers, and what their runs have in common.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::{Deployment, Node, Route};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use plan::retry::{Class, Retry, retry};
use serde::de::DeserializeOwned;
use swarm::Swarm;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Notes, Scope, Settings};
use crate::error::Error;
use crate::events::Events;
use crate::memory::Memory;
use crate::metrics::{Kind, Metrics, Reconcile};
use crate::pending::Pending;
use crate::resolver::{Changes, Resolver};
use crate::sink::ProjectionSink;
use crate::triggers::{Trigger, Triggers};
use crate::watchers::{Watched, metadata, objects};
use crate::{deployment, node, pods, projections, route, triggers};

/// A reconcile that takes longer is logged: it holds one of a few places.
const SLOW: Duration = Duration::from_secs(5);

/// How long the first look at the Swarm is waited for.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Runs the controllers until `cancel` is cancelled; running reconciles are finished.
pub async fn run(
    client: Client,
    swarm: Swarm,
    sink: Arc<dyn ProjectionSink>,
    settings: Settings,
    metrics: Metrics,
    cancel: CancellationToken,
) {
    // A process that has just started knows nothing yet: that is no news to write into every status.
    let mut observations = swarm.observations();
    let known = observations.wait_for(|observation| observation.snapshot().is_some());
    let first_look = cancel
        .run_until_cancelled(tokio::time::timeout(FIRST_LOOK, known))
        .await;
    drop(first_look);
    let changes = Arc::<Changes>::default();
    let (of_deployments, of_routes, of_nodes) = (
        Arc::<Memory<Deployment>>::default(),
        Arc::<Memory<Route>>::default(),
        Arc::<Memory<Node>>::default(),
    );
    let notes = Arc::<Mutex<HashMap<String, Notes>>>::default();
    let (memory, kept) = (of_deployments.clone(), notes.clone());
    let (deployments, deployment_changes) =
        objects::<Deployment>(&client, changes.clone(), move |uid| {
            memory.forget(uid);
            kept.lock().remove(uid);
        });
    let memory = of_routes.clone();
    let (routes, route_changes) =
        objects::<Route>(&client, changes.clone(), move |uid| memory.forget(uid));
    let memory = of_nodes.clone();
    let (nodes, node_changes) =
        objects::<Node>(&client, Arc::default(), move |uid| memory.forget(uid));
    let context = Arc::new(Context {
        events: Events::new(client.clone()),
        resolver: Resolver::new(routes.store.clone(), deployments.store.clone(), changes),
        notes,
        pending: Pending::default(),
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
    let triggers = Triggers {
        deployments: to_deployments,
        routes: to_routes,
        nodes: to_nodes,
    };

    let mut tasks = JoinSet::new();
    let drive = |kind| Drive {
        kind,
        context: context.clone(),
        cancel: cancel.clone(),
    };
    let seen = context.clone();
    let deployment_changes = deployment_changes.inspect(move |change| {
        if let Ok(deployment) = change
            && deployment.metadata.deletion_timestamp.is_none()
        {
            seen.pending.add(deployment.uid().unwrap_or_default());
        }
    });
    tasks.spawn(drive("Deployment").run(
        deployment_changes,
        of_deployments,
        context.deployments.store.clone(),
        for_deployments,
        deployment::reconcile,
    ));
    tasks.spawn(drive("Route").run(
        route_changes,
        of_routes,
        context.routes.store.clone(),
        for_routes,
        route::reconcile,
    ));
    tasks.spawn(drive("Node").run(
        node_changes,
        of_nodes,
        context.nodes.store.clone(),
        for_nodes,
        node::reconcile,
    ));
    let mut background = JoinSet::new();
    background.spawn(triggers::on_snapshots(context.clone(), triggers.clone()));
    background.spawn(triggers::on_resolutions(context.clone(), triggers.clone()));
    background.spawn(triggers::on_references(
        context.clone(),
        triggers.clone(),
        metadata::<Secret>(&client),
        true,
    ));
    background.spawn(triggers::on_references(
        context.clone(),
        triggers,
        metadata::<ConfigMap>(&client),
        false,
    ));
    background.spawn(node::discover(context.clone()));
    background.spawn(projections::project(context.clone(), sink));
    background.spawn(pods::show(context.clone()));
    tracing::info!("controllers started");
    // They end together: a loop that died alone would leave the others working on half of the truth.
    let ended = tokio::select! {
        ended = tasks.join_next() => ended,
        ended = background.join_next() => ended,
    };
    if let Some(Err(error)) = ended {
        tracing::error!("a loop of the controllers ended abnormally: {error}");
    }
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
    background.shutdown().await;
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
        memory: Arc<Memory<K>>,
        store: Store<K>,
        triggers: UnboundedReceiver<ObjectRef<K>>,
        reconcile: fn(Arc<K>, Arc<Scope<K>>) -> F,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        F: Future<Output = Result<Action, Error>> + Send + 'static,
    {
        let scope = Arc::new(Scope {
            kind: self.kind,
            context: self.context.clone(),
            memory,
        });
        let config = controller::Config::default().concurrency(self.context.settings.concurrency);
        Controller::for_stream(changes, store)
            .with_config(config)
            .reconcile_on(UnboundedReceiverStream::new(triggers))
            .graceful_shutdown_on(self.cancel.cancelled_owned())
            .run(
                move |object, scope| {
                    measured(reconcile(object.clone(), scope.clone()), object, scope)
                },
                failed,
                scope,
            )
            .for_each(|outcome| {
                // Failed reconciles are logged where they are handled; this is the queue itself.
                if let Err(
                    error @ (controller::Error::QueueError(_) | controller::Error::RunnerError(_)),
                ) = outcome
                {
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
    metrics
        .reconciles
        .get_or_create(&Reconcile {
            kind: scope.kind,
            outcome: word,
        })
        .inc();
    metrics
        .seconds
        .get_or_create(&Kind { kind: scope.kind })
        .observe(took.as_secs_f64());
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
        Class::Conflict => {
            tracing::debug!(kind = scope.kind, %object, attempts, "plan dropped: {error}")
        }
        // Every object says the same.
        Class::Unavailable if !scope.memory.outage_is_news() => {
            tracing::debug!(kind = scope.kind, %object, attempts, "reconcile failed: {error}")
        }
        Class::Bug => {
            tracing::error!(kind = scope.kind, %object, attempts, "reconcile failed: {error}")
        }
        _ => tracing::warn!(kind = scope.kind, %object, attempts, "reconcile failed: {error}"),
    }
    let seed = u64::from(attempts)
        ^ uid
            .bytes()
            .fold(0, |hash: u64, byte| hash.rotate_left(5) ^ u64::from(byte));
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

//! Nodes: the only writer of Swarm nodes, and the maker of Node objects for machines that join.

use std::sync::Arc;
use std::time::Duration;

use api_types::Node;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use plan::model::Step;
use plan::node::{Bindings, bind};
use plan::{Observed, PlannedEvent};
use swarm::Observation;

use crate::context::{Context, STALE, Scope, look_again, observed};
use crate::deployment::describe;
use crate::error::{Error, Spoken};
use crate::finalizer;
use crate::status::{FIELD_MANAGER, patch_status};

/// Time between two tries to make an object that the API server did not take.
const DISCOVERY_RETRY: Duration = Duration::from_secs(2);

/// Makes one machine match its Node and says how it is.
pub(crate) async fn reconcile(object: Arc<Node>, scope: Arc<Scope<Node>>) -> Result<Action, Error> {
    let context = &scope.context;
    let api: Api<Node> = Api::all(context.client.clone());
    let uid = object.uid().ok_or(Error::Incomplete("uid"))?;
    let object = scope.memory.newest(&object).map_or(object, Arc::new);
    let Some(observation) = scope.observation(&uid) else {
        return Ok(Action::requeue(STALE));
    };
    let (observed, bindings) = bound(context, &observation);
    if object.metadata.deletion_timestamp.is_some() {
        let deletion = plan::node::delete(&object, &bindings, observed);
        act(&object, &deletion.steps, &deletion.events, &scope).await?;
        if deletion.done {
            finalizer::release(&api, &*object).await?;
            return Ok(Action::await_change());
        }
        let status = plan::node::status(&object, &bindings, observed, context.now());
        patch_status(&api, &object, object.status.as_ref(), &status, &scope).await?;
        return Ok(look_again(&*object, deletion.recheck));
    }
    finalizer::ensure(&api, &*object).await?;
    let plan = plan::node::plan(&object, &bindings, observed);
    act(&object, &plan.steps, &plan.events, &scope).await?;
    let status = plan::node::status(&object, &bindings, observed, context.now());
    patch_status(&api, &object, object.status.as_ref(), &status, &scope).await?;
    Ok(look_again(&*object, None))
}

/// Which object belongs to which machine, by all of them.
fn bound<'a>(context: &Context, observation: &'a Observation) -> (Observed<'a>, Bindings) {
    let objects = context.nodes.state();
    let objects = objects.iter().map(Arc::as_ref);
    let machines = observation
        .snapshot()
        .map_or(&[][..], |snapshot| &snapshot.nodes);
    (observed(observation), bind(objects, machines))
}

async fn act(
    object: &Node,
    steps: &[Step],
    events: &[PlannedEvent],
    scope: &Scope<Node>,
) -> Result<(), Error> {
    let uid = object.uid().unwrap_or_default();
    for step in steps {
        match scope.context.swarm.act(step).await {
            Ok(acted) => scope.memory.acted(&uid, acted.stamp),
            Err(source) => {
                scope.memory.acted(&uid, scope.context.swarm.refresh());
                return Err(Error::Swarm {
                    doing: describe(step),
                    source,
                });
            }
        }
        tracing::info!(node = object.name_any(), "{}", describe(step));
    }
    scope
        .context
        .events
        .publish_all(&object.object_ref(&()), events)
        .await;
    Ok(())
}

/// Makes an object for every machine that has none. Ends with the process.
pub(crate) async fn discover(context: Arc<Context>) {
    let mut observations = context.swarm.observations();
    if !context.nodes.complete().await {
        return;
    }
    loop {
        let observation = observations.borrow_and_update().clone();
        let complete = match &observation {
            Observation::Known(snapshot) => {
                let (_, bindings) = bound(&context, &observation);
                create(&context, plan::node::missing(&bindings, &snapshot.nodes)).await
            }
            Observation::Unknown { .. } => true,
        };
        let changed = observations.changed();
        if complete {
            if changed.await.is_err() {
                return;
            }
        } else {
            tokio::time::sleep(DISCOVERY_RETRY).await;
        }
    }
}

/// Creates the objects; whether all of them exist now.
async fn create(context: &Context, objects: Vec<Node>) -> bool {
    let api: Api<Node> = Api::all(context.client.clone());
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let mut complete = true;
    for object in objects {
        let node = object.name_any();
        match api.create(&params, &object).await {
            Ok(_) => tracing::info!(node, "a machine joined the Swarm"),
            // Our own, which the watch has not shown yet.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => {
                tracing::warn!(node, "cannot make the Node: {}", Spoken(&error));
                complete = false;
            }
        }
    }
    complete
}

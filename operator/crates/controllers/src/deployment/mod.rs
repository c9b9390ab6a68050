//! Deployments: the only writer of Swarm services and networks (D4).

mod act;
mod cleanup;
mod observe;
mod report;

pub(crate) use act::describe;

use std::sync::Arc;
use std::time::Duration;

use api_types::Deployment;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use plan::model::Step;

use crate::context::{STALE, Scope, look_again};
use crate::deployment::act::Outcome;
use crate::error::Error;
use crate::finalizer;

/// Between two tries of what the Swarm refused or a network is in the way of: the reason (a name
/// that somebody else has, an address pool that is empty) may go without a change that we are told of.
const STUCK: Duration = Duration::from_secs(10);

/// Time until the first report about a new service, if no look at the Swarm has led to it before.
const FIRST_REPORT: Duration = Duration::from_secs(1);

/// Makes the Swarm match one Deployment and says how it went.
pub(crate) async fn reconcile(
    object: Arc<Deployment>,
    scope: Arc<Scope<Deployment>>,
) -> Result<Action, Error> {
    let uid = object.uid().ok_or(Error::Incomplete("uid"))?;
    let outcome = converge(object, &scope).await;
    scope.context.pending.remove(&uid);
    outcome
}

async fn converge(object: Arc<Deployment>, scope: &Scope<Deployment>) -> Result<Action, Error> {
    let namespace = object.namespace().ok_or(Error::Incomplete("namespace"))?;
    let api: Api<Deployment> = Api::namespaced(scope.context.client.clone(), &namespace);
    let object = scope.memory.newest(&object).map_or(object, Arc::new);
    if object.metadata.deletion_timestamp.is_some() {
        return cleanup::cleanup(&api, &object, scope).await;
    }
    finalizer::ensure(&api, &*object).await?;

    let Some(mut seen) = observe::observe(&object, scope).await? else {
        return Ok(Action::requeue(STALE));
    };
    let plan = plan::deployment::plan(&seen.input(&object, &scope.context));
    let outcome = act::act(&object, &plan.steps, &plan.changes, scope).await?;
    if outcome == Outcome::Adopted {
        return Ok(Action::requeue(STALE));
    }
    if outcome == Outcome::Done && creates(&plan.steps) {
        // The next look at the Swarm has the service and reports it; a report of its absence now
        // would only be in the way of the services that others wait for.
        report::later(&object, plan.events, scope);
        return Ok(Action::requeue(FIRST_REPORT));
    }
    report::report(&api, &object, &mut seen, &plan, scope).await?;
    let stuck = outcome == Outcome::Refused || plan.blocked.is_some();
    Ok(look_again(
        &*object,
        plan.recheck.into_iter().chain(stuck.then_some(STUCK)).min(),
    ))
}

fn creates(steps: &[Step]) -> bool {
    steps
        .iter()
        .any(|step| matches!(step, Step::CreateService(_)))
}

//! A Deployment that is being deleted: its service, tasks and network go first.

use api_types::Deployment;
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use plan::deployment::teardown;

use crate::context::{STALE, Scope, look_again};
use crate::deployment::{act, observe};
use crate::error::Error;
use crate::finalizer;
use crate::status::patch_status;

/// Takes down what is left, and releases the object when nothing is.
pub(crate) async fn cleanup(
    api: &Api<Deployment>,
    object: &Deployment,
    scope: &Scope<Deployment>,
) -> Result<Action, Error> {
    let Some(seen) = observe::observe(object, scope).await? else {
        return Ok(Action::requeue(STALE));
    };
    let teardown = teardown(
        &seen.input(object, &scope.context),
        has_neighbours(object, scope),
    );
    act::act(object, &teardown.steps, &[], scope).await?;
    if let Some(name) = &teardown.look_for
        && act::take_back_lost(object, name, scope).await?
    {
        return Ok(Action::requeue(STALE));
    }
    scope
        .context
        .events
        .publish_all(&object.object_ref(&()), &teardown.events)
        .await;
    if teardown.done {
        finalizer::release(api, object).await?;
        return Ok(Action::await_change());
    }
    patch_status(api, object, object.status.as_ref(), &teardown.status, scope).await?;
    Ok(look_again(object, teardown.recheck))
}

/// Does another Deployment that stays need the namespace's network?
fn has_neighbours(object: &Deployment, scope: &Scope<Deployment>) -> bool {
    let neighbour = |other: &Deployment| {
        other.namespace() == object.namespace()
            && other.uid() != object.uid()
            && other.metadata.deletion_timestamp.is_none()
    };
    scope.context.deployments.find(neighbour).is_some()
}

//! Routes: decides nothing about the Swarm, only reports. The labels are written by the
//! Deployment controller, which has the same resolution of all Routes (T15).

use std::sync::Arc;

use api_types::conditions::{ACCEPTED, RESOLVED_REFS, status as state};
use api_types::{Route, RouteStatus};
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use plan::PlannedEvent;

use crate::context::{Scope, look_again, observed};
use crate::error::Error;
use crate::status::patch_status;

/// Reports what became of one Route.
pub(crate) async fn reconcile(
    object: Arc<Route>,
    scope: Arc<Scope<Route>>,
) -> Result<Action, Error> {
    let context = &scope.context;
    let namespace = object.namespace().ok_or(Error::Incomplete("namespace"))?;
    let api: Api<Route> = Api::namespaced(context.client.clone(), &namespace);
    let object = scope.memory.newest(&object).map_or(object, Arc::new);
    if object.metadata.deletion_timestamp.is_some() {
        // Somebody else's finalizer holds it; ours is none.
        return Ok(Action::await_change());
    }
    let observation = context.observation();
    let resolution = context.resolver.resolution();
    let report = plan::route::status(&plan::route::Input {
        cluster: &context.settings.cluster,
        route: &object,
        resolution: &resolution,
        observed: observed(&observation),
        now: context.now(),
    });
    let events = news(object.status.as_ref(), &report.status);
    context
        .events
        .publish_all(&object.object_ref(&()), &events)
        .await;
    patch_status(
        &api,
        &object,
        object.status.as_ref(),
        &report.status,
        &scope,
    )
    .await?;
    Ok(look_again(&*object, report.recheck))
}

/// An Event for every refusal that is new.
fn news(before: Option<&RouteStatus>, after: &RouteStatus) -> Vec<PlannedEvent> {
    let said_before = |kind: &str, message: &str| {
        before.is_some_and(|status| {
            status.conditions.iter().any(|was| {
                was.type_ == kind && was.status == state::FALSE && was.message == message
            })
        })
    };
    after
        .conditions
        .iter()
        .filter(|condition| [ACCEPTED, RESOLVED_REFS].contains(&condition.type_.as_str()))
        .filter(|condition| {
            condition.status == state::FALSE && !said_before(&condition.type_, &condition.message)
        })
        .map(|condition| PlannedEvent {
            warning: true,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        })
        .collect()
}

//! Act: carry out steps, with nothing left to decide but what a failure means.

use api_types::{Deployment, labels};
use kube::ResourceExt as _;
use plan::deployment::{Change, Refusal};
use plan::model::Step;
use swarm::ErrorKind;

use crate::context::Scope;
use crate::error::Error;

/// Carries out the steps in order. A step that the Swarm refuses for its content ends it without
/// an error: the refusal is noted and reported in the status, and trying the same again would be
/// of no use. The first other failure is returned: observe and plan again.
pub(crate) async fn act(
    object: &Deployment,
    steps: &[Step],
    changes: &[Change],
    scope: &Scope<Deployment>,
) -> Result<(), Error> {
    let uid = object.uid().ok_or(Error::Incomplete("uid"))?;
    for step in steps {
        let outcome = scope.context.swarm.act(step).await;
        let refusal = match outcome {
            Ok(acted) => {
                scope.memory.acted(&uid, acted.stamp);
                log(object, step, changes);
                None
            }
            Err(error) => match (&error.kind, step) {
                (ErrorKind::NameTaken(_), Step::CreateService(spec)) if !is_ours(&spec.name, &uid, scope).await? => {
                    Some(Refusal::NameTaken(spec.name.clone()))
                }
                (ErrorKind::Invalid(_) | ErrorKind::Unsupported(_), _) => Some(Refusal::Refused(error.to_string())),
                _ => {
                    // Whether it happened is unknown: nothing older than now may be planned on.
                    scope.memory.acted(&uid, scope.context.swarm.refresh());
                    return Err(Error::Swarm { doing: describe(step), source: error });
                }
            },
        };
        let refused = refusal.is_some();
        scope.context.note(&uid, |notes| notes.refusal = refusal);
        if refused {
            return Ok(());
        }
    }
    Ok(())
}

/// Does the service that holds the name belong to this very object? Then an earlier create of
/// ours went through although we did not hear of it.
async fn is_ours(name: &str, uid: &str, scope: &Scope<Deployment>) -> Result<bool, Error> {
    let holder = scope
        .context
        .swarm
        .service(name)
        .await
        .map_err(|source| Error::Swarm { doing: format!("look up service {name}"), source })?;
    // None: it went away in between, and the next try will find the name free.
    Ok(holder.is_none_or(|service| {
        let label = |key| service.spec.labels.get(key).map(String::as_str);
        label(labels::DEPLOYMENT_UID) == Some(uid)
            && label(labels::CLUSTER_UID) == Some(scope.context.settings.cluster.uid.as_str())
    }))
}

fn log(object: &Deployment, step: &Step, changes: &[Change]) {
    let deployment = crate::runtime::path(object);
    match step {
        Step::UpdateService { restarts_tasks, .. } => {
            let changes = changes.iter().map(|c| format!("{}: {} -> {}", c.path, c.before, c.after)).collect::<Vec<_>>().join(", ");
            tracing::info!(%deployment, restarts_tasks, changes, "{}", describe(step));
        }
        _ => tracing::info!(%deployment, "{}", describe(step)),
    }
}

/// The step in a few words.
pub(crate) fn describe(step: &Step) -> String {
    match step {
        Step::CreateNetwork(spec) => format!("create network {}", spec.name),
        Step::RemoveNetwork { name, .. } => format!("remove network {name}"),
        Step::CreateService(spec) => format!("create service {}", spec.name),
        Step::UpdateService { spec, .. } => format!("update service {}", spec.name),
        Step::RemoveService { name, .. } => format!("remove service {name}"),
        Step::UpdateNode { id, .. } => format!("update node {id}"),
        Step::RemoveNode { hostname, .. } => format!("remove node {hostname}"),
    }
}

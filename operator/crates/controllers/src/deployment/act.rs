//! Act: carry out steps, with nothing left to decide but what a failure means.

use api_types::conditions::reason;
use api_types::{Deployment, labels};
use kube::{Resource as _, ResourceExt as _};
use plan::PlannedEvent;
use plan::deployment::{Change, Refusal, adopt};
use plan::model::Step;
use swarm::ErrorKind;

use crate::context::Scope;
use crate::error::Error;

/// What came of steps that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All were carried out.
    Done,
    /// One was refused; the notes say why.
    Refused,
    /// The service was there, without our labels, and has them again: observe and plan again.
    Adopted,
}

/// Carries out the steps in order. A step that the Swarm refuses for its content ends it without
/// an error: the refusal is noted and reported in the status, and trying the same again would be
/// of no use. The first other failure is returned: observe and plan again.
pub(crate) async fn act(
    object: &Deployment,
    steps: &[Step],
    changes: &[Change],
    scope: &Scope<Deployment>,
) -> Result<Outcome, Error> {
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
                (ErrorKind::NameTaken(_), Step::CreateService(spec)) => {
                    match holder(object, &spec.name, scope).await? {
                        Holder::Other => Some(Refusal::NameTaken(taken(&spec.name))),
                        Holder::Stripped(adopt) => {
                            take_back(object, &adopt, scope).await?;
                            return Ok(Outcome::Adopted);
                        }
                        Holder::Ours => return Err(unknown(step, error, &uid, scope)),
                    }
                }
                (ErrorKind::Invalid(_) | ErrorKind::Unsupported(_), _) => {
                    Some(Refusal::Refused(error.to_string()))
                }
                _ => return Err(unknown(step, error, &uid, scope)),
            },
        };
        let refused = refusal.is_some();
        scope.context.note(&uid, |notes| notes.refusal = refusal);
        if refused {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::Done)
}

/// A step of which it is unknown whether it happened: nothing older than now may be planned on.
fn unknown(step: &Step, source: swarm::Error, uid: &str, scope: &Scope<Deployment>) -> Error {
    scope.memory.acted(uid, scope.context.swarm.refresh());
    Error::Swarm {
        doing: describe(step),
        source,
    }
}

/// Whose is the service that holds our name?
enum Holder {
    /// This object's: an earlier create went through although we did not hear of it. Or nobody's
    /// any more, and the next try will find the name free.
    Ours,
    /// This object's, but somebody took our labels off; the step puts them back.
    Stripped(Step),
    Other,
}

async fn holder(
    object: &Deployment,
    name: &str,
    scope: &Scope<Deployment>,
) -> Result<Holder, Error> {
    let found = scope.context.swarm.service(name).await;
    let found = found.map_err(|source| Error::Swarm {
        doing: format!("look up service {name}"),
        source,
    })?;
    let Some(service) = found else {
        return Ok(Holder::Ours);
    };
    let cluster = &scope.context.settings.cluster;
    if let Some(step) = adopt(cluster, object, &service) {
        return Ok(Holder::Stripped(step));
    }
    let has = |key, value: Option<&str>| service.spec.labels.get(key).map(String::as_str) == value;
    let ours = has(labels::DEPLOYMENT_UID, object.uid().as_deref())
        && has(labels::CLUSTER_UID, Some(&cluster.uid));
    Ok(if ours { Holder::Ours } else { Holder::Other })
}

async fn take_back(
    object: &Deployment,
    step: &Step,
    scope: &Scope<Deployment>,
) -> Result<(), Error> {
    let uid = object.uid().unwrap_or_default();
    match scope.context.swarm.act(step).await {
        Ok(acted) => scope.memory.acted(&uid, acted.stamp),
        Err(error) => return Err(unknown(step, error, &uid, scope)),
    }
    tracing::warn!(deployment = %crate::runtime::path(object), "{}", describe(step));
    let said = PlannedEvent {
        warning: true,
        reason: reason::DRIFT_REPAIRED.to_owned(),
        message: "somebody took our labels off the service; they are back".to_owned(),
    };
    scope
        .context
        .events
        .publish_all(&object.object_ref(&()), &[said])
        .await;
    Ok(())
}

/// Before a Deployment goes: is there a service of its name that lost our labels, and with them
/// its place in the snapshots? Then it is ours again, and taken down like any other.
pub(crate) async fn take_back_lost(
    object: &Deployment,
    name: &str,
    scope: &Scope<Deployment>,
) -> Result<bool, Error> {
    let Holder::Stripped(step) = holder(object, name, scope).await? else {
        return Ok(false);
    };
    take_back(object, &step, scope).await?;
    Ok(true)
}

fn log(object: &Deployment, step: &Step, changes: &[Change]) {
    let deployment = crate::runtime::path(object);
    match step {
        Step::UpdateService { restarts_tasks, .. } => {
            let changes = changes
                .iter()
                .map(|c| format!("{}: {} -> {}", c.path, c.before, c.after))
                .collect::<Vec<_>>()
                .join(", ");
            tracing::info!(%deployment, restarts_tasks, changes, "{}", describe(step));
        }
        _ => tracing::info!(%deployment, "{}", describe(step)),
    }
}

fn taken(name: &str) -> String {
    format!(
        "a Swarm service named {name} exists that is not this control plane's; it is not touched: \
         remove it, or give this Deployment another name"
    )
}

/// The step in a few words.
pub(crate) fn describe(step: &Step) -> String {
    match step {
        Step::CreateNetwork(spec) => format!("create network {}", spec.name),
        Step::RemoveNetwork { name, .. } => format!("remove network {name}"),
        Step::CreateService(spec) => format!("create service {}", spec.name),
        Step::UpdateService { spec, .. } => format!("update service {}", spec.name),
        Step::AdoptService { spec, .. } => format!("put our labels back on service {}", spec.name),
        Step::RemoveService { name, .. } => format!("remove service {name}"),
        Step::UpdateNode { id, .. } => format!("update node {id}"),
        Step::RemoveNode { hostname, .. } => format!("remove node {hostname}"),
    }
}

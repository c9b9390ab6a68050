//! Report: Events, the status, and the log tail that the status wants to show.

use std::time::Duration;

use api_types::Deployment;
use kube::{Api, Resource as _, ResourceExt as _};
use plan::PlannedEvent;
use plan::deployment::{LogTail, Plan, status, transitions};

use crate::context::{Context, Scope};
use crate::deployment::observe::Seen;
use crate::error::Error;
use crate::status::patch_status;

/// Lines of a crashed task's log that are kept: enough for a stack trace's end.
const LOG_LINES: u32 = 20;
/// Bytes of the same. Status travels with every list, so it must stay small.
const LOG_BYTES: usize = 2048;
/// A dead node must not hold a reconcile (moby/moby#37336).
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps Events for the next report.
pub(crate) fn later(object: &Deployment, events: Vec<PlannedEvent>, scope: &Scope<Deployment>) {
    let uid = object.uid().unwrap_or_default();
    scope
        .context
        .note(&uid, |notes| notes.events.extend(events));
}

/// Publishes what happened.
pub(crate) async fn report(
    api: &Api<Deployment>,
    object: &Deployment,
    seen: &mut Seen,
    plan: &Plan,
    scope: &Scope<Deployment>,
) -> Result<(), Error> {
    let context = &scope.context;
    let uid = object.uid().unwrap_or_default();
    let mut kept = Vec::new();
    context.note(&uid, |notes| kept = std::mem::take(&mut notes.events));
    context
        .events
        .publish_all(&object.object_ref(&()), &kept)
        .await;
    if context.notes(&uid).refusal.is_none() {
        context
            .events
            .publish_all(&object.object_ref(&()), &plan.events)
            .await;
    }
    if let Some(task) = &plan.wants_log_of {
        fetch_log(context, &uid, task).await;
    }
    seen.renew_notes(context.notes(&uid));
    let wanted = status(&seen.input(object, context), plan);
    patch_status(api, object, object.status.as_ref(), &wanted, scope).await?;
    let news = transitions(object.status.as_ref(), &wanted);
    context
        .events
        .publish_all(&object.object_ref(&()), &news)
        .await;
    Ok(())
}

/// Reads the end of a task's log once. That there is none to be had is an answer too.
async fn fetch_log(context: &Context, uid: &str, task: &str) {
    if context
        .notes(uid)
        .log_tail
        .is_some_and(|tail| tail.task_id == task)
    {
        return;
    }
    let text = match context
        .swarm
        .task_log_tail(task, LOG_LINES, LOG_BYTES, LOG_TIMEOUT)
        .await
    {
        Ok(tail) => tail.text,
        Err(error) => {
            tracing::debug!(task, "no log: {error}");
            String::new()
        }
    };
    context.note(uid, |notes| {
        notes.log_tail = Some(LogTail {
            task_id: task.to_owned(),
            text,
        })
    });
}

//! What a Deployment looks like in the Swarm right now, beside what is wanted: the common ground
//! of plan and status.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::deployment::{RolloutState, RolloutStatus};
use api_types::labels;

use super::Input;
use super::desired::Desired;
use super::diff::{Change, View, diff};
use super::rollout::{Tasks, deadline, same_template, tasks};
use crate::constraint::satisfies;
use crate::model::{Service, ServiceMode, ServiceSpec, Snapshot, TaskState, UpdateState};

/// Message of the Swarm when a person asked for the rollback: then it is drift like any other.
const MANUAL_ROLLBACK: &str = "manually requested rollback";

/// The services of a Deployment, found by its uid in our label (F77).
pub(super) struct Owned<'a> {
    /// The one with the right name.
    pub primary: Option<&'a Service>,
    /// Others that carry the uid: duplicates, or made under another rule for names.
    pub leftovers: Vec<&'a Service>,
}

impl<'a> Owned<'a> {
    pub(super) fn find(input: &Input<'_>, snapshot: &'a Snapshot) -> Self {
        let name = input.cluster.service_name(input.namespace(), input.name());
        let id = format!("{}/{}", input.namespace(), input.name());
        let (mut primary, mut leftovers) = (None, Vec::new());
        for service in &snapshot.services {
            let has = |key: &str, value: &str| {
                service
                    .spec
                    .labels
                    .get(key)
                    .is_some_and(|live| live == value)
            };
            if !has(labels::CLUSTER_UID, &input.cluster.uid) {
                continue;
            }
            // A service of an object that had this name and is gone is taken over.
            let ours = has(labels::DEPLOYMENT_UID, input.uid()) || has(labels::DEPLOYMENT_ID, &id);
            if ours && service.spec.name == name {
                primary = Some(service);
            } else if has(labels::DEPLOYMENT_UID, input.uid()) {
                leftovers.push(service);
            }
        }
        Self { primary, leftovers }
    }
}

/// How the live service stands to the wanted one.
pub(super) struct Comparison<'a> {
    pub service: &'a Service,
    pub desired: &'a Desired,
    /// What the service shall be now: the wanted spec with foreign labels, and after a rollback
    /// with the template that the Swarm went back to.
    pub target: ServiceSpec,
    /// The wanted template was tried and rolled back; it is not tried again (F21).
    pub rolled_back: bool,
    /// The live template is the wanted one.
    pub template_is_live: bool,
    /// Differences between the live service and `target`.
    pub changes: Vec<Change>,
    /// Somebody changed what we wrote, as opposed to: we want something else now.
    pub drift: bool,
    /// The tasks, judged by the wanted template.
    pub tasks: Tasks<'a>,
}

/// Compares a live service with what is wanted.
pub(super) fn compare<'a>(
    input: &Input<'_>,
    snapshot: &'a Snapshot,
    service: &'a Service,
    desired: &'a Desired,
) -> Comparison<'a> {
    let live = &service.spec;
    let mut wanted = desired.spec.clone();
    wanted.labels = with_foreign_labels(live, &wanted.labels);
    // `docker service update --force` restarts tasks and is over then: undoing it would restart them again.
    if live.labels.get(labels::FORCE_UPDATE) == wanted.labels.get(labels::FORCE_UPDATE) {
        wanted.task.force_update = live.task.force_update;
    }
    let template_is_live = live.task == wanted.task && live.endpoint == wanted.endpoint;
    let rolled_back = !template_is_live && was_rolled_back(input, service, desired);
    let monitor = Duration::from_secs(u64::from(input.deployment.spec.rollout.monitor_seconds));
    let tasks = tasks(snapshot, service, &wanted, monitor, input.now);
    let mut target = wanted;
    if rolled_back {
        target.task = live.task.clone();
        target.endpoint = live.endpoint.clone();
        // They speak of the template that runs. And a write of labels alone just after a rollback,
        // while an old task still stops, is an update to the Swarm: its state would then say that
        // tasks were replaced since.
        for key in [labels::SPEC_HASH, labels::GENERATION] {
            match live.labels.get(key) {
                Some(value) => target.labels.insert(key.to_owned(), value.clone()),
                None => target.labels.remove(key),
            };
        }
    }
    // The hash says what we wrote last. After a rollback by hand it is an older one, but then this
    // very template had been written before.
    let hash = live.labels.get(labels::SPEC_HASH);
    let as_written =
        hash.is_none_or(|hash| Some(hash) == desired.spec.labels.get(labels::SPEC_HASH));
    let drift =
        as_written || (!template_is_live && !rolled_back && attempted(input, desired).is_some());
    let networks: BTreeMap<String, String> = snapshot
        .networks
        .iter()
        .map(|network| (network.id.clone(), network.name.clone()))
        .collect();
    let view = View {
        shown_env: &desired.shown_env,
        drift,
        networks: &networks,
        constraints_hold: constraints_hold(snapshot, service, &target),
    };
    let mut changes = diff(service, &target, &view);
    // Any write makes the Swarm look at every slot: it keeps a task of the template and stops the other.
    changes.extend(tasks.crowded.as_ref().map(|place| Change {
        path: place.clone(),
        before: "several".to_owned(),
        after: "1".to_owned(),
        restarts_tasks: false,
    }));
    Comparison {
        service,
        desired,
        target,
        rolled_back,
        template_is_live,
        changes,
        drift,
        tasks,
    }
}

impl Comparison<'_> {
    /// The mode cannot be changed on a live service (T19).
    pub(super) fn needs_replacement(&self) -> bool {
        std::mem::discriminant(&self.service.spec.mode) != std::mem::discriminant(&self.target.mode)
            || matches!(self.service.spec.mode, ServiceMode::Other(_))
    }

    pub(super) fn update_state(&self) -> Option<UpdateState> {
        self.service.update.as_ref().map(|update| update.state)
    }

    /// Time that the rollout may take.
    pub(super) fn deadline(&self, input: &Input<'_>) -> Duration {
        let rollout = &input.deployment.spec.rollout;
        let seconds = |value: u32| Duration::from_secs(u64::from(value));
        deadline(
            seconds(rollout.progress_deadline_seconds),
            self.tasks.desired,
            u64::from(rollout.max_parallel),
            seconds(rollout.delay_seconds),
            seconds(rollout.monitor_seconds),
        )
    }

    /// Would a write now take away the state that the Swarm would roll back to? Every update
    /// makes the spec before it the one to return to, so that a change of labels in the middle of
    /// a rollout would turn a rollback into nothing. Bounded by the rollout's deadline.
    pub(super) fn must_wait_for_rollout(&self, input: &Input<'_>) -> bool {
        let Some(update) = &self.service.update else {
            return false;
        };
        let in_progress = match update.state {
            UpdateState::Updating => self.target.update.failure_action == "rollback",
            UpdateState::RollbackStarted => self.rolled_back,
            UpdateState::Paused
            | UpdateState::Completed
            | UpdateState::RollbackPaused
            | UpdateState::RollbackCompleted
            | UpdateState::Unknown => false,
        };
        let harmless = self
            .changes
            .iter()
            .all(|change| !change.restarts_tasks && change.path != "replicas");
        // Somebody has written since we did: the state to return to is lost already.
        let lost = self.drift
            && self
                .changes
                .iter()
                .any(|change| !change.is_new_generation());
        let started = update.started_at.unwrap_or(input.now);
        let age = Duration::try_from(input.now.duration_since(started)).unwrap_or_default();
        in_progress && harmless && !lost && age < self.deadline(input)
    }

    /// The Swarm has rolled back, and the status does not say so yet. Any write would wipe the
    /// only trace of it.
    pub(super) fn rollback_is_news(&self, input: &Input<'_>) -> bool {
        let told = input
            .deployment
            .status
            .as_ref()
            .and_then(|status| status.rollout.as_ref())
            .map(|rollout| rollout.state);
        let known = matches!(
            told,
            Some(RolloutState::RolledBack | RolloutState::RollbackPaused)
        );
        self.rolled_back
            && !known
            && matches!(
                self.update_state(),
                Some(UpdateState::RollbackCompleted | UpdateState::RollbackPaused)
            )
    }
}

/// State of the rollout of just this template, if it was tried.
fn attempted<'a>(input: &Input<'a>, desired: &Desired) -> Option<&'a RolloutStatus> {
    let rollout = input.deployment.status.as_ref()?.rollout.as_ref()?;
    (rollout.attempted_hash.as_ref() == Some(&desired.template_hash)).then_some(rollout)
}

fn was_rolled_back(input: &Input<'_>, service: &Service, desired: &Desired) -> bool {
    let Some(rollout) = attempted(input, desired) else {
        return false;
    };
    let remembered = matches!(
        rollout.state,
        RolloutState::RolledBack | RolloutState::RollbackPaused | RolloutState::RollingBack
    );
    match &service.update {
        None => remembered,
        Some(update) => match update.state {
            UpdateState::RollbackStarted => update.message != MANUAL_ROLLBACK,
            UpdateState::RollbackPaused | UpdateState::RollbackCompleted => true,
            UpdateState::Unknown => remembered,
            // Something was written since. Labels alone look like this too, while an old task
            // still stops; trying the failed template again for that would never end.
            UpdateState::Updating | UpdateState::Paused | UpdateState::Completed => {
                remembered
                    && service.spec.labels.get(labels::SPEC_HASH)
                        != desired.spec.labels.get(labels::SPEC_HASH)
            }
        },
    }
}

/// Wanted labels, and those of others (F1): not under our prefixes, and not set by us for the user before.
fn with_foreign_labels(
    live: &ServiceSpec,
    wanted: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let set_before: Vec<&str> = live
        .labels
        .get(labels::LABEL_KEYS)
        .map(|keys| keys.split(',').collect())
        .unwrap_or_default();
    let foreign = live.labels.iter().filter(|(key, _)| {
        !key.starts_with(labels::PREFIX)
            && !key.starts_with(labels::TRAEFIK_PREFIX)
            && !set_before.contains(&key.as_str())
    });
    foreign
        .chain(wanted)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Do the nodes of all tasks satisfy the constraints of the target?
fn constraints_hold(snapshot: &Snapshot, service: &Service, target: &ServiceSpec) -> bool {
    if !same_template(&service.spec.task, &target.task) {
        return false;
    }
    let mut meant = snapshot
        .tasks
        .iter()
        .filter(|task| task.service_id == service.id && task.desired_state <= TaskState::Running);
    meant.all(|task| {
        let node = snapshot.nodes.iter().find(|node| node.id == task.node_id);
        node.is_some_and(|node| satisfies(node, &target.task.placement.constraints) == Some(true))
    })
}

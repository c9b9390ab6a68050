//! From tasks to conditions: is it ready, is it getting there, does somebody have to help?

use std::time::Duration;

use api_types::conditions as c;
use api_types::conditions::reason;
use api_types::deployment::{LastFailure, RestartCondition};

use super::rollout::{Failure, LOOP, Tasks};
use super::situation::Comparison;
use super::{Input, Plan, Refusal};
use crate::conditions::{Is, find};
use crate::model::{TaskState, UpdateState};

/// Longest line of a log in a message.
const LONGEST_LINE: usize = 200;

/// Value, reason and message of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub is: Is,
    pub reason: &'static str,
    pub message: String,
}

fn said(is: impl Into<Is>, reason: &'static str, message: impl Into<String>) -> Said {
    Said {
        is: is.into(),
        reason,
        message: message.into(),
    }
}

/// All conditions that follow from tasks and plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub ready: Said,
    pub reconciling: Said,
    pub stalled: Said,
    pub available: Said,
    pub progressing: Said,
    pub degraded: Said,
    pub rolled_back: Option<Said>,
}

/// Where it stands, before it is spread over the conditions.
struct Standing {
    is_ready: bool,
    /// Nothing will change until somebody does something.
    needs_help: bool,
    reason: &'static str,
    message: String,
}

impl Standing {
    fn ready(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_ready: true,
            needs_help: false,
            reason,
            message: message.into(),
        }
    }

    fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_ready: false,
            needs_help: false,
            reason,
            message: message.into(),
        }
    }

    fn stuck(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_ready: false,
            needs_help: true,
            reason,
            message: message.into(),
        }
    }
}

/// Judges a Deployment whose Swarm is known.
pub(super) fn judge(
    input: &Input<'_>,
    plan: &Plan,
    comparison: Option<&Comparison<'_>>,
    failure: Option<&LastFailure>,
) -> Verdict {
    let mut standing = standing(input, plan, comparison, failure);
    let waits = !standing.is_ready && !standing.needs_help && !input.deployment.spec.suspend;
    if let Some(exceeded) = comparison
        .filter(|_| waits)
        .and_then(|comparison| exceeded(input, comparison))
    {
        let known = ![
            reason::ROLLING_OUT,
            reason::SCALING,
            reason::REPLICAS_NOT_READY,
        ]
        .contains(&standing.reason);
        let reason = if known {
            standing.reason
        } else {
            reason::PROGRESS_DEADLINE_EXCEEDED
        };
        standing = Standing::stuck(reason, format!("{}; {exceeded}", standing.message));
    }
    let Standing {
        is_ready,
        needs_help,
        reason,
        message,
    } = &standing;
    let working = !is_ready && !needs_help && !input.deployment.spec.suspend;
    let when = |holds: bool| {
        if holds {
            message.clone()
        } else {
            String::new()
        }
    };
    let progressing = if *is_ready {
        said(true, reason::ROLLOUT_COMPLETE, message.clone())
    } else {
        said(working, reason, message.clone())
    };
    Verdict {
        ready: said(*is_ready, reason, message.clone()),
        reconciling: said(working, reason, when(working)),
        stalled: said(*needs_help, reason, when(*needs_help)),
        available: available(comparison, &standing),
        progressing,
        degraded: degraded(comparison, &standing),
        rolled_back: comparison.and_then(rolled_back),
    }
}

fn standing(
    input: &Input<'_>,
    plan: &Plan,
    comparison: Option<&Comparison<'_>>,
    failure: Option<&LastFailure>,
) -> Standing {
    if let Some(blocked) = &plan.blocked {
        let fixed_by_spec = [reason::INVALID_SPEC, reason::NAME_TAKEN].contains(&blocked.reason);
        return if fixed_by_spec {
            Standing::stuck(blocked.reason, &blocked.message)
        } else {
            Standing::waiting(blocked.reason, &blocked.message)
        };
    }
    // Without a step there is nothing left that could be refused.
    match input.refusal.filter(|_| !plan.steps.is_empty()) {
        Some(Refusal::NameTaken(message)) => return Standing::stuck(reason::NAME_TAKEN, message),
        Some(Refusal::Refused(message)) => return Standing::stuck(reason::SWARM_REFUSED, message),
        None => {}
    }
    let suspended = input.deployment.spec.suspend;
    let Some(comparison) = comparison else {
        return if suspended {
            Standing::waiting(reason::SUSPENDED, "suspended; there is no service")
        } else {
            Standing::waiting(reason::PROGRESSING, "the service is being created")
        };
    };
    if suspended {
        let held = plan.held.as_ref().map_or(0, |held| held.changes.len());
        return match (held, by_tasks(input, comparison, failure)) {
            (0, Standing { is_ready: true, .. }) => Standing::ready(
                reason::SUSPENDED,
                "suspended; the service is as the spec says",
            ),
            (0, other) => Standing {
                reason: reason::SUSPENDED,
                message: format!("suspended; {}", other.message),
                ..other
            },
            (_, _) => Standing::waiting(
                reason::SUSPENDED,
                "suspended; the service differs from the spec, see status.drift",
            ),
        };
    }
    if plan
        .changes
        .iter()
        .any(|change| change.restarts_tasks || change.path == "mode")
    {
        return Standing::waiting(reason::ROLLING_OUT, "the service is being updated");
    }
    by_update(comparison, failure).unwrap_or_else(|| by_tasks(input, comparison, failure))
}

/// What the Swarm's own state of the update says, when that decides.
fn by_update(comparison: &Comparison<'_>, failure: Option<&LastFailure>) -> Option<Standing> {
    let update = comparison.service.update.as_ref();
    let because = failure.map_or_else(
        || {
            update
                .map(|update| update.message.clone())
                .unwrap_or_default()
        },
        failure_text,
    );
    if comparison.rolled_back {
        return Some(match comparison.update_state() {
            Some(UpdateState::RollbackStarted) => Standing::waiting(
                reason::ROLLING_BACK,
                format!("the update failed and is being undone: {because}"),
            ),
            Some(UpdateState::RollbackPaused) => Standing::stuck(
                reason::ROLLBACK_PAUSED,
                format!("the update failed, and so did its rollback: {because}"),
            ),
            _ => Standing::stuck(
                reason::ROLLED_BACK,
                format!(
                    "the update failed and was undone; it is not tried again until the spec changes: {because}"
                ),
            ),
        });
    }
    if comparison.update_state() == Some(UpdateState::Paused) {
        return Some(Standing::stuck(
            reason::ROLLOUT_PAUSED,
            format!("the update failed and stands still: {because}"),
        ));
    }
    None
}

fn by_tasks(
    input: &Input<'_>,
    comparison: &Comparison<'_>,
    failure: Option<&LastFailure>,
) -> Standing {
    let tasks = &comparison.tasks;
    let Tasks { desired, .. } = tasks;
    if *desired == 0 {
        return if tasks.meant.is_empty() {
            Standing::ready(reason::SCALED_TO_ZERO, "no task is wanted and none runs")
        } else {
            Standing::waiting(reason::SCALING, "tasks are being stopped")
        };
    }
    let all_updated =
        tasks.updated.len() as u64 == *desired && tasks.meant.len() as u64 == *desired;
    let all_ready = all_updated && tasks.ready.len() as u64 == *desired;
    let was_failing = tasks
        .failures
        .first()
        .is_some_and(|failure| is_recent(failure, input));
    let steady = !was_failing || tasks.available as u64 >= *desired;
    if all_ready && steady && comparison.update_state() != Some(UpdateState::Updating) {
        return Standing::ready(
            reason::READY,
            format!("{desired} of {desired} tasks are ready"),
        );
    }
    let progress = format!("{} of {desired} tasks are ready", tasks.ready.len());
    if !tasks.lost.is_empty() {
        return Standing::waiting(
            reason::NODE_DOWN,
            format!("{progress}; a node with tasks does not answer"),
        );
    }
    let failing = if !all_ready || was_failing {
        failing(input, tasks, failure, &progress)
    } else {
        None
    };
    if let Some(standing) = failing {
        return standing;
    }
    if tasks.updated.len() < tasks.meant.len()
        || comparison.update_state() == Some(UpdateState::Updating)
    {
        let watched = if all_ready {
            "; new tasks are being watched"
        } else {
            ""
        };
        return Standing::waiting(reason::ROLLING_OUT, format!("{progress}{watched}"));
    }
    if tasks.meant.len() as u64 != *desired {
        return Standing::waiting(reason::SCALING, progress);
    }
    Standing::waiting(reason::REPLICAS_NOT_READY, progress)
}

/// Did it happen so lately that a task running now proves nothing yet?
fn is_recent(failure: &Failure<'_>, input: &Input<'_>) -> bool {
    let rollout = &input.deployment.spec.rollout;
    let window = Duration::from_secs(u64::from(rollout.monitor_seconds));
    failure.task.state_since.is_some_and(|at| {
        Duration::try_from(input.now.duration_since(at)).is_ok_and(|age| age <= window)
    })
}

/// What keeps tasks from being ready, if they fail.
fn failing(
    input: &Input<'_>,
    tasks: &Tasks<'_>,
    failure: Option<&LastFailure>,
    progress: &str,
) -> Option<Standing> {
    let newest = tasks.failures.first()?;
    let restarts = input
        .deployment
        .spec
        .restart_policy
        .as_ref()
        .map_or(RestartCondition::Any, |policy| policy.condition);
    let ends = [
        reason::TASK_FAILED,
        reason::UNHEALTHY,
        reason::OUT_OF_MEMORY,
        reason::START_FAILED,
        reason::COMPLETED,
    ];
    let ended = tasks
        .failures
        .iter()
        .filter(|failure| ends.contains(&failure.reason))
        .count();
    if newest.reason == reason::COMPLETED && restarts != RestartCondition::Any {
        return Some(Standing::stuck(
            reason::COMPLETED,
            format!("{progress}; tasks ended with exit code 0 and are not started again"),
        ));
    }
    if ends.contains(&newest.reason) && ended >= LOOP {
        let text = failure.map_or_else(|| newest.message.clone(), failure_text);
        return Some(Standing::waiting(
            reason::CRASH_LOOP,
            format!("tasks end again and again: {text}"),
        ));
    }
    Some(Standing::waiting(
        newest.reason,
        format!("{progress}; {}", newest.message),
    ))
}

/// A failure in a sentence, with the last line that the program printed.
fn failure_text(failure: &LastFailure) -> String {
    let message = failure.message.as_deref().unwrap_or(&failure.reason);
    let last_line = failure
        .log_tail
        .as_deref()
        .and_then(|tail| tail.lines().rev().find(|line| !line.trim().is_empty()));
    match last_line {
        Some(line) => format!(
            "{message}; its last words: {}",
            line.trim().chars().take(LONGEST_LINE).collect::<String>()
        ),
        None => message.to_owned(),
    }
}

/// Enough tasks serve, of whichever template. In a crash loop only those that hold out count: a
/// task that is up between two ends serves nobody, and would turn the condition with each of them.
fn available(comparison: Option<&Comparison<'_>>, standing: &Standing) -> Said {
    let Some(comparison) = comparison else {
        return said(false, reason::REPLICAS_NOT_READY, "no task runs");
    };
    let tasks = &comparison.tasks;
    let update = &comparison.target.update;
    let replacing = tasks.updated.len() < tasks.meant.len();
    // While old tasks stop before new ones start, as many are missing as are replaced at once.
    let missing = if replacing && update.order == "stop-first" {
        if update.parallelism == 0 {
            tasks.desired
        } else {
            update.parallelism
        }
    } else {
        0
    };
    let needed = tasks
        .desired
        .saturating_sub(missing)
        .max(u64::from(tasks.desired > 0));
    let running = if standing.reason == reason::CRASH_LOOP {
        tasks.available
    } else {
        tasks.running.len()
    };
    let message = format!("{running} of {} tasks run", tasks.desired);
    if tasks.desired == 0 {
        return said(true, reason::SCALED_TO_ZERO, "no task is wanted");
    }
    let enough = running as u64 >= needed;
    said(
        enough,
        if enough {
            reason::READY
        } else {
            reason::REPLICAS_NOT_READY
        },
        message,
    )
}

fn degraded(comparison: Option<&Comparison<'_>>, standing: &Standing) -> Said {
    let none = || said(false, reason::READY, "");
    let Some(comparison) = comparison else {
        return none();
    };
    let tasks = &comparison.tasks;
    if !tasks.lost.is_empty() {
        return said(
            true,
            reason::NODE_DOWN,
            format!(
                "{} of {} tasks run; a node with tasks does not answer",
                tasks.running.len(),
                tasks.desired
            ),
        );
    }
    let fails = tasks.failures.iter().any(|failure| {
        failure.task.desired_state <= TaskState::Running || failure.reason != reason::COMPLETED
    });
    let some_serve = !tasks.running.is_empty() || standing.reason == reason::CRASH_LOOP;
    if !standing.is_ready && fails && some_serve {
        return said(true, standing.reason, standing.message.clone());
    }
    none()
}

fn rolled_back(comparison: &Comparison<'_>) -> Option<Said> {
    let update = comparison.service.update.as_ref();
    let message = update
        .map(|update| update.message.clone())
        .unwrap_or_default();
    comparison
        .rolled_back
        .then(|| match comparison.update_state() {
            Some(UpdateState::RollbackStarted) => said(false, reason::ROLLING_BACK, message),
            Some(UpdateState::RollbackPaused) => said(false, reason::ROLLBACK_PAUSED, message),
            _ => said(
                true,
                reason::ROLLED_BACK,
                "the spec before the failed update runs",
            ),
        })
}

/// A sentence about the deadline, when it is over (F22). Counted from the moment at which the
/// object stopped being ready, the update began or the last task became ready, whichever is last.
fn exceeded(input: &Input<'_>, comparison: &Comparison<'_>) -> Option<String> {
    let before = input
        .deployment
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let ready = find(before, c::READY)?;
    if ready.status != c::status::FALSE {
        return None;
    }
    let moments = [
        comparison
            .service
            .update
            .as_ref()
            .and_then(|update| update.started_at),
        comparison.service.created_at,
    ];
    let progress = comparison
        .tasks
        .ready
        .iter()
        .filter_map(|task| task.state_since);
    let last = moments
        .into_iter()
        .flatten()
        .chain(progress)
        .fold(ready.last_transition_time.0, std::cmp::Ord::max);
    let deadline = comparison.deadline(input);
    let age = Duration::try_from(input.now.duration_since(last)).unwrap_or_default();
    (age > deadline).then(|| format!("no progress for {} s", deadline.as_secs()))
}

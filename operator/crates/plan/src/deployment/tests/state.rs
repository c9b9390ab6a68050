use api_types::conditions as c;

use super::{no, update, world, yes};
use crate::Observed;
use crate::deployment::{Input, LogTail, Refusal, plan, status, transitions};
use crate::model::{TaskState, UpdateState};
use crate::testing::World;

#[test]
fn failures_are_told_in_one_word() {
    let cases = [
        (
            TaskState::Rejected,
            "No such image: web:1",
            None,
            "ImageNotFound",
        ),
        (
            TaskState::Rejected,
            "pull access denied for web",
            None,
            "ImageNotFound",
        ),
        (
            TaskState::Rejected,
            "toomanyrequests: slow down",
            None,
            "ImagePullFailed",
        ),
        (
            TaskState::Rejected,
            "invalid mount config for type \"bind\": bind source path does not exist",
            None,
            "CrashLoop",
        ),
        (
            TaskState::Failed,
            "task: non-zero exit (3)",
            Some(3),
            "CrashLoop",
        ),
        (
            TaskState::Failed,
            "task: non-zero exit (137): dockerexec: unhealthy container",
            Some(137),
            "CrashLoop",
        ),
        (TaskState::Complete, "", Some(0), "CrashLoop"),
    ];
    for (state, error, code, reason) in cases {
        let mut world = world();
        world.converge();
        world.end_tasks(state, error, code);
        world.pass(1);
        world.reconcile();
        assert_eq!(world.condition(c::READY), no(reason), "{error}");
        assert_eq!(world.condition(c::AVAILABLE), no("ReplicasNotReady"));
        let status = world.deployment.status.clone();
        world.pass(5);
        world.reconcile();
        assert_eq!(
            world.deployment.status, status,
            "nothing new, nothing written"
        );
    }
    let mut world = world();
    world.converge();
    for task in &mut world.snapshot.tasks {
        task.state = TaskState::Pending;
        task.node_id.clear();
        task.error = "no suitable node (scheduling constraints not satisfied on 2 nodes)".into();
    }
    world.reconcile();
    assert_eq!(world.condition(c::READY), no("NoSuitableNode"));
    // Nobody helps: it is stuck after its deadline (F22).
    world.pass(599);
    world.reconcile();
    assert_eq!(world.condition(c::STALLED).0, "False");
    world.pass(10);
    world.reconcile();
    assert_eq!(world.condition(c::STALLED), yes("NoSuitableNode"));
}

#[test]
fn the_last_failure_keeps_exit_code_and_log() {
    // case F60
    let mut world = world();
    world.converge();
    world.end_tasks(TaskState::Failed, "task: non-zero exit (3)", Some(3));
    let asked = world.plan().wants_log_of.unwrap();
    let tail = LogTail {
        task_id: asked.clone(),
        text: "starting\nno database\n\n".into(),
    };
    let report = |world: &World, tail: Option<&LogTail>| {
        world.with_input(|input| {
            let input = Input {
                log_tail: tail,
                ..*input
            };
            let plan = plan(&input);
            (status(&input, &plan), plan.wants_log_of)
        })
    };
    let (first, _) = report(&world, Some(&tail));
    let failure = first.last_failure.clone().unwrap();
    assert_eq!(
        (failure.exit_code, failure.log_tail.as_deref()),
        (Some(3), Some("starting\nno database"))
    );
    let ready = crate::conditions::find(&first.conditions, c::READY).unwrap();
    assert!(
        ready.message.ends_with("its last words: no database"),
        "{}",
        ready.message
    );
    let news = transitions(world.deployment.status.as_ref(), &first);
    assert!(news.len() == 1 && news[0].warning && news[0].reason == "CrashLoop");
    assert!(transitions(Some(&first), &first).is_empty());
    world.deployment.status = Some(first.clone());
    // The same again by another task is no news, another exit code is.
    for task in &mut world.snapshot.tasks {
        task.id.push('x');
    }
    assert_eq!(report(&world, None), (first, None));
    world.end_tasks(TaskState::Failed, "task: non-zero exit (4)", Some(4));
    let (other, wants) = report(&world, None);
    assert_eq!(other.last_failure.unwrap().exit_code, Some(4));
    assert!(wants.is_some());
}

#[test]
fn a_program_that_just_failed_has_to_prove_itself() {
    let mut world = world();
    world.converge();
    world.end_tasks(TaskState::Failed, "task: non-zero exit (3)", Some(3));
    world.reconcile();
    let conditions = |world: &World| world.deployment.status.clone().unwrap().conditions;
    let ended = conditions(&world);
    let service = world.service().clone();
    for slot in 1..=2 {
        let task = world.task(&service, slot, "n1id", TaskState::Running);
        world.snapshot.tasks.push(task);
    }
    world.pass(5);
    let plan = world.reconcile();
    assert_eq!(world.condition(c::READY), no("CrashLoop"));
    assert_eq!(
        conditions(&world),
        ended,
        "T14: no condition turns with every start and end"
    );
    assert!(plan.recheck.is_some());
    world.pass(11);
    world.reconcile();
    assert_eq!(world.condition(c::READY), yes("Ready"));
}

#[test]
fn a_task_on_a_node_that_is_down_is_not_running() {
    // case F53
    let mut world = world();
    world.converge();
    world.snapshot.nodes[0].state = "down".into();
    world.reconcile();
    assert_eq!(world.condition(c::READY), no("NodeDown"));
    assert_eq!(world.condition(c::DEGRADED), yes("NodeDown"));
    assert_eq!(world.condition(c::AVAILABLE), no("ReplicasNotReady"));
    assert_eq!(
        world.deployment.status.as_ref().unwrap().nodes.as_deref(),
        Some("n2")
    );
}

#[test]
fn paused_scaled_to_zero_and_refused_have_their_words() {
    let mut world = world();
    world.converge();
    let paused = update(&world, UpdateState::Paused);
    world.snapshot.services[0].update = paused;
    world.reconcile();
    assert_eq!(world.condition(c::READY), no("RolloutPaused"));
    assert_eq!(world.condition(c::STALLED).0, "True");

    world.edit(|spec| spec.replicas = 0);
    world.converge();
    assert_eq!(world.condition(c::READY), yes("ScaledToZero"));
    assert_eq!(world.condition(c::AVAILABLE), yes("ScaledToZero"));

    for (refusal, reason) in [
        (Refusal::NameTaken("shop_web".into()), "NameTaken"),
        (Refusal::Refused("no".into()), "SwarmRefused"),
    ] {
        world.edit(|spec| spec.image = format!("web:{reason}"));
        let refused = world.with_input(|input| {
            let input = Input {
                refusal: Some(&refusal),
                ..*input
            };
            status(&input, &plan(&input))
        });
        let ready = crate::conditions::find(&refused.conditions, c::READY).unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str()),
            ("False", reason)
        );
    }
}

#[test]
fn unknown_is_a_value() {
    let mut world = world();
    world.converge();
    let (plan, unknown) = world.with_input(|input| {
        let input = Input {
            observed: Observed::Unknown("no manager answers"),
            ..*input
        };
        let plan = plan(&input);
        (plan.clone(), status(&input, &plan))
    });
    assert!(plan.steps.is_empty());
    for type_ in [c::READY, c::AVAILABLE, c::PROGRESSING] {
        let condition = crate::conditions::find(&unknown.conditions, type_).unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("Unknown", "SwarmUnreachable")
        );
    }
}

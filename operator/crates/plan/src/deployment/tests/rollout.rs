use api_types::conditions as c;

use super::{no, said, update, web_route, world, yes};
use crate::model::{Step, TaskState, UpdateState};

#[test]
fn a_rolled_back_spec_is_not_tried_again_until_it_changes() {
    // case F21
    let mut world = world();
    world.converge();
    let good = world.service().spec.clone();
    world.edit(|spec| spec.image = "web:bad".into());
    world.reconcile();
    // The Swarm goes back by itself: the spec of before, labels included.
    world.tamper(|service| service.spec = good.clone());
    let state = update(&world, UpdateState::RollbackCompleted);
    world.snapshot.services[0].update = state;
    let service = world.service().clone();
    world.snapshot.tasks.clear();
    for slot in 1..=2 {
        let task = world.task(&service, slot, "n1id", TaskState::Running);
        world.snapshot.tasks.push(task);
    }
    // First it is reported, since a write would wipe the only trace of it.
    assert!(world.reconcile().steps.is_empty());
    assert_eq!(world.condition(c::ROLLED_BACK), yes("RolledBack"));
    assert_eq!(world.condition(c::READY), no("RolledBack"));
    assert_eq!(world.condition(c::STALLED), yes("RolledBack"));
    assert_eq!(world.condition(c::PROGRESSING), no("RolledBack"));
    assert_eq!(
        world.condition(c::AVAILABLE),
        yes("Ready"),
        "the old spec serves"
    );
    // Then nothing: also the hash and generation on the service stay those of what runs.
    for _ in 0..3 {
        world.pass(100);
        assert!(world.reconcile().steps.is_empty());
        assert_eq!(world.condition(c::READY), no("RolledBack"));
    }
    world.routes.push(web_route("a.example.com"));
    assert!(matches!(
        &world.reconcile().steps[..],
        [Step::UpdateService {
            restarts_tasks: false,
            ..
        }]
    ));
    // The Swarm calls a write of labels an update while an old task still stops.
    for state in [UpdateState::Updating, UpdateState::Completed] {
        let state = update(&world, state);
        world.snapshot.services[0].update = state;
        for _ in 0..3 {
            assert!(world.reconcile().steps.is_empty());
            assert_eq!(world.condition(c::READY), no("RolledBack"));
        }
    }
    world.snapshot.services[0].update = None;
    world.edit(|spec| spec.replicas = 3);
    assert!(matches!(
        &world.plan().steps[..],
        [Step::UpdateService {
            restarts_tasks: false,
            ..
        }]
    ));
    assert_eq!(
        world
            .plan()
            .changes
            .iter()
            .filter(|change| change.path == "image")
            .count(),
        0
    );
    world.edit(|spec| spec.image = "web:3".into());
    assert!(matches!(
        &world.plan().steps[..],
        [Step::UpdateService {
            restarts_tasks: true,
            ..
        }]
    ));
    world.converge();
    assert_eq!(world.condition(c::READY), yes("Ready"));
    assert!(
        crate::conditions::find(
            &world.deployment.status.as_ref().unwrap().conditions,
            c::ROLLED_BACK
        )
        .is_none()
    );
}

#[test]
fn a_rollback_by_hand_is_drift() {
    let mut world = world();
    world.converge();
    let old = world.service().spec.clone();
    world.edit(|spec| spec.image = "web:2".into());
    world.converge();
    world.tamper(|service| service.spec = old);
    let mut state = update(&world, UpdateState::RollbackStarted).unwrap();
    state.message = "manually requested rollback".into();
    world.snapshot.services[0].update = Some(state);
    assert_eq!(
        said(&world.plan())[0],
        "DriftRepaired: image web:1 -> web:2"
    );
    assert!(matches!(
        &world.plan().steps[..],
        [Step::UpdateService {
            restarts_tasks: true,
            ..
        }]
    ));
}

#[test]
fn labels_wait_for_a_rollout_that_may_be_undone() {
    let mut world = world();
    world.converge();
    world.edit(|spec| spec.image = "web:2".into());
    world.reconcile();
    let state = update(&world, UpdateState::Updating);
    world.snapshot.services[0].update = state;
    world.routes.push(web_route("a.example.com"));
    let plan = world.plan();
    assert!(
        plan.steps.is_empty() && plan.recheck.is_some(),
        "a write now would make the new spec the one to go back to"
    );
    assert_eq!(plan.held.unwrap().reason, "RollingOut");
    // Not for ever, not for what the user wants now, and not when somebody else has written since.
    let routes = std::mem::take(&mut world.routes);
    let placement = |world: &mut crate::testing::World, constraints: &[&str]| {
        let wanted = constraints.iter().map(ToString::to_string).collect();
        world.tamper(|service| service.spec.task.placement.constraints = wanted);
    };
    placement(&mut world, &["node.role!=nothing"]);
    assert_eq!(world.plan().steps.len(), 1);
    placement(&mut world, &[]);
    world.routes = routes;
    world.edit(|spec| spec.replicas = 4);
    assert_eq!(world.plan().steps.len(), 1);
    world.deployment.spec.replicas = 2;
    world.pass(601);
    assert_eq!(world.plan().steps.len(), 1);
}

#[test]
fn tasks_of_an_older_template_are_no_success() {
    // cases F23, F24
    let mut world = world();
    world.converge();
    let old = world.snapshot.tasks.clone();
    world.edit(|spec| spec.image = "web:2".into());
    world.reconcile();
    world.snapshot.tasks = old;
    world.pass(100);
    world.reconcile();
    assert_eq!(world.condition(c::READY), no("RollingOut"));
    assert_eq!(world.condition(c::AVAILABLE), yes("Ready"));
    let status = world.deployment.status.as_ref().unwrap();
    assert_eq!(
        (status.ready_replicas, status.updated_replicas),
        (Some(2), Some(0))
    );
}

use api_types::conditions as c;

use super::world;
use crate::Observed;
use crate::check;
use crate::deployment::{Input, teardown};
use crate::model::{Step, TaskState};
use crate::testing::{World, at};

#[test]
fn deletion_takes_services_then_tasks_then_the_network() {
    // cases F31, F73; T25
    let mut world = world();
    world.converge();
    world.deployment.metadata.deletion_timestamp = Some(c::Time(world.now));
    assert!(world.plan().steps.is_empty());
    let step = |world: &World, others| {
        let down = world.with_input(|input| teardown(input, others));
        assert_eq!(
            check::violations(&world.cluster, &world.snapshot, &down.steps),
            Vec::<String>::new()
        );
        assert_eq!(
            down.done,
            !down
                .status
                .conditions
                .iter()
                .any(|condition| condition.type_ == c::TERMINATING)
        );
        down
    };
    let tasks = world.snapshot.tasks.clone();
    let first = step(&world, false);
    assert!(matches!(&first.steps[..], [Step::RemoveService { .. }]));
    world.apply(&first.steps);
    world.snapshot.tasks = tasks;
    let second = step(&world, false);
    assert!(second.steps.is_empty() && !second.done);
    let terminating = crate::conditions::find(&second.status.conditions, c::TERMINATING).unwrap();
    assert_eq!(terminating.message, "waiting for: 2 tasks to stop");
    // Nobody will ever report the end of a task on a lost node.
    world.snapshot.tasks[0].state = TaskState::Shutdown;
    world.snapshot.nodes[1].state = "down".into();
    assert!(step(&world, true).done, "others need the network");
    let third = step(&world, false);
    assert!(
        matches!(&third.steps[..], [Step::RemoveNetwork { name, .. }] if name == "obiente-shop")
    );
    world.pass(61);
    assert!(
        step(&world, false).done,
        "somebody else hangs on the network"
    );
    world.apply(&third.steps);
    assert!(step(&world, false).done);
}

#[test]
fn deletion_waits_for_an_unreachable_swarm_unless_it_is_given_up() {
    let mut world = world();
    world.deployment.metadata.deletion_timestamp = Some(c::Time(at(0)));
    let down = |world: &World| {
        world.with_input(|input| {
            teardown(
                &Input {
                    observed: Observed::Unknown("gone"),
                    ..*input
                },
                false,
            )
        })
    };
    let waits = down(&world);
    assert!(!waits.done);
    assert_eq!(
        crate::conditions::find(&waits.status.conditions, c::TERMINATING)
            .unwrap()
            .reason,
        "SwarmUnreachable"
    );
    world.deployment.metadata.annotations =
        Some([("obiente.cloud/abandon".to_owned(), "true".to_owned())].into());
    let given_up = down(&world);
    assert!(given_up.done && given_up.events[0].message.contains("shop_web"));
}

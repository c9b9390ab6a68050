use std::collections::BTreeMap;

use api_types::conditions as c;
use api_types::deployment::Mode;
use proptest::prelude::*;
use serde_json::json;

use super::{no, said, update, web_route, world, yes};
use crate::deployment::status;
use crate::model::{ServiceMode, Step, TaskState, UpdateState};
use crate::testing::{World, route};

#[test]
fn a_change_is_told_in_the_users_words_and_says_whether_it_restarts() {
    let mut world = world();
    world.converge();
    world.edit(|spec| spec.image = "web:2".into());
    let plan = world.plan();
    assert_eq!(said(&plan), ["ServiceUpdated: image web:1 -> web:2"]);
    assert!(matches!(
        &plan.steps[..],
        [Step::UpdateService {
            restarts_tasks: true,
            ..
        }]
    ));
    world.converge();
    world.edit(|spec| spec.replicas = 5);
    let plan = world.plan();
    assert_eq!(said(&plan), ["ServiceUpdated: replicas 2 -> 5"]);
    assert!(matches!(
        &plan.steps[..],
        [Step::UpdateService {
            restarts_tasks: false,
            ..
        }]
    ));
    assert_eq!(
        world
            .with_input(|input| status(input, &plan))
            .desired_replicas,
        Some(5)
    );
    world.converge();
    world.edit(|spec| {
        spec.labels.insert("team".into(), "shop".into());
        spec.restarted_at = Some("later".into());
    });
    assert!(
        said(&world.plan())[0]
            .starts_with("ServiceUpdated: labels[cloud.obiente.force-update] unset ->")
    );
    world.converge();
    world.edit(|spec| spec.labels.clear());
    assert_eq!(
        said(&world.plan()),
        ["ServiceUpdated: labels[team] shop -> unset"]
    );
    world.converge();
    assert!(!world.service().spec.labels.contains_key("team"));
}

#[test]
fn of_two_tasks_in_one_slot_the_swarm_is_told_to_stop_one() {
    let mut world = world();
    world.converge();
    let (service, nodes) = (world.service().clone(), world.snapshot.nodes.clone());
    let second = world.task(&service, 1, &nodes[1].id, TaskState::Running);
    world.snapshot.tasks.push(second);
    let plan = world.reconcile();
    assert!(
        plan.steps.is_empty() && plan.recheck.is_some(),
        "one may be on its way out"
    );
    world.pass(10);
    for state in [UpdateState::Updating, UpdateState::Paused] {
        world.snapshot.services[0].update = update(&world, state);
        assert!(world.plan().steps.is_empty(), "{state:?}");
    }
    world.snapshot.services[0].update = update(&world, UpdateState::Completed);
    let plan = world.plan();
    assert_eq!(said(&plan), ["DriftRepaired: tasks[slot 1] several -> 1"]);
    let [
        Step::UpdateService {
            spec,
            restarts_tasks: false,
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{plan:?}");
    };
    assert_eq!(
        **spec, service.spec,
        "the Swarm stops one of them when it is told anything"
    );
    world.snapshot.tasks.pop();
    // Of a global service every node is a place of its own.
    world.edit(|spec| spec.mode = Mode::Global);
    world.converge();
    for task in &mut world.snapshot.tasks {
        task.slot = 0;
    }
    assert!(world.plan().steps.is_empty());
    world.snapshot.tasks[0].node_id.clone_from(&nodes[1].id);
    assert_eq!(
        said(&world.plan()),
        ["DriftRepaired: tasks[node n2id] several -> 1"]
    );
}

#[test]
fn drift_is_repaired_and_named_field_by_field() {
    // case F36
    let mut world = world();
    world.edit(|spec| {
        spec.env = serde_json::from_value(json!([{"name": "A", "value": "1"}])).unwrap();
        spec.labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    });
    world.converge();
    let before = world.service().spec.clone();
    world.tamper(|service| {
        let spec = &mut service.spec;
        spec.mode = ServiceMode::Replicated(7);
        spec.task.container.image = "evil:1".into();
        spec.task.container.env.insert("A".into(), "2".into());
        spec.task
            .container
            .env
            .insert("B".into(), "password".into());
        spec.labels.insert("team".into(), "x".into());
        spec.labels
            .insert("traefik.http.routers.x.rule".into(), "Host(`x`)".into());
        spec.labels.insert("foreign".into(), "kept".into());
        spec.labels.remove("cloud.obiente.deployment");
        service
            .unmodelled
            .insert("TaskTemplate.ContainerSpec.Mounts".into(), "[{}]".into());
    });
    assert_eq!(
        said(&world.plan()),
        [
            "DriftRepaired: replicas 7 -> 2",
            "DriftRepaired: labels[cloud.obiente.deployment] unset -> true",
            "DriftRepaired: labels[team] x -> shop",
            "DriftRepaired: labels[traefik.http.routers.x.rule] Host(`x`) -> unset",
            "DriftRepaired: image evil:1 -> web:1",
            "DriftRepaired: env[A] 2 -> 1",
            "DriftRepaired: env[B] (hidden) -> unset",
            "DriftRepaired: TaskTemplate.ContainerSpec.Mounts [{}] -> unset",
        ]
    );
    world.converge();
    let mut after = world.service().spec.clone();
    assert_eq!(after.labels.remove("foreign").as_deref(), Some("kept"));
    assert_eq!(after, before);
    // The service is gone: it comes back.
    world.snapshot.services.clear();
    world.snapshot.tasks.clear();
    let plan = world.plan();
    assert!(matches!(&plan.steps[..], [Step::CreateService(_)]));
    assert_eq!(
        said(&plan),
        [
            "DriftRepaired: service s103 was removed from the Swarm; service shop_web created with image web:1"
        ]
    );
}

#[test]
fn a_forced_restart_behind_our_back_is_not_undone() {
    let mut world = world();
    world.converge();
    world.tamper(|service| service.spec.task.force_update += 1);
    assert_eq!(world.plan().steps, []);
    // A route does not undo it either: that would restart the tasks.
    world.routes.push(web_route("a.example.com"));
    assert!(matches!(
        &world.plan().steps[..],
        [Step::UpdateService {
            restarts_tasks: false,
            ..
        }]
    ));
    // case F72
    world.edit(|spec| spec.restarted_at = Some("2026-01-31T12:00:00Z".into()));
    assert!(matches!(
        &world.plan().steps[..],
        [Step::UpdateService {
            restarts_tasks: true,
            ..
        }]
    ));
    world.converge();
}

#[test]
fn no_edit_of_routes_restarts_a_task() {
    // T15, T17
    let mut world = world();
    world.converge();
    let task = world.service().spec.task.clone();
    for hosts in [
        vec!["a.example.com"],
        vec!["a.example.com", "*.b.example.com"],
        vec!["c.example.com"],
        vec![],
    ] {
        world.routes = hosts.is_empty().then(Vec::new).unwrap_or_else(|| {
            vec![route("r", 0, json!({"hostnames": hosts, "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}]}))]
        });
        let plan = world.plan();
        assert!(
            matches!(
                &plan.steps[..],
                [Step::UpdateService {
                    restarts_tasks: false,
                    ..
                }]
            ),
            "{plan:#?}"
        );
        world.converge();
        assert_eq!(world.service().spec.task, task);
        let routed = if world.routes.is_empty() {
            no("NoRoutes")
        } else {
            yes("RoutesProgrammed")
        };
        assert_eq!(world.condition(c::ROUTED), routed);
    }
    assert!(
        world
            .service()
            .spec
            .labels
            .keys()
            .all(|key| !key.starts_with("traefik.")),
        "case F1"
    );
}

#[test]
fn the_mode_is_changed_by_replacing_the_service() {
    // T19
    let mut world = world();
    world.converge();
    world.edit(|spec| spec.mode = Mode::Global);
    let plan = world.reconcile();
    assert!(matches!(&plan.steps[..], [Step::RemoveService { .. }]));
    assert!(said(&plan)[0].starts_with("ServiceReplaced"));
    world.converge();
    assert_eq!(world.service().spec.mode, ServiceMode::Global);
    assert_eq!(
        world.deployment.status.as_ref().unwrap().desired_replicas,
        Some(2),
        "one for each node"
    );
    assert_eq!(world.condition(c::READY), yes("Ready"));
}

#[test]
fn leftovers_go_when_the_right_service_works() {
    // case F70
    let mut world = world();
    world.converge();
    let mut old = world.service().clone();
    (old.id, old.spec.name) = ("old".into(), "web-old".into());
    world.snapshot.services.push(old);
    let running = world.snapshot.tasks.clone();
    world.snapshot.tasks.clear();
    assert!(world.plan().steps.is_empty());
    world.snapshot.tasks = running;
    assert_eq!(
        world.plan().steps,
        [Step::RemoveService {
            id: "old".into(),
            name: "web-old".into()
        }]
    );
    // A service of another control plane is nobody's business.
    world.snapshot.services[1]
        .spec
        .labels
        .insert("cloud.obiente.cluster-uid".into(), "c2".into());
    assert!(world.plan().steps.is_empty());
}

#[test]
fn suspended_means_hands_off() {
    let mut world = world();
    world.converge();
    world.edit(|spec| spec.suspend = true);
    world.reconcile();
    assert_eq!(world.condition(c::READY), yes("Suspended"));
    world.edit(|spec| spec.image = "web:2".into());
    world.reconcile();
    assert_eq!(world.condition(c::READY), no("Suspended"));
    world.edit(|spec| (spec.suspend, spec.image) = (false, "web:1".into()));
    // A new generation of the same service is nobody's change of it.
    assert_eq!(world.plan().events, []);
    world.converge();
    world.deployment.spec.suspend = true;
    world.tamper(|service| service.spec.task.container.image = "x".into());
    assert!(world.reconcile().steps.is_empty());
    assert_eq!(
        world.deployment.status.as_ref().unwrap().drift,
        ["image x -> web:1"]
    );
    assert_eq!(world.condition(c::READY), no("Suspended"));
    let mut never = World::new(json!({"image": "x", "suspend": true}));
    assert!(never.reconcile().steps.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// From any edit and any tampering there is one plan, it breaks no rule, and it ends.
    #[test]
    fn every_history_converges(edits in proptest::collection::vec((0_u8..9, 0_u32..4), 1..8)) {
        let mut world = world();
        for (kind, number) in edits {
            match kind {
                0 => world.edit(|spec| spec.image = format!("web:{number}")),
                1 => world.edit(|spec| spec.replicas = number),
                2 => world.edit(|spec| spec.mode = if number % 2 == 0 { Mode::Global } else { Mode::Replicated }),
                3 => world.edit(|spec| { spec.labels = BTreeMap::from([(format!("l{number}"), "v".to_owned())]); }),
                4 => world.routes = vec![web_route(&format!("h{number}.example.com"))],
                5 => world.edit(|spec| spec.restarted_at = Some(number.to_string())),
                6 if !world.snapshot.services.is_empty() => world.tamper(|service| { service.spec.labels.clear(); service.spec.labels.insert("cloud.obiente.cluster-uid".into(), "c1".into()); service.spec.labels.insert("cloud.obiente.deployment-id".into(), "shop/web".into()); }),
                7 if !world.snapshot.services.is_empty() => world.tamper(|service| { service.spec.task.container.env.insert("X".into(), number.to_string()); }),
                _ => world.routes.clear(),
            }
            if number == 3 { world.reconcile(); }
        }
        world.converge();
        prop_assert_eq!(world.condition(c::RECONCILING).0, "False");
        prop_assert!(world.plan().steps.is_empty());
    }
}

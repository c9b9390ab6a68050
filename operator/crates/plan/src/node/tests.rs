#![allow(clippy::unwrap_used)]

use api_types::Node;
use serde_json::{Value, json};

use super::{Binding, Unbound, bind, delete, missing, plan, status};
use crate::model::{self, Snapshot, Step};
use crate::testing::{World, at, machine};
use crate::{ClusterConfig, Observed, check};

fn object(name: &str, spec: Value, bound: Option<&str>) -> Node {
    serde_json::from_value(json!({
        "apiVersion": "obiente.cloud/v1alpha1", "kind": "Node",
        "metadata": {"name": name, "generation": 1, "uid": name, "creationTimestamp": at(0).to_string()},
        "spec": spec,
        "status": bound.map_or(json!({}), |id| json!({"swarmId": id, "observedGeneration": 1})),
    }))
    .unwrap()
}

fn swarm(nodes: Vec<model::Node>) -> Snapshot {
    Snapshot {
        nodes,
        ..Snapshot::default()
    }
}

fn condition(object: &Node, snapshot: &Snapshot, type_: &str) -> (String, String) {
    let bindings = bind([object], &snapshot.nodes);
    let status = status(object, &bindings, Observed::Known(snapshot), at(50));
    let condition = crate::conditions::find(&status.conditions, type_)
        .unwrap()
        .clone();
    (condition.status, condition.reason)
}

#[test]
fn ids_decide_before_host_names() {
    // case F50
    let machines = [
        machine("id1", "worker"),
        machine("id2", "worker"),
        machine("id3", "Solo.Host"),
    ];
    let objects = [
        object("a", json!({"swarmId": "id1"}), None),
        object("b", json!({}), Some("id2")),
        object("solo.host", json!({}), None),
        object("absent", json!({}), None),
        object("thief", json!({"swarmId": "id1"}), None),
    ];
    let bindings = bind(&objects, &machines);
    let of = |name: &str| bindings.objects[name].clone();
    assert_eq!(of("a"), Binding::Bound("id1".into()));
    assert_eq!(of("b"), Binding::Bound("id2".into()));
    assert_eq!(of("solo.host"), Binding::Bound("id3".into()));
    assert_eq!(of("absent"), Binding::Not(Unbound::NotJoined));
    assert_eq!(of("thief"), Binding::Not(Unbound::AlreadyBound("a".into())));
    let reversed: Vec<&Node> = objects.iter().rev().collect();
    assert_eq!(bind(reversed, &machines), bindings);
    assert!(missing(&bindings, &machines).is_empty());
}

#[test]
fn a_host_name_that_two_machines_share_is_ambiguous() {
    let machines = [machine("id1", "worker"), machine("id2", "worker")];
    let declared = object("worker", json!({}), None);
    assert_eq!(
        bind([&declared], &machines).objects["worker"],
        Binding::Not(Unbound::Ambiguous(vec!["id1".into(), "id2".into()]))
    );
    assert_eq!(
        condition(&declared, &swarm(machines.to_vec()), "Ready"),
        ("False".into(), "AmbiguousHostname".into())
    );
    // One of them is bound already: the other is meant.
    let bound = object("first", json!({}), Some("id1"));
    assert_eq!(
        bind([&bound, &declared], &machines).objects["worker"],
        Binding::Bound("id2".into())
    );
}

#[test]
fn objects_for_new_machines_have_unique_names_and_change_nothing() {
    let mut labelled = machine("id1", "n1");
    labelled.spec.availability = "drain".into();
    labelled.spec.labels = [("disk", "ssd"), ("cloud.obiente.region", "eu")]
        .map(|(k, v)| (k.into(), v.into()))
        .into();
    let mut machines = vec![
        labelled,
        machine("id2", "worker"),
        machine("id3", "worker"),
        machine("id4", "taken"),
    ];
    let waits = object("taken", json!({"swarmId": "id9"}), None);
    let mut objects = vec![waits];
    let made = missing(&bind(&objects, &machines), &machines);
    let names: Vec<String> = made
        .iter()
        .map(|node| node.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(names[0], "n1");
    assert_eq!(
        names
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        4
    );
    assert!(
        names.iter().all(|name| name != "worker" && name != "taken"),
        "{names:?}"
    );
    objects.extend(made);
    // All are bound now, and nothing a person can see changes on the machines.
    let bindings = bind(&objects, &machines);
    assert!(missing(&bindings, &machines).is_empty());
    let before = machines.clone();
    for object in &objects {
        let snapshot = swarm(machines.clone());
        let plan = plan(object, &bindings, Observed::Known(&snapshot));
        assert!(plan.events.is_empty());
        for step in plan.steps {
            let Step::UpdateNode { id, spec, .. } = step else {
                unreachable!()
            };
            let machine = machines
                .iter_mut()
                .find(|machine| machine.id == id)
                .unwrap();
            machine.spec = spec;
        }
    }
    for (mut after, before) in machines.into_iter().zip(before) {
        after.spec.labels.remove("cloud.obiente.node-label-keys");
        assert_eq!(after, before);
    }
}

#[test]
fn labels_and_availability_are_set_kept_and_taken_away_again() {
    let mut world = World::new(json!({"image": "x"}));
    world.snapshot.nodes[0]
        .spec
        .labels
        .insert("foreign".into(), "1".into());
    let mut node = object(
        "n1",
        json!({"labels": {"disk": "ssd"}, "availability": "Drain", "zone": "a"}),
        None,
    );
    let round = |world: &mut World, node: &mut Node| {
        let bindings = bind([&*node], &world.snapshot.nodes);
        let plan = plan(node, &bindings, Observed::Known(&world.snapshot));
        assert_eq!(
            check::violations(&ClusterConfig::default(), &world.snapshot, &plan.steps),
            Vec::<String>::new()
        );
        world.apply(&plan.steps);
        node.status = Some(status(
            node,
            &bindings,
            Observed::Known(&world.snapshot),
            world.now,
        ));
        plan.events
            .into_iter()
            .map(|event| format!("{} {}", event.reason, event.message))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        round(&mut world, &mut node),
        [
            "NodeUpdated availability active -> drain, labels[cloud.obiente.zone] unset -> a, labels[disk] unset -> ssd"
        ]
    );
    assert!(round(&mut world, &mut node).is_empty());
    // Behind our back: put right, with both values.
    world.snapshot.nodes[0].spec.availability = "active".into();
    world.snapshot.nodes[0]
        .spec
        .labels
        .insert("disk".into(), "hdd".into());
    assert_eq!(
        round(&mut world, &mut node),
        [
            "DriftRepaired availability active -> drain",
            "DriftRepaired labels[disk] hdd -> ssd"
        ]
    );
    // Not ours to keep: what the object does not name.
    node.spec.labels.clear();
    node.spec.availability = None;
    node.metadata.generation = Some(2);
    assert_eq!(
        round(&mut world, &mut node),
        ["NodeUpdated labels[disk] ssd -> unset"]
    );
    assert_eq!(world.snapshot.nodes[0].spec.availability, "drain");
    assert_eq!(
        world.snapshot.nodes[0]
            .spec
            .labels
            .get("foreign")
            .map(String::as_str),
        Some("1")
    );
}

#[test]
fn status_tells_capacity_reservations_and_conditions() {
    // cases F51, F53
    let mut world = World::new(
        json!({"image": "x", "replicas": 2, "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}}}),
    );
    world.converge();
    world.snapshot.nodes[0].nano_cpus = 2_000_000_000;
    world.snapshot.nodes[0].memory_bytes = 1 << 30;
    let node = object("n1", json!({}), None);
    let bindings = bind([&node], &world.snapshot.nodes);
    let found = status(&node, &bindings, Observed::Known(&world.snapshot), at(1));
    let (capacity, allocated) = (
        found.capacity.clone().unwrap(),
        found.allocated.clone().unwrap(),
    );
    assert_eq!(
        (capacity.cpu.0.as_str(), capacity.memory.0.as_str()),
        ("2", "1Gi")
    );
    assert_eq!(
        (allocated.cpu.0.as_str(), allocated.memory.0.as_str()),
        ("500m", "64Mi")
    );
    assert_eq!(found.tasks, Some(1));
    let mut again = node.clone();
    again.status = Some(found.clone());
    assert_eq!(
        status(&again, &bindings, Observed::Known(&world.snapshot), at(999)),
        found,
        "T14"
    );

    let yes = |reason: &str| ("True".to_owned(), reason.to_owned());
    let no = |reason: &str| ("False".to_owned(), reason.to_owned());
    assert_eq!(condition(&node, &world.snapshot, "Ready"), yes("Ready"));
    assert_eq!(
        condition(&node, &world.snapshot, "Schedulable"),
        yes("Active")
    );
    assert_eq!(
        condition(&node, &world.snapshot, "Drained"),
        no("NotDraining")
    );
    world.snapshot.nodes[0].spec.availability = "drain".into();
    assert_eq!(condition(&node, &world.snapshot, "Drained"), no("Draining"));
    assert_eq!(
        condition(&node, &world.snapshot, "Schedulable"),
        no("Draining")
    );
    world.snapshot.tasks.clear();
    assert_eq!(condition(&node, &world.snapshot, "Drained"), yes("Drained"));
    world.snapshot.nodes[0].state = "down".into();
    assert_eq!(condition(&node, &world.snapshot, "Ready"), no("NodeDown"));
    assert_eq!(condition(&node, &world.snapshot, "Drained").0, "Unknown");
    world.snapshot.nodes.clear();
    assert_eq!(condition(&node, &world.snapshot, "Ready"), no("NotJoined"));
    let unknown = status(
        &node,
        &bind([&node], &[]),
        Observed::Unknown("no manager"),
        at(1),
    );
    assert_eq!(
        crate::conditions::find(&unknown.conditions, "Ready")
            .unwrap()
            .status,
        "Unknown"
    );
}

#[test]
fn only_a_worker_that_is_down_leaves_with_its_object() {
    let mut node = object("n1", json!({}), Some("id1"));
    let mut snapshot = swarm(vec![machine("id1", "n1")]);
    let bindings = bind([&node], &snapshot.nodes);
    let up = delete(&node, &bindings, Observed::Known(&snapshot));
    assert!(
        !up.done && up.steps.is_empty() && up.waiting_for.unwrap().contains("docker swarm leave")
    );
    snapshot.nodes[0].state = "down".into();
    let down = delete(&node, &bindings, Observed::Known(&snapshot));
    assert_eq!(
        down.steps,
        [Step::RemoveNode {
            id: "id1".into(),
            hostname: "n1".into()
        }]
    );
    assert_eq!(
        check::violations(&ClusterConfig::default(), &snapshot, &down.steps),
        Vec::<String>::new()
    );
    snapshot.nodes[0].spec.role = "manager".into();
    assert!(
        delete(&node, &bindings, Observed::Known(&snapshot))
            .steps
            .is_empty()
    );
    assert!(!delete(&node, &bindings, Observed::Unknown("gone")).done);
    snapshot.nodes.clear();
    assert!(delete(&node, &bind([&node], &[]), Observed::Known(&snapshot)).done);
    node.metadata.annotations =
        Some([("obiente.cloud/abandon".to_owned(), "true".to_owned())].into());
    assert!(delete(&node, &bindings, Observed::Unknown("gone")).done);
}

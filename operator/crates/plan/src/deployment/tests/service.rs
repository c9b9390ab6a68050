use std::collections::BTreeMap;

use api_types::conditions as c;
use serde_json::json;

use super::{no, said, web_route, world, yes};
use crate::deployment::{Plan, referenced};
use crate::model::{Network, PublishedPort, Step};
use crate::testing::World;

#[test]
fn a_full_spec_becomes_one_service() {
    let mut world = World::new(json!({
        "image": "web:1", "replicas": 3, "command": ["/web"], "args": ["-v"], "workingDir": "/srv", "user": "1000", "hostname": "w",
        "init": true, "readOnlyRootFilesystem": true, "tty": true, "stopSignal": "SIGQUIT", "terminationGracePeriodSeconds": 30,
        "capabilities": {"add": ["net_admin"], "drop": ["ALL"]},
        "env": [{"name": "A", "value": "{{x}}"}, {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi", "pids": 100}},
        "ports": [{"name": "http", "containerPort": 8080, "hostPort": 80}],
        "labels": {"team": "shop"}, "restartedAt": "now", "endpointMode": "VIP",
        "healthCheck": {"exec": {"command": ["true"]}, "periodSeconds": 5},
        "placement": {"nodeSelector": {"disk": "ssd"}, "constraints": ["node.role == worker"], "spreadBy": ["zone"], "maxReplicasPerNode": 2},
        "rollout": {"maxParallel": 2, "delaySeconds": 1, "onFailure": "Pause"},
        "restartPolicy": {"condition": "OnFailure", "delaySeconds": 1, "maxAttempts": 3, "windowSeconds": 10}
    }));
    let plan = world.plan();
    let Some(Step::CreateService(spec)) = plan.steps.last() else {
        panic!("{plan:#?}")
    };
    insta::assert_json_snapshot!("full_service", spec);
    insta::assert_json_snapshot!("full_networks", &plan.steps[..2]);
    world.converge();
    assert_eq!(world.condition(c::READY), yes("Ready"));
}

#[test]
fn a_minimal_spec_converges_and_then_nothing_is_done_or_written() {
    let mut world = World::new(json!({"image": "web:1"}));
    let first = world.reconcile();
    // Without ports it is not in the network shared with Traefik.
    assert_eq!(first.steps.len(), 2, "{:?}", first.steps);
    assert_eq!(
        said(&first),
        ["ServiceCreated: service shop_web created with image web:1"]
    );
    assert_eq!(world.condition(c::READY), no("Progressing"));
    world.converge();
    assert_eq!(world.condition(c::READY), yes("Ready"));
    assert_eq!(world.condition(c::RECONCILING), no("Ready"));
    let settled = world.deployment.status.clone();
    for _ in 0..5 {
        world.pass(3600);
        assert_eq!(world.reconcile(), Plan::default());
        assert_eq!(world.deployment.status, settled, "T14");
    }
    // Defaults of D16.
    let update = &world.service().spec.update;
    assert_eq!(
        (
            update.parallelism,
            update.order.as_str(),
            update.failure_action.as_str(),
            update.monitor_ns
        ),
        (1, "start-first", "rollback", 15_000_000_000)
    );
}

#[test]
fn labels_for_traefik_name_the_network_once() {
    // case F2
    let mut world = world();
    world.routes.push(web_route("a.example.com"));
    world.converge();
    let labels: BTreeMap<_, _> = world
        .service()
        .spec
        .labels
        .iter()
        .filter(|(key, _)| key.starts_with("traefik."))
        .collect();
    insta::assert_json_snapshot!("traefik_labels", labels);
    assert_eq!(
        world.deployment.status.as_ref().unwrap().routes[0].name,
        "r"
    );
}

#[test]
fn secrets_are_never_shown() {
    let mut world = world();
    world.references.secrets.insert(
        "s".into(),
        BTreeMap::from([("key".to_owned(), b"hunter2".to_vec())]),
    );
    world.references.config_maps.insert(
        "m".into(),
        BTreeMap::from([
            ("B".to_owned(), "map".to_owned()),
            ("C".to_owned(), "map".to_owned()),
        ]),
    );
    world.edit(|spec| {
        spec.env = serde_json::from_value(json!([
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}}, {"name": "C", "value": "own"},
            {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": true}}}
        ]))
        .unwrap();
        spec.env_from = serde_json::from_value(json!([{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}])).unwrap();
    });
    world.converge();
    let env: Vec<String> = world
        .service()
        .spec
        .task
        .container
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(env, ["A=hunter2", "B=map", "C=own", "S_key=hunter2"]);
    let (secrets, maps) = referenced(&world.deployment.spec);
    assert_eq!((secrets.len(), maps.len()), (1, 1));
    world.references.secrets.insert(
        "s".into(),
        BTreeMap::from([("key".to_owned(), b"changed9".to_vec())]),
    );
    let text = format!("{:?}{:?}", said(&world.plan()), world.plan().changes);
    assert!(
        text.contains("env[A] (hidden) -> (hidden)")
            && !text.contains("hunter2")
            && !text.contains("changed9"),
        "{text}"
    );
}

#[test]
fn a_missing_reference_writes_nothing_and_says_what_is_missing() {
    let cases = [
        (
            json!({"image": "x", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            "SecretNotFound",
            "Secret \"s\" does not exist",
        ),
        (
            json!({"image": "x", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}),
            "ConfigMapNotFound",
            "ConfigMap \"m\" has no key \"k\"",
        ),
        (
            json!({"image": "x", "envFrom": [{"secretRef": {"name": "s"}}]}),
            "SecretNotFound",
            "Secret \"s\"",
        ),
        (
            json!({"image": "x", "networks": [{"name": "db"}]}),
            "NetworkNotFound",
            "docker network create",
        ),
        (
            json!({"image": "x", "resources": {"limits": {"cpu": "lots"}}}),
            "InvalidSpec",
            "spec.resources.limits.cpu",
        ),
    ];
    for (spec, reason, words) in cases {
        let mut world = World::new(spec);
        world
            .references
            .config_maps
            .insert("m".into(), BTreeMap::new());
        let plan = world.reconcile();
        assert!(plan.steps.is_empty());
        let blocked = plan.blocked.unwrap();
        assert!(
            blocked.reason == reason && blocked.message.contains(words),
            "{blocked:?}"
        );
        assert_eq!(world.condition(c::READY), no(reason));
        assert_eq!(
            world.condition(c::STALLED).0,
            if reason == "InvalidSpec" {
                "True"
            } else {
                "False"
            }
        );
    }
    // What runs goes on while a reference is missing.
    let mut world = world();
    world.converge();
    world.edit(|spec| {
        spec.env_from = serde_json::from_value(json!([{"secretRef": {"name": "s"}}])).unwrap()
    });
    assert!(world.reconcile().steps.is_empty());
    assert_eq!(world.condition(c::READY), no("SecretNotFound"));
}

#[test]
fn networks_are_ours_the_shared_one_and_those_of_the_spec() {
    let mut world = world();
    world.snapshot.networks.push(Network {
        id: "dbid".into(),
        name: "db".into(),
        ..Network::default()
    });
    world.edit(|spec| {
        spec.networks =
            serde_json::from_value(json!([{"name": "db", "aliases": ["z", "a", "z"]}])).unwrap()
    });
    world.converge();
    let networks = &world.service().spec.task.networks;
    assert_eq!(networks.len(), 3);
    assert!(
        networks
            .iter()
            .any(|network| network.target == "dbid" && network.aliases == ["a", "z"])
    );
    assert!(
        networks.iter().any(|network| network.aliases == ["web"]),
        "found under its own name"
    );
    // A foreign network with our name is not joined.
    let mut world = World::new(json!({"image": "x"}));
    world.snapshot.networks.push(Network {
        id: "x".into(),
        name: "obiente-shop".into(),
        ..Network::default()
    });
    assert_eq!(world.plan().blocked.unwrap().reason, "NameTaken");
}

#[test]
fn host_ports_stop_first_and_say_so() {
    // case F28
    let mut world = World::new(
        json!({"image": "x", "ports": [{"name": "p", "containerPort": 1, "hostPort": 80, "publishMode": "Host"}]}),
    );
    let plan = world.plan();
    assert!(
        said(&plan)[1].starts_with("StopFirstChosen: port 80"),
        "{:?}",
        said(&plan)
    );
    world.converge();
    assert_eq!(world.service().spec.update.order, "stop-first");
    world.edit(|spec| spec.rollout.order = Some(api_types::deployment::UpdateOrder::StartFirst));
    world.converge();
    assert_eq!(
        world.service().spec.update.order,
        "start-first",
        "who asks for it gets it"
    );
    assert_eq!(
        world.service().spec.endpoint.ports,
        [PublishedPort {
            name: "p".into(),
            protocol: "tcp".into(),
            target: 1,
            published: 80,
            mode: "host".into()
        }]
    );
}

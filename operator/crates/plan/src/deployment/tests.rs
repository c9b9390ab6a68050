#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use api_types::conditions as c;
use api_types::deployment::Mode;
use proptest::prelude::*;
use serde_json::json;

use super::{LogTail, Refusal, plan, status, teardown, transitions};
use crate::check;
use crate::model::{Network, PublishedPort, ServiceMode, Step, TaskState, UpdateState, UpdateStatus};
use crate::testing::{World, at, route};
use crate::Observed;

fn world() -> World {
    World::new(json!({"image": "web:1", "replicas": 2, "ports": [{"name": "http", "containerPort": 8080}]}))
}

fn web_route(host: &str) -> api_types::Route {
    route("r", 0, json!({"hostnames": [host], "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}]}))
}

fn said(plan: &super::Plan) -> Vec<String> {
    plan.events.iter().map(|event| format!("{}: {}", event.reason, event.message)).collect()
}

fn yes(reason: &str) -> (String, String) {
    ("True".into(), reason.into())
}

fn no(reason: &str) -> (String, String) {
    ("False".into(), reason.into())
}

fn update(world: &World, state: UpdateState) -> Option<UpdateStatus> {
    Some(UpdateStatus { state, message: format!("{state:?}"), started_at: Some(world.now), completed_at: None })
}

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
    let Some(Step::CreateService(spec)) = plan.steps.last() else { panic!("{plan:#?}") };
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
    assert_eq!(said(&first), ["ServiceCreated: service shop_web created with image web:1"]);
    assert_eq!(world.condition(c::READY), no("Progressing"));
    world.converge();
    assert_eq!(world.condition(c::READY), yes("Ready"));
    assert_eq!(world.condition(c::RECONCILING), no("Ready"));
    let settled = world.deployment.status.clone();
    for _ in 0..5 {
        world.pass(3600);
        assert_eq!(world.reconcile(), super::Plan::default());
        assert_eq!(world.deployment.status, settled, "T14");
    }
    // Defaults of D16.
    let update = &world.service().spec.update;
    assert_eq!((update.parallelism, update.order.as_str(), update.failure_action.as_str(), update.monitor_ns), (1, "start-first", "rollback", 15_000_000_000));
}

#[test]
fn a_change_is_told_in_the_users_words_and_says_whether_it_restarts() {
    let mut world = world();
    world.converge();
    world.edit(|spec| spec.image = "web:2".into());
    let plan = world.plan();
    assert_eq!(said(&plan), ["ServiceUpdated: image web:1 -> web:2"]);
    assert!(matches!(&plan.steps[..], [Step::UpdateService { restarts_tasks: true, .. }]));
    world.converge();
    world.edit(|spec| spec.replicas = 5);
    let plan = world.plan();
    assert_eq!(said(&plan), ["ServiceUpdated: replicas 2 -> 5"]);
    assert!(matches!(&plan.steps[..], [Step::UpdateService { restarts_tasks: false, .. }]));
    assert_eq!(world.with_input(|input| status(input, &plan)).desired_replicas, Some(5));
    world.converge();
    world.edit(|spec| {
        spec.labels.insert("team".into(), "shop".into());
        spec.restarted_at = Some("later".into());
    });
    assert!(said(&world.plan())[0].starts_with("ServiceUpdated: labels[cloud.obiente.force-update] unset ->"));
    world.converge();
    world.edit(|spec| spec.labels.clear());
    assert_eq!(said(&world.plan()), ["ServiceUpdated: labels[team] shop -> unset"]);
    world.converge();
    assert!(!world.service().spec.labels.contains_key("team"));
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
        spec.task.container.env.insert("B".into(), "password".into());
        spec.labels.insert("team".into(), "x".into());
        spec.labels.insert("traefik.http.routers.x.rule".into(), "Host(`x`)".into());
        spec.labels.insert("foreign".into(), "kept".into());
        spec.labels.remove("cloud.obiente.deployment");
        service.unmodelled.insert("TaskTemplate.ContainerSpec.Mounts".into(), "[{}]".into());
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
    assert!(matches!(&world.plan().steps[..], [Step::CreateService(_)]));
}

#[test]
fn a_forced_restart_behind_our_back_is_not_undone() {
    let mut world = world();
    world.converge();
    world.tamper(|service| service.spec.task.force_update += 1);
    assert_eq!(world.plan().steps, []);
    // A route does not undo it either: that would restart the tasks.
    world.routes.push(web_route("a.example.com"));
    assert!(matches!(&world.plan().steps[..], [Step::UpdateService { restarts_tasks: false, .. }]));
    // case F72
    world.edit(|spec| spec.restarted_at = Some("2026-01-31T12:00:00Z".into()));
    assert!(matches!(&world.plan().steps[..], [Step::UpdateService { restarts_tasks: true, .. }]));
    world.converge();
}

#[test]
fn no_edit_of_routes_restarts_a_task() {
    // T15, T17
    let mut world = world();
    world.converge();
    let task = world.service().spec.task.clone();
    for hosts in [vec!["a.example.com"], vec!["a.example.com", "*.b.example.com"], vec!["c.example.com"], vec![]] {
        world.routes = hosts.is_empty().then(Vec::new).unwrap_or_else(|| {
            vec![route("r", 0, json!({"hostnames": hosts, "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}]}))]
        });
        let plan = world.plan();
        assert!(matches!(&plan.steps[..], [Step::UpdateService { restarts_tasks: false, .. }]), "{plan:#?}");
        world.converge();
        assert_eq!(world.service().spec.task, task);
        let routed = if world.routes.is_empty() { no("NoRoutes") } else { yes("RoutesProgrammed") };
        assert_eq!(world.condition(c::ROUTED), routed);
    }
    assert!(world.service().spec.labels.keys().all(|key| !key.starts_with("traefik.")), "case F1");
}

#[test]
fn labels_for_traefik_name_the_network_once() {
    // case F2
    let mut world = world();
    world.routes.push(web_route("a.example.com"));
    world.converge();
    let labels: BTreeMap<_, _> = world.service().spec.labels.iter().filter(|(key, _)| key.starts_with("traefik.")).collect();
    insta::assert_json_snapshot!("traefik_labels", labels);
    assert_eq!(world.deployment.status.as_ref().unwrap().routes[0].name, "r");
}

#[test]
fn secrets_are_never_shown() {
    let mut world = world();
    world.references.secrets.insert("s".into(), BTreeMap::from([("key".to_owned(), b"hunter2".to_vec())]));
    world.references.config_maps.insert("m".into(), BTreeMap::from([("B".to_owned(), "map".to_owned()), ("C".to_owned(), "map".to_owned())]));
    world.edit(|spec| {
        spec.env = serde_json::from_value(json!([
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}}, {"name": "C", "value": "own"},
            {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": true}}}
        ]))
        .unwrap();
        spec.env_from = serde_json::from_value(json!([{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}])).unwrap();
    });
    world.converge();
    let env: Vec<String> = world.service().spec.task.container.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(env, ["A=hunter2", "B=map", "C=own", "S_key=hunter2"]);
    let (secrets, maps) = super::referenced(&world.deployment.spec);
    assert_eq!((secrets.len(), maps.len()), (1, 1));
    world.references.secrets.insert("s".into(), BTreeMap::from([("key".to_owned(), b"changed9".to_vec())]));
    let text = format!("{:?}{:?}", said(&world.plan()), world.plan().changes);
    assert!(text.contains("env[A] (hidden) -> (hidden)") && !text.contains("hunter2") && !text.contains("changed9"), "{text}");
}

#[test]
fn a_missing_reference_writes_nothing_and_says_what_is_missing() {
    let cases = [
        (json!({"image": "x", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}), "SecretNotFound", "Secret \"s\" does not exist"),
        (json!({"image": "x", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}), "ConfigMapNotFound", "ConfigMap \"m\" has no key \"k\""),
        (json!({"image": "x", "envFrom": [{"secretRef": {"name": "s"}}]}), "SecretNotFound", "Secret \"s\""),
        (json!({"image": "x", "networks": [{"name": "db"}]}), "NetworkNotFound", "docker network create"),
        (json!({"image": "x", "resources": {"limits": {"cpu": "lots"}}}), "InvalidSpec", "spec.resources.limits.cpu"),
    ];
    for (spec, reason, words) in cases {
        let mut world = World::new(spec);
        world.references.config_maps.insert("m".into(), BTreeMap::new());
        let plan = world.reconcile();
        assert!(plan.steps.is_empty());
        let blocked = plan.blocked.unwrap();
        assert!(blocked.reason == reason && blocked.message.contains(words), "{blocked:?}");
        assert_eq!(world.condition(c::READY), no(reason));
        assert_eq!(world.condition(c::STALLED).0, if reason == "InvalidSpec" { "True" } else { "False" });
    }
    // What runs goes on while a reference is missing.
    let mut world = world();
    world.converge();
    world.edit(|spec| spec.env_from = serde_json::from_value(json!([{"secretRef": {"name": "s"}}])).unwrap());
    assert!(world.reconcile().steps.is_empty());
    assert_eq!(world.condition(c::READY), no("SecretNotFound"));
}

#[test]
fn networks_are_ours_the_shared_one_and_those_of_the_spec() {
    let mut world = world();
    world.snapshot.networks.push(Network { id: "dbid".into(), name: "db".into(), ..Network::default() });
    world.edit(|spec| spec.networks = serde_json::from_value(json!([{"name": "db", "aliases": ["z", "a", "z"]}])).unwrap());
    world.converge();
    let networks = &world.service().spec.task.networks;
    assert_eq!(networks.len(), 3);
    assert!(networks.iter().any(|network| network.target == "dbid" && network.aliases == ["a", "z"]));
    assert!(networks.iter().any(|network| network.aliases == ["web"]), "found under its own name");
    // A foreign network with our name is not joined.
    let mut world = World::new(json!({"image": "x"}));
    world.snapshot.networks.push(Network { id: "x".into(), name: "obiente-shop".into(), ..Network::default() });
    assert_eq!(world.plan().blocked.unwrap().reason, "NameTaken");
}

#[test]
fn host_ports_stop_first_and_say_so() {
    // case F28
    let mut world = World::new(json!({"image": "x", "ports": [{"name": "p", "containerPort": 1, "hostPort": 80, "publishMode": "Host"}]}));
    let plan = world.plan();
    assert!(said(&plan)[1].starts_with("StopFirstChosen: port 80"), "{:?}", said(&plan));
    world.converge();
    assert_eq!(world.service().spec.update.order, "stop-first");
    world.edit(|spec| spec.rollout.order = Some(api_types::deployment::UpdateOrder::StartFirst));
    world.converge();
    assert_eq!(world.service().spec.update.order, "start-first", "who asks for it gets it");
    assert_eq!(world.service().spec.endpoint.ports, [PublishedPort { name: "p".into(), protocol: "tcp".into(), target: 1, published: 80, mode: "host".into() }]);
}

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
    assert_eq!(world.condition(c::AVAILABLE), yes("Ready"), "the old spec serves");
    // Then labels follow, tasks do not, and the update state is gone from the Swarm.
    let plan = world.reconcile();
    assert!(matches!(&plan.steps[..], [Step::UpdateService { restarts_tasks: false, .. }]), "{plan:#?}");
    for _ in 0..3 {
        world.pass(100);
        assert!(world.reconcile().steps.is_empty());
        assert_eq!(world.condition(c::READY), no("RolledBack"));
    }
    world.routes.push(web_route("a.example.com"));
    assert!(matches!(&world.plan().steps[..], [Step::UpdateService { restarts_tasks: false, .. }]));
    world.edit(|spec| spec.replicas = 3);
    assert!(matches!(&world.plan().steps[..], [Step::UpdateService { restarts_tasks: false, .. }]));
    assert_eq!(world.plan().changes.iter().filter(|change| change.path == "image").count(), 0);
    world.edit(|spec| spec.image = "web:3".into());
    assert!(matches!(&world.plan().steps[..], [Step::UpdateService { restarts_tasks: true, .. }]));
    world.converge();
    assert_eq!(world.condition(c::READY), yes("Ready"));
    assert!(crate::conditions::find(&world.deployment.status.as_ref().unwrap().conditions, c::ROLLED_BACK).is_none());
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
    assert!(matches!(&world.plan().steps[..], [Step::UpdateService { restarts_tasks: true, .. }]));
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
    assert!(plan.steps.is_empty() && plan.recheck.is_some(), "a write now would make the new spec the one to go back to");
    assert_eq!(plan.held.unwrap().reason, "RollingOut");
    // Not for ever, and not for what the user wants now.
    world.edit(|spec| spec.replicas = 4);
    assert_eq!(world.plan().steps.len(), 1);
    world.deployment.spec.replicas = 2;
    world.pass(601);
    assert_eq!(world.plan().steps.len(), 1);
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
    assert_eq!(world.deployment.status.as_ref().unwrap().desired_replicas, Some(2), "one for each node");
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
    assert_eq!(world.plan().steps, [Step::RemoveService { id: "old".into(), name: "web-old".into() }]);
    // A service of another control plane is nobody's business.
    world.snapshot.services[1].spec.labels.insert("cloud.obiente.cluster-uid".into(), "c2".into());
    assert!(world.plan().steps.is_empty());
}

#[test]
fn suspended_means_hands_off() {
    let mut world = world();
    world.converge();
    world.edit(|spec| spec.suspend = true);
    world.reconcile();
    assert_eq!(world.condition(c::READY), no("Suspended"), "the generation label differs");
    world.deployment.spec.suspend = false;
    world.converge();
    world.deployment.spec.suspend = true;
    world.tamper(|service| service.spec.task.container.image = "x".into());
    assert!(world.reconcile().steps.is_empty());
    assert_eq!(world.deployment.status.as_ref().unwrap().drift, ["image x -> web:1"]);
    assert_eq!(world.condition(c::READY), no("Suspended"));
    let mut never = World::new(json!({"image": "x", "suspend": true}));
    assert!(never.reconcile().steps.is_empty());
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
    assert_eq!((status.ready_replicas, status.updated_replicas), (Some(2), Some(0)));
}

#[test]
fn failures_are_told_in_one_word() {
    let cases = [
        (TaskState::Rejected, "No such image: web:1", None, "ImageNotFound"),
        (TaskState::Rejected, "pull access denied for web", None, "ImageNotFound"),
        (TaskState::Rejected, "toomanyrequests: slow down", None, "ImagePullFailed"),
        (TaskState::Rejected, "invalid mount config for type \"bind\": bind source path does not exist", None, "CrashLoop"),
        (TaskState::Failed, "task: non-zero exit (3)", Some(3), "CrashLoop"),
        (TaskState::Failed, "task: non-zero exit (137): dockerexec: unhealthy container", Some(137), "CrashLoop"),
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
        assert_eq!(world.deployment.status, status, "nothing new, nothing written");
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
    let tail = LogTail { task_id: asked.clone(), text: "starting\nno database\n\n".into() };
    let report = |world: &World, tail: Option<&LogTail>| {
        world.with_input(|input| {
            let input = super::Input { log_tail: tail, ..*input };
            let plan = plan(&input);
            (status(&input, &plan), plan.wants_log_of)
        })
    };
    let (first, _) = report(&world, Some(&tail));
    let failure = first.last_failure.clone().unwrap();
    assert_eq!((failure.exit_code, failure.log_tail.as_deref()), (Some(3), Some("starting\nno database")));
    let ready = crate::conditions::find(&first.conditions, c::READY).unwrap();
    assert!(ready.message.ends_with("its last words: no database"), "{}", ready.message);
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
    let service = world.service().clone();
    for slot in 1..=2 {
        let task = world.task(&service, slot, "n1id", TaskState::Running);
        world.snapshot.tasks.push(task);
    }
    world.pass(5);
    let plan = world.reconcile();
    assert_eq!(world.condition(c::READY), no("CrashLoop"));
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
    assert_eq!(world.deployment.status.as_ref().unwrap().nodes.as_deref(), Some("n2"));
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

    for (refusal, reason) in [(Refusal::NameTaken("shop_web".into()), "NameTaken"), (Refusal::Refused("no".into()), "SwarmRefused")] {
        let refused = world.with_input(|input| status(&super::Input { refusal: Some(&refusal), ..*input }, &super::Plan::default()));
        let ready = crate::conditions::find(&refused.conditions, c::READY).unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reason));
    }
}

#[test]
fn unknown_is_a_value() {
    let mut world = world();
    world.converge();
    let (plan, unknown) = world.with_input(|input| {
        let input = super::Input { observed: Observed::Unknown("no manager answers"), ..*input };
        let plan = plan(&input);
        (plan.clone(), status(&input, &plan))
    });
    assert!(plan.steps.is_empty());
    for type_ in [c::READY, c::AVAILABLE, c::PROGRESSING] {
        let condition = crate::conditions::find(&unknown.conditions, type_).unwrap();
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("Unknown", "SwarmUnreachable"));
    }
}

#[test]
fn deletion_takes_services_then_tasks_then_the_network() {
    // cases F31, F73; T25
    let mut world = world();
    world.converge();
    world.deployment.metadata.deletion_timestamp = Some(c::Time(world.now));
    assert!(world.plan().steps.is_empty());
    let step = |world: &World, others| {
        let down = world.with_input(|input| teardown(input, others));
        assert_eq!(check::violations(&world.cluster, &world.snapshot, &down.steps), Vec::<String>::new());
        assert_eq!(down.done, !down.status.conditions.iter().any(|condition| condition.type_ == c::TERMINATING));
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
    assert!(matches!(&third.steps[..], [Step::RemoveNetwork { name, .. }] if name == "obiente-shop"));
    world.pass(61);
    assert!(step(&world, false).done, "somebody else hangs on the network");
    world.apply(&third.steps);
    assert!(step(&world, false).done);
}

#[test]
fn deletion_waits_for_an_unreachable_swarm_unless_it_is_given_up() {
    let mut world = world();
    world.deployment.metadata.deletion_timestamp = Some(c::Time(at(0)));
    let down = |world: &World| world.with_input(|input| teardown(&super::Input { observed: Observed::Unknown("gone"), ..*input }, false));
    let waits = down(&world);
    assert!(!waits.done);
    assert_eq!(crate::conditions::find(&waits.status.conditions, c::TERMINATING).unwrap().reason, "SwarmUnreachable");
    world.deployment.metadata.annotations = Some([("obiente.cloud/abandon".to_owned(), "true".to_owned())].into());
    let given_up = down(&world);
    assert!(given_up.done && given_up.events[0].message.contains("shop_web"));
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

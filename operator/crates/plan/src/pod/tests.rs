#![allow(clippy::unwrap_used, clippy::panic)]

use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use serde_json::{Value, json};

use super::*;
use crate::model::ServiceMode;
use crate::node::bind;
use crate::testing::World;

/// A converged Deployment, without tasks unless they are put there.
fn world(spec: Value) -> World {
    let mut world = World::new(spec);
    world.converge();
    world.snapshot.tasks.clear();
    world
}

fn pods(world: &World) -> Pods {
    let bindings = bind([], &world.snapshot.nodes);
    View::new(&world.snapshot, &bindings).pods(&world.deployment, world.now)
}

fn only(world: &World) -> Pod {
    let pods = pods(world).pods;
    assert_eq!(pods.len(), 1, "{:?}", pods.keys());
    pods.into_values().next().unwrap().pod
}

/// Adds a task to slot 1, newer than all others.
fn add(world: &mut World, state: TaskState, change: impl FnOnce(&mut Task)) {
    world.pass(20);
    let service = world.service().clone();
    let mut task = world.task(&service, 1, "n1id", state);
    if state < TaskState::Assigned {
        task.node_id.clear();
    }
    if state < TaskState::Starting || state == TaskState::Rejected {
        task.container_id.clear();
    }
    change(&mut task);
    world.snapshot.tasks.push(task);
}

fn fail(world: &mut World) {
    add(world, TaskState::Failed, |task| {
        task.exit_code = Some(3);
        task.error = "task: non-zero exit (3)".into();
    });
}

fn ready(status: &PodStatus) -> &PodCondition {
    let mut all = status.conditions.iter().flatten();
    all.find(|condition| condition.type_ == "Ready").unwrap()
}

/// Phase, `Ready`, its reason, the container's state and its reason.
fn brief(pod: &Pod) -> String {
    let status = pod.status.as_ref().unwrap();
    let ready = ready(status);
    let container = status.container_statuses.iter().flatten().next();
    let state = container.and_then(|container| container.state.as_ref());
    let state = state.map_or(String::from("-"), |state| {
        let waiting = state.waiting.as_ref().and_then(|w| w.reason.clone());
        let ended = state.terminated.as_ref().and_then(|t| t.reason.clone());
        let running = state.running.as_ref().map(|_| "running".to_owned());
        waiting.or(ended).or(running).unwrap()
    });
    format!(
        "{} {} {} {state} {}",
        status.phase.as_deref().unwrap(),
        ready.status,
        ready.reason.as_deref().unwrap_or("-"),
        container.map_or(0, |container| container.restart_count)
    )
}

#[test]
fn a_running_task_is_a_ready_pod() {
    let mut world = World::new(json!({
        "image": "web:1@sha256:aa", "command": ["httpd"], "args": ["-f"], "replicas": 1,
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP", "hostPort": 5353}],
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "env": [{"name": "PLAIN", "value": "a {{b}}"}, {"name": "FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    }));
    let labels = [("app.kubernetes.io/name".to_owned(), "shop".to_owned())];
    world.deployment.metadata.labels = Some(labels.into());
    world.converge();
    let task = &mut world.snapshot.tasks[0];
    task.id = "TASKID0123456789abcdefghi".into();
    task.addresses = [
        ("zz".into(), "10.1.0.7".into()),
        ("aa".into(), "10.9.0.7".into()),
    ]
    .into();
    let mut networks = world.snapshot.networks.iter_mut();
    let of_namespace =
        |network: &&mut crate::model::Network| network.labels.contains_key(labels::NAMESPACE);
    networks.find(of_namespace).unwrap().id = "zz".into();
    world.snapshot.nodes[0].address = "192.168.0.11".into();
    let pod = only(&world);
    insta::assert_yaml_snapshot!(pod);
    world.pass(100_000);
    assert_eq!(only(&world), pod, "nothing in it moves by itself");
}

#[test]
fn values_of_secrets_are_never_shown() {
    let secret = json!({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let mut world = World::new(json!({
        "image": "web:1", "env": [secret], "envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}],
    }));
    let data = [("k".to_owned(), b"hunter2".to_vec())].into();
    world.references.secrets.insert("s".into(), data);
    world.converge();
    assert_eq!(world.snapshot.tasks[0].spec.container.env["KEY"], "hunter2");
    let shown = serde_json::to_value(only(&world)).unwrap();
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    let container = &shown["spec"]["containers"][0];
    assert_eq!(
        container["env"],
        json!([{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])
    );
    assert_eq!(
        container["envFrom"],
        json!([{"prefix": "P_", "secretRef": {"name": "s"}}])
    );
    // A task of the template before still has the Secret's value where the spec now has another.
    world.edit(|spec| {
        spec.env[0].value_from = None;
        spec.env[0].value = Some("plain".into());
    });
    let shown = serde_json::to_value(only(&world)).unwrap();
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    assert!(
        shown["spec"]["containers"][0].get("env").is_none(),
        "{shown}"
    );
}

#[test]
fn states_in_the_words_of_kubernetes() {
    let image = |task: &mut Task| task.error = "No such image: web:9".into();
    let busy = |task: &mut Task| task.error = "no suitable node (1 node down)".into();
    let again = |task: &mut Task| task.desired_state = TaskState::Running;
    type Steps = fn(&mut World);
    let cases: [(&str, &str, Steps); 14] = [
        (
            "waits for a node",
            "Pending False ContainersNotReady - 0",
            |w| add(w, TaskState::Pending, |_| ()),
        ),
        (
            "is pulled",
            "Pending False ContainersNotReady ContainerCreating 0",
            |w| {
                add(w, TaskState::Preparing, |_| ());
            },
        ),
        (
            "its health is not known yet",
            "Running False ContainersNotReady running 0",
            |w| {
                add(w, TaskState::Starting, |_| ());
            },
        ),
        ("runs", "Running True - running 0", |w| {
            add(w, TaskState::Running, |_| ())
        }),
        (
            "failed for the first time",
            "Pending False ContainersNotReady CrashLoopBackOff 1",
            |w| {
                fail(w);
                add(w, TaskState::Ready, |_| ());
            },
        ),
        ("runs after a failure", "Running True - running 1", |w| {
            fail(w);
            add(w, TaskState::Running, |_| ());
        }),
        (
            "just runs in a crash loop",
            "Running False CrashLoop running 2",
            |w| {
                fail(w);
                fail(w);
                add(w, TaskState::Running, |_| ());
            },
        ),
        (
            "has settled after a crash loop",
            "Running True - running 2",
            |w| {
                fail(w);
                fail(w);
                add(w, TaskState::Running, |_| ());
                w.pass(10);
            },
        ),
        (
            "ended, and no other follows",
            "Failed False ContainersNotReady Error 0",
            fail,
        ),
        ("is done", "Succeeded False PodCompleted Completed 0", |w| {
            add(w, TaskState::Complete, |task| task.exit_code = Some(0));
        }),
        (
            "ended, and another will follow",
            "Running False ContainersNotReady Error 0",
            |w| {
                add(w, TaskState::Failed, |task| {
                    task.desired_state = TaskState::Running;
                    task.exit_code = Some(1);
                });
            },
        ),
        (
            "has no image",
            "Pending False ContainersNotReady ErrImagePull 0",
            |w| {
                add(w, TaskState::Rejected, |_| ());
            },
        ),
        (
            "has no image again",
            "Pending False ContainersNotReady ImagePullBackOff 1",
            |w| {
                add(w, TaskState::Rejected, |_| ());
                add(w, TaskState::Ready, |_| ());
            },
        ),
        (
            "other template failed before",
            "Pending False ContainersNotReady ContainerCreating 0",
            |w| {
                fail(w);
                w.snapshot.tasks[0].spec.container.image = "web:0".into();
                add(w, TaskState::Preparing, |_| ());
            },
        ),
    ];
    for (what, expected, steps) in cases {
        let mut world = world(json!({"image": "web:1"}));
        steps(&mut world);
        for task in &mut world.snapshot.tasks {
            match task.state {
                TaskState::Rejected => image(task),
                TaskState::Pending => busy(task),
                _ => {}
            }
        }
        if what == "has no image" {
            again(&mut world.snapshot.tasks[0]);
        }
        assert_eq!(brief(&only(&world)), expected, "{what}");
    }
}

#[test]
fn a_crash_loop_says_when_to_look_again_and_keeps_the_last_end() {
    let mut world = world(json!({"image": "web:1"}));
    fail(&mut world);
    fail(&mut world);
    add(&mut world, TaskState::Running, |_| ());
    world.pass(4);
    let shown = pods(&world);
    assert_eq!(shown.recheck, Some(Duration::from_secs(6)));
    let shown = shown.pods.into_values().next().unwrap();
    assert!(shown.looping);
    let container = &shown.pod.status.unwrap().container_statuses.unwrap()[0];
    let last = container.last_state.clone().unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    world.pass(6);
    let shown = pods(&world);
    assert!(shown.recheck.is_none() && shown.pods.values().all(|pod| !pod.looping));
}

#[test]
fn each_slot_shows_what_runs_or_else_the_last() {
    let mut world = world(json!({"image": "web:1", "replicas": 2}));
    fail(&mut world);
    fail(&mut world);
    assert_eq!(pods(&world).pods.len(), 1, "the last failure alone");
    add(&mut world, TaskState::Running, |_| ());
    let running = only(&world).metadata;
    // The Swarm stops it: it is there until it has stopped.
    world.snapshot.tasks[2].desired_state = TaskState::Shutdown;
    let pod = only(&world);
    assert_eq!(brief(&pod), "Running False Terminating running 2");
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("Terminating"));
    assert_eq!(pod.metadata, running, "it is the same Pod");
    add(&mut world, TaskState::Running, |task| task.slot = 2);
    assert_eq!(pods(&world).pods.len(), 2);
    world.snapshot.tasks[2].state = TaskState::Shutdown;
    let pod = only(&world);
    assert!(pod.metadata.name.unwrap().starts_with("web-2-"));
    world.snapshot.tasks.clear();
    assert!(pods(&world).pods.is_empty());
}

#[test]
fn names_follow_from_tasks() {
    let mut world = world(json!({"image": "web:1"}));
    add(&mut world, TaskState::Running, |task| {
        task.id = "abcdefghijklmnopqrstuvwxy".into()
    });
    let one = only(&world).metadata;
    assert_eq!(one.name.as_deref(), Some("web-1-abcdefghij"));
    assert_eq!(slot_of("web-1-abcdefghij"), "web-1");
    world.snapshot.tasks[0].id = "abcdefghijklmnopqrstuvwxz".into();
    let uids = [one.uid.unwrap(), only(&world).metadata.uid.unwrap()];
    assert_ne!(uids[0], uids[1], "the whole id is in the uid");
    assert_eq!(uids[0].len(), 36);
    world.snapshot.services[0].spec.mode = ServiceMode::Global;
    world.snapshot.tasks[0].slot = 0;
    assert_eq!(
        only(&world).metadata.name.as_deref(),
        Some("web-n1id-abcdefghij")
    );
}

#[test]
fn what_is_not_known_is_unknown() {
    let mut world = world(json!({"image": "web:1"}));
    add(&mut world, TaskState::Running, |_| ());
    let known = only(&world);
    world.snapshot.nodes[0].state = "down".into();
    assert_eq!(
        brief(&only(&world)),
        "Unknown Unknown NodeLost running 0",
        "case F53"
    );

    let mut pod = known.clone();
    unknown(&mut pod, "no manager answers");
    assert_eq!(brief(&pod), "Unknown Unknown SwarmUnreachable running 0");
    let once = pod.clone();
    unknown(&mut pod, "still none");
    assert_eq!(pod, once, "said once");

    world.snapshot.nodes[0].state = "ready".into();
    world.snapshot.tasks.clear();
    fail(&mut world);
    let mut ended = only(&world);
    let before = ended.clone();
    unknown(&mut ended, "no manager answers");
    assert_eq!(ended, before, "what has ended stays so");
}

#[test]
fn nodes_have_the_names_of_their_objects() {
    let mut world = world(json!({"image": "web:1"}));
    add(&mut world, TaskState::Running, |_| ());
    let object: api_types::Node = serde_json::from_value(json!({
        "apiVersion": "obiente.cloud/v1alpha1", "kind": "Node", "metadata": {"name": "big"}, "spec": {"swarmId": "n1id"},
    }))
    .unwrap();
    let bindings = bind([&object], &world.snapshot.nodes);
    let pods = View::new(&world.snapshot, &bindings).pods(&world.deployment, world.now);
    let pod = pods.pods.into_values().next().unwrap().pod;
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("big"));
    assert_eq!(only(&world).spec.unwrap().node_name.as_deref(), Some("n1"));
}

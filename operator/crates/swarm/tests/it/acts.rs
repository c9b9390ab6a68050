//! Acts: what is written is what is read, and refusals are told apart.

use plan::model::{
    ContainerSpec, EndpointSpec, HealthCheck, NetworkAttachment, NetworkSpec, NodeSpec, Placement,
    PublishedPort, Resources, RestartPolicy, ServiceMode, ServiceSpec, Step, TaskSpec,
    UpdateConfig,
};
use swarm::ErrorKind;

use crate::engine::Engine;
use crate::support::{Client, OWNER};

/// A spec with a value other than the default in every field.
fn full(client: &Client, network: &str) -> ServiceSpec {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let mut labels = client.labels();
    labels.insert(
        "traefik.http.routers.x.rule".into(),
        "Host(`a.example`) && PathPrefix(`/$`)".into(),
    );
    ServiceSpec {
        name: format!("{}-full", client.uid),
        labels,
        mode: ServiceMode::Replicated(2),
        task: TaskSpec {
            container: ContainerSpec {
                image: "busybox:1.36@sha256:0000000000000000000000000000000000000000000000000000000000000000".into(),
                labels: pairs(&[("cloud.obiente.deployment-id", "shop/web")]),
                command: texts(&["/bin/sh", "-c"]),
                args: texts(&["sleep 1000", "", "ä \"quoted\""]),
                env: pairs(&[("A", "1=2"), ("EMPTY", ""), ("MULTI", "x\ny")]),
                dir: "/tmp".into(),
                user: "1000:1000".into(),
                hostname: "web".into(),
                init: Some(true),
                read_only: true,
                tty: true,
                stop_signal: "SIGINT".into(),
                stop_grace_period_ns: Some(1_500_000_000),
                capability_add: texts(&["CAP_NET_ADMIN", "CAP_SYS_TIME"]),
                capability_drop: texts(&["ALL", "CAP_MKNOD"]),
                health_check: Some(HealthCheck {
                    test: texts(&["CMD", "/bin/true"]),
                    interval_ns: 2_000_000_000,
                    timeout_ns: 1_000_000_000,
                    retries: 4,
                    start_period_ns: 500_000_000,
                }),
            },
            resources: Resources {
                reserve_nano_cpus: 1_000_000,
                reserve_memory: 8 << 20,
                limit_nano_cpus: 250_000_000,
                limit_memory: 64 << 20,
                limit_pids: 99,
            },
            restart: RestartPolicy {
                condition: "on-failure".into(),
                delay_ns: 1_000_000,
                max_attempts: 3,
                window_ns: 60_000_000_000,
            },
            placement: Placement {
                constraints: texts(&["node.labels.zone==a", "node.role==manager"]),
                spread: texts(&["node.labels.zone", "node.labels.rack"]),
                max_replicas_per_node: 5,
            },
            networks: vec![NetworkAttachment { target: network.into(), aliases: texts(&["a", "b"]) }],
            force_update: 7,
        },
        update: UpdateConfig {
            parallelism: 0,
            delay_ns: 3,
            failure_action: "rollback".into(),
            monitor_ns: 15_000_000_000,
            max_failure_ratio: 0.1,
            order: "start-first".into(),
        },
        rollback: UpdateConfig {
            parallelism: 2,
            delay_ns: 4,
            failure_action: "continue".into(),
            monitor_ns: 0,
            max_failure_ratio: 0.75,
            order: "start-first".into(),
        },
        endpoint: EndpointSpec {
            mode: "vip".into(),
            ports: vec![
                PublishedPort { name: "d".into(), protocol: "udp".into(), target: 53, published: 5353, mode: "ingress".into() },
                PublishedPort { name: "w".into(), protocol: "tcp".into(), target: 80, published: 8080, mode: "host".into() },
            ],
        },
    }
}

async fn network(client: &Client, name: &str, subnet: Option<&str>) -> String {
    let spec = NetworkSpec {
        name: format!("{}-{name}", client.uid),
        labels: client.labels(),
        subnet: subnet.map(str::to_owned),
    };
    client
        .act(&Step::CreateNetwork(spec))
        .await
        .unwrap()
        .id
        .unwrap()
}

// T18: what is read equals what was written, so that drift is inequality.
#[tokio::test]
async fn a_written_spec_is_read_back_equal() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "roundtrip");
    let network = network(&client, "net", None).await;
    let spec = full(&client, &network);
    let acted = client.create(&spec).await.unwrap();
    let seen = client.seen(&acted, &spec.name).await;
    assert_eq!(seen.spec, spec);
    assert_eq!(seen.unmodelled, Default::default());
    assert_eq!(Some(&seen.id), acted.id.as_ref());
    // The same through an update, and through the template of the tasks.
    let acted = client.update_now(&seen.id, &spec).await.unwrap();
    assert_eq!(client.seen(&acted, &spec.name).await.spec, spec);
    let task = client
        .until_seen("task", |s| s.tasks.first().cloned())
        .await;
    assert_eq!(task.spec, spec.task);

    // An update leaves nothing of the older spec behind (case F17).
    let bare = ServiceSpec {
        mode: ServiceMode::Replicated(0),
        ..client.spec("full", "true")
    };
    let acted = client.update_now(&seen.id, &bare).await.unwrap();
    let seen = client.seen(&acted, &spec.name).await;
    assert_eq!((seen.spec, seen.unmodelled), (bare, Default::default()));
    client.clean_up().await;
}

// T18: a service with nothing set reads as the defaults, and a global one as global.
#[tokio::test]
async fn a_minimal_service_reads_as_the_defaults() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "minimal");
    let label = format!("{OWNER}=minimal");
    engine.docker(&[
        "service",
        "create",
        "-d",
        "--no-resolve-image",
        "--name",
        "min",
        "--mode",
        "global",
        "--label",
        &label,
        "busybox:1.36",
    ]);
    let seen = client
        .until_seen("service", |s| s.services.first().cloned())
        .await;
    let expected = ServiceSpec {
        name: "min".into(),
        labels: client.labels(),
        mode: ServiceMode::Global,
        task: TaskSpec {
            container: ContainerSpec {
                image: "busybox:1.36".into(),
                init: Some(false),
                ..Default::default()
            },
            ..Default::default()
        },
        endpoint: EndpointSpec {
            mode: "vip".into(),
            ports: vec![],
        },
        ..Default::default()
    };
    assert_eq!((seen.spec, seen.unmodelled), (expected, Default::default()));
    client.clean_up().await;
}

// T16, T19: the texts of the Engine's refusals.
#[tokio::test]
async fn refusals_are_told_apart() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "refusals");
    let spec = ServiceSpec {
        mode: ServiceMode::Replicated(0),
        ..client.spec("a", "true")
    };
    let acted = client.create(&spec).await.unwrap();
    let first = client.seen(&acted, &spec.name).await;

    let kind = client.create(&spec).await.unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::NameTaken(_)), "{kind:?}");
    assert_eq!(
        client.service(&spec.name).await.unwrap().unwrap().spec,
        spec
    );

    let mut changed = spec.clone();
    changed.labels.insert("x".into(), "y".into());
    client.update_now(&first.id, &changed).await.unwrap();
    let stale = client.update(&first, &spec).await.unwrap_err();
    assert!(stale.is_conflict() && !stale.is_transient(), "{stale:?}");

    let current = client.fresh().await.services[0].clone();
    let renamed = ServiceSpec {
        name: "other".into(),
        ..changed.clone()
    };
    let kind = client
        .update_now(&current.id, &renamed)
        .await
        .unwrap_err()
        .kind;
    assert!(matches!(kind, ErrorKind::Unsupported(_)), "{kind:?}");
    let mode = ServiceSpec {
        mode: ServiceMode::Global,
        ..changed.clone()
    };
    let kind = client
        .update_now(&current.id, &mode)
        .await
        .unwrap_err()
        .kind;
    assert!(matches!(kind, ErrorKind::Unsupported(_)), "{kind:?}");

    let mut invalid = client.spec("b", "true");
    invalid.task.resources.limit_memory = 1;
    let kind = client.create(&invalid).await.unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::Invalid(_)), "{kind:?}");
    let mut word = client.spec("b", "true");
    word.update.order = "sideways".into();
    let kind = client.create(&word).await.unwrap_err().kind;
    assert!(
        matches!(&kind, ErrorKind::Invalid(text) if text.contains("UpdateConfig.Order")),
        "{kind:?}"
    );

    // Removing twice is success (case F73); updating what is gone is not.
    client.remove(&current.id).await.unwrap();
    client.remove(&current.id).await.unwrap();
    let kind = client.update(&current, &changed).await.unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::NotFound(_)), "{kind:?}");
}

// Case F61: what is not ours is neither seen nor touched, and nothing is made that would not be ours.
#[tokio::test]
async fn what_is_not_ours_is_refused_without_a_write() {
    let engine = Engine::shared();
    let (ours, theirs) = (Client::new(&engine, "ours"), Client::new(&engine, "theirs"));
    let spec = ServiceSpec {
        mode: ServiceMode::Replicated(0),
        ..theirs.spec("a", "true")
    };
    let acted = theirs.create(&spec).await.unwrap();
    let seen = theirs.seen(&acted, &spec.name).await;
    assert!(ours.fresh().await.services.is_empty());
    let mut stolen = spec.clone();
    stolen.labels = ours.labels();
    for result in [
        ours.remove(&seen.id).await,
        ours.update(&seen, &stolen).await,
        ours.create(&spec).await,
        ours.act(&Step::CreateNetwork(NetworkSpec {
            name: "n".into(),
            ..Default::default()
        }))
        .await,
    ] {
        let kind = result.unwrap_err().kind;
        assert!(matches!(kind, ErrorKind::NotOurs(_)), "{kind:?}");
    }
    assert_eq!(ours.metrics().writes(), 0);
    assert_eq!(theirs.fresh().await.services, [seen]);
    theirs.clean_up().await;
}

// Case F61: a service that lost our label can be taken back, one with another cluster's cannot.
#[tokio::test]
async fn only_what_carries_no_cluster_uid_is_adopted() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "adopts");
    let spec = ServiceSpec {
        mode: ServiceMode::Replicated(0),
        ..client.spec("a", "true")
    };
    let acted = client.create(&spec).await.unwrap();
    let id = client.seen(&acted, &spec.name).await.id;
    let edit =
        |flag: &str, label: &str| engine.docker(&["service", "update", "-d", flag, label, &id]);
    let adopt = async || {
        let version = client.service(&id).await.unwrap().unwrap().version;
        let spec = Box::new(spec.clone());
        client
            .act(&Step::AdoptService {
                id: id.clone(),
                version,
                spec,
            })
            .await
    };
    edit("--label-rm", OWNER);
    assert!(client.fresh().await.services.is_empty());
    adopt().await.unwrap();
    assert_eq!(client.fresh().await.services.len(), 1);

    edit("--label-add", &format!("{OWNER}=another"));
    let kind = adopt().await.unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::NotOurs(_)), "{kind:?}");
    assert!(client.fresh().await.services.is_empty());
    engine.docker(&["service", "rm", &id]);
}

#[tokio::test]
async fn networks_are_made_used_and_removed() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "networks");
    let id = network(&client, "n", Some("10.77.0.0/24")).await;
    let seen = client
        .fresh()
        .await
        .networks
        .iter()
        .find(|n| n.id == id)
        .cloned()
        .unwrap();
    assert_eq!(
        (seen.name.as_str(), &seen.labels),
        ("networks-n", &client.labels())
    );
    assert_eq!(seen.subnets, ["10.77.0.0/24"]);

    let twice = NetworkSpec {
        name: seen.name.clone(),
        labels: client.labels(),
        subnet: None,
    };
    let kind = client
        .act(&Step::CreateNetwork(twice))
        .await
        .unwrap_err()
        .kind;
    assert!(matches!(kind, ErrorKind::NameTaken(_)), "{kind:?}");

    let mut spec = client.spec("s", "sleep 1000");
    spec.task.networks = vec![NetworkAttachment {
        target: id.clone(),
        aliases: vec![],
    }];
    client.create(&spec).await.unwrap();
    let task = client
        .until_seen("address", |s| {
            s.tasks.iter().find(|t| !t.addresses.is_empty()).cloned()
        })
        .await;
    assert!(
        task.addresses[&id].starts_with("10.77.0."),
        "{:?}",
        task.addresses
    );
    let remove = Step::RemoveNetwork {
        id: id.clone(),
        name: seen.name.clone(),
    };
    let error = client.act(&remove).await.unwrap_err();
    assert!(
        matches!(error.kind, ErrorKind::NetworkInUse(_)) && error.is_transient(),
        "{error:?}"
    );

    client.clean_up().await;
    // The Swarm lets go of a network a moment after the last task.
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while let Err(error) = client.act(&remove).await {
        assert!(
            matches!(error.kind, ErrorKind::NetworkInUse(_)),
            "{error:?}"
        );
        assert!(tokio::time::Instant::now() < deadline, "{error:?}");
        client.fresh().await;
    }
    client.act(&remove).await.unwrap();
    assert!(client.fresh().await.networks.iter().all(|n| n.id != id));
    let ingress = client
        .fresh()
        .await
        .networks
        .iter()
        .find(|n| n.name == "ingress")
        .cloned()
        .unwrap();
    let foreign = Step::RemoveNetwork {
        id: ingress.id,
        name: ingress.name,
    };
    let kind = client.act(&foreign).await.unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::NotOurs(_)), "{kind:?}");
}

#[tokio::test]
async fn nodes_are_labelled_drained_and_kept_while_up() {
    let engine = Engine::start();
    let client = Client::new(&engine, "nodes");
    let node = client.fresh().await.nodes[0].clone();
    assert_eq!(
        (node.state.as_str(), node.reachability.as_str(), node.leader),
        ("ready", "reachable", true)
    );
    assert_eq!(
        (node.address.as_str(), node.os.as_str()),
        ("198.18.99.1", "linux")
    );
    assert!(node.nano_cpus > 0 && node.memory_bytes > 0 && !node.engine_version.is_empty());

    let labels = [("zone".to_owned(), "a".to_owned())].into();
    let spec = NodeSpec {
        labels,
        availability: "drain".into(),
        ..node.spec.clone()
    };
    let update = Step::UpdateNode {
        id: node.id.clone(),
        version: node.version,
        spec: spec.clone(),
    };
    let acted = client.act(&update).await.unwrap();
    let snapshot = client
        .snapshot_at_least(acted.stamp, crate::support::PATIENCE)
        .await
        .unwrap();
    assert_eq!(snapshot.nodes[0].spec, spec);
    assert!(client.act(&update).await.unwrap_err().is_conflict());

    let remove = Step::RemoveNode {
        id: node.id.clone(),
        hostname: node.hostname.clone(),
    };
    let error = client.act(&remove).await.unwrap_err();
    assert!(
        !error.is_transient() && error.to_string().contains("must be demoted"),
        "{error}"
    );
    let absent = Step::RemoveNode {
        id: "absent".into(),
        hostname: "h".into(),
    };
    client.act(&absent).await.unwrap();
}

#[tokio::test]
async fn the_first_update_after_networks_were_made_restarts_no_task() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "order");
    let (a, b) = (
        network(&client, "a", None).await,
        network(&client, "b", None).await,
    );
    let mut spec = client.spec("web", "sleep 1000");
    // By name, and against the order of the ids, as a plan that made them may have it.
    let names = if a < b { ["b", "a"] } else { ["a", "b"] };
    spec.task.networks = names
        .map(|name| NetworkAttachment {
            target: format!("order-{name}"),
            aliases: vec![],
        })
        .to_vec();
    let made = client.create(&spec).await.unwrap();
    let id = made.id.unwrap();
    let running = |s: &plan::model::Snapshot| {
        let ours = s.tasks.iter().filter(|task| task.service_id == id);
        let ids: Vec<String> = ours.map(|task| task.id.clone()).collect();
        (ids.len() == 1).then_some(ids)
    };
    let before = client.until_seen("a task", running).await;
    let mut live = client.fresh().await.services[0].spec.clone();
    live.labels.insert("x".into(), "y".into());
    live.mode = ServiceMode::Replicated(2);
    client.update_now(&id, &live).await.unwrap();
    let tasks = client
        .until_seen("two tasks", |s| {
            let tasks: Vec<_> = s
                .tasks
                .iter()
                .filter(|task| task.service_id == id)
                .collect();
            (tasks.len() >= 2).then(|| tasks.into_iter().cloned().collect::<Vec<_>>())
        })
        .await;
    let first = tasks.iter().find(|task| task.id == before[0]).unwrap();
    assert_eq!((tasks.len(), first.slot), (2, 1), "{tasks:#?}");
    assert!(first.desired_state <= plan::model::TaskState::Running);
    client.clean_up().await;
}

//! The observation: foreign edits are seen, failures become `Unknown`, and many acts share polls.

use std::time::Duration;

use futures::StreamExt;
use plan::model::{ServiceMode, ServiceSpec};
use swarm::{Config, Observation};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::support::{Client, OWNER, PATIENCE};

// Case F36: every field that a person can set is seen, ours in the spec and the rest by name.
#[tokio::test]
async fn foreign_edits_are_seen() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "drift");
    let spec = ServiceSpec {
        mode: ServiceMode::Replicated(0),
        ..client.spec("a", "true")
    };
    let acted = client.create(&spec).await.unwrap();
    assert_eq!(
        client.seen(&acted, &spec.name).await.unmodelled,
        Default::default()
    );
    let edit = |args: &[&str]| {
        engine.docker(
            &[
                &["service", "update", "-d", "--no-resolve-image"],
                args,
                &[&spec.name],
            ]
            .concat(),
        );
    };

    edit(&["--env-add", "A=b", "--label-add", "x=y", "--replicas", "0"]);
    let seen = client
        .until_seen("environment", |s| {
            s.services
                .iter()
                .find(|s| !s.spec.task.container.env.is_empty())
                .cloned()
        })
        .await;
    assert_eq!(
        (
            seen.spec.task.container.env["A"].as_str(),
            seen.spec.labels["x"].as_str()
        ),
        ("b", "y")
    );
    assert_eq!(seen.unmodelled, Default::default());

    edit(&[
        "--mount-add",
        "type=tmpfs,target=/scratch",
        "--host-add",
        "a.example:10.0.0.1",
        "--sysctl-add",
        "net.core.somaxconn=1024",
        "--ulimit-add",
        "nofile=100:200",
        "--dns-add",
        "10.0.0.53",
        "--log-driver",
        "none",
        "--group-add",
        "42",
        "--generic-resource-add",
        "gpu=1",
    ]);
    let seen = client
        .until_seen("fields without a model", |s| {
            s.services
                .iter()
                .find(|s| !s.unmodelled.is_empty())
                .cloned()
        })
        .await;
    let fields: Vec<_> = seen
        .unmodelled
        .iter()
        .map(|(path, json)| format!("{path} = {json}"))
        .collect();
    assert_eq!(
        fields,
        [
            r#"TaskTemplate.ContainerSpec.DNSConfig = {"Nameservers":["10.0.0.53"]}"#,
            r#"TaskTemplate.ContainerSpec.Groups = ["42"]"#,
            r#"TaskTemplate.ContainerSpec.Hosts = ["10.0.0.1 a.example"]"#,
            r#"TaskTemplate.ContainerSpec.Mounts = [{"Target":"/scratch","Type":"tmpfs"}]"#,
            r#"TaskTemplate.ContainerSpec.Sysctls = {"net.core.somaxconn":"1024"}"#,
            r#"TaskTemplate.ContainerSpec.Ulimits = [{"Hard":200,"Name":"nofile","Soft":100}]"#,
            r#"TaskTemplate.LogDriver = {"Name":"none"}"#,
            r#"TaskTemplate.Resources.Reservations.GenericResources = [{"DiscreteResourceSpec":{"Kind":"gpu","Value":1}}]"#,
        ]
    );

    // One write of the whole spec puts all of it right.
    let acted = client.update_now(&seen.id, &spec).await.unwrap();
    let seen = client.seen(&acted, &spec.name).await;
    assert_eq!(
        (seen.spec, seen.unmodelled),
        (spec.clone(), Default::default())
    );

    engine.docker(&["service", "rm", &spec.name]);
    client
        .until_seen("removal", |s| s.services.is_empty().then_some(()))
        .await;
}

// T24: polls find what no event told of. The doorbell is what makes a change seen in well
// under the poll interval.
#[tokio::test]
async fn an_event_makes_the_next_poll_come_sooner() {
    let engine = Engine::shared();
    let address = engine.address().parse().unwrap();
    let slow = Config {
        poll_interval: PATIENCE * 2,
        slow_poll_interval: PATIENCE * 2,
        ..Config::new(address, OWNER, "bell")
    };
    let client = Client::with(slow);
    client.until_seen("first snapshot", |_| Some(())).await;
    // The doorbell opens its stream at about the same time; ring until it is heard.
    let label = format!("{OWNER}=bell");
    let begun = Instant::now();
    let mut n = 0;
    while client
        .observations()
        .borrow()
        .snapshot()
        .unwrap()
        .services
        .is_empty()
    {
        n += 1;
        let name = format!("bell-{n}");
        engine.docker(&[
            "service",
            "create",
            "-d",
            "--no-resolve-image",
            "--replicas",
            "0",
            "--name",
            &name,
            "--label",
            &label,
            "busybox:1.36",
        ]);
        let mut changed = client.observations();
        let _ = tokio::time::timeout(Duration::from_secs(2), changed.changed()).await;
        assert!(begun.elapsed() < PATIENCE, "no event was heard");
    }
    // An event about what only slow polls read makes the next one such a poll.
    engine.docker(&["network", "create", "--driver", "overlay", "bell-net"]);
    client
        .until_seen("the network", |snapshot| {
            let seen = snapshot
                .networks
                .iter()
                .any(|network| network.name == "bell-net");
            seen.then_some(())
        })
        .await;
    engine.docker(&["network", "rm", "bell-net"]);
    client.clean_up().await;
}

// T23, and the cost of a burst: creates share polls, and each is in the snapshot it asks for.
#[tokio::test]
async fn many_creates_share_polls_and_an_idle_client_wakes_nobody() {
    // Its own: a network that another test makes would rightly wake the client.
    let engine = Engine::start();
    let client = Client::new(&engine, "burst");
    client.fresh().await;
    let before = client.metrics().polls();
    let begun = Instant::now();
    futures::stream::iter(0..20)
        .for_each_concurrent(8, async |n| {
            let spec = ServiceSpec {
                mode: ServiceMode::Replicated(0),
                ..client.spec(&n.to_string(), "true")
            };
            let acted = client.create(&spec).await.unwrap();
            client.seen(&acted, &spec.name).await;
        })
        .await;
    let polls = client.metrics().polls() - before;
    // Two polls never begin within 50 ms of each other, however many acts ask for them.
    let bound = u64::try_from(begun.elapsed().as_millis() / 50).unwrap() + 1;
    assert!(polls <= bound, "{polls} polls in {:?}", begun.elapsed());
    assert_eq!(client.metrics().writes(), 20);

    // The events of the creates have been polled away when two polls in a row bring nothing.
    let mut observations = client.observations();
    observations.mark_unchanged();
    let polls = client.metrics().polls();
    let deadline = Instant::now() + PATIENCE;
    while client.metrics().polls() < polls + 3 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        !observations.has_changed().unwrap(),
        "woken without a change"
    );
    client.clean_up().await;
}

#[tokio::test]
async fn a_stopped_engine_is_unknown_and_comes_back_known() {
    let engine = Engine::start();
    let client = Client::new(&engine, "stop");
    let spec = ServiceSpec {
        mode: ServiceMode::Replicated(0),
        ..client.spec("a", "true")
    };
    client.create(&spec).await.unwrap();
    client
        .until_seen("service", |s| (!s.services.is_empty()).then_some(()))
        .await;

    engine.power_off();
    let stopped = Instant::now();
    let reason = client
        .until("unknown", |observation| match observation {
            Observation::Unknown { reason, .. } => Some(reason.clone()),
            Observation::Known(_) => None,
        })
        .await;
    let took = stopped.elapsed();
    assert!(took < PATIENCE / 4, "unknown only after {took:?}");
    assert!(
        reason.contains("cannot be reached") && reason.contains(&engine.address()),
        "{reason}"
    );
    let error = client.create(&spec).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let wait = client
        .snapshot_at_least(client.refresh(), Duration::from_millis(100))
        .await;
    assert!(wait.unwrap_err().reason.contains("cannot be reached"));

    engine.power_on();
    let back = client
        .until_seen("services after the start", |s| s.services.first().cloned())
        .await;
    assert_eq!(back.spec, spec);
}

#[tokio::test]
async fn an_engine_outside_a_swarm_is_unknown_with_advice() {
    let engine = Engine::start_without_swarm();
    let client = Client::new(&engine, "none");
    let told = |observation: &Observation| match observation {
        Observation::Unknown { reason, .. } if reason.contains("docker swarm init") => {
            Some(reason.clone())
        }
        _ => None,
    };
    let reason = client.until("advice", told).await;
    assert!(reason.contains("is not a Swarm manager"), "{reason}");
    engine.docker(&["swarm", "init", "--advertise-addr", "198.18.99.1"]);
    client
        .until_seen("node", |s| s.nodes.first().cloned())
        .await;
}

// An Engine that accepts and says nothing is as unknown as one that is gone.
#[tokio::test]
async fn a_silent_engine_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    let address = format!("unix://{}", path.display()).parse().unwrap();
    let config = Config {
        unknown_after: Duration::from_millis(200),
        ..Config::new(address, OWNER, "u")
    };
    let client = Client::with(config);
    let silent = |observation: &Observation| match observation {
        Observation::Unknown { reason, .. } => reason.contains("in time").then_some(()),
        Observation::Known(_) => None,
    };
    client.until("timeout", silent).await;
}

//! Defaults undone, order made normal, odd values survived.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn spec(json: Value) -> (ServiceSpec, Leftovers) {
    let service = service(json!({"ID": "s", "Version": {"Index": 9}, "Spec": json}));
    assert_eq!((service.id.as_str(), service.version), ("s", 9));
    (service.spec, service.unmodelled)
}

// T18: what the Engine adds on its own is no difference.
#[test]
fn what_the_engine_adds_is_undone() {
    let bare = spec(json!({"Name": "a", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}}));
    let filled = spec(json!({
        "Name": "a", "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "i", "Isolation": "default", "DNSConfig": {}, "Env": null, "Mounts": [],
                "Privileges": {"CredentialSpec": null, "SELinuxContext": null}, "OomScoreAdj": 0,
                "Healthcheck": {},
            },
            "Resources": {"Limits": {}, "Reservations": {}}, "Placement": {}, "ForceUpdate": 0,
            "Runtime": "container",
            "RestartPolicy": {"Condition": "any", "Delay": 5_000_000_000_i64, "MaxAttempts": 0},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "UpdateConfig": {
            "Parallelism": 1, "FailureAction": "pause", "Monitor": 5_000_000_000_i64,
            "MaxFailureRatio": 0, "Order": "stop-first",
        },
        "EndpointSpec": {"Mode": "vip"},
    }));
    assert_eq!(bare, filled);
    assert_eq!(bare.1, Leftovers::new());
    assert_eq!(bare.0.update, UpdateConfig::default());
    assert_eq!(bare.0.task.restart, RestartPolicy::default());
}

#[test]
fn a_value_that_means_something_is_not_a_default() {
    let (spec, unmodelled) = spec(json!({
        "TaskTemplate": {
            "ContainerSpec": {"Init": false, "StopGracePeriod": 0, "Isolation": "hyperv"},
            "RestartPolicy": {"Delay": 0},
            "Runtime": "plugin",
        },
        "Mode": {"Replicated": {"Replicas": 0}},
        "UpdateConfig": {},
    }));
    assert_eq!(spec.task.container.init, Some(false));
    assert_eq!(spec.task.container.stop_grace_period_ns, Some(0));
    assert_eq!(spec.task.restart.delay_ns, 0);
    assert_eq!(spec.mode, ServiceMode::Replicated(0));
    assert_eq!(spec.update.parallelism, 0, "present, so all at once");
    assert_eq!(spec.rollback.parallelism, 1, "absent, so the default");
    let fields: Vec<_> = unmodelled
        .iter()
        .map(|(path, json)| format!("{path}={json}"))
        .collect();
    assert_eq!(
        fields,
        [
            "TaskTemplate.ContainerSpec.Isolation=\"hyperv\"",
            "TaskTemplate.Runtime=\"plugin\""
        ]
    );
}

#[test]
fn order_without_meaning_is_made_normal() {
    let (spec, unmodelled) = spec(json!({
        "TaskTemplate": {
            "ContainerSpec": {"CapabilityAdd": ["sys_time", "CAP_NET_ADMIN"], "CapabilityDrop": ["all"]},
            "Placement": {
                "Constraints": ["node.role==worker", "node.labels.a==b"],
                "Preferences": [{"Spread": {"SpreadDescriptor": "z"}}, {"Spread": {"SpreadDescriptor": "a"}}],
            },
            "Networks": [{"Target": "n2", "Aliases": ["y", "x"]}, {"Target": "n1"}],
        },
        "Networks": [{"Target": "old"}],
        "EndpointSpec": {"Ports": [
            {"TargetPort": 443, "PublishedPort": 443}, {"TargetPort": 53, "Protocol": "udp", "PublishMode": "host"},
        ]},
    }));
    assert_eq!(unmodelled, Leftovers::new());
    assert_eq!(
        spec.task.container.capability_add,
        ["CAP_NET_ADMIN", "CAP_SYS_TIME"]
    );
    assert_eq!(spec.task.container.capability_drop, ["ALL"]);
    assert_eq!(
        spec.task.placement.constraints,
        ["node.labels.a==b", "node.role==worker"]
    );
    assert_eq!(
        spec.task.placement.spread,
        ["z", "a"],
        "their order is their importance"
    );
    let networks: Vec<_> = spec
        .task
        .networks
        .iter()
        .map(|n| (n.target.as_str(), n.aliases.join(",")))
        .collect();
    assert_eq!(networks, [("n1", String::new()), ("n2", "x,y".to_owned())]);
    let ports: Vec<_> = spec
        .endpoint
        .ports
        .iter()
        .map(|p| (p.protocol.as_str(), p.target, p.mode.as_str()))
        .collect();
    assert_eq!(ports, [("tcp", 443, "ingress"), ("udp", 53, "host")]);
}

#[test]
fn an_environment_that_is_no_map_is_reported_as_a_whole() {
    for entries in [json!(["A=1", "A=2"]), json!(["A"])] {
        let (_, unmodelled) = spec(json!({"TaskTemplate": {"ContainerSpec": {"Env": entries}}}));
        assert_eq!(
            unmodelled["TaskTemplate.ContainerSpec.Env"],
            entries.to_string()
        );
    }
}

#[test]
fn fields_of_list_elements_are_reported_with_their_place() {
    let (spec, unmodelled) = spec(json!({
        "Mode": {"ReplicatedJob": {"MaxConcurrent": 1}},
        "TaskTemplate": {"Networks": [{"Target": "n"}, {"Target": "m", "DriverOpts": {"a": "b"}}]},
    }));
    assert_eq!(spec.mode, ServiceMode::Other("ReplicatedJob".into()));
    assert_eq!(
        unmodelled["TaskTemplate.Networks[1].DriverOpts"],
        r#"{"a":"b"}"#
    );
}

#[test]
fn an_update_that_never_was_is_none() {
    let none = service(json!({"UpdateStatus": {}}));
    assert_eq!(none.update, None);
    let paused = service(json!({"UpdateStatus": {
        "State": "paused", "Message": "m", "StartedAt": "2026-01-02T03:04:05.6Z", "CompletedAt": "0001-01-01T00:00:00Z",
    }}));
    let paused = paused.update.unwrap();
    assert_eq!(
        (paused.state, paused.message.as_str()),
        (UpdateState::Paused, "m")
    );
    assert_eq!(paused.started_at, "2026-01-02T03:04:05.6Z".parse().ok());
    assert_eq!(paused.completed_at, None);
}

// Case F52: managers report 0.0.0.0 or a loopback address of themselves.
#[test]
fn a_node_has_an_address_that_others_can_use() {
    for (status, manager, address) in [
        ("10.0.0.1", "10.0.0.9:2377", "10.0.0.1"),
        ("0.0.0.0", "10.0.0.9:2377", "10.0.0.9"),
        ("127.0.0.1", "10.0.0.9:2377", "10.0.0.9"),
        ("", "[fd00::9]:2377", "fd00::9"),
        ("0.0.0.0", "", ""),
        ("127.0.0.1", "", "127.0.0.1"),
    ] {
        let node = node(json!({"Status": {"Addr": status}, "ManagerStatus": {"Addr": manager}}));
        assert_eq!(node.address, address, "{status:?} {manager:?}");
    }
}

#[test]
fn an_exit_code_is_that_of_an_ended_container() {
    for (state, container, exit_code) in [
        ("running", "c", None),
        ("failed", "c", Some(137)),
        ("complete", "c", Some(137)),
        ("rejected", "", None),
        ("from the future", "c", None),
    ] {
        let status =
            json!({"State": state, "ContainerStatus": {"ContainerID": container, "ExitCode": 137}});
        assert_eq!(
            task(json!({"ID": "t", "Status": status})).exit_code,
            exit_code,
            "{state}"
        );
    }
}

proptest::proptest! {
    // Whatever JSON comes, nothing panics, and identity survives the oddities beside it.
    #[test]
    fn any_json_is_read(
        key in "Name|Labels|TaskTemplate|Mode|EndpointSpec|UpdateConfig|Status|Description|IPAM|X",
        inner in "ContainerSpec|Networks|Ports|Config|Monitor|Replicated|Env|Addr",
        odd in proptest::prop_oneof![
            proptest::strategy::Just(json!(null)), proptest::strategy::Just(json!(-1.5)),
            proptest::strategy::Just(json!([null, {"a": [1]}])), proptest::strategy::Just(json!("x")),
            proptest::strategy::Just(json!({"Target": 1, "Env": {"A": 1}})),
        ],
    ) {
        for value in [odd.clone(), json!({&inner: odd})] {
            let spec = json!({"ID": "i", &key: value, "Spec": {"Name": "n", "Labels": {"l": "v"}, "Extra": value}});
            let seen = service(spec.clone());
            proptest::prop_assert_eq!((seen.id.as_str(), seen.spec.labels["l"].as_str()), ("i", "v"));
            proptest::prop_assert_eq!(task(spec.clone()).id, "i");
            proptest::prop_assert_eq!(node(spec.clone()).id, "i");
            network(spec);
        }
        let alone = service(json!({"Spec": {&key: {&inner: &odd}}}));
        proptest::prop_assert_eq!(alone.version, 0);
        service(odd);
    }
}

//! The Swarm service that a Deployment asks for.
//!
//! Guarantees: a pure function of the object, its routes, its references and the names of
//! networks. Everything about routes is in service labels, and which networks a task joins
//! depends on the Deployment alone, so that adding or removing a Route restarts nothing.

use std::collections::{BTreeMap, BTreeSet};

use api_types::conditions::reason;
use api_types::deployment::{
    EndpointMode, FailureAction, Mode, Port, Protocol, PublishMode, RestartCondition,
    RollbackFailureAction, UpdateOrder,
};
use api_types::units::Quantity;
use api_types::{DeploymentSpec, labels};

use super::env::environment;
use super::{Blocked, Input};
use crate::hash::{hash_of, number_of};
use crate::model::{
    ContainerSpec, EndpointSpec, HealthCheck, NetworkAttachment, NetworkSpec, Placement,
    PublishedPort, Resources, RestartPolicy, ServiceMode, ServiceSpec, Snapshot, TaskSpec,
    UpdateConfig,
};
use crate::route::{ENABLE_LABEL, NETWORK_LABEL};

/// What is wanted, with what is needed to compare and explain it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    /// The whole spec; networks that exist by their ids, others by their names.
    pub spec: ServiceSpec,
    /// Hash of what replaces tasks when it changes, networks by name.
    pub template_hash: String,
    /// Networks to make first.
    pub networks: Vec<NetworkSpec>,
    /// Names of environment variables whose value may be shown.
    pub shown_env: BTreeSet<String>,
    /// Why stop-first was chosen although nobody asked for it.
    pub stop_first_because: Option<String>,
}

/// Renders the service, or says what is missing.
pub(super) fn desired(input: &Input<'_>, snapshot: &Snapshot) -> Result<Desired, Blocked> {
    let spec = &input.deployment.spec;
    let environment = environment(input)?;
    let (order, stop_first_because) = update_order(spec);
    let mut task = TaskSpec {
        container: container(input, environment.values)?,
        resources: resources(spec)?,
        restart: restart(spec),
        placement: placement(spec),
        networks: attachments(input),
        force_update: spec.restarted_at.as_deref().map_or(0, number_of),
    };
    let endpoint = endpoint(spec);
    let template_hash = hash_of(&(&task, &endpoint));
    let mut service = ServiceSpec {
        name: input.cluster.service_name(input.namespace(), input.name()),
        labels: BTreeMap::new(),
        mode: match spec.mode {
            Mode::Replicated => ServiceMode::Replicated(u64::from(spec.replicas)),
            Mode::Global => ServiceMode::Global,
        },
        task: task.clone(),
        update: update(spec, order),
        rollback: rollback(spec, order),
        endpoint,
    };
    service.labels = service_labels(input);
    let spec_hash = hash_of(&service);
    service
        .labels
        .insert(labels::SPEC_HASH.to_owned(), spec_hash);
    service.labels.insert(
        labels::GENERATION.to_owned(),
        input.generation().to_string(),
    );
    let networks = resolve_networks(input, snapshot, &mut task.networks)?;
    service.task = task;
    Ok(Desired {
        spec: service,
        template_hash,
        networks,
        shown_env: environment.shown,
        stop_first_because,
    })
}

/// Labels of the service without hash and generation.
fn service_labels(input: &Input<'_>) -> BTreeMap<String, String> {
    let spec = &input.deployment.spec;
    let mut all = spec.labels.clone();
    all.retain(|key, _| {
        !key.starts_with(labels::PREFIX) && !key.starts_with(labels::TRAEFIK_PREFIX)
    });
    let keys: Vec<&str> = all.keys().map(String::as_str).collect();
    let keys = keys.join(",");
    if !keys.is_empty() {
        all.insert(labels::LABEL_KEYS.to_owned(), keys);
    }
    all.extend([
        (labels::DEPLOYMENT.to_owned(), "true".to_owned()),
        (
            labels::DEPLOYMENT_ID.to_owned(),
            format!("{}/{}", input.namespace(), input.name()),
        ),
        (labels::DEPLOYMENT_UID.to_owned(), input.uid().to_owned()),
        (labels::CLUSTER_UID.to_owned(), input.cluster.uid.clone()),
    ]);
    if let Some(text) = &spec.restarted_at {
        all.insert(labels::FORCE_UPDATE.to_owned(), number_of(text).to_string());
    }
    if !input.routes.is_empty() {
        all.insert(ENABLE_LABEL.to_owned(), "true".to_owned());
        all.insert(
            NETWORK_LABEL.to_owned(),
            input.cluster.ingress_network.clone(),
        );
        all.extend(input.routes.iter().flat_map(|route| route.labels.clone()));
    }
    all
}

fn container(input: &Input<'_>, env: BTreeMap<String, String>) -> Result<ContainerSpec, Blocked> {
    let spec = &input.deployment.spec;
    let capabilities = spec.capabilities.clone().unwrap_or_default();
    Ok(ContainerSpec {
        image: spec.image.clone(),
        labels: BTreeMap::from([
            (
                labels::CONTAINER_DEPLOYMENT_ID.to_owned(),
                format!("{}/{}", input.namespace(), input.name()),
            ),
            (
                labels::CONTAINER_DEPLOYMENT_UID.to_owned(),
                input.uid().to_owned(),
            ),
        ]),
        command: spec.command.clone(),
        args: spec.args.clone(),
        env,
        dir: spec.working_dir.clone().unwrap_or_default(),
        user: spec.user.clone().unwrap_or_default(),
        hostname: spec.hostname.clone().unwrap_or_default(),
        init: spec.init,
        read_only: spec.read_only_root_filesystem.unwrap_or_default(),
        tty: spec.tty.unwrap_or_default(),
        stop_signal: spec.stop_signal.clone().unwrap_or_default(),
        stop_grace_period_ns: spec.termination_grace_period_seconds.map(nanoseconds),
        capability_add: capability_names(&capabilities.add),
        capability_drop: capability_names(&capabilities.drop),
        health_check: health_check(spec),
    })
}

/// Names as Docker writes them: `CAP_NET_ADMIN`, `ALL`; sorted, each once.
fn capability_names(names: &[String]) -> Vec<String> {
    let full = |name: &String| {
        let name = name.to_ascii_uppercase();
        if name == "ALL" || name.starts_with("CAP_") {
            name
        } else {
            format!("CAP_{name}")
        }
    };
    names
        .iter()
        .map(full)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn health_check(spec: &DeploymentSpec) -> Option<HealthCheck> {
    let check = spec.health_check.as_ref()?;
    let test = match &check.exec {
        Some(exec) => std::iter::once("CMD".to_owned())
            .chain(exec.command.iter().cloned())
            .collect(),
        None if check.none == Some(true) => {
            return Some(HealthCheck {
                test: vec!["NONE".to_owned()],
                ..HealthCheck::default()
            });
        }
        // Only times are set: the image's own command with these times.
        None => Vec::new(),
    };
    Some(HealthCheck {
        test,
        interval_ns: check.period_seconds.map_or(0, nanoseconds),
        timeout_ns: check.timeout_seconds.map_or(0, nanoseconds),
        retries: check.failure_threshold.unwrap_or_default(),
        start_period_ns: check.initial_delay_seconds.map_or(0, nanoseconds),
    })
}

fn resources(spec: &DeploymentSpec) -> Result<Resources, Blocked> {
    let resources = spec.resources.clone().unwrap_or_default();
    let requests = resources.requests.unwrap_or_default();
    let limits = resources.limits.unwrap_or_default();
    Ok(Resources {
        reserve_nano_cpus: nano_cpus("requests.cpu", requests.cpu.as_ref())?,
        reserve_memory: bytes("requests.memory", requests.memory.as_ref())?,
        limit_nano_cpus: nano_cpus("limits.cpu", limits.cpu.as_ref())?,
        limit_memory: bytes("limits.memory", limits.memory.as_ref())?,
        limit_pids: limits.pids.unwrap_or_default(),
    })
}

fn nano_cpus(field: &str, quantity: Option<&Quantity>) -> Result<i64, Blocked> {
    quantity.map_or(Ok(0), |quantity| {
        quantity
            .nano_cpus()
            .map_err(|error| bad_quantity(field, &error))
    })
}

fn bytes(field: &str, quantity: Option<&Quantity>) -> Result<i64, Blocked> {
    quantity.map_or(Ok(0), |quantity| {
        quantity
            .bytes()
            .map_err(|error| bad_quantity(field, &error))
    })
}

fn bad_quantity(field: &str, error: &dyn std::error::Error) -> Blocked {
    Blocked {
        reason: reason::INVALID_SPEC,
        message: format!("spec.resources.{field}: {error}"),
    }
}

fn restart(spec: &DeploymentSpec) -> RestartPolicy {
    let policy = spec.restart_policy.clone().unwrap_or_default();
    RestartPolicy {
        condition: match policy.condition {
            RestartCondition::Any => "any",
            RestartCondition::OnFailure => "on-failure",
            RestartCondition::None => "none",
        }
        .to_owned(),
        delay_ns: nanoseconds(policy.delay_seconds),
        max_attempts: u64::from(policy.max_attempts),
        window_ns: nanoseconds(policy.window_seconds),
    }
}

fn placement(spec: &DeploymentSpec) -> Placement {
    let placement = spec.placement.clone().unwrap_or_default();
    let selected = placement
        .node_selector
        .iter()
        .map(|(key, value)| format!("node.labels.{key}=={value}"));
    // Without blanks, so that `a == b` and `a==b` are one constraint.
    let constraints = placement
        .constraints
        .iter()
        .map(|text| text.split_whitespace().collect::<String>());
    Placement {
        constraints: selected
            .chain(constraints)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        spread: placement
            .spread_by
            .iter()
            .map(|key| format!("node.labels.{key}"))
            .collect(),
        max_replicas_per_node: placement.max_replicas_per_node.map_or(0, u64::from),
    }
}

fn endpoint(spec: &DeploymentSpec) -> EndpointSpec {
    let mut ports: Vec<PublishedPort> = spec
        .ports
        .iter()
        .filter_map(|port| {
            Some(PublishedPort {
                name: port.name.clone(),
                protocol: match port.protocol.unwrap_or_default() {
                    Protocol::TCP => "tcp",
                    Protocol::UDP => "udp",
                    Protocol::SCTP => "sctp",
                }
                .to_owned(),
                target: port.container_port,
                published: port.host_port?,
                mode: if in_host_mode(port) {
                    "host"
                } else {
                    "ingress"
                }
                .to_owned(),
            })
        })
        .collect();
    ports.sort();
    let mode = match spec.endpoint_mode {
        EndpointMode::VIP => "vip",
        EndpointMode::DNSRR => "dnsrr",
    };
    EndpointSpec {
        mode: mode.to_owned(),
        ports,
    }
}

fn in_host_mode(port: &Port) -> bool {
    port.host_port.is_some() && port.publish_mode == Some(PublishMode::Host)
}

/// Start-first, unless a port that only one task can hold forbids it (F28).
fn update_order(spec: &DeploymentSpec) -> (UpdateOrder, Option<String>) {
    let host = spec.ports.iter().find(|port| in_host_mode(port));
    match (spec.rollout.order, host) {
        (Some(order), _) => (order, None),
        (None, None) => (UpdateOrder::StartFirst, None),
        (None, Some(port)) => {
            let number = port.host_port.unwrap_or_default();
            let why = format!(
                "port {number} is published in Host mode, and two tasks cannot hold it at once: the old task stops before the new one starts"
            );
            (UpdateOrder::StopFirst, Some(why))
        }
    }
}

fn order_word(order: UpdateOrder) -> String {
    match order {
        UpdateOrder::StartFirst => "start-first",
        UpdateOrder::StopFirst => "stop-first",
    }
    .to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "Swarm's own type of a ratio"
)]
fn update(spec: &DeploymentSpec, order: UpdateOrder) -> UpdateConfig {
    let rollout = &spec.rollout;
    UpdateConfig {
        parallelism: u64::from(rollout.max_parallel),
        delay_ns: nanoseconds(rollout.delay_seconds),
        failure_action: match rollout.on_failure {
            FailureAction::Rollback => "rollback",
            FailureAction::Pause => "pause",
            FailureAction::Continue => "continue",
        }
        .to_owned(),
        monitor_ns: nanoseconds(rollout.monitor_seconds),
        max_failure_ratio: rollout.max_failure_ratio as f32,
        order: order_word(order),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "Swarm's own type of a ratio"
)]
fn rollback(spec: &DeploymentSpec, order: UpdateOrder) -> UpdateConfig {
    let rollback = spec.rollback.clone().unwrap_or_default();
    UpdateConfig {
        parallelism: u64::from(rollback.max_parallel),
        delay_ns: nanoseconds(rollback.delay_seconds),
        failure_action: match rollback.on_failure {
            RollbackFailureAction::Pause => "pause",
            RollbackFailureAction::Continue => "continue",
        }
        .to_owned(),
        monitor_ns: nanoseconds(rollback.monitor_seconds),
        max_failure_ratio: rollback.max_failure_ratio as f32,
        order: order_word(rollback.order.unwrap_or(order)),
    }
}

/// Networks by name: the namespace's, the one shared with Traefik where there is a port to reach,
/// and those of the spec.
fn attachments(input: &Input<'_>) -> Vec<NetworkAttachment> {
    let spec = &input.deployment.spec;
    // Found in its namespace under its own name, as in Kubernetes.
    let own = NetworkAttachment {
        target: input.cluster.namespace_network_name(input.namespace()),
        aliases: vec![input.name().to_owned()],
    };
    let ingress = (!spec.ports.is_empty()).then(|| NetworkAttachment {
        target: input.cluster.ingress_network.clone(),
        aliases: Vec::new(),
    });
    let mut all: Vec<NetworkAttachment> = vec![own];
    for attachment in ingress
        .into_iter()
        .chain(spec.networks.iter().map(|network| NetworkAttachment {
            target: network.name.clone(),
            aliases: network.aliases.clone(),
        }))
    {
        match all
            .iter_mut()
            .find(|known| known.target == attachment.target)
        {
            Some(known) => known.aliases.extend(attachment.aliases),
            None => all.push(attachment),
        }
    }
    for attachment in &mut all {
        attachment.aliases.sort();
        attachment.aliases.dedup();
    }
    all.sort();
    all
}

/// Puts ids in place of names; returns the networks of ours that have to be made.
fn resolve_networks(
    input: &Input<'_>,
    snapshot: &Snapshot,
    attachments: &mut [NetworkAttachment],
) -> Result<Vec<NetworkSpec>, Blocked> {
    let cluster = input.cluster;
    let own = cluster.namespace_network_name(input.namespace());
    let mut missing = Vec::new();
    for attachment in attachments.iter_mut() {
        let name = attachment.target.clone();
        let found = snapshot
            .networks
            .iter()
            .find(|network| network.name == name);
        if let Some(network) = found {
            let foreign = network.labels.get(labels::CLUSTER_UID) != Some(&cluster.uid);
            if name == own && foreign {
                let message =
                    format!("network {name:?} exists and is not ours: remove or rename it");
                return Err(Blocked {
                    reason: reason::NAME_TAKEN,
                    message,
                });
            }
            attachment.target.clone_from(&network.id);
        } else if name == own {
            let subnet = cluster
                .free_subnet(&snapshot.networks)
                .map_err(|error| Blocked {
                    reason: reason::INVALID_SPEC,
                    message: format!(
                        "the network {name:?} of the namespace cannot be made: {error}"
                    ),
                })?;
            let purpose = [
                (labels::NETWORK, labels::NETWORK_NAMESPACE),
                (labels::NAMESPACE, input.namespace()),
            ];
            missing.push(network(input, name, &purpose, subnet));
        } else if name == cluster.ingress_network {
            let purpose = [(labels::NETWORK, labels::NETWORK_INGRESS)];
            missing.push(network(
                input,
                name,
                &purpose,
                cluster.ingress_subnet.clone(),
            ));
        } else {
            let message = format!(
                "spec.networks: there is no overlay network {name:?}; create it with `docker network create --driver overlay --attachable {name}`"
            );
            return Err(Blocked {
                reason: reason::NETWORK_NOT_FOUND,
                message,
            });
        }
    }
    attachments.sort();
    Ok(missing)
}

fn network(
    input: &Input<'_>,
    name: String,
    purpose: &[(&str, &str)],
    subnet: Option<String>,
) -> NetworkSpec {
    let mut all: BTreeMap<String, String> = purpose
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    all.insert(labels::CLUSTER_UID.to_owned(), input.cluster.uid.clone());
    NetworkSpec {
        name,
        labels: all,
        subnet,
    }
}

fn nanoseconds(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000_000_000
}

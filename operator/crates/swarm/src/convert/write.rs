//! The model as requests to the Engine: every field explicit, so that an update leaves nothing
//! of an older spec behind (case F17).
//!
//! Errors: a text that the Engine's vocabulary does not have (`order: sideways`).

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use bollard::models as engine;
use plan::model::{
    ContainerSpec, EndpointSpec, HealthCheck, NetworkSpec, NodeSpec, PublishedPort, Resources,
    ServiceMode, ServiceSpec, TaskSpec, UpdateConfig,
};

use super::NO_MONITORING_NS;
use crate::error::ErrorKind;

type Result<T> = std::result::Result<T, ErrorKind>;

/// A whole service spec.
pub(crate) fn service(spec: &ServiceSpec) -> Result<engine::ServiceSpec> {
    Ok(engine::ServiceSpec {
        name: Some(spec.name.clone()),
        labels: Some(map(&spec.labels)),
        task_template: Some(task(&spec.task)?),
        mode: Some(mode(&spec.mode)?),
        update_config: Some(update(&spec.update)?),
        rollback_config: Some(rollback(&spec.rollback)?),
        networks: None, // deprecated: networks belong to the task template
        endpoint_spec: Some(endpoint(&spec.endpoint)?),
    })
}

/// A whole node spec.
pub(crate) fn node(spec: &NodeSpec) -> Result<engine::NodeSpec> {
    Ok(engine::NodeSpec {
        name: Some(spec.name.clone()),
        labels: Some(map(&spec.labels)),
        role: Some(word("Role", &spec.role)?),
        availability: Some(word("Availability", &spec.availability)?),
    })
}

/// An attachable overlay network.
pub(crate) fn network(spec: &NetworkSpec) -> engine::NetworkCreateRequest {
    engine::NetworkCreateRequest {
        name: spec.name.clone(),
        driver: Some("overlay".to_owned()),
        attachable: Some(true),
        labels: Some(map(&spec.labels)),
        ipam: spec.subnet.as_ref().map(|subnet| engine::Ipam {
            config: Some(vec![engine::IpamConfig {
                subnet: Some(subnet.clone()),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn mode(mode: &ServiceMode) -> Result<engine::ServiceSpecMode> {
    let none = engine::ServiceSpecMode::default();
    match mode {
        ServiceMode::Replicated(replicas) => Ok(engine::ServiceSpecMode {
            replicated: Some(engine::ServiceSpecModeReplicated {
                replicas: Some(signed("Mode.Replicated.Replicas", *replicas)?),
            }),
            ..none
        }),
        ServiceMode::Global => Ok(engine::ServiceSpecMode {
            global: Some(HashMap::new()),
            ..none
        }),
        ServiceMode::Other(name) => Err(ErrorKind::Invalid(format!(
            "Mode {name} is never written, only observed"
        ))),
    }
}

fn task(task: &TaskSpec) -> Result<engine::TaskSpec> {
    let networks = task
        .networks
        .iter()
        .map(|network| engine::NetworkAttachmentConfig {
            target: Some(network.target.clone()),
            aliases: Some(network.aliases.clone()),
            driver_opts: None,
        });
    let spread = task
        .placement
        .spread
        .iter()
        .map(|label| engine::TaskSpecPlacementPreferences {
            spread: Some(engine::TaskSpecPlacementSpread {
                spread_descriptor: Some(label.clone()),
            }),
        });
    Ok(engine::TaskSpec {
        container_spec: Some(container(&task.container)),
        resources: Some(resources(&task.resources)),
        restart_policy: Some(engine::TaskSpecRestartPolicy {
            condition: Some(word("RestartPolicy.Condition", &task.restart.condition)?),
            delay: Some(task.restart.delay_ns),
            max_attempts: Some(signed(
                "RestartPolicy.MaxAttempts",
                task.restart.max_attempts,
            )?),
            window: Some(task.restart.window_ns),
        }),
        placement: Some(engine::TaskSpecPlacement {
            constraints: Some(task.placement.constraints.clone()),
            preferences: Some(spread.collect()),
            max_replicas: Some(signed(
                "Placement.MaxReplicas",
                task.placement.max_replicas_per_node,
            )?),
            platforms: None,
        }),
        networks: Some(networks.collect()),
        force_update: Some(task.force_update),
        ..Default::default()
    })
}

fn container(spec: &ContainerSpec) -> engine::TaskSpecContainerSpec {
    engine::TaskSpecContainerSpec {
        image: Some(spec.image.clone()),
        labels: Some(map(&spec.labels)),
        command: Some(spec.command.clone()),
        args: Some(spec.args.clone()),
        hostname: Some(spec.hostname.clone()),
        env: Some(
            spec.env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        dir: Some(spec.dir.clone()),
        user: Some(spec.user.clone()),
        tty: Some(spec.tty),
        read_only: Some(spec.read_only),
        stop_signal: Some(spec.stop_signal.clone()),
        stop_grace_period: spec.stop_grace_period_ns,
        health_check: spec.health_check.as_ref().map(health_check),
        init: spec.init,
        capability_add: Some(spec.capability_add.clone()),
        capability_drop: Some(spec.capability_drop.clone()),
        ..Default::default()
    }
}

fn health_check(check: &HealthCheck) -> engine::HealthConfig {
    engine::HealthConfig {
        test: Some(check.test.clone()),
        interval: Some(check.interval_ns),
        timeout: Some(check.timeout_ns),
        retries: Some(i64::from(check.retries)),
        start_period: Some(check.start_period_ns),
        start_interval: None,
    }
}

fn resources(resources: &Resources) -> engine::TaskSpecResources {
    engine::TaskSpecResources {
        limits: Some(engine::Limit {
            nano_cpus: Some(resources.limit_nano_cpus),
            memory_bytes: Some(resources.limit_memory),
            pids: Some(resources.limit_pids),
        }),
        reservations: Some(engine::ResourceObject {
            nano_cpus: Some(resources.reserve_nano_cpus),
            memory_bytes: Some(resources.reserve_memory),
            generic_resources: None,
        }),
        ..Default::default()
    }
}

fn update(config: &UpdateConfig) -> Result<engine::ServiceSpecUpdateConfig> {
    Ok(engine::ServiceSpecUpdateConfig {
        parallelism: Some(signed("UpdateConfig.Parallelism", config.parallelism)?),
        delay: Some(config.delay_ns),
        failure_action: Some(word("UpdateConfig.FailureAction", &config.failure_action)?),
        monitor: Some(config.monitor_ns.max(NO_MONITORING_NS)),
        max_failure_ratio: Some(f64::from(config.max_failure_ratio)),
        order: Some(word("UpdateConfig.Order", &config.order)?),
    })
}

fn rollback(config: &UpdateConfig) -> Result<engine::ServiceSpecRollbackConfig> {
    Ok(engine::ServiceSpecRollbackConfig {
        parallelism: Some(signed("RollbackConfig.Parallelism", config.parallelism)?),
        delay: Some(config.delay_ns),
        failure_action: Some(word(
            "RollbackConfig.FailureAction",
            &config.failure_action,
        )?),
        monitor: Some(config.monitor_ns.max(NO_MONITORING_NS)),
        max_failure_ratio: Some(f64::from(config.max_failure_ratio)),
        order: Some(word("RollbackConfig.Order", &config.order)?),
    })
}

fn endpoint(spec: &EndpointSpec) -> Result<engine::EndpointSpec> {
    let mode = if spec.mode.is_empty() {
        "vip"
    } else {
        &spec.mode
    };
    Ok(engine::EndpointSpec {
        mode: Some(word("EndpointSpec.Mode", mode)?),
        ports: Some(spec.ports.iter().map(port).collect::<Result<_>>()?),
    })
}

fn port(port: &PublishedPort) -> Result<engine::EndpointPortConfig> {
    Ok(engine::EndpointPortConfig {
        name: Some(port.name.clone()),
        protocol: Some(word("EndpointSpec.Ports.Protocol", &port.protocol)?),
        target_port: Some(i64::from(port.target)),
        published_port: Some(i64::from(port.published)),
        publish_mode: Some(word("EndpointSpec.Ports.PublishMode", &port.mode)?),
    })
}

fn map(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn word<T: FromStr>(field: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| ErrorKind::Invalid(format!("{field}: the Engine knows no {text:?}")))
}

fn signed(field: &str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| ErrorKind::Invalid(format!("{field}: {number} is too large")))
}

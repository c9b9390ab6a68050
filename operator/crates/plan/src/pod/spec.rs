//! What a task runs: from the template that it was made from, which may be an older one than the
//! Deployment has now.

use std::collections::BTreeMap;

use api_types::Deployment;
use api_types::deployment::{EnvFromSource, EnvVar, EnvVarSource, FieldPath, Port};
use api_types::units::Quantity as Amount;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::CONTAINER;
use crate::deployment::literal;
use crate::model::{ContainerSpec, Resources, Task};

pub(super) fn spec(deployment: &Deployment, task: &Task, node: Option<String>) -> core::PodSpec {
    let container = &task.spec.container;
    let restart = match task.spec.restart.condition.as_str() {
        "none" => "Never",
        "on-failure" => "OnFailure",
        _ => "Always",
    };
    core::PodSpec {
        node_name: node,
        restart_policy: Some(restart.to_owned()),
        hostname: some(&container.hostname),
        termination_grace_period_seconds: container
            .stop_grace_period_ns
            .map(|time| time / 1_000_000_000),
        containers: vec![core::Container {
            name: CONTAINER.to_owned(),
            image: Some(container.image.clone()),
            command: list(&container.command),
            args: list(&container.args),
            working_dir: some(&container.dir),
            tty: container.tty.then_some(true),
            env: env(deployment, container),
            env_from: env_from(&deployment.spec.env_from),
            ports: ports(&deployment.spec.ports),
            resources: resources(&task.spec.resources),
            ..core::Container::default()
        }],
        ..core::PodSpec::default()
    }
}

/// What is empty is left out, as in the server's own answers.
fn list<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The Deployment's variables, as far as the task has them. Values never come from the task: it
/// has those of Secrets among them, and an older template's Secret may be today's plain value.
fn env(deployment: &Deployment, container: &ContainerSpec) -> Option<Vec<core::EnvVar>> {
    let metadata = &deployment.metadata;
    let shown = |variable: &EnvVar| {
        let has = container.env.get(&variable.name)?;
        let source = variable.value_from.as_ref();
        let field = source.and_then(|source| source.field_ref.as_ref());
        // A field of the Deployment is not one of the Pod: it is shown as a value.
        let value = match field.map(|field| field.field_path) {
            Some(FieldPath::Name) => metadata.name.clone(),
            Some(FieldPath::Namespace) => metadata.namespace.clone(),
            Some(FieldPath::Uid) => metadata.uid.clone(),
            None if source.is_none() => variable.value.clone().or(Some(String::new())),
            None => None,
        };
        let is_current = |value: &String| literal(value) == *has;
        value.as_ref().is_none_or(is_current).then(|| core::EnvVar {
            name: variable.name.clone(),
            value_from: value.is_none().then_some(source).flatten().map(reference),
            value,
        })
    };
    let variables = deployment.spec.env.iter().filter_map(shown);
    list(&variables.collect::<Vec<_>>())
}

fn reference(source: &EnvVarSource) -> core::EnvVarSource {
    core::EnvVarSource {
        secret_key_ref: source
            .secret_key_ref
            .as_ref()
            .map(|key| core::SecretKeySelector {
                name: key.name.clone(),
                key: key.key.clone(),
                optional: key.optional,
            }),
        config_map_key_ref: source.config_map_key_ref.as_ref().map(|key| {
            core::ConfigMapKeySelector {
                name: key.name.clone(),
                key: key.key.clone(),
                optional: key.optional,
            }
        }),
        ..core::EnvVarSource::default()
    }
}

fn env_from(sources: &[EnvFromSource]) -> Option<Vec<core::EnvFromSource>> {
    let source = |source: &EnvFromSource| core::EnvFromSource {
        prefix: source.prefix.clone(),
        secret_ref: source
            .secret_ref
            .as_ref()
            .map(|reference| core::SecretEnvSource {
                name: reference.name.clone(),
                optional: reference.optional,
            }),
        config_map_ref: source
            .config_map_ref
            .as_ref()
            .map(|reference| core::ConfigMapEnvSource {
                name: reference.name.clone(),
                optional: reference.optional,
            }),
    };
    list(&sources.iter().map(source).collect::<Vec<_>>())
}

fn ports(ports: &[Port]) -> Option<Vec<core::ContainerPort>> {
    let port = |port: &Port| core::ContainerPort {
        name: Some(port.name.clone()),
        container_port: port.container_port.into(),
        host_port: port.host_port.map(Into::into),
        protocol: Some(format!("{:?}", port.protocol.unwrap_or_default())),
        ..core::ContainerPort::default()
    };
    list(&ports.iter().map(port).collect::<Vec<_>>())
}

fn resources(resources: &Resources) -> Option<core::ResourceRequirements> {
    let amounts = |cpu: i64, memory: i64| {
        let cpu = (cpu != 0).then(|| ("cpu", Amount::from_nano_cpus(cpu)));
        let memory = (memory != 0).then(|| ("memory", Amount::from_bytes(memory)));
        let set: BTreeMap<String, Quantity> = cpu
            .into_iter()
            .chain(memory)
            .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_string())))
            .collect();
        (!set.is_empty()).then_some(set)
    };
    let found = core::ResourceRequirements {
        requests: amounts(resources.reserve_nano_cpus, resources.reserve_memory),
        limits: amounts(resources.limit_nano_cpus, resources.limit_memory),
        ..core::ResourceRequirements::default()
    };
    (found != core::ResourceRequirements::default()).then_some(found)
}

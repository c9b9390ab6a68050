//! The Engine's JSON as the model.
//!
//! Guarantees: total. Whatever the Engine says, each object of a list gives one object of the
//! model; what cannot be read is default, and for services is reported in `unmodelled`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use plan::model::{
    ContainerSpec, EndpointSpec, HealthCheck, Network, NetworkAttachment, Node, NodeSpec,
    Placement, PublishedPort, Resources, RestartPolicy, Service, ServiceMode, ServiceSpec, Task,
    TaskSpec, TaskState, UpdateConfig, UpdateState, UpdateStatus,
};
use serde_json::Value;

use super::fields::{Fields, Leftovers};
use super::{NO_MONITORING_NS, capability};

/// One element of `GET /services`.
pub(crate) fn service(value: Value) -> Service {
    let mut unmodelled = Leftovers::new();
    let mut spec = Value::Null;
    let mut service = Fields::read(String::new(), value, &mut Leftovers::new(), |f| {
        spec = f.take("Spec");
        Service {
            id: f.take("ID"),
            version: f.object("Version", |v| v.take("Index")),
            update: f.object("UpdateStatus", update_status),
            created_at: time(f, "CreatedAt"),
            ..Default::default()
        }
    });
    service.spec = Fields::read(String::new(), spec, &mut unmodelled, service_spec);
    service.unmodelled = unmodelled;
    service
}

/// One element of `GET /tasks`.
pub(crate) fn task(value: Value) -> Task {
    Fields::read(String::new(), value, &mut Leftovers::new(), |f| {
        let mut task = Task {
            id: f.take("ID"),
            service_id: f.take("ServiceID"),
            slot: f.take("Slot"),
            node_id: f.take("NodeID"),
            desired_state: task_state(&f.take::<String>("DesiredState")),
            created_at: time(f, "CreatedAt"),
            spec: f.object("Spec", task_spec),
            ..Default::default()
        };
        f.object("Status", |s| {
            task.state = task_state(&s.take::<String>("State"));
            task.message = s.take("Message");
            task.error = s.take("Err");
            task.state_since = time(s, "Timestamp");
            s.object("ContainerStatus", |c| {
                task.container_id = c.take("ContainerID");
                let exit_code = c.opt("ExitCode");
                // Before its end a container has an exit code of 0 that means nothing.
                let ended = task.state >= TaskState::Complete && !task.container_id.is_empty();
                task.exit_code = exit_code.filter(|_| ended);
            });
        });
        let attachments = f.each("NetworksAttachments", |a| {
            let network: String = a.object("Network", |n| n.take("ID"));
            let addresses: Vec<String> = a.take("Addresses");
            let address = addresses.into_iter().next().unwrap_or_default();
            (
                network,
                address.split('/').next().unwrap_or_default().to_owned(),
            )
        });
        task.addresses = attachments
            .into_iter()
            .filter(|(n, a)| !n.is_empty() && !a.is_empty())
            .collect();
        task
    })
}

/// One element of `GET /nodes`.
pub(crate) fn node(value: Value) -> Node {
    Fields::read(String::new(), value, &mut Leftovers::new(), |f| {
        let mut node = Node {
            id: f.take("ID"),
            version: f.object("Version", |v| v.take("Index")),
            spec: f.object("Spec", |s| NodeSpec {
                name: s.take("Name"),
                role: s.take("Role"),
                availability: s.take("Availability"),
                labels: s.take("Labels"),
            }),
            ..Default::default()
        };
        f.object("Description", |d| {
            node.hostname = d.take("Hostname");
            node.engine_version = d.object("Engine", |e| e.take("EngineVersion"));
            d.object("Platform", |p| {
                node.os = p.take("OS");
                node.architecture = p.take("Architecture");
            });
            d.object("Resources", |r| {
                node.nano_cpus = r.take("NanoCPUs");
                node.memory_bytes = r.take("MemoryBytes");
            });
        });
        let status_address: String = f.object("Status", |s| {
            node.state = s.take("State");
            node.message = s.take("Message");
            s.take("Addr")
        });
        let manager_address: String = f.object("ManagerStatus", |m| {
            node.leader = m.take("Leader");
            node.reachability = m.take("Reachability");
            m.take("Addr")
        });
        node.address = node_address(&status_address, &manager_address);
        node
    })
}

/// One element of `GET /networks`.
pub(crate) fn network(value: Value) -> Network {
    Fields::read(String::new(), value, &mut Leftovers::new(), |f| Network {
        id: f.take("Id"),
        name: f.take("Name"),
        labels: f.take("Labels"),
        subnets: f.object("IPAM", |i| i.each("Config", |c| c.take("Subnet"))),
    })
}

fn service_spec(f: &mut Fields<'_>) -> ServiceSpec {
    let mut spec = ServiceSpec {
        name: f.take("Name"),
        labels: f.take("Labels"),
        mode: f.object("Mode", mode),
        task: f.object("TaskTemplate", task_spec),
        update: update_config(f, "UpdateConfig"),
        rollback: update_config(f, "RollbackConfig"),
        endpoint: f.object("EndpointSpec", endpoint),
    };
    // Where networks were before API 1.25; Swarm uses them when the template has none.
    let networks = networks(f);
    if spec.task.networks.is_empty() {
        spec.task.networks = networks;
    }
    spec
}

fn mode(f: &mut Fields<'_>) -> ServiceMode {
    for job in ["ReplicatedJob", "GlobalJob"] {
        if f.opt::<Value>(job).is_some_and(|v| !v.is_null()) {
            return ServiceMode::Other(job.to_owned());
        }
    }
    if f.opt::<Value>("Global").is_some_and(|v| !v.is_null()) {
        return ServiceMode::Global;
    }
    ServiceMode::Replicated(f.object("Replicated", |r| r.opt("Replicas").unwrap_or(1)))
}

fn task_spec(f: &mut Fields<'_>) -> TaskSpec {
    f.ignore("Runtime", "container");
    TaskSpec {
        container: f.object("ContainerSpec", container),
        resources: f.object("Resources", resources),
        restart: f.object("RestartPolicy", restart),
        placement: f.object("Placement", placement),
        networks: networks(f),
        force_update: f.take("ForceUpdate"),
    }
}

fn container(f: &mut Fields<'_>) -> ContainerSpec {
    f.ignore("Isolation", "default");
    ContainerSpec {
        image: f.take("Image"),
        labels: f.take("Labels"),
        command: f.take("Command"),
        args: f.take("Args"),
        env: env(f),
        dir: f.take("Dir"),
        user: f.take("User"),
        hostname: f.take("Hostname"),
        init: f.opt("Init"),
        read_only: f.take("ReadOnly"),
        tty: f.take("TTY"),
        stop_signal: f.take("StopSignal"),
        stop_grace_period_ns: f.opt("StopGracePeriod"),
        capability_add: capabilities(f, "CapabilityAdd"),
        capability_drop: capabilities(f, "CapabilityDrop"),
        health_check: f
            .has("Healthcheck")
            .then(|| f.object("Healthcheck", health_check)),
    }
}

/// `NAME=value` entries. A name twice or an entry without `=` cannot be in a map, so the whole
/// list is reported as well.
fn env(f: &mut Fields<'_>) -> BTreeMap<String, String> {
    let entries: Vec<String> = f.take("Env");
    let mut env = BTreeMap::new();
    let mut regular = true;
    for entry in &entries {
        match entry.split_once('=') {
            Some((name, value)) => {
                regular &= env.insert(name.to_owned(), value.to_owned()).is_none();
            }
            None => regular = false,
        }
    }
    if !regular {
        f.leave("Env", Value::from(entries).to_string());
    }
    env
}

fn capabilities(f: &mut Fields<'_>, key: &str) -> Vec<String> {
    let names: Vec<String> = f.take(key);
    sorted(names.iter().map(|name| capability(name)).collect())
}

fn health_check(f: &mut Fields<'_>) -> HealthCheck {
    HealthCheck {
        test: f.take("Test"),
        interval_ns: f.take("Interval"),
        timeout_ns: f.take("Timeout"),
        retries: f.take("Retries"),
        start_period_ns: f.take("StartPeriod"),
    }
}

fn resources(f: &mut Fields<'_>) -> Resources {
    let mut resources = Resources::default();
    f.object("Reservations", |r| {
        resources.reserve_nano_cpus = r.take("NanoCPUs");
        resources.reserve_memory = r.take("MemoryBytes");
    });
    f.object("Limits", |l| {
        resources.limit_nano_cpus = l.take("NanoCPUs");
        resources.limit_memory = l.take("MemoryBytes");
        resources.limit_pids = l.take("Pids");
    });
    resources
}

fn restart(f: &mut Fields<'_>) -> RestartPolicy {
    let default = RestartPolicy::default();
    RestartPolicy {
        condition: f.text_or("Condition", &default.condition),
        delay_ns: f.opt("Delay").unwrap_or(default.delay_ns),
        max_attempts: f.opt("MaxAttempts").unwrap_or(default.max_attempts),
        window_ns: f.opt("Window").unwrap_or(default.window_ns),
    }
}

fn placement(f: &mut Fields<'_>) -> Placement {
    let preferences = f.each("Preferences", |p| {
        p.object("Spread", |s| s.take::<String>("SpreadDescriptor"))
    });
    Placement {
        constraints: sorted(f.take("Constraints")),
        spread: preferences
            .into_iter()
            .filter(|label| !label.is_empty())
            .collect(),
        max_replicas_per_node: f.take("MaxReplicas"),
    }
}

fn networks(f: &mut Fields<'_>) -> Vec<NetworkAttachment> {
    sorted(f.each("Networks", |n| NetworkAttachment {
        target: n.take("Target"),
        aliases: sorted(n.take("Aliases")),
    }))
}

fn update_config(f: &mut Fields<'_>, key: &str) -> UpdateConfig {
    let default = UpdateConfig::default();
    if !f.is_set(key) {
        return default;
    }
    f.object(key, |u| UpdateConfig {
        parallelism: u.take("Parallelism"), // 0 is not the default here: it means all at once
        delay_ns: u.take("Delay"),
        failure_action: u.text_or("FailureAction", &default.failure_action),
        monitor_ns: match u.take("Monitor") {
            0 => default.monitor_ns,
            NO_MONITORING_NS => 0,
            set => set,
        },
        max_failure_ratio: u.take("MaxFailureRatio"),
        order: u.text_or("Order", &default.order),
    })
}

fn endpoint(f: &mut Fields<'_>) -> EndpointSpec {
    let ports = f.each("Ports", |p| PublishedPort {
        name: p.take("Name"),
        protocol: p.text_or("Protocol", "tcp"),
        target: p.take("TargetPort"),
        published: p.take("PublishedPort"),
        mode: p.text_or("PublishMode", "ingress"),
    });
    EndpointSpec {
        mode: f.text_or("Mode", "vip"),
        ports: sorted(ports),
    }
}

fn update_status(f: &mut Fields<'_>) -> Option<UpdateStatus> {
    let state: String = f.take("State");
    let state = match state.as_str() {
        "" => return None,
        "updating" => UpdateState::Updating,
        "paused" => UpdateState::Paused,
        "completed" => UpdateState::Completed,
        "rollback_started" => UpdateState::RollbackStarted,
        "rollback_paused" => UpdateState::RollbackPaused,
        "rollback_completed" => UpdateState::RollbackCompleted,
        _ => UpdateState::Unknown,
    };
    Some(UpdateStatus {
        state,
        message: f.take("Message"),
        started_at: time(f, "StartedAt"),
        completed_at: time(f, "CompletedAt"),
    })
}

/// A state that this product does not know counts as the first one: neither running nor ended.
fn task_state(name: &str) -> TaskState {
    match name {
        "allocated" => TaskState::Allocated,
        "pending" => TaskState::Pending,
        "assigned" => TaskState::Assigned,
        "accepted" => TaskState::Accepted,
        "preparing" => TaskState::Preparing,
        "ready" => TaskState::Ready,
        "starting" => TaskState::Starting,
        "running" => TaskState::Running,
        "complete" => TaskState::Complete,
        "shutdown" => TaskState::Shutdown,
        "failed" => TaskState::Failed,
        "rejected" => TaskState::Rejected,
        "remove" => TaskState::Remove,
        "orphaned" => TaskState::Orphaned,
        _ => TaskState::New,
    }
}

/// A manager reports `0.0.0.0` or a loopback address of itself; the address that the other
/// managers use is the true one then (case F52).
fn node_address(status: &str, manager: &str) -> String {
    let usable = |text: &str| {
        text.parse::<IpAddr>()
            .is_ok_and(|ip| !ip.is_unspecified() && !ip.is_loopback())
    };
    if usable(status) {
        return status.to_owned();
    }
    match manager.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) if status.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) => String::new(),
        Err(_) => status.to_owned(),
    }
}

/// The Engine writes Go's zero time where there is none.
fn time(f: &mut Fields<'_>, key: &str) -> Option<Timestamp> {
    let text: String = f.take(key);
    text.parse::<Timestamp>()
        .ok()
        .filter(|time| time.as_second() > 0)
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

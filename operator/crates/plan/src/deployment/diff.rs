//! Differences between two specs, in the user's words.
//!
//! Every field of the model is taken apart here by name, so that a new one does not compile until
//! somebody has decided what a difference in it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use api_types::labels;
use serde::{Deserialize, Serialize};

use crate::model::{
    ContainerSpec, EndpointSpec, HealthCheck, NetworkAttachment, Placement, PublishedPort,
    Resources, RestartPolicy, Service, ServiceMode, ServiceSpec, TaskSpec, UpdateConfig,
};

/// Stands for a value that may be secret.
const HIDDEN: &str = "(hidden)";
/// Stands for a value that is not set.
const UNSET: &str = "unset";
/// Longest value shown.
const LONGEST: usize = 120;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Path in the user's words: `image`, `env[LOG_LEVEL]`, `labels[team]`.
    pub path: String,
    /// Value on the live service; `(hidden)` where it may be secret.
    pub before: String,
    /// Value wanted; `(hidden)` where it may be secret.
    pub after: String,
    /// Does writing it replace running tasks?
    pub restarts_tasks: bool,
}

impl Change {
    /// Is it about the labels in which we keep our own books?
    pub(crate) fn is_bookkeeping(&self) -> bool {
        [labels::SPEC_HASH, labels::GENERATION, labels::LABEL_KEYS]
            .iter()
            .any(|key| self.path == format!("labels[{key}]"))
    }

    /// Is it a new generation of the object that changes nothing else on the service?
    pub(crate) fn is_new_generation(&self) -> bool {
        self.path == format!("labels[{}]", labels::GENERATION) && self.before.parse::<i64>().is_ok()
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} -> {}", self.path, self.before, self.after)
    }
}

/// What a comparison needs to know beside the two specs.
pub(super) struct View<'a> {
    /// Environment variables whose wanted value may be shown.
    pub shown_env: &'a BTreeSet<String>,
    /// The live values are somebody's edit of what we wrote, and not what we wrote before.
    pub drift: bool,
    /// Names of networks by id.
    pub networks: &'a BTreeMap<String, String>,
    /// Do all nodes that run a task satisfy the wanted constraints? Then changing them moves none.
    pub constraints_hold: bool,
}

/// All differences, in the order of the spec. Empty means equal.
pub(super) fn diff(live: &Service, wanted: &ServiceSpec, view: &View<'_>) -> Vec<Change> {
    let mut out = Changes {
        list: Vec::new(),
        restarts: false,
    };
    let ServiceSpec {
        name,
        labels,
        mode,
        task,
        update,
        rollback,
        endpoint,
    } = wanted;
    out.plain("name", &live.spec.name, name);
    out.value("mode", mode_word(&live.spec.mode), mode_word(mode));
    if let (ServiceMode::Replicated(before), ServiceMode::Replicated(after)) =
        (&live.spec.mode, mode)
    {
        out.value("replicas", before, after);
    }
    out.map("labels", &live.spec.labels, labels, |_, value| shown(value));
    out.update("rollout", &live.spec.update, update);
    out.update("rollback", &live.spec.rollback, rollback);
    out.restarts = true;
    out.task(&live.spec.task, task, view);
    out.endpoint(&live.spec.endpoint, endpoint);
    for (path, value) in &live.unmodelled {
        out.restarts = path.starts_with("TaskTemplate") || path.starts_with("EndpointSpec");
        out.push(path.clone(), shown_foreign(path, value), UNSET.to_owned());
    }
    out.list
}

struct Changes {
    list: Vec<Change>,
    restarts: bool,
}

impl Changes {
    fn push(&mut self, path: impl Into<String>, before: String, after: String) {
        self.list.push(Change {
            path: path.into(),
            before,
            after,
            restarts_tasks: self.restarts,
        });
    }

    /// Text that a person wrote.
    fn plain(&mut self, path: &str, before: &str, after: &str) {
        if before != after {
            self.push(path, shown(before), shown(after));
        }
    }

    fn value<T: PartialEq + ToString>(&mut self, path: &str, before: T, after: T) {
        if before != after {
            self.push(path, before.to_string(), after.to_string());
        }
    }

    fn list<T: PartialEq + Debug>(&mut self, path: &str, before: &[T], after: &[T]) {
        if before != after {
            let text = |list: &[T]| {
                if list.is_empty() {
                    UNSET.to_owned()
                } else {
                    shown(&format!("{list:?}"))
                }
            };
            self.push(path, text(before), text(after));
        }
    }

    fn option<T: PartialEq + Debug>(&mut self, path: &str, before: &Option<T>, after: &Option<T>) {
        if before != after {
            let text = |value: &Option<T>| {
                value
                    .as_ref()
                    .map_or_else(|| UNSET.to_owned(), |value| shown(&format!("{value:?}")))
            };
            self.push(path, text(before), text(after));
        }
    }

    /// 0 stands for "not set".
    fn amount(&mut self, path: &str, before: i64, after: i64, text: impl Fn(i64) -> String) {
        if before != after {
            let text = |value| {
                if value == 0 {
                    UNSET.to_owned()
                } else {
                    text(value)
                }
            };
            self.push(path, text(before), text(after));
        }
    }

    fn map(
        &mut self,
        path: &str,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
        show: impl Fn(&str, &str) -> String,
    ) {
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (before, after) = (before.get(key), after.get(key));
            if before != after {
                let text = |value: Option<&String>| {
                    value.map_or_else(|| UNSET.to_owned(), |value| show(key, value))
                };
                self.push(format!("{path}[{key}]"), text(before), text(after));
            }
        }
    }

    fn update(&mut self, path: &str, before: &UpdateConfig, after: &UpdateConfig) {
        let UpdateConfig {
            parallelism,
            delay_ns,
            failure_action,
            monitor_ns,
            max_failure_ratio,
            order,
        } = after;
        self.value(
            &format!("{path}.maxParallel"),
            before.parallelism,
            *parallelism,
        );
        self.value(
            &format!("{path}.delaySeconds"),
            seconds(before.delay_ns),
            seconds(*delay_ns),
        );
        self.plain(
            &format!("{path}.onFailure"),
            &before.failure_action,
            failure_action,
        );
        self.value(
            &format!("{path}.monitorSeconds"),
            seconds(before.monitor_ns),
            seconds(*monitor_ns),
        );
        self.value(
            &format!("{path}.maxFailureRatio"),
            before.max_failure_ratio,
            *max_failure_ratio,
        );
        self.plain(&format!("{path}.order"), &before.order, order);
    }

    fn task(&mut self, before: &TaskSpec, after: &TaskSpec, view: &View<'_>) {
        let TaskSpec {
            container,
            resources,
            restart,
            placement,
            networks,
            force_update,
        } = after;
        self.container(&before.container, container, view);
        self.resources(&before.resources, resources);
        let RestartPolicy {
            condition,
            delay_ns,
            max_attempts,
            window_ns,
        } = restart;
        self.plain(
            "restartPolicy.condition",
            &before.restart.condition,
            condition,
        );
        self.value(
            "restartPolicy.delaySeconds",
            seconds(before.restart.delay_ns),
            seconds(*delay_ns),
        );
        self.value(
            "restartPolicy.maxAttempts",
            before.restart.max_attempts,
            *max_attempts,
        );
        self.value(
            "restartPolicy.windowSeconds",
            seconds(before.restart.window_ns),
            seconds(*window_ns),
        );
        let Placement {
            constraints,
            spread,
            max_replicas_per_node,
        } = placement;
        self.list("placement.spreadBy", &before.placement.spread, spread);
        self.value(
            "placement.maxReplicasPerNode",
            before.placement.max_replicas_per_node,
            *max_replicas_per_node,
        );
        let restarts = std::mem::replace(&mut self.restarts, !view.constraints_hold);
        self.list(
            "placement.constraints",
            &before.placement.constraints,
            constraints,
        );
        self.restarts = restarts;
        let named = |list: &[NetworkAttachment]| {
            list.iter()
                .map(|network| network_text(network, view.networks))
                .collect::<Vec<_>>()
        };
        if before.networks != *networks {
            let (before, after) = (named(&before.networks), named(networks));
            self.push("networks", format!("{before:?}"), format!("{after:?}"));
        }
        self.value("restartedAt", before.force_update, *force_update);
    }

    fn container(&mut self, before: &ContainerSpec, after: &ContainerSpec, view: &View<'_>) {
        let ContainerSpec {
            image,
            labels,
            command,
            args,
            env,
            dir,
            user,
            hostname,
            init,
            read_only,
            tty,
            stop_signal,
            stop_grace_period_ns,
            capability_add,
            capability_drop,
            health_check,
        } = after;
        self.plain("image", &before.image, image);
        self.map("container labels", &before.labels, labels, |_, value| {
            shown(value)
        });
        self.list("command", &before.command, command);
        self.list("args", &before.args, args);
        self.env(&before.env, env, view);
        self.plain("workingDir", &before.dir, dir);
        self.plain("user", &before.user, user);
        self.plain("hostname", &before.hostname, hostname);
        self.option("init", &before.init, init);
        self.value("readOnlyRootFilesystem", before.read_only, *read_only);
        self.value("tty", before.tty, *tty);
        self.plain("stopSignal", &before.stop_signal, stop_signal);
        let grace = |value: &Option<i64>| value.map(seconds);
        self.option(
            "terminationGracePeriodSeconds",
            &grace(&before.stop_grace_period_ns),
            &grace(stop_grace_period_ns),
        );
        self.list("capabilities.add", &before.capability_add, capability_add);
        self.list(
            "capabilities.drop",
            &before.capability_drop,
            capability_drop,
        );
        if before.health_check != *health_check {
            self.push(
                "healthCheck",
                health_text(before.health_check.as_ref()),
                health_text(health_check.as_ref()),
            );
        }
    }

    /// A wanted value is shown when it is no secret; a live one only when it is somebody's edit of
    /// such a value, since nobody else could have put a secret there.
    fn env(
        &mut self,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
        view: &View<'_>,
    ) {
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (before, after) = (before.get(name), after.get(name));
            if before == after {
                continue;
            }
            let may_show = view.shown_env.contains(name);
            let text = |value: Option<&String>, may: bool| match value {
                None => UNSET.to_owned(),
                Some(value) if may => shown(value),
                Some(_) => HIDDEN.to_owned(),
            };
            self.push(
                format!("env[{name}]"),
                text(before, may_show && view.drift),
                text(after, may_show),
            );
        }
    }

    fn resources(&mut self, before: &Resources, after: &Resources) {
        let Resources {
            reserve_nano_cpus,
            reserve_memory,
            limit_nano_cpus,
            limit_memory,
            limit_pids,
        } = after;
        let cpus = |nano| api_types::units::Quantity::from_nano_cpus(nano).0;
        let memory = |bytes| api_types::units::Quantity::from_bytes(bytes).0;
        self.amount(
            "resources.requests.cpu",
            before.reserve_nano_cpus,
            *reserve_nano_cpus,
            cpus,
        );
        self.amount(
            "resources.requests.memory",
            before.reserve_memory,
            *reserve_memory,
            memory,
        );
        self.amount(
            "resources.limits.cpu",
            before.limit_nano_cpus,
            *limit_nano_cpus,
            cpus,
        );
        self.amount(
            "resources.limits.memory",
            before.limit_memory,
            *limit_memory,
            memory,
        );
        self.amount(
            "resources.limits.pids",
            before.limit_pids,
            *limit_pids,
            |pids| pids.to_string(),
        );
    }

    fn endpoint(&mut self, before: &EndpointSpec, after: &EndpointSpec) {
        let EndpointSpec { mode, ports } = after;
        self.plain("endpointMode", &before.mode, mode);
        let text = |list: &[PublishedPort]| list.iter().map(port_text).collect::<Vec<_>>();
        if before.ports != *ports {
            self.push(
                "ports",
                format!("{:?}", text(&before.ports)),
                format!("{:?}", text(ports)),
            );
        }
    }
}

fn mode_word(mode: &ServiceMode) -> &str {
    match mode {
        ServiceMode::Replicated(_) => "Replicated",
        ServiceMode::Global => "Global",
        ServiceMode::Other(name) => name,
    }
}

fn network_text(network: &NetworkAttachment, names: &BTreeMap<String, String>) -> String {
    let name = names.get(&network.target).unwrap_or(&network.target);
    if network.aliases.is_empty() {
        name.clone()
    } else {
        format!("{name} as {}", network.aliases.join(" "))
    }
}

fn port_text(port: &PublishedPort) -> String {
    let PublishedPort {
        name,
        protocol,
        target,
        published,
        mode,
    } = port;
    format!("{name} {published}:{target}/{protocol} {mode}")
}

fn health_text(check: Option<&HealthCheck>) -> String {
    let Some(HealthCheck {
        test,
        interval_ns,
        timeout_ns,
        retries,
        start_period_ns,
    }) = check
    else {
        return UNSET.to_owned();
    };
    let [interval, timeout, start] = [*interval_ns, *timeout_ns, *start_period_ns].map(seconds);
    shown(&format!(
        "{test:?} every {interval}s timeout {timeout}s retries {retries} start {start}s"
    ))
}

/// What is not ours may hold anything; environment entries are never shown.
fn shown_foreign(path: &str, value: &str) -> String {
    if path.contains("Env") || path.contains("Secret") {
        HIDDEN.to_owned()
    } else {
        shown(value)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of a day are far below the precision"
)]
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn shown(text: &str) -> String {
    if text.is_empty() {
        return UNSET.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

//! Invariants of any plan, stated once and checked over every plan in every test.
//!
//! They are about harm: touching what is not ours, losing what is others', restarting without
//! saying so.

use std::collections::BTreeSet;

use api_types::labels;

use crate::ClusterConfig;
use crate::model::{Network, Service, ServiceSpec, Snapshot, Step};

/// Labels that a container may carry: they never change.
const CONTAINER_LABELS: [&str; 2] = [
    labels::CONTAINER_DEPLOYMENT_ID,
    labels::CONTAINER_DEPLOYMENT_UID,
];

/// Everything that is wrong with steps made from a snapshot. Empty for every plan.
pub fn violations(cluster: &ClusterConfig, snapshot: &Snapshot, steps: &[Step]) -> Vec<String> {
    let mut found = Vec::new();
    let mut touched = BTreeSet::new();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    for step in steps {
        match step {
            Step::CreateNetwork(network) => {
                made.insert(&network.name);
                check(
                    &mut found,
                    network.labels.get(labels::CLUSTER_UID) == Some(&cluster.uid),
                    || format!("network {} lacks our cluster uid", network.name),
                );
                check(
                    &mut found,
                    snapshot
                        .networks
                        .iter()
                        .all(|other| other.name != network.name),
                    || format!("network {} exists", network.name),
                );
            }
            Step::RemoveNetwork { id, name } => {
                let ours = |network: &Network| {
                    network.id == *id
                        && network.labels.get(labels::CLUSTER_UID) == Some(&cluster.uid)
                };
                check(&mut found, snapshot.networks.iter().any(ours), || {
                    format!("network {name} is not ours")
                });
            }
            Step::CreateService(spec) => {
                check(
                    &mut found,
                    snapshot
                        .services
                        .iter()
                        .all(|other| other.spec.name != spec.name),
                    || format!("service {} exists", spec.name),
                );
                service(&mut found, cluster, snapshot, &made, spec);
            }
            Step::UpdateService {
                id,
                version,
                spec,
                restarts_tasks,
            } => {
                check(&mut found, touched.insert(id), || {
                    format!("service {id} is touched twice")
                });
                service(&mut found, cluster, snapshot, &made, spec);
                match owned(cluster, snapshot, id) {
                    Some(live) => update(&mut found, live, *version, spec, *restarts_tasks),
                    None => found.push(format!("service {id} is not ours")),
                }
            }
            // Made from a look at the one service, not from a snapshot; the Swarm client checks again.
            Step::AdoptService { spec, .. } => check(
                &mut found,
                spec.labels.get(labels::CLUSTER_UID) == Some(&cluster.uid),
                || format!("service {} lacks our cluster uid", spec.name),
            ),
            Step::RemoveService { id, name } => {
                check(&mut found, touched.insert(id), || {
                    format!("service {id} is touched twice")
                });
                check(&mut found, owned(cluster, snapshot, id).is_some(), || {
                    format!("service {name} is not ours")
                });
            }
            Step::UpdateNode { id, version, spec } => {
                match snapshot.nodes.iter().find(|node| node.id == *id) {
                    Some(node) => {
                        check(&mut found, node.version == *version, || {
                            format!("node {id} is written on a version never seen")
                        });
                        check(
                            &mut found,
                            node.spec.role == spec.role && node.spec.name == spec.name,
                            || format!("role or name of node {id} changes"),
                        );
                    }
                    None => found.push(format!("node {id} was never seen")),
                }
            }
            Step::RemoveNode { id, hostname } => {
                let down = snapshot
                    .nodes
                    .iter()
                    .any(|node| node.id == *id && node.state == "down");
                check(&mut found, down, || format!("node {hostname} is not down"));
            }
        }
    }
    found
}

fn check(found: &mut Vec<String>, holds: bool, violation: impl FnOnce() -> String) {
    if !holds {
        found.push(violation());
    }
}

fn owned<'a>(cluster: &ClusterConfig, snapshot: &'a Snapshot, id: &str) -> Option<&'a Service> {
    snapshot.services.iter().find(|service| {
        service.id == id && service.spec.labels.get(labels::CLUSTER_UID) == Some(&cluster.uid)
    })
}

/// What holds for every spec that is written.
fn service(
    found: &mut Vec<String>,
    cluster: &ClusterConfig,
    snapshot: &Snapshot,
    made: &BTreeSet<&str>,
    spec: &ServiceSpec,
) {
    let name = &spec.name;
    check(
        found,
        spec.labels.get(labels::CLUSTER_UID) == Some(&cluster.uid),
        || format!("service {name} lacks our cluster uid"),
    );
    for key in [
        labels::DEPLOYMENT,
        labels::DEPLOYMENT_ID,
        labels::DEPLOYMENT_UID,
        labels::SPEC_HASH,
    ] {
        check(found, spec.labels.contains_key(key), || {
            format!("service {name} lacks label {key}")
        });
    }
    for key in spec.task.container.labels.keys() {
        check(found, CONTAINER_LABELS.contains(&key.as_str()), || {
            format!("container label {key} of service {name} can change")
        });
    }
    for network in &spec.task.networks {
        let known = snapshot
            .networks
            .iter()
            .any(|seen| seen.id == network.target)
            || made.contains(network.target.as_str());
        check(found, known, || {
            format!(
                "service {name} joins network {}, which nobody has seen or made",
                network.target
            )
        });
    }
}

fn update(
    found: &mut Vec<String>,
    live: &Service,
    version: u64,
    spec: &ServiceSpec,
    restarts_tasks: bool,
) {
    let name = &spec.name;
    check(found, live.version == version, || {
        format!("service {name} is written on a version never seen")
    });
    check(found, live.spec.name == *name, || {
        format!("service {name} would be renamed")
    });
    let same_kind = std::mem::discriminant(&live.spec.mode) == std::mem::discriminant(&spec.mode);
    check(found, same_kind, || {
        format!("the mode of service {name} would change")
    });
    let mut moved = spec.task.clone();
    moved
        .placement
        .constraints
        .clone_from(&live.spec.task.placement.constraints);
    let replaced = moved != live.spec.task || spec.endpoint != live.spec.endpoint;
    check(found, restarts_tasks || !replaced, || {
        format!("service {name} restarts tasks and does not say so")
    });
    let ours =
        |key: &str| key.starts_with(labels::PREFIX) || key.starts_with(labels::TRAEFIK_PREFIX);
    let keys: Vec<&str> = live
        .spec
        .labels
        .get(labels::LABEL_KEYS)
        .map(|keys| keys.split(',').collect())
        .unwrap_or_default();
    for (key, value) in live
        .spec
        .labels
        .iter()
        .filter(|(key, _)| !ours(key) && !keys.contains(&key.as_str()))
    {
        let kept = spec.labels.get(key) == Some(value)
            || spec
                .labels
                .get(labels::LABEL_KEYS)
                .is_some_and(|keys| keys.split(',').any(|own| own == key));
        check(found, kept, || {
            format!("foreign label {key} of service {name} is lost")
        });
    }
}

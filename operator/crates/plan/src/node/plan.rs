//! What to set on machines, and which objects to make for them.
//!
//! Guarantees: of a machine's labels only those are touched that the object names or that were
//! set for it before; role and name are never touched (F49).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api_types::conditions as c;
use api_types::conditions::reason;
use api_types::node::Availability;
use api_types::{Node, NodeSpec, labels};

use super::Bindings;
use super::bind::{name, object_name, unique_name};
use crate::conditions::is_true;
use crate::model::{self, Step};
use crate::{Observed, PlannedEvent};

/// How soon to look again at a machine that may be on its way out.
const SOON: Duration = Duration::from_secs(5);

/// What to do about one Node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Writes.
    pub steps: Vec<Step>,
    /// To be published when all steps succeeded.
    pub events: Vec<PlannedEvent>,
}

/// What to do about a Node with a deletion timestamp.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deletion {
    /// Writes.
    pub steps: Vec<Step>,
    /// To be published when all steps succeeded.
    pub events: Vec<PlannedEvent>,
    /// The object may go.
    pub done: bool,
    /// Why it may not go yet.
    pub waiting_for: Option<String>,
    /// Look again after this time.
    pub recheck: Option<Duration>,
}

/// Objects to create for machines that no object is bound to, as they are: creating them changes
/// neither labels nor availability of a machine.
pub fn missing(bindings: &Bindings, machines: &[model::Node]) -> Vec<Node> {
    let bound = bindings.bound();
    let mut hostnames: BTreeMap<String, usize> = BTreeMap::new();
    for machine in machines {
        *hostnames.entry(object_name(&machine.hostname)).or_default() += 1;
    }
    let unbound = machines
        .iter()
        .filter(|machine| !bound.contains(&machine.id) && !machine.id.is_empty());
    unbound
        .map(|machine| {
            let plain = object_name(&machine.hostname);
            let unique = !plain.is_empty()
                && hostnames.get(&plain) == Some(&1)
                && !bindings.objects.contains_key(&plain);
            let object_name = if unique { plain } else { unique_name(machine) };
            let mut object = Node::new(&object_name, as_found(machine));
            // Its name says nothing about the machine, so its spec must.
            object.spec.swarm_id = (!unique).then(|| machine.id.clone());
            object
        })
        .filter(|object| !bindings.objects.contains_key(name(object)))
        .collect()
}

fn as_found(machine: &model::Node) -> NodeSpec {
    let all = &machine.spec.labels;
    NodeSpec {
        swarm_id: None,
        labels: all
            .iter()
            .filter(|(key, _)| !key.starts_with(labels::PREFIX))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        availability: availability(&machine.spec.availability),
        region: all.get(labels::NODE_REGION).cloned(),
        zone: all.get(labels::NODE_ZONE).cloned(),
    }
}

/// What to set on the machine of an object.
pub fn plan(object: &Node, bindings: &Bindings, observed: Observed<'_>) -> Plan {
    let Some(snapshot) = observed.snapshot() else {
        return Plan::default();
    };
    let Some(machine) = bindings.machine(object, &snapshot.nodes) else {
        return Plan::default();
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let wanted = wanted(object, machine);
    if wanted == machine.spec {
        return Plan::default();
    }
    let settled = object.status.as_ref().is_some_and(|status| {
        let told = status.observed_generation.is_some()
            && status.observed_generation == object.metadata.generation;
        told && status.swarm_id.as_ref() == Some(&machine.id)
            && !is_true(&status.conditions, c::RECONCILING)
    });
    let changes = changes(&machine.spec, &wanted);
    let events = match (changes.is_empty(), settled) {
        (true, _) => Vec::new(),
        (false, true) => changes
            .iter()
            .map(|change| PlannedEvent::warning(reason::DRIFT_REPAIRED, change))
            .collect(),
        (false, false) => vec![PlannedEvent::normal(
            reason::NODE_UPDATED,
            changes.join(", "),
        )],
    };
    Plan {
        steps: vec![Step::UpdateNode {
            id: machine.id.clone(),
            version: machine.version,
            spec: wanted,
        }],
        events,
    }
}

/// The machine's spec as it should be.
fn wanted(object: &Node, machine: &model::Node) -> model::NodeSpec {
    let spec = &object.spec;
    let set_before: BTreeSet<&str> = machine
        .spec
        .labels
        .get(labels::NODE_LABEL_KEYS)
        .map(|keys| keys.split(',').collect())
        .unwrap_or_default();
    let mut all: BTreeMap<String, String> = machine
        .spec
        .labels
        .iter()
        .filter(|(key, _)| !set_before.contains(key.as_str()) && !key.starts_with(labels::PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let own: BTreeMap<&String, &String> = spec
        .labels
        .iter()
        .filter(|(key, _)| !key.starts_with(labels::PREFIX))
        .collect();
    let keys = own
        .keys()
        .map(|key| key.as_str())
        .collect::<Vec<_>>()
        .join(",");
    all.extend(
        own.into_iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    let ours = [
        (labels::NODE_REGION, spec.region.clone()),
        (labels::NODE_ZONE, spec.zone.clone()),
        (
            labels::NODE_LABEL_KEYS,
            Some(keys).filter(|keys| !keys.is_empty()),
        ),
    ];
    all.extend(
        ours.into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?))),
    );
    model::NodeSpec {
        name: machine.spec.name.clone(),
        role: machine.spec.role.clone(),
        availability: spec.availability.map_or_else(
            || machine.spec.availability.clone(),
            |value| word(value).to_owned(),
        ),
        labels: all,
    }
}

/// Differences in the user's words, without our bookkeeping.
fn changes(before: &model::NodeSpec, after: &model::NodeSpec) -> Vec<String> {
    let mut changes = Vec::new();
    if before.availability != after.availability {
        changes.push(format!(
            "availability {} -> {}",
            before.availability, after.availability
        ));
    }
    for key in before
        .labels
        .keys()
        .chain(after.labels.keys())
        .collect::<BTreeSet<_>>()
    {
        let (old, new) = (before.labels.get(key), after.labels.get(key));
        if old != new && key != labels::NODE_LABEL_KEYS {
            let text = |value: Option<&String>| value.map_or("unset", String::as_str).to_owned();
            changes.push(format!("labels[{key}] {} -> {}", text(old), text(new)));
        }
    }
    changes
}

/// What to do about an object with a deletion timestamp: a machine that is down leaves the Swarm
/// with it; one that is up keeps its object, because the object would come back at once.
pub fn delete(object: &Node, bindings: &Bindings, observed: Observed<'_>) -> Deletion {
    let abandoned = object
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(labels::ABANDON))
        .is_some_and(|value| value == "true");
    if abandoned {
        return Deletion {
            done: true,
            ..Deletion::default()
        };
    }
    let snapshot = match observed {
        Observed::Known(snapshot) => snapshot,
        Observed::Unknown(why) => {
            return Deletion {
                waiting_for: Some(format!("the Swarm cannot be reached: {why}")),
                recheck: Some(SOON),
                ..Deletion::default()
            };
        }
    };
    let Some(machine) = bindings.machine(object, &snapshot.nodes) else {
        return Deletion {
            done: true,
            ..Deletion::default()
        };
    };
    if machine.state != "down" || machine.spec.role == "manager" {
        let role = if machine.spec.role == "manager" {
            ", after `docker node demote`"
        } else {
            ""
        };
        let message = format!(
            "machine {} is {} {} of the Swarm: let it leave (`docker swarm leave` on it{role}), or annotate the Node with {}=true",
            machine.hostname,
            machine.state,
            machine.spec.role,
            labels::ABANDON
        );
        return Deletion {
            waiting_for: Some(message),
            recheck: Some(SOON),
            ..Deletion::default()
        };
    }
    Deletion {
        steps: vec![Step::RemoveNode {
            id: machine.id.clone(),
            hostname: machine.hostname.clone(),
        }],
        events: vec![PlannedEvent::normal(
            reason::NODE_UPDATED,
            format!("machine {} removed from the Swarm", machine.hostname),
        )],
        waiting_for: Some(format!(
            "machine {} to be removed from the Swarm",
            machine.hostname
        )),
        recheck: Some(SOON),
        done: false,
    }
}

pub(crate) fn availability(word: &str) -> Option<Availability> {
    match word {
        "active" => Some(Availability::Active),
        "pause" => Some(Availability::Pause),
        "drain" => Some(Availability::Drain),
        _ => None,
    }
}

fn word(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Pause => "pause",
        Availability::Drain => "drain",
    }
}

//! What a quota can count, and how much of it an object takes.

use std::sync::Arc;

use api_types::deployment::{Mode, Resources};
use api_types::units::QuantityError;
use serde::Deserialize;
use serde_json::Value;

use super::Amount;
use crate::registry::{Backing, ResourceDef, Snapshot};

/// Names of what a quota counts beside `count/…`.
pub(crate) const NAMES: &str = "cpu, memory, requests.cpu, requests.memory, limits.cpu, limits.memory, pods, configmaps, resourcequotas, secrets";
/// Kinds that have a name of their own beside `count/…`.
const PLAIN: [&str; 3] = ["configmaps", "resourcequotas", "secrets"];

/// What Kubernetes counts and nothing here ever takes: a quota of it holds as it is.
pub(crate) const ABSENT: [&str; 9] = [
    "ephemeral-storage",
    "limits.ephemeral-storage",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "requests.ephemeral-storage",
    "requests.storage",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// What one name in `spec.hard` counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The objects of a collection of the store.
    Objects(Arc<str>),
    /// The tasks of all workloads.
    Tasks,
    /// What all tasks ask for.
    Resource(Resource),
}

/// A resource of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    RequestsCpu,
    RequestsMemory,
    LimitsCpu,
    LimitsMemory,
}

impl Measure {
    /// `None` where nothing of that name is counted here.
    pub(crate) fn of(name: &str, snapshot: &Snapshot) -> Option<Self> {
        Some(match name {
            "pods" => Self::Tasks,
            "cpu" | "requests.cpu" => Self::Resource(Resource::RequestsCpu),
            "memory" | "requests.memory" => Self::Resource(Resource::RequestsMemory),
            "limits.cpu" => Self::Resource(Resource::LimitsCpu),
            "limits.memory" => Self::Resource(Resource::LimitsMemory),
            plain if PLAIN.contains(&plain) => Self::Objects(plain.into()),
            other => {
                let kind = other.strip_prefix("count/")?;
                let (plural, group) = kind.split_once('.').unwrap_or((kind, ""));
                let found = |def: &&Arc<ResourceDef>| {
                    *def.plural == *plural && *def.group == *group && def.namespaced
                };
                let def = snapshot.resources.iter().find(found)?;
                // What a view shows is bounded elsewhere: tasks by `pods`, before there are any.
                let counts = def.backing == Backing::Stored && def.strategy.view().is_none();
                counts.then(|| Self::Objects(def.storage.clone()))?
            }
        })
    }
}

/// What counts of an object that runs tasks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Workload {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Spec {
    #[serde(default)]
    mode: Mode,
    replicas: Option<u32>,
    #[serde(default)]
    resources: Resources,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    desired_replicas: Option<u32>,
}

impl Workload {
    pub(crate) fn read(object: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(object)
    }

    pub(crate) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Has it as many tasks as there are nodes?
    pub(crate) fn is_global(&self) -> bool {
        self.spec.mode == Mode::Global
    }

    /// Is the same wanted of both?
    pub(crate) fn wants_same(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    /// How many tasks are wanted; where the nodes decide, how many it was observed that are wanted.
    pub(crate) fn tasks(&self) -> i128 {
        let number = match self.spec.mode {
            Mode::Replicated => self.spec.replicas.unwrap_or(1),
            Mode::Global => self.status.desired_replicas.unwrap_or(0),
        };
        number.into()
    }

    /// What one task asks for, where it says so.
    pub(crate) fn per_task(&self, resource: Resource) -> Option<Result<Amount, QuantityError>> {
        let Resources { requests, limits } = &self.spec.resources;
        let quantity = match resource {
            Resource::RequestsCpu => requests.as_ref()?.cpu.as_ref()?,
            Resource::RequestsMemory => requests.as_ref()?.memory.as_ref()?,
            Resource::LimitsCpu => limits.as_ref()?.cpu.as_ref()?,
            Resource::LimitsMemory => limits.as_ref()?.memory.as_ref()?,
        };
        Some(Amount::of(quantity))
    }

    /// What it takes of what is measured.
    pub(crate) fn takes(&self, measure: &Measure) -> Result<Amount, QuantityError> {
        Ok(match measure {
            Measure::Objects(_) => Amount::default(),
            Measure::Tasks => Amount::count(self.tasks()),
            Measure::Resource(resource) => {
                let one = self.per_task(*resource).transpose()?;
                one.unwrap_or_default() * self.tasks()
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_workload_takes() {
        let both = json!({"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": 1, "memory": "128Mi", "pids": 9}});
        let cases = [
            (
                json!({"replicas": 3, "resources": both}),
                ["3", "750m", "192Mi", "3", "384Mi"],
            ),
            (
                json!({"resources": both}),
                ["1", "250m", "64Mi", "1", "128Mi"],
            ),
            (json!({"replicas": 0, "resources": both}), ["0"; 5]),
            (json!({"replicas": 2}), ["2", "0", "0", "0", "0"]),
            (
                json!({"mode": "Global", "replicas": 9, "resources": both}),
                ["2", "500m", "128Mi", "2", "256Mi"],
            ),
        ];
        let measures = [
            Measure::Tasks,
            Measure::Resource(Resource::RequestsCpu),
            Measure::Resource(Resource::RequestsMemory),
            Measure::Resource(Resource::LimitsCpu),
            Measure::Resource(Resource::LimitsMemory),
        ];
        for (spec, expected) in cases {
            let object = json!({"spec": spec, "status": {"desiredReplicas": 2}});
            let workload = Workload::read(&object).unwrap();
            let takes = measures
                .each_ref()
                .map(|measure| workload.takes(measure).unwrap().to_string());
            assert_eq!(takes, expected, "{object}");
        }
    }
}

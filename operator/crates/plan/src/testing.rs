//! What the tests of this crate share: objects from short JSON, and a Swarm in a hundred lines.
#![allow(clippy::unwrap_used, clippy::panic)]

use api_types::{Deployment, Route};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::ClusterConfig;
use crate::deployment::{Input, Plan, References, plan, status};
use crate::model::{Network, Node, Service, ServiceMode, Snapshot, Step, Task, TaskState};
use crate::route::{Resolution, resolve};
use crate::{Observed, check};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub(crate) fn deployment(spec: Value) -> Deployment {
    serde_json::from_value(json!({
        "apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u-web", "generation": 1, "creationTimestamp": at(0).to_string()},
        "spec": spec,
    }))
    .unwrap()
}

pub(crate) fn route(name: &str, age: i64, spec: Value) -> Route {
    serde_json::from_value(json!({
        "apiVersion": "obiente.cloud/v1alpha1", "kind": "Route",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("u-{name}"), "generation": 1, "creationTimestamp": at(age).to_string()},
        "spec": spec,
    }))
    .unwrap()
}

pub(crate) fn machine(id: &str, hostname: &str) -> Node {
    let mut node = Node {
        id: id.into(),
        version: 1,
        hostname: hostname.into(),
        state: "ready".into(),
        ..Node::default()
    };
    node.spec.role = "worker".into();
    node.spec.availability = "active".into();
    node
}

/// A Swarm that does at once what it is told, with a clock that stands still until it is moved.
pub(crate) struct World {
    pub cluster: ClusterConfig,
    pub deployment: Deployment,
    pub references: References,
    pub routes: Vec<Route>,
    pub snapshot: Snapshot,
    pub now: Timestamp,
    serial: u64,
}

impl World {
    pub(crate) fn new(spec: Value) -> Self {
        Self {
            cluster: ClusterConfig {
                uid: "c1".into(),
                ..ClusterConfig::default()
            },
            deployment: deployment(spec),
            references: References::default(),
            routes: Vec::new(),
            snapshot: Snapshot {
                nodes: vec![machine("n1id", "n1"), machine("n2id", "n2")],
                ..Snapshot::default()
            },
            now: at(100),
            serial: 100,
        }
    }

    pub(crate) fn resolution(&self) -> Resolution {
        resolve(&self.routes, [&self.deployment])
    }

    pub(crate) fn with_input<T>(&self, f: impl FnOnce(&Input<'_>) -> T) -> T {
        let resolution = self.resolution();
        f(&Input {
            cluster: &self.cluster,
            deployment: &self.deployment,
            routes: resolution.attached("shop", "web"),
            references: &self.references,
            observed: Observed::Known(&self.snapshot),
            log_tail: None,
            refusal: None,
            now: self.now,
        })
    }

    /// The plan, held against the invariants of all plans.
    pub(crate) fn plan(&self) -> Plan {
        let plan = self.with_input(plan);
        assert_eq!(
            check::violations(&self.cluster, &self.snapshot, &plan.steps),
            Vec::<String>::new(),
            "{plan:#?}"
        );
        assert_eq!(
            plan,
            self.with_input(crate::deployment::plan),
            "a plan is a function of its input"
        );
        plan
    }

    /// One round of the controller: plan, act, report.
    pub(crate) fn reconcile(&mut self) -> Plan {
        let plan = self.plan();
        let wanted = self.with_input(|input| status(input, &plan));
        self.deployment.status = Some(wanted);
        self.apply(&plan.steps);
        plan
    }

    /// Rounds until nothing is to do; panics when that does not happen.
    pub(crate) fn converge(&mut self) {
        for _ in 0..8 {
            self.pass(20);
            if self.reconcile().steps.is_empty() {
                self.reconcile();
                return;
            }
        }
        panic!("does not converge: {:#?}", self.plan());
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The user writes a new spec.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut api_types::DeploymentSpec)) {
        change(&mut self.deployment.spec);
        *self.deployment.metadata.generation.get_or_insert(0) += 1;
    }

    /// Somebody changes the service behind our back.
    pub(crate) fn tamper(&mut self, change: impl FnOnce(&mut Service)) {
        let version = self.next();
        let service = &mut self.snapshot.services[0];
        service.version = version;
        change(service);
    }

    pub(crate) fn service(&self) -> &Service {
        &self.snapshot.services[0]
    }

    pub(crate) fn condition(&self, type_: &str) -> (String, String) {
        let status = self.deployment.status.as_ref().unwrap();
        let condition = crate::conditions::find(&status.conditions, type_)
            .unwrap_or_else(|| panic!("no condition {type_}"));
        assert_eq!(
            condition.observed_generation,
            self.deployment.metadata.generation
        );
        (condition.status.clone(), condition.reason.clone())
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn apply(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
        self.snapshot.as_of += 1;
    }

    fn step(&mut self, step: &Step) {
        let serial = self.next();
        match step {
            Step::CreateNetwork(spec) => self.snapshot.networks.push(Network {
                id: format!("net{serial}"),
                name: spec.name.clone(),
                labels: spec.labels.clone(),
                subnets: spec.subnet.clone().into_iter().collect(),
            }),
            Step::RemoveNetwork { id, .. } => {
                self.snapshot.networks.retain(|network| network.id != *id)
            }
            Step::CreateService(spec) => {
                let mut spec = *spec.clone();
                self.resolve_names(&mut spec);
                let service = Service {
                    id: format!("s{serial}"),
                    version: serial,
                    spec,
                    created_at: Some(self.now),
                    ..Service::default()
                };
                self.start_tasks(&service);
                self.snapshot.services.push(service);
            }
            Step::UpdateService {
                id, version, spec, ..
            } => {
                let mut spec = *spec.clone();
                self.resolve_names(&mut spec);
                let service = self
                    .snapshot
                    .services
                    .iter_mut()
                    .find(|service| service.id == *id)
                    .unwrap();
                assert_eq!(service.version, *version, "update out of sequence");
                let replaced = service.spec.task != spec.task
                    || service.spec.endpoint != spec.endpoint
                    || service.spec.mode != spec.mode;
                (service.version, service.spec, service.update) = (serial, spec, None);
                service.unmodelled.clear();
                if replaced {
                    let service = service.clone();
                    self.snapshot
                        .tasks
                        .retain(|task| task.service_id != service.id);
                    self.start_tasks(&service);
                }
            }
            Step::AdoptService { id, spec, .. } => {
                let service = self
                    .snapshot
                    .services
                    .iter_mut()
                    .find(|s| s.id == *id)
                    .unwrap();
                (service.version, service.spec) = (serial, *spec.clone());
            }
            Step::RemoveService { id, .. } => {
                self.snapshot.services.retain(|service| service.id != *id);
                self.snapshot.tasks.retain(|task| task.service_id != *id);
            }
            Step::UpdateNode { id, spec, .. } => {
                let node = self
                    .snapshot
                    .nodes
                    .iter_mut()
                    .find(|node| node.id == *id)
                    .unwrap();
                (node.version, node.spec) = (serial, spec.clone());
            }
            Step::RemoveNode { id, .. } => self.snapshot.nodes.retain(|node| node.id != *id),
        }
    }

    fn resolve_names(&self, spec: &mut crate::model::ServiceSpec) {
        for attachment in &mut spec.task.networks {
            if let Some(network) = self
                .snapshot
                .networks
                .iter()
                .find(|network| network.name == attachment.target)
            {
                attachment.target.clone_from(&network.id);
            }
        }
        spec.task.networks.sort();
    }

    fn start_tasks(&mut self, service: &Service) {
        let count = match service.spec.mode {
            ServiceMode::Replicated(replicas) => replicas,
            ServiceMode::Global => self.snapshot.nodes.len() as u64,
            ServiceMode::Other(_) => 0,
        };
        for slot in 0..count {
            let node = self.snapshot.nodes
                [usize::try_from(slot).unwrap() % self.snapshot.nodes.len()]
            .id
            .clone();
            let task = self.task(service, slot + 1, &node, TaskState::Running);
            self.snapshot.tasks.push(task);
        }
    }

    pub(crate) fn task(
        &mut self,
        service: &Service,
        slot: u64,
        node: &str,
        state: TaskState,
    ) -> Task {
        Task {
            id: format!("t{}", self.next()),
            service_id: service.id.clone(),
            slot,
            node_id: node.to_owned(),
            state,
            desired_state: if state <= TaskState::Running {
                TaskState::Running
            } else {
                TaskState::Shutdown
            },
            container_id: "c".into(),
            spec: service.spec.task.clone(),
            created_at: Some(self.now),
            state_since: Some(self.now),
            ..Task::default()
        }
    }

    /// The task of a slot ends in this state, and the Swarm starts no other.
    pub(crate) fn end_tasks(&mut self, state: TaskState, error: &str, exit_code: Option<i64>) {
        for task in &mut self.snapshot.tasks {
            task.state = state;
            task.desired_state = TaskState::Shutdown;
            task.error = error.to_owned();
            task.exit_code = exit_code;
            task.state_since = Some(self.now);
        }
    }
}

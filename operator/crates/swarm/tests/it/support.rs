//! A client under test, and specs to write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plan::model::{
    ContainerSpec, EndpointSpec, RestartPolicy, Service, ServiceMode, ServiceSpec, Snapshot, Step,
    TaskSpec,
};
use swarm::{Acted, Config, Error, Observation, Swarm};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::engine::Engine;

pub const OWNER: &str = "cloud.obiente.cluster-uid";

/// Long enough for a busy machine; nothing waits for it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running client with a cluster uid of its own. What it made is removed by `clean_up`.
pub struct Client {
    pub swarm: Swarm,
    pub uid: String,
    _running: DropGuard,
}

impl std::ops::Deref for Client {
    type Target = Swarm;
    fn deref(&self) -> &Swarm {
        &self.swarm
    }
}

impl Client {
    pub fn new(engine: &Engine, uid: &str) -> Self {
        Self::with(Config::new(engine.address().parse().unwrap(), OWNER, uid))
    }

    pub fn with(config: Config) -> Self {
        let uid = config.cluster_uid.clone();
        let swarm = Swarm::connect(config);
        let cancel = CancellationToken::new();
        swarm.spawn(cancel.clone());
        Self {
            swarm,
            uid,
            _running: cancel.drop_guard(),
        }
    }

    /// The labels of what is ours.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(OWNER.to_owned(), self.uid.clone())])
    }

    /// A service that runs a shell line, named after the client.
    pub fn spec(&self, name: &str, line: &str) -> ServiceSpec {
        ServiceSpec {
            name: format!("{}-{name}", self.uid),
            labels: self.labels(),
            mode: ServiceMode::Replicated(1),
            task: TaskSpec {
                container: ContainerSpec {
                    image: "busybox:1.36".into(),
                    command: vec!["/bin/sh".into(), "-c".into()],
                    args: vec![line.into()],
                    stop_grace_period_ns: Some(0),
                    ..Default::default()
                },
                restart: RestartPolicy {
                    condition: "none".into(),
                    ..Default::default()
                },
                ..Default::default()
            },
            endpoint: EndpointSpec {
                mode: "dnsrr".into(),
                ports: vec![],
            },
            ..Default::default()
        }
    }

    pub async fn create(&self, spec: &ServiceSpec) -> Result<Acted, Error> {
        self.act(&Step::CreateService(Box::new(spec.clone()))).await
    }

    pub async fn update(&self, seen: &Service, spec: &ServiceSpec) -> Result<Acted, Error> {
        self.act(&Step::UpdateService {
            id: seen.id.clone(),
            version: seen.version,
            spec: Box::new(spec.clone()),
            restarts_tasks: false,
        })
        .await
    }

    /// Updates from a fresh observation, again when the Swarm itself wrote the service in between
    /// (T16: allocating an address moves the version index).
    pub async fn update_now(&self, id: &str, spec: &ServiceSpec) -> Result<Acted, Error> {
        loop {
            let snapshot = self.fresh().await;
            let seen = snapshot
                .services
                .iter()
                .find(|service| service.id == id)
                .unwrap();
            match self.update(seen, spec).await {
                Err(error) if error.is_conflict() => continue,
                result => return result,
            }
        }
    }

    pub async fn remove(&self, id: &str) -> Result<Acted, Error> {
        self.act(&Step::RemoveService {
            id: id.into(),
            name: "it".into(),
        })
        .await
    }

    /// The service as the first snapshot after the act shows it.
    pub async fn seen(&self, acted: &Acted, name: &str) -> Service {
        let snapshot = self.snapshot_at_least(acted.stamp, PATIENCE).await.unwrap();
        snapshot
            .services
            .iter()
            .find(|service| service.spec.name == name)
            .cloned()
            .unwrap()
    }

    /// A snapshot read after this call.
    pub async fn fresh(&self) -> Arc<Snapshot> {
        self.snapshot_at_least(self.refresh(), PATIENCE)
            .await
            .unwrap()
    }

    /// Waits for an observation of which `pick` says something.
    pub async fn until<T>(&self, what: &str, mut pick: impl FnMut(&Observation) -> Option<T>) -> T {
        let mut observations = self.observations();
        let wait = async {
            loop {
                if let Some(found) = pick(&observations.borrow_and_update()) {
                    return found;
                }
                observations.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!(
                "no {what}; last: {:#?}",
                self.observations().borrow().clone()
            ),
        }
    }

    /// Waits for a snapshot of which `pick` says something.
    pub async fn until_seen<T>(
        &self,
        what: &str,
        mut pick: impl FnMut(&Snapshot) -> Option<T>,
    ) -> T {
        self.until(what, |observation| {
            observation.snapshot().and_then(|s| pick(s))
        })
        .await
    }

    /// Removes every service of this client and waits until its tasks are gone.
    pub async fn clean_up(&self) {
        for service in &self.fresh().await.services {
            self.remove(&service.id).await.unwrap();
        }
        self.until_seen("end of all tasks", |s| {
            (s.services.is_empty() && s.tasks.is_empty()).then_some(())
        })
        .await;
    }
}

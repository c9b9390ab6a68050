//! 100 Deployments through the API until their services exist, against a bare loop of the same 100
//! creates on the same Engine with as many requests at once (one, as `kubectl apply` and scripts send
//! them; and as many as the operator reconciles at once by default); and the same manifest applied again.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use bollard::Docker;
use bollard::models::ServiceSpec;
use bollard::query_parameters::EventsOptionsBuilder;
use e2e::eventually;
use e2e::lab::{Kubectl, KubectlVersion, Operator, Swarm};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::cpu::{self, Processes, Seconds};
use crate::report::{Report, Target, median};

const COUNT: usize = 100;
/// Rounds of each side, alternating; the median counts.
const ROUNDS: usize = 3;
const NAMESPACE: &str = "bench";
/// Longest time that anything here may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The Engine and the operator.
pub struct Bench<'l> {
    swarm: &'l Swarm,
    operator: &'l Operator,
    docker: Docker,
    api: Api<api_types::Deployment>,
    kubectl: Kubectl,
    processes: Processes,
}

fn name(i: usize) -> String {
    format!("web-{i:03}")
}

fn manifest(name: &str, replicas: u32) -> serde_json::Value {
    json!({"apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "image": "busybox:1.36", "command": ["sleep", "36000"],
                 "terminationGracePeriodSeconds": 0, "env": [{"name": "A", "value": "b"}],
                 "ports": [{"name": "http", "containerPort": 8080}]}})
}

impl<'l> Bench<'l> {
    pub async fn new(
        swarm: &'l Swarm,
        operator: &'l Operator,
        postgres: u32,
    ) -> anyhow::Result<Self> {
        let docker = Docker::connect_with_host(&swarm.docker_host(1))?
            .negotiate_version()
            .await?;
        let kubectl = operator.kubectl(KubectlVersion::V1_32)?;
        kubectl.run(&["create", "namespace", NAMESPACE]).await?;
        // One Deployment stays, and with it the networks that all the others use.
        kubectl.apply(&manifest("anchor", 0).to_string()).await?;
        let anchored = [
            "wait",
            "--for=condition=Ready",
            "deployment/anchor",
            "--timeout=60s",
            "-n",
            NAMESPACE,
        ];
        kubectl.run(&anchored).await?;
        let api = Api::namespaced(operator.client().await?, NAMESPACE);
        Ok(Self {
            swarm,
            operator,
            docker,
            api,
            kubectl: kubectl.in_namespace(NAMESPACE),
            processes: Processes::new([
                ("client", std::process::id()),
                ("operator", operator.pid()?),
                ("Postgres", postgres),
                ("Engine", swarm.pid(1)?),
            ]),
        })
    }

    /// Ours and the bare loop in turn; leaves the last 100 Deployments standing.
    pub async fn against_bare_creates(
        &self,
        replicas: u32,
        clients: usize,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let (mut stored, mut ours, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        let (mut cpu_ours, mut cpu_bare) = (Seconds::new(), Seconds::new());
        for _ in 0..ROUNDS {
            self.delete_all().await?;
            let before = self.processes.used()?;
            let (acknowledged, created) = self.apply(replicas, clients).await?;
            cpu::add(&mut cpu_ours, &before, &self.processes.used()?);
            stored.push(acknowledged.as_secs_f64());
            ours.push(created.as_secs_f64());
            let specs = self.specs().await?;
            self.delete_all().await?;
            let before = self.processes.used()?;
            bare.push(self.bare(&specs, clients).await?.as_secs_f64());
            cpu::add(&mut cpu_bare, &before, &self.processes.used()?);
            self.remove(&specs).await?;
        }
        self.apply(replicas, clients).await?;
        let (stored, ours, bare) = (median(stored), median(ours), median(bare));
        let detail = format!(
            "{:.0} ms through us ({:.0} ms until all were stored), {:.0} ms bare creates",
            ours * 1e3,
            stored * 1e3,
            bare * 1e3
        );
        report.row(
            &format!("{COUNT} Deployments, {replicas} replicas, {clients} at once"),
            &detail,
            ours / bare,
            Target::AtMost(1.15),
        );
        for (side, mut cpu) in [("through us", cpu_ours), ("bare creates", cpu_bare)] {
            cpu.values_mut()
                .for_each(|seconds| *seconds /= ROUNDS as f64);
            report.note(&format!("  {side}: {}", cpu::describe(&cpu)));
        }
        Ok(())
    }

    /// 100 Deployments with a task each, ready.
    pub async fn fill(&self) -> anyhow::Result<()> {
        self.apply(1, 8).await?;
        self.ready().await
    }

    /// From the first request until the API has acknowledged the last Deployment, and until the
    /// Engine has announced the last service.
    async fn apply(&self, replicas: u32, clients: usize) -> anyhow::Result<(Duration, Duration)> {
        let start = Instant::now();
        let requests = stream::iter(0..COUNT).map(async |i| {
            // What kubectl apply does: look, then create.
            ensure!(
                self.api.get_opt(&name(i)).await?.is_none(),
                "{} is left from before",
                name(i)
            );
            let deployment = serde_json::from_value(manifest(&name(i), replicas))?;
            self.api.create(&PostParams::default(), &deployment).await?;
            anyhow::Ok(())
        });
        let requests = requests.buffer_unordered(clients).try_collect::<()>();
        let stored = async {
            requests.await?;
            anyhow::Ok(start.elapsed())
        };
        let both = async { tokio::try_join!(stored, self.created(start)) };
        tokio::time::timeout(LIMIT, both)
            .await
            .context("the services were not created in time")?
    }

    /// The time from `start` until the Engine has announced all services.
    async fn created(&self, start: Instant) -> anyhow::Result<Duration> {
        // Events from now on, however long it takes to subscribe.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let since = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let filters = HashMap::from([("type", vec!["service"]), ("event", vec!["create"])]);
        let options = EventsOptionsBuilder::default()
            .since(&since)
            .filters(&filters)
            .build();
        let mut events = Box::pin(self.docker.events(Some(options)));
        let mut names = BTreeSet::new();
        while names.len() < COUNT {
            let event = events
                .try_next()
                .await?
                .context("the Engine's events ended")?;
            let attributes = event
                .actor
                .and_then(|actor| actor.attributes)
                .unwrap_or_default();
            names.extend(attributes.get("name").cloned());
        }
        Ok(start.elapsed())
    }

    /// The specs that the operator gave the Engine, to be created again without it.
    async fn specs(&self) -> anyhow::Result<Vec<ServiceSpec>> {
        let services = self
            .docker
            .list_services(None::<bollard::query_parameters::ListServicesOptions>)
            .await?;
        let specs = services.into_iter().filter_map(|service| service.spec);
        let specs: Vec<ServiceSpec> = specs
            .filter(|spec| {
                spec.name
                    .as_deref()
                    .is_some_and(|name| name.starts_with("bench_web-"))
            })
            .collect();
        ensure!(specs.len() == COUNT, "{} services", specs.len());
        // Another owner, or the operator would rightly remove them.
        let foreign = |mut spec: ServiceSpec| {
            spec.labels = spec.labels.map(|labels| {
                labels
                    .into_iter()
                    .map(|(key, value)| (key.replace("cloud.obiente", "bare.create"), value))
                    .collect()
            });
            spec.name = spec.name.map(|name| name.replace("bench_web", "bare_web"));
            spec
        };
        Ok(specs.into_iter().map(foreign).collect())
    }

    async fn bare(&self, specs: &[ServiceSpec], clients: usize) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let creates =
            stream::iter(specs.to_vec()).map(|spec| self.docker.create_service(spec, None));
        creates
            .buffer_unordered(clients)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        Ok(start.elapsed())
    }

    async fn remove(&self, specs: &[ServiceSpec]) -> anyhow::Result<()> {
        for name in specs.iter().filter_map(|spec| spec.name.as_deref()) {
            self.docker.delete_service(name).await?;
        }
        self.no_containers("bare_web").await
    }

    async fn delete_all(&self) -> anyhow::Result<()> {
        for i in 0..COUNT {
            if self.api.get_opt(&name(i)).await?.is_some() {
                self.api.delete(&name(i), &DeleteParams::default()).await?;
            }
        }
        eventually("all Deployments are gone", async || {
            let left = self
                .api
                .list(&kube::api::ListParams::default())
                .await?
                .items
                .len();
            ensure!(left == 1, "{left} are left");
            Ok(())
        })
        .await?;
        self.no_containers("bench_web").await
    }

    /// The next measurement must not pay for the containers of the last one.
    async fn no_containers(&self, prefix: &str) -> anyhow::Result<()> {
        eventually("the containers are gone", async || {
            let names = self
                .swarm
                .docker(["ps", "--all", "--format", "{{.Names}}"])?;
            let left = names
                .lines()
                .filter(|name| name.starts_with(prefix))
                .count();
            ensure!(left == 0, "{left} containers");
            Ok(())
        })
        .await
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let ready = |i: usize| format!("deployment/{}", name(i));
        let names: Vec<String> = (0..COUNT).map(ready).collect();
        let mut wait = vec!["wait", "--for=condition=Ready", "--timeout=300s"];
        wait.extend(names.iter().map(String::as_str));
        self.kubectl.run(&wait).await.map(drop)
    }

    /// The same manifest once more, by kubectl: what it costs when nothing changed.
    pub async fn again(&self, report: &mut Report) -> anyhow::Result<()> {
        let all: String = (0..COUNT)
            .map(|i| format!("{}\n---\n", manifest(&name(i), 1)))
            .collect();
        self.ready().await?;
        self.kubectl.apply(&all).await?; // adds kubectl's own annotation
        let settled = eventually("three seconds without a write", async || {
            let before = self.written().await?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            let after = self.written().await?;
            ensure!(before == after, "{before:?}, then {after:?}");
            Ok(after)
        })
        .await?;
        let start = Instant::now();
        self.kubectl.apply(&all).await?;
        let took = start.elapsed();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after = self.written().await?;
        let detail = format!("kubectl apply of {COUNT} took {:.1} s", took.as_secs_f64());
        report.row(
            "re-apply: writes to Docker",
            &detail,
            after.0 - settled.0,
            Target::AtMost(0.0),
        );
        report.row(
            "re-apply: writes of objects",
            &detail,
            after.1 - settled.1,
            Target::AtMost(0.0),
        );
        Ok(())
    }

    /// Writes to the Engine, and the store's revision, which counts writes of objects.
    async fn written(&self) -> anyhow::Result<(f64, f64)> {
        let metrics = self.operator.metrics().await?;
        Ok((
            metrics.sum("swarm_engine_writes_total", &[]),
            metrics.sum("store_cache_revision", &[]),
        ))
    }
}

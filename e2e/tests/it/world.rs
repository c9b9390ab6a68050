//! What scenarios share: one Swarm of three nodes, one Postgres, one operator and one Traefik for
//! all that leave them alone, each scenario in a namespace of its own. Scenarios that break
//! something build a world of their own.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::lab::{
    Durability, Kubectl, KubectlVersion, Operator, OperatorConfig, Postgres, Swarm, Traefik,
};
use e2e::{cleanup, eventually, eventually_within};
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row as _};
use tokio::sync::OnceCell;

/// By a change that is seen, and not by the look at everything every five minutes. How soon that is,
/// `make bench` measures; here the machine may be as busy as it likes.
pub const PROMPTLY: Duration = Duration::from_secs(60);
/// Network that routed services share with Traefik (the operator's default).
const INGRESS_NETWORK: &str = "obiente-ingress";
/// Flags of every operator: Traefik in the lab reads Docker every second.
const FLAGS: [&str; 2] = ["--traefik-refresh-seconds", "1"];

/// Everything that runs.
pub struct World {
    pub swarm: Swarm,
    pub operator: Operator,
    pub postgres: Postgres,
    pub database_url: String,
    traefik: OnceCell<Traefik>,
}

static SHARED: OnceCell<World> = OnceCell::const_new();

/// The world for scenarios that break nothing.
pub async fn shared() -> anyhow::Result<&'static World> {
    SHARED.get_or_try_init(|| World::new(3)).await
}

impl World {
    /// A world of its own, for a scenario that breaks something.
    pub async fn new(nodes: u8) -> anyhow::Result<Self> {
        let swarm = tokio::task::spawn_blocking(move || Swarm::up(nodes));
        let postgres = tokio::task::spawn_blocking(|| Postgres::start(Durability::Memory));
        let (swarm, postgres) = (swarm.await??, postgres.await??);
        let database_url = postgres.create_database("obiente")?;
        let mut config = OperatorConfig::new(swarm.docker_host(1), Some(database_url.clone()));
        config.flags = FLAGS.map(str::to_owned).to_vec();
        let operator = Operator::start(config).await?;
        Ok(Self {
            swarm,
            operator,
            postgres,
            database_url,
            traefik: OnceCell::new(),
        })
    }

    /// A new namespace, with kubectl 1.32 in it.
    pub async fn namespace(&self, scenario: &str) -> anyhow::Result<Namespace<'_>> {
        self.namespace_with(scenario, KubectlVersion::V1_32).await
    }

    /// The same with a kubectl of that version.
    pub async fn namespace_with(
        &self,
        scenario: &str,
        version: KubectlVersion,
    ) -> anyhow::Result<Namespace<'_>> {
        let name = format!("{scenario}-{}", cleanup::unique());
        let kubectl = self.operator.kubectl(version)?;
        let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
        kubectl.apply(&namespace).await?;
        Ok(Namespace {
            world: self,
            kubectl: kubectl.in_namespace(&name),
            name,
        })
    }

    /// The real Traefik, once some Deployment made the operator create the network for it.
    pub async fn traefik(&self) -> anyhow::Result<&Traefik> {
        let start = async || {
            eventually("the ingress network exists", async || {
                self.swarm
                    .docker(["network", "inspect", INGRESS_NETWORK])
                    .map(drop)
            })
            .await?;
            Traefik::start(&self.swarm, INGRESS_NETWORK)
        };
        self.traefik.get_or_try_init(start).await
    }

    /// A connection to the operator's database.
    pub async fn database(&self) -> anyhow::Result<PgPool> {
        Ok(PgPoolOptions::new()
            .max_connections(2)
            .connect(&self.database_url)
            .await?)
    }

    /// Rows of a query as JSON objects, as a person at a SQL prompt would see them.
    pub async fn sql(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let pool = self.database().await?;
        let wrapped = format!("select to_jsonb(t)::text from ({query}) t");
        let rows = sqlx::query(sqlx::AssertSqlSafe(wrapped))
            .fetch_all(&pool)
            .await?;
        pool.close().await;
        rows.iter()
            .map(|row| Ok(serde_json::from_str(row.try_get::<&str, _>(0)?)?))
            .collect()
    }
}

/// One scenario's namespace.
pub struct Namespace<'w> {
    pub world: &'w World,
    pub kubectl: Kubectl,
    pub name: String,
}

impl Namespace<'_> {
    /// Name of the Swarm service of a Deployment.
    pub fn service_name(&self, deployment: &str) -> String {
        format!("{}_{deployment}", self.name)
    }

    /// The Swarm service of a Deployment, as the Engine tells it.
    pub fn service(&self, deployment: &str) -> anyhow::Result<Value> {
        let name = self.service_name(deployment);
        self.world
            .swarm
            .service(&name)?
            .with_context(|| format!("there is no service {name}"))
    }

    /// All Swarm services of the namespace, doubles included.
    pub fn services(&self) -> anyhow::Result<Vec<String>> {
        self.world.swarm.services(&format!("{}_", self.name))
    }

    /// Waits until an object says `Ready=True` of its current generation.
    pub async fn ready(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        self.condition(kind, name, "Ready", "True", None).await
    }

    /// Waits until all Deployments have held out for their monitor time, the last thing that is written of them.
    pub async fn all_available(&self) -> anyhow::Result<()> {
        let available = "--for=jsonpath={.status.availableReplicas}=1";
        let wait = ["wait", "deployments", "--all", available, "--timeout=180s"];
        self.kubectl.run(&wait).await.map(drop)
    }

    /// Waits until an object's condition has that status (and reason) for the current generation.
    pub async fn condition(
        &self,
        kind: &str,
        name: &str,
        condition: &str,
        status: &str,
        reason: Option<&str>,
    ) -> anyhow::Result<Value> {
        let what = format!(
            "{kind} {name} has {condition}={status} {}",
            reason.unwrap_or_default()
        );
        eventually(&what, async || {
            let object = self.kubectl.get(&[kind, name]).await?;
            let found = condition_of(&object, condition)?;
            ensure!(
                found["observedGeneration"] == object["metadata"]["generation"],
                "{found}"
            );
            ensure!(found["status"] == status, "{found}");
            ensure!(
                reason.is_none_or(|reason| found["reason"] == reason),
                "{found}"
            );
            Ok(object)
        })
        .await
    }

    /// Waits for an Event about an object whose reason is that and whose message has all of `parts`.
    pub async fn event(&self, about: &str, reason: &str, parts: &[&str]) -> anyhow::Result<()> {
        eventually(
            &format!("an Event {reason} about {about} with {parts:?}"),
            async || {
                let events = self
                    .kubectl
                    .get(&[
                        "events",
                        "--field-selector",
                        &format!("involvedObject.name={about}"),
                    ])
                    .await?;
                let items = events["items"].as_array().context("no items")?;
                let said: Vec<String> = items
                    .iter()
                    .map(|e| format!("{} {}", e["reason"], e["message"]))
                    .collect();
                let matching = items.iter().any(|event| {
                    event["reason"] == reason
                        && parts.iter().all(|part| {
                            event["message"]
                                .as_str()
                                .is_some_and(|text| text.contains(part))
                        })
                });
                ensure!(matching, "{said:#?}");
                Ok(())
            },
        )
        .await
    }

    /// Waits, within the promised time, until the service is as `check` says.
    pub async fn promptly(
        &self,
        what: &str,
        check: impl Fn(&Value) -> bool,
        deployment: &str,
    ) -> anyhow::Result<Value> {
        eventually_within(PROMPTLY, what, async || {
            let service = self.service(deployment)?;
            ensure!(check(&service["Spec"]), "{}", service["Spec"]);
            Ok(service)
        })
        .await
    }
}

/// One condition of an object.
pub fn condition_of<'o>(object: &'o Value, condition: &str) -> anyhow::Result<&'o Value> {
    object["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["type"] == condition))
        .with_context(|| format!("no condition {condition} in {}", object["status"]))
}

/// A Deployment that serves HTTP on port 8080 and stops at once.
pub fn web(name: &str, replicas: u32) -> String {
    format!(
        r#"{{apiVersion: obiente.cloud/v1alpha1, kind: Deployment, metadata: {{name: {name}}}, spec: {{
           replicas: {replicas}, image: "busybox:1.36", command: [httpd, -f, -p, "8080", -h, /www],
           terminationGracePeriodSeconds: 0, ports: [{{name: http, containerPort: 8080}}]}}}}
"#
    )
}

/// A Route of one host to the port 8080 of a Deployment.
pub fn route(name: &str, host: &str, backend: &str) -> String {
    format!(
        r#"{{apiVersion: obiente.cloud/v1alpha1, kind: Route, metadata: {{name: {name}}}, spec: {{
           hostnames: [{host}], rules: [{{backendRefs: [{{name: {backend}, port: 8080}}]}}]}}}}
"#
    )
}

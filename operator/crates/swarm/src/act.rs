//! Carries out one step.
//!
//! # Guarantees
//! - One step is one write call; nothing is decided here.
//! - Removing what is absent is success (case F73).
//! - What does not carry our label and cluster uid is refused before anything is written (case F61).
//! - Whatever the outcome, a poll follows: after a failed write the Swarm is re-observed.
//! - An update without credentials keeps the registry login that the service has (case F59).

use bollard::errors::Error as BollardError;
use bollard::models as engine;
use bollard::query_parameters::{DeleteNodeOptions, UpdateNodeOptions, UpdateServiceOptions};
use plan::model::{NetworkSpec, NodeSpec, Service, ServiceSpec, Step};

use crate::client::{Inner, Swarm};
use crate::convert::{read, write};
use crate::error::{Error, ErrorKind};

/// A step that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// Position on the client's clock: a snapshot with `as_of` at or past it has seen the step.
    pub stamp: u64,
    /// Id of what was made.
    pub id: Option<String>,
}

impl Swarm {
    /// Carries out one step.
    ///
    /// # Errors
    /// See [`ErrorKind`]. After any of them the Swarm may or may not have changed: observe again.
    pub async fn act(&self, step: &Step) -> Result<Acted, Error> {
        let inner = &*self.inner;
        let result = match step {
            Step::CreateNetwork(spec) => create_network(inner, spec).await.map(Some),
            Step::RemoveNetwork { id, name } => {
                remove_network(inner, id, name).await.map(|()| None)
            }
            Step::CreateService(spec) => create_service(inner, spec).await.map(Some),
            Step::UpdateService {
                id,
                version,
                spec,
                restarts_tasks: _,
            } => update_service(inner, id, *version, spec)
                .await
                .map(|()| None),
            Step::AdoptService { id, version, spec } => adopt_service(inner, id, *version, spec)
                .await
                .map(|()| None),
            Step::RemoveService { id, name } => {
                remove_service(inner, id, name).await.map(|()| None)
            }
            Step::UpdateNode { id, version, spec } => {
                update_node(inner, id, *version, spec).await.map(|()| None)
            }
            Step::RemoveNode { id, hostname: _ } => remove_node(inner, id).await.map(|()| None),
        };
        let slow = !matches!(
            step,
            Step::CreateService(_)
                | Step::UpdateService { .. }
                | Step::AdoptService { .. }
                | Step::RemoveService { .. }
        );
        let stamp = inner.mark(slow);
        result.map(|id| Acted { stamp, id })
    }

    /// The service of this name or id, whoever owns it: who holds a taken name?
    ///
    /// # Errors
    /// The Engine cannot be asked; absence is `None`.
    pub async fn service(&self, name_or_id: &str) -> Result<Option<Service>, Error> {
        let json = inspect(&self.inner, "service_inspect", "services", name_or_id).await?;
        Ok(json.map(read::service))
    }
}

async fn create_network(inner: &Inner, spec: &NetworkSpec) -> Result<String, Error> {
    let operation = "network_create";
    ours(inner, operation, inner.owns(&spec.labels), &spec.name)?;
    write(inner, operation, async |docker| {
        docker
            .create_network(write::network(spec))
            .await
            .map(|made| made.id)
    })
    .await
}

async fn remove_network(inner: &Inner, id: &str, name: &str) -> Result<(), Error> {
    let operation = "network_remove";
    let seen = inner.observation.borrow().snapshot().and_then(|s| {
        s.networks
            .iter()
            .find(|network| network.id == id)
            .map(|n| inner.owns(&n.labels))
    });
    let owned = match seen {
        Some(owned) => owned,
        None => match inspect(inner, operation, "networks", id).await? {
            Some(json) => inner.owns(&read::network(json).labels),
            None => return Ok(()),
        },
    };
    ours(inner, operation, owned, name)?;
    absent_is_done(
        write(inner, operation, async |docker| {
            docker.remove_network(id).await
        })
        .await,
    )
}

async fn create_service(inner: &Inner, spec: &ServiceSpec) -> Result<String, Error> {
    let operation = "service_create";
    ours(inner, operation, inner.owns(&spec.labels), &spec.name)?;
    let body = body(inner, operation, spec).await?;
    let made = write(inner, operation, async |docker| {
        docker.create_service(body, None).await
    })
    .await?;
    Ok(made.id.unwrap_or_default())
}

/// A spec as the Engine is told it: networks by id, in the order of their ids. A network made by
/// the step before is known to the plan by its name only, and the same networks in another order
/// would be another template to the Swarm: the next update would replace every task.
async fn body(
    inner: &Inner,
    operation: &'static str,
    spec: &ServiceSpec,
) -> Result<engine::ServiceSpec, Error> {
    let mut spec = spec.clone();
    for network in &mut spec.task.networks {
        let is_id = inner
            .observation
            .borrow()
            .snapshot()
            .is_some_and(|seen| seen.networks.iter().any(|known| known.id == network.target));
        if is_id {
            continue;
        }
        if let Some(json) = inspect(inner, operation, "networks", &network.target).await? {
            network.target = read::network(json).id;
        }
    }
    spec.task.networks.sort();
    write::service(&spec).map_err(|kind| Error { operation, kind })
}

async fn update_service(
    inner: &Inner,
    id: &str,
    version: u64,
    spec: &ServiceSpec,
) -> Result<(), Error> {
    let operation = "service_update";
    ours(inner, operation, inner.owns(&spec.labels), &spec.name)?;
    if let Some(owned) = owns_service(inner, operation, id).await? {
        ours(inner, operation, owned, &spec.name)?;
    }
    replace_spec(inner, id, version, spec).await
}

/// The one write to something that does not carry our cluster uid: it carries nobody's.
async fn adopt_service(
    inner: &Inner,
    id: &str,
    version: u64,
    spec: &ServiceSpec,
) -> Result<(), Error> {
    let operation = "service_update";
    ours(inner, operation, inner.owns(&spec.labels), &spec.name)?;
    if let Some(json) = inspect(inner, operation, "services", id).await? {
        let labels = read::service(json).spec.labels;
        let free = !labels.contains_key(&inner.config.owner_label);
        ours(inner, operation, free || inner.owns(&labels), &spec.name)?;
    }
    replace_spec(inner, id, version, spec).await
}

async fn replace_spec(
    inner: &Inner,
    id: &str,
    version: u64,
    spec: &ServiceSpec,
) -> Result<(), Error> {
    let operation = "service_update";
    let body = body(inner, operation, spec).await?;
    let options = UpdateServiceOptions {
        version: i32::try_from(version).map_err(|_| index_too_large(operation, version))?,
        registry_auth_from: "spec".to_owned(),
        rollback: None,
    };
    write(inner, operation, async |docker| {
        docker.update_service(id, body, options, None).await
    })
    .await
    .map(|_warnings| ())
}

async fn remove_service(inner: &Inner, id: &str, name: &str) -> Result<(), Error> {
    let operation = "service_remove";
    match owns_service(inner, operation, id).await? {
        Some(owned) => ours(inner, operation, owned, name)?,
        None => return Ok(()),
    }
    absent_is_done(
        write(inner, operation, async |docker| {
            docker.delete_service(id).await
        })
        .await,
    )
}

async fn update_node(inner: &Inner, id: &str, version: u64, spec: &NodeSpec) -> Result<(), Error> {
    let operation = "node_update";
    let body = write::node(spec).map_err(|kind| Error { operation, kind })?;
    let version = i64::try_from(version).map_err(|_| index_too_large(operation, version))?;
    let options = UpdateNodeOptions { version };
    write(inner, operation, async |docker| {
        docker.update_node(id, body, options).await
    })
    .await
}

async fn remove_node(inner: &Inner, id: &str) -> Result<(), Error> {
    let options = DeleteNodeOptions { force: false };
    absent_is_done(
        write(inner, "node_remove", async |docker| {
            docker.delete_node(id, Some(options)).await
        })
        .await,
    )
}

/// Is the service ours? `None`: it does not exist. Snapshots hold only what is ours, so the
/// Engine is asked only about a service that the last one did not have.
async fn owns_service(
    inner: &Inner,
    operation: &'static str,
    id: &str,
) -> Result<Option<bool>, Error> {
    let observation = inner.observation.borrow().clone();
    if observation
        .snapshot()
        .is_some_and(|s| s.services.iter().any(|service| service.id == id))
    {
        return Ok(Some(true));
    }
    let json = inspect(inner, operation, "services", id).await?;
    Ok(json.map(|json| inner.owns(&read::service(json).spec.labels)))
}

fn ours(inner: &Inner, operation: &'static str, owned: bool, name: &str) -> Result<(), Error> {
    if owned {
        return Ok(());
    }
    let (label, uid) = (&inner.config.owner_label, &inner.config.cluster_uid);
    let kind = ErrorKind::NotOurs(format!("{name} does not carry the label {label}={uid}"));
    Err(Error { operation, kind })
}

/// The JSON of one object; `None` when it does not exist.
async fn inspect(
    inner: &Inner,
    operation: &'static str,
    collection: &str,
    id: &str,
) -> Result<Option<serde_json::Value>, Error> {
    let limit = inner.config.read_timeout;
    let path = format!("/{collection}/{id}");
    let body = inner
        .call(operation, limit, async |connection| {
            match connection.raw.get(&path).await {
                Ok(body) => Ok(Some(body)),
                Err(ErrorKind::NotFound(_)) => Ok(None),
                Err(kind) => Err(kind),
            }
        })
        .await?;
    let value = body.map(|body| serde_json::from_slice(&body)).transpose();
    value.map_err(|e| Error {
        operation,
        kind: ErrorKind::Unreadable(e.to_string()),
    })
}

/// One write call through bollard.
async fn write<T>(
    inner: &Inner,
    operation: &'static str,
    request: impl AsyncFnOnce(&bollard::Docker) -> Result<T, BollardError>,
) -> Result<T, Error> {
    inner.metrics.wrote();
    let address = inner.config.address.to_string();
    inner
        .call(operation, inner.config.write_timeout, async |connection| {
            let result = request(&connection.docker).await;
            result.map_err(|error| ErrorKind::from_bollard(&address, error))
        })
        .await
}

fn absent_is_done(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error {
            kind: ErrorKind::NotFound(_),
            ..
        }) => Ok(()),
        other => other,
    }
}

fn index_too_large(operation: &'static str, version: u64) -> Error {
    let kind = ErrorKind::Invalid(format!(
        "version index {version} is too large for the client"
    ));
    Error { operation, kind }
}

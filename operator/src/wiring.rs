//! The only place that knows all crates: how they are started, connected and stopped.
//!
//! Start: database → migrations and caches → API → Swarm → serve → campaign → controllers.
//! Stop, in the opposite order: controllers → watches and requests → store → database (T32, T33).

mod database;
mod projections;
mod server;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api_types::labels;
use controllers::{Settings, run as run_controllers};
use kube::Client;
use plan::{ClusterConfig, TraefikConfig};
use prometheus_client::registry::Registry;
use store::Store;
use swarm::Swarm;
use tokio_util::sync::CancellationToken;

use crate::config::{DatabaseArgs, Role, RunArgs};
use crate::leader::{self, Leadership};
use crate::pki::create_private_dir;
use crate::shutdown;
use database::Database;
use projections::StoreSink;

/// Time that controllers get to finish running reconciles.
const CONTROLLERS_STOP: Duration = Duration::from_secs(15);

/// `operator run`.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    args.validate()?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    create_private_dir(&args.data_dir)?;
    let _lock = lock(&args)?;
    let stop = CancellationToken::new();
    shutdown::listen(stop.clone())?;

    let database = Database::open(&args.database, &args.data_dir).await?;
    let outcome = match stop
        .run_until_cancelled(open_store(&database, &args.database))
        .await
    {
        Some(store) => serve(&args, store?, stop).await,
        None => Ok(()),
    };
    database.stop().await;
    outcome
}

/// `operator migrate`.
pub async fn migrate(args: DatabaseArgs) -> anyhow::Result<()> {
    let url = args
        .database_url
        .as_deref()
        .context("--database-url (or DATABASE_URL) names the database to migrate")?;
    Store::open(store::Config::new(url)).await?.close().await;
    println!("the database schema is up to date");
    Ok(())
}

async fn open_store(database: &Database, args: &DatabaseArgs) -> anyhow::Result<Store> {
    let config = store::Config {
        max_connections: args.database_connections,
        ..store::Config::new(database.url())
    };
    Ok(Store::open(config).await?)
}

/// One operator per data directory: two would share its Postgres and its identity.
fn lock(args: &RunArgs) -> anyhow::Result<File> {
    let path = args.data_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.try_lock().map_err(|_| {
        anyhow::anyhow!(
            "another operator runs in {}: stop it, or give this one a --data-dir of its own",
            args.data_dir.display()
        )
    })?;
    Ok(file)
}

/// Everything between an open store and a closed one.
async fn serve(args: &RunArgs, store: Store, stop: CancellationToken) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    metrics::register_process(&mut registry);
    store.metrics().register(&mut registry);
    let leadership = Leadership::default();
    let swarm = (args.role != Role::Apiserver)
        .then(|| connect_swarm(args, &store))
        .transpose()?;
    let controller_metrics = controllers::Metrics::default();
    if let Some(swarm) = &swarm {
        swarm.metrics().register(&mut registry);
        controller_metrics.register(&mut registry);
    }
    let server = server::start(args, &store, swarm.as_ref(), &leadership, registry).await?;
    let client = match (&server.api, &args.kubeconfig) {
        (Some(api), _) => server::own_client(api),
        (None, Some(file)) => client_from(file).await?,
        (None, None) => anyhow::bail!("no API server to work against"),
    };

    // The Swarm is observed until the last reconcile has ended.
    let observing = CancellationToken::new();
    let observer = swarm.as_ref().map(|swarm| swarm.spawn(observing.clone()));
    let campaign = swarm.map(|swarm| {
        let settings = Settings {
            cluster: cluster_config(args, &store),
            concurrency: args.concurrency,
        };
        let sink = Arc::new(StoreSink::new(store.clone(), leadership.clone()));
        let work = move |token: CancellationToken| {
            run_controllers(
                client.clone(),
                swarm.clone(),
                sink.clone(),
                settings.clone(),
                controller_metrics.clone(),
                token,
            )
        };
        let ttl = Duration::from_secs(args.lease_seconds);
        let identity = identity(args);
        tokio::spawn(leader::campaign(
            store.clone(),
            identity,
            ttl,
            leadership,
            stop.clone(),
            work,
        ))
    });
    server.announce(args);

    stop.cancelled().await;
    if let Some(campaign) = campaign
        && tokio::time::timeout(CONTROLLERS_STOP, campaign)
            .await
            .is_err()
    {
        tracing::warn!("a reconcile did not end in time; the next start goes on with it");
    }
    observing.cancel();
    if let Some(observer) = observer {
        let _ = observer.await;
    }
    let served = server.stop().await;
    store.close().await;
    tracing::info!("stopped");
    served
}

fn connect_swarm(args: &RunArgs, store: &Store) -> anyhow::Result<Swarm> {
    let config = swarm::Config {
        poll_interval: args.poll_interval(),
        ..swarm::Config::new(
            args.docker_host.parse()?,
            labels::CLUSTER_UID,
            &store.cluster_uid().to_string(),
        )
    };
    Ok(Swarm::connect(config))
}

fn cluster_config(args: &RunArgs, store: &Store) -> ClusterConfig {
    ClusterConfig {
        uid: store.cluster_uid().to_string(),
        ingress_network: args.ingress_network.clone(),
        ingress_subnet: args.ingress_subnet.clone(),
        namespace_network: format!("{}{{namespace}}", args.network_prefix),
        traefik: TraefikConfig {
            refresh: Duration::from_secs(args.traefik_refresh_seconds),
        },
        ..ClusterConfig::default()
    }
}

/// Who we are in the election. The data directory has one operator at a time, so its own id lets
/// a restarted operator go on at once instead of waiting for the end of its own lease. A name that
/// somebody gave may have been given twice: something of our own makes it ours.
fn identity(args: &RunArgs) -> String {
    if let Some(identity) = &args.identity {
        return format!("{identity}_{}", uuid::Uuid::new_v4());
    }
    let path = args.data_dir.join("identity");
    if let Ok(found) = std::fs::read_to_string(&path)
        && !found.trim().is_empty()
    {
        return found.trim().to_owned();
    }
    let made = uuid::Uuid::new_v4().to_string();
    if let Err(error) = crate::pki::write_private(&path, &made) {
        tracing::warn!("this process has a new identity at every start: {error:#}");
    }
    made
}

async fn client_from(file: &std::path::Path) -> anyhow::Result<Client> {
    let kubeconfig = kube::config::Kubeconfig::read_from(file)
        .with_context(|| format!("read {}", file.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(
        kubeconfig,
        &kube::config::KubeConfigOptions::default(),
    )
    .await?;
    // Only the controllers may write views.
    config.auth_info.impersonate = Some(apiserver::CONTROLLERS.to_owned());
    config.auth_info.impersonate_groups = Some(vec![apiserver::MASTERS.to_owned()]);
    Ok(Client::try_from(config)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: RunArgs,
    }

    /// Two operators with the same `--identity` must not both lead.
    #[test]
    fn a_name_given_twice_is_two_identities() {
        let args = Cli::parse_from(["operator", "--identity", "blue"]).args;
        let (one, two) = (identity(&args), identity(&args));
        assert!(one.starts_with("blue_") && one != two, "{one} {two}");
    }
}

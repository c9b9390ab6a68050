//! The API server, health and metrics on one listener.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use apiserver::{ApiServer, MASTERS, ServiceAccounts, UserInfo};
use axum::Router;
use axum::routing::get;
use kube::Client;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use store::Store;
use swarm::{Observation, Swarm};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::{Role, RunArgs};
use crate::health::Health;
use crate::leader::Leadership;
use crate::pki::{Pki, ServingCert, write_private};
use crate::{kubeconfig, pki};

/// Time between two looks at whether a certificate is due.
const RENEWAL: Duration = Duration::from_secs(24 * 3600);

/// What runs.
pub(super) struct Server {
    /// The API, when this process serves it.
    pub api: Option<ApiServer>,
    loops: JoinSet<()>,
    serving: JoinHandle<std::io::Result<()>>,
    cancel: CancellationToken,
}

/// Binds the listener and serves from now on.
pub(super) async fn start(
    args: &RunArgs,
    store: &Store,
    swarm: Option<&Swarm>,
    leadership: &Leadership,
    mut registry: Registry,
) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!(
            "listen on {}: give another --listen, or stop what uses the port",
            args.listen
        )
    })?;
    let cancel = CancellationToken::new();
    let health = health(store, swarm, leadership).router();
    if args.role == Role::Controllers {
        // Nobody but this machine can ask: health and counters, in plain HTTP.
        let app = health.merge(metrics_route(registry));
        let stopped = cancel.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            axum::serve(listener, app)
                .with_graceful_shutdown(stopped)
                .await
        });
        return Ok(Server {
            api: None,
            loops: JoinSet::new(),
            serving,
            cancel,
        });
    }
    let pki = Pki::open(&args.data_dir.join("pki"), names(args))?;
    let config = apiserver::Config {
        limits: args.limits.limits(),
        audit: args.audit.audit(&args.data_dir),
        service_accounts: service_accounts(args, &pki)?,
        ..apiserver::Config::default()
    };
    let api = ApiServer::new(store.clone(), api_types::crds(), config).await?;
    api.register_metrics(&mut registry);
    write_kubeconfig(args, &pki)?;
    let (tls, certificate) = pki.tls()?;
    let mut loops = api.spawn_loops(cancel.clone());
    loops.spawn(renew(pki, certificate, args.clone(), cancel.clone()));
    api.serve_beside(metrics_route(registry));
    let app = health.merge(api.router());
    let serving = {
        let (api, cancel) = (api.clone(), cancel.clone());
        tokio::spawn(async move { api.serve(app, listener, tls, cancel).await })
    };
    Ok(Server {
        api: Some(api),
        loops,
        serving,
        cancel,
    })
}

impl Server {
    /// Tells the user what runs and what to type next.
    pub fn announce(&self, args: &RunArgs) {
        if self.api.is_none() {
            return;
        }
        let kubeconfig = kubeconfig_path(args);
        let kubeconfig = kubeconfig.canonicalize().unwrap_or(kubeconfig);
        println!(
            "\nThe control plane runs on https://{}. Its admin kubeconfig is {}\n\n  \
             export KUBECONFIG={}\n  \
             kubectl apply -f crds/samples/\n  \
             kubectl get deployments,routes,nodes --all-namespaces\n\n\
             Ctrl-C stops it; the containers keep running.\n",
            args.listen,
            kubeconfig.display(),
            kubeconfig.display()
        );
    }

    /// Ends watches, finishes requests, ends the loops.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(api) = &self.api {
            api.end_watches();
        }
        self.cancel.cancel();
        let served = self.serving.await;
        while self.loops.join_next().await.is_some() {}
        if let Some(api) = &self.api {
            api.flush_audit().await;
        }
        Ok(served??)
    }
}

/// A client of our own API server, in memory: no socket, no second code path.
pub(super) fn own_client(api: &ApiServer) -> Client {
    let user = UserInfo::new(apiserver::CONTROLLERS, &[MASTERS]);
    Client::new(api.in_process(user), "default")
}

fn service_accounts(args: &RunArgs, pki: &Pki) -> anyhow::Result<ServiceAccounts> {
    let key = match &args.service_account_signing_key_file {
        Some(file) => pki::read(file)?,
        None => pki.service_account_key()?,
    };
    let files = args.service_account_key_files.iter();
    Ok(ServiceAccounts {
        signing_key: Some(key),
        verification_keys: files
            .map(|file| pki::read(file))
            .collect::<Result<_, _>>()?,
        issuer: args.service_account_issuer.clone(),
        root_ca: Some(pki.ca()?),
    })
}

fn kubeconfig_path(args: &RunArgs) -> std::path::PathBuf {
    args.data_dir.join("kubeconfig")
}

fn write_kubeconfig(args: &RunArgs, pki: &Pki) -> anyhow::Result<()> {
    let admin = pki.client("admin", "admin", MASTERS)?;
    let text = kubeconfig::render(args.listen, &pki.ca()?, &admin.cert, &admin.key);
    write_private(&kubeconfig_path(args), &text)
}

/// Names that the serving certificate is valid for.
fn names(args: &RunArgs) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    names.push(host.trim().to_lowercase());
    if !args.listen.ip().is_unspecified() {
        names.push(args.listen.ip().to_string());
    }
    names.extend(args.tls_sans.iter().cloned());
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

async fn renew(
    pki: pki::Pki,
    certificate: Arc<ServingCert>,
    args: RunArgs,
    cancel: CancellationToken,
) {
    while cancel
        .run_until_cancelled(tokio::time::sleep(RENEWAL))
        .await
        .is_some()
    {
        if let Err(error) = pki
            .renew(&certificate)
            .and_then(|()| write_kubeconfig(&args, &pki))
        {
            tracing::error!("certificates were not renewed: {error:#}");
        }
    }
}

fn health(store: &Store, swarm: Option<&Swarm>, leadership: &Leadership) -> Health {
    let pinged = store.clone();
    let mut health = Health::default().ready("store", move || {
        let store = pinged.clone();
        async move {
            store.ping().await.map_err(|error| error.to_string())?;
            Ok(json!({"revision": store.revision()}))
        }
    });
    if let Some(swarm) = swarm {
        let observations = swarm.observations();
        health = health.told("swarm", move || {
            let seen = observations.borrow().clone();
            async move {
                match seen {
                    Observation::Known(snapshot) => Ok(
                        json!({"services": snapshot.services.len(), "nodes": snapshot.nodes.len()}),
                    ),
                    Observation::Unknown { reason, .. } => Err(reason),
                }
            }
        });
        let leadership = leadership.clone();
        health = health.told("leader", move || {
            let leadership = leadership.clone();
            async move { leader_detail(&leadership) }
        });
    }
    health
}

fn leader_detail(leadership: &Leadership) -> Result<Value, String> {
    match (leadership.epoch(), leadership.holder()) {
        (Some(epoch), _) => Ok(json!({"leading": true, "epoch": epoch.number})),
        (None, holder) if holder.is_empty() => Err("no leader is known".to_owned()),
        (None, holder) => Ok(json!({"leading": false, "holder": holder})),
    }
}

fn metrics_route(registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new().route(
        "/metrics",
        get(move || {
            let mut text = String::new();
            // Writing to a string cannot fail but for an encoder's own error, told as such.
            let outcome = prometheus_client::encoding::text::encode(&mut text, &registry);
            async move {
                match outcome {
                    Ok(()) => Ok((
                        [(
                            "content-type",
                            "application/openmetrics-text; version=1.0.0; charset=utf-8",
                        )],
                        text,
                    )),
                    Err(_) => Err(axum::http::StatusCode::INTERNAL_SERVER_ERROR),
                }
            }
        }),
    )
}

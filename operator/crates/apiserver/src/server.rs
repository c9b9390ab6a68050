//! The server: what it holds, how it is wired, and the accept loop.

mod accept;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Extension;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use rustls::ServerConfig;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission;
use crate::audit::{AuditConfig, AuditLog};
use crate::authn::{Authenticator, InProcess, KeyError, UserInfo};
use crate::authz::{self, Rbac};
use crate::builtin;
use crate::builtin::crd;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::dispatch;
use crate::flow::Flow;
use crate::gc;
use crate::metrics::Metrics;
use crate::openapi::OpenApi;
use crate::registry::{CrdError, Registry};
use crate::status_error::ApiError;
use crate::turns::Turns;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A definition cannot be served.
    #[error(transparent)]
    Crd(#[from] CrdError),
    /// A built-in kind has a bad schema.
    #[error("the schema of the built-in kind {kind}: {message}")]
    Builtin {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The audit log cannot be written.
    #[error("cannot open the audit log {}: {source}", .path.display())]
    Audit {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The key for the tokens of service accounts cannot be used.
    #[error("the signing key of service accounts: {0}")]
    SigningKey(#[from] KeyError),
    /// The default namespaces and roles could not be read or written.
    #[error("cannot create the default namespaces and roles: {0}")]
    Bootstrap(#[source] ApiError),
}

/// A Kubernetes API server over a store; cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) inner: Arc<Inner>,
}

/// What requests share.
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    /// Names of the server's own definitions.
    pub(crate) own: BTreeSet<String>,
    /// The other definitions that are served.
    pub(crate) definitions: crd::Registered,
    pub(crate) config: Config,
    pub(crate) authenticator: Authenticator,
    pub(crate) rbac: Rbac,
    /// Keep `rbac` current.
    _followers: JoinSet<()>,
    /// By namespace.
    pub(crate) quota_turns: Turns,
    /// By key: of those who lost a race.
    pub(crate) write_turns: Turns,
    pub(crate) metrics: Metrics,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) flow: Flow,
    pub(crate) discovery: Discovery,
    pub(crate) openapi: OpenApi,
    /// Paths of others.
    pub(crate) beside: OnceLock<Router>,
    /// Ends running watches; cancelled first at shutdown.
    pub(crate) watches: CancellationToken,
}

impl ApiServer {
    /// Serves the built-in kinds and these definitions from `store`, and makes sure that the
    /// namespaces `default` and `kube-system` and the default roles exist.
    ///
    /// # Errors
    /// A definition that cannot be served, or a store that does not answer.
    pub async fn new(
        store: Store,
        crds: Vec<CustomResourceDefinition>,
        config: Config,
    ) -> Result<Self, ServerError> {
        let registry = Registry::new(builtin::definitions()?);
        let definition = crd::definition(&crds, &registry.snapshot())?;
        registry.add(vec![definition]);
        for crd in &crds {
            registry.add(builtin::custom(crd)?);
        }
        let authenticator = Authenticator::new(store.clone(), &config)?;
        authz::policy::bootstrap(&store, &registry)
            .await
            .map_err(ServerError::Bootstrap)?;
        let (rbac, followers) = Rbac::follow(&store)
            .await
            .map_err(|error| ServerError::Bootstrap(error.into()))?;
        let openapi = OpenApi::new(config.version.git_version.clone());
        let metrics = Metrics::default();
        let audit = config.audit.as_ref();
        let audit = audit.map(|audit| open_audit(audit, &metrics)).transpose()?;
        let flow = Flow::new(&config.limits, metrics.rejections.clone());
        let inner = Inner {
            store,
            registry,
            own: crds
                .iter()
                .filter_map(|crd| crd.metadata.name.clone())
                .collect(),
            definitions: crd::Registered::default(),
            authenticator,
            config,
            rbac,
            _followers: followers,
            quota_turns: Turns::default(),
            write_turns: Turns::default(),
            metrics,
            audit,
            flow,
            discovery: Discovery::default(),
            openapi,
            beside: OnceLock::new(),
            watches: CancellationToken::new(),
        };
        let server = Self {
            inner: Arc::new(inner),
        };
        builtin::namespace::bootstrap(&server)
            .await
            .map_err(ServerError::Bootstrap)?;
        crd::bootstrap(&server, &crds)
            .await
            .map_err(ServerError::Bootstrap)?;
        crd::load(&server).await.map_err(ServerError::Bootstrap)?;
        Ok(server)
    }

    /// The API as a service: identities come from TLS and from bearer tokens.
    pub fn router(&self) -> Router {
        dispatch::router(self.clone())
    }

    /// The API as a service for this process's own clients, all requests by `user`.
    pub fn in_process(&self, user: UserInfo) -> Router {
        self.router().layer(Extension(InProcess(user)))
    }

    /// Answers GET of further paths with these routes, for those who have the paths among the
    /// `nonResourceURLs` of a role. Said once; later ones do not count.
    pub fn serve_beside(&self, routes: Router) {
        let _ = self.inner.beside.set(routes);
    }

    /// What is served; rows can be added and removed while requests run.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Starts the loops that belong to the API itself: the life cycle of namespaces, the end of
    /// Events, garbage collection, the sums of quotas, roles that gather others, service accounts and
    /// their Secrets, the kinds that users define. They stop when `cancel` is cancelled.
    pub fn spawn_loops(&self, cancel: CancellationToken) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        loops.spawn(authz::aggregate(self.clone(), cancel.clone()));
        loops.spawn(builtin::namespace::run(self.clone(), cancel.clone()));
        loops.spawn(builtin::account::run(self.clone(), cancel.clone()));
        loops.spawn(builtin::event::run(self.clone(), cancel.clone()));
        loops.spawn(gc::run(self.clone(), cancel.clone()));
        loops.spawn(admission::run(self.clone(), cancel.clone()));
        loops.spawn(crd::run(self.clone(), cancel));
        loops
    }

    /// Registers the server's metrics.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.inner.metrics.register(registry);
    }

    /// Ends all running watches; clients reconnect elsewhere or later. New ones end at once.
    pub fn end_watches(&self) {
        self.inner.watches.cancel();
    }

    /// Waits until what was asked so far is in the audit log, for a few seconds at most.
    pub async fn flush_audit(&self) {
        if let Some(audit) = &self.inner.audit {
            audit.flush().await;
        }
    }

    /// Accepts connections and serves `app` on them until `cancel` is cancelled; then ends
    /// watches, lets running requests finish and returns.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(
        &self,
        app: Router,
        listener: TcpListener,
        tls: ServerConfig,
        cancel: CancellationToken,
    ) -> std::io::Result<()> {
        accept::serve(self, app, listener, tls, cancel).await
    }
}

fn open_audit(config: &AuditConfig, metrics: &Metrics) -> Result<AuditLog, ServerError> {
    AuditLog::open(config, metrics.audit.clone()).map_err(|source| ServerError::Audit {
        path: config.path.clone(),
        source,
    })
}

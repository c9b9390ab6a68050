//! What the server is told at start.

use std::time::Duration;

use serde::Serialize;

use crate::audit::AuditConfig;
use crate::authn::StaticToken;

/// Settings of the API server.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Answer of `/version`.
    pub version: VersionInfo,
    /// Bearer tokens and whose they are.
    pub tokens: Vec<StaticToken>,
    /// How service accounts prove who they are.
    pub service_accounts: ServiceAccounts,
    /// Bounds of what one request may take.
    pub limits: Limits,
    /// Where the audit log goes; `None` keeps none.
    pub audit: Option<AuditConfig>,
}

/// How service accounts prove who they are, and know this server.
#[derive(Clone)]
pub struct ServiceAccounts {
    /// Private key that signs their tokens, PKCS#8 PEM. Servers of one store share it. `None` is a
    /// key of the server's own, whose tokens end with the process.
    pub signing_key: Option<String>,
    /// Public keys, PEM, whose tokens are believed beside those of the signing key: that of another
    /// server of the store, or the one before.
    pub verification_keys: Vec<String>,
    /// Who stands behind the tokens, and whom they are for unless they name somebody else.
    pub issuer: String,
    /// Certificate authority by which clients know this server, PEM; published in every namespace.
    pub root_ca: Option<String>,
}

impl Default for ServiceAccounts {
    fn default() -> Self {
        Self {
            signing_key: None,
            verification_keys: Vec::new(),
            issuer: "https://kubernetes.default.svc".to_owned(),
            root_ca: None,
        }
    }
}

impl std::fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccounts")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Answer of `/version`. Clients parse `major`, `minor` and `gitVersion`: additions to the latter
/// go behind a `+`, a `-` would make it a pre-release, which chart constraints refuse.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// Kubernetes' major version whose API is served.
    pub major: String,
    /// Its minor version.
    pub minor: String,
    /// `v1.32.0+obiente.0.1.0`
    pub git_version: String,
    /// Commit this was built from.
    pub git_commit: String,
    /// `clean` or `dirty`.
    pub git_tree_state: String,
    /// When it was built, RFC 3339.
    pub build_date: String,
    /// Clients only print it.
    pub go_version: String,
    /// As Go names it.
    pub compiler: String,
    /// `linux/amd64`
    pub platform: String,
}

impl Default for VersionInfo {
    fn default() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            major: "1".to_owned(),
            minor: "32".to_owned(),
            git_version: format!("v1.32.0+obiente.{}", env!("CARGO_PKG_VERSION")),
            git_commit: "unknown".to_owned(),
            git_tree_state: "clean".to_owned(),
            build_date: "1970-01-01T00:00:00Z".to_owned(),
            go_version: "none (rust)".to_owned(),
            compiler: "rustc".to_owned(),
            platform: format!("{}/{arch}", std::env::consts::OS),
        }
    }
}

/// Bounds of what requests may take, one and all together, and of what is kept. Of what all
/// share, one user gets at most as much as is free, so at most half.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request body. Kubernetes' own limit.
    pub body_bytes: usize,
    /// Most bytes of a request's headers.
    pub header_bytes: usize,
    /// How long a request other than a watch may take, and the most a client can ask for.
    pub request: Duration,
    /// The same for requests that change something. Kubernetes' own limit.
    pub change: Duration,
    /// Most requests at a time that only read.
    pub reads: usize,
    /// Most requests at a time that change something; a fifth of it is added for leases alone.
    pub changes: usize,
    /// Most watches at a time.
    pub watches: usize,
    /// Most bytes of large request bodies in memory at a time.
    pub body_memory: usize,
    /// Most requests of one user per second, and most at once; 0 is no limit. The other limits keep
    /// a server responsive without it, and let one user have what nobody else wants.
    pub user_rate: u32,
    /// How long a watch runs when the client names no time; up to twice as long, at random, so
    /// that clients which started together do not come back together.
    pub watch: Duration,
    /// How long Events are kept after they were last seen.
    pub event_ttl: Duration,
    /// Most concurrent connections.
    pub connections: usize,
    /// How long a connection is kept that has no requests. Kubernetes' own limit.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 3 * 1024 * 1024,
            header_bytes: 64 * 1024,
            request: Duration::from_secs(60),
            change: Duration::from_secs(34),
            reads: 1000,
            changes: 500,
            watches: 10_000,
            body_memory: 128 * 1024 * 1024,
            user_rate: 0,
            watch: Duration::from_secs(30 * 60),
            event_ttl: Duration::from_secs(60 * 60),
            connections: 5000,
            idle: Duration::from_secs(90),
        }
    }
}

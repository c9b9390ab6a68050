//! Where the Engine is, and the handle that everybody holds.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::observer::Observation;
use crate::raw::RawClient;

/// Oldest Engine API that has all that is used: Docker 20.10.
const OLDEST_API: (usize, usize) = (1, 41);

/// Address of a Docker Engine, as `DOCKER_HOST` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`, plain HTTP.
    Tcp(String),
}

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Docker address {given:?}: {problem}; right would be unix:///var/run/docker.sock or tcp://host:2375"
)]
pub struct AddressError {
    given: String,
    problem: &'static str,
}

impl Default for Address {
    /// Docker's own default socket.
    fn default() -> Self {
        Self::Unix(PathBuf::from("/var/run/docker.sock"))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let refuse = |problem| {
            Err(AddressError {
                given: given.to_owned(),
                problem,
            })
        };
        if let Some(path) = given.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return refuse("the path of a socket must be absolute");
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let Some(host) = given
            .strip_prefix("tcp://")
            .or_else(|| given.strip_prefix("http://"))
        else {
            return refuse("only unix:// and tcp:// (plain HTTP) are supported");
        };
        let host = host.trim_end_matches('/');
        match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0) => {
                Ok(Self::Tcp(host.to_owned()))
            }
            _ => refuse("host and port are needed"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

/// Where the Swarm is, what in it is ours, and how often to look.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Engine of a Swarm manager.
    pub address: Address,
    /// Label key whose value is the cluster uid, on everything that is ours.
    pub owner_label: String,
    /// Our cluster uid. Services and networks with another one are never touched.
    pub cluster_uid: String,
    /// Time between two polls of services and tasks, when nothing rings.
    pub poll_interval: Duration,
    /// Time between two polls of nodes and networks, when nothing rings.
    pub slow_poll_interval: Duration,
    /// Time between a Docker event and the poll, in which further events join.
    pub debounce: Duration,
    /// Least time between the beginnings of two polls.
    pub min_poll_gap: Duration,
    /// Time of failing polls after which the Swarm is unknown.
    pub unknown_after: Duration,
    /// Time allowed for one read.
    pub read_timeout: Duration,
    /// Time allowed for one write; a Swarm that is losing its leader takes 11 s to say so.
    pub write_timeout: Duration,
}

impl Config {
    /// The usual times.
    pub fn new(address: Address, owner_label: &str, cluster_uid: &str) -> Self {
        Self {
            address,
            owner_label: owner_label.to_owned(),
            cluster_uid: cluster_uid.to_owned(),
            poll_interval: Duration::from_secs(1),
            slow_poll_interval: Duration::from_secs(2),
            debounce: Duration::from_millis(75),
            min_poll_gap: Duration::from_millis(100),
            unknown_after: Duration::from_secs(2),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
        }
    }
}

/// A client of one Swarm. Clones are the same client.
#[derive(Clone)]
pub struct Swarm {
    pub(crate) inner: Arc<Inner>,
}

/// What the handle, the observer and the doorbell share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) observation: watch::Sender<Observation>,
    /// `as_of` of the last good poll; sent after every one.
    pub(crate) polled: watch::Sender<u64>,
    /// Rung by Docker events.
    pub(crate) doorbell: Notify,
    /// Rung after acts and by `refresh`.
    pub(crate) refresh: Notify,
    /// Nodes and networks are to be read by the next poll, whatever their interval.
    pub(crate) slow_due: AtomicBool,
    clock: AtomicU64,
    connection: Mutex<Option<Arc<Connection>>>,
}

/// One negotiated connection.
pub(crate) struct Connection {
    pub(crate) docker: Docker,
    pub(crate) raw: RawClient,
}

impl Swarm {
    /// A client of the Engine at the configured address. Does nothing yet: the observation is
    /// `Unknown` until [`Swarm::spawn`]'s task has reached the Engine, and again whenever it
    /// cannot.
    pub fn connect(config: Config) -> Self {
        let inner = Inner {
            config,
            metrics: Metrics::default(),
            observation: watch::Sender::new(Observation::initial()),
            polled: watch::Sender::new(0),
            doorbell: Notify::new(),
            refresh: Notify::new(),
            slow_due: AtomicBool::new(true),
            clock: AtomicU64::new(0),
            connection: Mutex::new(None),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Starts the observer and the doorbell; both end when `cancel` does.
    pub fn spawn(&self, cancel: CancellationToken) -> JoinHandle<()> {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            tokio::join!(
                crate::observer::run(&inner, &cancel),
                cancel.run_until_cancelled(crate::doorbell::run(&inner)),
            );
        })
    }

    /// The client's configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The client's counters.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }
}

impl Inner {
    /// Moves the clock and asks for a poll. A snapshot with `as_of` at or past the returned
    /// position was read after this call.
    ///
    /// `slow_due` is set before the clock moves: a poll that sees the new position sees the mark.
    pub(crate) fn mark(&self, slow: bool) -> u64 {
        if slow {
            self.slow_due.store(true, Ordering::SeqCst);
        }
        let position = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        self.refresh.notify_one();
        position
    }

    /// Position of a poll that begins now.
    pub(crate) fn position(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// One call to the Engine: connected, bounded in time, counted, its failure classified.
    pub(crate) async fn call<T, F>(
        &self,
        operation: &'static str,
        limit: Duration,
        request: impl FnOnce(Arc<Connection>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ErrorKind>>,
    {
        let started = Instant::now();
        let attempt = async {
            let connection = self.connection().await?;
            let result = request(Arc::clone(&connection)).await;
            if result.as_ref().is_err_and(ErrorKind::is_connection) {
                self.forget(&connection).await;
            }
            result
        };
        let result = tokio::time::timeout(limit, attempt).await;
        let result =
            result.unwrap_or_else(|_| Err(ErrorKind::Timeout(self.config.address.to_string())));
        let outcome = result.as_ref().map_or_else(ErrorKind::outcome, |_| "ok");
        self.metrics.called(operation, outcome, started.elapsed());
        result.map_err(|kind| Error { operation, kind })
    }

    /// The current connection, or a new one with its API version negotiated.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, ErrorKind> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(negotiate(&self.config).await?);
        *current = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Negotiates anew before the next call: the Engine may come back as another version.
    pub(crate) async fn forget(&self, broken: &Arc<Connection>) {
        let mut current = self.connection.lock().await;
        if current
            .as_ref()
            .is_some_and(|connection| Arc::ptr_eq(connection, broken))
        {
            *current = None;
        }
    }

    /// Is this ours?
    pub(crate) fn owns(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        labels.get(&self.config.owner_label) == Some(&self.config.cluster_uid)
    }
}

async fn negotiate(config: &Config) -> Result<Connection, ErrorKind> {
    let address = config.address.to_string();
    let timeout = config.write_timeout.as_secs().max(1);
    let docker = match &config.address {
        Address::Unix(_) => Docker::connect_with_unix(&address, timeout, API_DEFAULT_VERSION),
        Address::Tcp(_) => Docker::connect_with_http(&address, timeout, API_DEFAULT_VERSION),
    };
    let docker = match docker {
        Ok(docker) => docker.negotiate_version().await,
        Err(error) => Err(error),
    };
    let docker = docker.map_err(|error| ErrorKind::from_bollard(&address, error))?;
    let version = docker.client_version();
    let version = (version.major_version, version.minor_version);
    if version < OLDEST_API {
        let found = format!("{}.{}", version.0, version.1);
        return Err(ErrorKind::TooOld { address, found });
    }
    tracing::info!(docker.address = %address, docker.api = %format_args!("{}.{}", version.0, version.1), "connected to the Docker Engine");
    Ok(Connection {
        docker,
        raw: RawClient::new(config.address.clone(), version),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_docker_hosts() {
        for (given, shown) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
            ("http://[::1]:2375/", "tcp://[::1]:2375"),
        ] {
            assert_eq!(given.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn other_addresses_are_refused_by_name() {
        for given in [
            "ssh://me@host",
            "https://host:2376",
            "/run/x.sock",
            "unix://x",
            "tcp://host",
            "tcp://:1",
            "tcp://h:0",
            "",
        ] {
            let error = given.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(&format!("{given:?}")), "{error}");
        }
    }

    // Callers spawn these.
    #[tokio::test]
    async fn the_futures_can_move_between_threads() {
        fn can_move(future: impl Future + Send) {
            drop(future);
        }
        let swarm = Swarm::connect(Config::new(Address::default(), "label", "uid"));
        let step = plan::model::Step::CreateService(Box::default());
        can_move(swarm.act(&step));
        can_move(swarm.service("name"));
        can_move(swarm.snapshot_at_least(1, Duration::ZERO));
        can_move(swarm.task_log_tail("task", 1, 1, Duration::ZERO));
    }
}

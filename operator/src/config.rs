//! Configuration: flags and environment variables, validated once before anything starts.

mod api;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub use api::{AuditArgs, LimitArgs};

/// Flags of `operator run`. Every flag has an environment variable; the flag wins.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// What this process is: everything, only the API server, or only the controllers.
    #[arg(long, env = "OBIENTE_ROLE", value_enum, default_value_t = Role::All)]
    pub role: Role,

    /// Directory of everything this process keeps: the embedded Postgres, certificates, the
    /// admin kubeconfig. Made with mode 0700 when missing.
    #[arg(
        long,
        env = "OBIENTE_DATA_DIR",
        default_value = ".obiente",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,

    /// Address that the API server listens on, HTTPS. With `--role controllers`: that of health and
    /// metrics, plain HTTP and for this machine only.
    #[arg(
        long,
        env = "OBIENTE_LISTEN",
        default_value = "127.0.0.1:6443",
        value_name = "IP:PORT"
    )]
    pub listen: SocketAddr,

    /// Further host names or addresses that the serving certificate is valid for.
    #[arg(
        long = "tls-san",
        env = "OBIENTE_TLS_SANS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub tls_sans: Vec<String>,

    /// Private key that signs the tokens of service accounts: PKCS#8 PEM, ECDSA on P-256. Operators
    /// that share a database must share it. Default: `pki/sa.key` in the data directory, made when
    /// missing.
    #[arg(
        long,
        env = "OBIENTE_SERVICE_ACCOUNT_SIGNING_KEY_FILE",
        value_name = "FILE"
    )]
    pub service_account_signing_key_file: Option<PathBuf>,

    /// Public keys whose tokens of service accounts count beside those of the signing key: PEM, ECDSA
    /// on P-256, several in a file and several times. For a new signing key, first tell every
    /// operator the new public key, then sign with it, and keep the old public key until its tokens
    /// have ended.
    #[arg(
        long = "service-account-key-file",
        env = "OBIENTE_SERVICE_ACCOUNT_KEY_FILES",
        value_delimiter = ',',
        value_name = "FILE"
    )]
    pub service_account_key_files: Vec<PathBuf>,

    /// Issuer of the tokens of service accounts, and whom they are made for unless they name
    /// somebody else. Others who are to verify them find the public key below this URL.
    #[arg(
        long,
        env = "OBIENTE_SERVICE_ACCOUNT_ISSUER",
        default_value = "https://kubernetes.default.svc",
        value_name = "URL"
    )]
    pub service_account_issuer: String,

    #[command(flatten)]
    /// Which database.
    pub database: DatabaseArgs,

    /// Docker Engine of a Swarm manager: `unix:///path` or `tcp://host:port`.
    #[arg(
        long,
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock",
        value_name = "ADDRESS"
    )]
    pub docker_host: String,

    /// Kubeconfig of the API server that the controllers work against, of an administrator (they
    /// act as `system:obiente:controllers`); only with `--role controllers` (with `all`, they use
    /// the API server of this process).
    #[arg(long, env = "OBIENTE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Name of this process in the leader election; something random is added. Default: an id kept
    /// in the data directory, by which a restarted process goes on at once as leader.
    #[arg(long, env = "OBIENTE_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Seconds after which another process takes over from a leader that does not answer.
    #[arg(
        long,
        env = "OBIENTE_LEASE_SECONDS",
        default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(3..=300),
        value_name = "SECONDS"
    )]
    pub lease_seconds: u64,

    /// Overlay network that Traefik and every Deployment with ports share.
    #[arg(
        long,
        env = "OBIENTE_INGRESS_NETWORK",
        default_value = "obiente-ingress",
        value_name = "NAME"
    )]
    pub ingress_network: String,

    /// Subnet of the ingress network in CIDR notation, used when it is created. Every routed
    /// task takes an address of it. Unset: the Engine's own address pools choose (often a /24,
    /// which is full after 250 tasks).
    #[arg(long, env = "OBIENTE_INGRESS_SUBNET", value_name = "CIDR")]
    pub ingress_subnet: Option<String>,

    /// Prefix of the overlay networks of namespaces: the network of namespace `shop` is
    /// `<prefix>shop`.
    #[arg(
        long,
        env = "OBIENTE_NETWORK_PREFIX",
        default_value = "obiente-",
        value_name = "PREFIX"
    )]
    pub network_prefix: String,

    /// Seconds between two reads of Docker by Traefik (`providers.swarm.refreshSeconds`): a
    /// Route is reported as programmed this long after its labels were written.
    #[arg(
        long,
        env = "OBIENTE_TRAEFIK_REFRESH_SECONDS",
        default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(1..=300),
        value_name = "SECONDS"
    )]
    pub traefik_refresh_seconds: u64,

    /// Milliseconds between two polls of services and tasks. Docker events wake the poll
    /// earlier; tasks on other nodes send none.
    #[arg(
        long,
        env = "OBIENTE_POLL_MILLISECONDS",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(100..=60_000),
        value_name = "MILLISECONDS"
    )]
    pub poll_milliseconds: u64,

    /// Objects of one kind that are reconciled at the same time.
    #[arg(
        long,
        env = "OBIENTE_CONCURRENCY",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=64),
        value_name = "NUMBER"
    )]
    pub concurrency: u16,

    #[command(flatten)]
    /// What the clients of the API may take.
    pub limits: LimitArgs,

    #[command(flatten)]
    /// What they did.
    pub audit: AuditArgs,

    #[command(flatten)]
    /// How to log.
    pub log: LogArgs,
}

/// Which database.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// Postgres to keep everything in: `postgres://user:password@host:port/database`. Unset:
    /// the operator starts and owns a private Postgres in the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// Most connections to Postgres.
    #[arg(
        long,
        env = "OBIENTE_DATABASE_CONNECTIONS",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(3..=200),
        value_name = "NUMBER"
    )]
    pub database_connections: u32,
}

/// How to log.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArgs {
    /// Log more: `-v` debug, `-vv` trace. `RUST_LOG` overrides it with tracing's filter syntax.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Log lines for people, or one JSON object per line.
    #[arg(long, env = "OBIENTE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// API server and controllers in one process.
    All,
    /// The API server alone.
    Apiserver,
    /// The controllers alone, over a kubeconfig.
    Controllers,
}

/// A combination of flags that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Controllers need an API server.
    #[error(
        "--role controllers needs --kubeconfig FILE, a kubeconfig of the API server to work against"
    )]
    ControllersWithoutKubeconfig,
    /// Only separate controllers use a kubeconfig.
    #[error("--kubeconfig {0} is only used with --role controllers; leave it out")]
    KubeconfigNotUsed(PathBuf),
    /// Controllers share the API server's database.
    #[error(
        "--role controllers needs --database-url (or DATABASE_URL): the lease and the projection \
         tables live in the API server's database"
    )]
    ControllersWithoutDatabase,
    /// Nobody is asked who they are there.
    #[error(
        "--listen {0}: --role controllers serves health and metrics in plain HTTP to whoever asks; \
         right is a loopback address, for example 127.0.0.1:6444"
    )]
    ControllersListen(SocketAddr),
    /// Issuers are URLs.
    #[error(
        "--service-account-issuer {0:?}: not an issuer; right is for example https://swarm.example.com:6443"
    )]
    Issuer(String),
    /// Not an address of an Engine.
    #[error(
        "--docker-host {0}: not a supported address; right are unix:///var/run/docker.sock and \
         tcp://host:2375 (for ssh:// or TLS, forward the socket to a local one)"
    )]
    DockerHost(String),
    /// Not a subnet.
    #[error("--ingress-subnet {0}: not a subnet; right is for example 10.224.0.0/16")]
    Subnet(String),
    /// Not a network name.
    #[error(
        "{flag} {value:?}: a Docker network name has letters, digits, '_', '.' and '-' and begins with a letter or digit"
    )]
    NetworkName {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
    },
}

impl RunArgs {
    /// Checks what clap cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match (self.role, &self.kubeconfig) {
            (Role::Controllers, None) => return Err(ConfigError::ControllersWithoutKubeconfig),
            (Role::Controllers, Some(_)) if self.database.database_url.is_none() => {
                return Err(ConfigError::ControllersWithoutDatabase);
            }
            (Role::Controllers, Some(_)) if !self.listen.ip().is_loopback() => {
                return Err(ConfigError::ControllersListen(self.listen));
            }
            (Role::All | Role::Apiserver, Some(file)) => {
                return Err(ConfigError::KubeconfigNotUsed(file.clone()));
            }
            _ => {}
        }
        if !self.service_account_issuer.starts_with("https://") {
            return Err(ConfigError::Issuer(self.service_account_issuer.clone()));
        }
        if !["unix://", "tcp://", "http://"]
            .iter()
            .any(|scheme| self.docker_host.starts_with(scheme))
        {
            return Err(ConfigError::DockerHost(self.docker_host.clone()));
        }
        if let Some(subnet) = &self.ingress_subnet
            && !is_ipv4_subnet(subnet)
        {
            return Err(ConfigError::Subnet(subnet.clone()));
        }
        for (flag, value) in [
            ("--ingress-network", &self.ingress_network),
            ("--network-prefix", &self.network_prefix),
        ] {
            if !is_network_name(value) {
                return Err(ConfigError::NetworkName {
                    flag,
                    value: value.clone(),
                });
            }
        }
        Ok(())
    }

    /// Time between two polls of services and tasks.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_milliseconds)
    }
}

fn is_ipv4_subnet(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        address.parse::<std::net::Ipv4Addr>().is_ok()
            && length
                .parse::<u8>()
                .is_ok_and(|length| (8..=29).contains(&length))
    })
}

fn is_network_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn check(flags: &[&str]) -> Result<(), String> {
        let line = Line::try_parse_from(std::iter::once(&"run").chain(flags))
            .map_err(|e| e.to_string())?;
        line.run.validate().map_err(|e| e.to_string())
    }

    #[test]
    fn flags_that_make_no_sense_are_refused_with_what_is_right() {
        for (flags, says) in [
            (&["--role", "controllers"][..], "needs --kubeconfig"),
            (
                &["--role", "controllers", "--kubeconfig", "k"],
                "needs --database-url",
            ),
            (
                &[
                    "--role",
                    "controllers",
                    "--kubeconfig",
                    "k",
                    "--database-url",
                    "postgres://db/x",
                    "--listen",
                    "0.0.0.0:6444",
                ],
                "a loopback address",
            ),
            (&["--kubeconfig", "k"], "leave it out"),
            (
                &["--service-account-issuer", "me"],
                "https://swarm.example.com:6443",
            ),
            (
                &["--docker-host", "ssh://box"],
                "unix:///var/run/docker.sock",
            ),
            (&["--ingress-subnet", "10.0.0.0"], "10.224.0.0/16"),
            (&["--ingress-network", "a b"], "network name"),
            (&["--lease-seconds", "1"], "3..=300"),
            (
                &["--max-requests-inflight", "1"],
                "must be a number from 2 on",
            ),
            (
                &["--role", "agent"],
                "possible values: all, apiserver, controllers",
            ),
        ] {
            let error = check(flags).unwrap_err();
            assert!(error.contains(says), "{flags:?}: {error}");
        }
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(
            check(&[
                "--ingress-subnet",
                "10.224.0.0/16",
                "--docker-host",
                "tcp://10.0.0.1:2375"
            ]),
            Ok(())
        );
    }
}

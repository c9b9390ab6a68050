//! A load generator that leaves the processors to what it loads: requests are rendered once and
//! only numbered when they are sent, answers are read no further than to where they end, and one
//! thread serves all connections.
//!
//! An answer that is not 2xx ends the measurement with what the server said: a rate of refusals
//! would say nothing.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use e2e::lab::{Etcd, Operator};
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::cpu::{self, Processes, Seconds};
use crate::report::{median, quantile};

/// What a request's text has where the number of the object belongs, and where the number of the
/// request. Twelve characters, so that both can stand inside base64.
pub const KEY: &str = "%key%key%key";
pub const STAMP: &str = "%stamp%stamp";

/// Before anything counts: connections are new, caches cold.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longest a server may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// What is read at once.
const READ: usize = 16 * 1024;

/// A server, and how to speak to it.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Server {
    /// As the admin of the kubeconfig that the operator wrote.
    pub async fn operator(operator: &Operator) -> anyhow::Result<Self> {
        Self::kubernetes(&operator.kubeconfig()).await
    }

    /// As whoever a kubeconfig says, with the address of its server as a number.
    async fn kubernetes(kubeconfig: &Path) -> anyhow::Result<Self> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let url = &config.cluster_url;
        let host = url.host().context("the kubeconfig names no host")?;
        let address = format!("{host}:{}", url.port_u16().unwrap_or(443)).parse()?;
        let tls = TlsConnector::from(Arc::new(config.rustls_client_config()?));
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Self {
            address,
            tls: Some((tls, name)),
        })
    }

    /// An etcd, as anybody.
    pub fn etcd(etcd: &Etcd) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], etcd.port())),
            tls: None,
        }
    }

    /// Waits until a path answers; looks often, because the time it took is measured.
    pub async fn await_ok(&self, path: &str) -> anyhow::Result<()> {
        let request = request("GET", path, "", "");
        let start = Instant::now();
        loop {
            let look = async { self.connect().await?.exchange(request.as_bytes()).await };
            match look.await {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > ANSWER_LIMIT => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// A new connection.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some((tls, name)) => Box::new(tls.connect(name.clone(), tcp).await?),
            None => Box::new(tcp),
        };
        Ok(Connection {
            stream,
            buffer: BytesMut::new(),
        })
    }
}

/// Who is measured beside us.
pub enum Peer {
    /// By its JSON gateway, without TLS.
    Etcd(Etcd),
    /// The Kubernetes API server of a kubeconfig: it gets the same requests as we do.
    Kubernetes(PathBuf),
}

impl Peer {
    /// That of the kubeconfig, or an etcd.
    pub fn start(kubeconfig: Option<&Path>) -> anyhow::Result<Self> {
        match kubeconfig {
            Some(path) => Ok(Self::Kubernetes(path.to_owned())),
            None => Etcd::start().map(Self::Etcd),
        }
    }

    /// Where it serves, once it does.
    pub async fn server(&self) -> anyhow::Result<Server> {
        let (server, health) = match self {
            Self::Etcd(etcd) => (Server::etcd(etcd), "/health"),
            Self::Kubernetes(kubeconfig) => (Server::kubernetes(kubeconfig).await?, "/readyz"),
        };
        server.await_ok(health).await.context(self.name())?;
        Ok(server)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Etcd(_) => "etcd",
            Self::Kubernetes(_) => "kube-apiserver",
        }
    }

    /// Those whose processor time is known: of a server that somebody else started, it is not.
    pub fn processes(&self) -> Processes {
        let client = ("client", std::process::id());
        match self {
            Self::Etcd(etcd) => Processes::new([client, ("etcd", etcd.pid())]),
            Self::Kubernetes(_) => Processes::new([client]),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is kept for one request after the other.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

/// How the length of an answer is told.
enum Length {
    Bytes(usize),
    Chunked,
}

impl Connection {
    /// One request and its whole answer; returns the length of the answer's body.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<usize> {
        tokio::time::timeout(ANSWER_LIMIT, async {
            match self.send(request).await? {
                Length::Bytes(length) => self.skip(length).await,
                Length::Chunked => self.skip_chunks().await,
            }
        })
        .await
        .context("no answer in time")?
    }

    /// Sends a request and reads its answer's head.
    async fn send(&mut self, request: &[u8]) -> anyhow::Result<Length> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        loop {
            self.fill().await?;
            if let Some((end, status, length)) = head(&self.buffer)? {
                self.buffer.advance(end);
                if !(200..300).contains(&status) {
                    bail!("{status}: {}", String::from_utf8_lossy(&self.buffer));
                }
                return Ok(length);
            }
        }
    }

    /// Sends a request whose answer does not end, and waits for its head.
    pub async fn open(&mut self, request: &str) -> anyhow::Result<()> {
        self.send(request.as_bytes()).await.map(drop)
    }

    /// Waits for the end of the next line of JSON.
    pub async fn line(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"}\n") {
                self.buffer.advance(at + 2);
                return Ok(());
            }
            // The brace may have come, and the end of its line not yet.
            let read = self.buffer.len().saturating_sub(1);
            self.buffer.advance(read);
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }

    async fn skip(&mut self, length: usize) -> anyhow::Result<usize> {
        let mut left = length;
        loop {
            let here = left.min(self.buffer.len());
            self.buffer.advance(here);
            left -= here;
            if left == 0 {
                return Ok(length);
            }
            self.fill().await?;
        }
    }

    async fn skip_chunks(&mut self) -> anyhow::Result<usize> {
        let mut total = 0;
        loop {
            let parsed = httparse::parse_chunk_size(&self.buffer);
            match parsed.map_err(|_| anyhow::anyhow!("a chunk without a size"))? {
                httparse::Status::Partial => self.fill().await?,
                httparse::Status::Complete((start, size)) => {
                    let size = usize::try_from(size)?;
                    self.skip(start + size + 2).await?;
                    total += size;
                    if size == 0 {
                        return Ok(total);
                    }
                }
            }
        }
    }
}

/// The length of an answer's head, its status and how its body's length is told, once it is all there.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(usize, u16, Length)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(bytes)? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        Some(length) => Length::Bytes(std::str::from_utf8(length.value)?.parse()?),
        None => Length::Chunked,
    };
    Ok(Some((end, response.code.context("no status")?, length)))
}

/// A request as it goes over the wire; `head` is more lines of its head.
pub fn request(method: &str, path: &str, head: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{head}\r\n{body}"
    )
}

/// A request that is sent again and again with other numbers in it.
pub struct Requests {
    text: Vec<u8>,
    keys: Vec<usize>,
    stamps: Vec<usize>,
    objects: u64,
    sent: AtomicU64,
}

impl Requests {
    /// `path` and `body` may contain [`KEY`], which goes round from 0 to `objects` - 1, and
    /// [`STAMP`], which is never the same twice.
    pub fn new(method: &str, path: &str, body: &str, objects: u64) -> Self {
        let text = request(method, path, "", body);
        let places = |word| text.match_indices(word).map(|(at, _)| at).collect();
        Self {
            keys: places(KEY),
            stamps: places(STAMP),
            text: text.into_bytes(),
            objects,
            sent: AtomicU64::new(0),
        }
    }

    /// The next request.
    pub fn render(&self, request: &mut Vec<u8>) -> anyhow::Result<()> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        request.clone_from(&self.text);
        for (places, number) in [(&self.keys, number % self.objects), (&self.stamps, number)] {
            for at in places {
                write!(&mut request[*at..*at + KEY.len()], "{number:012}")?;
            }
        }
        Ok(())
    }
}

/// What some clients saw who each sent the next request when the last was answered.
pub struct Measured {
    /// Answers per second.
    pub rate: f64,
    /// Milliseconds from sending until the answer's last byte: the middle one, and what 99 % stayed below.
    pub p50: f64,
    pub p99: f64,
    /// Processor seconds of one request.
    pub cpu: Seconds,
}

impl Measured {
    /// The median of every number, and the mean processor time.
    pub fn of(rounds: &[Self]) -> Self {
        let middle = |number: fn(&Self) -> f64| median(rounds.iter().map(number).collect());
        let mut cpu = Seconds::new();
        for round in rounds {
            for (name, seconds) in &round.cpu {
                *cpu.entry(name).or_default() += seconds / rounds.len() as f64;
            }
        }
        Self {
            rate: middle(|round| round.rate),
            p50: middle(|round| round.p50),
            p99: middle(|round| round.p99),
            cpu,
        }
    }
}

/// For so long, after a warm-up.
pub async fn measure(
    server: &Server,
    clients: usize,
    requests: &Arc<Requests>,
    window: Duration,
    processes: &Processes,
) -> anyhow::Result<Measured> {
    let (started, starts) = tokio::sync::oneshot::channel();
    let (server, requests) = (server.clone(), requests.clone());
    let load = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let connect = (0..clients).map(|_| server.connect());
            let connections = futures::future::try_join_all(connect).await?;
            let counts = Instant::now() + WARM_UP;
            started.send(counts).ok(); // nobody is left to count for
            let clients = connections
                .into_iter()
                .map(|connection| client(connection, &requests, counts, counts + window));
            anyhow::Ok(futures::future::try_join_all(clients).await?.concat())
        })
    });
    let mut cpu = Seconds::new();
    // No start, when connecting failed: then the thread says why.
    if let Ok(counts) = starts.await {
        tokio::time::sleep_until(counts.into()).await;
        let before = processes.used()?;
        tokio::time::sleep_until((counts + window).into()).await;
        cpu::add(&mut cpu, &before, &processes.used()?);
    }
    let joined = tokio::task::spawn_blocking(|| load.join()).await?;
    let mut took = joined.map_err(|_| anyhow::anyhow!("the load generator panicked"))??;
    took.sort_unstable();
    let requests = took.len() as f64;
    cpu.values_mut().for_each(|seconds| *seconds /= requests);
    Ok(Measured {
        rate: requests / window.as_secs_f64(),
        p50: quantile(&took, 0.5),
        p99: quantile(&took, 0.99),
        cpu,
    })
}

async fn client(
    mut connection: Connection,
    requests: &Requests,
    counts: Instant,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let (mut request, mut took) = (Vec::new(), Vec::new());
    loop {
        requests.render(&mut request)?;
        let sent = Instant::now();
        if sent >= end {
            return Ok(took);
        }
        connection.exchange(&request).await?;
        if sent >= counts {
            took.push(sent.elapsed());
        }
    }
}

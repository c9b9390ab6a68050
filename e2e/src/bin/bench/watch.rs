//! One object's changes to 1,000 watchers, each with a connection of its own.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::lab::{Etcd, Operator};
use futures::future::try_join_all;

use crate::api::text;
use crate::cpu::{self, Processes, Seconds};
use crate::idle::resident_megabytes;
use crate::load::{Server, request};
use crate::report::{Report, Target, quantile};

const WATCHERS: usize = 1000;
const EVENTS: usize = 20;
/// Between two writes: everybody has the last event by then.
const PAUSE: Duration = Duration::from_millis(200);
/// Connections that are opened at once.
const OPENED: usize = 50;
/// Longest until all have all events.
const LIMIT: Duration = Duration::from_secs(60);

/// How to watch and to write somewhere.
struct Side {
    server: Server,
    watch: String,
    /// Lines before the first event.
    greeting: usize,
    writes: Vec<String>,
    processes: Processes,
}

pub async fn measure(
    operator: &Operator,
    postgres: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let pid = operator.pid()?;
    let before = resident_megabytes(pid)?;
    let seen = ours(operator, postgres)
        .await?
        .run()
        .await
        .context("our watchers")?;
    let memory = (resident_megabytes(pid)? - before) * 1e3 / WATCHERS as f64;
    let etcd = Etcd::start()?;
    let peer = theirs(&etcd)
        .await?
        .run()
        .await
        .context("etcd's watchers")?;
    let name = |rest: &str| format!("an event at {WATCHERS} watchers: {rest}");
    let spread = |seen: &Seen| format!("p50 {:.0} ms, p99 {:.0} ms", seen.p50, seen.p99);
    let detail = format!("{}, from sending the write", spread(&seen));
    report.row(&name("p99, ms"), &detail, seen.p99, Target::Below(100.0));
    report.note(&format!(
        "  of one event at all: {}",
        cpu::describe(&seen.cpu)
    ));
    let detail = format!(
        "{}; etcd {} by its JSON gateway without TLS",
        spread(&seen),
        spread(&peer)
    );
    report.row(
        &name("p99, ours / etcd"),
        &detail,
        seen.p99 / peer.p99,
        Target::None,
    );
    report.note(&format!(
        "  of one event at all: {}",
        cpu::describe(&peer.cpu)
    ));
    report.row(
        "memory of a watcher, kB",
        "TLS connection included",
        memory,
        Target::None,
    );
    Ok(())
}

async fn ours(operator: &Operator, postgres: u32) -> anyhow::Result<Side> {
    let collection = "/api/v1/namespaces/watched/configmaps";
    let server = Server::operator(operator).await?;
    let mut connection = server.connect().await?;
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"watched"}}"#;
    connection
        .exchange(request("POST", "/api/v1/namespaces", "", namespace).as_bytes())
        .await?;
    let write = |i: usize| {
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"object-{i}"}},"data":{{"text":"{}"}}}}"#,
            text(1000)
        );
        request("POST", collection, "", &object)
    };
    Ok(Side {
        server,
        // Nothing is there that would be an event, except what the namespace brings with it.
        watch: request(
            "GET",
            &format!("{collection}?watch=true&fieldSelector=metadata.name!=kube-root-ca.crt"),
            "",
            "",
        ),
        greeting: 0,
        writes: (0..EVENTS).map(write).collect(),
        processes: Processes::new([
            ("client", std::process::id()),
            ("operator", operator.pid()?),
            ("Postgres", postgres),
        ]),
    })
}

async fn theirs(etcd: &Etcd) -> anyhow::Result<Side> {
    let server = Server::etcd(etcd);
    server.await_ok("/health").await.context("etcd")?;
    let write = |_| {
        let put = format!(r#"{{"key":"watched0","value":"{}"}}"#, text(1336));
        request("POST", "/v3/kv/put", "", &put)
    };
    Ok(Side {
        server,
        watch: request(
            "POST",
            "/v3/watch",
            "",
            r#"{"create_request":{"key":"watched0"}}"#,
        ),
        greeting: 1,
        writes: (0..EVENTS).map(write).collect(),
        processes: Processes::new([("client", std::process::id()), ("etcd", etcd.pid())]),
    })
}

/// Milliseconds from sending a write until a watcher has its event, over all watchers and events,
/// and processor seconds of one event at all of them.
struct Seen {
    p50: f64,
    p99: f64,
    cpu: Seconds,
}

impl Side {
    async fn run(self) -> anyhow::Result<Seen> {
        let mut watchers = tokio::task::JoinSet::new();
        for batch in 0..WATCHERS / OPENED {
            let open = (0..OPENED).map(async |_| {
                let mut connection = self.server.connect().await?;
                connection.open(&self.watch).await?;
                for _ in 0..self.greeting {
                    connection.line().await?;
                }
                anyhow::Ok(connection)
            });
            let opened = try_join_all(open).await;
            for mut connection in opened.with_context(|| format!("open batch {batch}"))? {
                watchers.spawn(async move {
                    let mut arrivals = Vec::with_capacity(EVENTS);
                    while arrivals.len() < EVENTS {
                        connection.line().await?;
                        arrivals.push(Instant::now());
                    }
                    anyhow::Ok((connection, arrivals))
                });
            }
        }
        let mut writer = self.server.connect().await?;
        let (mut sent, mut cpu) = (Vec::new(), Seconds::new());
        let before = self.processes.used()?;
        for write in &self.writes {
            sent.push(Instant::now());
            writer.exchange(write.as_bytes()).await?;
            tokio::time::sleep(PAUSE).await;
        }
        let all = tokio::time::timeout(LIMIT, watchers.join_all()).await;
        cpu::add(&mut cpu, &before, &self.processes.used()?);
        cpu.values_mut()
            .for_each(|seconds| *seconds /= EVENTS as f64);
        let mut delays = Vec::new();
        for watcher in all.context("not all events arrived")? {
            let (_, arrivals) = watcher?;
            delays.extend(
                arrivals
                    .iter()
                    .zip(&sent)
                    .map(|(at, sent)| at.duration_since(*sent)),
            );
        }
        delays.sort_unstable();
        Ok(Seen {
            p50: quantile(&delays, 0.5),
            p99: quantile(&delays, 0.99),
            cpu,
        })
    }
}

//! 10,000 ConfigMaps: listing them, starting with them, and what they take of memory. etcd's side is
//! the same number of values of the same size under one prefix.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::lab::{Etcd, Operator};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::api::text;
use crate::idle::{forget_peak, peak_megabytes, resident_megabytes};
use crate::load::{Connection, Server, request};
use crate::report::{Report, Target, median};

const OBJECTS: usize = 10_000;
/// Written at once while they are made.
const WRITERS: usize = 16;
/// Lists of each kind, in turn.
const LISTS: usize = 7;
const RESTARTS: usize = 3;
/// Makes an object 1.7 KB long as it is served.
const TEXT: usize = 1250;
const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
/// A key of etcd, in base64, and the first key that does not begin like it.
const PREFIX: (&str, &str) = ("list", "lisu");

pub async fn measure(operator: &mut Operator, report: &mut Report) -> anyhow::Result<()> {
    let memory = resident_megabytes(operator.pid()?)?;
    let what = "memory after the start, MB";
    report.row(what, "no objects of users", memory, Target::Below(60.0));
    let mut etcd = Etcd::start()?;
    let (ours, theirs) = (Server::operator(operator).await?, Server::etcd(&etcd));
    theirs.await_ok("/health").await.context("etcd")?;
    fill(&ours, &theirs).await.context("make the objects")?;
    lists(&ours, &theirs, operator, report).await?;
    restarts(&ours, &theirs, operator, &mut etcd, report).await
}

async fn fill(ours: &Server, theirs: &Server) -> anyhow::Result<()> {
    let writers = stream::iter(0..WRITERS).map(async |writer| {
        let (mut to_us, mut to_etcd) = (ours.connect().await?, theirs.connect().await?);
        for i in (writer..OBJECTS).step_by(WRITERS) {
            let text = text(TEXT);
            let object = format!(
                r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"object-{i:012}"}},"data":{{"text":"{text}"}}}}"#
            );
            to_us.exchange(request("POST", COLLECTION, "", &object).as_bytes()).await?;
            // 1.7 KB are 2,268 characters of base64.
            let value = text.repeat(2).split_off(2 * TEXT - 2268);
            let put = format!(r#"{{"key":"{}{i:012}","value":"{value}"}}"#, PREFIX.0);
            to_etcd.exchange(request("POST", "/v3/kv/put", "", &put).as_bytes()).await?;
        }
        anyhow::Ok(())
    });
    writers.buffer_unordered(WRITERS).try_collect().await
}

/// One kind of list: milliseconds until its last byte, and its size.
struct Lists<'r> {
    connection: Connection,
    request: &'r str,
    took: Vec<f64>,
    megabytes: f64,
}

impl<'r> Lists<'r> {
    async fn new(server: &Server, request: &'r str) -> anyhow::Result<Self> {
        Ok(Self {
            connection: server.connect().await?,
            request,
            took: Vec::new(),
            megabytes: 0.0,
        })
    }

    async fn once(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let bytes = self.connection.exchange(self.request.as_bytes()).await?;
        self.took.push(start.elapsed().as_secs_f64() * 1e3);
        self.megabytes = bytes as f64 / 1e6;
        Ok(())
    }
}

async fn lists(
    ours: &Server,
    theirs: &Server,
    operator: &Operator,
    report: &mut Report,
) -> anyhow::Result<()> {
    let pid = operator.pid()?;
    let range = format!(r#"{{"key":"{}","range_end":"{}"}}"#, PREFIX.0, PREFIX.1);
    let requests = [
        request("GET", COLLECTION, "", ""),
        request("GET", COLLECTION, "Accept-Encoding: gzip\r\n", ""),
        request("POST", "/v3/kv/range", "", &range),
    ];
    let mut plain = Lists::new(ours, &requests[0]).await?;
    let mut packed = Lists::new(ours, &requests[1]).await?;
    let mut etcd = Lists::new(theirs, &requests[2]).await?;
    let before = resident_megabytes(pid)?;
    forget_peak(pid)?;
    for _ in 0..LISTS {
        plain.once().await?;
        packed.once().await?;
        etcd.once().await?;
    }
    let peak = peak_megabytes(pid)?;
    let [plain_ms, packed_ms, etcd_ms] =
        [&plain, &packed, &etcd].map(|lists| median(lists.took.clone()));
    let name = |rest: &str| format!("list of {OBJECTS} objects{rest}");
    let size = |lists: &Lists<'_>| format!("{:.1} MB", lists.megabytes);
    report.row(&name(", ms"), &size(&plain), plain_ms, Target::Below(150.0));
    report.row(
        &name(" in gzip, ms"),
        &size(&packed),
        packed_ms,
        Target::None,
    );
    let detail = format!(
        "{plain_ms:.0} ms, {etcd_ms:.0} ms ({}) by etcd's JSON gateway",
        size(&etcd)
    );
    report.row(
        &name(", ours / etcd"),
        &detail,
        plain_ms / etcd_ms,
        Target::None,
    );
    let detail = format!("{before:.0} MB before, all kept, one list at a time");
    report.row(&name(": peak memory, MB"), &detail, peak, Target::None);
    Ok(())
}

async fn restarts(
    ours: &Server,
    theirs: &Server,
    operator: &mut Operator,
    etcd: &mut Etcd,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut us, mut them) = (Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        operator.stop().await?;
        let start = Instant::now();
        operator.launch()?;
        ours.await_ok("/readyz").await?;
        us.push(start.elapsed().as_secs_f64());
        etcd.stop()?;
        let start = Instant::now();
        etcd.start_again()?;
        theirs.await_ok("/health").await?;
        them.push(start.elapsed().as_secs_f64());
    }
    let (us, them) = (median(us), median(them));
    let detail = format!("from exec to readyz with {OBJECTS} objects; etcd to health {them:.2} s");
    report.row(
        "restart to a warm cache, s",
        &detail,
        us,
        Target::Below(3.0),
    );
    tokio::time::sleep(Duration::from_secs(5)).await; // what a start leaves to do is done
    let memory = resident_megabytes(operator.pid()?)?;
    let detail = "after a start, before anything is asked";
    report.row(
        &format!("memory with {OBJECTS} objects, MB"),
        detail,
        memory,
        Target::Below(200.0),
    );
    Ok(())
}

//! Creates, gets and updates of single ConfigMaps of 1 KB over HTTPS, as the admin with a client
//! certificate.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use e2e::lab::Operator;

use crate::cpu::{self, Processes};
use crate::load::{self, KEY, Measured, Requests, STAMP, Server};
use crate::report::{Report, Target};

const CLIENTS: [usize; 3] = [1, 16, 64];
/// How long one measurement takes, after its warm-up.
const WINDOW: Duration = Duration::from_secs(2);
/// Measurements of each side, alternating; the median counts.
const ROUNDS: usize = 3;
/// How many objects are read and updated in turn.
const OBJECTS: u64 = 1000;
const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";

/// What is done to an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Get,
    Update,
}

impl Verb {
    /// All, with the names of their sections.
    pub const ALL: [(&'static str, Self); 3] = [
        ("api/create", Self::Create),
        ("api/get", Self::Get),
        ("api/update", Self::Update),
    ];

    fn requests(self) -> Requests {
        let kept = format!("{COLLECTION}/kept-{KEY}");
        match self {
            Self::Create => Requests::new(
                "POST",
                COLLECTION,
                &config_map("made", &text(1000)),
                u64::MAX,
            ),
            Self::Get => Requests::new("GET", &kept, "", OBJECTS),
            Self::Update => Requests::new("PUT", &kept, &config_map("kept", &text(1000)), OBJECTS),
        }
    }
}

/// A ConfigMap that is different in every request.
pub fn config_map(prefix: &str, text: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{prefix}-{KEY}"}},"data":{{"stamp":"{STAMP}","text":"{text}"}}}}"#
    )
}

/// Text of random hexadecimal digits, which compresses to half.
pub fn text(length: usize) -> String {
    (0..length)
        .map(|_| char::from_digit(rand::random_range(0..16), 16).unwrap_or_default())
        .collect()
}

pub async fn measure(
    operator: &Operator,
    postgres: u32,
    wants: impl Fn(&str) -> bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let server = Server::operator(operator).await?;
    let processes = Processes::new([
        ("client", std::process::id()),
        ("operator", operator.pid()?),
        ("Postgres", postgres),
    ]);
    keep(&server)
        .await
        .context("the objects to get and update")?;
    for (section, verb) in Verb::ALL {
        if !wants(section) {
            continue;
        }
        let requests = Arc::new(verb.requests());
        for clients in CLIENTS {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push(load::measure(&server, clients, &requests, WINDOW, &processes).await?);
            }
            judge(verb, clients, &Measured::of(&rounds), report);
        }
    }
    Ok(())
}

/// Creates what is read and updated.
async fn keep(server: &Server) -> anyhow::Result<()> {
    let create = Requests::new(
        "POST",
        COLLECTION,
        &config_map("kept", &text(1000)),
        OBJECTS,
    );
    let (mut connection, mut request) = (server.connect().await?, Vec::new());
    for _ in 0..OBJECTS {
        create.render(&mut request)?;
        connection.exchange(&request).await?;
    }
    Ok(())
}

fn judge(verb: Verb, clients: usize, ours: &Measured, report: &mut Report) {
    let what = match verb {
        Verb::Create => "creates",
        Verb::Get => "gets",
        Verb::Update => "updates",
    };
    let detail = format!("p50 {:.2} ms, p99 {:.2} ms", ours.p50, ours.p99);
    let per_second = match (verb, clients) {
        (Verb::Create, 64) => Target::AtLeast(5000.0),
        (Verb::Get, 16) => Target::AtLeast(10_000.0),
        _ => Target::None,
    };
    let name = |number: &str| format!("{what}, {clients} at once: {number}");
    report.row(&name("per second"), &detail, ours.rate, per_second);
    let latency = match (verb, clients) {
        (Verb::Create, 1) => Some(("p50, ms", ours.p50, 1.0)),
        (Verb::Create, 16) => Some(("p99, ms", ours.p99, 12.0)),
        (Verb::Get, 16) => Some(("p99, ms", ours.p99, 5.0)),
        _ => None,
    };
    if let Some((number, value, limit)) = latency {
        report.row(&name(number), "", value, Target::Below(limit));
    }
    report.note(&format!("  of one request: {}", cpu::describe(&ours.cpu)));
}

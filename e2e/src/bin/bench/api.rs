//! Creates, gets and updates of single ConfigMaps of 1 KB over HTTPS, as the admin with a client
//! certificate.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use e2e::lab::Operator;

use crate::cpu::{self, Processes};
use crate::idle::resident_megabytes;
use crate::load::{self, KEY, Measured, Peer, Requests, STAMP, Server};
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

    fn ours(self) -> Requests {
        let kept = format!("{COLLECTION}/kept-{KEY}");
        let body = |prefix: &str| config_map(prefix, &text(1000));
        match self {
            Self::Create => Requests::new("POST", COLLECTION, &body("made"), u64::MAX),
            Self::Get => Requests::new("GET", &kept, "", OBJECTS),
            Self::Update => Requests::new("PUT", &kept, &body("kept"), OBJECTS),
        }
    }

    fn etcds(self) -> Requests {
        let range = format!(r#"{{"key":"kept{KEY}"}}"#);
        match self {
            Self::Create => Requests::new("POST", "/v3/kv/put", &put("made"), u64::MAX),
            Self::Get => Requests::new("POST", "/v3/kv/range", &range, OBJECTS),
            Self::Update => Requests::new("POST", "/v3/kv/put", &put("kept"), OBJECTS),
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Create => "creates",
            Self::Get => "gets",
            Self::Update => "updates",
        }
    }
}

/// etcd's side of [`config_map`]: 1 KB under a key, both in base64, which the numbers happen to be, too.
fn put(prefix: &str) -> String {
    format!(
        r#"{{"key":"{prefix}{KEY}","value":"{STAMP}{}"}}"#,
        text(1324)
    )
}

/// A ConfigMap that is different in every request.
fn config_map(prefix: &str, text: &str) -> String {
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
    peer: &Peer,
    wants: impl Fn(&str) -> bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (ours, theirs) = (Server::operator(operator).await?, peer.server().await?);
    let client = ("client", std::process::id());
    let of_ours = [
        client,
        ("operator", operator.pid()?),
        ("Postgres", postgres),
    ];
    let of_ours = Processes::new(of_ours);
    let of_theirs = peer.processes();
    let kept = || {
        let body = config_map("kept", &text(1000));
        Requests::new("POST", COLLECTION, &body, OBJECTS)
    };
    let theirs_kept = match peer {
        Peer::Etcd(_) => Verb::Update.etcds(),
        Peer::Kubernetes(_) => kept(),
    };
    for (server, kept) in [(&ours, kept()), (&theirs, theirs_kept)] {
        send_all(server, &kept)
            .await
            .context("what is read and updated")?;
    }
    for (section, verb) in Verb::ALL.into_iter().filter(|(section, _)| wants(section)) {
        let to_us = Arc::new(verb.ours());
        let to_them = Arc::new(match peer {
            Peer::Etcd(_) => verb.etcds(),
            Peer::Kubernetes(_) => verb.ours(),
        });
        for clients in CLIENTS {
            let (mut us, mut them) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                us.push(load::measure(&ours, clients, &to_us, WINDOW, &of_ours).await?);
                them.push(load::measure(&theirs, clients, &to_them, WINDOW, &of_theirs).await?);
            }
            let (us, them) = (Measured::of(&us), Measured::of(&them));
            judge(verb, clients, &us, (peer.name(), &them), report);
        }
        // Where a section is measured alone, this is of it alone.
        let detail = format!("after {section}");
        let memory = resident_megabytes(operator.pid()?)?;
        report.row("memory, MB resident", &detail, memory, Target::None);
    }
    Ok(())
}

/// Every object of these requests once.
async fn send_all(server: &Server, requests: &Requests) -> anyhow::Result<()> {
    let (mut connection, mut request) = (server.connect().await?, Vec::new());
    for _ in 0..OBJECTS {
        requests.render(&mut request)?;
        connection.exchange(&request).await?;
    }
    Ok(())
}

fn judge(
    verb: Verb,
    clients: usize,
    ours: &Measured,
    (peer, theirs): (&str, &Measured),
    report: &mut Report,
) {
    let name = |number: &str| format!("{}, {clients} at once: {number}", verb.plural());
    let numbers = |of: &Measured| {
        let Measured { rate, p50, p99, .. } = of;
        format!("{rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms")
    };
    let detail = format!("{}; {peer} {}", numbers(ours), numbers(theirs));
    report.row(
        &name(&format!("ours / {peer}")),
        &detail,
        ours.rate / theirs.rate,
        Target::None,
    );
    report.note(&format!("  of one, ours: {}", cpu::describe(&ours.cpu)));
    report.note(&format!("  of one, {peer}: {}", cpu::describe(&theirs.cpu)));
    let targets: &[_] = match (verb, clients) {
        (Verb::Create, 1) => &[("p50, ms", ours.p50, Target::Below(1.0))],
        (Verb::Create, 16) => &[("p99, ms", ours.p99, Target::Below(12.0))],
        (Verb::Create, 64) => &[("per second", ours.rate, Target::AtLeast(5000.0))],
        (Verb::Get, 16) => &[
            ("per second", ours.rate, Target::AtLeast(10_000.0)),
            ("p99, ms", ours.p99, Target::Below(5.0)),
        ],
        _ => &[],
    };
    for (number, value, target) in targets {
        report.row(&name(number), "", *value, *target);
    }
}

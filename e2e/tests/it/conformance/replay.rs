//! Requests of clients that cannot be had as programs, sent one by one as those send them.
//!
//! A file in `sequences/` is a list of steps; a step sends one request and says what must come
//! back. In every text of a step `${ns}` is the scenario's namespace and `${NAME}` what an earlier
//! step kept. What is expected is a part of what comes: an object has at least these fields, a
//! list has an item for each of these, `<any>` is there and not empty, `<none>` is not there.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use e2e::eventually;
use e2e::lab::repository;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::{Answer, Watch, ask};
use crate::world::shared;

/// One step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Step {
    /// Method and path.
    #[serde(default)]
    send: String,
    /// `Accept`
    #[serde(default = "json_media")]
    accept: String,
    /// `Content-Type`
    #[serde(rename = "type", default)]
    media: String,
    /// The body, sent as JSON.
    #[serde(default)]
    json: Value,
    /// The body, as bytes in base64.
    #[serde(default)]
    bytes: String,
    /// The code of the answer.
    #[serde(default = "ok")]
    status: u16,
    /// Headers of the answer.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Part of the answer.
    #[serde(default)]
    body: Value,
    /// The number of items of a list in the answer, by its pointer.
    #[serde(default)]
    counts: BTreeMap<String, usize>,
    /// What to keep of the answer: name to pointer.
    #[serde(default)]
    keep: BTreeMap<String, String>,
    /// Ask again until it is as expected, as this client does.
    #[serde(default)]
    until: bool,
    /// Open a watch under this name.
    #[serde(default)]
    watch: String,
    /// Read from the watch of this name …
    #[serde(default)]
    from: String,
    /// … these events, in this order, with nothing between them but bookmarks.
    #[serde(default)]
    events: Vec<Value>,
}

fn json_media() -> String {
    "application/json".to_owned()
}

fn ok() -> u16 {
    200
}

/// Every place where `found` is not as `expected`.
fn differences(expected: &Value, found: &Value, at: &str, into: &mut Vec<String>) {
    match (expected, found) {
        (Value::String(text), _) if text == "<any>" => {
            if found.is_null() || found == "" {
                into.push(format!("{at} is missing"));
            }
        }
        (Value::String(text), _) if text == "<none>" => {
            if !found.is_null() {
                into.push(format!("{at} is there: {found}"));
            }
        }
        (Value::Object(fields), Value::Object(_)) => {
            for (name, field) in fields {
                differences(field, &found[name], &format!("{at}.{name}"), into);
            }
        }
        (Value::Array(items), Value::Array(of)) => {
            for (index, item) in items.iter().enumerate() {
                let fits = |candidate: &Value| {
                    let mut wrong = Vec::new();
                    differences(item, candidate, "", &mut wrong);
                    wrong.is_empty()
                };
                if !of.iter().any(fits) {
                    into.push(format!("{at}[{index}]: nothing is like {item} in {found}"));
                }
            }
        }
        (Value::String(part), Value::String(text)) if part.starts_with('~') => {
            if !text.contains(&part[1..]) {
                into.push(format!("{at}: no {:?} in {text:?}", &part[1..]));
            }
        }
        _ if expected == found => {}
        _ => into.push(format!("{at} is {found}, not {expected}")),
    }
}

fn check(expected: &Value, found: &Value) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    if !expected.is_null() {
        differences(expected, found, "", &mut wrong);
    }
    ensure!(wrong.is_empty(), "{}\nin {found:#}", wrong.join("\n"));
    Ok(())
}

struct Player {
    client: Client,
    kept: BTreeMap<String, String>,
    watches: BTreeMap<String, Watch>,
}

impl Player {
    /// The step with what was kept filled in.
    fn filled(&self, step: &Value) -> anyhow::Result<Step> {
        let mut text = step.to_string();
        for (name, value) in &self.kept {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        ensure!(!text.contains("${"), "nothing was kept for {text}");
        Ok(serde_json::from_str(&text)?)
    }

    async fn play(&mut self, step: &Value) -> anyhow::Result<()> {
        let step = self.filled(step)?;
        if let Some(watch) = self.watches.get_mut(&step.from) {
            for expected in &step.events {
                let event = loop {
                    let event = watch.next().await?.context("the watch ended")?;
                    if event["type"] != "BOOKMARK" || expected["type"] == "BOOKMARK" {
                        break event;
                    }
                };
                check(expected, &event)?;
            }
            return Ok(());
        }
        let (method, path) = step.send.split_once(' ').context("METHOD PATH")?;
        if !step.watch.is_empty() {
            let watch = Watch::open(&self.client, path, &step.accept).await?;
            self.watches.insert(step.watch, watch);
            return Ok(());
        }
        let answer = if step.until {
            eventually("the answer is as expected", async || {
                self.ask(&step, method, path).await
            })
            .await?
        } else {
            self.ask(&step, method, path).await?
        };
        for (name, pointer) in &step.keep {
            let value = answer
                .body
                .pointer(pointer)
                .with_context(|| format!("no {pointer}"))?;
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            self.kept.insert(name.clone(), value);
        }
        Ok(())
    }

    async fn ask(&self, step: &Step, method: &str, path: &str) -> anyhow::Result<Answer> {
        let mut headers = vec![
            ("accept", step.accept.as_str()),
            ("user-agent", "replay/1.0"),
        ];
        if !step.media.is_empty() {
            headers.push(("content-type", &step.media));
        }
        let body = match &step.json {
            Value::Null => BASE64_STANDARD.decode(&step.bytes)?,
            json => json.to_string().into_bytes(),
        };
        let answer = ask(&self.client, method, path, &headers, body).await?;
        ensure!(
            answer.code == step.status,
            "{}: {:#}",
            answer.code,
            answer.body
        );
        for (name, expected) in &step.headers {
            let found = answer
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok());
            ensure!(
                found == Some(expected),
                "{name} is {found:?}, not {expected:?}"
            );
        }
        check(&step.body, &answer.body)?;
        for (pointer, count) in &step.counts {
            let found = answer
                .body
                .pointer(pointer)
                .and_then(Value::as_array)
                .map(Vec::len);
            ensure!(
                found == Some(*count),
                "{pointer} has {found:?} items: {:#}",
                answer.body
            );
        }
        Ok(answer)
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let found = json!({"a": "text", "l": [{"x": 1, "y": 2}], "o": {"n": null}});
    let fits = |expected: Value| check(&expected, &found).is_ok();
    for expected in [
        json!({"a": "~ex", "l": [{"x": 1}], "o": {"n": "<none>"}}),
        json!({"a": "<any>", "b": "<none>", "o": {}}),
        Value::Null,
    ] {
        assert!(fits(expected.clone()), "{expected}");
    }
    for expected in [
        json!({"a": "tex"}),
        json!({"a": "~tax"}),
        json!({"a": "<none>"}),
        json!({"b": "<any>"}),
        json!({"l": [{"x": 2}]}),
        json!({"l": [{"x": 1, "z": 1}]}),
        json!({"o": {"n": 1}}),
        json!([]),
    ] {
        assert!(!fits(expected.clone()), "{expected}");
    }
}

async fn replay(name: &str) -> anyhow::Result<()> {
    let file = repository()
        .join("e2e/tests/it/conformance/sequences")
        .join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let steps: Vec<Value> = serde_saphyr::from_str(&text).with_context(|| name.to_owned())?;
    let ns = shared().await?.namespace(name).await?;
    let mut player = Player {
        client: ns.world.operator.client().await?,
        kept: BTreeMap::from([("ns".to_owned(), ns.name.clone())]),
        watches: BTreeMap::new(),
    };
    for (index, step) in steps.iter().enumerate() {
        let what = || {
            format!(
                "step {} of {name}: {}{}",
                index + 1,
                step["send"],
                step["from"]
            )
        };
        player.play(step).await.with_context(what)?;
    }
    Ok(())
}

#[tokio::test]
async fn argocd_cluster_add() -> anyhow::Result<()> {
    replay("argocd-cluster-add").await
}

#[tokio::test]
async fn argocd_cache() -> anyhow::Result<()> {
    replay("argocd-cache").await
}

#[tokio::test]
async fn argocd_sync() -> anyhow::Result<()> {
    replay("argocd-sync").await
}

#[tokio::test]
async fn argocd_server_side() -> anyhow::Result<()> {
    replay("argocd-server-side").await
}

#[tokio::test]
async fn argocd_host() -> anyhow::Result<()> {
    replay("argocd-host").await
}

#[tokio::test]
async fn flux() -> anyhow::Result<()> {
    replay("flux").await
}

#[tokio::test]
async fn k9s() -> anyhow::Result<()> {
    replay("k9s").await
}

#[tokio::test]
async fn headlamp() -> anyhow::Result<()> {
    replay("headlamp").await
}

//! What Argo CD's cluster cache does to every kind that discovery offers with `list` and `watch`,
//! and that discovery offers exactly the verbs that work.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use kube::Client;
use serde_json::Value;

use super::wire::{Watch, ask};
use crate::world::shared;

/// A resource of legacy discovery.
struct Resource {
    path: String,
    kind: String,
    group_version: String,
    verbs: BTreeSet<String>,
}

async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    let accept = [("accept", "application/json, */*")];
    let answer = ask(client, "GET", path, &accept, Vec::new()).await?;
    ensure!(answer.code == 200, "{path}: {answer:?}");
    Ok(answer.body)
}

fn list<'v>(value: &'v Value, field: &str) -> anyhow::Result<&'v Vec<Value>> {
    value[field]
        .as_array()
        .with_context(|| format!("no {field} in {value}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Everything served, without subresources.
async fn resources(client: &Client) -> anyhow::Result<Vec<Resource>> {
    let mut versions = vec![("/api/v1".to_owned(), "v1".to_owned())];
    for group in list(&get(client, "/apis?timeout=32s").await?, "groups")? {
        for version in list(group, "versions")? {
            let name = text(&version["groupVersion"]);
            versions.push((format!("/apis/{name}"), name));
        }
    }
    let mut all = Vec::new();
    for (root, group_version) in versions {
        let document = get(client, &format!("{root}?timeout=32s")).await?;
        for resource in list(&document, "resources")? {
            let name = text(&resource["name"]);
            if !name.contains('/') {
                all.push(Resource {
                    path: format!("{root}/{name}"),
                    kind: text(&resource["kind"]),
                    group_version: group_version.clone(),
                    verbs: list(resource, "verbs")?.iter().map(text).collect(),
                });
            }
        }
    }
    Ok(all)
}

#[tokio::test]
async fn lists_and_watches() -> anyhow::Result<()> {
    let client = shared().await?.operator.client().await?;
    let all = resources(&client).await?;
    let readable: Vec<_> = all
        .iter()
        .filter(|one| one.verbs.contains("list") && one.verbs.contains("watch"))
        .collect();
    ensure!(readable.len() >= 12, "{}", readable.len());
    for resource in readable {
        let Resource {
            path,
            kind,
            group_version,
            ..
        } = resource;
        let found = get(&client, &format!("{path}?limit=500")).await?;
        ensure!(
            found["kind"] == format!("{kind}List") && found["apiVersion"] == *group_version,
            "{path}: {found}"
        );
        let version = text(&found["metadata"]["resourceVersion"]);
        ensure!(
            version.parse::<u64>().is_ok_and(|version| version > 0),
            "{path}: {version:?}"
        );
        let items = list(&found, "items")?;
        // Streaming lists: everything once, then a bookmark that says so.
        let query = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=30";
        let mut watch =
            Watch::open(&client, &format!("{path}?{query}"), "application/json").await?;
        let mut told = 0;
        let end = loop {
            let event = watch
                .next()
                .await?
                .with_context(|| format!("{path}: the watch ended"))?;
            if event["type"] == "BOOKMARK" {
                break event;
            }
            ensure!(
                event["object"]["kind"] == *kind && event["object"]["apiVersion"] == *group_version,
                "{event}"
            );
            told += 1;
        };
        ensure!(end["object"]["kind"] == *kind, "{end}");
        ensure!(
            end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true",
            "{end}"
        );
        ensure!(
            told > 0 || items.is_empty(),
            "{path}: nothing told of {}",
            items.len()
        );
        // From the list on: it opens at once and, quiet or not, ends when it was asked to.
        let query = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=1"
        );
        let mut watch =
            Watch::open(&client, &format!("{path}?{query}"), "application/json").await?;
        while let Some(event) = watch.next().await? {
            ensure!(event["type"] != "ERROR", "{path}: {event}");
        }
    }
    Ok(())
}

/// `deletecollection` of a namespace's objects is harmless there; over all of them nothing may be
/// written at all.
#[tokio::test]
async fn verbs_are_those_that_work() -> anyhow::Result<()> {
    let client = shared().await?.operator.client().await?;
    for resource in resources(&client).await? {
        let Resource { path, verbs, .. } = &resource;
        let refused = |verb: &str| !verbs.contains(verb);
        for (verb, method, suffix) in [
            ("list", "GET", ""),
            (
                "watch",
                "GET",
                "?watch=true&timeoutSeconds=1&resourceVersion=abc",
            ),
            ("deletecollection", "DELETE", "?dryRun=All"),
        ] {
            let answer = ask(&client, method, &format!("{path}{suffix}"), &[], Vec::new()).await?;
            ensure!(
                (answer.code == 405) == refused(verb)
                    || verb == "deletecollection" && answer.code == 405,
                "{path} {verb}: {}",
                answer.code
            );
        }
    }
    Ok(())
}

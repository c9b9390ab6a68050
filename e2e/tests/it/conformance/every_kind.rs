//! What Argo CD's cluster cache does to every kind that discovery offers with `list` and `watch`,
//! and that discovery offers exactly the verbs that work.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use kube::Client;
use serde_json::Value;

use super::wire::{Watch, ask};
use crate::world::shared;

/// A resource of legacy discovery.
struct Resource {
    path: String,
    namespaced: bool,
    kind: String,
    group_version: String,
    verbs: BTreeSet<String>,
}

impl Resource {
    /// The path of the collection in a namespace, where there are such.
    fn collection(&self, namespace: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((root, plural)) if self.namespaced => {
                format!("{root}/namespaces/{namespace}/{plural}")
            }
            _ => self.path.clone(),
        }
    }
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
                    namespaced: resource["namespaced"] == true,
                    kind: text(&resource["kind"]),
                    group_version: group_version.clone(),
                    verbs: list(resource, "verbs")?.iter().map(text).collect(),
                });
            }
        }
    }
    Ok(all)
}

/// A page, then a watch from it: it opens at once and, quiet or not, ends when it was asked to.
async fn cached(client: &Client, resource: &Resource) -> anyhow::Result<()> {
    let Resource {
        path,
        kind,
        group_version,
        ..
    } = resource;
    let found = get(client, &format!("{path}?limit=500")).await?;
    ensure!(
        found["kind"] == format!("{kind}List") && found["apiVersion"] == *group_version,
        "{path}: {found}"
    );
    let version = text(&found["metadata"]["resourceVersion"]);
    ensure!(
        version.parse::<u64>().is_ok_and(|version| version > 0),
        "{path}: {version:?}"
    );
    let query =
        format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=1");
    let mut watch = Watch::open(client, &format!("{path}?{query}"), "application/json").await?;
    while let Some(event) = watch.next().await? {
        ensure!(event["type"] != "ERROR", "{path}: {event}");
    }
    Ok(())
}

/// A streaming list: everything that there is, then a bookmark that says so.
async fn streamed(client: &Client, resource: &Resource) -> anyhow::Result<()> {
    let Resource {
        path,
        kind,
        group_version,
        ..
    } = resource;
    let query = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut watch = Watch::open(client, &format!("{path}?{query}"), "application/json").await?;
    let mut told = 0;
    loop {
        let event = watch.next().await?.context("the watch ended")?;
        let object = &event["object"];
        ensure!(
            object["kind"] == *kind && object["apiVersion"] == *group_version,
            "{event}"
        );
        if event["type"] == "BOOKMARK" {
            let end = &object["metadata"]["annotations"]["k8s.io/initial-events-end"];
            ensure!(end == "true", "{event}");
            break;
        }
        told += 1;
    }
    // Of these there is always one.
    let never_empty = ["Namespace", "Node", "CustomResourceDefinition"];
    ensure!(told > 0 || !never_empty.contains(&kind.as_str()), "{path}");
    Ok(())
}

#[tokio::test]
async fn lists_and_watches() -> anyhow::Result<()> {
    let client = shared().await?.operator.client().await?;
    let mut all = resources(&client).await?;
    all.retain(|one| one.verbs.contains("list") && one.verbs.contains("watch"));
    ensure!(all.len() >= 12, "{}", all.len());
    let each = all.iter().map(async |resource| {
        cached(&client, resource).await?;
        streamed(&client, resource).await
    });
    try_join_all(each).await?;
    Ok(())
}

/// Every verb that a collection has is offered, and no other.
#[tokio::test]
async fn verbs_are_those_that_work() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("verbs").await?;
    let client = ns.world.operator.client().await?;
    for resource in resources(&client).await? {
        let path = resource.collection(&ns.name);
        for (verb, method, query) in [
            ("list", "GET", "limit=1"),
            ("watch", "GET", "watch=true&resourceVersion=abc"),
            ("deletecollection", "DELETE", "dryRun=All"),
            ("create", "POST", "dryRun=All"),
        ] {
            let answer = ask(&client, method, &format!("{path}?{query}"), &[], Vec::new()).await?;
            ensure!(
                (answer.code != 405) == resource.verbs.contains(verb),
                "{path} {verb}: {}",
                answer.code
            );
        }
    }
    Ok(())
}

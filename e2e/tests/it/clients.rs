//! kube-runtime against our API server over HTTPS: what other people's operators will do to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::eventually;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::{Controller, WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::world::shared;

const FINALIZER: &str = "e2e.obiente.cloud/finalizer";
/// Where the reconciler counts how often it saw a ConfigMap.
const SEEN: &str = "e2e.obiente.cloud/seen";
/// Selects what these tests make: every namespace has a `kube-root-ca.crt` of its own.
const OURS: &str = "e2e.obiente.cloud/of=clients";

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: OURS
                .split_once('=')
                .map(|(key, value)| BTreeMap::from([(key.to_owned(), value.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("value".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failed(#[from] kube::runtime::finalizer::Error<kube::Error>);

/// Copies the value into an annotation; on deletion, takes the object `NAME-twin` along.
async fn reconcile(object: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, Failed> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(client.as_ref().clone(), &namespace);
    if object.name_any().ends_with("-twin") {
        return Ok(Action::await_change());
    }
    let action = finalizer(&api, FINALIZER, object, async |event| match event {
        Event::Apply(object) => {
            let value = object
                .data
                .as_ref()
                .and_then(|data| data.get("value"))
                .cloned()
                .unwrap_or_default();
            if object.annotations().get(SEEN) != Some(&value) {
                let patch = Patch::Merge(json!({"metadata": {"annotations": {SEEN: value}}}));
                api.patch(&object.name_any(), &PatchParams::default(), &patch)
                    .await?;
            }
            Ok(Action::await_change())
        }
        Event::Cleanup(object) => {
            let twin = format!("{}-twin", object.name_any());
            match api.delete(&twin, &DeleteParams::default()).await {
                Ok(_) => Ok(Action::await_change()),
                Err(kube::Error::Api(status)) if status.is_not_found() => {
                    Ok(Action::await_change())
                }
                Err(error) => Err(error),
            }
        }
    })
    .await?;
    Ok(action)
}

#[tokio::test(flavor = "multi_thread")]
async fn controller_and_finalizer() -> anyhow::Result<()> {
    let world = shared().await?;
    let ns = world.namespace("controller").await?;
    let client = world.operator.client().await?;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &ns.name);
    let controller = Controller::new(api.clone(), watcher::Config::default().labels(OURS))
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(200)),
            Arc::new(client),
        )
        .for_each(|_| std::future::ready(()));
    let controller = tokio::spawn(controller);

    // An object without finalizers: trap T11.
    api.create(&PostParams::default(), &config_map("one", "1"))
        .await?;
    api.create(&PostParams::default(), &config_map("one-twin", ""))
        .await?;
    let seen = async |value: &str| {
        eventually(&format!("the controller saw {value}"), async || {
            let object = api.get("one").await?;
            ensure!(
                object.annotations().get(SEEN).map(String::as_str) == Some(value),
                "{object:?}"
            );
            ensure!(object.finalizers() == [FINALIZER], "{object:?}");
            Ok(())
        })
        .await
    };
    seen("1").await?;
    api.patch(
        "one",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"value": "2"}})),
    )
    .await?;
    seen("2").await?;

    let marked = api.delete("one", &DeleteParams::default()).await?;
    ensure!(
        marked
            .left()
            .is_some_and(|object| object.metadata.deletion_timestamp.is_some()),
        "deleted under a finalizer"
    );
    eventually("both are gone", async || {
        let left = api
            .list(&kube::api::ListParams::default().labels(OURS))
            .await?
            .items
            .len();
        ensure!(left == 0, "{left} left");
        Ok(())
    })
    .await?;
    controller.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reflector_holds_what_the_server_holds() -> anyhow::Result<()> {
    let selector = format!("{OURS},skip!=me");
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let ns = shared().await?.namespace("reflector").await?;
        let api: Api<ConfigMap> = Api::namespaced(ns.world.operator.client().await?, &ns.name);
        for i in 0..20 {
            api.create(
                &PostParams::default(),
                &config_map(&format!("early-{i}"), "0"),
            )
            .await?;
        }
        let (reader, writer) = reflector::store();
        let stream = reflector(writer, watcher(api.clone(), config.labels(&selector)))
            .default_backoff()
            .applied_objects();
        let running =
            tokio::spawn(async move { stream.for_each(|_| std::future::ready(())).await });
        for i in 0..20 {
            api.create(
                &PostParams::default(),
                &config_map(&format!("late-{i}"), "0"),
            )
            .await?;
        }
        for i in 0..10 {
            api.delete(&format!("early-{i}"), &DeleteParams::default())
                .await?;
        }
        // Out of the selection without being deleted: trap T6 (a).
        let leave = Patch::Merge(json!({"metadata": {"labels": {"skip": "me"}}}));
        api.patch("late-0", &PatchParams::default(), &leave).await?;
        let expected: BTreeMap<String, Option<String>> = api
            .list(&kube::api::ListParams::default().labels(&selector))
            .await?
            .into_iter()
            .map(|object| (object.name_any(), object.resource_version()))
            .collect();
        ensure!(expected.len() == 29, "{expected:?}");
        eventually("the reflector has caught up", async || {
            let held: BTreeMap<_, _> = reader
                .state()
                .iter()
                .map(|o| (o.name_any(), o.resource_version()))
                .collect();
            ensure!(held == expected, "{held:?}, not {expected:?}");
            Ok(())
        })
        .await?;
        running.abort();
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_watch_starts_again() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("expired").await?;
    let api: Api<ConfigMap> = Api::namespaced(ns.world.operator.client().await?, &ns.name);
    // Revision 1 is compacted from the first write on only when history is short; a revision of the
    // future must not be accepted either. Both end in an answer, not in silence.
    let ahead = api
        .watch(&kube::api::WatchParams::default(), "99999999999")
        .await;
    let first = match ahead {
        Err(error) => error.to_string(),
        Ok(stream) => format!(
            "{:?}",
            Box::pin(stream).try_next().await?.context("silence")?
        ),
    };
    ensure!(
        first.contains("resource version")
            || first.contains("resourceVersion")
            || first.contains("410"),
        "{first}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stale_write_is_a_conflict() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("stale").await?;
    let api: Api<ConfigMap> = Api::namespaced(ns.world.operator.client().await?, &ns.name);
    let first = api
        .create(&PostParams::default(), &config_map("one", "1"))
        .await?;
    let mut second = first.clone();
    second.data = config_map("one", "2").data;
    api.replace("one", &PostParams::default(), &second).await?;
    let error = api
        .replace("one", &PostParams::default(), &first)
        .await
        .err()
        .context("a lost update (case F58)")?;
    ensure!(
        matches!(&error, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"),
        "{error}"
    );
    Ok(())
}

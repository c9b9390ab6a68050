//! kube-rs beyond controllers and reflectors: discovery, definitions, apply, subresources, metadata.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as CoreNamespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams, Preconditions, WatchParams,
};
use kube::core::{PartialObjectMeta, WatchEvent};
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use serde_json::{Value, json};

use crate::world::shared;

fn deployments(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("obiente.cloud", "v1alpha1", "Deployment");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind))
}

fn deployment(name: &str, spec: &Value) -> anyhow::Result<DynamicObject> {
    let object = json!({"apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec});
    Ok(serde_json::from_value(object)?)
}

/// An answer of the API, and not anything else.
fn api_error<T>(result: kube::Result<T>) -> anyhow::Result<(u16, String, String)> {
    match result {
        Ok(_) => anyhow::bail!("was not refused"),
        Err(kube::Error::Api(status)) => Ok((status.code, status.reason, status.message)),
        Err(other) => Err(other.into()),
    }
}

#[tokio::test]
async fn discovery_in_both_forms() -> anyhow::Result<()> {
    let client = shared().await?.operator.client().await?;
    ensure!(client.apiserver_version().await?.major == "1");
    for discovery in [
        Discovery::new(client.clone()).run().await?,
        Discovery::new(client.clone()).run_aggregated().await?,
    ] {
        let group = discovery.get("obiente.cloud").context("no group")?;
        let mut kinds: Vec<String> = Vec::new();
        for (resource, capabilities) in group.recommended_resources() {
            ensure!(
                capabilities.supports_operation(verbs::WATCH),
                "{resource:?}"
            );
            let cluster = capabilities.scope == Scope::Cluster;
            ensure!(cluster == (resource.kind == "Node"), "{resource:?}");
            ensure!(
                capabilities
                    .subresources
                    .iter()
                    .any(|(sub, _)| sub.plural.ends_with("status")),
                "{capabilities:?}"
            );
            kinds.push(resource.kind);
        }
        kinds.sort();
        ensure!(kinds == ["Deployment", "Node", "Route"], "{kinds:?}");
    }
    Ok(())
}

/// What an operator does at its start: apply its definition, wait until it is established, use it.
#[tokio::test]
async fn a_definition_of_its_own() -> anyhow::Result<()> {
    #[derive(
        kube::CustomResource,
        Clone,
        Debug,
        PartialEq,
        serde::Deserialize,
        serde::Serialize,
        schemars::JsonSchema,
    )]
    #[kube(
        group = "e2e.example",
        version = "v1",
        kind = "Gadget",
        namespaced,
        status = "GadgetStatus"
    )]
    #[kube(scale(
        spec_replicas_path = ".spec.size",
        status_replicas_path = ".status.size"
    ))]
    struct GadgetSpec {
        size: i32,
        #[serde(default)]
        colour: Option<String>,
    }
    #[derive(
        Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
    )]
    struct GadgetStatus {
        size: i32,
    }
    let ns = shared().await?.namespace("gadgets").await?;
    let client = ns.world.operator.client().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let apply = PatchParams::apply("e2e");
    let name = Gadget::crd_name();
    definitions
        .patch(name, &apply, &Patch::Apply(Gadget::crd()))
        .await?;
    await_condition(definitions.clone(), name, conditions::is_crd_established()).await?;

    let gadgets: Api<Gadget> = Api::namespaced(client, &ns.name);
    let spec = |size| GadgetSpec { size, colour: None };
    let made = gadgets
        .create(&PostParams::default(), &Gadget::new("one", spec(1)))
        .await?;
    ensure!(made.spec == spec(1) && made.metadata.generation == Some(1));
    let status = Patch::Merge(json!({"status": {"size": 1}, "spec": {"size": 9}}));
    let reported = gadgets
        .patch_status("one", &PatchParams::default(), &status)
        .await?;
    ensure!(reported.spec == spec(1) && reported.status == Some(GadgetStatus { size: 1 }));
    let scale = gadgets.get_scale("one").await?;
    ensure!(scale.spec.and_then(|spec| spec.replicas) == Some(1) && scale.status.is_some());
    let merge = Patch::Merge(json!({"spec": {"replicas": 3}}));
    gadgets
        .patch_scale("one", &PatchParams::default(), &merge)
        .await?;
    let scaled = gadgets.get_status("one").await?;
    ensure!(scaled.spec.size == 3 && scaled.metadata.generation == Some(2));
    let (code, reason, message) = api_error(
        gadgets
            .patch(
                "one",
                &PatchParams::default(),
                &Patch::Merge(json!({"spec": {"size": "x"}})),
            )
            .await,
    )?;
    ensure!(
        code == 422 && reason == "Invalid" && message.contains("spec.size"),
        "{message}"
    );
    // It stays: while a group goes away, old clients of other scenarios fail to read what is served.
    Ok(())
}

#[tokio::test]
async fn applying_as_several_managers() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("ssa").await?;
    let api = deployments(&ns.world.operator.client().await?, &ns.name);
    let spec = |labels: Value| json!({"image": "busybox:1.36", "replicas": 0, "labels": labels});
    let one = PatchParams::apply("one");
    let apply = async |params: &PatchParams, labels: Value| -> anyhow::Result<_> {
        let object = deployment("web", &spec(labels))?;
        Ok(api.patch("web", params, &Patch::Apply(object)).await)
    };
    // A dry run of a creation has no version: that is how Flux knows it.
    let dry = apply(&one.clone().dry_run(), json!({})).await??;
    ensure!(dry.metadata.resource_version.is_none() && api.get_opt("web").await?.is_none());
    let made = apply(&one, json!({"a": "1", "b": "1"})).await??;
    let again = apply(&one, json!({"a": "1", "b": "1"})).await??;
    ensure!(made.metadata.resource_version == again.metadata.resource_version);
    let other = PatchParams::apply("two");
    let (code, reason, message) = api_error(apply(&other, json!({"a": "2"})).await?)?;
    ensure!(code == 409 && reason == "Conflict", "{message}");
    ensure!(
        message.contains(r#"conflict with "one""#) && message.contains(".spec.labels.a"),
        "{message}"
    );
    apply(&other.clone().force(), json!({"a": "2"})).await??;
    let without = apply(&one, json!({})).await??;
    ensure!(
        without.data["spec"]["labels"] == json!({"a": "2"}),
        "{}",
        without.data
    );
    let managers: Vec<_> = without
        .managed_fields()
        .iter()
        .filter_map(|entry| entry.manager.clone())
        .collect();
    ensure!(
        managers.contains(&"one".to_owned()) && managers.contains(&"two".to_owned()),
        "{managers:?}"
    );
    // Not for other patches, and not without a name.
    let misplaced = PatchParams {
        force: true,
        field_manager: Some("one".to_owned()),
        ..PatchParams::default()
    };
    let refused = api
        .patch("web", &misplaced, &Patch::Strategic(json!({})))
        .await;
    ensure!(
        matches!(
            refused,
            Err(kube::Error::Api(_) | kube::Error::BuildRequest(_))
        ),
        "{refused:?}"
    );
    let nameless = api_error(apply(&PatchParams::default(), json!({})).await?)?;
    ensure!(
        nameless.0 == 422 && nameless.2.contains("fieldManager: Required value"),
        "{nameless:?}"
    );
    Ok(())
}

#[tokio::test]
async fn pages_metadata_and_preconditions() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("pages").await?;
    let client = ns.world.operator.client().await?;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &ns.name);
    for i in 0..5 {
        let mut object = ConfigMap::default();
        object.metadata.generate_name = Some("page-".to_owned());
        object.metadata.labels = Some(BTreeMap::from([("n".to_owned(), i.to_string())]));
        object.data = Some(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
        api.create(&PostParams::default(), &object).await?;
    }
    let (mut seen, mut params) = (Vec::new(), ListParams::default().labels("n").limit(2));
    loop {
        let page = api.list(&params).await?;
        seen.extend(page.items.iter().map(kube::ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    ensure!(seen.len() == 5 && seen.is_sorted(), "{seen:?}");
    let partial = api
        .list_metadata(&ListParams::default().labels("n,n notin (0,1)"))
        .await?;
    ensure!(partial.items.len() == 3);
    let types = partial
        .items
        .first()
        .and_then(|item| item.types.clone())
        .context("no types")?;
    ensure!(types.kind == "PartialObjectMetadata", "{types:?}");

    let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, &ns.name);
    let config = watcher::Config::default().labels("n").streaming_lists();
    let mut watching = Box::pin(watcher(metadata, config).applied_objects());
    for _ in 0..5 {
        let found = watching.try_next().await?.context("the watch ended")?;
        ensure!(seen.contains(&found.name_any()), "{found:?}");
    }
    let name = seen.first().context("no name")?;
    let mut wrong = DeleteParams::background();
    wrong.preconditions = Some(Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    });
    let refused = api_error(api.delete(name, &wrong).await)?;
    ensure!(
        refused.0 == 409
            && refused
                .2
                .contains("the UID in the precondition (other) does not match"),
        "{refused:?}"
    );
    api.delete(name, &DeleteParams::foreground()).await?;
    let deleted = api
        .delete_collection(&DeleteParams::default(), &ListParams::default().labels("n"))
        .await?;
    ensure!(
        deleted.either(|list| list.items.len() <= 5, |status| status.is_success()),
        "not deleted"
    );
    Ok(())
}

/// The order of one object's events, and bookmarks that a client can go on from.
#[tokio::test]
async fn events_in_order() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("order").await?;
    let client = ns.world.operator.client().await?;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &ns.name);
    let start = api
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version
        .context("no version")?;
    let mut object = ConfigMap::default();
    object.metadata.name = Some("one".to_owned());
    api.create(&PostParams::default(), &object).await?;
    for value in ["1", "1", "2"] {
        let patch = Patch::Merge(json!({"data": {"k": value}}));
        api.patch("one", &PatchParams::default(), &patch).await?;
    }
    api.delete("one", &DeleteParams::default()).await?;
    let params = WatchParams::default().fields("metadata.name=one");
    let mut events = api.watch(&params, &start).await?.boxed();
    let (mut told, mut version) = (String::new(), 0);
    while !told.ends_with("deleted ") {
        let event = events.try_next().await?.context("the watch ended")?;
        let (what, object) = match &event {
            WatchEvent::Added(object) => ("added ", object),
            WatchEvent::Modified(object) => ("modified ", object),
            WatchEvent::Deleted(object) => ("deleted ", object),
            other => anyhow::bail!("{other:?}"),
        };
        let next: u64 = object.resource_version().context("no version")?.parse()?;
        ensure!(next > version, "{next} after {version}");
        (told, version) = (told + what, next);
    }
    // Two writes of the same value are one change.
    ensure!(told == "added modified modified deleted ", "{told}");
    let all: Api<CoreNamespace> = Api::all(client);
    let name = format!("metadata.name={}", ns.name);
    let params = WatchParams {
        send_initial_events: true,
        ..WatchParams::default().fields(&name).timeout(1)
    };
    let mut events = all.watch(&params, "0").await?.boxed();
    ensure!(matches!(
        events.try_next().await?,
        Some(WatchEvent::Added(_))
    ));
    ensure!(matches!(
        events.try_next().await?,
        Some(WatchEvent::Bookmark(_))
    ));
    ensure!(events.try_next().await?.is_none(), "the timeout ends it");
    Ok(())
}

//! Discovery and OpenAPI as clients walk them, over the whole server.

use std::collections::BTreeSet;

use kube::discovery::{ApiCapabilities, ApiResource, Discovery, Scope, verbs};
use serde_json::Value;

use crate::support::api;

fn listed(discovery: &Discovery) -> Vec<(ApiResource, ApiCapabilities)> {
    let groups = discovery.groups();
    groups
        .flat_map(|group| group.recommended_resources())
        .collect()
}

#[tokio::test]
async fn kube_discovers_the_same_in_both_forms() {
    let api = api().await;
    let legacy = Discovery::new(api.client()).run().await.unwrap();
    let aggregated = Discovery::new(api.client()).run_aggregated().await.unwrap();
    let names = |discovery: &Discovery| {
        let all = listed(discovery).into_iter();
        all.map(|(resource, capabilities)| {
            let verbs: BTreeSet<_> = capabilities.operations.into_iter().collect();
            let subresources: Vec<_> = capabilities
                .subresources
                .iter()
                .map(|(sub, _)| sub.plural.clone())
                .collect();
            (
                resource.group,
                resource.kind,
                resource.plural,
                verbs,
                subresources,
            )
        })
        .collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&legacy), names(&aggregated));
    let all = listed(&legacy);
    let (_, deployments) = all
        .iter()
        .find(|(resource, _)| resource.plural == "deployments")
        .unwrap();
    assert_eq!(deployments.scope, Scope::Namespaced);
    assert!(deployments.supports_operation(verbs::WATCH));
    assert_eq!(deployments.subresources.len(), 2);
}

#[tokio::test]
async fn whatever_can_be_listed_answers_to_a_list() {
    let api = api().await;
    let discovery = Discovery::new(api.client()).run().await.unwrap();
    for (resource, capabilities) in listed(&discovery) {
        if !capabilities.supports_operation(verbs::LIST) {
            continue;
        }
        let root = if resource.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let path = format!("{root}/{}/{}", resource.api_version, resource.plural);
        let list = api.get(&path).await.is(200);
        assert_eq!(list["kind"], format!("{}List", resource.kind), "{path}");
    }
}

#[tokio::test]
async fn every_kind_that_can_be_patched_is_in_both_openapi_versions() {
    let api = api().await;
    let gvks = |document: &Value| {
        let paths = document["paths"].as_object().unwrap();
        let patches = paths.values().filter_map(|item| item.get("patch"));
        patches
            .map(|patch| patch["x-kubernetes-group-version-kind"].to_string())
            .collect::<BTreeSet<_>>()
    };
    let root = api.get("/openapi/v3").await.is(200);
    let mut v3 = BTreeSet::new();
    for entry in root["paths"].as_object().unwrap().values() {
        let path = entry["serverRelativeURL"].as_str().unwrap();
        v3.extend(gvks(&api.get(path).await.is(200)));
    }
    assert_eq!(gvks(&api.get("/openapi/v2").await.is(200)), v3);
    let discovery = Discovery::new(api.client()).run().await.unwrap();
    for (resource, capabilities) in listed(&discovery) {
        if capabilities.supports_operation(verbs::PATCH) {
            let named = serde_json::json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
            assert!(v3.contains(&named.to_string()), "{named}");
        }
    }
}

#[tokio::test]
async fn a_kind_that_goes_leaves_the_documents() {
    let api = api().await;
    api.get("/apis/test.example/v1").await.is(200);
    let before = api.get("/openapi/v2").await.headers;
    api.server.registry().remove("test.example", "widgets");
    for path in [
        "/apis/test.example/v1",
        "/apis/test.example",
        "/openapi/v3/apis/test.example/v1",
    ] {
        assert_eq!(api.get(path).await.code, 404, "{path}");
    }
    assert_ne!(before["etag"], api.get("/openapi/v2").await.headers["etag"]);
}

#![allow(clippy::unwrap_used, clippy::panic)]
use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, ResourceQuota};
use serde_json::{Value, json};

use super::*;
use crate::discovery::tests::row;
use crate::registry::{CustomStrategy, Registry, Snapshot, Subresources, from_crd};
use crate::schema::core;

fn snapshot() -> Arc<Snapshot> {
    let mut rows = vec![
        row(
            "",
            "v1",
            "configmaps",
            "ConfigMap",
            core::schema::<ConfigMap>().unwrap(),
        ),
        row(
            "",
            "v1",
            "events",
            "Event",
            core::schema::<Event>().unwrap(),
        ),
        row(
            "coordination.k8s.io",
            "v1",
            "leases",
            "Lease",
            core::schema::<Lease>().unwrap(),
        ),
    ];
    let mut namespaces = row(
        "",
        "v1",
        "namespaces",
        "Namespace",
        core::schema::<Namespace>().unwrap(),
    );
    namespaces.subresources = Subresources {
        status: true,
        finalize: true,
        ..Subresources::default()
    };
    rows.push(namespaces);
    for crd in api_types::crds() {
        rows.extend(from_crd(&crd, CustomStrategy::default()).unwrap());
    }
    Registry::new(rows).snapshot()
}

fn get(openapi: &OpenApi, path: &str, accept: &str) -> Option<Response> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, accept.parse().unwrap());
    openapi.respond(&snapshot(), path, "", &headers)
}

async fn bytes(response: Response) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap()
        .to_vec()
}

async fn document(path: &str) -> Value {
    let response = get(&OpenApi::new("v1.32.0"), path, "application/json").unwrap();
    serde_json::from_slice(&bytes(response).await).unwrap()
}

async fn all_documents() -> Vec<Value> {
    let mut all = vec![document("/openapi/v2").await];
    for path in [
        "api/v1",
        "apis/coordination.k8s.io/v1",
        "apis/obiente.cloud/v1alpha1",
    ] {
        all.push(document(&format!("/openapi/v3/{path}")).await);
    }
    all
}

/// Calls `check` with every JSON object below `value`.
fn walk(value: &Value, check: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            check(fields);
            fields.values().for_each(|field| walk(field, check));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, check)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_resolves_and_stands_without_a_type() {
    for document in all_documents().await {
        let mut found = 0;
        walk(&document, &mut |node| {
            let Some(target) = node.get("$ref").and_then(Value::as_str) else {
                return;
            };
            found += 1;
            let (section, name) = target.trim_start_matches("#/").rsplit_once('/').unwrap();
            let named = section
                .split('/')
                .fold(&document, |at, part| &at[part])
                .get(name);
            assert!(named.is_some_and(Value::is_object), "{target}");
            assert!(!node.contains_key("type"), "{node:?}");
        });
        assert!(found > 20, "{found}");
    }
}

#[tokio::test]
async fn clients_find_schema_and_patch_parameters_of_every_kind_in_both_versions() {
    let v2 = document("/openapi/v2").await;
    for def in &snapshot().resources {
        let gvk = json!({"group": &*def.group, "version": &*def.version, "kind": &*def.kind});
        let v3 = if def.group.is_empty() {
            "api/v1".into()
        } else {
            format!("apis/{}/{}", def.group, def.version)
        };
        let v3 = document(&format!("/openapi/v3/{v3}")).await;
        for (document, schemas) in [
            (&v2, &v2["definitions"]),
            (&v3, &v3["components"]["schemas"]),
        ] {
            let schema = schemas
                .as_object()
                .unwrap()
                .values()
                .find(|one| one["x-kubernetes-group-version-kind"] == json!([gvk]));
            let schema = schema.unwrap_or_else(|| panic!("no schema of {gvk}"));
            assert!(
                schema["properties"]["metadata"]
                    .to_string()
                    .contains("ObjectMeta")
            );
            let operations = document["paths"]
                .as_object()
                .unwrap()
                .values()
                .filter_map(|item| item.get("patch"));
            let of_kind: Vec<_> = operations
                .filter(|patch| patch["x-kubernetes-group-version-kind"] == gvk)
                .collect();
            assert!(!of_kind.is_empty(), "{gvk}");
            for patch in of_kind {
                assert_eq!(patch["x-kubernetes-action"], "patch");
                let names: Vec<_> = patch["parameters"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["name"].as_str().unwrap())
                    .collect();
                for wanted in ["dryRun", "fieldManager", "fieldValidation", "force", "name"] {
                    assert!(names.contains(&wanted), "{gvk} {wanted}");
                }
            }
        }
    }
}

#[tokio::test]
async fn strategic_merge_is_offered_for_core_kinds_only() {
    let core = document("/openapi/v3/api/v1").await;
    let ours = document("/openapi/v3/apis/obiente.cloud/v1alpha1").await;
    let types = |document: &Value, path: &str| {
        let content = &document["paths"][path]["patch"]["requestBody"]["content"];
        content
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let strategic = "application/strategic-merge-patch+json".to_owned();
    assert!(types(&core, "/api/v1/namespaces/{namespace}/configmaps/{name}").contains(&strategic));
    let path = "/apis/obiente.cloud/v1alpha1/namespaces/{namespace}/deployments/{name}";
    assert_eq!(
        types(&ours, path),
        [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json"
        ]
    );
    let scale = &ours["paths"][format!("{path}/scale")]["patch"]["x-kubernetes-group-version-kind"];
    assert_eq!(scale["kind"], "Deployment");
}

#[tokio::test]
async fn descriptions_and_rules_survive() {
    let ours = document("/openapi/v3/apis/obiente.cloud/v1alpha1").await;
    let schema = &ours["components"]["schemas"]["cloud.obiente.v1alpha1.Deployment"];
    let image = &schema["properties"]["spec"]["properties"]["image"];
    assert!(image["description"].as_str().unwrap().len() > 10);
    assert!(schema.to_string().contains("x-kubernetes-validations"));
    let v2 = document("/openapi/v2").await;
    assert!(v2.to_string().contains("x-kubernetes-validations"));
    let reduced = &v2["definitions"]["cloud.obiente.v1alpha1.Deployment"]["properties"]["spec"]["properties"]
        ["image"];
    assert_eq!(
        (&reduced["description"], &reduced["type"]),
        (&image["description"], &image["type"])
    );
}

#[tokio::test]
async fn the_root_carries_the_hash_of_each_document() {
    let openapi = OpenApi::new("v1.32.0");
    let root: Value =
        serde_json::from_slice(&bytes(get(&openapi, "/openapi/v3", "*/*").unwrap()).await).unwrap();
    assert_eq!(root["paths"].as_object().unwrap().len(), 3);
    for (path, entry) in root["paths"].as_object().unwrap() {
        let response = get(&openapi, &format!("/openapi/v3/{path}"), "application/json").unwrap();
        let tag = response.headers()[header::ETAG]
            .to_str()
            .unwrap()
            .trim_matches('"')
            .to_owned();
        assert_eq!(
            entry["serverRelativeURL"],
            format!("/openapi/v3/{path}?hash={tag}")
        );
    }
    for path in [
        "/openapi/v3/api/v2",
        "/openapi/v3/apis/nothing/v1",
        "/openapi/v3/apis",
        "/openapi/v4",
        "/openapi",
    ] {
        assert!(get(&openapi, path, "*/*").is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_document_may_be_kept_by_its_hash_and_another_hash_leads_to_it() {
    let openapi = OpenApi::new("v1.32.0");
    let (snapshot, headers) = (snapshot(), HeaderMap::new());
    let ask = |query: &str| {
        let found = openapi.respond(&snapshot, "/openapi/v3/api/v1", query, &headers);
        found.unwrap()
    };
    let plain = ask("");
    assert_eq!(plain.headers()[header::CACHE_CONTROL], "no-cache, private");
    let hash = plain.headers()[header::ETAG]
        .to_str()
        .unwrap()
        .trim_matches('"')
        .to_owned();
    let named = ask(&format!("timeout=32s&hash={hash}"));
    assert_eq!(named.status(), StatusCode::OK);
    assert_eq!(named.headers()[header::CACHE_CONTROL], "public, immutable");
    let expires = named.headers()[header::EXPIRES].to_str().unwrap();
    assert!(expires.ends_with(" GMT"), "{expires}");
    let moved = ask("hash=ABC");
    assert_eq!(moved.status(), StatusCode::MOVED_PERMANENTLY);
    let there = format!("/openapi/v3/api/v1?hash={hash}");
    assert_eq!(moved.headers()[header::LOCATION], *there);
}

#[tokio::test]
async fn types_of_kubernetes_have_names_of_their_own() {
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
    let core = document("/openapi/v3/api/v1").await;
    let v3 = &core["components"]["schemas"];
    let v2 = &document("/openapi/v2").await["definitions"];
    let references = |section: &str, name: &str| json!({"$ref": format!("#/{section}/{name}")});
    for (schemas, section) in [(v3, "components/schemas"), (v2, "definitions")] {
        let event = &schemas["io.k8s.api.core.v1.Event"];
        assert_eq!(event["required"], json!(["involvedObject", "metadata"]));
        let object_meta = &schemas[format!("{meta}.ObjectMeta")]["properties"];
        let owners = &object_meta["ownerReferences"];
        let owner = references(section, &format!("{meta}.OwnerReference"));
        assert_eq!(
            (&owners["items"], &owners["x-kubernetes-list-type"]),
            (&owner, &json!("map"))
        );
        assert_eq!(
            object_meta["managedFields"]["x-kubernetes-list-type"],
            "atomic"
        );
        let reference = &schemas["io.k8s.api.core.v1.ObjectReference"];
        assert_eq!(reference["x-kubernetes-map-type"], "atomic");
        let fields = &schemas[format!("{meta}.FieldsV1")];
        assert_eq!(fields["type"], "object");
    }
    // A description stands beside a reference in v2; in v3 the reference is wrapped for it.
    let name = "io.k8s.api.core.v1.ObjectReference";
    let at = |schemas: &Value| {
        let mut involved =
            schemas["io.k8s.api.core.v1.Event"]["properties"]["involvedObject"].clone();
        assert!(
            involved["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        involved.as_object_mut().unwrap().remove("description");
        involved
    };
    assert_eq!(at(v2), references("definitions", name));
    let wrapped = json!({"allOf": [references("components/schemas", name)]});
    assert_eq!(at(v3), wrapped);
}

#[test]
fn quantities_and_their_like_are_told_as_each_version_can() {
    let quota = row(
        "",
        "v1",
        "resourcequotas",
        "ResourceQuota",
        core::schema::<ResourceQuota>().unwrap(),
    );
    let snapshot = Registry::new(vec![quota]).snapshot();
    let quantity = |document: Value| {
        let schemas = document
            .pointer("/components/schemas")
            .or(document.get("definitions"));
        let mut found = schemas.unwrap()[types::QUANTITY].clone();
        found.as_object_mut().unwrap().remove("description");
        found
    };
    assert_eq!(
        quantity(v3::document(&snapshot, "", "v1", "v1")),
        json!({"oneOf": [{"type": "string"}, {"type": "number"}]})
    );
    assert_eq!(
        quantity(v2::document(&snapshot, "v1")),
        json!({"type": "string"})
    );
}

#[tokio::test]
async fn v2_is_protobuf_or_json_as_asked_and_not_sent_twice() {
    let openapi = OpenApi::new("v1.32.0");
    let cases = [
        (
            "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
            V2_PROTOBUF,
        ),
        (
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf, application/json",
            V2_PROTOBUF,
        ),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/html, application/*;q=0.8", "application/json"),
    ];
    let refused = get(&openapi, "/openapi/v2", "text/html").unwrap();
    assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
    for (accept, media) in cases {
        let response = get(&openapi, "/openapi/v2", accept).unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], media, "{accept}");
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        headers.insert(
            header::IF_NONE_MATCH,
            response.headers()[header::ETAG].clone(),
        );
        let again = openapi
            .respond(&snapshot(), "/openapi/v2", "", &headers)
            .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
    let body = bytes(get(&openapi, "/openapi/v2", V2_PROTOBUF).unwrap()).await;
    // Document.swagger, and the first bytes of Document.info.
    assert_eq!(&body[..5], b"\x0a\x032.0");
    assert_eq!(body[5], 0x12);
    let fields = fields(&body);
    assert_eq!(
        fields.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1, 2, 8, 9]
    );
    let names: Vec<_> = self::fields(fields[3].1)
        .iter()
        .map(|(_, named)| String::from_utf8_lossy(self::fields(named)[0].1).into_owned())
        .collect();
    assert!(
        names.contains(&"cloud.obiente.v1alpha1.Deployment".to_owned()),
        "{names:?}"
    );
}

/// The length-delimited fields of a message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        assert_eq!(tag & 7, 2, "only length-delimited fields here");
        let length = usize::try_from(varint(&mut bytes)).unwrap();
        let (value, rest) = bytes.split_at(length);
        found.push((tag >> 3, value));
        bytes = rest;
    }
    found
}

//! Kinds that are defined while the server runs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api as KubeApi, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};

use crate::support::{Answer, Api, SOON, api, api_beside};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GADGETS: &str = "/apis/shop.example/v1/namespaces/default/gadgets";

fn version(name: &str, storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        "selectableFields": [{"jsonPath": ".spec.color"}],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer", "default": 3},
                "color": {"type": "string"},
            }, "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "too large"}]},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}},
    })
}

fn gadgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.shop.example"},
        "spec": {
            "group": "shop.example", "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]},
            "versions": [version("v1", true)],
        },
    })
}

fn gadget(name: &str) -> Value {
    json!({"apiVersion": "shop.example/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": {"color": "red"}})
}

fn status_of<'a>(definition: &'a Value, kind: &str) -> &'a str {
    let list = definition["status"]["conditions"].as_array();
    let mut all = list.into_iter().flatten();
    let found = all.find(|found| found["type"] == kind);
    found.map_or("", |found| found["status"].as_str().unwrap())
}

/// Waits for a condition of a definition.
async fn until(api: &Api, name: &str, kind: &str, status: &str) -> Value {
    let path = format!("{DEFINITIONS}/{name}");
    let wait = async {
        loop {
            let definition = api.get(&path).await.is(200);
            if status_of(&definition, kind) == status {
                return definition;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap()
}

async fn define(api: &Api, definition: &Value) -> Value {
    let made = api.post(DEFINITIONS, definition).await.is(201);
    let name = made["metadata"]["name"].as_str().unwrap();
    until(api, name, "Established", "True").await
}

#[tokio::test]
async fn kube_defines_waits_and_uses() {
    let api = api().await;
    let client = api.client();
    let crds: KubeApi<CustomResourceDefinition> = KubeApi::all(client.clone());
    let crd = serde_json::from_value(gadgets()).unwrap();
    crds.create(&PostParams::default(), &crd).await.unwrap();
    let established = await_condition(
        crds.clone(),
        "gadgets.shop.example",
        conditions::is_crd_established(),
    );
    tokio::time::timeout(SOON, established)
        .await
        .unwrap()
        .unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("shop.example", "v1", "Gadget"));
    let gadgets: KubeApi<DynamicObject> = KubeApi::default_namespaced_with(client, &kind);
    let object: DynamicObject = serde_json::from_value(gadget("a")).unwrap();
    let made = gadgets
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    assert_eq!(made.data["spec"], json!({"color": "red", "size": 3}));

    let mut large = gadget("b");
    large["spec"]["size"] = json!(10);
    api.post(GADGETS, &large).await.fails(422, "too large");
    let found = api
        .get(&format!("{GADGETS}?fieldSelector=spec.color%3Dred"))
        .await
        .is(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let table = api
        .get_as(GADGETS, "application/json;as=Table;v=v1;g=meta.k8s.io")
        .await
        .is(200);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 3]));
    let listed = api.get("/apis/shop.example/v1").await.is(200);
    assert_eq!(listed["resources"][0]["shortNames"], json!(["gd"]));
    let documents = api.get("/openapi/v3/apis/shop.example/v1").await.is(200);
    assert!(documents.to_string().contains("\"Gadget\""));

    crds.delete("gadgets.shop.example", &DeleteParams::default())
        .await
        .unwrap();
    api.until(GADGETS, 404).await;
    api.until(&format!("{DEFINITIONS}/gadgets.shop.example"), 404)
        .await;
    api.get("/apis/shop.example").await.is(404);
    // It comes back empty.
    define(&api, &serde_json::to_value(&crd).unwrap()).await;
    assert_eq!(api.get(GADGETS).await.is(200)["items"], json!([]));
}

#[tokio::test]
async fn objects_go_before_their_definition() {
    let api = api().await;
    define(&api, &gadgets()).await;
    let mut held = gadget("held");
    held["metadata"]["finalizers"] = json!(["shop.example/f"]);
    api.post(GADGETS, &held).await.is(201);
    api.post(GADGETS, &gadget("free")).await.is(201);
    let mut watch = api.watch(&format!("{GADGETS}?watch=true")).await;
    for _ in 0..2 {
        assert_eq!(watch.brief().await.0, "ADDED");
    }
    let path = format!("{DEFINITIONS}/gadgets.shop.example");
    let marked = api.delete(&path).await.is(200);
    assert_eq!(status_of(&marked, "Terminating"), "True");
    assert_eq!(
        marked["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    api.until(&format!("{GADGETS}/free"), 404).await;
    assert_eq!(marked["metadata"]["generation"], 1);
    assert_eq!(
        marked["metadata"]["deletionGracePeriodSeconds"],
        json!(null)
    );
    let ends = "gadgets.shop.example \"late\" is forbidden: create not allowed while custom resource definition is terminating";
    api.post(GADGETS, &gadget("late")).await.fails(403, ends);
    let late = format!("{GADGETS}/late?fieldManager=m");
    let stated = gadget("late").to_string();
    let applied = api.with("PATCH", &late, "application/apply-patch+yaml", &stated);
    applied.await.fails(403, ends);
    let wait = async {
        let going = |found: &Value| found.to_string().contains("InstanceDeletionInProgress");
        while !going(&api.get(&path).await.is(200)) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap();
    let release = json!({"metadata": {"finalizers": null}});
    api.merge(&format!("{GADGETS}/held"), &release)
        .await
        .is(200);
    api.until(&path, 404).await;
    let mut seen = Vec::new();
    while let Some(event) = watch.next().await {
        if event["type"] == "DELETED" {
            seen.push(event["object"]["metadata"]["name"].clone());
        }
    }
    assert_eq!(seen, ["free", "held"], "and then the watch ended");
}

#[tokio::test]
async fn versions_differ_in_their_name_alone() {
    let api = api().await;
    let path = format!("{DEFINITIONS}/gadgets.shop.example");
    define(&api, &gadgets()).await;
    api.post(GADGETS, &gadget("a")).await.is(201);
    let newer = json!({"spec": {"versions": [version("v2", true), version("v1", false)]}});
    let changed = api.merge(&path, &newer).await.is(200);
    assert_eq!(changed["status"]["storedVersions"], json!(["v1", "v2"]));
    assert_eq!(changed["metadata"]["generation"], 2);
    let second = GADGETS.replace("/v1/", "/v2/");
    let of_second = api.until(&format!("{second}/a"), 200).await.is(200);
    assert_eq!(of_second["apiVersion"], "shop.example/v2");
    let first = api.get(&format!("{GADGETS}/a")).await.is(200);
    assert_eq!(first["apiVersion"], "shop.example/v1");
    let mut other = gadget("b");
    other["apiVersion"] = json!("shop.example/v2");
    api.post(&second, &other).await.is(201);
    for (path, version) in [(GADGETS, "shop.example/v1"), (&second, "shop.example/v2")] {
        let items = api.get(path).await.is(200)["items"].clone();
        for item in items.as_array().unwrap() {
            assert_eq!(item["apiVersion"], version);
        }
        let mut watch = api.watch(&format!("{path}?watch=true")).await;
        assert_eq!(watch.next().await.unwrap()["object"]["apiVersion"], version);
    }
    let patched = api
        .merge(&format!("{second}/a"), &json!({"spec": {"size": 4}}))
        .await
        .is(200);
    assert_eq!(patched["apiVersion"], "shop.example/v2");
    let group = api.get("/apis/shop.example").await.is(200);
    assert_eq!(group["preferredVersion"]["version"], "v2");
    let mut hashes = Vec::new();
    for version in ["v1", "v2"] {
        let list = api.get(&format!("/apis/shop.example/{version}")).await;
        hashes.push(list.is(200)["resources"][0]["storageVersionHash"].clone());
    }
    assert!(hashes[0].is_string());
    assert_eq!(hashes[0], hashes[1], "both are stored in the same version");
    let gone = json!({"spec": {"versions": [version("v2", true)]}});
    api.merge(&path, &gone).await.fails(
        422,
        "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions",
    );
    for (field, change) in [
        ("spec.scope", json!({"spec": {"scope": "Cluster"}})),
        (
            "spec.names.kind",
            json!({"spec": {"names": {"kind": "Other"}}}),
        ),
    ] {
        api.merge(&path, &change)
            .await
            .fails(422, &format!("{field}: Invalid value"));
    }
}

#[tokio::test]
async fn what_is_stored_is_read_under_the_newest_schema() {
    let api = api().await;
    define(&api, &gadgets()).await;
    let old = json!({"size": 4, "color": "red"});
    let mut object = gadget("old");
    object["spec"] = old.clone();
    let stored = api.post(GADGETS, &object).await.is(201);
    assert_eq!(stored["spec"], old);
    let mut events = api
        .watch(&format!("{GADGETS}?watch=true&allowWatchBookmarks=true"))
        .await;
    assert_eq!(events.brief().await, ("ADDED".to_owned(), "old".to_owned()));
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");

    // `color` goes, `shape` comes with a default.
    let mut newer = version("v1", true);
    newer["selectableFields"] = json!([{"jsonPath": ".spec.shape"}]);
    newer["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] = json!({"size": {"type": "integer", "default": 3}, "shape": {"type": "string", "default": "round"}});
    let change = json!({"spec": {"versions": [newer]}});
    let definition = format!("{DEFINITIONS}/gadgets.shop.example");
    api.merge(&definition, &change).await.is(200);

    // No event would say how the objects look now.
    assert_eq!(events.next().await, None, "the watch ends");
    let path = format!("{GADGETS}/old");
    let now = json!({"size": 4, "shape": "round"});
    let read = api.get(&path).await.is(200);
    assert_eq!(read["spec"], now);
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&read), version(&stored), "nothing was written");
    let selected = format!("{GADGETS}?fieldSelector=spec.shape%3Dround");
    let list = api.get(&selected).await.is(200);
    assert_eq!(list["items"][0]["spec"], now);
    let mut events = api.watch(&format!("{GADGETS}?watch=true")).await;
    assert_eq!(events.next().await.unwrap()["object"]["spec"], now);
    let patched = api
        .merge(&path, &json!({"spec": {"size": 5}}))
        .await
        .is(200);
    assert_eq!(patched["spec"], json!({"size": 5, "shape": "round"}));
}

#[tokio::test]
async fn a_rule_that_came_later_is_a_warning_where_nothing_changes() {
    let api = api().await;
    define(&api, &gadgets()).await;
    api.post(GADGETS, &gadget("old")).await.is(201);
    let mut events = api.watch(&format!("{GADGETS}?watch=true")).await;
    assert_eq!(events.brief().await, ("ADDED".to_owned(), "old".to_owned()));
    let mut stricter = version("v1", true);
    let fields = &mut stricter["schema"]["openAPIV3Schema"]["properties"];
    fields["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.size < 3", "message": "too large"}]);
    fields["status"] =
        json!({"type": "object", "properties": {"seen": {"type": "integer", "minimum": 1}}});
    stricter["subresources"]["scale"] =
        json!({"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.seen"});
    let change = json!({"spec": {"versions": [stricter]}});
    let definition = format!("{DEFINITIONS}/gadgets.shop.example");
    api.merge(&definition, &change).await.is(200);
    assert_eq!(events.next().await, None, "the new schema is in force");

    let path = format!("{GADGETS}/old");
    let warned = |answer: &Answer| answer.headers["warning"].to_str().unwrap().to_owned();
    let answer = api
        .merge(&path, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await;
    let words = "299 - \"spec: Invalid value: too large\"";
    assert_eq!(warned(&answer), words);
    answer.is(200);
    api.merge(&path, &json!({"spec": {"color": "blue"}}))
        .await
        .fails(422, "spec: Invalid value: too large");
    let status = format!("{path}/status");
    let answer = api.merge(&status, &json!({"status": {"seen": 0}})).await;
    assert_eq!(warned(&answer), words);
    answer.fails(
        422,
        "status.seen: Invalid value: 0: seen in body should be greater than or equal to 1",
    );
    api.merge(&path, &json!({"spec": {"size": -1}}))
        .await
        .fails(
            422,
            ".spec.size: Invalid value: -1: should be a non-negative integer",
        );
}

#[tokio::test]
async fn storage_is_migrated_by_writing_what_is_there() {
    let api = api().await;
    define(&api, &gadgets()).await;
    let path = format!("{GADGETS}/a");
    let first = api.post(GADGETS, &gadget("a")).await.is(201);
    let mut v2 = version("v2", true);
    let properties = "/schema/openAPIV3Schema/properties/spec/properties";
    *v2.pointer_mut(properties).unwrap() =
        json!({"size": {"type": "integer"}, "shape": {"type": "string", "default": "round"}});
    v2["selectableFields"] = json!([]);
    let mut v1 = version("v1", false);
    v1.pointer_mut(properties).unwrap()["shape"] = json!({"type": "string"});
    let change = json!({"spec": {"versions": [v2, v1]}});
    let definition = format!("{DEFINITIONS}/gadgets.shop.example");
    api.merge(&definition, &change).await.is(200);
    let second = GADGETS.replace("/v1/", "/v2/");
    api.until(&format!("{second}/a"), 200).await;

    let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let read = api.get(&path).await.is(200);
    assert_eq!(
        (&read["spec"], revision(&read)),
        (&json!({"color": "red", "size": 3}), revision(&first))
    );
    // The new storage version knows no colors and has a shape for everything.
    let migrated = api.put(&path, &read).await.is(200);
    assert_ne!(revision(&migrated), revision(&first));
    assert_eq!(migrated["spec"], json!({"size": 3, "shape": "round"}));
    let again = api.put(&path, &migrated).await.is(200);
    assert_eq!(revision(&again), revision(&migrated), "done once");
    let made = api.post(GADGETS, &gadget("b")).await.is(201);
    assert_eq!(made["apiVersion"], "shop.example/v1");
    assert_eq!(made["spec"], json!({"size": 3, "shape": "round"}));
}

#[tokio::test]
async fn another_server_follows() {
    let api = api().await;
    let beside = api_beside(&api).await;
    define(&api, &gadgets()).await;
    // At once: whoever saw `Established` may go anywhere.
    beside.post(GADGETS, &gadget("a")).await.is(201);
    let late = api_beside(&api).await;
    late.get(&format!("{GADGETS}/a")).await.is(200);
    api.delete(&format!("{DEFINITIONS}/gadgets.shop.example"))
        .await
        .is(200);
    for server in [&api, &beside, &late] {
        server.until(GADGETS, 404).await;
    }
}

#[tokio::test]
async fn names_belong_to_the_first() {
    let api = api().await;
    define(&api, &gadgets()).await;
    let mut other = gadgets();
    other["metadata"]["name"] = json!("gears.shop.example");
    other["spec"]["names"] = json!({"plural": "gears", "kind": "Gear", "shortNames": ["gd"]});
    api.post(DEFINITIONS, &other).await.is(201);
    let waits = until(&api, "gears.shop.example", "NamesAccepted", "False").await;
    assert_eq!(status_of(&waits, "Established"), "False");
    let gears = GADGETS.replace("gadgets", "gears");
    api.get(&gears).await.is(404);
    // One that goes gives its names away, and so does one that takes others.
    let first = format!("{DEFINITIONS}/gadgets.shop.example");
    api.delete(&first).await.is(200);
    until(&api, "gears.shop.example", "Established", "True").await;
    api.get(&gears).await.is(200);
    api.until(&first, 404).await;
    api.post(DEFINITIONS, &gadgets()).await.is(201);
    until(&api, "gadgets.shop.example", "NamesAccepted", "False").await;
    let other_names = json!({"spec": {"names": {"shortNames": ["gr"]}}});
    api.merge(&format!("{DEFINITIONS}/gears.shop.example"), &other_names)
        .await
        .is(200);
    until(&api, "gadgets.shop.example", "Established", "True").await;
}

#[tokio::test]
async fn a_deprecated_version_warns_and_a_status_has_its_defaults() {
    let api = api().await;
    let mut definition = gadgets();
    let version = &mut definition["spec"]["versions"][0];
    version["deprecated"] = json!(true);
    let schema = &mut version["schema"]["openAPIV3Schema"];
    schema["properties"]["status"]["default"] = json!({"phase": "Pending"});
    schema["require"] = json!(["spec"]);
    let strict = format!("{DEFINITIONS}?fieldValidation=Strict");
    let unknown = "unknown field \"spec.versions[0].schema.openAPIV3Schema.require\"";
    api.post(&strict, &definition).await.fails(400, unknown);
    define(&api, &definition).await;
    let path = format!("{DEFINITIONS}/gadgets.shop.example");
    let stored = api.get(&path).await.is(200);
    assert!(!stored.to_string().contains("\"require\""));

    let created = api.post(GADGETS, &gadget("a")).await;
    assert_eq!(
        created.headers["warning"],
        "299 - \"shop.example/v1 Gadget is deprecated\""
    );
    assert_eq!(created.is(201)["status"], json!({"phase": "Pending"}));
    let own = json!([{"op": "add", "path": "/spec/versions/0/deprecationWarning", "value": "use Things"}]);
    api.with(
        "PATCH",
        &path,
        "application/json-patch+json",
        &own.to_string(),
    )
    .await
    .is(200);
    let wait = async {
        while api.get(GADGETS).await.headers["warning"] != "299 - \"use Things\"" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap();
}

#[tokio::test]
async fn definitions_of_the_community_say_whether_they_are_approved() {
    let api = api().await;
    let mut definition = gadgets();
    definition["metadata"] = json!({"name": "gadgets.shop.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "https://example.com/1"}});
    definition["spec"]["group"] = json!("shop.k8s.io");
    api.post(DEFINITIONS, &definition).await.is(201);
    let found = until(&api, "gadgets.shop.k8s.io", "Established", "True").await;
    let first = &found["status"]["conditions"][0];
    assert_eq!(first["type"], "KubernetesAPIApprovalPolicyConformant");
    assert_eq!(
        (&first["status"], &first["reason"]),
        (&json!("True"), &json!("ApprovedAnnotation"))
    );
    assert_eq!(first["message"], "approved in https://example.com/1");
    let path = format!("{DEFINITIONS}/gadgets.shop.k8s.io");
    let not =
        json!({"metadata": {"annotations": {"api-approved.kubernetes.io": "unapproved, a test"}}});
    api.merge(&path, &not).await.is(200);
    let kind = "KubernetesAPIApprovalPolicyConformant";
    until(&api, "gadgets.shop.k8s.io", kind, "False").await;
}

#[tokio::test]
async fn bad_definitions_are_refused() {
    let api = api().await;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let cases: &[(&str, Value, &str)] = &[
        (
            "/metadata/name",
            json!("other.shop.example"),
            "metadata.name: Invalid value: \"other.shop.example\": must be spec.names.plural+\".\"+spec.group",
        ),
        (
            "/spec/group",
            json!("shop"),
            "spec.group: Invalid value: \"shop\": should be a domain with at least one dot",
        ),
        (
            "/spec/group",
            json!("obiente.cloud"),
            "spec.group: Forbidden: the group \"obiente.cloud\" belongs to the server",
        ),
        (
            "/spec/group",
            json!("apps.k8s.io"),
            "must have approval annotation",
        ),
        (
            "/spec/scope",
            json!("Galaxy"),
            "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            "/spec/names/plural",
            json!("Gadgets"),
            "spec.names.plural: Invalid value: \"Gadgets\"",
        ),
        (
            "/spec/versions/0/name",
            json!("1"),
            "spec.versions[0].name: Invalid value: \"1\"",
        ),
        (
            "/spec/versions/0/storage",
            json!(false),
            ": must have exactly one version marked as storage version",
        ),
        (
            "/spec/versions/0/schema",
            json!({}),
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
        (
            schema,
            json!({"type": "object", "properties": {"spec": {}}}),
            "spec.validation.openAPIV3Schema.properties[spec].type: Required value",
        ),
        (
            schema,
            json!({"type": "string"}),
            "spec.validation.openAPIV3Schema.type: Invalid value: \"string\": must be object at the root",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns/0/type",
            json!("text"),
            "spec.additionalPrinterColumns[0].type: Invalid value: \"text\"",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns/0/jsonPath",
            json!("a"),
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value",
        ),
        (
            "/spec/versions/0/selectableFields/0/jsonPath",
            json!(".spec.none"),
            "jsonPath: Invalid value: \".spec.none\"",
        ),
        (
            "/spec/versions/0/subresources",
            json!({"scale": {"specReplicasPath": ".a", "statusReplicasPath": ".status.n"}}),
            "spec.subresources.scale.specReplicasPath: Invalid value: \".a\": should be a json path under .spec",
        ),
        (
            "/spec/conversion",
            json!({"strategy": "Webhook"}),
            "spec.conversion.strategy: Unsupported value: \"Webhook\": supported values: \"None\"",
        ),
        (
            "/spec/preserveUnknownFields",
            json!(true),
            "spec.preserveUnknownFields: Invalid value: true",
        ),
    ];
    for (place, value, expected) in cases {
        let mut definition = gadgets();
        let (parent, field) = place.rsplit_once('/').unwrap();
        definition.pointer_mut(parent).unwrap()[field] = value.clone();
        api.post(DEFINITIONS, &definition)
            .await
            .fails(422, expected);
    }
    api.get(&format!("{DEFINITIONS}/gadgets.shop.example"))
        .await
        .is(404);
}

#[tokio::test]
async fn our_own_are_there_and_stay() {
    let api = api().await;
    let path = format!("{DEFINITIONS}/deployments.obiente.cloud");
    let own = api.get(&path).await.is(200);
    assert_eq!(status_of(&own, "Established"), "True");
    assert_eq!(own["status"]["storedVersions"], json!(["v1alpha1"]));
    api.merge(&path, &json!({"spec": {"scope": "Cluster"}}))
        .await
        .fails(422, "spec: Forbidden: this kind is part of the server");
    api.merge(&path, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .is(200);
    api.delete(&path)
        .await
        .fails(403, "this kind is part of the server and cannot be deleted");
    // A start changes nothing.
    let before = api.get(&path).await.is(200);
    let _beside = api_beside(&api).await;
    assert_eq!(api.get(&path).await.is(200), before);
    let crd: CustomResourceDefinition = serde_json::from_value(before).unwrap();
    let generated = api_types::crds()
        .into_iter()
        .find(|own| own.metadata.name.as_deref() == Some("deployments.obiente.cloud"));
    assert_eq!(crd.spec.versions, generated.unwrap().spec.versions);
}

/// As large as the definitions that are really out there (Argo CD's are about half a megabyte).
#[tokio::test]
async fn a_large_definition_in_yaml() {
    let api = api().await;
    let mut definition = gadgets();
    let field = json!({"type": "object", "description": "d".repeat(200), "properties": {
        "list": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "value": {"x-kubernetes-int-or-string": true}}}},
        "default": {"type": "string", "default": "x"},
    }});
    let spec = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        ["properties"];
    for n in 0..1500 {
        spec[format!("field{n}")] = field.clone();
    }
    let yaml = serde_yaml::to_string(&definition).unwrap();
    assert!(yaml.len() > 500_000, "{}", yaml.len());
    api.with("POST", DEFINITIONS, "application/yaml", &yaml)
        .await
        .is(201);
    let stored = until(&api, "gadgets.shop.example", "Established", "True").await;
    let versions = &stored["spec"]["versions"];
    assert_eq!(versions, &definition["spec"]["versions"], "nothing is lost");
    let mut object = gadget("a");
    object["spec"]["field7"] = json!({"list": [{"name": "n", "value": "1"}], "other": 1});
    let made = api.post(GADGETS, &object).await.is(201);
    assert_eq!(
        made["spec"]["field7"],
        json!({"list": [{"name": "n", "value": "1"}], "default": "x"})
    );
}

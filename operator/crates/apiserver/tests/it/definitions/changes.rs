//! Definitions that change: versions, schemas and rules that come later than the objects.

use serde_json::{Value, json};

use super::{DEFINITIONS, GADGETS, define, gadget, gadgets, version};
use crate::support::{Answer, api};

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

//! What a hostile or careless client sends is refused before it does harm: nothing that is wrong
//! is taken for something that is absent, and no answer grows with the square of the request.

use serde_json::{Map, Value, json};

use crate::support::{WIDGETS, api, widget};

const JSON: &str = "application/json";

fn at(name: &str) -> String {
    format!("{WIDGETS}/{name}")
}

/// A map with as many entries.
fn many(count: usize, entry: impl Fn(usize) -> (String, Value)) -> Value {
    Value::Object((0..count).map(entry).collect::<Map<_, _>>())
}

#[tokio::test]
async fn wrong_options_of_a_delete_delete_nothing() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    for (body, text) in [
        (
            r#"{"preconditions": 5}"#,
            "json: cannot unmarshal number into Go struct field DeleteOptions.preconditions of type v1.Preconditions",
        ),
        (
            r#"{"preconditions": {"uid": 5}}"#,
            "Go struct field Preconditions.preconditions.uid of type string",
        ),
        (
            r#"{"preconditions": {"resourceVersion": 5}}"#,
            "Go struct field Preconditions.preconditions.resourceVersion of type string",
        ),
        (
            r#"{"dryRun": "All"}"#,
            "Go struct field DeleteOptions.dryRun of type []string",
        ),
        (
            r#"{"gracePeriodSeconds": "x"}"#,
            "Go struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
        (
            r#"{"orphanDependents": "no"}"#,
            "Go struct field DeleteOptions.orphanDependents of type bool",
        ),
        (
            r#"{"propagationPolicy": 1}"#,
            "Go struct field DeleteOptions.propagationPolicy of type string",
        ),
    ] {
        let answer = api.with("DELETE", &at("a"), JSON, body).await;
        answer.fails(400, text);
    }
    api.get(&at("a")).await.is(200);
    let nulls = r#"{"preconditions": null, "dryRun": null, "propagationPolicy": null}"#;
    api.with("DELETE", &at("a"), JSON, nulls).await.is(200);
}

/// Fields that the server sets itself, too: a wrong one is not overwritten in silence.
#[tokio::test]
async fn metadata_of_the_wrong_type() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let wrong = |found: &str, field: &str, wanted: &str| {
        format!(
            "json: cannot unmarshal {found} into Go struct field ObjectMeta.{field} of type {wanted}"
        )
    };
    for (field, value, text) in [
        ("uid", json!(5), wrong("number", "uid", "string")),
        ("name", json!(5), wrong("number", "name", "string")),
        (
            "namespace",
            json!(5),
            wrong("number", "namespace", "string"),
        ),
        (
            "resourceVersion",
            json!(5),
            wrong("number", "resourceVersion", "string"),
        ),
        (
            "generation",
            json!("x"),
            wrong("string", "generation", "int64"),
        ),
        (
            "creationTimestamp",
            json!("yesterday"),
            "parsing time \"yesterday\"".to_owned(),
        ),
        (
            "deletionTimestamp",
            json!(5),
            wrong("number", "deletionTimestamp", "string"),
        ),
        (
            "managedFields",
            json!(3),
            wrong("number", "managedFields", "[]v1.ManagedFieldsEntry"),
        ),
        (
            "finalizers",
            json!("x"),
            wrong("string", "finalizers", "[]string"),
        ),
        (
            "labels",
            json!(["x"]),
            wrong("array", "labels", "map[string]string"),
        ),
    ] {
        let mut object = widget("b");
        object["metadata"][field] = value.clone();
        api.post(WIDGETS, &object).await.fails(400, &text);
        api.put(&at("a"), &object).await.fails(400, &text);
        let patch = json!({"metadata": {field: value}});
        api.merge(&at("a"), &patch).await.fails(422, &text);
    }
    let nothing = json!({"metadata": {"name": "c", "creationTimestamp": null, "labels": null}});
    let maps = "/api/v1/namespaces/default/configmaps";
    api.post(maps, &nothing).await.is(201);
    // No typed client could read it.
    let data = json!({"metadata": {"name": "d"}, "data": {"a": 1}});
    api.post(maps, &data).await.fails(
        400,
        "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
    );
}

#[tokio::test]
async fn a_scale_that_is_none_scales_nothing() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let path = format!("{}/scale", at("a"));
    for (body, of_patch, text) in [
        (
            json!({"kind": "Widget", "spec": {"replicas": 0}}),
            400,
            "expected kind (Scale)",
        ),
        (
            json!({"spec": 5}),
            422,
            "json: cannot unmarshal number into Go struct field Scale.spec of type v1.ScaleSpec",
        ),
        (
            json!({"spec": {"replicas": "2"}}),
            422,
            "Go struct field ScaleSpec.spec.replicas of type int32",
        ),
    ] {
        api.put(&path, &body).await.fails(400, text);
        api.merge(&path, &body).await.fails(of_patch, text);
    }
    assert_eq!(api.get(&at("a")).await.is(200)["spec"]["replicas"], 1);
}

#[tokio::test]
async fn whole_numbers_are_stored_as_integers() {
    let api = api().await;
    for (name, number, stored) in [("a", "3.0", "3"), ("b", "-0.0", "0"), ("c", "2e0", "2")] {
        let body = widget(name).to_string();
        let body = body.replace(r#""spec":{"#, &format!(r#""spec":{{"replicas":{number},"#));
        let found = api.with("POST", WIDGETS, JSON, &body).await.is(201);
        assert_eq!(found["spec"]["replicas"].to_string(), stored, "{number}");
        let patch = format!(r#"{{"spec":{{"replicas":{number}}}}}"#);
        let merge = "application/merge-patch+json";
        let found = api.with("PATCH", &at(name), merge, &patch).await.is(200);
        assert_eq!(found["spec"]["replicas"].to_string(), stored, "{number}");
    }
}

#[tokio::test]
async fn names_of_managers() {
    let api = api().await;
    for (name, text) in [
        ("a%00b", "fieldManager: Invalid value"),
        ("a%0Ab", "invalid character U+000A (at position 1)"),
        (
            &"x".repeat(129),
            "fieldManager: Too long: may not be more than 128 bytes",
        ),
    ] {
        let path = format!("{WIDGETS}?fieldManager={name}");
        api.post(&path, &widget("a")).await.fails(422, text);
    }
    api.get(&at("a")).await.is(404);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_whatever_its_version() {
    let api = api().await;
    api.put(&at("none"), &widget("none"))
        .await
        .fails(404, "not found");
    api.post(WIDGETS, &widget("a")).await.is(201);
    let text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    api.put(&at("a"), &widget("a")).await.fails(422, text);
}

#[tokio::test]
async fn a_json_patch_that_does_not_fit_says_so_in_a_cause() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let patch = r#"[{"op": "replace", "path": "/spec/none/x", "value": 1}]"#;
    let media = "application/json-patch+json";
    let status = api.with("PATCH", &at("a"), media, patch).await.is(422);
    let cause = &status["details"]["causes"][0];
    assert_eq!(cause["field"], "patch");
    let message = cause["message"].as_str().unwrap_or_default();
    assert!(message.contains("/spec/none/x"), "{status:#}");
}

/// With time that grows with the square of these numbers, the test would not end.
#[tokio::test]
async fn as_many_mistakes_as_fit() {
    let api = api().await;
    let mut labels = widget("a");
    labels["metadata"]["labels"] = many(20_000, |i| (format!("l{i}"), json!(format!("!{i}"))));
    let status = api.post(WIDGETS, &labels).await.is(422);
    let causes = status["details"]["causes"].as_array().map_or(0, Vec::len);
    let message = status["message"].as_str().unwrap_or_default();
    assert_eq!(causes, 100);
    assert!(
        message.ends_with("and 19900 more errors]"),
        "{}",
        message.len()
    );

    let mut unknown = widget("a");
    unknown["spec"] = many(20_000, |i| (format!("u{i}"), json!(1)));
    unknown["spec"]["color"] = json!("red");
    let answer = api.post(WIDGETS, &unknown).await;
    assert_eq!(answer.headers.get_all("warning").iter().count(), 32);
    answer.is(201);

    let keys: String = (0..20_000).map(|i| format!("k{i}: 1\n")).collect();
    let answer = api.with("POST", WIDGETS, "application/yaml", &keys).await;
    answer.fails(400, "Object 'Kind' is missing in 'k0: 1");
}

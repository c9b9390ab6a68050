//! What is particular about built-in kinds.

use serde_json::{Value, json};

use crate::support::api;

const DEFAULT: &str = "/api/v1/namespaces/default";

#[tokio::test]
async fn secrets() {
    let api = api().await;
    let path = format!("{DEFAULT}/secrets");
    let made = api
        .post(
            &path,
            &json!({"metadata": {"name": "s"}, "stringData": {"a": "x"}}),
        )
        .await
        .is(201);
    assert_eq!(
        (&made["data"], &made["type"], &made["kind"]),
        (&json!({"a": "eA=="}), &json!("Opaque"), &json!("Secret"))
    );
    assert!(made.get("stringData").is_none());
    let one = format!("{path}/s");
    // A release is replaced without a version.
    let replaced = api
        .put(
            &one,
            &json!({"metadata": {"name": "s"}, "data": {"b": "eQ=="}}),
        )
        .await
        .is(200);
    assert_eq!(replaced["data"], json!({"b": "eQ=="}));
    let strategic = "application/strategic-merge-patch+json";
    let patched = api
        .with(
            "PATCH",
            &one,
            strategic,
            r#"{"data":{"b":null},"stringData":{"c":"z"}}"#,
        )
        .await
        .is(200);
    assert_eq!(patched["data"], json!({"c": "eg=="}));
    api.merge(&one, &json!({"type": "other"}))
        .await
        .fails(422, "type: Invalid value: \"other\": field is immutable");
    api.merge(&one, &json!({"data": {"c": "%"}}))
        .await
        .fails(422, "data");
    api.merge(&one, &json!({"immutable": true})).await.is(200);
    api.merge(&one, &json!({"data": {"c": "eA=="}}))
        .await
        .fails(422, "field is immutable when `immutable` is set");
}

#[tokio::test]
async fn config_maps() {
    let api = api().await;
    let path = format!("{DEFAULT}/configmaps");
    api.post(
        &path,
        &json!({"metadata": {"name": "c"}, "data": {"a": "x"}}),
    )
    .await
    .is(201);
    api.post(
        &path,
        &json!({"metadata": {"name": "d"}, "data": {"a b": "x"}}),
    )
    .await
    .fails(422, "data[a b]");
    api.post(&path, &json!({"metadata": {"name": "d"}, "data": {"a": 1}}))
        .await
        .fails(
            400,
            "cannot be handled as a ConfigMap: json: cannot unmarshal",
        );
    let large = json!({"metadata": {"name": "d"}, "data": {"a": "x".repeat(1 << 20), "b": "x"}});
    api.post(&path, &large).await.fails(422, "Too long");
    // The list says what is in it.
    for accept in ["application/json", "application/yaml"] {
        let answer = api.get_as(&path, accept).await;
        let text = answer.body.as_str();
        let listed = text.map_or_else(
            || answer.body.clone(),
            |text| serde_saphyr::from_str(text).unwrap(),
        );
        assert_eq!(listed["kind"], "ConfigMapList");
        let found: Vec<_> = listed["items"][0].as_object().unwrap().keys().collect();
        assert_eq!(found, ["data", "metadata"], "{accept}");
    }
}

#[tokio::test]
async fn events_have_two_forms() {
    let api = api().await;
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "c", "reportingInstance": "i", "action": "Did", "reason": "Why", "type": "Normal", "note": "text",
        "regarding": {"kind": "Widget", "name": "a", "namespace": "default", "uid": "u"},
    });
    let made = api.post(newer, &event).await.is(201);
    assert_eq!(
        (&made["note"], &made["apiVersion"]),
        (&json!("text"), &json!("events.k8s.io/v1"))
    );
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    assert_eq!(
        api.merge(&format!("{newer}/e"), &series).await.is(200)["series"]["count"],
        2
    );
    let core = api
        .get(&format!(
            "{DEFAULT}/events?fieldSelector=involvedObject.name%3Da,involvedObject.uid%3Du"
        ))
        .await
        .is(200);
    let found = &core["items"][0];
    assert_eq!(
        (&found["message"], &found["apiVersion"], &found["kind"]),
        (&json!("text"), &Value::Null, &Value::Null)
    );
    assert_eq!(found["involvedObject"]["name"], "a");
    assert_eq!(
        (&found["series"]["count"], &found["reportingComponent"]),
        (&json!(2), &json!("c"))
    );
    let list = api
        .get(&format!("{newer}?fieldSelector=regarding.name%3Da"))
        .await
        .is(200);
    assert_eq!(
        (&list["items"][0]["note"], &list["kind"]),
        (&json!("text"), &json!("EventList"))
    );
    // Of core alone the source can be asked for: the component, or else who reported it.
    let events = format!("{DEFAULT}/events");
    let sourced = json!({"metadata": {"name": "s"}, "involvedObject": {"namespace": "default"}, "source": {"component": "k"}});
    api.post(&events, &sourced).await.is(201);
    for (source, name) in [("c", "e"), ("k", "s")] {
        let path = format!("{events}?fieldSelector=source%3D{source}");
        let list = api.get(&path).await.is(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{source}");
        assert_eq!(list["items"][0]["metadata"]["name"], name);
    }
    api.get(&format!("{newer}?fieldSelector=source%3Dc"))
        .await
        .fails(400, "field label not supported: source");
    let other = json!({"metadata": {"name": "f"}, "involvedObject": {"namespace": "shop"}});
    api.post(&format!("{DEFAULT}/events"), &other)
        .await
        .fails(422, "does not match event.namespace");
    // The new form is strict, and what was said stays.
    let changed = |field: &str, value: Value| {
        let mut event = event.clone();
        event["metadata"]["name"] = json!("g");
        event[field] = value;
        event
    };
    for (field, value, says) in [
        ("eventTime", Value::Null, "eventTime: Required value"),
        (
            "type",
            json!("Foo"),
            "type: Invalid value: \"\": has invalid value: Foo",
        ),
        (
            "note",
            json!("x".repeat(1025)),
            "message: Invalid value: \"\": can have at most 1024",
        ),
        ("action", json!(""), "action: Required value"),
        (
            "deprecatedCount",
            json!(1),
            "count: Invalid value: \"\": needs to be unset",
        ),
        (
            "reportingController",
            json!("a b"),
            "reportingController: Invalid value: \"a b\"",
        ),
    ] {
        api.post(newer, &changed(field, value))
            .await
            .fails(422, says);
    }
    let note = json!({"note": "other"});
    api.merge(&format!("{newer}/e"), &note)
        .await
        .fails(422, "message: Invalid value: \"other\": field is immutable");
    let series = json!({"series": {"count": 1, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    api.merge(&format!("{newer}/e"), &series).await.fails(
        422,
        "series.count: Invalid value: \"\": should be at least 2",
    );
}

#[tokio::test]
async fn old_events_go() {
    let limits = apiserver::Limits {
        event_ttl: std::time::Duration::from_secs(1),
        ..Default::default()
    };
    let api = crate::support::api_with(apiserver::Config {
        limits,
        ..Default::default()
    })
    .await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"name": "a"}, "message": "m"});
    let mut watch = api.watch(&format!("{DEFAULT}/events?watch=true")).await;
    api.post(&format!("{DEFAULT}/events"), &event).await.is(201);
    assert_eq!(watch.brief().await.0, "ADDED");
    assert_eq!(watch.brief().await.0, "DELETED");
}

#[tokio::test]
async fn reviews_answer() {
    let api = api().await;
    let who = api
        .post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            &json!({}),
        )
        .await
        .is(201);
    assert_eq!(who["status"]["userInfo"]["username"], "tester");
    let access = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let may = api
        .post(
            access,
            &json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}),
        )
        .await
        .is(201);
    assert_eq!(may["status"]["allowed"], true);
    api.post(access, &json!({"spec": {}}))
        .await
        .fails(422, "exactly one of");
    let other =
        json!({"spec": {"user": "u", "resourceAttributes": {"verb": "list", "resource": "pods"}}});
    let may = api
        .post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &other)
        .await
        .is(201);
    assert_eq!(may["status"]["allowed"], false);
    let rules = api
        .post(
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            &json!({"spec": {"namespace": "default"}}),
        )
        .await
        .is(201);
    assert_eq!(rules["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    api.get(access).await.fails(405, "does not allow");
}

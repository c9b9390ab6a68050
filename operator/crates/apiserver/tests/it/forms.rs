//! The one form that objects of built-in kinds have, who owns what the server makes of them, and what
//! is told of them when they are wrong.

use serde_json::{Value, json};

use crate::support::{Api, WIDGETS, api, widget};

const DEFAULT: &str = "/api/v1/namespaces/default";

/// What the manager of a dry run would own of a new object.
async fn owned(api: &Api, path: &str, object: &Value) -> Value {
    let path = format!("{path}?dryRun=All&fieldManager=m");
    let made = api.post(&path, object).await.is(201);
    let entries = &made["metadata"]["managedFields"];
    assert!(entries.get(1).is_none(), "{entries:#}");
    entries[0]["fieldsV1"].clone()
}

#[tokio::test]
async fn what_decoding_makes_of_an_object_belongs_to_its_writer() {
    let api = api().await;
    let secret = json!({"metadata": {"name": "a"}, "stringData": {"a": "b"}});
    assert_eq!(
        owned(&api, &format!("{DEFAULT}/secrets"), &secret).await,
        json!({"f:data": {".": {}, "f:a": {}}, "f:type": {}})
    );
    let namespace = json!({"metadata": {"name": "a"}});
    assert_eq!(
        owned(&api, "/api/v1/namespaces", &namespace).await,
        json!({"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}})
    );
    // `spec` is there in every Lease: nobody owns it.
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}});
    assert_eq!(
        owned(&api, leases, &lease).await,
        json!({"f:spec": {"f:holderIdentity": {}}})
    );
    // The names and the conversion that a definition has by default are its writer's, too.
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
    let definition = json!({"metadata": {"name": "forms.test.example"}, "spec": {"group": "test.example",
        "names": {"plural": "forms", "kind": "Form"}, "scope": "Cluster", "versions": [version]}});
    assert_eq!(
        owned(&api, definitions, &definition).await,
        json!({"f:spec": {
            "f:conversion": {".": {}, "f:strategy": {}}, "f:group": {}, "f:scope": {}, "f:versions": {},
            "f:names": {"f:kind": {}, "f:listKind": {}, "f:plural": {}, "f:singular": {}},
        }})
    );
    let nothing = json!({"metadata": {"name": "a", "labels": {}, "finalizers": []}, "data": {}});
    assert_eq!(
        owned(&api, &format!("{DEFAULT}/configmaps"), &nothing).await,
        Value::Null
    );
}

#[tokio::test]
async fn nothing_is_left_out_and_something_is_always_there() {
    let api = api().await;
    let dry = |path: &str| format!("{path}?dryRun=All");
    let map = json!({"metadata": {"name": "a", "labels": {}, "annotations": {"x": null}}, "data": {}, "immutable": false});
    let made = api
        .post(&dry(&format!("{DEFAULT}/configmaps")), &map)
        .await
        .is(201);
    assert_eq!(made.get("data"), None);
    assert_eq!(made["immutable"], false);
    assert_eq!(made["metadata"].get("labels"), None);
    assert_eq!(made["metadata"]["annotations"], json!({"x": ""}));
    let role = json!({"metadata": {"name": "a"}, "rules": []});
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    assert_eq!(
        api.post(&dry(roles), &role).await.is(201)["rules"],
        Value::Null
    );
    // Custom resources have the form in their metadata only.
    let mut custom = widget("a");
    custom["metadata"]["labels"] = json!({});
    custom["metadata"]["managedFields"] = json!([]);
    let made = api.post(&dry(WIDGETS), &custom).await.is(201);
    assert_eq!(made["metadata"].get("labels"), None);
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Update");
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let api = api().await;
    let map = json!({"metadata": {"name": "A", "finalizers": ["mine"]}, "data": {"a b": ""}});
    let status = api
        .post(&format!("{DEFAULT}/configmaps"), &map)
        .await
        .is(422);
    let fields: Vec<_> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["metadata.name", "metadata.finalizers[0]", "data[a b]"]
    );
    let mut custom = widget("a");
    custom["metadata"]["finalizers"] = json!(["mine"]);
    let answer = api.post(&format!("{WIDGETS}?dryRun=All"), &custom).await;
    let warning = answer.headers["warning"].to_str().unwrap().to_owned();
    assert!(
        warning.contains("prefer a domain-qualified finalizer name"),
        "{warning}"
    );
    answer.is(201);
    let binding = json!({"metadata": {"name": "a"}, "subjects": [{"kind": "Robot"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    api.post(bindings, &binding).await.fails(
        422,
        "[roleRef.kind: Unsupported value: \"\": supported values: \"Role\", \"ClusterRole\", roleRef.name: Required value, \
         subjects[0].name: Required value, subjects[0].kind: Unsupported value: \"Robot\"",
    );
}

#[tokio::test]
async fn events_of_the_newer_group_say_more() {
    let api = api().await;
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({"metadata": {"name": "e"}, "regarding": {"namespace": "default"}, "deprecatedCount": 1});
    api.post(newer, &event).await.fails(
        422,
        "[eventTime: Required value, type: Invalid value: \"\": has invalid value: , count: Invalid value: \"\": needs to be unset]",
    );
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}});
    let made = api.post(&format!("{DEFAULT}/events"), &event).await.is(201);
    assert_eq!(
        (
            &made["source"],
            &made["reportingComponent"],
            &made["eventTime"]
        ),
        (&json!({}), &json!(""), &Value::Null)
    );
    let changed = json!({"reason": "Other"});
    api.merge(&format!("{newer}/e"), &changed)
        .await
        .fails(422, "reason: Invalid value: \"Other\": field is immutable");
}

#[tokio::test]
async fn what_a_deletion_and_a_lease_answer() {
    let api = api().await;
    let accounts = format!("{DEFAULT}/serviceaccounts");
    api.post(&accounts, &json!({"metadata": {"name": "a"}}))
        .await
        .is(201);
    let gone = api.delete(&format!("{accounts}/a")).await.is(200);
    assert_eq!(gone["kind"], "ServiceAccount");
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"metadata": {"name": "a"}, "spec": {"renewTime": "2026-01-01T02:00:00.500000+02:00"}});
    let made = api.post(leases, &lease).await.is(201);
    assert_eq!(made["spec"]["renewTime"], "2026-01-01T00:00:00.500000Z");
    let without_version = json!({"metadata": {"name": "a"}});
    api.put(&format!("{leases}/a"), &without_version)
        .await
        .fails(422, "must be specified for an update");
    let late = json!({"metadata": {"name": "b"}, "spec": {"renewTime": "2026-01-01T02:00:00Z"}});
    api.post(leases, &late)
        .await
        .fails(400, "cannot parse \"Z\" as \".000000\"");
}

#[tokio::test]
async fn a_name_that_is_about_to_be_free_says_so() {
    let api = api().await;
    let mut object = widget("a");
    object["metadata"]["finalizers"] = json!(["test.example/f"]);
    api.post(WIDGETS, &object).await.is(201);
    api.delete(&format!("{WIDGETS}/a")).await.is(200);
    api.post(WIDGETS, &object).await.fails(
        409,
        "object is being deleted: widgets.test.example \"a\" already exists",
    );
}

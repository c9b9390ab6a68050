//! One object: create, read, replace, patch, delete.

use serde_json::json;

use crate::support::{DEPLOYMENTS, WIDGETS, api, version, widget};

fn at(name: &str) -> String {
    format!("{WIDGETS}/{name}")
}

#[tokio::test]
async fn an_object_lives() {
    let api = api().await;
    let made = api.post(WIDGETS, &widget("a")).await.is(201);
    assert_eq!(made["spec"], json!({"color": "red", "replicas": 1}));
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["metadata"]["namespace"], "default");
    assert!(made["metadata"]["uid"].as_str().unwrap().len() == 36);
    assert!(made.get("status").is_none());
    assert_eq!(api.get(&at("a")).await.is(200), made);

    let mut next = made.clone();
    next["spec"]["replicas"] = json!(3);
    next["status"] = json!({"seen": "ignored here"});
    let updated = api.put(&at("a"), &next).await.is(200);
    assert_eq!(updated["metadata"]["generation"], 2);
    assert!(updated.get("status").is_none() && version(&updated) > version(&made));
    assert_eq!(updated["metadata"]["uid"], made["metadata"]["uid"]);

    // The same again is no change, and an old version is refused.
    assert_eq!(api.put(&at("a"), &updated).await.is(200), updated);
    api.put(&at("a"), &next)
        .await
        .fails(409, "please apply your changes to the latest version");

    let gone = api.delete(&at("a")).await.is(200);
    assert_eq!(
        (&gone["kind"], &gone["status"]),
        (&json!("Status"), &json!("Success"))
    );
    assert_eq!(gone["details"]["uid"], made["metadata"]["uid"]);
    api.get(&at("a"))
        .await
        .fails(404, "widgets.test.example \"a\" not found");
    api.delete(&at("a"))
        .await
        .fails(404, "widgets.test.example \"a\" not found");
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let api = api().await;
    let before = api.store.revision();
    let made = api
        .post(&format!("{WIDGETS}?dryRun=All"), &widget("a"))
        .await
        .is(201);
    assert!(made["metadata"].get("resourceVersion").is_none());
    api.get(&at("a")).await.is(404);
    let made = api.post(WIDGETS, &widget("a")).await.is(201);
    let dry = api
        .merge(
            &format!("{}?dryRun=All", at("a")),
            &json!({"spec": {"replicas": 9}}),
        )
        .await
        .is(200);
    assert_eq!(
        (&dry["spec"]["replicas"], version(&dry)),
        (&json!(9), version(&made))
    );
    api.delete(&format!("{}?dryRun=All", at("a"))).await.is(200);
    api.post(&format!("{WIDGETS}?dryRun=All"), &widget("a"))
        .await
        .is(409);
    assert_eq!(api.get(&at("a")).await.is(200), made);
    assert_eq!(api.store.revision(), before + 1);
}

#[tokio::test]
async fn versions_and_identity_are_preconditions() {
    let api = api().await;
    let made = api.post(WIDGETS, &widget("a")).await.is(201);
    api.put(&at("a"), &widget("a")).await.fails(
        422,
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update",
    );
    api.put(&at("b"), &made).await.fails(
        400,
        "the name of the object (a) does not match the name on the URL (b)",
    );
    let patch =
        |field: &str, value: &str| json!({"metadata": {field: value}, "spec": {"replicas": 7}});
    api.merge(&at("a"), &patch("resourceVersion", "1"))
        .await
        .is(409);
    api.merge(&at("a"), &patch("resourceVersion", "x"))
        .await
        .is(422);
    api.merge(&at("a"), &patch("uid", "x")).await.fails(
        422,
        "metadata.uid: Invalid value: \"x\": field is immutable",
    );
    let mut other = made.clone();
    other["metadata"]["uid"] = json!("x");
    api.put(&at("a"), &other)
        .await
        .fails(409, "UID in precondition: x");
    api.merge(&at("a"), &json!({"metadata": {"resourceVersion": null}}))
        .await
        .fails(422, "must be specified for an update");
    let time = "2026-01-01T00:00:00Z";
    api.merge(&at("a"), &patch("deletionTimestamp", time))
        .await
        .fails(422, "metadata.deletionTimestamp: Invalid value");
    let options = |field: &str, value: &str| json!({"preconditions": {field: value}}).to_string();
    for (field, value) in [("uid", "x"), ("resourceVersion", "1")] {
        api.with(
            "DELETE",
            &at("a"),
            "application/json",
            &options(field, value),
        )
        .await
        .fails(409, "in the precondition (");
    }
    let uid = made["metadata"]["uid"].as_str().unwrap();
    api.with("DELETE", &at("a"), "application/json", &options("uid", uid))
        .await
        .is(200);
    // Missing objects are not made by PUT.
    api.put(&at("a"), &made).await.is(404);
}

#[tokio::test]
async fn patches() {
    let api = api().await;
    let made = api.post(WIDGETS, &widget("a")).await.is(201);
    let merged = api
        .merge(&at("a"), &json!({"metadata": {"labels": {"x": "y"}}}))
        .await
        .is(200);
    assert_eq!(
        (
            &merged["metadata"]["labels"],
            &merged["metadata"]["generation"]
        ),
        (&json!({"x": "y"}), &json!(1))
    );
    // Nothing new: no revision.
    assert_eq!(
        api.merge(&at("a"), &json!({"metadata": {"labels": {"x": "y"}}}))
            .await
            .is(200),
        merged
    );
    let json_patch = |body: serde_json::Value| {
        let (api, path) = (&api, at("a"));
        async move {
            api.with(
                "PATCH",
                &path,
                "application/json-patch+json",
                &body.to_string(),
            )
            .await
        }
    };
    // case T11: this is how kube's finalizer() begins.
    let body = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["test.example/f"]},
    ]);
    let patched = json_patch(body).await.is(200);
    assert_eq!(patched["metadata"]["finalizers"], json!(["test.example/f"]));
    json_patch(json!([{"op": "test", "path": "/spec/color", "value": "blue"}]))
        .await
        .is(422);
    json_patch(json!({"op": "test"})).await.is(400);
    json_patch(json!([{"op": "replace", "path": "/spec/replicas", "value": -1}]))
        .await
        .fails(422, "spec.replicas");
    json_patch(json!([{"op": "replace", "path": "/kind", "value": "X"}]))
        .await
        .fails(422, "kind: Invalid value: \"X\": must be Widget");
    json_patch(json!([{"op": "replace", "path": "", "value": 1}]))
        .await
        .is(400);
    let strategic = "application/strategic-merge-patch+json";
    api.with("PATCH", &at("a"), strategic, "{}")
        .await
        .fails(415, "application/merge-patch+json");
    api.with("PATCH", &at("a"), "application/json", "{}")
        .await
        .fails(415, "application/merge-patch+json");
    api.merge(&at("a"), &json!([])).await.is(400);
    api.merge(&at("b"), &json!({})).await.is(404);
    api.merge(&format!("{}?force=true", at("a")), &json!({}))
        .await
        .is(422);
    assert_eq!(
        api.get(&at("a")).await.is(200)["metadata"]["uid"],
        made["metadata"]["uid"]
    );
}

#[tokio::test]
async fn status_is_a_world_of_its_own() {
    let api = api().await;
    let made = api.post(WIDGETS, &widget("a")).await.is(201);
    let path = format!("{}/status", at("a"));
    let patch = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"color": "blue"}, "status": {"seen": "yes"}});
    let patched = api.merge(&path, &patch).await.is(200);
    assert_eq!(patched["status"], json!({"seen": "yes"}));
    assert_eq!(patched["spec"], made["spec"]);
    assert!(patched["metadata"].get("labels").is_none());
    assert_eq!(patched["metadata"]["generation"], 1);
    assert_eq!(api.merge(&path, &patch).await.is(200), patched);
    assert_eq!(api.get(&path).await.is(200), patched);
    let kept = api
        .merge(
            &at("a"),
            &json!({"spec": {"color": "blue"}, "status": {"seen": "no"}}),
        )
        .await
        .is(200);
    assert_eq!(
        (&kept["status"]["seen"], &kept["metadata"]["generation"]),
        (&json!("yes"), &json!(2))
    );
    api.merge(&path, &json!({"status": {"replicas": "x"}}))
        .await
        .fails(422, "status.replicas");
    let mut put = kept.clone();
    put["status"] = json!({"seen": "put"});
    assert_eq!(api.put(&path, &put).await.is(200)["status"]["seen"], "put");
}

#[tokio::test]
async fn scale() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let path = format!("{}/scale", at("a"));
    let scale = api.get(&path).await.is(200);
    assert_eq!(
        (&scale["kind"], &scale["apiVersion"]),
        (&json!("Scale"), &json!("autoscaling/v1"))
    );
    let scaled = api
        .merge(&path, &json!({"spec": {"replicas": 4}}))
        .await
        .is(200);
    assert_eq!(scaled["spec"]["replicas"], 4);
    let object = api.get(&at("a")).await.is(200);
    assert_eq!(
        (
            &object["spec"]["replicas"],
            &object["metadata"]["generation"]
        ),
        (&json!(4), &json!(2))
    );
    // No time is noted: the entry comes first.
    let entries = &object["metadata"]["managedFields"];
    assert_eq!(entries[0]["subresource"], "scale");
    let timed = |index: usize| entries[index]["time"].is_string();
    assert_eq!((timed(0), timed(1)), (false, true));
    api.put(&path, &scale).await.fails(409, "latest version");
    api.merge(&path, &json!({"spec": {"replicas": -1}}))
        .await
        .fails(
            422,
            "Widget.test.example \"a\" is invalid: [spec.replicas: Invalid value: -1: \
             spec.replicas in body should be greater than or equal to 0, \
             .spec.replicas: Invalid value: -1: should be a non-negative integer]",
        );
    // What a status says of them is bounded, too.
    let status = format!("{}/status", at("a"));
    api.merge(&status, &json!({"status": {"replicas": -1}}))
        .await
        .fails(
            422,
            ".status.replicas: Invalid value: -1: should be a non-negative integer",
        );
    api.get(&format!("{WIDGETS}/b/scale")).await.is(404);
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let api = api().await;
    let mut object = widget("a");
    object["metadata"]["finalizers"] = json!(["test.example/f"]);
    api.post(WIDGETS, &object).await.is(201);
    let body =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"})
            .to_string();
    let marked = api
        .with("DELETE", &at("a"), "application/json", &body)
        .await
        .is(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["generation"], 2);
    // Marking it again changes nothing. (Its finalizer of the policy may be gone by now.)
    let again = api.delete(&at("a")).await.is(200);
    for field in ["deletionTimestamp", "generation"] {
        assert_eq!(again["metadata"][field], marked["metadata"][field]);
    }
    let more = json!({"metadata": {"finalizers": ["test.example/f", "test.example/g"]}});
    api.merge(&at("a"), &more).await.fails(
        422,
        "metadata.finalizers: Forbidden: no new finalizers can be added",
    );
    api.merge(&at("a"), &json!({"metadata": {"deletionTimestamp": null}}))
        .await
        .is(200);
    assert_eq!(
        api.get(&at("a")).await.is(200)["metadata"]["deletionTimestamp"],
        marked["metadata"]["deletionTimestamp"]
    );
    let last = api
        .merge(&at("a"), &json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    assert!(version(&last) > version(&marked));
    api.get(&at("a")).await.is(404);
    let wrong = json!({"propagationPolicy": "Sideways"}).to_string();
    api.with("DELETE", &at("a"), "application/json", &wrong)
        .await
        .fails(422, "propagationPolicy: Unsupported value");
}

#[tokio::test]
async fn our_kinds_are_born_unknown_and_held() {
    let api = api().await;
    let web = json!({"apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"image": "nginx:1"}});
    let made = api.post(DEPLOYMENTS, &web).await.is(201);
    assert_eq!(
        made["metadata"]["finalizers"],
        json!(["obiente.cloud/swarm-service"])
    );
    assert_eq!(made["status"]["observedGeneration"], 0);
    let ready = &made["status"]["conditions"][0];
    assert_eq!(
        (&ready["type"], &ready["status"]),
        (&json!("Ready"), &json!("Unknown"))
    );
    let mut manifest = made.clone();
    manifest["metadata"]["finalizers"] = json!([]);
    manifest["spec"]["replicas"] = json!(2);
    let replaced = api
        .put(&format!("{DEPLOYMENTS}/web"), &manifest)
        .await
        .is(200);
    assert_eq!(
        (
            &replaced["metadata"]["finalizers"],
            &replaced["metadata"]["generation"]
        ),
        (&made["metadata"]["finalizers"], &json!(2))
    );
    let marked = api.delete(&format!("{DEPLOYMENTS}/web")).await.is(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test]
async fn a_patch_makes_no_other_kind() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    for (patch, message) in [
        (
            json!({"kind": "Gadget"}),
            "Gadget.test.example \"a\" is invalid: kind: Invalid value: \"Gadget\": must be Widget",
        ),
        (
            json!({"apiVersion": "other.example/v1"}),
            "Widget.other.example \"a\" is invalid: apiVersion: Invalid value: \"other.example/v1\": must be test.example/v1",
        ),
    ] {
        api.merge(&at("a"), &patch).await.fails(422, message);
    }
}

#[tokio::test]
async fn concurrent_patches_are_all_kept() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let patches = (0..200).map(|n| {
        let (api, body) = (
            &api,
            json!({"metadata": {"labels": {format!("l{n}"): "x"}}}),
        );
        async move { api.merge(&at("a"), &body).await.is(200) }
    });
    futures::future::join_all(patches).await;
    let labels = api.get(&at("a")).await.is(200)["metadata"]["labels"].clone();
    assert_eq!(labels.as_object().unwrap().len(), 200);
}

#[tokio::test]
async fn generated_names_and_yaml() {
    let api = api().await;
    let body = "apiVersion: test.example/v1\nkind: Widget\nmetadata: {generateName: w-}\nspec: {color: 'on'}";
    let made = api
        .with("POST", WIDGETS, "application/yaml", body)
        .await
        .is(201);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("w-") && name.len() == 7, "{name}");
    let yaml = api.get_as(&at(name), "application/yaml").await.is(200);
    assert!(
        yaml.as_str().unwrap().contains("color: \"on\"")
            || yaml.as_str().unwrap().contains("color: 'on'"),
        "{yaml}"
    );
}

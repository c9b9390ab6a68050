//! Server-side apply, and who owns what after other writes.

use serde_json::{Value, json};

use crate::support::{Answer, Api, DEPLOYMENTS, WIDGETS, api, version, widget};

async fn apply(api: &Api, query: &str, body: &Value) -> Answer {
    let path = format!("{WIDGETS}/a?{query}");
    api.with(
        "PATCH",
        &path,
        "application/apply-patch+yaml",
        &body.to_string(),
    )
    .await
}

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = entries
        .iter()
        .map(|entry| {
            format!(
                "{} {} {}",
                text(entry, "manager"),
                text(entry, "operation"),
                text(entry, "subresource")
            )
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn it_makes_changes_and_rests() {
    let api = api().await;
    let made = apply(&api, "fieldManager=one", &widget("a")).await.is(201);
    assert_eq!(managers(&made), ["one Apply "]);
    assert_eq!(
        apply(&api, "fieldManager=one", &widget("a")).await.is(200),
        made
    );
    let mut more = widget("a");
    more["spec"]["replicas"] = json!(3);
    let changed = apply(&api, "fieldManager=one", &more).await.is(200);
    assert_eq!(
        (
            &changed["spec"]["replicas"],
            &changed["metadata"]["generation"]
        ),
        (&json!(3), &json!(2))
    );
    // What is no longer stated goes, and the default comes back.
    let less = apply(&api, "fieldManager=one", &widget("a")).await.is(200);
    assert_eq!(less["spec"]["replicas"], 1);
    let dry = apply(&api, "fieldManager=two&dryRun=All&force=true", &more)
        .await
        .is(200);
    assert_eq!(
        (version(&dry), &dry["spec"]["replicas"]),
        (version(&less), &json!(3))
    );
    assert_eq!(api.get(&format!("{WIDGETS}/a")).await.is(200), less);
}

#[tokio::test]
async fn conflicts_name_the_owner() {
    let api = api().await;
    apply(&api, "fieldManager=one", &widget("a")).await.is(201);
    let mut blue = widget("a");
    blue["spec"]["color"] = json!("blue");
    let refused = apply(&api, "fieldManager=two", &blue).await;
    assert_eq!(
        refused.body["details"]["causes"][0]["reason"],
        "FieldManagerConflict"
    );
    assert_eq!(refused.body["details"]["causes"][0]["field"], ".spec.color");
    refused.fails(
        409,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.color",
    );
    let forced = apply(&api, "fieldManager=two&force=true", &blue)
        .await
        .is(200);
    assert_eq!(forced["spec"]["color"], "blue");
    apply(&api, "", &blue)
        .await
        .fails(422, "fieldManager: Required value");
    let mut odd = widget("a");
    odd["spec"]["size"] = json!(1);
    apply(&api, "fieldManager=two&fieldValidation=Strict", &odd)
        .await
        .fails(
            500,
            "failed to create typed patch object (/a; test.example/v1, Kind=Widget): .spec.size: field not declared in schema",
        );
    apply(&api, "fieldManager=two", &json!([])).await.is(400);
    apply(
        &api,
        "fieldManager=two",
        &json!({"apiVersion": "x/v1", "kind": "Widget"}),
    )
    .await
    .fails(400, "invalid object type: x/v1, Kind=Widget");
    for metadata in [json!({"name": null}), json!({"name": ""})] {
        let nameless =
            json!({"apiVersion": "test.example/v1", "kind": "Widget", "metadata": metadata});
        let text =
            "the name of the object (a based on URL) was undeterminable: name must be provided";
        apply(&api, "fieldManager=two", &nameless)
            .await
            .fails(400, text);
    }
}

#[tokio::test]
async fn other_writes_are_tracked() {
    let api = api().await;
    let made = api
        .post(&format!("{WIDGETS}?fieldManager=maker"), &widget("a"))
        .await
        .is(201);
    assert_eq!(managers(&made), ["maker Update "]);
    let status = json!({"status": {"seen": "x"}});
    let changed = api
        .merge(&format!("{WIDGETS}/a/status?fieldManager=looker"), &status)
        .await
        .is(200);
    assert_eq!(
        managers(&changed),
        ["looker Update status", "maker Update "]
    );
    // A finalizer that the server gave belongs to nobody and survives an apply.
    let web = json!({"apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"image": "nginx:1"}});
    let path = format!("{DEPLOYMENTS}/web?fieldManager=flux&force=true");
    let media = "application/apply-patch+yaml";
    let made = api
        .with("PATCH", &path, media, &web.to_string())
        .await
        .is(201);
    assert_eq!(
        api.with("PATCH", &path, media, &web.to_string())
            .await
            .is(200),
        made
    );
    assert_eq!(
        made["metadata"]["finalizers"],
        json!(["obiente.cloud/swarm-service"])
    );
}

#[tokio::test]
async fn scale_is_applied_to_the_field_behind_it() {
    let api = api().await;
    let mut object = widget("a");
    object["spec"]["replicas"] = json!(2);
    apply(&api, "fieldManager=one", &object).await.is(201);
    let media = "application/apply-patch+yaml";
    let scale = |query: &'static str, replicas: u32| {
        let body = format!(
            "{{apiVersion: autoscaling/v1, kind: Scale, metadata: {{name: a}}, spec: {{replicas: {replicas}}}}}"
        );
        let (api, path) = (&api, format!("{WIDGETS}/a/scale?{query}"));
        async move { api.with("PATCH", &path, media, &body).await }
    };
    scale("fieldManager=hpa", 5)
        .await
        .fails(409, "conflict with \"one\": .spec.replicas");
    let scaled = scale("fieldManager=hpa&force=true", 5).await.is(200);
    assert_eq!(
        (&scaled["kind"], &scaled["spec"]["replicas"]),
        (&json!("Scale"), &json!(5))
    );
    let live = api.get(&format!("{WIDGETS}/a")).await.is(200);
    assert_eq!(managers(&live), ["hpa Apply scale", "one Apply "]);
    assert_eq!(scale("fieldManager=hpa", 5).await.is(200), scaled);
    // Whoever applies the object now leaves the number out and keeps it.
    let kept = apply(&api, "fieldManager=one", &widget("a")).await.is(200);
    assert_eq!(kept["spec"]["replicas"], 5);
    let path = format!("{WIDGETS}/a/scale?fieldManager=hpa");
    api.with("PATCH", &path, media, &widget("a").to_string())
        .await
        .fails(400, "apiVersion of an applied scale must be");
}

#[tokio::test]
async fn client_side_apply_turns_into_server_side_apply() {
    let api = api().await;
    let mut object = widget("a");
    object["spec"]["replicas"] = json!(2);
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    object["metadata"]["annotations"] = json!({annotation: object.to_string()});
    let path = format!("{WIDGETS}?fieldManager=kubectl-client-side-apply");
    api.post(&path, &object).await.is(201);
    let moved = apply(&api, "fieldManager=kubectl", &widget("a"))
        .await
        .is(200);
    // The number was left out, but stays client-side apply's until kubectl changes that entry.
    assert_eq!(moved["spec"]["replicas"], 2);
    assert_eq!(
        managers(&moved),
        ["kubectl Apply ", "kubectl-client-side-apply Update "]
    );
    let stated: Value = serde_json::from_str(
        moved["metadata"]["annotations"][annotation]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(stated["spec"], widget("a")["spec"]);
    assert_eq!(
        apply(&api, "fieldManager=kubectl", &widget("a"))
            .await
            .is(200),
        moved
    );
    // This is how kubectl goes over.
    let mut entries = moved["metadata"]["managedFields"].clone();
    entries[1]["manager"] = json!("kubectl");
    entries[1]["operation"] = json!("Apply");
    let change = json!({"metadata": {"managedFields": [entries[1]]}});
    api.merge(&format!("{WIDGETS}/a"), &change).await.is(200);
    let moved = apply(&api, "fieldManager=kubectl", &widget("a"))
        .await
        .is(200);
    assert_eq!(moved["spec"]["replicas"], 1, "the default again");
    assert_eq!(managers(&moved), ["kubectl Apply "]);
}

#[tokio::test]
async fn what_is_served_is_found() {
    let api = api().await;
    let core = api.get("/api/v1").await.is(200);
    let names: Vec<_> = core["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    for name in [
        "namespaces",
        "namespaces/status",
        "secrets",
        "configmaps",
        "serviceaccounts",
        "events",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let groups = api.get("/apis").await.is(200);
    assert_eq!(groups["groups"][0]["name"], "obiente.cloud");
    let v3 = api.get("/openapi/v3").await.is(200);
    assert!(v3["paths"].get("apis/obiente.cloud/v1alpha1").is_some());
    assert_eq!(api.get("/version").await.is(200)["major"], "1");
    api.get("/apis/nothing").await.is(404);
}

//! The life of a namespace.

use serde_json::{Value, json};

use crate::support::{WIDGETS, api, api_beside, widget};

const NAMESPACES: &str = "/api/v1/namespaces";

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

#[tokio::test]
async fn it_begins() {
    let api = api().await;
    let list = api.get(NAMESPACES).await.is(200);
    let names: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].clone())
        .collect();
    let initial = ["default", "kube-node-lease", "kube-public", "kube-system"];
    assert_eq!(names, initial);
    let made = api.post(NAMESPACES, &namespace("shop")).await.is(201);
    assert_eq!(
        made["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "shop"})
    );
    assert_eq!(made["status"], json!({"phase": "Active"}));
    assert_eq!(made["spec"], json!({"finalizers": ["kubernetes"]}));
    assert!(made["metadata"].get("generation").is_none());
    api.post(NAMESPACES, &namespace("a.b")).await.fails(
        422,
        "metadata.name: Invalid value: \"a.b\": must not contain dots",
    );
    for permanent in ["default", "kube-public", "kube-system"] {
        api.delete(&format!("{NAMESPACES}/{permanent}"))
            .await
            .fails(403, "this namespace may not be deleted");
    }
    let missing = WIDGETS.replace("default", "nowhere");
    api.post(&missing, &widget("a"))
        .await
        .fails(404, "namespaces \"nowhere\" not found");
    api.post(&format!("{missing}?dryRun=All"), &widget("a"))
        .await
        .fails(404, "namespaces \"nowhere\" not found");
}

#[tokio::test]
async fn it_ends_with_its_contents() {
    let api = api().await;
    api.post(NAMESPACES, &namespace("shop")).await.is(201);
    let widgets = WIDGETS.replace("default", "shop");
    let mut held = widget("held");
    held["metadata"]["finalizers"] = json!(["test.example/f"]);
    api.post(&widgets, &held).await.is(201);
    api.post(&widgets, &widget("free")).await.is(201);
    let secrets = format!("{NAMESPACES}/shop/secrets");
    api.post(&secrets, &json!({"metadata": {"name": "s"}}))
        .await
        .is(201);

    let marked = api.delete(&format!("{NAMESPACES}/shop")).await.is(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    api.post(&widgets, &widget("late")).await.fails(
        403,
        "unable to create new content in namespace shop because it is being terminated",
    );
    let generated = json!({"metadata": {"generateName": "late-"}});
    api.post(&format!("{NAMESPACES}/shop/configmaps"), &generated)
        .await
        .fails(
            403,
            "configmaps \"late-\" is forbidden: unable to create new content",
        );
    api.until(&format!("{widgets}/free"), 404).await;
    api.until(&format!("{secrets}/s"), 404).await;
    let mut watch = api.watch(&format!("{NAMESPACES}?watch=true")).await;
    let conditions = loop {
        let event = watch.next().await.unwrap();
        let found = &event["object"]["status"]["conditions"];
        if let Some(conditions) = found.as_array() {
            break conditions.clone();
        }
    };
    let said: Vec<_> = conditions
        .iter()
        .map(|found| {
            ["type", "status", "reason", "message"].map(|field| found[field].as_str().unwrap())
        })
        .collect();
    let expected = [
        [
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ],
        [
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ],
        [
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ],
        [
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: widgets.test.example has 1 resource instances",
        ],
        [
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: test.example/f in 1 resource instances",
        ],
    ];
    assert_eq!(said, expected);
    api.post(NAMESPACES, &namespace("shop")).await.fails(
        409,
        "object is being deleted: namespaces \"shop\" already exists",
    );
    api.post(&widgets, &widget("held"))
        .await
        .fails(403, "because it is being terminated");

    api.merge(
        &format!("{widgets}/held"),
        &json!({"metadata": {"finalizers": null}}),
    )
    .await
    .is(200);
    api.until(&format!("{NAMESPACES}/shop"), 404).await;
    api.post(NAMESPACES, &namespace("shop")).await.is(201);
}

/// Whoever put a finalizer of their own into `spec` is waited for, and takes it off by `finalize`.
#[tokio::test]
async fn it_waits_for_its_own_finalizers() {
    let api = api().await;
    let mut shop = namespace("shop");
    shop["spec"] = json!({"finalizers": ["short"]});
    api.post(NAMESPACES, &shop).await.fails(
        422,
        "name is neither a standard finalizer name nor is it fully qualified",
    );
    shop["spec"] = json!({"finalizers": ["test.example/f"]});
    let made = api.post(NAMESPACES, &shop).await.is(201);
    let both = json!(["test.example/f", "kubernetes"]);
    assert_eq!(made["spec"]["finalizers"], both);
    let path = format!("{NAMESPACES}/shop");
    let status = json!({"status": {"phase": "Terminating"}});
    api.merge(&format!("{path}/status"), &status)
        .await
        .fails(422, "may only be 'Active' if `deletionTimestamp` is empty");
    // Metadata can be written through it, but nothing that belongs to the namespace itself.
    let status = json!({"metadata": {"annotations": {"a": "b"}}, "spec": null, "status": {"phase": "Active"}});
    let of_status = format!("{path}/status?fieldManager=m");
    let changed = api.merge(&of_status, &status).await.is(200);
    assert_eq!(changed["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(changed["metadata"]["labels"], made["metadata"]["labels"]);
    assert_eq!(changed["spec"]["finalizers"], both);
    let entries = changed["metadata"]["managedFields"].as_array().unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry["manager"] == "m")
        .unwrap();
    assert_eq!(entry["subresource"], "status");
    let annotations = json!({".": {}, "f:a": {}});
    assert_eq!(
        entry["fieldsV1"]["f:metadata"]["f:annotations"],
        annotations
    );
    let finalize = format!("{path}/finalize");
    api.get(&finalize).await.fails(405, "does not allow");
    shop["spec"] = json!({"finalizers": ["kubernetes", "short"]});
    api.put(&finalize, &shop)
        .await
        .fails(422, "spec.finalizers[1]: Invalid value: \"short\"");

    let marked = api.delete(&path).await.is(200);
    assert!(marked["metadata"]["deletionGracePeriodSeconds"].is_null());
    let orphan = r#"{"propagationPolicy": "Orphan"}"#;
    let again = api.with("DELETE", &path, "application/json", orphan);
    assert!(again.await.is(200)["metadata"]["finalizers"].is_null());
    let mut watch = api.watch(&format!("{NAMESPACES}?watch=true")).await;
    let left = loop {
        let event = watch.next().await.unwrap();
        let namespace = &event["object"];
        if namespace["metadata"]["name"] == "shop" && namespace["spec"]["finalizers"] != both {
            break namespace["spec"]["finalizers"].clone();
        }
    };
    assert_eq!(left, json!(["test.example/f"]));
    shop["spec"] = json!({"finalizers": []});
    api.put(&finalize, &shop).await.is(200);
    api.until(&path, 404).await;
}

#[tokio::test]
async fn nothing_slips_into_a_namespace_that_goes() {
    let api = api().await;
    for round in 0..5 {
        let name = format!("n{round}");
        api.post(NAMESPACES, &namespace(&name)).await.is(201);
        let widgets = WIDGETS.replace("default", &name);
        let creates = (0..20).map(|n| {
            let (api, widgets) = (&api, &widgets);
            async move {
                let code = api
                    .post(widgets, &widget(&format!("w{n}")))
                    .await
                    .code
                    .as_u16();
                assert!([201, 403, 404].contains(&code), "{code}");
            }
        });
        let delete = async {
            api.delete(&format!("{NAMESPACES}/{name}")).await.is(200);
        };
        futures::future::join(futures::future::join_all(creates), delete).await;
        api.until(&format!("{NAMESPACES}/{name}"), 404).await;
        let left = api.get(&widgets).await.is(200);
        assert_eq!(left["items"], json!([]));
    }
}

/// A namespace that goes and comes back keeps what is new, whoever is still busy with the old one.
#[tokio::test]
async fn it_comes_back() {
    let api = api().await;
    let beside = api_beside(&api).await;
    let (path, widgets) = (
        format!("{NAMESPACES}/again"),
        WIDGETS.replace("default", "again"),
    );
    api.post(NAMESPACES, &namespace("again")).await.is(201);
    let mut held = widget("held");
    held["metadata"]["finalizers"] = json!(["test.example/f"]);
    api.post(&widgets, &held).await.is(201);
    let going = api.delete(&path).await.is(200);
    assert_eq!(going["status"]["phase"], "Terminating");
    // The loops have seen it, and look at it again and again.
    let condition = |object: &Value| object["status"]["conditions"].is_array();
    while !condition(&api.get(&path).await.is(200)) {
        tokio::task::yield_now().await;
    }
    let mut object = namespace("again");
    object["spec"] = json!({"finalizers": []});
    api.put(&format!("{path}/finalize"), &object).await.is(200);
    api.get(&path).await.is(404);
    api.post(NAMESPACES, &namespace("again")).await.is(201);
    api.post(&widgets, &widget("new")).await.is(201);
    // Whatever waits is looked at in order of names, before the end of another one.
    for api in [&api, &beside] {
        api.post(NAMESPACES, &namespace("last")).await.is(201);
        api.delete(&format!("{NAMESPACES}/last")).await.is(200);
        api.until(&format!("{NAMESPACES}/last"), 404).await;
    }
    api.get(&format!("{widgets}/new")).await.is(200);
}

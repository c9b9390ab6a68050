//! Garbage collection by owner references.

use serde_json::{Value, json};

use crate::support::{Answer, Api, DEPLOYMENTS, WIDGETS, api, api_beside, version, widget};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn owner(object: &Value, block: bool) -> Value {
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "name": object["metadata"]["name"], "uid": object["metadata"]["uid"],
        "blockOwnerDeletion": block,
    })
}

fn map(name: &str, owners: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owners}})
}

async fn make(api: &Api, name: &str, owners: &[Value]) -> Value {
    api.post(MAPS, &map(name, owners)).await.is(201)
}

async fn delete(api: &Api, path: &str, policy: &str) -> Answer {
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    api.with("DELETE", path, "application/json", &options.to_string())
        .await
}

fn one(name: &str) -> String {
    format!("{MAPS}/{name}")
}

/// Returns after the loop has looked at everything that was made before.
async fn settled(api: &Api, name: &str) {
    let absent = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "absent", "uid": "u"});
    for round in 0..2 {
        let name = format!("{name}{round}");
        make(api, &name, std::slice::from_ref(&absent)).await;
        api.until(&one(&name), 404).await;
    }
}

#[tokio::test]
async fn an_owner_is_named_once() {
    let api = api().await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"});
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "1"});
    let twice = json!({"metadata": {"name": "x", "ownerReferences": [owner, other, owner]}});
    let path = format!("{MAPS}?dryRun=All");
    let answer = api.post(&path, &twice).await;
    let warning = answer.headers["warning"].to_str().unwrap();
    assert!(
        warning.ends_with("duplicate UID(s) observed: 1\""),
        "{warning}"
    );
    let made = answer.is(201);
    assert_eq!(made["metadata"]["ownerReferences"], json!([owner, other]));
    // What is said about them fits into a header.
    let many = json!({"metadata": {"name": "x", "ownerReferences": vec![owner; 20_000]}});
    let answer = api.post(&path, &many).await;
    assert_eq!(answer.headers["warning"].len(), "299 - \"\"".len() + 256);
    let unknown: serde_json::Map<_, _> = (0..60)
        .map(|n| (format!("{n:0>300}"), json!(1)))
        .chain([("metadata".to_owned(), json!({"name": "x"}))])
        .collect();
    let answer = api.post(&path, &Value::Object(unknown)).await;
    let warnings = answer.headers.get_all("warning").iter();
    let lengths: Vec<_> = warnings.map(|warning| warning.len()).collect();
    // One of the characters has a backslash.
    assert_eq!(lengths, [256 + "299 - \"\"".len() + 1; 16]);
}

#[tokio::test]
async fn background() {
    let api = api().await;
    let a = make(&api, "a", &[]).await;
    let b = api.post(WIDGETS, &widget("b")).await.is(201);
    make(&api, "of-a", &[owner(&a, true)]).await;
    make(&api, "of-both", &[owner(&a, true), owner(&b, true)]).await;
    let below = make(&api, "below", &[]).await;
    api.merge(
        &one("below"),
        &json!({"metadata": {"ownerReferences": [owner(&b, false)]}}),
    )
    .await
    .is(200);
    let mut deep = widget("deep");
    deep["metadata"]["ownerReferences"] = json!([owner(&below, false)]);
    api.post(WIDGETS, &deep).await.is(201);
    settled(&api, "first").await;

    let gone = delete(&api, &one("a"), "Background").await.is(200);
    assert_eq!(gone["kind"], "Status");
    api.until(&one("of-a"), 404).await;
    // The other has an owner left, and no longer names the one that is gone.
    let left = async {
        loop {
            let both = api.get(&one("of-both")).await.is(200);
            let owners = both["metadata"]["ownerReferences"]
                .as_array()
                .unwrap()
                .clone();
            if owners.len() == 1 {
                return owners;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let left = tokio::time::timeout(crate::support::SOON, left)
        .await
        .unwrap();
    assert_eq!(left[0]["uid"], b["metadata"]["uid"]);
    // Without a policy it is the background.
    api.delete(&format!("{WIDGETS}/b")).await.is(200);
    for name in ["of-both", "below"] {
        api.until(&one(name), 404).await;
    }
    api.until(&format!("{WIDGETS}/deep"), 404).await;
}

#[tokio::test]
async fn foreground() {
    let api = api().await;
    let top = make(&api, "top", &[]).await;
    let middle = make(&api, "middle", &[owner(&top, true)]).await;
    let mut bottom = map("bottom", &[owner(&middle, true)]);
    bottom["metadata"]["finalizers"] = json!(["test.example/f"]);
    api.post(MAPS, &bottom).await.is(201);
    make(&api, "loose", &[owner(&top, false)]).await;
    let mut watch = api
        .watch(&format!(
            "{MAPS}?watch=true&resourceVersion={}",
            version(&api.get(MAPS).await.is(200))
        ))
        .await;

    let marked = delete(&api, &one("top"), "Foreground").await.is(200);
    assert_eq!(
        marked["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    api.until(&one("loose"), 404).await;
    let deleting = async {
        while !api.get(&one("bottom")).await.is(200)["metadata"]["deletionTimestamp"].is_string() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::SOON, deleting)
        .await
        .unwrap();
    for name in ["top", "middle"] {
        let waits = api.get(&one(name)).await.is(200);
        assert_eq!(
            waits["metadata"]["finalizers"],
            json!(["foregroundDeletion"]),
            "{name}"
        );
    }
    api.merge(&one("bottom"), &json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    let mut order = Vec::new();
    while order.len() < 4 {
        let (kind, name) = watch.brief().await;
        if kind == "DELETED" {
            order.push(name);
        }
    }
    order.retain(|name| name != "loose");
    assert_eq!(order, ["bottom", "middle", "top"]);
}

#[tokio::test]
async fn orphan() {
    let api = api().await;
    for (n, query) in ["propagationPolicy=Orphan", "orphanDependents=true"]
        .into_iter()
        .enumerate()
    {
        let (top, kept) = (format!("top{n}"), format!("kept{n}"));
        let owned_by = make(&api, &top, &[]).await;
        make(&api, &kept, &[owner(&owned_by, true)]).await;
        let marked = api.delete(&format!("{}?{query}", one(&top))).await.is(200);
        assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
        api.until(&one(&top), 404).await;
        settled(&api, &top).await;
        let kept = api.get(&one(&kept)).await.is(200);
        assert!(kept["metadata"].get("ownerReferences").is_none(), "{kept}");
    }
}

#[tokio::test]
async fn whose_owner_is_gone() {
    let api = api().await;
    let real = make(&api, "real", &[]).await;
    let changed = |field: &str, value: &str| {
        let mut owner = owner(&real, false);
        owner[field] = json!(value);
        owner
    };
    let elsewhere =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}});
    let elsewhere = api.post("/api/v1/namespaces", &elsewhere).await.is(201);
    make(&api, "kept-by-real", &[owner(&real, false)]).await;
    make(&api, "kept-by-unknown", &[changed("kind", "Unheard")]).await;
    make(&api, "kept-by-version", &[changed("apiVersion", "v7")]).await;
    make(&api, "kept-by-namespace", &[owner(&elsewhere, false)]).await;
    make(&api, "other-uid", &[changed("uid", "other")]).await;
    make(&api, "other-name", &[changed("name", "other")]).await;
    let far = MAPS.replace("default", "elsewhere");
    api.post(&far, &map("far", &[owner(&real, false)]))
        .await
        .is(201);
    for name in ["other-uid", "other-name"] {
        api.until(&one(name), 404).await;
    }
    api.until(&format!("{far}/far"), 404).await;
    settled(&api, "x").await;
    for name in ["real", "unknown", "version", "namespace"] {
        let name = if name == "real" {
            name.to_owned()
        } else {
            format!("kept-by-{name}")
        };
        api.get(&one(&name)).await.is(200);
    }
    // A cluster object owns what is in a namespace.
    api.delete("/api/v1/namespaces/elsewhere").await.is(200);
    api.until(&one("kept-by-namespace"), 404).await;
}

#[tokio::test]
async fn a_circle_ends() {
    let api = api().await;
    let a = make(&api, "a", &[]).await;
    let b = make(&api, "b", &[owner(&a, true)]).await;
    api.merge(
        &one("a"),
        &json!({"metadata": {"ownerReferences": [owner(&b, true)]}}),
    )
    .await
    .is(200);
    delete(&api, &one("a"), "Foreground").await.is(200);
    for name in ["a", "b"] {
        api.until(&one(name), 404).await;
    }
}

/// Nobody releases the finalizer of a Deployment here: the controllers are down.
#[tokio::test]
async fn a_deployment_holds_its_owner_until_its_service_is_gone() {
    let api = api().await;
    let owned_by = make(&api, "owner", &[]).await;
    let deployment = |name: &str, owners: Value| {
        json!({
            "apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment",
            "metadata": {"name": name, "ownerReferences": owners}, "spec": {"image": "busybox"},
        })
    };
    let web = deployment("web", json!([owner(&owned_by, true)]));
    let web = api.post(DEPLOYMENTS, &web).await.is(201);
    make(&api, "below", &[owner(&web, true)]).await;
    delete(&api, &one("owner"), "Foreground").await.is(200);
    // What is below goes; both owners wait, the one for the other, the other for its controller.
    api.until(&one("below"), 404).await;
    settled(&api, "first").await;
    let path = format!("{DEPLOYMENTS}/web");
    let held = api.get(&path).await.is(200);
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(
        held["metadata"]["finalizers"],
        json!(["obiente.cloud/swarm-service"])
    );
    api.get(&one("owner")).await.is(200);
    // A collection deleted again, and in another way, takes nothing away from the controller.
    let again = delete(&api, DEPLOYMENTS, "Orphan").await.is(200);
    assert_eq!(again["items"][0]["metadata"]["name"], "web");
    settled(&api, "second").await;
    let held = api.get(&path).await.is(200);
    assert_eq!(
        held["metadata"]["finalizers"],
        json!(["obiente.cloud/swarm-service"])
    );
    api.merge(&path, &json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    api.until(&one("owner"), 404).await;
    api.get(&path).await.is(404);
}

/// Who owns itself and is told to wait for what it owns, waits for ever, as in Kubernetes; the end
/// of its namespace is stronger.
#[tokio::test]
async fn the_end_of_a_namespace_waits_for_no_circle() {
    let api = api().await;
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}}))
        .await
        .is(201);
    let maps = MAPS.replace("default", "shop");
    let itself = api.post(&maps, &map("itself", &[])).await.is(201);
    let own = json!({"metadata": {"ownerReferences": [owner(&itself, true)]}});
    let path = format!("{maps}/itself");
    api.merge(&path, &own).await.is(200);
    delete(&api, &path, "Foreground").await.is(200);
    settled(&api, "first").await;
    api.get(&path).await.is(200);
    api.delete("/api/v1/namespaces/shop").await.is(200);
    api.until("/api/v1/namespaces/shop", 404).await;
    api.get(&path).await.is(404);
}

#[tokio::test]
async fn the_policy_of_a_marked_object_can_be_changed() {
    let api = api().await;
    let mut top = map("top", &[]);
    top["metadata"]["finalizers"] = json!(["test.example/f"]);
    let top = api.post(MAPS, &top).await.is(201);
    let finalizers = |answer: Answer| answer.is(200)["metadata"]["finalizers"].clone();
    let marked = delete(&api, &one("top"), "Background").await;
    assert_eq!(finalizers(marked), json!(["test.example/f"]));
    let mut held = map("held", &[owner(&top, true)]);
    held["metadata"]["finalizers"] = json!(["test.example/f"]);
    api.post(MAPS, &held).await.is(201);
    let waits = delete(&api, &one("top"), "Foreground").await;
    assert_eq!(
        finalizers(waits),
        json!(["test.example/f", "foregroundDeletion"])
    );
    // Without a word it stays as it was said.
    let waits = api.delete(&one("top")).await;
    assert_eq!(
        finalizers(waits),
        json!(["test.example/f", "foregroundDeletion"])
    );
    let dry = format!("{}?dryRun=All&propagationPolicy=Orphan", one("top"));
    assert_eq!(
        finalizers(api.delete(&dry).await),
        json!(["test.example/f", "orphan"])
    );
    let background = delete(&api, &one("top"), "Background").await;
    assert_eq!(finalizers(background), json!(["test.example/f"]));
    delete(&api, &one("top"), "Sideways").await.fails(
        422,
        "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
    );
}

/// Two servers over one store both collect: nothing is lost, nothing is done that must not be.
#[tokio::test]
async fn two_at_once() {
    let api = api().await;
    let beside = api_beside(&api).await;
    let (mut orphaned, mut doomed) = (Vec::new(), Vec::new());
    for n in 0..10 {
        for (policy, names) in [("Orphan", &mut orphaned), ("Foreground", &mut doomed)] {
            let top = format!("{}-{n}", policy.to_lowercase());
            let owned_by = make(&api, &top, &[]).await;
            for m in 0..5 {
                let name = format!("{top}-{m}");
                make(&beside, &name, &[owner(&owned_by, m % 2 == 0)]).await;
                names.push(name);
            }
            delete(&beside, &one(&top), policy).await.is(200);
        }
    }
    for n in 0..10 {
        for policy in ["orphan", "foreground"] {
            api.until(&one(&format!("{policy}-{n}")), 404).await;
        }
    }
    for name in &doomed {
        api.until(&one(name), 404).await;
    }
    settled(&api, "x").await;
    for name in &orphaned {
        let kept = api.get(&one(name)).await.is(200);
        assert!(kept["metadata"].get("ownerReferences").is_none(), "{kept}");
    }
}

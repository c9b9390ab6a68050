//! Pods: a view, written by the controllers, read by all.

use apiserver::{CONTROLLERS, UserInfo};
use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Api, DEPLOYMENTS, api, version};

const PODS: &str = "/api/v1/namespaces/default/pods";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const UID: &str = "4d968196-016b-8860-8197-5fbe7fe9c699";

/// Asks as the controllers do.
async fn controllers(api: &Api, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let user = UserInfo::new(CONTROLLERS, &["system:masters"]);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()));
    let response = api.server.in_process(user).oneshot(request.unwrap()).await;
    let (parts, body) = response.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, serde_json::from_slice(&bytes).unwrap())
}

fn pod(name: &str, phase: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "uid": UID, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"obiente.cloud/deployment": "web"},
        },
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "web:1"}]},
        "status": {
            "phase": phase, "podIP": "10.1.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "main", "image": "web:1", "imageID": "", "ready": true, "restartCount": 3,
                "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}},
            }],
        },
    })
}

async fn made(api: &Api, name: &str, phase: &str, node: &str) -> Value {
    let (code, body) = controllers(api, "POST", PODS, &pod(name, phase, node)).await;
    assert_eq!(code, 201, "{body:#}");
    body
}

#[tokio::test]
async fn only_the_controllers_write() {
    let api = api().await;
    let made = made(&api, "web-1-a", "Running", "n1").await;
    let metadata = &made["metadata"];
    assert_eq!(metadata["uid"], UID, "identity is that of the task");
    assert_eq!(metadata["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert!(metadata.get("managedFields").is_none() && metadata.get("generation").is_none());
    assert_eq!(made["status"]["phase"], "Running", "one write has it all");

    let one = format!("{PODS}/web-1-a");
    let instead = "scale, edit or delete the Deployment instead";
    api.post(PODS, &pod("x", "Running", "n1"))
        .await
        .fails(405, instead);
    api.put(&one, &made).await.fails(405, instead);
    api.merge(&one, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .fails(405, instead);
    api.delete(&one).await.fails(405, instead);
    api.delete(PODS).await.fails(405, instead);
    api.get(&format!("{one}/log"))
        .await
        .fails(405, "docker service logs");
    api.post(&format!("{one}/exec"), &json!({}))
        .await
        .fails(405, "on the node");
    api.post(&format!("{one}/eviction"), &json!({}))
        .await
        .fails(405, "Drain");
    api.get(&format!("{one}/other")).await.is(404);

    // What the controllers say again is no write; an older idea of it is a conflict.
    let (code, same) = controllers(&api, "PUT", &one, &made).await;
    assert_eq!((code.as_u16(), version(&same)), (200, version(&made)));
    let mut moved = made.clone();
    moved["status"]["phase"] = json!("Unknown");
    let (code, moved) = controllers(&api, "PUT", &one, &moved).await;
    assert_eq!(
        (code.as_u16(), moved["metadata"]["uid"].as_str()),
        (200, Some(UID))
    );
    assert_eq!(controllers(&api, "PUT", &one, &made).await.0, 409);
    assert_eq!(controllers(&api, "DELETE", &one, &json!({})).await.0, 200);
    api.get(&one).await.is(404);
}

#[tokio::test]
async fn they_are_read_like_anything_else() {
    let api = api().await;
    let first = made(&api, "web-1-a", "Running", "n1").await;
    made(&api, "web-2-b", "Pending", "n2").await;
    let names = async |query: &str| {
        let list = api.get(&format!("/api/v1/pods?{query}")).await.is(200);
        let items = list["items"].as_array().unwrap().clone();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "web-1-a web-2-b"),
        (
            "labelSelector=obiente.cloud/deployment%3Dweb",
            "web-1-a web-2-b",
        ),
        ("labelSelector=obiente.cloud/deployment!%3Dweb", ""),
        ("fieldSelector=status.phase%3DRunning", "web-1-a"),
        ("fieldSelector=spec.nodeName%3Dn2", "web-2-b"),
        (
            "fieldSelector=status.phase!%3DSucceeded,status.podIP%3D10.1.0.7",
            "web-1-a web-2-b",
        ),
        (
            "fieldSelector=metadata.name%3Dweb-1-a,metadata.namespace%3Ddefault",
            "web-1-a",
        ),
    ] {
        assert_eq!(names(query).await, expected, "{query}");
    }
    api.get("/api/v1/pods?fieldSelector=spec.image%3Dx")
        .await
        .fails(400, "spec.image");

    let table = api.get_as(PODS, TABLE).await.is(200);
    let columns = table["columnDefinitions"].as_array().unwrap();
    let titles: Vec<_> = columns
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(titles[..5], ["Name", "Ready", "Status", "Restarts", "Age"]);
    assert_eq!(titles[5..7], ["IP", "Node"]);
    assert_eq!(
        table["rows"][0]["cells"].as_array().unwrap()[..4],
        [json!("web-1-a"), json!("1/1"), json!("Running"), json!("3")]
    );

    // A watch goes on from a revision, and shows who enters and leaves a selector.
    let query = format!("watch=1&resourceVersion={}", version(&first));
    let mut all = api.watch(&format!("{PODS}?{query}")).await;
    let mut running = api
        .watch("/api/v1/pods?watch=1&fieldSelector=status.phase%3DRunning&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
        .await;
    let pair = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    assert_eq!(all.brief().await, pair("ADDED", "web-2-b"));
    assert_eq!(running.brief().await, pair("ADDED", "web-1-a"));
    assert_eq!(running.brief().await.0, "BOOKMARK");
    let mut ended = first.clone();
    ended["status"]["phase"] = json!("Failed");
    controllers(&api, "PUT", &format!("{PODS}/web-1-a"), &ended).await;
    assert_eq!(all.brief().await, pair("MODIFIED", "web-1-a"));
    assert_eq!(running.brief().await, pair("DELETED", "web-1-a"));
}

#[tokio::test]
async fn discovery_offers_what_works() {
    let api = api().await;
    let list = api.get("/api/v1").await.is(200);
    let resources = list["resources"].as_array().unwrap();
    let ours: Vec<_> = resources.iter().filter(|r| r["kind"] == "Pod").collect();
    assert_eq!(ours.len(), 1, "no subresource is offered");
    assert_eq!(ours[0]["verbs"], json!(["get", "list", "watch"]));
    assert_eq!(
        (&ours[0]["name"], &ours[0]["shortNames"]),
        (&json!("pods"), &json!(["po"]))
    );
    let paths = api.get("/openapi/v3/api/v1").await.is(200)["paths"].clone();
    let one = &paths["/api/v1/namespaces/{namespace}/pods/{name}"];
    assert!(one["get"].is_object() && one["put"].is_null() && one["delete"].is_null());
}

#[tokio::test]
async fn they_go_with_their_deployment_and_with_their_namespace() {
    let api = api().await;
    let deployment = json!({"apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"image": "web:1"}});
    let owner = api.post(DEPLOYMENTS, &deployment).await.is(201);
    let mut owned = pod("web-1-a", "Running", "n1");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment", "name": "web",
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    controllers(&api, "POST", PODS, &owned).await;
    let one = format!("{DEPLOYMENTS}/web");
    api.delete(&one).await.is(200);
    api.get(&format!("{PODS}/web-1-a")).await.is(200);
    api.merge(&one, &json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    api.until(&format!("{PODS}/web-1-a"), 404).await;

    let namespace = json!({"metadata": {"name": "shop"}});
    api.post("/api/v1/namespaces", &namespace).await.is(201);
    let pods = "/api/v1/namespaces/shop/pods";
    assert_eq!(
        controllers(&api, "POST", pods, &pod("x", "Running", "n1"))
            .await
            .0,
        201
    );
    api.delete("/api/v1/namespaces/shop").await.is(200);
    api.until("/api/v1/namespaces/shop", 404).await;
    api.get(&format!("{pods}/x")).await.is(404);
}

#[tokio::test]
async fn quotas_count_what_is_wanted_and_not_what_is_shown() {
    let api = api().await;
    let path = "/api/v1/namespaces/default/resourcequotas";
    let quota = |hard: Value| json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    api.post(path, &quota(json!({"count/pods": "1"})))
        .await
        .fails(422, "spec.hard[count/pods]");
    api.post(path, &quota(json!({"pods": "0"}))).await.is(201);
    made(&api, "web-1-a", "Running", "n1").await;
}

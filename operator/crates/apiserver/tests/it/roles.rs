//! Roles, bindings, reviews and impersonation, as users who are not administrators meet them.

use std::time::Duration;

use apiserver::UserInfo;
use axum::Router;
use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Answer, Api, SOON, WIDGETS, api, widget};

pub const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
pub const ACCESS: &str = "/apis/authorization.k8s.io/v1";

/// Somebody who asks.
pub struct User(Router);

impl User {
    pub fn new(api: &Api, name: &str, groups: &[&str]) -> Self {
        Self(api.server.in_process(UserInfo::new(name, groups)))
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let media = match (method, path) {
            ("PATCH", path) if path.contains("fieldManager") => "application/apply-patch+yaml",
            ("PATCH", _) => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, media);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let response = self.0.clone().oneshot(request.body(body).unwrap()).await;
        let (parts, body) = response.unwrap().into_parts();
        let code = parts.status;
        // A watch that is let in has no end.
        let streams = path.contains("watch=true") && code.is_success();
        let body = if streams {
            Value::Null
        } else {
            let bytes = body.collect().await.unwrap().to_bytes();
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        Answer {
            code,
            headers: parts.headers,
            body,
        }
    }

    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, body, &[]).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &Value::Null).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, body).await
    }

    /// Waits until a request is answered with this code: roles reach the authorizer by a watch.
    pub async fn until(&self, path: &str, code: u16) -> Answer {
        let wait = async {
            loop {
                let answer = self.get(path).await;
                if answer.code == code {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap()
    }
}

pub fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

pub fn role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

pub fn binding(name: &str, kind: &str, role: &str, user: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

pub async fn grant(api: &Api, user: &str, rules: Value) {
    let path = format!("{RBAC}/namespaces/default");
    api.post(&format!("{path}/roles"), &role(user, rules))
        .await
        .is(201);
    api.post(
        &format!("{path}/rolebindings"),
        &binding(user, "Role", user, user),
    )
    .await
    .is(201);
}

/// Every verb and subresource is let in by exactly the rule for it.
#[tokio::test]
async fn each_verb_needs_its_rule() {
    let api = api().await;
    let marker = rule(&[""], &["configmaps"], &["get"]);
    grant(&api, "ann", json!([marker])).await;
    let ann = User::new(&api, "ann", &[]);
    let one = format!("{WIDGETS}/w");
    let changed = json!({"spec": {"color": "blue"}});
    let scaled = json!({"spec": {"replicas": 2}});
    let seen = json!({"status": {"seen": "yes"}});
    let cases = [
        (
            "create",
            "widgets",
            "POST",
            WIDGETS.to_owned(),
            widget("new"),
        ),
        ("get", "widgets", "GET", one.clone(), Value::Null),
        ("list", "widgets", "GET", WIDGETS.to_owned(), Value::Null),
        (
            "watch",
            "widgets",
            "GET",
            format!("{WIDGETS}?watch=true"),
            Value::Null,
        ),
        ("patch", "widgets", "PATCH", one.clone(), changed),
        ("update", "widgets", "PUT", one.clone(), widget("w")),
        (
            "get",
            "widgets/status",
            "GET",
            format!("{one}/status"),
            Value::Null,
        ),
        (
            "patch",
            "widgets/status",
            "PATCH",
            format!("{one}/status"),
            seen,
        ),
        (
            "get",
            "widgets/scale",
            "GET",
            format!("{one}/scale"),
            Value::Null,
        ),
        ("patch", "*/scale", "PATCH", format!("{one}/scale"), scaled),
        ("delete", "widgets", "DELETE", one.clone(), Value::Null),
        (
            "deletecollection",
            "widgets",
            "DELETE",
            WIDGETS.to_owned(),
            Value::Null,
        ),
    ];
    for (index, (verb, resource, ..)) in cases.iter().enumerate() {
        let current = api.get(&one).await;
        if current.code == 404 {
            api.post(WIDGETS, &widget("w")).await.is(201);
        }
        // The marker's name says when this role, and none before it, is in force.
        let marker = format!("marker-{index}");
        let rules = json!([
            rule(&["test.example"], &[resource], &[verb]),
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [marker], "verbs": ["get"]},
        ]);
        let path = format!("{RBAC}/namespaces/default/roles/ann");
        api.put(&path, &role("ann", rules)).await.is(200);
        ann.until(
            &format!("/api/v1/namespaces/default/configmaps/{marker}"),
            404,
        )
        .await;
        for (other, (_, _, method, path, body)) in cases.iter().enumerate().rev() {
            let mut body = body.clone();
            if *method == "PUT" {
                body["metadata"]["resourceVersion"] =
                    api.get(&one).await.body["metadata"]["resourceVersion"].clone();
            }
            let code = ann.ask(method, path, &body).await.code.as_u16();
            let allowed = index == other;
            assert_eq!(
                code < 300,
                allowed,
                "{verb} {resource}: {method} {path} {code}"
            );
            assert!(
                allowed || code == 403,
                "{verb} {resource}: {method} {path} {code}"
            );
        }
    }
}

#[tokio::test]
async fn names_namespaces_and_wording() {
    let api = api().await;
    let configmaps = "/api/v1/namespaces/default/configmaps";
    let get = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list", "watch", "deletecollection"]}]);
    grant(&api, "ann", get).await;
    let ann = User::new(&api, "ann", &[]);
    ann.until(&format!("{configmaps}/mine"), 404).await;
    ann.get(&format!("{configmaps}/other")).await.fails(
        403,
        "configmaps \"other\" is forbidden: User \"ann\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"default\"",
    );
    let selected = format!("{configmaps}?fieldSelector=metadata.name%3Dmine");
    ann.get(&selected).await.is(200);
    // To delete many is never to delete one.
    ann.ask("DELETE", &selected, &Value::Null).await.fails(
        403,
        "configmaps is forbidden: User \"ann\" cannot deletecollection",
    );
    ann.get(configmaps).await.fails(403, "cannot list resource");
    // What looks like the name in another field's value is not the name.
    let hidden =
        format!("{configmaps}?fieldSelector=metadata.namespace%3Dx%5C,metadata.name%5C%3Dmine");
    ann.get(&hidden).await.fails(403, "cannot list resource");
    ann.get("/api/v1/configmaps")
        .await
        .fails(403, "at the cluster scope");
    ann.get("/api/v1/namespaces/kube-system/configmaps/mine")
        .await
        .fails(403, "in the namespace \"kube-system\"");
    let apply = format!("{configmaps}/mine?fieldManager=m");
    ann.ask("PATCH", &apply, &json!({}))
        .await
        .fails(403, "cannot patch");
}

/// To apply what is not there is to create it.
#[tokio::test]
async fn apply_needs_create() {
    let api = api().await;
    grant(
        &api,
        "ann",
        json!([rule(&[""], &["configmaps"], &["get", "patch"])]),
    )
    .await;
    let ann = User::new(&api, "ann", &[]);
    let path = "/api/v1/namespaces/default/configmaps/c";
    ann.until(path, 404).await;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    let apply = format!("{path}?fieldManager=m");
    ann.ask("PATCH", &apply, &config)
        .await
        .fails(403, "cannot create resource \"configmaps\"");
    api.post("/api/v1/namespaces/default/configmaps", &config)
        .await
        .is(201);
    ann.ask("PATCH", &apply, &config).await.is(200);
}

/// Of some kinds a PUT makes what is not there, for who may make it.
#[tokio::test]
async fn replacing_nothing_needs_create() {
    let api = api().await;
    let groups = ["", "coordination.k8s.io"];
    let update = rule(&groups, &["leases", "configmaps"], &["update", "get"]);
    grant(&api, "ann", json!([update])).await;
    let ann = User::new(&api, "ann", &[]);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let path = format!("{leases}/a");
    ann.until(&path, 404).await;
    let lease = json!({"metadata": {"name": "a", "resourceVersion": "5"}});
    ann.ask("PUT", &path, &lease)
        .await
        .fails(403, "User \"ann\" cannot create resource \"leases\"");
    let other = json!({"metadata": {"name": "a", "uid": "1"}});
    api.put(&path, &other)
        .await
        .fails(409, "UID in precondition: 1, UID in object meta: ");
    api.put(&path, &lease).await.is(201);
    let unversioned = json!({"metadata": {"name": "a"}});
    api.put(&path, &unversioned)
        .await
        .fails(422, "must be specified for an update");
    let map = json!({"metadata": {"name": "a"}});
    api.put("/api/v1/namespaces/default/configmaps/a", &map)
        .await
        .fails(404, "configmaps \"a\" not found");
}

#[tokio::test]
async fn default_roles() {
    let api = api().await;
    let (nobody, anyone) = (api.server.router(), User::new(&api, "ann", &[]));
    let nobody = User(nobody);
    for path in [
        "/api",
        "/apis",
        "/openapi/v2",
        "/apis/obiente.cloud/v1alpha1",
    ] {
        nobody
            .get(path)
            .await
            .fails(403, "User \"system:anonymous\" cannot get path");
        anyone.get(path).await.is(200);
    }
    nobody.get("/version").await.is(200);
    nobody
        .get("/api/v1/namespaces")
        .await
        .fails(403, "system:anonymous");
    let mine = format!("{RBAC}/namespaces/default/rolebindings");
    for (name, role) in [("vic", "view"), ("eda", "edit"), ("ada", "admin")] {
        api.post(&mine, &binding(name, "ClusterRole", role, name))
            .await
            .is(201);
    }
    let deployments = "/apis/obiente.cloud/v1alpha1/namespaces/default/deployments";
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"metadata": {"generateName": "s-"}});
    let (vic, eda, ada) = (
        User::new(&api, "vic", &[]),
        User::new(&api, "eda", &[]),
        User::new(&api, "ada", &[]),
    );
    for user in [&vic, &eda, &ada] {
        user.until(deployments, 200).await;
        user.get("/api/v1/namespaces/default").await.is(200);
        user.get("/api/v1/namespaces")
            .await
            .fails(403, "at the cluster scope");
    }
    vic.get(secrets).await.fails(403, "cannot list");
    vic.post(secrets, &secret).await.fails(403, "cannot create");
    eda.post(secrets, &secret).await.is(201);
    eda.get(&mine).await.fails(403, "cannot list");
    ada.post(secrets, &secret).await.is(201);
    ada.get(&mine).await.is(200);
    // Who checks the tokens and permissions of others, as proxies do.
    let everywhere = format!("{RBAC}/clusterrolebindings");
    let delegator = "system:auth-delegator";
    api.post(
        &everywhere,
        &binding("del", "ClusterRole", delegator, "del"),
    )
    .await
    .is(201);
    let del = User::new(&api, "del", &[]);
    let review = json!({"spec": {"token": "x"}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let wait = async { while del.post(path, &review).await.code != 201 {} };
    tokio::time::timeout(SOON, wait).await.unwrap();
}

#[tokio::test]
async fn roles_gather() {
    let api = api().await;
    let gather = json!({
        "metadata": {"name": "all-widgets"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"gather": "yes"}}]},
    });
    let path = format!("{RBAC}/clusterroles");
    api.post(&path, &gather).await.is(201);
    let rules = json!([rule(&["test.example"], &["widgets"], &["list"])]);
    let mut part = role("part", rules.clone());
    part["metadata"]["labels"] = json!({"gather": "yes"});
    api.post(&path, &part).await.is(201);
    api.post(
        &format!("{RBAC}/clusterrolebindings"),
        &binding("b", "ClusterRole", "all-widgets", "ann"),
    )
    .await
    .is(201);
    let ann = User::new(&api, "ann", &[]);
    ann.until("/apis/test.example/v1/widgets", 200).await;
    assert_eq!(
        api.get(&format!("{path}/all-widgets")).await.is(200)["rules"],
        rules
    );
    api.delete(&format!("{path}/part")).await.is(200);
    ann.until("/apis/test.example/v1/widgets", 403).await;
}

#[tokio::test]
async fn acting_as_somebody_else() {
    let api = api().await;
    grant(
        &api,
        "bob",
        json!([rule(&[""], &["configmaps"], &["list"])]),
    )
    .await;
    let configmaps = "/api/v1/namespaces/default/configmaps";
    let bob = User::new(&api, "bob", &[]);
    bob.until(configmaps, 200).await;
    let root = User::new(&api, "root", &["system:masters"]);
    let as_bob = [("impersonate-user", "bob")];
    let who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let seen = root.send("POST", who, &json!({}), &as_bob).await.is(201);
    let expected = json!({"username": "bob", "groups": ["system:authenticated"]});
    assert_eq!(seen["status"]["userInfo"], expected);
    root.send("GET", configmaps, &Value::Null, &as_bob)
        .await
        .is(200);
    root.send("GET", "/api/v1/nodes", &Value::Null, &as_bob)
        .await
        .fails(403, "User \"bob\"");
    bob.send(
        "GET",
        configmaps,
        &Value::Null,
        &[("impersonate-user", "root")],
    )
    .await
    .fails(403, "User \"bob\" cannot impersonate resource \"users\"");
    // Not even an administrator acts as the controllers, who keep up what others only read.
    let controllers = [("impersonate-user", apiserver::CONTROLLERS)];
    root.send("GET", configmaps, &Value::Null, &controllers)
        .await
        .fails(403, "nobody acts as the controllers");
    let masters = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "system:masters"),
    ];
    bob.send("GET", configmaps, &Value::Null, &masters)
        .await
        .fails(403, "cannot impersonate");
    root.send(
        "GET",
        configmaps,
        &Value::Null,
        &[("impersonate-group", "dev")],
    )
    .await
    .fails(400, "Impersonate-User");
}

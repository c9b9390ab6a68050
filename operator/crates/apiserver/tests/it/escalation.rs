//! Nobody gives what they do not have.

use serde_json::{Value, json};

use crate::roles::{RBAC, User, binding, grant, role, rule};
use crate::support::{SOON, api};

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let api = api().await;
    let all = json!([
        rule(
            &["rbac.authorization.k8s.io"],
            &["roles", "rolebindings"],
            &["*"]
        ),
        rule(&[""], &["configmaps"], &["get"]),
    ]);
    // `*` among verbs is `escalate` and `bind`, too; these are not.
    let verbs = ["create", "update", "patch", "get", "list", "delete"];
    let most = json!([
        rule(
            &["rbac.authorization.k8s.io"],
            &["roles", "rolebindings"],
            &verbs
        ),
        rule(&[""], &["configmaps"], &["get"]),
    ]);
    grant(&api, "ann", most).await;
    grant(&api, "root", all).await;
    let (ann, root) = (User::new(&api, "ann", &[]), User::new(&api, "root", &[]));
    let roles = format!("{RBAC}/namespaces/default/roles");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    ann.until(&roles, 200).await;
    root.until(&roles, 200).await;
    let secrets = json!([rule(&[""], &["secrets"], &["get"])]);
    let held = json!([rule(&[""], &["configmaps"], &["get"])]);
    ann.post(&roles, &role("more", secrets.clone()))
        .await
        .fails(
            403,
            "is attempting to grant RBAC permissions not currently held",
        );
    ann.post(&roles, &role("same", held.clone())).await.is(201);
    let more = json!({"rules": secrets});
    ann.ask("PATCH", &format!("{roles}/same"), &more)
        .await
        .fails(403, "Resources:[\"secrets\"]");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    // Who changes anything of a role answers for all of it, but for what lets it go.
    ann.ask("PATCH", &format!("{roles}/root"), &label)
        .await
        .fails(403, "not currently held");
    let held_back = json!({"metadata": {"finalizers": ["test.example/f"]}});
    ann.ask("PATCH", &format!("{roles}/root"), &held_back)
        .await
        .is(200);
    let empty = json!({"metadata": {"finalizers": null}});
    ann.ask("PATCH", &format!("{roles}/root"), &empty)
        .await
        .is(200);
    root.post(&roles, &role("more", secrets)).await.is(201);
    ann.post(&bindings, &binding("x", "Role", "more", "ann"))
        .await
        .fails(403, "not currently held");
    ann.post(
        &bindings,
        &binding("x", "ClusterRole", "cluster-admin", "ann"),
    )
    .await
    .fails(403, "not currently held");
    ann.post(&bindings, &binding("x", "Role", "gone", "ann"))
        .await
        .fails(
            404,
            "rolebindings.rbac.authorization.k8s.io \"gone\" not found",
        );
    let same = binding("y", "Role", "same", "bob");
    ann.post(&bindings, &same).await.is(201);
    root.post(&bindings, &binding("z", "Role", "more", "bob"))
        .await
        .is(201);
    let other = json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "more"}});
    api.merge(&format!("{bindings}/y"), &other)
        .await
        .fails(422, "cannot change roleRef");
    // Who may not bind a role does not get to hear what is wrong with the binding.
    ann.ask("PATCH", &format!("{bindings}/y"), &other)
        .await
        .fails(403, "not currently held");
    api.post(&roles, &role("bad", json!([{"verbs": ["get"]}])))
        .await
        .fails(422, "resource rules must supply at least one resource");
}

#[tokio::test]
async fn what_is_missing_is_told_once_per_resource() {
    let api = api().await;
    let may = rule(
        &["rbac.authorization.k8s.io"],
        &["clusterroles"],
        &["create"],
    );
    let path = format!("{RBAC}/clusterroles");
    api.post(&path, &role("ann", json!([may]))).await.is(201);
    api.post(
        &format!("{RBAC}/clusterrolebindings"),
        &binding("ann", "ClusterRole", "ann", "ann"),
    )
    .await
    .is(201);
    let ann = User::new(&api, "ann", &[]);
    let wanted = json!([
        rule(&[""], &["secrets", "configmaps"], &["list", "get"]),
        rule(&[""], &["configmaps"], &["watch"]),
        {"nonResourceURLs": ["/b", "/a"], "verbs": ["get"]},
    ]);
    let refused = async |body: &Value| {
        let wait = async {
            loop {
                let answer = ann.post(&path, body).await;
                let message = answer.body["message"].as_str().unwrap_or_default();
                if !message.contains("cannot create resource") {
                    return message.to_owned();
                }
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap()
    };
    assert_eq!(
        refused(&role("x", wanted)).await,
        "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: user \"ann\" \
         (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"list\" \"get\" \"watch\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"list\" \"get\"]}\n\
         {NonResourceURLs:[\"/a\"], Verbs:[\"get\"]}\n\
         {NonResourceURLs:[\"/b\"], Verbs:[\"get\"]}"
    );
    let mut gathering = role("x", json!([]));
    gathering["aggregationRule"] =
        json!({"clusterRoleSelectors": [{"matchLabels": {"gather": "yes"}}]});
    assert_eq!(
        refused(&gathering).await,
        "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: \
         must have cluster-admin privileges to use the aggregationRule"
    );
    gathering["aggregationRule"] =
        json!({"clusterRoleSelectors": [{"matchLabels": {"a b": "yes"}}]});
    api.post(&path, &gathering).await.fails(
        422,
        "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.",
    );
}

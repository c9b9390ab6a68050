//! Questions about identity and permission.

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use crate::roles::{ACCESS, User, grant, rule};
use crate::support::api;

#[tokio::test]
async fn reviews_tell_the_truth() {
    let api = api().await;
    grant(&api, "ann", json!([rule(&[""], &["configmaps"], &["get"])])).await;
    let ann = User::new(&api, "ann", &[]);
    ann.until("/api/v1/namespaces/default/configmaps/x", 404)
        .await;
    let asked =
        |verb: &str| json!({"verb": verb, "resource": "configmaps", "namespace": "default"});
    for (verb, expected) in [("get", true), ("list", false)] {
        let own = json!({"spec": {"resourceAttributes": asked(verb)}});
        let found = ann
            .post(&format!("{ACCESS}/selfsubjectaccessreviews"), &own)
            .await
            .is(201);
        assert_eq!(found["status"]["allowed"], expected, "{verb}");
        let reason = "RBAC: allowed by RoleBinding \"ann/default\" of Role \"ann\" to User \"ann\"";
        let reason = if expected { json!(reason) } else { Value::Null };
        assert_eq!(found["status"]["reason"], reason, "{verb}");
        let of_ann = json!({"spec": {"user": "ann", "resourceAttributes": asked(verb)}});
        let path = format!("{ACCESS}/subjectaccessreviews");
        assert_eq!(
            api.post(&path, &of_ann).await.is(201)["status"]["allowed"],
            expected
        );
        ann.post(&path, &of_ann)
            .await
            .fails(403, "cannot create resource \"subjectaccessreviews\"");
        let local = format!("{ACCESS}/namespaces/default/localsubjectaccessreviews");
        assert_eq!(
            api.post(&local, &of_ann).await.is(201)["status"]["allowed"],
            expected
        );
        let elsewhere = format!("{ACCESS}/namespaces/kube-system/localsubjectaccessreviews");
        api.post(&elsewhere, &of_ann)
            .await
            .fails(422, "must match metadata.namespace");
    }
    let nobody = json!({"spec": {"resourceAttributes": asked("get")}});
    api.post(&format!("{ACCESS}/subjectaccessreviews"), &nobody)
        .await
        .fails(422, "at least one of user or group");
    let rules = ann
        .post(
            &format!("{ACCESS}/selfsubjectrulesreviews"),
            &json!({"spec": {"namespace": "default"}}),
        )
        .await
        .is(201);
    let resources = rules["status"]["resourceRules"].as_array().unwrap();
    assert!(
        resources
            .contains(&json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}))
    );
    assert!(
        rules["status"]["nonResourceRules"]
            .to_string()
            .contains("/openapi/*")
    );
}

#[tokio::test]
async fn questions_are_read_like_any_object() {
    let api = api().await;
    let path = format!("{ACCESS}/subjectaccessreviews");
    let both = json!({"spec": {
        "resourceAttributes": {"verb": "get"},
        "nonResourceAttributes": {"path": "/x", "verb": "get"},
    }});
    let answer = api.post(&path, &both).await;
    assert!(answer.body["details"]["kind"].is_null());
    answer.fails(
        422,
        ".authorization.k8s.io \"\" is invalid: [spec.nonResourceAttributes: Invalid value: \
         {\"Path\":\"/x\",\"Verb\":\"get\"}: cannot be specified in combination with resourceAttributes, \
         spec.user: Invalid value: \"\": at least one of user or group must be specified]",
    );
    let attributes = json!({"verb": "get", "resource": "pods"});
    let named =
        json!({"metadata": {"name": "x"}, "spec": {"user": "u", "resourceAttributes": attributes}});
    api.post(&path, &named).await.fails(
        422,
        "metadata: Invalid value: {\"name\":\"x\"}: must be empty",
    );
    for (selector, says) in [
        (json!({}), "requirements or rawSelector is required"),
        (
            json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}),
            "may not specified at the same time as requirements",
        ),
    ] {
        let mut attributes = attributes.clone();
        attributes["labelSelector"] = selector;
        let asked = json!({"spec": {"user": "u", "resourceAttributes": attributes}});
        api.post(&path, &asked).await.fails(422, says);
    }
    let unknown = json!({"spec": {"user": "u", "resourceAttributes": attributes, "foo": 1}});
    let answer = api.post(&path, &unknown).await;
    assert_eq!(
        answer.headers["warning"],
        "299 - \"unknown field \\\"spec.foo\\\"\""
    );
    assert!(answer.is(201)["spec"]["foo"].is_null());
    api.post(&format!("{path}?fieldValidation=Strict"), &unknown)
        .await
        .fails(400, "unknown field \"spec.foo\"");
    api.post(&format!("{path}?dryRun=Some"), &unknown)
        .await
        .fails(422, "dryRun: Unsupported value");
    api.post("/apis/authentication.k8s.io/v1/tokenreviews", &json!({}))
        .await
        .fails(400, "token is required for TokenReview in authentication");
    let me = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let me = api.post(me, &json!({})).await.is(201);
    assert!(me["metadata"]["creationTimestamp"].is_string());
}

#[tokio::test]
async fn reviews_and_documents_have_no_table() {
    let api = api().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let ask = |accept: String| {
        let question = json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
        let request = Request::post(format!("{ACCESS}/selfsubjectaccessreviews"))
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(question.to_string()));
        api.ask(request.unwrap())
    };
    let refused = "only the following media types are accepted: application/json";
    ask(table.to_owned()).await.fails(406, refused);
    api.get_as("/api/v1", table).await.fails(406, refused);
    let answer = ask(format!("{table},application/json")).await.is(201);
    assert_eq!(answer["kind"], "SelfSubjectAccessReview");
}

//! What is refused, and how: bad objects, paths, methods and callers.

use serde_json::json;

use crate::support::{WIDGETS, api, widget};

fn at(name: &str) -> String {
    format!("{WIDGETS}/{name}")
}

#[tokio::test]
async fn bad_objects_are_refused_by_field() {
    let api = api().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut object = widget("a");
        *object.pointer_mut(field).unwrap() = value;
        object
    };
    for (object, code, text) in [
        (
            with("/spec/color", json!(5)),
            422,
            "spec.color: Invalid value: ",
        ),
        (
            with("/spec/color", json!("much too long")),
            422,
            "spec.color: Too long",
        ),
        (with("/spec", json!({})), 422, "spec.color: Required value"),
        (
            with("/metadata/name", json!("A_b")),
            422,
            "metadata.name: Invalid value: \"A_b\"",
        ),
        (
            with("/metadata", json!({})),
            422,
            "name or generateName is required",
        ),
        (
            with("/metadata", json!({"name": "a", "namespace": "b"})),
            400,
            "does not match the namespace",
        ),
        (
            with("/metadata", json!({"name": "a", "resourceVersion": "1"})),
            500,
            "resourceVersion should not be set",
        ),
        (
            with("/metadata", json!("a")),
            400,
            "json: cannot unmarshal string into Go value of type v1.ObjectMeta",
        ),
        (
            with("/metadata", json!({"name": "a", "labels": {"a": 1}})),
            400,
            "Widget in version \"v1\" cannot be handled as a Widget: json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string",
        ),
        (
            with("/kind", json!("Gadget")),
            422,
            "Gadget.test.example \"a\" is invalid: kind: Invalid value: \"Gadget\": must be Widget",
        ),
        (
            with("/kind", json!(null)),
            400,
            "Object 'Kind' is missing in '{",
        ),
        (
            with("/apiVersion", json!("test.example/v2")),
            400,
            "the API version in the data (test.example/v2) does not match the expected API version (test.example/v1)",
        ),
        (
            with("/spec/color", json!("a\u{0}")),
            422,
            "spec.color: Invalid value",
        ),
        (
            json!([]),
            400,
            "the object provided is unrecognized (must be of type Widget): couldn't get version/kind; json parse error: json: cannot unmarshal array",
        ),
    ] {
        api.post(WIDGETS, &object).await.fails(code, text);
    }
    api.with("POST", WIDGETS, "application/json", "{")
        .await
        .fails(
            400,
            "couldn't get version/kind; json parse error: unexpected end of JSON input ({)",
        );
    api.with("POST", WIDGETS, "application/yaml", "a: [")
        .await
        .fails(400, "error decoding YAML");
    api.with("POST", WIDGETS, "text/plain", "x")
        .await
        .fails(415, "application/json");
    let huge = "x".repeat(3 * 1024 * 1024 + 1);
    api.with("POST", WIDGETS, "application/json", &huge)
        .await
        .fails(413, "3145728");
    api.post(WIDGETS, &widget("a")).await.is(201);
    api.post(WIDGETS, &widget("a"))
        .await
        .fails(409, "widgets.test.example \"a\" already exists");
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let api = api().await;
    // Of its own groups the API says what is missing; of others, and elsewhere, it knows nothing.
    for path in [
        "/api/v1/namespaces/default/namespaces",
        "/api/v2",
        "/apis/events.k8s.io/v2",
        "/api/v1/namespaces/default/configmaps/a/nothing",
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.body["details"], json!({}), "{path}");
        answer.fails(404, "the server could not find the requested resource");
    }
    for path in [
        "/apis/test.example/v1/namespaces/default/gadgets",
        "/apis/test.example/v2/widgets",
        "/apis/test.example/v2",
        "/nothing",
    ] {
        let answer = api.with("PUT", path, "application/json", "{}").await;
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.is(404), "404 page not found\n", "{path}");
    }
    api.get(&at("a/nothing"))
        .await
        .fails(404, "widgets.test.example \"a\" not found");
    for (method, path, verb) in [
        ("PUT", WIDGETS, "update"),
        ("POST", &at("a/status"), "create"),
        ("OPTIONS", &at("a"), ""),
    ] {
        let message =
            format!("{verb} is not supported on resources of kind \"widgets.test.example\"");
        let answer = api.with(method, path, "application/json", "{}").await;
        answer.fails(405, &message);
    }
    api.with(
        "PUT",
        "/api/v1/namespaces/default/secrets",
        "application/json",
        "{}",
    )
    .await
    .fails(
        405,
        "the server does not allow this method on the requested resource",
    );
    api.get("/api/v1/namespaces/default/serviceaccounts/default/token")
        .await
        .fails(
            405,
            "the server does not allow this method on the requested resource",
        );
    api.get_as(&at("a"), "text/html")
        .await
        .fails(406, "application/json");
    let watch = format!("{WIDGETS}?watch=true");
    let refused = api
        .get_as(&watch, "application/yaml,application/json")
        .await;
    let text = refused.is(406);
    assert!(
        text.as_str()
            .unwrap()
            .contains("application/json;stream=watch")
    );
}

#[tokio::test]
async fn field_validation() {
    let api = api().await;
    let mut object = widget("a");
    object["spec"]["colour"] = json!("red");
    let path = |mode: &str| format!("{WIDGETS}?dryRun=All&fieldValidation={mode}");
    api.post(&path("Strict"), &object)
        .await
        .fails(400, "strict decoding error: unknown field \"spec.colour\"");
    let warned = api.post(&path("Warn"), &object).await;
    assert_eq!(
        warned.headers["warning"],
        "299 - \"unknown field \\\"spec.colour\\\"\""
    );
    assert!(warned.is(201)["spec"].get("colour").is_none());
    assert!(
        api.post(&path("Ignore"), &object)
            .await
            .headers
            .get("warning")
            .is_none()
    );
    // What is unknown is told first, whether or not there is something to replace.
    let missing = |mode: &str| format!("{WIDGETS}/a?fieldValidation={mode}");
    api.put(&missing("Strict"), &object)
        .await
        .fails(400, "unknown field \"spec.colour\"");
    let warned = api.put(&missing("Warn"), &object).await;
    assert!(warned.headers.get("warning").is_some());
    warned.fails(404, "not found");
    let twice = r#"{"apiVersion":"test.example/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"color":"a","color":"b"}}"#;
    api.with("POST", &path("Strict"), "application/json", twice)
        .await
        .fails(400, "duplicate field \"spec.color\"");
    api.post(&path("Loud"), &object)
        .await
        .fails(422, "fieldValidation: Unsupported value: \"Loud\"");
}

#[tokio::test]
async fn who_asks_matters() {
    let api = api().await;
    let code_of = |request: http::request::Builder| {
        let request = request.body(axum::body::Body::empty()).unwrap();
        let router = api.server.router();
        async move {
            tower::ServiceExt::oneshot(router, request)
                .await
                .unwrap()
                .status()
                .as_u16()
        }
    };
    let ask = |path: &'static str, token: &'static str| {
        code_of(http::Request::get(path).header("authorization", token))
    };
    assert_eq!(ask("/version", "Bearer wrong").await, 401);
    let open = |path: &'static str| code_of(http::Request::get(path));
    let request = http::Request::get(WIDGETS)
        .header("impersonate-user", "joe")
        .body(axum::body::Body::empty())
        .unwrap();
    api.ask(request)
        .await
        .fails(403, "User \"joe\" cannot list resource");
    assert_eq!(open("/version").await, 200);
    assert_eq!(open("/api/v1/namespaces").await, 403);
}

#[tokio::test]
async fn no_input_makes_it_fail() {
    let api = api().await;
    api.post(WIDGETS, &widget("a")).await.is(201);
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let flow = format!("a: {deep}");
    let odd = format!(
        r#"{{"apiVersion":"test.example/v1","kind":"Widget","metadata":{{"name":"a","labels":[],"finalizers":{{}},"ownerReferences":1,"managedFields":{{}},"generation":"x","deletionTimestamp":5}},"spec":{deep}}}"#
    );
    let bodies = [
        "",
        "null",
        "1",
        "\"x\"",
        "[]",
        "{}",
        "{\"metadata\":null}",
        "{\"metadata\":[]}",
        "{\"spec\":null,\"status\":[]}",
        "[{\"op\":\"remove\",\"path\":\"/metadata\"}]",
        "[{\"op\":\"remove\",\"path\":\"\"}]",
        "a: &a [*a]",
        &deep,
        &flow,
        &odd,
    ];
    let media = [
        "",
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "\u{fffd}",
    ];
    let config = "/api/v1/namespaces/default/configmaps/a".to_owned();
    let queries = ["", "?dryRun=All", "?fieldManager=f&force=true&dryRun=All"];
    for path in [
        WIDGETS.to_owned(),
        at("a"),
        format!("{}/status", at("a")),
        format!("{}/scale", at("a")),
        config,
    ] {
        for method in ["POST", "PUT", "PATCH"] {
            for (media, body) in media
                .iter()
                .flat_map(|media| bodies.iter().map(move |body| (media, body)))
            {
                for query in queries {
                    let answer = api
                        .with(method, &format!("{path}{query}"), media, body)
                        .await;
                    assert!(
                        answer.code.as_u16() < 500,
                        "{method} {path}{query} {media} {body}: {:#}",
                        answer.body
                    );
                }
            }
        }
    }
    for query in [
        "limit=x",
        "resourceVersion=-1",
        "continue=%00",
        "labelSelector=%ff",
        "fieldSelector=%5C",
        "limit=-1",
        "watch=2&timeoutSeconds=-1",
        "timeout=9999999h",
        "timeoutSeconds=99999999999999999999",
    ] {
        let code = api.get(&format!("{WIDGETS}?{query}")).await.code.as_u16();
        assert!(code < 500, "{query}: {code}");
    }
}

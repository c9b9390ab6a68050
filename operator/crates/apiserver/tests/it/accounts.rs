//! Service accounts: what a namespace has of them, tokens, and who is let in with one.

use apiserver::{Config, ServiceAccounts};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use http::{Request, header};
use http_body_util::BodyExt;
use rcgen::KeyPair;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Answer, Api, SOON, api, api_beside_as, api_with};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";
const ISSUER: &str = "https://kubernetes.default.svc";
const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn config(key: &KeyPair, ca: &str) -> Config {
    let service_accounts = ServiceAccounts {
        signing_key: Some(key.serialize_pem()),
        root_ca: Some(ca.to_owned()),
        ..ServiceAccounts::default()
    };
    Config {
        service_accounts,
        ..Config::default()
    }
}

/// Asks with a bearer token, or as nobody.
async fn ask(router: Router, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        code: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

async fn read(router: Router, path: &str, token: &str) -> Answer {
    ask(router, "GET", path, token, &Value::Null).await
}

/// Who the server takes the holder of a token for.
async fn whoami(api: &Api, token: &str) -> Answer {
    let path = format!("{AUTHENTICATION}/selfsubjectreviews");
    ask(api.server.router(), "POST", &path, token, &json!({})).await
}

async fn account(api: &Api, name: &str) -> Value {
    let account = json!({"metadata": {"name": name}});
    api.post(ACCOUNTS, &account).await.is(201)
}

async fn request(api: &Api, name: &str, spec: Value) -> Answer {
    api.post(&format!("{ACCOUNTS}/{name}/token"), &json!({"spec": spec}))
        .await
}

async fn token(api: &Api, name: &str, spec: Value) -> String {
    text(&request(api, name, spec).await.is(201)["status"]["token"])
}

async fn review(api: &Api, token: &str, audiences: &[&str]) -> Value {
    let spec = json!({"spec": {"token": token, "audiences": audiences}});
    let path = format!("{AUTHENTICATION}/tokenreviews");
    api.post(&path, &spec).await.is(201)["status"].clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

/// The token with other claims, rightly signed.
fn forged(token: &str, key: &KeyPair, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = part(token, 1);
    change(&mut claims);
    let header = token.split('.').next().unwrap();
    let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let key = EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der(), &random).unwrap();
    let signature = key.sign(&random, signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64.encode(signature))
}

/// Waits until an object is what the test says.
async fn until(api: &Api, path: &str, right: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let found = api.get(path).await.body;
            if right(&found) {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(SOON, wait).await;
    found.unwrap_or_else(|_| panic!("{path} does not become right"))
}

#[tokio::test]
async fn a_token_says_whose_it_is_and_lets_in() {
    let api = api().await;
    let robot = account(&api, "robot").await;
    let answer = request(&api, "robot", json!({"expirationSeconds": 600})).await;
    let answer = answer.is(201);
    assert_eq!(
        (
            &answer["kind"],
            &answer["metadata"]["name"],
            &answer["spec"]
        ),
        (
            &json!("TokenRequest"),
            &json!("robot"),
            &json!({"audiences": [ISSUER], "expirationSeconds": 600, "boundObjectRef": null})
        )
    );
    assert_eq!(answer["metadata"]["uid"], robot["metadata"]["uid"]);
    let token = text(&answer["status"]["token"]);
    let claims = part(&token, 1);
    let name = "system:serviceaccount:default:robot";
    let uid = &robot["metadata"]["uid"];
    assert_eq!(claims["sub"], name);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], json!([ISSUER]));
    assert_eq!(claims["nbf"], claims["iat"]);
    let (from, to) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert_eq!(to - from, 600);
    assert_eq!(
        claims["kubernetes.io"],
        json!({"namespace": "default", "serviceaccount": {"name": "robot", "uid": uid}})
    );

    let me = whoami(&api, &token).await.is(201)["status"]["userInfo"].clone();
    let groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    ];
    let credential = format!("JTI={}", text(&claims["jti"]));
    let expected = json!({
        "username": name, "uid": uid, "groups": groups,
        "extra": {"authentication.kubernetes.io/credential-id": [credential]},
    });
    assert_eq!(me, expected);
    assert_eq!(
        review(&api, &token, &[]).await,
        json!({"authenticated": true, "user": expected, "audiences": [ISSUER]})
    );

    // The account may what its roles say, also where the subject names no namespace.
    let secrets = async || read(api.server.router(), SECRETS, &token).await;
    secrets().await.fails(403, name);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let binding = json!({
        "metadata": {"name": "robot"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot"}],
    });
    api.post(rbac, &binding).await.is(201);
    let wait = async { while secrets().await.code != 200 {} };
    tokio::time::timeout(SOON, wait).await.unwrap();
}

#[tokio::test]
async fn what_is_asked_for_is_checked() {
    let api = api().await;
    account(&api, "robot").await;
    let ask = |spec: Value| request(&api, "robot", spec);
    let field = "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds";
    for (seconds, says) in [
        (
            json!(599),
            "may not specify a duration less than 10 minutes",
        ),
        (json!(0), "may not specify a duration less than 10 minutes"),
        (json!(-1), "may not specify a duration less than 10 minutes"),
        (
            json!((1_i64 << 32) + 1),
            "may not specify a duration larger than 2^32 seconds",
        ),
    ] {
        let answer = ask(json!({"expirationSeconds": seconds})).await;
        answer.fails(422, &format!("{field}: Invalid value: {seconds}: {says}"));
    }
    ask(json!({"expirationSeconds": 1_i64 << 32})).await.is(201);
    ask(json!({"expirationSeconds": "long"}))
        .await
        .fails(400, "cannot be handled as a TokenRequest");
    ask(json!([]))
        .await
        .fails(400, "cannot be handled as a TokenRequest");
    for (kind, version, name, code, says) in [
        ("Pod", "v1", "x", 404, "pods \"x\" not found"),
        ("Node", "v1", "x", 404, "nodes \"x\" not found"),
        ("Secret", "v1", "", 400, "Name parameter required."),
        (
            "Node",
            "obiente.cloud/v1alpha1",
            "x",
            400,
            "cannot bind token to object of type obiente.cloud/v1alpha1, Kind=Node",
        ),
    ] {
        let reference = json!({"kind": kind, "apiVersion": version, "name": name});
        ask(json!({"boundObjectRef": reference}))
            .await
            .fails(code, says);
    }
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "name": "x", "uid": "1"});
    ask(json!({"boundObjectRef": secret}))
        .await
        .fails(404, "secrets \"x\" not found");
    api.post(SECRETS, &json!({"metadata": {"name": "x"}}))
        .await
        .is(201);
    ask(json!({"boundObjectRef": secret})).await.fails(
        409,
        "the UID in the bound object reference (1) does not match",
    );

    let path = format!("{ACCOUNTS}/robot/token");
    let named = json!({"metadata": {"name": "other"}});
    let says = "metadata.name: Invalid value: \"other\": must match the service account name";
    api.post(&path, &named).await.fails(422, says);
    let other = json!({"kind": "TokenReview"});
    api.post(&path, &other).await.fails(
        400,
        "TokenReview in version \"v1\" cannot be handled as a TokenRequest",
    );
    api.get(&path)
        .await
        .fails(405, "does not allow this method");
    let other = json!({"metadata": {"uid": "1"}});
    api.post(&path, &other)
        .await
        .fails(409, "the UID in the token request (1) does not match");
    let unknown = json!({"spec": {"foo": 1}, "status": {"token": "mine"}});
    let answer = api.post(&path, &unknown).await;
    assert_eq!(
        answer.headers["warning"],
        "299 - \"unknown field \\\"spec.foo\\\"\""
    );
    assert_ne!(answer.is(201)["status"]["token"], "mine");
    api.post(&format!("{path}?fieldValidation=Strict"), &unknown)
        .await
        .fails(400, "unknown field \"spec.foo\"");
    api.post(&format!("{path}?dryRun=Some"), &json!({}))
        .await
        .fails(422, "dryRun: Unsupported value");
    let elsewhere = path.replace("default", "nowhere");
    api.post(&elsewhere, &json!({}))
        .await
        .fails(404, "namespaces \"nowhere\" not found");
    let nobody = format!("{ACCOUNTS}/nobody/token");
    api.post(&nobody, &json!({}))
        .await
        .fails(404, "serviceaccounts \"nobody\" not found");
    let yaml = "spec: {audiences: [vault], expirationSeconds: 700}";
    let answer = api
        .with("POST", &path, "application/yaml", yaml)
        .await
        .is(201);
    assert_eq!(
        part(&text(&answer["status"]["token"]), 1)["aud"],
        json!(["vault"])
    );
}

#[tokio::test]
async fn tokens_count_for_their_audience_their_time_and_their_account() {
    let key = KeyPair::generate().unwrap();
    let api = api_with(config(&key, CA)).await;
    account(&api, "robot").await;
    let good = token(&api, "robot", json!({})).await;
    whoami(&api, &good).await.is(201);

    // Another audience is let in by those who are that audience, not here.
    let vault = token(&api, "robot", json!({"audiences": ["vault", "ci"]})).await;
    whoami(&api, &vault).await.fails(401, "Unauthorized");
    let status = review(&api, &vault, &["ci", "x"]).await;
    assert_eq!(
        (&status["authenticated"], &status["audiences"]),
        (&json!(true), &json!(["ci"]))
    );

    let now = part(&good, 1)["iat"].as_i64().unwrap();
    let stranger = KeyPair::generate().unwrap();
    let cases = [
        (
            forged(&good, &key, |claims| claims["exp"] = json!(now - 61)),
            "service account token has expired",
        ),
        (
            forged(&good, &key, |claims| claims["nbf"] = json!(now + 120)),
            "service account token is not valid yet",
        ),
        (
            forged(&good, &key, |claims| claims["aud"] = json!(["x"])),
            "token audiences [\"x\"] is invalid for the target audiences [\"https://kubernetes.default.svc\"]",
        ),
        (
            forged(&good, &key, |claims| {
                claims["kubernetes.io"]["serviceaccount"]["uid"] = json!("1")
            }),
            "does not match claim (1)",
        ),
        (
            forged(&good, &key, |claims| {
                claims["kubernetes.io"]["serviceaccount"]["name"] = json!("x")
            }),
            "serviceaccounts \"x\" not found",
        ),
        (
            forged(&good, &key, |claims| claims["iss"] = json!("https://other")),
            "invalid bearer token",
        ),
        (
            forged(&good, &key, |claims| claims["exp"] = json!("never")),
            "invalid bearer token",
        ),
        (forged(&good, &stranger, |_| ()), "invalid bearer token"),
        ("nonsense".to_owned(), "invalid bearer token"),
    ];
    for (token, says) in cases {
        whoami(&api, &token).await.fails(401, "Unauthorized");
        let status = review(&api, &token, &[]).await;
        let error = text(&status["error"]);
        assert!(
            status["user"] == json!({}) && error.contains(says),
            "{error}"
        );
    }
    let same = forged(&good, &key, |_| ());
    whoami(&api, &same).await.is(201);

    // A new account of the same name is another one.
    api.delete(&format!("{ACCOUNTS}/robot")).await.is(200);
    whoami(&api, &good).await.fails(401, "Unauthorized");
    account(&api, "robot").await;
    whoami(&api, &good).await.fails(401, "Unauthorized");
    // One that waits for its finalizers is on its way out.
    let held = token(&api, "robot", json!({})).await;
    let finalizers = json!({"metadata": {"finalizers": ["test.example/x"]}});
    api.merge(&format!("{ACCOUNTS}/robot"), &finalizers)
        .await
        .is(200);
    whoami(&api, &held).await.is(201);
    api.delete(&format!("{ACCOUNTS}/robot")).await.is(200);
    whoami(&api, &held).await.fails(401, "Unauthorized");
}

#[tokio::test]
async fn a_bound_token_ends_with_what_it_is_bound_to() {
    let api = api().await;
    account(&api, "robot").await;
    let secret = json!({"metadata": {"name": "x"}});
    let made = api.post(SECRETS, &secret).await.is(201);
    let reference =
        json!({"kind": "Secret", "apiVersion": "v1", "name": "x", "uid": made["metadata"]["uid"]});
    let bound = token(&api, "robot", json!({"boundObjectRef": reference})).await;
    assert_eq!(
        part(&bound, 1)["kubernetes.io"]["secret"],
        json!({"name": "x", "uid": made["metadata"]["uid"]})
    );
    whoami(&api, &bound).await.is(201);
    api.delete(&format!("{SECRETS}/x")).await.is(200);
    whoami(&api, &bound).await.fails(401, "Unauthorized");
    let error = text(&review(&api, &bound, &[]).await["error"]);
    assert_eq!(
        error,
        "[invalid bearer token, service account token has been invalidated]"
    );
    api.post(SECRETS, &secret).await.is(201);
    let error = text(&review(&api, &bound, &[]).await["error"]);
    assert!(
        error.contains("does not match service account secret ref claim"),
        "{error}"
    );
}

/// As `argocd cluster add` does.
#[tokio::test]
async fn a_secret_is_filled_with_a_token_and_goes_with_its_account() {
    let key = KeyPair::generate().unwrap();
    let api = api_with(config(&key, CA)).await;
    let robot = account(&api, "robot").await;
    let secret = |name: &str, annotations: Value| json!({"metadata": {"name": name, "annotations": annotations}, "type": "kubernetes.io/service-account-token"});
    let of = |account: &str| json!({"kubernetes.io/service-account.name": account});
    api.post(SECRETS, &secret("none", json!({}))).await.fails(
        422,
        "metadata.annotations[kubernetes.io/service-account.name]: Required value",
    );
    api.post(SECRETS, &secret("kept", of("robot")))
        .await
        .is(201);
    let path = format!("{SECRETS}/kept");
    let filled = |found: &Value| found["data"]["token"].is_string();
    let found = until(&api, &path, filled).await;
    let decoded = |found: &Value, field: &str| {
        String::from_utf8(BASE64_STANDARD.decode(text(&found["data"][field])).unwrap()).unwrap()
    };
    assert_eq!(decoded(&found, "namespace"), "default");
    assert_eq!(decoded(&found, "ca.crt"), CA);
    let uid = "kubernetes.io/service-account.uid";
    assert_eq!(
        found["metadata"]["annotations"][uid],
        robot["metadata"]["uid"]
    );
    let token = decoded(&found, "token");
    let me = whoami(&api, &token).await.is(201)["status"]["userInfo"].clone();
    assert_eq!(me["username"], "system:serviceaccount:default:robot");
    assert_eq!(me.get("extra"), None);

    // Taken out, it does not count any more, and another one comes.
    let data = json!({"data": {"token": null, "namespace": null}});
    api.merge(&path, &data).await.is(200);
    let again = decoded(&until(&api, &path, filled).await, "token");
    assert_ne!(again, token);
    whoami(&api, &token).await.fails(401, "Unauthorized");
    let error = text(&review(&api, &token, &[]).await["error"]);
    assert!(
        error.contains("token does not match server's copy"),
        "{error}"
    );
    whoami(&api, &again).await.is(201);

    // Of nobody, or of an earlier account of that name, it is removed.
    api.post(SECRETS, &secret("nobody", of("nobody")))
        .await
        .is(201);
    api.until(&format!("{SECRETS}/nobody"), 404).await;
    let mut earlier = of("robot");
    earlier[uid] = json!("1");
    api.post(SECRETS, &secret("earlier", earlier)).await.is(201);
    api.until(&format!("{SECRETS}/earlier"), 404).await;
    api.delete(&format!("{ACCOUNTS}/robot")).await.is(200);
    api.until(&path, 404).await;
    whoami(&api, &again).await.fails(401, "Unauthorized");
}

#[tokio::test]
async fn every_namespace_has_its_account_and_the_authority() {
    let key = KeyPair::generate().unwrap();
    let api = api_with(config(&key, CA)).await;
    let at = |namespace: &str, rest: &str| format!("/api/v1/namespaces/{namespace}/{rest}");
    let (default, authority) = ("serviceaccounts/default", "configmaps/kube-root-ca.crt");
    for namespace in ["default", "kube-system"] {
        api.until(&at(namespace, default), 200).await;
        let found = api.until(&at(namespace, authority), 200).await.body;
        assert_eq!(found["data"], json!({"ca.crt": CA}));
    }
    let shop = json!({"metadata": {"name": "shop"}});
    api.post("/api/v1/namespaces", &shop).await.is(201);
    let first = api.until(&at("shop", default), 200).await.body;
    let another = |found: &Value| {
        let uid = &found["metadata"]["uid"];
        uid.is_string() && *uid != first["metadata"]["uid"]
    };
    api.until(&at("shop", authority), 200).await;
    api.delete(&at("shop", default)).await.is(200);
    until(&api, &at("shop", default), another).await;
    let emptied = json!({"data": {"ca.crt": "other"}});
    api.merge(&at("shop", authority), &emptied).await.is(200);
    let right = |found: &Value| {
        found["data"]["ca.crt"]
            .as_str()
            .is_some_and(|ca| ca.ends_with(CA))
    };
    until(&api, &at("shop", authority), right).await;

    // A second operator with the same key believes its tokens; with an authority of its own, it
    // adds that, and neither takes the other's away.
    let other_ca = CA.replace("AAAA", "BBBB");
    let beside = api_beside_as(&api, config(&key, &other_ca)).await;
    let both = |found: &Value| {
        let data = found["data"]["ca.crt"].as_str().unwrap_or_default();
        data.contains("AAAA") && data.contains("BBBB")
    };
    let settled = until(&beside, &at("default", authority), both).await;
    let fresh = token(&beside, "default", json!({})).await;
    whoami(&api, &fresh).await.is(201);
    // Whatever either does about this is done when a later change of another one has been seen.
    let later = json!({"metadata": {"name": "later"}});
    api.post("/api/v1/namespaces", &later).await.is(201);
    until(&api, &at("later", authority), both).await;
    let now = api.get(&at("default", authority)).await.is(200);
    assert_eq!(
        now["metadata"]["resourceVersion"],
        settled["metadata"]["resourceVersion"]
    );

    api.delete("/api/v1/namespaces/shop").await.is(200);
    api.until("/api/v1/namespaces/shop", 404).await;
}

#[tokio::test]
async fn the_key_is_published_to_accounts() {
    let api = api().await;
    account(&api, "robot").await;
    let robot = token(&api, "robot", json!({})).await;
    let openid = "/.well-known/openid-configuration";
    let found = async |path, token: &str| read(api.server.router(), path, token).await;
    let document = found(openid, &robot).await.is(200);
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["jwks_uri"], format!("{ISSUER}/openid/v1/jwks"));
    let keys = found("/openid/v1/jwks", &robot).await.is(200);
    assert_eq!(keys["keys"][0]["kid"], part(&robot, 0)["kid"]);
    let answer = api.get("/openid/v1/jwks").await;
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    assert_eq!(answer.headers["cache-control"], "public, max-age=3600");
    found(openid, "").await.fails(403, "system:anonymous");
}

/// The signing key is changed without a token that ends early.
#[tokio::test]
async fn a_key_can_be_replaced() {
    let (old, new) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let with = |key: &KeyPair, also: Option<&KeyPair>| {
        let mut config = config(key, CA);
        let keys = also.into_iter().map(KeyPair::public_key_pem);
        config.service_accounts.verification_keys = keys.collect();
        config
    };
    let before = api_with(with(&old, Some(&new))).await;
    account(&before, "robot").await;
    let first = token(&before, "robot", json!({})).await;
    let after = api_beside_as(&before, with(&new, Some(&old))).await;
    let second = token(&after, "robot", json!({})).await;
    assert_ne!(part(&first, 0)["kid"], part(&second, 0)["kid"]);
    for api in [&before, &after] {
        whoami(api, &first).await.is(201);
        whoami(api, &second).await.is(201);
        let keys = api.get("/openid/v1/jwks").await.is(200);
        assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    }
    let done = api_beside_as(&before, with(&new, None)).await;
    whoami(&done, &first).await.fails(401, "Unauthorized");
    whoami(&done, &second).await.is(201);
}

#[tokio::test]
async fn paths_beside_the_api_ask_who_reads_them() {
    let api = api().await;
    account(&api, "robot").await;
    account(&api, "prometheus").await;
    let binding = json!({
        "metadata": {"name": "prometheus"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:monitoring"},
        "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": "default"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    api.post(bindings, &binding).await.is(201);
    let routes = Router::new().route("/metrics", get(|| async { "1" }));
    api.server.serve_beside(routes);
    let metrics = async |token: &str| read(api.server.router(), "/metrics", token).await;
    let what = "cannot get path \"/metrics\"";
    metrics("")
        .await
        .fails(403, &format!("User \"system:anonymous\" {what}"));
    metrics("wrong").await.fails(401, "Unauthorized");
    let robot = token(&api, "robot", json!({})).await;
    let denied = format!("User \"system:serviceaccount:default:robot\" {what}");
    metrics(&robot).await.fails(403, &denied);
    let prometheus = token(&api, "prometheus", json!({})).await;
    let wait = async {
        loop {
            let answer = metrics(&prometheus).await;
            if answer.code == 200 {
                return answer.body;
            }
        }
    };
    assert_eq!(tokio::time::timeout(SOON, wait).await.unwrap(), json!(1));
    assert_eq!(api.get("/metrics/x").await.is(404), "404 page not found\n");
    api.delete("/metrics").await.fails(405, "method");
}

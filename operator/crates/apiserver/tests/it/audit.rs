//! The audit log: who did what, when, how it ended, and nothing that is secret.

use std::time::Duration;

use apiserver::{AuditConfig, Config, StaticToken, UserInfo};
use axum::body::Body;
use futures::FutureExt;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::limits::{answer, ask};
use crate::support::{Api, api_with};
use crate::tls::{Served, get};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
/// Bearer tokens; neither may ever be written down.
const ADMIN: &str = "t0ken-of-the-admin";
const EVE: &str = "t0ken-of-eve";

struct Audited {
    api: Api,
    directory: tempfile::TempDir,
}

impl Audited {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let audit = AuditConfig {
            path: directory.path().join("audit.log"),
            max_size: 0,
            max_backups: 0,
            max_age: Duration::ZERO,
        };
        let token = |token: &str, name: &str, groups: &[&str]| StaticToken {
            token: token.to_owned(),
            user: UserInfo::new(name, groups),
        };
        let tokens = vec![
            token(ADMIN, "admin", &["system:masters"]),
            token(EVE, "eve", &[]),
        ];
        let api = api_with(Config {
            tokens,
            audit: Some(audit),
            ..Config::default()
        })
        .await;
        Self { api, directory }
    }

    async fn text(&self) -> String {
        self.api.server.flush_audit().await;
        std::fs::read_to_string(self.directory.path().join("audit.log")).unwrap()
    }

    /// The events of one user.
    async fn events(&self, user: &str) -> Vec<Value> {
        let text = self.text().await;
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        events
            .filter(|event: &Value| event["user"]["username"] == user)
            .collect()
    }

    async fn as_admin(&self, method: &str, path: &str, body: &Value) -> StatusCode {
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        answer(ask(&self.api, ADMIN, method, path, body).await)
            .await
            .code
    }
}

/// What matters most of an event, on a line.
fn brief(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let parts = [
        text(&event["verb"]),
        text(&object["resource"]),
        text(&object["namespace"]),
        text(&object["name"]),
        text(&object["subresource"]),
        event["responseStatus"]["code"].to_string(),
        text(&event["responseStatus"]["reason"]),
        text(&event["annotations"]["authorization.k8s.io/decision"]),
    ];
    parts.join(" ")
}

/// What `kubectl apply` and `kubectl delete` send.
#[tokio::test]
async fn changes_by_an_administrator() {
    let audited = Audited::new().await;
    let map = |data: Value| json!({"metadata": {"name": "a"}, "data": data});
    let object = format!("{MAPS}/a");
    audited.as_admin("GET", &object, &Value::Null).await;
    let create = format!("{MAPS}?fieldManager=kubectl-client-side-apply");
    audited
        .as_admin("POST", &create, &map(json!({"k": "v"})))
        .await;
    audited.as_admin("POST", &create, &map(json!({}))).await;
    let generated = json!({"metadata": {"generateName": "b-"}});
    audited.as_admin("POST", MAPS, &generated).await;
    audited
        .as_admin("PUT", &object, &map(json!({"k": "w"})))
        .await;
    audited.as_admin("GET", MAPS, &Value::Null).await;
    audited.as_admin("DELETE", &object, &Value::Null).await;
    audited.as_admin("OPTIONS", &object, &Value::Null).await;
    audited.as_admin("GET", "/version", &Value::Null).await;
    let events = audited.events("admin").await;
    let mut found: Vec<String> = events.iter().map(brief).collect();
    let name = found[3].split(' ').nth(3).unwrap().to_owned();
    assert!(name.starts_with("b-") && name.len() > 2, "{found:#?}");
    found[3] = found[3].replace(&name, "b-");
    let expected = [
        "get configmaps default a  404 NotFound allow",
        "create configmaps default a  201  allow",
        "create configmaps default a  409 AlreadyExists allow",
        "create configmaps default b-  201  allow",
        "update configmaps default a  200  allow",
        "list configmaps default   200  allow",
        "delete configmaps default a  200  allow",
        "options configmaps default a  405 MethodNotAllowed allow",
        "get     200  allow",
    ];
    assert_eq!(found, expected);
    let made = &events[1];
    let times =
        ["requestReceivedTimestamp", "stageTimestamp"].map(|name| made[name].as_str().unwrap());
    assert!(
        times[0] <= times[1] && times.map(str::len) == [27, 27],
        "{times:?}"
    );
    let fixed = ["kind", "apiVersion", "level", "stage", "requestURI"]
        .map(|name| made[name].as_str().unwrap());
    assert_eq!(
        fixed,
        [
            "Event",
            "audit.k8s.io/v1",
            "Metadata",
            "ResponseComplete",
            &create
        ]
    );
    assert_eq!(
        made["user"]["groups"],
        json!(["system:masters", "system:authenticated"])
    );
    assert_eq!(made["objectRef"]["apiVersion"], "v1");
}

#[tokio::test]
async fn those_who_may_not_and_those_who_act_as_others() {
    let audited = Audited::new().await;
    let send = async |headers: &[(&str, &str)]| {
        let mut request = Request::get(SECRETS);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        answer(audited.api.server.router().oneshot(request).await.unwrap())
            .await
            .code
            .as_u16()
    };
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(send(&[("authorization", &bearer(EVE))]).await, 403);
    assert_eq!(send(&[]).await, 403);
    assert_eq!(send(&[("authorization", "Bearer wr0ng")]).await, 401);
    let admin = bearer(ADMIN);
    assert_eq!(
        send(&[
            ("authorization", &admin),
            ("impersonate-user", "eve"),
            ("impersonate-group", "dev")
        ])
        .await,
        403
    );
    assert_eq!(
        send(&[
            ("authorization", &bearer(EVE)),
            ("impersonate-user", "admin")
        ])
        .await,
        403
    );
    let denied = "list secrets default   403 Forbidden forbid";
    let by = async |user: &str| audited.events(user).await;
    let eve = by("eve").await;
    assert_eq!(brief(&eve[0]), denied);
    assert!(
        eve[1].get("impersonatedUser").is_none(),
        "she never became somebody else"
    );
    assert_eq!(brief(&eve[1]), "list secrets default   403 Forbidden ");
    assert_eq!(brief(&by("system:anonymous").await[0]), denied);
    let admin = &by("admin").await[0];
    assert_eq!(brief(admin), denied);
    assert_eq!(
        admin["impersonatedUser"],
        json!({"username": "eve", "groups": ["dev", "system:authenticated"]})
    );
    let text = audited.text().await;
    let unknown = text
        .lines()
        .find(|line| line.contains("\"code\":401"))
        .unwrap();
    assert_eq!(
        brief(&serde_json::from_str(unknown).unwrap()),
        "list secrets default   401 Unauthorized "
    );
    for secret in [ADMIN, EVE, "wr0ng", "Bearer"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn secrets_are_never_in_it() {
    let audited = Audited::new().await;
    let secret = |data: Value| json!({"metadata": {"name": "s"}, "stringData": data});
    let (value, encoded) = ("hunter2", "aHVudGVyMg==");
    audited
        .as_admin("POST", SECRETS, &secret(json!({"password": value})))
        .await;
    audited
        .as_admin(
            "PUT",
            &format!("{SECRETS}/s"),
            &secret(json!({"bad key!": value, "hunter2": "x"})),
        )
        .await;
    audited
        .as_admin("GET", &format!("{SECRETS}/s"), &Value::Null)
        .await;
    let broken = json!({"metadata": {"name": "t"}, "data": {"password": value}, "type": value});
    assert!(
        audited
            .as_admin("POST", SECRETS, &broken)
            .await
            .is_client_error()
    );
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": EVE}});
    audited
        .as_admin(
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            &review,
        )
        .await;
    let text = audited.text().await;
    assert_eq!(
        text.lines()
            .filter(|line| line.contains(r#""resource":"secrets""#))
            .count(),
        4,
        "{text}"
    );
    for secret in [value, encoded, ADMIN, EVE] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn watches_have_a_start_and_an_end() {
    let audited = Audited::new().await;
    let watch = ask(
        &audited.api,
        ADMIN,
        "GET",
        &format!("{MAPS}?watch=true"),
        Body::empty(),
    )
    .await;
    let stages = async || {
        let events = audited.events("admin").await;
        let stage =
            |event: &Value| format!("{} {}", event["stage"].as_str().unwrap(), brief(event));
        events.iter().map(stage).collect::<Vec<_>>()
    };
    let started = "ResponseStarted watch configmaps default   200  allow";
    assert_eq!(stages().await, [started]);
    drop(watch);
    let ended = "ResponseComplete watch configmaps default   200  allow";
    assert_eq!(stages().await, [started, ended]);
    let over = format!("{MAPS}?watch=true&resourceVersion=99999999");
    let over = ask(&audited.api, ADMIN, "GET", &over, Body::empty()).await;
    over.into_body().collect().await.unwrap();
    assert_eq!(stages().await, [started, ended, started, ended]);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_line() {
    let audited = Audited::new().await;
    let endless = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let post = ask(
        &audited.api,
        ADMIN,
        "POST",
        MAPS,
        Body::from_stream(endless),
    );
    assert!(post.boxed_local().now_or_never().is_none());
    let events = audited.events("admin").await;
    assert_eq!(
        brief(&events[0]),
        "create configmaps default   499 ClientClosedRequest allow"
    );
}

#[tokio::test]
async fn ids_addresses_and_agents() {
    let served = Audited::new().await;
    let Audited { api, directory } = served;
    let served = Served::over(api).await;
    let connector = served.authority.connector(None, b"h2");
    let response = get(&connector, served.address, MAPS, Some(ADMIN)).await;
    let id = response.headers()["audit-id"].to_str().unwrap();
    served.api.server.flush_audit().await;
    let text = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    let event: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&event["auditID"], &event["sourceIPs"]),
        (&json!(id), &json!(["127.0.0.1"]))
    );
    assert_eq!(
        event["requestURI"], MAPS,
        "also where the protocol sends the host with it"
    );
    let own = async |id: &str| {
        let request = Request::get(MAPS)
            .header("audit-id", id)
            .header(header::USER_AGENT, "kubectl/v1.32.0");
        let request = request.body(Body::empty()).unwrap();
        let response = served.api.server.router().oneshot(request).await.unwrap();
        response.headers()["audit-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(own("mine-1").await, "mine-1");
    assert_eq!(own(&"x".repeat(65)).await.len(), 36);
    served.api.server.flush_audit().await;
    let text = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    assert!(
        text.contains(r#""auditID":"mine-1""#) && text.contains(r#""userAgent":"kubectl/v1.32.0""#),
        "{text}"
    );
}

//! A server over a database of its own, and short ways to ask it.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Config, UserInfo};
use axum::Router;
use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::postgres::{Database, database};

/// Longest wait for anything to happen.
pub const SOON: Duration = Duration::from_secs(20);

pub struct Api {
    pub server: ApiServer,
    pub router: Router,
    pub store: Store,
    cancel: CancellationToken,
    _loops: JoinSet<()>,
    database: Arc<Database>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// A kind with everything that a definition can ask for.
pub fn widgets() -> CustomResourceDefinition {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.test.example"},
        "spec": {
            "group": "test.example",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [{"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}],
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["color"], "properties": {
                        "color": {"type": "string", "maxLength": 10},
                        "replicas": {"type": "integer", "minimum": 0, "default": 1},
                    }},
                    "status": {"type": "object", "properties": {
                        "replicas": {"type": "integer"}, "seen": {"type": "string"},
                    }},
                }}},
            }],
        },
    });
    serde_json::from_value(definition).unwrap()
}

pub const WIDGETS: &str = "/apis/test.example/v1/namespaces/default/widgets";
pub const DEPLOYMENTS: &str = "/apis/obiente.cloud/v1alpha1/namespaces/default/deployments";

pub fn widget(name: &str) -> Value {
    json!({"apiVersion": "test.example/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"color": "red"}})
}

pub async fn api() -> Api {
    api_with(Config::default()).await
}

pub async fn api_with(config: Config) -> Api {
    let database = database().await;
    let store = Store::open(store::Config::new(database.url()))
        .await
        .unwrap();
    serve(store, config, Arc::new(database)).await
}

/// Over a store of other settings.
pub async fn api_of(settings: impl FnOnce(store::Config) -> store::Config) -> Api {
    let database = database().await;
    let config = settings(store::Config::new(database.url()));
    let store = Store::open(config).await.unwrap();
    serve(store, Config::default(), Arc::new(database)).await
}

/// A second server, as another process would be, over the same database.
pub async fn api_beside(other: &Api) -> Api {
    api_beside_with(other, |config| config).await
}

/// The same, over a store of other settings.
pub async fn api_beside_with(
    other: &Api,
    settings: impl FnOnce(store::Config) -> store::Config,
) -> Api {
    let config = settings(store::Config::new(other.database.url()));
    let store = Store::open(config).await.unwrap();
    serve(store, Config::default(), other.database.clone()).await
}

/// The same, with other settings of its own.
pub async fn api_beside_as(other: &Api, config: Config) -> Api {
    let store = store::Config::new(other.database.url());
    let store = Store::open(store).await.unwrap();
    serve(store, config, other.database.clone()).await
}

async fn serve(store: Store, config: Config, database: Arc<Database>) -> Api {
    let mut crds = api_types::crds();
    crds.push(widgets());
    let server = ApiServer::new(store.clone(), crds, config).await.unwrap();
    let router = server.in_process(UserInfo::new("tester", &["system:masters"]));
    let cancel = CancellationToken::new();
    let loops = server.spawn_loops(cancel.clone());
    let api = Api {
        server,
        router,
        store,
        cancel,
        _loops: loops,
        database,
    };
    // What the server makes at its start would be a change to tests that look for none.
    for namespace in ["default", "kube-system"] {
        let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        api.until(&account, 200).await;
    }
    api
}

impl Drop for Api {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.server.end_watches();
    }
}

impl Api {
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.router.clone(), "default")
    }

    pub async fn send(&self, request: Request<Body>) -> http::Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = tokio::time::timeout(SOON, self.send(request))
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = tokio::time::timeout(SOON, body.collect())
            .await
            .unwrap()
            .unwrap()
            .to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::String(text));
        Answer {
            code: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.ask(
            Request::get(path)
                .header(header::ACCEPT, accept)
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.with("POST", path, "application/json", &body.to_string())
            .await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.with("PUT", path, "application/json", &body.to_string())
            .await
    }

    pub async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.with(
            "PATCH",
            path,
            "application/merge-patch+json",
            &body.to_string(),
        )
        .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.with("DELETE", path, "application/json", "").await
    }

    pub async fn with(&self, method: &str, path: &str, media: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, media);
        self.ask(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }

    /// Opens a watch.
    pub async fn watch(&self, path: &str) -> Events {
        self.watch_as(path, "application/json").await
    }

    pub async fn watch_as(&self, path: &str, accept: &str) -> Events {
        let request = Request::get(path)
            .header(header::ACCEPT, accept)
            .body(Body::empty())
            .unwrap();
        let response = tokio::time::timeout(SOON, self.send(request))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let stream = response
            .into_body()
            .into_data_stream()
            .map(|chunk| chunk.unwrap().to_vec());
        Events {
            stream: stream.boxed(),
            rest: Vec::new(),
        }
    }

    /// Waits until a path answers with this code.
    pub async fn until(&self, path: &str, code: u16) -> Answer {
        let wait = async {
            loop {
                let answer = self.get(path).await;
                if answer.code == code {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap()
    }
}

/// A running watch.
pub struct Events {
    stream: futures::stream::BoxStream<'static, Vec<u8>>,
    rest: Vec<u8>,
}

impl Events {
    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(SOON, self.stream.next())
                .await
                .expect("an event or the end in time");
            self.rest.extend(chunk?);
        }
    }

    /// Type, name and resource version of the next event.
    pub async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["type"]),
            text(&event["object"]["metadata"]["name"]),
        )
    }
}

impl Answer {
    #[track_caller]
    pub fn is(self, code: u16) -> Value {
        assert_eq!(self.code.as_u16(), code, "{:#}", self.body);
        self.body
    }

    /// A failure with this code, whose message contains a text.
    #[track_caller]
    pub fn fails(self, code: u16, text: &str) {
        let body = self.is(code);
        assert_eq!(
            (&body["kind"], &body["status"], &body["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code))
        );
        let message = body["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
    }
}

pub fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

//! Plain requests over HTTPS, and what does not depend on a kind: compression, entity tags,
//! formats that are not spoken, and the `Status` of everything that goes wrong.

use anyhow::{Context as _, ensure};
use futures::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, TryStreamExt as _};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::world::shared;

/// An answer; a body that is not JSON is kept as text.
#[derive(Debug)]
pub struct Answer {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Sends a request with these headers.
pub async fn ask(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> anyhow::Result<Answer> {
    let (parts, body) = send(client, method, path, headers, body)
        .await?
        .into_parts();
    let bytes = body.collect().await.context("the body")?.to_bytes();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    Ok(Answer {
        code: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
    })
}

async fn send(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> anyhow::Result<http::Response<Body>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client
        .send(request.body(Body::from(body))?)
        .await
        .with_context(|| format!("{method} {path}"))
}

/// A running watch, line by line.
pub struct Watch {
    lines: futures::io::Lines<Box<dyn AsyncBufRead + Send + Unpin>>,
}

impl Watch {
    /// Opens it; the answer must be 200 at once.
    pub async fn open(client: &Client, path: &str, accept: &str) -> anyhow::Result<Self> {
        let response = send(client, "GET", path, &[("accept", accept)], Vec::new()).await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        let stream = response
            .into_body()
            .into_data_stream()
            .map_err(std::io::Error::other);
        let reader: Box<dyn AsyncBufRead + Send + Unpin> =
            Box::new(Box::pin(stream.into_async_read()));
        Ok(Self {
            lines: reader.lines(),
        })
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        let line = tokio::time::timeout(std::time::Duration::from_secs(30), self.lines.try_next());
        let line = line.await.context("no event in 30 s")??;
        line.map(|line| serde_json::from_str(&line).with_context(|| line.clone()))
            .transpose()
    }
}

#[tokio::test]
async fn compressed_and_not_sent_again() -> anyhow::Result<()> {
    let client = shared().await?.operator.client().await?;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        ask(&client, "GET", path, headers, Vec::new()).await
    };
    // Go's transport asks for it by itself.
    let mut compressed = send(
        &client,
        "GET",
        "/openapi/v2",
        &[("accept-encoding", "gzip")],
        Vec::new(),
    )
    .await?;
    ensure!(
        compressed.headers()["content-encoding"] == "gzip",
        "{:?}",
        compressed.headers()
    );
    let mut magic = [0; 2];
    let mut body = std::mem::replace(compressed.body_mut(), Body::empty())
        .into_data_stream()
        .map_err(std::io::Error::other)
        .into_async_read();
    body.read_exact(&mut magic).await?;
    ensure!(magic == [0x1f, 0x8b], "{magic:?}");
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    for (path, accept) in [
        ("/apis", aggregated),
        ("/api", aggregated),
        ("/openapi/v3", "application/json"),
        ("/openapi/v2", "application/json"),
    ] {
        let first = get(path, &[("accept", accept)]).await?;
        let tag = first
            .headers
            .get("etag")
            .with_context(|| format!("{path}: no etag"))?
            .to_str()?;
        let second = get(path, &[("accept", accept), ("if-none-match", tag)]).await?;
        ensure!(
            second.code == 304 && second.body == "",
            "{path}: {second:?}"
        );
        ensure!(
            get(path, &[("accept", accept), ("if-none-match", "\"other\"")])
                .await?
                .code
                == 200
        );
    }
    Ok(())
}

/// What is refused, as clients decide by it: code, reason, and a message for people.
#[tokio::test]
async fn every_failure_is_a_status() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("status").await?;
    let client = ns.world.operator.client().await?;
    let maps = format!("/api/v1/namespaces/{}/configmaps", ns.name);
    let deployments = format!(
        "/apis/obiente.cloud/v1alpha1/namespaces/{}/deployments",
        ns.name
    );
    let made = json!({"metadata": {"name": "x"}}).to_string();
    ensure!(
        ask(&client, "POST", &maps, &[], made.clone().into())
            .await?
            .code
            == 201
    );
    let (json, cbor) = (
        &[("content-type", "application/json")][..],
        &[("content-type", "application/cbor")][..],
    );
    let accept = |media| [("accept", media)];
    let merge = &[("content-type", "application/merge-patch+json")][..];
    let apply_cbor = &[("content-type", "application/apply-patch+cbor")][..];
    let at = |path: &str| format!("{maps}{path}");
    let cases = [
        (
            "GET",
            at("/none"),
            &[][..],
            "",
            404,
            "NotFound",
            "configmaps \"none\" not found",
        ),
        (
            "GET",
            "/api/v1/things".to_owned(),
            &[],
            "",
            404,
            "NotFound",
            "could not find the requested resource",
        ),
        (
            "DELETE",
            "/api/v1/namespaces".to_owned(),
            &[],
            "",
            405,
            "MethodNotAllowed",
            "does not allow this method",
        ),
        (
            "POST",
            at("/x"),
            json,
            "{}",
            405,
            "MethodNotAllowed",
            "does not allow this method",
        ),
        (
            "POST",
            maps.clone(),
            cbor,
            "x",
            415,
            "UnsupportedMediaType",
            "application/json",
        ),
        (
            "PATCH",
            at("/x"),
            apply_cbor,
            "x",
            415,
            "UnsupportedMediaType",
            "application/apply-patch+yaml",
        ),
        (
            "GET",
            at("/x"),
            &accept("application/cbor"),
            "",
            406,
            "NotAcceptable",
            "application/json",
        ),
        (
            "GET",
            at("?watch=true"),
            &accept("application/cbor-seq"),
            "",
            406,
            "NotAcceptable",
            "application/json",
        ),
        ("POST", maps.clone(), json, "{", 400, "BadRequest", "JSON"),
        (
            "POST",
            maps.clone(),
            json,
            &made,
            409,
            "AlreadyExists",
            "configmaps \"x\" already exists",
        ),
        (
            "POST",
            maps.clone(),
            json,
            r#"{"metadata":{"name":5}}"#,
            400,
            "BadRequest",
            "metadata.name",
        ),
        (
            "POST",
            maps.clone(),
            json,
            r#"{"metadata":{"name":"y","uid":5}}"#,
            400,
            "BadRequest",
            "metadata.uid",
        ),
        (
            "POST",
            maps.clone(),
            json,
            r#"{"kind":"ConfigMapList","apiVersion":"v1","items":[]}"#,
            400,
            "BadRequest",
            "ConfigMapList",
        ),
        (
            "GET",
            at("?resourceVersion=abc"),
            &[],
            "",
            400,
            "BadRequest",
            "resourceVersion",
        ),
        (
            "GET",
            at("?timeoutSeconds=x"),
            &[],
            "",
            400,
            "BadRequest",
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "GET",
            at("?continue=x"),
            &[],
            "",
            400,
            "BadRequest",
            "continue key is not valid",
        ),
        (
            "GET",
            at("?fieldSelector=data.a%3Db"),
            &[],
            "",
            400,
            "BadRequest",
            "is not a known field selector",
        ),
        (
            "GET",
            at("?sendInitialEvents=true"),
            &[],
            "",
            422,
            "Invalid",
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden",
        ),
        (
            "POST",
            at("?dryRun=Some"),
            json,
            &made,
            422,
            "Invalid",
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]",
        ),
        (
            "DELETE",
            at("/x?dryRun=Some"),
            &[],
            "",
            422,
            "Invalid",
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun",
        ),
        (
            "PATCH",
            at("/x?force=true"),
            merge,
            "{}",
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden",
        ),
        (
            "PATCH",
            at("/x?fieldValidation=Loud"),
            merge,
            "{}",
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldValidation",
        ),
        (
            "PATCH",
            at("/x?fieldValidation=Strict"),
            merge,
            r#"{"colour":1}"#,
            422,
            "Invalid",
            "strict decoding error: unknown field \"colour\"",
        ),
        (
            "POST",
            format!("{deployments}?fieldValidation=Strict"),
            json,
            r#"{"apiVersion":"obiente.cloud/v1alpha1","kind":"Deployment","metadata":{"name":"x","colour":1},"spec":{"image":"a"}}"#,
            400,
            "BadRequest",
            "strict decoding error: unknown field \"metadata.colour\"",
        ),
        (
            "POST",
            deployments.clone(),
            json,
            r#"{"apiVersion":"obiente.cloud/v1alpha1","kind":"Deployment","metadata":{"name":"x","labels":["a"]},"spec":{"image":"a"}}"#,
            400,
            "BadRequest",
            "json: cannot unmarshal array into Go struct field ObjectMeta.labels of type map[string]string",
        ),
    ];
    for (method, path, headers, body, code, reason, message) in cases {
        let answer = ask(&client, method, &path, headers, body.as_bytes().to_vec()).await?;
        let status = &answer.body;
        ensure!(
            answer.code == code
                && status["kind"] == "Status"
                && status["reason"] == reason
                && status["code"] == code
                && status["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(message)),
            "{method} {path} {body}: {} instead of {code} {reason} {message}: {status}",
            answer.code
        );
        ensure!(answer.headers["content-type"] == "application/json");
    }
    for path in ["/none", "/apis/none.example/v1/things"] {
        let answer = ask(&client, "GET", path, &[], Vec::new()).await?;
        let plain = answer.body == "404 page not found\n";
        ensure!(answer.code == 404 && plain, "{path}: {}", answer.body);
    }
    Ok(())
}

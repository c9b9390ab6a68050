//! No user takes the server away from the others, and whoever is refused is told so in time.

use std::task::Poll;
use std::time::{Duration, Instant};

use apiserver::{Config, Limits, StaticToken, UserInfo};
use axum::body::Body;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use http::{Request, header};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::support::{Answer, Api, SOON, WIDGETS, api, api_with, widget};
use crate::tls::Served;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn limited(limits: Limits) -> Api {
    let token = |name: &str| StaticToken {
        token: name.to_owned(),
        user: UserInfo::new(name, &["system:masters"]),
    };
    let tokens = vec![token("greedy"), token("modest")];
    api_with(Config {
        tokens,
        limits,
        ..Config::default()
    })
    .await
}

/// Asks as somebody, over the router that the network uses.
pub async fn ask(
    api: &Api,
    who: &str,
    method: &str,
    path: &str,
    body: Body,
) -> http::Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {who}"));
    let request = request.body(body).unwrap();
    api.server.router().oneshot(request).await.unwrap()
}

pub async fn answer(response: http::Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap();
    Answer {
        code: parts.status,
        headers: parts.headers,
        body,
    }
}

#[track_caller]
fn is_told_to_come_back(answer: Answer) {
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    let status = answer.is(429);
    assert_eq!(status["reason"], "TooManyRequests");
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
}

/// Changes that never end, by one user, until there is no more room for it.
async fn flood(api: &Api) -> Vec<LocalBoxFuture<'_, http::Response<Body>>> {
    let mut held = Vec::new();
    loop {
        let endless = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let body = Body::from_stream(endless);
        let mut request = ask(api, "greedy", "POST", MAPS, body).boxed_local();
        // It waits for its body, or for a place, or is refused at once.
        match futures::poll!(&mut request) {
            Poll::Pending => held.push(request),
            Poll::Ready(refused) => {
                is_told_to_come_back(answer(refused).await);
                return held;
            }
        }
    }
}

#[tokio::test]
async fn a_flood_of_one_user_leaves_the_others_alone() {
    let api = limited(Limits {
        changes: 8,
        ..Limits::default()
    })
    .await;
    let held = flood(&api).await;
    assert_eq!(
        held.len(),
        4 + 16,
        "half of the places, and two wait for each"
    );
    let map = json!({"metadata": {"name": "a"}}).to_string();
    let made = ask(&api, "modest", "POST", MAPS, Body::from(map)).await;
    answer(made).await.is(201);
    let read = ask(&api, "greedy", "GET", MAPS, Body::empty()).await;
    answer(read).await.is(200);
    api.post(WIDGETS, &widget("w")).await.is(201);
    drop(held);
    let gone = ask(
        &api,
        "greedy",
        "DELETE",
        &format!("{MAPS}/a"),
        Body::empty(),
    )
    .await;
    answer(gone).await.is(200);
}

#[tokio::test]
async fn watches_are_shared_too() {
    let api = limited(Limits {
        watches: 4,
        ..Limits::default()
    })
    .await;
    let watch = async |who: &'static str| {
        ask(
            &api,
            who,
            "GET",
            &format!("{MAPS}?watch=true"),
            Body::empty(),
        )
        .await
    };
    let (first, _second) = (watch("greedy").await, watch("greedy").await);
    is_told_to_come_back(answer(watch("greedy").await).await);
    assert_eq!(watch("modest").await.status(), 200);
    drop(first);
    assert_eq!(watch("greedy").await.status(), 200);
}

/// Sends all of it before it reads, as simple clients do; then code and body of the answer.
async fn raw(served: &Served, head: &str, body: &[u8]) -> (u16, Value) {
    let talk = async {
        let mut stream = served.connect(b"http/1.1").await;
        let head = format!("{head}\r\nhost: x\r\nauthorization: Bearer modest\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
        stream.write_all(body).await.unwrap();
        stream.flush().await.unwrap();
        let mut text = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk).await.unwrap();
            text.extend_from_slice(&chunk[..read]);
            if let Some(answer) = parse(&text) {
                return answer;
            }
            assert!(
                read > 0,
                "no whole answer: {}",
                String::from_utf8_lossy(&text)
            );
        }
    };
    tokio::time::timeout(SOON, talk).await.unwrap()
}

/// Code and JSON body, once both are there.
fn parse(text: &[u8]) -> Option<(u16, Value)> {
    let text = std::str::from_utf8(text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, serde_json::from_str(body).ok()?))
}

#[tokio::test]
async fn what_is_too_large_is_answered_before_the_connection_ends() {
    let served = Served::over(
        limited(Limits {
            change: Duration::from_millis(300),
            ..Limits::default()
        })
        .await,
    )
    .await;
    let large = vec![b'x'; 12 * 1024 * 1024];
    let known = format!("POST {MAPS} HTTP/1.1\r\ncontent-length: {}", large.len());
    let chunked = format!("POST {MAPS} HTTP/1.1\r\ntransfer-encoding: chunked");
    let chunk = [format!("{:x}\r\n", large.len()).as_bytes(), &large].concat();
    let header = format!("GET {MAPS} HTTP/1.1\r\nx: {}", "y".repeat(100 * 1024));
    let stalled = format!("POST {MAPS} HTTP/1.1\r\ncontent-length: 100");
    let cases: [(&str, &[u8], u16, &str, &str); 6] = [
        (
            &known,
            &large,
            413,
            "RequestEntityTooLarge",
            "limit is 3145728",
        ),
        (
            &chunked,
            &chunk,
            413,
            "RequestEntityTooLarge",
            "limit is 3145728",
        ),
        (
            &header,
            b"",
            431,
            "RequestHeaderFieldsTooLarge",
            "more than 65536 bytes",
        ),
        (&stalled, b"{", 504, "Timeout", "allotted timeout"),
        (
            &format!("OPTIONS {MAPS} HTTP/1.1"),
            b"",
            405,
            "MethodNotAllowed",
            "does not allow",
        ),
        (
            &format!("BREW {MAPS} HTTP/1.1"),
            b"",
            405,
            "MethodNotAllowed",
            "does not allow",
        ),
    ];
    for (head, body, code, reason, text) in cases {
        let (found, status) = raw(&served, head, body).await;
        assert_eq!(
            (found, &status["reason"]),
            (code, &json!(reason)),
            "{status:#}"
        );
        assert!(
            status["message"].as_str().unwrap().contains(text),
            "{status:#}"
        );
    }
}

#[tokio::test]
async fn kube_comes_back_by_itself() {
    let served = Served::over(
        limited(Limits {
            changes: 2,
            ..Limits::default()
        })
        .await,
    )
    .await;
    let mut config = kube::Config::new(format!("https://{}", served.address).parse().unwrap());
    config.root_cert = Some(vec![served.authority.certificate().to_vec()]);
    config.auth_info.token = Some("greedy".to_owned().into());
    let client = kube::Client::try_from(config).unwrap();
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(client, "default");
    let held = flood(&served.api).await;
    let started = Instant::now();
    let mut map = ConfigMap::default();
    map.metadata.name = Some("a".to_owned());
    let options = PostParams::default();
    let (made, ()) = tokio::join!(maps.create(&options, &map), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(held);
    });
    made.unwrap();
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "it waits as it was told"
    );
}

#[tokio::test]
async fn large_bodies_hold_up_nobody() {
    let api = api().await;
    let mut yaml = "metadata: {name: large}\ndata:\n".to_owned();
    yaml.extend((0..8_000).map(|n| format!("  key-{n}: value-{n}\n")));
    let large = api.with("POST", MAPS, "application/yaml", &yaml);
    let mut large = std::pin::pin!(large);
    let mut answered = 0;
    let made = loop {
        tokio::select! {
            biased;
            made = &mut large => break made,
            small = api.get(WIDGETS) => {
                small.is(200);
                answered += 1;
            }
        }
    };
    made.is(201);
    // This test has one thread: were the body read on it, nobody else would get an answer.
    assert!(answered > 10, "{answered} small requests meanwhile");
}

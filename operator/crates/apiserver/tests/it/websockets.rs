//! Watches over WebSocket, with a client that knows nothing of this server.

use std::time::Duration;

use apiserver::{Config, Limits, StaticToken, UserInfo};
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{SOON, WIDGETS, api_with, version, widget};
use crate::tls::Served;

type Socket = WebSocketStream<TlsStream<tokio::net::TcpStream>>;

async fn served(watches: usize) -> Served {
    let tokens = vec![StaticToken {
        token: "s3cret".to_owned(),
        user: UserInfo::new("robot", &["system:masters"]),
    }];
    let limits = Limits {
        watches,
        ..Limits::default()
    };
    Served::over(
        api_with(Config {
            tokens,
            limits,
            ..Config::default()
        })
        .await,
    )
    .await
}

/// Opens a socket with these headers and a small buffer.
async fn open(
    served: &Served,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(Socket, HeaderMap), Error> {
    let mut request = format!("wss://{}{path}", served.address).into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let stream = socket.connect(served.address).await.unwrap();
    let connector = served.authority.connector(None, b"http/1.1");
    let stream = connector
        .connect("127.0.0.1".try_into().unwrap(), stream)
        .await
        .unwrap();
    let (socket, response) = client_async(request, stream).await?;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    Ok((socket, response.headers().clone()))
}

const ROBOT: (&str, &str) = ("authorization", "Bearer s3cret");

async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(SOON, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

/// The next event, which is a frame of its own.
async fn event(socket: &mut Socket) -> Value {
    match next(socket).await {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The server says goodbye, and the connection ends.
async fn ends(socket: &mut Socket) {
    match next(socket).await {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Normal),
        other => panic!("{other:?}"),
    }
    let end = tokio::time::timeout(SOON, socket.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
}

#[tokio::test]
async fn events_and_both_ends() {
    let served = served(100).await;
    let made = served.api.post(WIDGETS, &widget("a")).await.is(201);
    let path = format!("{WIDGETS}?watch=1&resourceVersion={}", version(&made) - 1);
    let protocol = ("sec-websocket-protocol", "base64.binary.k8s.io");
    let (mut socket, headers) = open(&served, &path, &[ROBOT, protocol]).await.unwrap();
    assert_eq!(headers["sec-websocket-protocol"], protocol.1);
    assert!(headers.contains_key("audit-id"));
    let seen = event(&mut socket).await;
    assert_eq!((&seen["type"], &seen["object"]), (&json!("ADDED"), &made));
    socket.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("x".into()));
    socket
        .send(Message::Text("what is this?".into()))
        .await
        .unwrap();
    served.api.delete(&format!("{WIDGETS}/a")).await.is(200);
    assert_eq!(event(&mut socket).await["type"], "DELETED");
    socket.close(None).await.unwrap();
    let end = tokio::time::timeout(SOON, async {
        while let Some(Ok(_)) = socket.next().await {}
    });
    end.await.expect("the server agrees to the end");

    let (mut socket, headers) = open(&served, &path, &[ROBOT]).await.unwrap();
    assert!(headers.get("sec-websocket-protocol").is_none());
    assert_eq!(event(&mut socket).await["type"], "ADDED");
    assert_eq!(event(&mut socket).await["type"], "DELETED");
    served.api.server.end_watches();
    ends(&mut socket).await;
}

#[tokio::test]
async fn bookmarks_tables_and_the_end_of_time() {
    let served = served(100).await;
    served.api.post(WIDGETS, &widget("a")).await.is(201);
    let path = format!(
        "{WIDGETS}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    );
    let table = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let (mut socket, _) = open(&served, &path, &[ROBOT, table]).await.unwrap();
    assert_eq!(event(&mut socket).await["object"]["kind"], "Table");
    let mark = event(&mut socket).await;
    assert_eq!(mark["type"], "BOOKMARK");
    let marked = &mark["object"]["rows"][0]["object"]["metadata"];
    let end = &marked["annotations"]["k8s.io/initial-events-end"];
    assert_eq!(end, "true");
    ends(&mut socket).await;
}

#[tokio::test]
async fn errors_are_events_once_it_is_open_and_answers_before() {
    let served = served(100).await;
    let path = format!("{WIDGETS}?watch=true&resourceVersion=99999999");
    let (mut socket, _) = open(&served, &path, &[ROBOT]).await.unwrap();
    let error = event(&mut socket).await;
    assert_eq!(
        (&error["type"], &error["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    ends(&mut socket).await;

    let path = format!("{WIDGETS}?watch=true");
    for (headers, code) in [
        (&[][..], 403),
        (&[("authorization", "Bearer wrong")], 401),
        (&[ROBOT, ("sec-websocket-version", "12")], 400),
    ] {
        let Err(Error::Http(response)) = open(&served, &path, headers).await else {
            panic!("{headers:?} are refused");
        };
        let status: Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
        assert_eq!(
            (response.status().as_u16(), &status["kind"]),
            (code, &json!("Status"))
        );
    }
    // What is no watch is answered as if nobody had asked for a socket.
    let Err(Error::Http(response)) = open(&served, WIDGETS, &[ROBOT]).await else {
        panic!("a list is no stream");
    };
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    // One watch at a time, so that the end of the first can be seen.
    let served = served(2).await;
    let path = format!("{WIDGETS}?watch=true");
    let (idle, _) = open(&served, &path, &[ROBOT]).await.unwrap();
    let mut large = widget("a");
    large["metadata"]["annotations"] = json!({"x": "y".repeat(200_000)});
    served.api.post(WIDGETS, &large).await.is(201);
    for n in 0..40 {
        let change = json!({"metadata": {"annotations": {"n": n.to_string()}}});
        served
            .api
            .merge(&format!("{WIDGETS}/a"), &change)
            .await
            .is(200);
    }
    let refused = open(&served, &path, &[ROBOT]).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 429));
    let freed = async {
        while open(&served, &path, &[ROBOT]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, freed)
        .await
        .expect("the one who does not read makes room");
    drop(idle);
}

#[tokio::test]
async fn browsers_send_their_token_as_a_subprotocol() {
    let served = served(100).await;
    let path = format!("{WIDGETS}?watch=true");
    let (token, wrong) = (
        "base64url.bearer.authorization.k8s.io.czNjcmV0",
        "base64url.bearer.authorization.k8s.io.d3Jvbmc",
    );
    let both = format!("{token}, base64.binary.k8s.io");
    let (_, headers) = open(&served, &path, &[("sec-websocket-protocol", &both)])
        .await
        .unwrap();
    assert_eq!(
        headers["sec-websocket-protocol"], "base64.binary.k8s.io",
        "never the token"
    );
    for protocols in [
        token.to_owned(),
        format!("{wrong}, base64.binary.k8s.io"),
        format!("{token}, {token}, base64.binary.k8s.io"),
        format!("{token}=, base64.binary.k8s.io"),
    ] {
        let refused = open(&served, &path, &[("sec-websocket-protocol", &protocols)]).await;
        assert!(
            matches!(refused, Err(Error::Http(response)) if response.status() == 401),
            "{protocols}"
        );
    }
    let header = [ROBOT, ("sec-websocket-protocol", &format!("{wrong}, a"))];
    open(&served, &path, &header)
        .await
        .expect("the header wins");
}

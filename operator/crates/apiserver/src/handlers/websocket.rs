//! Watches over WebSocket: what browsers use instead of a stream of lines.
//!
//! As kube-apiserver serves them: one text frame per event, whichever subprotocol was agreed on;
//! what the client sends is read and ignored; the server closes the socket where it would end the
//! stream. A client that stops reading, or no longer answers pings, is cut off.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::status_error::ApiError;

/// A client has nothing to say but pongs.
const LARGEST: usize = 64 * 1024;
/// Begins a subprotocol that is a token, base64url without padding.
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";
/// How long a client may take to read an event.
const SLOW: Duration = Duration::from_secs(10);
/// Time between two pings; a client that says nothing for twice as long is gone.
const PING: Duration = Duration::from_secs(30);
/// How long a client may take to agree to the end.
const GOODBYE: Duration = Duration::from_secs(1);

/// A browser cannot send an `Authorization` header with a socket: its token may come as one of the
/// subprotocols instead, beside another one that can be agreed on. This puts it into the header.
///
/// # Errors
/// `Unauthorized` for a token that cannot be read, several, or one that comes alone.
pub(crate) fn credentials(headers: &mut HeaderMap) -> Result<(), ApiError> {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) || !is_asked_for(headers) {
        return Ok(());
    }
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let protocols: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let (mut token, mut others) = (None, Vec::new());
    for protocol in protocols
        .iter()
        .flat_map(|list| list.split(','))
        .map(str::trim)
    {
        match protocol.strip_prefix(BEARER) {
            Some(text) if token.replace(text).is_some() => return Err(ApiError::Unauthorized),
            Some(_) => {}
            None => others.push(protocol),
        }
    }
    let Some(token) = token else { return Ok(()) };
    let token = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .filter(|_| !others.is_empty());
    let bearer = [b"Bearer ", &*token.ok_or(ApiError::Unauthorized)?].concat();
    let bearer = HeaderValue::from_bytes(&bearer).map_err(|_| ApiError::Unauthorized)?;
    let others = HeaderValue::from_str(&others.join(",")).map_err(|_| ApiError::Unauthorized)?;
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
    headers.entry(header::AUTHORIZATION).or_insert(bearer);
    Ok(())
}

/// The socket that a request wants to become.
///
/// # Errors
/// `BadRequest` for a handshake that makes no sense.
pub(crate) async fn upgrade(parts: &mut Parts) -> Result<Option<WebSocketUpgrade>, ApiError> {
    if !is_asked_for(&parts.headers) {
        return Ok(None);
    }
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    let mut upgrade = upgrade
        .map_err(|error| ApiError::BadRequest(error.body_text()))?
        .max_message_size(LARGEST)
        .max_frame_size(LARGEST);
    let protocol = upgrade.requested_protocols().next().cloned();
    if let Some(protocol) = protocol {
        upgrade.set_selected_protocol(protocol);
    }
    Ok(Some(upgrade))
}

fn is_asked_for(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let mut words = values.flat_map(|value| value.split(|byte| *byte == b','));
        words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// Sends these events over the socket.
pub(super) fn respond<S>(upgrade: WebSocketUpgrade, events: S) -> Response
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    upgrade.on_upgrade(async |socket| {
        let (mut sink, mut source) = socket.split();
        let over = run(&mut sink, &mut source, events).await;
        if over {
            goodbye(sink, source).await;
        }
    })
}

type Sink = SplitSink<WebSocket, Message>;
type Source = SplitStream<WebSocket>;

/// Is there anybody left to say goodbye to?
async fn run(sink: &mut Sink, source: &mut Source, events: impl Stream<Item = Bytes>) -> bool {
    let mut events = std::pin::pin!(events);
    let mut heard = Instant::now();
    let mut ping = interval_at(heard + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            received = source.next() => match received {
                None | Some(Err(_)) => return false,
                Some(Ok(Message::Close(_))) => return true,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
            },
            _ = ping.tick() => match heard.elapsed() > 2 * PING {
                true => return false,
                false => Message::Ping(Bytes::new()),
            },
            event = events.next() => match event.map(Utf8Bytes::try_from) {
                Some(Ok(text)) => Message::Text(text),
                // Events are JSON, so there is no other text.
                None | Some(Err(_)) => return true,
            },
        };
        if !matches!(timeout(SLOW, sink.send(message)).await, Ok(Ok(()))) {
            return false;
        }
    }
}

/// Says that it is over, and waits until the client says so, too.
async fn goodbye(mut sink: Sink, mut source: Source) {
    let end = Message::Close(Some(CloseFrame {
        code: close_code::NORMAL,
        reason: Utf8Bytes::default(),
    }));
    let agreed = async {
        // Fails where the client said it first, which is an end, too.
        let _ = sink.send(end).await;
        while let Some(Ok(_)) = source.next().await {}
    };
    let _ = timeout(GOODBYE, agreed).await;
}

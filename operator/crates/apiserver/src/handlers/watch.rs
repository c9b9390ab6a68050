//! Follow changes.
//!
//! The answer is always 200 once the store has been asked: a revision that is no longer in the
//! history is an `ERROR` event with code 410 in the stream, because clients that get a 410 as HTTP
//! status ask for the same revision again for ever.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use rand::Rng;
use serde_json::Value;
use store::{WatchEvent, WatchFrom, WatchQuery, Watcher};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::list::{namespace, selection};
use super::{Call, Query, Reply, websocket};
use crate::audit;
use crate::flow::Share;
use crate::negotiate::Renderer;
use crate::registry::{Registry, ResourceDef};
use crate::server::ApiServer;
use crate::status_error::ApiError;
use crate::validation::FieldError;

/// Objects from this size on are sent without being copied.
const LARGE: usize = 16 * 1024;

/// Marks an answer as a stream that must not be compressed, buffered or cut by a deadline, and
/// keeps what is to be over with it.
#[derive(Clone, Default)]
pub(crate) struct Streaming(Arc<Mutex<Option<audit::Open>>>);

impl Streaming {
    pub(crate) fn keep(&self, open: audit::Open) {
        *self.0.lock() = Some(open);
    }
}

/// `GET …?watch=true` of a collection.
pub(crate) async fn watch(call: &Call) -> Reply {
    let bookmarks = call.query.flag("allowWatchBookmarks");
    // Of no use here, and refused all the same when it is wrong.
    call.query.limit()?;
    let timeout = call
        .query
        .timeout_seconds()?
        .unwrap_or_else(|| default_timeout(call.server.inner.config.limits.watch));
    let query = WatchQuery {
        resource: call.def.storage.clone(),
        namespace: namespace(call),
        filter: selection(call)?.filter(&call.def),
        from: from(&call.query, &call.server)?,
        bookmarks,
    };
    let share = call.server.inner.flow.watch(call.client)?;
    let watcher = match call.server.inner.store.watch(query).await {
        Ok(watcher) => watcher,
        Err(error @ (store::Error::Compacted { .. } | store::Error::Future { .. })) => {
            let event = error_event(&expired(error));
            let events = stream::once(std::future::ready(event));
            return Ok(stream_response(call, events, Streaming::default()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut changes = call.server.registry().changes();
    // It may have changed before.
    changes.mark_changed();
    let streaming = Streaming::default();
    let stream = Events {
        watcher,
        registry: call.server.registry().clone(),
        changes,
        renderer: call.renderer.clone(),
        bookmarks,
        first: true,
        ended: false,
        deadline: Instant::now() + timeout,
        cancel: call.server.inner.watches.clone(),
        _open: Open::new(call.server.inner.metrics.watches.clone()),
        _share: share,
        _streaming: streaming.clone(),
    };
    Ok(stream_response(call, stream.into_stream(), streaming))
}

/// A revision ahead of this store comes from before a restore: the client has to start anew, too.
fn expired(error: store::Error) -> ApiError {
    match error {
        store::Error::Future { requested, current } => ApiError::Expired {
            message: format!("resource version {requested} is ahead of the current one, {current}"),
            next: None,
        },
        other => other.into(),
    }
}

fn default_timeout(least: Duration) -> Duration {
    least.mul_f64(1.0 + rand::rng().random::<f64>())
}

/// Where a watch begins, if its parameters go together.
fn from(query: &Query, server: &ApiServer) -> Result<WatchFrom, ApiError> {
    const MATCH: &str = "resourceVersionMatch";
    let (mut initial, mut how) = (query.flag_if_set("sendInitialEvents"), query.set(MATCH));
    let anywhere = matches!(query.set("resourceVersion"), None | Some("0"));
    // A watch from anywhere begins with what is there, and says where that ends.
    if initial.is_none() && how.is_none() && anywhere {
        (initial, how) = (Some(true), Some("NotOlderThan"));
    }
    let not_older = how == Some("NotOlderThan");
    let mut problems = Vec::new();
    let mut forbidden = |detail| problems.push(FieldError::forbidden(MATCH, detail));
    if initial.is_some() && !not_older {
        forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if how.is_some() && initial.is_none() {
        forbidden(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
    }
    if how.is_some() && query.set("continue").is_some() {
        forbidden("resourceVersionMatch is forbidden when continue is provided");
    }
    if let Some(how) = how.filter(|_| !not_older) {
        problems.push(FieldError::not_supported(MATCH, how, &["NotOlderThan"]));
    }
    query.check(problems)?;
    Ok(match (initial, query.resource_version()?) {
        (Some(true), version) => WatchFrom::InitialEvents(version),
        (Some(false), Some(0)) | (_, None) => WatchFrom::After(server.inner.store.revision()),
        (_, Some(version)) => WatchFrom::After(version),
    })
}

/// The answer with these lines, over a socket where the client wants one.
fn stream_response<S>(call: &Call, events: S, streaming: Streaming) -> Response
where
    S: Stream<Item = Line> + Send + 'static,
{
    let mut response = match call.upgrade.lock().take() {
        Some(upgrade) => websocket::respond(upgrade, events.map(Line::whole)),
        None => {
            let pieces = events.flat_map(|line| stream::iter(line.pieces()));
            let body = Body::from_stream(pieces.map(Ok::<_, Infallible>));
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], body).into_response()
        }
    };
    response.extensions_mut().insert(streaming);
    response
}

/// Counts an open watch for as long as it lives.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Events {
    watcher: Watcher,
    registry: Registry,
    changes: Receiver<()>,
    renderer: Renderer,
    bookmarks: bool,
    /// No table has been sent yet.
    first: bool,
    ended: bool,
    deadline: Instant,
    cancel: CancellationToken,
    _open: Open,
    _share: Share,
    _streaming: Streaming,
}

impl Events {
    fn into_stream(self) -> impl Stream<Item = Line> {
        stream::unfold(self, |mut events| async move {
            let line = events.next().await?;
            Some((line, events))
        })
    }

    /// The next line; `None` ends the stream: at the deadline, at shutdown, when the kind is no
    /// longer served as it was (after its last events), or when the store has closed the watch. The client goes on from the last revision that it saw.
    async fn next(&mut self) -> Option<Line> {
        if self.ended {
            return None;
        }
        let event = loop {
            let event = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return None,
                () = tokio::time::sleep_until(self.deadline) => return None,
                event = self.watcher.next() => event?,
                () = removed(&self.registry, &mut self.changes, &self.renderer.def) => return None,
            };
            // The mark is a bookmark, and so for those only who asked for bookmarks.
            if self.bookmarks || !matches!(event, WatchEvent::InitialEventsEnd(_)) {
                break event;
            }
        };
        Some(self.line(event).unwrap_or_else(|error| {
            self.ended = true;
            error_event(&error)
        }))
    }

    fn line(&mut self, event: WatchEvent) -> Result<Line, ApiError> {
        let (kind, object) = match event {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            WatchEvent::Bookmark(revision) => {
                return Ok(bookmark(&self.renderer.bookmark(revision, false)));
            }
            WatchEvent::InitialEventsEnd(revision) => {
                return Ok(bookmark(&self.renderer.bookmark(revision, true)));
            }
        };
        let json = self.renderer.event(&object, self.first)?;
        self.first = false;
        Ok(Line(kind, json))
    }
}

/// Returns once this kind is no longer served, or by another definition: what is stored reads
/// differently then, and no event would say so.
async fn removed(registry: &Registry, changes: &mut Receiver<()>, def: &ResourceDef) {
    while changes.changed().await.is_ok() {
        let snapshot = registry.snapshot();
        let now = snapshot.find(&def.group, &def.version, &def.plural);
        if now.is_none_or(|now| !Arc::ptr_eq(&now.schema, &def.schema)) {
            return;
        }
    }
    std::future::pending().await
}

fn bookmark(object: &Value) -> Line {
    Line("BOOKMARK", object.to_string().into())
}

fn error_event(error: &ApiError) -> Line {
    Line("ERROR", error.status().to_string().into())
}

/// One event: its type and its object.
struct Line(&'static str, Bytes);

impl Line {
    fn whole(self) -> Bytes {
        let Self(kind, object) = self;
        let parts = [
            b"{\"type\":\"",
            kind.as_bytes(),
            b"\",\"object\":",
            &object,
            b"}\n",
        ];
        parts.concat().into()
    }

    /// The text in one piece, or with a large object as it is in memory: a thousand watchers may be slow
    /// to take it, and a copy for each of them would be a thousand times as much.
    fn pieces(self) -> Vec<Bytes> {
        if self.1.len() < LARGE {
            return vec![self.whole()];
        }
        let Self(kind, object) = self;
        let start = format!("{{\"type\":\"{kind}\",\"object\":");
        vec![start.into(), object, "}\n".into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (length, pieces) in [(1, 1), (LARGE - 1, 1), (LARGE, 3)] {
            let line = || Line("ADDED", "x".repeat(length).into());
            assert_eq!(line().pieces().len(), pieces);
            let text = format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", "x".repeat(length));
            assert_eq!(line().pieces().concat(), text.as_bytes());
            assert_eq!(line().whole(), text);
        }
    }
}

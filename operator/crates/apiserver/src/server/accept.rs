//! The accept loop: TLS, HTTP/1.1 and HTTP/2 on one port, an orderly end.
//!
//! A connection ends once it had no request for a while, so that those which clients forget do not take
//! the places of others; and at shutdown, when its requests are answered.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::ApiServer;
use crate::audit::PeerAddress;
use crate::authn::{PeerUser, user_of_certificate};

/// A client that has not finished its handshake by then is cut off.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Idle HTTP/2 connections are checked so often, or half-open ones would hold watches for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long running requests may take to finish at shutdown.
const DRAIN: Duration = Duration::from_secs(10);
/// More of headers is not even read; below it, the answer says what the limit is.
const HEADER_LIST: u32 = 256 * 1024;
/// Pause after an accept error such as "too many open files".
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

pub(super) async fn serve(
    server: &ApiServer,
    app: Router,
    listener: TcpListener,
    mut tls: ServerConfig,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    if tls.alpn_protocols.is_empty() {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let limits = server.inner.config.limits;
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
    let connections = TaskTracker::new();
    while let Some((stream, permit)) = cancel.run_until_cancelled(next(&listener, &slots)).await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        let (draining, closing) = (draining.clone(), closing.clone());
        connections.spawn(async move {
            let connection = connection(stream, acceptor, app, limits.idle, draining);
            closing.run_until_cancelled(connection).await;
            drop(permit);
        });
    }
    drop(listener);
    server.end_watches();
    draining.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
    closing.cancel();
    Ok(())
}

/// The next connection, once there is room for it.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let permit = slots.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    app: Router,
    patience: Duration,
    draining: CancellationToken,
) {
    // Watch events are small and must not wait for more.
    let _ = stream.set_nodelay(true);
    let address = stream.peer_addr().ok();
    let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
    let stream = match draining.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => return tracing::debug!(%error, "TLS handshake failed"),
        Some(Err(_)) => return tracing::debug!("TLS handshake took too long"),
        None => return,
    };
    let user = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(user_of_certificate);
    let requests = watch::Sender::new(0);
    let mut running = requests.subscribe();
    let service = tower::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        if let Some(user) = &user {
            request.extensions_mut().insert(PeerUser(user.clone()));
        }
        if let Some(address) = address {
            let address = PeerAddress(address.ip());
            request.extensions_mut().insert(address);
        }
        let (app, running) = (app.clone(), Running::new(requests.clone()));
        async move {
            let response = app.oneshot(request).await?;
            Ok::<Response<Held>, Infallible>(response.map(|body| Held { body, running }))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // From the end of the last request, too.
        .header_read_timeout(patience);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_header_list_size(HEADER_LIST)
        .max_concurrent_streams(250);
    let service = TowerToHyperService::new(service);
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        () = draining.cancelled() => None,
        () = idle(&mut running, patience) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}

/// Returns once no request has been running for so long.
async fn idle(running: &mut watch::Receiver<usize>, patience: Duration) {
    loop {
        let quiet = *running.borrow_and_update() == 0;
        let patience = if quiet { patience } else { Duration::MAX };
        let changed = tokio::time::timeout(patience, running.changed()).await;
        // The connection itself has the sender: it is still there.
        if changed.is_err() {
            return;
        }
    }
}

/// A request until its answer is sent, counted.
struct Running(watch::Sender<usize>);

impl Running {
    fn new(requests: watch::Sender<usize>) -> Self {
        requests.send_modify(|running| *running += 1);
        Self(requests)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// The body of an answer.
struct Held {
    body: Body,
    #[expect(dead_code, reason = "it counts while it is there")]
    running: Running,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

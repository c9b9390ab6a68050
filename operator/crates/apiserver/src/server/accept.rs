//! The accept loop: TLS, HTTP/1.1 and HTTP/2 on one port, an orderly end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use super::ApiServer;
use crate::audit::PeerAddress;
use crate::authn::{PeerUser, user_of_certificate};

/// A client that has not finished its handshake or its request head by then is cut off.
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
    let slots = Arc::new(Semaphore::new(server.inner.config.limits.connections));
    let shutdown = GracefulShutdown::new();
    let closing = CancellationToken::new();
    while let Some((stream, permit)) = cancel.run_until_cancelled(next(&listener, &slots)).await {
        let (acceptor, app, watcher, closing) = (
            acceptor.clone(),
            app.clone(),
            shutdown.watcher(),
            closing.clone(),
        );
        tokio::spawn(async move {
            tokio::select! {
                () = connection(stream, acceptor, app, watcher) => {}
                () = closing.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    server.end_watches();
    if tokio::time::timeout(DRAIN, shutdown.shutdown())
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
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Watch events are small and must not wait for more.
    let _ = stream.set_nodelay(true);
    let address = stream.peer_addr().ok();
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let user = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(user_of_certificate);
    let service = ServiceBuilder::new()
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            if let Some(user) = &user {
                request.extensions_mut().insert(PeerUser(user.clone()));
            }
            if let Some(address) = address {
                let address = PeerAddress(address.ip());
                request.extensions_mut().insert(address);
            }
            request
        })
        .service(app);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_header_list_size(HEADER_LIST)
        .max_concurrent_streams(250);
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(error, "connection ended");
    }
}

//! A small reader of the Engine's JSON lists over one kept connection.
//!
//! Why not bollard: its models drop health checks and task addresses on read, and one enum
//! value that it does not know fails a whole list. What is read here is converted field by field.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;

use crate::client::Address;
use crate::error::{ErrorKind, chain};

/// Longest answer that is read: ten times the list of 10,000 tasks.
const MAX_BODY: usize = 512 * 1024 * 1024;

type Sender = SendRequest<Empty<Bytes>>;

/// A reader of one Engine.
pub(crate) struct RawClient {
    address: Address,
    /// `/v1.41`: the shape of answers is that of the negotiated version, not the daemon's newest.
    prefix: String,
    kept: Mutex<Option<Sender>>,
}

impl RawClient {
    pub(crate) fn new(address: Address, version: (usize, usize)) -> Self {
        let prefix = format!("/v{}.{}", version.0, version.1);
        Self {
            address,
            prefix,
            kept: Mutex::new(None),
        }
    }

    /// `GET` of a path with query. A kept connection that turns out to be dead is replaced once.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, ErrorKind> {
        let mut kept = self.kept.lock().await;
        let path = format!("{}{path}", self.prefix);
        if let Some(sender) = kept.take()
            && !sender.is_closed()
            && let Ok((sender, answer)) = self.exchange(sender, &path).await
        {
            *kept = Some(sender);
            return answer;
        }
        let sender = self.connect().await?;
        let (sender, answer) = self.exchange(sender, &path).await?;
        *kept = Some(sender);
        answer
    }

    /// One request. The outer error is the connection's, the inner one the Engine's.
    async fn exchange(
        &self,
        mut sender: Sender,
        path: &str,
    ) -> Result<(Sender, Result<Bytes, ErrorKind>), ErrorKind> {
        let request = Request::get(path)
            .header(header::HOST, "docker")
            .body(Empty::new())
            .map_err(|error| ErrorKind::Invalid(error.to_string()))?;
        sender
            .ready()
            .await
            .map_err(|error| self.unavailable(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| self.unavailable(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let body = body
            .map_err(|error| self.unavailable(error.as_ref()))?
            .to_bytes();
        if status == StatusCode::OK {
            return Ok((sender, Ok(body)));
        }
        let message = message(&body);
        let kind = ErrorKind::classify(&self.address.to_string(), status.as_u16(), message);
        Ok((sender, Err(kind)))
    }

    async fn connect(&self) -> Result<Sender, ErrorKind> {
        match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .map_err(|e| self.unavailable(&e))?;
                self.start(stream).await
            }
            Address::Tcp(host) => {
                let stream = TcpStream::connect(host)
                    .await
                    .map_err(|e| self.unavailable(&e))?;
                self.start(stream).await
            }
        }
    }

    async fn start<S>(&self, stream: S) -> Result<Sender, ErrorKind>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unavailable(&error))?;
        tokio::spawn(async move {
            // Its errors reach the sender as well.
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn unavailable(&self, error: &dyn std::error::Error) -> ErrorKind {
        ErrorKind::Unavailable {
            address: self.address.to_string(),
            reason: chain(error),
        }
    }
}

/// The Engine's `{"message": …}`, or the body as it is.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_slice::<Refusal>(body).map_or_else(
        |_| String::from_utf8_lossy(body).trim().to_owned(),
        |r| r.message,
    )
}

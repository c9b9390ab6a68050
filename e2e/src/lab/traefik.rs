//! The real Traefik as a service of a lab Swarm.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Swarm;
use super::swarm::traefik_is_there;

/// Most time that one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Traefik with the Swarm provider, reading Docker every second.
#[derive(Debug)]
pub struct Traefik {
    address: String,
}

impl Traefik {
    /// Runs it on the manager, attached to `network`, which must exist.
    pub fn start(swarm: &Swarm, network: &str) -> anyhow::Result<Self> {
        traefik_is_there()?;
        swarm.lab(["traefik", network]).context("start Traefik")?;
        Ok(Self {
            address: swarm.address(1),
        })
    }

    /// Asks for `path` under a host name, as a browser would.
    pub async fn get(&self, host: &str, path: &str) -> anyhow::Result<(u16, String)> {
        request(&format!("http://{}{path}", self.address), host).await
    }

    /// The HTTP routers that Traefik has made of the labels, by name.
    pub async fn routers(&self) -> anyhow::Result<Vec<Value>> {
        let (status, body) = request(
            &format!("http://{}:8080/api/http/routers", self.address),
            "traefik",
        )
        .await?;
        anyhow::ensure!(status == 200, "Traefik's API says {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }
}

async fn request(url: &str, host: &str) -> anyhow::Result<(u16, String)> {
    let request = http::Request::get(url)
        .header("host", host)
        .body(Empty::<Bytes>::new())?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let response = client.request(request).await.context("no answer")?;
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .context("an answer without an end")?
            .to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(REQUEST_LIMIT, exchange)
        .await
        .context("no answer in time")?
}

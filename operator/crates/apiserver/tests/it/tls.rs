//! The accept loop: who a certificate says one is, both HTTP versions, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Config, Limits, StaticToken, UserInfo};
use http::{Request, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::support::{Api, SOON, WIDGETS, api_with, widget};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
    certificate: CertificateDer<'static>,
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            roots: Arc::new(roots),
            certificate: certificate.der().clone(),
        }
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn identity(&self, name: &str, groups: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        (vec![certificate.der().clone()], key)
    }

    pub fn server(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider.clone());
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let (chain, key) = self.identity("server", &[]);
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        builder
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap()
    }

    pub fn connector(&self, identity: Option<Identity>, protocol: &[u8]) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// A server on the network, with who may talk to it.
pub struct Served {
    pub api: Api,
    pub authority: Authority,
    pub address: SocketAddr,
    cancel: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Served {
    pub async fn over(api: Api) -> Self {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let (server, tls, end) = (api.server.clone(), authority.server(), cancel.clone());
        tokio::spawn(async move { server.serve(server.router(), listener, tls, end).await });
        Self {
            api,
            authority,
            address,
            cancel,
        }
    }

    /// Connects without a certificate.
    pub async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = self.authority.connector(None, protocol);
        let name = ServerName::try_from("127.0.0.1").unwrap();
        connector.connect(name, stream).await.unwrap()
    }
}

/// Sends one GET over a connection of its own.
pub async fn get(
    connector: &TlsConnector,
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
) -> http::Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let mut request = Request::get(format!("https://{address}{path}"));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .unwrap();
    if http2 {
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        return send.send_request(request).await.unwrap();
    }
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    send.send_request(request).await.unwrap()
}

async fn json(response: http::Response<Incoming>) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn identities_protocols_and_the_end() {
    let authority = Authority::new();
    let token = StaticToken {
        token: "s3cret".into(),
        user: UserInfo::new("robot", &["system:masters"]),
    };
    let api = api_with(Config {
        tokens: vec![token],
        ..Config::default()
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let serve = {
        let (server, tls, cancel) = (api.server.clone(), authority.server(), cancel.clone());
        tokio::spawn(async move { server.serve(server.router(), listener, tls, cancel).await })
    };

    let admin = || Some(authority.identity("admin", &["system:masters"]));
    for (protocol, version) in [
        (&b"h2"[..], Version::HTTP_2),
        (b"http/1.1", Version::HTTP_11),
    ] {
        let connector = authority.connector(admin(), protocol);
        let response = get(&connector, address, WIDGETS, None).await;
        assert_eq!(
            (response.version(), response.status().as_u16()),
            (version, 200)
        );
    }
    let user = authority.connector(Some(authority.identity("joe", &["dev"])), b"http/1.1");
    let (code, status) = json(get(&user, address, WIDGETS, None).await).await;
    let message = status["message"].as_str().unwrap();
    assert!(
        code == 403 && message.contains("User \"joe\" cannot list resource \"widgets\""),
        "{message}"
    );
    let nobody = authority.connector(None, b"http/1.1");
    let (code, status) = json(get(&nobody, address, WIDGETS, None).await).await;
    assert!(
        code == 403
            && status["message"]
                .as_str()
                .unwrap()
                .contains("system:anonymous")
    );
    assert_eq!(
        json(get(&nobody, address, WIDGETS, Some("s3cret")).await)
            .await
            .0,
        200
    );
    assert_eq!(
        json(get(&nobody, address, WIDGETS, Some("wrong")).await)
            .await
            .0,
        401
    );
    let stranger = authority.connector(
        Some(Authority::new().identity("admin", &["system:masters"])),
        b"http/1.1",
    );
    let stream = TcpStream::connect(address).await.unwrap();
    let stranger = stranger
        .connect(ServerName::try_from("127.0.0.1").unwrap(), stream)
        .await;
    // In TLS 1.3 the refusal comes with the first read.
    let refused = match stranger {
        Err(_) => true,
        Ok(mut stream) => tokio::io::AsyncReadExt::read(&mut stream, &mut [0])
            .await
            .is_err(),
    };
    assert!(refused, "a certificate of another authority");
    // Garbage ends its own connection only.
    let mut noise = TcpStream::connect(address).await.unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();

    let connector = authority.connector(admin(), b"h2");
    let watch = get(&connector, address, &format!("{WIDGETS}?watch=true"), None).await;
    cancel.cancel();
    let body = tokio::time::timeout(SOON, watch.into_body().collect())
        .await
        .expect("the watch ends");
    assert!(
        body.unwrap().to_bytes().is_empty(),
        "a clean end without events"
    );
    tokio::time::timeout(SOON, serve)
        .await
        .expect("the server ends")
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// Connections that their clients forgot end, whatever was said on them; those with a watch stay.
#[tokio::test]
async fn idle_connections_end() {
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let served = Served::over(api_with(config).await).await;
    let protocols = [&b"h2"[..], b"http/1.1"];
    let mut watches = Vec::new();
    for protocol in protocols {
        let admin = served.authority.identity("admin", &["system:masters"]);
        let connector = served.authority.connector(Some(admin), protocol);
        let path = format!("{WIDGETS}?watch=true&resourceVersion=1");
        watches.push(get(&connector, served.address, &path, None).await);
    }
    for protocol in protocols {
        let mut silent = served.connect(protocol).await;
        let mut buffer = [0];
        let end = tokio::io::AsyncReadExt::read(&mut silent, &mut buffer);
        let end = tokio::time::timeout(SOON, end).await.expect("it ends");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    let mut stream = served.connect(b"http/1.1").await;
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
    let _ = tokio::time::timeout(SOON, end).await.expect("it ends");
    assert!(answer.starts_with(b"HTTP/1.1 "));
    let stream = TokioIo::new(served.connect(b"h2").await);
    let (_send, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), stream)
            .await
            .unwrap();
    let end = tokio::time::timeout(SOON, connection).await;
    end.expect("it ends").expect("in order");
    // They began before the others, and are still there.
    served.api.post(WIDGETS, &widget("a")).await.is(201);
    for mut watch in watches {
        let event = tokio::time::timeout(SOON, watch.frame()).await.unwrap();
        let event = event.unwrap().unwrap().into_data().unwrap();
        assert!(event.starts_with(b"{\"type\":\"ADDED\""));
    }
}

//! The admin kubeconfig.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Renders a kubeconfig with one cluster, one user by client certificate, and one context.
/// JSON is YAML, and needs no quoting rules.
pub fn render(server: SocketAddr, ca_pem: &str, cert_pem: &str, key_pem: &str) -> String {
    let host = if server.ip().is_unspecified() {
        SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), server.port())
    } else {
        server
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "obiente", "cluster": {
            "server": format!("https://{host}"),
            "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": "admin", "user": {
            "client-certificate-data": STANDARD.encode(cert_pem),
            "client-key-data": STANDARD.encode(key_pem),
        }}],
        "contexts": [{"name": "obiente", "context": {"cluster": "obiente", "user": "admin"}}],
        "current-context": "obiente",
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn a_wildcard_address_becomes_one_that_can_be_called() {
        let text = super::render("0.0.0.0:7443".parse().unwrap(), "ca", "cert", "key");
        assert!(text.contains("https://127.0.0.1:7443"), "{text}");
    }
}

//! Secrets: `stringData` is merged into `data` and never kept, `type` never changes, and what a
//! well-known type promises to contain is there.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::InconsistentKeys;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};

use super::keyed;
use crate::decode;
use crate::registry::{ResourceDef, Strategy};
use crate::validation::FieldError;

/// Type of the Secrets that hold a token of a service account.
pub(super) const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
/// Type of the Secrets that hold a certificate and its key.
const TLS: &str = "kubernetes.io/tls";
/// Annotation that names the account.
pub(super) const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// See the module.
pub(super) struct SecretStrategy;

impl Strategy for SecretStrategy {
    fn tracks_generation(&self) -> bool {
        false
    }

    fn complete(&self, object: &mut Value) {
        let Some(fields) = object.as_object_mut() else {
            return;
        };
        fields.entry("type").or_insert_with(|| json!("Opaque"));
        if let Some(Value::Object(plain)) = fields.remove("stringData") {
            let data = fields.entry("data").or_insert_with(|| json!({}));
            if let Some(data) = data.as_object_mut() {
                let encode = |value: &Value| {
                    json!(BASE64_STANDARD.encode(value.as_str().unwrap_or_default()))
                };
                data.extend(plain.into_iter().map(|(key, value)| (key, encode(&value))));
            }
        }
        keyed::canonical(fields.get_mut("data"));
    }

    fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        keyed::check_keys(object, "data", &mut problems);
        let mut size = 0;
        for (key, value) in keyed::entries(object, "data") {
            match keyed::decode(value) {
                Some(bytes) => size += bytes.len(),
                // The value is secret, wrong or not.
                None => problems.push(FieldError::invalid(
                    format!("data[{key}]"),
                    "…",
                    "must be base64",
                )),
            }
        }
        if size > keyed::MAX_SIZE {
            problems.push(FieldError::too_long("data", keyed::MAX_SIZE as u64));
        }
        check_content(object, &mut problems);
        if let Some(old) = old {
            if object.get("type") != old.get("type") {
                problems.push(FieldError::invalid(
                    "type",
                    object["type"].clone(),
                    "field is immutable",
                ));
            }
            keyed::check_lock(object, old, &["data"], &mut problems);
        }
        problems
    }

    fn warnings(&self, object: &Value, _: Option<&Value>) -> Vec<String> {
        if object["type"] != TLS {
            return Vec::new();
        }
        let data = |key: &str| keyed::decode(&object["data"][key]).unwrap_or_default();
        let problem = key_pair_problem(&data("tls.crt"), &data("tls.key"));
        problem
            .map(|problem| format!("tls: {problem}"))
            .into_iter()
            .collect()
    }
}

/// Why these are no certificate and its key, in the words of Kubernetes. Keys of algorithms that are
/// not known here are taken to fit.
fn key_pair_problem(certificate: &[u8], key: &[u8]) -> Option<&'static str> {
    let chain = |pem: &[u8]| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem).flatten().collect()
    };
    let found = chain(certificate);
    if found.is_empty() {
        return Some(match PrivateKeyDer::from_pem_slice(certificate) {
            Ok(_) => {
                "failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
            }
            Err(_) => "failed to find any PEM data in certificate input",
        });
    }
    let Ok(private) = PrivateKeyDer::from_pem_slice(key) else {
        return Some(match chain(key).is_empty() {
            false => "found a certificate rather than a key in the PEM for the private key",
            true => "failed to find any PEM data in key input",
        });
    };
    match CertifiedKey::from_der(found, private, &ring::default_provider()) {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Some("private key does not match public key")
        }
        _ => None,
    }
}

fn check_content(object: &Value, problems: &mut Vec<FieldError>) {
    let data = |key: &str| object.get("data").and_then(|data| data.get(key));
    let mut require = |keys: &[&str]| {
        for key in keys.iter().filter(|key| data(key).is_none()) {
            problems.push(FieldError::required(format!("data[{key}]"), ""));
        }
    };
    let json_key = match object["type"].as_str().unwrap_or_default() {
        // The rest is filled in by the server.
        ACCOUNT_TOKEN => {
            let account = object["metadata"]["annotations"][ACCOUNT_NAME].as_str();
            if account.is_none_or(str::is_empty) {
                let field = format!("metadata.annotations[{ACCOUNT_NAME}]");
                problems.push(FieldError::required(field, ""));
            }
            return;
        }
        TLS => return require(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" if data("ssh-privatekey").is_none_or(|key| key == "") => {
            let problem = FieldError::required("data[ssh-privatekey]", "");
            return problems.push(problem);
        }
        "kubernetes.io/basic-auth" if data("username").is_none() && data("password").is_none() => {
            return require(&["username", "password"]);
        }
        "kubernetes.io/dockercfg" => ".dockercfg",
        "kubernetes.io/dockerconfigjson" => ".dockerconfigjson",
        _ => return,
    };
    if data(json_key).is_none() {
        return require(&[json_key]);
    }
    let content = data(json_key).and_then(keyed::decode).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Value>(&content) {
        problems.push(FieldError::invalid(
            format!("data[{json_key}]"),
            "<secret contents redacted>",
            decode::syntax(&content, &error),
        ));
    }
}

/// Completes the row of the table.
pub(super) fn definition(def: ResourceDef) -> ResourceDef {
    ResourceDef {
        selectable_fields: vec!["type".to_owned()],
        ..def
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn fields(object: &Value, old: Option<&Value>) -> Vec<String> {
        SecretStrategy
            .validate(object, old)
            .into_iter()
            .map(|problem| problem.field)
            .collect()
    }

    #[test]
    fn string_data_is_merged_and_dropped() {
        let mut object = json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"b": "z"}});
        SecretStrategy.complete(&mut object);
        assert_eq!(
            object,
            json!({"type": "Opaque", "data": {"a": "eA==", "b": "eg=="}})
        );
    }

    #[test]
    fn a_certificate_has_its_own_key() {
        let pair = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&key);
            (certificate.unwrap().pem(), key.serialize_pem())
        };
        let ((certificate, key), (_, other)) = (pair(), pair());
        for (certificate, key, expected) in [
            (&*certificate, &*key, None),
            (
                &certificate,
                &other,
                Some("private key does not match public key"),
            ),
            (
                &certificate,
                "x",
                Some("failed to find any PEM data in key input"),
            ),
            (
                &certificate,
                &certificate,
                Some("found a certificate rather than a key in the PEM for the private key"),
            ),
            (
                "",
                &key,
                Some("failed to find any PEM data in certificate input"),
            ),
            (
                &key,
                &certificate,
                Some(
                    "failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
                ),
            ),
        ] {
            let secret = json!({"type": TLS, "data": {
                "tls.crt": BASE64_STANDARD.encode(certificate), "tls.key": BASE64_STANDARD.encode(key)}});
            let expected: Vec<String> = expected
                .map(|text| format!("tls: {text}"))
                .into_iter()
                .collect();
            assert_eq!(SecretStrategy.warnings(&secret, None), expected);
        }
        assert!(
            SecretStrategy
                .warnings(&json!({"type": "Opaque"}), None)
                .is_empty()
        );
    }

    #[test]
    fn what_is_wrong() {
        let opaque = |data: Value| json!({"type": "Opaque", "data": data});
        assert_eq!(fields(&opaque(json!({"a": "%"})), None), ["data[a]"]);
        assert_eq!(fields(&opaque(json!({"a/b": "eA=="})), None), ["data[a/b]"]);
        assert_eq!(
            fields(&opaque(json!({"a": "A".repeat(1_600_000)})), None),
            ["data"]
        );
        assert_eq!(
            fields(
                &json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
                None
            ),
            ["data[tls.key]"]
        );
        let docker = json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}});
        assert_eq!(fields(&docker, None), ["data[.dockerconfigjson]"]);
        assert_eq!(
            fields(&json!({"type": "x"}), Some(&json!({"type": "y"}))),
            ["type"]
        );
        let named = |name: &str| json!({"type": ACCOUNT_TOKEN, "metadata": {"annotations": {ACCOUNT_NAME: name}}});
        assert_eq!(
            fields(&named(""), None),
            ["metadata.annotations[kubernetes.io/service-account.name]"]
        );
        assert!(fields(&named("robot"), None).is_empty());
        let locked = json!({"type": "Opaque", "immutable": true, "data": {"a": "eA=="}});
        assert_eq!(
            fields(&opaque(json!({})), Some(&locked)),
            ["immutable", "data"]
        );
        assert!(fields(&locked, Some(&locked)).is_empty());
    }
}

//! Client certificates: the common name is the user, each organization a group; the digest tells
//! certificates of one user apart.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CREDENTIAL_ID, UserInfo};

/// The identity in a certificate that TLS has verified. `None` where it has no common name.
pub fn user_of_certificate(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups: Vec<&str> = subject
        .iter_organization()
        .filter_map(|entry| entry.as_str().ok())
        .collect();
    let digest: String = Sha256::digest(certificate)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    let credential = vec![format!("X509SHA256={digest}")];
    (!name.is_empty()).then(|| UserInfo {
        extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), credential)]),
        ..UserInfo::new(&name, &groups)
    })
}

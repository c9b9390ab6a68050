//! Client certificates: the common name is the user, each organization a group.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::UserInfo;

/// The identity in a certificate that TLS has verified. `None` where it has no common name.
pub fn user_of_certificate(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups: Vec<&str> = subject
        .iter_organization()
        .filter_map(|entry| entry.as_str().ok())
        .collect();
    (!name.is_empty()).then(|| UserInfo::new(&name, &groups))
}

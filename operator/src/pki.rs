//! Certificates: an own CA, a serving certificate and an admin client certificate, all in one
//! directory, made when missing and renewed before they end; and beside them the key for the tokens
//! of service accounts.
//!
//! Leaf certificates live a year and are renewed when a third of that is left, at start or by
//! the daily check, without a restart. The CA lives ten years.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};

const CA_LIFE: Duration = Duration::days(3653);
const LEAF_LIFE: Duration = Duration::days(365);
/// Clocks of clients may be behind ours by this much.
const BACKDATE: Duration = Duration::hours(1);

/// The directory of certificates, and what is in it now.
pub struct Pki {
    directory: PathBuf,
    sans: Vec<String>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Certificate.
    pub cert: String,
    /// Private key.
    pub key: String,
}

impl Pki {
    /// Opens the directory, making the CA when there is none.
    pub fn open(directory: &Path, sans: Vec<String>) -> anyhow::Result<Self> {
        create_private_dir(directory)?;
        let this = Self {
            directory: directory.to_owned(),
            sans,
        };
        if !this.path("ca.crt").exists() {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(DnType::CommonName, "obiente-ca");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            set_validity(&mut params, CA_LIFE);
            let cert = params.self_signed(&key)?;
            // Key first: a certificate without its key would be taken for complete.
            write_private(&this.path("ca.key"), &key.serialize_pem())?;
            write_private(&this.path("ca.crt"), &cert.pem())?;
        }
        Ok(this)
    }

    /// The CA certificate, PEM.
    pub fn ca(&self) -> anyhow::Result<String> {
        read(&self.path("ca.crt"))
    }

    /// The key that signs the tokens of service accounts, PEM.
    pub fn service_account_key(&self) -> anyhow::Result<String> {
        let path = self.path("sa.key");
        if !path.exists() {
            write_private(&path, &KeyPair::generate()?.serialize_pem())?;
        }
        read(&path)
    }

    /// The serving certificate, renewed when it is due or its names changed.
    pub fn server(&self) -> anyhow::Result<Leaf> {
        let names = self.path("server.names");
        let wanted = self.sans.join("\n");
        let same = fs::read_to_string(&names).is_ok_and(|found| found == wanted);
        let leaf = self.leaf("server", !same, || {
            let mut params = CertificateParams::new(self.sans.clone())?;
            params
                .distinguished_name
                .push(DnType::CommonName, "obiente-apiserver");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            Ok(params)
        })?;
        write_private(&names, &wanted)?;
        Ok(leaf)
    }

    /// The client certificate of a user in a group, as Kubernetes reads them (CN and O).
    pub fn client(&self, file: &str, user: &str, group: &str) -> anyhow::Result<Leaf> {
        self.leaf(file, false, || {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, user);
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            Ok(params)
        })
    }

    fn leaf(
        &self,
        file: &str,
        renew: bool,
        params: impl FnOnce() -> anyhow::Result<CertificateParams>,
    ) -> anyhow::Result<Leaf> {
        let (cert, key) = (
            self.path(&format!("{file}.crt")),
            self.path(&format!("{file}.key")),
        );
        if !renew && cert.exists() && key.exists() {
            let leaf = Leaf {
                cert: read(&cert)?,
                key: read(&key)?,
            };
            if remaining(&leaf.cert)? > LEAF_LIFE / 3 {
                return Ok(leaf);
            }
        }
        let ca_key = KeyPair::from_pem(&read(&self.path("ca.key"))?)?;
        let issuer = Issuer::from_ca_cert_pem(&self.ca()?, ca_key)?;
        let mut params = params()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, LEAF_LIFE);
        let pair = KeyPair::generate()?;
        let leaf = Leaf {
            cert: params.signed_by(&pair, &issuer)?.pem(),
            key: pair.serialize_pem(),
        };
        write_private(&key, &leaf.key)?;
        write_private(&cert, &leaf.cert)?;
        tracing::info!(certificate = %cert.display(), "issued a certificate");
        Ok(leaf)
    }

    /// TLS of the API server: our serving certificate, replaceable while it runs, and client
    /// certificates of our CA, optional (bearer tokens need none).
    pub fn tls(&self) -> anyhow::Result<(rustls::ServerConfig, Arc<ServingCert>)> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca()?.as_bytes())?)?;
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
            .allow_unauthenticated()
            .build()?;
        let serving = Arc::new(ServingCert(RwLock::new(certified(&self.server()?)?)));
        let mut config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(serving.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((config, serving))
    }

    /// Renews what is due and puts the serving certificate in place.
    pub fn renew(&self, serving: &ServingCert) -> anyhow::Result<()> {
        let key = certified(&self.server()?)?;
        *serving
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = key;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The serving certificate that handshakes get.
#[derive(Debug)]
pub struct ServingCert(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for ServingCert {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.0
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone(),
        )
    }
}

/// Makes a directory that only its owner can enter.
pub fn create_private_dir(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("create directory {}", path.display()))
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Reads a file.
pub fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn set_validity(params: &mut CertificateParams, life: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATE;
    params.not_after = now + life;
}

fn remaining(pem: &str) -> anyhow::Result<Duration> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())?;
    let (_, cert) =
        x509_parser::parse_x509_certificate(&der).context("parse our own certificate")?;
    Ok(cert.validity().not_after.to_datetime() - OffsetDateTime::now_utc())
}

fn certified(leaf: &Leaf) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain = vec![CertificateDer::from_pem_slice(leaf.cert.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes())?;
    Ok(Arc::new(CertifiedKey::new(
        chain,
        rustls::crypto::ring::sign::any_supported_type(&key)?,
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn certificates_are_kept_and_renewed_only_when_their_names_change() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), names(&["localhost"])).unwrap();
        let (ca, server) = (pki.ca().unwrap(), pki.server().unwrap());
        let admin = pki.client("admin", "admin", "system:masters").unwrap();

        let again = Pki::open(dir.path(), names(&["localhost"])).unwrap();
        assert_eq!(again.ca().unwrap(), ca);
        assert_eq!(again.server().unwrap(), server);
        assert_eq!(
            again.client("admin", "admin", "system:masters").unwrap(),
            admin
        );

        let renamed = Pki::open(dir.path(), names(&["localhost", "10.0.0.1"])).unwrap();
        assert_ne!(renamed.server().unwrap(), server);
        assert_eq!(renamed.ca().unwrap(), ca);
    }

    #[test]
    fn keys_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), names(&["localhost"])).unwrap();
        pki.server().unwrap();
        let tokens = pki.service_account_key().unwrap();
        assert_eq!(pki.service_account_key().unwrap(), tokens);
        for file in ["ca.key", "server.key", "sa.key"] {
            let mode = fs::metadata(dir.path().join(file))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{file}");
        }
    }
}

//! Signed tokens: JWS in compact form, ES256, over ring.
//!
//! Own code, for no kept crate signs ES256 with ring: `jsonwebtoken` 11 offers aws-lc-rs, or pure
//! Rust that brings `rsa` along. Few keys of one algorithm make it short, and safe where such code
//! usually is not: a header is compared with the only right one of each key, never obeyed.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Bytes of a point.
const POINT: usize = 65;
/// What stands before the point in the DER form of a public key on P-256.
const POINT_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The key cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// Not the right kind of key, or not the right form.
    #[error(
        "it must be a private key on the curve P-256 in PKCS#8 PEM, for example from: \
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 ({0})"
    )]
    Unusable(String),
    /// The same of keys that only verify.
    #[error(
        "it must hold public keys on the curve P-256 in PEM, for example from: \
         openssl pkey -pubout -in sa.key ({0})"
    )]
    Unverifiable(String),
    /// The system gives no random numbers.
    #[error("the system's random numbers are not available")]
    Random,
}

/// The key that signs.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
    random: SystemRandom,
}

/// A key whose signatures are believed.
pub(crate) struct VerifyingKey {
    /// 0x04, then both coordinates.
    point: Vec<u8>,
    /// Names the key as Kubernetes does: digest of its public half.
    id: String,
    /// The encoded header of every token.
    header: String,
}

impl SigningKey {
    /// A new key, gone with this value.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub(crate) fn generate() -> Result<Self, KeyError> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self::from_pkcs8(made.map_err(|_| KeyError::Random)?.as_ref())
    }

    /// Reads PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyError::Unusable`].
    pub(crate) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| KeyError::Unusable(error.to_string()))?;
        Self::from_pkcs8(der.secret_pkcs8_der())
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(|error| KeyError::Unusable(error.to_string()))?;
        let public = VerifyingKey::new(pair.public_key().as_ref());
        Ok(Self {
            pair,
            public,
            random,
        })
    }

    /// A token that says this.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        let header = &self.public.header;
        let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = BASE64.encode(signature.map_err(|_| KeyError::Random)?);
        Ok(format!("{signed}.{signature}"))
    }

    /// The half that verifies.
    pub(crate) fn public(&self) -> &VerifyingKey {
        &self.public
    }
}

impl VerifyingKey {
    fn new(point: &[u8]) -> Self {
        let id = BASE64.encode(Sha256::digest([&POINT_PREFIX[..], point].concat()));
        let header = BASE64.encode(json!({"alg": "ES256", "kid": id}).to_string());
        Self {
            point: point.to_vec(),
            id,
            header,
        }
    }

    /// All public keys in a PEM text.
    ///
    /// # Errors
    /// [`KeyError::Unverifiable`], also where there is none.
    pub(crate) fn all_from_pem(pem: &str) -> Result<Vec<Self>, KeyError> {
        let unusable = |why: &str| KeyError::Unverifiable(why.to_owned());
        let mut keys = Vec::new();
        for der in SubjectPublicKeyInfoDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|error| unusable(&error.to_string()))?;
            let point = der.strip_prefix(&POINT_PREFIX[..]);
            let point = point.filter(|point| point.len() == POINT);
            keys.push(Self::new(
                point.ok_or_else(|| unusable("another kind of key"))?,
            ));
        }
        match keys.is_empty() {
            true => Err(unusable("there is none in it")),
            false => Ok(keys),
        }
    }

    /// What a token says; `None` for what this key did not sign.
    pub(crate) fn verify(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if header != self.header {
            return None;
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(signed.as_bytes(), &BASE64.decode(signature).ok()?)
            .ok()?;
        serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
    }

    /// As JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.point[1..].split_at(self.point.len() / 2);
        json!({
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": "ES256",
            "x": BASE64.encode(x),
            "y": BASE64.encode(y),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_key_signed_is_believed() {
        let (key, other) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let claims = json!({"sub": "robot"});
        let token = key.sign(&claims).unwrap();
        assert_eq!(key.public().verify(&token), Some(claims.clone()));
        assert_eq!(other.public().verify(&token), None);

        let [header, body, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            unreachable!()
        };
        let encode = |value: Value| BASE64.encode(value.to_string());
        let none = encode(json!({"alg": "none", "kid": key.public().id}));
        let hmac = encode(json!({"alg": "HS256", "kid": key.public().id}));
        let forged = encode(json!({"sub": "admin"}));
        let foreign = other.sign(&claims).unwrap();
        let foreign = foreign.rsplit_once('.').unwrap().1;
        for wrong in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{header}.{body}"),
            format!("{header}.{body}."),
            format!("{header}.{body}.{signature}."),
            format!("{header}.{body}.{signature}A"),
            format!("{header}.{body}.{foreign}"),
            format!("{header}.{forged}.{signature}"),
            format!("{none}.{body}."),
            format!("{none}.{body}.{signature}"),
            format!("{hmac}.{body}.{signature}"),
        ] {
            assert_eq!(key.public().verify(&wrong), None, "{wrong}");
        }
    }

    /// A verifier of another hand reads both the token and the key.
    #[test]
    fn the_public_key_is_the_one_that_is_published() {
        let key = SigningKey::generate().unwrap();
        let jwk = key.public().jwk();
        let part = |name: &str| BASE64.decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [vec![4], part("x"), part("y")].concat();
        let token = key.sign(&json!({"a": 1})).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &BASE64.decode(signature).unwrap())
            .unwrap();
        let header = BASE64.decode(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, json!({"alg": "ES256", "kid": jwk["kid"]}));
    }

    #[test]
    fn keys_of_another_kind_are_refused_with_what_is_right() {
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        for pem in ["", "nonsense", rsa, &p384.serialize_pem()] {
            let error = SigningKey::from_pem(pem).err().unwrap().to_string();
            assert!(error.contains("openssl genpkey"), "{error}");
        }
        let right = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let (one, two) = (SigningKey::from_pem(&right), SigningKey::from_pem(&right));
        let token = one.unwrap().sign(&json!({})).unwrap();
        assert!(two.unwrap().public().verify(&token).is_some());
    }

    #[test]
    fn public_keys_verify_alone() {
        let pair = || rcgen::KeyPair::generate().unwrap();
        let (one, two) = (pair(), pair());
        let text = format!("# both\n{}{}", one.public_key_pem(), two.public_key_pem());
        let keys = VerifyingKey::all_from_pem(&text).unwrap();
        let token = SigningKey::from_pem(&two.serialize_pem()).unwrap();
        let token = token.sign(&json!({"a": 1})).unwrap();
        let found: Vec<_> = keys.iter().map(|key| key.verify(&token)).collect();
        assert_eq!(found, [None, Some(json!({"a": 1}))]);

        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        for pem in ["", "nonsense", &one.serialize_pem(), &p384.public_key_pem()] {
            let error = VerifyingKey::all_from_pem(pem).err().unwrap().to_string();
            assert!(error.contains("openssl pkey -pubout"), "{error}");
        }
    }
}

//! Who asks.
//!
//! In this order: the identity that the process itself put on the request (its own controllers,
//! over the router in memory), a bearer token, a client certificate verified by TLS, nobody. A
//! token that is not known is an error, never nobody: whoever sends one means to be someone.

mod certificate;
mod impersonate;

use std::collections::{BTreeMap, HashMap};

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

pub use certificate::user_of_certificate;
pub(crate) use impersonate::effective;

use crate::status_error::ApiError;

/// Group whose members may do everything.
pub const MASTERS: &str = "system:masters";
/// The user that the controllers are.
pub const CONTROLLERS: &str = "system:obiente:controllers";
/// Group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Whom tokens are made for unless they name somebody else: this server.
pub(crate) const AUDIENCE: &str = "https://kubernetes.default.svc";

/// An identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// `system:serviceaccount:default:x`, `admin`
    pub name: String,
    /// Tells users of one name apart over time.
    pub uid: Option<String>,
    /// What permissions are given to.
    pub groups: Vec<String>,
    /// Whatever else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user in these groups, and in `system:authenticated`.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            name: name.to_owned(),
            uid: None,
            groups,
            extra: BTreeMap::new(),
        }
    }

    /// Who has shown no credentials.
    pub fn anonymous() -> Self {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        Self {
            name: "system:anonymous".to_owned(),
            groups,
            ..Self::default()
        }
    }

    /// Has this user shown no credentials?
    pub fn is_anonymous(&self) -> bool {
        self.groups.iter().any(|group| group == UNAUTHENTICATED)
    }
}

/// A bearer token and whose it is.
#[derive(Clone)]
pub struct StaticToken {
    /// The secret.
    pub token: String,
    /// Its user.
    pub user: UserInfo,
}

impl std::fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticToken")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The identity that the process put on a request of its own; never set from the wire.
#[derive(Clone)]
pub struct InProcess(pub UserInfo);

/// The identity of a connection's verified client certificate.
#[derive(Clone)]
pub struct PeerUser(pub UserInfo);

/// Finds out who asks.
#[derive(Default)]
pub struct Authenticator {
    /// By digest: looking up the digest gives away nothing of the token by timing.
    tokens: HashMap<[u8; 32], UserInfo>,
}

impl Authenticator {
    /// Knows these tokens.
    pub fn new(tokens: &[StaticToken]) -> Self {
        let tokens = tokens
            .iter()
            .map(|entry| (digest(&entry.token), entry.user.clone()))
            .collect();
        Self { tokens }
    }

    /// The identity behind a request.
    ///
    /// # Errors
    /// `Unauthorized` for an unknown token or a header that is no bearer token.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        extensions: &http::Extensions,
    ) -> Result<UserInfo, ApiError> {
        if let Some(InProcess(user)) = extensions.get() {
            return Ok(user.clone());
        }
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value
                .to_str()
                .ok()
                .and_then(bearer)
                .ok_or(ApiError::Unauthorized)?;
            return self.token(token).ok_or(ApiError::Unauthorized);
        }
        if let Some(PeerUser(user)) = extensions.get() {
            return Ok(user.clone());
        }
        Ok(UserInfo::anonymous())
    }

    /// Whose bearer token this is.
    pub fn token(&self, token: &str) -> Option<UserInfo> {
        self.tokens.get(&digest(token)).cloned()
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn authenticator() -> Authenticator {
        let user = UserInfo::new("alice", &["dev"]);
        Authenticator::new(&[StaticToken {
            token: "s3cret".into(),
            user,
        }])
    }

    fn with(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, http::HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn tokens() {
        let none = http::Extensions::new();
        for value in ["Bearer s3cret", "bearer s3cret", "Bearer  s3cret"] {
            let user = authenticator().authenticate(&with(value), &none).unwrap();
            assert_eq!(
                (user.name.as_str(), user.groups.len()),
                ("alice", 2),
                "{value}"
            );
        }
        for value in ["Bearer s3cre", "Bearer ", "Basic s3cret", "s3cret", ""] {
            assert!(
                authenticator().authenticate(&with(value), &none).is_err(),
                "{value}"
            );
        }
        assert!(
            authenticator()
                .authenticate(&HeaderMap::new(), &none)
                .unwrap()
                .is_anonymous()
        );
    }

    #[test]
    fn order() {
        let mut extensions = http::Extensions::new();
        extensions.insert(PeerUser(UserInfo::new("cert", &[])));
        let name = |headers: &HeaderMap, extensions: &http::Extensions| {
            authenticator()
                .authenticate(headers, extensions)
                .unwrap()
                .name
        };
        assert_eq!(name(&HeaderMap::new(), &extensions), "cert");
        assert_eq!(name(&with("Bearer s3cret"), &extensions), "alice");
        extensions.insert(InProcess(UserInfo::new("loop", &[])));
        assert_eq!(name(&with("Bearer wrong"), &extensions), "loop");
    }

    #[test]
    fn tokens_are_not_printed() {
        let entry = StaticToken {
            token: "s3cret".into(),
            user: UserInfo::anonymous(),
        };
        assert!(!format!("{entry:?}").contains("s3cret"));
    }
}

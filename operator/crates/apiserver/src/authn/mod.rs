//! Who asks.
//!
//! In this order, as in Kubernetes: the identity that the process itself put on the request (its
//! own controllers, over the router in memory), a client certificate verified by TLS, a bearer
//! token, nobody. A token that does not count is an error, never nobody: whoever sends one means to
//! be someone.

mod certificate;
mod impersonate;
mod jws;
mod tokens;

use std::collections::{BTreeMap, HashMap};

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use store::Store;

pub use certificate::user_of_certificate;
pub(crate) use impersonate::effective;
pub use jws::KeyError;
#[cfg(any(test, fuzzing))]
pub(crate) use jws::SigningKey;
pub(crate) use tokens::{Holder, Reference, TokenError, Tokens};

use crate::config::Config;
use crate::status_error::ApiError;

/// Group whose members may do everything.
pub const MASTERS: &str = "system:masters";
/// The user that the controllers are.
pub const CONTROLLERS: &str = "system:obiente:controllers";
/// Group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Key among the extras of a user for which of their credentials they showed.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

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
pub(crate) struct Authenticator {
    /// By digest: looking up the digest gives away nothing of the token by timing.
    known: HashMap<[u8; 32], UserInfo>,
    /// Those of service accounts.
    pub(crate) tokens: Tokens,
}

impl Authenticator {
    /// Knows the tokens of the settings, and those of the accounts in the store.
    ///
    /// # Errors
    /// The key of the settings cannot be used.
    pub(crate) fn new(store: Store, config: &Config) -> Result<Self, KeyError> {
        let known = config.tokens.iter();
        let known = known.map(|entry| (digest(&entry.token), entry.user.clone()));
        Ok(Self {
            known: known.collect(),
            tokens: Tokens::new(store, &config.service_accounts)?,
        })
    }

    /// The identity behind a request.
    ///
    /// # Errors
    /// `Unauthorized` for a token that does not count or a header that is no bearer token; why is
    /// told to the log alone.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        extensions: &http::Extensions,
    ) -> Result<UserInfo, ApiError> {
        if let Some(InProcess(user)) = extensions.get() {
            return Ok(user.clone());
        }
        if let Some(PeerUser(user)) = extensions.get() {
            return Ok(user.clone());
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Ok(UserInfo::anonymous());
        };
        let token = value.to_str().ok().and_then(bearer);
        match self.token(token.ok_or(ApiError::Unauthorized)?, &[]).await {
            Ok((user, _)) => Ok(user),
            Err(TokenError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::info!(%error, "a bearer token does not count");
                Err(ApiError::Unauthorized)
            }
        }
    }

    /// Whose bearer token this is, and which of these audiences it is made for; without any, it
    /// must be made for this server.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub(crate) async fn token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<(UserInfo, Vec<String>), TokenError> {
        match self.known.get(&digest(token)) {
            Some(user) => Ok((user.clone(), self.tokens.meant(None, audiences)?)),
            None => self.tokens.authenticate(token, audiences).await,
        }
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
mod tests {
    use super::*;

    #[test]
    fn bearer_headers() {
        for value in ["Bearer s3cret", "bearer s3cret", "Bearer  s3cret"] {
            assert_eq!(bearer(value), Some("s3cret"), "{value}");
        }
        for value in ["Bearer ", "Basic s3cret", "s3cret", ""] {
            assert_eq!(bearer(value), None, "{value}");
        }
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

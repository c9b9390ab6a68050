//! Tokens of service accounts: what they say, how they are made, and whether they still count.
//!
//! A *bound* token (`TokenRequest`) names its audiences, ends, and counts only while its account,
//! and the Secret that it may be bound to, are the very ones that it was made for. A *lasting* one
//! stands in a Secret of the type `kubernetes.io/service-account-token` and counts while it stands
//! there. Both are judged from the store's memory.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Consistency, Key, Store};
use uuid::Uuid;

use super::jws::{KeyError, SigningKey, VerifyingKey};
use super::{CREDENTIAL_ID, UserInfo};
use crate::authz::ACCOUNT_PREFIX;
use crate::config::ServiceAccounts;
use crate::meta;

/// Issuer of lasting tokens, Kubernetes' own name for it.
const LASTING_ISSUER: &str = "kubernetes/serviceaccount";
/// Seconds by which clocks may differ, as in Kubernetes.
const LEEWAY: i64 = 60;
/// Seconds after its making during which a token may be of an account that this process has not
/// heard of yet.
const YOUNG: i64 = 10;
const INVALIDATED: &str = "service account token has been invalidated";

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// No token of this server.
    #[error("invalid bearer token")]
    Foreign,
    /// It was one, but not here or not now.
    #[error("[invalid bearer token, {0}]")]
    Refused(String),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn refused(why: impl Into<String>) -> TokenError {
    TokenError::Refused(why.into())
}

/// An object as tokens name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Whose token it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) namespace: String,
    pub(crate) serviceaccount: Reference,
    /// What the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
}

/// What tokens say.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Claims {
    Bound {
        iss: String,
        sub: String,
        aud: Vec<String>,
        iat: i64,
        nbf: i64,
        exp: i64,
        jti: String,
        #[serde(rename = "kubernetes.io")]
        holder: Holder,
    },
    Lasting {
        iss: String,
        sub: String,
        #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
        namespace: String,
        #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
        secret: String,
        #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
        name: String,
        #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
        uid: String,
    },
}

/// Makes tokens and judges them.
pub(crate) struct Tokens {
    key: SigningKey,
    /// Further keys that are believed.
    others: Vec<VerifyingKey>,
    issuer: String,
    store: Store,
}

impl Tokens {
    /// Tokens for accounts in this store.
    ///
    /// # Errors
    /// A key cannot be used.
    pub(crate) fn new(store: Store, settings: &ServiceAccounts) -> Result<Self, KeyError> {
        let key = match &settings.signing_key {
            Some(pem) => SigningKey::from_pem(pem)?,
            None => SigningKey::generate()?,
        };
        let mut others = Vec::new();
        for pem in &settings.verification_keys {
            others.extend(VerifyingKey::all_from_pem(pem)?);
        }
        Ok(Self {
            key,
            others,
            issuer: settings.issuer.clone(),
            store,
        })
    }

    /// Who stands behind the tokens, and for whom they are made unless they name somebody else.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// All keys that are believed.
    fn keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        std::iter::once(self.key.public()).chain(&self.others)
    }

    /// The public keys.
    pub(crate) fn jwks(&self) -> Vec<Value> {
        let mut keys = Vec::new();
        for key in self.keys().map(VerifyingKey::jwk) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// A token that counts from `now` (Unix seconds) on, for so many seconds.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub(crate) fn bound(
        &self,
        holder: Holder,
        audiences: &[String],
        now: i64,
        lifetime: i64,
    ) -> Result<String, KeyError> {
        self.sign(&Claims::Bound {
            iss: self.issuer.clone(),
            sub: user_name(&holder),
            aud: audiences.to_vec(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(lifetime),
            jti: Uuid::new_v4().to_string(),
            holder,
        })
    }

    /// The token for a Secret of this name.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub(crate) fn lasting(&self, holder: Holder, secret: &str) -> Result<String, KeyError> {
        self.sign(&Claims::Lasting {
            iss: LASTING_ISSUER.to_owned(),
            sub: user_name(&holder),
            namespace: holder.namespace,
            secret: secret.to_owned(),
            name: holder.serviceaccount.name,
            uid: holder.serviceaccount.uid,
        })
    }

    fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        self.key.sign(&json!(claims))
    }

    /// Whose token this is, and which of the wanted audiences it is made for. No wanted audiences
    /// means this server.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub(crate) async fn authenticate(
        &self,
        token: &str,
        wanted: &[String],
    ) -> Result<(UserInfo, Vec<String>), TokenError> {
        let claims = self.keys().find_map(|key| key.verify(token));
        let claims = claims.ok_or(TokenError::Foreign)?;
        let claims = serde_json::from_value(claims).map_err(|_| TokenError::Foreign)?;
        match claims {
            Claims::Bound {
                iss,
                aud,
                iat,
                nbf,
                exp,
                jti,
                holder,
                ..
            } if iss == self.issuer => {
                let now = self.store.now().as_second();
                check_times(now, nbf, exp)?;
                let audiences = self.meant(Some(aud), wanted)?;
                let young = now < iat.saturating_add(YOUNG);
                self.check_account(&holder, young).await?;
                if let Some(secret) = &holder.secret {
                    let found = self.find("secrets", &holder.namespace, &secret.name, young);
                    let found = found.await?.ok_or_else(|| refused(INVALIDATED))?;
                    let claim = "service account secret ref claim";
                    check_uid("secret", &found, claim, &secret.uid)?;
                }
                let mut user = user(&holder);
                let credential = vec![format!("JTI={jti}")];
                user.extra.insert(CREDENTIAL_ID.to_owned(), credential);
                Ok((user, audiences))
            }
            Claims::Lasting {
                iss,
                namespace,
                secret,
                name,
                uid,
                ..
            } if iss == LASTING_ISSUER => {
                let audiences = self.meant(None, wanted)?;
                let holder = Holder {
                    namespace,
                    serviceaccount: Reference { name, uid },
                    secret: None,
                };
                let kept = self.find("secrets", &holder.namespace, &secret, false);
                let kept = kept.await?.ok_or_else(|| refused(INVALIDATED))?;
                if kept["data"]["token"] != BASE64_STANDARD.encode(token) {
                    return Err(refused("token does not match server's copy"));
                }
                self.check_account(&holder, false).await?;
                Ok((user(&holder), audiences))
            }
            _ => Err(TokenError::Foreign),
        }
    }

    /// Those of the audiences of a token that are asked for. Where either names none, it is this
    /// server.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn meant(
        &self,
        of_token: Option<Vec<String>>,
        wanted: &[String],
    ) -> Result<Vec<String>, TokenError> {
        let own = [self.issuer.clone()];
        let of_token = of_token.unwrap_or_else(|| own.to_vec());
        let wanted = if wanted.is_empty() { &own } else { wanted };
        let common = of_token.iter().filter(|one| wanted.contains(one));
        let common: Vec<String> = common.cloned().collect();
        if common.is_empty() {
            // Escaped: they are a client's words, and get into the log.
            let quoted = |list: &[String]| {
                let list: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
                list.join(" ")
            };
            let (found, wanted) = (quoted(&of_token), quoted(wanted));
            return Err(refused(format!(
                "token audiences [{found}] is invalid for the target audiences [{wanted}]"
            )));
        }
        Ok(common)
    }

    async fn check_account(&self, holder: &Holder, young: bool) -> Result<(), TokenError> {
        let Reference { name, uid } = &holder.serviceaccount;
        let found = self.find("serviceaccounts", &holder.namespace, name, young);
        let missing = || refused(format!("serviceaccounts {name:?} not found"));
        let found = found.await?.ok_or_else(missing)?;
        check_uid("service account", &found, "claim", uid)
    }

    /// An object that is there and is to stay.
    async fn find(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        young: bool,
    ) -> Result<Option<Value>, store::Error> {
        let key = Key::new(resource, namespace, name);
        let mut found = self.store.get(&key, Consistency::Cached).await?;
        if found.is_none() && young {
            found = self.store.get(&key, Consistency::Latest).await?;
        }
        let object = found.and_then(|found| serde_json::from_slice::<Value>(&found.json).ok());
        Ok(object.filter(|object| !meta::is_deleting(object)))
    }
}

fn check_times(now: i64, nbf: i64, exp: i64) -> Result<(), TokenError> {
    if now.saturating_sub(LEEWAY) > exp {
        return Err(refused("service account token has expired"));
    }
    if now.saturating_add(LEEWAY) < nbf {
        return Err(refused("service account token is not valid yet"));
    }
    Ok(())
}

fn check_uid(what: &str, found: &Value, claim: &str, claimed: &str) -> Result<(), TokenError> {
    let uid = meta::text(found, "uid");
    if uid == claimed {
        return Ok(());
    }
    Err(refused(format!(
        "{what} UID ({uid}) does not match {claim} ({claimed})"
    )))
}

fn user_name(holder: &Holder) -> String {
    let (namespace, name) = (&holder.namespace, &holder.serviceaccount.name);
    format!("{ACCOUNT_PREFIX}{namespace}:{name}")
}

fn user(holder: &Holder) -> UserInfo {
    let own = format!("system:serviceaccounts:{}", holder.namespace);
    let groups = ["system:serviceaccounts", &own];
    UserInfo {
        uid: Some(holder.serviceaccount.uid.clone()),
        ..UserInfo::new(&user_name(holder), &groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_leeway() {
        let cases = [
            (1000, true),
            (939, false),
            (940, true),
            (1660, true),
            (1661, false),
        ];
        for (now, counts) in cases {
            assert_eq!(check_times(now, 1000, 1600).is_ok(), counts, "{now}");
        }
    }
}

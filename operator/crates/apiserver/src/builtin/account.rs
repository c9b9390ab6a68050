//! What every namespace has for those who run in it, and the tokens that stand in Secrets.
//!
//! A loop over the store's watches keeps true, as Kubernetes' controllers do: every namespace that
//! is there to stay has the service account `default`, and the authority by which the server is
//! known (`kube-root-ca.crt`); every Secret of the type `kubernetes.io/service-account-token` holds
//! a token of the account that it names, and goes with that account.
//!
//! Any number of processes may run it: each write is for the revision that was looked at, and says
//! nothing that another process would take back. Operators with authorities of their own each add
//! theirs to the published ones.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use store::{
    Consistency, Expect, Filter, Key, ListQuery, Object, Op, WatchEvent, WatchFrom, WatchQuery,
    Write, WriteError,
};
use tokio_util::sync::CancellationToken;

use super::namespace::{self, parse};
use super::secret::{ACCOUNT_NAME, ACCOUNT_TOKEN};
use crate::admission::quota;
use crate::authn::{Holder, Reference};
use crate::handlers::{DeleteOptions, delete_stored};
use crate::meta;
use crate::registry::{ResourceDef, Strategy};
use crate::server::ApiServer;
use crate::status_error::{ApiError, Subject};

/// See the module.
pub(super) struct AccountStrategy;

impl Strategy for AccountStrategy {
    fn tracks_generation(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }
}

const DEFAULT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// Key of the authority in ConfigMaps and Secrets.
const CA: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const ABOUT_CA: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
/// Pause after the store did not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Changes that are looked at together.
const TOGETHER: usize = 1024;

/// The loop; ends when cancelled.
pub(crate) async fn run(server: ApiServer, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Some(Err(error)) = cancel.run_until_cancelled(follow(&server)).await {
            tracing::warn!(%error, "cannot look after service accounts, trying again");
        }
        let _ = cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
}

/// Ends when one of the watches ends.
async fn follow(server: &ApiServer) -> Result<(), ApiError> {
    let root: Filter = Arc::new(|object| &*object.key.name == ROOT_CA);
    let mut watches = Vec::new();
    for (resource, filter) in [
        ("namespaces", None),
        ("serviceaccounts", None),
        ("secrets", Some(holds_token())),
        ("configmaps", Some(root)),
    ] {
        let query = WatchQuery {
            resource: resource.into(),
            namespace: None,
            filter,
            from: WatchFrom::Now,
            bookmarks: false,
        };
        let watcher = server.inner.store.watch(query).await?;
        let events = stream::unfold(watcher, async |mut watcher| {
            Some((watcher.next().await, watcher))
        });
        watches.push(events.boxed());
    }
    let mut events = stream::select_all(watches).ready_chunks(TOGETHER);
    while let Some(chunk) = events.next().await {
        let ended = chunk.iter().any(Option::is_none);
        let changed: BTreeSet<_> = chunk.into_iter().flatten().filter_map(place).collect();
        for namespace in changed {
            look_after(server, &namespace).await?;
        }
        if ended {
            break;
        }
    }
    Ok(())
}

/// The namespace that an event is about.
fn place(event: WatchEvent) -> Option<Arc<str>> {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            let key = &object.key;
            let is_namespace = key.namespace.is_empty();
            Some(
                if is_namespace {
                    &key.name
                } else {
                    &key.namespace
                }
                .clone(),
            )
        }
        WatchEvent::Bookmark(_) | WatchEvent::InitialEventsEnd(_) => None,
    }
}

/// Lets only Secrets through that are to hold a token.
fn holds_token() -> Filter {
    Arc::new(|object| {
        let named = str::from_utf8(&object.json).is_ok_and(|json| json.contains(ACCOUNT_TOKEN));
        named && parse(&object.json).is_ok_and(|secret| secret["type"] == ACCOUNT_TOKEN)
    })
}

async fn look_after(server: &ApiServer, namespace: &str) -> Result<(), ApiError> {
    let subject = Subject::default();
    match namespace::guard(server, &subject, namespace).await {
        Ok(guard) => {
            let account = json!({"kind": "ServiceAccount", "apiVersion": "v1"});
            ensure(server, "serviceaccounts", DEFAULT, &guard, account).await?;
            publish(server, &guard).await?;
        }
        Err(ApiError::NotFound(_) | ApiError::NamespaceTerminating { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let query = ListQuery {
        resource: "secrets".into(),
        namespace: Some(namespace.into()),
        filter: Some(holds_token()),
        at: Consistency::Cached,
        after: None,
        limit: None,
    };
    for secret in server.inner.store.list(query).await?.objects {
        settle(server, &secret).await?;
    }
    Ok(())
}

type Guard = (Key, Expect);

fn definition(server: &ApiServer, plural: &str) -> Result<Arc<ResourceDef>, ApiError> {
    let snapshot = server.inner.registry.snapshot();
    let found = snapshot.find("", "v1", plural);
    found.cloned().ok_or(ApiError::NoSuchPath)
}

/// The object, made where it is missing.
async fn ensure(
    server: &ApiServer,
    plural: &str,
    name: &str,
    guard: &Guard,
    mut object: Value,
) -> Result<Option<Arc<Object>>, ApiError> {
    let namespace = guard.0.name.clone();
    let key = Key::new(plural, namespace.clone(), name);
    let found = server.inner.store.get(&key, Consistency::Cached).await?;
    if found.is_some() {
        return Ok(found);
    }
    object["metadata"]["name"] = json!(name);
    let def = definition(server, plural)?;
    meta::fill_new(&mut object, &def, &namespace, &meta::now())?;
    put(server, &def, None, object, vec![guard.clone()]).await?;
    Ok(None)
}

/// The authority by which clients know this server, where it is known.
async fn publish(server: &ApiServer, guard: &Guard) -> Result<(), ApiError> {
    let Some(ca) = &server.inner.config.service_accounts.root_ca else {
        return Ok(());
    };
    let new = json!({
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"annotations": {DESCRIPTION: ABOUT_CA}},
        "data": {CA: ca},
    });
    let Some(found) = ensure(server, "configmaps", ROOT_CA, guard, new).await? else {
        return Ok(());
    };
    let mut object = parse(&found.json)?;
    let there = object["data"][CA].as_str().unwrap_or_default();
    if there.contains(ca.trim()) || meta::is_deleting(&object) {
        return Ok(());
    }
    object["data"][CA] = json!(with(there, ca));
    let def = definition(server, "configmaps")?;
    put(server, &def, Some(&found), object, Vec::new()).await
}

fn with(there: &str, ca: &str) -> String {
    format!("{}\n{}\n", there.trim(), ca.trim())
        .trim_start()
        .to_owned()
}

/// Writes over `current`, while it is as it was seen; whoever was faster made an event that is looked
/// at. What a quota does not allow waits for the next change in the namespace.
async fn put(
    server: &ApiServer,
    def: &ResourceDef,
    current: Option<&Object>,
    object: Value,
    guards: Vec<Guard>,
) -> Result<(), ApiError> {
    let key = Key::new(
        def.storage.clone(),
        meta::text(&object, "namespace"),
        meta::name(&object),
    );
    let seen = |current: &Object| Expect::Revision(current.revision);
    let write = Write {
        expect: current.map_or(Expect::Absent, seen),
        op: Op::Put(object),
        key,
        guards,
    };
    match quota::commit(server, def, current, write).await {
        Ok(Err(WriteError::Store(error))) => Err(error.into()),
        Err(error @ ApiError::Forbidden { .. }) => {
            tracing::debug!(%error, "a quota is in the way of what a namespace has");
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

/// Fills in a Secret, or removes it where its account is gone or another one.
async fn settle(server: &ApiServer, stored: &Object) -> Result<(), ApiError> {
    let old = parse(&stored.json)?;
    let annotation = |key: &str| {
        old["metadata"]["annotations"][key]
            .as_str()
            .unwrap_or_default()
    };
    let (name, uid) = (annotation(ACCOUNT_NAME), annotation(ACCOUNT_UID));
    let key = Key::new("serviceaccounts", stored.key.namespace.clone(), name);
    let store = &server.inner.store;
    let mut account = store.get(&key, Consistency::Cached).await?;
    if account.is_none() {
        // What is deleted does not come back: ask for the newest state.
        account = store.get(&key, Consistency::Latest).await?;
    }
    let account = account.map(|found| parse(&found.json)).transpose()?;
    let account = account.filter(|account| uid.is_empty() || uid == meta::text(account, "uid"));
    let def = definition(server, "secrets")?;
    let Some(account) = account else {
        let options = DeleteOptions {
            uid: Some(meta::text(&old, "uid").to_owned()),
            ..DeleteOptions::default()
        };
        return match delete_stored(server, &def, &stored.key, &options).await {
            Ok(_) | Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        };
    };
    if meta::is_deleting(&old) || meta::is_deleting(&account) || old["immutable"] == true {
        return Ok(());
    }
    let holder = Holder {
        namespace: stored.key.namespace.to_string(),
        serviceaccount: Reference {
            name: name.to_owned(),
            uid: meta::text(&account, "uid").to_owned(),
        },
        secret: None,
    };
    let new = filled(server, &old, holder)?;
    if new == old {
        return Ok(());
    }
    put(server, &def, Some(stored), new, Vec::new()).await
}

/// A Secret with everything that is missing in it.
fn filled(server: &ApiServer, old: &Value, holder: Holder) -> Result<Value, ApiError> {
    let mut new = old.clone();
    new["metadata"]["annotations"][ACCOUNT_UID] = json!(holder.serviceaccount.uid);
    if !new["data"].is_object() {
        new["data"] = json!({});
    }
    let data = &mut new["data"];
    let text = |value: &Value| {
        let bytes = BASE64_STANDARD.decode(value.as_str().unwrap_or_default());
        String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    };
    data["namespace"] = json!(BASE64_STANDARD.encode(&holder.namespace));
    if let Some(ca) = &server.inner.config.service_accounts.root_ca {
        let there = text(&data[CA]);
        if !there.contains(ca.trim()) {
            data[CA] = json!(BASE64_STANDARD.encode(with(&there, ca)));
        }
    }
    if text(&data["token"]).is_empty() {
        let tokens = &server.inner.authenticator.tokens;
        let token = tokens.lasting(holder, meta::name(old));
        let token = token.map_err(|error| ApiError::Internal(error.to_string()))?;
        data["token"] = json!(BASE64_STANDARD.encode(token));
    }
    Ok(new)
}

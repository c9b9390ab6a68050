//! The sums that quotas keep: read, taken, stored, and the loop that looks after them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::units::QuantityError;
use serde_json::{Value, json};
use store::{
    Consistency, Expect, ListQuery, Object, Op, WatchEvent, WatchFrom, WatchQuery, Write,
    WriteError,
};
use tokio_util::sync::CancellationToken;

use super::Amount;
use super::usage::{Measure, Workload};
use crate::server::ApiServer;
use crate::status_error::ApiError;

/// Collection in the store.
pub(super) const QUOTAS: &str = "resourcequotas";
/// How often a sum is taken anew before it is left to others. Every round means that another process
/// got through.
pub(super) const ATTEMPTS: usize = 64;
/// Pause after the store did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// The amounts of a field of a quota, by name.
pub(super) type Amounts = BTreeMap<String, Amount>;

/// A stored quota.
pub(super) struct Quota {
    pub(super) name: String,
    pub(super) hard: Amounts,
    /// `None` where the sum was not taken since `hard` changed.
    pub(super) used: Option<Amounts>,
    object: Value,
}

impl Quota {
    pub(super) fn read(stored: &Object) -> Result<Self, ApiError> {
        let object = read(stored)?;
        let hard = amounts(&object["spec"]["hard"])?;
        // What a client wrote there may be anything.
        let status = |field: &str| amounts(&object["status"][field]).ok();
        let counted = status("hard").is_some_and(|counted| counted == hard);
        let used = status("used").filter(|used| counted && used.keys().eq(hard.keys()));
        Ok(Self {
            name: stored.key.name.to_string(),
            hard,
            used,
            object,
        })
    }

    /// Is there room for what is more, of what it is more?
    pub(super) fn allow(&self, used: &Amounts, more: &Amounts) -> Result<(), String> {
        let of = |amounts: &Amounts, name: &str| amounts.get(name).copied().unwrap_or_default();
        let exceeded = more.iter().filter(|(name, more)| {
            **more > Amount::default() && of(used, name) + **more > of(&self.hard, name)
        });
        let exceeded: Vec<&String> = exceeded.map(|(name, _)| name).collect();
        if exceeded.is_empty() {
            return Ok(());
        }
        let list = |amounts: &Amounts| {
            let items = exceeded
                .iter()
                .map(|name| format!("{name}={}", of(amounts, name)));
            items.collect::<Vec<_>>().join(",")
        };
        Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            self.name,
            list(more),
            list(used),
            list(&self.hard)
        ))
    }

    pub(super) fn with_used(mut self, used: &Amounts) -> Value {
        let used: BTreeMap<_, _> = used
            .iter()
            .map(|(name, used)| (name, used.to_string()))
            .collect();
        self.object["status"] = match used.is_empty() {
            true => json!({}),
            false => json!({"hard": self.object["spec"]["hard"], "used": used}),
        };
        self.object
    }
}

/// The quotas of a namespace, as this process knows them.
pub(super) async fn quotas(
    server: &ApiServer,
    namespace: &Arc<str>,
) -> Result<Vec<Arc<Object>>, ApiError> {
    collection(server, QUOTAS.into(), namespace, Consistency::Cached).await
}

async fn collection(
    server: &ApiServer,
    resource: Arc<str>,
    namespace: &Arc<str>,
    at: Consistency,
) -> Result<Vec<Arc<Object>>, ApiError> {
    let query = ListQuery {
        resource,
        namespace: Some(namespace.clone()),
        filter: None,
        at,
        after: None,
        limit: None,
    };
    Ok(server.inner.store.list(query).await?.objects)
}

/// Takes the sum: true at the revision of the quota and at every later one until the quota changes.
pub(super) async fn count(
    server: &ApiServer,
    quota: &Object,
    hard: &Amounts,
) -> Result<Amounts, ApiError> {
    let store = &server.inner.store;
    let known = Consistency::NotOlderThan(quota.revision);
    store.get(&quota.key, known).await?;
    let at = Consistency::Exact(store.revision());
    let snapshot = server.inner.registry.snapshot();
    let space = &quota.key.namespace;
    let mut workloads = Vec::new();
    for def in snapshot.stored().filter(|def| def.strategy.runs_tasks()) {
        for object in collection(server, def.storage.clone(), space, at).await? {
            workloads.push(Workload::parse(&object.json).map_err(unreadable)?);
        }
    }
    let mut sums = Amounts::new();
    for name in hard.keys() {
        let mut sum = Amount::default();
        match Measure::of(name, &snapshot) {
            Some(Measure::Objects(resource)) => {
                let objects = collection(server, resource, space, at).await?;
                sum = Amount::count(objects.len() as i128);
            }
            Some(measure) => {
                for workload in &workloads {
                    sum = sum + workload.takes(&measure).map_err(unreadable)?;
                }
            }
            // A kind that is not served, or not any more, has no objects.
            None => {}
        }
        sums.insert(name.clone(), sum);
    }
    Ok(sums)
}

/// Stores the sum of a quota where it is not what it says; the quota as it is then.
async fn settle(server: &ApiServer, quota: Arc<Object>) -> Result<Arc<Object>, ApiError> {
    let mut quota = quota;
    for _ in 0..ATTEMPTS {
        let found = Quota::read(&quota)?;
        let used = count(server, &quota, &found.hard).await?;
        let before = found.object["status"].clone();
        let object = found.with_used(&used);
        if object["status"] == before {
            break;
        }
        let write = Write {
            key: quota.key.clone(),
            expect: Expect::Revision(quota.revision),
            op: Op::Put(object),
            guards: Vec::new(),
        };
        match server.inner.store.commit(write).await {
            Ok(stored) => return Ok(stored),
            Err(WriteError::Conflict {
                current: Some(newer),
            }) => quota = newer,
            Err(WriteError::Store(error)) => return Err(error.into()),
            // Gone.
            Err(_) => break,
        }
    }
    Ok(quota)
}

/// The quota with its sum. It is stored either way, and the loop makes up for a sum that is not.
pub(super) async fn counted(server: &ApiServer, quota: Arc<Object>) -> Arc<Object> {
    match settle(server, quota.clone()).await {
        Ok(settled) => settled,
        Err(error) => {
            tracing::warn!(%error, key = %quota.key, "cannot count what a quota bounds, trying again");
            quota
        }
    }
}

/// The loop: counts anew at the start, and whatever a process that died did not count.
pub(crate) async fn run(server: ApiServer, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Some(Err(error)) = cancel.run_until_cancelled(follow(&server)).await {
            tracing::warn!(%error, "cannot follow quotas, trying again");
        }
        let _ = cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
}

/// Ends when the watch ends.
async fn follow(server: &ApiServer) -> Result<(), ApiError> {
    let query = WatchQuery {
        resource: QUOTAS.into(),
        namespace: None,
        filter: None,
        from: WatchFrom::Now,
        bookmarks: false,
    };
    let mut watcher = server.inner.store.watch(query).await?;
    while let Some(event) = watcher.next().await {
        let (quota, anew) = match event {
            WatchEvent::Added(quota) => (quota, true),
            WatchEvent::Modified(quota) => (quota, false),
            _ => continue,
        };
        if anew || Quota::read(&quota)?.used.is_none() {
            let _turn = server
                .inner
                .quota_turns
                .of(&quota.key.namespace)
                .lock()
                .await;
            settle(server, quota).await?;
        }
    }
    Ok(())
}

fn amounts(list: &Value) -> Result<Amounts, ApiError> {
    let items = list.as_object().into_iter().flatten();
    let read = |(name, value): (&String, &Value)| Ok((name.clone(), Amount::read(value)?));
    items
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|error: QuantityError| unreadable(error))
}

pub(super) fn read(object: &Object) -> Result<Value, ApiError> {
    serde_json::from_slice(&object.json).map_err(unreadable)
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(format!("a stored object cannot be read: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use store::Key;

    use super::*;

    fn quota(object: Value) -> Quota {
        let key = Key::new(QUOTAS, "shop", "q");
        Quota::read(&Object::from_value(key, 1, object).unwrap()).unwrap()
    }

    #[test]
    fn what_exceeds_is_told_as_in_kubernetes() {
        let hard = json!({"cpu": "2", "limits.memory": "1Gi", "pods": "3"});
        let quota = quota(json!({"metadata": {}, "spec": {"hard": hard}}));
        let list = |cpu: &str, memory: &str, pods: &str| {
            amounts(&json!({"cpu": cpu, "limits.memory": memory, "pods": pods})).unwrap()
        };
        let used = list("1500m", "1Gi", "5");
        for (more, expected) in [
            (list("500m", "0", "0"), None),
            (list("-1", "-1Gi", "-9"), None),
            // Who takes less of what is exceeded is let through.
            (list("500m", "0", "-1"), None),
            (
                list("501m", "0", "-1"),
                Some("requested: cpu=501m, used: cpu=1500m, limited: cpu=2"),
            ),
            (
                list("500m", "1Mi", "1"),
                Some(
                    "requested: limits.memory=1Mi,pods=1, used: limits.memory=1Gi,pods=5, limited: limits.memory=1Gi,pods=3",
                ),
            ),
        ] {
            let expected = expected.map(|text| format!("exceeded quota: q, {text}"));
            assert_eq!(quota.allow(&used, &more).err(), expected);
        }
    }

    #[test]
    fn a_sum_is_known_of_what_was_counted() {
        let known = |status: Value| {
            let spec = json!({"hard": {"cpu": "2", "pods": 3}});
            let read = quota(json!({"metadata": {}, "spec": spec, "status": status}));
            read.used.is_some()
        };
        let used = json!({"cpu": "1", "pods": "0"});
        assert!(known(
            json!({"hard": {"cpu": "2000m", "pods": "3"}, "used": used})
        ));
        for status in [
            json!({}),
            json!({"hard": {"cpu": "2", "pods": "4"}, "used": used}),
            json!({"hard": {"cpu": "2", "pods": "3"}, "used": {"cpu": "1"}}),
            json!({"hard": {"cpu": "2", "pods": "3"}, "used": {"cpu": "much", "pods": "0"}}),
        ] {
            assert!(!known(status.clone()), "{status}");
        }
        let empty = quota(json!({"metadata": {}, "status": {}}));
        assert_eq!(empty.used, Some(Amounts::new()));
        assert_eq!(empty.with_used(&Amounts::new())["status"], json!({}));
    }
}

//! The Pods of the API: one per task, written where they differ, by nobody else.
//!
//! # Guarantees
//! - What is shown is a function of what is observed and of the Deployments: a start, another
//!   leader or a deleted Pod end in the same objects with the same uids.
//! - A Pod that is as it should be is not written. Of a slot in a crash loop a Pod is written at
//!   most once in [`PACE`]; that it is not ready is true all the while.
//! - While the Swarm does not answer, every Pod says so.
//!
//! # Errors
//! A write that finds something else than was last read makes everything be read anew; one that
//! the API server refuses is logged, and tried again when the Pod changes or is read anew.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api_types::{Deployment, labels};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use plan::model::Snapshot;
use plan::node::bind;
use plan::pod::{Pods, Shown, View, slot_of, unknown};
use plan::route::ObjectKey;
use swarm::Observation;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{Error, Spoken};
use crate::triggers::digest;

/// Changes that come within this time of each other are written together: a task that starts
/// passes through several states in a second.
const GATHER: Duration = Duration::from_millis(500);
/// Time between two tries while the API server does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Pods are read again this often, in case one was deleted or a write was refused.
const RELOAD: Duration = Duration::from_secs(300);
/// Of a slot in a crash loop, time between two writes.
const PACE: Duration = Duration::from_secs(10);
/// Writes at the same time: the store writes what comes together in one transaction.
const CONCURRENCY: usize = 16;
/// Pods per page when all are read.
const PAGE: u32 = 500;

/// Keeps the Pods true. Ends with the process.
pub(crate) async fn show(context: Arc<Context>) {
    let mut observations = context.swarm.observations();
    let mut changes = context.resolver.changes();
    if !context.deployments.complete().await || !context.nodes.complete().await {
        return;
    }
    let mut reload = tokio::time::interval(RELOAD);
    reload.reset();
    let mut stored = Stored::Unread;
    loop {
        let observation = observations.borrow_and_update().clone();
        changes.mark_unchanged();
        let recheck = match pass(&context, &observation, &mut stored).await {
            Ok(recheck) => recheck.unwrap_or(RELOAD),
            Err(error) => {
                if is_usual(&error) {
                    tracing::debug!("{error}; reading all Pods again");
                } else {
                    tracing::warn!("{error}; reading all Pods again");
                }
                stored = Stored::Unread;
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        tokio::select! {
            changed = observations.changed() => if changed.is_err() { return },
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(recheck) => {}
            _ = reload.tick() => stored = Stored::Unread,
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// What is known of the stored Pods.
enum Stored {
    /// Nothing.
    Unread,
    /// All say that the Swarm does not answer.
    Doubtful,
    /// These, by Deployment.
    Known(BTreeMap<ObjectKey, Kept>),
}

/// The stored Pods of one Deployment.
#[derive(Default)]
struct Kept {
    /// What they were made from; `None` makes them anew.
    input: Option<u64>,
    /// By name.
    pods: BTreeMap<String, Entry>,
}

/// One stored Pod.
#[derive(Clone, Debug, Default)]
struct Entry {
    digest: u64,
    /// `metadata.resourceVersion`
    version: String,
    /// When it was written as one of a crash loop.
    looping: Option<Instant>,
}

/// One look; when to look again without a change.
async fn pass(
    context: &Context,
    observation: &Observation,
    stored: &mut Stored,
) -> Result<Option<Duration>, Error> {
    let snapshot = match (observation, &*stored) {
        (Observation::Unknown { .. }, Stored::Doubtful) => return Ok(None),
        (Observation::Unknown { reason, .. }, _) => {
            doubt(context, reason).await?;
            *stored = Stored::Doubtful;
            return Ok(None);
        }
        (Observation::Known(snapshot), _) => snapshot,
    };
    if !matches!(stored, Stored::Known(_)) {
        *stored = Stored::Known(read(context).await?);
    }
    let Stored::Known(known) = stored else {
        return Ok(None);
    };
    let (writes, recheck) = compare(context, snapshot, known);
    write(context, known, writes).await?;
    Ok(recheck)
}

/// Says of all Pods that nothing is known of them.
async fn doubt(context: &Context, why: &str) -> Result<(), Error> {
    let mut next = Some(String::new());
    while let Some(token) = next {
        let (pods, more) = page(context, &token).await?;
        let mut writes = Vec::new();
        for mut pod in pods {
            let have = entry(&pod, false);
            unknown(&mut pod, why);
            if content(&pod) != have.digest {
                writes.push(Write {
                    key: owner(&pod),
                    name: pod.name_any(),
                    wanted: Some(Shown {
                        pod,
                        looping: false,
                    }),
                    have: Some(have),
                });
            }
        }
        write(context, &mut BTreeMap::new(), writes).await?;
        next = more;
    }
    Ok(())
}

/// Reads what there is.
async fn read(context: &Context) -> Result<BTreeMap<ObjectKey, Kept>, Error> {
    let mut known: BTreeMap<ObjectKey, Kept> = BTreeMap::new();
    let mut next = Some(String::new());
    while let Some(token) = next {
        let (pods, more) = page(context, &token).await?;
        for pod in pods {
            let kept = known.entry(owner(&pod)).or_default();
            kept.pods.insert(pod.name_any(), entry(&pod, false));
        }
        next = more;
    }
    Ok(known)
}

/// Some of all Pods, and where they go on.
async fn page(context: &Context, token: &str) -> Result<(Vec<Pod>, Option<String>), Error> {
    let api: Api<Pod> = Api::all(context.client.clone());
    let page = ListParams::default().limit(PAGE).continue_token(token);
    let list = api.list(&page).await.map_err(Error::api("list Pods"))?;
    let more = list.metadata.continue_.filter(|token| !token.is_empty());
    Ok((list.items, more))
}

/// One write that is due.
struct Write {
    key: ObjectKey,
    name: String,
    /// What is to be; `None`: nothing.
    wanted: Option<Shown>,
    /// What is; `None`: nothing.
    have: Option<Entry>,
}

/// What is to be written, and when to look again without a change. Takes up what was compared.
fn compare(
    context: &Context,
    snapshot: &Snapshot,
    known: &mut BTreeMap<ObjectKey, Kept>,
) -> (Vec<Write>, Option<Duration>) {
    let nodes = context.nodes.state();
    let bindings = bind(nodes.iter().map(Arc::as_ref), &snapshot.nodes);
    let view = View::new(snapshot, &bindings);
    let in_swarm = digest(snapshot);
    let nodes = hash(&bindings.names());
    let (mut writes, mut recheck) = (Vec::new(), None::<Duration>);
    let mut gone: Vec<ObjectKey> = known.keys().cloned().collect();
    gone.sort();
    for deployment in context.deployments.state() {
        let Some(key) = key_of(&deployment) else {
            continue;
        };
        if let Ok(at) = gone.binary_search(&key) {
            gone.remove(at);
        }
        let input = hash(&(nodes, of_swarm(&in_swarm, &key), of_object(&deployment)));
        let kept = known.entry(key.clone()).or_default();
        if kept.input == Some(input) {
            continue;
        }
        let pods = view.pods(&deployment, context.now());
        let deleting = deployment.metadata.deletion_timestamp.is_some();
        let (due, later) = differences(&key, kept, pods, deleting, Instant::now());
        kept.input = later.is_none().then_some(input);
        writes.extend(due);
        recheck = recheck.into_iter().chain(later).min();
    }
    for key in gone {
        // Their Deployment is gone. The garbage collector knows, unless it was told to orphan them.
        let pods = known.remove(&key).unwrap_or_default().pods;
        writes.extend(pods.into_iter().map(|(name, have)| Write {
            key: key.clone(),
            name,
            wanted: None,
            have: Some(have),
        }));
    }
    (writes, recheck)
}

/// What differs of one Deployment, and when to look at it again without a change.
fn differences(
    key: &ObjectKey,
    kept: &Kept,
    pods: Pods,
    deleting: bool,
    now: Instant,
) -> (Vec<Write>, Option<Duration>) {
    let Pods {
        pods: mut wanted,
        mut recheck,
    } = pods;
    let resting = resting(kept, &wanted, now);
    let mut writes = Vec::new();
    let mut due = |name: &str, wanted: Option<Shown>, have: Option<&Entry>| match resting
        .get(slot_of(name))
    {
        Some(rest) => recheck = recheck.into_iter().chain([*rest]).min(),
        None => writes.push(Write {
            key: key.clone(),
            name: name.to_owned(),
            wanted,
            have: have.cloned(),
        }),
    };
    for (name, have) in &kept.pods {
        match wanted.remove(name) {
            None => due(name, None, Some(have)),
            Some(shown) if content(&shown.pod) != have.digest => due(name, Some(shown), Some(have)),
            Some(_) => {}
        }
    }
    // Who deletes dependents first, or a whole namespace, does not want new ones.
    for (name, shown) in wanted.into_iter().filter(|_| !deleting) {
        due(&name, Some(shown), None);
    }
    (writes, recheck)
}

/// Slots that are left as they are, and how long: what is stored of them says that they are in a
/// crash loop, was just written, and they still are.
fn resting(
    kept: &Kept,
    wanted: &BTreeMap<String, Shown>,
    now: Instant,
) -> BTreeMap<String, Duration> {
    let mut looping: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, shown) in wanted {
        *looping.entry(slot_of(name)).or_insert(true) &= shown.looping;
    }
    let mut slots: BTreeMap<&str, Option<Duration>> = BTreeMap::new();
    for (name, entry) in &kept.pods {
        let rest = entry.looping.and_then(|at| PACE.checked_sub(now - at));
        let slot = slots.entry(slot_of(name)).or_insert(rest);
        *slot = rest.min(*slot);
    }
    let rests = slots.into_iter().filter_map(|(slot, rest)| {
        let still = looping.get(slot).copied().unwrap_or(false);
        Some((slot.to_owned(), rest.filter(|_| still)?))
    });
    rests.collect()
}

/// Does all of it, and takes up what came of it.
async fn write(
    context: &Context,
    known: &mut BTreeMap<ObjectKey, Kept>,
    writes: Vec<Write>,
) -> Result<(), Error> {
    let mut done = futures::stream::iter(writes)
        .map(|write| async move {
            let outcome = write_one(context, &write).await;
            (write, outcome)
        })
        .buffer_unordered(CONCURRENCY);
    let mut failed = None;
    while let Some((write, outcome)) = done.next().await {
        match outcome {
            Ok(entry) => {
                let Some(kept) = known.get_mut(&write.key) else {
                    continue;
                };
                match entry {
                    Some(entry) => kept.pods.insert(write.name, entry),
                    None => kept.pods.remove(&write.name),
                };
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Writes one Pod; what is stored then.
async fn write_one(context: &Context, write: &Write) -> Result<Option<Entry>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &write.key.namespace);
    let params = PostParams::default();
    context.metrics.pod_writes.inc();
    let written = match (&write.wanted, &write.have) {
        (Some(Shown { pod, .. }), None) => api.create(&params, pod).await,
        (Some(Shown { pod, .. }), Some(have)) => {
            let mut pod = pod.clone();
            pod.metadata.resource_version = Some(have.version.clone());
            api.replace(&write.name, &params, &pod).await
        }
        (None, have) => {
            let version = have.as_ref().map(|have| have.version.clone());
            let only = DeleteParams::default().preconditions(Preconditions {
                resource_version: version,
                uid: None,
            });
            return match api.delete(&write.name, &only).await {
                Err(kube::Error::Api(status)) if !status.is_not_found() => {
                    Err(Error::api("delete a Pod")(kube::Error::Api(status)))
                }
                Err(kube::Error::Api(_)) | Ok(_) => Ok(None),
                Err(error) => Err(Error::api("delete a Pod")(error)),
            };
        }
    };
    let Some(shown) = &write.wanted else {
        return Ok(None);
    };
    match written {
        Ok(stored) => Ok(Some(Entry {
            version: stored.resource_version().unwrap_or_default(),
            ..entry(&shown.pod, shown.looping)
        })),
        Err(error) if is_refusal(&error) => {
            refused(write, &error);
            Ok(write.have.clone())
        }
        Err(error) => Err(Error::api("write a Pod")(error)),
    }
}

/// Is it that somebody else wrote a Pod, such as the leader before or the end of a namespace?
fn is_usual(error: &Error) -> bool {
    let Error::Api { source, .. } = error else {
        return false;
    };
    matches!(source, kube::Error::Api(status) if [404, 409].contains(&status.code))
}

/// Would it be refused again?
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if [403, 413, 422].contains(&status.code))
}

fn refused(write: &Write, error: &kube::Error) {
    let (Write { key, name, .. }, error) = (write, Spoken(error));
    if error.in_terminating_namespace() {
        tracing::debug!(namespace = key.namespace, pod = name, "{error}");
    } else {
        tracing::warn!(
            namespace = key.namespace,
            pod = name,
            "a Pod was refused: {error}"
        );
    }
}

fn entry(pod: &Pod, looping: bool) -> Entry {
    Entry {
        digest: content(pod),
        version: pod.resource_version().unwrap_or_default(),
        looping: looping.then(Instant::now),
    }
}

/// A digest of all of a Pod that we decide, as it was sent or as it is stored.
fn content(pod: &Pod) -> u64 {
    let metadata = &pod.metadata;
    let ours = (
        &metadata.labels,
        &metadata.annotations,
        &metadata.owner_references,
        &pod.spec,
        &pod.status,
    );
    // Objects of the API always serialise; if not, two would compare equal and not be written.
    hash(&serde_json::to_vec(&ours).unwrap_or_default())
}

/// All of a Deployment that its Pods show.
fn of_object(deployment: &Deployment) -> u64 {
    let metadata = &deployment.metadata;
    let ours = (&metadata.uid, metadata.generation, &metadata.labels);
    hash(&(ours, metadata.deletion_timestamp.is_some()))
}

fn of_swarm<'a>(digests: &'a HashMap<String, u64>, key: &ObjectKey) -> Option<&'a u64> {
    digests.get(&format!("{}/{}", key.namespace, key.name))
}

fn key_of(deployment: &Deployment) -> Option<ObjectKey> {
    Some(ObjectKey::new(
        deployment.namespace()?,
        deployment.metadata.name.clone()?,
    ))
}

fn owner(pod: &Pod) -> ObjectKey {
    let name = pod.labels().get(labels::POD_DEPLOYMENT).cloned();
    ObjectKey::new(
        pod.namespace().unwrap_or_default(),
        name.unwrap_or_default(),
    )
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(phase: &str, looping: bool) -> Shown {
        let pod = serde_json::json!({"metadata": {}, "status": {"phase": phase}});
        Shown {
            pod: serde_json::from_value(pod).unwrap(),
            looping,
        }
    }

    fn wanted(pods: &[(&str, &str, bool)]) -> Pods {
        let pods = pods.iter();
        Pods {
            pods: pods
                .map(|(name, phase, looping)| ((*name).to_owned(), shown(phase, *looping)))
                .collect(),
            recheck: None,
        }
    }

    /// Names of what is written, with `-` for what goes and `+` for what comes.
    fn writes(kept: &Kept, pods: Pods, deleting: bool, now: Instant) -> (Vec<String>, bool) {
        let key = ObjectKey::new("shop", "web");
        let (writes, later) = differences(&key, kept, pods, deleting, now);
        let name = |write: &Write| match (&write.wanted, &write.have) {
            (None, _) => format!("-{}", write.name),
            (_, None) => format!("+{}", write.name),
            _ => write.name.clone(),
        };
        (writes.iter().map(name).collect(), later.is_some())
    }

    fn kept(pods: &[(&str, &str, bool)]) -> Kept {
        let entries = pods.iter().map(|(name, phase, looping)| {
            let shown = shown(phase, *looping);
            ((*name).to_owned(), entry(&shown.pod, *looping))
        });
        Kept {
            input: None,
            pods: entries.collect(),
        }
    }

    #[tokio::test]
    async fn only_differences_are_written() {
        let now = Instant::now();
        let kept = kept(&[("w-1-a", "Running", false), ("w-2-b", "Running", false)]);
        let same = wanted(&[("w-1-a", "Running", false), ("w-2-b", "Running", false)]);
        assert_eq!(writes(&kept, same, false, now), (vec![], false));
        let moved = || wanted(&[("w-1-a", "Pending", false), ("w-2-c", "Running", false)]);
        let expected = ["w-1-a", "-w-2-b", "+w-2-c"].map(str::to_owned);
        assert_eq!(
            writes(&kept, moved(), false, now),
            (expected.to_vec(), false)
        );
        assert_eq!(
            writes(&kept, moved(), true, now).0,
            expected[..2],
            "nothing is made for a Deployment that goes"
        );
    }

    #[tokio::test]
    async fn a_crash_loop_is_written_at_a_pace_and_its_end_at_once() {
        let kept = kept(&[("w-1-a", "Pending", true), ("w-2-x", "Running", false)]);
        let now = Instant::now();
        let next = || wanted(&[("w-1-b", "Pending", true), ("w-2-x", "Running", false)]);
        assert_eq!(writes(&kept, next(), false, now), (vec![], true));
        let later = writes(&kept, next(), false, now + PACE).0;
        assert_eq!(later, ["-w-1-a", "+w-1-b"]);
        let settled = wanted(&[("w-1-b", "Running", false), ("w-2-x", "Running", false)]);
        assert_eq!(writes(&kept, settled, false, now).0, ["-w-1-a", "+w-1-b"]);
        let scaled = wanted(&[("w-2-x", "Running", false)]);
        assert_eq!(writes(&kept, scaled, false, now).0, ["-w-1-a"]);
        // What is stored as ready is put right at once.
        let begun = wanted(&[("w-1-a", "Pending", true), ("w-2-y", "Pending", true)]);
        assert_eq!(writes(&kept, begun, false, now).0, ["-w-2-x", "+w-2-y"]);
    }
}

//! One watch per kind, shared by its store, its controller and whoever else wants to know.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::resolver::Changes;

/// An object or tombstone from a watch.
pub(crate) type Watched<K> = Result<K, watcher::Error>;

/// All objects of a kind, as far as the watch has them.
pub(crate) struct Kept<K: Resource<DynamicType = ()> + 'static> {
    /// The objects.
    pub store: Store<K>,
    /// Has the first list been complete? (`Store::wait_until_ready` of kube-runtime 5.0 wakes only
    /// the last of several who wait.)
    listed: tokio::sync::watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Kept<K> {
    /// Waits for the first complete list; `false` when the watch has ended.
    pub async fn complete(&self) -> bool {
        self.listed.clone().wait_for(|listed| *listed).await.is_ok()
    }
}

impl<K: Resource<DynamicType = ()> + 'static> std::ops::Deref for Kept<K> {
    type Target = Store<K>;

    fn deref(&self) -> &Store<K> {
        &self.store
    }
}

/// Starts watching a kind of ours: its store, and the stream of changes that concern a
/// controller, each after the store has it. Changes of status do not: a controller that woke on
/// its own report would run once more for nothing (T13, T14). `forget` gets the uid of every
/// object that is gone.
pub(crate) fn objects<K>(
    client: &Client,
    changes: Arc<Changes>,
    forget: impl Fn(&str) + Send + 'static,
) -> (Kept<K>, impl Stream<Item = Watched<K>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let (complete, listed) = tokio::sync::watch::channel(false);
    let mut filter = Filter::default();
    let api = Api::<DeserializeGuard<K>>::all(client.clone());
    let watched = watch(api, watcher::Config::default()).default_backoff();
    let stream = readable(watched, reader.clone())
        .reflect(writer)
        .flat_map(move |event| {
            if matches!(event, Ok(Event::InitDone)) {
                complete.send_replace(true);
            }
            let concerning = filter.concerning(event, &forget);
            if concerning.iter().any(Result::is_ok) {
                changes.touch();
            }
            futures::stream::iter(concerning)
        });
    (
        Kept {
            store: reader,
            listed,
        },
        stream,
    )
}

/// Objects as they are read. One that is not of its type (stored under another schema) is an error
/// of its own and stops nobody else: it stays what it was when it was last read.
fn readable<K>(
    events: impl Stream<Item = Watched<Event<DeserializeGuard<K>>>> + Send + 'static,
    store: Store<K>,
) -> impl Stream<Item = Watched<Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let read = move |guard: DeserializeGuard<K>| {
        guard.0.map_or_else(
            |unreadable| {
                let metadata = unreadable.metadata;
                let object = ObjectRef::new(metadata.name.as_deref().unwrap_or_default());
                let object = match &metadata.namespace {
                    Some(namespace) => object.within(namespace),
                    None => object,
                };
                tracing::error!(%object, "cannot be read and is left as it was: {}", unreadable.error);
                store.get(&object).map(|last| (*last).clone())
            },
            Some,
        )
    };
    events.filter_map(move |event| {
        std::future::ready(match event {
            Ok(Event::Apply(guard)) => read(guard).map(Event::Apply).map(Ok),
            Ok(Event::Delete(guard)) => read(guard).map(Event::Delete).map(Ok),
            Ok(Event::InitApply(guard)) => read(guard).map(Event::InitApply).map(Ok),
            Ok(Event::Init) => Some(Ok(Event::Init)),
            Ok(Event::InitDone) => Some(Ok(Event::InitDone)),
            Err(error) => Some(Err(error)),
        })
    })
}

/// Metadata of all objects of a kind, as they change or go.
pub(crate) fn metadata<K>(client: &Client) -> impl Stream<Item = (String, String)> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch(
        Api::<PartialObjectMeta<K>>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .touched_objects()
    .filter_map(|object| std::future::ready(object.ok()))
    .map(|object| (object.namespace().unwrap_or_default(), object.name_any()))
}

/// Lets through what concerns a controller.
struct Filter<K> {
    /// A digest of what concerns, by uid.
    seen: HashMap<String, u64>,
    /// Objects of a list that is still coming in: the store has none of them before all.
    listed: Vec<K>,
}

impl<K> Default for Filter<K> {
    fn default() -> Self {
        Self {
            seen: HashMap::new(),
            listed: Vec::new(),
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Filter<K> {
    fn concerning(&mut self, event: Watched<Event<K>>, forget: impl Fn(&str)) -> Vec<Watched<K>> {
        match event {
            Ok(Event::Apply(object)) => {
                let digest = digest(&object);
                let last = self.seen.insert(object.uid().unwrap_or_default(), digest);
                if last == Some(digest) {
                    vec![]
                } else {
                    vec![Ok(object)]
                }
            }
            Ok(Event::Delete(object)) => {
                let uid = object.uid().unwrap_or_default();
                self.seen.remove(&uid);
                forget(&uid);
                vec![Ok(object)]
            }
            Ok(Event::Init) => {
                self.listed.clear();
                vec![]
            }
            Ok(Event::InitApply(object)) => {
                self.listed.push(object);
                vec![]
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed);
                let seen = listed
                    .iter()
                    .map(|object| (object.uid().unwrap_or_default(), digest(object)))
                    .collect();
                let before = std::mem::replace(&mut self.seen, seen);
                before
                    .keys()
                    .filter(|uid| !self.seen.contains_key(*uid))
                    .for_each(|uid| forget(uid));
                listed.into_iter().map(Ok).collect()
            }
            Err(error) => vec![Err(error)],
        }
    }
}

/// All of an object that a controller reads, status left out.
fn digest<K: Resource>(object: &K) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        object.meta().generation,
        object.finalizers(),
        object.annotations(),
        object.labels(),
    )
        .hash(&mut hasher);
    object.meta().deletion_timestamp.is_some().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use api_types::Deployment;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(generation: i64) -> Deployment {
        let metadata = ObjectMeta {
            uid: Some("u".into()),
            generation: Some(generation),
            ..ObjectMeta::default()
        };
        Deployment {
            metadata,
            ..Deployment::new("web", api_types::DeploymentSpec::default())
        }
    }

    #[test]
    fn a_change_of_status_concerns_nobody_and_a_new_finalizer_does() {
        let mut filter = Filter::default();
        let mut concerns = |event| !filter.concerning(Ok(event), |_| ()).is_empty();
        assert!(concerns(Event::Apply(object(1))));
        assert!(!concerns(Event::Apply(object(1))));
        assert!(concerns(Event::Apply(object(2))));
        let mut held = object(2);
        held.metadata.finalizers = Some(vec!["x".into()]);
        assert!(concerns(Event::Apply(held)));
        assert!(concerns(Event::Delete(object(2))));
        assert!(
            concerns(Event::Apply(object(2))),
            "an object that is made again is new"
        );
        assert!(!concerns(Event::Init));
        assert!(
            !concerns(Event::InitApply(object(2))),
            "the store does not have it yet"
        );
        assert!(concerns(Event::InitDone));
    }

    #[test]
    fn what_is_gone_is_forgotten_also_when_it_went_between_two_lists() {
        let mut filter = Filter::default();
        let forgotten = std::cell::RefCell::new(vec![]);
        let mut see = |event| {
            filter.concerning(Ok(event), |uid| forgotten.borrow_mut().push(uid.to_owned()));
            forgotten.take()
        };
        for event in [
            Event::Init,
            Event::InitApply(object(1)),
            Event::InitDone,
            Event::Apply(object(2)),
        ] {
            assert!(see(event).is_empty());
        }
        assert_eq!(see(Event::Delete(object(2))), ["u"]);
        assert!(see(Event::Apply(object(1))).is_empty());
        assert!(see(Event::Init).is_empty());
        assert_eq!(see(Event::InitDone), ["u"]);
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_read_stops_no_other() {
        let guard = |name: &str, image: serde_json::Value| -> DeserializeGuard<Deployment> {
            let object = serde_json::json!({
                "apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": "shop"}, "spec": {"image": image},
            });
            serde_json::from_value(object).unwrap()
        };
        let (reader, mut writer) = reflector::store();
        let mut after = async |events: Vec<Event<DeserializeGuard<Deployment>>>| {
            let events = futures::stream::iter(events.into_iter().map(Ok));
            let read = readable(events, reader.clone()).collect::<Vec<_>>().await;
            for event in read {
                writer.apply_watcher_event(&event.unwrap());
            }
            let mut seen: Vec<String> = reader
                .state()
                .iter()
                .map(|object| format!("{} {}", object.name_any(), object.spec.image))
                .collect();
            seen.sort();
            seen
        };
        let (bad, odd) = (|name| guard(name, 7.into()), guard("odd", 7.into()));
        let list = vec![
            Event::Init,
            Event::InitApply(guard("web", "a".into())),
            Event::InitApply(odd),
            Event::InitDone,
        ];
        assert_eq!(after(list).await, ["web a"]);
        let changed = vec![
            Event::Apply(bad("web")),
            Event::Apply(guard("other", "b".into())),
        ];
        assert_eq!(after(changed).await, ["other b", "web a"]);
        let again = vec![Event::Init, Event::InitApply(bad("web")), Event::InitDone];
        assert_eq!(after(again).await, ["web a"], "as it was");
        let repaired = vec![Event::Apply(guard("web", "c".into()))];
        assert_eq!(after(repaired).await, ["web c"]);
        assert!(after(vec![Event::Delete(bad("web"))]).await.is_empty());
    }
}

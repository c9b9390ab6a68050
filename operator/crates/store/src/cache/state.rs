//! The objects at the newest revision, and at recent ones.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::Change;
use super::history::{Event, History};
use crate::object::{Key, Object};

/// Namespace and name.
pub(crate) type Place = (Arc<str>, Arc<str>);
/// The objects of one collection.
pub(crate) type Collection = BTreeMap<Place, Arc<Object>>;
/// All objects by collection.
pub(crate) type Collections = HashMap<Arc<str>, Collection>;

/// See the module.
pub(crate) struct State {
    /// Rises when everything was replaced: what was taken before does not fit what comes after.
    pub(crate) generation: u64,
    pub(crate) revision: u64,
    pub(crate) history: History,
    collections: Collections,
}

impl State {
    pub(crate) fn new(history: History) -> Self {
        Self {
            generation: 0,
            revision: 0,
            history,
            collections: Collections::new(),
        }
    }

    pub(crate) fn replace(&mut self, revision: u64, collections: Collections) {
        self.generation += 1;
        self.revision = revision;
        self.history.reset(revision);
        self.collections = collections;
    }

    /// Applies the change of the next revision.
    pub(crate) fn apply(&mut self, Change { object, deleted }: Change) {
        let place = (object.key.namespace.clone(), object.key.name.clone());
        let collection = match self.collections.get_mut(&object.key.resource) {
            Some(collection) => collection,
            None => self
                .collections
                .entry(object.key.resource.clone())
                .or_default(),
        };
        let previous = if deleted {
            collection.remove(&place)
        } else {
            collection.insert(place, object.clone())
        };
        self.revision = object.revision;
        self.history.push(Event::new(object, previous, deleted));
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        let place = (key.namespace.clone(), key.name.clone());
        self.collections.get(&key.resource)?.get(&place)
    }

    /// The objects of a collection in order, of one namespace or all, after a place.
    pub(crate) fn objects<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&'a Arc<str>>,
        after: Option<&Place>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let first = namespace.map(|namespace| (namespace.clone(), Arc::from("")));
        let start = match (after, first) {
            (Some(after), Some(first)) if *after < first => Bound::Included(first),
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        self.collections
            .get(resource)
            .into_iter()
            .flat_map(move |c| c.range((start.clone(), Bound::Unbounded)))
            .take_while(move |((ns, _), _)| namespace.is_none_or(|wanted| wanted == ns))
            .map(|(_, object)| object)
    }

    /// What was at the places of a collection that changed after a revision; `None` when the
    /// history in memory does not reach back so far.
    pub(crate) fn undo(
        &self,
        resource: &str,
        revision: u64,
    ) -> Option<BTreeMap<Place, Option<Arc<Object>>>> {
        let mut undone = BTreeMap::new();
        for event in self.history.after(revision)? {
            let key = &event.object.key;
            if &*key.resource == resource {
                let place = (key.namespace.clone(), key.name.clone());
                undone
                    .entry(place)
                    .or_insert_with(|| event.previous.clone());
            }
        }
        Some(undone)
    }
}

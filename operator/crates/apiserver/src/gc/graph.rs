//! Who owns whom, kept in memory from the watch events of every collection.
//!
//! Only objects that name owners have an entry, so the graph costs nothing where nobody uses
//! owner references. It says what is worth looking at; what is then done is decided on the object
//! as it is in the store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use store::{Key, Object, WatchEvent};

use super::{FOREGROUND, ORPHAN};

/// What of an object matters here.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Item {
    #[serde(default)]
    pub(super) metadata: Meta,
}

/// See [`Item`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) uid: Arc<str>,
    pub(super) owner_references: Option<Vec<Owner>>,
    pub(super) finalizers: Option<Vec<String>>,
    deletion_timestamp: Option<String>,
}

/// One owner reference.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Owner {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: Arc<str>,
    pub(super) block_owner_deletion: Option<bool>,
}

impl Item {
    /// What is in the text of an object; an object whose metadata cannot be read owns nothing and
    /// is owned by nobody, and so is never deleted here.
    pub(super) fn read(object: &Object) -> Self {
        serde_json::from_slice(&object.json).unwrap_or_default()
    }

    pub(super) fn owners(&self) -> &[Owner] {
        self.metadata
            .owner_references
            .as_deref()
            .unwrap_or_default()
    }

    pub(super) fn has_finalizer(&self, name: &str) -> bool {
        let list = self.metadata.finalizers.as_deref().unwrap_or_default();
        list.iter().any(|found| found == name)
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Is it marked for deletion, and waits for those that it owns?
    pub(super) fn waits_for_dependents(&self) -> bool {
        self.is_deleting() && self.has_finalizer(FOREGROUND)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Objects with owners: uid and "does it hold the owner" of each.
    owned: HashMap<Key, Vec<(Arc<str>, bool)>>,
    /// By uid of the owner.
    dependents: HashMap<Arc<str>, BTreeSet<Key>>,
    /// Owners that wait for their dependents, by uid.
    waiting: HashMap<Arc<str>, Key>,
    /// Owners that wait until nobody names them, by uid.
    orphaning: HashSet<Arc<str>>,
    /// What has to be looked at.
    work: BTreeSet<Key>,
}

impl Graph {
    /// Takes in a change.
    pub(super) fn apply(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.put(&object.key, &Item::read(object));
            }
            WatchEvent::Deleted(object) => self.remove(&object.key, &Item::read(object)),
            WatchEvent::Bookmark(_) | WatchEvent::InitialEventsEnd(_) => {}
        }
    }

    fn put(&mut self, key: &Key, item: &Item) {
        let owners = item.owners().iter();
        let owners: Vec<_> = owners
            .map(|owner| (owner.uid.clone(), owner.block_owner_deletion == Some(true)))
            .collect();
        if self.owned.get(key).map_or(&[][..], Vec::as_slice) != owners {
            self.unlink(key);
            for (uid, _) in &owners {
                self.dependents
                    .entry(uid.clone())
                    .or_default()
                    .insert(key.clone());
            }
            if !owners.is_empty() {
                self.owned.insert(key.clone(), owners);
                self.work.insert(key.clone());
            }
        }
        let uid = &item.metadata.uid;
        if item.waits_for_dependents() {
            if self.waiting.insert(uid.clone(), key.clone()).is_none() {
                self.work.insert(key.clone());
                self.look_at_dependents(uid);
            }
        } else {
            self.waiting.remove(uid);
        }
        if item.is_deleting() && item.has_finalizer(ORPHAN) {
            self.orphaning.insert(uid.clone());
            self.work.insert(key.clone());
        } else {
            self.orphaning.remove(uid);
        }
    }

    fn remove(&mut self, key: &Key, item: &Item) {
        self.unlink(key);
        self.waiting.remove(&item.metadata.uid);
        self.orphaning.remove(&item.metadata.uid);
        self.look_at_dependents(&item.metadata.uid);
    }

    /// Forgets the owners of an object; those that waited for it are looked at again.
    fn unlink(&mut self, key: &Key) {
        for (uid, _) in self.owned.remove(key).unwrap_or_default() {
            if let Some(keys) = self.dependents.get_mut(&uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(&uid);
                }
            }
            self.work.extend(self.waiting.get(&uid).cloned());
        }
    }

    fn look_at_dependents(&mut self, uid: &str) {
        let keys = self.dependents.get(uid).into_iter().flatten();
        self.work.extend(keys.cloned());
    }

    /// Looks at an object again.
    pub(super) fn again(&mut self, key: Key) {
        self.work.insert(key);
    }

    /// What has to be looked at; empty afterwards.
    pub(super) fn take_work(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.work)
    }

    /// Those who name this owner.
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.dependents.get(uid).into_iter().flatten()
    }

    /// Was this owner seen marked, to wait until nobody names it?
    pub(super) fn is_orphaning(&self, uid: &str) -> bool {
        self.orphaning.contains(uid)
    }

    /// Was this owner seen marked, to wait for its dependents, and does none keep it from going?
    pub(super) fn is_free(&self, uid: &str) -> bool {
        self.waiting.contains_key(uid) && !self.is_blocked(uid)
    }

    /// Does one who names this owner keep it from going?
    fn is_blocked(&self, uid: &str) -> bool {
        self.dependents(uid).any(|key| {
            let owners = self.owned.get(key).into_iter().flatten();
            owners
                .into_iter()
                .any(|(owner, block)| **owner == *uid && *block)
        })
    }

    /// Does one who names this owner wait for its own dependents? Then the owner may be among
    /// them, and both would wait for ever.
    pub(super) fn has_waiting_dependent(&self, uid: &str) -> bool {
        self.dependents(uid)
            .any(|key| self.waiting.values().any(|waiting| waiting == key))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("widgets", "default", name)
    }

    fn item(
        name: &str,
        owners: &[(&str, bool)],
        finalizers: &[&str],
        deleting: bool,
    ) -> WatchEvent {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(uid, block)| json!({"apiVersion": "v1", "kind": "W", "name": uid, "uid": uid, "blockOwnerDeletion": block}))
            .collect();
        let mut object = json!({"metadata": {"name": name, "uid": name, "ownerReferences": owners, "finalizers": finalizers}});
        if deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        WatchEvent::Modified(Object::from_value(key(name), 1, object).unwrap())
    }

    fn deleted(event: WatchEvent) -> WatchEvent {
        match event {
            WatchEvent::Modified(object) => WatchEvent::Deleted(object),
            other => other,
        }
    }

    fn work(graph: &mut Graph) -> Vec<String> {
        let keys = graph.take_work();
        keys.into_iter().map(|key| key.name.to_string()).collect()
    }

    #[test]
    fn what_is_looked_at() {
        let mut graph = Graph::default();
        graph.apply(&item("a", &[], &[], false));
        assert!(work(&mut graph).is_empty() && graph.owned.is_empty());
        graph.apply(&item("b", &[("a", true)], &[], false));
        assert_eq!(work(&mut graph), ["b"]);
        graph.apply(&item("b", &[("a", true)], &["x/y"], false));
        assert!(work(&mut graph).is_empty(), "its owners are the same");

        graph.apply(&item("a", &[], &[FOREGROUND], true));
        assert_eq!(work(&mut graph), ["a", "b"]);
        assert!(graph.is_blocked("a"));
        graph.apply(&item("b", &[("a", false)], &[], false));
        assert_eq!(work(&mut graph), ["a", "b"], "b lets go");
        assert!(!graph.is_blocked("a"));
        graph.apply(&deleted(item("b", &[("a", false)], &[], true)));
        assert_eq!(work(&mut graph), ["a"]);
        graph.apply(&deleted(item("a", &[], &[], true)));
        assert!(graph.owned.is_empty() && graph.dependents.is_empty() && graph.waiting.is_empty());
    }

    #[test]
    fn orphans_and_circles() {
        let mut graph = Graph::default();
        graph.apply(&item("a", &[("b", true)], &[], false));
        graph.apply(&item("b", &[("a", true)], &[], false));
        graph.take_work();
        // In the store it may be marked, by now: who names it may be unknown as well.
        assert!(!graph.is_free("a") && !graph.is_orphaning("a"));
        graph.apply(&item("a", &[("b", true)], &[FOREGROUND], true));
        assert_eq!(work(&mut graph), ["a", "b"]);
        assert!(graph.has_waiting_dependent("b") && !graph.has_waiting_dependent("a"));
        graph.apply(&item("c", &[], &[ORPHAN], true));
        assert_eq!(work(&mut graph), ["c"]);
        assert!(graph.is_orphaning("c"));
        graph.apply(&item("c", &[], &[FOREGROUND], true));
        assert!(!graph.is_orphaning("c") && graph.is_free("c"));
        graph.apply(&deleted(item("c", &[], &[FOREGROUND], true)));
        assert!(graph.orphaning.is_empty());
    }
}

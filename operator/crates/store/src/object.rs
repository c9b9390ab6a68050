//! Keys, stored objects and writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::error::Error;
use crate::text::Text;

/// Where an object lives: `resource` is any stable name of a collection (the API server uses
/// `group/plural`, and the bare plural for the core group).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Collection.
    pub resource: Arc<str>,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// Name, unique within resource and namespace.
    pub name: Arc<str>,
}

impl Key {
    /// A key from its parts.
    pub fn new(
        resource: impl Into<Arc<str>>,
        namespace: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.resource, self.namespace, self.name)
    }
}

/// One version of one object.
#[derive(Debug)]
pub struct Object {
    /// Where it lives.
    pub key: Key,
    /// Revision of the write that made this version: its `resourceVersion`. For the object of
    /// a delete event, the revision of the delete.
    pub revision: u64,
    /// The object as JSON text with `metadata.resourceVersion` set to `revision`: ready to be
    /// sent. Kept as text because a parsed tree takes five to eight times the memory.
    pub json: Bytes,
    /// `metadata.labels`, extracted once so that selectors need no parsing.
    pub labels: BTreeMap<String, String>,
}

impl Object {
    /// An object that is not stored (one of a view): serializes the value, stamps the revision,
    /// extracts the labels.
    ///
    /// # Errors
    /// The value, or its `metadata`, is not a JSON object.
    pub fn from_value(key: Key, revision: u64, value: Value) -> Result<Arc<Self>, Error> {
        Ok(Text::from_value(value)?.into_object(key, revision))
    }
}

/// What must be true of a key for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No object.
    Absent,
    /// Some object.
    Exists,
    /// Exactly this revision.
    Revision(u64),
}

/// A write of one object, applied whole or not at all.
#[derive(Clone, Debug)]
pub struct Write {
    /// The object.
    pub key: Key,
    /// Its state before the write.
    pub expect: Expect,
    /// What to do.
    pub op: Op,
    /// Conditions on other keys, checked in the same transaction (a namespace that must
    /// exist at this revision, for example).
    pub guards: Vec<(Key, Expect)>,
}

/// A further object that is put in the place of what is there, together with a [`Write`]: both or
/// neither.
#[derive(Clone, Debug)]
pub struct Replace {
    /// The object.
    pub key: Key,
    /// The revision that it must have.
    pub revision: u64,
    /// What to store.
    pub value: Value,
}

/// The act of a [`Write`].
#[derive(Clone, Debug)]
pub enum Op {
    /// Store this value. `metadata.resourceVersion` in it is ignored and replaced.
    Put(Value),
    /// Remove the object. The value, where given, is the last state that watchers see
    /// (a graceful delete that also changes the object); `None` is the stored one.
    Delete(Option<Value>),
}

/// What a watcher receives.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// Appeared. (Also: became visible to the watcher's filter.)
    Added(Arc<Object>),
    /// Changed.
    Modified(Arc<Object>),
    /// Gone. The object is its last state with the revision of the delete. (Also: left the filter.)
    Deleted(Arc<Object>),
    /// Everything up to this revision has been sent.
    Bookmark(u64),
    /// As `Bookmark`, and the initial events of a watch with `send_initial_events` are complete.
    InitialEventsEnd(u64),
}

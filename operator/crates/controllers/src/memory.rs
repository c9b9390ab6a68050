//! What this process knows about its own last acts on an object, until the watches show it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use parking_lot::Mutex;

/// An outage is told once in this time: by then its cause should have been found or be gone.
const OUTAGE_TOLD: Duration = Duration::from_secs(60);

/// Per object, by uid: failures in a row, the last write to the Swarm, the last written object.
#[derive(Debug)]
pub struct Memory<K> {
    entries: Mutex<HashMap<String, Entry<K>>>,
    /// When an outage was last told.
    outage: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Entry<K> {
    failures: u32,
    acted: u64,
    written: Option<K>,
}

impl<K> Default for Entry<K> {
    fn default() -> Self {
        Self {
            failures: 0,
            acted: 0,
            written: None,
        }
    }
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            outage: Mutex::default(),
        }
    }
}

impl<K: ResourceExt + Clone + Debug> Memory<K> {
    /// Something that all objects need is away: should that be told, or was it just now?
    pub fn outage_is_news(&self) -> bool {
        let mut told = self.outage.lock();
        let is_news = told.is_none_or(|at| at.elapsed() > OUTAGE_TOLD);
        if is_news {
            *told = Some(Instant::now());
        }
        is_news
    }

    /// One more failure in a row; how many there are now.
    pub fn failed(&self, uid: &str) -> u32 {
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.failures = entry.failures.saturating_add(1);
        entry.failures
    }

    /// A success ends the row of failures.
    pub fn succeeded(&self, uid: &str) {
        if let Some(entry) = self.entries.lock().get_mut(uid) {
            entry.failures = 0;
        }
    }

    /// The Swarm was written at this position of the Swarm client's clock.
    pub fn acted(&self, uid: &str, stamp: u64) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.acted = entry.acted.max(stamp);
    }

    /// Position of the last write: an older observation must not be planned on, or the write
    /// would be done twice.
    pub fn last_act(&self, uid: &str) -> u64 {
        self.entries.lock().get(uid).map_or(0, |entry| entry.acted)
    }

    /// The object as the API server answered to our last write.
    pub fn wrote(&self, object: K) {
        let Some(uid) = object.uid() else { return };
        self.entries.lock().entry(uid).or_default().written = Some(object);
    }

    /// The newer of the watched object and our last written one.
    pub fn newest(&self, watched: &K) -> Option<K> {
        let uid = watched.uid()?;
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&uid)?;
        let newer = revision(entry.written.as_ref()?) > revision(watched);
        if !newer {
            entry.written = None;
        }
        entry.written.clone()
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }
}

/// The revision as a number. Kubernetes calls it opaque; ours is a number, and anything else
/// counts as oldest, which only costs a write that changes nothing.
fn revision<K: ResourceExt>(object: &K) -> u64 {
    object
        .resource_version()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once() {
        let memory = Memory::<api_types::Node>::default();
        assert!(memory.outage_is_news());
        assert!(!memory.outage_is_news());
    }
}

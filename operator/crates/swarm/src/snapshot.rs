//! Turns the Engine's four lists into a [`Snapshot`] at a cost that follows change, not size.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use plan::model::{Network, Node, Service, Snapshot, Task};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::convert::read;

/// One list of the Engine as last read. An answer that is byte for byte the last one is not
/// parsed, nor is an element of it that the last one had.
struct List<T> {
    hasher: RandomState,
    body: Option<u64>,
    items: Vec<(u64, T)>,
    read: fn(Value) -> T,
}

impl<T: Clone> List<T> {
    fn new(read: fn(Value) -> T) -> Self {
        Self {
            hasher: RandomState::new(),
            body: None,
            items: Vec::new(),
            read,
        }
    }

    /// Takes an answer in; says whether it differs from the last one.
    fn update(&mut self, body: &[u8]) -> Result<bool, serde_json::Error> {
        let hash = self.hasher.hash_one(body);
        if self.body == Some(hash) {
            return Ok(false);
        }
        let raw: Option<Vec<&RawValue>> = serde_json::from_slice(body)?;
        let mut known: HashMap<u64, T> = self.items.drain(..).collect();
        for raw in raw.unwrap_or_default() {
            let hash = self.hasher.hash_one(raw.get());
            let item = match known.remove(&hash) {
                Some(item) => item,
                None => (self.read)(serde_json::from_str(raw.get())?),
            };
            self.items.push((hash, item));
        }
        self.body = Some(hash);
        Ok(true)
    }

    fn sorted<K: Ord>(&self, key: impl Fn(&T) -> K) -> Vec<T> {
        let mut items: Vec<T> = self.items.iter().map(|(_, item)| item.clone()).collect();
        items.sort_by_key(key);
        items
    }
}

/// The four lists.
pub(crate) struct Lists {
    services: List<Service>,
    tasks: List<Task>,
    nodes: List<Node>,
    networks: List<Network>,
}

/// The answers of one poll; nodes and networks are not read by every poll.
pub(crate) struct Answers {
    pub(crate) services: bytes::Bytes,
    pub(crate) tasks: bytes::Bytes,
    pub(crate) slow: Option<(bytes::Bytes, bytes::Bytes)>,
}

impl Lists {
    pub(crate) fn new() -> Self {
        Self {
            services: List::new(read::service),
            tasks: List::new(read::task),
            nodes: List::new(read::node),
            networks: List::new(read::network),
        }
    }

    /// Takes the answers of a poll in; says whether any differs from the last one.
    pub(crate) fn update(&mut self, answers: &Answers) -> Result<bool, serde_json::Error> {
        let mut changed = self.services.update(&answers.services)?;
        changed |= self.tasks.update(&answers.tasks)?;
        if let Some((nodes, networks)) = &answers.slow {
            changed |= self.nodes.update(nodes)?;
            changed |= self.networks.update(networks)?;
        }
        Ok(changed)
    }

    pub(crate) fn snapshot(&self, as_of: u64) -> Snapshot {
        Snapshot {
            as_of,
            services: self.services.sorted(|s| s.spec.name.clone()),
            tasks: self.tasks.sorted(|t| (t.created_at, t.id.clone())),
            nodes: self.nodes.sorted(|n| n.id.clone()),
            networks: self.networks.sorted(|n| n.name.clone()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_parsed_once_and_elements_are_kept() {
        let mut lists = Lists::new();
        let mut answers = Answers {
            services: r#"[{"ID":"b","Spec":{"Name":"y"}},{"ID":"a","Spec":{"Name":"x"}}]"#.into(),
            tasks: "null".into(),
            slow: None,
        };
        assert!(lists.update(&answers).unwrap());
        assert!(!lists.update(&answers).unwrap());
        answers.services =
            r#"[{"ID":"b","Spec":{"Name":"y"}},{"ID":"c","Spec":{"Name":"w"}}]"#.into();
        assert!(lists.update(&answers).unwrap());
        let names: Vec<_> = lists
            .snapshot(1)
            .services
            .into_iter()
            .map(|s| s.id + &s.spec.name)
            .collect();
        assert_eq!(names, ["cw", "by"]);
    }

    #[test]
    fn an_odd_element_hides_no_other() {
        let mut lists = Lists::new();
        let answers = Answers {
            services: r#"[{"ID":"a","Spec":{"Name":"x","Labels":7,"TaskTemplate":[1]}},3]"#.into(),
            tasks: r#"[{"ID":"t","Slot":"one","Status":{"State":"levitating"}},{"ID":"u"}]"#.into(),
            slow: Some(("[{}]".into(), "[]".into())),
        };
        assert!(lists.update(&answers).unwrap());
        let snapshot = lists.snapshot(0);
        assert_eq!((snapshot.services.len(), snapshot.tasks.len()), (2, 2));
        let odd = snapshot.services.iter().find(|s| s.id == "a").unwrap();
        assert_eq!(odd.unmodelled["Labels"], "7");
        assert_eq!(odd.unmodelled["TaskTemplate"], "[1]");
    }
}

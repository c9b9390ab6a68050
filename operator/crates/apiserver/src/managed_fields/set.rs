//! Sets of fields, and their JSON form `FieldsV1`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::path::{BadPathElement, PathElement};
use super::shape::Node;
use crate::schema::Schema;

/// A set of field paths, kept as a tree.
///
/// A path is a member when its last element is among the `members` of the node above it. Children
/// of a member are members only when they are listed themselves: a set with `a` says nothing about
/// `a.b`, which is how ownership of a map and of its entries are kept apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(super) members: BTreeSet<PathElement>,
    /// Never holds an empty set.
    pub(super) children: BTreeMap<PathElement, FieldSet>,
}

/// Why `FieldsV1` could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadFields {
    /// A node of the tree is not a JSON object.
    #[error("fieldsV1 must consist of JSON objects, not {0}")]
    NotAnObject(Value),
    /// A key of an object is no path element.
    #[error(transparent)]
    Element(#[from] BadPathElement),
}

impl FieldSet {
    /// The set of one field, given by the names on the way to it.
    pub fn of_fields<const N: usize>(paths: [&[&str]; N]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<_> = path.iter().map(|name| PathElement::field(*name)).collect();
            set.insert(&path);
        }
        set
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    /// Adds the field at `path`, without its parents. The empty path (the whole object) is owned
    /// by nobody and not added.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether the field at `path` is a member.
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self
                .children
                .get(first)
                .is_some_and(|set| set.contains(rest)),
        }
    }

    /// What is in one of the two.
    pub fn union(&self, other: &Self) -> Self {
        let mut result = self.clone();
        result.extend(other);
        result
    }

    /// Takes the other in.
    pub fn extend(&mut self, other: &Self) {
        self.members.extend(other.members.iter().cloned());
        for (element, set) in &other.children {
            self.children
                .entry(element.clone())
                .or_default()
                .extend(set);
        }
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let members = self.members.intersection(&other.members).cloned().collect();
        let common = |(element, set): (&PathElement, &FieldSet)| {
            Some((
                element.clone(),
                set.intersection(other.children.get(element)?),
            ))
        };
        Self {
            members,
            children: not_empty(self.children.iter().filter_map(common)),
        }
    }

    /// What is here and not in `other`. A field stays when only its parent or its child is there.
    pub fn difference(&self, other: &Self) -> Self {
        let rest = |(element, set): (&PathElement, &FieldSet)| match other.children.get(element) {
            Some(removed) => (element.clone(), set.difference(removed)),
            None => (element.clone(), set.clone()),
        };
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: not_empty(self.children.iter().map(rest)),
        }
    }

    /// What is here and neither in `other` nor below a member of `other`.
    pub fn without(&self, other: &Self) -> Self {
        let rest = |(element, set): (&PathElement, &FieldSet)| {
            if other.members.contains(element) {
                return None;
            }
            let set = match other.children.get(element) {
                Some(removed) => set.without(removed),
                None => set.clone(),
            };
            Some((element.clone(), set))
        };
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: not_empty(self.children.iter().filter_map(rest)),
        }
    }

    /// The members that have no members below them.
    pub fn leaves(&self) -> Self {
        let is_leaf = |element: &&PathElement| !self.children.contains_key(element);
        let children = self
            .children
            .iter()
            .map(|(element, set)| (element.clone(), set.leaves()));
        Self {
            members: self.members.iter().filter(is_leaf).cloned().collect(),
            children: not_empty(children),
        }
    }

    /// The set with the declared fields on the way to its members added: whoever owns
    /// `spec.template.image` holds `spec` and `spec.template` in place.
    pub fn with_declared_parents(&self, schema: &Schema) -> Self {
        self.add_declared_parents(Node::Typed(schema))
    }

    pub(super) fn add_declared_parents(&self, node: Node<'_>) -> Self {
        let mut members = self.members.clone();
        let mut children = BTreeMap::new();
        for (element, set) in &self.children {
            if matches!(element, PathElement::Field(name) if node.declares(name)) {
                members.insert(element.clone());
            }
            children.insert(
                element.clone(),
                set.add_declared_parents(node.below(element)),
            );
        }
        Self { members, children }
    }

    /// All members, parents first, as full paths.
    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut paths = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &mut Vec<PathElement>, paths: &mut Vec<Vec<PathElement>>) {
        for member in &self.members {
            paths.push([prefix.as_slice(), std::slice::from_ref(member)].concat());
        }
        for (element, set) in &self.children {
            prefix.push(element.clone());
            set.collect_paths(prefix, paths);
            prefix.pop();
        }
    }

    /// The `FieldsV1` form.
    pub fn encode(&self) -> Value {
        let mut fields = Map::new();
        for member in &self.members {
            fields.insert(member.encode(), json!({}));
        }
        for (element, set) in &self.children {
            let mut encoded = set.encode();
            if self.members.contains(element) {
                encoded["."] = json!({});
            }
            fields.insert(element.encode(), encoded);
        }
        Value::Object(fields)
    }

    /// Reads the `FieldsV1` form. Elements of a kind that this version does not know are dropped.
    ///
    /// # Errors
    /// See [`BadFields`].
    pub fn decode(fields: &Value) -> Result<Self, BadFields> {
        let Value::Object(fields) = fields else {
            return Err(BadFields::NotAnObject(fields.clone()));
        };
        let mut set = Self::default();
        for (text, below) in fields.iter().filter(|(text, _)| *text != ".") {
            let Some(element) = PathElement::decode(text)? else {
                continue;
            };
            let children = Self::decode(below)?;
            if children.is_empty() || below.get(".").is_some() {
                set.members.insert(element.clone());
            }
            if !children.is_empty() {
                set.children.entry(element).or_default().extend(&children);
            }
        }
        Ok(set)
    }
}

fn not_empty(
    children: impl Iterator<Item = (PathElement, FieldSet)>,
) -> BTreeMap<PathElement, FieldSet> {
    children.filter(|(_, set)| !set.is_empty()).collect()
}

/// A path as messages show it.
pub(super) fn show(path: &[PathElement]) -> String {
    path.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn set(fields: Value) -> FieldSet {
        FieldSet::decode(&fields).unwrap()
    }

    #[test]
    fn encoding_is_reversible() {
        for fields in [
            json!({}),
            json!({"f:spec": {"f:replicas": {}, "f:ports": {"k:{\"name\":\"http\"}": {".": {}, "f:port": {}}}}}),
            json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:finalizers": {".": {}, "v:\"x\"": {}}}}),
        ] {
            assert_eq!(set(fields.clone()).encode(), fields);
        }
        assert_eq!(set(json!({"f:a": {".": {}}})).encode(), json!({"f:a": {}}));
        // A child of an unknown kind counts as absent: the parent is then a leaf.
        assert_eq!(
            set(json!({"f:a": {"z:later": {}}})).encode(),
            json!({"f:a": {}})
        );
        assert!(FieldSet::decode(&json!([])).is_err());
        assert!(FieldSet::decode(&json!({"f:a": 1})).is_err());
        assert!(FieldSet::decode(&json!({"nonsense": {}})).is_err());
    }

    #[test]
    fn algebra() {
        let a = set(json!({"f:x": {".": {}, "f:y": {}}, "f:z": {}}));
        let b = set(json!({"f:x": {}, "f:w": {"f:v": {}}}));
        let both = json!({"f:x": {".": {}, "f:y": {}}, "f:z": {}, "f:w": {"f:v": {}}});
        assert_eq!(a.union(&b), set(both));
        assert_eq!(a.intersection(&b), set(json!({"f:x": {}})));
        assert_eq!(
            a.difference(&b),
            set(json!({"f:x": {"f:y": {}}, "f:z": {}}))
        );
        assert_eq!(a.without(&b), set(json!({"f:z": {}})));
        assert_eq!(a.leaves(), set(json!({"f:x": {"f:y": {}}, "f:z": {}})));
        assert!(a.difference(&a).is_empty());
    }

    #[test]
    fn membership_and_paths() {
        let set = set(json!({"f:x": {".": {}, "k:{\"a\":1}": {"v:2": {}}}, "f:z": {}}));
        let shown: Vec<_> = set.paths().iter().map(|path| show(path)).collect();
        assert_eq!(shown, [".x", ".z", ".x[a=1][=2]"]);
        assert!(set.paths().iter().all(|path| set.contains(path)));
        let inner = [
            PathElement::field("x"),
            PathElement::Key(vec![("a".into(), json!(1.0))]),
        ];
        assert!(!set.contains(&inner), "a node on the way is not a member");
        assert!(!set.contains(&[]));
        assert_eq!(
            FieldSet::of_fields([&["a", "b"], &["c"]]).encode(),
            json!({"f:a": {"f:b": {}}, "f:c": {}})
        );
    }
}

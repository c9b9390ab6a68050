//! Two questions about values under a schema: which fields does one have, and how do two differ.
//!
//! **Guarantees.** Any value is accepted: what does not fit the schema is treated as if it had
//! none, and a list whose elements cannot be told apart is one leaf.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::path::{PathElement, same};
use super::set::FieldSet;
use super::shape::{Node, Shape};
use crate::patch::MAX_DEPTH;

/// What changed from one value to another. No field is in two of the sets.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Comparison {
    /// The comparison without the fields at and below the members of `ignored`.
    pub(super) fn without(&self, ignored: &FieldSet) -> Self {
        Self {
            added: self.added.without(ignored),
            modified: self.modified.without(ignored),
            removed: self.removed.without(ignored),
        }
    }

    /// Everything that has a new value.
    pub(super) fn changed(&self) -> FieldSet {
        self.modified.union(&self.added)
    }
}

/// Longest path to a field with owners of its own; what is further down is owned whole. It keeps
/// the written form (four levels more than the path) within what an object may be nested.
const MAX_PATH: usize = MAX_DEPTH - 5;

fn shape(node: Node<'_>, value: &Value, path: &[PathElement]) -> Shape {
    if path.len() < MAX_PATH {
        node.shape(value)
    } else {
        Shape::Leaf
    }
}

/// All fields that `value` has, as whoever applies it owns them.
pub(super) fn fields_of(node: Node<'_>, value: &Value) -> FieldSet {
    let mut walk = Fields {
        path: Vec::new(),
        found: FieldSet::default(),
    };
    walk.visit(node, value);
    walk.found
}

struct Fields {
    path: Vec<PathElement>,
    found: FieldSet,
}

impl Fields {
    fn visit(&mut self, node: Node<'_>, value: &Value) {
        match (shape(node, value, &self.path), value) {
            (Shape::Leaf, _) => self.found.insert(&self.path),
            (Shape::Map, Value::Object(fields)) => self.visit_map(node, fields),
            (Shape::List, Value::Array(items)) => match node.identities(items) {
                Some(steps) => self.visit_list(node, items, &steps),
                None => self.found.insert(&self.path),
            },
            (Shape::Map | Shape::List, _) => {}
        }
    }

    fn visit_map(&mut self, node: Node<'_>, fields: &Map<String, Value>) {
        for (name, value) in fields {
            self.path.push(PathElement::field(name));
            self.visit(node.field(name), value);
            // An empty list of elements that are owned one by one is nobody's.
            let nothing_inside = match value {
                Value::Object(fields) => fields.is_empty(),
                other => other.is_null(),
            };
            if nothing_inside || !node.declares(name) {
                self.found.insert(&self.path);
            }
            self.path.pop();
        }
    }

    fn visit_list(&mut self, node: Node<'_>, items: &[Value], steps: &[PathElement]) {
        let mut times: BTreeMap<&PathElement, usize> = BTreeMap::new();
        for step in steps {
            *times.entry(step).or_default() += 1;
        }
        for (step, item) in steps.iter().zip(items) {
            self.path.push(step.clone());
            // Elements that occur twice are owned together, without their fields.
            if times.get(step) == Some(&1) {
                self.visit(node.item(), item);
            }
            self.found.insert(&self.path);
            self.path.pop();
        }
    }
}

/// How `new` differs from `old`; at least one of them is there.
pub(super) fn compare(node: Node<'_>, old: Option<&Value>, new: Option<&Value>) -> Comparison {
    let mut walk = Compare {
        path: Vec::new(),
        found: Comparison::default(),
    };
    walk.visit(node, old, new);
    walk.found
}

struct Compare {
    path: Vec<PathElement>,
    found: Comparison,
}

impl Compare {
    fn visit(&mut self, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) {
        let shape_of = |value| shape(node, value, &self.path);
        let (old_shape, new_shape) = (old.map(shape_of), new.map(shape_of));
        let Some(shape) = new_shape.or(old_shape) else {
            return;
        };
        if let Some(old_shape) = old_shape
            && old_shape != shape
        {
            self.visit_as(old_shape, node, old, new);
        }
        let was_leaf = self.visit_as(shape, node, old, new);
        if !was_leaf && old.is_none() {
            self.found.added.insert(&self.path);
        } else if !was_leaf && new.is_none() {
            self.found.removed.insert(&self.path);
        }
    }

    /// Compares as one shape; says whether the place was a leaf.
    fn visit_as(
        &mut self,
        shape: Shape,
        node: Node<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> bool {
        match shape {
            Shape::Leaf => self.leaf(old, new),
            Shape::Map => {
                let (old_map, new_map) = (filled_map(old), filled_map(new));
                if old_map.is_none() && new_map.is_none() {
                    return self.leaf(old, new);
                }
                self.maps(node, old_map, new_map);
                false
            }
            Shape::List => {
                let (old_items, new_items) = (items(old), items(new));
                if old_items.is_empty() && new_items.is_empty() {
                    return self.leaf(old, new);
                }
                match (group(node, old_items), group(node, new_items)) {
                    (Some(old_items), Some(new_items)) => {
                        self.lists(node, &old_items, &new_items);
                        false
                    }
                    _ => self.leaf(old, new),
                }
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) -> bool {
        match (old, new) {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            (Some(old), Some(new)) if !same(old, new) => self.found.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn maps(
        &mut self,
        node: Node<'_>,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
    ) {
        let is_new = |name: &&String| !old.is_some_and(|old| old.contains_key(*name));
        let old_names = old.into_iter().flat_map(Map::keys);
        for name in old_names.chain(new.into_iter().flat_map(Map::keys).filter(is_new)) {
            self.path.push(PathElement::field(name));
            self.visit(node.field(name), value_of(old, name), value_of(new, name));
            self.path.pop();
        }
    }

    fn lists(&mut self, node: Node<'_>, old: &Grouped<'_>, new: &Grouped<'_>) {
        let only_new = new.keys().filter(|step| !old.contains_key(*step));
        for step in old.keys().chain(only_new) {
            self.path.push(step.clone());
            match (with_step(old, step), with_step(new, step)) {
                (old @ ([] | [_]), new @ ([] | [_])) => {
                    self.visit(node.item(), old.first().copied(), new.first().copied());
                }
                // Elements that occur several times are compared together.
                (old @ [_, _, ..], new @ [_, _, ..]) => {
                    let all_same = || old.iter().zip(new).all(|(old, new)| same(old, new));
                    if old.len() != new.len() || !all_same() {
                        self.found.modified.insert(&self.path);
                    }
                }
                (_, new @ ([] | [_])) => {
                    self.visit(node.item(), None, new.first().copied());
                    self.found.removed.insert(&self.path);
                }
                (old, _) => {
                    self.visit(node.item(), old.first().copied(), None);
                    self.found.added.insert(&self.path);
                }
            }
            self.path.pop();
        }
    }
}

type Grouped<'a> = BTreeMap<PathElement, Vec<&'a Value>>;

/// The elements by their steps; `None` when one has no identity.
fn group<'a>(node: Node<'_>, items: &'a [Value]) -> Option<Grouped<'a>> {
    let mut groups = Grouped::new();
    for (step, item) in node.identities(items)?.into_iter().zip(items) {
        groups.entry(step).or_default().push(item);
    }
    Some(groups)
}

fn with_step<'a, 'b>(groups: &'b Grouped<'a>, step: &PathElement) -> &'b [&'a Value] {
    groups.get(step).map_or(&[], Vec::as_slice)
}

/// The fields of a map that has some.
pub(super) fn filled_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
}

/// The elements of a list; none where there is no list.
pub(super) fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn value_of<'a>(map: Option<&'a Map<String, Value>>, name: &str) -> Option<&'a Value> {
    map.and_then(|map| map.get(name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::schema::{Kind, ListType, Schema};

    /// A list of elements with the key `id`.
    fn list() -> Schema {
        let text = Schema {
            kind: Some(Kind::String),
            ..Schema::default()
        };
        let properties = ["id", "x"]
            .map(|name| (name.to_owned(), Arc::new(text.clone())))
            .into();
        let item = Schema {
            kind: Some(Kind::Object),
            properties,
            ..Schema::default()
        };
        let list = Schema {
            kind: Some(Kind::Array),
            list_type: ListType::Map,
            list_map_keys: vec!["id".to_owned()],
            items: Some(Arc::new(item)),
            ..Schema::default()
        };
        let properties = [("list".to_owned(), Arc::new(list))].into();
        Schema {
            kind: Some(Kind::Object),
            properties,
            ..Schema::default()
        }
    }

    #[test]
    fn elements_that_occur_twice_are_owned_together() {
        let schema = list();
        let node = Node::Typed(&schema);
        let once = json!({"list": [{"id": "a", "x": "1"}]});
        let twice = json!({"list": [{"id": "a", "x": "1"}, {"id": "a"}]});
        let other = json!({"list": [{"id": "a", "x": "2"}, {"id": "a"}]});
        let whole = json!({"f:list": {"k:{\"id\":\"a\"}": {}}});
        let parts = json!({"f:list": {"k:{\"id\":\"a\"}": {".": {}, "f:id": {}, "f:x": {}}}});
        assert_eq!(fields_of(node, &twice).encode(), whole);
        assert_eq!(fields_of(node, &once).encode(), parts);
        let differences = |old, new| {
            let found = compare(node, Some(old), Some(new));
            [found.added, found.modified, found.removed].map(|set| set.encode())
        };
        let none = || json!({});
        assert_eq!(differences(&twice, &other), [none(), whole.clone(), none()]);
        assert_eq!(differences(&twice, &twice), [none(), none(), none()]);
        assert_eq!(
            differences(&twice, &once),
            [parts.clone(), none(), whole.clone()]
        );
        assert_eq!(differences(&once, &twice), [whole, none(), parts]);
    }

    #[test]
    fn a_list_without_identities_is_one_leaf() {
        let schema = list();
        let node = Node::Typed(&schema);
        let odd = json!({"list": [{"id": "a"}, 1]});
        assert_eq!(fields_of(node, &odd).encode(), json!({"f:list": {}}));
        let found = compare(node, Some(&odd), Some(&json!({"list": [{"id": "a"}]})));
        assert_eq!(found.modified.encode(), json!({"f:list": {}}));
    }
}

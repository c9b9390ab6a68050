//! Laying an applied configuration over an object, and taking fields away from an object.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use super::path::PathElement;
use super::set::FieldSet;
use super::shape::{Node, Shape};
use super::walk::{filled_map, items};

/// `live` with everything that `applied` says; nothing is removed.
///
/// Keyed lists keep the order of `live`, with new elements after those that they follow in
/// `applied`; where both orders contradict each other, that of `applied` wins.
pub(super) fn merge(
    node: Node<'_>,
    live: Option<&Value>,
    applied: Option<&Value>,
) -> Option<Value> {
    let shape = node.shape(applied.or(live)?);
    let leaf = || applied.or(live).cloned();
    match shape {
        Shape::Leaf => leaf(),
        Shape::Map => match (filled_map(live), filled_map(applied)) {
            (None, None) => leaf(),
            (live, applied) => Some(Value::Object(merge_maps(node, live, applied))),
        },
        Shape::List => {
            let (live_items, applied_items) = (items(live), items(applied));
            if live_items.is_empty() && applied_items.is_empty() {
                return leaf();
            }
            match (node.identities(live_items), node.identities(applied_items)) {
                (Some(live_steps), Some(applied_steps)) => {
                    let live = Side {
                        items: live_items,
                        steps: live_steps,
                    };
                    let applied = Side {
                        items: applied_items,
                        steps: applied_steps,
                    };
                    Some(Value::Array(merge_lists(node, &live, &applied)))
                }
                _ => leaf(),
            }
        }
    }
}

fn merge_maps(
    node: Node<'_>,
    live: Option<&Map<String, Value>>,
    applied: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let mut names: BTreeSet<&String> = live.into_iter().flat_map(Map::keys).collect();
    names.extend(applied.into_iter().flat_map(Map::keys));
    let merged = names.into_iter().filter_map(|name| {
        let (live, applied) = (
            live.and_then(|m| m.get(name)),
            applied.and_then(|m| m.get(name)),
        );
        Some((name.clone(), merge(node.field(name), live, applied)?))
    });
    merged.collect()
}

/// A list whose elements have identities.
struct Side<'a> {
    items: &'a [Value],
    steps: Vec<PathElement>,
}

type Index<'a> = BTreeMap<&'a PathElement, Option<&'a Value>>;

impl Side<'_> {
    /// The elements by identity; `None` for those that occur more than once.
    fn index(&self) -> Index<'_> {
        let mut index = Index::new();
        for (step, item) in self.steps.iter().zip(self.items) {
            index
                .entry(step)
                .and_modify(|found| *found = None)
                .or_insert(Some(item));
        }
        index
    }
}

/// Walks both lists at once. Elements of `live` alone are taken when they come up; elements that
/// both have are taken in the order of `applied`.
fn merge_lists(node: Node<'_>, live: &Side<'_>, applied: &Side<'_>) -> Vec<Value> {
    let (in_live, in_applied) = (live.index(), applied.index());
    let mut shared: VecDeque<&PathElement> = applied
        .steps
        .iter()
        .filter(|step| in_live.contains_key(step))
        .collect();
    let mut result = Vec::with_capacity(live.items.len().max(applied.items.len()));
    let (mut l, mut a) = (0, 0);
    loop {
        match (live.steps.get(l), applied.steps.get(a)) {
            (None, None) => return result,
            // Both lists have it, and another one that both have comes first in `applied`.
            (Some(ours), Some(theirs))
                if ours != theirs
                    && in_applied.contains_key(ours)
                    && shared.front().is_some_and(|next| *next != ours) =>
            {
                l += 1;
            }
            // Only the live list has it.
            (Some(ours), _) if !in_applied.contains_key(ours) => {
                result.extend(merge(node.item(), live.items.get(l), None));
                l += 1;
            }
            (ours, Some(theirs)) => {
                let old = in_live.get(theirs).copied().flatten();
                let new = in_applied.get(theirs).copied().flatten();
                result.extend(merge(node.item(), old, new));
                l += usize::from(ours == Some(theirs));
                a += 1;
                if shared.front() == Some(&theirs) {
                    shared.pop_front();
                }
            }
            // It was taken before, with the applied list.
            (Some(_), None) => l += 1,
        }
    }
}

/// `value` without the members of `unwanted`. A map or list that loses everything becomes null.
pub(super) fn remove(node: Node<'_>, value: &Value, unwanted: &FieldSet) -> Value {
    match (node.shape(value), value) {
        (Shape::Map, Value::Object(fields)) => remove_from_map(node, fields, unwanted),
        (Shape::List, Value::Array(items)) => remove_from_list(node, items, unwanted),
        (_, Value::Object(_) | Value::Array(_)) => Value::Null,
        (_, scalar) => scalar.clone(),
    }
}

/// The same one step down. What is emptied there is null where that is a value, as structured-merge-diff
/// has it. Elsewhere it is empty: kube-apiserver refuses its own null there, but for 1.36.0 to 1.36.2,
/// which left everything empty and so did not let a nullable field be unset that has required ones
/// (<https://github.com/kubernetes-sigs/structured-merge-diff/issues/331>).
fn remove_below(node: Node<'_>, value: &Value, unwanted: &FieldSet) -> Value {
    match (remove(node, value, unwanted), value) {
        (Value::Null, _) if node.is_nullable() => Value::Null,
        (Value::Null, Value::Object(_)) => json!({}),
        (Value::Null, Value::Array(_)) => json!([]),
        (rest, _) => rest,
    }
}

fn remove_from_map(node: Node<'_>, fields: &Map<String, Value>, unwanted: &FieldSet) -> Value {
    let mut rest = Map::new();
    for (name, value) in fields {
        let step = PathElement::field(name);
        if unwanted.members.contains(&step) {
            continue;
        }
        let value = match unwanted.children.get(&step) {
            Some(below) => remove_below(node.field(name), value, below),
            None => value.clone(),
        };
        rest.insert(name.clone(), value);
    }
    if rest.is_empty() {
        Value::Null
    } else {
        Value::Object(rest)
    }
}

fn remove_from_list(node: Node<'_>, items: &[Value], unwanted: &FieldSet) -> Value {
    let Some(steps) = node.identities(items) else {
        return Value::Array(items.to_vec());
    };
    let kept = steps
        .iter()
        .zip(items)
        .filter(|(step, _)| !unwanted.members.contains(step));
    let rest: Vec<Value> = kept
        .map(|(step, item)| match unwanted.children.get(step) {
            Some(below) => remove_below(node.item(), item, below),
            None => item.clone(),
        })
        .collect();
    if rest.is_empty() {
        Value::Null
    } else {
        Value::Array(rest)
    }
}

//! The rules of field ownership, on sets alone: nothing here knows what a manager is, or that
//! ownership is written into objects.
//!
//! - An *apply* says everything its manager wants: what it said last time and says no longer is
//!   removed, unless somebody else owns it too. A field that somebody else owns with another value
//!   is a conflict; forced, the field changes hands.
//! - An *update* takes what it changes, from whoever had it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::merge::{merge, remove};
use super::path::{PathElement, same};
use super::set::FieldSet;
use super::shape::Node;
use super::walk::{Comparison, compare, fields_of};
use crate::schema::Schema;

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) fields: FieldSet,
    pub(super) api_version: String,
    pub(super) applied: bool,
}

/// Who owns what, by any kind of key.
pub(super) type Owners<K> = BTreeMap<K, Owned>;

/// What an operation works on.
pub(super) struct Rules<'a> {
    pub(super) schema: &'a Schema,
    pub(super) api_version: &'a str,
    /// Fields that this operation cannot write, and therefore never owns.
    pub(super) reset: &'a FieldSet,
}

/// A field that somebody else owns with another value.
pub(super) type Conflicts<K> = Vec<(K, Vec<PathElement>)>;

impl Rules<'_> {
    fn root(&self) -> Node<'_> {
        Node::Typed(self.schema)
    }

    /// Applies `config` to `live` for `manager`. `None` as the object means that it is unchanged.
    ///
    /// # Errors
    /// The conflicts with other managers, when not forced.
    pub(super) fn apply<K: Ord + Clone>(
        &self,
        live: &Value,
        config: &Value,
        owners: &Owners<K>,
        manager: &K,
        force: bool,
    ) -> Result<(Option<Value>, Owners<K>), Conflicts<K>> {
        let mut owners = self.follow_schema(owners);
        let merged = merge(self.root(), Some(live), Some(config)).unwrap_or(Value::Null);
        let fields = fields_of(self.root(), config).without(self.reset);
        let api_version = self.api_version.to_owned();
        let mine = Owned {
            fields,
            api_version,
            applied: true,
        };
        let last = owners.insert(manager.clone(), mine);
        let result = match last {
            Some(last) if !last.fields.is_empty() => self.prune(merged, &last.fields, &owners),
            _ => merged,
        };
        let comparison = self.compare(live, &result);
        self.take(&comparison, &mut owners, manager, force)?;
        let changed = !same(live, &result);
        Ok((changed.then_some(result), owners))
    }

    /// Notes for `manager` that `live` became `new`.
    pub(super) fn update<K: Ord + Clone>(
        &self,
        live: &Value,
        new: &Value,
        owners: &Owners<K>,
        manager: &K,
    ) -> Owners<K> {
        let mut owners = self.follow_schema(owners);
        let comparison = self.compare(live, new);
        // A forced take has no conflicts.
        let _no_conflicts = self.take(&comparison, &mut owners, manager, true);
        let before = owners
            .remove(manager)
            .map(|owned| owned.fields)
            .unwrap_or_default();
        let fields = before
            .difference(&comparison.removed)
            .union(&comparison.changed());
        if !fields.is_empty() {
            let api_version = self.api_version.to_owned();
            owners.insert(
                manager.clone(),
                Owned {
                    fields,
                    api_version,
                    applied: false,
                },
            );
        }
        owners
    }

    fn compare(&self, live: &Value, new: &Value) -> Comparison {
        compare(self.root(), Some(live), Some(new)).without(self.reset)
    }

    /// Takes what changed away from everybody but `manager`.
    fn take<K: Ord + Clone>(
        &self,
        comparison: &Comparison,
        owners: &mut Owners<K>,
        manager: &K,
        force: bool,
    ) -> Result<(), Conflicts<K>> {
        let changed = comparison.changed();
        if !force {
            let others = owners.iter().filter(|(key, _)| *key != manager);
            let conflicts: Conflicts<K> = others
                .flat_map(|(key, owned)| {
                    let paths = owned.fields.intersection(&changed).paths();
                    paths.into_iter().map(|path| (key.clone(), path))
                })
                .collect();
            if !conflicts.is_empty() {
                return Err(conflicts);
            }
        }
        let gone = changed.union(&comparison.removed);
        for (key, owned) in owners.iter_mut() {
            if key != manager {
                owned.fields = owned.fields.difference(&gone);
            }
        }
        owners.retain(|_, owned| !owned.fields.is_empty());
        Ok(())
    }

    /// Removes from `merged` what the manager applied last time (`last`) and nobody owns now.
    fn prune<K: Ord>(&self, merged: Value, last: &FieldSet, owners: &Owners<K>) -> Value {
        let root = self.root();
        let with_parents = |set: &FieldSet| set.add_declared_parents(root);
        let all = with_parents(&fields_of(root, &merged));
        let last = with_parents(last);
        let mut owned = FieldSet::default();
        owners.values().for_each(|one| owned.extend(&one.fields));
        let pruned = remove(root, &merged, &last);
        // What went too far: fields below the removed ones that somebody owns ...
        let kept = with_parents(&fields_of(root, &pruned)).union(&with_parents(&owned));
        let pruned = remove(root, &merged, &all.difference(&kept));
        // ... and fields that the manager never applied.
        let kept = with_parents(&fields_of(root, &pruned));
        remove(root, &merged, &all.difference(&kept).intersection(&last))
    }

    /// The owners, with the fields of what is atomic by now replaced by the whole.
    fn follow_schema<K: Ord + Clone>(&self, owners: &Owners<K>) -> Owners<K> {
        let follow = |(key, owned): (&K, &Owned)| {
            let fields = collapse(self.root(), &owned.fields);
            (
                key.clone(),
                Owned {
                    fields,
                    ..owned.clone()
                },
            )
        };
        owners.iter().map(follow).collect()
    }
}

fn collapse(node: Node<'_>, set: &FieldSet) -> FieldSet {
    let mut result = FieldSet {
        members: set.members.clone(),
        ..FieldSet::default()
    };
    for (element, below) in &set.children {
        let node = node.below(element);
        if node.is_atomic() {
            result.members.insert(element.clone());
        } else {
            result
                .children
                .insert(element.clone(), collapse(node, below));
        }
    }
    result
}

//! Notes who changed what in a create, an update or a patch.

use serde_json::{Value, json};

use super::entries::{Managed, ManagerId, Operation};
use super::ownership::Rules;
use super::set::FieldSet;
use super::{Manager, entries_of, put_entries, server_fields, take_entries};
use crate::patch::{MAX_DEPTH, depth};
use crate::schema::Schema;

/// Returns `new` with its `managedFields` recomputed: what differs from `live` (`None` at
/// creation) belongs to `manager` now, what is gone to nobody. An entry's time moves only when its
/// manager took a field.
///
/// A request may edit the entries: those in `new` count when they can be read, except through a
/// subresource. The empty list, or a list of one empty entry, ends the tracking.
pub fn update(
    schema: &Schema,
    live: Option<&Value>,
    mut new: Value,
    manager: &Manager<'_>,
    reset: &FieldSet,
) -> Value {
    let requested = take_entries(&mut new);
    let live_entries = live.and_then(entries_of);
    if depth(&new) > MAX_DEPTH || live.is_some_and(|live| depth(live) > MAX_DEPTH) {
        put_entries(&mut new, live_entries.cloned());
        return new;
    }
    let requested = requested.filter(|_| manager.subresource.is_none());
    let managed = base(live_entries, requested.as_ref());
    if live.is_some() && managed.owners.is_empty() {
        return new;
    }
    let mut old = live.cloned().unwrap_or_else(|| json!({}));
    schema.normalize(&mut old);
    take_entries(&mut old);
    let managed = record(schema, &old, &new, managed, manager, reset);
    put_entries(&mut new, Some(managed.encode()));
    new
}

/// The entries to start from.
fn base(live: Option<&Value>, requested: Option<&Value>) -> Managed {
    let is_reset = match requested {
        Some(Value::Array(entries)) => match entries.as_slice() {
            [] => true,
            [only] => only.as_object().is_some_and(serde_json::Map::is_empty),
            _ => false,
        },
        _ => false,
    };
    if is_reset {
        return Managed::default();
    }
    let requested = Managed::decode(requested)
        .ok()
        .filter(|found| !found.owners.is_empty());
    requested
        .or_else(|| Managed::decode(live).ok())
        .unwrap_or_default()
}

/// The entries after `old` became `new`; neither contains entries.
pub(super) fn record(
    schema: &Schema,
    old: &Value,
    new: &Value,
    mut managed: Managed,
    manager: &Manager<'_>,
    reset: &FieldSet,
) -> Managed {
    let rules = Rules {
        schema,
        api_version: manager.api_version,
        reset,
    };
    // Under a name of its own, so that it shows whether this very write took anything.
    let current = ManagerId::current();
    managed.owners = rules.update(old, new, &managed.owners, &current);
    if let Some(mut taken) = managed.owners.remove(&current) {
        taken.fields = taken.fields.difference(&server_fields());
        if !taken.fields.is_empty() {
            let id = ManagerId::new(manager, Operation::Update);
            if let Some(before) = managed.owners.get(&id) {
                taken.fields = taken.fields.union(&before.fields);
            }
            managed.set_time(id.clone(), manager.time);
            managed.owners.insert(id, taken);
        }
    }
    managed.fold_old_updates();
    managed
}

/// Takes the entries of `live` for `new` when the two differ in nothing but the times of their
/// entries: such a write is no write.
pub fn keep_times_if_unchanged(live: &Value, new: &mut Value) {
    let (before, after) = (entries_of(live), entries_of(new));
    if before == after || without_times(before) != without_times(after) {
        return;
    }
    let entries = take_entries(new);
    let mut bare = live.clone();
    take_entries(&mut bare);
    let kept = if bare == *new {
        before.cloned()
    } else {
        entries
    };
    put_entries(new, kept);
}

/// The entries without their times, in an order that does not depend on them.
fn without_times(entries: Option<&Value>) -> Vec<Value> {
    let mut entries = entries
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        entry.remove("time");
    }
    entries.sort_by(super::path::compare);
    entries
}

//! The rules of ownership, one scenario each.
#![allow(clippy::unwrap_used, clippy::panic)]

mod applies;
mod entries;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ApplyError, Manager, apply, reset_fields, update};
use crate::schema::{Kind, ListType, Schema};

fn of(kind: Kind) -> Schema {
    Schema {
        kind: Some(kind),
        ..Schema::default()
    }
}

fn object(fields: Vec<(&str, Schema)>) -> Schema {
    let properties = fields
        .into_iter()
        .map(|(name, field)| (name.into(), Arc::new(field)));
    Schema {
        properties: properties.collect(),
        ..of(Kind::Object)
    }
}

fn map_of(value: Schema) -> Schema {
    Schema {
        additional: Some(Arc::new(value)),
        ..of(Kind::Object)
    }
}

fn list(list_type: ListType, keys: &[&str], items: Schema) -> Schema {
    let list_map_keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Schema {
        list_type,
        list_map_keys,
        items: Some(Arc::new(items)),
        ..of(Kind::Array)
    }
}

/// A kind in which every way of merging occurs.
pub(super) fn ship() -> Schema {
    let text = || of(Kind::String);
    let number = || of(Kind::Integer);
    let side = Schema {
        default: Some(json!("port")),
        ..text()
    };
    let berth = object(vec![
        ("deck", number()),
        ("side", side),
        ("guest", text()),
        ("bags", list(ListType::Set, &[], text())),
    ]);
    let metadata = object(vec![
        ("name", text()),
        ("uid", text()),
        ("generation", number()),
        ("creationTimestamp", text()),
        ("labels", map_of(text())),
        ("annotations", map_of(text())),
        ("finalizers", list(ListType::Set, &[], text())),
    ]);
    let spec = object(vec![
        ("crew", number()),
        ("name", text()),
        ("berths", list(ListType::Map, &["deck", "side"], berth)),
        ("flags", list(ListType::Set, &[], text())),
        ("route", list(ListType::Atomic, &[], text())),
        (
            "anchor",
            Schema {
                map_atomic: true,
                ..object(vec![("weight", number()), ("kind", text())])
            },
        ),
        (
            "engine",
            object(vec![("fuel", text()), ("power", number())]),
        ),
        (
            "cargo",
            Schema {
                preserve_unknown: true,
                ..of(Kind::Object)
            },
        ),
    ]);
    let status = object(vec![("ready", number())]);
    object(vec![
        ("apiVersion", text()),
        ("kind", text()),
        ("metadata", metadata),
        ("spec", spec),
        ("status", status),
    ])
}

pub(super) const VERSION: &str = "harbour.example/v1";

/// A configuration with this spec, or none for null.
pub(super) fn config(spec: Value) -> Value {
    let mut config = json!({"apiVersion": VERSION, "kind": "Ship", "metadata": {"name": "ada"}});
    if !spec.is_null() {
        config["spec"] = spec;
    }
    config
}

/// One object and the requests that are made to it, a minute apart.
struct Harbour {
    schema: Schema,
    live: Option<Value>,
    minute: i64,
}

impl Harbour {
    fn new() -> Self {
        Self {
            schema: ship(),
            live: None,
            minute: 0,
        }
    }

    fn manager<'a>(&mut self, name: &'a str) -> Manager<'a> {
        let (name, subresource) = match name.split_once('/') {
            Some((name, subresource)) => (name, Some(subresource)),
            None => (name, None),
        };
        self.minute += 1;
        let time = Timestamp::from_second(1_700_000_000 + 60 * self.minute).unwrap();
        Manager {
            name,
            subresource,
            kind: "Ship",
            api_version: VERSION,
            time,
        }
    }

    fn try_apply(&mut self, who: &str, spec: Value, force: bool) -> Result<(), ApplyError> {
        self.try_apply_object(who, &config(spec), force)
    }

    fn try_apply_object(
        &mut self,
        who: &str,
        config: &Value,
        force: bool,
    ) -> Result<(), ApplyError> {
        let manager = self.manager(who);
        let reset = reset_fields(&self.schema, true, true, manager.subresource);
        let live = self.live.as_ref();
        self.live = Some(apply(&self.schema, live, config, &manager, force, &reset)?);
        Ok(())
    }

    fn apply(&mut self, who: &str, spec: Value) -> &mut Self {
        self.try_apply(who, spec, false).unwrap();
        self
    }

    /// Changes one place, or removes it with null, and writes the whole object.
    fn edit(&mut self, who: &str, pointer: &str, value: Value) -> &mut Self {
        let mut new = self.live.clone().unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = new.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value);
        }
        self.write(who, new)
    }

    fn write(&mut self, who: &str, new: Value) -> &mut Self {
        let manager = self.manager(who);
        let reset = reset_fields(&self.schema, true, true, manager.subresource);
        self.live = Some(update(
            &self.schema,
            self.live.as_ref(),
            new,
            &manager,
            &reset,
        ));
        self
    }

    fn create(&mut self, who: &str, spec: Value) -> &mut Self {
        let object = json!({
            "apiVersion": VERSION, "kind": "Ship",
            "metadata": {"name": "ada", "uid": "1", "generation": 1}, "spec": spec,
        });
        self.write(who, object)
    }

    fn spec(&self) -> &Value {
        &self.live.as_ref().unwrap()["spec"]
    }

    fn entries(&self) -> &Value {
        &self.live.as_ref().unwrap()["metadata"]["managedFields"]
    }

    /// `name/subresource Operation` of every entry, in order.
    fn managers(&self) -> Vec<String> {
        let entries = self.entries().as_array().into_iter().flatten();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        entries
            .map(|entry| {
                let subresource = text(entry, "subresource");
                let slash = if subresource.is_empty() { "" } else { "/" };
                format!(
                    "{}{slash}{subresource} {}",
                    text(entry, "manager"),
                    text(entry, "operation")
                )
            })
            .collect()
    }

    /// What an entry owns of the spec.
    fn owned(&self, manager: &str, operation: &str) -> Value {
        let entries = self.entries().as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["manager"] == manager && entry["operation"] == operation)
            .unwrap_or_else(|| panic!("no {manager} {operation} in {entries:?}"));
        entry["fieldsV1"]["f:spec"].clone()
    }
}

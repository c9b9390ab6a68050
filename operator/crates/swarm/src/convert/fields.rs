//! Takes known fields out of a JSON object and reports what is left.
//!
//! Guarantees: nothing here fails. A field of an unexpected type is left where it is, and so is
//! reported like any other field that the model does not have.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Engine-API path to compact JSON of the fields that were not taken.
pub(super) type Leftovers = BTreeMap<String, String>;

/// A JSON object that is being read.
pub(super) struct Fields<'a> {
    path: String,
    map: Map<String, Value>,
    left: &'a mut Leftovers,
}

impl<'a> Fields<'a> {
    /// Reads `value` with `read`, then adds what it left to `left`.
    pub(super) fn read<T>(
        path: String,
        value: Value,
        left: &'a mut Leftovers,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        let map = match value {
            Value::Object(map) => map,
            other => {
                if !is_default(&other) {
                    left.insert(path.clone(), other.to_string());
                }
                Map::new()
            }
        };
        let mut fields = Fields { path, map, left };
        let result = read(&mut fields);
        for (key, value) in std::mem::take(&mut fields.map) {
            if !is_default(&value) {
                fields.leave(&key, value.to_string());
            }
        }
        result
    }

    /// Reports a field as not taken.
    pub(super) fn leave(&mut self, key: &str, json: String) {
        let path = join(&self.path, key);
        self.left.insert(path, json);
    }

    /// Is there anything but defaults in `key`?
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !is_default(value))
    }

    /// Is `key` there, with whatever value but null?
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// Takes a field; absent, null and unreadable give `None`.
    pub(super) fn opt<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.map.get(key)?;
        let taken = T::deserialize(value).ok()?;
        self.map.remove(key);
        Some(taken)
    }

    /// Takes a field; absent, null and unreadable give the type's default.
    pub(super) fn take<T: DeserializeOwned + Default>(&mut self, key: &str) -> T {
        self.opt(key).unwrap_or_default()
    }

    /// Takes a text; absent and empty give `default`.
    pub(super) fn text_or(&mut self, key: &str, default: &str) -> String {
        let text: String = self.take(key);
        if text.is_empty() {
            default.to_owned()
        } else {
            text
        }
    }

    /// Drops a field that has the value which the Engine fills in.
    pub(super) fn ignore(&mut self, key: &str, value: &str) {
        if self.map.get(key).and_then(Value::as_str) == Some(value) {
            self.map.remove(key);
        }
    }

    /// Reads an object field; absent and null give an empty object.
    pub(super) fn object<T>(&mut self, key: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> T {
        let value = self.map.remove(key).unwrap_or(Value::Null);
        Fields::read(join(&self.path, key), value, self.left, read)
    }

    /// Reads every element of a list field; absent and null give an empty list.
    pub(super) fn each<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&mut Fields<'_>) -> T,
    ) -> Vec<T> {
        let items: Vec<Value> = self.take(key);
        let path = join(&self.path, key);
        let items = items.into_iter().enumerate();
        items
            .map(|(i, v)| Fields::read(format!("{path}[{i}]"), v, self.left, &mut read))
            .collect()
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Is this what the Engine says for a field that nobody set?
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_default),
    }
}

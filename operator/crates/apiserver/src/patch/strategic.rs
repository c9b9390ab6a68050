//! Strategic merge patch: a merge patch that knows, from `x-kubernetes-patch-strategy` and
//! `x-kubernetes-patch-merge-key` in the schema, which lists are merged by key.
//!
//! Directives inside of a patch:
//! - `$patch: replace | delete | merge` in a map decides for that map (`merge` is what happens
//!   anyway); in an element of a keyed list, `delete` removes the element with the same key and
//!   `replace` makes the patch's list the whole list;
//! - `$retainKeys: [..]` drops every other key of the map;
//! - `$setElementOrder/LIST: [..]` fixes the order of the merged list;
//! - `$deleteFromPrimitiveList/LIST: [..]` removes scalars.
//!
//! **Guarantees.** No directive and no null that came from the patch is left in the result. A
//! merged list keeps the relative order of the patch and, among the rest, that of the document.
//!
//! **Assumptions.** A field that the schema does not describe has no strategy: maps merge, lists
//! are replaced.
//!
//! **Errors.** [`StrategicError`]: the path inside of the patch, and what is wrong there.

mod list;

use serde_json::{Map, Value};

use super::{MAX_DEPTH, depth};
use crate::schema::Schema;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER_PREFIX: &str = "$setElementOrder/";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";

/// Why a strategic merge patch was not applied.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("strategic merge patch, at {}: {reason}", if .path.is_empty() { "the root" } else { .path })]
pub struct StrategicError {
    /// Where in the patch, for example `spec.ports[1]`.
    pub path: String,
    /// What is wrong there.
    pub reason: StrategicReason,
}

/// What is wrong at one place of a strategic merge patch.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum StrategicReason {
    /// The document or the patch is not a JSON object.
    #[error("must be an object, not {0}")]
    NotAnObject(Value),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested {0} deep; at most {MAX_DEPTH} is allowed")]
    TooDeep(usize),
    /// `$patch` with an unknown value, or one that is not possible there.
    #[error("$patch may be {allowed}, not {found}")]
    Directive {
        /// What stood there.
        found: Value,
        /// What may stand there.
        allowed: &'static str,
    },
    /// A directive that takes a list got something else.
    #[error("{0} must be a list")]
    NotAList(String),
    /// An order for what is no list but a directive itself.
    #[error("{0} is a directive: it has no order")]
    OrderOfDirective(String),
    /// A field of the patch that its own `$retainKeys` does not list.
    #[error("{0} is set by the patch but missing from its $retainKeys")]
    NotRetained(String),
    /// An element of a keyed list without its key.
    #[error("{element} does not contain the declared merge key {key}")]
    NoKey {
        /// The element.
        element: Value,
        /// The merge key of the list.
        key: String,
    },
    /// A list of maps is to be merged, but the schema declares no key.
    #[error("lists of objects cannot be merged here: the schema declares no merge key")]
    NoMergeKey,
    /// Elements of different types in lists that are to be merged.
    #[error("the elements of lists that are merged must have one type, and not be lists")]
    MixedElements,
    /// Elements of the patch that contradict `$setElementOrder`.
    #[error("the order in the patch list does not match the $setElementOrder list")]
    Order,
}

type Result<T> = std::result::Result<T, StrategicError>;

impl From<StrategicReason> for StrategicError {
    fn from(reason: StrategicReason) -> Self {
        Self {
            path: String::new(),
            reason,
        }
    }
}

impl StrategicError {
    /// The same error, seen from one level further up.
    fn under(mut self, step: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{step}{joint}{}", self.path);
        self
    }
}

/// Applies `patch` to `document` under `schema`, the schema of the whole object. A null patch is
/// the empty one.
///
/// # Errors
/// See [`StrategicError`].
pub fn apply(schema: &Schema, document: &Value, patch: &Value) -> Result<Value> {
    for value in [document, patch] {
        let depth = depth(value);
        if depth > MAX_DEPTH {
            return Err(StrategicReason::TooDeep(depth).into());
        }
    }
    let empty = Map::new();
    let patch = match patch {
        Value::Null => &empty,
        Value::Object(patch) => patch,
        other => return Err(StrategicReason::NotAnObject(other.clone()).into()),
    };
    let Value::Object(document) = document else {
        return Err(StrategicReason::NotAnObject(document.clone()).into());
    };
    merge_map(Some(schema), document.clone(), patch).map(Value::Object)
}

/// What the schema says about one field.
struct Field<'a> {
    schema: Option<&'a Schema>,
}

impl<'a> Field<'a> {
    fn of(map: Option<&'a Schema>, key: &str) -> Self {
        let found = map.and_then(|map| map.properties.get(key).or(map.additional.as_ref()));
        Self {
            schema: found.map(|schema| &**schema),
        }
    }

    fn has_strategy(&self, name: &str) -> bool {
        self.schema
            .is_some_and(|schema| schema.patch_strategy.iter().any(|each| each == name))
    }

    fn merge_key(&self) -> Option<&'a str> {
        self.schema
            .and_then(|schema| schema.patch_merge_key.as_deref())
    }

    fn items(&self) -> Option<&'a Schema> {
        self.schema.and_then(|schema| schema.items.as_deref())
    }
}

fn merge_map(
    schema: Option<&Schema>,
    mut document: Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>> {
    match patch.get(DIRECTIVE) {
        None => {}
        Some(Value::String(word)) if word == "merge" => {}
        Some(Value::String(word)) if word == "delete" => return Ok(Map::new()),
        Some(Value::String(word)) if word == "replace" => return Ok(plain_map(patch)),
        Some(other) => {
            let allowed = "\"merge\", \"replace\" or \"delete\"";
            return Err(StrategicReason::Directive {
                found: other.clone(),
                allowed,
            }
            .into());
        }
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        retain_keys(&mut document, patch, keys)?;
    }
    for (key, order) in with_prefix(patch, ORDER_PREFIX) {
        merge_ordered(schema, &mut document, patch, key, order)
            .map_err(|error| error.under(key))?;
    }
    for (key, value) in patch {
        let ordered = value.is_array() && patch.contains_key(&format!("{ORDER_PREFIX}{key}"));
        if !is_directive(key) && !ordered {
            merge_field(&Field::of(schema, key), &mut document, key, value)
                .map_err(|error| error.under(key))?;
        }
    }
    for (key, unwanted) in with_prefix(patch, DELETE_PREFIX) {
        let unwanted = directive_list(DELETE_PREFIX, key, unwanted)?;
        if let Some(Value::Array(items)) = document.get_mut(key) {
            items.retain(|item| !unwanted.contains(item));
        }
    }
    Ok(document)
}

fn merge_field(
    field: &Field<'_>,
    document: &mut Map<String, Value>,
    key: &str,
    patch: &Value,
) -> Result<()> {
    let merged = match (document.remove(key), patch) {
        (_, Value::Null) => None,
        (Some(Value::Object(live)), Value::Object(patch)) if !field.has_strategy("replace") => {
            Some(Value::Object(merge_map(field.schema, live, patch)?))
        }
        (Some(Value::Array(live)), Value::Array(patch)) if field.has_strategy("merge") => {
            Some(Value::Array(list::merge(field, live, patch)?))
        }
        (_, patch) => plain(patch),
    };
    if let Some(merged) = merged {
        document.insert(key.to_owned(), merged);
    }
    Ok(())
}

/// Merges the list that `$setElementOrder/KEY` speaks of, and puts it in that order.
fn merge_ordered(
    schema: Option<&Schema>,
    document: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    key: &str,
    order: &Value,
) -> Result<()> {
    let order = directive_list(ORDER_PREFIX, key, order)?;
    if is_directive(key) {
        return Err(StrategicReason::OrderOfDirective(key.to_owned()).into());
    }
    let list_patch = match patch.get(key) {
        Some(Value::Array(items)) => Some(items),
        None => None,
        // A null deletes the list, which needs no order.
        Some(Value::Null) => return Ok(()),
        Some(_) => return Err(StrategicReason::NotAList(key.to_owned()).into()),
    };
    let live = match document.get(key) {
        Some(Value::Array(items)) => Some(items.clone()),
        None | Some(Value::Null) => None,
        Some(_) => return Err(StrategicReason::NotAList(key.to_owned()).into()),
    };
    let field = Field::of(schema, key);
    list::check_order(&field, list_patch.map_or(&[], Vec::as_slice), order)?;
    let merged = match (&live, list_patch) {
        (None, None) => return Ok(()),
        (Some(live), None) => live.clone(),
        (None, Some(patch)) => plain_list(patch),
        (Some(live), Some(patch)) if field.has_strategy("merge") => {
            list::merge(&field, live.clone(), patch)?
        }
        (Some(_), Some(patch)) => plain_list(patch),
    };
    let live_order = list::refill(&field, live.unwrap_or_default(), &merged);
    let sorted = list::sort(&field, merged, order, &live_order)?;
    document.insert(key.to_owned(), Value::Array(sorted));
    Ok(())
}

fn retain_keys(
    document: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    keys: &Value,
) -> Result<()> {
    let Value::Array(keys) = keys else {
        return Err(StrategicReason::NotAList(RETAIN_KEYS.to_owned()).into());
    };
    let listed = |key: &str| keys.iter().any(|each| each.as_str() == Some(key));
    for (key, value) in patch {
        if !value.is_null() && !is_directive(key) && !listed(key) {
            return Err(StrategicReason::NotRetained(key.clone()).into());
        }
    }
    document.retain(|key, _| listed(key));
    Ok(())
}

fn with_prefix<'a>(
    patch: &'a Map<String, Value>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    patch
        .iter()
        .filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
}

fn directive_list<'a>(prefix: &str, key: &str, value: &'a Value) -> Result<&'a Vec<Value>> {
    let error = || StrategicReason::NotAList(format!("{prefix}{key}")).into();
    value.as_array().ok_or_else(error)
}

fn is_directive(key: &str) -> bool {
    key == DIRECTIVE
        || key == RETAIN_KEYS
        || key.starts_with(ORDER_PREFIX)
        || key.starts_with(DELETE_PREFIX)
}

/// The value without nulls in maps and without directives; `None` where it was a directive itself.
fn plain(patch: &Value) -> Option<Value> {
    match patch {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => Some(Value::Object(plain_map(fields))),
        Value::Array(items) => Some(Value::Array(plain_list(items))),
        scalar => Some(scalar.clone()),
    }
}

/// `fields` without nulls and directives.
fn plain_map(fields: &Map<String, Value>) -> Map<String, Value> {
    let fields = fields
        .iter()
        .filter(|(key, value)| !is_directive(key) && !value.is_null());
    fields
        .filter_map(|(key, value)| Some((key.clone(), plain(value)?)))
        .collect()
}

fn plain_list(items: &[Value]) -> Vec<Value> {
    items.iter().filter_map(plain).collect()
}

#[cfg(test)]
mod tests;

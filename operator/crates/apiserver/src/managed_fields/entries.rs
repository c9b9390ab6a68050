//! `metadata.managedFields`: who owns what, as it is written in an object.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Manager;
use super::ownership::{Owned, Owners};
use super::set::{BadFields, FieldSet};

/// Entries of updates that are kept apart; the oldest beyond that are folded into one.
pub(super) const MAX_UPDATE_MANAGERS: usize = 10;

/// The manager that older updates are folded into.
const ANCIENT: &str = "ancient-changes";

/// Why `managedFields` could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadManagedFields {
    /// Neither absent nor a list of objects.
    #[error("managedFields must be a list of objects")]
    NotAList,
    /// An operation that does not exist.
    #[error("entry {index}: operation must be \"Apply\" or \"Update\", not {found}")]
    Operation {
        /// Position of the entry.
        index: usize,
        /// What stood there.
        found: Value,
    },
    /// Without a version the fields have no meaning.
    #[error("entry {0}: apiVersion must not be empty")]
    NoVersion(usize),
    /// Another form of fields than `FieldsV1`.
    #[error("entry {index}: fieldsType must be \"FieldsV1\", not {found}")]
    FieldsType {
        /// Position of the entry.
        index: usize,
        /// What stood there.
        found: Value,
    },
    /// The fields themselves.
    #[error("entry {index}: {source}")]
    Fields {
        /// Position of the entry.
        index: usize,
        /// What is wrong with them.
        source: BadFields,
    },
}

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// What makes an entry the same entry the next time: for an apply not the version, so that an
/// applier which moves to another version keeps what it owns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagerId {
    pub(super) operation: Operation,
    pub(super) name: String,
    pub(super) api_version: Option<String>,
    pub(super) subresource: String,
}

impl ManagerId {
    pub(super) fn new(manager: &Manager<'_>, operation: Operation) -> Self {
        let name = if manager.name.is_empty() {
            "unknown"
        } else {
            manager.name
        };
        let api_version = match operation {
            Operation::Apply => None,
            Operation::Update => Some(manager.api_version.to_owned()),
        };
        let subresource = manager.subresource.unwrap_or_default().to_owned();
        Self {
            operation,
            name: name.to_owned(),
            api_version,
            subresource,
        }
    }

    /// Stands for the running update; no entry can have it, for updates have a version.
    pub(super) fn current() -> Self {
        let (name, subresource) = (String::new(), String::new());
        Self {
            operation: Operation::Update,
            name,
            api_version: None,
            subresource,
        }
    }
}

/// As conflicts name a manager.
impl fmt::Display for ManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        match &self.api_version {
            Some(version) => write!(f, " using {version}"),
            None => Ok(()),
        }
    }
}

/// The content of `metadata.managedFields`.
#[derive(Clone, Debug, Default)]
pub(super) struct Managed {
    pub(super) owners: Owners<ManagerId>,
    pub(super) times: BTreeMap<ManagerId, String>,
}

impl Managed {
    /// Reads the list; absent and null are the empty list.
    pub(super) fn decode(entries: Option<&Value>) -> Result<Self, BadManagedFields> {
        let entries = match entries {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(BadManagedFields::NotAList),
        };
        let mut managed = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            managed.decode_entry(index, entry)?;
        }
        Ok(managed)
    }

    fn decode_entry(&mut self, index: usize, entry: &Value) -> Result<(), BadManagedFields> {
        let Value::Object(entry) = entry else {
            return Err(BadManagedFields::NotAList);
        };
        let found = |key: &str| entry.get(key).cloned().unwrap_or_default();
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => {
                return Err(BadManagedFields::Operation {
                    index,
                    found: found("operation"),
                });
            }
        };
        let api_version = text("apiVersion").to_owned();
        if api_version.is_empty() {
            return Err(BadManagedFields::NoVersion(index));
        }
        if text("fieldsType") != "FieldsV1" {
            return Err(BadManagedFields::FieldsType {
                index,
                found: found("fieldsType"),
            });
        }
        let fields = match entry.get("fieldsV1") {
            None | Some(Value::Null) => FieldSet::default(),
            Some(fields) => FieldSet::decode(fields)
                .map_err(|source| BadManagedFields::Fields { index, source })?,
        };
        let applied = operation == Operation::Apply;
        let id = ManagerId {
            operation,
            name: text("manager").to_owned(),
            api_version: (!applied).then(|| api_version.clone()),
            subresource: text("subresource").to_owned(),
        };
        if let Some(time) = entry.get("time").and_then(Value::as_str) {
            self.times.insert(id.clone(), time.to_owned());
        }
        self.owners.insert(
            id,
            Owned {
                fields,
                api_version,
                applied,
            },
        );
        Ok(())
    }

    /// The list, in the order that readers expect: appliers first, then by age.
    pub(super) fn encode(&self) -> Value {
        let mut entries: Vec<_> = self.owners.iter().collect();
        entries.sort_by(|(a, _), (b, _)| {
            let by_operation = a.operation.cmp(&b.operation);
            by_operation
                .then_with(|| self.by_age(a, b))
                .then_with(|| a.cmp(b))
        });
        entries
            .into_iter()
            .map(|(id, owned)| self.encode_entry(id, owned))
            .collect()
    }

    fn encode_entry(&self, id: &ManagerId, owned: &Owned) -> Value {
        let operation = match id.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = Map::new();
        let mut set = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        set("apiVersion", json!(owned.api_version));
        set("fieldsType", json!("FieldsV1"));
        set("fieldsV1", owned.fields.encode());
        set("operation", json!(operation));
        if !id.name.is_empty() {
            set("manager", json!(id.name));
        }
        if !id.subresource.is_empty() {
            set("subresource", json!(id.subresource));
        }
        if let Some(time) = self.times.get(id) {
            set("time", json!(time));
        }
        Value::Object(entry)
    }

    /// Whole seconds since 1970; entries without a readable time are the oldest.
    fn by_age(&self, a: &ManagerId, b: &ManagerId) -> Ordering {
        let seconds = |id| {
            let time = self
                .times
                .get(id)
                .and_then(|time| time.parse::<Timestamp>().ok());
            time.map_or(0, Timestamp::as_second)
        };
        seconds(a).cmp(&seconds(b))
    }

    /// Notes that a manager wrote at `time`. Through `scale`, as on Kubernetes, no time is noted: such
    /// entries come first.
    pub(super) fn set_time(&mut self, id: ManagerId, time: Timestamp) {
        if id.subresource != "scale" {
            self.times
                .insert(id, time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
    }

    /// Folds the oldest updates of each version into one entry, until not more than
    /// [`MAX_UPDATE_MANAGERS`] are left or there is nothing to fold.
    pub(super) fn fold_old_updates(&mut self) {
        let updates = self
            .owners
            .keys()
            .filter(|id| id.operation == Operation::Update);
        let mut updates: Vec<ManagerId> = updates.cloned().collect();
        updates.sort_by(|a, b| self.by_age(a, b).then_with(|| a.cmp(b)));
        let mut count = updates.len();
        let mut first_of: BTreeMap<Option<String>, ManagerId> = BTreeMap::new();
        for id in updates {
            if count <= MAX_UPDATE_MANAGERS {
                return;
            }
            let Some(first) = first_of.get(&id.api_version) else {
                first_of.insert(id.api_version.clone(), id);
                continue;
            };
            let api_version = id.api_version.clone();
            let bucket = ManagerId {
                operation: Operation::Update,
                name: ANCIENT.to_owned(),
                api_version: api_version.clone(),
                subresource: String::new(),
            };
            // Into the set that there is: a client can send more entries than copies of it are cheap.
            let before = self.owners.remove(&bucket).map(|owned| owned.fields);
            let mut folded = before.unwrap_or_default();
            for old in [first, &id] {
                if let Some(owned) = self.owners.remove(old) {
                    folded.extend(&owned.fields);
                }
            }
            let time = self.times.get(&id).cloned();
            self.times.extend(time.map(|time| (bucket.clone(), time)));
            let api_version = api_version.unwrap_or_default();
            let owned = Owned {
                fields: folded,
                api_version,
                applied: false,
            };
            self.owners.insert(bucket, owned);
            count -= 1;
        }
    }
}

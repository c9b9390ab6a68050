//! The table of everything that is served.
//!
//! Built-in kinds and kinds defined by a `CustomResourceDefinition` are rows of one table; no
//! handler knows a kind by name, what differs is data here or code in a [`Strategy`].
//!
//! Guarantees: a reader works on one consistent snapshot of the table for as long as it holds
//! it; rows can be added and removed while requests run. The order of the table is the order of
//! discovery: core first, then our group, then the others by name.

mod crd;
mod strategy;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::watch;

pub use crd::{CrdError, from_crd};
pub use strategy::{CustomStrategy, PlainStrategy, Strategy, StrategyError, View, WriteContext};

use crate::columns::JsonPath;
use crate::schema::Schema;
use crate::status_error::ApiError;

/// Something that can be asked of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Follow changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change one in part.
    Patch,
    /// Delete one.
    Delete,
    /// Delete many.
    DeleteCollection,
}

impl Verb {
    /// All verbs, in the order in which discovery shows them.
    pub const ALL: &'static [Self] = &[
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];
    /// All verbs, in the order in which discovery shows them for custom kinds.
    pub const CUSTOM: &'static [Self] = &[
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Create,
        Self::Update,
        Self::Watch,
    ];
    /// All but deleting a whole collection.
    pub const ONE_BY_ONE: &'static [Self] = &[
        Self::Create,
        Self::Delete,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];
    /// What can be done with a view.
    pub const READ: &'static [Self] = &[Self::Get, Self::List, Self::Watch];
    /// What review kinds can do.
    pub const CREATE_ONLY: &'static [Self] = &[Self::Create];

    /// As in RBAC rules and discovery.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// Where the `scale` subresource finds its numbers: dotted paths, as in a CRD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// `.spec.replicas`
    pub spec_replicas: String,
    /// `.status.replicas`
    pub status_replicas: String,
    /// `.status.selector`
    pub label_selector: Option<String>,
}

/// The subresources of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subresources {
    /// `/status`
    pub status: bool,
    /// `/scale`
    pub scale: Option<ScalePaths>,
    /// `/finalize` (namespaces).
    pub finalize: bool,
    /// `/token` (service accounts).
    pub token: bool,
}

/// How a table cell is made.
#[derive(Clone)]
pub enum Cell {
    /// A JSONPath of `additionalPrinterColumns`, with its leading dot.
    JsonPath(JsonPath),
    /// Computed from the object (the number of keys of a Secret, for example).
    Computed(fn(&Value) -> Value),
}

/// One column of `kubectl get`.
#[derive(Clone)]
pub struct PrinterColumn {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// `name` for the first column, else empty or as in the CRD.
    pub format: String,
    /// For `kubectl get -o wide` and explain.
    pub description: String,
    /// 0 is always shown, anything greater with `-o wide` only.
    pub priority: i32,
    /// Where the value comes from.
    pub cell: Cell,
}

/// How the served form of an object comes from the stored one.
#[derive(Clone)]
pub enum Conversion {
    /// Under a second group, with other names (`events.k8s.io` over core events).
    Form {
        /// From the stored to the served form.
        from_stored: fn(Value) -> Value,
        /// From the served to the stored form.
        to_stored: fn(Value) -> Value,
    },
    /// As a definition says that has or had several versions or schemas.
    Definition(Arc<Versions>),
}

/// The versions of a definition that has or had several versions or schemas: what was stored under
/// another one is read as if it were written today. As on Kubernetes, objects of other versions
/// have the defaults of the storage version, too.
#[derive(Debug)]
pub struct Versions {
    /// `apiVersion` of the storage version.
    pub storage: String,
    /// Present schemas, by `apiVersion`.
    pub schemas: BTreeMap<String, Arc<Schema>>,
}

impl Versions {
    /// The object in another version, whose schema is `schema`.
    fn convert(object: &mut Value, version: &str, schema: &Schema) {
        if object["apiVersion"] != version {
            object["apiVersion"] = version.into();
            schema.prune(object);
        }
    }
}

/// How the objects of a resource live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// In the store.
    Stored,
    /// Nowhere: a request is answered from its body (`SelfSubjectAccessReview`).
    Review,
}

/// One row of the table.
#[derive(Clone)]
pub struct ResourceDef {
    /// API group; empty for core.
    pub group: Arc<str>,
    /// API version.
    pub version: Arc<str>,
    /// `deployments`
    pub plural: Arc<str>,
    /// `deployment`
    pub singular: Arc<str>,
    /// `Deployment`
    pub kind: Arc<str>,
    /// `DeploymentList`
    pub list_kind: Arc<str>,
    /// `deploy`
    pub short_names: Vec<String>,
    /// `all`
    pub categories: Vec<String>,
    /// Has a namespace in its path.
    pub namespaced: bool,
    /// What can be asked of it.
    pub verbs: &'static [Verb],
    /// Its subresources.
    pub subresources: Subresources,
    /// Its schema.
    pub schema: Arc<Schema>,
    /// Defined by a CRD, and so without strategic merge.
    pub custom: bool,
    /// Columns after `Name`; empty means the default, `Age`.
    pub columns: Vec<PrinterColumn>,
    /// Fields usable in field selectors beside `metadata.name` and `metadata.namespace`:
    /// dotted, without leading dot.
    pub selectable_fields: Vec<String>,
    /// What is particular about writing it.
    pub strategy: Arc<dyn Strategy>,
    /// Collection in the store.
    pub storage: Arc<str>,
    /// Where the served form is not the stored one.
    pub conversion: Option<Conversion>,
    /// How its objects live.
    pub backing: Backing,
    /// What clients of a deprecated version are warned of.
    pub deprecation: Option<String>,
}

impl ResourceDef {
    /// `v1`, `obiente.cloud/v1alpha1`
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `deployments.obiente.cloud`, or the bare plural for core: as error messages name it.
    pub fn qualified_plural(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `Deployment.obiente.cloud`, or the bare kind for core.
    pub fn qualified_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }

    /// The served form of a stored object.
    pub fn from_stored(&self, mut object: Value) -> Value {
        match &self.conversion {
            None => object,
            Some(Conversion::Form { from_stored, .. }) => from_stored(object),
            Some(Conversion::Definition(versions)) => {
                let stored = object["apiVersion"].as_str();
                if let Some(schema) = stored.and_then(|version| versions.schemas.get(version)) {
                    schema.prune(&mut object);
                    schema.drop_nulls(&mut object);
                    schema.apply_defaults(&mut object);
                }
                Versions::convert(&mut object, &self.api_version(), &self.schema);
                object
            }
        }
    }

    /// The stored form of a served object.
    pub fn to_stored(&self, mut object: Value) -> Value {
        match &self.conversion {
            None => object,
            Some(Conversion::Form { to_stored, .. }) => to_stored(object),
            Some(Conversion::Definition(versions)) => {
                if let Some(schema) = versions.schemas.get(&versions.storage) {
                    Versions::convert(&mut object, &versions.storage, schema);
                    schema.apply_defaults(&mut object);
                }
                object
            }
        }
    }

    /// Is this verb implemented?
    pub fn supports(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

impl std::fmt::Debug for ResourceDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.plural)
    }
}

/// `v1` or `group/version`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// `name` or `name.group`.
pub fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

/// Collection of a resource in the store.
pub fn storage_name(group: &str, plural: &str) -> Arc<str> {
    if group.is_empty() {
        plural.into()
    } else {
        format!("{group}/{plural}").into()
    }
}

/// A consistent state of the table.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Changes whenever the table changes: caches of derived documents compare it.
    pub generation: u64,
    /// All rows in discovery order.
    pub resources: Vec<Arc<ResourceDef>>,
}

impl Snapshot {
    /// The row of `group`, `version`, `plural`. The table is short: looking at each row is cheaper
    /// than making a key.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<ResourceDef>> {
        let wanted = |def: &&Arc<ResourceDef>| {
            &*def.plural == plural && &*def.group == group && &*def.version == version
        };
        self.resources.iter().find(wanted)
    }

    /// The error for a path of this group that leads nowhere.
    pub(crate) fn no_such_path(&self, group: &str) -> ApiError {
        let mut rows = self.resources.iter();
        match rows.any(|def| !def.custom && &*def.group == group) {
            true => ApiError::NoSuchPath,
            false => ApiError::PageNotFound,
        }
    }

    /// Groups and their versions in discovery order.
    pub fn group_versions(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let mut seen = Vec::new();
        for def in &self.resources {
            let pair = (def.group.clone(), def.version.clone());
            if !seen.contains(&pair) {
                seen.push(pair);
            }
        }
        seen
    }

    /// Rows of one group and version, in discovery order.
    pub fn of_version<'a>(
        &'a self,
        group: &'a str,
        version: &'a str,
    ) -> impl Iterator<Item = &'a Arc<ResourceDef>> + Clone {
        self.resources
            .iter()
            .filter(move |def| &*def.group == group && &*def.version == version)
    }

    /// One row per stored collection, for work that goes over everything stored.
    pub fn stored(&self) -> impl Iterator<Item = &Arc<ResourceDef>> {
        let stored = |def: &&Arc<ResourceDef>| {
            let second_form = matches!(def.conversion, Some(Conversion::Form { .. }));
            def.backing == Backing::Stored && !second_form
        };
        // Of several versions, the first.
        let first = |def: &&Arc<ResourceDef>| {
            let mut same = self.resources.iter();
            let first = same.find(|other| other.storage == def.storage);
            def.conversion.is_none() || first.is_some_and(|first| Arc::ptr_eq(first, def))
        };
        self.resources.iter().filter(stored).filter(first)
    }
}

/// The table; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    current: Arc<RwLock<Arc<Snapshot>>>,
    changes: Arc<watch::Sender<()>>,
}

impl Registry {
    /// A table with these rows.
    pub fn new(resources: Vec<ResourceDef>) -> Self {
        let registry = Self::default();
        registry.change(|rows| rows.extend(resources.into_iter().map(Arc::new)));
        registry
    }

    /// The table as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().clone()
    }

    /// Adds rows, or replaces those of the same group, version and plural.
    pub fn add(&self, resources: Vec<ResourceDef>) {
        self.change(|rows| {
            for def in resources {
                rows.retain(|row| !same(row, &def));
                rows.push(Arc::new(def));
            }
        });
    }

    /// Removes a resource in all its versions.
    pub fn remove(&self, group: &str, plural: &str) {
        self.change(|rows| rows.retain(|row| &*row.group != group || &*row.plural != plural));
    }

    /// Puts these rows in the place of a resource in all its versions.
    pub fn replace(&self, group: &str, plural: &str, resources: Vec<ResourceDef>) {
        self.change(|rows| {
            rows.retain(|row| &*row.group != group || &*row.plural != plural);
            rows.extend(resources.into_iter().map(Arc::new));
        });
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Leaves only these verbs of a resource in all its versions, whose rows stay what they were
    /// in all else.
    pub fn restrict(&self, group: &str, plural: &str, verbs: &'static [Verb]) {
        self.change(|rows| {
            let of_it =
                |row: &&mut Arc<ResourceDef>| &*row.group == group && &*row.plural == plural;
            for row in rows.iter_mut().filter(of_it) {
                Arc::make_mut(row).verbs = verbs;
            }
        });
    }

    fn change(&self, edit: impl FnOnce(&mut Vec<Arc<ResourceDef>>)) {
        let mut current = self.current.write();
        let mut resources = current.resources.clone();
        edit(&mut resources);
        // Stable: rows of one group and version stay in the order in which they were added.
        resources.sort_by_key(|def| (rank(def), def.group.clone(), def.version.clone()));
        *current = Arc::new(Snapshot {
            generation: current.generation + 1,
            resources,
        });
        drop(current);
        self.changes.send_replace(());
    }
}

/// kubectl resolves a short name to the first group that has it: core always, then ours.
fn rank(def: &ResourceDef) -> u8 {
    match &*def.group {
        "" => 0,
        api_types::GROUP => 1,
        _ => 2,
    }
}

fn same(a: &ResourceDef, b: &ResourceDef) -> bool {
    a.group == b.group && a.version == b.version && a.plural == b.plural
}

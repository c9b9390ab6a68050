//! `CustomResourceDefinition`: kinds that users add while the server runs.
//!
//! A definition is an object like any other; what it defines is served once its condition
//! `Established` is true. The loop in [`follow`] keeps the table of what is served equal to the
//! stored definitions, in every process; a request for a kind that the table does not have looks
//! into the store first, so a client that saw `Established` at one server can use another.
//!
//! Objects are stored as they were written and served under every served version with its
//! `apiVersion` (conversion strategy `None`). The server's own kinds are definitions too, made at
//! start; their `spec` cannot be changed and they cannot be deleted.

pub(crate) mod check;
mod follow;
mod keywords;
mod names;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

pub(crate) use follow::{Registered, bootstrap, catch_up, load, run};

use super::{Names, stored_as};
use crate::meta;
use crate::registry::{ResourceDef, Snapshot, Strategy, StrategyError, Subresources, WriteContext};
use crate::schema::{Schema, Zero, core};
use crate::server::ServerError;
use crate::validation::FieldError;

const GROUP: &str = "apiextensions.k8s.io";
const KIND: &str = "CustomResourceDefinition";
/// Collection in the store.
const STORAGE: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// Holds a definition until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The row of the table. `own` are the definitions of the server itself, `snapshot` has its
/// other kinds: their groups cannot be added to.
///
/// # Errors
/// A schema that does not compile: a bug.
pub(crate) fn definition(
    own: &[CustomResourceDefinition],
    snapshot: &Snapshot,
) -> Result<ResourceDef, ServerError> {
    let built_in = snapshot.resources.iter().filter(|def| !def.custom);
    let groups = built_in.map(|def| def.group.clone());
    let strategy = DefinitionStrategy {
        own: own
            .iter()
            .filter_map(|crd| crd.metadata.name.clone())
            .collect(),
        groups: groups
            .chain([GROUP.into(), api_types::GROUP.into()])
            .collect(),
    };
    let names = Names {
        group: GROUP,
        namespaced: false,
        ..Names::core("customresourcedefinitions", KIND, &["crd", "crds"])
    };
    let def = stored_as(names, strategy, core::schema::<CustomResourceDefinition>())?;
    // What must be there is told with everything else that is wrong.
    let mut schema = Schema::clone(&def.schema);
    require_nothing(&mut schema);
    // A new definition has none yet, which Kubernetes shows as `null`.
    let status = schema.properties.get_mut("status").map(Arc::make_mut);
    let conditions = status.and_then(|status| status.properties.get_mut("conditions"));
    if let Some(conditions) = conditions {
        Arc::make_mut(conditions).nullable = true;
    }
    // These two are in every definition, so nobody owns that they are there.
    if let Some(spec) = schema.properties.get_mut("spec").map(Arc::make_mut) {
        spec.zero = Zero::Written(json!({}));
        if let Some(names) = spec.properties.get_mut("names") {
            Arc::make_mut(names).zero = Zero::Written(json!({}));
        }
    }
    Ok(ResourceDef {
        schema: Arc::new(schema),
        categories: vec!["api-extensions".to_owned()],
        subresources: Subresources {
            status: true,
            ..Subresources::default()
        },
        ..def
    })
}

fn require_nothing(schema: &mut Schema) {
    schema.required.clear();
    let below = schema.properties.values_mut().chain(&mut schema.additional);
    for schema in below.chain(&mut schema.items) {
        require_nothing(Arc::make_mut(schema));
    }
}

/// See the module.
struct DefinitionStrategy {
    /// Names of the server's own definitions.
    own: BTreeSet<String>,
    /// Groups that belong to the server.
    groups: BTreeSet<Arc<str>>,
}

impl Strategy for DefinitionStrategy {
    fn complete(&self, object: &mut Value) {
        complete(object);
    }

    fn prepare_create(&self, object: &mut Value, _: &WriteContext<'_>) {
        let none = json!({"plural": "", "kind": ""});
        let status = json!({"conditions": null, "acceptedNames": none, "storedVersions": []});
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), status);
        }
        note_storage_version(object);
    }

    fn prepare_update(&self, object: &mut Value, _: &Value, _: &WriteContext<'_>) {
        note_storage_version(object);
    }

    fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        if let Some(old) = old.filter(|old| old["spec"] == object["spec"]) {
            return check::beside_spec(object, old);
        }
        if old.is_some() && self.own.contains(meta::name(object)) {
            let detail =
                "this kind is part of the server, its definition changes only with the server";
            return vec![FieldError::forbidden("spec", detail)];
        }
        let mut problems = check::definition(object, old);
        let group = object["spec"]["group"].as_str().unwrap_or_default();
        if !group.is_empty() && self.groups.contains(group) {
            let detail =
                format!("the group {group:?} belongs to the server, kinds cannot be added to it");
            problems.push(FieldError::forbidden("spec.group", detail));
        }
        problems
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let before = old.map(check::unknown_formats).unwrap_or_default();
        let mut unknown = check::unknown_formats(object);
        unknown.retain(|format| !before.contains(format));
        let warning = |format: &String| format!("unrecognized format {format:?}");
        unknown.iter().map(warning).collect()
    }

    fn may_delete(&self, object: &Value) -> Result<(), StrategyError> {
        if self.own.contains(meta::name(object)) {
            let message = "this kind is part of the server and cannot be deleted";
            return Err(StrategyError(message.to_owned()));
        }
        Ok(())
    }

    fn prune(&self, object: &mut Value) -> Vec<String> {
        keywords::prune(object)
    }

    fn deletes_gracefully(&self) -> bool {
        false
    }

    fn prepare_delete(&self, object: &mut Value) {
        if let Ok(metadata) = meta::fields(object) {
            let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
            if let Some(list) = list
                .as_array_mut()
                .filter(|list| !list.contains(&json!(CLEANUP)))
            {
                list.push(json!(CLEANUP));
            }
        }
        let message =
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        set_condition(
            object,
            "Terminating",
            true,
            "InstanceDeletionPending",
            message,
        );
    }

    /// Its objects go before it does.
    fn held(&self, object: &Value) -> bool {
        !meta::is_deleting(object)
    }
}

/// Fills in what follows from the rest.
fn complete(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !kind.is_empty() {
            let (singular, list) = (kind.to_lowercase(), format!("{kind}List"));
            fill(names, "singular", json!(singular));
            fill(names, "listKind", json!(list));
        }
        names.retain(|_, value| *value != json!([]));
    }
    spec.retain(|name, value| name != "preserveUnknownFields" || *value != false);
    let versions = spec.get_mut("versions").and_then(Value::as_array_mut);
    for version in versions
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        for (name, value) in [
            ("name", json!("")),
            ("served", json!(false)),
            ("storage", json!(false)),
        ] {
            version.entry(name).or_insert(value);
        }
    }
    fill(spec, "conversion", json!({"strategy": "None"}));
}

fn fill(fields: &mut Map<String, Value>, name: &str, value: Value) {
    let missing = fields
        .get(name)
        .is_none_or(|found| found.is_null() || found == "");
    if missing {
        fields.insert(name.to_owned(), value);
    }
}

/// Notes in the status that objects may be stored in the storage version from now on.
fn note_storage_version(object: &mut Value) {
    let versions = object["spec"]["versions"].as_array().into_iter().flatten();
    let storage = versions
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .next();
    let list = object
        .get_mut("status")
        .and_then(|status| status.get_mut("storedVersions"))
        .and_then(Value::as_array_mut);
    if let (Some(storage), Some(list)) = (storage, list)
        && !list.contains(&storage)
    {
        list.push(storage);
    }
}

fn has_condition(object: &Value, kind: &str) -> bool {
    let list = object["status"]["conditions"].as_array();
    list.into_iter()
        .flatten()
        .any(|found| found["type"] == kind && found["status"] == "True")
}

/// Sets a condition; its time moves only with its status.
fn set_condition(object: &mut Value, kind: &str, on: bool, reason: &str, message: &str) {
    let status = if on { "True" } else { "False" };
    let Some(status_fields) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let list = status_fields
        .entry("conditions")
        .or_insert_with(|| json!([]));
    if list.is_null() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else {
        return;
    };
    let before = list.iter().position(|found| found["type"] == kind);
    let since = before
        .map(|at| &list[at])
        .filter(|found| found["status"] == status)
        .map_or_else(
            || json!(meta::now()),
            |found| found["lastTransitionTime"].clone(),
        );
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since,
    });
    match before {
        Some(at) => list[at] = condition,
        None => list.push(condition),
    }
}

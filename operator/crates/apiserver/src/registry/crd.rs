//! From a `CustomResourceDefinition` to rows of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, CustomResourceSubresources,
};

use super::{
    Backing, Cell, Conversion, CustomStrategy, PrinterColumn, ResourceDef, ScalePaths, Strategy,
    Subresources, Verb, Versions, api_version, storage_name,
};
use crate::columns::{JsonPath, JsonPathError};
use crate::discovery::version_rank;
use crate::schema::Schema;

/// Why a definition cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// No version is served.
    #[error("CustomResourceDefinition {0} serves no version")]
    NoVersion(String),
    /// A version has no schema.
    #[error(
        "CustomResourceDefinition {crd}, version {version}: schema.openAPIV3Schema is required"
    )]
    NoSchema {
        /// Name of the definition.
        crd: String,
        /// Its version.
        version: String,
    },
    /// The schema cannot be compiled.
    #[error("CustomResourceDefinition {crd}, version {version}: {message}")]
    Schema {
        /// Name of the definition.
        crd: String,
        /// Its version.
        version: String,
        /// What is wrong.
        message: String,
    },
}

/// One row for each served version.
///
/// # Errors
/// When the definition has no served version or a schema that cannot be compiled.
pub fn from_crd(
    crd: &CustomResourceDefinition,
    strategy: CustomStrategy,
) -> Result<Vec<ResourceDef>, CrdError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let strategy: Arc<dyn Strategy> = Arc::new(strategy);
    let mut schemas = BTreeMap::new();
    for version in &crd.spec.versions {
        let schema = Arc::new(schema(&name, version)?);
        schemas.insert(api_version(&crd.spec.group, &version.name), schema);
    }
    let storage = crd.spec.versions.iter().find(|version| version.storage);
    let versions = Arc::new(Versions {
        storage: storage.map_or_else(String::new, |version| {
            api_version(&crd.spec.group, &version.name)
        }),
        schemas,
    });
    let rows = crd
        .spec
        .versions
        .iter()
        .filter(|version| version.served)
        .map(|version| row(crd, version, &versions, &strategy))
        .collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() {
        Err(CrdError::NoVersion(name))
    } else {
        Ok(rows)
    }
}

fn row(
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
    versions: &Arc<Versions>,
    strategy: &Arc<dyn Strategy>,
) -> Result<ResourceDef, CrdError> {
    let names = &crd.spec.names;
    // A definition that never changed and has one version has nothing but objects of that version.
    let unchanged = versions.schemas.len() == 1 && crd.metadata.generation.unwrap_or(1) == 1;
    let subresources = subresources(version.subresources.as_ref());
    Ok(ResourceDef {
        group: crd.spec.group.as_str().into(),
        version: version.name.as_str().into(),
        plural: names.plural.as_str().into(),
        singular: names
            .singular
            .clone()
            .unwrap_or_else(|| names.kind.to_lowercase())
            .into(),
        kind: names.kind.as_str().into(),
        list_kind: names
            .list_kind
            .clone()
            .unwrap_or_else(|| format!("{}List", names.kind))
            .into(),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        namespaced: crd.spec.scope == "Namespaced",
        verbs: Verb::CUSTOM,
        subresources,
        schema: versions.schemas[&api_version(&crd.spec.group, &version.name)].clone(),
        custom: true,
        // With a path that cannot be read, the kind is printed as one without columns.
        columns: columns(version).unwrap_or_default(),
        selectable_fields: selectable_fields(version),
        strategy: strategy.clone(),
        storage: storage_name(&crd.spec.group, &names.plural),
        conversion: (!unchanged).then(|| Conversion::Definition(versions.clone())),
        backing: Backing::Stored,
        deprecation: deprecation(crd, version),
    })
}

/// What clients of a deprecated version are warned of; by default what to use instead, if there is
/// something newer.
fn deprecation(
    crd: &CustomResourceDefinition,
    version: &CustomResourceDefinitionVersion,
) -> Option<String> {
    if version.deprecated != Some(true) {
        return None;
    }
    let (group, kind) = (&crd.spec.group, &crd.spec.names.kind);
    let default = || {
        let rank = |version: &&CustomResourceDefinitionVersion| version_rank(&version.name);
        let newer = crd.spec.versions.iter().filter(|other| {
            other.served && other.deprecated != Some(true) && rank(other) > rank(&version)
        });
        let instead = newer.max_by_key(rank);
        let instead = instead.map(|newer| format!("; use {group}/{} {kind}", newer.name));
        let instead = instead.unwrap_or_default();
        format!("{group}/{} {kind} is deprecated{instead}", version.name)
    };
    Some(version.deprecation_warning.clone().unwrap_or_else(default))
}

fn schema(crd: &str, version: &CustomResourceDefinitionVersion) -> Result<Schema, CrdError> {
    let (crd, version_name) = (crd.to_owned(), version.name.clone());
    let Some(props) = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref())
    else {
        return Err(CrdError::NoSchema {
            crd,
            version: version_name,
        });
    };
    let parsed = serde_json::to_value(props).map_err(|error| error.to_string());
    parsed
        .and_then(|value| Schema::custom_resource(&value).map_err(|error| error.to_string()))
        .map_err(|message| CrdError::Schema {
            crd,
            version: version_name,
            message,
        })
}

fn subresources(declared: Option<&CustomResourceSubresources>) -> Subresources {
    let Some(declared) = declared else {
        return Subresources::default();
    };
    Subresources {
        status: declared.status.is_some(),
        scale: declared.scale.as_ref().map(|scale| ScalePaths {
            spec_replicas: scale.spec_replicas_path.clone(),
            status_replicas: scale.status_replicas_path.clone(),
            label_selector: scale.label_selector_path.clone(),
        }),
        ..Subresources::default()
    }
}

fn columns(version: &CustomResourceDefinitionVersion) -> Result<Vec<PrinterColumn>, JsonPathError> {
    let declared = version.additional_printer_columns.iter().flatten();
    declared
        .map(|column| {
            Ok(PrinterColumn {
                name: column.name.clone(),
                kind: column.type_.clone(),
                format: column.format.clone().unwrap_or_default(),
                description: column.description.clone().unwrap_or_default(),
                priority: column.priority.unwrap_or_default(),
                cell: Cell::JsonPath(JsonPath::parse(&column.json_path)?),
            })
        })
        .collect()
}

fn selectable_fields(version: &CustomResourceDefinitionVersion) -> Vec<String> {
    let declared = version.selectable_fields.iter().flatten();
    declared
        .map(|field| field.json_path.trim_start_matches('.').to_owned())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn deprecated_versions_say_what_to_use_instead() {
        let warnings = |versions: Value| {
            let spec = json!({
                "group": "shop.example", "scope": "Cluster",
                "names": {"plural": "gadgets", "kind": "Gadget"}, "versions": versions,
            });
            let crd: CustomResourceDefinition =
                serde_json::from_value(json!({"spec": spec})).unwrap();
            let texts = crd
                .spec
                .versions
                .iter()
                .map(|version| deprecation(&crd, version));
            texts.collect::<Vec<_>>()
        };
        let version = |name: &str, served: bool, deprecated: bool| json!({"name": name, "served": served, "storage": false, "deprecated": deprecated});
        let mut told = version("v1alpha1", true, true);
        told["deprecationWarning"] = json!("use something else");
        let of_many = warnings(json!([
            version("v2", false, false),
            version("v1beta1", true, true),
            version("v1beta2", true, false),
            version("v1", true, false),
            told,
        ]));
        let expected = [
            None,
            Some("shop.example/v1beta1 Gadget is deprecated; use shop.example/v1 Gadget"),
            None,
            None,
            Some("use something else"),
        ];
        assert_eq!(of_many, expected.map(|text| text.map(str::to_owned)));
        let newest = warnings(json!([
            version("v1", true, false),
            version("v2", true, true)
        ]));
        let expected = [
            None,
            Some("shop.example/v2 Gadget is deprecated".to_owned()),
        ];
        assert_eq!(newest, expected);
    }
}

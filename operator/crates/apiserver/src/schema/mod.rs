//! Structural schemas: the OpenAPI v3 subset of CustomResourceDefinitions, compiled once per
//! resource and used by defaulting, pruning, validation, strategic merge, server-side apply
//! and the published OpenAPI documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// One node of a schema, parsed. The fields are those of `JSONSchemaProps`.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The JSON the node was parsed from, for publishing.
    pub source: Value,
    /// `type`; `None` when unset (int-or-string, preserve-unknown).
    pub kind: Option<Kind>,
    /// `properties`.
    pub properties: BTreeMap<String, Arc<Schema>>,
    /// `required`.
    pub required: Vec<String>,
    /// `additionalProperties`, when it is a schema.
    pub additional: Option<Arc<Schema>>,
    /// `items`.
    pub items: Option<Arc<Schema>>,
    /// `default`.
    pub default: Option<Value>,
    /// `nullable`.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`, or `additionalProperties: true`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded_resource: bool,
    /// `x-kubernetes-list-type`: how server-side apply merges the list.
    pub list_type: ListType,
    /// `x-kubernetes-list-map-keys`.
    pub list_map_keys: Vec<String>,
    /// `x-kubernetes-map-type: atomic`.
    pub map_atomic: bool,
    /// `x-kubernetes-patch-merge-key` (strategic merge; core kinds only).
    pub patch_merge_key: Option<String>,
    /// `x-kubernetes-patch-strategy` (`merge`, `replace`, `retainKeys`), split at commas.
    pub patch_strategy: Vec<String>,
    /// Bounds, pattern, enum, format and CEL rules: see `validation`.
    pub constraints: Constraints,
}

/// JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Replaced whole.
    #[default]
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects, identified by `list_map_keys`.
    Map,
}

/// Value constraints of one node.
#[derive(Clone, Debug, Default)]
pub struct Constraints {
    /// `enum`.
    pub one_of: Vec<Value>,
    /// `minimum`.
    pub minimum: Option<f64>,
    /// `maximum`.
    pub maximum: Option<f64>,
    /// `minLength`, in characters.
    pub min_length: Option<u64>,
    /// `maxLength`, in characters.
    pub max_length: Option<u64>,
    /// `pattern`: source and compiled form.
    pub pattern: Option<(String, regex::Regex)>,
    /// `format`.
    pub format: Option<String>,
    /// `minItems`.
    pub min_items: Option<u64>,
    /// `maxItems`.
    pub max_items: Option<u64>,
    /// `minProperties`.
    pub min_properties: Option<u64>,
    /// `maxProperties`.
    pub max_properties: Option<u64>,
}

//! Structural schemas: the OpenAPI v3 subset of CustomResourceDefinitions, compiled once per
//! resource and used by defaulting, pruning, validation, strategic merge, server-side apply
//! and the published OpenAPI documents.
//!
//! Guarantees: a [`Schema`] that was parsed is structural (every node has a type or says why
//! not), its patterns and CEL rules are compiled, its defaults are valid under it, and walking
//! it with any JSON value terminates without panicking. Unsupported keywords are refused at
//! parsing, never ignored, except those that only document (`title`, `example`, …).
//!
//! Custom resources get their schema from a definition ([`Schema::custom_resource`]); the core
//! kinds from the types of k8s-openapi ([`core`]). Both end in the same form.

pub mod core;
mod default;
mod error;
mod parse;
#[cfg(test)]
mod proptests;
mod prune;
mod zero;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub use self::error::SchemaError;
pub use self::zero::Zero;
use crate::validation::cel::Rule;

/// One node of a schema, parsed. The fields are those of `JSONSchemaProps`.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The JSON that was parsed, for publishing; on the root only (`Null` below it, and for types of
    /// Kubernetes).
    pub source: Value,
    /// Where this is a type of Kubernetes: has a generator make the schemas that are published of it.
    pub published: Option<fn(&mut schemars::SchemaGenerator) -> schemars::Schema>,
    /// `type`; `None` when unset (int-or-string, preserve-unknown).
    pub kind: Option<Kind>,
    /// `properties`.
    pub properties: BTreeMap<String, Arc<Schema>>,
    /// `required`.
    pub required: Vec<String>,
    /// `additionalProperties`, when it is a schema.
    pub additional: Option<Arc<Schema>>,
    /// `additionalProperties`, when it says only whether there may be any: nothing in them is specified.
    pub additional_any: Option<bool>,
    /// `items`.
    pub items: Option<Arc<Schema>>,
    /// `default`.
    pub default: Option<Value>,
    /// `nullable`.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
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
    /// Bounds, pattern, enum and format: see `validation`.
    pub constraints: Constraints,
    /// `allOf`, `anyOf`, `oneOf`, `not`.
    pub junctors: Option<Box<Junctors>>,
    /// `x-kubernetes-validations`, compiled.
    pub rules: Vec<Arc<Rule>>,
    /// Whether this node or one below it has `rules`.
    pub has_rules: bool,
    /// What Go calls the type of a structure: `v1.ObjectMeta`. Empty where it is not known.
    pub type_name: String,
    /// How the field is written when there is nothing in it.
    pub zero: Zero,
    /// Whether this node or one below it is an `embedded_resource`.
    pub has_embedded: bool,
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

impl Kind {
    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Kind::Object,
            "array" => Kind::Array,
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            _ => return None,
        })
    }

    /// The name in a schema and in error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
        }
    }
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
    /// `exclusiveMinimum`.
    pub exclusive_minimum: bool,
    /// `maximum`.
    pub maximum: Option<f64>,
    /// `exclusiveMaximum`.
    pub exclusive_maximum: bool,
    /// `multipleOf`.
    pub multiple_of: Option<f64>,
    /// `minLength`, in characters.
    pub min_length: Option<u64>,
    /// `maxLength`, in characters.
    pub max_length: Option<u64>,
    /// `pattern`: source and compiled form.
    pub pattern: Option<(String, Arc<regex::Regex>)>,
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

/// Logical combinations of schemas; they only validate, they specify no fields.
#[derive(Clone, Debug, Default)]
pub struct Junctors {
    /// `allOf`.
    pub all_of: Vec<Schema>,
    /// `anyOf`.
    pub any_of: Vec<Schema>,
    /// `oneOf`.
    pub one_of: Vec<Schema>,
    /// `not`.
    pub not: Option<Schema>,
}

impl Schema {
    /// The schema of the field `name`: a property, or what `additionalProperties` says.
    pub fn field(&self, name: &str) -> Option<&Arc<Schema>> {
        self.properties.get(name).or(self.additional.as_ref())
    }
}

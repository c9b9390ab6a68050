//! What the schema says about ownership: where a value is one leaf, where its fields or elements
//! have owners of their own, and how the elements of a list are told apart.
//!
//! **Assumptions.** Where there is no schema (`preserve-unknown`, undeclared fields, a value of
//! another type than declared) the value decides: maps are granular, lists are leaves.

use serde_json::Value;

use super::path::PathElement;
use crate::schema::{Kind, ListType, Schema};

/// The schema of one place, or its absence.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// Declared.
    Typed(&'a Schema),
    /// Nothing is declared: the values decide.
    Deduced,
}

/// How ownership continues at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Owned whole: scalars, atomic maps and lists.
    Leaf,
    /// Every field has its own owners.
    Map,
    /// Every element has its own owners.
    List,
}

/// Why an element of a list has no identity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum NoIdentity {
    #[error("associative list without keys has an element that's an explicit null")]
    Null,
    #[error("an element of a set must be a string, a number or a boolean")]
    NotScalar,
    #[error("an element of a list with keys must be an object")]
    NotAnObject,
    #[error("the element has none of the list's keys ({0})")]
    NoKeys(String),
}

impl<'a> Node<'a> {
    /// The schema of the field `name`.
    pub(super) fn field(self, name: &str) -> Self {
        let Self::Typed(schema) = self else {
            return Self::Deduced;
        };
        let found = schema.properties.get(name).or(schema.additional.as_ref());
        found.map_or(Self::Deduced, |schema| Self::Typed(schema))
    }

    /// The schema of the elements.
    pub(super) fn item(self) -> Self {
        let Self::Typed(schema) = self else {
            return Self::Deduced;
        };
        schema
            .items
            .as_ref()
            .map_or(Self::Deduced, |schema| Self::Typed(schema))
    }

    /// The schema one step further down.
    pub(super) fn below(self, element: &PathElement) -> Self {
        match element {
            PathElement::Field(name) => self.field(name),
            _ => self.item(),
        }
    }

    /// Whether `name` is a declared field, rather than one key of a map.
    pub(super) fn declares(self, name: &str) -> bool {
        matches!(self, Self::Typed(schema) if schema.properties.contains_key(name))
    }

    /// How ownership continues in `value`.
    pub(super) fn shape(self, value: &Value) -> Shape {
        match (self.declared(), value) {
            (Some(shape), Value::Null) => shape,
            (None, Value::Null) => Shape::Map,
            (Some(shape @ Shape::Map), Value::Object(_)) => shape,
            (Some(shape @ Shape::List), Value::Array(_)) => shape,
            (Some(Shape::Leaf), Value::Object(_)) if self.is_atomic_map() => Shape::Leaf,
            (_, Value::Object(_)) => Shape::Map,
            _ => Shape::Leaf,
        }
    }

    /// Whether the schema makes this place one leaf although it has something below it.
    pub(super) fn is_atomic(self) -> bool {
        let Self::Typed(schema) = self else {
            return false;
        };
        let atomic_list = schema.kind == Some(Kind::Array) && schema.list_type == ListType::Atomic;
        atomic_list || self.is_atomic_map()
    }

    /// Whether null is a value here.
    pub(super) fn is_nullable(self) -> bool {
        match self {
            Self::Typed(schema) => schema.nullable || schema.kind.is_none(),
            Self::Deduced => true,
        }
    }

    fn is_atomic_map(self) -> bool {
        matches!(self, Self::Typed(schema) if schema.map_atomic)
    }

    fn declared(self) -> Option<Shape> {
        let Self::Typed(schema) = self else {
            return None;
        };
        let has_fields = !schema.properties.is_empty() || schema.additional.is_some();
        match schema.kind {
            _ if schema.map_atomic => Some(Shape::Leaf),
            Some(Kind::Object) => Some(Shape::Map),
            Some(Kind::Array) if schema.list_type == ListType::Atomic => Some(Shape::Leaf),
            Some(Kind::Array) => Some(Shape::List),
            Some(_) => Some(Shape::Leaf),
            None if has_fields => Some(Shape::Map),
            None if schema.int_or_string => Some(Shape::Leaf),
            None => None,
        }
    }

    /// Which step leads to `item` of the list at this place.
    pub(super) fn identity(self, item: &Value) -> Result<PathElement, NoIdentity> {
        let Self::Typed(schema) = self else {
            return Err(NoIdentity::NotScalar);
        };
        if schema.list_type != ListType::Map {
            return match item {
                Value::Null => Err(NoIdentity::Null),
                Value::Object(_) | Value::Array(_) => Err(NoIdentity::NotScalar),
                scalar => Ok(PathElement::Value(scalar.clone())),
            };
        }
        let Value::Object(fields) = item else {
            return Err(NoIdentity::NotAnObject);
        };
        let default = |name: &String| {
            schema
                .items
                .as_ref()?
                .properties
                .get(name)?
                .default
                .as_ref()
        };
        let key = |name: &String| {
            let value = fields.get(name).or_else(|| default(name))?;
            Some((name.clone(), value.clone()))
        };
        let mut keys: Vec<_> = schema.list_map_keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(NoIdentity::NoKeys(schema.list_map_keys.join(", ")));
        }
        keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(PathElement::Key(keys))
    }

    /// The steps to all elements of a list; `None` when one of them has no identity, so that the
    /// list can only be owned whole.
    pub(super) fn identities(self, items: &[Value]) -> Option<Vec<PathElement>> {
        items.iter().map(|item| self.identity(item).ok()).collect()
    }
}

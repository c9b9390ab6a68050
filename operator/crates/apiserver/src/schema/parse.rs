//! From `JSONSchemaProps` to [`Schema`].

use std::sync::Arc;

use serde_json::{Map, Value};

use super::core::QUANTITY;
use super::{Constraints, Junctors, Kind, ListType, Schema, SchemaError};
use crate::validation::{cel, formats, pattern, structural};

/// Deeper than any schema in use (Argo CD's `Application` has 17 levels), and shallow enough for
/// the stack of a worker thread.
pub(super) const MAX_DEPTH: usize = 60;

impl Schema {
    /// Parses an `openAPIV3Schema` (or any node of one).
    ///
    /// # Errors
    /// A schema that is not structural, a pattern, rule or default that is not valid.
    pub fn parse(source: &Value) -> Result<Self, SchemaError> {
        let mut schema = node(source, &Place::Root, Part::Whole)?;
        schema.source = source.clone();
        Ok(schema)
    }

    /// As [`Schema::parse`], without looking at rules and defaults.
    ///
    /// # Errors
    /// As [`Schema::parse`].
    pub fn without_rules(source: &Value) -> Result<Self, SchemaError> {
        node(source, &Place::Root, Part::Bare)
    }

    /// As [`Schema::parse`], of a schema that may have been accepted long ago: rules that are not
    /// accepted any more refuse every value, and defaults are taken as they are, but for fields that
    /// are not known.
    ///
    /// # Errors
    /// As [`Schema::parse`].
    pub fn stored(source: &Value) -> Result<Self, SchemaError> {
        node(source, &Place::Root, Part::Stored)
    }

    /// Parses the schema of a custom resource's version, as [`Schema::stored`], and adds what every
    /// object has: `apiVersion`, `kind` and `metadata` with the schema of `ObjectMeta`.
    ///
    /// # Errors
    /// As [`Schema::parse`]; also when the root is not of type object.
    pub fn custom_resource(source: &Value) -> Result<Self, SchemaError> {
        let mut schema = Self::stored(source)?;
        schema.source = source.clone();
        if schema.kind != Some(Kind::Object) {
            return Err(SchemaError::NotSupported {
                path: "type".into(),
                value: schema.kind.map_or("", Kind::as_str).into(),
                supported: "\"object\"",
            });
        }
        add_object_fields(&mut schema);
        Ok(schema)
    }
}

/// `apiVersion`, `kind` and `metadata` of a whole object, embedded or at the root.
fn add_object_fields(schema: &mut Schema) {
    let text = || {
        Arc::new(Schema {
            kind: Some(Kind::String),
            ..Schema::default()
        })
    };
    schema
        .properties
        .entry("apiVersion".into())
        .or_insert_with(text);
    schema.properties.entry("kind".into()).or_insert_with(text);
    let mut metadata = Schema::clone(super::core::object_meta());
    // What a definition may say about metadata: rules and the pattern and length of the name.
    if let Some(own) = schema.properties.get("metadata") {
        metadata.rules = own.rules.clone();
        metadata.has_rules = own.has_rules;
        for (name, field) in &own.properties {
            if name == "name" || name == "generateName" {
                metadata.properties.insert(name.clone(), field.clone());
            }
        }
    }
    schema
        .properties
        .insert("metadata".into(), Arc::new(metadata));
}

/// How much of a node is parsed.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Whole,
    /// All, but rules and defaults may be wrong.
    Stored,
    /// All but rules and defaults.
    Bare,
    /// A node below `allOf` and its like, where a schema only constrains what the structural part
    /// around it has already typed.
    Constraint,
}

/// Where in the schema we are; rendered only for errors.
enum Place<'a> {
    Root,
    Keyword(&'a Place<'a>, &'static str),
    Member(&'a Place<'a>, &'static str, &'a str),
}

impl Place<'_> {
    fn depth(&self) -> usize {
        match self {
            Place::Root => 0,
            Place::Keyword(up, _) | Place::Member(up, _, _) => 1 + up.depth(),
        }
    }

    fn render(&self) -> String {
        match self {
            Place::Root => String::new(),
            Place::Keyword(up, word) => join(&up.render(), word),
            Place::Member(up, word, name) => format!("{}[{name}]", join(&up.render(), word)),
        }
    }

    fn at(&self, keyword: &str) -> String {
        join(&self.render(), keyword)
    }
}

fn join(base: &str, word: &str) -> String {
    if base.is_empty() {
        word.into()
    } else {
        format!("{base}.{word}")
    }
}

fn node(source: &Value, place: &Place<'_>, part: Part) -> Result<Schema, SchemaError> {
    if place.depth() > MAX_DEPTH {
        return Err(SchemaError::TooDeep {
            path: place.render(),
            limit: MAX_DEPTH,
        });
    }
    let keywords = Keywords {
        map: as_map(source, &place.render())?,
        place,
    };
    keywords.refuse_unsupported()?;
    let kind = keywords.kind()?;
    let mut schema = Schema {
        kind,
        required: keywords.strings("required")?,
        nullable: keywords.flag("nullable")?,
        preserve_unknown: keywords.flag("x-kubernetes-preserve-unknown-fields")?,
        int_or_string: keywords.flag("x-kubernetes-int-or-string")?,
        embedded_resource: keywords.flag("x-kubernetes-embedded-resource")?,
        list_map_keys: keywords.strings("x-kubernetes-list-map-keys")?,
        patch_merge_key: keywords
            .text("x-kubernetes-patch-merge-key")?
            .map(String::from),
        patch_strategy: keywords
            .text("x-kubernetes-patch-strategy")?
            .map(|strategies| strategies.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        map_atomic: keywords.map_atomic()?,
        list_type: keywords.list_type()?,
        constraints: keywords.constraints(kind)?,
        ..Schema::default()
    };
    keywords.children(&mut schema, part)?;
    keywords.junctors(&mut schema)?;
    if schema.embedded_resource {
        add_object_fields(&mut schema);
    }
    if part != Part::Constraint {
        keywords.check_structural(&schema)?;
    }
    if part == Part::Bare {
        mark(&mut schema);
        return Ok(schema);
    }
    keywords.default(&mut schema, part)?;
    let root = matches!(place, Place::Root);
    if part == Part::Stored {
        schema.rules = cel::compile_stored(source, &schema, root);
        mark(&mut schema);
        return Ok(schema);
    }
    schema.rules = cel::compile(source, &schema, root).map_err(|failure| SchemaError::Rule {
        path: format!(
            "{}[{}].{}",
            place.at("x-kubernetes-validations"),
            failure.index,
            failure.error.field
        ),
        error: failure.error,
    })?;
    mark(&mut schema);
    Ok(schema)
}

/// Notes what is in a node or below it, so that walks need not look.
fn mark(schema: &mut Schema) {
    let below = || {
        let named = schema.properties.values().chain(&schema.additional);
        named.chain(&schema.items)
    };
    let has_embedded = schema.embedded_resource || below().any(|below| below.has_embedded);
    let has_rules = !schema.rules.is_empty() || below().any(|below| below.has_rules);
    (schema.has_embedded, schema.has_rules) = (has_embedded, has_rules);
}

fn as_map<'a>(source: &'a Value, path: &str) -> Result<&'a Map<String, Value>, SchemaError> {
    source
        .as_object()
        .ok_or_else(|| malformed(path.into(), source, "a schema object"))
}

fn malformed(path: String, value: &Value, expected: &'static str) -> SchemaError {
    SchemaError::Malformed {
        path,
        value: value.to_string(),
        expected,
    }
}

/// The keywords of one node, read with their types checked.
struct Keywords<'a> {
    map: &'a Map<String, Value>,
    place: &'a Place<'a>,
}

impl Keywords<'_> {
    fn get(&self, keyword: &str) -> Option<&Value> {
        self.map.get(keyword).filter(|value| !value.is_null())
    }

    fn typed<'v, T>(
        &'v self,
        keyword: &'static str,
        read: impl Fn(&'v Value) -> Option<T>,
        expected: &'static str,
    ) -> Result<Option<T>, SchemaError> {
        self.get(keyword)
            .map(|value| {
                read(value).ok_or_else(|| malformed(self.place.at(keyword), value, expected))
            })
            .transpose()
    }

    fn flag(&self, keyword: &'static str) -> Result<bool, SchemaError> {
        Ok(self
            .typed(keyword, Value::as_bool, "a boolean")?
            .unwrap_or(false))
    }

    fn text(&self, keyword: &'static str) -> Result<Option<&str>, SchemaError> {
        self.typed(keyword, Value::as_str, "a string")
    }

    /// A bound below 0 is as good as 0.
    fn count(&self, keyword: &'static str) -> Result<Option<u64>, SchemaError> {
        let whole = |value: &Value| match value.as_i64() {
            Some(whole) => Some(u64::try_from(whole).unwrap_or_default()),
            None => value.as_u64().or_else(|| whole_number(value.as_f64()?)),
        };
        self.typed(keyword, whole, "a whole number")
    }

    fn number(&self, keyword: &'static str) -> Result<Option<f64>, SchemaError> {
        self.typed(keyword, Value::as_f64, "a number")
    }

    fn strings(&self, keyword: &'static str) -> Result<Vec<String>, SchemaError> {
        let read = |value: &Value| {
            value
                .as_array()?
                .iter()
                .map(|item| item.as_str().map(String::from))
                .collect::<Option<Vec<_>>>()
        };
        Ok(self
            .typed(keyword, read, "a list of strings")?
            .unwrap_or_default())
    }

    fn refuse_unsupported(&self) -> Result<(), SchemaError> {
        const FORBIDDEN: &[(&str, &str)] = &[
            ("$ref", "$ref is not supported; write the schema out"),
            ("definitions", "definitions is not supported"),
            ("dependencies", "dependencies are not supported"),
            (
                "patternProperties",
                "patternProperties is not supported; use additionalProperties",
            ),
            ("additionalItems", "additionalItems is not supported"),
            ("id", "id is not supported"),
        ];
        for (keyword, detail) in FORBIDDEN {
            if self.get(keyword).is_some() {
                return Err(SchemaError::Forbidden {
                    path: self.place.at(keyword),
                    detail,
                });
            }
        }
        if self.flag("uniqueItems")? {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic; use x-kubernetes-list-type: set";
            return Err(SchemaError::Forbidden {
                path: self.place.at("uniqueItems"),
                detail,
            });
        }
        Ok(())
    }

    fn kind(&self) -> Result<Option<Kind>, SchemaError> {
        let Some(name) = self.text("type")?.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let unknown = || SchemaError::NotSupported {
            path: self.place.at("type"),
            value: name.into(),
            supported: r#""array", "boolean", "integer", "number", "object", "string""#,
        };
        Kind::named(name).map(Some).ok_or_else(unknown)
    }

    fn list_type(&self) -> Result<ListType, SchemaError> {
        match self.text("x-kubernetes-list-type")? {
            None | Some("atomic") => Ok(ListType::Atomic),
            Some("set") => Ok(ListType::Set),
            Some("map") => Ok(ListType::Map),
            Some(other) => Err(SchemaError::NotSupported {
                path: self.place.at("x-kubernetes-list-type"),
                value: other.into(),
                supported: r#""atomic", "map", "set""#,
            }),
        }
    }

    fn map_atomic(&self) -> Result<bool, SchemaError> {
        match self.text("x-kubernetes-map-type")? {
            None | Some("granular") => Ok(false),
            Some("atomic") => Ok(true),
            Some(other) => Err(SchemaError::NotSupported {
                path: self.place.at("x-kubernetes-map-type"),
                value: other.into(),
                supported: r#""atomic", "granular""#,
            }),
        }
    }

    fn constraints(&self, kind: Option<Kind>) -> Result<Constraints, SchemaError> {
        let one_of = self
            .typed("enum", |value| value.as_array().cloned(), "a list")?
            .unwrap_or_default();
        let pattern = self.text("pattern")?.map(|source| {
            let compiled = pattern::shared(source);
            compiled
                .map(|regex| (source.to_owned(), regex))
                .map_err(|error| SchemaError::Pattern {
                    path: self.place.at("pattern"),
                    pattern: source.into(),
                    cause: error,
                })
        });
        Ok(Constraints {
            one_of,
            minimum: self.number("minimum")?,
            exclusive_minimum: self.flag("exclusiveMinimum")?,
            maximum: self.number("maximum")?,
            exclusive_maximum: self.flag("exclusiveMaximum")?,
            multiple_of: self.number("multipleOf")?,
            min_length: self.count("minLength")?,
            max_length: self.count("maxLength")?,
            pattern: pattern.transpose()?,
            format: self
                .text("format")?
                .filter(|format| formats::is_known(format, kind) || *format == QUANTITY)
                .map(String::from),
            min_items: self.count("minItems")?,
            max_items: self.count("maxItems")?,
            min_properties: self.count("minProperties")?,
            max_properties: self.count("maxProperties")?,
        })
    }

    fn children(&self, schema: &mut Schema, part: Part) -> Result<(), SchemaError> {
        if let Some(properties) = self.get("properties") {
            for (name, source) in as_map(properties, &self.place.at("properties"))? {
                let place = Place::Member(self.place, "properties", name);
                schema
                    .properties
                    .insert(name.clone(), Arc::new(node(source, &place, part)?));
            }
        }
        match self.get("items") {
            Some(Value::Array(_)) => {
                let detail = "items must be a schema object and not an array";
                return Err(SchemaError::Forbidden {
                    path: self.place.at("items"),
                    detail,
                });
            }
            Some(source) => {
                let place = Place::Keyword(self.place, "items");
                schema.items = Some(Arc::new(node(source, &place, part)?));
            }
            None => {}
        }
        match self.get("additionalProperties") {
            None => {}
            Some(Value::Bool(any)) => schema.additional_any = Some(*any),
            Some(source) => {
                let place = Place::Keyword(self.place, "additionalProperties");
                schema.additional = Some(Arc::new(node(source, &place, part)?));
            }
        }
        Ok(())
    }

    fn junctors(&self, schema: &mut Schema) -> Result<(), SchemaError> {
        let list = |keyword: &'static str| -> Result<Vec<Schema>, SchemaError> {
            let Some(value) = self.get(keyword) else {
                return Ok(Vec::new());
            };
            let members = value
                .as_array()
                .ok_or_else(|| malformed(self.place.at(keyword), value, "a list of schemas"))?;
            let parse = |(index, member): (usize, &Value)| {
                node(
                    member,
                    &Place::Member(self.place, keyword, &index.to_string()),
                    Part::Constraint,
                )
            };
            members.iter().enumerate().map(parse).collect()
        };
        let not = self
            .get("not")
            .map(|source| node(source, &Place::Keyword(self.place, "not"), Part::Constraint))
            .transpose()?;
        let junctors = Junctors {
            all_of: list("allOf")?,
            any_of: list("anyOf")?,
            one_of: list("oneOf")?,
            not,
        };
        let empty =
            junctors.all_of.is_empty() && junctors.any_of.is_empty() && junctors.one_of.is_empty();
        if !empty || junctors.not.is_some() {
            schema.junctors = Some(Box::new(junctors));
        }
        Ok(())
    }

    fn check_structural(&self, schema: &Schema) -> Result<(), SchemaError> {
        let required = |keyword: &str, detail| {
            Err(SchemaError::Required {
                path: self.place.at(keyword),
                detail,
            })
        };
        let forbidden = |keyword: &str, detail| {
            Err(SchemaError::Forbidden {
                path: self.place.at(keyword),
                detail,
            })
        };
        if schema.kind.is_none() && !schema.int_or_string && !schema.preserve_unknown {
            return required("type", "must not be empty for specified object fields");
        }
        if schema.kind == Some(Kind::Array) && schema.items.is_none() {
            return required("items", "must be specified");
        }
        if schema.additional.is_some()
            && self
                .get("properties")
                .is_some_and(|p| p.as_object().is_some_and(|p| !p.is_empty()))
        {
            return forbidden(
                "additionalProperties",
                "additionalProperties and properties are mutual exclusive",
            );
        }
        if schema.embedded_resource && schema.kind != Some(Kind::Object) {
            return required(
                "type",
                "must be object if x-kubernetes-embedded-resource is true",
            );
        }
        match (schema.list_type, schema.list_map_keys.is_empty()) {
            (ListType::Map, true) => required(
                "x-kubernetes-list-map-keys",
                "must not be empty if x-kubernetes-list-type is map",
            ),
            (ListType::Atomic | ListType::Set, false) => forbidden(
                "x-kubernetes-list-map-keys",
                "only allowed if x-kubernetes-list-type is map",
            ),
            (ListType::Atomic, true) => Ok(()),
            _ if schema.kind != Some(Kind::Array) => {
                required("type", "must be array if x-kubernetes-list-type is set")
            }
            (ListType::Map, false) => self.check_map_keys(schema),
            (ListType::Set, true) => Ok(()),
        }
    }

    /// The keys of a map list are scalars that every item has, by requirement or by default.
    fn check_map_keys(&self, schema: &Schema) -> Result<(), SchemaError> {
        let Some(items) = &schema.items else {
            return Ok(());
        };
        for key in &schema.list_map_keys {
            let path = || format!("{}.properties[{key}]", self.place.at("items"));
            let Some(field) = items.properties.get(key) else {
                return Err(SchemaError::Required {
                    path: path(),
                    detail: "must be specified in x-kubernetes-list-map-keys",
                });
            };
            if matches!(field.kind, Some(Kind::Object | Kind::Array)) {
                return Err(SchemaError::Forbidden {
                    path: path(),
                    detail: "keys of a map list must be scalars",
                });
            }
        }
        Ok(())
    }

    /// A default must survive pruning and satisfy its schema, or it would break every object.
    fn default(&self, schema: &mut Schema, part: Part) -> Result<(), SchemaError> {
        let Some(value) = self.get("default") else {
            return Ok(());
        };
        let refuse = |cause: String| SchemaError::Default {
            path: self.place.at("default"),
            value: value.to_string(),
            cause,
        };
        // Nulls that mean nothing go, as from every object, or the next write would change it.
        let mut default = value.clone();
        schema.drop_nulls(&mut default);
        if part == Part::Stored {
            schema.prune(&mut default);
            schema.default = Some(default);
            return Ok(());
        }
        let mut filled = default.clone();
        if let Some(unknown) = schema.prune(&mut filled).first() {
            return Err(refuse(format!("must not have unknown fields: {unknown:?}")));
        }
        schema.apply_defaults(&mut filled);
        if let Some(error) = structural::validate(schema, &filled).into_iter().next() {
            return Err(refuse(error.body()));
        }
        schema.default = Some(default);
        Ok(())
    }
}

fn whole_number(value: f64) -> Option<u64> {
    // The cast is exact: below 2^53 every whole f64 is a u64.
    (value.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&value))
        .then_some(value as u64)
}

//! Types, bounds, patterns, enums, formats, required fields and logical combinations.

use serde_json::{Map, Number, Value};

use super::field::{FieldError, Path};
use super::formats;
use crate::schema::{Junctors, Kind, ListType, Schema};

/// All violations of `schema` by `value`.
pub fn validate(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new() };
    walk.node(schema, value, None, &Path::root());
    walk.errors
}

/// As [`validate`], but parts that are equal in `old` are not looked into: a field is matched by
/// its name, an item of a map list by its keys, other items not at all.
pub fn validate_update(schema: &Schema, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new() };
    walk.node(schema, new, Some(old), &Path::root());
    walk.errors
}

struct Walk {
    errors: Vec<FieldError>,
}

impl Walk {
    fn node(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &Path<'_>) {
        if old == Some(value) {
            return;
        }
        if value.is_null() && schema.nullable {
            return;
        }
        if !self.check_type(schema, value, path) {
            return;
        }
        self.check_enum(schema, value, path);
        match value {
            Value::Object(fields) => self.object(schema, fields, old, path),
            Value::Array(items) => self.array(schema, items, old, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number, path),
            Value::Bool(_) | Value::Null => {}
        }
        if let Some(junctors) = &schema.junctors {
            self.junctors(junctors, value, path);
        }
    }

    /// Kubernetes shows the *type* it found as the value of a type error; so do we.
    fn check_type(&mut self, schema: &Schema, value: &Value, path: &Path<'_>) -> bool {
        let found = type_name(value);
        let expected = match (schema.kind, schema.int_or_string) {
            (_, true) if matches!(found, "integer" | "string") => return true,
            (_, true) => "integer,string",
            (None, false) => return true,
            (Some(kind), false) if kind.as_str() == found => return true,
            (Some(Kind::Number), false) if found == "integer" => return true,
            (Some(kind), false) => kind.as_str(),
        };
        let detail = format!("{path} in body must be of type {expected}: {found:?}");
        self.errors
            .push(FieldError::type_invalid(path, found, detail));
        false
    }

    fn check_enum(&mut self, schema: &Schema, value: &Value, path: &Path<'_>) {
        let allowed = &schema.constraints.one_of;
        if allowed.is_empty() || allowed.iter().any(|one| same(one, value)) {
            return;
        }
        let text = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
        let supported: Vec<_> = allowed.iter().map(text).collect();
        self.errors
            .push(FieldError::not_supported(path, value.clone(), &supported));
    }

    fn object(
        &mut self,
        schema: &Schema,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        path: &Path<'_>,
    ) {
        let bounds = &schema.constraints;
        let size = fields.len() as u64;
        if let Some(min) = bounds.min_properties.filter(|min| size < *min) {
            self.wrong(
                path,
                size,
                format_args!("should have at least {min} properties"),
            );
        }
        if let Some(max) = bounds.max_properties.filter(|max| size > *max) {
            self.errors.push(FieldError::too_many(path, size, max));
        }
        for (name, field) in fields {
            if let Some(below) = schema.field(name) {
                self.node(
                    below,
                    field,
                    old.and_then(|old| old.get(name)),
                    &path.field(name),
                );
            }
        }
        for name in schema
            .required
            .iter()
            .filter(|name| !fields.contains_key(*name))
        {
            self.errors.push(FieldError::required(path.field(name), ""));
        }
        if schema.embedded_resource {
            for name in ["apiVersion", "kind"] {
                if fields
                    .get(name)
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
                {
                    self.errors
                        .push(FieldError::required(path.field(name), "must not be empty"));
                }
            }
        }
    }

    fn array(&mut self, schema: &Schema, items: &[Value], old: Option<&Value>, path: &Path<'_>) {
        let size = items.len() as u64;
        if let Some(min) = schema.constraints.min_items.filter(|min| size < *min) {
            self.wrong(path, size, format_args!("should have at least {min} items"));
        }
        if let Some(max) = schema.constraints.max_items.filter(|max| size > *max) {
            self.errors.push(FieldError::too_many(path, size, max));
        }
        let Some(below) = &schema.items else { return };
        for (index, item) in items.iter().enumerate() {
            self.node(
                below,
                item,
                old.and_then(|old| matching_item(schema, item, old)),
                &path.index(index),
            );
        }
    }

    fn text(&mut self, schema: &Schema, text: &str, path: &Path<'_>) {
        let bounds = &schema.constraints;
        // Counting characters only when the bytes leave the answer open.
        let longer_than = |max: u64| text.len() as u64 > max && text.chars().count() as u64 > max;
        let shorter_than =
            |min: u64| (text.len() as u64) < min || (text.chars().count() as u64) < min;
        if let Some(max) = bounds.max_length.filter(|max| longer_than(*max)) {
            self.errors.push(FieldError::too_long(path, max));
        }
        if let Some(min) = bounds.min_length.filter(|min| shorter_than(*min)) {
            self.wrong(
                path,
                text,
                format_args!("should be at least {min} chars long"),
            );
        }
        if let Some((source, pattern)) = &bounds.pattern
            && !pattern.is_match(text)
        {
            self.wrong(path, text, format_args!("should match '{source}'"));
        }
        if let Some(format) = &bounds.format
            && !schema.int_or_string
            && !formats::matches(format, text)
        {
            let detail = format!("{path} in body must be of type {format}: {text:?}");
            self.errors
                .push(FieldError::type_invalid(path, text, detail));
        }
    }

    fn number(&mut self, schema: &Schema, number: &Number, path: &Path<'_>) {
        let bounds = &schema.constraints;
        let Some(value) = number.as_f64() else { return };
        if let Some(max) = bounds.maximum {
            if bounds.exclusive_maximum && value >= max {
                self.wrong(
                    path,
                    number.clone(),
                    format_args!("should be less than {max}"),
                );
            } else if !bounds.exclusive_maximum && value > max {
                self.wrong(
                    path,
                    number.clone(),
                    format_args!("should be less than or equal to {max}"),
                );
            }
        }
        if let Some(min) = bounds.minimum {
            if bounds.exclusive_minimum && value <= min {
                self.wrong(
                    path,
                    number.clone(),
                    format_args!("should be greater than {min}"),
                );
            } else if !bounds.exclusive_minimum && value < min {
                self.wrong(
                    path,
                    number.clone(),
                    format_args!("should be greater than or equal to {min}"),
                );
            }
        }
        if let Some(factor) = bounds
            .multiple_of
            .filter(|factor| (value / factor).fract() != 0.0)
        {
            self.wrong(
                path,
                number.clone(),
                format_args!("should be a multiple of {factor}"),
            );
        }
        if let Some(format) = bounds
            .format
            .as_deref()
            .filter(|format| !formats::in_range(format, value))
        {
            let kind = schema.kind.map_or("integer", Kind::as_str);
            self.wrong(
                path,
                number.clone(),
                format_args!("must be of type {kind} with format {format} (default boundaries)"),
            );
        }
    }

    fn junctors(&mut self, junctors: &Junctors, value: &Value, path: &Path<'_>) {
        let check = |schema: &Schema| {
            let mut walk = Walk { errors: Vec::new() };
            walk.node(schema, value, None, path);
            walk.errors
        };
        let name = path.to_string();
        let before = self.errors.len();
        for schema in &junctors.all_of {
            self.errors.extend(check(schema));
        }
        if self.errors.len() > before {
            self.errors.push(FieldError::invalid(
                path,
                "",
                format!("{name:?} must validate all the schemas (allOf)"),
            ));
        }
        if !junctors.any_of.is_empty() {
            let outcomes: Vec<_> = junctors.any_of.iter().map(check).collect();
            if outcomes.iter().all(|errors| !errors.is_empty()) {
                let detail = format!("{name:?} must validate at least one schema (anyOf)");
                self.errors.push(FieldError::invalid(path, "", detail));
                self.errors.extend(fewest(outcomes));
            }
        }
        if !junctors.one_of.is_empty() {
            let outcomes: Vec<_> = junctors.one_of.iter().map(check).collect();
            let valid = outcomes.iter().filter(|errors| errors.is_empty()).count();
            if valid != 1 {
                let found = if valid == 0 {
                    "Found none valid".into()
                } else {
                    format!("Found {valid} valid alternatives")
                };
                let detail =
                    format!("{name:?} must validate one and only one schema (oneOf). {found}");
                self.errors.push(FieldError::invalid(path, "", detail));
                self.errors.extend(fewest(outcomes));
            }
        }
        if junctors
            .not
            .as_ref()
            .is_some_and(|schema| check(schema).is_empty())
        {
            self.errors.push(FieldError::invalid(
                path,
                "",
                format!("{name:?} must not validate the schema (not)"),
            ));
        }
    }

    fn wrong(&mut self, path: &Path<'_>, value: impl Into<Value>, what: std::fmt::Arguments<'_>) {
        self.errors.push(FieldError::invalid(
            path,
            value,
            format!("{path} in body {what}"),
        ));
    }
}

/// The errors of the alternative that came closest.
fn fewest(outcomes: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    outcomes
        .into_iter()
        .filter(|errors| !errors.is_empty())
        .min_by_key(Vec::len)
        .unwrap_or_default()
}

/// The item of the old list with the same keys, where the list is a map.
pub(super) fn matching_item<'o>(
    schema: &Schema,
    item: &Value,
    old: &'o Value,
) -> Option<&'o Value> {
    if schema.list_type != ListType::Map {
        return None;
    }
    let same_keys = |candidate: &&Value| {
        schema
            .list_map_keys
            .iter()
            .all(|key| candidate.get(key) == item.get(key))
    };
    old.as_array()?.iter().find(same_keys)
}

/// Equality of JSON in which 1 and 1.0 are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        _ => left == right,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_whole(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64()
        || number.is_u64()
        || number
            .as_f64()
            .is_some_and(|value| value.fract() == 0.0 && value.abs() < 9.007e15)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn errors(field: Value, value: Value) -> Vec<String> {
        let schema = Schema::parse(&json!({"type": "object", "properties": {"f": field}})).unwrap();
        validate(&schema, &json!({"f": value}))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_constraint_says_what_is_wrong_in_kubernetes_words() {
        let cases: &[(Value, Value, &[&str])] = &[
            (
                json!({"type": "integer"}),
                json!("x"),
                &[r#"f: Invalid value: "string": f in body must be of type integer: "string""#],
            ),
            (
                json!({"type": "integer"}),
                json!(1.5),
                &[r#"f: Invalid value: "number": f in body must be of type integer: "number""#],
            ),
            (json!({"type": "integer"}), json!(2.0), &[]),
            (json!({"type": "number"}), json!(2), &[]),
            (
                json!({"type": "string"}),
                json!(null),
                &[r#"f: Invalid value: "null": f in body must be of type string: "null""#],
            ),
            (
                json!({"type": "string", "nullable": true}),
                json!(null),
                &[],
            ),
            (
                json!({"type": "object"}),
                json!([]),
                &[r#"f: Invalid value: "array": f in body must be of type object: "array""#],
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!("50%"),
                &[],
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!(true),
                &[
                    r#"f: Invalid value: "boolean": f in body must be of type integer,string: "boolean""#,
                ],
            ),
            (
                json!({"type": "integer", "minimum": 0}),
                json!(-1),
                &["f: Invalid value: -1: f in body should be greater than or equal to 0"],
            ),
            (
                json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true}),
                json!(0),
                &["f: Invalid value: 0: f in body should be greater than 0"],
            ),
            (
                json!({"type": "integer", "maximum": 10}),
                json!(11),
                &["f: Invalid value: 11: f in body should be less than or equal to 10"],
            ),
            (
                json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true}),
                json!(1.5),
                &["f: Invalid value: 1.5: f in body should be less than 1.5"],
            ),
            (
                json!({"type": "integer", "multipleOf": 5}),
                json!(7),
                &["f: Invalid value: 7: f in body should be a multiple of 5"],
            ),
            (
                json!({"type": "integer", "format": "int32"}),
                json!(3_000_000_000u64),
                &[
                    "f: Invalid value: 3000000000: f in body must be of type integer with format int32 (default boundaries)",
                ],
            ),
            (
                json!({"type": "string", "maxLength": 3}),
                json!("äöüß"),
                &["f: Too long: may not be more than 3 bytes"],
            ),
            (json!({"type": "string", "maxLength": 3}), json!("äöü"), &[]),
            (
                json!({"type": "string", "minLength": 1}),
                json!(""),
                &[r#"f: Invalid value: "": f in body should be at least 1 chars long"#],
            ),
            (
                json!({"type": "string", "pattern": "^[a-z]+$"}),
                json!("A1"),
                &[r#"f: Invalid value: "A1": f in body should match '^[a-z]+$'"#],
            ),
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                json!("c"),
                &[r#"f: Unsupported value: "c": supported values: "a", "b""#],
            ),
            (
                json!({"type": "integer", "enum": [1, 2]}),
                json!(3),
                &[r#"f: Unsupported value: 3: supported values: "1", "2""#],
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("yesterday"),
                &[
                    r#"f: Invalid value: "yesterday": f in body must be of type date-time: "yesterday""#,
                ],
            ),
            (
                json!({"type": "string", "format": "no-such-format"}),
                json!("x"),
                &[],
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
                json!([]),
                &["f: Invalid value: 0: f in body should have at least 1 items"],
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
                json!(["a", "b"]),
                &["f: Too many: 2: must have at most 1 item"],
            ),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                json!(["a", 1]),
                &[
                    r#"f[1]: Invalid value: "integer": f[1] in body must be of type string: "integer""#,
                ],
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
                json!({"a": "b", "c": 1}),
                &[
                    "f: Too many: 2: must have at most 1 item",
                    r#"f.c: Invalid value: "integer": f.c in body must be of type string: "integer""#,
                ],
            ),
            (
                json!({"type": "object", "minProperties": 1}),
                json!({}),
                &["f: Invalid value: 0: f in body should have at least 1 properties"],
            ),
            (
                json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string"}}}),
                json!({"a": "x"}),
                &["f.b: Required value"],
            ),
            (
                json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
                json!({"kind": "A"}),
                &["f.apiVersion: Required value: must not be empty"],
            ),
        ];
        for (schema, value, expected) in cases {
            assert_eq!(
                errors(schema.clone(), value.clone()),
                *expected,
                "{schema} {value}"
            );
        }
    }

    #[test]
    fn combinations_report_the_closest_alternative() {
        let one_of = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        assert_eq!(errors(one_of.clone(), json!({"a": "x"})), [""; 0]);
        assert_eq!(
            errors(one_of.clone(), json!({})),
            [
                r#"f: Invalid value: "": "f" must validate one and only one schema (oneOf). Found none valid"#,
                "f.a: Required value"
            ]
        );
        assert_eq!(
            errors(one_of, json!({"a": "x", "b": "y"})),
            [
                r#"f: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
            ]
        );
        let any_of = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
        assert_eq!(errors(any_of, json!(5)), [""; 0]);
        let not = json!({"type": "string", "not": {"enum": ["root"]}});
        assert_eq!(
            errors(not, json!("root")),
            [r#"f: Invalid value: "": "f" must not validate the schema (not)"#]
        );
        let all_of = json!({"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 3}]});
        assert_eq!(errors(all_of, json!("x")).len(), 2);
    }

    #[test]
    fn errors_in_unchanged_parts_are_forgiven_on_update() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "a": {"type": "string", "enum": ["x"]},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}}}},
        }}))
        .unwrap();
        let old = json!({"a": "old", "list": [{"k": "p", "v": 9}, {"k": "q", "v": 9}]});
        assert_eq!(validate_update(&schema, &old, &old), []);
        let new = json!({"a": "old", "list": [{"k": "q", "v": 9}, {"k": "p", "v": 8}]});
        let errors: Vec<_> = validate_update(&schema, &new, &old)
            .iter()
            .map(|error| error.field.clone())
            .collect();
        assert_eq!(errors, ["list[1].v"]);
    }
}

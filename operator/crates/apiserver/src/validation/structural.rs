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
            (_, true) if found == "number" && is_quantity(schema) => return true,
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

fn is_quantity(schema: &Schema) -> bool {
    schema.constraints.format.as_deref() == Some(crate::schema::core::QUANTITY)
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
mod tests;

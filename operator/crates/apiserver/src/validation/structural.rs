//! Types, bounds, patterns, enums, formats, required fields and logical combinations.
//!
//! What is told, in which words and in which order is what kube-openapi's validator tells: every
//! check that a value's own type allows is made, also when that is not the type that was asked for.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Number, Value};

use super::field::{FieldError, Path, TOLD, quoted};
use super::formats;
use crate::schema::{Junctors, Kind, ListType, Schema, Zero};

/// All violations of `schema` by `value`.
pub fn validate(schema: &Schema, value: &Value) -> Vec<FieldError> {
    node(schema, value, None, &Path::root()).errors
}

/// As [`validate`], but parts that are equal in `old` are not looked into: a field is matched by
/// its name, an item of a map list by its keys, other items not at all.
pub fn validate_update(schema: &Schema, new: &Value, old: &Value) -> Vec<FieldError> {
    // The old object is read in the version of the new one: whether that changed is not seen.
    let mut old = old.clone();
    if let Some(fields) = old.as_object_mut() {
        fields.retain(|name, _| name != "apiVersion" && name != "kind");
    }
    node(schema, new, Some(&old), &Path::root()).errors
}

/// What came of one value, and how many checks were made: of several alternatives that all fail,
/// the one with the most is taken for the one that was meant.
#[derive(Default)]
struct Outcome {
    errors: Vec<FieldError>,
    checks: usize,
}

impl Outcome {
    /// What is known is not told again.
    fn push(&mut self, error: FieldError) {
        if self.errors.len() > TOLD || !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// What came of an alternative, or of a value below.
    fn merge(&mut self, other: Outcome) {
        self.checks += other.checks;
        other.errors.into_iter().for_each(|error| self.push(error));
    }

    fn wrong(&mut self, path: &Path<'_>, value: impl Into<Value>, what: fmt::Arguments<'_>) {
        let detail = format!("{path} in body {what}");
        self.push(FieldError::invalid(path, value, detail));
    }

    /// An error that has no field.
    fn unplaced(&mut self, detail: String) {
        self.push(FieldError::invalid("<nil>", "", detail));
    }
}

fn node(schema: &Schema, value: &Value, old: Option<&Value>, path: &Path<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    if old.is_some_and(|old| is_unchanged(schema, value, old)) {
        return outcome;
    }
    if is_typed(schema) {
        match type_error(schema, value, path) {
            Some(error) => outcome.push(error),
            None => outcome.checks += 1,
        }
    }
    if value.is_null() {
        check_enum(schema, value, path, &mut outcome);
        return outcome;
    }
    outcome.checks += 4;
    if let Some(all) = &schema.junctors {
        junctors(all, value, old, path, &mut outcome);
    }
    match value {
        Value::String(text) => check_text(schema, text, path, &mut outcome),
        Value::Number(number) => check_number(schema, number, path, &mut outcome),
        Value::Array(items) => check_array(schema, items, old, path, &mut outcome),
        Value::Object(_) | Value::Bool(_) | Value::Null => {}
    }
    check_enum(schema, value, path, &mut outcome);
    if let Value::Object(fields) = value {
        check_object(schema, fields, old, path, &mut outcome);
    }
    outcome
}

fn is_typed(schema: &Schema) -> bool {
    schema.kind.is_some() || schema.int_or_string || schema.constraints.format.is_some()
}

/// Kubernetes shows the *type* it found as the value of a type error; so do we.
fn type_error(schema: &Schema, value: &Value, path: &Path<'_>) -> Option<FieldError> {
    if value.is_null() {
        let typed = schema.kind.is_some() || schema.int_or_string;
        return (typed && !schema.nullable).then(|| wrong_type(path, expected(schema), "null"));
    }
    let found = type_name(value);
    let accepts = |kind: &str| match schema.kind {
        _ if schema.int_or_string => matches!(kind, "integer" | "string"),
        Some(wanted) => wanted.as_str() == kind,
        None => false,
    };
    let fits = accepts(found)
        || match found {
            "number" if is_quantity(schema) => true,
            "number" => accepts("integer") && value.as_f64().is_some_and(is_whole),
            "integer" => accepts("number"),
            _ => false,
        };
    let text = matches!(value, Value::String(_) | Value::Array(_));
    let numeric = accepts("integer") || accepts("number");
    match schema
        .constraints
        .format
        .as_deref()
        .filter(|_| !is_quantity(schema))
    {
        // The format goes before the type, and so does what stands for it in the value.
        Some(format) if !text && !fits => {
            let stands_for = match found {
                "integer" => "int64",
                "number" => "float64",
                _ => "",
            };
            (stands_for != format).then(|| wrong_type(path, format, stands_for))
        }
        Some(_) if text && !numeric => None,
        None if schema.kind.is_none() && !schema.int_or_string => None,
        _ => (!fits).then(|| wrong_type(path, expected(schema), found)),
    }
}

fn expected(schema: &Schema) -> &'static str {
    match schema.kind {
        Some(kind) if !schema.int_or_string => kind.as_str(),
        _ => "integer,string",
    }
}

fn wrong_type(path: &Path<'_>, expected: &str, found: &str) -> FieldError {
    let detail = format!("{path} in body must be of type {expected}: \"{found}\"");
    FieldError::type_invalid(path, found, detail)
}

fn check_enum(schema: &Schema, value: &Value, path: &Path<'_>, outcome: &mut Outcome) {
    let allowed = &schema.constraints.one_of;
    // Not even a `null` of the list allows it.
    let found = !value.is_null() && allowed.iter().any(|one| same(one, value));
    if allowed.is_empty() || found {
        return;
    }
    let text = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
    let supported: Vec<_> = allowed.iter().map(text).collect();
    outcome.push(FieldError::not_supported(path, value.clone(), &supported));
}

fn check_object(
    schema: &Schema,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path<'_>,
    outcome: &mut Outcome,
) {
    outcome.checks += 1;
    let bounds = &schema.constraints;
    let size = fields.len() as u64;
    if let Some(min) = bounds.min_properties.filter(|min| size < *min) {
        let what = format_args!("should have at least {min} properties");
        outcome.wrong(path, size, what);
    }
    if let Some(max) = bounds.max_properties.filter(|max| size > *max) {
        outcome.push(FieldError::too_many(path, size, max));
    }
    for (name, field) in fields {
        if let Some(below) = schema.field(name) {
            let old = old.and_then(|old| old.get(name));
            outcome.merge(node(below, field, old, &path.field(name)));
        } else if schema.additional_any == Some(false) {
            let detail = format!("{} in body is a forbidden property", path.field(name));
            outcome.push(FieldError::invalid(path, name.as_str(), detail));
        }
    }
    for name in &schema.required {
        if !fields.contains_key(name) {
            outcome.push(FieldError::required(path.field(name), ""));
        }
    }
}

fn check_array(
    schema: &Schema,
    items: &[Value],
    old: Option<&Value>,
    path: &Path<'_>,
    outcome: &mut Outcome,
) {
    outcome.checks += 2;
    if let Some(below) = &schema.items {
        let before = Items::of(schema, old);
        for (index, item) in items.iter().enumerate() {
            outcome.merge(node(below, item, before.get(item), &path.index(index)));
        }
    }
    let size = items.len() as u64;
    if let Some(min) = schema.constraints.min_items.filter(|min| size < *min) {
        outcome.wrong(path, size, format_args!("should have at least {min} items"));
    }
    if let Some(max) = schema.constraints.max_items.filter(|max| size > *max) {
        outcome.push(FieldError::too_many(path, size, max));
    }
}

/// Of length and pattern the first that is wrong; the format besides.
fn check_text(schema: &Schema, text: &str, path: &Path<'_>, outcome: &mut Outcome) {
    outcome.checks += 1;
    let bounds = &schema.constraints;
    // Counting characters only when the bytes leave the answer open.
    let longer_than = |max: u64| text.len() as u64 > max && text.chars().count() as u64 > max;
    let shorter_than = |min: u64| (text.len() as u64) < min || (text.chars().count() as u64) < min;
    if let Some(max) = bounds.max_length.filter(|max| longer_than(*max)) {
        outcome.push(FieldError::too_long(path, max));
    } else if let Some(min) = bounds.min_length.filter(|min| shorter_than(*min)) {
        let what = format_args!("should be at least {min} chars long");
        outcome.wrong(path, text, what);
    } else if let Some((source, pattern)) = &bounds.pattern
        && !pattern.is_match(text)
    {
        outcome.wrong(path, text, format_args!("should match '{source}'"));
    }
    // What is held in typed fields, their decoder has judged.
    if let Some(format) = &bounds.format
        && schema.zero == Zero::Kept
        && !is_quantity(schema)
        && !formats::matches(format, text)
    {
        let detail = format!("{path} in body must be of type {format}: {}", quoted(text));
        outcome.push(FieldError::type_invalid(path, text, detail));
    }
}

/// A number as Kubernetes holds it.
#[derive(Clone, Copy)]
enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    fn of(number: &Number) -> Option<Self> {
        let int = number.as_i64().map(Num::Int);
        int.or_else(|| number.as_f64().map(Num::Float))
    }

    fn float(self) -> f64 {
        match self {
            Num::Int(int) => int as f64,
            Num::Float(float) => float,
        }
    }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Num::Int(int) => int.fmt(f),
            Num::Float(float) => f.write_str(&super::field::float(*float)),
        }
    }
}

fn check_number(schema: &Schema, number: &Number, path: &Path<'_>, outcome: &mut Outcome) {
    outcome.checks += 2;
    let Some(value) = Num::of(number) else { return };
    let bounds = &schema.constraints;
    if let Some(problem) = out_of_range(schema, value, "Checked", path) {
        outcome.unplaced(problem);
    }
    // A bound is compared as what the value is: of a whole number, its whole part.
    let bound = |bound: Option<f64>, word: &str, outcome: &mut Outcome| {
        let bound = bound?;
        let problem = out_of_range(schema, Num::Float(bound), word, path);
        let exact = problem.is_none();
        problem.into_iter().for_each(|text| outcome.unplaced(text));
        Some(match value {
            Num::Int(int) if exact => (Num::Int(int), Num::Int(bound as i64)),
            _ => (Num::Float(value.float()), Num::Float(bound)),
        })
    };
    if let Some((value, factor)) = bound(bounds.multiple_of, "MultipleOf", outcome) {
        if factor.float() <= 0.0 {
            let detail =
                format!("factor MultipleOf declared for {path} must be positive: {factor}");
            outcome.push(FieldError::invalid(path, factor.float() as i64, detail));
        } else if !is_multiple(value, factor) {
            let what = format_args!("should be a multiple of {factor}");
            outcome.wrong(path, number.clone(), what);
        }
    }
    if let Some((value, min)) = bound(bounds.minimum, "Minimum boundary", outcome) {
        match bounds.exclusive_minimum {
            true if at_most(value, min) => {
                outcome.wrong(
                    path,
                    number.clone(),
                    format_args!("should be greater than {min}"),
                );
            }
            false if !at_most(min, value) => {
                let what = format_args!("should be greater than or equal to {min}");
                outcome.wrong(path, number.clone(), what);
            }
            _ => {}
        }
    }
    if let Some((value, max)) = bound(bounds.maximum, "Maximum boundary", outcome) {
        match bounds.exclusive_maximum {
            true if at_most(max, value) => {
                outcome.wrong(
                    path,
                    number.clone(),
                    format_args!("should be less than {max}"),
                );
            }
            false if !at_most(value, max) => {
                let what = format_args!("should be less than or equal to {max}");
                outcome.wrong(path, number.clone(), what);
            }
            _ => {}
        }
    }
}

fn at_most(left: Num, right: Num) -> bool {
    match (left, right) {
        (Num::Int(left), Num::Int(right)) => left <= right,
        _ => left.float() <= right.float(),
    }
}

fn is_multiple(value: Num, factor: Num) -> bool {
    match (value, factor) {
        (Num::Int(value), Num::Int(factor)) => value % factor == 0,
        _ if factor.float() < 1.0 => is_whole(1.0 / factor.float() * value.float()),
        _ => is_whole(value.float() / factor.float()),
    }
}

/// A number that the type and its format cannot hold, in words.
fn out_of_range(schema: &Schema, value: Num, word: &str, path: &Path<'_>) -> Option<String> {
    let kind = schema.kind.filter(|_| !schema.int_or_string)?;
    let format = schema.constraints.format.as_deref();
    let (fits, format) = match (kind, format) {
        (Kind::Integer, format) => {
            let whole = match value {
                Num::Int(int) => Some(int),
                Num::Float(float) if float.fract() == 0.0 && float.abs() < 9.3e18 => {
                    i64::try_from(float as i128).ok()
                }
                Num::Float(_) => None,
            };
            let small = |int: i64| format != Some("int32") || i32::try_from(int).is_ok();
            (whole.is_some_and(small), format)
        }
        (Kind::Number, Some("float")) => (value.float().abs() <= f64::from(f32::MAX), format),
        _ => return None,
    };
    let kind = kind.as_str();
    (!fits).then(|| match format {
        Some(format) => {
            format!("{word} value must be of type {kind} with format {format} in {path}")
        }
        None => format!("{word} value must be of type {kind} (default format) in {path}"),
    })
}

fn junctors(
    junctors: &Junctors,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    outcome: &mut Outcome,
) {
    let check = |schema: &Schema| node(schema, value, old, path);
    let name = quoted(&path.to_string());
    if !junctors.any_of.is_empty() {
        match closest(&junctors.any_of, check) {
            Ok(_) => {}
            Err(failed) => {
                let detail = format!("{name} must validate at least one schema (anyOf)");
                outcome.unplaced(detail);
                outcome.merge(failed);
            }
        }
    }
    if !junctors.one_of.is_empty() {
        let what = format!("{name} must validate one and only one schema (oneOf).");
        match closest(&junctors.one_of, check) {
            Ok(1) => {}
            Ok(valid) => outcome.unplaced(format!("{what} Found {valid} valid alternatives")),
            Err(failed) => {
                outcome.unplaced(format!("{what} Found none valid"));
                outcome.merge(failed);
            }
        }
    }
    if !junctors.all_of.is_empty() {
        let mut valid = 0;
        for schema in &junctors.all_of {
            let one = check(schema);
            valid += usize::from(one.errors.is_empty());
            outcome.merge(one);
        }
        if valid != junctors.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            let detail = format!("{name} must validate all the schemas (allOf){none}");
            outcome.unplaced(detail);
        }
    }
    if let Some(schema) = &junctors.not
        && check(schema).errors.is_empty()
    {
        outcome.unplaced(format!("{name} must not validate the schema (not)"));
    }
}

/// How many of the alternatives are right, or else the one that comes closest.
fn closest(schemas: &[Schema], check: impl Fn(&Schema) -> Outcome) -> Result<usize, Outcome> {
    let mut best: Option<Outcome> = None;
    let mut valid = 0;
    for schema in schemas {
        let one = check(schema);
        if one.errors.is_empty() {
            valid += 1;
        } else if best.as_ref().is_none_or(|best| one.checks > best.checks) {
            best = Some(one);
        }
    }
    match best {
        Some(best) if valid == 0 => Err(best),
        _ => Ok(valid),
    }
}

fn is_quantity(schema: &Schema) -> bool {
    schema.constraints.format.as_deref() == Some(crate::schema::core::QUANTITY)
}

/// Is this the old value? The order of items means nothing in a list that is a map; and of what the
/// schema does not tell, nobody knows.
pub(super) fn is_unchanged(schema: &Schema, value: &Value, old: &Value) -> bool {
    match (value, old) {
        (Value::Object(fields), Value::Object(before)) => {
            let same =
                |(name, field): (&String, &Value)| match (schema.field(name), before.get(name)) {
                    (Some(below), Some(old)) => is_unchanged(below, field, old),
                    _ => false,
                };
            fields.len() == before.len() && fields.iter().all(same)
        }
        (Value::Array(items), Value::Array(list)) if schema.list_type == ListType::Map => {
            let before = Items::of(schema, Some(old));
            let same = |item: &Value| match (&schema.items, before.get(item)) {
                (Some(below), Some(old)) => is_unchanged(below, item, old),
                _ => false,
            };
            items.len() == list.len() && items.iter().all(same)
        }
        _ => value == old,
    }
}

/// The items of a list by their keys, where the list is a map.
pub(super) struct Items<'v> {
    schema: &'v Schema,
    items: HashMap<Vec<&'v Value>, &'v Value>,
}

impl<'v> Items<'v> {
    pub(super) fn of(schema: &'v Schema, list: Option<&'v Value>) -> Self {
        let mut items = HashMap::new();
        if schema.list_type == ListType::Map {
            for item in list.and_then(Value::as_array).into_iter().flatten() {
                if let Some(keys) = keys_of(schema, item) {
                    items.entry(keys).or_insert(item);
                }
            }
        }
        Items { schema, items }
    }

    /// The item with the keys of this one.
    pub(super) fn get(&self, item: &Value) -> Option<&'v Value> {
        self.items.get(&keys_of(self.schema, item)?).copied()
    }
}

/// The values of an item's keys; nothing where one is missing, or no scalar: it is like no other then.
fn keys_of<'v>(schema: &Schema, item: &'v Value) -> Option<Vec<&'v Value>> {
    let scalar = |key: &&Value| matches!(key, Value::Bool(_) | Value::Number(_) | Value::String(_));
    let keys = schema.list_map_keys.iter();
    keys.map(|key| item.get(key).filter(scalar)).collect()
}

/// Is `value` this one of an enumeration? 1 and 1.0 are the same number; of a number with a fraction,
/// the whole part is compared with a whole one, as Kubernetes does.
fn same(one: &Value, value: &Value) -> bool {
    match (one, value) {
        (Value::Number(one), Value::Number(value)) => {
            let value = value.as_f64().map(|value| match one.is_i64() {
                true => value.trunc(),
                false => value,
            });
            one.as_f64() == value
        }
        _ => one == value,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A whole number that JSON can hold exactly, but for the last digits of a quotient.
fn is_whole(value: f64) -> bool {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    let nearest = value.trunc();
    let close = value == nearest
        || (nearest != 0.0 && (value - nearest).abs() / (value.abs() + nearest.abs()) < 1e-9);
    value.abs() <= LARGEST && close
}

#[cfg(test)]
mod tests;

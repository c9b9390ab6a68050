//! `x-kubernetes-validations`: rules in CEL, compiled when the schema is parsed.
//!
//! The library of functions is kube-cel's. The walk is our own, because rules see only the value
//! of their node: it is converted once, where there are rules, and old values are matched by the
//! keys of map lists, as transition rules demand.
//!
//! Cost is bounded twice: by an estimate from the schema's bounds, beyond which the schema is
//! refused, and at run time by the sizes that the object really has.

mod checker;
mod compile;
mod overloads;
mod types;

use std::sync::Arc;

use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value as Cel};
use serde_json::Value;

use super::convert::to_cel;
pub(crate) use super::cost::most_of;
use super::field::{FieldError, Path, Reason};
use super::library;
use super::structural::matching_item;
use crate::schema::Schema;
pub(crate) use compile::{compile, field_path};

/// All rules of one object together may make this many loop rounds, about a second's worth.
const RUN_BUDGET: u64 = 1_000_000;

/// Kubernetes' limit on messages made by `messageExpression`.
const MESSAGE_LIMIT: usize = 5 << 10;

/// One compiled rule.
#[derive(Debug)]
pub struct Rule {
    /// The expression as written.
    pub expression: String,
    program: IdedExpr,
    message: Option<String>,
    message_program: Option<IdedExpr>,
    reason: Reason,
    field_path: Option<String>,
    optional_old_self: bool,
    /// Does it compare with the value before?
    pub uses_old_self: bool,
    /// What rule and `messageExpression` may cost at most.
    pub costs: (u64, u64),
    nesting: u32,
}

/// Evaluates every rule that applies to `new`.
pub(super) fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    library::with(|library| {
        let mut run = Run {
            library,
            errors: Vec::new(),
            budget: RUN_BUDGET,
        };
        run.node(schema, new, old, false, &Path::root());
        run.errors
    })
}

struct Run<'l> {
    library: &'l Context<'static>,
    errors: Vec<FieldError>,
    budget: u64,
}

impl Run<'_> {
    /// `unchanged` is true below a value that is as it was: there only transition rules run, for
    /// objects must not become unchangeable when a rule is added.
    fn node(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &Path<'_>,
    ) {
        if !schema.has_rules || (new.is_null() && schema.nullable) {
            return;
        }
        let unchanged = unchanged || old == Some(new);
        self.rules(schema, new, old, unchanged, path);
        match new {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let old = old.and_then(|old| old.get(name));
                    match (schema.properties.get(name), &schema.additional) {
                        (Some(below), _) => {
                            self.node(below, field, old, unchanged, &path.field(name))
                        }
                        (None, Some(below)) => {
                            self.node(below, field, old, unchanged, &path.key(name))
                        }
                        (None, None) => {}
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = schema.items.as_deref().filter(|below| below.has_rules) else {
                    return;
                };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| matching_item(schema, item, old));
                    self.node(below, item, old, unchanged, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn rules(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &Path<'_>,
    ) {
        let runs = |rule: &Rule| match (rule.uses_old_self, old) {
            (false, _) => !unchanged,
            (true, Some(_)) => true,
            (true, None) => rule.optional_old_self,
        };
        let rules: Vec<_> = schema.rules.iter().filter(|rule| runs(rule)).collect();
        if rules.is_empty() || self.budget == 0 {
            return;
        }
        let (this, longest) = to_cel(new, Some(schema));
        // Old values are converted only where a rule looks at them.
        let before = old
            .filter(|_| rules.iter().any(|rule| rule.uses_old_self))
            .map(|old| to_cel(old, Some(schema)).0);
        let mut scope = self.library.new_inner_scope();
        scope.add_variable_from_value("self", this);
        if let Some(before) = &before {
            scope.add_variable_from_value("oldSelf", before.clone());
        }
        for rule in rules {
            let rounds = u64::try_from(longest)
                .unwrap_or(u64::MAX)
                .saturating_pow(rule.nesting);
            if rounds > self.budget {
                self.budget = 0;
                let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.errors
                    .push(FieldError::invalid(path, kind_of(schema), detail));
                return;
            }
            self.budget -= rounds;
            let failed = if rule.optional_old_self {
                let mut optional = scope.new_inner_scope();
                let old = before
                    .clone()
                    .map_or_else(OptionalValue::none, OptionalValue::of);
                optional.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
                evaluate(rule, schema, new, path, &optional)
            } else {
                evaluate(rule, schema, new, path, &scope)
            };
            self.errors.extend(failed);
        }
    }
}

fn evaluate(
    rule: &Rule,
    schema: &Schema,
    value: &Value,
    path: &Path<'_>,
    scope: &Context<'_>,
) -> Option<FieldError> {
    let shown = rule.message.as_deref().unwrap_or(rule.expression.trim());
    let detail = match Cel::resolve(&rule.program, scope) {
        Ok(Cel::Bool(true)) => return None,
        Ok(Cel::Bool(false)) => return Some(violation(rule, value, path, scope)),
        Ok(_) => format!("rule did not evaluate to a boolean: {shown}"),
        Err(ExecutionError::NoSuchOverload) => format!(
            "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
        ),
        Err(error) => format!("{} evaluating rule: {shown}", in_words(&error)),
    };
    Some(FieldError::invalid(path, kind_of(schema), detail))
}

/// An error of the interpreter in the words of Kubernetes' one.
fn in_words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::IndexOutOfBounds(Cel::Int(index)) => {
            format!("index out of bounds: {index}")
        }
        ExecutionError::FunctionError { function, message } => {
            let numeric = ["int", "uint", "double"].contains(&function.as_str());
            match message.starts_with("string parse error") && numeric {
                true => format!("type conversion error from 'string' to '{function}'"),
                false => message.clone(),
            }
        }
        other => other.to_string(),
    }
}

fn violation(rule: &Rule, value: &Value, path: &Path<'_>, scope: &Context<'_>) -> FieldError {
    let made =
        rule.message_program
            .as_ref()
            .and_then(|program| match Cel::resolve(program, scope) {
                Ok(Cel::String(text)) => {
                    Some(text.trim().to_owned()).filter(|text| usable_message(text))
                }
                _ => None,
            });
    let fallback = || match &rule.message {
        Some(message) => message.clone(),
        None => format!("failed rule: {}", rule.expression.trim()),
    };
    let suffix = rule.field_path.as_deref().unwrap_or_default();
    let found = value.pointer(&suffix.replace('.', "/"));
    let at = path.to_string() + suffix;
    FieldError {
        reason: rule.reason,
        field: at.strip_prefix('.').map(str::to_owned).unwrap_or(at),
        bad_value: found
            .filter(|found| !found.is_object() && !found.is_array())
            .cloned(),
        detail: made.unwrap_or_else(fallback),
    }
}

fn usable_message(text: &str) -> bool {
    !text.is_empty() && text.len() <= MESSAGE_LIMIT && !text.contains('\n')
}

fn kind_of(schema: &Schema) -> &'static str {
    schema.kind.map_or("", crate::schema::Kind::as_str)
}

#[cfg(test)]
mod tests;

//! `x-kubernetes-validations`: rules in CEL, compiled when the schema is parsed.
//!
//! Rules are parsed by the crate `cel`, their types checked ([`checker`]) and their values computed
//! ([`eval`]) here; the functions of Kubernetes' libraries are kube-cel's. Rules see only the value of
//! their node: it is converted once, where there are rules, and old values are matched by the keys of
//! map lists, as transition rules demand.
//!
//! Cost is bounded twice: by an estimate from the schema's bounds, beyond which the schema is
//! refused, and at run time by counting, for each rule and for all rules of an object.

mod checker;
mod compile;
mod cost;
mod depth;
mod eval;
mod functions;
mod loops;
mod overloads;
mod types;
pub(super) mod value;

use std::sync::Arc;

use kube_cel::cel::IdedExpr;
use serde_json::Value;

pub(crate) use self::compile::{compile, field_path};
pub(crate) use self::cost::most_of;
use self::eval::{Fault, evaluate};
use self::value::Val;
use super::convert::to_cel;
use super::field::{FieldError, Path, Reason};
use super::structural::matching_item;
use crate::schema::Schema;

/// What all rules of one object together may cost: Kubernetes' limit, about a second's worth.
const RUN_BUDGET: u64 = 10_000_000;

const OVER_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

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
}

/// Evaluates every rule that applies to `new`.
pub(super) fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut run = Run {
        errors: Vec::new(),
        budget: Some(RUN_BUDGET),
    };
    run.node(schema, new, old, false, &Path::root());
    run.errors
}

struct Run {
    errors: Vec<FieldError>,
    /// What is left of the budget; `None` once it is spent.
    budget: Option<u64>,
}

impl Run {
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
        if rules.is_empty() {
            return;
        }
        let this = to_cel(new, Some(schema));
        // Old values are converted only where a rule looks at them.
        let before = old
            .filter(|_| rules.iter().any(|rule| rule.uses_old_self))
            .map(|old| to_cel(old, Some(schema)));
        for rule in rules {
            let before = if rule.optional_old_self {
                Some(Val::Optional(before.clone().map(Arc::new)))
            } else {
                before.clone()
            };
            let mut variables = vec![("self", this.clone())];
            variables.extend(before.map(|before| ("oldSelf", before)));
            let Some(budget) = self.budget else {
                return;
            };
            let (outcome, cost) = evaluate(&rule.program, &variables);
            self.budget = budget.checked_sub(cost);
            let detail = match outcome {
                _ if self.budget.is_none() => OVER_BUDGET.to_owned(),
                Ok(Val::Bool(true)) => continue,
                Ok(Val::Bool(false)) => {
                    let message = self.message(rule, &variables);
                    self.errors.push(violation(rule, new, path, message));
                    continue;
                }
                Ok(_) => format!("rule did not evaluate to a boolean: {}", rule.shown()),
                Err(fault) => self.fault(&fault, rule),
            };
            let error = FieldError::invalid(place(path.to_string()), kind_of(schema), detail);
            self.errors.push(error);
        }
    }

    fn fault(&mut self, fault: &Fault, rule: &Rule) -> String {
        let shown = rule.shown();
        match fault {
            Fault::Error(text) => format!("{text} evaluating rule: {shown}"),
            Fault::NoOverload => format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
            ),
            Fault::Cancelled => {
                self.budget = None;
                format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                )
            }
        }
    }

    /// The message of a rule that is violated.
    fn message(&mut self, rule: &Rule, variables: &[(&str, Val)]) -> String {
        let made = rule.message_program.as_ref().and_then(|program| {
            let (outcome, cost) = evaluate(program, variables);
            self.budget = self.budget?.checked_sub(cost);
            match outcome {
                Ok(Val::String(text)) => {
                    Some(text.trim().to_owned()).filter(|text| usable_message(text))
                }
                _ => None,
            }
        });
        let fallback = || match &rule.message {
            Some(message) => message.clone(),
            None => format!("failed rule: {}", rule.expression.trim()),
        };
        made.unwrap_or_else(fallback)
    }
}

impl Rule {
    /// The rule in messages about its evaluation.
    fn shown(&self) -> &str {
        self.message.as_deref().unwrap_or(self.expression.trim())
    }
}

fn violation(rule: &Rule, value: &Value, path: &Path<'_>, detail: String) -> FieldError {
    let suffix = rule.field_path.as_deref().unwrap_or_default();
    FieldError {
        reason: rule.reason,
        field: place(path.to_string() + suffix),
        bad_value: Some(value.clone()).filter(|value| !value.is_object() && !value.is_array()),
        // A duplicate speaks for itself.
        detail: if rule.reason == Reason::Duplicate {
            String::new()
        } else {
            detail
        },
    }
}

/// A path as errors tell it; the whole object has none.
fn place(path: String) -> String {
    match path.strip_prefix('.') {
        Some(field) => field.to_owned(),
        None if path.is_empty() => "<nil>".to_owned(),
        None => path,
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

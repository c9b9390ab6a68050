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

use std::cell::OnceCell;
use std::sync::Arc;

use kube_cel::cel::IdedExpr;
use serde_json::Value;

pub(crate) use self::compile::{compile, compile_stored, field_path};
pub(crate) use self::cost::most_of;
use self::eval::{Fault, NO_OVERLOAD, evaluate};
use self::value::Val;
use super::Findings;
use super::convert::to_cel;
use super::field::{FieldError, Path, Reason, quoted};
use super::structural::{Items, is_unchanged};
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
    /// Why it is no rule, if it was one once.
    broken: Option<String>,
    /// The expression as written.
    pub expression: String,
    program: IdedExpr,
    message: Option<String>,
    /// `messageExpression`, as written and parsed.
    message_program: Option<(String, IdedExpr)>,
    reason: Reason,
    field_path: Option<String>,
    optional_old_self: bool,
    /// Does it compare with the value before?
    pub uses_old_self: bool,
    /// What rule and `messageExpression` may cost at most.
    pub costs: (u64, u64),
}

/// Evaluates every rule that applies to `new`.
pub(super) fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Findings {
    let mut run = Run {
        findings: Findings::default(),
        budget: Some(RUN_BUDGET),
    };
    run.node(schema, new, old, None, &Path::root());
    run.findings
}

/// A value and what it was before.
struct Known<'v> {
    schema: &'v Schema,
    new: &'v Value,
    old: &'v Value,
    /// Whether both are the same, once somebody asked.
    same: OnceCell<bool>,
}

impl Known<'_> {
    fn is_same(&self) -> bool {
        let same = || is_unchanged(self.schema, self.new, self.old);
        *self.same.get_or_init(same)
    }
}

struct Run {
    findings: Findings,
    /// What is left of the budget; `None` once it is spent.
    budget: Option<u64>,
}

impl Run {
    /// `above` is the nearest value around this one that is known from before.
    fn node(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        above: Option<&Known<'_>>,
        path: &Path<'_>,
    ) {
        if !schema.has_rules || new.is_null() {
            return;
        }
        let own = old.map(|old| Known {
            schema,
            new,
            old,
            same: OnceCell::new(),
        });
        let known = own.as_ref().or(above);
        self.rules(schema, new, old.filter(|old| !old.is_null()), known, path);
        match new {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let old = old.and_then(|old| old.get(name));
                    match (schema.properties.get(name), &schema.additional) {
                        (Some(below), _) => self.node(below, field, old, known, &path.field(name)),
                        (None, Some(below)) => {
                            self.node(below, field, old, known, &path.key(name));
                        }
                        (None, None) => {}
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = schema.items.as_deref().filter(|below| below.has_rules) else {
                    return;
                };
                let before = Items::of(schema, old);
                for (index, item) in items.iter().enumerate() {
                    self.node(below, item, before.get(item), known, &path.index(index));
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
        known: Option<&Known<'_>>,
        path: &Path<'_>,
    ) {
        let runs = |rule: &Rule| old.is_some() || !rule.uses_old_self || rule.optional_old_self;
        let rules: Vec<_> = schema.rules.iter().filter(|rule| runs(rule)).collect();
        if rules.is_empty() {
            return;
        }
        let mut variables = vec![("self", to_cel(new, Some(schema)))];
        // Old values are converted only where a rule looks at them.
        let before = old
            .filter(|_| rules.iter().any(|rule| rule.uses_old_self))
            .map(|old| to_cel(old, Some(schema)));
        variables.extend(before.clone().map(|before| ("oldSelf", before)));
        for rule in rules {
            let Some(budget) = self.budget else {
                return;
            };
            if let Some(why) = &rule.broken {
                let detail = format!("rule compile error: {why}");
                let error = FieldError::invalid(place(path.to_string()), kind_of(schema), detail);
                self.findings.errors.push(error);
                continue;
            }
            let (outcome, cost) = if rule.optional_old_self {
                let this = variables.first().cloned();
                let before = Val::Optional(before.clone().map(Arc::new));
                let optional: Vec<_> = this.into_iter().chain([("oldSelf", before)]).collect();
                evaluate(&rule.program, &optional)
            } else {
                evaluate(&rule.program, &variables)
            };
            self.budget = budget.checked_sub(cost);
            let detail = match outcome {
                _ if self.budget.is_none() => OVER_BUDGET.to_owned(),
                Ok(Val::Bool(true)) => continue,
                Ok(Val::Bool(false)) => {
                    let error = match self.message(rule, &variables) {
                        Ok(message) => violation(rule, new, path, message),
                        Err(why) => FieldError::invalid(rule.place(path), kind_of(schema), why),
                    };
                    if !rule.uses_old_self && known.is_some_and(Known::is_same) {
                        self.findings.forgiven.push(error);
                    } else {
                        self.findings.errors.push(error);
                    }
                    continue;
                }
                Ok(_) => format!("rule did not evaluate to a boolean: {}", rule.shown()),
                Err(fault) => self.fault(&fault, rule),
            };
            let error = FieldError::invalid(place(path.to_string()), kind_of(schema), detail);
            self.findings.errors.push(error);
        }
    }

    fn fault(&mut self, fault: &Fault, rule: &Rule) -> String {
        let shown = rule.shown();
        match fault {
            Fault::Error(text) if text.starts_with(NO_OVERLOAD) => format!(
                "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
            ),
            Fault::Error(text) => format!("{text} evaluating rule: {shown}"),
            Fault::Cancelled => {
                self.budget = None;
                format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                )
            }
        }
    }

    /// The message of a rule that is violated, or why no more rules are run.
    fn message(&mut self, rule: &Rule, variables: &[(&str, Val)]) -> Result<String, String> {
        let made = match &rule.message_program {
            Some((source, program)) => {
                let (outcome, cost) = evaluate(program, variables);
                self.budget = self.budget.and_then(|budget| budget.checked_sub(cost));
                if self.budget.is_none() {
                    return Err("messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run".into());
                }
                if outcome == Err(Fault::Cancelled) {
                    self.budget = None;
                    return Err(format!(
                        "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                        quoted(source)
                    ));
                }
                outcome.ok()
            }
            None => None,
        };
        let usable = match made {
            Some(Val::String(text)) => Some(text.trim().to_owned()).filter(|text| {
                !text.is_empty() && text.len() <= MESSAGE_LIMIT && !text.contains('\n')
            }),
            _ => None,
        };
        Ok(usable.unwrap_or_else(|| match &rule.message {
            Some(message) => message.clone(),
            None => format!("failed rule: {}", rule.expression.trim()),
        }))
    }
}

impl Rule {
    /// The rule in messages about its evaluation.
    fn shown(&self) -> &str {
        self.message.as_deref().unwrap_or(self.expression.trim())
    }

    /// Where a violation by the value at `path` is told.
    fn place(&self, path: &Path<'_>) -> String {
        place(path.to_string() + self.field_path.as_deref().unwrap_or_default())
    }
}

fn violation(rule: &Rule, value: &Value, path: &Path<'_>, detail: String) -> FieldError {
    FieldError {
        reason: rule.reason,
        field: rule.place(path),
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

fn kind_of(schema: &Schema) -> &'static str {
    schema.kind.map_or("", crate::schema::Kind::as_str)
}

#[cfg(test)]
mod tests;

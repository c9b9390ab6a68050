//! Evaluation of a checked expression, within a budget.
//!
//! The interpreter of the crate that parses knows neither optional fields nor macros with two
//! variables, and cannot be bounded; so the tree is walked here. The functions are in [`functions`].

mod loops;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};

use super::checker::{qualified, text_of};
use super::functions;
use super::overloads;
use super::value::{Key, Val};

/// What one evaluation may cost at most: Kubernetes' limit per call.
pub(super) const CALL_LIMIT: u64 = 1_000_000;

/// What a fault begins with when no function takes the values; the checker could not know.
pub(super) const NO_OVERLOAD: &str = "no such overload";

/// Why an evaluation has no result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// What is wrong with the values.
    Error(String),
    /// It has cost too much.
    Cancelled,
}

impl Fault {
    pub fn error(text: impl Into<String>) -> Self {
        Fault::Error(text.into())
    }

    pub fn no_overload() -> Self {
        Fault::error(NO_OVERLOAD)
    }
}

pub(crate) type Outcome = Result<Val, Fault>;

/// Evaluates `expression` with `variables`, and tells what it cost.
pub(super) fn evaluate(expression: &IdedExpr, variables: &[(&str, Val)]) -> (Outcome, u64) {
    let mut evaluation = Evaluation {
        variables: variables.to_vec(),
        cost: 0,
    };
    let outcome = evaluation.expr(expression);
    (outcome, evaluation.cost)
}

struct Evaluation<'e> {
    variables: Vec<(&'e str, Val)>,
    cost: u64,
}

impl<'e> Evaluation<'e> {
    fn spend(&mut self, cost: u64) -> Result<(), Fault> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > CALL_LIMIT {
            return Err(Fault::Cancelled);
        }
        Ok(())
    }

    fn expr(&mut self, expression: &'e IdedExpr) -> Outcome {
        match &expression.expr {
            Expr::Literal(literal) => Ok(literal_value(literal)),
            Expr::Ident(name) => {
                self.spend(1)?;
                let found = self.variables.iter().rev().find(|(own, _)| own == name);
                match found {
                    Some((_, value)) => Ok(value.clone()),
                    None => Ok(Val::Type(Arc::new(runtime_type(name).to_owned()))),
                }
            }
            Expr::Select(select) => {
                if let Some(name) = qualified(expression).filter(|name| is_type(name)) {
                    return Ok(Val::Type(Arc::new(name)));
                }
                let operand = self.expr(&select.operand)?;
                if !select.test {
                    self.spend(1)?;
                }
                selected(&operand, &select.field, select.test)
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                self.spend(10)?;
                let mut items = Vec::with_capacity(list.elements.len());
                for (index, element) in list.elements.iter().enumerate() {
                    let value = self.expr(element)?;
                    items.extend(present(value, list.optional_indices.contains(&index)));
                }
                Ok(Val::list(items))
            }
            Expr::Map(map) => {
                self.spend(30)?;
                let mut fields = BTreeMap::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        continue;
                    };
                    let key = self.expr(&entry.key)?;
                    let key = key.key().ok_or_else(Fault::no_overload)?;
                    let value = self.expr(&entry.value)?;
                    if let Some(value) = present(value, entry.optional) {
                        fields.insert(key, value);
                    }
                }
                Ok(Val::map(fields))
            }
            Expr::Comprehension(loops) => self.expanded(loops),
            Expr::Struct(_) | Expr::Unspecified => Err(Fault::no_overload()),
        }
    }

    fn call(&mut self, call: &'e CallExpr) -> Outcome {
        match (call.func_name.as_str(), call.args.as_slice()) {
            ("_&&_", [left, right]) => self.logical(left, right, false),
            ("_||_", [left, right]) => self.logical(left, right, true),
            ("_?_:_", [condition, yes, no]) => match self.expr(condition)? {
                Val::Bool(true) => self.expr(yes),
                Val::Bool(false) => self.expr(no),
                _ => Err(Fault::no_overload()),
            },
            ("@not_strictly_false", [truth]) => {
                let found = self.expr(truth);
                match found {
                    Err(Fault::Cancelled) => found,
                    _ => Ok(Val::Bool(!matches!(found, Ok(Val::Bool(false))))),
                }
            }
            ("_?._", [operand, field]) => {
                let operand = self.expr(operand)?;
                self.spend(1)?;
                optional_field(&operand, text_of(field).unwrap_or_default())
            }
            ("or" | "orValue", [other]) if call.target.is_some() => self.or_else(call, other),
            _ => match self.macro_call(call) {
                Some(outcome) => outcome,
                None => self.function(call),
            },
        }
    }

    /// `decisive` on either side decides, even if the other side cannot be evaluated.
    fn logical(&mut self, left: &'e IdedExpr, right: &'e IdedExpr, decisive: bool) -> Outcome {
        let mut outcome = Ok(Val::Bool(!decisive));
        for side in [left, right] {
            let fault = match self.expr(side) {
                Ok(Val::Bool(found)) if found == decisive => return Ok(Val::Bool(decisive)),
                Ok(Val::Bool(_)) => continue,
                Ok(_) => Fault::no_overload(),
                Err(Fault::Cancelled) => return Err(Fault::Cancelled),
                Err(fault) => fault,
            };
            // The first fault is told.
            outcome = outcome.and(Err(fault));
        }
        outcome
    }

    /// What an optional value holds, or `other`, which is evaluated only then.
    fn or_else(&mut self, call: &'e CallExpr, other: &'e IdedExpr) -> Outcome {
        let Some(target) = call.target.as_deref() else {
            return Err(Fault::no_overload());
        };
        self.spend(1)?;
        match self.expr(target)? {
            Val::Optional(None) => self.expr(other),
            Val::Optional(Some(held)) if call.func_name == "orValue" => Ok(held.as_ref().clone()),
            held @ Val::Optional(_) => Ok(held),
            _ => Err(Fault::no_overload()),
        }
    }

    fn function(&mut self, call: &'e CallExpr) -> Outcome {
        let name = call.func_name.as_str();
        let full = call
            .target
            .as_deref()
            .and_then(qualified)
            .map(|prefix| format!("{prefix}.{name}"))
            .filter(|full| overloads::of(full).is_some());
        let target = call.target.as_deref().filter(|_| full.is_none());
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for arg in target.into_iter().chain(&call.args) {
            args.push(self.expr(arg)?);
        }
        let name = full.as_deref().unwrap_or(name);
        self.spend(functions::cost(name, &args))?;
        functions::call(name, target.is_some(), args)
    }
}

/// What a map has as a value of this name, if it has one.
fn found<'v>(operand: &'v Val, field: &str) -> Option<&'v Val> {
    let Val::Map(map) = operand else {
        return None;
    };
    let get = |name: String| map.get(&Key::String(Arc::new(name)));
    // Reserved words are escaped among the fields of objects, and may be written plainly.
    get(field.to_owned()).or_else(|| get(format!("__{field}__")))
}

fn selected(operand: &Val, field: &str, test: bool) -> Outcome {
    if let Val::Optional(held) = operand {
        let value = match held {
            Some(held) => optional_field(held, field)?,
            None => Val::Optional(None),
        };
        return Ok(match (&value, test) {
            (Val::Optional(held), true) => Val::Bool(held.is_some()),
            _ => value,
        });
    }
    let value = found(operand, field);
    match value {
        _ if test => Ok(Val::Bool(value.is_some())),
        Some(value) => Ok(value.clone()),
        None => Err(Fault::error(format!("no such key: {field}"))),
    }
}

fn optional_field(operand: &Val, field: &str) -> Outcome {
    match operand {
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(held)) => optional_field(held, field),
        Val::Map(_) => Ok(Val::Optional(found(operand, field).cloned().map(Arc::new))),
        _ => Err(Fault::no_overload()),
    }
}

/// The value of an element of a literal; an optional one may be none.
fn present(value: Val, optional: bool) -> Option<Val> {
    match value {
        Val::Optional(held) if optional => held.map(|held| held.as_ref().clone()),
        value => Some(value),
    }
}

/// What macros insert into a map has each key once.
pub(super) fn insert(fields: &mut BTreeMap<Key, Val>, key: Key, value: Val) -> Result<(), Fault> {
    if fields.contains_key(&key) {
        let key = functions::shown(&key.value());
        return Err(Fault::error(format!(
            "insert failed: key {key} already exists"
        )));
    }
    fields.insert(key, value);
    Ok(())
}

pub(super) fn literal_value(literal: &LiteralValue) -> Val {
    match literal {
        LiteralValue::Boolean(flag) => Val::Bool(*flag.inner()),
        LiteralValue::Bytes(bytes) => Val::Bytes(Arc::new(bytes.inner().to_vec())),
        LiteralValue::Double(number) => Val::Double(*number.inner()),
        LiteralValue::Int(number) => Val::Int(*number.inner()),
        LiteralValue::Null => Val::Null,
        LiteralValue::String(text) => Val::text(text.inner()),
        LiteralValue::UInt(number) => Val::Uint(*number.inner()),
    }
}

/// The name of a type at run time, from the one that it is written with.
fn runtime_type(name: &str) -> &str {
    match name {
        "timestamp" => "google.protobuf.Timestamp",
        "duration" => "google.protobuf.Duration",
        other => other,
    }
}

fn is_type(name: &str) -> bool {
    name.starts_with("google.protobuf.") || name.starts_with("net.")
}

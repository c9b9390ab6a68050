//! The functions of CEL's standard library, and the way to those of kube-cel.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{CallExpr, Expr};
use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value as Cel};
use regex::Regex;

use super::eval::{Fault, NO_OVERLOAD, Outcome};
use super::value::{Identity, Key, List, Val};
use crate::validation::pattern as patterns;

mod conversions;
pub(super) mod format;
mod named;
mod quantities;
mod texts;
mod times;

pub(super) use self::conversions::{convert, shown};

/// Patterns come from rules, which are few; those computed from objects only pass through.
const PATTERNS_MAX: usize = 256;

thread_local! {
    /// Registering the functions takes longer than most rules.
    static LIBRARY: Context<'static> = Context::default().with_all();
    /// Compiling a pattern takes up to a millisecond.
    static PATTERNS: RefCell<HashMap<Arc<String>, Regex>> = RefCell::default();
}

/// What a call costs, in Kubernetes' units: what it has to look through.
pub(super) fn cost(name: &str, args: &[Val]) -> u64 {
    let size = |at: usize| args.get(at).and_then(Val::size).unwrap_or(1) as u64;
    let tenth = |size: u64| size.div_ceil(10);
    let looked = match name {
        "matches" | "find" | "findAll" => tenth(size(0) + 1) * size(1).div_ceil(4),
        "contains" | "containsCIDR" => tenth(size(0)) * tenth(size(1)),
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => tenth(size(0).min(size(1))),
        "_+_" => match args.first() {
            Some(Val::String(_) | Val::Bytes(_)) => tenth(size(0) + size(1)),
            Some(Val::List(list)) if !matches!(list.identity, Identity::Position) => {
                size(0).saturating_mul(size(1))
            }
            _ => size(0) + size(1),
        },
        "@in" => size(1),
        // What they make can be much larger than what they look through.
        "replace" | "join" | "split" => texts::made(name, args),
        "sets.contains" | "sets.intersects" | "sets.equivalent" => size(0).saturating_mul(size(1)),
        "sort" | "distinct" => size(0).saturating_mul(2 + tenth(size(0))),
        "lists.range" => match args.first() {
            Some(Val::Int(count)) => u64::try_from(*count).unwrap_or(1),
            _ => 1,
        },
        "size" | "_[_]" | "_[?_]" => 1,
        _ => tenth(args.iter().enumerate().map(|(at, _)| size(at)).sum()),
    };
    looked.max(1)
}

/// Calls the function `name`; `member` if the first of `args` stands before the dot.
pub(super) fn call(name: &str, member: bool, args: Vec<Val>) -> Outcome {
    let own = match args.as_slice() {
        [] if name == "optional.none" => Some(Ok(Val::Optional(None))),
        [a] => unary(name, a),
        [a, b] => binary(name, a, b),
        _ => None,
    };
    let outcome = own
        .or_else(|| texts::call(name, &args))
        .or_else(|| named::call(name, &args))
        .or_else(|| quantities::call(name, &args))
        .unwrap_or_else(|| library(name, member, &args));
    outcome.map_err(|fault| match fault {
        Fault::Error(text) if text == NO_OVERLOAD => no_overload(name, &args),
        other => other,
    })
}

/// That the function is not for these values. Of operators, the left side has the say; if it knows
/// nothing of the operator, that is named.
fn no_overload(name: &str, args: &[Val]) -> Fault {
    let kinds: Vec<_> = args.iter().map(Val::type_name).collect();
    let left = kinds.first().copied().unwrap_or_default();
    let (numbers, times) = (
        ["int", "uint", "double"],
        left.starts_with("google.protobuf."),
    );
    let known = match name {
        "_+_" => numbers.contains(&left) || times || ["string", "bytes", "list"].contains(&left),
        "_-_" => numbers.contains(&left) || times,
        "_*_" | "_/_" => numbers.contains(&left),
        "_%_" => ["int", "uint"].contains(&left),
        "_<_" | "_<=_" | "_>_" | "_>=_" => {
            numbers.contains(&left) || times || ["string", "bytes", "bool"].contains(&left)
        }
        "size" => false,
        "containsIP" => true,
        _ if name.contains(['_', '@']) => true,
        _ => return Fault::error(format!("{NO_OVERLOAD}: {name}({})", kinds.join(", "))),
    };
    match known {
        true => Fault::no_overload(),
        false => Fault::error(format!("{NO_OVERLOAD}: {name}")),
    }
}

fn unary(name: &str, value: &Val) -> Option<Outcome> {
    Some(match (name, value) {
        ("!_", Val::Bool(truth)) => Ok(Val::Bool(!truth)),
        ("-_", Val::Int(number)) => number.checked_neg().map(Val::Int).ok_or_else(overflow),
        ("-_", Val::Double(number)) => Ok(Val::Double(-number)),
        ("!_" | "-_", _) => Err(Fault::no_overload()),
        ("size", _) => match value.size().map(i64::try_from) {
            Some(Ok(size)) => Ok(Val::Int(size)),
            _ => Err(Fault::no_overload()),
        },
        ("type", _) => Ok(Val::Type(Arc::new(value.type_name().to_owned()))),
        ("dyn", _) => Ok(value.clone()),
        ("optional.of", _) => Ok(Val::some(value.clone())),
        ("optional.ofNonZeroValue", _) => Ok(if is_zero(value) {
            Val::Optional(None)
        } else {
            Val::some(value.clone())
        }),
        ("optional.unwrap" | "unwrapOpt", Val::List(list)) => {
            let held = list.items.iter().filter_map(|item| match item {
                Val::Optional(held) => held.as_deref().cloned(),
                other => Some(other.clone()),
            });
            Ok(Val::list(held.collect()))
        }
        ("value", Val::Optional(held)) => held
            .as_deref()
            .cloned()
            .ok_or_else(|| Fault::error("optional.none() dereference")),
        ("hasValue", Val::Optional(held)) => Ok(Val::Bool(held.is_some())),
        ("first", Val::List(list)) => Ok(Val::Optional(list.items.first().cloned().map(Arc::new))),
        ("last", Val::List(list)) => Ok(Val::Optional(list.items.last().cloned().map(Arc::new))),
        ("sort", Val::List(list)) => sort_by(&list.items, &list.items),
        ("bool" | "bytes" | "double" | "duration" | "int" | "timestamp" | "uint", _) => {
            convert(name, value)
        }
        ("string", _) if !matches!(value, Val::Opaque(_)) => convert(name, value),
        (_, Val::Timestamp(time)) if name.starts_with("get") => times::part(name, time, None),
        (_, Val::Duration(duration)) if name.starts_with("get") => times::total(name, *duration),
        _ => return None,
    })
}

fn binary(name: &str, a: &Val, b: &Val) -> Option<Outcome> {
    let ordered = |is: fn(Ordering) -> bool| {
        let nan = |value: &Val| matches!(value, Val::Double(number) if number.is_nan());
        match a.compare(b) {
            Some(order) => Ok(Val::Bool(is(order))),
            None if nan(a) || nan(b) => Err(Fault::error("NaN values cannot be ordered")),
            None => Err(Fault::no_overload()),
        }
    };
    Some(match (name, a, b) {
        ("_==_", _, _) => Ok(Val::Bool(a == b)),
        ("_!=_", _, _) => Ok(Val::Bool(a != b)),
        ("_<_", _, _) => ordered(Ordering::is_lt),
        ("_<=_", _, _) => ordered(Ordering::is_le),
        ("_>_", _, _) => ordered(Ordering::is_gt),
        ("_>=_", _, _) => ordered(Ordering::is_ge),
        ("_+_" | "_-_" | "_*_" | "_/_" | "_%_", _, _) => arithmetic(name, a, b),
        ("@in", _, Val::List(list)) => Ok(Val::Bool(list.items.iter().any(|item| item == a))),
        ("@in", _, Val::Map(map)) => {
            Ok(Val::Bool(a.key().is_some_and(|key| map.contains_key(&key))))
        }
        ("_[_]", Val::Optional(_), _) | ("_[?_]", _, _) => optional_item(a, b),
        ("_[_]", _, _) => item(a, b),
        ("contains", Val::String(text), Val::String(part)) => {
            Ok(Val::Bool(text.contains(part.as_str())))
        }
        ("startsWith", Val::String(text), Val::String(part)) => {
            Ok(Val::Bool(text.starts_with(part.as_str())))
        }
        ("endsWith", Val::String(text), Val::String(part)) => {
            Ok(Val::Bool(text.ends_with(part.as_str())))
        }
        ("matches", Val::String(text), Val::String(source)) => {
            with_pattern(source, |pattern| Val::Bool(pattern.is_match(text)))
        }
        ("find", Val::String(text), Val::String(source)) => with_pattern(source, |pattern| {
            Val::text(pattern.find(text).map_or("", |found| found.as_str()))
        }),
        ("indexOf" | "lastIndexOf", Val::List(list), _) => {
            let mut at = list.items.iter();
            let found = match name {
                "indexOf" => at.position(|item| item == b),
                _ => at.rposition(|item| item == b),
            };
            let found = found.and_then(|at| i64::try_from(at).ok());
            Ok(Val::Int(found.unwrap_or(-1)))
        }
        (_, Val::Timestamp(time), Val::String(zone)) if name.starts_with("get") => {
            times::part(name, time, Some(zone))
        }
        _ => return None,
    })
}

fn overflow() -> Fault {
    Fault::error("integer overflow")
}

fn arithmetic(name: &str, a: &Val, b: &Val) -> Outcome {
    match (name, a, b) {
        ("_/_", Val::Int(_), Val::Int(0)) | ("_/_", Val::Uint(_), Val::Uint(0)) => {
            Err(Fault::error("division by zero"))
        }
        ("_%_", Val::Int(_), Val::Int(0)) | ("_%_", Val::Uint(_), Val::Uint(0)) => {
            Err(Fault::error("modulus by zero"))
        }
        (_, Val::Int(a), Val::Int(b)) => match name {
            "_+_" => a.checked_add(*b),
            "_-_" => a.checked_sub(*b),
            "_*_" => a.checked_mul(*b),
            "_/_" => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Val::Int)
        .ok_or_else(overflow),
        (_, Val::Uint(a), Val::Uint(b)) => match name {
            "_+_" => a.checked_add(*b),
            "_-_" => a.checked_sub(*b),
            "_*_" => a.checked_mul(*b),
            "_/_" => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Val::Uint)
        .ok_or_else(|| Fault::error("unsigned integer overflow")),
        ("_+_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        ("_-_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        ("_*_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
        ("_/_", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
        ("_+_", Val::String(a), Val::String(b)) => Ok(Val::text(format!("{a}{b}"))),
        ("_+_", Val::Bytes(a), Val::Bytes(b)) => {
            Ok(Val::Bytes(Arc::new([a.as_slice(), b.as_slice()].concat())))
        }
        ("_+_", Val::List(a), Val::List(b)) => {
            Ok(Val::List(Arc::new(List::clone(a).with(&b.items))))
        }
        _ => times::arithmetic(name, a, b),
    }
}

fn item(container: &Val, index: &Val) -> Outcome {
    match (container, index.key()) {
        (Val::List(list), Some(Key::Int(at))) => usize::try_from(at)
            .ok()
            .and_then(|at| list.items.get(at))
            .cloned()
            .ok_or_else(|| Fault::error(format!("index out of bounds: {at}"))),
        (Val::List(_), _) => Err(Fault::error(format!(
            "unsupported index type '{}' in list",
            index.type_name()
        ))),
        (Val::Map(map), Some(key)) => map
            .get(&key)
            .cloned()
            .ok_or_else(|| Fault::error(format!("no such key: {}", shown(index)))),
        _ => Err(Fault::no_overload()),
    }
}

fn optional_item(container: &Val, index: &Val) -> Outcome {
    match container {
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(held)) => optional_item(held, index),
        Val::List(_) if !matches!(index.key(), Some(Key::Int(_))) => item(container, index),
        Val::List(_) | Val::Map(_) => Ok(Val::Optional(item(container, index).ok().map(Arc::new))),
        _ => Err(Fault::no_overload()),
    }
}

/// `items` in the order of `keys`.
pub(super) fn sort_by(items: &[Val], keys: &[Val]) -> Outcome {
    let mut pairs: Vec<_> = keys.iter().zip(items).collect();
    let comparable = keys
        .iter()
        .zip(keys.iter().skip(1))
        .all(|(a, b)| a.compare(b).is_some());
    if !comparable {
        return Err(Fault::error("list elements must have the same type"));
    }
    pairs.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(Val::list(
        pairs.into_iter().map(|(_, item)| item.clone()).collect(),
    ))
}

fn is_zero(value: &Val) -> bool {
    match value {
        Val::Null | Val::Bool(false) | Val::Int(0) | Val::Uint(0) | Val::Optional(None) => true,
        Val::Double(number) => *number == 0.0,
        Val::Duration(duration) => duration.is_zero(),
        other => other.size() == Some(0),
    }
}

/// The pattern `text`, compiled.
pub(super) fn pattern(text: &str) -> Result<Regex, Fault> {
    patterns::compile(text).map_err(Fault::Error)
}

/// What `ask` makes of the pattern `source`.
fn with_pattern(source: &Arc<String>, ask: impl FnOnce(&Regex) -> Val) -> Outcome {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(compiled) = patterns.get(source) {
            return Ok(ask(compiled));
        }
        let compiled = pattern(source)?;
        let found = ask(&compiled);
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(source.clone(), compiled);
        Ok(found)
    })
}

/// An error of kube-cel in Kubernetes' words.
fn in_words(name: &str, value: Option<&Val>, message: String) -> String {
    match (name, value) {
        ("ip" | "ip.isCanonical", Some(Val::String(text))) if message.contains("mapped") => {
            format!("IPv4-mapped IPv6 address \"{text}\" is not allowed")
        }
        ("ip" | "ip.isCanonical", Some(Val::String(text))) => format!(
            "IP Address \"{text}\" parse error during conversion from string: ParseAddr(\"{text}\"): unable to parse IP"
        ),
        _ => message,
    }
}

/// Calls a function of kube-cel. Values reach it as variables.
fn library(name: &str, member: bool, args: &[Val]) -> Outcome {
    const NAMES: [&str; 5] = ["@0", "@1", "@2", "@3", "@4"];
    let named = |name: &str| IdedExpr {
        id: 0,
        expr: Expr::Ident(name.to_owned()),
    };
    let mut idents = NAMES.iter().take(args.len()).map(|name| named(name));
    let call = CallExpr {
        func_name: name.to_owned(),
        target: member.then(|| idents.next().map(Box::new)).flatten(),
        args: idents.collect(),
    };
    let expression = IdedExpr {
        id: 0,
        expr: Expr::Call(call),
    };
    let found = LIBRARY.with(|library| {
        let mut scope = library.new_inner_scope();
        for (name, value) in NAMES.iter().zip(args) {
            scope.add_variable_from_value(*name, Cel::from(value));
        }
        Cel::resolve(&expression, &scope)
    });
    match found {
        Ok(found) => Ok(Val::from(&found)),
        Err(ExecutionError::FunctionError { message, .. }) => {
            Err(Fault::Error(in_words(name, args.first(), message)))
        }
        Err(_) => Err(Fault::no_overload()),
    }
}

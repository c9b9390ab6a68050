//! The functions of CEL's standard library, and the way to those of kube-cel.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{CallExpr, Expr};
use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value as Cel};
use regex::Regex;

use super::eval::{Fault, Outcome};
use super::value::{Identity, Key, List, Val};
use crate::validation::{formats, pattern as patterns};

mod texts;
mod times;

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
    own.or_else(|| texts::call(name, &args))
        .unwrap_or_else(|| library(name, member, &args))
}

fn unary(name: &str, value: &Val) -> Option<Outcome> {
    Some(match (name, value) {
        ("!_", Val::Bool(truth)) => Ok(Val::Bool(!truth)),
        ("-_", Val::Int(number)) => number.checked_neg().map(Val::Int).ok_or_else(overflow),
        ("-_", Val::Double(number)) => Ok(Val::Double(-number)),
        ("!_" | "-_", _) => Err(Fault::NoOverload),
        ("size", _) => match value.size().map(i64::try_from) {
            Some(Ok(size)) => Ok(Val::Int(size)),
            _ => Err(Fault::NoOverload),
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
        // Numbers that are none are in no order, and in none of one type is nothing else.
        let numbers = matches!(a, Val::Double(_)) || matches!(b, Val::Double(_));
        match a.compare(b) {
            Some(order) => Ok(Val::Bool(is(order))),
            None if numbers => Ok(Val::Bool(false)),
            None => Err(Fault::NoOverload),
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
        ("matches", Val::String(text), Val::String(pattern)) => matches(text, pattern),
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
        (Val::Map(map), Some(key)) => map
            .get(&key)
            .cloned()
            .ok_or_else(|| Fault::error(format!("no such key: {}", shown(index)))),
        _ => Err(Fault::NoOverload),
    }
}

fn optional_item(container: &Val, index: &Val) -> Outcome {
    match container {
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(held)) => optional_item(held, index),
        _ => match item(container, index) {
            Ok(found) => Ok(Val::some(found)),
            Err(Fault::Error(_)) => Ok(Val::Optional(None)),
            Err(fault) => Err(fault),
        },
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

/// The value as text in a message.
pub(super) fn shown(value: &Val) -> String {
    match convert("string", value) {
        Ok(Val::String(text)) => text.as_ref().clone(),
        _ => value.type_name().to_owned(),
    }
}

/// The value converted as by the function `to`.
pub(super) fn convert(to: &str, value: &Val) -> Outcome {
    let made =
        match (to, value) {
            ("bool", Val::Bool(_))
            | ("bytes", Val::Bytes(_))
            | ("double", Val::Double(_))
            | ("duration", Val::Duration(_))
            | ("int", Val::Int(_))
            | ("string", Val::String(_))
            | ("timestamp", Val::Timestamp(_))
            | ("uint", Val::Uint(_)) => Some(value.clone()),
            ("bool", Val::String(text)) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Val::Bool(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Val::Bool(false)),
                _ => None,
            },
            ("bytes", Val::String(text)) => Some(Val::Bytes(Arc::new(text.as_bytes().to_vec()))),
            ("double", Val::Int(number)) => Some(Val::Double(*number as f64)),
            ("double", Val::Uint(number)) => Some(Val::Double(*number as f64)),
            ("double", Val::String(text)) => text.parse().ok().map(Val::Double),
            ("int", Val::Uint(number)) => {
                Some(Val::Int(i64::try_from(*number).map_err(|_| overflow())?))
            }
            ("int", Val::Double(number)) if number.abs() < 9.223_372_036_854_775e18 => {
                Some(Val::Int(*number as i64))
            }
            ("int", Val::Double(_)) => return Err(overflow()),
            ("int", Val::String(text)) => text.parse().ok().map(Val::Int),
            ("int", Val::Timestamp(time)) => Some(Val::Int(time.timestamp())),
            ("int", Val::Duration(duration)) => duration.num_nanoseconds().map(Val::Int),
            ("uint", Val::Int(number)) => Some(Val::Uint(
                u64::try_from(*number).map_err(|_| Fault::error("unsigned integer overflow"))?,
            )),
            ("uint", Val::Double(number)) if (0.0..1.844_674_407_370_955e19).contains(number) => {
                Some(Val::Uint(*number as u64))
            }
            ("uint", Val::Double(_)) => return Err(Fault::error("unsigned integer overflow")),
            ("uint", Val::String(text)) => text.parse().ok().map(Val::Uint),
            ("duration", Val::Int(nanos)) => Some(Val::Duration(TimeDelta::nanoseconds(*nanos))),
            ("duration", Val::String(text)) => formats::duration_nanos(text)
                .map(|nanos| Val::Duration(TimeDelta::nanoseconds(nanos))),
            ("timestamp", Val::Int(seconds)) => DateTime::from_timestamp(*seconds, 0)
                .map(|time| Val::Timestamp(time.fixed_offset())),
            ("timestamp", Val::String(text)) => {
                DateTime::parse_from_rfc3339(text).ok().map(Val::Timestamp)
            }
            ("string", _) => times::text(value).map(Val::text),
            _ => None,
        };
    made.ok_or_else(|| {
        let from = value.type_name();
        let to = match to {
            "duration" => "google.protobuf.Duration",
            "timestamp" => "google.protobuf.Timestamp",
            other => other,
        };
        Fault::error(format!("type conversion error from '{from}' to '{to}'"))
    })
}

/// The pattern `text`, compiled.
pub(super) fn pattern(text: &str) -> Result<Regex, Fault> {
    patterns::compile(text).map_err(Fault::Error)
}

fn matches(text: &str, source: &Arc<String>) -> Outcome {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(compiled) = patterns.get(source) {
            return Ok(Val::Bool(compiled.is_match(text)));
        }
        let compiled = pattern(source)?;
        let found = compiled.is_match(text);
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(source.clone(), compiled);
        Ok(Val::Bool(found))
    })
}

/// An error of kube-cel in Kubernetes' words.
fn in_words(name: &str, value: Option<&Val>, message: String) -> String {
    match (name, value) {
        ("quantity", _) => {
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".into()
        }
        ("asInteger", _) => "cannot convert value to integer".into(),
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
        Ok(found) if name == "format.named" => Ok(match Val::from(&found) {
            Val::Null => Val::Optional(None),
            named => Val::some(named),
        }),
        Ok(found) => Ok(Val::from(&found)),
        Err(ExecutionError::FunctionError { message, .. }) => {
            Err(Fault::Error(in_words(name, args.first(), message)))
        }
        Err(_) => Err(Fault::NoOverload),
    }
}

//! Functions of texts and lists in which kube-cel differs from Kubernetes.

use chrono::TimeDelta;
use regex::Regex;

use super::{Fault, Outcome, Val, arithmetic};

/// As many of a list made from a number at most.
const RANGE_MAX: i64 = 1_000_000;

fn out_of_range(at: i64) -> Fault {
    Fault::error(format!("index out of range: {at}"))
}

/// The function `name`, if it is one of these.
pub(super) fn call(name: &str, args: &[Val]) -> Option<Outcome> {
    Some(match (name, args) {
        ("charAt", [Val::String(text), Val::Int(at)]) => substring(text, *at, None)
            .map(|rest| Val::text(rest.chars().take(1).collect::<String>())),
        ("substring", [Val::String(text), Val::Int(from)]) => {
            substring(text, *from, None).map(Val::text)
        }
        ("substring", [Val::String(text), Val::Int(from), Val::Int(to)]) => {
            substring(text, *from, Some(*to)).map(Val::text)
        }
        (
            "replace",
            [
                Val::String(text),
                Val::String(old),
                Val::String(new),
                Val::Int(count),
            ],
        ) => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            Ok(Val::text(text.replacen(old.as_str(), new, count)))
        }
        ("split", [Val::String(text), Val::String(between)]) => Ok(split(text, between, -1)),
        ("split", [Val::String(text), Val::String(between), Val::Int(count)]) => {
            Ok(split(text, between, *count))
        }
        ("format", [Val::String(text), Val::List(list)]) => {
            super::format::format(text, &list.items)
        }
        ("indexOf" | "lastIndexOf", [Val::String(text), Val::String(part), at @ ..]) => {
            let at = match at {
                [] => None,
                [Val::Int(at)] => Some(*at),
                _ => return None,
            };
            match name {
                "indexOf" => first_index(text, part, at.unwrap_or(0)),
                _ => last_index(text, part, at),
            }
        }
        ("findAll", [Val::String(text), Val::String(source)]) => {
            super::with_pattern(source, |pattern| found(pattern, text, usize::MAX))
        }
        ("findAll", [Val::String(text), Val::String(source), Val::Int(count)]) => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            super::with_pattern(source, |pattern| found(pattern, text, count))
        }
        ("sum", [Val::List(list)]) => sum(&list.items),
        ("min" | "max", [Val::List(list)]) if list.items.is_empty() => {
            Err(Fault::error(format!("{name} called on empty list")))
        }
        ("slice", [Val::List(list), Val::Int(from), Val::Int(to)]) => {
            slice(&list.items, *from, *to)
        }
        ("lists.range", [Val::Int(count)]) if *count > RANGE_MAX => Err(Fault::error(format!(
            "lists.range: more than {RANGE_MAX} items: {count}"
        ))),
        ("lists.range", [Val::Int(count)]) => Ok(Val::list((0..*count).map(Val::Int).collect())),
        _ => return None,
    })
}

fn found(pattern: &Regex, text: &str, count: usize) -> Val {
    let all = pattern.find_iter(text).take(count);
    Val::list(all.map(|found| Val::text(found.as_str())).collect())
}

/// In characters. Nothing is everywhere.
fn first_index(text: &str, part: &str, from: i64) -> Outcome {
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let start = text
        .char_indices()
        .nth(from)
        .map_or(text.len(), |(at, _)| at);
    Ok(index(text, text[start..].find(part).map(|at| start + at)))
}

/// Of the last that begins at this place at most. A place behind the text is none.
fn last_index(text: &str, part: &str, to: Option<i64>) -> Outcome {
    let Some(to) = to else {
        return Ok(index(text, text.rfind(part)));
    };
    if part.is_empty() {
        return Ok(Val::Int(to));
    }
    let to = usize::try_from(to).map_err(|_| out_of_range(to))?;
    let Some((start, _)) = text.char_indices().nth(to) else {
        return Ok(Val::Int(-1));
    };
    let mut end = text.len().min(start + part.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Ok(index(text, text[..end].rfind(part)))
}

fn index(text: &str, at: Option<usize>) -> Val {
    let letters = at.map(|at| text[..at].chars().count());
    Val::Int(letters.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

/// A tenth of the size of the text that the function makes, or how many parts.
pub(super) fn made(name: &str, args: &[Val]) -> u64 {
    let size = match (name, args) {
        ("replace", [Val::String(text), Val::String(old), Val::String(new), ..]) => {
            let times = text.matches(old.as_str()).count();
            text.len().saturating_add(times.saturating_mul(new.len()))
        }
        ("join", [Val::List(list), between @ ..]) => {
            let between = between.first().and_then(Val::size).unwrap_or_default();
            let sizes = list.items.iter().filter_map(Val::size);
            sizes.fold(0, |sum: usize, size| sum.saturating_add(size + between))
        }
        ("split", [Val::String(text), Val::String(between), ..]) => {
            text.matches(between.as_str()).count().saturating_mul(10)
        }
        _ => 0,
    };
    (size as u64).div_ceil(10)
}

fn substring(text: &str, from: i64, to: Option<i64>) -> Result<String, Fault> {
    if to.is_some_and(|to| from > to) {
        let end = to.unwrap_or_default();
        return Err(Fault::error(format!(
            "invalid substring range. start: {from}, end: {end}"
        )));
    }
    let letters: Vec<char> = text.chars().collect();
    let index = |at: i64| {
        usize::try_from(at)
            .ok()
            .filter(|at| *at <= letters.len())
            .ok_or_else(|| out_of_range(at))
    };
    let start = index(from)?;
    let end = to.map_or(Ok(letters.len()), index)?;
    let part = letters.get(start..end).unwrap_or_default();
    Ok(part.iter().collect())
}

/// At most `count` parts, all if that is negative.
fn split(text: &str, between: &str, count: i64) -> Val {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let parts: Vec<Val> = if count == 0 {
        Vec::new()
    } else if between.is_empty() {
        let mut letters = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let mut start = letters.next().unwrap_or(0);
        let mut parts = Vec::new();
        for end in letters {
            let end = if parts.len() + 1 == count {
                text.len()
            } else {
                end
            };
            parts.push(Val::text(&text[start..end]));
            start = end;
            if end == text.len() {
                break;
            }
        }
        parts
    } else {
        text.splitn(count, between).map(Val::text).collect()
    };
    Val::list(parts)
}

fn sum(items: &[Val]) -> Outcome {
    let zero = match items.first() {
        Some(Val::Uint(_)) => Val::Uint(0),
        Some(Val::Double(_)) => Val::Double(0.0),
        Some(Val::Duration(_)) => Val::Duration(TimeDelta::zero()),
        _ => Val::Int(0),
    };
    items
        .iter()
        .try_fold(zero, |sum, item| arithmetic("_+_", &sum, item))
}

fn slice(items: &[Val], from: i64, to: i64) -> Outcome {
    let fault = |why: String| Err(Fault::error(format!("cannot slice({from}, {to}), {why}")));
    let (Ok(start), Ok(end)) = (usize::try_from(from), usize::try_from(to)) else {
        return fault("negative indexes not supported".into());
    };
    if start > end {
        return fault("start index must be less than or equal to end index".into());
    }
    match items.get(start..end) {
        Some(part) => Ok(Val::list(part.to_vec())),
        None => fault(format!("list is length {}", items.len())),
    }
}

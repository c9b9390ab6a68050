//! Functions of texts and lists in which kube-cel differs from Kubernetes.

use chrono::TimeDelta;

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
        // What only `%s` shows is text before.
        ("format", [text, Val::List(list)]) if list.items.iter().any(is_shown) => {
            let texts = list.items.iter().map(|item| match item {
                Val::Null => Val::text("null"),
                item if is_shown(item) => Val::text(super::shown(item)),
                item => item.clone(),
            });
            super::call(
                "format",
                true,
                vec![text.clone(), Val::list(texts.collect())],
            )
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

fn is_shown(value: &Val) -> bool {
    matches!(
        value,
        Val::Null | Val::Timestamp(_) | Val::Duration(_) | Val::Type(_)
    )
}

fn substring(text: &str, from: i64, to: Option<i64>) -> Result<String, Fault> {
    let letters: Vec<char> = text.chars().collect();
    let index = |at: i64| {
        usize::try_from(at)
            .ok()
            .filter(|at| *at <= letters.len())
            .ok_or_else(|| out_of_range(at))
    };
    let start = index(from)?;
    let end = to.map_or(Ok(letters.len()), index)?;
    let part = letters.get(start..end).ok_or_else(|| {
        Fault::error(format!(
            "invalid substring range. start: {start}, end: {end}"
        ))
    })?;
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

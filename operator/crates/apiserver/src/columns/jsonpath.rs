//! The part of JSONPath that printer columns use.
//!
//! Kubernetes' dialect is not RFC 9535: there is no `$`, names may contain dashes and escaped
//! dots (`.metadata.labels.a\.b/c`). Crates for the RFC refuse both, hence this evaluator. It
//! reads fields, `['names']`, indices, `[*]` and filters that compare a field with a literal.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

/// A path that is none, or uses what is not supported.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{path:?} is not a supported JSONPath at {rest:?}: write fields, ['names'], [0], [*] or [?(@.field==\"value\")], as in .status.conditions[?(@.type==\"Ready\")].status"
)]
pub struct JsonPathError {
    path: String,
    rest: String,
}

/// A compiled path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    source: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Negative from the end.
    Index(i64),
    All,
    Filter {
        field: Vec<Step>,
        test: Test,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Exists,
    Compare(Operator, Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl JsonPath {
    /// Compiles a path such as `.status.conditions[?(@.type=="Ready")].status`.
    ///
    /// # Errors
    /// The place from which it could not be read.
    pub fn parse(source: &str) -> Result<Self, JsonPathError> {
        let trimmed = source.trim();
        let bare = trimmed
            .strip_prefix('{')
            .and_then(|inner| inner.strip_suffix('}'))
            .unwrap_or(trimmed);
        let bare = bare.strip_prefix('$').unwrap_or(bare);
        let steps = steps(bare).map_err(|rest| JsonPathError {
            path: source.into(),
            rest: rest.into(),
        })?;
        Ok(Self {
            source: source.into(),
            steps,
        })
    }

    /// The first value that the path finds.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        find(&self.steps, value)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn find<'v>(steps: &[Step], value: &'v Value) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Field(name) => find(rest, value.get(name)?),
        Step::Index(index) => {
            let items = value.as_array()?;
            let length = i64::try_from(items.len()).ok()?;
            let at = if *index < 0 { length + index } else { *index };
            find(rest, items.get(usize::try_from(at).ok()?)?)
        }
        Step::All => match value {
            Value::Array(items) => items.iter().find_map(|item| find(rest, item)),
            Value::Object(fields) => fields.values().find_map(|field| find(rest, field)),
            _ => None,
        },
        Step::Filter { field, test } => value
            .as_array()?
            .iter()
            .filter(|item| passes(find(field, item), test))
            .find_map(|item| find(rest, item)),
    }
}

fn passes(found: Option<&Value>, test: &Test) -> bool {
    let (found, operator, literal) = match (found, test) {
        (found, Test::Exists) => return found.is_some(),
        (None, _) => return false,
        (Some(found), Test::Compare(operator, literal)) => (found, operator, literal),
    };
    let order = match (found, literal) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) if left == right => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    match operator {
        Operator::Equal => order.is_some_and(|order| order.is_eq()),
        Operator::NotEqual => order.is_none_or(|order| order.is_ne()),
        Operator::Less => order.is_some_and(|order| order.is_lt()),
        Operator::LessEqual => order.is_some_and(|order| order.is_le()),
        Operator::Greater => order.is_some_and(|order| order.is_gt()),
        Operator::GreaterEqual => order.is_some_and(|order| order.is_ge()),
    }
}

/// Reads steps to the end; the error is what could not be read.
fn steps(mut rest: &str) -> Result<Vec<Step>, &str> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(inner) = rest.strip_prefix("[?(") {
            let (filter, after) = inner.split_once(")]").ok_or(rest)?;
            (self::filter(filter).ok_or(rest)?, after)
        } else if let Some(inner) = rest.strip_prefix('[') {
            bracket(inner).ok_or(rest)?
        } else if let Some(plain) = rest.strip_prefix('.') {
            match plain.strip_prefix('*') {
                Some(after) => (Step::All, after),
                None if plain.starts_with('[') || (plain.is_empty() && steps.is_empty()) => {
                    rest = plain;
                    continue;
                }
                None => field(plain).ok_or(rest)?,
            }
        } else {
            return Err(rest);
        };
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

/// A plain name, in which a backslash takes the next character as it is.
fn field(text: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let end = loop {
        match characters.next() {
            None => break text.len(),
            Some((at, '.' | '[')) => break at,
            Some((_, '\\')) => name.push(characters.next()?.1),
            Some((_, '(' | ')' | '{' | '}' | ' ')) => return None,
            Some((_, character)) => name.push(character),
        }
    };
    (!name.is_empty()).then(|| (Step::Field(name), &text[end..]))
}

/// What follows `[`: a quoted name, an index or a star.
fn bracket(text: &str) -> Option<(Step, &str)> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (name, after) = inner.split_once(quote)?;
            return Some((
                Step::Field(name.replace('\\', "")),
                after.strip_prefix(']')?,
            ));
        }
    }
    let (inner, after) = text.split_once(']')?;
    let step = match inner.trim() {
        "*" => Step::All,
        index => Step::Index(index.parse().ok()?),
    };
    Some((step, after))
}

fn filter(text: &str) -> Option<Step> {
    const OPERATORS: [(&str, Operator); 6] = [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessEqual),
        (">=", Operator::GreaterEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let text = text.trim().strip_prefix('@')?;
    let found = OPERATORS
        .iter()
        .filter_map(|(sign, operator)| Some((text.find(sign)?, sign, operator)));
    // The leftmost; of two at one place the longer, which stands first.
    let Some((at, sign, operator)) = found.min_by_key(|(at, _, _)| *at) else {
        return Some(Step::Filter {
            field: steps(text).ok()?,
            test: Test::Exists,
        });
    };
    let field = steps(text[..at].trim()).ok()?;
    let literal = literal(text[at + sign.len()..].trim())?;
    Some(Step::Filter {
        field,
        test: Test::Compare(*operator, literal),
    })
}

fn literal(text: &str) -> Option<Value> {
    let single = text
        .strip_prefix('\'')
        .and_then(|inner| inner.strip_suffix('\''));
    match single {
        Some(inner) => Some(inner.into()),
        None => serde_json::from_str(text)
            .ok()
            .filter(|value: &Value| !value.is_object() && !value.is_array()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_their_first_value() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "dotted", "plain-name": "dash"}},
            "spec": {"hosts": ["one", "two"], "ports": [{"port": 1}, {"port": 2, "name": "x"}], "replicas": 3},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        let cases = [
            (".spec.replicas", json!(3)),
            ("{.spec.replicas}", json!(3)),
            ("$.spec.replicas", json!(3)),
            (".spec.hosts[0]", json!("one")),
            (".spec.hosts[-1]", json!("two")),
            (".spec.hosts[9]", json!(null)),
            (".spec.hosts[*]", json!("one")),
            (".spec.ports[*].name", json!("x")),
            (".spec.hosts", json!(["one", "two"])),
            (".spec['replicas']", json!(3)),
            (r".metadata.labels.a\.b/c", json!("dotted")),
            (".metadata.labels['a.b/c']", json!("dotted")),
            (r#".metadata.labels["a\.b/c"]"#, json!("dotted")),
            (".metadata.labels.plain-name", json!("dash")),
            (
                r#".status.conditions[?(@.type=="Ready")].status"#,
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type == 'Other')].status",
                json!("False"),
            ),
            (
                r#".status.conditions[?(@.type!="Ready")].type"#,
                json!("Other"),
            ),
            (".spec.ports[?(@.port>=2)].port", json!(2)),
            (".spec.ports[?(@.name)].port", json!(2)),
            (
                r#".status.conditions[?(@.type=="None")].status"#,
                json!(null),
            ),
            (".nothing.at.all", json!(null)),
        ];
        for (path, expected) in cases {
            let found = JsonPath::parse(path)
                .unwrap()
                .first(&object)
                .cloned()
                .unwrap_or_default();
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for path in [
            "spec",
            ".spec[",
            ".a[b]",
            ".a[?(b==1)]",
            ".a[?(@.b==c)]",
            ".a..b",
            ".a[1:2]",
            ".a b",
        ] {
            let error = JsonPath::parse(path).unwrap_err();
            assert!(
                error.to_string().contains("is not a supported JSONPath"),
                "{path}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_is_total(text in "[.\\[\\]?()@'\"=<>!*a-z0-9\\\\ -]{0,24}") {
            let _ = JsonPath::parse(&text).map(|path| path.first(&json!({"a": [1]})).cloned());
        }
    }
}

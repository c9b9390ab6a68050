//! Field selectors: `a.b=c`, `a.b==c`, `a.b!=c`, joined by commas; `\` escapes `,`, `=` and itself
//! in values.

use serde_json::Value;
use store::Key;

/// Why a selector does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldSelectorError {
    /// There is no operator.
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    NotUnderstood(String, String),
    /// A backslash before a character that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A character that needs a backslash, told by its number.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    field: String,
    equal: bool,
    value: String,
}

/// A parsed selector; the default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector {
    requirements: Vec<Requirement>,
}

impl FieldSelector {
    /// # Errors
    /// The part that is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let mut requirements = Vec::new();
        for term in split(text, ',').into_iter().filter(|term| !term.is_empty()) {
            let (field, equal, value) = operation(term).ok_or_else(|| {
                FieldSelectorError::NotUnderstood(text.to_owned(), term.to_owned())
            })?;
            requirements.push(Requirement {
                field: field.to_owned(),
                equal,
                value: unescape(value)?,
            });
        }
        Ok(Self { requirements })
    }

    /// Asks for one value more.
    pub(crate) fn add(&mut self, field: &str, value: &str) {
        self.requirements.push(Requirement {
            field: field.to_owned(),
            equal: true,
            value: value.to_owned(),
        });
    }

    /// Selects everything?
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The only name that it selects.
    pub(crate) fn name(&self) -> Option<&str> {
        let mut tests = self.requirements.iter();
        let test = tests.find(|test| test.equal && test.field == "metadata.name")?;
        Some(&test.value)
    }

    /// The fields it looks at.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.requirements
            .iter()
            .map(|requirement| requirement.field.as_str())
    }

    /// Is this object selected? `load` is called when more than its key has to be known.
    pub(crate) fn matches(&self, key: &Key, load: impl FnOnce() -> Value) -> bool {
        let (by_key, by_content): (Vec<_>, Vec<_>) = self
            .requirements
            .iter()
            .partition(|r| key_field(key, &r.field).is_some());
        let key_matches = by_key
            .iter()
            .all(|r| key_field(key, &r.field).is_some_and(|found| (found == r.value) == r.equal));
        if !key_matches || by_content.is_empty() {
            return key_matches;
        }
        let object = load();
        by_content
            .iter()
            .all(|r| (text_of(&object, &r.field) == r.value) == r.equal)
    }
}

fn key_field<'a>(key: &'a Key, field: &str) -> Option<&'a str> {
    match field {
        "metadata.name" => Some(&key.name),
        "metadata.namespace" => Some(&key.namespace),
        _ => None,
    }
}

/// The text of a field; what is missing is empty.
fn text_of(object: &Value, path: &str) -> String {
    let found = path
        .split('.')
        .try_fold(object, |value, segment| value.get(segment));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Splits at a separator that is not escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Field, whether equal or not, and value, by the first operator.
fn operation(term: &str) -> Option<(&str, bool, &str)> {
    term.char_indices().find_map(|(at, _)| {
        let (field, rest) = term.split_at(at);
        let not = rest.strip_prefix("!=").map(|value| (field, false, value));
        let equal = || rest.strip_prefix("==").or(rest.strip_prefix('='));
        not.or_else(|| equal().map(|value| (field, true, value)))
    })
}

fn unescape(text: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence = other.map_or("\\".to_owned(), |c| format!("\\{c}"));
                    return Err(FieldSelectorError::Escape(sequence));
                }
            },
            '=' => return Err(FieldSelectorError::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn matching() {
        let key = Key {
            resource: "events".into(),
            namespace: "shop".into(),
            name: "web.1".into(),
        };
        let object = json!({"involvedObject": {"name": "web", "kind": "X,Y"}, "count": 3});
        let cases = [
            ("", true),
            ("metadata.name=web.1", true),
            ("metadata.name==web.2", false),
            ("metadata.name!=web.2,metadata.namespace=shop", true),
            ("involvedObject.name=web,involvedObject.kind=X\\,Y", true),
            ("involvedObject.name!=web", false),
            ("involvedObject.uid=", true),
            ("count=3", true),
            ("metadata.namespace=x,involvedObject.name=web", false),
        ];
        for (text, expected) in cases {
            let selector = FieldSelector::parse(text).unwrap();
            assert_eq!(
                selector.matches(&key, || object.clone()),
                expected,
                "{text}"
            );
        }
        let by_name = FieldSelector::parse("metadata.name=x").unwrap();
        assert!(!by_name.matches(&key, || panic!("the key is enough")));
    }

    #[test]
    fn refused() {
        let cases = [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a!b", "invalid selector: 'a!b'; can't understand 'a!b'"),
            ("a,b=c", "invalid selector: 'a,b=c'; can't understand 'a'"),
            (
                "a=b=c",
                "invalid field selector: unescaped character in value: 61",
            ),
            (
                r"a=\x",
                r"invalid field selector: invalid escape sequence: \x",
            ),
            (
                r"a=\",
                r"invalid field selector: invalid escape sequence: \",
            ),
        ];
        for (text, message) in cases {
            let error = FieldSelector::parse(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }
}

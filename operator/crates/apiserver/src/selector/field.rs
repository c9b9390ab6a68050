//! Field selectors: `a.b=c`, `a.b==c`, `a.b!=c`, joined by commas; `\` escapes `,`, `=` and itself
//! in values.

use serde_json::Value;
use store::Key;

/// Why a selector does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid selector: '{0}'; can't understand '{1}': expected field=value, field==value or field!=value"
)]
pub(crate) struct FieldSelectorError(String, String);

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
        let error = |term: &str| FieldSelectorError(text.to_owned(), term.to_owned());
        let mut requirements = Vec::new();
        for term in split(text, ',').into_iter().filter(|term| !term.is_empty()) {
            let at = term.find(['=', '!']).ok_or_else(|| error(term))?;
            let (field, rest) = term.split_at(at);
            let (equal, value) = match (rest.strip_prefix("!="), rest.strip_prefix("==")) {
                (Some(value), _) => (false, value),
                (_, Some(value)) => (true, value),
                _ => (true, rest.strip_prefix('=').ok_or_else(|| error(term))?),
            };
            let value = unescape(value).ok_or_else(|| error(term))?;
            requirements.push(Requirement {
                field: field.trim().to_owned(),
                equal,
                value,
            });
        }
        Ok(Self { requirements })
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

/// `None` for an escape of anything but `\`, `,` and `=`, and for an `=` without one.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(|c| "\\,=".contains(*c))?),
            '=' => return None,
            c => out.push(c),
        }
    }
    Some(out)
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
        for text in ["a", "a!b", "a=b=c", "a=\\x", "a,b=c"] {
            assert!(FieldSelector::parse(text).is_err(), "{text}");
        }
    }
}

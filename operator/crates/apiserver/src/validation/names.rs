//! The grammars of names, label keys and values, and annotation keys, with Kubernetes' messages.
//!
//! Every function returns what is wrong, one text per complaint; empty means valid.

use std::ops::Not as _;

const SUBDOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const KEY_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const CONFIG_KEY_MESSAGE: &str =
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";

/// What is said of kinds, before what is wrong with them in lower case.
pub(crate) const MIXED_CASE: &str = "may have mixed case, but should otherwise match:";

/// Which grammar the names of a resource follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameRule {
    /// Dots allowed, up to 253 characters: most kinds.
    #[default]
    Subdomain,
    /// No dots, up to 63 characters: Namespaces.
    Label,
    /// Anything that fits into one path segment: RBAC kinds.
    PathSegment,
}

impl NameRule {
    /// What is wrong with the start of generated names.
    pub fn check_prefix(self, prefix: &str) -> Vec<String> {
        match self {
            NameRule::PathSegment => self.check(prefix),
            _ => self.check(&masked(prefix)),
        }
    }

    /// What is wrong with `name`.
    pub fn check(self, name: &str) -> Vec<String> {
        match self {
            NameRule::Subdomain => subdomain(name),
            NameRule::Label => label(name),
            NameRule::PathSegment => path_segment(name),
        }
    }
}

/// RFC 1123 subdomain.
pub fn subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if !value.split('.').all(is_label) {
        let format = format!("{LABEL_FORMAT}(\\.{LABEL_FORMAT})*");
        errors.push(format!(
            "{SUBDOMAIN_MESSAGE} (e.g. 'example.com', regex used for validation is '{format}')"
        ));
    }
    errors
}

/// The start of generated names as it is checked: it may end in a dash; as in Kubernetes, the
/// character before that is not looked at either.
pub(crate) fn masked(prefix: &str) -> String {
    let mut masked = prefix.to_owned();
    if prefix.len() > 1 && prefix.ends_with('-') {
        masked.truncate(prefix.len() - 1);
        masked.pop();
        masked.push('a');
    }
    masked
}

/// RFC 1123 label.
pub fn label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_MAX);
    if value.contains('.') && value.split('.').all(is_label) {
        errors.push("must not contain dots".into());
    } else if !is_label(value) {
        errors.push(format!("{LABEL_MESSAGE} (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL_FORMAT}')"));
    }
    errors
}

/// RFC 1035 label: it begins with a letter.
pub fn label_1035(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_MAX);
    if !is_label(value) || value.starts_with(|first: char| first.is_ascii_digit()) {
        errors.push("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')".to_owned());
    }
    errors
}

fn path_segment(value: &str) -> Vec<String> {
    if matches!(value, "." | "..") {
        return vec![format!("may not be '{value}'")];
    }
    let contained = ['/', '%'].into_iter().filter(|c| value.contains(*c));
    contained
        .map(|c| format!("may not contain '{c}'"))
        .collect()
}

/// A label key, a finalizer, any "qualified name": `[prefix/]name`.
pub fn qualified_name(value: &str) -> Vec<String> {
    let name_format = format!(
        "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{KEY_FORMAT}')"
    );
    let mut errors = Vec::new();
    let name = match value.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".into());
            } else {
                errors.extend(
                    subdomain(prefix)
                        .into_iter()
                        .map(|error| format!("prefix part {error}")),
                );
            }
            *name
        }
        _ => {
            let example =
                "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!(
                "a valid label key {KEY_MESSAGE} {name_format} {example}"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".into());
    }
    errors.extend(
        too_many_bytes(name)
            .into_iter()
            .map(|error| format!("name part {error}")),
    );
    if !is_key(name) {
        errors.push(format!("name part {KEY_MESSAGE} {name_format}"));
    }
    errors
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors: Vec<_> = too_many_bytes(value).into_iter().collect();
    if !value.is_empty() && !is_key(value) {
        errors.push(format!(
            "{VALUE_MESSAGE} (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({KEY_FORMAT})?')"
        ));
    }
    errors
}

/// A key of a ConfigMap or Secret, which may become a file name.
pub fn config_key(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if value.is_empty() || !value.chars().all(is_key_char) {
        let examples = "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
        errors.push(format!("{CONFIG_KEY_MESSAGE} {examples}"));
    }
    match value {
        "." => errors.push("must not be '.'".into()),
        ".." => errors.push("must not be '..'".into()),
        _ if value.starts_with("..") => errors.push("must not start with '..'".into()),
        _ => {}
    }
    errors
}

fn too_long(value: &str, max: usize) -> Vec<String> {
    (value.len() <= max)
        .not()
        .then(|| format!("must be no more than {max} characters"))
        .into_iter()
        .collect()
}

/// Label keys and values are counted in another unit than names.
fn too_many_bytes(value: &str) -> Option<String> {
    (value.len() > LABEL_MAX).then(|| format!("must be no more than {LABEL_MAX} bytes"))
}

/// Finalizers that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

/// What is wrong with a finalizer that belongs to nobody.
pub const NO_OWNER: &str = "name is neither a standard finalizer name nor is it fully qualified";

/// Does a finalizer belong to somebody?
pub fn is_owned_finalizer(name: &str) -> bool {
    name.contains('/') || STANDARD_FINALIZERS.contains(&name)
}

fn is_label(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    value.chars().all(|c| inner(c) || c == '-')
        && value.starts_with(inner)
        && value.ends_with(inner)
}

fn is_key(value: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    value.chars().all(is_key_char) && value.starts_with(outer) && value.ends_with(outer)
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar_of_their_kind() {
        let long = "a".repeat(254);
        let cases: &[(NameRule, &str, usize)] = &[
            (NameRule::Subdomain, "web", 0),
            (NameRule::Subdomain, "web.v1", 0),
            (NameRule::Subdomain, "Web", 1),
            (NameRule::Subdomain, "web-", 1),
            (NameRule::Subdomain, "a..b", 1),
            (NameRule::Subdomain, "", 1),
            (NameRule::Subdomain, &long, 1),
            (NameRule::Subdomain, "a/b", 1),
            (NameRule::Subdomain, "\u{e4}", 1),
            (NameRule::Label, "a.b", 1),
            (NameRule::Label, "shop", 0),
            (NameRule::Label, &long, 1),
            (NameRule::PathSegment, "system:node", 0),
            (NameRule::PathSegment, "a/b%", 2),
            (NameRule::PathSegment, "..", 1),
        ];
        for (prefix, count) in [("a-", 0), ("A-", 0), ("a.", 1), ("-a", 1)] {
            let found = NameRule::Subdomain.check_prefix(prefix);
            assert_eq!(found.len(), count, "{prefix}: {found:?}");
        }
        for (rule, name, count) in cases {
            assert_eq!(rule.check(name).len(), *count, "{rule:?} {name:?}");
        }
    }

    #[test]
    fn messages_are_those_of_kubernetes() {
        assert_eq!(
            subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
    }

    #[test]
    fn a_subdomain_is_told_what_makes_it_no_label() {
        assert_eq!(label("a.b"), ["must not contain dots"]);
    }

    #[test]
    fn label_keys_values_and_config_keys() {
        for good in ["a", "app.kubernetes.io/name", "A_b.c-1", "a.b/C"] {
            assert_eq!(qualified_name(good), [""; 0], "{good}");
        }
        for (bad, count) in [
            ("", 2),
            ("/a", 1),
            ("a/", 2),
            ("a/b/c", 1),
            ("A/b", 1),
            ("-a", 1),
            ("a b", 1),
        ] {
            assert_eq!(
                qualified_name(bad).len(),
                count,
                "{bad}: {:?}",
                qualified_name(bad)
            );
        }
        assert!(label_value("").is_empty() && label_value("v1.2_3").is_empty());
        assert!(
            !label_value("-x").is_empty()
                && !label_value("a b").is_empty()
                && !label_value(&"a".repeat(64)).is_empty()
        );
        assert!(config_key("a.b_C-1").is_empty());
        for bad in ["", "a/b", "..", "..a", "."] {
            assert!(!config_key(bad).is_empty(), "{bad}");
        }
    }
}

//! YAML bodies, by the rules that kubectl's own parser follows: `yes` and `on` are booleans,
//! `0777` is octal, merge keys merge, aliases are bounded.

use serde_json::Value;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Options};

use super::json;

/// Every level takes the parser many times the stack that JSON takes. Manifests that people write
/// as YAML have a third of this; what machines nest deeper they send as JSON.
const MAX_DEPTH: usize = 40;

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        legacy_octal_numbers: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_documents: 1, }
    }
}

/// Reads one document, as JSON where it is JSON; the first duplicate key is reported as Kubernetes
/// words it, and the last wins.
pub(super) fn parse(text: &str) -> Result<(Value, Vec<String>), Error> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok((value, duplicates)) = json::parse(text.as_bytes())
    {
        let words = |path| format!("duplicate field \"{path}\"");
        return Ok((value, duplicates.into_iter().map(words).collect()));
    }
    let strict = serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::Error));
    let duplicate = match strict {
        Ok(value) => return Ok((value, Vec::new())),
        Err(error) => match error.without_snippet() {
            Error::DuplicateMappingKey { key, location } => {
                let key = key.as_deref().unwrap_or_default();
                format!("line {}: key {key:?} already set in map", location.line())
            }
            _ => return Err(error),
        },
    };
    let value = serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::LastWins))?;
    Ok((value, vec![duplicate]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_as_kubectl_reads_them() {
        let cases = [
            ("a: yes", json!({"a": true})),
            ("a: on", json!({"a": true})),
            ("a: \"yes\"", json!({"a": "yes"})),
            ("a: 0777", json!({"a": 511})),
            ("a: 1.50", json!({"a": 1.5})),
            ("a: 2026-01-01", json!({"a": "2026-01-01"})),
            ("a: null\nb: ~", json!({"a": null, "b": null})),
            (
                "x: &x {k: 1}\ny: {<<: *x, l: 2}",
                json!({"x": {"k": 1}, "y": {"k": 1, "l": 2}}),
            ),
            ("{\"a\": [1, 2]}", json!({"a": [1, 2]})),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap(), (expected, vec![]), "{text}");
        }
    }

    #[test]
    fn duplicates_are_reported_and_the_last_wins() {
        let (value, duplicates) = parse("a: 1\na: 2").unwrap();
        let duplicate = "line 2: key \"a\" already set in map".to_owned();
        assert_eq!((value, duplicates), (json!({"a": 2}), vec![duplicate]));
    }

    #[test]
    fn refused() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]";
        let deep = "[".repeat(5000);
        for text in ["a: [", "a: b: c", "a: 1\n---\nb: 2", "a: .nan", bomb, &deep] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(30)]);
        }
    }
}

//! The patch formats of the Kubernetes API, over plain JSON values: JSON patch (RFC 6902 with
//! Kubernetes' departures), merge patch (RFC 7396) and strategic merge patch.
//!
//! **Guarantees.** A failed patch leaves the caller's document as it was. No function recurses
//! deeper than [`MAX_DEPTH`], whatever it is given, and no result is nested deeper than that, so
//! that what was patched can always be stored and parsed again.
//!
//! **Errors.** Every format has its own enum; each error names the place in the patch or in the
//! document, what was found there and what would have been right.

pub mod json;
pub mod merge;
pub mod strategic;

use serde_json::Value;

/// How deep a document, a patch or a result may be nested. Parsers of stored JSON stop at 128;
/// the margin keeps everything that passes here readable by them inside an envelope (a list, a
/// watch event, a `last-applied` annotation).
pub const MAX_DEPTH: usize = 100;

/// How many containers are nested in each other at the deepest place: 0 for a scalar, 1 for `{}`.
/// Works without recursion, so it is safe on any input.
pub fn depth(value: &Value) -> usize {
    measure(value).depth
}

/// Nesting and approximate memory of a value.
pub(crate) struct Measure {
    pub(crate) depth: usize,
    pub(crate) bytes: usize,
}

/// Walks the value once, without recursion.
pub(crate) fn measure(value: &Value) -> Measure {
    let mut found = Measure { depth: 0, bytes: 0 };
    let mut open = vec![(value, 0)];
    while let Some((value, above)) = open.pop() {
        found.bytes += size_of::<Value>();
        match value {
            Value::Array(items) => {
                open.extend(items.iter().map(|item| (item, above + 1)));
                found.depth = found.depth.max(above + 1);
            }
            Value::Object(fields) => {
                found.bytes += fields.keys().map(String::len).sum::<usize>();
                open.extend(fields.values().map(|field| (field, above + 1)));
                found.depth = found.depth.max(above + 1);
            }
            Value::String(text) => found.bytes += text.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    found
}

/// A table of cases that reference implementations computed, where the folder with them is on the
/// machine: `OBIENTE_CASES`, or `shared/data` next to the workspace. The crate's own tables cover
/// the same rules and always run.
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
pub(crate) fn shared_cases(name: &str) -> Option<Value> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/data").into();
    let folder: std::path::PathBuf =
        std::env::var_os("OBIENTE_CASES").map_or_else(beside, Into::into);
    let Ok(text) = std::fs::read(folder.join(name)) else {
        eprintln!("no {name} in {folder:?}: only this crate's own cases were checked");
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_counts_containers() {
        for (value, expected) in [
            (json!("text"), 0),
            (json!({}), 1),
            (json!([1, [2, {"three": []}]]), 4),
            (json!({"a": 1, "b": {"c": []}}), 3),
        ] {
            assert_eq!(depth(&value), expected, "{value}");
        }
    }
}

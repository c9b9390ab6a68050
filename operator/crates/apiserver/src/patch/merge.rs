//! Merge patch (RFC 7396): maps merge, null deletes, everything else replaces.
//!
//! **Errors.** Only nesting: a document or a patch deeper than [`MAX_DEPTH`] is refused before the
//! first step.

use serde_json::Value;

use super::{MAX_DEPTH, depth};

/// Why a merge patch was not applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergePatchError {
    /// The patch is nested deeper than [`MAX_DEPTH`].
    #[error("the merge patch is nested {0} deep; at most {MAX_DEPTH} is allowed")]
    PatchTooDeep(usize),
    /// The document is nested deeper than [`MAX_DEPTH`].
    #[error("the object is nested {0} deep; at most {MAX_DEPTH} is allowed")]
    DocumentTooDeep(usize),
}

/// Applies `patch` to `document`.
///
/// # Errors
/// See [`MergePatchError`].
pub fn apply(document: &Value, patch: &Value) -> Result<Value, MergePatchError> {
    match (depth(document), depth(patch)) {
        (_, patch) if patch > MAX_DEPTH => Err(MergePatchError::PatchTooDeep(patch)),
        (document, _) if document > MAX_DEPTH => Err(MergePatchError::DocumentTooDeep(document)),
        _ => {
            let mut result = document.clone();
            json_patch::merge(&mut result, patch);
            Ok(result)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::shared_cases;

    #[test]
    fn follows_the_rfc() {
        for (document, patch, expected) in [
            (json!({"a": 1}), json!({"a": 2}), json!({"a": 2})),
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
            (json!({"a": 1}), json!({"b": null}), json!({"a": 1})),
            // Lists are replaced whole, and a list never merges with a map.
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (
                json!({"a": [{"b": 1}]}),
                json!({"a": {"c": 1}}),
                json!({"a": {"c": 1}}),
            ),
            // Nulls inside of a new map are dropped, inside of a list kept.
            (
                json!({}),
                json!({"a": {"b": {"c": null}}}),
                json!({"a": {"b": {}}}),
            ),
            (json!({}), json!({"a": [null]}), json!({"a": [null]})),
            (
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"b": null}}),
                json!({"a": {"c": 2}}),
            ),
            // The empty patch changes nothing, a scalar patch replaces everything.
            (json!({"a": {}}), json!({}), json!({"a": {}})),
            (json!({"a": 1}), json!("b"), json!("b")),
            (json!([1]), json!({"a": null}), json!({})),
        ] {
            assert_eq!(
                apply(&document, &patch),
                Ok(expected),
                "{document} + {patch}"
            );
        }
    }

    #[test]
    fn refuses_deep_nesting() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"a": inner}));
        assert!(apply(&nested(MAX_DEPTH), &nested(MAX_DEPTH)).is_ok());
        let too_deep = MAX_DEPTH + 1;
        let patch = apply(&json!({}), &nested(too_deep));
        assert_eq!(patch, Err(MergePatchError::PatchTooDeep(too_deep)));
        let document = apply(&nested(too_deep), &json!({}));
        assert_eq!(document, Err(MergePatchError::DocumentTooDeep(too_deep)));
    }

    #[test]
    fn reference_vectors() {
        let Some(table) = shared_cases("merge-patch-rfc7396.json") else {
            return;
        };
        for case in table["cases"].as_array().into_iter().flatten() {
            let got = apply(&case["original"], &case["patch"]);
            assert_eq!(got.as_ref(), Ok(&case["result"]), "{case}");
        }
    }
}

//! JSON patch (RFC 6902), applied one operation at a time by the `json-patch` crate, with the
//! departures clients of Kubernetes rely on:
//!
//! - `test` with a null value passes where the last step of the path is an absent key of a map
//!   (finalizer helpers send exactly that for an object without finalizers);
//! - `replace` of an absent key of a map adds it;
//! - of a key that stands twice in one operation the last one counts, as everywhere in JSON bodies
//!   (with a warning, or refused with `fieldValidation=Strict`): two cases of the RFC's table, which
//!   want an error, see none, because parsing has joined the keys before.
//!
//! One departure of Kubernetes is left out: there, an operation without its `value` works with null. The
//! RFC wants an error, and who forgot the value does as well.
//!
//! **Guarantees.** All operations or none. Bounded work: the number of operations, the nesting of
//! the result and the amount of data moved by `copy` and `move` are limited, so that a short patch
//! cannot grow a document without end.
//!
//! **Errors.** [`JsonPatchError`] says which operation (counted from 0) failed and at which path.

use json_patch::jsonptr::Pointer;
use json_patch::{AddOperation, PatchErrorKind, PatchOperation};
use serde::Deserialize;
use serde_json::Value;

use super::{MAX_DEPTH, depth, measure};

/// Operations in one patch; the number Kubernetes accepts.
pub const MAX_OPERATIONS: usize = 10_000;

/// Bytes that the `copy` and `move` operations of one patch may carry together: five times the
/// largest request body, which no honest patch comes near.
pub const MAX_CARRIED_BYTES: usize = 16 * 1024 * 1024;

/// Why a JSON patch was not applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JsonPatchError {
    /// The body is not a list of operations.
    #[error("a JSON patch must be an array of operations, not {0}")]
    NotAnArray(&'static str),
    /// More than [`MAX_OPERATIONS`].
    #[error(
        "the JSON patch has {0} operations; at most {MAX_OPERATIONS} are allowed in one request"
    )]
    TooManyOperations(usize),
    /// An element of the array is not an operation of RFC 6902.
    #[error("operation {index} of the JSON patch is malformed: {reason}")]
    Malformed {
        /// Position of the operation, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A `test` found another value.
    #[error("operation {index} (test {path:?}) failed: the value there is not {expected}")]
    TestFailed {
        /// Position of the operation, from 0.
        index: usize,
        /// Its `path`.
        path: String,
        /// The value the patch expected, as JSON.
        expected: String,
    },
    /// `path` does not lead anywhere in the document.
    #[error("operation {index} ({op} {path:?}) failed: the document has no such path")]
    NoSuchPath {
        /// Position of the operation, from 0.
        index: usize,
        /// Its `op`.
        op: &'static str,
        /// Its `path`.
        path: String,
    },
    /// `from` does not lead anywhere in the document.
    #[error("operation {index} ({op} from {from:?}) failed: the document has no such path")]
    NoSuchSource {
        /// Position of the operation, from 0.
        index: usize,
        /// Its `op`.
        op: &'static str,
        /// Its `from`.
        from: String,
    },
    /// A `move` into its own source.
    #[error("operation {index} (move to {path:?}) failed: a value cannot be moved inside itself")]
    MoveInsideItself {
        /// Position of the operation, from 0.
        index: usize,
        /// Its `path`.
        path: String,
    },
    /// The result would be nested deeper than [`MAX_DEPTH`].
    #[error("operation {index} ({op} {path:?}) would nest the document deeper than {MAX_DEPTH}")]
    TooDeep {
        /// Position of the operation, from 0.
        index: usize,
        /// Its `op`.
        op: &'static str,
        /// Its `path`.
        path: String,
    },
    /// `copy` and `move` carried more than [`MAX_CARRIED_BYTES`].
    #[error(
        "operation {index} ({op} {path:?}) exceeds what copy and move may carry in one patch, \
         {MAX_CARRIED_BYTES} bytes"
    )]
    TooMuchCarried {
        /// Position of the operation, from 0.
        index: usize,
        /// Its `op`.
        op: &'static str,
        /// Its `path`.
        path: String,
    },
}

/// Applies `patch` (the parsed request body) to `document`.
///
/// # Errors
/// See [`JsonPatchError`]; nothing is changed then.
pub fn apply(document: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    let operations = parse(patch)?;
    let mut result = document.clone();
    let mut carried = 0;
    for (index, operation) in operations.iter().enumerate() {
        let step = Step { index, operation };
        carried += step.check_growth(&result, carried)?;
        step.apply(&mut result)?;
    }
    Ok(result)
}

fn parse(patch: &Value) -> Result<Vec<PatchOperation>, JsonPatchError> {
    let Value::Array(items) = patch else {
        return Err(JsonPatchError::NotAnArray(kind_of(patch)));
    };
    if items.len() > MAX_OPERATIONS {
        return Err(JsonPatchError::TooManyOperations(items.len()));
    }
    let one = |(index, item): (usize, &Value)| {
        PatchOperation::deserialize(item).map_err(|error| JsonPatchError::Malformed {
            index,
            reason: error.to_string(),
        })
    };
    items.iter().enumerate().map(one).collect()
}

/// One operation at its place in the patch.
struct Step<'a> {
    index: usize,
    operation: &'a PatchOperation,
}

impl Step<'_> {
    fn apply(&self, document: &mut Value) -> Result<(), JsonPatchError> {
        let absent = || is_absent_key(document, self.operation.path());
        let replaced;
        let operation = match self.operation {
            PatchOperation::Test(test) if test.value.is_null() && absent() => return Ok(()),
            PatchOperation::Replace(replace) if absent() => {
                replaced = PatchOperation::Add(AddOperation {
                    path: replace.path.clone(),
                    value: replace.value.clone(),
                });
                &replaced
            }
            operation => operation,
        };
        json_patch::patch_unsafe(document, std::slice::from_ref(operation))
            .map_err(|error| self.error(&error.kind))
    }

    /// What the operation adds to the carried bytes, after making sure that neither these nor the
    /// nesting of the result pass their limits.
    fn check_growth(&self, document: &Value, carried: usize) -> Result<usize, JsonPatchError> {
        let (index, op, path) = (self.index, self.op(), self.path());
        let (added_depth, bytes) = match self.operation {
            PatchOperation::Add(add) => (depth(&add.value), 0),
            PatchOperation::Replace(replace) => (depth(&replace.value), 0),
            PatchOperation::Copy(_) | PatchOperation::Move(_) => {
                let source = self.from().and_then(|from| document.pointer(from.as_str()));
                source.map_or((0, 0), |value| {
                    let found = measure(value);
                    (found.depth, found.bytes)
                })
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(0),
        };
        if self.operation.path().count() + added_depth > MAX_DEPTH {
            return Err(JsonPatchError::TooDeep { index, op, path });
        }
        if carried + bytes > MAX_CARRIED_BYTES {
            return Err(JsonPatchError::TooMuchCarried { index, op, path });
        }
        Ok(bytes)
    }

    fn error(&self, kind: &PatchErrorKind) -> JsonPatchError {
        let (index, op, path) = (self.index, self.op(), self.path());
        match (kind, self.operation) {
            (PatchErrorKind::TestFailed, PatchOperation::Test(test)) => {
                let expected = test.value.to_string();
                JsonPatchError::TestFailed {
                    index,
                    path,
                    expected,
                }
            }
            (PatchErrorKind::CannotMoveInsideItself, _) => {
                JsonPatchError::MoveInsideItself { index, path }
            }
            (PatchErrorKind::InvalidFromPointer, _) => {
                let from = self.from().map(ToString::to_string).unwrap_or_default();
                JsonPatchError::NoSuchSource { index, op, from }
            }
            _ => JsonPatchError::NoSuchPath { index, op, path },
        }
    }

    fn op(&self) -> &'static str {
        match self.operation {
            PatchOperation::Add(_) => "add",
            PatchOperation::Remove(_) => "remove",
            PatchOperation::Replace(_) => "replace",
            PatchOperation::Move(_) => "move",
            PatchOperation::Copy(_) => "copy",
            PatchOperation::Test(_) => "test",
        }
    }

    fn path(&self) -> String {
        self.operation.path().to_string()
    }

    fn from(&self) -> Option<&Pointer> {
        match self.operation {
            PatchOperation::Move(operation) => Some(&operation.from),
            PatchOperation::Copy(operation) => Some(&operation.from),
            _ => None,
        }
    }
}

/// Whether everything but the last step of `path` exists, is a map, and lacks the last step.
fn is_absent_key(document: &Value, path: &Pointer) -> bool {
    let Some((parent, last)) = path.split_back() else {
        return false;
    };
    let parent = document.pointer(parent.as_str()).and_then(Value::as_object);
    parent.is_some_and(|fields| !fields.contains_key(last.decoded().as_ref()))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::shared_cases;

    #[test]
    fn applies_the_six_operations_in_order() {
        let document = json!({"spec": {"replicas": 1, "ports": [80, 443]}, "old": "x"});
        let patch = json!([
            {"op": "test", "path": "/spec/replicas", "value": 1},
            {"op": "replace", "path": "/spec/replicas", "value": 3},
            {"op": "add", "path": "/spec/ports/1", "value": 8080},
            {"op": "add", "path": "/spec/ports/-", "value": 9090},
            {"op": "remove", "path": "/spec/ports/0"},
            {"op": "move", "from": "/old", "path": "/new~1name"},
            {"op": "copy", "from": "/spec/ports", "path": "/copy"},
        ]);
        let expected = json!({
            "spec": {"replicas": 3, "ports": [8080, 443, 9090]},
            "new/name": "x",
            "copy": [8080, 443, 9090],
        });
        assert_eq!(apply(&document, &patch), Ok(expected));
    }

    #[test]
    fn departures_of_kubernetes() {
        let document = json!({"metadata": {"name": "web"}, "list": [1]});
        // Case T11: what finalizer helpers send to an object that has none.
        let patch = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]},
        ]);
        let patched = apply(&document, &patch).unwrap();
        assert_eq!(patched["metadata"]["finalizers"], json!(["a/b"]));
        assert!(apply(&patched, &patch).is_err(), "now the test must fail");

        let replace = json!([{"op": "replace", "path": "/metadata/labels", "value": {}}]);
        assert_eq!(
            apply(&document, &replace).unwrap()["metadata"]["labels"],
            json!({})
        );

        // Neither departure reaches past the last step, or into lists.
        for path in ["/absent/finalizers", "/list/7", "/metadata/name/x"] {
            let test = json!([{"op": "test", "path": path, "value": null}]);
            assert!(apply(&document, &test).is_err(), "test {path}");
            let replace = json!([{"op": "replace", "path": path, "value": 1}]);
            assert!(apply(&document, &replace).is_err(), "replace {path}");
        }
    }

    #[test]
    fn errors_name_the_operation_and_the_path() {
        let document = json!({"a": {"b": 1}, "list": [1]});
        let failing = |operation: Value| {
            let patch = json!([{"op": "test", "path": "/a/b", "value": 1}, operation]);
            apply(&document, &patch).unwrap_err().to_string()
        };
        for (operation, expected) in [
            (
                json!({"op": "test", "path": "/a/b", "value": "2"}),
                r#"operation 1 (test "/a/b") failed: the value there is not "2""#,
            ),
            (
                json!({"op": "remove", "path": "/a/c"}),
                r#"operation 1 (remove "/a/c") failed: the document has no such path"#,
            ),
            (
                json!({"op": "add", "path": "/list/5", "value": 1}),
                r#"operation 1 (add "/list/5") failed: the document has no such path"#,
            ),
            (
                json!({"op": "copy", "from": "/x", "path": "/y"}),
                r#"operation 1 (copy from "/x") failed: the document has no such path"#,
            ),
            (
                json!({"op": "move", "from": "/a", "path": "/a/b"}),
                r#"operation 1 (move to "/a/b") failed: a value cannot be moved inside itself"#,
            ),
        ] {
            assert_eq!(failing(operation), expected);
        }
    }

    #[test]
    fn malformed_patches() {
        for patch in [
            json!({"op": "add"}),
            json!("text"),
            json!([1]),
            json!([{"op": "spam", "path": "/a"}]),
            json!([{"op": "add", "path": "/a"}]),
            json!([{"op": "add", "path": "a", "value": 1}]),
            json!([{"op": "add", "path": null, "value": 1}]),
            json!([{"op": "move", "path": "/a"}]),
        ] {
            let error = apply(&json!({}), &patch).unwrap_err();
            let malformed = matches!(
                error,
                JsonPatchError::NotAnArray(_) | JsonPatchError::Malformed { .. }
            );
            assert!(malformed, "{patch}: {error}");
        }
    }

    #[test]
    fn limits_hold() {
        let test = json!({"op": "test", "path": "/a", "value": null});
        let many = Value::Array(vec![test; MAX_OPERATIONS + 1]);
        let error = JsonPatchError::TooManyOperations(MAX_OPERATIONS + 1);
        assert_eq!(apply(&json!({}), &many), Err(error));

        // Every pair of copies doubles the list.
        let copies = [
            json!({"op": "copy", "from": "/a", "path": "/b"}),
            json!({"op": "copy", "from": "/b", "path": "/a/0"}),
        ];
        let bomb = Value::Array(copies.iter().cycle().take(2 * 64).cloned().collect());
        let error = apply(&json!({"a": [1]}), &bomb).unwrap_err();
        assert!(
            matches!(error, JsonPatchError::TooMuchCarried { .. }),
            "{error}"
        );

        // Wraps the document in one more map each time.
        let wrap = [
            json!({"op": "add", "path": "/w", "value": {}}),
            json!({"op": "move", "from": "/a", "path": "/w/a"}),
            json!({"op": "move", "from": "/w", "path": "/a"}),
        ];
        let tower = Value::Array(wrap.iter().cycle().take(3 * 200).cloned().collect());
        let error = apply(&json!({"a": {}}), &tower).unwrap_err();
        assert!(matches!(error, JsonPatchError::TooDeep { .. }), "{error}");
    }

    #[test]
    fn reference_vectors() {
        let Some(table) = shared_cases("json-patch-rfc6902.json") else {
            return;
        };
        for case in table["cases"].as_array().unwrap() {
            let got = apply(&case["doc"], &case["patch"]);
            // `replace` of an absent key succeeds here; two operations with the same member in
            // one map cannot be seen once the body is parsed.
            let departs = case["disabled"] == json!(true) && case.get("error").is_some();
            match (case.get("expected"), case.get("error")) {
                (Some(expected), _) => assert_eq!(got.as_ref(), Ok(expected), "{case}"),
                (None, Some(_)) if !departs => assert!(got.is_err(), "{case}"),
                _ => {}
            }
        }
    }
}

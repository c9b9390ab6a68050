//! Why a schema cannot be registered.

use crate::validation::FieldError;
use thiserror::Error;

/// A schema that is not structural, or asks for something that is not supported. `path` is the
/// place in the schema (`properties[spec].properties[replicas].type`).
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SchemaError {
    /// A keyword whose value has the wrong JSON type.
    #[error("{path}: Invalid value: {value}: must be {expected}")]
    Malformed {
        /// Place in the schema.
        path: String,
        /// What stands there, as JSON.
        value: String,
        /// What is right.
        expected: &'static str,
    },
    /// Something that has to be there.
    #[error("{path}: Required value: {detail}")]
    Required {
        /// Place in the schema.
        path: String,
        /// Why.
        detail: &'static str,
    },
    /// A value outside of an enumeration.
    #[error("{path}: Unsupported value: {value:?}: supported values: {supported}")]
    NotSupported {
        /// Place in the schema.
        path: String,
        /// The value.
        value: String,
        /// The values that are right, quoted.
        supported: &'static str,
    },
    /// A keyword that structural schemas do not allow.
    #[error("{path}: Forbidden: {detail}")]
    Forbidden {
        /// Place in the schema.
        path: String,
        /// Why.
        detail: &'static str,
    },
    /// A pattern that does not compile.
    #[error("{path}: Invalid value: {pattern:?}: must be a valid regular expression: {cause}")]
    Pattern {
        /// Place in the schema.
        path: String,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A default that its own schema refuses.
    #[error("{path}: Invalid value: {value}: {cause}")]
    Default {
        /// Place in the schema.
        path: String,
        /// The default, as JSON.
        value: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A CEL rule that does not compile, or costs too much.
    #[error("{path}: {}", error.body())]
    Rule {
        /// Place in the schema.
        path: String,
        /// What is wrong there.
        error: FieldError,
    },
    /// Nested deeper than any walk of ours goes.
    #[error("{path}: Forbidden: schemas may be nested at most {limit} levels deep")]
    TooDeep {
        /// Place in the schema.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A `$ref` of a generated schema that points nowhere.
    #[error("{path}: Invalid value: {target:?}: no such definition")]
    DanglingRef {
        /// Place in the schema.
        path: String,
        /// What it points to.
        target: String,
    },
}

impl SchemaError {
    /// What is wrong there.
    pub fn cause(&self) -> String {
        let text = self.to_string();
        let rest = text.strip_prefix(self.path()).unwrap_or(&text);
        rest.trim_start_matches(": ").to_owned()
    }

    /// The place in the schema.
    pub fn path(&self) -> &str {
        match self {
            SchemaError::Malformed { path, .. }
            | SchemaError::Required { path, .. }
            | SchemaError::NotSupported { path, .. }
            | SchemaError::Forbidden { path, .. }
            | SchemaError::Pattern { path, .. }
            | SchemaError::Default { path, .. }
            | SchemaError::Rule { path, .. }
            | SchemaError::TooDeep { path, .. }
            | SchemaError::DanglingRef { path, .. } => path,
        }
    }
}

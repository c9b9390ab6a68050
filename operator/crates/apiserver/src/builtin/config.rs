//! ConfigMaps.

use serde_json::Value;

use super::keyed;
use crate::registry::Strategy;
use crate::validation::FieldError;

/// See the module.
pub(super) struct ConfigMapStrategy;

impl Strategy for ConfigMapStrategy {
    fn tracks_generation(&self) -> bool {
        false
    }

    fn complete(&self, object: &mut Value) {
        keyed::canonical(object.get_mut("binaryData"));
    }

    fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        keyed::check_keys(object, "data", &mut problems);
        for (key, _) in keyed::entries(object, "data") {
            if object["binaryData"].get(key).is_some() {
                problems.push(FieldError::invalid(
                    format!("data[{key}]"),
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
        }
        keyed::check_keys(object, "binaryData", &mut problems);
        for (key, value) in keyed::entries(object, "binaryData") {
            if keyed::decode(value).is_none() {
                problems.push(FieldError::invalid(
                    format!("binaryData[{key}]"),
                    "…",
                    "must be base64",
                ));
            }
        }
        let text = keyed::entries(object, "data")
            .filter_map(|(_, value)| value.as_str())
            .map(str::len);
        let binary = keyed::entries(object, "binaryData")
            .filter_map(|(_, value)| Some(keyed::decode(value)?.len()));
        if text.chain(binary).sum::<usize>() > keyed::MAX_SIZE {
            problems.push(FieldError::too_long("[]", keyed::MAX_SIZE as u64));
        }
        if let Some(old) = old {
            keyed::check_lock(object, old, &["data", "binaryData"], &mut problems);
        }
        problems
    }
}

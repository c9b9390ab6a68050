//! Leases: the numbers in them make sense.

use serde_json::Value;

use crate::registry::Strategy;
use crate::validation::FieldError;

/// See the module.
pub(super) struct LeaseStrategy;

impl Strategy for LeaseStrategy {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn requires_version_on_update(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn validate(&self, lease: &Value, _: Option<&Value>) -> Vec<FieldError> {
        let bounds = [
            ("leaseDurationSeconds", 1, "must be greater than 0"),
            ("leaseTransitions", 0, "must be greater than or equal to 0"),
        ];
        let wrong = bounds.into_iter().filter_map(|(name, least, detail)| {
            let number = lease["spec"][name]
                .as_i64()
                .filter(|number| *number < least)?;
            Some(FieldError::invalid(format!("spec.{name}"), number, detail))
        });
        wrong.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers() {
        let cases = [
            (json!({}), 0),
            (json!({"leaseDurationSeconds": 1, "leaseTransitions": 0}), 0),
            (
                json!({"leaseDurationSeconds": 0, "leaseTransitions": -1}),
                2,
            ),
        ];
        for (spec, wrong) in cases {
            let problems = LeaseStrategy.validate(&json!({"spec": spec}), None);
            assert_eq!(problems.len(), wrong, "{spec}");
        }
    }
}

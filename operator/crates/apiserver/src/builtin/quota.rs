//! `ResourceQuota`, the object; what it does is in `admission::quota`.

use serde_json::{Value, json};

use crate::admission::Amount;
use crate::registry::{ResourceDef, Strategy, Subresources, WriteContext};
use crate::validation::FieldError;

/// See the module.
pub(super) struct QuotaStrategy;

/// Completes the row of the table.
pub(super) fn definition(def: ResourceDef) -> ResourceDef {
    ResourceDef {
        subresources: Subresources {
            status: true,
            ..Subresources::default()
        },
        ..def
    }
}

impl Strategy for QuotaStrategy {
    fn tracks_generation(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn complete(&self, object: &mut Value) {
        canonical(object.pointer_mut("/spec/hard"));
    }

    fn prepare_create(&self, object: &mut Value, _: &WriteContext<'_>) {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), json!({}));
        }
    }

    fn validate(&self, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        let spec = &object["spec"];
        for (name, value) in spec["hard"].as_object().into_iter().flatten() {
            let field = format!("spec.hard[{name}]");
            let whole = !["cpu", "memory"].iter().any(|part| name.ends_with(part));
            problems.extend(check(&field, value, whole));
        }
        let scopes = spec["scopes"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        for (field, given) in [
            ("spec.scopes", scopes),
            ("spec.scopeSelector", !spec["scopeSelector"].is_null()),
        ] {
            if given {
                let detail =
                    "scopes are not supported: a quota here bounds everything in its namespace";
                problems.push(FieldError::forbidden(field, detail));
            }
        }
        problems
    }
}

/// Writes quantities in their canonical form; what is none is left to validation.
pub(super) fn canonical(list: Option<&mut Value>) {
    let list = list.and_then(Value::as_object_mut);
    for (_, value) in list.into_iter().flatten() {
        if let Ok(amount) = Amount::read(value) {
            *value = json!(amount.to_string());
        }
    }
}

/// Checks one quantity.
pub(super) fn check(field: &str, value: &Value, whole: bool) -> Option<FieldError> {
    let amount = match Amount::read(value) {
        Ok(amount) => amount,
        Err(error) => return Some(FieldError::invalid(field, value.clone(), error.to_string())),
    };
    if amount < Amount::default() {
        let detail = "must be greater than or equal to 0";
        return Some(FieldError::invalid(field, value.clone(), detail));
    }
    (whole && !amount.is_whole())
        .then(|| FieldError::invalid(field, value.clone(), "must be an integer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_quota_may_say() {
        let problems = |spec: Value| -> Vec<String> {
            let mut object = json!({"spec": spec});
            canonical(object.pointer_mut("/spec/hard"));
            let problems = QuotaStrategy.validate(&object, None);
            problems.iter().map(ToString::to_string).collect()
        };
        let good = json!({"hard": {"cpu": 0.5, "requests.memory": "1Gi", "secrets": "10", "count/a.b": 3}, "scopes": []});
        assert!(problems(good).is_empty());
        for (spec, expected) in [
            (
                json!({"hard": {"cpu": "-1"}}),
                "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                json!({"hard": {"pods": "1.5"}}),
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
            ),
            (json!({"hard": {"cpu": "1 core"}}), "is not a quantity"),
            (json!({"scopes": ["BestEffort"]}), "spec.scopes: Forbidden"),
            (
                json!({"scopeSelector": {"matchExpressions": []}}),
                "spec.scopeSelector: Forbidden",
            ),
        ] {
            let found = problems(spec);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }
}

//! `LimitRange`, the object; what it does is in `admission::limits`.

use serde_json::{Map, Value, json};

use super::quota::{canonical, check};
use crate::admission::{Amount, limits::RESOURCES};
use crate::registry::Strategy;
use crate::validation::FieldError;

const FIELDS: [&str; 5] = [
    "default",
    "defaultRequest",
    "max",
    "maxLimitRequestRatio",
    "min",
];
const TYPES: [&str; 2] = ["Container", "Pod"];

/// See the module.
pub(super) struct LimitRangeStrategy;

impl Strategy for LimitRangeStrategy {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn complete(&self, object: &mut Value) {
        complete(object);
    }

    fn validate(&self, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        let limits = object["spec"]["limits"].as_array().into_iter().flatten();
        let mut seen = Vec::new();
        for (index, limit) in limits.enumerate() {
            let path = format!("spec.limits[{index}]");
            let kind = limit["type"].as_str().unwrap_or_default();
            if !TYPES.contains(&kind) {
                problems.push(FieldError::not_supported(
                    format!("{path}.type"),
                    kind,
                    &TYPES,
                ));
            } else if seen.contains(&kind) {
                problems.push(FieldError::duplicate(format!("{path}.type"), kind));
            }
            seen.push(kind);
            check_limit(limit, kind, &path, &mut problems);
        }
        problems
    }
}

/// Fills in the defaults of Kubernetes: the limit from the maximum, the request from the limit, else
/// from the minimum.
fn complete(object: &mut Value) {
    let limits = object.pointer_mut("/spec/limits");
    for limit in limits
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        for field in FIELDS {
            canonical(limit.get_mut(field));
        }
        if limit.get("type").is_some_and(|kind| kind == "Container") {
            for (field, source) in [
                ("default", "max"),
                ("defaultRequest", "default"),
                ("defaultRequest", "min"),
            ] {
                copy(limit, field, source);
            }
        }
    }
}

fn copy(limit: &mut Map<String, Value>, field: &str, source: &str) {
    let Some(Value::Object(from)) = limit.get(source).cloned() else {
        return;
    };
    let to = limit.entry(field).or_insert_with(|| json!({}));
    for (name, value) in from {
        if let Some(to) = to.as_object_mut() {
            to.entry(name).or_insert(value);
        }
    }
}

fn check_limit(limit: &Value, kind: &str, path: &str, problems: &mut Vec<FieldError>) {
    let before = problems.len();
    for field in FIELDS {
        let list = limit[field].as_object().into_iter().flatten();
        if kind == "Pod" && field.starts_with("default") && !limit[field].is_null() {
            let detail = "may not be specified when `type` is 'Pod'";
            problems.push(FieldError::forbidden(format!("{path}.{field}"), detail));
            continue;
        }
        for (name, value) in list {
            let place = format!("{path}.{field}[{name}]");
            if !RESOURCES.contains(&&**name) {
                problems.push(FieldError::not_supported(&place, name.as_str(), &RESOURCES));
            }
            problems.extend(check(&place, value, false));
        }
    }
    if problems.len() == before {
        for name in RESOURCES {
            check_order(limit, name, path, problems);
        }
    }
}

/// Field and name in messages of two amounts, of which the first may not be the larger; the error is
/// told of the third.
const ORDER: [(&str, &str, &str, &str, &str); 6] = [
    ("min", "min", "max", "max", "min"),
    (
        "min",
        "min",
        "defaultRequest",
        "default request",
        "defaultRequest",
    ),
    (
        "defaultRequest",
        "default request",
        "max",
        "max",
        "defaultRequest",
    ),
    (
        "defaultRequest",
        "default request",
        "default",
        "default limit",
        "defaultRequest",
    ),
    ("min", "min", "default", "default", "default"),
    ("default", "default", "max", "max", "default"),
];

fn check_order(limit: &Value, name: &str, path: &str, problems: &mut Vec<FieldError>) {
    let amount = |field: &str| Amount::read(limit[field].get(name)?).ok();
    for (small, small_name, large, large_name, field) in ORDER {
        if let (Some(low), Some(high)) = (amount(small), amount(large))
            && low > high
        {
            let detail =
                format!("{small_name} value {low} is greater than {large_name} value {high}");
            // Kubernetes shows the other one where the default is at fault.
            let shown = match field {
                "default" if small == field => large,
                "default" => small,
                field => field,
            };
            let value = limit[shown][name].clone();
            problems.push(FieldError::invalid(
                format!("{path}.{field}[{name}]"),
                value,
                detail,
            ));
        }
    }
    let Some(ratio) = amount("maxLimitRequestRatio") else {
        return;
    };
    let mut wrong = |detail: String| {
        let field = format!("{path}.maxLimitRequestRatio[{name}]");
        problems.push(FieldError::invalid(field, ratio.to_string(), detail));
    };
    if ratio < Amount::count(1) {
        wrong(format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (amount("min"), amount("max"))
        && min > Amount::default()
    {
        let most = max.approximately() / min.approximately();
        if ratio.approximately() > most {
            wrong(format!("ratio {ratio} is greater than max/min = {most:.6}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(limit: Value) -> Value {
        let mut object = json!({"spec": {"limits": [limit]}});
        complete(&mut object);
        object
    }

    #[test]
    fn defaults_follow_from_each_other() {
        let made = range(
            json!({"type": "Container", "max": {"cpu": "2000m"}, "min": {"cpu": "0.1", "memory": "4Mi"}}),
        );
        assert_eq!(
            made["spec"]["limits"][0],
            json!({
                "type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m", "memory": "4Mi"},
                "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2", "memory": "4Mi"},
            })
        );
        let pod = json!({"type": "Pod", "max": {"cpu": "2"}});
        assert_eq!(range(pod.clone())["spec"]["limits"][0], pod);
    }

    #[test]
    fn what_a_range_may_say() {
        let problems = |limit: Value| -> Vec<String> {
            let found = LimitRangeStrategy.validate(&range(limit), None);
            found.iter().map(ToString::to_string).collect()
        };
        let full = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "10"}});
        assert!(problems(full).is_empty());
        let place = "spec.limits[0]";
        for (limit, expected) in [
            (
                json!({"type": "PersistentVolumeClaim", "max": {"cpu": "1"}}),
                format!(
                    "{place}.type: Unsupported value: \"PersistentVolumeClaim\": supported values: \"Container\", \"Pod\""
                ),
            ),
            (
                json!({"type": "Container", "max": {"ephemeral-storage": "1Gi"}}),
                format!("{place}.max[ephemeral-storage]: Unsupported value"),
            ),
            (
                json!({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}),
                format!(
                    "{place}.min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"
                ),
            ),
            (
                json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}),
                format!(
                    "{place}.defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater than default limit value 1"
                ),
            ),
            (
                json!({"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}}),
                format!(
                    "{place}.default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1"
                ),
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "2"}}),
                format!("{place}.default: Forbidden: may not be specified when `type` is 'Pod'"),
            ),
            (
                json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}),
                "ratio 500m is less than 1".to_owned(),
            ),
            (
                json!({"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}),
                "ratio 3 is greater than max/min = 2.000000".to_owned(),
            ),
        ] {
            let found = problems(limit);
            assert!(
                found.iter().any(|text| text.contains(&expected)),
                "{found:?}"
            );
        }
        let twice = json!({"spec": {"limits": [{"type": "Pod"}, {"type": "Pod"}]}});
        let found = LimitRangeStrategy.validate(&twice, None);
        assert_eq!(found[0].field, "spec.limits[1].type");
    }
}

//! Checks of an object that neither its schema nor CEL expresses well: keys of maps, regular
//! expressions, quantities, names that must be good for Swarm.
//!
//! Why quantities: they are numbers or texts, and what CEL does to tell the two apart has no bound for
//! its cost.
//!
//! Guarantees: pure; never panics, whatever the JSON; says nothing about what the schema refuses.

use regex::Regex;
use serde_json::Value;

use crate::{
    labels,
    units::{Quantity, QuantityError},
};

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Where, as Kubernetes writes it: `spec.labels[traefik.enable]`.
    pub path: String,
    /// What is there.
    pub value: Value,
    /// What is wrong with it and what would be right.
    pub detail: String,
}

const LONGEST_KEY: usize = 253;
const LONGEST_NAME: usize = 63;

/// Everything that is wrong with an object of ours beyond its schema; empty for other kinds.
#[must_use]
pub fn validate(kind: &str, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match kind {
        "Deployment" => {
            deployment_name(&object["metadata"]["name"], &mut errors);
            service_labels(&object["spec"]["labels"], &mut errors);
            resources(&object["spec"]["resources"], &mut errors);
            node_selector(&object["spec"]["placement"]["nodeSelector"], &mut errors);
        }
        "Node" => node_labels(&object["spec"]["labels"], &mut errors),
        "Route" => route_paths(&object["spec"]["rules"], &mut errors),
        _ => {}
    }
    errors
}

fn deployment_name(name: &Value, errors: &mut Vec<FieldError>) {
    let Some(text) = name.as_str() else { return };
    if text.contains('.') || text.len() > LONGEST_NAME {
        errors.push(FieldError {
            path: "metadata.name".into(),
            value: name.clone(),
            detail: "the name of a Deployment is also a host name in its networks: write at most 63 lower-case \
                     letters, digits and -, for example web"
                .into(),
        });
    }
}

fn service_labels(labels: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(labels) {
        let wrong = if key.starts_with(labels::PREFIX) {
            Some(
                "keys that start with cloud.obiente. are written by the operator itself: choose another key",
            )
        } else if key.starts_with(labels::TRAEFIK_PREFIX) {
            Some("keys that start with traefik. are written for Routes: write a Route instead")
        } else {
            label_key(key, "._/-")
        };
        push(errors, "spec.labels", key, value, wrong);
    }
}

type Amount = fn(&Quantity) -> Result<i64, QuantityError>;

/// One core in nano-CPUs.
const CORE: i64 = 1_000_000_000;

/// Kind, how it is counted, least request and least limit that Swarm and Docker take, most, and what is right.
const AMOUNTS: [(&str, Amount, i64, i64, i64, &str); 2] = [
    (
        "cpu",
        Quantity::nano_cpus,
        CORE / 1_000,
        CORE / 1_000,
        1_000_000 * CORE,
        "from 1m to 1M cores, for example 250m, 0.5 or 2",
    ),
    (
        "memory",
        Quantity::bytes,
        4 << 20,
        6 << 20,
        i64::MAX,
        "at least 4Mi (as a limit 6Mi), for example 64Mi or 1Gi",
    ),
];

fn resources(resources: &Value, errors: &mut Vec<FieldError>) {
    for (name, amount, least_request, least_limit, most, says) in AMOUNTS {
        let mut read = |list: &str, least: i64| {
            let value = &resources[list][name];
            let quantity: Quantity = serde_json::from_value(value.clone()).ok()?;
            let detail = match amount(&quantity) {
                Ok(found) if (least..=most).contains(&found) => return Some(found),
                Ok(_) => format!("must be {says}"),
                Err(error) => error.to_string(),
            };
            errors.push(FieldError {
                path: format!("spec.resources.{list}.{name}"),
                value: value.clone(),
                detail,
            });
            None
        };
        let (request, limit) = (read("requests", least_request), read("limits", least_limit));
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            let limit = &resources["limits"][name];
            errors.push(FieldError {
                path: format!("spec.resources.requests.{name}"),
                value: resources["requests"][name].clone(),
                detail: format!(
                    "must not be above spec.resources.limits.{name}, which is {}",
                    limit
                        .as_str()
                        .map_or_else(|| limit.to_string(), str::to_owned)
                ),
            });
        }
    }
}

fn node_labels(labels: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(labels) {
        let wrong = if key.starts_with(labels::PREFIX) {
            Some(
                "keys that start with cloud.obiente. are written by the operator itself: choose another key, or use spec.region and spec.zone",
            )
        } else {
            label_key(key, "._-").or_else(|| constraint_value(value))
        };
        push(errors, "spec.labels", key, value, wrong);
    }
}

fn node_selector(selector: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(selector) {
        let wrong = label_key(key, "._-").or_else(|| constraint_value(value));
        push(errors, "spec.placement.nodeSelector", key, value, wrong);
    }
}

fn route_paths(rules: &Value, errors: &mut Vec<FieldError>) {
    for (r, rule) in items(rules) {
        for (m, matched) in items(&rule["matches"]) {
            let path = &matched["path"];
            let Some(text) = path["value"]
                .as_str()
                .filter(|_| path["type"] == "RegularExpression")
            else {
                continue;
            };
            if let Err(error) = Regex::new(text) {
                // The error shows the expression over several lines; its last line says what is wrong.
                let reason = error
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                errors.push(FieldError {
                    path: format!("spec.rules[{r}].matches[{m}].path.value"),
                    value: path["value"].clone(),
                    detail: format!(
                        "is not a regular expression: {reason}; write for example /users/[0-9]+"
                    ),
                });
            }
        }
    }
}

fn label_key(key: &str, punctuation: &str) -> Option<&'static str> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = key
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c));
    let good =
        inner && key.len() <= LONGEST_KEY && edge(key.chars().next()) && edge(key.chars().last());
    (!good).then_some(
        "the key must consist of at most 253 letters, digits and . _ - , and begin and end with a letter or digit, \
         for example com.example.team",
    )
}

/// Swarm compares labels in constraints, which only take these characters.
fn constraint_value(value: &Value) -> Option<&'static str> {
    let text = value.as_str()?;
    let good = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ":-_./".contains(c));
    (!good).then_some("the value must consist of letters, digits and : - _ . /, for example ssd")
}

fn push(errors: &mut Vec<FieldError>, map: &str, key: &str, value: &Value, wrong: Option<&str>) {
    if let Some(detail) = wrong {
        errors.push(FieldError {
            path: format!("{map}[{key}]"),
            value: value.clone(),
            detail: detail.to_owned(),
        });
    }
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flatten()
}

fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

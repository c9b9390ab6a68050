//! `x-kubernetes-validations`: are the rules well-formed, do they compile, and what may they cost?

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{list, text};
use crate::schema::Schema;
use crate::validation::{FieldError, cel};

const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];
/// What one rule may cost by its estimate, and all rules of a schema together.
const RULE_COST: u64 = 10_000_000;
const SCHEMA_COST: u64 = 100_000_000;

/// A node of the schema, and how many values of it an object may have.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'s> {
    schema: &'s Schema,
    root: bool,
    times: Option<u64>,
}

impl<'s> Bounds<'s> {
    pub(super) fn root(schema: &'s Schema) -> Self {
        let (root, times) = (true, Some(1));
        Bounds {
            schema,
            root,
            times,
        }
    }

    fn below(&self, schema: &'s Schema, most: Option<u64>) -> Self {
        let times = self
            .times
            .zip(most)
            .map(|(times, most)| times.saturating_mul(most));
        let root = false;
        Bounds {
            schema,
            root,
            times,
        }
    }

    pub(super) fn property(&self, name: &str) -> Option<Self> {
        Some(self.below(self.schema.properties.get(name)?, Some(1)))
    }

    pub(super) fn items(&self) -> Option<Self> {
        let most = self.schema.constraints.max_items;
        Some(self.below(self.schema.items.as_deref()?, most))
    }

    pub(super) fn additional(&self) -> Option<Self> {
        let most = self.schema.constraints.max_properties;
        Some(self.below(self.schema.additional.as_deref()?, most))
    }
}

/// The costs of all rules of a schema.
#[derive(Default)]
pub(super) struct Total {
    sum: u64,
    by_place: BTreeMap<String, u64>,
}

impl Total {
    fn add(&mut self, place: String, cost: u64) {
        self.sum = self.sum.saturating_add(cost);
        self.by_place.insert(place, cost);
    }

    /// What is said when all rules together cost too much; the four most expensive are named.
    pub(super) fn problems(&self, place: &str) -> Vec<FieldError> {
        if self.sum <= SCHEMA_COST {
            return Vec::new();
        }
        let mut most: Vec<_> = self
            .by_place
            .iter()
            .filter(|(_, cost)| **cost >= SCHEMA_COST / 100)
            .collect();
        most.sort_by_key(|(_, cost)| std::cmp::Reverse(**cost));
        let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let named = most
            .iter()
            .take(4)
            .map(|(place, _)| FieldError::forbidden(place, detail));
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let all = FieldError::forbidden(place, too_expensive(what, self.sum, SCHEMA_COST));
        named.chain([all]).collect()
    }
}

fn too_expensive(what: &str, cost: u64, limit: u64) -> String {
    let factor = match cost as f64 / limit as f64 {
        factor if factor > 100.0 => "more than 100x".to_owned(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// What is wrong with the rules of a node before they are compiled.
pub(super) fn check_form(schema: &Value, place: &str, found: &mut Vec<FieldError>) {
    for (index, rule) in list(&schema["x-kubernetes-validations"]).iter().enumerate() {
        let place = format!("{place}.x-kubernetes-validations[{index}]");
        let at = |name: &str| format!("{place}.{name}");
        let breaks = |text: &str| text.contains(['\n', '\r']);
        let (source, message) = (text(&rule["rule"]).trim(), text(&rule["message"]));
        if source.is_empty() {
            found.push(FieldError::required(at("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            let detail = "must be non-empty if specified";
            found.push(FieldError::invalid(at("message"), message, detail));
        } else if breaks(message.trim()) {
            found.push(FieldError::invalid(
                at("message"),
                message,
                "must not contain line breaks",
            ));
        } else if breaks(source) && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            found.push(FieldError::required(at("message"), detail));
        }
        let expression = text(&rule["messageExpression"]);
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            found.push(FieldError::required(at("messageExpression"), detail));
        }
        if let Some(reason) = rule["reason"]
            .as_str()
            .filter(|reason| !REASONS.contains(reason))
        {
            found.push(FieldError::not_supported(at("reason"), reason, &REASONS));
        }
        check_field_path(schema, text(&rule["fieldPath"]), &at("fieldPath"), found);
    }
}

fn check_field_path(schema: &Value, path: &str, field: &str, found: &mut Vec<FieldError>) {
    if path.is_empty() {
        return;
    }
    let mut wrong = |detail: &str| found.push(FieldError::invalid(field, path, detail));
    if path.trim().is_empty() {
        wrong("must be non-empty if specified");
    }
    if path.contains(['\n', '\r']) {
        wrong("must not contain line breaks");
    }
    let schema = Schema::without_rules(schema);
    if schema.is_ok_and(|schema| cel::field_path(path, &schema, true).is_err()) {
        wrong("must be a valid path");
    }
}

/// Compiles the rules of a node whose form is right.
pub(super) fn check(
    schema: &Value,
    bounds: &Bounds<'_>,
    place: &str,
    uncorrelated: Option<&str>,
    costs: &mut Total,
) -> Vec<FieldError> {
    let rules = list(&schema["x-kubernetes-validations"]);
    let mut found = Vec::new();
    let place = format!("{place}.x-kubernetes-validations");
    let typed = bounds.schema.kind.is_some() || bounds.schema.int_or_string;
    if !rules.is_empty() && !typed {
        let detail = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
        return vec![FieldError::internal(place, detail)];
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = |name: &str| format!("{place}[{index}].{name}");
        let alone = json!({"x-kubernetes-validations": [rule]});
        let compiled = match cel::compile(&alone, bounds.schema, bounds.root) {
            Ok(rules) => rules.into_iter().next(),
            Err(failure) => {
                let field = at(&failure.error.field);
                found.push(FieldError {
                    field,
                    ..failure.error
                });
                continue;
            }
        };
        let Some(compiled) = compiled else { continue };
        let mut cost = |name: &str, cost: u64| {
            costs.add(at(name), cost);
            let what = format!("estimated {name} cost");
            (cost > RULE_COST)
                .then(|| FieldError::forbidden(at(name), too_expensive(&what, cost, RULE_COST)))
        };
        let times = bounds.times.unwrap_or_else(|| cel::most_of(bounds.schema));
        found.extend(cost("rule", compiled.costs.0.saturating_mul(times)));
        found.extend(cost("messageExpression", compiled.costs.1));
        if let Some(above) = uncorrelated.filter(|_| compiled.uses_old_self) {
            let detail = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {above}"
            );
            found.push(FieldError::invalid(at("rule"), text(&rule["rule"]), detail));
        }
    }
    found
}

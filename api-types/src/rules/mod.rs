//! Rules that a schema alone cannot say, as CEL (`x-kubernetes-validations`) in the published schema.
//!
//! Why a table: every rule stands beside the sentence that the user reads, and the tests go through it
//! row by row. Why CEL: any Kubernetes API server, and `kubectl` against it, enforces them.
//!
//! Guarantees: each rule names its field; a rule about one text shows that text; lists and texts
//! that rules look at are bounded in the schema, so that their cost is bounded too. Rules about the
//! keys of maps are in [`crate::validate`]: CEL has no bound for the length of a key.

mod deployment;
mod node;
mod route;

use serde_json::{Value, json};

/// One rule at one place of a schema.
pub(crate) struct Rule {
    /// Where: property names joined by dots, `[]` for the items of a list.
    at: &'static str,
    /// Field that the error names, relative to `at`; empty for `at` itself.
    field: &'static str,
    /// What must hold, in CEL.
    holds: &'static str,
    /// What the user reads when it does not.
    says: &'static str,
    /// The same as a CEL expression with values in it.
    shows: Shows,
}

enum Shows {
    Message,
    Value,
    Expression(&'static str),
}

/// A rule about the text at `at`; `says` continues the sentence that begins with the text.
const fn text(at: &'static str, holds: &'static str, says: &'static str) -> Rule {
    Rule {
        at,
        field: "",
        holds,
        says,
        shows: Shows::Value,
    }
}

/// A rule about the object or list at `at` that the user is told of at `field`.
const fn rule(
    at: &'static str,
    field: &'static str,
    holds: &'static str,
    says: &'static str,
) -> Rule {
    Rule {
        at,
        field,
        holds,
        says,
        shows: Shows::Message,
    }
}

impl Rule {
    const fn showing(mut self, expression: &'static str) -> Self {
        self.shows = Shows::Expression(expression);
        self
    }

    fn to_json(&self) -> Value {
        let (message, expression) = match self.shows {
            Shows::Message => (self.says.to_owned(), None),
            Shows::Value => (
                format!("the value {}", self.says),
                Some(format!("\"'\" + self + \"' {}\"", self.says)),
            ),
            Shows::Expression(expression) => (self.says.to_owned(), Some(expression.to_owned())),
        };
        let mut rule = json!({"rule": self.holds, "message": message});
        if let Some(expression) = expression {
            rule["messageExpression"] = expression.into();
        }
        if !self.field.is_empty() {
            rule["fieldPath"] = self.field.into();
        }
        rule
    }
}

/// The rules of a kind.
pub(crate) fn of(kind: &str) -> &'static [Rule] {
    match kind {
        "Deployment" => deployment::RULES,
        "Node" => node::RULES,
        "Route" => route::RULES,
        _ => &[],
    }
}

/// Puts the rules of a kind into its schema. Returns the places that the schema does not have.
pub(crate) fn apply(kind: &str, schema: &mut Value) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for rule in of(kind) {
        match find(schema, rule.at) {
            Some(place) => match place["x-kubernetes-validations"].as_array_mut() {
                Some(rules) => rules.push(rule.to_json()),
                None => place["x-kubernetes-validations"] = json!([rule.to_json()]),
            },
            None => missing.push(rule.at),
        }
    }
    missing
}

fn find<'a>(schema: &'a mut Value, at: &str) -> Option<&'a mut Value> {
    at.split('.').try_fold(schema, |node, step| {
        let name = step.trim_end_matches("[]");
        let node = node.get_mut("properties")?.get_mut(name)?;
        if step.ends_with("[]") {
            node.get_mut("items")
        } else {
            Some(node)
        }
    })
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;

    #[test]
    fn no_rule_has_unbounded_cost() {
        for rule in ["Deployment", "Node", "Route"].into_iter().flat_map(of) {
            let text = rule.to_json().to_string();
            assert!(
                !text.contains("string(") && !text.contains(".join("),
                "{text}"
            );
        }
    }

    #[test]
    fn every_rule_has_its_place_in_the_schema() {
        for (kind, crd) in [
            ("Deployment", crate::Deployment::crd()),
            ("Node", crate::Node::crd()),
            ("Route", crate::Route::crd()),
        ] {
            let mut schema = json!(
                crd.spec.versions[0]
                    .schema
                    .as_ref()
                    .and_then(|s| s.open_api_v3_schema.as_ref())
            );
            assert_eq!(apply(kind, &mut schema), Vec::<&str>::new());
        }
    }
}

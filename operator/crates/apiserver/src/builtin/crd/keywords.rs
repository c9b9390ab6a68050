//! The keywords that a schema in a definition can have: what is none is not stored, as in any field
//! of a built-in kind, and neither is what says nothing.

use serde_json::{Value, json};

/// Keywords of one value that say nothing when it is empty, zero or false.
const PLAIN: [&str; 24] = [
    "$schema",
    "allOf",
    "anyOf",
    "definitions",
    "dependencies",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
];
/// Keywords that are kept whatever they say.
const KEPT: [&str; 20] = [
    "$ref",
    "additionalItems",
    "additionalProperties",
    "default",
    "example",
    "externalDocs",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
];
/// What a rule can say.
const RULE: [&str; 6] = [
    "fieldPath",
    "message",
    "messageExpression",
    "optionalOldSelf",
    "reason",
    "rule",
];

/// Removes what is no keyword from the schemas of a definition; where it was, is returned, as far as
/// Kubernetes tells of it.
pub(super) fn prune(definition: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let versions = definition
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("versions"))
        .and_then(Value::as_array_mut);
    for (index, version) in versions.into_iter().flatten().enumerate() {
        let schema = version
            .get_mut("schema")
            .and_then(|schema| schema.get_mut("openAPIV3Schema"));
        if let Some(schema) = schema {
            let place = format!("spec.versions[{index}].schema.openAPIV3Schema");
            node(schema, &place, &mut unknown);
        }
    }
    unknown
}

fn node(schema: &mut Value, place: &str, unknown: &mut Vec<String>) {
    if schema.is_null() {
        *schema = json!({});
    }
    let Some(keywords) = schema.as_object_mut() else {
        return;
    };
    keywords.retain(|keyword, value| {
        if PLAIN.contains(&keyword.as_str()) {
            return !is_nothing(value);
        }
        let known = KEPT.contains(&keyword.as_str());
        if !known {
            unknown.push(format!("{place}.{keyword}"));
        }
        known && !value.is_null()
    });
    for (keyword, value) in keywords {
        let place = format!("{place}.{keyword}");
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "definitions", Value::Object(all)) => {
                for (name, below) in all {
                    node(below, &format!("{place}.{name}"), unknown);
                }
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                for (index, below) in all.iter_mut().enumerate() {
                    node(below, &format!("{place}[{index}]"), unknown);
                }
            }
            ("not", below) => node(below, &place, unknown),
            // Kubernetes reads these apart, where it looks for nothing unknown.
            ("items" | "additionalProperties" | "additionalItems", below) => {
                node(below, &place, &mut Vec::new());
            }
            ("x-kubernetes-validations", Value::Array(rules)) => {
                for (index, rule) in rules.iter_mut().enumerate() {
                    rest(rule, &RULE, &format!("{place}[{index}]"), unknown);
                    if let Some(rule) = rule.as_object_mut() {
                        rule.retain(|name, value| match name.as_str() {
                            "rule" => true,
                            "reason" | "optionalOldSelf" => !value.is_null(),
                            _ => !is_nothing(value),
                        });
                    }
                }
            }
            ("externalDocs", docs) => rest(docs, &["description", "url"], &place, unknown),
            _ => {}
        }
    }
}

/// Removes what is none of the `known` fields.
fn rest(value: &mut Value, known: &[&str], place: &str, unknown: &mut Vec<String>) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| {
            let keep = known.contains(&name.as_str());
            if !keep {
                unknown.push(format!("{place}.{name}"));
            }
            keep
        });
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_keyword_or_says_nothing_is_removed() {
        let schema = json!({"type": "object", "title": "", "require": ["a"], "properties": {"c": null, "a": {
            "externalDocs": {"url": "u", "uri": ""},
            "type": "array", "default": null, "nullable": false, "minItems": 0, "x-mine": 1,
            "items": {"anyOf": [{"readOnly": true, "enum": ["x"]}], "x-kubernetes-preserve-unknown-fields": false},
            "x-kubernetes-validations": [{"rule": "", "message": "", "reason": "", "optionalOldSelf": false, "ruel": ""}],
        }, "b": {"additionalProperties": false, "default": {}, "x-kubernetes-validations": []}}});
        let mut definition =
            json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
        let place = "spec.versions[0].schema.openAPIV3Schema";
        assert_eq!(
            prune(&mut definition),
            [
                format!("{place}.require"),
                format!("{place}.properties.a.x-mine"),
                format!("{place}.properties.a.externalDocs.uri"),
                format!("{place}.properties.a.x-kubernetes-validations[0].ruel"),
            ]
        );
        assert_eq!(
            definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            json!({"type": "object", "properties": {"c": {}, "a": {
                "externalDocs": {"url": "u"}, "type": "array", "minItems": 0,
                "items": {"anyOf": [{"enum": ["x"]}], "x-kubernetes-preserve-unknown-fields": false},
                "x-kubernetes-validations": [{"rule": "", "reason": "", "optionalOldSelf": false}],
            }, "b": {"additionalProperties": false, "default": {}}}})
        );
    }
}

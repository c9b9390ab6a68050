//! Is a schema structural: does it say of every field what it is, and once only? What stands
//! below `allOf`, `anyOf`, `oneOf` and `not` may only restrict what is said outside of them.

use serde_json::Value;

use super::{list, text};
use crate::validation::{FieldError, pattern};

/// What a junctor may not have, with the words for it.
const FORBIDDEN: [(&str, &str); 12] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (
        "x-kubernetes-preserve-unknown-fields",
        "must be false to be structural",
    ),
    (
        "x-kubernetes-embedded-resource",
        "must be false to be structural",
    ),
    (
        "x-kubernetes-int-or-string",
        "must be false to be structural",
    ),
    (
        "x-kubernetes-list-map-keys",
        "must be empty to be structural",
    ),
    (
        "x-kubernetes-list-type",
        "must be undefined to be structural",
    ),
    (
        "x-kubernetes-map-type",
        "must be undefined to be structural",
    ),
];
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Everything that is not structural, sorted.
pub(super) fn check(schema: &Value, place: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    node(schema, Level::Root, place, &mut found);
    completeness(schema, Some(schema), place, place, &mut found);
    found.sort_by_cached_key(ToString::to_string);
    found
}

fn node(schema: &Value, level: Level, place: &str, found: &mut Vec<FieldError>) {
    let kind = text(&schema["type"]);
    if schema["items"].is_object() {
        node(
            &schema["items"],
            Level::Item,
            &format!("{place}.items"),
            found,
        );
    } else if kind == "array" {
        found.push(FieldError::required(
            format!("{place}.items"),
            "must be specified",
        ));
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        node(
            below,
            Level::Field,
            &format!("{place}.properties[{name}]"),
            found,
        );
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let field = format!("{place}.additionalProperties");
        if level == Level::Root {
            found.push(FieldError::forbidden(
                &field,
                "must not be used at the root",
            ));
        }
        if additional.is_object() {
            node(additional, Level::Field, &field, found);
        }
        if schema[EMBEDDED] == true {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            found.push(FieldError::forbidden(field, detail));
        }
    }
    for (name, on) in [(PRESERVE, &schema[PRESERVE]), (EMBEDDED, &schema[EMBEDDED])] {
        if schema[INT_OR_STRING] == true && *on == true {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            found.push(FieldError::invalid(format!("{place}.{name}"), true, detail));
        }
    }
    let typed = (
        is_int_or_string(&schema["anyOf"]),
        is_int_or_string(&schema["allOf"][0]["anyOf"]),
    );
    restrictions(schema, typed, place, found);
    check_type(schema, level, place, found);
    check_object_fields(schema, level, place, found);
}

fn check_type(schema: &Value, level: Level, place: &str, found: &mut Vec<FieldError>) {
    let (field, kind) = (format!("{place}.type"), text(&schema["type"]));
    let embedded = "must be object if x-kubernetes-embedded-resource is true";
    if schema[EMBEDDED] == true && kind.is_empty() {
        found.push(FieldError::required(&field, embedded));
    } else if schema[EMBEDDED] == true && kind != "object" {
        found.push(FieldError::invalid(&field, kind, embedded));
    } else if kind.is_empty() && schema[INT_OR_STRING] != true && schema[PRESERVE] != true {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        found.push(FieldError::required(&field, detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        found.push(FieldError::invalid(
            field,
            kind,
            "must be object at the root",
        ));
    }
}

/// `kind`, `apiVersion` and `metadata` of whole objects.
fn check_object_fields(schema: &Value, level: Level, place: &str, found: &mut Vec<FieldError>) {
    let whole = level == Level::Root || schema[EMBEDDED] == true;
    let properties = schema["properties"].as_object();
    let property = |name: &str| properties.and_then(|properties| properties.get(name));
    for (name, expected) in [
        ("kind", "string"),
        ("apiVersion", "string"),
        ("metadata", "object"),
    ] {
        let kind = property(name).map(|schema| text(&schema["type"]));
        if let Some(kind) = kind.filter(|kind| whole && *kind != expected) {
            let field = format!("{place}.properties[{name}].type");
            found.push(FieldError::invalid(
                field,
                kind,
                format!("must be {expected}"),
            ));
        }
    }
    let beyond_names = |metadata: &Value| {
        let known = |(name, value): (&String, &Value)| match name.as_str() {
            "type" | "default" | "description" | "title" => true,
            "properties" => value.as_object().is_some_and(|all| {
                all.keys()
                    .all(|name| name == "name" || name == "generateName")
            }),
            _ => value.is_null() || *value == false,
        };
        let plain = |name: &str| text(&metadata[name]).is_empty();
        let all = metadata
            .as_object()
            .is_some_and(|all| all.iter().all(known));
        !all || !plain("description") || !plain("title")
    };
    if level == Level::Root && property("metadata").is_some_and(beyond_names) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        found.push(FieldError::forbidden(
            format!("{place}.properties[metadata]"),
            detail,
        ));
    }
    let empty = properties.is_none_or(serde_json::Map::is_empty);
    if schema[EMBEDDED] == true && schema[PRESERVE] != true && empty {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        found.push(FieldError::required(format!("{place}.properties"), detail));
    }
}

/// `type` may be named below a junctor to say that a field is an integer or a string.
fn is_int_or_string(any_of: &Value) -> bool {
    let only = |(one, name): (&Value, &str)| {
        one.as_object().is_some_and(|fields| fields.len() == 1) && one["type"] == name
    };
    let names = ["integer", "string"];
    list(any_of).len() == 2 && list(any_of).iter().zip(names).all(only)
}

/// `typed`: whether `anyOf`, and that of the first `allOf`, may name types.
fn restrictions(schema: &Value, typed: (bool, bool), place: &str, found: &mut Vec<FieldError>) {
    for junctor in ["anyOf", "allOf", "oneOf"] {
        if junctor == "anyOf" && typed.0 {
            continue;
        }
        for (index, below) in list(&schema[junctor]).iter().enumerate() {
            let first = typed.1 && junctor == "allOf" && index == 0;
            restriction(below, first, &format!("{place}.{junctor}[{index}]"), found);
        }
    }
    if schema["not"].is_object() {
        restriction(&schema["not"], false, &format!("{place}.not"), found);
    }
    let pattern = text(&schema["pattern"]);
    if let Some(problem) = pattern::compile(pattern).err() {
        let detail = format!("must be a valid regular expression, but isn't: {problem}");
        found.push(FieldError::invalid(
            format!("{place}.pattern"),
            pattern,
            detail,
        ));
    }
}

fn restriction(schema: &Value, typed: bool, place: &str, found: &mut Vec<FieldError>) {
    restrictions(schema, (typed, false), place, found);
    if schema["items"].is_object() {
        restriction(&schema["items"], false, &format!("{place}.items"), found);
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let field = format!("{place}.properties[{name}]");
        restriction(below, false, &field, found);
        if name == "metadata" {
            found.push(FieldError::forbidden(
                field,
                "must not be specified in a nested context",
            ));
        }
    }
    for (name, detail) in FORBIDDEN {
        let undefined = detail.starts_with("must be undefined");
        let absent = match &schema[name] {
            Value::Null => true,
            Value::Bool(false) => name != "default",
            Value::Array(list) => list.is_empty() && !undefined,
            Value::String(text) => text.is_empty() && !undefined,
            _ => false,
        };
        if !absent {
            found.push(FieldError::forbidden(format!("{place}.{name}"), detail));
        }
    }
    if !list(&schema["x-kubernetes-validations"]).is_empty() {
        let field = format!("{place}.x-kubernetes-validations");
        found.push(FieldError::forbidden(
            field,
            "must be empty to be structural",
        ));
    }
}

/// What a junctor of `rule` restricts has to be specified in `schema`.
fn completeness(
    rule: &Value,
    schema: Option<&Value>,
    place: &str,
    rule_place: &str,
    found: &mut Vec<FieldError>,
) {
    for junctor in ["not", "allOf", "anyOf", "oneOf"] {
        let below = &rule[junctor];
        if below.is_object() {
            restricted(below, schema, place, &format!("{rule_place}.not"), found);
        }
        for (index, below) in list(below).iter().enumerate() {
            let at = format!("{rule_place}.{junctor}[{index}]");
            restricted(below, schema, place, &at, found);
        }
    }
}

fn restricted(
    rule: &Value,
    schema: Option<&Value>,
    place: &str,
    rule_place: &str,
    found: &mut Vec<FieldError>,
) {
    let Some(schema) = schema else {
        let detail = format!("because it is defined in {rule_place}");
        found.push(FieldError::required(place, detail));
        return;
    };
    completeness(rule, Some(schema), place, rule_place, found);
    let object = |value| Some(value).filter(|value: &&Value| value.is_object());
    if rule["items"].is_object() {
        let (place, at) = (format!("{place}.items"), format!("{rule_place}.items"));
        restricted(&rule["items"], object(&schema["items"]), &place, &at, found);
    }
    for (name, below) in rule["properties"].as_object().into_iter().flatten() {
        let (place, at) = (
            format!("{place}.properties[{name}]"),
            format!("{rule_place}.properties[{name}]"),
        );
        restricted(
            below,
            object(&schema["properties"][name]),
            &place,
            &at,
            found,
        );
    }
}

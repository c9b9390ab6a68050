//! The schema of a version: keywords that are not supported, list and map types, and the rules.

use serde_json::Value;

use super::{defaults, list, rules, structural, text};
use crate::schema::Schema;
use crate::validation::FieldError;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Keywords that no schema may have; those marked need more than to be there.
const UNSUPPORTED: [&str; 6] = [
    "id",
    "additionalItems",
    "patternProperties",
    "definitions",
    "dependencies",
    "$ref",
];
/// What the root of a schema may say where the status is written apart, and validated apart.
const WITH_STATUS: [&str; 22] = [
    "Description",
    "Type",
    "Format",
    "Title",
    "Maximum",
    "ExclusiveMaximum",
    "Minimum",
    "ExclusiveMinimum",
    "MaxLength",
    "MinLength",
    "Pattern",
    "MaxItems",
    "MinItems",
    "UniqueItems",
    "MultipleOf",
    "Required",
    "Items",
    "Properties",
    "ExternalDocs",
    "Example",
    "XPreserveUnknownFields",
    "XValidations",
];
const LIST_TYPE: &str = "x-kubernetes-list-type";
const MAP_KEYS: &str = "x-kubernetes-list-map-keys";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// All problems of a version's schema.
pub(super) fn check(
    schema: &Value,
    place: &str,
    with_status: bool,
    problems: &mut Vec<FieldError>,
) {
    let mut found = Vec::new();
    if with_status {
        check_root(schema, place, &mut found);
    }
    if schema["nullable"] == true {
        let detail = "nullable cannot be true at the root";
        found.push(FieldError::forbidden(format!("{place}.nullable"), detail));
    }
    let convertible = !any(schema, |node| {
        UNSUPPORTED.iter().any(|keyword| is_set(&node[*keyword]))
            || node["items"].is_array()
            || node["x-kubernetes-preserve-unknown-fields"] == false
            || is_set(&node["$schema"])
    });
    let (mut compiled, mut refused) = (None, None);
    if convertible {
        let before = found.len();
        found.extend(structural::check(schema, place));
        if found.len() == before {
            match Schema::stored(schema) {
                Ok(schema) => compiled = Some(schema),
                Err(error) => refused = Some(error),
            }
        }
        if let Some(compiled) = &compiled {
            found.extend(defaults::check(schema, compiled, place));
        }
        compiled.take_if(|_| found.len() > before);
    }
    let mut walk = Walk {
        rules: Vec::new(),
        costs: rules::Total::default(),
    };
    let context = Context {
        root: true,
        bounds: compiled.as_ref().map(rules::Bounds::root),
        ..Context::default()
    };
    found.extend(walk.node(schema, place, &context));
    found.append(&mut walk.rules);
    if found.is_empty() && any(schema, |node| is_set(&node["$schema"])) {
        let detail = "OpenAPIV3Schema 'schema' is not supported";
        found.push(FieldError::invalid(place, "", detail));
    }
    found.extend(walk.costs.problems(place));
    if let Some(error) = refused.filter(|_| found.is_empty()) {
        let field = match error.path() {
            "" => place.to_owned(),
            path => format!("{place}.{path}"),
        };
        found.push(FieldError::invalid(field, "", error.cause()));
    }
    problems.append(&mut found);
}

fn check_root(schema: &Value, place: &str, found: &mut Vec<FieldError>) {
    let kind = text(&schema["type"]);
    if kind != "object" {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        found.push(FieldError::invalid(format!("{place}.type"), kind, detail));
        return;
    }
    let go_name = |name: &str| {
        let words = name.trim_start_matches("x-kubernetes-").split('-');
        let capital = |word: &str| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        };
        let own = if name.starts_with("x-kubernetes-") {
            "X"
        } else {
            ""
        };
        format!("{own}{}", words.map(capital).collect::<String>())
    };
    let unknown = |(name, value): (&String, &Value)| {
        is_set(value) && !WITH_STATUS.contains(&go_name(name).as_str())
    };
    if schema
        .as_object()
        .is_some_and(|all| all.iter().any(unknown))
    {
        let detail = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            WITH_STATUS.join(" ")
        );
        found.push(FieldError::invalid(place, schema.clone(), detail));
    }
}

/// What a node has to know of those above it.
#[derive(Clone, Default)]
struct Context<'s> {
    root: bool,
    /// Inside of `metadata`, `kind` or `apiVersion` of an object.
    meta: bool,
    /// Why no default may be given here.
    no_default: Option<String>,
    /// The place above that old and new values cannot be matched in.
    uncorrelated: Option<String>,
    /// The node as rules see it; nothing where there can be no rules.
    bounds: Option<rules::Bounds<'s>>,
}

impl<'s> Context<'s> {
    fn below(&self, bounds: Option<rules::Bounds<'s>>) -> Self {
        Context {
            root: false,
            bounds,
            ..self.clone()
        }
    }

    fn uncorrelated_in(mut self, place: &str) -> Self {
        self.uncorrelated.get_or_insert_with(|| place.to_owned());
        self
    }
}

struct Walk {
    rules: Vec<FieldError>,
    costs: rules::Total,
}

impl Walk {
    fn node(&mut self, schema: &Value, place: &str, context: &Context<'_>) -> Vec<FieldError> {
        let mut found = keywords(schema, place, context);
        self.children(schema, place, context, &mut found);
        lists_and_maps(schema, place, &mut found);
        map_keys(schema, place, &mut found);
        rules::check_form(schema, place, &mut found);
        if let Some(bounds) = context.bounds.as_ref().filter(|_| found.is_empty()) {
            let uncorrelated = context.uncorrelated.as_deref();
            self.rules.extend(rules::check(
                schema,
                bounds,
                place,
                uncorrelated,
                &mut self.costs,
            ));
        }
        found
    }

    fn children(
        &mut self,
        schema: &Value,
        place: &str,
        context: &Context<'_>,
        found: &mut Vec<FieldError>,
    ) {
        let bounds = context.bounds.as_ref();
        let additional = &schema["additionalProperties"];
        let properties = schema["properties"].as_object();
        if !additional.is_null() {
            let field = format!("{place}.additionalProperties");
            let named = properties.is_some_and(|properties| !properties.is_empty());
            if named && *additional != true {
                let detail = "additionalProperties and properties are mutual exclusive";
                found.push(FieldError::forbidden(&field, detail));
            }
            if additional.is_object() {
                let mut below = context.below(bounds.and_then(rules::Bounds::additional));
                if context.meta {
                    let why = "inside additionalProperties applying to object metadata";
                    below.no_default = Some(why.to_owned());
                }
                found.extend(self.node(additional, &field, &below));
            }
        }
        for (name, property) in properties.into_iter().flatten() {
            let mut below = context.below(bounds.and_then(|bounds| bounds.property(name)));
            if schema[MAP_TYPE] == "atomic" {
                below = below.uncorrelated_in(place);
            }
            let whole = context.root || schema["x-kubernetes-embedded-resource"] == true;
            if whole && META.contains(&name.as_str()) {
                below.meta = true;
                if context.root {
                    below.no_default = Some(format!("in top-level {name}"));
                }
            }
            found.extend(self.node(property, &format!("{place}.properties[{name}]"), &below));
        }
        let plain = context.below(None);
        if schema["not"].is_object() {
            found.extend(self.node(&schema["not"], &format!("{place}.not"), &plain));
        }
        for junctor in ["allOf", "oneOf", "anyOf"] {
            for (index, below) in list(&schema[junctor]).iter().enumerate() {
                found.extend(self.node(below, &format!("{place}.{junctor}[{index}]"), &plain));
            }
        }
        if schema["items"].is_object() {
            let mut below = context.below(bounds.and_then(rules::Bounds::items));
            if schema[LIST_TYPE] != "map" {
                below = below.uncorrelated_in(place);
            }
            found.extend(self.node(&schema["items"], &format!("{place}.items"), &below));
        }
    }
}

fn keywords(schema: &Value, place: &str, context: &Context<'_>) -> Vec<FieldError> {
    let mut found = Vec::new();
    let kind = text(&schema["type"]);
    if !kind.is_empty() && !TYPES.contains(&kind) {
        found.push(FieldError::not_supported(
            format!("{place}.type"),
            kind,
            &TYPES,
        ));
    }
    if let Some(why) = context
        .no_default
        .as_ref()
        .filter(|_| !schema["default"].is_null())
    {
        let detail = format!("must not be set {why}");
        found.push(FieldError::forbidden(format!("{place}.default"), detail));
    }
    for keyword in UNSUPPORTED
        .iter()
        .filter(|keyword| is_set(&schema[**keyword]))
    {
        let detail = format!("{keyword} is not supported");
        found.push(FieldError::forbidden(format!("{place}.{keyword}"), detail));
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        found.push(FieldError::forbidden(format!("{place}.type"), detail));
    }
    if schema["items"].is_array() {
        let detail = "items must be a schema object and not an array";
        found.push(FieldError::forbidden(format!("{place}.items"), detail));
    }
    let embedded = "x-kubernetes-embedded-resource";
    if context.meta && schema[embedded] == true {
        let detail = "must not be used inside of resource meta";
        found.push(FieldError::forbidden(format!("{place}.{embedded}"), detail));
    }
    if schema["uniqueItems"] == true {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        found.push(FieldError::forbidden(
            format!("{place}.uniqueItems"),
            detail,
        ));
    }
    found
}

fn lists_and_maps(schema: &Value, place: &str, found: &mut Vec<FieldError>) {
    let kind = text(&schema["type"]);
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if schema[preserve] == false {
        let detail = "must be true or undefined";
        found.push(FieldError::invalid(
            format!("{place}.{preserve}"),
            false,
            detail,
        ));
    }
    let of_type = |keyword: &str, wanted: &str, found: &mut Vec<FieldError>| {
        let detail = format!("must be {wanted} if {keyword} is specified");
        let field = format!("{place}.type");
        if schema[keyword].is_null() || kind == wanted {
            return true;
        }
        found.push(match kind {
            "" => FieldError::required(field, detail),
            kind => FieldError::invalid(field, kind, detail),
        });
        false
    };
    let one_of = |keyword: &str, values: &[&str], found: &mut Vec<FieldError>| {
        if let Some(value) = schema[keyword]
            .as_str()
            .filter(|value| !values.contains(value))
        {
            found.push(FieldError::not_supported(
                format!("{place}.{keyword}"),
                value,
                values,
            ));
        }
    };
    of_type(MAP_TYPE, "object", found);
    one_of(MAP_TYPE, &["atomic", "granular"], found);
    let items = &schema["items"];
    if of_type(LIST_TYPE, "array", found) && schema[LIST_TYPE] == "set" && items.is_object() {
        let keyword = match text(&items["type"]) {
            "array" if !items[LIST_TYPE].is_null() => Some(LIST_TYPE),
            "object" => Some(MAP_TYPE),
            _ => None,
        };
        if let Some(keyword) = keyword.filter(|keyword| items[*keyword] != "atomic") {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let field = format!("{place}.items.{keyword}");
            found.push(FieldError::invalid(field, items[LIST_TYPE].clone(), detail));
        }
    }
    one_of(LIST_TYPE, &["atomic", "set", "map"], found);
}

fn map_keys(schema: &Value, place: &str, found: &mut Vec<FieldError>) {
    let keys = list(&schema[MAP_KEYS]);
    let (list_type, items) = (&schema[LIST_TYPE], &schema["items"]);
    if !keys.is_empty() && *list_type != "map" {
        let field = format!("{place}.{LIST_TYPE}");
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        found.push(match list_type {
            Value::Null => FieldError::required(field, detail),
            other => FieldError::invalid(field, other.clone(), detail),
        });
    }
    if *list_type == "map" {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            found.push(FieldError::required(format!("{place}.{MAP_KEYS}"), detail));
        }
        if items.is_null() {
            let detail = "must have a schema if x-kubernetes-list-type is map";
            found.push(FieldError::required(format!("{place}.items"), detail));
        } else if items["type"] != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            let kind = text(&items["type"]);
            found.push(FieldError::invalid(
                format!("{place}.items.type"),
                kind,
                detail,
            ));
        } else {
            known_keys(schema, keys, place, found);
        }
    }
    if items.is_object() && (*list_type == "map" || *list_type == "set") {
        if items["nullable"] == true {
            let detail = format!("cannot be nullable when {LIST_TYPE} is {}", text(list_type));
            found.push(FieldError::forbidden(
                format!("{place}.items.nullable"),
                detail,
            ));
        }
        if *list_type == "map" {
            present_keys(items, keys, place, found);
        }
    }
}

fn known_keys(schema: &Value, keys: &[Value], place: &str, found: &mut Vec<FieldError>) {
    for (index, key) in keys.iter().enumerate() {
        let wrong = |detail: &str| {
            FieldError::invalid(
                format!("{place}.{MAP_KEYS}"),
                schema[MAP_KEYS].clone(),
                detail,
            )
        };
        let field = &schema["items"]["properties"][text(key)];
        if field.is_null() {
            found.push(wrong("entries must all be names of item properties"));
        } else if matches!(text(&field["type"]), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            let field = format!("{place}.items.properties[{}].type", text(key));
            found.push(FieldError::invalid(field, "object", detail));
        }
        if keys[..index].contains(key) {
            found.push(wrong("must not contain duplicate entries"));
        }
    }
}

fn present_keys(items: &Value, keys: &[Value], place: &str, found: &mut Vec<FieldError>) {
    for key in keys {
        let field = &items["properties"][text(key)];
        let place = format!("{place}.items.properties[{}]", text(key));
        if field.is_null() {
            continue;
        }
        if field["default"].is_null() && !list(&items["required"]).contains(key) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            found.push(FieldError::required(format!("{place}.default"), detail));
        }
        if field["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            found.push(FieldError::forbidden(format!("{place}.nullable"), detail));
        }
    }
}

/// Is a keyword more than Go's zero value?
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

/// Does this hold for any node of a schema?
fn any(schema: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    let mut found = false;
    visit(schema, &mut |node| found |= holds(node));
    found
}

/// Looks at every node of a schema.
pub(super) fn visit(schema: &Value, look: &mut impl FnMut(&Value)) {
    if !schema.is_object() {
        return;
    }
    look(schema);
    visit(&schema["items"], look);
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for below in list(&schema[junctor]) {
            visit(below, look);
        }
    }
    visit(&schema["not"], look);
    for below in schema["properties"].as_object().into_iter().flatten() {
        visit(below.1, look);
    }
    visit(&schema["additionalProperties"], look);
}

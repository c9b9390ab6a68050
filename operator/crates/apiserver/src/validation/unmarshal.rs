//! Whether an object can be held in typed fields at all, in the words of Kubernetes' decoder.

use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use base64::prelude::Engine;
use serde_json::Value;

use super::formats;
use crate::decode::go_name;
use crate::schema::core::{self, QUANTITY};
use crate::schema::{Kind, Schema};

/// Go's decoder of base64: line breaks are allowed, and bits that do not matter.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// The first value that its field cannot hold: of the whole object, or else of its `metadata`, which
/// the server reads itself. Nothing is what is `null`.
pub fn cannot_unmarshal(schema: &Schema, object: &Value, whole: bool) -> Option<String> {
    if whole {
        return node(schema, object, &Place::root(schema));
    }
    let metadata = schema.field("metadata")?;
    node(metadata, object.get("metadata")?, &Place::root(metadata))
}

/// The bytes of a text that is base64.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text.replace(['\r', '\n'], "")).ok()
}

/// Where the decoder is: the innermost structure, and the names of the fields on the way.
/// It is turned into text only when there is something to report.
struct Place<'a> {
    structure: &'a str,
    above: Option<(&'a Place<'a>, &'a str)>,
}

impl<'a> Place<'a> {
    fn root(schema: &'a Schema) -> Self {
        Self {
            structure: &schema.type_name,
            above: None,
        }
    }

    fn field(&'a self, schema: &'a Schema, name: &'a str) -> Self {
        Self {
            structure: &schema.type_name,
            above: Some((self, name)),
        }
    }

    /// `structure.path.to.the.field`; `None` for the object itself.
    fn text(&self) -> Option<String> {
        let (mut above, mut path) = (self.above, String::new());
        while let Some((place, name)) = above {
            path.insert_str(0, &format!(".{name}"));
            above = place.above;
        }
        let structure = self.structure.rsplit('.').next().unwrap_or_default();
        (!path.is_empty()).then(|| format!("{structure}{path}"))
    }
}

fn node(schema: &Schema, value: &Value, place: &Place<'_>) -> Option<String> {
    match (schema.kind, value) {
        (_, Value::Null) => None,
        (Some(Kind::Object), Value::Object(fields)) => {
            fields.iter().find_map(|(name, value)| {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(below), _) => node(below, value, &place.field(schema, name)),
                    (None, Some(below)) => node(below, value, place),
                    (None, None) => None,
                }
            })
        }
        (Some(Kind::Array), Value::Array(items)) => {
            let below = schema.items.as_ref()?;
            items.iter().find_map(|item| node(below, item, place))
        }
        (Some(Kind::String), Value::String(text)) => text_of(schema, text),
        (Some(Kind::Boolean), Value::Bool(_)) | (Some(Kind::Number), Value::Number(_)) => None,
        (Some(Kind::Integer), Value::Number(number)) => {
            let format = schema.constraints.format.as_deref().unwrap_or("int64");
            let fits = number.as_i64().is_some_and(|_| {
                number
                    .as_f64()
                    .is_some_and(|number| formats::in_range(format, number))
            });
            (!fits).then(|| wrong(&format!("number {number}"), schema, place))
        }
        (None, value) if schema.type_name.starts_with("v1.JSONSchemaProps") => {
            nested_schema(schema, value, place)
        }
        (None, value) => quantity(schema, value),
        (Some(_), value) if schema.constraints.format.as_deref() == Some(QUANTITY) => {
            quantity(schema, value)
        }
        (Some(_), value) => Some(wrong(go_name(value), schema, place)),
    }
}

/// A schema in a schema, or what may stand for one.
fn nested_schema(schema: &Schema, value: &Value, place: &Place<'_>) -> Option<String> {
    let whole = core::json_schema_props();
    match (schema.type_name.as_str(), value) {
        ("v1.JSONSchemaProps", value) => node(whole, value, place),
        (_, Value::Object(_)) => node(whole, value, &Place::root(whole)),
        ("v1.JSONSchemaPropsOrArray", Value::Array(items)) => {
            let root = Place::root(whole);
            items.iter().find_map(|item| node(whole, item, &root))
        }
        ("v1.JSONSchemaPropsOrBool", Value::Bool(_)) => None,
        ("v1.JSONSchemaPropsOrBool", _) => Some("boolean or JSON schema expected".to_owned()),
        _ => None,
    }
}

fn wrong(found: &str, schema: &Schema, place: &Place<'_>) -> String {
    let wanted = go_type(schema);
    let place = match place.text() {
        Some(field) => format!("struct field {field}"),
        None => "value".to_owned(),
    };
    format!("json: cannot unmarshal {found} into Go {place} of type {wanted}")
}

fn go_type(schema: &Schema) -> String {
    let format = schema.constraints.format.as_deref();
    let of = |below: &Option<std::sync::Arc<Schema>>| {
        below
            .as_ref()
            .map_or_else(|| "interface {}".to_owned(), |below| go_type(below))
    };
    match schema.kind {
        Some(Kind::Object) if schema.additional.is_some() => {
            format!("map[string]{}", of(&schema.additional))
        }
        Some(Kind::Object) => schema.type_name.clone(),
        Some(Kind::Array) => format!("[]{}", of(&schema.items)),
        Some(Kind::String) if format == Some("byte") => "[]uint8".to_owned(),
        Some(Kind::String) => "string".to_owned(),
        Some(Kind::Integer) => format.unwrap_or("int64").to_owned(),
        Some(Kind::Number) => "float64".to_owned(),
        Some(Kind::Boolean) => "bool".to_owned(),
        None if schema.type_name.is_empty() => "interface {}".to_owned(),
        None => schema.type_name.clone(),
    }
}

fn text_of(schema: &Schema, text: &str) -> Option<String> {
    match schema.constraints.format.as_deref()? {
        "byte" if base64(text).is_none() => {
            let outside = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '/' | '=');
            let at = text.find(outside).unwrap_or(text.len() / 4 * 4);
            Some(format!("illegal base64 data at input byte {at}"))
        }
        "date-time" => {
            let layout = match schema.type_name.as_str() {
                "v1.MicroTime" => "2006-01-02T15:04:05.000000Z07:00",
                _ => "2006-01-02T15:04:05Z07:00",
            };
            let micro = schema.type_name == "v1.MicroTime";
            let rest = unread_time(text, micro)?;
            let left = &text[rest..];
            let part = match rest {
                0 => "2006",
                10 => "T",
                _ if micro => ".000000",
                _ => "Z07:00",
            };
            Some(format!(
                "parsing time {text:?} as {layout:?}: cannot parse {left:?} as {part:?}"
            ))
        }
        QUANTITY => quantity(schema, &Value::from(text)),
        _ => None,
    }
}

/// Where a text stops being a time; `None` when it is one. Microseconds must be told to the last digit.
fn unread_time(text: &str, micro: bool) -> Option<usize> {
    if !formats::matches("date-time", text) {
        let is_date = text
            .get(..10)
            .is_some_and(|date| date.parse::<jiff::civil::Date>().is_ok());
        return Some(if is_date { 10 } else { 0 });
    }
    if text.as_bytes().get(10) != Some(&b'T') {
        return Some(10);
    }
    let rest = text.get(19..).unwrap_or_default();
    let digits = rest.strip_prefix('.').map_or(0, |rest| {
        rest.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len())
    });
    (rest.ends_with('z') || micro && digits != 6).then_some(19)
}

fn quantity(schema: &Schema, value: &Value) -> Option<String> {
    let is_quantity = schema.constraints.format.as_deref() == Some(QUANTITY);
    (is_quantity && crate::admission::Amount::read(value).is_err()).then(|| {
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota, Secret};
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_those_of_the_decoder() {
        let config = core::typed::<ConfigMap>().unwrap();
        for (object, expected) in [
            (json!({"data": {"a": "b"}, "metadata": null}), ""),
            (
                json!({"data": {"a": 1}}),
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            (
                json!({"data": []}),
                "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
            ),
            (
                json!({"metadata": "x"}),
                "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
            ),
            (
                json!({"metadata": {"finalizers": [1]}}),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.finalizers of type string",
            ),
            (
                json!({"metadata": {"ownerReferences": "x"}}),
                "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.ownerReferences of type []v1.OwnerReference",
            ),
            (
                json!({"metadata": {"generation": "7"}}),
                "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.generation of type int64",
            ),
            (
                json!({"metadata": {"creationTimestamp": "x"}}),
                "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
            ),
        ] {
            let found = cannot_unmarshal(&config, &object, true);
            assert_eq!(found.unwrap_or_default(), expected, "{object}");
        }
        let metadata = cannot_unmarshal(&config, &json!({"metadata": {"labels": {"a": 1}}}), false);
        assert_eq!(
            metadata.unwrap(),
            "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
        );
        let secret = core::typed::<Secret>().unwrap();
        for (data, expected) in [
            (json!("YQ=="), ""),
            (json!("YR=="), ""),
            (json!("***"), "illegal base64 data at input byte 0"),
            (json!("YWJjYQ"), "illegal base64 data at input byte 4"),
            (
                json!(1),
                "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
            ),
        ] {
            let found = cannot_unmarshal(&secret, &json!({"data": {"a": data}}), true);
            assert_eq!(found.unwrap_or_default(), expected);
        }
        let definition = core::schema::<CustomResourceDefinition>().unwrap();
        let place = "JSONSchemaProps.spec.versions.schema.openAPIV3Schema.properties.properties";
        for (schema, expected) in [
            (json!({"type": "string", "default": 1, "items": {"type": "string"}, "additionalProperties": true}), String::new()),
            (json!({"type": ["string"]}), format!("json: cannot unmarshal array into Go struct field {place}.type of type string")),
            (json!({"allOf": [{"maxLength": "1"}]}), format!("json: cannot unmarshal string into Go struct field {place}.allOf.maxLength of type int64")),
            (json!({"not": []}), format!("json: cannot unmarshal array into Go struct field {place}.not of type v1.JSONSchemaProps")),
            (json!({"properties": []}), format!("json: cannot unmarshal array into Go struct field {place}.properties of type map[string]v1.JSONSchemaProps")),
            (json!({"items": {"title": 1}}), "json: cannot unmarshal number into Go struct field JSONSchemaProps.title of type string".to_owned()),
            (json!({"additionalProperties": 1}), "boolean or JSON schema expected".to_owned()),
        ] {
            let schema = json!({"properties": {"spec": {"properties": {"a": schema}}}});
            let object = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
            let found = cannot_unmarshal(&definition, &object, true);
            assert_eq!(found.unwrap_or_default(), expected);
        }
        let quota = core::typed::<ResourceQuota>().unwrap();
        for (amount, good) in [
            (json!("1Gi"), true),
            (json!(0.5), true),
            (json!("x"), false),
        ] {
            let found = cannot_unmarshal(&quota, &json!({"spec": {"hard": {"cpu": amount}}}), true);
            assert_eq!(found.is_none(), good, "{found:?}");
        }
    }
}

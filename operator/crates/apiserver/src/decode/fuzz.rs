//! Fuzz targets for the binary form: any bytes, and objects made by the tables and written by the
//! same tables, which must be read as they were.

#![allow(clippy::unwrap_used, clippy::panic)]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::protobuf::{Field, MAGIC, ProtobufError, Shape, parse};
use super::tables::{TYPE_META, layout};
use crate::fuzz::Source;

const KINDS: &[(&str, &str)] = &[
    ("v1", "DeleteOptions"),
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("v1", "Event"),
    ("events.k8s.io/v1", "Event"),
    ("coordination.k8s.io/v1", "Lease"),
    ("authentication.k8s.io/v1", "SelfSubjectReview"),
    ("authentication.k8s.io/v1", "TokenRequest"),
    ("authentication.k8s.io/v1", "TokenReview"),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
    ("authorization.k8s.io/v1", "SubjectAccessReview"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
];

/// Any bytes as a whole body, and as the inside of each kind.
pub(crate) fn bytes(data: &[u8]) {
    check(&[MAGIC, data].concat());
    let (kind, raw) = data.split_first().unwrap_or((&0, &[]));
    let (api_version, kind) = KINDS[usize::from(*kind) % KINDS.len()];
    check(&envelope(api_version, kind, raw));
}

fn check(body: &[u8]) {
    match parse(body) {
        Ok(value) => {
            assert!(value["kind"].is_string());
            let text = value.to_string();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
        Err(ProtobufError::Magic) => panic!("the body has the magic"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What the tables say an object may be is read as it was.
pub(crate) fn objects(data: &[u8]) {
    let mut source = Source(data);
    let (api_version, kind) = source.pick(KINDS);
    let fields = layout(api_version, kind).unwrap();
    let mut made = made(&mut source, fields);
    let raw = written(fields, &made);
    made.insert("apiVersion".into(), json!(api_version));
    made.insert("kind".into(), json!(kind));
    assert_eq!(
        parse(&envelope(api_version, kind, &raw)),
        Ok(Value::Object(made))
    );
}

fn made(source: &mut Source<'_>, fields: &[Field]) -> Map<String, Value> {
    let mut object = Map::new();
    for field in fields {
        if source.flip() {
            object.insert(field.name.to_owned(), made_field(source, field));
        }
    }
    object
}

fn made_field(source: &mut Source<'_>, field: &Field) -> Value {
    // What is empty cannot be told from what is not there.
    let some = |text: String| {
        if text.is_empty() {
            "x".to_owned()
        } else {
            text
        }
    };
    let count = 1 + source.below(3);
    match &field.shape {
        Shape::Text => some(source.text()).into(),
        Shape::TextKept => source.text().into(),
        Shape::Bool => (source.flip()).into(),
        Shape::Flag => true.into(),
        Shape::Double => f64::from(source.byte()).mul_add(0.25, 0.125).into(),
        Shape::Count => Some(source.integer())
            .filter(|n| *n != 0)
            .unwrap_or(1)
            .into(),
        Shape::Int => source.integer().into(),
        Shape::Time => time(source, 0).to_string().into(),
        Shape::MicroTime => {
            let micros = i32::from(source.byte()) * 1000;
            format!("{:.6}", time(source, micros)).into()
        }
        Shape::Json => source.value(&[]),
        Shape::Jsons => (0..count).map(|_| source.value(&[])).collect(),
        Shape::Message(fields) => made(source, fields).into(),
        Shape::Either(fields) => {
            let one = source.below(fields.len());
            made_field(source, &fields[one])
        }
        Shape::MessageMap(fields) => map(count, || (source.text(), made(source, fields).into())),
        Shape::Messages(fields) => (0..count).map(|_| made(source, fields)).collect(),
        Shape::Texts => (0..count).map(|_| source.text()).collect(),
        Shape::QuantityMap => map(count, || (source.text(), some(source.text()).into())),
        Shape::TextMap => map(count, || (source.text(), source.text().into())),
        Shape::BytesMap => map(count, || {
            (
                source.text(),
                BASE64_STANDARD
                    .encode([source.byte(), source.byte()])
                    .into(),
            )
        }),
        Shape::ListMap => map(count, || {
            (
                source.text(),
                (0..source.below(3)).map(|_| source.text()).collect(),
            )
        }),
    }
}

fn map(count: usize, entry: impl FnMut() -> (String, Value)) -> Value {
    Value::Object(std::iter::repeat_with(entry).take(count).collect())
}

fn time(source: &mut Source<'_>, nanos: i32) -> Timestamp {
    let seconds = i64::from(source.byte()) << 24 | i64::from(source.byte());
    // 0 seconds and 0 nanoseconds are written as nothing.
    Timestamp::new(seconds + 1, nanos).unwrap()
}

fn written(fields: &[Field], object: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        if let Some(value) = object.get(field.name) {
            write_field(&mut out, field, value);
        }
    }
    out
}

fn write_field(out: &mut Vec<u8>, field: &Field, value: &Value) {
    let text = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
    let entries = |out: &mut Vec<u8>, content: &dyn Fn(&Value) -> Vec<u8>| {
        for (key, value) in value.as_object().unwrap() {
            let entry = [
                bytes_field(1, key.as_bytes()),
                bytes_field(2, &content(value)),
            ];
            out.extend(bytes_field(field.number, &entry.concat()));
        }
    };
    match &field.shape {
        Shape::Bool | Shape::Flag => {
            out.extend(number_field(field.number, i64::from(value == true)))
        }
        Shape::Double => {
            out.extend(varint(u64::from(field.number) << 3 | 1));
            out.extend(value.as_f64().unwrap().to_le_bytes());
        }
        Shape::Int | Shape::Count => {
            out.extend(number_field(field.number, value.as_i64().unwrap()))
        }
        Shape::Text | Shape::TextKept => out.extend(bytes_field(field.number, &text(value))),
        Shape::Time | Shape::MicroTime => {
            let time: Timestamp = value.as_str().unwrap().parse().unwrap();
            let nanos = i64::from(time.subsec_nanosecond());
            let content = [number_field(1, time.as_second()), number_field(2, nanos)];
            out.extend(bytes_field(field.number, &content.concat()));
        }
        Shape::Json => out.extend(bytes_field(
            field.number,
            &bytes_field(1, value.to_string().as_bytes()),
        )),
        Shape::Jsons => {
            for item in value.as_array().unwrap() {
                let json = bytes_field(1, item.to_string().as_bytes());
                out.extend(bytes_field(field.number, &json));
            }
        }
        Shape::Either(fields) => {
            let fits = |field: &&Field| match field.shape {
                Shape::Message(_) => value.is_object(),
                Shape::Messages(_) => value.is_array(),
                _ => value.is_boolean(),
            };
            let mut content = Vec::new();
            write_field(&mut content, fields.iter().find(fits).unwrap(), value);
            out.extend(bytes_field(field.number, &content));
        }
        Shape::MessageMap(fields) => {
            entries(out, &|value| written(fields, value.as_object().unwrap()));
        }
        Shape::Message(fields) => out.extend(bytes_field(
            field.number,
            &written(fields, value.as_object().unwrap()),
        )),
        Shape::Messages(fields) => {
            for item in value.as_array().unwrap() {
                out.extend(bytes_field(
                    field.number,
                    &written(fields, item.as_object().unwrap()),
                ));
            }
        }
        Shape::Texts => {
            for item in value.as_array().unwrap() {
                out.extend(bytes_field(field.number, &text(item)));
            }
        }
        Shape::TextMap => entries(out, &text),
        Shape::QuantityMap => entries(out, &|value| bytes_field(1, &text(value))),
        Shape::BytesMap => entries(out, &|value| {
            BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()
        }),
        Shape::ListMap => entries(out, &|value| {
            let items = value.as_array().unwrap().iter();
            items.flat_map(|item| bytes_field(1, &text(item))).collect()
        }),
    }
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let types = json!({"apiVersion": api_version, "kind": kind});
    let types = written(TYPE_META, types.as_object().unwrap());
    [MAGIC.to_vec(), bytes_field(1, &types), bytes_field(2, raw)].concat()
}

/// As protobuf writes whole numbers.
pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A field of bytes with its key and length.
pub(super) fn bytes_field(number: u32, content: &[u8]) -> Vec<u8> {
    let key = varint(u64::from(number) << 3 | 2);
    [key, varint(content.len() as u64), content.to_vec()].concat()
}

fn number_field(number: u32, value: i64) -> Vec<u8> {
    [
        varint(u64::from(number) << 3),
        varint(value.cast_unsigned()),
    ]
    .concat()
}

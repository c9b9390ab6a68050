//! Kubernetes' binary form: four bytes `k8s\0`, an envelope that names the type, the object.
//!
//! Reading only, straight to JSON by the tables next door: answers are JSON, which every client
//! that sends this form also reads. As in Go, zero values of fields that are no pointers mean
//! "not set", and fields that are not known are skipped. Nesting is bounded while it is read,
//! because schemas nest without end.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::tables::{TYPE_META, layout};
use crate::patch::MAX_DEPTH;

pub(super) const MAGIC: &[u8] = b"k8s\0";

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ProtobufError {
    /// It does not begin as it should.
    #[error("error decoding protobuf: the body does not begin with the four bytes \"k8s\\0\"")]
    Magic,
    /// It ends too early, or a number or length makes no sense.
    #[error("error decoding protobuf: malformed at field {0}")]
    Malformed(&'static str),
    /// Messages in messages, more than could be stored.
    #[error("error decoding protobuf: nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A kind that is not read in this form.
    #[error(
        "{kind} in version {api_version:?} is not read as protobuf: please send application/json"
    )]
    Kind {
        /// `apiVersion`
        api_version: String,
        /// `kind`
        kind: String,
    },
}

/// One field of a message.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

/// A row of a table.
pub(super) const fn field(number: u32, name: &'static str, shape: Shape) -> Field {
    Field {
        number,
        name,
        shape,
    }
}

/// How a field is written, and what it is in JSON.
pub(super) enum Shape {
    /// A string; empty is not set.
    Text,
    /// A string behind a pointer.
    TextKept,
    /// A boolean behind a pointer, or one that is always written.
    Bool,
    /// A boolean; false is not set.
    Flag,
    /// An integer; 0 is not set.
    Count,
    /// An integer behind a pointer.
    Int,
    /// A floating-point number behind a pointer.
    Double,
    /// `metav1.Time`
    Time,
    /// `metav1.MicroTime`
    MicroTime,
    /// A message whose field 1 holds JSON (`FieldsV1`).
    Json,
    /// Such messages.
    Jsons,
    /// A message.
    Message(&'static [Field]),
    /// Messages.
    Messages(&'static [Field]),
    /// A message that stands for the first of its fields that is there.
    Either(&'static [Field]),
    /// Strings to messages.
    MessageMap(&'static [Field]),
    /// Strings.
    Texts,
    /// Strings to strings.
    TextMap,
    /// Strings to quantities: messages whose field 1 is a string.
    QuantityMap,
    /// Strings to bytes, base64 in JSON.
    BytesMap,
    /// Strings to messages whose field 1 is a list of strings.
    ListMap,
}

/// Reads one object.
///
/// # Errors
/// See [`ProtobufError`]; no bytes make it panic.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let mut reader = Reader {
        rest: bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?,
    };
    let (mut types, mut raw) = (Map::new(), &[][..]);
    while let Some((number, wire)) = reader.next("envelope")? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => types = message(TYPE_META, bytes, 0)?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let text = |name: &str| {
        types
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(fields) = layout(&api_version, &kind) else {
        return Err(ProtobufError::Kind { api_version, kind });
    };
    let mut object = message(fields, raw, 0)?;
    object.extend(types);
    Ok(Value::Object(object))
}

fn message(
    fields: &'static [Field],
    bytes: &[u8],
    depth: usize,
) -> Result<Map<String, Value>, ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::TooDeep);
    }
    let mut object = Map::new();
    let mut reader = Reader { rest: bytes };
    while let Some((number, wire)) = reader.next("message")? {
        if let Some(field) = fields.iter().find(|field| field.number == number) {
            field.read(wire, &mut object, depth + 1)?;
        }
    }
    Ok(object)
}

impl Field {
    /// `depth`: that of a message in this field.
    fn read(
        &self,
        wire: Wire<'_>,
        object: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtobufError> {
        let malformed = || ProtobufError::Malformed(self.name);
        let value = match (&self.shape, wire) {
            // Go writes negative numbers in 64 bits, whatever their type: the bits are the number.
            (Shape::Bool, Wire::Number(number)) => Some(json!(number != 0)),
            (Shape::Flag, Wire::Number(number)) => (number != 0).then_some(Value::Bool(true)),
            (Shape::Int, Wire::Number(number)) => Some(json!(number.cast_signed())),
            (Shape::Count, Wire::Number(number)) => {
                (number != 0).then(|| json!(number.cast_signed()))
            }
            // What is no number in JSON (infinite, say) becomes null, which no schema accepts.
            (Shape::Double, Wire::Double(bits)) => Some(json!(f64::from_bits(bits))),
            (Shape::Bool | Shape::Flag | Shape::Int | Shape::Count | Shape::Double, _)
            | (_, Wire::Number(_) | Wire::Double(_) | Wire::Other) => {
                return Err(malformed());
            }
            (shape, Wire::Bytes(bytes)) => match shape {
                Shape::Text => Some(self.text(bytes)?)
                    .filter(|text| !text.is_empty())
                    .map(Value::from),
                Shape::TextKept => Some(json!(self.text(bytes)?)),
                Shape::Time => self.time(bytes, false)?,
                Shape::MicroTime => self.time(bytes, true)?,
                Shape::Json => self.json(bytes)?,
                Shape::Jsons => {
                    let item = self.json(bytes)?.unwrap_or_default();
                    return self.push(object, item);
                }
                Shape::Message(fields) => Some(Value::Object(message(fields, bytes, depth)?)),
                Shape::Either(fields) => {
                    let mut found = message(fields, bytes, depth)?;
                    fields.iter().find_map(|field| found.remove(field.name))
                }
                Shape::Messages(fields) => {
                    let item = Value::Object(message(fields, bytes, depth)?);
                    return self.push(object, item);
                }
                Shape::Texts => {
                    let item = json!(self.text(bytes)?);
                    return self.push(object, item);
                }
                Shape::TextMap
                | Shape::QuantityMap
                | Shape::BytesMap
                | Shape::ListMap
                | Shape::MessageMap(_) => {
                    return self.entry(bytes, object, depth);
                }
                Shape::Bool | Shape::Flag | Shape::Int | Shape::Count | Shape::Double => None,
            },
        };
        if let Some(value) = value {
            object.insert(self.name.to_owned(), value);
        }
        Ok(())
    }

    fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(bytes).map_err(|_| ProtobufError::Malformed(self.name))
    }

    fn push(&self, object: &mut Map<String, Value>, item: Value) -> Result<(), ProtobufError> {
        let list = object.entry(self.name).or_insert_with(|| json!([]));
        list.as_array_mut()
            .ok_or(ProtobufError::Malformed(self.name))?
            .push(item);
        Ok(())
    }

    /// An entry of a map is a message of key (1) and value (2); either may be left out when empty.
    fn entry(
        &self,
        bytes: &[u8],
        object: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtobufError> {
        let (mut key, mut value) = (&[][..], &[][..]);
        let mut reader = Reader { rest: bytes };
        while let Some((number, wire)) = reader.next(self.name)? {
            match (number, wire) {
                (1, Wire::Bytes(bytes)) => key = bytes,
                (2, Wire::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        const ITEMS: &[Field] = &[field(1, "items", Shape::Texts)];
        const QUANTITY: &[Field] = &[field(1, "string", Shape::Text)];
        let value = match self.shape {
            Shape::BytesMap => json!(BASE64_STANDARD.encode(value)),
            Shape::MessageMap(fields) => Value::Object(message(fields, value, depth)?),
            Shape::QuantityMap => message(QUANTITY, value, depth)?
                .remove("string")
                .unwrap_or_else(|| json!("0")),
            Shape::ListMap => message(ITEMS, value, depth)?
                .remove("items")
                .unwrap_or_else(|| json!([])),
            _ => json!(self.text(value)?),
        };
        let map = object.entry(self.name).or_insert_with(|| json!({}));
        let map = map
            .as_object_mut()
            .ok_or(ProtobufError::Malformed(self.name))?;
        map.insert(self.text(key)?.to_owned(), value);
        Ok(())
    }

    /// Seconds (1) and nanoseconds (2); nothing is no time.
    fn time(&self, bytes: &[u8], micro: bool) -> Result<Option<Value>, ProtobufError> {
        let malformed = || ProtobufError::Malformed(self.name);
        if bytes.is_empty() {
            return Ok(None);
        }
        let (mut seconds, mut nanos) = (0, 0);
        let mut reader = Reader { rest: bytes };
        while let Some((number, wire)) = reader.next(self.name)? {
            match (number, wire) {
                (1, Wire::Number(number)) => seconds = number.cast_signed(),
                (2, Wire::Number(number)) => nanos = number.cast_signed(),
                _ => {}
            }
        }
        let nanos = if micro {
            i32::try_from(nanos).map_err(|_| malformed())?
        } else {
            0
        };
        let time = Timestamp::new(seconds, nanos).map_err(|_| malformed())?;
        Ok(Some(json!(if micro {
            format!("{time:.6}")
        } else {
            time.to_string()
        })))
    }

    fn json(&self, bytes: &[u8]) -> Result<Option<Value>, ProtobufError> {
        let mut found = None;
        let mut reader = Reader { rest: bytes };
        while let Some((number, wire)) = reader.next(self.name)? {
            if let (1, Wire::Bytes(raw)) = (number, wire) {
                found = Some(
                    serde_json::from_slice(raw).map_err(|_| ProtobufError::Malformed(self.name))?,
                );
            }
        }
        Ok(found)
    }
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// 64 bits.
    Double(u64),
    /// 32 bits, which none of the kinds here use.
    Other,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Number and content of the next field; `None` at the end.
    fn next(&mut self, place: &'static str) -> Result<Option<(u32, Wire<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let malformed = || ProtobufError::Malformed(place);
        let key = self.varint().ok_or_else(malformed)?;
        let number = u32::try_from(key >> 3).map_err(|_| malformed())?;
        let wire = match key & 7 {
            0 => self.varint().map(Wire::Number),
            1 => {
                let bytes = self.take(8).and_then(|bytes| bytes.try_into().ok());
                bytes.map(u64::from_le_bytes).map(Wire::Double)
            }
            2 => {
                let length = self
                    .varint()
                    .and_then(|length| usize::try_from(length).ok());
                length.and_then(|length| self.take(length)).map(Wire::Bytes)
            }
            5 => self.take(4).map(|_| Wire::Other),
            _ => None,
        };
        Ok(Some((number, wire.ok_or_else(malformed)?)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::decode::fuzz::{bytes_field, varint};

    fn bytes(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
        bytes_field(number, content.as_ref())
    }

    fn number(field: u64, value: i64) -> Vec<u8> {
        [varint(field << 3), varint(value.cast_unsigned())].concat()
    }

    fn object(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [bytes(1, api_version), bytes(2, kind)].concat();
        [
            MAGIC.to_vec(),
            bytes(1, types),
            bytes(2, raw),
            bytes(3, ""),
            bytes(4, ""),
        ]
        .concat()
    }

    fn pair(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
        [bytes(1, key), bytes(2, value)].concat()
    }

    #[test]
    fn a_secret_as_helm_sends_it() {
        let meta = [
            bytes(1, "sh.helm.release.v1.web.v1"),
            bytes(2, ""),
            bytes(3, "shop"),
            bytes(8, ""),
            bytes(11, pair("owner", "helm")),
        ];
        let raw = [
            bytes(1, meta.concat()),
            bytes(2, pair("release", [0xff, 0])),
            bytes(3, "helm.sh/release.v1"),
        ]
        .concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "data": {"release": "/wA="},
            "metadata": {"name": "sh.helm.release.v1.web.v1", "namespace": "shop", "labels": {"owner": "helm"}},
        });
        assert_eq!(parse(&object("v1", "Secret", &raw)).unwrap(), expected);
    }

    #[test]
    fn roles_and_bindings() {
        const VERSION: &str = "rbac.authorization.k8s.io/v1";
        let name = |name: &str| bytes(1, bytes(1, name));
        // The empty text is the core group.
        let rule = [bytes(1, "get"), bytes(2, ""), bytes(3, "secrets")].concat();
        let raw = [name("r"), bytes(2, rule)].concat();
        let expected = json!({
            "apiVersion": VERSION, "kind": "Role", "metadata": {"name": "r"},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}],
        });
        assert_eq!(parse(&object(VERSION, "Role", &raw)).unwrap(), expected);
        let subject = [bytes(1, "User"), bytes(2, "g"), bytes(3, "ann")].concat();
        let role = [bytes(1, "g"), bytes(2, "Role"), bytes(3, "r")].concat();
        let raw = [name("b"), bytes(2, subject), bytes(3, role)].concat();
        let expected = json!({
            "apiVersion": VERSION, "kind": "RoleBinding", "metadata": {"name": "b"},
            "subjects": [{"kind": "User", "apiGroup": "g", "name": "ann"}],
            "roleRef": {"apiGroup": "g", "kind": "Role", "name": "r"},
        });
        assert_eq!(
            parse(&object(VERSION, "RoleBinding", &raw)).unwrap(),
            expected
        );
    }

    #[test]
    fn quantities_of_quotas_and_limit_ranges() {
        let hard = bytes(1, pair("cpu", bytes(1, "2")));
        let raw = [bytes(1, bytes(1, "q")), bytes(2, hard)].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"cpu": "2"}},
        });
        assert_eq!(
            parse(&object("v1", "ResourceQuota", &raw)).unwrap(),
            expected
        );
        let limit = [
            bytes(1, "Container"),
            bytes(2, pair("memory", bytes(1, "1Gi"))),
            bytes(5, pair("cpu", "")),
        ];
        let raw = bytes(2, bytes(1, limit.concat()));
        let limits = json!([{"type": "Container", "max": {"memory": "1Gi"}, "defaultRequest": {"cpu": "0"}}]);
        assert_eq!(
            parse(&object("v1", "LimitRange", &raw)).unwrap()["spec"]["limits"],
            limits
        );
    }

    #[test]
    fn times_numbers_and_lists() {
        let renewed = [number(1, 1_700_000_000), number(2, 123_456_000)].concat();
        let spec = [bytes(1, ""), number(2, 0), bytes(4, renewed), number(5, -1)].concat();
        let meta = [
            bytes(8, number(1, 1_700_000_000)),
            bytes(14, "a"),
            bytes(14, "b"),
            number(7, 0),
        ]
        .concat();
        let raw = [bytes(1, meta), bytes(2, spec)].concat();
        let expected = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"creationTimestamp": "2023-11-14T22:13:20Z", "finalizers": ["a", "b"]},
            "spec": {"holderIdentity": "", "leaseDurationSeconds": 0, "leaseTransitions": -1, "renewTime": "2023-11-14T22:13:20.123456Z"},
        });
        assert_eq!(
            parse(&object("coordination.k8s.io/v1", "Lease", &raw)).unwrap(),
            expected
        );
        let fields = bytes(7, bytes(1, r#"{"f:data":{}}"#));
        let raw = bytes(1, bytes(17, [bytes(1, "m"), fields].concat()));
        let map = parse(&object("v1", "ConfigMap", &raw)).unwrap();
        assert_eq!(
            map["metadata"]["managedFields"],
            json!([{"manager": "m", "fieldsV1": {"f:data": {}}}])
        );
        let raw = bytes(
            2,
            [
                bytes(3, "u"),
                bytes(5, pair("k", [bytes(1, "a"), bytes(1, "b")].concat())),
            ]
            .concat(),
        );
        let review = parse(&object(
            "authorization.k8s.io/v1",
            "SubjectAccessReview",
            &raw,
        ))
        .unwrap();
        assert_eq!(
            review["spec"],
            json!({"user": "u", "extra": {"k": ["a", "b"]}})
        );
    }

    #[test]
    fn schemas_of_definitions() {
        const VERSION: &str = "apiextensions.k8s.io/v1";
        let definition = |schema: &[u8]| {
            let version = [bytes(1, "v1"), number(2, 1), number(3, 0)].concat();
            let version = [version, bytes(4, bytes(1, schema))].concat();
            let spec = bytes(2, bytes(7, version));
            let read = parse(&object(VERSION, "CustomResourceDefinition", &spec));
            read.map(|mut read| read["spec"]["versions"][0].take())
        };
        let half = [vec![0x49], 0.5_f64.to_le_bytes().to_vec()].concat();
        let number_schema = [bytes(5, "number"), half, number(10, 0), number(18, 1)].concat();
        let any = bytes(30, number(1, 1));
        let text = [
            bytes(5, "string"),
            bytes(20, bytes(1, "\"a\"")),
            bytes(20, bytes(1, "null")),
        ];
        let only_text = bytes(30, [number(1, 0), bytes(2, text.concat())].concat());
        let schema = [
            bytes(29, pair("n", number_schema)),
            bytes(29, pair("any", any)),
            bytes(29, pair("texts", only_text)),
            bytes(24, bytes(1, bytes(8, bytes(1, "[1]")))),
            number(40, 1),
            number(38, 0),
        ];
        let expected = json!({
            "properties": {
                "n": {"type": "number", "maximum": 0.5, "uniqueItems": true},
                "any": {"additionalProperties": true},
                "texts": {"additionalProperties": {"type": "string", "enum": ["a", null]}},
            },
            "items": {"default": [1]},
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-preserve-unknown-fields": false,
        });
        let version = definition(&schema.concat()).unwrap();
        assert_eq!(version["schema"]["openAPIV3Schema"], expected);
        assert_eq!(
            (&version["served"], &version["storage"]),
            (&json!(true), &json!(false))
        );
        let deep = (0..10_000).fold(Vec::new(), |inner, _| bytes(28, inner));
        assert_eq!(definition(&deep), Err(ProtobufError::TooDeep));
    }

    #[test]
    fn refused() {
        assert_eq!(parse(b"{}"), Err(ProtobufError::Magic));
        let unknown = object("apps/v1", "Deployment", b"");
        assert!(matches!(parse(&unknown), Err(ProtobufError::Kind { .. })));
        for raw in [
            &[0x0a, 0x05, 0x01][..],
            &[0x0a],
            &[0x0f],
            &[0xff; 11],
            &bytes(2, [0x0a, 0x01, 0xff]),
        ] {
            let found = parse(&object("v1", "ConfigMap", raw));
            assert!(
                matches!(found, Err(ProtobufError::Malformed(_))),
                "{raw:?} {found:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(raw: Vec<u8>) {
            for (version, kind) in [("v1", "Secret"), ("v1", "Event"), ("coordination.k8s.io/v1", "Lease")] {
                let _ = parse(&object(version, kind, &raw));
            }
            let _ = parse(&[MAGIC, &raw].concat());
        }
    }
}

//! OpenAPI v2 in the protobuf of gnostic (`openapi_v2.Document`), which is how Go clients fetch it.
//!
//! No crate has these messages. Only the fields that [`super::v2`] writes are encoded; numbers in
//! comments are those of `OpenAPIv2.proto`.

use serde_json::{Map, Value};

/// A v2 document as protobuf.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| {
        for (path, item) in entries(&document["paths"]) {
            paths.message(2, |named| {
                named.string(1, path);
                named.message(2, |out| path_item(out, item));
            });
        }
    });
    out.message(9, |definitions| {
        for (name, definition) in entries(&document["definitions"]) {
            definitions.message(1, |named| named_schema(named, name, definition));
        }
    });
    out.0
}

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits, and the mark that more follow.
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn string(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// A string where the value is one; nothing otherwise.
    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.string(field, text);
        }
    }

    fn texts(&mut self, field: u64, value: &Value) {
        value
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|item| self.text(field, item));
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.varint(field << 3);
            self.varint(1);
        }
    }

    /// An integer where the value is one that is not negative; nothing otherwise.
    fn integer(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_u64() {
            self.varint(field << 3);
            self.varint(number);
        }
    }

    fn double(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_f64() {
            self.varint(field << 3 | 1);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// `Any`, of which clients read the YAML only.
    fn any(&mut self, field: u64, value: &Value) {
        // JSON is YAML, too.
        let yaml = serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string());
        self.message(field, |any| any.string(2, &yaml));
    }

    /// `NamedAny`, for every `x-` member of the object.
    fn extensions(&mut self, field: u64, object: &Value) {
        for (name, value) in entries(object).filter(|(name, _)| name.starts_with("x-")) {
            self.message(field, |named| {
                named.string(1, name);
                named.any(2, value);
            });
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn path_item(out: &mut Message, item: &Value) {
    for (field, method) in [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (8, "patch"),
    ] {
        if let Some(operation) = item.get(method) {
            out.message(field, |out| self::operation(out, operation));
        }
    }
}

fn operation(out: &mut Message, operation: &Value) {
    out.texts(1, &operation["tags"]);
    out.text(3, &operation["description"]);
    out.text(5, &operation["operationId"]);
    out.texts(6, &operation["produces"]);
    out.texts(7, &operation["consumes"]);
    for item in operation["parameters"].as_array().into_iter().flatten() {
        // ParametersItem.parameter
        out.message(8, |out| out.message(1, |out| parameter(out, item)));
    }
    out.message(9, |responses| {
        for (code, response) in entries(&operation["responses"]) {
            responses.message(1, |named| {
                named.string(1, code);
                // ResponseValue.response
                named.message(2, |out| out.message(1, |out| self::response(out, response)));
            });
        }
    });
    out.extensions(13, operation);
}

fn response(out: &mut Message, response: &Value) {
    out.text(1, &response["description"]);
    if let Some(schema) = response.get("schema") {
        // SchemaItem.schema
        out.message(2, |out| out.message(1, |out| self::schema(out, schema)));
    }
}

fn parameter(out: &mut Message, parameter: &Value) {
    match parameter["in"].as_str() {
        Some("body") => out.message(1, |out| {
            out.text(2, &parameter["name"]);
            out.text(3, &parameter["in"]);
            out.flag(4, &parameter["required"]);
            out.message(5, |out| schema(out, &parameter["schema"]));
        }),
        // NonBodyParameter.query_parameter_sub_schema
        Some("query") => out.message(2, |out| {
            out.message(3, |out| {
                out.text(2, &parameter["in"]);
                out.text(3, &parameter["description"]);
                out.text(4, &parameter["name"]);
                out.text(6, &parameter["type"]);
            });
        }),
        // NonBodyParameter.path_parameter_sub_schema
        _ => out.message(2, |out| {
            out.message(4, |out| {
                out.flag(1, &parameter["required"]);
                out.text(2, &parameter["in"]);
                out.text(3, &parameter["description"]);
                out.text(4, &parameter["name"]);
                out.text(5, &parameter["type"]);
            });
        }),
    }
}

fn named_schema(out: &mut Message, name: &str, schema: &Value) {
    out.string(1, name);
    out.message(2, |out| self::schema(out, schema));
}

fn bounds(out: &mut Message, schema: &Value) {
    for (field, name) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        out.double(field, &schema[name]);
    }
    for (field, name) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum")] {
        out.flag(field, &schema[name]);
    }
    for (field, name) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        out.integer(field, &schema[name]);
    }
    out.text(13, &schema["pattern"]);
    out.flag(16, &schema["uniqueItems"]);
}

fn schema(out: &mut Message, schema: &Value) {
    out.text(1, &schema["$ref"]);
    out.text(2, &schema["format"]);
    out.text(3, &schema["title"]);
    out.text(4, &schema["description"]);
    if let Some(default) = schema.get("default") {
        out.any(5, default);
    }
    bounds(out, schema);
    out.texts(19, &schema["required"]);
    for value in schema["enum"].as_array().into_iter().flatten() {
        out.any(20, value);
    }
    if let Some(additional) = schema
        .get("additionalProperties")
        .filter(|additional| additional.is_object())
    {
        // AdditionalPropertiesItem.schema
        out.message(21, |out| {
            out.message(1, |out| self::schema(out, additional))
        });
    }
    if schema["type"].is_string() {
        // TypeItem.value
        out.message(22, |out| out.text(1, &schema["type"]));
    }
    if let Some(items) = schema.get("items") {
        // ItemsItem.schema
        out.message(23, |out| out.message(1, |out| self::schema(out, items)));
    }
    if schema["properties"].is_object() {
        out.message(25, |properties| {
            for (name, property) in entries(&schema["properties"]) {
                properties.message(1, |named| named_schema(named, name, property));
            }
        });
    }
    if let Some(example) = schema.get("example") {
        out.any(30, example);
    }
    out.extensions(31, schema);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bounds_have_the_numbers_and_forms_of_the_message() {
        let mut out = Message::default();
        let bounds = json!({
            "minimum": 1, "exclusiveMinimum": true, "maxLength": 300, "pattern": "a", "maxItems": 0,
            "title": "t",
        });
        schema(&mut out, &bounds);
        let one = [&[9 << 3 | 1][..], &1f64.to_le_bytes()].concat();
        let expected = [
            b"\x1a\x01t".to_vec(),
            one,
            vec![10 << 3, 1],
            vec![11 << 3, 0xac, 0x02],
            vec![14 << 3, 0],
            b"\x6a\x01a".to_vec(),
        ];
        assert_eq!(out.0, expected.concat());
    }
}

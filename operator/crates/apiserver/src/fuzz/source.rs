//! Values made from a fuzzer's bytes: every input is one, and a small change of the input is a small
//! change of the value. When the bytes run out, everything is the first and the shortest.

use serde_json::{Map, Number, Value, json};

/// Nesting of made values.
const DEEP: usize = 6;

/// Texts that mean something somewhere.
const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "web",
    "default",
    "a-b.c",
    "A_b",
    "1",
    "0",
    "-1",
    "500m",
    "1.5",
    "256Mi",
    "1e3",
    "/",
    "/x",
    "example.com",
    "*.example.com",
    "http",
    "TCP",
    "Prefix",
    "2024-01-01T00:00:00Z",
    "1h30m",
    "10.0.0.1",
    "[a-z]+",
    "f:spec",
    "k:{\"name\":\"a\"}",
    "v:1",
    ".",
    "obiente.cloud/v1alpha1",
    "\u{0}",
    "\u{e4}\u{10ffff}",
    "\"\\`",
];

/// Reads choices from bytes.
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl<'a> Source<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// 0 to `count` - 1, at most 256.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True once in `count` times.
    pub(crate) fn rarely(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub(crate) fn text(&mut self) -> String {
        if !self.rarely(4) {
            return self.pick(TEXTS).to_owned();
        }
        let length = self.below(12);
        (0..length)
            .map(|_| char::from(self.byte() % 0x7f))
            .collect()
    }

    pub(crate) fn integer(&mut self) -> i64 {
        match self.below(8) {
            0 => i64::MAX,
            1 => i64::MIN,
            2 => (i64::from(self.byte()) << 24) | i64::from(self.byte()),
            _ => i64::from(self.byte().cast_signed()),
        }
    }

    /// Any JSON. Fields are called by `names`, mostly.
    pub(crate) fn value(&mut self, names: &[&str]) -> Value {
        self.value_within(names, DEEP)
    }

    fn value_within(&mut self, names: &[&str], depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0 => Value::Null,
            1 => Value::Bool(self.flip()),
            2 => self.integer().into(),
            3 => self.text().into(),
            4 => Number::from_f64(self.integer() as f64 / 4.0).map_or(Value::Null, Value::Number),
            5 => (0..self.below(4))
                .map(|_| self.value_within(names, depth - 1))
                .collect(),
            _ => {
                let count = self.below(6);
                let field = |_| (self.name(names), self.value_within(names, depth - 1));
                Value::Object((0..count).map(field).collect())
            }
        }
    }

    fn name(&mut self, names: &[&str]) -> String {
        if names.is_empty() || self.rarely(16) {
            self.text()
        } else {
            self.pick(names).to_owned()
        }
    }

    /// JSON that mostly fits an OpenAPI schema.
    pub(crate) fn shaped(&mut self, schema: &Value) -> Value {
        if self.rarely(24) {
            return self.value(&[]);
        }
        if let Some(allowed) = schema["enum"].as_array().filter(|_| !self.rarely(16)) {
            return allowed
                .get(self.below(allowed.len()))
                .cloned()
                .unwrap_or_default();
        }
        match schema["type"].as_str().unwrap_or_default() {
            "object" => self.shaped_object(schema),
            "array" => (0..self.below(4))
                .map(|_| self.shaped(&schema["items"]))
                .collect(),
            "string" => self.text().into(),
            "boolean" => Value::Bool(self.flip()),
            "integer" | "number" if self.rarely(16) => (self.integer() as f64).into(),
            "integer" | "number" => self.integer().into(),
            _ if schema["x-kubernetes-int-or-string"] == true => match self.byte() % 2 {
                0 => self.text().into(),
                _ => self.integer().into(),
            },
            _ => self.value(&[]),
        }
    }

    fn shaped_object(&mut self, schema: &Value) -> Value {
        let mut fields = Map::new();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let required = schema["required"]
                .as_array()
                .is_some_and(|all| all.contains(&json!(name)));
            if self.rarely(if required { 2 } else { 3 }) || required && !self.rarely(16) {
                fields.insert(name.clone(), self.shaped(field));
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..self.below(4) {
                fields.insert(self.text(), self.shaped(&schema["additionalProperties"]));
            }
        }
        Value::Object(fields)
    }

    /// Changes a value at a place or two.
    pub(crate) fn change(&mut self, value: &mut Value, names: &[&str]) {
        for _ in 0..=self.below(3) {
            self.change_below(value, names);
        }
    }

    fn change_below(&mut self, value: &mut Value, names: &[&str]) {
        let below = match value {
            _ if self.rarely(6) => None,
            Value::Object(fields) => {
                let nth = self.below(fields.len());
                fields.values_mut().nth(nth)
            }
            Value::Array(items) => {
                let nth = self.below(items.len());
                items.get_mut(nth)
            }
            _ => None,
        };
        match below {
            Some(below) => self.change_below(below, names),
            None => self.change_here(value, names),
        }
    }

    fn change_here(&mut self, value: &mut Value, names: &[&str]) {
        match (value, self.below(4)) {
            (Value::Object(fields), 1) => {
                fields.insert(self.name(names), self.value(names));
            }
            (Value::Object(fields), 2) => {
                let name = fields.keys().nth(self.below(fields.len())).cloned();
                name.and_then(|name| fields.remove(&name));
            }
            (Value::Array(items), 1) => items.push(self.value(names)),
            (Value::Array(items), 2) => drop(items.pop()),
            (Value::Array(items), 3) => items.extend(items.first().cloned()),
            (Value::String(text), 1) => text.push_str(&self.text()),
            (value, _) => *value = self.value(names),
        }
    }
}

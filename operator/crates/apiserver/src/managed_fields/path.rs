//! One step of the path to a field, and the order and equality of JSON values that it needs.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Number, Value};

/// One step: which child of a map or of a list.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// A field of a map.
    Field(String),
    /// The element of a keyed list with these key fields, sorted by name.
    Key(Vec<(String, Value)>),
    /// The element of a set with this value.
    Value(Value),
    /// The element of a list at this place. Read and written, never produced here.
    Index(i64),
}

/// A text in `FieldsV1` that is no path element.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a field path element: {reason}")]
pub struct BadPathElement {
    text: String,
    reason: String,
}

impl PathElement {
    /// The step to the field `name`.
    pub fn field(name: impl Into<String>) -> Self {
        Self::Field(name.into())
    }

    /// The text form that `FieldsV1` uses: `f:name`, `k:{"key":"value"}`, `v:"value"`, `i:0`.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let fields: Map<String, Value> = fields.iter().cloned().collect();
                format!("k:{}", Value::Object(fields))
            }
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads the text form; `None` for a kind of element that this version does not know.
    ///
    /// # Errors
    /// [`BadPathElement`] where the kind is known and the rest does not fit it.
    pub fn decode(text: &str) -> Result<Option<Self>, BadPathElement> {
        let bad = |reason: String| BadPathElement {
            text: text.to_owned(),
            reason,
        };
        let json = |text: &str| -> Result<Value, BadPathElement> {
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))
        };
        match text.split_once(':') {
            Some(("f", name)) => Ok(Some(Self::field(name))),
            Some(("v", value)) => Ok(Some(Self::Value(json(value)?))),
            Some(("k", fields)) => match json(fields)? {
                Value::Object(fields) => Ok(Some(Self::Key(fields.into_iter().collect()))),
                _ => Err(bad("a key must be a JSON object".to_owned())),
            },
            Some(("i", index)) => {
                let index = index
                    .parse()
                    .map_err(|_| bad("an index must be a number".into()))?;
                Ok(Some(Self::Index(index)))
            }
            Some((kind, _)) if kind.chars().count() == 1 => Ok(None),
            _ => Err(bad("one of f:, k:, v: and i: must come first".to_owned())),
        }
    }
}

/// As in error messages: `.spec.ports[name="http"].port`, `.list[=1]`, `.list[3]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_str("[")?;
                for (place, (name, value)) in fields.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                compare_fields(a.iter().map(|(n, v)| (n, v)), b.iter().map(|(n, v)| (n, v)))
            }
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PathElement {
    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PathElement {}

/// A total order of JSON values in which `1` and `1.0` are the same.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let differing = a
                .iter()
                .zip(b)
                .map(|(a, b)| compare(a, b))
                .find(|order| order.is_ne());
            differing.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => compare_fields(a.iter(), b.iter()),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Whether two JSON values are the same, numbers compared by value.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    compare(a, b) == Ordering::Equal
}

fn compare_fields<'a, A, B, N: Ord + 'a>(mut a: A, mut b: B) -> Ordering
where
    A: Iterator<Item = (N, &'a Value)>,
    B: Iterator<Item = (N, &'a Value)>,
{
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((a_name, a_value)), Some((b_name, b_value))) => {
                let order = a_name.cmp(&b_name).then_with(|| compare(a_value, b_value));
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        // A fraction is far below the numbers that lose digits as f64.
        _ => {
            let (a, b) = (
                a.as_f64().unwrap_or(f64::NAN),
                b.as_f64().unwrap_or(f64::NAN),
            );
            a.total_cmp(&b)
        }
    }
}

/// The number as an integer, where it is one.
fn whole(number: &Number) -> Option<i128> {
    let integer = number
        .as_i64()
        .map(i128::from)
        .or(number.as_u64().map(i128::from));
    integer.or_else(|| {
        let float = number.as_f64()?;
        // Beyond 2^100 only floats exist, and they keep their own order.
        let fits = float.fract() == 0.0 && float.abs() < 2_f64.powi(100);
        fits.then_some(float as i128)
    })
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_form() {
        for (text, shown) in [
            ("f:spec", ".spec"),
            ("f:app.kubernetes.io/name", ".app.kubernetes.io/name"),
            ("f:with:colon", ".with:colon"),
            (
                r#"k:{"port":80,"protocol":"TCP"}"#,
                r#"[port=80,protocol="TCP"]"#,
            ),
            (r#"v:"a""#, r#"[="a"]"#),
            ("v:1", "[=1]"),
            ("i:3", "[3]"),
        ] {
            let element = PathElement::decode(text).unwrap().unwrap();
            assert_eq!(element.encode(), text);
            assert_eq!(element.to_string(), shown);
        }
        assert_eq!(PathElement::decode("x:later"), Ok(None));
        for bad in ["", "f", "fo:o", "k:[1]", "k:{", "v:", "i:x", "ü"] {
            assert!(PathElement::decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_compare_by_value() {
        assert!(same(&json!(1), &json!(1.0)));
        assert!(same(&json!({"a": [1]}), &json!({"a": [1.0]})));
        assert!(!same(&json!(1), &json!("1")));
        let ascending = [
            json!(-1.5),
            json!(-1),
            json!(0),
            json!(0.5),
            json!(9007199254740992_i64),
            json!(9007199254740993_i64),
            json!(u64::MAX),
            json!(1e300),
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}

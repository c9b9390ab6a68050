//! The error of one field, and the path to it.

use std::fmt;

use serde_json::Value;

/// Why a value is refused: the `reason` of a cause in a `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// What the value names does not exist.
    NotFound,
    /// There has to be a value.
    Required,
    /// The value has to be unique and is not.
    Duplicate,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value is none of those allowed.
    NotSupported,
    /// The value would be right elsewhere.
    Forbidden,
    /// Too many characters.
    TooLong,
    /// Too many items.
    TooMany,
    /// The value has the wrong type.
    TypeInvalid,
    /// Nobody can say whether the value is right.
    Internal,
}

impl Reason {
    /// The `reason` field of a `StatusCause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NotFound => "FieldValueNotFound",
            Reason::Required => "FieldValueRequired",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::Invalid => "FieldValueInvalid",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TooMany => "FieldValueTooMany",
            Reason::TypeInvalid => "FieldValueTypeInvalid",
            Reason::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Reason::NotFound => "Not found",
            Reason::Required => "Required value",
            Reason::Duplicate => "Duplicate value",
            Reason::Invalid | Reason::TypeInvalid => "Invalid value",
            Reason::NotSupported => "Unsupported value",
            Reason::Forbidden => "Forbidden",
            Reason::TooLong => "Too long",
            Reason::TooMany => "Too many",
            Reason::Internal => "Internal error",
        }
    }

    /// Whether the message shows the value: not where there is none, or too much of it.
    fn shows_value(self) -> bool {
        !matches!(self, Reason::Required | Reason::Forbidden | Reason::TooLong)
    }
}

/// One thing that is wrong with one field. `Display` gives `field: body`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The class of the error.
    pub reason: Reason,
    /// The path, as `spec.ports[0].name`.
    pub field: String,
    /// The value at fault; `None` leaves it out of the message.
    pub bad_value: Option<Value>,
    /// What is wrong with it, or what would be right; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(
        reason: Reason,
        field: impl fmt::Display,
        bad_value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            reason,
            field: field.to_string(),
            bad_value: Some(bad_value.into()),
            detail: detail.into(),
        }
    }

    /// A malformed value.
    pub fn invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Reason::Invalid, field, value, detail)
    }

    /// A value of the wrong type.
    pub fn type_invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Reason::TypeInvalid, field, value, detail)
    }

    /// A value that cannot be judged.
    pub fn internal(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self {
            bad_value: None,
            ..Self::new(Reason::Internal, field, "", detail)
        }
    }

    /// A malformed value, shown as this text.
    pub fn invalid_shown(field: impl fmt::Display, shown: &str, detail: impl fmt::Display) -> Self {
        Self {
            bad_value: None,
            ..Self::invalid(field, "", format!("{shown}: {detail}"))
        }
    }

    /// A value that is missing.
    pub fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(Reason::Required, field, "", detail)
    }

    /// A value that is not allowed here.
    pub fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(Reason::Forbidden, field, "", detail)
    }

    /// A value that is there twice.
    pub fn duplicate(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(Reason::Duplicate, field, value, "")
    }

    /// A reference to something that is not there.
    pub fn not_found(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(Reason::NotFound, field, value, "")
    }

    /// A value that is none of `supported`.
    pub fn not_supported<S: AsRef<str>>(
        field: impl fmt::Display,
        value: impl Into<Value>,
        supported: &[S],
    ) -> Self {
        let quoted: Vec<_> = supported
            .iter()
            .map(|value| format!("{:?}", value.as_ref()))
            .collect();
        Self::new(
            Reason::NotSupported,
            field,
            value,
            format!("supported values: {}", quoted.join(", ")),
        )
    }

    /// A text that is too long; the text itself is left out.
    pub fn too_long(field: impl fmt::Display, max: u64) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(
            Reason::TooLong,
            field,
            "<value omitted>",
            format!("may not be more than {max} {unit}"),
        )
    }

    /// A list or map with too many entries.
    pub fn too_many(field: impl fmt::Display, actual: u64, max: u64) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(
            Reason::TooMany,
            field,
            actual,
            format!("must have at most {max} {unit}"),
        )
    }

    /// The message without the field: the `message` of a `StatusCause`.
    pub fn body(&self) -> String {
        let mut body = self.reason.words().to_owned();
        if let Some(value) = self
            .bad_value
            .as_ref()
            .filter(|_| self.reason.shows_value())
        {
            body = format!("{body}: {}", shown(value));
        }
        if self.detail.is_empty() {
            body
        } else {
            format!("{body}: {}", self.detail)
        }
    }
}

/// A value as Kubernetes shows it: scalars as Go prints them, the rest as Go's JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) if !number.is_i64() => number.as_f64().map(float).unwrap_or_default(),
        Value::Array(_) | Value::Object(_) => html_safe(&value.to_string()),
        _ => value.to_string(),
    }
}

/// JSON with the characters escaped that Go's encoder escapes.
pub(crate) fn html_safe(json: &str) -> String {
    let escape =
        |text: String, plain: &str| text.replace(plain, &format!("\\u{:04x}", plain.as_bytes()[0]));
    ["<", ">", "&"].into_iter().fold(json.to_owned(), escape)
}

/// A text in quotes, as Go's `%q`.
pub(crate) fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c if c.is_control() || c.is_whitespace() && c != ' ' => {
            format!("\\u{:04x}", u32::from(c))
        }
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A number with the fewest digits that tell it from others, as Go's `%v`.
pub(crate) fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    } else {
        value.to_string()
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// So many errors of one object are told; a hostile one has as many as it has bytes.
pub const TOLD: usize = 100;

/// All errors as one text, as in the `message` of a `Status`: in brackets when several.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut seen: Vec<String> = Vec::new();
    for error in errors.iter().take(TOLD) {
        let text = error.to_string();
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    if errors.len() > TOLD {
        seen.push(format!("and {} more errors", errors.len() - TOLD));
    }
    match seen.as_slice() {
        [only] => only.clone(),
        _ => format!("[{}]", seen.join(", ")),
    }
}

/// The path to a field. It lives on the stack of the walk and is rendered for errors only.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a>(Option<(&'a Path<'a>, Segment<'a>)>);

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The object itself.
    pub fn root() -> Self {
        Path(None)
    }

    /// A named field: `.name`.
    pub fn field(&'a self, name: &'a str) -> Path<'a> {
        Path(Some((self, Segment::Field(name))))
    }

    /// A key of a map: `[key]`.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path(Some((self, Segment::Key(key))))
    }

    /// An item of a list: `[0]`.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path(Some((self, Segment::Index(index))))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((up, segment)) = self.0 else {
            return Ok(());
        };
        up.fmt(f)?;
        match segment {
            Segment::Field(name) if up.0.is_none() => f.write_str(name),
            Segment::Field(name) => write!(f, ".{name}"),
            Segment::Key(key) => write!(f, "[{key}]"),
            Segment::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_read_as_in_kubernetes() {
        let cases = [
            (
                FieldError::required("spec.image", ""),
                "spec.image: Required value",
            ),
            (
                FieldError::required("metadata.name", "name or generateName is required"),
                "metadata.name: Required value: name or generateName is required",
            ),
            (
                FieldError::duplicate("spec.ports[1]", json!({"name": "a"})),
                r#"spec.ports[1]: Duplicate value: {"name":"a"}"#,
            ),
            (
                FieldError::not_supported("spec.mode", "x", &["a", "b"]),
                r#"spec.mode: Unsupported value: "x": supported values: "a", "b""#,
            ),
            (
                FieldError::too_long("metadata.annotations", 262144),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
            (
                FieldError::too_many("spec.ports", 5, 1),
                "spec.ports: Too many: 5: must have at most 1 item",
            ),
            (
                FieldError::invalid("spec.replicas", -1, "bad"),
                "spec.replicas: Invalid value: -1: bad",
            ),
            (
                FieldError::forbidden("metadata.namespace", "not allowed on this type"),
                "metadata.namespace: Forbidden: not allowed on this type",
            ),
            (
                FieldError::not_found("spec.secret", "s"),
                r#"spec.secret: Not found: "s""#,
            ),
        ];
        for (error, text) in &cases {
            assert_eq!(error.to_string(), *text);
        }
        assert_eq!(
            aggregate(&[cases[0].0.clone()]),
            "spec.image: Required value"
        );
        assert_eq!(
            aggregate(&[cases[0].0.clone(), cases[6].0.clone(), cases[0].0.clone()]),
            "[spec.image: Required value, spec.replicas: Invalid value: -1: bad]"
        );
    }

    #[test]
    fn paths_render_fields_keys_and_indices() {
        let root = Path::root();
        let spec = root.field("spec");
        let ports = spec.field("ports");
        let port = ports.index(2);
        let labels = port.field("labels");
        assert_eq!(labels.key("a/b").to_string(), "spec.ports[2].labels[a/b]");
        assert_eq!(root.to_string(), "");
    }
}

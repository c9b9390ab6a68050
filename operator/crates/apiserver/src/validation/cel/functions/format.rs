//! `format`: texts made of values, as `'%s of %d'.format([a, b])`.
//!
//! What a clause takes is known before any value is: the checker asks with the types of the
//! arguments, the evaluation with their values.

use super::{Fault, Key, Outcome, Val, shown, times};
use crate::validation::field::quoted;

/// More digits than these nobody reads; and what writes numbers has a limit of its own.
const PRECISION_MAX: usize = 1000;
/// As many digits after the point where nobody says how many.
const PRECISION: usize = 6;

/// How an argument is to be written.
#[derive(Clone, Copy)]
pub(in crate::validation::cel) enum Clause {
    Text,
    Decimal,
    Fixed(usize),
    Scientific(usize),
    Binary,
    Hex { upper: bool },
    Octal,
}

impl Clause {
    /// Whether values of the type of this name can be written so; why not.
    pub fn accepts(self, kind: &str) -> Result<(), String> {
        match self.takes().1.contains(&kind) {
            true => Ok(()),
            false => Err(self.refuses(kind)),
        }
    }

    /// What is said of other types, and the types that can be written so.
    fn takes(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Clause::Text => (
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
                &[
                    "string",
                    "bool",
                    "bytes",
                    "int",
                    "uint",
                    "double",
                    "map",
                    "list",
                    "type",
                    "null_type",
                    "google.protobuf.Duration",
                    "google.protobuf.Timestamp",
                ],
            ),
            Clause::Decimal => (
                "decimal clause can only be used on integers",
                &["int", "uint"],
            ),
            Clause::Fixed(_) => (
                "fixed-point clause can only be used on doubles",
                &["double", "string"],
            ),
            Clause::Scientific(_) => (
                "scientific clause can only be used on doubles",
                &["double", "string"],
            ),
            Clause::Binary => (
                "only integers and bools can be formatted as binary",
                &["int", "uint", "bool"],
            ),
            Clause::Hex { .. } => (
                "only integers, byte buffers, and strings can be formatted as hex",
                &["int", "uint", "string", "bytes"],
            ),
            Clause::Octal => (
                "octal clause can only be used on integers",
                &["int", "uint"],
            ),
        }
    }

    fn refuses(self, kind: &str) -> String {
        let words = self.takes().0;
        format!("error during formatting: {words}, was given {kind}")
    }

    fn write(self, value: &Val) -> Result<String, String> {
        self.accepts(value.type_name())?;
        Ok(match (self, value) {
            (Clause::Text, _) => text(value)?,
            (Clause::Binary, Val::Bool(flag)) => u8::from(*flag).to_string(),
            (Clause::Hex { upper }, Val::String(_) | Val::Bytes(_)) => {
                let bytes = match value {
                    Val::Bytes(bytes) => bytes.as_slice(),
                    Val::String(text) => text.as_bytes(),
                    _ => &[],
                };
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                if upper { digits.to_uppercase() } else { digits }
            }
            (_, Val::Int(number)) => {
                let sign = if *number < 0 { "-" } else { "" };
                format!("{sign}{}", self.digits(number.unsigned_abs()))
            }
            (_, Val::Uint(number)) => self.digits(*number),
            (_, Val::Double(number)) => self.broken(*number),
            // These words only stand for numbers.
            (_, Val::String(word)) => match word.as_str() {
                "NaN" => self.broken(f64::NAN),
                "Infinity" => self.broken(f64::INFINITY),
                "-Infinity" => self.broken(f64::NEG_INFINITY),
                _ => return Err(self.refuses("string")),
            },
            _ => return Err(self.refuses(value.type_name())),
        })
    }

    fn digits(self, number: u64) -> String {
        match self {
            Clause::Binary => format!("{number:b}"),
            Clause::Octal => format!("{number:o}"),
            Clause::Hex { upper: true } => format!("{number:X}"),
            Clause::Hex { upper: false } => format!("{number:x}"),
            _ => number.to_string(),
        }
    }

    /// A number as it is written in English.
    fn broken(self, number: f64) -> String {
        let sign = if number < 0.0 { "-" } else { "" };
        let size = number.abs();
        let plain = match self {
            _ if number.is_nan() => "NaN".to_owned(),
            _ if number.is_infinite() => "∞".to_owned(),
            Clause::Scientific(_) => {
                let digits = format!("{size:.PRECISION$e}");
                let (digits, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
                format!("{digits}×10{}", superscript(exponent))
            }
            Clause::Fixed(precision) => {
                let digits = format!("{size:.precision$}");
                let (whole, broken) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
                grouped(whole) + broken
            }
            _ => size.to_string(),
        };
        let written = format!("{sign}{plain}");
        match self {
            Clause::Scientific(width) => format!("{written:>width$}"),
            _ => written,
        }
    }
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn superscript(exponent: &str) -> String {
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ("⁻", digits),
        None => ("", exponent),
    };
    let raised = |digit: char| match digit.to_digit(10) {
        Some(1) => '¹',
        Some(2) => '²',
        Some(3) => '³',
        Some(digit) => char::from_u32(0x2070 + digit).unwrap_or('⁰'),
        None => digit,
    };
    let padded = format!("{digits:0>2}");
    format!("{sign}{}", padded.chars().map(raised).collect::<String>())
}

/// A value as `%s` writes it.
fn text(value: &Val) -> Result<String, String> {
    match value {
        Val::Null => Ok("null".into()),
        Val::List(list) => {
            let items: Result<Vec<_>, _> = list.items.iter().map(nested).collect();
            Ok(format!("[{}]", items?.join(", ")))
        }
        Val::Map(map) => {
            let mut entries = Vec::with_capacity(map.len());
            for (key, value) in map.iter() {
                let key = match key {
                    Key::String(text) => quoted(text),
                    other => shown(&other.value()),
                };
                entries.push((key, nested(value)?));
            }
            entries.sort();
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(key, value)| format!("{key}:{value}"))
                .collect();
            Ok(format!("{{{}}}", entries.join(", ")))
        }
        _ => times::text(value).ok_or_else(|| {
            format!(
                "error during formatting: could not convert argument of type {} to string",
                value.type_name()
            )
        }),
    }
}

/// A value within a list or map: as it would be written in an expression.
fn nested(value: &Val) -> Result<String, String> {
    let plain = || text(value);
    Ok(match value {
        Val::String(text) => quoted(text),
        Val::Bytes(_) => format!("b{}", quoted(&plain()?)),
        Val::Timestamp(_) => format!("timestamp({})", quoted(&plain()?)),
        Val::Duration(_) => format!("duration({})", quoted(&plain()?)),
        Val::Double(number) if number.is_finite() => format!("{number:.PRECISION$}"),
        Val::Double(_) => quoted(&plain()?),
        Val::Optional(_) | Val::Opaque(_) => {
            let kind = value.type_name();
            return Err(format!(
                "error during formatting: no formatting function for {kind}"
            ));
        }
        _ => plain()?,
    })
}

/// `text` with its clauses replaced by what `write` makes of the arguments at these places, and how
/// many that are.
pub(in crate::validation::cel) fn filled<E: From<String>>(
    text: &str,
    arguments: usize,
    mut write: impl FnMut(Clause, usize) -> Result<String, E>,
) -> Result<(String, usize), E> {
    let mut out = String::new();
    let mut used = 0;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Err("unexpected end of string".to_owned().into());
        }
        if used >= arguments {
            return Err(format!("index {used} out of range").into());
        }
        let (clause, after) =
            clause(rest).map_err(|why| format!("could not parse formatting clause: {why}"))?;
        out.push_str(&write(clause, used)?);
        used += 1;
        rest = after;
    }
    out.push_str(rest);
    Ok((out, used))
}

/// The clause that `text` begins with, and what follows it.
fn clause(text: &str) -> Result<(Clause, &str), String> {
    let wrong = |why: &str| format!("error while parsing precision: {why}");
    let mut rest = text;
    let mut precision = PRECISION;
    if let Some(after) = text.strip_prefix('.') {
        let end = after
            .find(|letter: char| !letter.is_ascii_digit())
            .ok_or_else(|| wrong("could not find end of precision specifier"))?;
        let (digits, after) = after.split_at(end);
        precision = digits.parse().map_err(|_| {
            let why = format!("error while converting precision to integer: strconv.Atoi: parsing {}: invalid syntax", quoted(digits));
            wrong(&why)
        })?;
        if precision > PRECISION_MAX {
            return Err(wrong(&format!("{precision} is more than {PRECISION_MAX}")));
        }
        rest = after;
    }
    let mut letters = rest.chars();
    let clause = match letters.next() {
        Some('s') => Clause::Text,
        Some('d') => Clause::Decimal,
        Some('f') => Clause::Fixed(precision),
        Some('e') => Clause::Scientific(precision),
        Some('b') => Clause::Binary,
        Some('x') => Clause::Hex { upper: false },
        Some('X') => Clause::Hex { upper: true },
        Some('o') => Clause::Octal,
        other => {
            let letter = other.map(String::from).unwrap_or_default();
            return Err(format!(
                "unrecognized formatting clause {}",
                quoted(&letter)
            ));
        }
    };
    Ok((clause, letters.as_str()))
}

pub(super) fn format(text: &str, arguments: &[Val]) -> Outcome {
    let write = |clause: Clause, at: usize| match arguments.get(at) {
        Some(value) => clause.write(value),
        None => Err(format!("index {at} out of range")),
    };
    match filled(text, arguments.len(), write) {
        Ok((text, _)) => Ok(Val::text(text)),
        Err(why) => Err(Fault::Error(why)),
    }
}

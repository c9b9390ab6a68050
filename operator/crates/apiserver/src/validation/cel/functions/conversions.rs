//! From one type to another, as the functions of the types' names do it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};

use super::{Fault, Outcome, Val, overflow, times};
use crate::validation::formats;

/// The value as text in a message.
pub(in crate::validation::cel) fn shown(value: &Val) -> String {
    match convert("string", value) {
        Ok(Val::String(text)) => text.as_ref().clone(),
        _ => value.type_name().to_owned(),
    }
}

/// From here on, doubles are no integers.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// The value converted as by the function `to`.
pub(in crate::validation::cel) fn convert(to: &str, value: &Val) -> Outcome {
    let made = match (to, value) {
        ("bool", Val::Bool(_))
        | ("bytes", Val::Bytes(_))
        | ("double", Val::Double(_))
        | ("duration", Val::Duration(_))
        | ("int", Val::Int(_))
        | ("string", Val::String(_))
        | ("timestamp", Val::Timestamp(_))
        | ("uint", Val::Uint(_)) => Some(value.clone()),
        ("bool", Val::String(text)) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Val::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Val::Bool(false)),
            _ => None,
        },
        ("bytes", Val::String(text)) => Some(Val::Bytes(Arc::new(text.as_bytes().to_vec()))),
        ("double", Val::Int(number)) => Some(Val::Double(*number as f64)),
        ("double", Val::Uint(number)) => Some(Val::Double(*number as f64)),
        // A number that is too large is none; only words mean infinity.
        ("double", Val::String(text)) => text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() || !text.contains(|c: char| c.is_ascii_digit()))
            .map(Val::Double),
        ("int", Val::Uint(number)) => {
            Some(Val::Int(i64::try_from(*number).map_err(|_| overflow())?))
        }
        ("int", Val::Double(number)) if number.abs() < TWO_TO_63 => Some(Val::Int(*number as i64)),
        ("int", Val::Double(_)) => return Err(overflow()),
        ("int", Val::String(text)) => text.parse().ok().map(Val::Int),
        ("int", Val::Timestamp(time)) => Some(Val::Int(time.timestamp())),
        ("int", Val::Duration(duration)) => duration.num_nanoseconds().map(Val::Int),
        ("uint", Val::Int(number)) => Some(Val::Uint(
            u64::try_from(*number).map_err(|_| Fault::error("unsigned integer overflow"))?,
        )),
        ("uint", Val::Double(number)) if (0.0..2.0 * TWO_TO_63).contains(number) => {
            Some(Val::Uint(*number as u64))
        }
        ("uint", Val::Double(_)) => return Err(Fault::error("unsigned integer overflow")),
        ("uint", Val::String(text)) if !text.starts_with('+') => text.parse().ok().map(Val::Uint),
        ("duration", Val::String(text)) => {
            formats::duration_nanos(text).map(|nanos| Val::Duration(TimeDelta::nanoseconds(nanos)))
        }
        ("timestamp", Val::Int(seconds)) => {
            let time = DateTime::from_timestamp(*seconds, 0);
            let time = time.map(|time| time.fixed_offset());
            return times::bounded(time);
        }
        ("timestamp", Val::String(text)) => match times::parse(text) {
            None => None,
            time => return times::bounded(time),
        },
        ("string", _) => times::text(value).map(Val::text),
        _ => None,
    };
    made.ok_or_else(|| {
        let from = value.type_name();
        if !matches!(
            (to, from),
            (_, "string") | ("string", "bytes") | ("duration", "int")
        ) {
            return Fault::no_overload();
        }
        let to = match to {
            "duration" => "google.protobuf.Duration",
            "timestamp" => "google.protobuf.Timestamp",
            other => other,
        };
        Fault::error(format!("type conversion error from '{from}' to '{to}'"))
    })
}

//! Points in time and durations, and the text of values.

use chrono::{DateTime, Datelike as _, FixedOffset, TimeDelta, Timelike as _};

use super::{Fault, Outcome, Val};
use crate::validation::field::float;

/// The seconds since 1970 that the first and last years with four digits have.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A point in time, if it is between the years 1 and 9999.
pub(super) fn bounded(time: Option<DateTime<FixedOffset>>) -> Outcome {
    time.filter(|time| SECONDS.contains(&time.timestamp()))
        .map(Val::Timestamp)
        .ok_or_else(|| Fault::error("timestamp overflow"))
}

/// A point in time as RFC 3339 has it: with capital letters, and without leap seconds.
pub(super) fn parse(text: &str) -> Option<DateTime<FixedOffset>> {
    let strict = text.get(10..11) == Some("T") && text.get(17..19) != Some("60");
    let time = DateTime::parse_from_rfc3339(text).ok();
    time.filter(|_| strict && !text.ends_with('z'))
}

pub(super) fn arithmetic(name: &str, a: &Val, b: &Val) -> Outcome {
    let spans = |span: Option<TimeDelta>| {
        span.filter(|span| span.num_nanoseconds().is_some())
            .map(Val::Duration)
            .ok_or_else(super::overflow)
    };
    match (name, a, b) {
        ("_+_", Val::Timestamp(time), Val::Duration(span))
        | ("_+_", Val::Duration(span), Val::Timestamp(time)) => {
            bounded(time.checked_add_signed(*span))
        }
        ("_-_", Val::Timestamp(time), Val::Duration(span)) => {
            bounded(time.checked_sub_signed(*span))
        }
        ("_-_", Val::Timestamp(a), Val::Timestamp(b)) => spans(Some(a.signed_duration_since(b))),
        ("_+_", Val::Duration(a), Val::Duration(b)) => spans(a.checked_add(b)),
        ("_-_", Val::Duration(a), Val::Duration(b)) => spans(a.checked_sub(b)),
        _ => Err(Fault::no_overload()),
    }
}

/// A part of the date or time of day, in UTC or in `zone` (`+02:00`, `Europe/Berlin`).
pub(super) fn part(name: &str, time: &DateTime<FixedOffset>, zone: Option<&str>) -> Outcome {
    let time = match zone {
        None => time.with_timezone(&chrono::Utc).fixed_offset(),
        Some(zone) => {
            let offset = TimeDelta::seconds(offset(zone, time)?);
            // The clock in the zone, read as if it were in UTC.
            let moved = time.with_timezone(&chrono::Utc).fixed_offset();
            let moved = moved.checked_add_signed(offset);
            moved.ok_or_else(|| Fault::error("timestamp overflow"))?
        }
    };
    let part = match name {
        "getFullYear" => i64::from(time.year()),
        "getMonth" => i64::from(time.month0()),
        "getDayOfYear" => i64::from(time.ordinal0()),
        "getDayOfMonth" => i64::from(time.day0()),
        "getDate" => i64::from(time.day()),
        "getDayOfWeek" => i64::from(time.weekday().num_days_from_sunday()),
        "getHours" => i64::from(time.hour()),
        "getMinutes" => i64::from(time.minute()),
        "getSeconds" => i64::from(time.second()),
        "getMilliseconds" => i64::from(time.timestamp_subsec_millis()),
        _ => return Err(Fault::no_overload()),
    };
    Ok(Val::Int(part))
}

/// How many seconds east of UTC clocks of `zone` are at `time`.
fn offset(zone: &str, time: &DateTime<FixedOffset>) -> Result<i64, Fault> {
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| Fault::error(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
    };
    if let Some((hours, minutes)) = zone.split_once(':') {
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let minutes = if zone.starts_with('-') {
            -minutes
        } else {
            minutes
        };
        let seconds = hours
            .checked_mul(60)
            .and_then(|hours| hours.checked_add(minutes));
        // More than a year is no time zone.
        return seconds
            .filter(|minutes| minutes.abs() < 525_600)
            .map(|minutes| minutes * 60)
            .ok_or_else(|| Fault::error(format!("unknown time zone {zone}")));
    }
    let found = match zone {
        "" | "Local" => jiff::tz::TimeZone::UTC,
        _ => jiff::tz::TimeZone::get(zone)
            .ok()
            // Names are as they are written.
            .filter(|found| found.iana_name() == Some(zone))
            .ok_or_else(|| Fault::error(format!("unknown time zone {zone}")))?,
    };
    let seconds = time.timestamp().clamp(
        jiff::Timestamp::MIN.as_second(),
        jiff::Timestamp::MAX.as_second(),
    );
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    Ok(i64::from(found.to_offset(at).seconds()))
}

/// A duration as a whole in hours, minutes, seconds; or the milliseconds of its last second.
pub(super) fn total(name: &str, span: TimeDelta) -> Outcome {
    Ok(Val::Int(match name {
        "getHours" => span.num_hours(),
        "getMinutes" => span.num_minutes(),
        "getSeconds" => span.num_seconds(),
        "getMilliseconds" => span.num_milliseconds(),
        _ => return Err(Fault::no_overload()),
    }))
}

/// The text of a value, as `string` makes it.
pub(super) fn text(value: &Val) -> Option<String> {
    Some(match value {
        Val::Bool(flag) => flag.to_string(),
        Val::Int(number) => number.to_string(),
        Val::Uint(number) => number.to_string(),
        Val::Double(number) => number_text(*number),
        Val::String(text) => text.as_ref().clone(),
        Val::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?,
        Val::Timestamp(time) => stamp(time),
        Val::Duration(span) => {
            let seconds = span.num_seconds() as f64 + f64::from(span.subsec_nanos()) / 1e9;
            format!("{seconds}s")
        }
        Val::Type(name) => name.as_ref().clone(),
        _ => return None,
    })
}

/// With as many digits of a second as it has.
pub(super) fn stamp(time: &DateTime<FixedOffset>) -> String {
    let text = time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (digits, zone) = fraction.split_at(fraction.len().min(9));
    match digits.trim_end_matches('0') {
        "" => format!("{whole}{zone}"),
        digits => format!("{whole}.{digits}{zone}"),
    }
}

/// As Go's `%g`.
fn number_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf" } else { "-Inf" }.into()
    } else {
        float(number)
    }
}

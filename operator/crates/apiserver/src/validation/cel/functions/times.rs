//! Points in time and durations, and the text of values.

use chrono::{DateTime, Datelike as _, FixedOffset, TimeDelta, Timelike as _};

use super::{Fault, Outcome, Val};

pub(super) fn arithmetic(name: &str, a: &Val, b: &Val) -> Outcome {
    let times = |time: Option<DateTime<FixedOffset>>| {
        time.map(Val::Timestamp)
            .ok_or_else(|| Fault::error("timestamp overflow"))
    };
    let spans = |span: Option<TimeDelta>| {
        span.filter(|span| span.num_nanoseconds().is_some())
            .map(Val::Duration)
            .ok_or_else(|| Fault::error("duration overflow"))
    };
    match (name, a, b) {
        ("_+_", Val::Timestamp(time), Val::Duration(span))
        | ("_+_", Val::Duration(span), Val::Timestamp(time)) => {
            times(time.checked_add_signed(*span))
        }
        ("_-_", Val::Timestamp(time), Val::Duration(span)) => times(time.checked_sub_signed(*span)),
        ("_-_", Val::Timestamp(a), Val::Timestamp(b)) => spans(Some(a.signed_duration_since(b))),
        ("_+_", Val::Duration(a), Val::Duration(b)) => spans(a.checked_add(b)),
        ("_-_", Val::Duration(a), Val::Duration(b)) => spans(a.checked_sub(b)),
        _ => Err(Fault::NoOverload),
    }
}

/// A part of the date or time of day, in UTC or in `zone` (`+02:00`, `Europe/Berlin`).
pub(super) fn part(name: &str, time: &DateTime<FixedOffset>, zone: Option<&str>) -> Outcome {
    let offset = match zone {
        None => Some(0),
        Some(zone) => offset(zone, time),
    };
    let zone_fault = || Fault::error(format!("unknown time zone {}", zone.unwrap_or_default()));
    let offset = offset
        .and_then(FixedOffset::east_opt)
        .ok_or_else(zone_fault)?;
    let time = time.with_timezone(&offset);
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
        _ => return Err(Fault::NoOverload),
    };
    Ok(Val::Int(part))
}

/// How many seconds east of UTC clocks of `zone` are at `time`.
fn offset(zone: &str, time: &DateTime<FixedOffset>) -> Option<i32> {
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    if let Some((hours, minutes)) = rest.split_once(':') {
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        return hours
            .checked_mul(60)?
            .checked_add(minutes)?
            .checked_mul(60 * sign);
    }
    let zone = jiff::tz::TimeZone::get(zone).ok()?;
    let at = jiff::Timestamp::from_second(time.timestamp()).ok()?;
    Some(zone.to_offset(at).seconds())
}

/// A duration as a whole in hours, minutes, seconds; or the milliseconds of its last second.
pub(super) fn total(name: &str, span: TimeDelta) -> Outcome {
    Ok(Val::Int(match name {
        "getHours" => span.num_hours(),
        "getMinutes" => span.num_minutes(),
        "getSeconds" => span.num_seconds(),
        "getMilliseconds" => span.num_milliseconds(),
        _ => return Err(Fault::NoOverload),
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
        Val::Timestamp(time) => time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        Val::Duration(span) => {
            let seconds = span.num_nanoseconds()? as f64 / 1e9;
            format!("{seconds}s")
        }
        Val::Type(name) => name.as_ref().clone(),
        _ => return None,
    })
}

/// As C's `%g` with as many digits as needed.
fn number_text(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf" } else { "-Inf" }.into()
    } else if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        format!("{digits}e{sign}{exponent:0>2}")
    } else {
        format!("{number}")
    }
}

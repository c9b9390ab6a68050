//! Durations as kubectl prints them.

use jiff::Timestamp;
use serde_json::Value;

/// Two or three significant figures of a duration: `5s`, `3m20s`, `47h`, `6d4h`, `2y30d`.
/// Clocks may disagree by two seconds; beyond that the future is `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |(big, big_unit): (i64, char), (small, small_unit): (i64, char)| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    let (minutes, hours, days, years) = (
        seconds / MINUTE,
        seconds / HOUR,
        seconds / DAY,
        seconds / YEAR,
    );
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if minutes < 10 => two((minutes, 'm'), (seconds % MINUTE, 's')),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two((hours, 'h'), (minutes % 60, 'm')),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two((days, 'd'), (hours % 24, 'h')),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two((years, 'y'), (days % 365, 'd')),
        _ => format!("{years}y"),
    }
}

/// The age of a timestamp; `<unknown>` where there is none.
pub(super) fn since(timestamp: &Value, now: Timestamp) -> Value {
    let Some(text) = timestamp.as_str().filter(|text| !text.is_empty()) else {
        return "<unknown>".into();
    };
    match text.parse::<Timestamp>() {
        Ok(then) => human_duration(now.as_second() - then.as_second()).into(),
        Err(_) => "<invalid>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_kubectl() {
        let (minute, hour, day) = (60, 3600, 86400);
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (3 * minute + 20, "3m20s"),
            (10 * minute + 1, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (7 * hour + 5 * minute, "7h5m"),
            (8 * hour + 5 * minute, "8h"),
            (47 * hour, "47h"),
            (48 * hour, "2d"),
            (6 * day + 4 * hour, "6d4h"),
            (8 * day + hour, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (760 * day, "2y30d"),
            (8 * 365 * day, "8y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }
}

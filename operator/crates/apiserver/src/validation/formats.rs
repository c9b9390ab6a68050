//! The string and number formats that schemas may name; unknown ones are ignored, as upstream.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

/// Whether `text` has the format. Dashes in names do not matter (`date-time`, `datetime`).
pub(crate) fn matches(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "datetime" => text.parse::<jiff::Timestamp>().is_ok() && text.contains(['T', 't', ' ']),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => duration_nanos(text).is_some(),
        "byte" => super::unmarshal::base64(text).is_some(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "uri" => is_uri(text),
        "hostname" => is_hostname(text),
        "email" => text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && is_hostname(host)),
        other => patterns()
            .iter()
            .find(|(name, _)| *name == other)
            .is_none_or(|(_, pattern)| pattern.is_match(text)),
    }
}

/// Whether a number is within the bounds of its format.
pub(super) fn in_range(format: &str, value: f64) -> bool {
    match format {
        "int32" => (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value),
        "int64" => (-9.223_372_036_854_776e18..=9.223_372_036_854_776e18).contains(&value),
        "float" => value.abs() <= f64::from(f32::MAX),
        _ => true,
    }
}

/// A duration in Go's notation (`1h30m`, `-1.5s`), in nanoseconds.
pub(super) fn duration_nanos(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|digits| *digits > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    let fits = !text.trim_start_matches(['-', '+']).is_empty() && total < 9.2e18;
    fits.then_some(if negative {
        -total as i64
    } else {
        total as i64
    })
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let max = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

/// As Go's `ParseRequestURI`: an absolute URI or an absolute path.
fn is_uri(text: &str) -> bool {
    text.starts_with('/')
        || text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
                && !rest.is_empty()
                && text.parse::<http::Uri>().is_ok()
        })
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

fn patterns() -> &'static [(&'static str, Regex)] {
    const SOURCES: &[(&str, &str)] = &[
        ("bsonobjectid", "^[0-9a-fA-F]{24}$"),
        (
            "mac",
            "^([0-9a-fA-F]{2}[:-]){5}([0-9a-fA-F]{2})$|^([0-9a-fA-F]{4}\\.){2}[0-9a-fA-F]{4}$",
        ),
        (
            "uuid",
            "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
        ),
        (
            "uuid3",
            "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
        ),
        (
            "uuid4",
            "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
        ),
        (
            "uuid5",
            "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
        ),
        ("isbn", "^(97[89])?[- 0-9]{9,16}[0-9X]$"),
        ("isbn10", "^[- 0-9]{9,12}[0-9X]$"),
        ("isbn13", "^97[89][- 0-9]{9,13}[0-9]$"),
        ("creditcard", "^[- 0-9]{13,23}$"),
        ("ssn", "^\\d{3}[- ]?\\d{2}[- ]?\\d{4}$"),
        ("hexcolor", "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
        (
            "rgbcolor",
            "^rgb\\(\\s*\\d{1,3}\\s*,\\s*\\d{1,3}\\s*,\\s*\\d{1,3}\\s*\\)$",
        ),
    ];
    // The tests prove that every source compiles.
    static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        SOURCES
            .iter()
            .filter_map(|(name, source)| Some((*name, Regex::new(source).ok()?)))
            .collect()
    });
    &COMPILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse() {
        assert_eq!(patterns().len(), 13);
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "date-time",
                &[
                    "2026-01-02T03:04:05Z",
                    "2026-01-02T03:04:05.123456Z",
                    "2026-01-02T03:04:05+02:00",
                ],
                &["", "2026-01-02", "now"],
            ),
            (
                "date",
                &["2026-01-02"],
                &["2026-13-02", "2026-01-02T00:00:00Z"],
            ),
            (
                "duration",
                &["1h30m", "-1.5s", "0", "10ms"],
                &["", "5", "1 day", "s", "-"],
            ),
            ("byte", &["", "aGk="], &["a", "!!!!"]),
            ("ipv4", &["10.0.0.1"], &["10.0.0", "::1"]),
            ("ipv6", &["::1"], &["10.0.0.1"]),
            (
                "cidr",
                &["10.0.0.0/8", "fd00::/64"],
                &["10.0.0.0", "10.0.0.0/33", "x/8"],
            ),
            ("uri", &["https://a.b/c?d", "/path"], &["", "a b", "nope"]),
            ("hostname", &["a.b-c.example"], &["-a", "a..b", ""]),
            ("email", &["a@b.c"], &["a", "@b"]),
            ("uuid", &["6ba7b810-9dad-11d1-80b4-00c04fd430c8"], &["6ba7"]),
            ("mac", &["00:11:22:33:44:55"], &["00:11"]),
            ("hexcolor", &["#fff"], &["#ff"]),
            ("something-else", &["anything"], &[]),
        ];
        for (format, good, bad) in cases {
            for text in *good {
                assert!(matches(format, text), "{format} should accept {text:?}");
            }
            for text in *bad {
                assert!(!matches(format, text), "{format} should refuse {text:?}");
            }
        }
    }

    #[test]
    fn integers_have_bounds() {
        assert!(in_range("int32", 2_147_483_647.0) && !in_range("int32", 2_147_483_648.0));
        assert!(in_range("int64", 9.0e18) && !in_range("int64", 1.0e19));
        assert!(in_range("whatever", 1.0e300));
    }
}

//! The string and number formats that schemas may name; unknown ones are ignored, as upstream.

use std::net::IpAddr;
use std::sync::OnceLock;

use regex::Regex;

use crate::schema::Kind;

/// Whether `text` has the format. Dashes in names do not matter (`date-time`, `datetime`).
pub(crate) fn matches(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "datetime" => is_date_time(text),
        "date" => is_date(text),
        "duration" => is_duration(text),
        "byte" => {
            let plain = !text.is_empty() && !text.contains(['\r', '\n']);
            plain && super::unmarshal::base64(text).is_some()
        }
        "ipv4" => text.contains('.') && sloppy_ip(text).is_some(),
        "ipv6" => text.contains(':') && sloppy_ip(text).is_some(),
        "cidr" => is_cidr(text),
        "uri" => super::url::request_uri(text).is_ok(),
        "hostname" => {
            text.len() <= 255
                && text.split('.').all(|label| label.len() <= 63)
                && pattern("hostname", text)
        }
        "email" => is_email(text),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => text.len() == 11 && pattern("ssn", text),
        "k8sshortname" => text.len() <= 63 && pattern("k8sshortname", text),
        "k8slongname" => text.len() <= 253 && pattern("k8slongname", text),
        other => pattern(other, text),
    }
}

/// Whether a schema of this type knows the format; it is ignored where it does not.
pub(crate) fn is_known(format: &str, kind: Option<Kind>) -> bool {
    const TEXTS: &[&str] = &[
        "datetime",
        "date",
        "duration",
        "ipv4",
        "ipv6",
        "cidr",
        "uri",
        "email",
        "isbn",
        "isbn10",
        "isbn13",
        "creditcard",
        "password",
        "byte",
    ];
    match kind {
        None | Some(Kind::String) => {
            let name = format.replace('-', "");
            // With its dashes only, unlike the others.
            let own = !name.starts_with("k8s") || format.matches('-').count() == 2;
            own && (TEXTS.contains(&name.as_str())
                || PATTERNS.iter().any(|(known, _)| *known == name))
        }
        Some(Kind::Integer) => matches!(format, "int32" | "int64"),
        Some(Kind::Number) => matches!(format, "float" | "double"),
        Some(_) => false,
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
    if rest.is_empty() {
        return None;
    }
    let in_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !in_number(c))?);
        let (unit, after) = after.split_at(after.find(in_number).unwrap_or(after.len()));
        rest = after;
        let unit: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(parts(number, unit)?)?;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// So many of a unit, whose broken part is rounded down.
fn parts(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = match whole {
        "" => 0,
        digits => digits.parse::<u64>().ok()?.into(),
    };
    // More digits than these do not count.
    let digits = &fraction[..fraction.len().min(18)];
    let scale = 10_i128.pow(u32::try_from(digits.len()).ok()?);
    let broken = digits.parse::<i128>().unwrap_or_default() * i128::from(unit) / scale;
    Some(whole * i128::from(unit) + broken)
}

/// Besides Go's durations, numbers with words: `2 weeks`, `1d 3 hours`. What is between is ignored.
fn is_duration(text: &str) -> bool {
    const EXACT: &[&str] = &["ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"];
    const STARTS: &[&str] = &[
        "nano", "micro", "milli", "sec", "min", "hour", "day", "week",
    ];
    let known = |unit: &str| {
        let unit = unit.to_lowercase();
        EXACT.contains(&unit.as_str()) || STARTS.iter().any(|start| unit.starts_with(start))
    };
    let parts = || {
        let spelled = compiled(" amount")?;
        Some(spelled.captures_iter(text))
    };
    duration_nanos(text).is_some()
        || parts().is_some_and(|parts| parts.into_iter().any(|part| known(&part[1])))
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    match (parts.next(), parts.next()) {
        (Some(date), Some(time)) => is_date(date) && pattern(" time", time),
        _ => false,
    }
}

/// An address whose decimal parts may have leading zeros.
fn sloppy_ip(text: &str) -> Option<IpAddr> {
    let plain = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        digits => digits.to_owned(),
    };
    let (head, tail) = text
        .rfind(':')
        .map_or(("", text), |at| text.split_at(at + 1));
    if !tail.contains('.') {
        return text.parse().ok();
    }
    let parts: Vec<_> = tail.split('.').map(plain).collect();
    format!("{head}{}", parts.join(".")).parse().ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let max = match sloppy_ip(address) {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return false,
    };
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    digits && bits.parse::<u32>().is_ok_and(|bits| bits <= max)
}

/// An address as in a mail's header: `a@b`, or with a name before it, `A <a@b>`.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(named) => match named.rsplit_once('<') {
            Some((_, address)) => address,
            None => return false,
        },
        None => text,
    };
    let Some((user, host)) = address.rsplit_once('@') else {
        return false;
    };
    let quoted = user.len() > 2 && user.starts_with('"') && user.ends_with('"');
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<IpAddr>().is_ok());
    (quoted || pattern(" atoms", user)) && (literal || pattern(" atoms", host))
}

fn digits_of(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '-')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = digits_of(text);
    let value = |(at, c): (usize, char)| match c {
        'X' if at == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<_>> = digits.chars().enumerate().map(value).collect();
    values.is_some_and(|values| {
        let weighted = (1..).zip(&values).map(|(weight, value)| weight * value);
        values.len() == 10 && weighted.sum::<u32>() % 11 == 0
    })
}

fn is_isbn13(text: &str) -> bool {
    let values: Option<Vec<_>> = digits_of(text).chars().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let weighted = [1, 3]
            .iter()
            .cycle()
            .zip(&values)
            .map(|(weight, value)| weight * value);
        values.len() == 13 && weighted.sum::<u32>() % 10 == 0
    })
}

/// The number of a card, whatever stands between its digits: a known issuer, and Luhn's sum.
fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let double = |(at, digit): (usize, u32)| match at % 2 {
        0 => digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    };
    let values = digits.chars().rev().filter_map(|c| c.to_digit(10));
    pattern("creditcard", &digits) && values.enumerate().map(double).sum::<u32>() % 10 == 0
}

/// Formats that are one regular expression; the tests prove that each compiles.
const PATTERNS: &[(&str, &str)] = &[
    ("bsonobjectid", "^[0-9a-fA-F]{24}$"),
    (
        "mac",
        r"(?i)^([0-9a-f]{2}(:[0-9a-f]{2}){5}((:[0-9a-f]{2}){2}|(:[0-9a-f]{2}){14})?|[0-9a-f]{2}(-[0-9a-f]{2}){5}((-[0-9a-f]{2}){2}|(-[0-9a-f]{2}){14})?|[0-9a-f]{4}(\.[0-9a-f]{4}){2}((\.[0-9a-f]{4})|(\.[0-9a-f]{4}){7})?)$",
    ),
    // One label that may have a dash after its first character only, or several.
    (
        "hostname",
        r"^([0-9\p{S}\p{L}](-?[0-9\p{S}\p{L}]{0,62})?|([0-9\p{S}\p{L}]([-0-9\p{S}\p{L}]{0,61}[0-9\p{S}\p{L}])?\.)+\p{L}{2,63})$",
    ),
    ("k8sshortname", "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
    (
        "k8slongname",
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
    // Parts of formats, whose names nobody can write.
    (
        " time",
        "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$",
    ),
    (" unprintable", r"[^\p{L}\p{M}\p{N}\p{P}\p{S} ]"),
    (" amount", r"[0-9]+\s*([A-Za-zµ]+)"),
    (
        " atoms",
        r"^[^\s()<>\[\]:;@\\,.\x22]+(\.[^\s()<>\[\]:;@\\,.\x22]+)*$",
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
    (
        "creditcard",
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$",
    ),
    ("ssn", "^\\d{3}[- ]?\\d{2}[- ]?\\d{4}$"),
    ("hexcolor", "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    (
        "rgbcolor",
        r"^rgb\((\s*(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])\s*(,|\)$)){3}",
    ),
];

/// Where a text first has a character that cannot be printed, as any space but the plain one.
pub(crate) fn unprintable(text: &str) -> Option<usize> {
    Some(compiled(" unprintable")?.find(text)?.start())
}

/// Unknown formats are ignored.
fn pattern(name: &str, text: &str) -> bool {
    compiled(name).is_none_or(|pattern| pattern.is_match(text))
}

/// Each is compiled when it is first asked for: `hostname` alone takes megabytes.
fn compiled(name: &str) -> Option<&'static Regex> {
    static COMPILED: [OnceLock<Option<Regex>>; PATTERNS.len()] =
        [const { OnceLock::new() }; PATTERNS.len()];
    let at = PATTERNS.iter().position(|(known, _)| *known == name)?;
    COMPILED[at]
        .get_or_init(|| Regex::new(PATTERNS[at].1).ok())
        .as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        for (text, nanos) in [
            ("4.35s", 4_350_000_000),
            ("-1h1.5m", -3_690_000_000_000),
            ("9007199254740993ns", 9_007_199_254_740_993),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("0.9ns", 0),
            (".5us1.ms", 1_000_500),
        ] {
            assert_eq!(duration_nanos(text), Some(nanos), "{text}");
        }
        for text in [
            "9223372036854775808ns",
            "2562048h",
            ".s",
            "1.2.3s",
            "1",
            "-",
            "+-1s",
        ] {
            assert_eq!(duration_nanos(text), None, "{text}");
        }
    }

    #[test]
    fn formats_accept_and_refuse() {
        for (name, source) in PATTERNS {
            assert!(Regex::new(source).is_ok(), "{name}");
        }
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "date-time",
                &[
                    "2026-01-02T03:04:05Z",
                    "2026-01-02T03:04:05.123456Z",
                    "2026-01-02T03:04:05+02:00",
                ],
                &[
                    "",
                    "2026-01-02",
                    "now",
                    "2026-01-02 03:04:05Z",
                    "2026-01-02T03:04:60Z",
                ],
            ),
            (
                "date",
                &["2026-01-02"],
                &["2026-13-02", "2026-01-02T00:00:00Z"],
            ),
            (
                "duration",
                &["1h30m", "-1.5s", "0", "10ms", "1 day", "2 weeks", "1h 2m"],
                &["", "5", "s", "-", "1 fortnight"],
            ),
            ("byte", &["aGk="], &["", "a", "!!!!", "aG\nk="]),
            ("ipv4", &["10.0.0.1", "010.0.0.1"], &["10.0.0", "::1"]),
            ("ipv6", &["::1"], &["10.0.0.1"]),
            (
                "cidr",
                &["10.0.0.0/8", "fd00::/64"],
                &["10.0.0.0", "10.0.0.0/33", "x/8"],
            ),
            (
                "uri",
                &["https://a.b/c?d", "/path", "urn:a:b", "*"],
                &["", "a b", "nope", "http://a/%zz", "http://a:b/"],
            ),
            (
                "hostname",
                &["a.b-c.example", "a"],
                &["-a", "a..b", "", "a.b"],
            ),
            (
                "email",
                &["a@b.c", "A <a@b>", "a@[::1]"],
                &["a", "@b", "a b@c"],
            ),
            (
                "isbn",
                &["0321751043", "978-3-16-148410-0"],
                &["0321751044"],
            ),
            (
                "creditcard",
                &["4111-1111-1111-1111"],
                &["4111111111111112"],
            ),
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
}

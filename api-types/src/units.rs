//! Kubernetes quantities in the units of Swarm: nano-CPUs and bytes.
//!
//! Guarantees: exact integer arithmetic, rounded up to a whole unit as Kubernetes does; a value that
//! does not fit is an error, never a wrong number.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A Kubernetes quantity as the user wrote it: `500m`, `1.5`, `256Mi`, `1e3`, or a plain number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

/// Why a text is no quantity that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form number and suffix.
    #[error(
        "{0:?} is not a quantity: write a number with at most one of the suffixes n, u, m, k, M, G, T, P, E, Ki, Mi, \
         Gi, Ti, Pi, Ei, or an exponent, for example 500m, 1.5, 256Mi"
    )]
    Malformed(String),
    /// Larger than the numbers that it is counted in.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

impl Quantity {
    /// CPU in billionths of a core, rounded up.
    ///
    /// # Errors
    /// When the text is malformed or the value does not fit.
    pub fn nano_cpus(&self) -> Result<i64, QuantityError> {
        self.narrow(self.nanos()?)
    }

    /// Memory in bytes, rounded up.
    ///
    /// # Errors
    /// When the text is malformed or the value does not fit.
    pub fn bytes(&self) -> Result<i64, QuantityError> {
        self.narrow(scaled(&self.0, 0)?)
    }

    /// The amount in billionths of whatever it is, rounded up.
    ///
    /// # Errors
    /// When the text is malformed or the value does not fit.
    pub fn nanos(&self) -> Result<i128, QuantityError> {
        scaled(&self.0, 9)
    }

    fn narrow(&self, value: i128) -> Result<i64, QuantityError> {
        i64::try_from(value).map_err(|_| QuantityError::TooLarge(self.0.clone()))
    }

    /// The shortest text for an amount of CPU: `4`, or `1500m`, or `1n`.
    #[must_use]
    pub fn from_nano_cpus(nano: i64) -> Self {
        Self(match nano {
            n if n % 1_000_000_000 == 0 => (n / 1_000_000_000).to_string(),
            n if n % 1_000_000 == 0 => format!("{}m", n / 1_000_000),
            n => format!("{n}n"),
        })
    }

    /// The shortest exact text for an amount of memory: `2Gi`, `512Mi`, `8036872Ki`, or plain bytes.
    #[must_use]
    pub fn from_bytes(bytes: i64) -> Self {
        let exact = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)]
            .iter()
            .find_map(|(suffix, shift)| {
                let unit = 1_i64 << shift;
                (bytes != 0 && bytes % unit == 0).then(|| format!("{}{suffix}", bytes / unit))
            });
        Self(exact.unwrap_or_else(|| bytes.to_string()))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(de::Error::custom(format!(
                "expected a quantity such as 500m or 256Mi, found {other}"
            ))),
        }
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 64})
    }
}

/// `text` times ten to the power of `scale`, rounded up to an integer.
fn scaled(text: &str, scale: i32) -> Result<i128, QuantityError> {
    let malformed = || QuantityError::Malformed(text.to_owned());
    let number_end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (negative, digits) = match number.as_bytes().first() {
        Some(b'-') => (true, &number[1..]),
        Some(b'+') => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !only_digits(whole) || !only_digits(fraction) {
        return Err(malformed());
    }
    let (exponent, shift) = multiplier(suffix).ok_or_else(malformed)?;
    let too_large = || QuantityError::TooLarge(text.to_owned());
    let fraction = fraction.trim_end_matches('0');
    // More digits than i128 holds are far outside of every unit that we have.
    let mantissa = format!("{whole}{fraction}");
    let mantissa = mantissa.trim_start_matches('0');
    let mantissa: i128 = if mantissa.is_empty() {
        0
    } else {
        mantissa.parse().map_err(|_| too_large())?
    };
    let mantissa = mantissa.checked_mul(1 << shift).ok_or_else(too_large)?;
    let power = exponent + scale - i32::try_from(fraction.len()).map_err(|_| too_large())?;
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    let value = match factor {
        Some(factor) if power >= 0 => mantissa.checked_mul(factor).ok_or_else(too_large)?,
        Some(factor) => mantissa / factor + i128::from(mantissa % factor != 0),
        None if mantissa == 0 => 0,
        None if power >= 0 => return Err(too_large()),
        None => 1,
    };
    Ok(if negative { -value } else { value })
}

/// What a suffix multiplies by: ten to the first, times two to the second.
fn multiplier(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => return exponent(suffix.strip_prefix(['e', 'E'])?).map(|e| (e, 0)),
    })
}

fn exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plausible =
        !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    plausible.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity(text.to_owned())
    }

    #[test]
    fn cpu_in_nano_cpus() {
        for (text, nano) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("1.5", 1_500_000_000),
            (".5", 500_000_000),
            ("2.", 2_000_000_000),
            ("+1", 1_000_000_000),
            ("-1", -1_000_000_000),
            ("250m", 250_000_000),
            ("0.1m", 100_000),
            ("1u", 1_000),
            ("1n", 1),
            ("0.1n", 1),
            ("1e3", 1_000_000_000_000),
            ("1E-3", 1_000_000),
            ("15e-1", 1_500_000_000),
            ("0.0000000001", 1),
            ("1.10", 1_100_000_000),
        ] {
            assert_eq!(quantity(text).nano_cpus(), Ok(nano), "{text}");
        }
    }

    #[test]
    fn memory_in_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("1k", 1_000),
            ("1Ki", 1_024),
            ("256Mi", 268_435_456),
            ("1.5Gi", 1_610_612_736),
            ("500M", 500_000_000),
            ("1e9", 1_000_000_000),
            ("128974848000m", 128_974_848),
            ("1m", 1),
            ("7Ei", 8_070_450_532_247_928_832),
            ("9223372036854775807", i64::MAX),
            ("0e400", 0),
        ] {
            assert_eq!(quantity(text).bytes(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn malformed() {
        for text in [
            "", "m", "Mi", ".", "+", "--1", "1.2.3", "1 Mi", "64MB", "1K", "1mi", "1e", "1e+",
            "1e1.5", "0x10", "１",
        ] {
            assert_eq!(
                quantity(text).bytes(),
                Err(QuantityError::Malformed(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn too_large() {
        let long = "9".repeat(60);
        for text in ["8Ei", "9223372036854775808", "1e30", "1e999", long.as_str()] {
            assert_eq!(
                quantity(text).bytes(),
                Err(QuantityError::TooLarge(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn amounts_as_text_read_back() {
        for (nano, text) in [
            (4_000_000_000, "4"),
            (1_500_000_000, "1500m"),
            (1, "1n"),
            (0, "0"),
        ] {
            assert_eq!(Quantity::from_nano_cpus(nano), quantity(text));
            assert_eq!(quantity(text).nano_cpus(), Ok(nano));
        }
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (2 << 30, "2Gi"),
            (8_229_756_928, "8036872Ki"),
            (512 << 20, "512Mi"),
        ] {
            assert_eq!(Quantity::from_bytes(bytes), quantity(text));
            assert_eq!(quantity(text).bytes(), Ok(bytes));
        }
    }

    #[test]
    fn numbers_and_texts_are_read() {
        assert_eq!(
            serde_json::from_str::<Quantity>("2").unwrap(),
            quantity("2")
        );
        assert_eq!(
            serde_json::from_str::<Quantity>(r#""2Gi""#).unwrap(),
            quantity("2Gi")
        );
        assert!(serde_json::from_str::<Quantity>("true").is_err());
    }
}

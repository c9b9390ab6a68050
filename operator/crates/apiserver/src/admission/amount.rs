//! Amounts, counted and written as Kubernetes does.

use std::fmt;
use std::ops::{Add, Mul, Sub};

use api_types::units::{Quantity, QuantityError};
use serde_json::Value;

/// Billionths of one.
const ONE: i128 = 1_000_000_000;
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// An exact number, and whether it is written in powers of two. Compared by the number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amount {
    nanos: i128,
    binary: bool,
}

impl Amount {
    /// So many objects.
    pub(crate) fn count(number: i128) -> Self {
        Self {
            nanos: number.saturating_mul(ONE),
            binary: false,
        }
    }

    /// What a quantity says; quantities may be JSON numbers, too.
    ///
    /// # Errors
    /// It is none, or larger than can be counted.
    pub(crate) fn read(value: &Value) -> Result<Self, QuantityError> {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Self::of(&Quantity(text))
    }

    /// The same of a quantity of ours.
    ///
    /// # Errors
    /// As [`Amount::read`].
    pub(crate) fn of(quantity: &Quantity) -> Result<Self, QuantityError> {
        Ok(Self {
            nanos: quantity.nanos()?,
            binary: quantity.0.ends_with('i'),
        })
    }

    /// Is it a whole number?
    pub(crate) fn is_whole(self) -> bool {
        self.nanos % ONE == 0
    }

    /// The number, if it is whole and not too large.
    pub(crate) fn whole(self) -> Option<i64> {
        let whole = self.is_whole().then_some(self.nanos / ONE)?;
        i64::try_from(whole).ok()
    }

    /// As a number that is good enough to be shown.
    #[expect(clippy::cast_precision_loss, reason = "it is only shown")]
    pub(crate) fn approximately(self) -> f64 {
        self.nanos as f64 / ONE as f64
    }

    fn with(self, other: Self, nanos: i128) -> Self {
        let binary = if self.nanos == 0 {
            other.binary
        } else {
            self.binary
        };
        Self { nanos, binary }
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(other, self.nanos.saturating_add(other.nanos))
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(other, self.nanos.saturating_sub(other.nanos))
    }
}

impl Mul<i128> for Amount {
    type Output = Self;

    fn mul(self, factor: i128) -> Self {
        Self {
            nanos: self.nanos.saturating_mul(factor),
            ..self
        }
    }
}

/// The canonical form: the largest suffix that leaves a whole number. Small and broken numbers are
/// decimal, however they were written.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.nanos / ONE;
        let binary = self.binary && self.is_whole() && whole.abs() >= 1024;
        let (mut number, base, suffixes) = match binary {
            true => (whole, 1024, &BINARY[..]),
            false => (self.nanos, 1000, &DECIMAL[..]),
        };
        if number == 0 {
            return f.write_str("0");
        }
        let mut suffixes = suffixes.iter();
        let mut suffix = suffixes.next();
        while number % base == 0
            && let Some(larger) = suffixes.next()
        {
            number /= base;
            suffix = Some(larger);
        }
        write!(f, "{number}{}", suffix.unwrap_or(&""))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::read(&json!(text)).unwrap()
    }

    #[test]
    fn canonical_forms() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("0.0000000001", "1n"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("0.1Mi", "104857600m"),
            ("500M", "500M"),
            ("1e3", "1k"),
            ("-2000m", "-2"),
            ("9E", "9E"),
            ("16Ei", "16Ei"),
        ] {
            assert_eq!(amount(text).to_string(), canonical, "{text}");
            assert_eq!(amount(canonical), amount(text), "{text}");
        }
        assert_eq!(Amount::read(&json!(0.5)).unwrap().to_string(), "500m");
        assert_eq!(Amount::count(1500).to_string(), "1500");
        assert!(Amount::read(&json!(true)).is_err());
        assert!(Amount::read(&json!("1e99")).is_err());
    }

    #[test]
    fn sums_are_exact_and_keep_their_form() {
        let zero = Amount::default();
        for (sum, expected) in [
            (zero + amount("64Mi") * 3, "192Mi"),
            (amount("1Gi") + amount("24M"), "1097741824"),
            (amount("250m") * 4, "1"),
            (amount("0.1") + amount("0.2"), "300m"),
            (amount("64Mi") - amount("64Mi"), "0"),
            (amount("100m") - amount("1"), "-900m"),
        ] {
            assert_eq!(sum.to_string(), expected);
        }
        assert!(amount("1Gi") > amount("1G") && amount("1") == amount("1000m"));
    }
}

//! Hashes that identify what was decided. They are stored in labels and rows, so their input
//! is canonical: JSON with sorted keys, as `BTreeMap`s and struct order give it.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Characters of a hash inside a name: 40 bits, and names are checked for equality of owner as well.
const SHORT: usize = 10;
/// Characters of a hash that decides whether something changed.
const LONG: usize = 32;

/// Hash of any value by its JSON.
pub(crate) fn hash_of(value: &impl Serialize) -> String {
    // Our own types always serialise; a failure would only make two of them compare equal.
    let text = serde_json::to_string(value).unwrap_or_default();
    hex(&text, LONG)
}

/// Short hash of a text, for names.
pub(crate) fn short_hash(text: &str) -> String {
    hex(text, SHORT)
}

/// A uid from a text that is unique by itself (a UUID of version 8: the bits are ours to choose).
pub(crate) fn uuid_of(text: &str) -> String {
    let digits = hex(text, 32);
    let (a, b, c, d) = (
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
    );
    format!("{a}-{b}-8{c}-8{d}-{}", &digits[20..])
}

/// A number from a text, below 2^53 so that every JSON reader keeps it exactly.
pub(crate) fn number_of(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
        >> 11
}

fn hex(text: &str, characters: usize) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(characters / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

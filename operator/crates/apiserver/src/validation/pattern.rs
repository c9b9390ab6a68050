//! Regular expressions as Go reads them, which is what Kubernetes' patterns are written for.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

/// A compiled pattern may take this much memory; Go has no such limit, Rust's default is the same.
const SIZE: usize = 10 * (1 << 20);

/// Compiles a pattern.
///
/// # Errors
/// What is no pattern in either language, in Go's words where they are known.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let counts = pattern
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'));
    let most = |bounds: &str| {
        let numbers = bounds
            .split(',')
            .map(|number| number.parse::<u32>().unwrap_or_default());
        numbers.max().unwrap_or_default()
    };
    if let Some((bounds, _)) = counts.into_iter().find(|(bounds, _)| most(bounds) > 1000) {
        return Err(format!(
            "error parsing regexp: invalid repeat count: `{{{bounds}}}`"
        ));
    }
    let mut builder = RegexBuilder::new(&translate(pattern));
    builder.size_limit(SIZE).build().map_err(|error| {
        // The last line of the message says what is wrong.
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        format!(
            "error parsing regexp: {}",
            last.trim_start_matches("error: ")
        )
    })
}

/// The pattern in Rust's words: classes of ASCII only, braces that repeat nothing and brackets inside
/// of classes stand for themselves, and `\Q...\E` quotes.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    let mut class = false;
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => escaped(&mut rest, class, &mut out),
            '[' if !class => {
                class = true;
                out.push('[');
                // A bracket at the beginning of a class does not end it.
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if rest.peek() == Some(&':') => out.push('['),
            ']' if class && out.ends_with(':') && rest.peek().is_some() => out.push(']'),
            ']' if class => {
                class = false;
                out.push(']');
            }
            '[' | '&' | '~' if class => out.extend(['\\', letter]),
            '{' if !class && !repeats(rest.clone()) => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    out
}

fn escaped(rest: &mut Peekable<Chars<'_>>, class: bool, out: &mut String) {
    let Some(letter) = rest.next() else {
        out.push('\\');
        return;
    };
    let (plain, inside) = match letter {
        'd' => ("[0-9]", "0-9"),
        'D' => ("[^0-9]", "[^0-9]"),
        's' => ("[\\t\\n\\f\\r ]", "\\t\\n\\f\\r\\x20"),
        'S' => ("[^\\t\\n\\f\\r ]", "[^\\t\\n\\f\\r ]"),
        'w' => ("[0-9A-Za-z_]", "0-9A-Za-z_"),
        'W' => ("[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        'b' => ("(?-u:\\b)", "\\b"),
        'Q' => {
            let quoted: String = rest.collect();
            let (quoted, after) = quoted.split_once("\\E").unwrap_or((&quoted, ""));
            out.push_str(&regex::escape(quoted));
            out.push_str(&translate(after));
            return;
        }
        other => {
            out.extend(['\\', other]);
            return;
        }
    };
    out.push_str(if class { inside } else { plain });
}

/// Whether what follows a brace is a number of repetitions: `2}`, `2,}`, `2,3}`.
fn repeats(rest: Peekable<Chars<'_>>) -> bool {
    let inner: String = rest.take_while(|letter| *letter != '}').take(16).collect();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match inner.split_once(',') {
        Some((least, most)) => number(least) && (most.is_empty() || number(most)),
        None => number(&inner),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        let matching = [
            (r"^{a}$", "{a}"),
            (r"^a{,2}$", "a{,2}"),
            (r"^a{2}b{1,}c{1,2}$", "aabc"),
            (r"^\Qa.b\E+$", "a.bb"),
            (r"^[\w.-]+$", "a_1.-"),
            (r"^[[:alpha:]]+$", "abc"),
            (r"^[a[b]+$", "a[b"),
            (r"^[]a]+$", "]a"),
            (r"^[^]a]$", "b"),
            (r"^[&&~]+$", "&~"),
            (r"^\$\{x\}\/$", "${x}/"),
            (r"^\pL\d$", "ä1"),
            (r"\bfoo\b", "a foo b"),
        ];
        for (pattern, text) in matching {
            assert!(compile(pattern).unwrap().is_match(text), "{pattern}");
        }
        for (pattern, text) in [
            (r"^\w$", "é"),
            (r"^\d$", "٣"),
            (r"^[\s]$", "\u{a0}"),
            (r"^[^\D]$", "a"),
        ] {
            assert!(!compile(pattern).unwrap().is_match(text), "{pattern}");
        }
        for pattern in ["[", "(?=a)", "a)", "*", r"\8", "a{1001}"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}

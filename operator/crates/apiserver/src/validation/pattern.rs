//! Regular expressions as Go reads them, which is what Kubernetes' patterns are written for.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};

/// A compiled pattern may take this much memory; Go has no such limit, Rust's default is the same.
const SIZE: usize = 10 * (1 << 20);

/// The compiled patterns that somebody holds.
static KNOWN: LazyLock<Mutex<HashMap<String, Weak<Regex>>>> = LazyLock::new(Mutex::default);

/// A compiled pattern, for as long as it is held. Definitions repeat a few patterns (of names, mostly) in
/// every place, and each of them takes up to `SIZE`: equal ones are one.
///
/// # Errors
/// As [`compile`].
pub(crate) fn shared(pattern: &str) -> Result<Arc<Regex>, String> {
    if let Some(known) = KNOWN.lock().get(pattern).and_then(Weak::upgrade) {
        return Ok(known);
    }
    let compiled = Arc::new(compile(pattern)?);
    let mut known = KNOWN.lock();
    known.retain(|_, held| held.strong_count() > 0);
    known.insert(pattern.to_owned(), Arc::downgrade(&compiled));
    Ok(compiled)
}

/// Compiles a pattern.
///
/// # Errors
/// What is no pattern in either language, in Go's words where they are known.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let wrong = |why: String| format!("error parsing regexp: {why}");
    let mut builder = RegexBuilder::new(&translate(pattern).map_err(wrong)?);
    builder.size_limit(SIZE).build().map_err(|error| {
        // The last line of the message says what is wrong.
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        wrong(match last.trim_start_matches("error: ") {
            "unclosed group" => format!("missing closing ): `{pattern}`"),
            "unopened group" => format!("unexpected ): `{pattern}`"),
            other => other.to_owned(),
        })
    })
}

/// What stands before an operator of repetition.
enum Before {
    Nothing,
    Something,
    /// What is repeated already, by this, and whether as few times as possible.
    Repeated(String, bool),
}

/// The pattern in Rust's words: classes of ASCII only, braces that repeat nothing and brackets inside
/// of classes stand for themselves, and `\Q...\E` quotes.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    let mut before = Before::Nothing;
    while let Some(letter) = rest.next() {
        if letter == '?'
            && let Before::Repeated(_, few @ false) = &mut before
        {
            *few = true;
            out.push('?');
            continue;
        }
        if matches!(letter, '*' | '+' | '?') || letter == '{' && repeats(rest.clone()) {
            let operator = match letter {
                '{' => bounds(&mut rest)?,
                _ => letter.to_string(),
            };
            out.push_str(&operator);
            before = match before {
                Before::Something => Before::Repeated(operator, false),
                Before::Nothing => {
                    return Err(format!(
                        "missing argument to repetition operator: `{operator}`"
                    ));
                }
                Before::Repeated(first, few) => {
                    let few = if few { "?" } else { "" };
                    return Err(format!(
                        "invalid nested repetition operator: `{first}{few}{operator}`"
                    ));
                }
            };
            continue;
        }
        before = Before::Something;
        match letter {
            '\\' => escaped(&mut rest, false, &mut out)?,
            '[' => class(&mut rest, &mut out)?,
            '(' => {
                before = Before::Nothing;
                out.push('(');
                if rest.next_if_eq(&'?').is_some() {
                    group(&mut rest, &mut out)?;
                }
            }
            '|' => {
                before = Before::Nothing;
                out.push('|');
            }
            '{' => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// A repetition with bounds, after its brace.
fn bounds(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let bounds: String = rest.take_while(|letter| *letter != '}').collect();
    let (least, most) = bounds.split_once(',').unwrap_or((&bounds, &bounds));
    let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
    let least = number(least);
    let most = if most.is_empty() { least } else { number(most) };
    match least > most || most > 1000 {
        true => Err(format!("invalid repeat count: `{{{bounds}}}`")),
        false => Ok(format!("{{{bounds}}}")),
    }
}

/// As much of what follows as tells what it is.
fn ahead(rest: &Peekable<Chars<'_>>) -> String {
    rest.clone().take(32).collect()
}

/// What kind of group it is, after its question mark: a name or flags.
fn group(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let ahead = ahead(rest);
    if ahead.starts_with("P<") || ahead.starts_with('<') {
        let name = ahead.trim_start_matches('P').trim_start_matches('<');
        if name.starts_with(['=', '!']) {
            let end = ahead.find(')').map_or(ahead.len(), |at| at + 1);
            return Err(format!("invalid named capture: `(?{}`", &ahead[..end]));
        }
        out.push('?');
        return Ok(());
    }
    let flags = ahead
        .find(|letter| !"imsU-".contains(letter))
        .unwrap_or(ahead.len());
    match ahead[flags..].chars().next() {
        Some(':' | ')') => {
            out.push('?');
            Ok(())
        }
        other => {
            let wrong = other.map(String::from).unwrap_or_default();
            let shown = format!("(?{}{wrong}", &ahead[..flags]);
            Err(format!("invalid or unsupported Perl syntax: `{shown}`"))
        }
    }
}

/// A class, after its opening bracket.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let whole = rest.clone();
    let unclosed = || {
        format!(
            "missing closing ]: `[{}`",
            whole.clone().collect::<String>()
        )
    };
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    // A bracket at the beginning of a class does not end it.
    if rest.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    loop {
        match rest.next().ok_or_else(unclosed)? {
            ']' => {
                out.push(']');
                return Ok(());
            }
            '\\' => escaped(rest, true, out)?,
            '[' if rest.peek() == Some(&':') => {
                let ahead = ahead(rest);
                match ahead.find(":]") {
                    Some(end) if end > 0 => {
                        let name = ahead[1..end].trim_start_matches('^');
                        if !CLASSES.contains(&name) {
                            let shown = &ahead[..end + 2];
                            return Err(format!("invalid character class range: `[{shown}`"));
                        }
                        out.push('[');
                        out.extend(rest.by_ref().take(end + 2));
                    }
                    _ => out.push_str("\\["),
                }
            }
            '-' if rest.peek() == Some(&'-') => out.push_str("\\-"),
            letter @ ('[' | '&' | '~') => out.extend(['\\', letter]),
            other => out.push(other),
        }
    }
}

const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

fn escaped(rest: &mut Peekable<Chars<'_>>, class: bool, out: &mut String) -> Result<(), String> {
    let letter = rest
        .next()
        .ok_or("trailing backslash at end of expression: ``")?;
    let (plain, inside) = match letter {
        'd' => ("[0-9]", "0-9"),
        'D' => ("[^0-9]", "[^0-9]"),
        's' => ("[\\t\\n\\f\\r ]", "\\t\\n\\f\\r\\x20"),
        'S' => ("[^\\t\\n\\f\\r ]", "[^\\t\\n\\f\\r ]"),
        'w' => ("[0-9A-Za-z_]", "0-9A-Za-z_"),
        'W' => ("[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        'b' if !class => ("(?-u:\\b)", ""),
        'Q' if !class => {
            let mut quoted = String::new();
            while let Some(letter) = rest.next() {
                if letter == '\\' && rest.next_if_eq(&'E').is_some() {
                    break;
                }
                quoted.push(letter);
            }
            out.push_str(&regex::escape(&quoted));
            return Ok(());
        }
        'p' | 'P' => return property(letter, rest, out),
        'x' => {
            out.push_str("\\x");
            if rest.peek() == Some(&'{') {
                out.extend(rest.by_ref().take_while(|letter| *letter != '}'));
                out.push('}');
            }
            return Ok(());
        }
        '0'..='7'
            if letter == '0' || rest.peek().is_some_and(|next| ('0'..='7').contains(next)) =>
        {
            let mut code = letter.to_digit(8).unwrap_or_default();
            for _ in 0..2 {
                let next = rest.next_if(|next| ('0'..='7').contains(next));
                code = next
                    .and_then(|next| next.to_digit(8))
                    .map_or(code, |digit| code * 8 + digit);
            }
            out.push_str(&format!("\\x{{{code:x}}}"));
            return Ok(());
        }
        // In Rust, these are the edges of words.
        '<' | '>' => {
            out.push(letter);
            return Ok(());
        }
        'a' | 'f' | 't' | 'n' | 'r' | 'v' => {
            out.extend(['\\', letter]);
            return Ok(());
        }
        'A' | 'B' | 'z' if !class => {
            out.extend(['\\', letter]);
            return Ok(());
        }
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => {
            out.extend(['\\', other]);
            return Ok(());
        }
        other => return Err(format!("invalid escape sequence: `\\{other}`")),
    };
    out.push_str(if class { inside } else { plain });
    Ok(())
}

/// A class of Unicode, whose name may be negated.
fn property(letter: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let name: String = match rest.next_if_eq(&'{') {
        Some(_) => rest.by_ref().take_while(|letter| *letter != '}').collect(),
        None => rest.next().into_iter().collect(),
    };
    let (negated, plain) = match name.strip_prefix('^') {
        Some(plain) => (letter == 'p', plain),
        None => (letter == 'P', name.as_str()),
    };
    let found = format!("\\{}{{{plain}}}", if negated { 'P' } else { 'p' });
    if plain.contains('=') || Regex::new(&found).is_err() {
        return Err(format!(
            "invalid character class range: `\\{letter}{{{name}}}`"
        ));
    }
    out.push_str(&found);
    Ok(())
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
    fn equal_patterns_are_one_while_they_are_held() {
        let one = shared("^equal$").unwrap();
        assert!(Arc::ptr_eq(&one, &shared("^equal$").unwrap()));
        assert!(!Arc::ptr_eq(&one, &shared("^other$").unwrap()));
        drop(one);
        shared("^third$").unwrap();
        assert!(!KNOWN.lock().contains_key("^equal$"));
        assert!(shared("[").is_err());
    }

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
            (r"^\p{Greek}\P{L}[\x{1F600}-\x{1F64F}]$", "α1😀"),
            (r"\bfoo\b", "a foo b"),
            (r"^\<\>\101\07\p{^L}$", "<>A\u{7}1"),
            (r"^(?P<n>a)(?<m>b)(?i:C)(?s-i).+?$", "abc\n"),
            ("^[a[:^digit:]-]{1,2}?$", "-b"),
            (r"\Qa\E*\z", "aa"),
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
        for (pattern, why) in [
            ("[a-", "missing closing ]: `[a-`"),
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?ix)a", "invalid or unsupported Perl syntax: `(?ix`"),
            ("(?<!a)b", "invalid named capture: `(?<!a)`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a|+", "missing argument to repetition operator: `+`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}?+", "invalid nested repetition operator: `{2}?+`"),
            (r"\8", r"invalid escape sequence: `\8`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\u0041", r"invalid escape sequence: `\u`"),
            (r"[\b]", r"invalid escape sequence: `\b`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ] {
            let refused = compile(pattern).unwrap_err();
            assert_eq!(refused, format!("error parsing regexp: {why}"));
        }
    }
}

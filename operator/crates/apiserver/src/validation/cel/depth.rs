//! How deep an expression is nested, told before it is parsed: the parser and all that follows descend
//! as deep as the expression does, and a stack has an end.

use std::iter::Peekable;
use std::str::CharIndices;

/// As long as Kubernetes takes expressions, in characters.
const LENGTH_MAX: usize = 100_000;

/// A chain of operators, fields and calls (`a.b.c`, `1 + 2 + 3`) is nested as deep as it is long;
/// this is Kubernetes' limit.
const CHAIN_MAX: usize = 249;

/// A condition (`a ? b : c`) takes as much of a stack as so many links of a chain.
const CONDITION: usize = 6;

/// So many brackets stand within each other at most.
const BRACKETS_MAX: usize = 24;

/// What brackets within chains may come to together.
const TOTAL_MAX: usize = 400;

/// What is wrong with an expression that is too long or too deep.
pub(super) fn problem(expression: &str) -> Option<String> {
    let size = expression.chars().count();
    if size > LENGTH_MAX {
        return Some(format!(
            "expression code point size exceeds limit: size: {size}, limit {LENGTH_MAX}"
        ));
    }
    too_deep(expression).then(|| "max recursion depth exceeded".to_owned())
}

fn too_deep(expression: &str) -> bool {
    // The length of the chain on each level of brackets.
    let mut chains = vec![0_usize];
    let mut total = 0_usize;
    let mut before = ' ';
    let mut word = String::new();
    let mut rest = expression.char_indices().peekable();
    while let Some((_, letter)) = rest.next() {
        let mut longer = 0;
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
        } else {
            longer += usize::from(word == "in");
            let raw = matches!(word.as_str(), "r" | "R" | "br" | "bR" | "rb" | "Rb");
            word.clear();
            match letter {
                '\'' | '"' => skip_text(&mut rest, letter, raw),
                '/' if rest.next_if(|(_, next)| *next == '/').is_some() => {
                    while rest.next_if(|(_, next)| *next != '\n').is_some() {}
                }
                '?' if matches!(before, '.' | '[') => {}
                '?' => longer += CONDITION,
                '&' | '|' | ',' => {
                    if let Some(chain) = chains.last_mut() {
                        total -= std::mem::take(chain);
                    }
                }
                ')' | ']' | '}' if chains.len() > 1 => total -= chains.pop().unwrap_or(0),
                '[' | '{' => longer += 1,
                '.' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' => {
                    longer += usize::from(letter != '=' || !"=!<>".contains(before));
                }
                _ => {}
            }
        }
        let levels = chains.len();
        if let Some(chain) = chains.last_mut() {
            *chain += longer;
            total += longer;
            if *chain > CHAIN_MAX || total > TOTAL_MAX || levels > BRACKETS_MAX {
                return true;
            }
        }
        if matches!(letter, '(' | '[' | '{') {
            chains.push(0);
        }
        before = letter;
    }
    false
}

/// Skips the rest of a text after its first quote.
fn skip_text(rest: &mut Peekable<CharIndices<'_>>, quote: char, raw: bool) {
    let mut quotes = 1;
    while quotes < 3 && rest.next_if(|(_, next)| *next == quote).is_some() {
        quotes += 1;
    }
    if quotes == 2 {
        return;
    }
    let mut closing = 0;
    while let Some((_, letter)) = rest.next() {
        closing = if letter == quote { closing + 1 } else { 0 };
        if closing == quotes {
            return;
        }
        if letter == '\\' && !raw {
            rest.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_bounded_and_lists_of_conditions_are_not() {
        let of = |start: &str, part: &str, times: usize| format!("{start}{}", part.repeat(times));
        for expression in [
            of("1", " + 1", 249),
            of("a", ".b", 249),
            of("a", ".b()", 249),
            of("true", " && a.b == 'x'", 2000),
            of("[1", ", 2 + 3", 2000) + "]",
            of("!", "!", 200) + "a",
            format!("'{}' == a", ".".repeat(1000)),
            format!(
                "r'\\' + '''{}''' == a // {}",
                "'.".repeat(1000),
                ".".repeat(500)
            ),
        ] {
            assert_eq!(problem(&expression), None, "{expression}");
        }
        for expression in [
            of("1", "+1", 250),
            of("a", ".b", 250),
            of("a", ".?b", 250),
            of("a", "[0]", 250),
            of("a", ".b()", 250),
            of("a", " in b", 250),
            of("", "(1 + 2 + ", 200),
            of("", "[", 25),
            of("true", " ? true : false", 42),
            of("'", "a", LENGTH_MAX),
        ] {
            assert!(problem(&expression).is_some(), "{expression}");
        }
    }
}

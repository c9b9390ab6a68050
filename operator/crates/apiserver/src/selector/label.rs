//! Label selectors: `a=b`, `a!=b`, `a in (x,y)`, `a notin (x)`, `a`, `!a`, `a>1`, `a<1`, all
//! joined by commas.

use std::collections::{BTreeMap, BTreeSet};

/// Longest selector that is read.
const MAX_LENGTH: usize = 64 * 1024;

/// Why a selector does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LabelSelectorError(String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Missing,
    Greater(i64),
    Less(i64),
}

/// A parsed selector; the default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<(String, Test)>,
}

impl LabelSelector {
    /// # Errors
    /// What was found where something else belongs.
    pub(crate) fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        if text.len() > MAX_LENGTH {
            return Err(LabelSelectorError(format!(
                "selector is longer than {MAX_LENGTH} bytes"
            )));
        }
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        let mut requirements = Vec::new();
        while parser.peek().is_some() {
            requirements.push(parser.requirement()?);
            match parser.next() {
                None => break,
                Some(Token::Mark(",")) if parser.peek().is_some() => {}
                other => {
                    return Err(unexpected(
                        other.as_ref(),
                        "',' and another requirement, or the end",
                    ));
                }
            }
        }
        Ok(Self { requirements })
    }

    /// Selects everything?
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Are these labels selected?
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|(key, test)| {
            let value = labels.get(key);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match test {
                Test::In(set) => value.is_some_and(|value| set.contains(value)),
                Test::NotIn(set) => value.is_none_or(|value| !set.contains(value)),
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::Greater(bound) => number().is_some_and(|number| number > *bound),
                Test::Less(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Mark(&'static str),
}

/// Longest first.
const MARKS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"];

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            Some(mark) => {
                tokens.push(Token::Mark(mark));
                mark.len()
            }
            None => {
                let end = rest
                    .find(|c: char| c.is_whitespace() || "=!,()><".contains(c))
                    .unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_owned()));
                end
            }
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

fn unexpected(found: Option<&Token>, expected: &str) -> LabelSelectorError {
    let found = match found {
        None => "the end".to_owned(),
        Some(Token::Word(word)) => format!("'{word}'"),
        Some(Token::Mark(mark)) => format!("'{mark}'"),
    };
    LabelSelectorError(format!("found {found}, expected: {expected}"))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<(String, Test), LabelSelectorError> {
        let missing = self.peek() == Some(&Token::Mark("!"));
        if missing {
            self.next();
        }
        let key = match self.next() {
            Some(Token::Word(word)) => checked_key(word)?,
            other => return Err(unexpected(other.as_ref(), "a label key")),
        };
        if missing {
            return Ok((key, Test::Missing));
        }
        let test = match self.peek().cloned() {
            None | Some(Token::Mark(",")) => return Ok((key, Test::Exists)),
            Some(Token::Mark("=" | "==")) => Test::In(BTreeSet::from([self.operand()?])),
            Some(Token::Mark("!=")) => Test::NotIn(BTreeSet::from([self.operand()?])),
            Some(Token::Mark(">")) => Test::Greater(number(&self.operand()?)?),
            Some(Token::Mark("<")) => Test::Less(number(&self.operand()?)?),
            Some(Token::Word(word)) if word == "in" => Test::In(self.set()?),
            Some(Token::Word(word)) if word == "notin" => Test::NotIn(self.set()?),
            other => return Err(unexpected(other.as_ref(), "in, notin, =, ==, !=, gt, lt")),
        };
        Ok((key, test))
    }

    /// The value after an operator; nothing at all is the empty value.
    fn operand(&mut self) -> Result<String, LabelSelectorError> {
        self.next();
        match self.peek() {
            None | Some(Token::Mark(",")) => Ok(String::new()),
            Some(Token::Word(word)) => {
                let value = checked_value(word.clone())?;
                self.next();
                Ok(value)
            }
            other => Err(unexpected(other, "a label value")),
        }
    }

    fn set(&mut self) -> Result<BTreeSet<String>, LabelSelectorError> {
        self.next();
        match self.next() {
            Some(Token::Mark("(")) => {}
            other => return Err(unexpected(other.as_ref(), "'('")),
        }
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                Some(Token::Word(word)) => {
                    values.insert(checked_value(word)?);
                    match self.next() {
                        Some(Token::Mark(",")) => {}
                        Some(Token::Mark(")")) => return Ok(values),
                        other => return Err(unexpected(other.as_ref(), "',' or ')'")),
                    }
                }
                // An empty place in the set is the empty value.
                Some(Token::Mark(",")) => {
                    values.insert(String::new());
                }
                Some(Token::Mark(")")) => {
                    values.insert(String::new());
                    return Ok(values);
                }
                other => return Err(unexpected(other.as_ref(), "a label value or ')'")),
            }
        }
    }
}

fn number(text: &str) -> Result<i64, LabelSelectorError> {
    let message = || {
        LabelSelectorError(format!(
            "'{text}': for 'Gt', 'Lt' operators, the value must be an integer"
        ))
    };
    text.parse().map_err(|_| message())
}

fn checked_key(key: String) -> Result<String, LabelSelectorError> {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("", &key));
    let prefix_is_good =
        !key.contains('/') || !prefix.is_empty() && prefix.len() <= 253 && !prefix.contains('/');
    if prefix_is_good && !name.is_empty() && is_name(name) {
        return Ok(key);
    }
    Err(LabelSelectorError(format!(
        "'{key}' is not a label key: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' or '.'"
    )))
}

fn checked_value(value: String) -> Result<String, LabelSelectorError> {
    if value.is_empty() || is_name(&value) {
        return Ok(value);
    }
    Err(LabelSelectorError(format!(
        "'{value}' is not a label value: at most 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends"
    )))
}

fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let outer = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63 && text.chars().all(inner) && text.starts_with(outer) && text.ends_with(outer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn matching() {
        let cases = [
            ("", "a=1", true),
            ("a=1", "a=1", true),
            ("a==1", "a=2", false),
            ("a = 1 , b != 2", "a=1", true),
            ("a!=1", "", true),
            ("a!=1", "a=1", false),
            ("a", "a=", true),
            ("a", "b=", false),
            ("!a", "b=", true),
            ("! a", "a=1", false),
            ("a in (1, 2),b", "a=2 b=x", true),
            ("a in (1,2)", "a=3", false),
            ("a in (1,2)", "", false),
            ("a notin (1,2)", "", true),
            ("a notin (1,2)", "a=1", false),
            ("a in ()", "a=", true),
            ("a in (x,)", "a=", true),
            ("a=", "a=", true),
            ("a=,b=1", "a= b=1", true),
            ("a>1", "a=2", true),
            ("a>1", "a=x", false),
            ("a<1", "a=0", true),
            ("x.io/a=1", "x.io/a=1", true),
            ("in in (in)", "in=in", true),
        ];
        for (selector, set, expected) in cases {
            let parsed = LabelSelector::parse(selector).unwrap();
            assert_eq!(
                parsed.matches(&labels(set)),
                expected,
                "{selector} on {set}"
            );
        }
    }

    #[test]
    fn refused() {
        for text in [
            "a b",
            "=1",
            "a in 1",
            "a in (1",
            "a,",
            ",a",
            "a=1,,b",
            "a>x",
            "a=b=c",
            "a=-",
            "/a",
            "!!a",
            "a in (1 2)",
            "a=(",
            "ä=1",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = LabelSelector::parse(&text);
        }
    }
}

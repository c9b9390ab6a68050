//! Label selectors: `a=b`, `a!=b`, `a in (x,y)`, `a notin (x)`, `a`, `!a`, `a>1`, `a<1`, all
//! joined by commas.

use std::collections::{BTreeMap, BTreeSet};

use crate::validation::{FieldError, aggregate, names};

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
        let mut expected = "!, identifier, or 'end of string'";
        while !requirements.is_empty() || parser.peek().is_some() {
            if !matches!(parser.peek(), Some(Token::Word(_) | Token::Mark("!"))) {
                return Err(unexpected(parser.peek(), expected));
            }
            let requirement = parser.requirement();
            requirements.push(requirement.map_err(|LabelSelectorError(message)| {
                LabelSelectorError(format!("unable to parse requirement: {message}"))
            })?);
            match parser.next() {
                None => break,
                Some(Token::Mark(",")) => expected = "identifier after ','",
                other => return Err(unexpected(other.as_ref(), "',' or 'end of string'")),
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

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Mark(mark) => mark,
        }
    }
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
    let found = found.map_or("", Token::text);
    LabelSelectorError(format!("found '{found}', expected: {expected}"))
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
            other => return Err(unexpected(other.as_ref(), "identifier")),
        };
        if missing {
            return Ok((key, Test::Missing));
        }
        let test = match self.peek().map(|token| token.text().to_owned()).as_deref() {
            None | Some(",") => return Ok((key, Test::Exists)),
            Some("=" | "==") => Test::In(self.operand(&key)?),
            Some("!=") => Test::NotIn(self.operand(&key)?),
            Some(">") => Test::Greater(self.number(&key)?),
            Some("<") => Test::Less(self.number(&key)?),
            Some("in") => Test::In(self.set(&key)?),
            Some("notin") => Test::NotIn(self.set(&key)?),
            Some(_) => return Err(unexpected(self.peek(), "in, notin, =, ==, !=, gt, lt")),
        };
        Ok((key, test))
    }

    /// The value after an operator; nothing at all is the empty value.
    fn value(&mut self) -> Result<String, LabelSelectorError> {
        self.next();
        match self.peek().cloned() {
            None | Some(Token::Mark(",")) => Ok(String::new()),
            Some(Token::Word(word)) => {
                self.next();
                Ok(word)
            }
            other => Err(unexpected(other.as_ref(), "identifier")),
        }
    }

    fn operand(&mut self, key: &str) -> Result<BTreeSet<String>, LabelSelectorError> {
        let value = self.value()?;
        checked(key, BTreeSet::from([value]))
    }

    fn number(&mut self, key: &str) -> Result<i64, LabelSelectorError> {
        let value = self.value()?;
        let number = value.parse().map_err(|_| {
            let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
            LabelSelectorError(FieldError::invalid("values[0]", &*value, detail).to_string())
        })?;
        checked(key, BTreeSet::from([value]))?;
        Ok(number)
    }

    fn set(&mut self, key: &str) -> Result<BTreeSet<String>, LabelSelectorError> {
        self.next();
        match self.next() {
            Some(Token::Mark("(")) => {}
            other => {
                let found = other.as_ref().map_or("", Token::text);
                return Err(LabelSelectorError(format!("found '{found}' expected: '('")));
            }
        }
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                Some(Token::Word(word)) => {
                    values.insert(word);
                    match self.next() {
                        Some(Token::Mark(",")) => {}
                        Some(Token::Mark(")")) => return checked(key, values),
                        other => return Err(unexpected(other.as_ref(), "',' or ')'")),
                    }
                }
                // An empty place in the set is the empty value.
                Some(Token::Mark(",")) => {
                    values.insert(String::new());
                }
                Some(Token::Mark(")")) => {
                    values.insert(String::new());
                    return checked(key, values);
                }
                other if values.is_empty() => {
                    return Err(unexpected(other.as_ref(), "',', ')' or identifier"));
                }
                other => return Err(unexpected(other.as_ref(), "',', or identifier")),
            }
        }
    }
}

fn checked_key(key: String) -> Result<String, LabelSelectorError> {
    let errors = names::qualified_name(&key);
    if errors.is_empty() {
        return Ok(key);
    }
    // Whoever reads this was told of no field.
    let problem = FieldError::invalid("<nil>", key, errors.join("; "));
    Err(LabelSelectorError(problem.to_string()))
}

fn checked(key: &str, values: BTreeSet<String>) -> Result<BTreeSet<String>, LabelSelectorError> {
    let problem = |(index, value): (usize, &String)| {
        let errors = names::label_value(value);
        let field = format!("values[{index}][{key}]");
        (!errors.is_empty()).then(|| FieldError::invalid(field, &**value, errors.join("; ")))
    };
    let problems: Vec<_> = values.iter().enumerate().filter_map(problem).collect();
    if problems.is_empty() {
        return Ok(values);
    }
    Err(LabelSelectorError(aggregate(&problems)))
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
        let cases = [
            (
                "=1",
                "found '=', expected: !, identifier, or 'end of string'",
            ),
            (
                ",a",
                "found ',', expected: !, identifier, or 'end of string'",
            ),
            ("a,", "found '', expected: identifier after ','"),
            ("a=1,,b", "found ',', expected: identifier after ','"),
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("a=1 b=2", "found 'b', expected: ',' or 'end of string'"),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                "!!a",
                "unable to parse requirement: found '!', expected: identifier",
            ),
            (
                "a=(",
                "unable to parse requirement: found '(', expected: identifier",
            ),
            (
                "a in 1",
                "unable to parse requirement: found '1' expected: '('",
            ),
            (
                "a in (1",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            (
                "a in (1 2)",
                "unable to parse requirement: found '2', expected: ',' or ')'",
            ),
            (
                "a in ((",
                "unable to parse requirement: found '(', expected: ',', ')' or identifier",
            ),
            (
                "a in (1,(",
                "unable to parse requirement: found '(', expected: ',', or identifier",
            ),
            (
                "/a",
                "unable to parse requirement: <nil>: Invalid value: \"/a\": prefix part must be non-empty",
            ),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            (
                "a=-",
                "unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ),
        ];
        for (text, message) in cases {
            let error = LabelSelector::parse(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
        for text in ["ä=1", "A/b=1", "a=ä", "a in (x,-)"] {
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

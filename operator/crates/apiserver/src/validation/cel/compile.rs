//! From the rules in a schema to programs, and what is wrong with those that are none.

use std::fmt::Write as _;
use std::sync::Arc;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::parser::{ParseErrors, Parser};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Rule;
use super::checker::{self, Refusal, Scope};
use super::{cost, depth};
use crate::schema::Schema;
use crate::validation::field::{FieldError, Reason, html_safe};

/// Why rule number `index` of a node cannot be used; the error's field is the one of the rule.
#[derive(Debug)]
pub(crate) struct Failure {
    pub index: usize,
    pub error: FieldError,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(default)]
    rule: String,
    message: Option<String>,
    message_expression: Option<String>,
    reason: Option<String>,
    field_path: Option<String>,
    optional_old_self: Option<bool>,
}

impl Source {
    /// The whole rule, as Kubernetes shows it.
    fn shown(&self) -> String {
        let text = |text: &Option<String>| json!(text.as_deref().unwrap_or_default());
        html_safe(&format!(
            r#"{{"Rule":{},"Message":{},"MessageExpression":{},"Reason":{},"FieldPath":{},"OptionalOldSelf":{}}}"#,
            json!(self.rule),
            text(&self.message),
            text(&self.message_expression),
            json!(self.reason),
            text(&self.field_path),
            json!(self.optional_old_self),
        ))
    }
}

/// Compiles the rules of one schema node; `root` if that is the schema of whole objects.
pub(crate) fn compile(
    node: &Value,
    schema: &Schema,
    root: bool,
) -> Result<Vec<Arc<Rule>>, Failure> {
    let rules = match node.get("x-kubernetes-validations") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(rules)) => rules,
        Some(other) => {
            let error = FieldError::invalid("rule", other.clone(), "must be a list of rules");
            return Err(Failure { index: 0, error });
        }
    };
    let compile = |(index, source): (usize, &Value)| {
        Source::deserialize(source)
            .map_err(|error| FieldError::invalid("rule", source.clone(), error.to_string()))
            .and_then(|source| compile_rule(source, schema, root))
            .map(Arc::new)
            .map_err(|error| Failure { index, error })
    };
    rules.iter().enumerate().map(compile).collect()
}

/// The same for a node of a definition that was accepted once: a rule that does not compile any more
/// is violated by every value.
pub(crate) fn compile_stored(node: &Value, schema: &Schema, root: bool) -> Vec<Arc<Rule>> {
    let rules = node["x-kubernetes-validations"].as_array();
    let compile = |source: &Value| {
        let source = Source::deserialize(source).unwrap_or_default();
        let compiled = compile_rule(source.clone(), schema, root);
        Arc::new(compiled.unwrap_or_else(|error| broken(source, error)))
    };
    rules.into_iter().flatten().map(compile).collect()
}

fn broken(source: Source, error: FieldError) -> Rule {
    let shown = format!("{}: ", source.shown());
    let why = error.detail.strip_prefix(&shown).unwrap_or(&error.detail);
    tracing::warn!(
        rule = source.rule,
        why,
        "a stored rule is not accepted any more"
    );
    Rule {
        broken: Some(why.to_owned()),
        expression: source.rule,
        program: IdedExpr::default(),
        message: None,
        message_program: None,
        reason: Reason::Invalid,
        field_path: None,
        optional_old_self: false,
        uses_old_self: false,
        costs: (0, 0),
    }
}

fn compile_rule(source: Source, schema: &Schema, root: bool) -> Result<Rule, FieldError> {
    check_texts(&source)?;
    let reason = reason_of(source.reason.as_deref())?;
    let field_path = source
        .field_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .map(|path| {
            let found = field_path(path, schema, true).map(|(path, _)| path);
            found.map_err(|_| FieldError::invalid("fieldPath", path, "must be a valid path"))
        })
        .transpose()?;
    let scope = Scope {
        schema,
        root,
        optional_old: source.optional_old_self == Some(true),
    };
    let refused =
        |field: &str, detail: String| FieldError::invalid_shown(field, &source.shown(), detail);
    let (program, cost) = compile_expression("rule", "bool", &source.rule, scope, &refused)?;
    let messages = source.message_expression.clone();
    let message = messages
        .filter(|text| !text.is_empty())
        .map(|text| {
            compile_expression("messageExpression", "string", &text, scope, &refused)
                .map(|(program, cost)| ((text, program), cost))
        })
        .transpose()?;
    let (message_program, message_cost) = message.unzip();
    let costs = (cost, message_cost.unwrap_or_default());
    let uses_old_self = program.references().has_variable("oldSelf");
    if let (false, Some(optional)) = (uses_old_self, source.optional_old_self) {
        let detail = "may not be set if oldSelf is not used in rule";
        return Err(FieldError::invalid("optionalOldSelf", optional, detail));
    }
    let message = source.message.map(|text| text.trim().to_owned());
    Ok(Rule {
        broken: None,
        expression: source.rule,
        program,
        message: message.filter(|text| !text.is_empty()),
        message_program,
        reason,
        field_path,
        optional_old_self: scope.optional_old,
        uses_old_self,
        costs,
    })
}

fn check_texts(source: &Source) -> Result<(), FieldError> {
    if source.rule.trim().is_empty() {
        return Err(FieldError::required("rule", "rule is not specified"));
    }
    let message = source.message.as_deref().unwrap_or_default();
    if !message.is_empty() && message.trim().is_empty() {
        let detail = "must be non-empty if specified";
        return Err(FieldError::invalid("message", message, detail));
    }
    if message.trim().contains('\n') {
        let detail = "must not contain line breaks";
        return Err(FieldError::invalid("message", message, detail));
    }
    if message.is_empty() && source.rule.trim().contains('\n') {
        let detail = "message must be specified if rule contains line breaks";
        return Err(FieldError::required("message", detail));
    }
    let blank = |text: &String| !text.is_empty() && text.trim().is_empty();
    if source.message_expression.as_ref().is_some_and(blank) {
        let detail = "messageExpression must be non-empty if specified";
        return Err(FieldError::required("messageExpression", detail));
    }
    Ok(())
}

fn reason_of(reason: Option<&str>) -> Result<Reason, FieldError> {
    Ok(match reason {
        None | Some("FieldValueInvalid") => Reason::Invalid,
        Some("FieldValueForbidden") => Reason::Forbidden,
        Some("FieldValueRequired") => Reason::Required,
        Some("FieldValueDuplicate") => Reason::Duplicate,
        Some(other) => {
            let supported = [
                "FieldValueDuplicate",
                "FieldValueForbidden",
                "FieldValueInvalid",
                "FieldValueRequired",
            ];
            return Err(FieldError::not_supported("reason", other, &supported));
        }
    })
}

/// The program of `expression`, which has to yield `expected`, and what it may cost.
fn compile_expression(
    field: &str,
    expected: &str,
    expression: &str,
    scope: Scope<'_>,
    refused: &dyn Fn(&str, String) -> FieldError,
) -> Result<(IdedExpr, u64), FieldError> {
    let (prefix, subject) = match field {
        "rule" => ("", "cel expression"),
        _ => ("messageExpression ", "messageExpression"),
    };
    let failed = |text: String| refused(field, format!("{prefix}compilation failed: {text}"));
    if let Some(problem) = depth::problem(expression) {
        return Err(failed(format!("ERROR: <input>:-1:0: {problem}")));
    }
    let program =
        parse(expression).map_err(|errors| failed(render(expression, parse_issues(errors))))?;
    let types = checker::check(&program, scope).map_err(|refusal| match refusal {
        Refusal::Issues(issues) => failed(render(expression, placed(expression, issues))),
        Refusal::Constant(text) => refused(
            field,
            format!("{prefix}program instantiation failed: {text}"),
        ),
    })?;
    if !types
        .get(&program.id)
        .is_some_and(|found| found.is(expected))
    {
        let kind = if expected == "bool" {
            "a bool"
        } else {
            "a string"
        };
        return Err(refused(field, format!("{subject} must evaluate to {kind}")));
    }
    let cost = cost::estimate(&program, &types, scope.schema);
    Ok((program, cost))
}

/// The parser descends through a dozen calls for each bracket: it gets a stack of its own.
fn parse(expression: &str) -> Result<IdedExpr, ParseErrors> {
    const STACK: usize = 64 << 20;
    let work = || {
        Parser::default()
            .enable_optional_syntax(true)
            .parse(expression)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let parsed = thread.spawn_scoped(scope, work).map(|thread| thread.join());
        match parsed {
            Ok(Ok(parsed)) => parsed,
            _ => Err(ParseErrors { errors: Vec::new() }),
        }
    })
}

/// So many errors of an expression are told, and lines of so many bytes are shown with them.
const TOLD: usize = 100;
const LINE: usize = 16_384;

/// A message with its line and column, both from 1.
type Placed = ((isize, isize), String);

fn parse_issues(errors: ParseErrors) -> (Vec<Placed>, usize) {
    let more = errors.errors.len().saturating_sub(TOLD);
    let told = errors.errors.into_iter().take(TOLD);
    (told.map(|error| (error.pos, error.msg)).collect(), more)
}

/// Issues with their places. The parser tells places with errors only: so it parses the expression
/// as the first item of a list whose second one is an error. Besides, how many are not told.
fn placed(expression: &str, issues: Vec<checker::Issue>) -> (Vec<Placed>, usize) {
    let places = parse(&format!("[{expression}\n, has(0)]"))
        .err()
        .and_then(|errors| errors.errors.into_iter().next()?.source_info);
    let place = |id: u64| {
        // The list has the first number, and its bracket is the first character.
        let (start, _) = places.as_ref()?.offset_for(id + 1)?;
        let before = expression.get(..(start as usize).checked_sub(1)?)?;
        let lines = before.matches('\n').count();
        let column = before
            .chars()
            .rev()
            .take_while(|letter| *letter != '\n')
            .count();
        Some((
            isize::try_from(lines).ok()? + 1,
            isize::try_from(column).ok()? + 1,
        ))
    };
    let more = issues.len().saturating_sub(TOLD);
    let mut placed: Vec<Placed> = issues
        .into_iter()
        .take(TOLD)
        .map(|issue| (place(issue.id).unwrap_or((1, 1)), issue.text))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.dedup();
    (placed, more)
}

fn render(expression: &str, (issues, more): (Vec<Placed>, usize)) -> String {
    let mut text = String::new();
    for ((line, column), message) in issues {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a text cannot fail.
        let _ = write!(text, "ERROR: <input>:{line}:{column}: {message}");
        let line = usize::try_from(line - 1).ok();
        let line = line.and_then(|line| expression.lines().nth(line));
        if let Some(line) = line.filter(|line| line.len() <= LINE) {
            // Letters that are wider than others have wider dots.
            let wide =
                |letter: char, dot: char, wide: char| if letter.is_ascii() { dot } else { wide };
            let before = usize::try_from(column - 1).unwrap_or(0);
            let dots: String = line
                .chars()
                .take(before)
                .map(|letter| wide(letter, '.', '．'))
                .collect();
            let at = line
                .chars()
                .nth(before)
                .map_or('^', |letter| wide(letter, '^', '＾'));
            let line = line.replace('\t', " ");
            let _ = write!(text, "\n | {line}\n | {dots}{at}");
        }
    }
    if more > 0 {
        let _ = write!(text, "\n{more} more errors were truncated");
    }
    text
}

/// A JSON path (`.a.b`, `.m['key']`) as it is appended to the path of the node, and the schema
/// that it leads to.
pub(crate) fn field_path<'s>(
    path: &str,
    schema: &'s Schema,
    brackets: bool,
) -> Result<(String, &'s Schema), String> {
    let mut at = schema;
    let mut rest = path;
    let mut rendered = String::new();
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix('[') {
            if !brackets {
                return Err("array notation is not allowed".to_owned());
            }
            (name, rest) = quoted_name(quoted)?;
        } else {
            let end = |text: &str| text.find(['.', '[', ']']).unwrap_or(text.len());
            let plain = rest
                .strip_prefix('.')
                .ok_or_else(|| format!("expected [ or . but got: {}", &rest[..end(rest)]))?;
            if plain.is_empty() {
                return Err("unexpected end of JSON path".to_owned());
            }
            let (plain, after) = plain.split_at(end(plain));
            (name, rest) = (plain.to_owned(), after);
        }
        let named = at.additional.is_none();
        at = at.field(&name).ok_or("does not refer to a valid field")?;
        rendered.push_str(&if named {
            format!(".{name}")
        } else {
            format!("[{name}]")
        });
    }
    Ok((rendered, at))
}

/// The name between quotes, and what follows the bracket after it.
fn quoted_name(text: &str) -> Result<(String, &str), String> {
    let none = || {
        let found = text.split(']').next().unwrap_or_default();
        format!("expected single quoted string but got {found}")
    };
    let inner = text.strip_prefix('\'').ok_or_else(none)?;
    let mut name = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let after = letters.as_str().strip_prefix(']');
                let after = after.ok_or("expected ] after the single quoted string")?;
                return Ok((name, after));
            }
            '\\' => name.push(match letters.next() {
                Some('a') => '\u{7}',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                Some(letter @ ('\'' | '\\')) => letter,
                _ => return Err("invalid string literal: invalid escape char".into()),
            }),
            other => name.push(other),
        }
    }
    Err(none())
}

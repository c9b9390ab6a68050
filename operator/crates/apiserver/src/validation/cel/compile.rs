//! From the rules in a schema to programs, and what is wrong with those that are none.

use std::fmt::Write as _;
use std::sync::Arc;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::parser::ParseErrors;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Rule;
use super::checker::{self, Scope};
use crate::schema::Schema;
use crate::validation::cost::{self, ESTIMATE_LIMIT};
use crate::validation::field::{FieldError, Reason};
use crate::validation::library;

/// Why rule number `index` of a node cannot be used; the error's field is the one of the rule.
#[derive(Debug)]
pub(crate) struct Failure {
    pub index: usize,
    pub error: FieldError,
}

#[derive(Deserialize)]
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
    fn shown(&self) -> Value {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        json!({
            "Rule": self.rule, "Message": text(&self.message), "Reason": self.reason,
            "MessageExpression": text(&self.message_expression),
            "FieldPath": text(&self.field_path), "OptionalOldSelf": self.optional_old_self,
        })
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

fn compile_rule(source: Source, schema: &Schema, root: bool) -> Result<Rule, FieldError> {
    check_texts(&source)?;
    let reason = reason_of(source.reason.as_deref())?;
    let field_path = source
        .field_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .map(|path| {
            normalize_path(path, schema)
                .ok_or_else(|| FieldError::invalid("fieldPath", path, "must be a valid path"))
        })
        .transpose()?;
    let scope = Scope {
        schema,
        root,
        optional_old: source.optional_old_self == Some(true),
    };
    let refused = |field: &str, detail: String| FieldError::invalid(field, source.shown(), detail);
    let (program, nesting) = compile_expression("rule", "bool", &source.rule, scope, &refused)?;
    let messages = source.message_expression.as_deref();
    let message_program = messages
        .map(|text| compile_expression("messageExpression", "string", text, scope, &refused))
        .transpose()?
        .map(|(program, _)| program);
    let uses_old_self = program.references().has_variable("oldSelf");
    if let (false, Some(optional)) = (uses_old_self, source.optional_old_self) {
        let detail = "may not be set if oldSelf is not used in rule";
        return Err(FieldError::invalid("optionalOldSelf", optional, detail));
    }
    let message = source.message.map(|text| text.trim().to_owned());
    Ok(Rule {
        expression: source.rule,
        program,
        message: message.filter(|text| !text.is_empty()),
        message_program,
        reason,
        field_path,
        optional_old_self: scope.optional_old,
        uses_old_self,
        nesting,
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

/// The program of `expression`, which has to yield `expected`, and how deep its loops are nested.
fn compile_expression(
    field: &str,
    expected: &str,
    expression: &str,
    scope: Scope<'_>,
    refused: &dyn Fn(&str, String) -> FieldError,
) -> Result<(IdedExpr, u32), FieldError> {
    let (prefix, subject) = match field {
        "rule" => ("", "cel expression"),
        _ => ("messageExpression ", "messageExpression"),
    };
    let failed = |text: String| refused(field, format!("{prefix}compilation failed: {text}"));
    let program = library::parse(expression)
        .map_err(|errors| failed(render(expression, parse_issues(errors))))?;
    let result = checker::check(&program, scope)
        .map_err(|issues| failed(render(expression, placed(expression, issues))))?;
    if !result.is(expected) {
        let kind = if expected == "bool" {
            "a bool"
        } else {
            "a string"
        };
        return Err(refused(field, format!("{subject} must evaluate to {kind}")));
    }
    let found = cost::analyse(&program, scope.schema);
    if found.cost > ESTIMATE_LIMIT {
        let name = if field == "rule" { "rule" } else { field };
        return Err(FieldError::forbidden(field, over_budget(name, found.cost)));
    }
    Ok((program, found.nesting))
}

fn over_budget(name: &str, cost: u64) -> String {
    let factor = cost as f64 / ESTIMATE_LIMIT as f64;
    let factor = match factor {
        above if above > 100.0 => "more than 100x".to_owned(),
        near if near < 1.5 => format!("{near:.6}x"),
        other => format!("{other:.1}x"),
    };
    format!(
        "estimated {name} cost exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// A message with its line and column, both from 1.
type Placed = ((isize, isize), String);

fn parse_issues(errors: ParseErrors) -> Vec<Placed> {
    let errors = errors.errors.into_iter();
    errors.map(|error| (error.pos, error.msg)).collect()
}

/// Issues with their places. The parser tells places with errors only: so it parses the expression
/// as the first item of a list whose second one is an error.
fn placed(expression: &str, issues: Vec<checker::Issue>) -> Vec<Placed> {
    let places = library::parse(&format!("[{expression}\n, has(0)]"))
        .err()
        .and_then(|errors| errors.errors.into_iter().next()?.source_info);
    let place = |id: u64| {
        // The list has the first number, and its bracket is the first character.
        let (start, _) = places.as_ref()?.offset_for(id + 1)?;
        let before = expression.chars().take((start as usize).checked_sub(1)?);
        let (mut line, mut column) = (1, 1);
        for letter in before {
            (line, column) = if letter == '\n' {
                (line + 1, 1)
            } else {
                (line, column + 1)
            };
        }
        Some((line, column))
    };
    let mut placed: Vec<Placed> = issues
        .into_iter()
        .map(|issue| (place(issue.id).unwrap_or((1, 1)), issue.text))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.dedup();
    placed
}

fn render(expression: &str, issues: Vec<Placed>) -> String {
    let mut text = String::new();
    for ((line, column), message) in issues {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a text cannot fail.
        let _ = write!(text, "ERROR: <input>:{line}:{column}: {message}");
        let line = usize::try_from(line - 1).ok();
        if let Some(line) = line.and_then(|line| expression.lines().nth(line)) {
            let dots = ".".repeat(usize::try_from(column - 1).unwrap_or(0));
            let _ = write!(text, "\n | {line}\n | {dots}^");
        }
    }
    text
}

/// A rule's `fieldPath` (`.a.b`, `.m['key']`) as it is appended to the path of the node; `None` if it
/// is no path to a field.
fn normalize_path(path: &str, schema: &Schema) -> Option<String> {
    let mut at = Some(schema);
    let mut rest = path.trim();
    let mut rendered = String::new();
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix("['") {
            let end = quoted.find("']")?;
            (name, rest) = (&quoted[..end], &quoted[end + 2..]);
        } else {
            let plain = rest.strip_prefix('.')?;
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            (name, rest) = plain.split_at(end);
        }
        let here = at?;
        let named = here.properties.contains_key(name);
        at = here.field(name).map(AsRef::as_ref);
        if name.is_empty() || at.is_none() {
            return None;
        }
        rendered.push_str(&if named {
            format!(".{name}")
        } else {
            format!("[{name}]")
        });
    }
    Some(rendered).filter(|rendered| !rendered.is_empty())
}

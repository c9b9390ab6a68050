//! `x-kubernetes-validations`: rules in CEL, compiled when the schema is parsed.
//!
//! The library of functions is kube-cel's. The walk is our own, because rules see only the value
//! of their node: it is converted once, where there are rules, and old values are matched by the
//! keys of map lists, as transition rules demand.
//!
//! Cost is bounded twice: by an estimate from the schema's bounds, beyond which the schema is
//! refused, and at run time by the sizes that the object really has.

use std::sync::Arc;

use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value as Cel};
use serde::Deserialize;
use serde_json::Value;

use super::convert::to_cel;
use super::cost::{self, ESTIMATE_LIMIT};
use super::field::{FieldError, Path, Reason};
use super::library;
use super::structural::matching_item;
use crate::schema::Schema;

/// All rules of one object together may make this many loop rounds, about a second's worth.
const RUN_BUDGET: u64 = 1_000_000;

/// Kubernetes' limit on messages made by `messageExpression`.
const MESSAGE_LIMIT: usize = 5 << 10;

/// One compiled rule.
#[derive(Debug)]
pub struct Rule {
    /// The expression as written.
    pub expression: String,
    program: IdedExpr,
    message: Option<String>,
    message_program: Option<IdedExpr>,
    reason: Reason,
    field_path: Option<String>,
    optional_old_self: bool,
    uses_old_self: bool,
    nesting: u32,
}

/// Why rule number `index` of a node cannot be used.
#[derive(Debug)]
pub(crate) struct Failure {
    pub index: usize,
    pub rule: String,
    pub cause: String,
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
    #[serde(default)]
    optional_old_self: bool,
}

/// Compiles the rules of one schema node.
pub(crate) fn compile(node: &Value, schema: &Schema) -> Result<Vec<Arc<Rule>>, Failure> {
    let rules = match node.get("x-kubernetes-validations") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(rules)) => rules,
        Some(other) => {
            return Err(Failure {
                index: 0,
                rule: other.to_string(),
                cause: "must be a list of rules".into(),
            });
        }
    };
    let compile = |(index, source): (usize, &Value)| {
        let parsed = Source::deserialize(source).map_err(|error| Failure {
            index,
            rule: source.to_string(),
            cause: error.to_string(),
        })?;
        let expression = parsed.rule.clone();
        compile_rule(parsed, schema)
            .map(Arc::new)
            .map_err(|cause| Failure {
                index,
                rule: expression,
                cause,
            })
    };
    rules.iter().enumerate().map(compile).collect()
}

fn compile_rule(source: Source, schema: &Schema) -> Result<Rule, String> {
    let (program, nesting) = compile_expression(&source.rule, schema)?;
    let message_program = match &source.message_expression {
        Some(expression) => Some(
            compile_expression(expression, schema)
                .map_err(|cause| format!("messageExpression: {cause}"))?
                .0,
        ),
        None => None,
    };
    let reason = match source.reason.as_deref() {
        None | Some("FieldValueInvalid") => Reason::Invalid,
        Some("FieldValueForbidden") => Reason::Forbidden,
        Some("FieldValueRequired") => Reason::Required,
        Some("FieldValueDuplicate") => Reason::Duplicate,
        Some(other) => {
            return Err(format!(
                "reason {other:?} is not supported; supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\""
            ));
        }
    };
    let message = source
        .message
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    if message.as_ref().is_some_and(|text| text.contains('\n'))
        || (message.is_none() && source.rule.contains('\n'))
    {
        return Err(
            "message must not contain line breaks, and must be given where the rule contains them"
                .into(),
        );
    }
    let field_path = source
        .field_path
        .map(|path| normalize_path(&path, schema))
        .transpose()?;
    let uses_old_self = program.references().has_variable("oldSelf");
    Ok(Rule {
        expression: source.rule,
        program,
        message,
        message_program,
        reason,
        field_path,
        optional_old_self: source.optional_old_self,
        uses_old_self,
        nesting,
    })
}

fn compile_expression(expression: &str, schema: &Schema) -> Result<(IdedExpr, u32), String> {
    if expression.trim().is_empty() {
        return Err("rule is not specified".into());
    }
    let program =
        library::parse(expression).map_err(|error| format!("compilation failed: {error}"))?;
    let found = cost::analyse(&program, schema);
    if let Some(name) = found.unknown.first() {
        return Err(format!(
            "compilation failed: undeclared reference to '{name}'; self and oldSelf are available"
        ));
    }
    if let Some(name) = found
        .functions
        .iter()
        .find(|name| !library::is_function(name))
    {
        return Err(format!(
            "compilation failed: undeclared reference to '{name}'; no such function"
        ));
    }
    if found.cost > ESTIMATE_LIMIT {
        let cost = found.cost;
        return Err(format!(
            "estimated rule cost {cost} exceeds the budget of {ESTIMATE_LIMIT}; lower maxItems, maxProperties or maxLength where the rule loops"
        ));
    }
    Ok((program, found.nesting))
}

/// A rule's `fieldPath` (`.a.b`, `.m['key']`) as it is appended to the path of the node.
fn normalize_path(path: &str, schema: &Schema) -> Result<String, String> {
    let invalid = || {
        format!(
            "fieldPath {path:?} must be a JSON path to a field of this schema, as .spec.replicas or .labels['a/b']"
        )
    };
    let mut at = Some(schema);
    let mut rest = path.trim();
    let mut rendered = String::new();
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix("['") {
            let end = quoted.find("']").ok_or_else(invalid)?;
            (name, rest) = (&quoted[..end], &quoted[end + 2..]);
        } else {
            let plain = rest.strip_prefix('.').ok_or_else(invalid)?;
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            (name, rest) = plain.split_at(end);
        }
        let here = at.ok_or_else(invalid)?;
        let named = here.properties.contains_key(name);
        at = here.field(name).map(AsRef::as_ref);
        if name.is_empty() || at.is_none() {
            return Err(invalid());
        }
        rendered.push_str(&if named {
            format!(".{name}")
        } else {
            format!("[{name}]")
        });
    }
    if rendered.is_empty() {
        Err(invalid())
    } else {
        Ok(rendered)
    }
}

/// Evaluates every rule that applies to `new`.
pub(super) fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    library::with(|library| {
        let mut run = Run {
            library,
            errors: Vec::new(),
            budget: RUN_BUDGET,
        };
        run.node(schema, new, old, false, &Path::root());
        run.errors
    })
}

struct Run<'l> {
    library: &'l Context<'static>,
    errors: Vec<FieldError>,
    budget: u64,
}

impl Run<'_> {
    /// `unchanged` is true below a value that is as it was: there only transition rules run, for
    /// objects must not become unchangeable when a rule is added.
    fn node(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &Path<'_>,
    ) {
        if !schema.has_rules || (new.is_null() && schema.nullable) {
            return;
        }
        let unchanged = unchanged || old == Some(new);
        self.rules(schema, new, old, unchanged, path);
        match new {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let old = old.and_then(|old| old.get(name));
                    match (schema.properties.get(name), &schema.additional) {
                        (Some(below), _) => {
                            self.node(below, field, old, unchanged, &path.field(name))
                        }
                        (None, Some(below)) => {
                            self.node(below, field, old, unchanged, &path.key(name))
                        }
                        (None, None) => {}
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = schema.items.as_deref().filter(|below| below.has_rules) else {
                    return;
                };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| matching_item(schema, item, old));
                    self.node(below, item, old, unchanged, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn rules(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &Path<'_>,
    ) {
        let runs = |rule: &Rule| match (rule.uses_old_self, old) {
            (false, _) => !unchanged,
            (true, Some(_)) => true,
            (true, None) => rule.optional_old_self,
        };
        let rules: Vec<_> = schema.rules.iter().filter(|rule| runs(rule)).collect();
        if rules.is_empty() || self.budget == 0 {
            return;
        }
        let (this, longest) = to_cel(new, Some(schema));
        // Old values are converted only where a rule looks at them.
        let before = old
            .filter(|_| rules.iter().any(|rule| rule.uses_old_self))
            .map(|old| to_cel(old, Some(schema)).0);
        let mut scope = self.library.new_inner_scope();
        scope.add_variable_from_value("self", this);
        if let Some(before) = &before {
            scope.add_variable_from_value("oldSelf", before.clone());
        }
        for rule in rules {
            let rounds = u64::try_from(longest)
                .unwrap_or(u64::MAX)
                .saturating_pow(rule.nesting);
            if rounds > self.budget {
                self.budget = 0;
                let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.errors
                    .push(FieldError::invalid(path, kind_of(schema), detail));
                return;
            }
            self.budget -= rounds;
            let failed = if rule.optional_old_self {
                let mut optional = scope.new_inner_scope();
                let old = before
                    .clone()
                    .map_or_else(OptionalValue::none, OptionalValue::of);
                optional.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
                evaluate(rule, schema, new, path, &optional)
            } else {
                evaluate(rule, schema, new, path, &scope)
            };
            self.errors.extend(failed);
        }
    }
}

fn evaluate(
    rule: &Rule,
    schema: &Schema,
    value: &Value,
    path: &Path<'_>,
    scope: &Context<'_>,
) -> Option<FieldError> {
    let shown = rule.message.as_deref().unwrap_or(rule.expression.trim());
    let detail = match Cel::resolve(&rule.program, scope) {
        Ok(Cel::Bool(true)) => return None,
        Ok(Cel::Bool(false)) => return Some(violation(rule, value, path, scope)),
        Ok(_) => format!("rule did not evaluate to a boolean: {shown}"),
        Err(ExecutionError::NoSuchOverload) => format!(
            "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
        ),
        Err(error) => format!("{error} evaluating rule: {shown}"),
    };
    Some(FieldError::invalid(path, kind_of(schema), detail))
}

fn violation(rule: &Rule, value: &Value, path: &Path<'_>, scope: &Context<'_>) -> FieldError {
    let made =
        rule.message_program
            .as_ref()
            .and_then(|program| match Cel::resolve(program, scope) {
                Ok(Cel::String(text)) => {
                    Some(text.trim().to_owned()).filter(|text| usable_message(text))
                }
                _ => None,
            });
    let fallback = || match &rule.message {
        Some(message) => message.clone(),
        None => format!("failed rule: {}", rule.expression.trim()),
    };
    let suffix = rule.field_path.as_deref().unwrap_or_default();
    let found = value.pointer(&suffix.replace('.', "/"));
    let at = path.to_string() + suffix;
    FieldError {
        reason: rule.reason,
        field: at.strip_prefix('.').map(str::to_owned).unwrap_or(at),
        bad_value: found
            .filter(|found| !found.is_object() && !found.is_array())
            .cloned(),
        detail: made.unwrap_or_else(fallback),
    }
}

fn usable_message(text: &str) -> bool {
    !text.is_empty() && text.len() <= MESSAGE_LIMIT && !text.contains('\n')
}

fn kind_of(schema: &Schema) -> &'static str {
    schema.kind.map_or("", crate::schema::Kind::as_str)
}

#[cfg(test)]
mod tests;

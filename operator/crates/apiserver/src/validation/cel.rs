//! `x-kubernetes-validations`: rules in CEL, compiled when the schema is parsed.
//!
//! The library of functions is kube-cel's. The walk is our own, because rules see only the value
//! of their node: it is converted once, where there are rules, and old values are matched by the
//! keys of map lists, as transition rules demand.
//!
//! Cost is bounded twice: by an estimate from the schema's bounds, beyond which the schema is
//! refused, and at run time by the sizes that the object really has.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::extractors::This;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::convert::to_cel;
use super::cost::{self, ESTIMATE_LIMIT};
use super::field::{FieldError, Path, Reason};
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
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
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

fn compile_expression(expression: &str, schema: &Schema) -> Result<(Program, u32), String> {
    if expression.trim().is_empty() {
        return Err("rule is not specified".into());
    }
    let program =
        Program::compile(expression).map_err(|error| format!("compilation failed: {error}"))?;
    let found = cost::analyse(program.expression(), schema);
    if let Some(name) = found.unknown.first() {
        return Err(format!(
            "compilation failed: undeclared reference to '{name}'; self and oldSelf are available"
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

/// Patterns come from rules, which are few; those computed from objects only pass through.
const PATTERNS_MAX: usize = 256;

thread_local! {
    /// Registering the function library takes longer than most rules.
    static LIBRARY: Context<'static> = library();
    /// The library's own `matches` compiles its pattern at every call: up to a millisecond.
    static PATTERNS: RefCell<HashMap<Arc<String>, Regex>> = RefCell::default();
}

fn library() -> Context<'static> {
    let mut library = Context::default().with_all();
    library.add_function("matches", matches);
    library
}

fn matches(This(text): This<Arc<String>>, pattern: Arc<String>) -> Result<bool, ExecutionError> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(compiled) = patterns.get(&pattern) {
            return Ok(compiled.is_match(&text));
        }
        let compiled = Regex::new(&pattern).map_err(|error| ExecutionError::function_error("matches", error))?;
        let found = compiled.is_match(&text);
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(pattern, compiled);
        Ok(found)
    })
}

/// Evaluates every rule that applies to `new`.
pub(super) fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    LIBRARY.with(|library| {
        let mut run = Run {
            library,
            errors: Vec::new(),
            budget: RUN_BUDGET,
        };
        run.node(schema, new, old, &Path::root());
        run.errors
    })
}

struct Run<'l> {
    library: &'l Context<'static>,
    errors: Vec<FieldError>,
    budget: u64,
}

impl Run<'_> {
    fn node(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, path: &Path<'_>) {
        if !schema.has_rules || (new.is_null() && schema.nullable) {
            return;
        }
        self.rules(schema, new, old, path);
        match new {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let old = old.and_then(|old| old.get(name));
                    match (schema.properties.get(name), &schema.additional) {
                        (Some(below), _) => self.node(below, field, old, &path.field(name)),
                        (None, Some(below)) => self.node(below, field, old, &path.key(name)),
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
                    self.node(below, item, old, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, path: &Path<'_>) {
        if schema.rules.is_empty() || self.budget == 0 {
            return;
        }
        let (this, longest) = to_cel(new, Some(schema));
        // Old values are converted only where a rule looks at them.
        let before = old
            .filter(|_| schema.rules.iter().any(|rule| rule.uses_old_self))
            .map(|old| to_cel(old, Some(schema)).0);
        let mut scope = self.library.new_inner_scope();
        scope.add_variable_from_value("self", this);
        if let Some(before) = &before {
            scope.add_variable_from_value("oldSelf", before.clone());
        }
        for rule in &schema.rules {
            if rule.uses_old_self && before.is_none() && !rule.optional_old_self {
                continue;
            }
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
    let detail = match rule.program.execute(scope) {
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
    let made = rule
        .message_program
        .as_ref()
        .and_then(|program| match program.execute(scope) {
            Ok(Cel::String(text)) => {
                Some(text.trim().to_owned()).filter(|text| usable_message(text))
            }
            _ => None,
        });
    let fallback = || match &rule.message {
        Some(message) => message.clone(),
        None => format!("failed rule: {}", rule.expression.trim()),
    };
    let scalar = !value.is_object() && !value.is_array();
    let suffix = rule.field_path.as_deref().unwrap_or_default();
    let at = path.to_string() + suffix;
    FieldError {
        reason: rule.reason,
        field: at.strip_prefix('.').map(str::to_owned).unwrap_or(at),
        bad_value: scalar.then(|| value.clone()),
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::schema::SchemaError;

    fn errors(schema: Value, new: Value, old: Option<Value>) -> Vec<String> {
        let schema = Schema::parse(&schema).unwrap();
        crate::validation::validate_object(&schema, &new, old.as_ref())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn with_rule(rule: Value) -> Value {
        json!({"type": "object", "x-kubernetes-validations": [rule], "properties": {
            "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
            "at": {"type": "string", "format": "date-time"}, "wait": {"type": "string", "format": "duration"},
            "namespace": {"type": "string"}, "ratio": {"type": "number"},
            "list": {"type": "array", "items": {"type": "integer"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }})
    }

    #[test]
    fn rules_report_path_message_and_reason() {
        let value = json!({"min": 5, "max": 3, "name": "n"});
        let cases = [
            (
                json!({"rule": "self.min <= self.max"}),
                "Invalid value: failed rule: self.min <= self.max",
            ),
            (
                json!({"rule": "self.min <= self.max", "message": "min is above max"}),
                "Invalid value: min is above max",
            ),
            (
                json!({"rule": "self.min <= self.max", "messageExpression": "'min ' + string(self.min) + ' > ' + string(self.max)"}),
                "Invalid value: min 5 > 3",
            ),
            (
                json!({"rule": "self.min <= self.max", "message": "m", "messageExpression": "''"}),
                "Invalid value: m",
            ),
            (
                json!({"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueForbidden"}),
                "Forbidden: m",
            ),
            (
                json!({"rule": "self.nothing > 1", "message": "m"}),
                r#"Invalid value: "object": No such key: nothing evaluating rule: m"#,
            ),
        ];
        for (rule, text) in cases {
            assert_eq!(
                errors(with_rule(rule.clone()), value.clone(), None),
                [format!(": {text}")],
                "{rule}"
            );
        }
        let rule =
            json!({"rule": "self.min <= self.max", "message": "m", "fieldPath": ".labels['a/b']"});
        assert_eq!(
            errors(with_rule(rule), value, None),
            ["labels[a/b]: Invalid value: m"]
        );
    }

    #[test]
    fn values_have_the_types_of_their_formats() {
        let value = json!({
            "at": "2026-01-01T00:00:00Z", "wait": "90s", "namespace": "x", "ratio": 2,
            "labels": {"a/b": "c"}, "list": [1, 2],
        });
        for rule in [
            "self.at < timestamp('2027-01-01T00:00:00Z')",
            "self.wait == duration('1m30s')",
            "self.__namespace__ == 'x'",
            "self.ratio == 2.0",
            "self.labels['a/b'] == 'c'",
            "'a/b' in self.labels",
            "self.list.all(i, i > 0) && self.list.exists_one(i, i == 2)",
            "self.list.sum() == 3",
            "!has(self.name)",
            "quantity('1Gi').isGreaterThan(quantity('1M'))",
            "isURL('https://a.b/c') && url('https://a.b/c').getHost() == 'a.b'",
            "'a-b'.matches('^[a-z-]+$') && 'x'.lowerAscii() == 'x'",
            "optional.none().orValue(1) == 1",
        ] {
            assert_eq!(
                errors(with_rule(json!({"rule": rule})), value.clone(), None),
                [""; 0],
                "{rule}"
            );
        }
    }

    #[test]
    fn transition_rules_need_an_old_value() {
        let schema =
            with_rule(json!({"rule": "self.name == oldSelf.name", "message": "name is immutable"}));
        assert_eq!(errors(schema.clone(), json!({"name": "a"}), None), [""; 0]);
        assert_eq!(
            errors(schema, json!({"name": "a"}), Some(json!({"name": "b"}))),
            [": Invalid value: name is immutable"]
        );
        let optional = with_rule(
            json!({"rule": "oldSelf.hasValue() || self.min == 1", "optionalOldSelf": true, "message": "m"}),
        );
        assert_eq!(
            errors(optional.clone(), json!({"min": 2}), None),
            [": Invalid value: m"]
        );
        assert_eq!(
            errors(optional, json!({"min": 2}), Some(json!({"min": 2}))),
            [""; 0]
        );
    }

    #[test]
    fn old_items_are_matched_by_their_keys() {
        let schema = json!({"type": "object", "properties": {"ports": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {
                "type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "port is immutable"}]}}},
        }}});
        let old = json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]});
        let new = json!({"ports": [{"name": "b", "port": 2}, {"name": "a", "port": 9}, {"name": "c", "port": 3}]});
        assert_eq!(
            errors(schema, new, Some(old)),
            ["ports[1].port: Invalid value: 9: port is immutable"]
        );
    }

    #[test]
    fn unusable_rules_are_refused_with_the_schema() {
        let cases = [
            (json!({"rule": "self.min >="}), "compilation failed"),
            (json!({"rule": ""}), "rule is not specified"),
            (
                json!({"rule": "object.min > 1"}),
                "undeclared reference to 'object'",
            ),
            (
                json!({"rule": "true", "reason": "Nope"}),
                "is not supported",
            ),
            (
                json!({"rule": "true", "fieldPath": ".nothing"}),
                "must be a JSON path to a field",
            ),
            (
                json!({"rule": "true", "messageExpression": "1 +"}),
                "messageExpression: compilation failed",
            ),
            (
                json!({"rule": "self.list.all(a, self.list.all(b, self.list.all(c, a != b || b != c)))"}),
                "exceeds the budget",
            ),
        ];
        for (rule, cause) in cases {
            let error = Schema::parse(&with_rule(rule.clone())).unwrap_err();
            assert!(
                matches!(&error, SchemaError::Rule { .. }),
                "{rule}: {error}"
            );
            assert!(error.to_string().contains(cause), "{rule}: {error}");
            assert_eq!(error.path(), "x-kubernetes-validations[0]");
        }
    }

    #[test]
    fn the_size_of_the_object_bounds_the_cost_of_rules() {
        let schema =
            with_rule(json!({"rule": "self.list.all(a, self.list.exists_one(b, a == b))"}));
        let found = errors(schema, json!({"list": (0..2000).collect::<Vec<_>>()}), None);
        assert!(found[0].contains("running out of cost budget"), "{found:?}");
    }

    #[test]
    fn rules_wait_until_the_object_fits_its_schema() {
        let found = errors(
            with_rule(json!({"rule": "self.min <= self.max"})),
            json!({"min": "x"}),
            None,
        );
        assert_eq!(found.len(), 2);
        assert!(
            found[1]
                .starts_with("<nil>: Invalid value: null: some validation rules were not checked"),
            "{found:?}"
        );
    }
}

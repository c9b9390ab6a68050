//! What a rule may cost at most, estimated from the bounds in the schema.
//!
//! The unit is a visit of a part of the expression, as in Kubernetes' estimates; what looks at
//! whole texts costs a tenth of their length. The estimates exist to refuse rules whose cost
//! explodes with the size of an object (loops inside loops over unbounded lists).

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};

use crate::schema::{Kind, Schema};

/// The most bytes that a request may have: what has no bound of its own is bounded by them.
const REQUEST: u64 = 3 << 20;

/// The cost of `expression` at most, in which `self` and `oldSelf` have `schema`.
pub(super) fn estimate(expression: &IdedExpr, schema: &Schema) -> u64 {
    let scope = vec![
        ("self".into(), Some(schema)),
        ("oldSelf".into(), Some(schema)),
    ];
    Walk { scope }.expr(expression).total
}

/// How many values of a schema one request can have at most.
pub(crate) fn most_of(schema: &Schema) -> u64 {
    REQUEST / (shortest(schema) + 1)
}

/// The length of the shortest JSON that a value of the schema can have.
fn shortest(schema: &Schema) -> u64 {
    match schema.kind {
        Some(Kind::Boolean) => 4,
        Some(Kind::Integer | Kind::Number) => 1,
        Some(Kind::Object) => {
            let field = |name: &String| {
                let value = schema
                    .properties
                    .get(name)
                    .map_or(1, |below| shortest(below));
                name.len() as u64 + 4 + value
            };
            2 + schema.required.iter().map(field).sum::<u64>()
        }
        _ => 2,
    }
}

/// How long a text, list or map of the schema can be.
fn longest(schema: &Schema) -> u64 {
    let bounds = &schema.constraints;
    match schema.kind {
        Some(Kind::Array) => bounds
            .max_items
            .unwrap_or_else(|| schema.items.as_deref().map_or(REQUEST, most_of)),
        Some(Kind::Object) => bounds
            .max_properties
            .unwrap_or_else(|| schema.additional.as_deref().map_or(1, most_of)),
        Some(Kind::String) if !bounds.one_of.is_empty() => {
            let length = |one: &serde_json::Value| one.as_str().map_or(0, str::len) as u64;
            bounds.one_of.iter().map(length).max().unwrap_or_default()
        }
        Some(Kind::String) => bounds.max_length.unwrap_or(REQUEST),
        _ => 1,
    }
}

struct Walk<'s> {
    /// Names in scope, innermost last, with the schema of their values where it is known.
    scope: Vec<(String, Option<&'s Schema>)>,
}

/// Cost of one expression, and what can be told of its value.
#[derive(Clone, Copy, Default)]
struct Cost<'s> {
    total: u64,
    nesting: u32,
    schema: Option<&'s Schema>,
    /// Length of a literal.
    length: Option<u64>,
}

impl Cost<'_> {
    /// How long the value can be; 1 where nobody knows.
    fn size(&self) -> u64 {
        self.length
            .or_else(|| self.schema.map(longest))
            .unwrap_or(1)
    }
}

impl<'s> Walk<'s> {
    fn expr(&mut self, expression: &IdedExpr) -> Cost<'s> {
        match &expression.expr {
            Expr::Ident(name) => {
                let bound = self.scope.iter().rev().find(|(bound, _)| bound == name);
                Cost {
                    total: 1,
                    schema: bound.and_then(|(_, schema)| *schema),
                    ..Cost::default()
                }
            }
            Expr::Select(select) => {
                let operand = self.expr(&select.operand);
                let below = operand
                    .schema
                    .and_then(|schema| schema.field(&select.field));
                Cost {
                    total: operand.total.saturating_add(1),
                    schema: below.map(AsRef::as_ref),
                    length: None,
                    ..operand
                }
            }
            Expr::Call(call) => {
                let parts: Vec<_> = call
                    .target
                    .as_deref()
                    .into_iter()
                    .chain(&call.args)
                    .collect();
                let costs: Vec<_> = parts.into_iter().map(|part| self.expr(part)).collect();
                let mut all = sum(&costs);
                all.total = all.total.saturating_add(own(&call.func_name, &costs));
                if call.func_name == "_[_]" {
                    let operand = costs.first().and_then(|operand| operand.schema);
                    let below = |schema: &'s Schema| {
                        schema.items.as_deref().or(schema.additional.as_deref())
                    };
                    all.schema = operand.and_then(below);
                }
                all
            }
            Expr::List(list) => {
                let costs: Vec<_> = list.elements.iter().map(|part| self.expr(part)).collect();
                let length = Some(list.elements.len() as u64);
                Cost {
                    length,
                    ..sum(&costs)
                }
            }
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(object) => self.entries(object.entries.iter().map(|entry| &entry.expr)),
            Expr::Comprehension(loops) => {
                let range = self.expr(&loops.iter_range);
                let item = range.schema.and_then(|schema| schema.items.as_deref());
                let before = self.scope.len();
                self.scope.push((loops.iter_var.clone(), item));
                self.scope.push((loops.accu_var.clone(), None));
                let init = self.expr(&loops.accu_init);
                let body = sum(&[self.expr(&loops.loop_cond), self.expr(&loops.loop_step)]);
                let result = self.expr(&loops.result);
                self.scope.truncate(before);
                let fixed = sum(&[range, init, result]);
                let rounds = range.size().saturating_mul(body.total);
                Cost {
                    total: fixed.total.saturating_add(rounds),
                    nesting: range.nesting.max(body.nesting + 1),
                    ..Cost::default()
                }
            }
            Expr::Literal(literal) => Cost {
                length: match literal {
                    LiteralValue::String(text) => Some(text.inner().len() as u64),
                    _ => None,
                },
                ..Cost::default()
            },
            Expr::Unspecified => Cost::default(),
        }
    }

    fn entries<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>) -> Cost<'s> {
        let parts = entries.flat_map(|entry| match entry {
            EntryExpr::StructField(field) => vec![&field.value],
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        });
        let costs: Vec<_> = parts.map(|part| self.expr(part)).collect();
        sum(&costs)
    }
}

fn sum<'s>(parts: &[Cost<'_>]) -> Cost<'s> {
    let total = parts
        .iter()
        .fold(1_u64, |total, part| total.saturating_add(part.total));
    Cost {
        total,
        nesting: parts
            .iter()
            .map(|part| part.nesting)
            .max()
            .unwrap_or_default(),
        ..Cost::default()
    }
}

/// What a function costs besides its arguments.
fn own(function: &str, args: &[Cost<'_>]) -> u64 {
    let size = |index: usize| args.get(index).map_or(1, Cost::size);
    match function {
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => size(0).min(size(1)) / 10,
        "matches" => (size(0) / 10).saturating_mul(size(1) / 4 + 1),
        "contains" => (size(0) / 10).saturating_mul(size(1) / 10 + 1),
        "startsWith" | "endsWith" => size(1) / 10,
        "@in" => size(1),
        "split" | "replace" | "trim" | "lowerAscii" | "upperAscii" | "find" | "findAll" => {
            size(0) / 10
        }
        "isSorted" | "sum" | "min" | "max" => size(0),
        _ => 0,
    }
}

//! What a CEL expression may cost at most.
//!
//! The costs are estimates from the bounds in the schema (`maxItems`, `maxProperties`), in visits
//! of expression nodes. They exist to refuse rules whose cost explodes with the size of an
//! object (loops inside loops over unbounded lists), not to count cycles.

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};

use crate::schema::Schema;

/// A rule may cost this much at most by its estimate; Kubernetes' own limit per rule.
pub(super) const ESTIMATE_LIMIT: u64 = 10_000_000;

/// How many items a list without `maxItems` is taken to have.
const UNBOUNDED: u64 = 300;

/// What an expression turned out to be.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    /// The estimated cost.
    pub cost: u64,
    /// How many loops stand inside each other at most.
    pub nesting: u32,
}

/// Looks at `expression`, in which `self` and `oldSelf` have `schema`.
pub(super) fn analyse(expression: &IdedExpr, schema: &Schema) -> Analysis {
    let scope = vec![
        ("self".into(), Some(schema)),
        ("oldSelf".into(), Some(schema)),
    ];
    let cost = Walk { scope }.expr(expression);
    Analysis {
        cost: cost.total,
        nesting: cost.nesting,
    }
}

struct Walk<'s> {
    /// Names in scope, innermost last, with the schema of their values where it is known.
    scope: Vec<(String, Option<&'s Schema>)>,
}

/// Cost of one expression, and the schema of its value where it can be told.
#[derive(Clone, Copy, Default)]
struct Cost<'s> {
    total: u64,
    nesting: u32,
    schema: Option<&'s Schema>,
    /// Length of a list literal.
    length: Option<u64>,
}

impl<'s> Walk<'s> {
    fn expr(&mut self, expression: &IdedExpr) -> Cost<'s> {
        match &expression.expr {
            Expr::Ident(name) => Cost {
                total: 1,
                schema: self.lookup(name),
                ..Cost::default()
            },
            Expr::Select(select) => {
                let operand = self.expr(&select.operand);
                let schema = operand
                    .schema
                    .and_then(|schema| field(schema, &select.field));
                Cost {
                    total: operand.total.saturating_add(1),
                    schema,
                    length: None,
                    ..operand
                }
            }
            Expr::Call(call) => {
                let mut cost = self.sum(call.target.as_deref().into_iter().chain(&call.args));
                cost.schema = self.indexed(&call.func_name, &call.args);
                cost
            }
            Expr::List(list) => {
                let mut cost = self.sum(list.elements.iter());
                cost.length = Some(list.elements.len() as u64);
                cost
            }
            Expr::Map(map) => self.sum_entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(object) => {
                self.sum_entries(object.entries.iter().map(|entry| &entry.expr))
            }
            Expr::Comprehension(loops) => {
                let range = self.expr(&loops.iter_range);
                let item = range.schema.and_then(|schema| schema.items.as_deref());
                let before = self.scope.len();
                self.scope.push((loops.iter_var.clone(), item));
                if let Some(second) = &loops.iter_var2 {
                    self.scope.push((second.clone(), item));
                }
                self.scope.push((loops.accu_var.clone(), None));
                let init = self.expr(&loops.accu_init);
                let body = self.sum([&loops.loop_cond, &loops.loop_step]);
                let result = self.expr(&loops.result);
                self.scope.truncate(before);
                let rounds = range
                    .length
                    .or_else(|| range.schema.and_then(size_limit))
                    .unwrap_or(UNBOUNDED);
                let fixed = range
                    .total
                    .saturating_add(init.total)
                    .saturating_add(result.total);
                Cost {
                    total: fixed.saturating_add(rounds.saturating_mul(body.total)),
                    nesting: range.nesting.max(body.nesting + 1),
                    ..Cost::default()
                }
            }
            Expr::Literal(_) | Expr::Unspecified => Cost {
                total: 1,
                ..Cost::default()
            },
        }
    }

    fn sum<'e>(&mut self, parts: impl IntoIterator<Item = &'e IdedExpr>) -> Cost<'s> {
        let mut all = Cost {
            total: 1,
            ..Cost::default()
        };
        for part in parts {
            let cost = self.expr(part);
            all.total = all.total.saturating_add(cost.total);
            all.nesting = all.nesting.max(cost.nesting);
        }
        all
    }

    fn sum_entries<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>) -> Cost<'s> {
        let parts = entries.flat_map(|entry| match entry {
            EntryExpr::StructField(field) => vec![&field.value],
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        });
        self.sum(parts)
    }

    /// The schema of `list[0]` or `map["key"]`.
    fn indexed(&mut self, function: &str, args: &[IdedExpr]) -> Option<&'s Schema> {
        if function != "_[_]" {
            return None;
        }
        let operand = self.expr(args.first()?).schema;
        operand.and_then(|schema| schema.items.as_deref().or(schema.additional.as_deref()))
    }

    fn lookup(&self, name: &str) -> Option<&'s Schema> {
        let found = self.scope.iter().rev().find(|(bound, _)| bound == name);
        found.and_then(|(_, schema)| *schema)
    }
}

fn field<'s>(schema: &'s Schema, name: &str) -> Option<&'s Schema> {
    schema.field(name).map(AsRef::as_ref)
}

fn size_limit(schema: &Schema) -> Option<u64> {
    schema
        .constraints
        .max_items
        .or(schema.constraints.max_properties)
}

//! The loops of CEL: macros that the parser expands, and those with two variables, which it leaves as
//! calls.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, Expr};

/// What a loop makes of the values of its body.
#[derive(Clone, Copy)]
pub(super) enum Goal {
    /// Whether one is true.
    Exists,
    /// Whether all are true.
    All,
    /// Whether exactly one is true.
    One,
    /// A list of them.
    List,
    /// A map of them, by the first variable.
    Map,
    /// A map of their entries.
    Entries,
}

/// A loop: its goal, its one or two variables, which rounds count, and what each yields.
pub(super) struct Loop<'e> {
    pub goal: Goal,
    pub first: &'e str,
    pub second: Option<&'e str>,
    pub filter: Option<&'e IdedExpr>,
    pub body: &'e IdedExpr,
}

impl<'e> Loop<'e> {
    /// The loop that the parser has expanded: the form of its step tells its goal.
    pub fn of(expanded: &'e ComprehensionExpr) -> Option<Self> {
        let (goal, filter, body) = goal_of(&expanded.loop_step)?;
        Some(Loop {
            goal,
            first: &expanded.iter_var,
            second: expanded.iter_var2.as_deref(),
            filter,
            body,
        })
    }

    /// The loop with two variables that stands as a call.
    pub fn called(call: &'e CallExpr) -> Option<Self> {
        call.target.as_ref()?;
        let goal = match call.func_name.as_str() {
            "all" => Goal::All,
            "exists" => Goal::Exists,
            "existsOne" | "exists_one" => Goal::One,
            "transformList" => Goal::List,
            "transformMap" => Goal::Map,
            "transformMapEntry" => Goal::Entries,
            _ => return None,
        };
        let [first, second, filter @ .., body] = call.args.as_slice() else {
            return None;
        };
        Some(Loop {
            goal,
            first: name_of(first)?,
            second: Some(name_of(second)?),
            filter: filter.first(),
            body,
        })
    }
}

/// The name that an expression is.
pub(super) fn name_of(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Ident(name) => Some(name),
        _ => None,
    }
}

/// The goal of a step, its filter and its body.
fn goal_of(step: &IdedExpr) -> Option<(Goal, Option<&IdedExpr>, &IdedExpr)> {
    let Expr::Call(call) = &step.expr else {
        return None;
    };
    match (call.func_name.as_str(), call.args.as_slice()) {
        ("_&&_", [_, body]) => Some((Goal::All, None, body)),
        ("_||_", [_, body]) => Some((Goal::Exists, None, body)),
        ("_+_", [_, list]) => match &list.expr {
            Expr::List(list) => Some((Goal::List, None, list.elements.first()?)),
            _ => None,
        },
        ("_?_:_", [filter, step, _]) => match goal_of(step) {
            Some((goal, _, body)) => Some((goal, Some(filter), body)),
            None => Some((Goal::One, None, filter)),
        },
        _ => None,
    }
}

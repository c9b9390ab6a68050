//! Evaluation of the macros.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr};

use super::{Evaluation, Fault, Outcome, insert};
use crate::validation::cel::functions;
use crate::validation::cel::loops::{Goal, Loop, name_of};
use crate::validation::cel::value::Val;

impl<'e> Evaluation<'e> {
    /// A loop that the parser has expanded.
    pub(super) fn expanded(&mut self, expanded: &'e ComprehensionExpr) -> Outcome {
        let plan = Loop::of(expanded).ok_or_else(Fault::no_overload)?;
        let range = self.expr(&expanded.iter_range)?;
        self.run(&range, &plan)
    }

    /// The outcome of a macro that stands as a call; `None` if it is none.
    pub(super) fn macro_call(&mut self, call: &'e CallExpr) -> Option<Outcome> {
        let target = call.target.as_deref()?;
        if let Some(plan) = Loop::called(call) {
            return Some(self.expr(target).and_then(|range| self.run(&range, &plan)));
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (name @ ("optMap" | "optFlatMap" | "sortBy"), [variable, body]) => {
                Some(self.one_variable(name, target, name_of(variable)?, body))
            }
            _ => None,
        }
    }

    fn one_variable(
        &mut self,
        macro_name: &str,
        target: &'e IdedExpr,
        name: &'e str,
        body: &'e IdedExpr,
    ) -> Outcome {
        match self.expr(target)? {
            Val::List(list) if macro_name == "sortBy" => {
                let mut keys = Vec::with_capacity(list.items.len());
                for item in &list.items {
                    keys.push(self.with([(name, item.clone())], body)?);
                }
                functions::sort_by(&list.items, &keys)
            }
            none @ Val::Optional(None) if macro_name != "sortBy" => Ok(none),
            Val::Optional(Some(held)) if macro_name != "sortBy" => {
                let made = self.with([(name, held.as_ref().clone())], body)?;
                Ok(if macro_name == "optMap" {
                    Val::some(made)
                } else {
                    made
                })
            }
            _ => Err(Fault::no_overload()),
        }
    }

    fn with<const N: usize>(
        &mut self,
        variables: [(&'e str, Val); N],
        body: &'e IdedExpr,
    ) -> Outcome {
        self.spend(1)?;
        let before = self.variables.len();
        self.variables.extend(variables);
        let outcome = self.expr(body);
        self.variables.truncate(before);
        outcome
    }

    /// Runs the body for each item that the filter lets through, until `each` has what it wants.
    fn rounds(
        &mut self,
        range: &Val,
        plan: &Loop<'e>,
        mut each: impl FnMut(&Val, Outcome) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let mut round = |first: Val, second: Val| {
            let variables = [
                (plan.first, first.clone()),
                (plan.second.unwrap_or_default(), second),
            ];
            let truth = match plan.filter {
                Some(filter) => self.with(variables.clone(), filter)?,
                None => Val::Bool(true),
            };
            match truth {
                Val::Bool(true) => {}
                Val::Bool(false) => return Ok(true),
                _ => return Err(Fault::no_overload()),
            }
            match self.with(variables, plan.body) {
                Err(Fault::Cancelled) => Err(Fault::Cancelled),
                outcome => each(&first, outcome),
            }
        };
        match range {
            Val::List(list) => {
                for (index, item) in (0..).zip(&list.items) {
                    let index = Val::Int(index);
                    let goes_on = match plan.second {
                        Some(_) => round(index, item.clone()),
                        None => round(item.clone(), index),
                    };
                    if !goes_on? {
                        break;
                    }
                }
            }
            Val::Map(map) => {
                for (key, value) in map.iter() {
                    if !round(key.value(), value.clone())? {
                        break;
                    }
                }
            }
            _ => return Err(Fault::no_overload()),
        }
        Ok(())
    }

    fn run(&mut self, range: &Val, plan: &Loop<'e>) -> Outcome {
        match plan.goal {
            Goal::Exists => self.quantified(range, plan, true),
            Goal::All => self.quantified(range, plan, false),
            Goal::One => {
                let mut count = 0;
                self.rounds(range, plan, |_, outcome| match outcome? {
                    Val::Bool(truth) => {
                        count += u64::from(truth);
                        Ok(true)
                    }
                    _ => Err(Fault::no_overload()),
                })?;
                Ok(Val::Bool(count == 1))
            }
            Goal::List => {
                let mut items = Vec::new();
                self.rounds(range, plan, |_, outcome| {
                    items.push(outcome?);
                    Ok(true)
                })?;
                Ok(Val::list(items))
            }
            Goal::Map | Goal::Entries => {
                let mut fields = BTreeMap::new();
                self.rounds(range, plan, |first, outcome| {
                    match (plan.goal, outcome?) {
                        (Goal::Map, value) => {
                            let key = first.key().ok_or_else(Fault::no_overload)?;
                            insert(&mut fields, key, value)?;
                        }
                        (_, Val::Map(entries)) => {
                            for (key, value) in entries.iter() {
                                insert(&mut fields, key.clone(), value.clone())?;
                            }
                        }
                        _ => return Err(Fault::no_overload()),
                    }
                    Ok(true)
                })?;
                Ok(Val::Map(Arc::new(fields)))
            }
        }
    }

    /// One round of value `decisive` decides, even if others cannot be evaluated.
    fn quantified(&mut self, range: &Val, plan: &Loop<'e>, decisive: bool) -> Outcome {
        let mut decided = false;
        let mut fault = None;
        self.rounds(range, plan, |_, outcome| {
            match outcome {
                Ok(Val::Bool(truth)) => decided = truth == decisive,
                Ok(_) => {
                    fault.get_or_insert_with(Fault::no_overload);
                }
                Err(found) => {
                    fault.get_or_insert(found);
                }
            }
            Ok(!decided)
        })?;
        match fault {
            Some(fault) if !decided => Err(fault),
            _ => Ok(Val::Bool(decided == decisive)),
        }
    }
}

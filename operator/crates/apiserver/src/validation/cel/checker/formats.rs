//! Calls of `format` with a text and arguments that are written out: whether they fit together.

use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};

use super::{Checker, Issue, text_of};
use crate::validation::cel::functions::format::{Clause, filled};
use crate::validation::cel::types::Head;

/// What is wrong, and with which argument, if with one.
struct Wrong {
    id: Option<u64>,
    text: String,
}

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Wrong { id: None, text }
    }
}

impl Checker<'_> {
    pub(super) fn check_format(&mut self, id: u64, call: &CallExpr) {
        let text = call.target.as_deref().and_then(text_of);
        let (Some(text), [list]) = (text, call.args.as_slice()) else {
            return;
        };
        let Expr::List(list) = &list.expr else {
            return;
        };
        let given = list.elements.len();
        let write = |clause: Clause, at: usize| match list.elements.get(at) {
            Some(argument) => self.fits(clause, argument).map(|()| String::new()),
            None => Ok(String::new()),
        };
        let (id, text) = match filled(text, given, write) {
            Ok((_, used)) if given > used => {
                let text = format!(
                    "too many arguments supplied to string.format (expected {used}, got {given})"
                );
                (id, text)
            }
            Ok(_) => return,
            Err(wrong) => (wrong.id.unwrap_or(id), wrong.text),
        };
        self.literals.push(Issue { id, text });
    }

    fn fits(&self, clause: Clause, argument: &IdedExpr) -> Result<(), Wrong> {
        let found = self.types.get(&argument.id);
        let found = found.map(|found| self.solution.apply(found, true));
        if let Some(found) = found.filter(|found| !found.is_dyn_or_error()) {
            let kind = match &found.head {
                Head::Named("timestamp") => "google.protobuf.Timestamp",
                Head::Named("duration") => "google.protobuf.Duration",
                Head::Named("null") => "null_type",
                Head::Named(name) => name,
                Head::Object(place) => place,
                Head::Param(_) => return Ok(()),
            };
            clause.accepts(kind).map_err(|text| Wrong {
                id: Some(argument.id),
                text,
            })?;
        }
        match (clause, &argument.expr) {
            (Clause::Text, Expr::List(list)) => {
                let mut items = list.elements.iter();
                items.try_for_each(|item| self.fits(clause, item))
            }
            (Clause::Text, Expr::Map(map)) => {
                map.entries.iter().try_for_each(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => {
                        self.fits(clause, &entry.key)?;
                        self.fits(clause, &entry.value)
                    }
                    EntryExpr::StructField(_) => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }
}

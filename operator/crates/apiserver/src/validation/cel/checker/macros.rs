//! The macros that the parser leaves as calls: of optional values, and with two variables.

use kube_cel::cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::Checker;
use crate::validation::cel::types::Type;

impl Checker<'_> {
    /// The type of a macro; `None` if the call is none.
    pub(super) fn macro_call(&mut self, id: u64, call: &CallExpr) -> Option<Type> {
        let target = call.target.as_deref()?;
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            ("optMap" | "optFlatMap" | "sortBy", [variable, body]) => {
                let variable = self.simple_name(variable);
                let target = self.expr(target);
                Some(self.one_variable(id, name, target, variable, body))
            }
            (
                "all" | "exists" | "existsOne" | "exists_one" | "transformList" | "transformMap"
                | "transformMapEntry",
                [first, second, filter @ .., body],
            ) if filter.is_empty() || (filter.len() == 1 && name.starts_with("transform")) => {
                let names = [self.simple_name(first), self.simple_name(second)];
                if names[0] == names[1] {
                    self.wrong(second.id, format!("duplicate variable name: {}", names[0]));
                }
                Some(self.two_variables(id, name, target, names, filter.first(), body))
            }
            _ => None,
        }
    }

    fn simple_name(&mut self, name: &IdedExpr) -> String {
        if let Expr::Ident(name) = &name.expr {
            return name.clone();
        }
        self.wrong(name.id, "argument must be a simple name".into());
        String::new()
    }

    fn with<const N: usize>(&mut self, variables: [(String, Type); N], body: &IdedExpr) -> Type {
        let before = self.variables.len();
        self.variables.extend(variables);
        let found = self.expr(body);
        self.variables.truncate(before);
        found
    }

    fn one_variable(
        &mut self,
        id: u64,
        name: &str,
        target: Type,
        variable: String,
        body: &IdedExpr,
    ) -> Type {
        if name == "sortBy" {
            let item = match self.solution.apply(&target, false) {
                found if found.is("list") => found.part(0),
                _ => Type::dyn_type(),
            };
            let key = self.with([(variable, item)], body);
            let keys = Type::of("list", vec![key]);
            return self.resolve(id, "@sortByAssociatedKeys", true, vec![target, keys]);
        }
        let held = self.resolve(id, "value", true, vec![target]);
        let found = self.with([(variable, held)], body);
        if name == "optMap" {
            return Type::of("optional_type", vec![found]);
        }
        let none = self.unknown();
        let none = Type::of("optional_type", vec![none]);
        self.resolve(id, "_?_:_", false, vec![Type::named("bool"), found, none])
    }

    fn two_variables(
        &mut self,
        id: u64,
        name: &str,
        range: &IdedExpr,
        names: [String; 2],
        filter: Option<&IdedExpr>,
        body: &IdedExpr,
    ) -> Type {
        let (first, second) = self.range(range, true);
        let [first_name, second_name] = names;
        let variables = [(first_name, first.clone()), (second_name, second)];
        let truth = Type::named("bool");
        if let Some(filter) = filter {
            let found = self.with(variables.clone(), filter);
            self.demand(filter.id, &found, &truth);
        }
        let found = self.with(variables, body);
        let (item, value) = (self.unknown(), self.unknown());
        let map = Type::of("map", vec![item.clone(), value]);
        match name {
            "transformList" => {
                let none = Type::of("list", vec![item]);
                let one = Type::of("list", vec![found]);
                self.resolve(id, "_+_", false, vec![none, one])
            }
            "transformMap" => self.resolve(id, "cel.@mapInsert", false, vec![map, first, found]),
            "transformMapEntry" => self.resolve(id, "cel.@mapInsert", false, vec![map, found]),
            _ => {
                self.demand(body.id, &found, &truth);
                truth
            }
        }
    }
}

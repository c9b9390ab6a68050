//! The type of a CEL expression, told before any value is there, by the rules of the language and
//! the types that the schema declares.
//!
//! What it refuses could never be evaluated to a value of the right type. What it cannot judge is
//! `dyn` and left to the evaluation.

mod formats;
mod macros;

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr,
    SelectExpr,
};

use super::eval::{Fault, literal_value};
use super::functions;
use super::overloads::{self, PARAMS};
use super::types::{Head, Solution, Type, list};
use crate::schema::{Kind, Schema};
use crate::validation::convert;

/// As deep as Kubernetes parses expressions.
const DEPTH_MAX: usize = 250;

/// The names of types, which are values.
const TYPES: [&str; 16] = [
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "int",
    "list",
    "map",
    "net.CIDR",
    "net.IP",
    "null_type",
    "string",
    "timestamp",
    "uint",
];

/// Something wrong with the expression number `id`.
#[derive(Debug)]
pub(super) struct Issue {
    pub id: u64,
    pub text: String,
}

/// What the names in a rule stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'s> {
    /// The schema of `self`.
    pub schema: &'s Schema,
    /// Whether that is the schema of whole objects.
    pub root: bool,
    /// Whether `oldSelf` may be missing, and is optional therefore.
    pub optional_old: bool,
}

/// Why there is no program for an expression.
#[derive(Debug)]
pub(super) enum Refusal {
    /// These are wrong with it.
    Issues(Vec<Issue>),
    /// A part of it that does not depend on anything cannot be evaluated.
    Constant(String),
}

/// The types of the parts of an expression, by their numbers.
pub(super) type Types = HashMap<u64, Type>;

/// The types of the parts of `expression`, or what is wrong with it.
pub(super) fn check(expression: &IdedExpr, scope: Scope<'_>) -> Result<Types, Refusal> {
    let mut checker = Checker::default();
    let root = scope.root || scope.schema.embedded_resource;
    let this = checker
        .declared(scope.schema, "selfType", root)
        .unwrap_or_else(Type::dyn_type);
    let old = if scope.optional_old {
        Type::of("optional_type", vec![this.clone()])
    } else {
        this.clone()
    };
    checker.variables = vec![("self".into(), this), ("oldSelf".into(), old)];
    checker.expr(expression);
    if checker.issues.is_empty() {
        checker.issues = std::mem::take(&mut checker.literals);
        checker.check_alike();
    }
    match checker.constant {
        _ if !checker.issues.is_empty() => Err(Refusal::Issues(checker.issues)),
        Some(fault) => Err(Refusal::Constant(fault)),
        None => {
            let types = checker.types.into_iter();
            let closed = types.map(|(id, found)| (id, checker.solution.apply(&found, true)));
            Ok(closed.collect())
        }
    }
}

/// Literals in one list (or keys, or values of a map), which have to be of one type.
type Alike = Vec<(u64, Type)>;

#[derive(Default)]
struct Checker<'s> {
    /// Where the objects among the types are declared; `true` where they are whole objects.
    objects: HashMap<Arc<str>, (&'s Schema, bool)>,
    variables: Vec<(String, Type)>,
    types: Types,
    solution: Solution,
    unknowns: u32,
    depth: usize,
    /// How many calls of `format` stand around, whose lists mix types.
    formats: usize,
    alike: Vec<Alike>,
    /// What is wrong with literals, told when nothing else is wrong.
    literals: Vec<Issue>,
    /// Why a constant cannot be evaluated.
    constant: Option<String>,
    issues: Vec<Issue>,
}

impl<'s> Checker<'s> {
    /// The type of the values of `schema`; `None` where rules cannot see them.
    fn declared(&mut self, schema: &'s Schema, place: &str, root: bool) -> Option<Type> {
        if schema.int_or_string {
            return Some(Type::dyn_type());
        }
        let below = |checker: &mut Self, schema: &'s Schema, part: &str| {
            checker.declared(schema, &format!("{place}.{part}"), schema.embedded_resource)
        };
        let format = schema.constraints.format.as_deref().unwrap_or_default();
        Some(match schema.kind? {
            Kind::Array => Type::of("list", vec![below(self, schema.items.as_deref()?, "@idx")?]),
            Kind::Object => match schema.additional.as_deref() {
                Some(values) => {
                    let values = below(self, values, "@elem")?;
                    Type::of("map", vec![Type::named("string"), values])
                }
                None => {
                    let place: Arc<str> = place.into();
                    self.objects.insert(place.clone(), (schema, root));
                    let (head, args) = (Head::Object(place), Vec::new());
                    Type { head, args }
                }
            },
            Kind::String => Type::named(match format {
                "byte" => "bytes",
                "duration" => "duration",
                "date" | "date-time" => "timestamp",
                _ => "string",
            }),
            Kind::Boolean => Type::named("bool"),
            Kind::Number => Type::named("double"),
            Kind::Integer => Type::named("int"),
        })
    }

    /// The type of the field `name` of the object at `place`.
    fn field(&mut self, place: &str, name: &str) -> Option<Type> {
        let Some((schema, root)) = self.objects.get(place).copied() else {
            // `metadata` of a whole object: of that, rules see the names.
            return ["name", "generateName"]
                .contains(&name)
                .then(|| Type::named("string"));
        };
        let below = format!("{place}.{name}");
        match name {
            "apiVersion" | "kind" if root => return Some(Type::named("string")),
            "metadata" if root => {
                let (head, args) = (Head::Object(below.into()), Vec::new());
                return Some(Type { head, args });
            }
            _ => {}
        }
        let reserved = format!("__{name}__");
        let (_, field) = schema.properties.iter().find(|(property, _)| {
            convert::escape(property)
                .is_some_and(|escaped| *escaped == *name || *escaped == *reserved)
        })?;
        self.declared(field, &below, field.embedded_resource)
    }

    fn expr(&mut self, expression: &IdedExpr) -> Type {
        if self.depth >= DEPTH_MAX {
            let text = format!("expression recursion limit exceeded: {DEPTH_MAX}");
            return self.wrong(expression.id, text);
        }
        self.depth += 1;
        let found = match &expression.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(name) => self.name(expression.id, name),
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression.id, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(loops) => self.comprehension(loops),
            Expr::Struct(made) => self.undeclared(expression.id, &made.type_name),
            Expr::Unspecified => Type::dyn_type(),
        };
        self.depth -= 1;
        let found = found.bounded();
        self.types.insert(expression.id, found.clone());
        found
    }

    fn wrong(&mut self, id: u64, text: String) -> Type {
        self.issues.push(Issue { id, text });
        Type::error()
    }

    fn undeclared(&mut self, id: u64, name: &str) -> Type {
        let text = format!("undeclared reference to '{name}' (in container '')");
        self.wrong(id, text)
    }

    fn mismatch(&mut self, id: u64, expected: &Type, found: &Type) -> Type {
        let text = format!("expected type '{expected}' but found '{found}'");
        self.wrong(id, text)
    }

    fn unknown(&mut self) -> Type {
        self.unknowns += 1;
        Type::param(PARAMS + self.unknowns)
    }

    fn name(&mut self, id: u64, name: &str) -> Type {
        let mut variables = self.variables.iter().rev();
        let found = variables.find(|(own, _)| own == name);
        let found = found.map(|(_, found)| found.clone());
        match found.or_else(|| type_named(name)) {
            Some(found) => found,
            None => self.undeclared(id, name),
        }
    }

    fn select(&mut self, expression: &IdedExpr, select: &SelectExpr) -> Type {
        if let Some(found) = qualified(expression).and_then(|name| type_named(&name)) {
            return found;
        }
        let found = self.selected(expression.id, &select.operand, &select.field, false);
        if select.test {
            Type::named("bool")
        } else {
            found
        }
    }

    /// The field of what `operand` yields; `optional` if it may be missing.
    fn selected(&mut self, id: u64, operand: &IdedExpr, field: &str, optional: bool) -> Type {
        let operand = self.expr(operand);
        let (operand, was_optional) = self.solution.apply(&operand, false).unwrap_optional();
        let found = match &operand.head {
            Head::Object(place) => match self.field(place, field) {
                Some(found) => found,
                None => self.wrong(id, format!("undefined field '{field}'")),
            },
            Head::Named("map") => operand.part(1),
            Head::Param(_) => {
                self.solution.fit(&[Type::dyn_type()], &[operand]);
                Type::dyn_type()
            }
            Head::Named(_) if operand.is_dyn_or_error() => Type::dyn_type(),
            Head::Named(name) if name.starts_with("kubernetes.") => {
                self.wrong(id, format!("undefined field '{field}'"))
            }
            Head::Named(_) => {
                let text = format!("type '{operand}' does not support field selection");
                self.wrong(id, text)
            }
        };
        if optional || was_optional {
            Type::of("optional_type", vec![found])
        } else {
            found
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Type {
        let name = call.func_name.as_str();
        if let ("_?._", [operand, field]) = (name, call.args.as_slice()) {
            let field = text_of(field).unwrap_or_default();
            return self.selected(id, operand, field, true);
        }
        self.formats += usize::from(name == "format");
        let result = match self.macro_call(id, call) {
            Some(result) => result,
            None => self.plain_call(id, name, call),
        };
        self.formats -= usize::from(name == "format");
        result
    }

    fn plain_call(&mut self, id: u64, name: &str, call: &CallExpr) -> Type {
        let mut args: Vec<_> = call.args.iter().map(|arg| self.expr(arg)).collect();
        if let Some(arg) = call.args.first() {
            self.check_constant(name, arg);
        }
        let Some(target) = call.target.as_deref() else {
            if matches!(name, "_&&_" | "_||_") {
                return self.logical(call, &args);
            }
            return self.resolve(id, name, false, args);
        };
        let full = qualified(target).map(|prefix| format!("{prefix}.{name}"));
        if let Some(full) = full.filter(|full| overloads::of(full).is_some()) {
            return self.resolve(id, &full, false, args);
        }
        args.insert(0, self.expr(target));
        if name == "format" {
            self.check_format(id, call);
        }
        self.resolve(id, name, true, args)
    }

    /// Literals as arguments of a function are judged at once.
    fn check_constant(&mut self, name: &str, arg: &IdedExpr) {
        let Expr::Literal(literal) = &arg.expr else {
            return;
        };
        let text = text_of(arg);
        let fault = match name {
            "matches" | "find" | "findAll" => text.and_then(|text| functions::pattern(text).err()),
            "bool" | "bytes" | "double" | "duration" | "int" | "string" | "timestamp" | "uint" => {
                functions::convert(name, &literal_value(literal)).err()
            }
            _ => None,
        };
        match (name, fault) {
            ("matches" | "duration" | "timestamp", Some(_)) => {
                let (id, text) = (arg.id, format!("invalid {name} argument"));
                self.literals.push(Issue { id, text });
            }
            (_, Some(Fault::Error(text))) => {
                self.constant.get_or_insert(text);
            }
            _ => {}
        }
    }

    fn logical(&mut self, call: &CallExpr, args: &[Type]) -> Type {
        let truth = Type::named("bool");
        for (arg, found) in call.args.iter().zip(args) {
            self.demand(arg.id, found, &truth);
        }
        truth
    }

    fn demand(&mut self, id: u64, found: &Type, expected: &Type) {
        if !self
            .solution
            .fit(std::slice::from_ref(expected), std::slice::from_ref(found))
        {
            let found = self.solution.apply(found, true);
            self.mismatch(id, expected, &found);
        }
    }

    /// The type that the overloads of `name` which take `args` return.
    fn resolve(&mut self, id: u64, name: &str, member: bool, args: Vec<Type>) -> Type {
        let Some(overloads) = overloads::of(name) else {
            return self.undeclared(id, name);
        };
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|one| one.member == member) {
            let mut fresh = HashMap::new();
            let mut open = |of: &Type| self.instance(of, &mut fresh);
            let wanted: Vec<_> = overload.args.iter().map(&mut open).collect();
            let returned = open(&overload.result);
            if !self.solution.fit(&args, &wanted) {
                continue;
            }
            let returned = self.solution.apply(&returned, false);
            result = Some(match result {
                Some(before) if !before.is("dyn") && before != returned => Type::dyn_type(),
                Some(before) => before,
                None => returned,
            });
        }
        result.unwrap_or_else(|| {
            let args: Vec<_> = args
                .iter()
                .map(|arg| self.solution.apply(arg, true))
                .collect();
            let applied = match args.split_first() {
                Some((target, rest)) if member => format!("{target}.({})", list(rest)),
                _ => format!("({})", list(&args)),
            };
            let text = format!("found no matching overload for '{name}' applied to '{applied}'");
            self.wrong(id, text)
        })
    }

    /// A type of the table with its capital letters as unknowns of their own.
    fn instance(&mut self, of: &Type, fresh: &mut HashMap<u32, Type>) -> Type {
        match of.head {
            Head::Param(number) => fresh
                .entry(number)
                .or_insert_with(|| {
                    self.unknowns += 1;
                    Type::param(PARAMS + self.unknowns)
                })
                .clone(),
            _ => Type {
                head: of.head.clone(),
                args: of
                    .args
                    .iter()
                    .map(|arg| self.instance(arg, fresh))
                    .collect(),
            },
        }
    }

    fn list(&mut self, list: &ListExpr) -> Type {
        let mut alike = Alike::new();
        let mut joined = None;
        for (index, element) in list.elements.iter().enumerate() {
            let optional = list.optional_indices.contains(&index);
            let found = self.element(element, optional);
            joined = Some(self.join(joined, &found));
            alike.push((element.id, found));
        }
        self.note(alike);
        let item = joined.unwrap_or_else(|| self.unknown());
        Type::of("list", vec![item])
    }

    fn map(&mut self, map: &MapExpr) -> Type {
        let (mut keys, mut values) = (Alike::new(), Alike::new());
        let (mut key_type, mut value_type) = (None, None);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                continue;
            };
            let key = self.expr(&entry.key);
            key_type = Some(self.join(key_type, &key));
            keys.push((entry.key.id, key));
            let value = self.element(&entry.value, entry.optional);
            value_type = Some(self.join(value_type, &value));
            values.push((entry.value.id, value));
        }
        self.note(keys);
        self.note(values);
        let key = key_type.unwrap_or_else(|| self.unknown());
        let value = value_type.unwrap_or_else(|| self.unknown());
        Type::of("map", vec![key, value])
    }

    /// An element of a literal; an optional one counts by what it may hold.
    fn element(&mut self, element: &IdedExpr, optional: bool) -> Type {
        let found = self.expr(element);
        if !optional {
            return found;
        }
        let (inner, was_optional) = self.solution.apply(&found, false).unwrap_optional();
        if !was_optional && !inner.is_dyn_or_error() {
            let expected = Type::of("optional_type", vec![inner.clone()]);
            return self.mismatch(element.id, &expected, &inner);
        }
        inner
    }

    fn join(&mut self, before: Option<Type>, found: &Type) -> Type {
        match before {
            None => found.clone(),
            Some(before) => {
                let pair = std::slice::from_ref(&before);
                if self.solution.fit(pair, std::slice::from_ref(found)) {
                    before.more_general(found.clone())
                } else {
                    Type::dyn_type()
                }
            }
        }
    }

    fn note(&mut self, alike: Alike) {
        if self.formats == 0 && alike.len() > 1 {
            self.alike.push(alike);
        }
    }

    fn check_alike(&mut self) {
        for alike in std::mem::take(&mut self.alike) {
            let mut types = alike
                .into_iter()
                .map(|(id, found)| (id, self.solution.apply(&found, true)));
            let Some((_, first)) = types.next() else {
                continue;
            };
            let other = types.find(|(_, found)| *found != first);
            drop(types);
            if let Some((id, other)) = other {
                self.mismatch(id, &first, &other);
            }
        }
    }

    fn comprehension(&mut self, loops: &ComprehensionExpr) -> Type {
        let (first, second) = self.range(&loops.iter_range, loops.iter_var2.is_some());
        let accumulated = self.expr(&loops.accu_init);
        let before = self.variables.len();
        self.variables
            .push((loops.accu_var.clone(), accumulated.clone()));
        self.variables.push((loops.iter_var.clone(), first));
        if let Some(name) = &loops.iter_var2 {
            self.variables.push((name.clone(), second));
        }
        let goes_on = self.expr(&loops.loop_cond);
        self.demand(loops.loop_cond.id, &goes_on, &Type::named("bool"));
        let step = self.expr(&loops.loop_step);
        self.demand(loops.loop_step.id, &step, &accumulated);
        self.variables.truncate(before + 1);
        let result = self.expr(&loops.result);
        self.variables.truncate(before);
        self.solution.apply(&result, false)
    }

    /// The types of the variables of a loop over `range`: the items of a list or keys of a map; with
    /// two variables, index and item, or key and value.
    fn range(&mut self, range: &IdedExpr, two: bool) -> (Type, Type) {
        let found = self.expr(range);
        let found = self.solution.apply(&found, false);
        match found.head {
            Head::Named("list") if two => (Type::named("int"), found.part(0)),
            Head::Named("list" | "map") => (found.part(0), found.part(1)),
            Head::Named(_) | Head::Object(_) if !found.is_dyn_or_error() => {
                let text = format!(
                    "expression of type '{found}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                (self.wrong(range.id, text), Type::error())
            }
            _ => {
                self.solution.fit(&[Type::dyn_type()], &[found]);
                (Type::dyn_type(), Type::dyn_type())
            }
        }
    }
}

fn literal_type(literal: &LiteralValue) -> Type {
    Type::named(match literal {
        LiteralValue::Boolean(_) => "bool",
        LiteralValue::Bytes(_) => "bytes",
        LiteralValue::Double(_) => "double",
        LiteralValue::Int(_) => "int",
        LiteralValue::Null => "null",
        LiteralValue::String(_) => "string",
        LiteralValue::UInt(_) => "uint",
    })
}

/// The text of a literal.
pub(super) fn text_of(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn type_named(name: &str) -> Option<Type> {
    let known = match name {
        "type" => return Some(Type::of("type", vec![Type::named("type")])),
        _ => TYPES.into_iter().find(|known| *known == name)?,
    };
    let parts = match known {
        "list" => vec![Type::dyn_type()],
        "map" => vec![Type::dyn_type(), Type::dyn_type()],
        _ => Vec::new(),
    };
    Some(Type::of("type", vec![Type::of(known, parts)]))
}

/// `a.b.c`, if the expression is nothing but names.
pub(super) fn qualified(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}

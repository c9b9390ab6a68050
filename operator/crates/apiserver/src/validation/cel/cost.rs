//! What a rule may cost at most, estimated from the bounds in the schema.
//!
//! The estimate decides which rules a definition may have, so it is Kubernetes', unit by unit: a name
//! or a field costs one, what looks through a text a tenth of its length, a loop as often its body as
//! the list can be long. What has no bound of its own is bounded by the size of a request.

mod functions;

use std::collections::HashMap;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};

use super::loops::{Goal, Loop};
use super::types::{Head, Type};
use crate::schema::{Kind, Schema};
use crate::validation::convert;

/// The most bytes that a request may have.
const REQUEST: u64 = 3 << 20;

/// The cost of `expression` at most, whose parts have `types`, and in which `self` has `schema`.
pub(super) fn estimate(expression: &IdedExpr, types: &HashMap<u64, Type>, schema: &Schema) -> u64 {
    let mut walk = Walk {
        types,
        root: schema,
        variables: Vec::new(),
    };
    walk.expr(expression).cost
}

/// How many values of a schema one request can have at most.
pub(crate) fn most_of(schema: &Schema) -> u64 {
    REQUEST / (shortest(schema) + 1)
}

/// The length of the shortest JSON that a value of the schema can have.
fn shortest(schema: &Schema) -> u64 {
    let format = schema.constraints.format.as_deref().unwrap_or_default();
    match schema.kind {
        _ if schema.int_or_string => 1,
        Some(Kind::Boolean) => 4,
        Some(Kind::Integer | Kind::Number) => 1,
        Some(Kind::String) => match format {
            "duration" => 3,
            "date" => 12,
            "date-time" => 21,
            _ => 2,
        },
        Some(Kind::Object) if schema.additional.is_none() => {
            let field = |name: &String| match schema.properties.get(name) {
                Some(below) if below.default.is_none() => name.len() as u64 + 4 + shortest(below),
                _ => 0,
            };
            2 + schema.required.iter().map(field).sum::<u64>()
        }
        _ => 2,
    }
}

/// How long a text, list or map of the schema can be; nothing else has a length.
fn longest(schema: &Schema) -> u64 {
    let bounds = &schema.constraints;
    let letters = bounds.max_length.map(|most| most.saturating_mul(4));
    match schema.kind {
        _ if schema.int_or_string => letters.unwrap_or(REQUEST - 2),
        Some(Kind::Array) => bounds.max_items.unwrap_or_else(|| {
            let item = schema.items.as_deref().map_or(2, shortest);
            (REQUEST - 2) / (item + 1)
        }),
        Some(Kind::Object) => schema.additional.as_deref().map_or(0, |value| {
            bounds
                .max_properties
                .unwrap_or_else(|| (REQUEST - 2) / (shortest(value) + 6))
        }),
        Some(Kind::String) => match bounds.format.as_deref() {
            Some("duration" | "date-time") => 32,
            Some("date") => 12,
            Some("byte") => bounds.max_length.unwrap_or(REQUEST - 2),
            _ if letters.is_none() && !bounds.one_of.is_empty() => {
                let length = |one: &serde_json::Value| one.as_str().map_or(0, str::len) as u64;
                bounds.one_of.iter().map(length).max().unwrap_or_default()
            }
            _ => letters.unwrap_or(REQUEST - 2),
        },
        _ => 0,
    }
}

/// Where in the schema a value comes from.
#[derive(Clone, Copy)]
enum Place<'s> {
    At(&'s Schema),
    /// The keys of a map; they count as nothing.
    Keys,
    Unknown,
}

impl Place<'_> {
    /// The size that the schema gives to what comes from there.
    fn size(self) -> Option<Size> {
        match self {
            Place::At(schema) => Some((0, longest(schema))),
            Place::Keys => Some((0, 0)),
            Place::Unknown => None,
        }
    }
}

/// How long something is at least and at most.
type Size = (u64, u64);

const UNKNOWN: Size = (0, u64::MAX);

fn union(a: Size, b: Size) -> Size {
    (a.0.min(b.0), a.1.max(b.1))
}

/// What is known of a part of the expression.
#[derive(Clone, Copy, Default)]
struct Node<'s> {
    cost: u64,
    place: Option<Place<'s>>,
    size: Option<Size>,
    /// The sizes of keys and values, of literals and what loops make.
    entries: Option<(Size, Size)>,
    /// The value of a literal.
    number: Option<i64>,
}

impl Node<'_> {
    fn size(&self) -> Size {
        self.size.unwrap_or(UNKNOWN)
    }
}

/// What a walk through a list or map reaches.
#[derive(Clone, Copy)]
enum Step<'n> {
    Items,
    Keys,
    Indices,
    Field(&'n str),
}

struct Walk<'s, 't> {
    types: &'t HashMap<u64, Type>,
    root: &'s Schema,
    /// The variables of loops, innermost last.
    variables: Vec<(String, Node<'s>)>,
}

impl<'s> Walk<'s, '_> {
    fn kind(&self, expression: &IdedExpr) -> &Type {
        const DYN: &Type = &Type {
            head: Head::Named("dyn"),
            args: Vec::new(),
        };
        self.types.get(&expression.id).unwrap_or(DYN)
    }

    /// What a step from somewhere leads to. What comes from nowhere counts as the root.
    fn step(&self, from: Option<Place<'s>>, step: Step<'_>) -> Option<Place<'s>> {
        let Some(from) = from else {
            return Some(Place::At(self.root));
        };
        let Place::At(schema) = from else {
            return Some(Place::Unknown);
        };
        let below = match step {
            Step::Keys if schema.additional.is_some() => return Some(Place::Keys),
            Step::Keys | Step::Indices => None,
            Step::Items => schema.items.as_ref().or(schema.additional.as_ref()),
            Step::Field(_) if schema.additional.is_some() => None,
            Step::Field(name) => schema
                .properties
                .iter()
                .find(|(own, _)| convert::escape(own).is_some_and(|own| own == name))
                .map(|(_, below)| below),
        };
        Some(below.map_or(Place::Unknown, |below| Place::At(below)))
    }

    /// The node with the size that its place or its type gives it, if it has none.
    fn sized(&self, mut node: Node<'s>, kind: &Type) -> Node<'s> {
        if node.size.is_none() {
            let scalar = is_scalar(kind).then_some((1, 1));
            node.size = node.place.and_then(Place::size).or(scalar);
        }
        node
    }

    fn expr(&mut self, expression: &IdedExpr) -> Node<'s> {
        let node = match &expression.expr {
            Expr::Literal(literal) => literal_node(literal),
            Expr::Ident(name) => {
                let mut variables = self.variables.iter().rev();
                let place = Some(Place::At(self.root));
                let global = Node {
                    place,
                    ..Node::default()
                };
                let found = variables.find(|(own, _)| own == name);
                let mut node = found.map_or(global, |(_, node)| *node);
                node.cost = 1;
                node
            }
            // The name of a type, as `net.IP`.
            Expr::Select(select) if !self.types.contains_key(&select.operand.id) => Node {
                cost: 1,
                place: Some(Place::At(self.root)),
                ..Node::default()
            },
            Expr::Select(select) => {
                let operand = self.expr(&select.operand);
                if select.test {
                    let cost = operand.cost;
                    let size = Some((1, 1));
                    return Node {
                        cost,
                        size,
                        ..Node::default()
                    };
                }
                let selects = match &self.kind(&select.operand).head {
                    Head::Named(name) => *name == "map" || name.starts_with("kubernetes."),
                    Head::Object(_) | Head::Param(_) => true,
                };
                Node {
                    cost: operand.cost.saturating_add(u64::from(selects)),
                    place: self.step(operand.place, Step::Field(&select.field)),
                    ..Node::default()
                }
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let nodes: Vec<_> = list.elements.iter().map(|part| self.expr(part)).collect();
                let item = nodes.iter().map(Node::size).reduce(union).unwrap_or((0, 0));
                let count = nodes.len() as u64;
                Node {
                    cost: total(&nodes).saturating_add(10),
                    size: Some((count, count)),
                    entries: Some(((1, 1), item)),
                    ..Node::default()
                }
            }
            Expr::Map(map) => self.map(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Comprehension(expanded) => match Loop::of(expanded) {
                Some(plan) => self.loops(&expanded.iter_range, &plan),
                None => Node::default(),
            },
            Expr::Struct(_) | Expr::Unspecified => Node::default(),
        };
        self.sized(node, self.kind(expression))
    }

    fn map<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>) -> Node<'s> {
        let mut node = Node {
            cost: 30,
            ..Node::default()
        };
        let mut count = 0;
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else {
                continue;
            };
            let (key, value) = (self.expr(&entry.key), self.expr(&entry.value));
            node.cost = node.cost.saturating_add(total(&[key, value]));
            let (keys, values) = node.entries.unwrap_or((key.size(), value.size()));
            node.entries = Some((union(keys, key.size()), union(values, value.size())));
            count += 1;
        }
        node.size = Some((count, count));
        node.entries = node.entries.or(Some(((0, 0), (0, 0))));
        node
    }

    fn call(&mut self, call: &CallExpr) -> Node<'s> {
        if let (Some(target), Some(plan)) = (call.target.as_deref(), Loop::called(call)) {
            return self.loops(target, &plan);
        }
        if let Some(node) = self.one_variable(call) {
            return node;
        }
        let target = call
            .target
            .as_deref()
            .filter(|target| self.types.contains_key(&target.id));
        let parts: Vec<_> = target.into_iter().chain(&call.args).collect();
        let nodes: Vec<_> = parts.iter().map(|part| self.expr(part)).collect();
        let kinds: Vec<&Type> = parts.iter().map(|part| self.kind(part)).collect();
        let costs = nodes.iter().map(|node| node.cost);
        let name = call.func_name.as_str();
        match (name, nodes.as_slice()) {
            ("_?_:_", [condition, yes, no]) => Node {
                cost: condition.cost.saturating_add(yes.cost.max(no.cost)),
                size: Some(union(yes.size(), no.size())),
                entries: yes
                    .entries
                    .zip(no.entries)
                    .map(|(yes, no)| (union(yes.0, no.0), union(yes.1, no.1))),
                ..Node::default()
            },
            ("_&&_" | "_||_", _) => Node {
                cost: costs.fold(0, u64::saturating_add),
                ..Node::default()
            },
            ("dyn", [inner]) => Node {
                cost: inner.cost.saturating_add(1),
                number: None,
                place: None,
                ..*inner
            },
            _ => {
                let list = nodes.first().and_then(|first| first.place);
                let items = list.and_then(|list| self.step(Some(list), Step::Items));
                let item = items.and_then(Place::size).unwrap_or(UNKNOWN);
                let (own, size) = functions::cost(name, target.is_some(), &nodes, &kinds, item);
                let mut node = Node {
                    cost: costs.fold(own, u64::saturating_add),
                    size,
                    ..Node::default()
                };
                match (name, nodes.as_slice()) {
                    ("_[_]", [container, _]) if !self.kind(parts[0]).is("optional_type") => {
                        node.size = container.entries.map(|(_, value)| value);
                        node.place = self.step(container.place, Step::Items);
                    }
                    ("_+_", [a, b]) => {
                        node.entries = a
                            .entries
                            .zip(b.entries)
                            .map(|(a, b)| (union(a.0, b.0), union(a.1, b.1)));
                    }
                    _ => {}
                }
                node
            }
        }
    }

    /// The body with variables of its own.
    fn with(&mut self, variables: &[(&str, Node<'s>)], body: &IdedExpr) -> Node<'s> {
        let before = self.variables.len();
        let variables = variables.iter();
        self.variables
            .extend(variables.map(|(name, node)| ((*name).to_owned(), *node)));
        let node = self.expr(body);
        self.variables.truncate(before);
        node
    }

    fn loops(&mut self, range: &IdedExpr, plan: &Loop<'_>) -> Node<'s> {
        let source = self.expr(range);
        let kind = self.kind(range).clone();
        let is_list = kind.is("list");
        let variable = |walk: &Self, step, size: Option<Size>, kind: &Type| {
            let place = walk.step(source.place, step);
            let known = walk.sized(
                Node {
                    place,
                    ..Node::default()
                },
                kind,
            );
            Node {
                size: known.size.or(size),
                ..known
            }
        };
        let keys = source.entries.map(|(key, _)| key);
        let values = source.entries.map(|(_, value)| value);
        let variables = match (plan.second, is_list) {
            (None, true) => vec![(
                plan.first,
                variable(self, Step::Items, values, &kind.part(0)),
            )],
            (None, false) => vec![(plan.first, variable(self, Step::Keys, keys, &kind.part(0)))],
            (Some(second), _) => {
                let (first, key, value) = if is_list {
                    (Step::Indices, Type::named("int"), kind.part(0))
                } else {
                    (Step::Keys, kind.part(0), kind.part(1))
                };
                vec![
                    (plan.first, variable(self, first, keys, &key)),
                    (second, variable(self, Step::Items, values, &value)),
                ]
            }
        };
        let filter = plan.filter.map(|filter| self.with(&variables, filter).cost);
        let body = self.with(&variables, plan.body);
        // What beginning, each round and the end cost besides.
        let (begin, round, end) = match plan.goal {
            Goal::All => (0, 3, 1),
            Goal::Exists => (0, 4, 1),
            Goal::One => (0, 2, 2),
            Goal::List => (10, 12, 1),
            Goal::Map => (30, 3, 1),
            Goal::Entries => (30, 2, 1),
        };
        let round = body
            .cost
            .saturating_add(round)
            .saturating_add(filter.unwrap_or(0));
        let rounds = source.size();
        let makes = matches!(plan.goal, Goal::List | Goal::Map | Goal::Entries);
        Node {
            cost: source
                .cost
                .saturating_add(begin + end)
                .saturating_add(rounds.1.saturating_mul(round)),
            size: Some(if makes { rounds } else { (1, 1) }),
            entries: matches!(plan.goal, Goal::List).then(|| ((1, 1), union((0, 0), body.size()))),
            ..Node::default()
        }
    }

    /// Macros that bind a variable once: they name what they are called on a second time.
    fn one_variable(&mut self, call: &CallExpr) -> Option<Node<'s>> {
        let target = call.target.as_deref()?;
        let (name, [Expr::Ident(variable), _], [_, body]) = (
            call.func_name.as_str(),
            [&call.args.first()?.expr, &call.args.get(1)?.expr],
            call.args.as_slice(),
        ) else {
            return None;
        };
        match name {
            "optMap" | "optFlatMap" => {
                let held = self.expr(target);
                let kind = self.kind(target).part(0);
                let bound = self.sized(Node::default(), &kind);
                let body = self.with(&[(variable, bound)], body);
                let wrapped = u64::from(name == "optMap");
                Some(Node {
                    cost: held
                        .cost
                        .saturating_mul(2)
                        .saturating_add(body.cost)
                        .saturating_add(12 + wrapped),
                    size: is_scalar(&kind).then_some((1, 1)).or(Some(UNKNOWN)),
                    ..Node::default()
                })
            }
            "sortBy" => {
                let plan = Loop {
                    goal: Goal::List,
                    first: variable,
                    second: None,
                    filter: None,
                    body,
                };
                let length = self.expr(target).size().1;
                let keys = self.loops(target, &plan);
                let (cost, size) = functions::sorting(length, self.types.get(&body.id));
                Some(Node {
                    cost: keys.cost.saturating_add(cost).saturating_add(12),
                    size,
                    ..Node::default()
                })
            }
            _ => None,
        }
    }
}

fn total(nodes: &[Node<'_>]) -> u64 {
    let costs = nodes.iter().map(|node| node.cost);
    costs.fold(0, u64::saturating_add)
}

fn is_scalar(kind: &Type) -> bool {
    match kind.head {
        Head::Named("bool" | "double" | "duration" | "int" | "timestamp" | "uint") => true,
        Head::Named("optional_type") => is_scalar(&kind.part(0)),
        _ => false,
    }
}

fn literal_node<'s>(literal: &LiteralValue) -> Node<'s> {
    let (size, number) = match literal {
        LiteralValue::String(text) => (text.inner().chars().count() as u64, None),
        LiteralValue::Bytes(bytes) => (bytes.inner().len() as u64, None),
        LiteralValue::Int(number) => (1, Some(*number.inner())),
        _ => (1, None),
    };
    Node {
        size: Some((size, size)),
        number,
        ..Node::default()
    }
}

//! The values of CEL.
//!
//! They are cheap to copy, so that an evaluation hands them around; and lists of the schema know what
//! identifies their items, for those are equal in any order, and grow by what they do not have yet.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, TimeDelta};
use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{self, Opaque, OptionalValue};

/// A value.
#[derive(Clone)]
pub(crate) enum Val {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<String>),
    Bytes(Arc<Vec<u8>>),
    Timestamp(DateTime<FixedOffset>),
    Duration(TimeDelta),
    List(Arc<List>),
    Map(Arc<BTreeMap<Key, Val>>),
    Optional(Option<Arc<Val>>),
    Type(Arc<String>),
    /// What the library has of its own, as IP addresses.
    Opaque(Arc<dyn Opaque>),
}

/// A list.
#[derive(Clone, Default)]
pub(crate) struct List {
    pub items: Vec<Val>,
    pub identity: Identity,
}

/// What makes an item of a list the one that it is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Identity {
    /// Its position.
    #[default]
    Position,
    /// Its value: the list is a set.
    Value,
    /// These of its fields.
    Fields(Arc<[String]>),
}

/// The key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<String>),
}

impl Key {
    pub fn value(&self) -> Val {
        match self {
            Key::Bool(flag) => Val::Bool(*flag),
            Key::Int(number) => Val::Int(*number),
            Key::Uint(number) => Val::Uint(*number),
            Key::String(text) => Val::String(text.clone()),
        }
    }
}

impl Val {
    pub fn text(text: impl Into<String>) -> Self {
        Val::String(Arc::new(text.into()))
    }

    pub fn list(items: Vec<Val>) -> Self {
        let identity = Identity::Position;
        Val::List(Arc::new(List { items, identity }))
    }

    pub fn map(fields: BTreeMap<Key, Val>) -> Self {
        Val::Map(Arc::new(fields))
    }

    pub fn some(value: Val) -> Self {
        Val::Optional(Some(Arc::new(value)))
    }

    /// The name of its type.
    pub fn type_name(&self) -> &str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::String(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::Timestamp(_) => "google.protobuf.Timestamp",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::List(_) => "list",
            Val::Map(_) => "map",
            Val::Optional(_) => "optional_type",
            Val::Type(_) => "type",
            Val::Opaque(own) => match own.runtime_type_name() {
                "kubernetes.IP" => "net.IP",
                "kubernetes.CIDR" => "net.CIDR",
                other => other,
            },
        }
    }

    /// How much there is of it: characters, bytes, items, entries.
    pub fn size(&self) -> Option<usize> {
        match self {
            Val::String(text) => Some(text.chars().count()),
            Val::Bytes(bytes) => Some(bytes.len()),
            Val::List(list) => Some(list.items.len()),
            Val::Map(map) => Some(map.len()),
            _ => None,
        }
    }

    /// The key of a map that this value can be.
    pub fn key(&self) -> Option<Key> {
        match self {
            Val::Bool(flag) => Some(Key::Bool(*flag)),
            Val::Int(number) => Some(Key::Int(*number)),
            Val::Uint(number) => Some(match i64::try_from(*number) {
                Ok(number) => Key::Int(number),
                Err(_) => Key::Uint(*number),
            }),
            Val::Double(number) if number.fract() == 0.0 && number.abs() < 9.0e18 => {
                Some(Key::Int(*number as i64))
            }
            Val::String(text) => Some(Key::String(text.clone())),
            _ => None,
        }
    }

    /// The order of two values of one type, or of two numbers.
    pub fn compare(&self, other: &Val) -> Option<Ordering> {
        match (self, other) {
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
            (Val::Uint(a), Val::Uint(b)) => Some(a.cmp(b)),
            (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
            (Val::Int(a), Val::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Val::Uint(a), Val::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Val::Int(a), Val::Double(b)) => compare_numbers(i128::from(*a), *b),
            (Val::Uint(a), Val::Double(b)) => compare_numbers(i128::from(*a), *b),
            (Val::Double(a), Val::Int(b)) => {
                compare_numbers(i128::from(*b), *a).map(Ordering::reverse)
            }
            (Val::Double(a), Val::Uint(b)) => {
                compare_numbers(i128::from(*b), *a).map(Ordering::reverse)
            }
            (Val::String(a), Val::String(b)) => Some(a.cmp(b)),
            (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Val::Timestamp(a), Val::Timestamp(b)) => Some(a.cmp(b)),
            (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// A text that equal values have in common and others do not.
    fn mark(&self) -> String {
        let all = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
        match self {
            Val::Double(number) if number.fract() == 0.0 && number.abs() < 1.0e15 => {
                (*number as i64).to_string()
            }
            Val::Int(number) => number.to_string(),
            Val::Uint(number) => number.to_string(),
            Val::Double(number) => number.to_string(),
            Val::String(text) => format!("{text:?}"),
            Val::Bytes(bytes) => format!("b{bytes:?}"),
            Val::Timestamp(time) => {
                format!("t{}.{}", time.timestamp(), time.timestamp_subsec_nanos())
            }
            Val::Duration(span) => format!("d{span}"),
            Val::List(list) => format!("[{}]", all(&mut list.items.iter().map(Val::mark))),
            Val::Map(map) => {
                let mut entries = map.iter();
                let entries = &mut entries
                    .by_ref()
                    .map(|(key, value)| format!("{}:{}", key.value().mark(), value.mark()));
                format!("{{{}}}", all(entries))
            }
            Val::Bool(flag) => flag.to_string(),
            other => other.type_name().to_owned(),
        }
    }

    fn field(&self, name: &str) -> Option<&Val> {
        match self {
            Val::Map(map) => map.get(&Key::String(Arc::new(name.to_owned()))),
            _ => None,
        }
    }
}

/// A whole number and one with a fraction. No double between the two is lost by the conversion that
/// could change the order.
fn compare_numbers(whole: i128, other: f64) -> Option<Ordering> {
    if other.is_nan() {
        None
    } else if other >= 1.0e20 {
        Some(Ordering::Less)
    } else if other <= -1.0e20 {
        Some(Ordering::Greater)
    } else {
        let floor = other.floor() as i128;
        Some(whole.cmp(&floor).then(if other.fract() == 0.0 {
            Ordering::Equal
        } else {
            Ordering::Less
        }))
    }
}

impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::List(a), Val::List(b)) => a == b,
            (Val::Map(a), Val::Map(b)) => a == b,
            (Val::Optional(a), Val::Optional(b)) => a == b,
            (Val::Type(a), Val::Type(b)) => a == b,
            (Val::Opaque(a), Val::Opaque(b)) => a.opaque_eq(b.as_ref()),
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        if self.items.len() != other.items.len() {
            return false;
        }
        if matches!(self.identity, Identity::Position) {
            return self.items == other.items;
        }
        let places = self.places();
        let found = |item: &Val| {
            let at = places.get(&self.mark_of(item));
            at.is_some_and(|at| self.items[*at] == *item)
        };
        other.items.iter().all(found)
    }
}

impl List {
    /// What tells an item from others.
    fn mark_of(&self, item: &Val) -> String {
        match &self.identity {
            Identity::Fields(names) => {
                let marks = names.iter().map(|name| item.field(name).map(Val::mark));
                marks
                    .map(Option::unwrap_or_default)
                    .collect::<Vec<_>>()
                    .join(",")
            }
            Identity::Position | Identity::Value => item.mark(),
        }
    }

    /// Where the items are, by their marks.
    fn places(&self) -> HashMap<String, usize> {
        let items = self.items.iter().enumerate();
        items.map(|(at, item)| (self.mark_of(item), at)).collect()
    }

    /// The list with `more` behind it, or in the place of what it identifies.
    pub fn with(mut self, more: &[Val]) -> Self {
        if matches!(self.identity, Identity::Position) {
            self.items.extend_from_slice(more);
            return self;
        }
        let mut places = self.places();
        for item in more {
            let at = *places.entry(self.mark_of(item)).or_insert(self.items.len());
            match self.items.get_mut(at) {
                Some(own) => *own = item.clone(),
                None => self.items.push(item.clone()),
            }
        }
        self
    }
}

/// For the functions of the library; types are no values there.
impl From<&Val> for Cel {
    fn from(value: &Val) -> Self {
        match value {
            Val::Null | Val::Type(_) => Cel::Null,
            Val::Bool(flag) => Cel::Bool(*flag),
            Val::Int(number) => Cel::Int(*number),
            Val::Uint(number) => Cel::UInt(*number),
            Val::Double(number) => Cel::Float(*number),
            Val::String(text) => Cel::String(text.clone()),
            Val::Bytes(bytes) => Cel::Bytes(bytes.clone()),
            Val::Timestamp(time) => Cel::Timestamp(*time),
            Val::Duration(duration) => Cel::Duration(*duration),
            Val::List(list) => Cel::List(Arc::new(list.items.iter().map(Cel::from).collect())),
            Val::Map(map) => {
                let key = |key: &Key| match key {
                    Key::Bool(flag) => objects::Key::Bool(*flag),
                    Key::Int(number) => objects::Key::Int(*number),
                    Key::Uint(number) => objects::Key::Uint(*number),
                    Key::String(text) => objects::Key::String(text.clone()),
                };
                let entries = map
                    .iter()
                    .map(|(name, value)| (key(name), Cel::from(value)));
                let map = Arc::new(entries.collect::<HashMap<_, _>>());
                Cel::Map(objects::Map { map })
            }
            Val::Optional(held) => Cel::Opaque(Arc::new(match held {
                Some(held) => OptionalValue::of(Cel::from(held.as_ref())),
                None => OptionalValue::none(),
            })),
            Val::Opaque(own) => Cel::Opaque(own.clone()),
        }
    }
}

impl From<&Cel> for Val {
    fn from(value: &Cel) -> Self {
        match value {
            Cel::Null | Cel::Function(..) => Val::Null,
            Cel::Bool(flag) => Val::Bool(*flag),
            Cel::Int(number) => Val::Int(*number),
            Cel::UInt(number) => Val::Uint(*number),
            Cel::Float(number) => Val::Double(*number),
            Cel::String(text) => Val::String(text.clone()),
            Cel::Bytes(bytes) => Val::Bytes(bytes.clone()),
            Cel::Timestamp(time) => Val::Timestamp(*time),
            Cel::Duration(duration) => Val::Duration(*duration),
            Cel::List(items) => Val::list(items.iter().map(Val::from).collect()),
            Cel::Map(map) => {
                let key = |key: &objects::Key| match key {
                    objects::Key::Bool(flag) => Key::Bool(*flag),
                    objects::Key::Int(number) => Key::Int(*number),
                    objects::Key::Uint(number) => Key::Uint(*number),
                    objects::Key::String(text) => Key::String(text.clone()),
                };
                let entries = map.map.iter();
                Val::map(
                    entries
                        .map(|(name, value)| (key(name), Val::from(value)))
                        .collect(),
                )
            }
            Cel::Opaque(own) => match own.downcast_ref::<OptionalValue>() {
                Some(held) => Val::Optional(held.value().map(|held| Arc::new(Val::from(held)))),
                None => Val::Opaque(own.clone()),
            },
        }
    }
}

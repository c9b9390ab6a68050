//! The types of CEL expressions, and which of them fit which.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A type of more parts than this is taken as `dyn`: real ones have a dozen, and macros can be nested
/// so that each doubles the size of the type before it.
const PARTS_MAX: usize = 500;

/// A type: what it is, and of what (the items of a list, the keys and values of a map).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Type {
    pub head: Head,
    pub args: Vec<Type>,
}

/// What a type is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Head {
    /// A type that everybody knows by its name, as `int`, `list` or `net.IP`.
    Named(&'static str),
    /// An object of the schema, by its place.
    Object(Arc<str>),
    /// A type that is not known yet.
    Param(u32),
}

impl Type {
    pub fn named(name: &'static str) -> Self {
        Self::of(name, Vec::new())
    }

    pub fn of(name: &'static str, args: Vec<Type>) -> Self {
        let head = Head::Named(name);
        Self { head, args }
    }

    pub fn param(number: u32) -> Self {
        let (head, args) = (Head::Param(number), Vec::new());
        Self { head, args }
    }

    pub fn dyn_type() -> Self {
        Self::named("dyn")
    }

    /// The type of what is wrong already; it fits everywhere, so that one error is told once.
    pub fn error() -> Self {
        Self::named("!error!")
    }

    pub fn is(&self, name: &str) -> bool {
        matches!(self.head, Head::Named(own) if own == name)
    }

    pub fn is_dyn_or_error(&self) -> bool {
        self.is("dyn") || self.is("!error!")
    }

    /// Without `optional_type`, and whether that was there.
    pub fn unwrap_optional(self) -> (Self, bool) {
        if !self.is("optional_type") {
            return (self, false);
        }
        let inner = self.args.into_iter().next();
        (inner.unwrap_or_else(Type::dyn_type), true)
    }

    /// The part number `index`, as the values of a map.
    pub fn part(&self, index: usize) -> Type {
        self.args.get(index).cloned().unwrap_or_else(Type::dyn_type)
    }

    /// The type itself, unless it has become too large to reason about.
    pub fn bounded(self) -> Type {
        fn parts(of: &Type) -> usize {
            1 + of.args.iter().map(parts).sum::<usize>()
        }
        if parts(&self) > PARTS_MAX {
            Type::dyn_type()
        } else {
            self
        }
    }

    /// Whether `null` is a value of it: of objects, and of what the library has of its own.
    fn nullable(&self) -> bool {
        match self.head {
            Head::Object(_) => true,
            Head::Named(name) => {
                ["null", "timestamp", "duration", "optional_type"].contains(&name)
                    || name.contains('.')
            }
            Head::Param(_) => false,
        }
    }

    /// Whether it is `other`, or says less than it.
    fn says_no_more_than(&self, other: &Type) -> bool {
        let open = |of: &Type| of.is("dyn") || matches!(of.head, Head::Param(_));
        open(self)
            || (!open(other)
                && self.head == other.head
                && (self.is("type")
                    || self.args.len() == other.args.len()
                        && self
                            .args
                            .iter()
                            .zip(&other.args)
                            .all(|(own, other)| own.says_no_more_than(other))))
    }

    pub fn more_general(self, other: Type) -> Type {
        if self.says_no_more_than(&other) {
            self
        } else {
            other
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.head {
            Head::Named(name) => f.write_str(name)?,
            Head::Object(place) => f.write_str(place)?,
            Head::Param(number) => write!(f, "_var{number}")?,
        }
        if !self.args.is_empty() {
            write!(f, "({})", list(&self.args))?;
        }
        Ok(())
    }
}

/// Types with commas between them.
pub(super) fn list(types: &[Type]) -> String {
    let texts: Vec<_> = types.iter().map(Type::to_string).collect();
    texts.join(", ")
}

/// What the types that were not known have turned out to be.
#[derive(Debug, Default)]
pub(super) struct Solution {
    known: HashMap<u32, Type>,
    /// What was known before of those that are being tried, for going back.
    tried: Vec<(u32, Option<Type>)>,
}

impl Solution {
    /// Whether each of `from` fits the one of `to` at its place; if so, what follows is kept.
    pub fn fit(&mut self, from: &[Type], to: &[Type]) -> bool {
        let fits = self.fit_all(from, to);
        let tried = std::mem::take(&mut self.tried);
        for (number, before) in tried.into_iter().rev().filter(|_| !fits) {
            match before {
                Some(before) => self.known.insert(number, before),
                None => self.known.remove(&number),
            };
        }
        fits
    }

    fn know(&mut self, number: u32, found: Type) {
        let before = self.known.insert(number, found);
        self.tried.push((number, before));
    }

    fn fit_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        from.len() == to.len() && from.iter().zip(to).all(|(from, to)| self.fits(from, to))
    }

    fn fits(&mut self, from: &Type, to: &Type) -> bool {
        if let Head::Param(number) = to.head {
            let (valid, known) = self.solve(from, to, number);
            if valid || known {
                return valid;
            }
        }
        if let Head::Param(number) = from.head {
            return self.solve(to, from, number).0;
        }
        if from.is_dyn_or_error() || to.is_dyn_or_error() {
            return true;
        }
        if from.is("null") {
            return to.nullable();
        }
        if to.is("null") {
            return from.nullable();
        }
        // A type as a value is compared with any other.
        from.head == to.head && (from.is("type") || self.fit_all(&from.args, &to.args))
    }

    /// Whether the unknown type `number` can be `other`, and whether it was known already.
    fn solve(&mut self, other: &Type, param: &Type, number: u32) -> (bool, bool) {
        if other == param {
            return (true, true);
        }
        let Some(known) = self.known.get(&number).cloned() else {
            let free = !self.occurs(number, other);
            if free {
                self.know(number, other.clone());
            }
            return (free, false);
        };
        if known == *other {
            return (true, true);
        }
        let fits = self.fits(other, &known);
        if fits {
            let general = other.clone().more_general(known);
            if !self.occurs(number, &general) {
                self.know(number, general);
            }
        }
        (fits, true)
    }

    fn occurs(&self, number: u32, within: &Type) -> bool {
        match within.head {
            Head::Param(own) => {
                own == number
                    || self
                        .known
                        .get(&own)
                        .is_some_and(|known| self.occurs(number, known))
            }
            _ => within.args.iter().any(|arg| self.occurs(number, arg)),
        }
    }

    /// `of` with all that is known filled in. What is not known stays, or becomes `dyn` if `close`.
    pub fn apply(&self, of: &Type, close: bool) -> Type {
        match of.head {
            Head::Param(number) => match self.known.get(&number) {
                Some(known) => self.apply(known, close),
                None if close => Type::dyn_type(),
                None => of.clone(),
            },
            _ => Type {
                head: of.head.clone(),
                args: of.args.iter().map(|arg| self.apply(arg, close)).collect(),
            },
        }
    }
}

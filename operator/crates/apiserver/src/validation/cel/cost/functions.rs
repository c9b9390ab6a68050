//! What calls of functions may cost at most, and how long their results can be.

use super::{Head, Node, REQUEST, Size, Type, UNKNOWN};

/// A share of a size, rounded up: `size * by / of`.
fn share(size: u64, by: u64, of: u64) -> u64 {
    if size == u64::MAX {
        return size;
    }
    size.saturating_mul(by).div_ceil(of)
}

fn tenth(size: u64) -> u64 {
    share(size, 1, 10)
}

fn plus(a: Size, b: Size) -> Size {
    (a.0.saturating_add(b.0), a.1.saturating_add(b.1))
}

/// The cost of a call without that of its arguments, and the size of its result. `item` is the size of
/// the items of the first argument.
pub(super) fn cost(
    name: &str,
    member: bool,
    nodes: &[Node<'_>],
    kinds: &[&Type],
    item: Size,
) -> (u64, Option<Size>) {
    let size = |at: usize| nodes.get(at).map_or(UNKNOWN, Node::size);
    let (first, second) = (size(0).1, size(1).1);
    let texts = |at: usize| {
        let kind = kinds.get(at);
        kind.is_some_and(|kind| kind.is("string") || kind.is("bytes") || kind.is("dyn"))
    };
    let number = |at: usize| nodes.get(at).and_then(|node| node.number);
    let cost = match name {
        "_==_" | "_!=_" => return (equality(name, nodes, kinds), None),
        "_<_" | "_<=_" | "_>_" | "_>=_" if texts(0) && texts(1) => tenth(first.min(second)),
        "_+_" => return concatenation(size(0), size(1), kinds),
        "@in" => match kinds.get(1) {
            Some(kind) if kind.is("map") => 1,
            _ => second,
        },
        "startsWith" | "endsWith" => tenth(second),
        "matches" if member => tenth(first.saturating_add(1)).saturating_mul(share(second, 1, 4)),
        "contains" | "intersects" if !member => first.saturating_mul(second).saturating_add(1),
        "equivalent" => first
            .saturating_mul(second)
            .saturating_mul(2)
            .saturating_add(1),
        "contains" => tenth(first).saturating_mul(tenth(second)),
        "format" if member => tenth(first),
        "bytes" if texts(0) => {
            return (tenth(first), Some((size(0).0, first.saturating_mul(4))));
        }
        "string" if texts(0) && !kinds.iter().any(|kind| kind.is("string")) => {
            return (tenth(first).max(1), Some((size(0).0 / 4, first)));
        }
        "quote" => {
            let longest = first.saturating_mul(2).saturating_add(2);
            return (tenth(first), Some((size(0).0 + 2, longest)));
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" if member => {
            return (search(first, kinds, item), None);
        }
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" => {
            return (tenth(first), Some(size(0)));
        }
        "replace" => {
            return (share(first, 2, 10), Some(replaced(first, size(1), size(2))));
        }
        "split" => {
            let count = number(2).and_then(|count| u64::try_from(count).ok());
            return (share(first, 2, 10), Some((0, count.unwrap_or(first))));
        }
        "join" => {
            let mut joined = (0, first.saturating_mul(item.1));
            if nodes.len() > 1 {
                let between = second.saturating_mul(first.saturating_sub(1));
                joined = plus(joined, (0, between));
            }
            return (tenth(joined.1), Some(joined));
        }
        "find" | "findAll" => {
            let cost = tenth(first.saturating_add(1)).saturating_mul(share(second, 1, 4));
            return (cost, Some((0, first)));
        }
        "isCanonical" => share(first, 2, 10),
        "ip" if member => 1,
        "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
            tenth(first)
        }
        "containsIP" | "containsCIDR" => {
            let own = if name == "containsIP" { 4 } else { 7 };
            let parsed = if texts(1) { tenth(second) } else { 0 };
            parsed.saturating_add(own)
        }
        "validate" => tenth(second).saturating_mul(32),
        "slice" => {
            let at = |index, other| match number(index) {
                Some(number) => u64::try_from(number).unwrap_or(0),
                None => other,
            };
            return list(at(2, first).wrapping_sub(at(1, 0)), 1);
        }
        "range" => {
            let count = number(0).map(|count| u64::try_from(count).unwrap_or(0));
            return list(count.unwrap_or(u64::MAX), 1);
        }
        "reverse" => return list(first, 1),
        "flatten" => {
            let depth = number(1).map(|depth| u64::try_from(depth).unwrap_or(0));
            let depth = if nodes.len() > 1 {
                depth.unwrap_or(u64::MAX)
            } else {
                1
            };
            return list(first, depth);
        }
        "distinct" => return list(first.saturating_mul(first), 2),
        "sort" => return sorting(first, kinds.first().map(|kind| kind.part(0)).as_ref()),
        _ => 1,
    };
    (cost, None)
}

/// A function that makes a list of this size.
fn list(size: u64, by: u64) -> (u64, Option<Size>) {
    let cost = size.saturating_mul(by).saturating_add(11);
    (cost, Some((size.min(REQUEST), size)))
}

/// Putting a list with keys of this type in order.
pub(super) fn sorting(length: u64, key: Option<&Type>) -> (u64, Option<Size>) {
    let pairs = length.saturating_mul(length);
    let texts = key.is_none_or(|key| ["string", "bytes", "dyn"].iter().any(|name| key.is(name)));
    let cost = share(pairs, if texts { 21 } else { 20 }, 10);
    (cost.saturating_add(11), Some((0, pairs)))
}

fn equality(name: &str, nodes: &[Node<'_>], kinds: &[&Type]) -> u64 {
    const FIXED: [&str; 4] = [
        "net.IP",
        "net.CIDR",
        "kubernetes.Quantity",
        "kubernetes.Semver",
    ];
    let ([a, b], [left, right]) = (nodes, kinds) else {
        return 1;
    };
    match &left.head {
        Head::Named(kind) if name == "_==_" && left == right => match *kind {
            kind if FIXED.contains(&kind) => return 1,
            "kubernetes.NamedFormat" => return 7,
            "kubernetes.URL" => return b.size.map_or(1, |size| tenth(size.1)),
            _ => {}
        },
        _ => {}
    }
    tenth(a.size().1.min(b.size().1))
}

fn concatenation(a: Size, b: Size, kinds: &[&Type]) -> (u64, Option<Size>) {
    let joined = plus(a, b);
    let any = |name: &str| kinds.iter().any(|kind| kind.is(name));
    let open = kinds.iter().all(|kind| kind.is("dyn"));
    if any("string") || any("bytes") || open {
        (tenth(joined.1).max(1), Some(joined))
    } else if any("list") {
        (1, Some(joined))
    } else {
        (1, None)
    }
}

/// A search through a list with items of a size, or through a text.
fn search(length: u64, kinds: &[&Type], item: Size) -> u64 {
    match kinds.first() {
        Some(kind) if !kind.args.is_empty() => {
            let looked = match kind.part(0) {
                part if part.is("string") || part.is("bytes") => tenth(item.1),
                _ => 0,
            };
            length.saturating_mul(looked.saturating_add(1))
        }
        _ => tenth(length),
    }
}

/// How long a text of at most `length` can become.
fn replaced(length: u64, old: Size, new: Size) -> Size {
    let longest = if old.0 == 0 {
        length
            .saturating_add(1)
            .saturating_mul(new.1)
            .saturating_add(length)
    } else if new.1 <= old.0 {
        length
    } else {
        length.div_ceil(old.0).saturating_mul(new.1)
    };
    (0, longest)
}

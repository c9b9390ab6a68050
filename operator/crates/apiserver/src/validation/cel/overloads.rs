//! The functions that rules may call, with the types that they take and return.
//!
//! One line per function: its name, and its overloads. `(int, [A]) A` takes an integer and a list
//! and returns an item of it; `string.(int) bool` is called on a string; `{K: V}` is a map, `?V` an
//! optional value. Capital letters stand for any type.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::types::Type;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    /// Whether the first argument stands before the dot.
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
}

/// How many types of an overload may be open: one for each capital letter.
pub(super) const PARAMS: u32 = 26;

/// The overloads of the function `name`.
pub(super) fn of(name: &str) -> Option<&'static [Overload]> {
    static TABLE: LazyLock<HashMap<&str, Vec<Overload>>> = LazyLock::new(read);
    TABLE.get(name).map(Vec::as_slice)
}

const COMPARED: &str = "(bool, bool) bool; (int, int) bool; (int, double) bool; (int, uint) bool; (uint, uint) bool; (uint, double) bool; (uint, int) bool; (double, double) bool; (double, int) bool; (double, uint) bool; (string, string) bool; (bytes, bytes) bool; (timestamp, timestamp) bool; (duration, duration) bool";

const FUNCTIONS: &str = "
_?_:_ (bool, A, A) A
_&&_ (bool, bool) bool
_||_ (bool, bool) bool
!_ (bool) bool
@not_strictly_false (bool) bool
_==_ (A, A) bool
_!=_ (A, A) bool
_+_ (bytes, bytes) bytes; (double, double) double; (duration, duration) duration; (duration, timestamp) timestamp; (timestamp, duration) timestamp; (int, int) int; ([A], [A]) [A]; (string, string) string; (uint, uint) uint
_-_ (double, double) double; (duration, duration) duration; (int, int) int; (timestamp, duration) timestamp; (timestamp, timestamp) duration; (uint, uint) uint
_*_ (double, double) double; (int, int) int; (uint, uint) uint
_/_ (double, double) double; (int, int) int; (uint, uint) uint
_%_ (int, int) int; (uint, uint) uint
-_ (double) double; (int) int
_[_] ([A], int) A; ({A: B}, A) B; (?[V], int) ?V; (?{K: V}, K) ?V
_[?_] ([V], int) ?V; (?[V], int) ?V; ({K: V}, K) ?V; (?{K: V}, K) ?V
@in (A, [A]) bool; (A, {A: B}) bool
cel.@mapInsert ({K: V}, K, V) {K: V}; ({K: V}, {K: V}) {K: V}
@sortByAssociatedKeys [T].([int]) [T]; [T].([uint]) [T]; [T].([double]) [T]; [T].([bool]) [T]; [T].([duration]) [T]; [T].([timestamp]) [T]; [T].([string]) [T]; [T].([bytes]) [T]
size (bytes) int; bytes.() int; ([A]) int; [A].() int; ({A: B}) int; {A: B}.() int; (string) int; string.() int
type (A) type(A)
bool (bool) bool; (string) bool
bytes (bytes) bytes; (string) bytes
double (double) double; (int) double; (string) double; (uint) double
duration (duration) duration; (int) duration; (string) duration
dyn (A) dyn
int (int) int; (double) int; (duration) int; (string) int; (timestamp) int; (uint) int
string (string) string; (bool) string; (bytes) string; (double) string; (duration) string; (int) string; (timestamp) string; (uint) string; (net.IP) string; (net.CIDR) string
timestamp (timestamp) timestamp; (int) timestamp; (string) timestamp
uint (uint) uint; (double) uint; (int) uint; (string) uint
contains string.(string) bool
endsWith string.(string) bool
startsWith string.(string) bool
matches (string, string) bool; string.(string) bool
getFullYear timestamp.() int; timestamp.(string) int
getMonth timestamp.() int; timestamp.(string) int
getDayOfYear timestamp.() int; timestamp.(string) int
getDayOfMonth timestamp.() int; timestamp.(string) int
getDate timestamp.() int; timestamp.(string) int
getDayOfWeek timestamp.() int; timestamp.(string) int
getHours timestamp.() int; timestamp.(string) int; duration.() int
getMinutes timestamp.() int; timestamp.(string) int; duration.() int
getSeconds timestamp.() int; timestamp.(string) int; duration.() int
getMilliseconds timestamp.() int; timestamp.(string) int; duration.() int
optional.of (V) ?V
optional.ofNonZeroValue (V) ?V
optional.none () ?V
optional.unwrap ([?V]) [V]
unwrapOpt [?V].() [V]
value ?V.() V
hasValue ?V.() bool
or ?V.(?V) ?V
orValue ?V.(V) V
first [V].() ?V
last [V].() ?V
charAt string.(int) string
indexOf string.(string) int; string.(string, int) int; [A].(A) int
lastIndexOf string.(string) int; string.(string, int) int; [A].(A) int
lowerAscii string.() string
upperAscii string.() string
replace string.(string, string) string; string.(string, string, int) string
split string.(string) [string]; string.(string, int) [string]
substring string.(int) string; string.(int, int) string
trim string.() string
format string.([dyn]) string
strings.quote (string) string
join [string].() string; [string].(string) string
find string.(string) string
findAll string.(string) [string]; string.(string, int) [string]
isSorted [int].() bool; [uint].() bool; [double].() bool; [bool].() bool; [duration].() bool; [timestamp].() bool; [string].() bool; [bytes].() bool
sum [int].() int; [uint].() uint; [double].() double; [duration].() duration
max [int].() int; [uint].() uint; [double].() double; [bool].() bool; [duration].() duration; [timestamp].() timestamp; [string].() string; [bytes].() bytes
min [int].() int; [uint].() uint; [double].() double; [bool].() bool; [duration].() duration; [timestamp].() timestamp; [string].() string; [bytes].() bytes
sort [int].() [int]; [uint].() [uint]; [double].() [double]; [bool].() [bool]; [duration].() [duration]; [timestamp].() [timestamp]; [string].() [string]; [bytes].() [bytes]
slice [T].(int, int) [T]
flatten [[T]].() [T]; [dyn].(int) [dyn]
lists.range (int) [int]
reverse [T].() [T]
distinct [T].() [T]
sets.contains ([T], [T]) bool
sets.equivalent ([T], [T]) bool
sets.intersects ([T], [T]) bool
url (string) kubernetes.URL
isURL (string) bool
getScheme kubernetes.URL.() string
getHost kubernetes.URL.() string
getHostname kubernetes.URL.() string
getPort kubernetes.URL.() string
getEscapedPath kubernetes.URL.() string
getQuery kubernetes.URL.() {string: [string]}
ip (string) net.IP; net.CIDR.() net.IP
ip.isCanonical (string) bool
isIP (string) bool
family net.IP.() int
isUnspecified net.IP.() bool
isLoopback net.IP.() bool
isLinkLocalMulticast net.IP.() bool
isLinkLocalUnicast net.IP.() bool
isGlobalUnicast net.IP.() bool
cidr (string) net.CIDR
isCIDR (string) bool
containsIP net.CIDR.(string) bool; net.CIDR.(net.IP) bool
containsCIDR net.CIDR.(string) bool; net.CIDR.(net.CIDR) bool
prefixLength net.CIDR.() int
masked net.CIDR.() net.CIDR
quantity (string) kubernetes.Quantity
isQuantity (string) bool
sign (kubernetes.Quantity) int
isGreaterThan kubernetes.Quantity.(kubernetes.Quantity) bool; kubernetes.Semver.(kubernetes.Semver) bool
isLessThan kubernetes.Quantity.(kubernetes.Quantity) bool; kubernetes.Semver.(kubernetes.Semver) bool
compareTo kubernetes.Quantity.(kubernetes.Quantity) int; kubernetes.Semver.(kubernetes.Semver) int
asApproximateFloat kubernetes.Quantity.() double
asInteger kubernetes.Quantity.() int
isInteger kubernetes.Quantity.() bool
add kubernetes.Quantity.(kubernetes.Quantity) kubernetes.Quantity; kubernetes.Quantity.(int) kubernetes.Quantity
sub kubernetes.Quantity.(kubernetes.Quantity) kubernetes.Quantity; kubernetes.Quantity.(int) kubernetes.Quantity
semver (string) kubernetes.Semver; (string, bool) kubernetes.Semver
isSemver (string) bool; (string, bool) bool
major kubernetes.Semver.() int
minor kubernetes.Semver.() int
patch kubernetes.Semver.() int
validate kubernetes.NamedFormat.(string) ?[string]
format.named (string) ?kubernetes.NamedFormat
";

const COMPARISONS: [&str; 4] = ["_<_", "_<=_", "_>_", "_>=_"];
/// The functions that yield formats.
pub(super) const FORMATS: [&str; 13] = [
    "format.dns1123Label",
    "format.dns1123Subdomain",
    "format.dns1035Label",
    "format.qualifiedName",
    "format.dns1123LabelPrefix",
    "format.dns1123SubdomainPrefix",
    "format.dns1035LabelPrefix",
    "format.labelValue",
    "format.uri",
    "format.uuid",
    "format.byte",
    "format.date",
    "format.datetime",
];

fn read() -> HashMap<&'static str, Vec<Overload>> {
    let lines = FUNCTIONS
        .lines()
        .filter_map(|line| line.split_once(' '))
        .chain(COMPARISONS.map(|name| (name, COMPARED)))
        .chain(FORMATS.map(|name| (name, "() kubernetes.NamedFormat")));
    lines
        .map(|(name, overloads)| (name, overloads.split("; ").map(overload).collect()))
        .collect()
}

fn overload(text: &'static str) -> Overload {
    let mut rest = text;
    let mut args = Vec::new();
    let member = !rest.starts_with('(');
    if member {
        args.push(one(&mut rest));
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    rest = rest.strip_prefix('(').unwrap_or(rest);
    while !rest.starts_with(')') && !rest.is_empty() {
        args.push(one(&mut rest));
        rest = rest.strip_prefix(", ").unwrap_or(rest);
    }
    rest = rest.strip_prefix(") ").unwrap_or(rest);
    Overload {
        member,
        args,
        result: one(&mut rest),
    }
}

/// Reads the type that `rest` begins with.
fn one(rest: &mut &'static str) -> Type {
    let mut nested = |open: &str, close: &str, between: &str, name: &'static str| {
        *rest = rest.strip_prefix(open)?;
        let mut args = vec![one(rest)];
        if let Some(more) = rest.strip_prefix(between).filter(|_| !between.is_empty()) {
            *rest = more;
            args.push(one(rest));
        }
        *rest = rest.strip_prefix(close).unwrap_or(rest);
        Some(Type::of(name, args))
    };
    if let Some(found) = nested("[", "]", "", "list")
        .or_else(|| nested("{", "}", ": ", "map"))
        .or_else(|| nested("?", "", "", "optional_type"))
        .or_else(|| nested("type(", ")", "", "type"))
    {
        return found;
    }
    let end = rest
        .char_indices()
        .find(|(at, letter)| {
            !letter.is_ascii_alphabetic() && (*letter != '.' || rest[*at..].starts_with(".("))
        })
        .map_or(rest.len(), |(at, _)| at);
    let (name, after) = rest.split_at(end);
    *rest = after;
    match name.as_bytes() {
        [letter @ b'A'..=b'Z'] => Type::param(u32::from(letter - b'A')),
        _ => Type::named(name),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_type_of_the_table_is_read_whole() {
        let shown = |name: &str| -> Vec<String> {
            let one = |overload: &Overload| {
                let args = super::super::types::list(&overload.args);
                format!("{} ({args}) {}", overload.member, overload.result)
            };
            of(name).unwrap().iter().map(one).collect()
        };
        assert_eq!(
            shown("getQuery"),
            ["true (kubernetes.URL) map(string, list(string))"]
        );
        assert_eq!(
            shown("flatten")[0],
            "true (list(list(_var19))) list(_var19)"
        );
        assert_eq!(
            shown("_[?_]")[3],
            "false (optional_type(map(_var10, _var21)), _var10) optional_type(_var21)"
        );
        assert_eq!(shown("type"), ["false (_var0) type(_var0)"]);
        assert_eq!(shown("optional.none"), ["false () optional_type(_var21)"]);
        assert_eq!(shown("_<_").len(), 14);
        assert!(of("nosuch").is_none());
    }
}

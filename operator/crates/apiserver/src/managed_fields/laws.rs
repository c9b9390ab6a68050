//! What holds for any sequence of requests.
#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::{collection, option, sample};
use serde_json::{Map, Value, json};

use super::shape::Node;
use super::tests::{VERSION, config, ship};
use super::walk::{compare, fields_of};
use super::{ApplyError, FieldSet, Manager, PathElement, apply, entries_of, update};

fn manager(name: &str) -> Manager<'_> {
    Manager {
        name,
        subresource: None,
        kind: "Ship",
        api_version: VERSION,
        time: Timestamp::UNIX_EPOCH,
    }
}

/// Any JSON, small.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        (-2..3_i64).prop_map(|number| json!(number as f64 / 2.0)),
        "[ab]{0,1}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = prop_oneof!["[ab]", sample::select(FIELDS).prop_map(str::to_owned)];
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            collection::btree_map(names, inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Names that mean something, to get anywhere with random values.
const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "managedFields",
    "operation",
    "fieldsType",
    "fieldsV1",
    "f:spec",
    "f:crew",
    ".",
    "k:{\"deck\":1}",
    "v:1",
    "spec",
    "crew",
    "berths",
    "deck",
    "side",
    "flags",
    "route",
    "anchor",
    "engine",
    "fuel",
    "cargo",
    "status",
    "labels",
    "finalizers",
];

fn word() -> impl Strategy<Value = Value> {
    "[a-d]".prop_map(Value::from)
}

fn has_empty_map(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty() || fields.values().any(has_empty_map),
        Value::Array(items) => items.iter().any(has_empty_map),
        _ => false,
    }
}

/// A spec that fits the schema. Neither lists of elements with owners of their own nor maps that may be
/// null are empty: for those the laws do not hold, see the tests.
fn spec() -> impl Strategy<Value = Value> {
    let words = || {
        collection::btree_set("[a-d]", 1..4)
            .prop_map(|set| json!(set))
            .prop_shuffle_list()
    };
    let berth = (
        0..3_i64,
        option::of(sample::select(vec!["port", "starboard"])),
        option::of(word()),
        option::of(words()),
    );
    let berths = collection::vec(berth, 1..4).prop_map(|berths| {
        let mut seen = std::collections::BTreeSet::new();
        let berths = berths
            .into_iter()
            .filter(|(deck, side, ..)| seen.insert((*deck, side.unwrap_or("port"))));
        let berths = berths.map(|(deck, side, guest, bags)| {
            fields([
                ("deck", Some(json!(deck))),
                ("side", side.map(Value::from)),
                ("guest", guest),
                ("bags", bags),
            ])
        });
        Value::Array(berths.collect())
    });
    let anchor = (option::of(0..3_i64), option::of(word()))
        .prop_map(|(weight, kind)| fields([("weight", weight.map(Value::from)), ("kind", kind)]));
    let engine = (option::of(word()), option::of(0..3_i64))
        .prop_map(|(fuel, power)| fields([("fuel", fuel), ("power", power.map(Value::from))]));
    let goods = json_value().prop_filter("no empty map", |value| !has_empty_map(value));
    let cargo = collection::btree_map("[a-c]", goods, 0..3)
        .prop_map(|cargo| Value::Object(cargo.into_iter().collect()));
    let parts = (
        option::of((0..3_i64).prop_map(Value::from)),
        option::of(word()),
        option::of(berths),
        option::of(words()),
        option::of(collection::vec(word(), 0..3).prop_map(Value::Array)),
        option::of(anchor),
        option::of(engine),
        option::of(cargo),
    );
    parts.prop_map(
        |(crew, name, berths, flags, route, anchor, engine, cargo)| {
            fields([
                ("crew", crew),
                ("name", name),
                ("berths", berths),
                ("flags", flags),
                ("route", route),
                ("anchor", anchor),
                ("engine", engine),
                ("cargo", cargo),
            ])
        },
    )
}

fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(set.collect::<Map<_, _>>())
}

trait ShuffleList: Strategy<Value = Value> + Sized {
    fn prop_shuffle_list(self) -> impl Strategy<Value = Value> {
        self.prop_flat_map(|list| {
            Just(list.as_array().cloned().unwrap_or_default())
                .prop_shuffle()
                .prop_map(Value::Array)
        })
    }
}

impl<S: Strategy<Value = Value>> ShuffleList for S {}

#[derive(Clone, Debug)]
enum Request {
    Apply(&'static str, Value, bool),
    Update(&'static str, Value),
}

fn request() -> impl Strategy<Value = Request> {
    let who = || sample::select(vec!["ada", "bob", "eve"]);
    prop_oneof![
        (who(), spec(), any::<bool>())
            .prop_map(|(who, spec, force)| Request::Apply(who, spec, force)),
        (who(), spec()).prop_map(|(who, spec)| Request::Update(who, spec)),
    ]
}

/// The object after the requests; those that conflict change nothing.
fn after(requests: &[Request]) -> Option<Value> {
    let none = FieldSet::default();
    let mut live = None;
    for request in requests {
        live = match request {
            Request::Apply(who, spec, force) => {
                let config = config(spec.clone());
                match apply(
                    &ship(),
                    live.as_ref(),
                    &config,
                    &manager(who),
                    *force,
                    &none,
                ) {
                    Ok(object) => Some(object),
                    Err(ApplyError::Conflicts(_)) if !force => live,
                    Err(error) => panic!("{error}"),
                }
            }
            Request::Update(who, spec) => {
                let mut new = live.clone().unwrap_or_else(|| config(Value::Null));
                new["spec"] = spec.clone();
                Some(update(&ship(), live.as_ref(), new, &manager(who), &none))
            }
        };
    }
    live
}

fn entry_of(object: &Value, who: &str) -> Option<Value> {
    let entries = entries_of(object)?.as_array()?;
    let mine = |entry: &&Value| entry["manager"] == who && entry["operation"] == "Apply";
    Some(entries.iter().find(mine)?["fieldsV1"].clone())
}

/// Any set of fields.
fn field_set() -> impl Strategy<Value = FieldSet> {
    let element = prop_oneof![
        "[a-c:.]{1,2}".prop_map(PathElement::Field),
        (0..3_i64).prop_map(|key| PathElement::Key(vec![("k".into(), json!(key))])),
        word().prop_map(PathElement::Value),
        (0..2_i64).prop_map(PathElement::Index),
    ];
    collection::vec(collection::vec(element, 1..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::default();
        paths.iter().for_each(|path| set.insert(path));
        set
    })
}

proptest! {
    // A failure prints its smallest input, which then becomes a case of its own in `tests`.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_is_applying_once(requests in collection::vec(request(), 0..6), spec in spec()) {
        let none = FieldSet::default();
        let live = after(&requests);
        let config = config(spec);
        let once = apply(&ship(), live.as_ref(), &config, &manager("ada"), true, &none).unwrap();
        let later = Manager { time: Timestamp::MAX, ..manager("ada") };
        let twice = apply(&ship(), Some(&once), &config, &later, false, &none);
        prop_assert_eq!(twice, Ok(once));
    }

    #[test]
    fn the_result_contains_what_was_applied(requests in collection::vec(request(), 0..6), spec in spec()) {
        let live = after(&requests);
        let config = config(spec);
        let result = apply(&ship(), live.as_ref(), &config, &manager("ada"), true, &FieldSet::default()).unwrap();
        let schema = ship();
        let difference = compare(Node::Typed(&schema), Some(&config), Some(&result));
        prop_assert!(difference.removed.is_empty(), "{:?} is missing in {result}", difference.removed.encode());
        let scalars = difference.modified.encode();
        prop_assert!(difference.modified.is_empty(), "{scalars} differs in {result}");
    }

    #[test]
    fn applying_nothing_releases(requests in collection::vec(request(), 0..6), spec in spec()) {
        let none = FieldSet::default();
        let live = after(&requests);
        let applied = apply(&ship(), live.as_ref(), &config(spec), &manager("solo"), true, &none).unwrap();
        let released = apply(&ship(), Some(&applied), &config(Value::Null), &manager("solo"), false, &none).unwrap();
        prop_assert_eq!(entry_of(&released, "solo"), None);
        if live.is_none() {
            prop_assert_eq!(released.get("spec"), None);
        }
    }

    #[test]
    fn entries_are_never_empty_and_a_write_of_the_same_changes_nothing(
        requests in collection::vec(request(), 1..8),
    ) {
        let Some(live) = after(&requests) else { return Ok(()) };
        for entry in entries_of(&live).and_then(Value::as_array).into_iter().flatten() {
            prop_assert_ne!(&entry["fieldsV1"], &json!({}));
        }
        let again = update(&ship(), Some(&live), live.clone(), &manager("late"), &FieldSet::default());
        prop_assert_eq!(again, live);
    }

    #[test]
    fn sets_survive_their_json_form(set in field_set()) {
        prop_assert_eq!(FieldSet::decode(&set.encode()), Ok(set));
    }

    #[test]
    fn set_algebra(a in field_set(), b in field_set()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.intersection(&b).union(&a.difference(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.without(&b).difference(&a), FieldSet::default());
        for path in a.union(&b).paths() {
            prop_assert!(a.contains(&path) || b.contains(&path));
        }
    }

    #[test]
    fn fields_of_a_value_are_what_an_empty_object_gains(spec in spec()) {
        let (schema, config) = (ship(), config(spec));
        let root = Node::Typed(&schema);
        let owned = fields_of(root, &config);
        let gained = compare(root, Some(&json!({})), Some(&config)).added;
        prop_assert_eq!(owned.difference(&gained), FieldSet::default());
    }

    #[test]
    fn nothing_panics(live in json_value(), other in json_value(), force in any::<bool>()) {
        let none = FieldSet::default();
        let mut typed = other.clone();
        if let Some(fields) = typed.as_object_mut() {
            fields.insert("apiVersion".into(), json!(VERSION));
        }
        let _outcome = apply(&ship(), Some(&live), &typed, &manager("kubectl"), force, &none);
        let _object = update(&ship(), Some(&live), other.clone(), &manager("x"), &none);
        let _object = update(&ship(), None, other.clone(), &manager("x"), &none);
        let _set = FieldSet::decode(&other);
        let mut both = live.clone();
        super::keep_times_if_unchanged(&other, &mut both);
    }
}

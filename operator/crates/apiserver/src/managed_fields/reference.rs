//! The cases of the reference implementation, where they are on this machine. The rules they
//! check are also checked by this crate's own cases.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::ownership::{Owned, Owners, Rules};
use super::path::{PathElement, same};
use super::set::{FieldSet, show};
use super::shape::{Node, Shape};
use super::{check, merge};
use crate::patch::shared_cases;
use crate::schema::{Kind, ListType, Schema};

/// How often a type may occur inside of itself: deeper than any case goes.
const RECURSION: usize = 8;

/// Turns one type of the reference's schema form into ours. It knows nothing of `nullable`: any map or
/// list may be null.
struct Converter {
    types: BTreeMap<String, Value>,
}

impl Converter {
    fn parse(text: &str) -> Self {
        let schema: Value = serde_yaml::from_str(text).unwrap();
        let types = schema["types"].as_array().unwrap().iter();
        Self {
            types: types
                .map(|t| (t["name"].as_str().unwrap().into(), t.clone()))
                .collect(),
        }
    }

    fn named(&self, name: &str, relationship: Option<&str>, open: &[&str]) -> Schema {
        let within = open.iter().filter(|each| **each == name).count();
        if name.starts_with("__untyped") || within > RECURSION {
            return Schema {
                preserve_unknown: true,
                ..Schema::default()
            };
        }
        self.atom(&self.types[name], relationship, &[open, &[name]].concat())
    }

    fn reference(&self, reference: &Value, open: &[&str]) -> Schema {
        let relationship = reference["elementRelationship"].as_str();
        match reference["namedType"].as_str() {
            Some(name) => {
                let name = self.types.get_key_value(name).unwrap().0;
                self.named(name, relationship, open)
            }
            None => self.atom(reference, relationship, open),
        }
    }

    fn atom(&self, atom: &Value, relationship: Option<&str>, open: &[&str]) -> Schema {
        let kind_of = |atom: &Value| {
            relationship
                .or(atom["elementRelationship"].as_str())
                .map(str::to_owned)
        };
        if let Some(map) = atom.get("map") {
            return self.map(map, kind_of(map).as_deref() == Some("atomic"), open);
        }
        if let Some(list) = atom.get("list") {
            let keys: Vec<String> =
                serde_json::from_value(list["keys"].clone()).unwrap_or_default();
            let list_type = match (kind_of(list).as_deref(), keys.is_empty()) {
                (Some("associative"), true) => ListType::Set,
                (Some("associative"), false) => ListType::Map,
                _ => ListType::Atomic,
            };
            return Schema {
                kind: Some(Kind::Array),
                items: Some(Arc::new(self.reference(&list["elementType"], open))),
                list_type,
                list_map_keys: keys,
                nullable: true,
                ..Schema::default()
            };
        }
        let kind = match atom["scalar"].as_str() {
            Some("numeric") => Kind::Number,
            Some("boolean") => Kind::Boolean,
            Some("string") => Kind::String,
            other => panic!("{other:?} in {atom}"),
        };
        Schema {
            kind: Some(kind),
            ..Schema::default()
        }
    }

    fn map(&self, map: &Value, atomic: bool, open: &[&str]) -> Schema {
        let fields = map["fields"].as_array().into_iter().flatten();
        let properties = fields.map(|field| {
            let mut schema = self.reference(&field["type"], open);
            schema.default = field.get("default").cloned();
            (field["name"].as_str().unwrap().to_owned(), Arc::new(schema))
        });
        let additional = map
            .get("elementType")
            .map(|item| Arc::new(self.reference(item, open)));
        Schema {
            kind: Some(Kind::Object),
            properties: properties.collect(),
            additional,
            map_atomic: atomic,
            nullable: true,
            ..Schema::default()
        }
    }
}

/// What of `value` is in `wanted`.
fn extract(node: Node<'_>, value: &Value, wanted: &FieldSet) -> Value {
    match (node.shape(value), value) {
        (Shape::Map, Value::Object(fields)) if !fields.is_empty() => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let step = PathElement::field(name);
                let below = wanted.children.get(&step);
                let value = match below {
                    _ if wanted.members.contains(&step) => extract(node.field(name), value, wanted),
                    Some(below) => extract(node.field(name), value, below),
                    None => return None,
                };
                Some((name.clone(), value))
            });
            Value::Object(kept.collect())
        }
        (Shape::List, Value::Array(items)) if !items.is_empty() => {
            let steps = node.identities(items).unwrap();
            let kept = steps.iter().zip(items).filter_map(|(step, item)| {
                match wanted.children.get(step) {
                    Some(below) => Some(extract(node.item(), item, below)),
                    None => wanted.members.contains(step).then(|| item.clone()),
                }
            });
            Value::Array(kept.collect())
        }
        _ => value.clone(),
    }
}

struct State {
    schema: Schema,
    live: Value,
    owners: Owners<String>,
}

impl State {
    /// Runs one step; the conflicts or another error are the result.
    fn run(&mut self, step: &Value, reset: &FieldSet) -> Result<(), Vec<(String, String)>> {
        let text = |key: &str| step[key].as_str().unwrap_or_default();
        let rules = Rules {
            schema: &self.schema,
            api_version: text("apiVersion"),
            reset,
        };
        let manager = text("manager").to_owned();
        let object = &step["object"];
        let root = Node::Typed(&self.schema);
        let config = match text("op") {
            "update" => {
                self.owners = rules.update(&self.live, object, &self.owners, &manager);
                self.live = object.clone();
                return Ok(());
            }
            "extractApply" if !self.live.is_null() => {
                let leaves = self.owners.get(&manager).map(|owned| owned.fields.leaves());
                let extracted = extract(root, &self.live, &leaves.unwrap_or_default());
                merge::merge(root, Some(&extracted), Some(object)).unwrap()
            }
            _ => object.clone(),
        };
        if let Some((path, reason)) = check::misfit(&self.schema, &config) {
            return Err(vec![(
                "misfit".into(),
                format!("{}: {reason}", show(&path)),
            )]);
        }
        let force = text("op") != "apply";
        let (object, owners) = rules
            .apply(&self.live, &config, &self.owners, &manager, force)
            .map_err(|conflicts| {
                conflicts
                    .into_iter()
                    .map(|(by, path)| (by, show(&path)))
                    .collect::<Vec<_>>()
            })?;
        self.owners = owners;
        self.live = object.unwrap_or_else(|| self.live.take());
        Ok(())
    }

    fn check(&self, step: &Value) -> Result<(), String> {
        if !same(&self.live, &step["live"]) {
            return Err(format!("live is {}", self.live));
        }
        let shown = |owned: &Owned| {
            json!({
                "apiVersion": owned.api_version,
                "applied": owned.applied,
                "fields": owned.fields.encode(),
            })
        };
        let owners: BTreeMap<_, _> = self
            .owners
            .iter()
            .map(|(key, owned)| (key, shown(owned)))
            .collect();
        let owners = serde_json::to_value(owners).unwrap();
        if owners != step["managers"] {
            return Err(format!("owners are {owners}"));
        }
        Ok(())
    }
}

fn run_case(case: &Value, schemas: &Value) -> Result<(), String> {
    let schema = |version: &str, name: Option<&str>| {
        let used = &case["schemas"][version];
        let text = schemas[used["schema"].as_str().unwrap()].as_str().unwrap();
        Converter::parse(text).named(name.unwrap_or(used["type"].as_str().unwrap()), None, &[])
    };
    let versions = case["schemas"].as_object().unwrap();
    let mut names = versions.keys().filter(|name| name.starts_with('v'));
    let version = names.next().unwrap();
    let steps = case["steps"].as_array().unwrap();
    // Where the schema changes, the table gives the last one under the version's name; the one
    // from before is not in it and is the other of the pair.
    let changes = steps.iter().any(|step| step["op"] == "changeSchema");
    let mut state = State {
        schema: schema(version, None),
        live: Value::Null,
        owners: Owners::new(),
    };
    if changes {
        state.schema = before_change(case, &state.schema);
    }
    let mut reset = FieldSet::default();
    if case["usesIgnoreFilter"] == json!(true) {
        let deep = steps[0]["object"].get("obj").is_some();
        reset = FieldSet::of_fields([&[if deep { "obj" } else { "string" }]]);
    }
    for (number, step) in steps.iter().enumerate() {
        let place = |error: String| format!("step {number}: {error}\n  {step}");
        if step["op"] == json!("changeSchema") {
            state.schema = schema(version, None);
            continue;
        }
        let mut found = state.run(step, &reset).err().unwrap_or_default();
        found.sort();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let listed = step["conflicts"].as_array().into_iter().flatten();
        let mut expected: Vec<_> = listed
            .map(|conflict| (text(&conflict["manager"]), text(&conflict["path"])))
            .collect();
        if step.get("error").is_some() && step.get("conflicts").is_none() {
            expected = vec![("misfit".into(), text(&step["error"]))];
        }
        expected.sort();
        if found != expected {
            return Err(place(format!("errors are {found:?}")));
        }
        state.check(step).map_err(place)?;
    }
    Ok(())
}

/// The schema a case starts with, derived from the one it changes to.
fn before_change(case: &Value, after: &Schema) -> Schema {
    let name = case["test"].as_str().unwrap();
    let mut before = after.clone();
    let edit = |schema: &mut Schema, field: &str, change: &dyn Fn(&mut Schema)| {
        let mut child = Schema::clone(&schema.properties[field]);
        change(&mut child);
        schema.properties.insert(field.into(), Arc::new(child));
    };
    if name.contains("GranularToAtomic") {
        edit(&mut before, "struct", &|field| field.map_atomic = false);
    } else if name.contains("AtomicToGranular") {
        edit(&mut before, "struct", &|field| field.map_atomic = true);
    } else {
        edit(&mut before, "list", &|field| {
            field.list_map_keys = vec!["name".into()]
        });
    }
    before
}

#[test]
fn reference_cases() {
    let Some(table) = shared_cases("smd-merge-cases.json") else {
        return;
    };
    let cases = table["cases"].as_array().unwrap();
    let run = |(number, case): (usize, &Value)| {
        let error = run_case(case, &table["schemas"]).err()?;
        Some(format!("case {number} ({}), {error}", case["test"]))
    };
    let wrong: Vec<_> = cases.iter().enumerate().filter_map(run).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} wrong:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

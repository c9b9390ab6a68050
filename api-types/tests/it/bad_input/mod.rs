//! One row per mistake: where it is made, and what the user reads.

mod deployment;
mod node;
mod route;

use std::collections::BTreeSet;

use api_types::{crd_values, validate};
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Value, json};

/// Place of the value, value, place named by the error, what the error says.
type Row = (&'static str, Value, &'static str, &'static str);

pub(crate) struct Kind {
    name: String,
    pub(crate) schema: Value,
    compiled: CompiledSchema,
}

impl Kind {
    pub(crate) fn new(name: &str) -> Self {
        let crd = crd_values()
            .into_iter()
            .find(|crd| crd["spec"]["names"]["kind"] == name)
            .unwrap();
        let schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        let compiled = compile_schema(&schema);
        assert!(
            !compiled.has_errors(),
            "{:?}",
            compiled.compilation_errors()
        );
        Self {
            name: name.to_owned(),
            schema,
            compiled,
        }
    }

    /// Every error: place and text, and the rule where it was one.
    pub(crate) fn errors(&self, object: &Value) -> Vec<(String, String, Option<String>)> {
        let cel = Validator::new()
            .validate_compiled(&self.compiled, object, None)
            .err();
        let cel = cel
            .into_iter()
            .flat_map(kube_cel::ValidationErrors::into_vec);
        let cel = cel.map(|e| {
            assert_eq!(
                e.kind,
                kube_cel::ErrorKind::ValidationFailure,
                "{e} in {object}"
            );
            (e.field_path, e.message, Some(e.rule))
        });
        cel.chain(
            validate(&self.name, object)
                .into_iter()
                .map(|e| (e.path, e.detail, None)),
        )
        .collect()
    }

    /// Each row yields exactly the one error that it names, and every rule of the kind is in some row.
    fn refuses(&self, base: &Value, rows: &[Row]) {
        assert_eq!(self.errors(base), [], "the base object must be right");
        let mut fired = BTreeSet::new();
        for (place, value, path, says) in rows {
            let mut object = base.clone();
            put(&mut object, place, value.clone());
            let errors = self.errors(&object);
            let row = format!("{place} = {value}");
            assert_eq!(errors.len(), 1, "{row}: {errors:?}");
            let (found, text, rule) = &errors[0];
            assert_eq!(found, path, "{row}: {text}");
            assert!(text.contains(says), "{row}: {text}");
            fired.extend(rule.clone());
        }
        let mut all = BTreeSet::new();
        rules(&self.schema, &mut all);
        let idle: Vec<_> = all.difference(&fired).collect();
        assert!(idle.is_empty(), "rules that no row breaks: {idle:#?}");
    }

    fn accepts(&self, base: &Value, rows: &[(&str, Value)]) {
        for (place, value) in rows {
            let mut object = base.clone();
            put(&mut object, place, value.clone());
            assert_eq!(self.errors(&object), [], "{place} = {value}");
        }
    }
}

fn rules(schema: &Value, all: &mut BTreeSet<String>) {
    let own = schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten();
    all.extend(own.map(|rule| rule["rule"].as_str().unwrap().to_owned()));
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .for_each(|(_, property)| rules(property, all));
    schema
        .get("items")
        .into_iter()
        .for_each(|items| rules(items, all));
}

/// Sets a field.
fn put(object: &mut Value, place: &str, value: Value) {
    let mut node = object;
    for step in place.split('.') {
        node = &mut node[step];
    }
    *node = value;
}

/// Validation looks at JSON that no schema has seen yet: it must not fall over whatever is there.
#[test]
fn validate_survives_any_shape() {
    for shape in [
        json!(null),
        json!([]),
        json!({"spec": 1}),
        json!({"spec": {"labels": [], "rules": {"a": 1}}}),
    ] {
        for kind in ["Deployment", "Node", "Route", "Secret"] {
            assert_eq!(validate(kind, &shape), []);
        }
    }
}

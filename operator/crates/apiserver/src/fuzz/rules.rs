//! What users' own kinds bring along: schemas, CEL rules, whole definitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::source::Source;
use crate::builtin::crd::check;
use crate::registry::{CustomStrategy, from_crd};
use crate::schema::Schema;
use crate::validation::validate_object;

pub(super) const CEL: &[&str] = &[
    "self.n > 0 && self.n < 10\n",
    "self.l.all(x, x.startsWith('a')) || self.l.exists_one(x, x == 'b')\n",
    "has(self.o.q) ? string(self.o.q) == '1' : !has(self.s)\n",
    "oldSelf.s == self.s || self.s.matches('^[a-z]+$')\n",
    "size(self.m) < 3 && self.m.all(k, self.m[k].size() < 5)\n",
    "duration(self.s) > duration('1h') || timestamp(self.t) < timestamp('2030-01-01T00:00:00Z')\n",
    "self.l.map(x, x + x).filter(x, x.contains('aa')).join(',').split(',')[0].upperAscii().replace('A', 'b') == ''\n",
    "quantity('1Gi').isLessThan(quantity(self.s)) && url(self.s).getHost() != '' && ip(self.s).family() == 4\n",
    "[1, 2.5, 'a', b'x', true, null, {'a': 1u}, -self.n % 3, self.n / 0][self.n] in [1]\n",
    "self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a + b + c + d != ''))))\n",
    "self.?s.optMap(x, x + '!').orValue('') == self.m[?'a'].or(optional.none()).orValue('x') && [?self.?t].size() == 1\n",
    "self.l.all(i, v, v != string(i)) || self.m.transformMap(k, v, v + k).exists(k, k == 'a') || self.l.sortBy(x, x)[0] == 'a'\n",
    "optional.of(self.s).orValue('x').format([1]) == 'x%d'.format([self.n])\n",
    "'%.3f %x %e'.format([1.5, self.s, 2.0]) + url(self.s).getEscapedPath() != string(quantity(self.s).add(self.n).asApproximateFloat())\n",
    "self.s.replace('', self.s).findAll('\\\\p{L}') == [self.t.getHours(self.s)].map(x, string(x)) || format.uri().validate(self.s).hasValue()\n",
];

/// The first line is a rule, the rest an object. Whatever the rule costs, the answer comes in time,
/// and is the same twice.
pub(super) fn cel(data: &[u8]) {
    let at = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let Ok(rule) = std::str::from_utf8(&data[..at]) else {
        return;
    };
    let mut definition = json!({"type": "object", "properties": {
        "n": {"type": "integer"}, "s": {"type": "string", "maxLength": 20}, "t": {"type": "string", "format": "date-time"},
        "l": {"type": "array", "maxItems": 20, "items": {"type": "string", "maxLength": 10}},
        "m": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string"}},
        "o": {"type": "object", "properties": {"q": {"x-kubernetes-int-or-string": true}, "u": {"type": "array", "items": {"type": "number"}}}},
    }});
    let mut source = Source(data.get(at + 1..).unwrap_or_default());
    let (new, old) = (source.shaped(&definition), source.shaped(&definition));
    definition["x-kubernetes-validations"] = json!([{"rule": rule}]);
    match Schema::parse(&definition) {
        Ok(schema) => {
            for old in [None, Some(&old)] {
                let problems = validate_object(&schema, &new, old);
                assert_eq!(problems, validate_object(&schema, &new, old));
            }
        }
        Err(error) => assert!(
            !error.to_string().is_empty() && error.path().contains("x-kubernetes-validations"),
            "{error}"
        ),
    }
}

const KEYWORDS: &[&str] = &[
    "type",
    "properties",
    "additionalProperties",
    "items",
    "required",
    "enum",
    "default",
    "nullable",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "$ref",
    "description",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "a",
    "b",
    "rule",
    "message",
];

/// A schema that mostly is one.
fn schema(source: &mut Source<'_>, depth: usize) -> Value {
    let mut node = match source.below(if depth == 0 { 6 } else { 10 }) {
        0 => json!({"type": "string", "pattern": "^[a-z]*$", "maxLength": source.below(9)}),
        1 => {
            json!({"type": "integer", "minimum": source.integer(), "format": source.pick(&["int32", "int64", "odd"])})
        }
        2 => json!({"type": "string", "enum": [source.text(), source.text()]}),
        3 => json!({"x-kubernetes-int-or-string": true}),
        4 => json!({"type": "boolean", "default": source.flip()}),
        5 => json!({"x-kubernetes-preserve-unknown-fields": true, "type": "object"}),
        6 => {
            json!({"type": "array", "items": schema(source, depth - 1), "x-kubernetes-list-type": source.pick(&["set", "atomic"])})
        }
        7 => {
            json!({"type": "array", "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": schema(source, depth - 1)}},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]})
        }
        8 => json!({"type": "object", "additionalProperties": schema(source, depth - 1)}),
        _ => {
            json!({"type": "object", "properties": {"a": schema(source, depth - 1), "b": schema(source, depth - 1)}, "required": ["a"]})
        }
    };
    if source.rarely(4) {
        node["default"] = source.shaped(&node.clone());
    }
    if source.rarely(8) {
        source.change(&mut node, KEYWORDS);
    }
    node
}

/// Any schema is one or is refused at a place; through one that is, admission is idempotent.
pub(super) fn schemas(data: &[u8]) {
    let mut source = Source(data);
    let mut definition = json!({"type": "object", "properties": {"spec": schema(&mut source, 4)}});
    if source.rarely(8) {
        source.change(&mut definition, KEYWORDS);
    }
    let schema = match Schema::custom_resource(&definition) {
        Ok(schema) => schema,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let (mut new, old) = (source.shaped(&definition), source.shaped(&definition));
    let admit = |value: &mut Value| {
        schema.drop_nulls(value);
        schema.prune(value);
        schema.apply_defaults(value);
    };
    admit(&mut new);
    let mut again = new.clone();
    admit(&mut again);
    assert_eq!(again, new, "by {definition}");
    let _ = validate_object(&schema, &new, None);
    let _ = validate_object(&schema, &new, Some(&old));
}

const DEFINITION: &[&str] = &[
    "spec",
    "versions",
    "names",
    "plural",
    "singular",
    "kind",
    "listKind",
    "shortNames",
    "categories",
    "scope",
    "group",
    "served",
    "storage",
    "schema",
    "openAPIV3Schema",
    "subresources",
    "status",
    "scale",
    "specReplicasPath",
    "additionalPrinterColumns",
    "jsonPath",
    "selectableFields",
    "conversion",
    "strategy",
    "deprecated",
    "deprecationWarning",
];

/// A definition that is accepted can be served.
pub(super) fn definitions(data: &[u8]) {
    let mut source = Source(data);
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "webs.example.com"}, "status": {"storedVersions": ["v1"]},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {"plural": "webs", "singular": "web", "kind": "Web", "listKind": "WebList", "shortNames": ["w"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": schema(&mut source, 3),
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}}},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
                "selectableFields": [{"jsonPath": ".spec.a"}],
            }],
        },
    });
    for _ in 0..source.below(3) {
        source.change(&mut definition, DEFINITION);
    }
    let problems = check::definition(&definition, None);
    for problem in &problems {
        assert!(
            !problem.field.is_empty() && !problem.body().is_empty(),
            "{problem:?}"
        );
    }
    if !problems.is_empty() {
        return;
    }
    let served = definition["spec"]["versions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["served"] == true));
    let typed: CustomResourceDefinition = serde_json::from_value(definition.clone()).unwrap();
    let rows = from_crd(&typed, CustomStrategy::default());
    assert!(
        rows.is_ok() || !served,
        "accepted, and cannot be served: {:?}: {definition}",
        rows.err()
    );
}

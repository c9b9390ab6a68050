#![allow(clippy::unwrap_used, clippy::panic)]
use serde_json::json;

use super::*;
use crate::schema::SchemaError;

mod changes;
mod functions;

fn errors(schema: Value, new: Value, old: Option<Value>) -> Vec<String> {
    let schema = Schema::parse(&schema).unwrap();
    crate::validation::validate_object(&schema, &new, old.as_ref())
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn with_rule(rule: Value) -> Value {
    json!({"type": "object", "x-kubernetes-validations": [rule], "properties": {
        "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
        "at": {"type": "string", "format": "date-time"}, "wait": {"type": "string", "format": "duration"},
        "namespace": {"type": "string"}, "ratio": {"type": "number"},
        "list": {"type": "array", "items": {"type": "integer"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }})
}

#[test]
fn rules_report_path_message_and_reason() {
    let value = json!({"min": 5, "max": 3, "name": "n", "labels": {}});
    let cases = [
        (
            json!({"rule": "self.min <= self.max"}),
            "Invalid value: failed rule: self.min <= self.max",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "min is above max"}),
            "Invalid value: min is above max",
        ),
        (
            json!({"rule": "self.min <= self.max", "messageExpression": "'min ' + string(self.min) + ' > ' + string(self.max)"}),
            "Invalid value: min 5 > 3",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "messageExpression": "''"}),
            "Invalid value: m",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueForbidden"}),
            "Forbidden: m",
        ),
        (
            json!({"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueDuplicate"}),
            "Duplicate value",
        ),
        (
            json!({"rule": "self.labels['nothing'] > 'a'", "message": "m"}),
            r#"Invalid value: "object": no such key: nothing evaluating rule: m"#,
        ),
    ];
    for (rule, text) in cases {
        assert_eq!(
            errors(with_rule(rule.clone()), value.clone(), None),
            [format!("<nil>: {text}")],
            "{rule}"
        );
    }
    let rule =
        json!({"rule": "self.min <= self.max", "message": "m", "fieldPath": ".labels['a/b']"});
    assert_eq!(
        errors(with_rule(rule), value, None),
        ["labels[a/b]: Invalid value: m"]
    );
}

#[test]
fn values_have_the_types_of_their_formats() {
    let value = json!({
        "at": "2026-01-01T00:00:00Z", "wait": "90s", "namespace": "x", "ratio": 2,
        "labels": {"a/b": "c"}, "list": [1, 2],
    });
    for rule in [
        "self.at < timestamp('2027-01-01T00:00:00Z')",
        "self.wait == duration('1m30s')",
        "self.__namespace__ == 'x'",
        "self.ratio == 2.0",
        "self.labels['a/b'] == 'c'",
        "'a/b' in self.labels",
        "self.list.all(i, i > 0) && self.list.exists_one(i, i == 2)",
        "self.list.sum() == 3",
        "!has(self.name)",
        "quantity('1Gi').isGreaterThan(quantity('1M'))",
        "isURL('https://a.b/c') && url('https://a.b/c').getHost() == 'a.b'",
        "'a-b'.matches('^[a-z-]+$') && 'x'.lowerAscii() == 'x'",
        "optional.none().orValue(1) == 1",
        "sets.contains([1, 2], [1])",
        "'%d'.format([1]) == '1' && 'a,b'.split(',').size() == 2 && 'x'.replace('x', 'y') == 'y'",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.0.0.1')",
        "!format.dns1123Label().validate('web').hasValue() && isSemver('1.2.3')",
        "type(self.ratio) == double && type('a') == string && type(1) != string && type(null) == null_type && string(5) == '5' && int('5') == 5 && double(1) == 1.0",
        "self.at.getFullYear() == 2026 && duration('1h').getMinutes() == 60",
        "'a'.indexOf('a') == 0 && 'abc'.substring(1) == 'bc'",
        "self.list.map(i, i * 2) == [2, 4] && self.list.filter(i, i > 1).size() == 1 && self.list.exists(i, i == 1)",
        "self.list.isSorted() && self.list.indexOf(2) == 1 && ['a'].join('-') == 'a'",
        "self.labels.all(k, k.startsWith('a')) && self.labels.exists(k, self.labels[k] == 'c')",
        "(has(self.name) ? self.name : 'none') == 'none' && 1 in [1] && -1 < 0 && 5 % 2 == 1",
    ] {
        assert_eq!(
            errors(with_rule(json!({"rule": rule})), value.clone(), None),
            [""; 0],
            "{rule}"
        );
    }
}

#[test]
fn unusable_rules_are_refused_with_the_schema() {
    let cases = [
        (
            json!({"rule": "self.min >="}),
            "rule",
            "ERROR: <input>:1:12: Syntax error",
        ),
        (
            json!({"rule": ""}),
            "rule",
            "Required value: rule is not specified",
        ),
        (
            json!({"rule": "object.min > 1"}),
            "rule",
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'object' (in container '')\n | object.min > 1\n | ^",
        ),
        (
            json!({"rule": "true", "reason": "Nope"}),
            "reason",
            "Unsupported value: \"Nope\": supported values: \"FieldValueDuplicate\"",
        ),
        (
            json!({"rule": "true", "fieldPath": ".nothing"}),
            "fieldPath",
            "must be a valid path",
        ),
        (
            json!({"rule": "true", "message": " "}),
            "message",
            "must be non-empty if specified",
        ),
        (
            json!({"rule": "true", "messageExpression": "1 +"}),
            "messageExpression",
            "messageExpression compilation failed",
        ),
        (
            json!({"rule": "true", "messageExpression": "1"}),
            "messageExpression",
            "messageExpression must evaluate to a string",
        ),
        (
            json!({"rule": "self.name"}),
            "rule",
            "cel expression must evaluate to a bool",
        ),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            "optionalOldSelf",
            "may not be set if oldSelf is not used in rule",
        ),
    ];
    for (rule, field, cause) in cases {
        let error = Schema::parse(&with_rule(rule.clone())).unwrap_err();
        assert!(
            matches!(&error, SchemaError::Rule { .. }),
            "{rule}: {error}"
        );
        assert!(error.to_string().contains(cause), "{rule}: {error}");
        assert_eq!(error.path(), format!("x-kubernetes-validations[0].{field}"));
    }
}

#[test]
fn errors_of_rules_are_shown_where_they_are() {
    let refused = |rule: &str| {
        let rule = json!({"rule": rule, "message": "m"});
        let error = Schema::parse(&with_rule(rule)).unwrap_err();
        error.to_string()
    };
    let shown = refused("self.name == 'a' ||\n'é☃' + x == ''");
    let words = "ERROR: <input>:2:8: undeclared reference to 'x' (in container '')\n | 'é☃' + x == ''\n | .．．....^";
    assert!(shown.contains(words), "{shown}");
    let shown = refused(&vec!["x == 'a'"; 3000].join(" && "));
    assert!(
        shown.ends_with("\n2900 more errors were truncated"),
        "{shown}"
    );
    assert_eq!(shown.matches("ERROR").count(), 100);
    assert!(shown.len() < 1 << 20);
}

#[test]
fn rules_are_of_the_types_that_the_schema_declares() {
    let refused = [
        ("self.nothing == 'x'", "1:5: undefined field 'nothing'"),
        ("has(self.nothing)", "1:4: undefined field 'nothing'"),
        (
            "self.name == 5",
            "1:11: found no matching overload for '_==_' applied to '(string, int)'",
        ),
        (
            "self.name == null",
            "found no matching overload for '_==_' applied to '(string, null)'",
        ),
        (
            "self.min ? true : false",
            "found no matching overload for '_?_:_' applied to '(int, bool, bool)'",
        ),
        (
            "self.min && true",
            "1:5: expected type 'bool' but found 'int'",
        ),
        (
            "self.name.startsWith(5)",
            "1:21: found no matching overload for 'startsWith' applied to 'string.(int)'",
        ),
        ("self.name.nope()", "1:15: undeclared reference to 'nope'"),
        (
            "math.greatest(1, 2) == 2",
            "1:1: undeclared reference to 'math'",
        ),
        (
            "self.name.all(c, true)",
            "expression of type 'string' cannot be range of a comprehension",
        ),
        (
            "self.list.all(i, i == 'a')",
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "self.list.map(i, string(i)) == [1]",
            "applied to '(list(string), list(int))'",
        ),
        (
            "self.?name.orValue(1) == 'a'",
            "applied to 'optional_type(string).(int)'",
        ),
        (
            "self.labels.transformMap(k, v, 1)['a'] == 'x'",
            "'_==_' applied to '(int, string)'",
        ),
        (
            "[1, 'a'].size() == 2",
            "1:5: expected type 'int' but found 'string'",
        ),
        ("self.name.matches('[')", "1:19: invalid matches argument"),
        (
            "duration('x') == self.wait",
            "1:10: invalid duration argument",
        ),
        (
            "self.metadata.labels['a'] == 'b'",
            "undefined field 'labels'",
        ),
    ];
    for (rule, cause) in refused {
        let error = Schema::parse(&with_rule(json!({"rule": rule}))).unwrap_err();
        assert!(error.to_string().contains(cause), "{rule}: {error}");
    }
    let usable = [
        "self.metadata.name == self.kind + self.apiVersion",
        "self.at == null || self == oldSelf",
        "dyn(self.name) == 5 && [dyn(1)][0] == 'a'",
        "'%s %d'.format(['a', 1]) == ''",
        "self.list.map(i, i * 2) + [1] == [] && {} == self.labels",
        "self.?name.optMap(n, n + '!').orValue('x') == 'x' && optional.of(1).optFlatMap(x, optional.of('a')).value() == 'a'",
        "self.labels[?'a'].or(optional.none()).hasValue() && [?self.?min, ?optional.none()] == [1] && {?'a': self.?name} == self.labels",
        "self.labels.all(k, v, k == v) && self.list.exists(i, v, i == v) && self.labels.existsOne(k, v, k == v)",
        "self.list.transformList(i, v, i > 0, string(v)) == ['a'] && self.labels.transformMapEntry(k, v, {v: k})['x'] == 'y'",
        "self.list.sortBy(x, -x)[0] == 1 && lists.range(3).reverse().first().orValue(0) == 2",
        "self.namespace == self.__namespace__",
        "type(self.at) == google.protobuf.Timestamp && self.ratio > 1 && 1 < 2u",
    ];
    for rule in usable {
        let parsed = Schema::parse(&with_rule(json!({"rule": rule})));
        assert!(parsed.is_ok(), "{rule}: {parsed:?}");
    }
}

#[test]
fn optional_values_and_macros_with_two_variables_run() {
    let value =
        json!({"min": 1, "name": "n", "namespace": "x", "list": [1, 2], "labels": {"a": "b"}});
    for rule in [
        "self.?name.orValue('z') == 'n' && !self.?max.hasValue()",
        "self.labels[?'nope'].orValue('d') == 'd' && self.list[?5].orValue(7) == 7",
        "self.?labels.a.optMap(x, x + '!').value() == 'b!'",
        "optional.of(1).optFlatMap(x, optional.of(x + 1)).value() == 2",
        "[?self.?name, ?self.?at.optMap(t, 'x')].size() == 1",
        "self.labels.all(k, v, k == 'a' && v == 'b') && self.labels.exists(k, v, v == 'b')",
        "self.list.existsOne(i, v, v == 2) && !self.list.all(i, v, i == 0)",
        "self.list.transformList(i, v, i > 0, v * 2) == [4]",
        "self.labels.transformMap(k, v, v + k) == {'a': 'ba'}",
        "self.labels.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
        "self.namespace == 'x' && self.__namespace__ == 'x'",
        "bool('true') && strings.quote('a') == '\"a\"' && dyn(self.min) == 1",
        "'%s %d'.format([self.name, 1]) == 'n 1'",
    ] {
        let schema = with_rule(json!({"rule": rule}));
        assert_eq!(errors(schema, value.clone(), None), [""; 0], "{rule}");
    }
    let null = json!({"type": "object", "properties": {"a": {"type": "string", "nullable": true}},
        "x-kubernetes-validations": [{"rule": "!has(self.a)"}]});
    assert_eq!(errors(null, json!({"a": null}), None), [""; 0]);
}

#[test]
fn what_the_interpreter_fails_on_is_told_in_kubernetes_words() {
    let value = json!({"min": 0, "list": [1], "labels": {}, "name": "x"});
    for (rule, words) in [
        ("1 / self.min == 1", "division by zero"),
        ("1 % self.min == 1", "modulus by zero"),
        ("9223372036854775807 + self.list[0] > 0", "integer overflow"),
        ("self.list[7] == 1", "index out of bounds: 7"),
        ("self.labels['a'] == 'b'", "no such key: a"),
        (
            "int(self.name) == 1",
            "type conversion error from 'string' to 'int'",
        ),
        (
            "duration(self.min) == duration('1s')",
            "type conversion error from 'int' to 'google.protobuf.Duration'",
        ),
        ("1 / self.min == 1 || self.list[7] == 1", "division by zero"),
        (
            "self.list.all(x, self.list[x + 6] == 1)",
            "index out of bounds: 7",
        ),
        ("0.0 / 0.0 < 1.0", "NaN values cannot be ordered"),
        (
            "timestamp(253402300799 + self.list[0]) == timestamp(0)",
            "timestamp overflow",
        ),
        (
            "self.name.substring(1, 0) == ''",
            "invalid substring range. start: 1, end: 0",
        ),
        ("self.name.indexOf('a', -1) == 0", "index out of range: -1"),
        (
            "timestamp(0).getHours('Nowhere') == 0",
            "unknown time zone Nowhere",
        ),
        (
            "quantity('1K').isInteger()",
            "unable to parse quantity's suffix",
        ),
        (
            "quantity('1 Gi').isInteger()",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "quantity('1.5').asInteger() == 1",
            "cannot convert value to integer",
        ),
        (
            "url(self.name).getHost() == ''",
            r#"URL parse error during conversion from string: parse "x": invalid URI for request"#,
        ),
        (
            "cidr('10.0.0.0/08').prefixLength() == 8",
            r#"network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0/08"): bad bits after slash: "08""#,
        ),
        (
            "'%d'.format(dyn([self.name])) == ''",
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
    ] {
        let expected = format!("<nil>: Invalid value: \"object\": {words} evaluating rule: {rule}");
        let found = errors(with_rule(json!({"rule": rule})), value.clone(), None);
        assert_eq!(found, [expected]);
    }
}

#[test]
fn costs_are_estimated_from_the_bounds_of_the_schema() {
    let schema = |rule: &str| {
        json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {
            "text": {"type": "string", "maxLength": 1000}, "long": {"type": "string"},
            "list": {"type": "array", "maxItems": 500, "items": {"type": "string", "maxLength": 100}},
            "numbers": {"type": "array", "maxItems": 1000, "items": {"type": "integer"}},
            "map": {"type": "object", "maxProperties": 300, "additionalProperties": {"type": "string", "maxLength": 50}},
        }})
    };
    let request = 3 << 20;
    for (rule, cost) in [
        ("self.text == 'a'", 2 + 1),
        ("self.text == self.long", 4 + 400),
        (
            "self.long.matches('^a+$')",
            2 + (request - 2_u64 + 1).div_ceil(10),
        ),
        ("self.numbers.all(x, x > 0)", 2 + 1 + 1000 * (3 + 2)),
        (
            "self.list.exists(x, x.contains('ab'))",
            2 + 1 + 500 * (4 + 1 + 40),
        ),
        (
            "self.map.all(k, self.map[k] == 'a')",
            2 + 1 + 300 * (3 + 2 + 1 + 1 + 1),
        ),
        ("self.map.all(k, v, v.startsWith(k))", 2 + 1 + 300 * (3 + 2)),
        (
            "self.list.map(x, x.size()) == self.numbers",
            (2 + 11 + 500 * (12 + 2)) + 2 + 50,
        ),
        ("self.?text.orValue('a') == 'b'", 1 + 1 + 1 + 1),
        ("has(self.text) && 'a' in self.list", 1 + 2 + 500),
        ("self.list.sort().size() == 500", 2 + 525_011 + 1 + 1),
    ] {
        let parsed = Schema::parse(&schema(rule)).unwrap();
        assert_eq!(parsed.rules[0].costs.0, cost, "{rule}");
    }
    // Nobody knows how long the text of a value is.
    let unbounded = Schema::parse(&schema("self.text + string(self.text.size()) == 'a'")).unwrap();
    assert_eq!(unbounded.rules[0].costs.0, u64::MAX);
}

#[test]
fn the_size_of_the_object_bounds_the_cost_of_rules() {
    let schema = with_rule(json!({"rule": "self.list.all(a, self.list.exists_one(b, a == b))"}));
    let found = errors(schema, json!({"list": (0..2000).collect::<Vec<_>>()}), None);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("operation cancelled: actual cost limit exceeded"),
        "{found:?}"
    );
    // Twenty rules within their limits, which together exceed that of the object.
    let rule = json!({"rule": "self.list.all(a, self.list.exists_one(b, a == b))"});
    let mut schema = with_rule(rule.clone());
    schema["x-kubernetes-validations"] = json!(vec![rule; 20]);
    let found = errors(schema, json!({"list": (0..450).collect::<Vec<_>>()}), None);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("running out of cost budget"), "{found:?}");
}

#[test]
fn rules_wait_until_the_object_fits_its_schema() {
    let found = errors(
        with_rule(json!({"rule": "self.min <= self.max"})),
        json!({"min": "x"}),
        None,
    );
    assert_eq!(found.len(), 2);
    assert!(
        found[1].starts_with("<nil>: Invalid value: null: some validation rules were not checked"),
        "{found:?}"
    );
}

#[test]
fn a_rule_about_a_field_is_told_there() {
    let rule = |path: &str| {
        json!({"type": "object", "properties": {"spec": {"type": "object",
            "properties": {"replicas": {"type": "integer"}, "it's": {"type": "string"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}}},
            "x-kubernetes-validations": [{"rule": "!has(self.replicas)", "message": "m", "fieldPath": path}]}}})
    };
    for (path, field) in [
        (".replicas", "spec.replicas"),
        ("['replicas']", "spec.replicas"),
        (r"['it\'s']", "spec.it's"),
        (".map['a.b']", "spec.map[a.b]"),
    ] {
        assert_eq!(
            errors(rule(path), json!({"spec": {"replicas": 2}}), None),
            [format!("{field}: Invalid value: m")]
        );
    }
    for path in [
        ".no",
        "replicas",
        "['replicas'",
        "['replicas'x]",
        r"['\x']",
        "[replicas]",
    ] {
        let refused = Schema::parse(&rule(path)).unwrap_err().to_string();
        assert!(refused.contains("must be a valid path"), "{refused}");
    }
}

/// What is told of `new` after `old`, and what is forgiven.
fn told(schema: &Value, new: &Value, old: &Value) -> (Vec<String>, Vec<String>) {
    let schema = Schema::parse(schema).unwrap();
    let findings = validate(&schema, new, Some(old));
    let texts = |all: Vec<FieldError>| all.iter().map(ToString::to_string).collect();
    (texts(findings.errors), texts(findings.forgiven))
}

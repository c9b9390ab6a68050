//! What the functions of the libraries yield.

use serde_json::{Value, json};

use super::{Schema, errors, told, with_rule};

#[test]
fn values_of_the_wrong_type_are_told_with_the_function() {
    let value = json!({"min": 0, "name": "x", "list": []});
    for (rule, words) in [
        ("dyn(self.name) < 1", "no such overload"),
        ("dyn(self.list) < 1", "no such overload: _<_"),
        ("dyn(self.name) - 1 == 0", "no such overload: _-_"),
        ("dyn(self.min) + 'a' == 'a'", "no such overload"),
        ("size(dyn(self.min)) == 0", "no such overload: size"),
        (
            "dyn(self.min).startsWith('a')",
            "no such overload: startsWith(int, string)",
        ),
        (
            "bytes(dyn(self.min)) == b''",
            "no such overload: bytes(int)",
        ),
        ("dyn(self.name) && self.list[1] == 1", "no such overload"),
    ] {
        let expected = format!(
            "<nil>: Invalid value: \"object\": '{words}': call arguments did not match a supported operator, function or macro signature for rule: {rule}"
        );
        let found = errors(with_rule(json!({"rule": rule})), value.clone(), None);
        assert_eq!(found, [expected]);
    }
}

#[test]
fn functions_yield_what_they_yield_in_kubernetes() {
    let value = json!({"min": 1, "name": "héllo", "list": [1, 2]});
    for rule in [
        "string(1e6) == '1e+06' && string(100000.0) == '100000' && string(0.0 / 0.0) == 'NaN'",
        "string(timestamp('2020-01-02T03:04:05.500Z')) == '2020-01-02T03:04:05.5Z'",
        "string(duration('4.35s')) == '4.35s' && duration('9007199254740993ns') != duration('9007199254740992ns')",
        "int(9223372036854774784.0) == 9223372036854774784",
        "timestamp('9999-12-31T23:59:59Z').getFullYear('+24:00') == 10000",
        "timestamp(0).getHours('') == 0 && timestamp(0).getMinutes('-1:30') == 30",
        "self.name.indexOf('l', 3) == 3 && self.name.lastIndexOf('l', 2) == 2 && self.name.lastIndexOf('l', 9) == -1",
        "self.name.indexOf('', 7) == 7 && self.name.lastIndexOf('') == 5 && self.name.indexOf('é') == 1",
        "self.name.find('[l-pé]+') == 'éllo' && self.name.findAll('l', 1) == ['l'] && self.name.findAll('') != []",
        "quantity('1e38').isGreaterThan(quantity('1n')) && quantity('0.1n') == quantity('1n')",
        "quantity('-1e99').isLessThan(quantity('-1e30').add(quantity('1'))) || true",
        "quantity('1Ki').sub(24) == quantity('1k') && sign(quantity('-1')) == -1",
        "url('https://a.b:443/').getPort() == '443' && url('https://a.b').getEscapedPath() == ''",
        "url('https://a?x=1&x=2').getQuery() == {'x': ['1', '2']} && !isURL('a.b')",
        "format.dns1123Label().validate('A').value()[0].startsWith('a lowercase RFC 1123 label must')",
        "format.named('date').value().validate('x').value() == ['invalid date'] && !format.named('x').hasValue()",
        "!format.byte().validate('aGk=').hasValue() && format.byte().validate('').hasValue()",
        "!isCIDR('010.0.0.0/8') && !isCIDR('10.0.0.0/08') && !isCIDR('::ffff:1.2.3.4/100') && isCIDR('::/0')",
        "'%s %s %s'.format([1e21, b'ab', true]) == '1e+21 ab true'",
        "'%s'.format([[1, 'a\"', 2.5, b'x', null, {'b': [1u], 'a': true}]]) == '[1, \"a\\\\\"\", 2.500000, b\"x\", null, {\"a\":true, \"b\":[1]}]'",
        "'%s'.format([[duration('1s'), timestamp(0)]]) == '[duration(\"1s\"), timestamp(\"1970-01-01T00:00:00Z\")]'",
        "'%f %.2f %.0f'.format([1234567.5, -0.5, 1.0 / 0.0]) == '1,234,567.500000 -0.50 ∞'",
        "'%e %.1e'.format([1.5, 0.00012]) == '1.500000×10⁰⁰ 1.200000×10⁻⁰⁴'",
        "'%x %X %x %o %b %b%%'.format([-255, 255u, 'az', 8, 5, true]) == '-ff FF 617a 10 101 1%'",
    ] {
        let schema = with_rule(json!({"rule": rule}));
        assert_eq!(errors(schema, value.clone(), None), [""; 0], "{rule}");
    }
}

#[test]
fn formats_fit_their_arguments() {
    for (expression, words) in [
        (
            "'%d'.format([self.name])",
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
        (
            "'%s'.format([[self.ratio, self.at, optional.none()]])",
            "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given optional_type",
        ),
        (
            "'%s'.format([1, 2])",
            "too many arguments supplied to string.format (expected 1, got 2)",
        ),
        ("'%s %s'.format([1])", "index 1 out of range"),
        ("'%'.format([1])", "unexpected end of string"),
        (
            "'%q'.format([1])",
            "could not parse formatting clause: unrecognized formatting clause \"q\"",
        ),
        (
            "'%.f'.format([1.0])",
            "could not parse formatting clause: error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing \"\": invalid syntax",
        ),
        (
            "'%.2000f'.format([1.0])",
            "could not parse formatting clause: error while parsing precision: 2000 is more than 1000",
        ),
    ] {
        let refused = Schema::parse(&with_rule(json!({"rule": format!("{expression} == ''")})));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let usable = json!({"rule": "'%s%s%f'.format([self.list, dyn(self.min), self.ratio]) != ''"});
    assert!(Schema::parse(&with_rule(usable)).is_ok());
}

/// What the number of items or parts makes of a cost, it makes of the time.
#[test]
fn large_values_take_neither_time_nor_memory() {
    let item = |key: usize| json!({"k": key, "v": 1});
    let schema = |kind: &str, items: Value, rule: &str| {
        json!({"type": "object", "properties": {"list": {"type": "array", "x-kubernetes-list-type": kind, "items": items},
                "text": {"type": "string"}},
            "x-kubernetes-validations": [{"rule": rule, "message": "m"}]})
    };
    let number = json!({"type": "integer"});
    let set: Vec<_> = (0..100_000).collect();
    let turned: Vec<_> = (0..100_000).rev().collect();
    let sets = schema("set", number.clone(), "self.list == oldSelf.list");
    let (errors, _) = told(&sets, &json!({"list": set}), &json!({"list": turned}));
    assert_eq!(errors, [""; 0]);
    let mut maps = schema(
        "map",
        json!({"type": "object", "properties": {"k": number, "v": number},
            "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}),
        "self.list == oldSelf.list",
    );
    maps["properties"]["list"]["x-kubernetes-list-map-keys"] = json!(["k"]);
    let list: Vec<_> = (0..20_000).map(item).collect();
    let turned: Vec<_> = (0..20_000).rev().map(item).collect();
    let (errors, _) = told(&maps, &json!({"list": list}), &json!({"list": turned}));
    assert_eq!(errors, [""; 0]);
    let long = schema(
        "atomic",
        json!({"type": "integer"}),
        "self.text.replace('', self.text) != ''",
    );
    let text = json!({"text": "x".repeat(1_000_000)});
    let (errors, _) = told(&long, &text, &text);
    assert!(
        errors[0].contains("running out of cost budget"),
        "{errors:?}"
    );
    let many = vec!["[] == [] && {} == {}"; 3000].join(" && ");
    assert!(Schema::parse(&schema("atomic", json!({"type": "integer"}), &many)).is_ok());
}

//! Request bodies.

use serde_json::Value;

use super::refused;
use crate::decode::{Decoded, json_body, yaml_body};
use crate::patch::{MAX_DEPTH, depth};

pub(super) const JSON: &[&str] = &[
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":{"a":"b"}},"data":{"k":"v"}}"#,
    r#"{"a":1,"b":{"c":[{"d":1,"d":2}]},"a":3.0}"#,
    r#"[null,true,false,-1,18446744073709551615,1.5e300,3e0,-0.0,"\u0000\ud83d\ude00\n",[],{}]"#,
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
];

pub(super) const YAML: &[&str] = &[
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  labels: {a: b}\nstringData:\n  k: |\n    text\n    more\n",
    "a: &x\n  b: [yes, no, on, off, ~, 0777, 0o17, 0x1f, 1_000, .inf, -.nan, 1e3, 12:30]\nc:\n  <<: *x\n  d: *x\n",
    "--- # comment\n? key\n: value\n\"q\\u0041\\x41\": 'it''s'\nfolded: >-\n  one\n  two\n...\n",
    "a: &a [x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nd: [*c, *c, *c]\n",
    "- !!str 1\n- !!binary aGk=\n- !local x\n- 2001-12-14t21:59:43.10-05:00\n- {a, b: , c}\n",
    "{\"a\": 1, \"a\": 2}",
];

/// What was read, written as JSON, reads the same again, with nothing left to object to.
fn reads_again(decoded: &Decoded, reader: fn(&[u8]) -> Result<Decoded, crate::ApiError>) {
    assert!(depth(&decoded.value) <= MAX_DEPTH);
    let text = decoded.value.to_string();
    let again = reader(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again.value, decoded.value, "{text}");
    assert_eq!(again.problems, [""; 0]);
}

pub(super) fn json(data: &[u8]) {
    match json_body(data) {
        Ok(decoded) => {
            reads_again(&decoded, json_body);
            // The same document by serde_json's own reader, which knows no duplicates.
            let plain: Value = serde_json::from_slice(data).unwrap();
            let plain = json_body(plain.to_string().as_bytes()).unwrap().value;
            assert_eq!(plain, decoded.value);
        }
        Err(error) => refused(&error),
    }
}

pub(super) fn yaml(data: &[u8]) {
    match yaml_body(data) {
        Ok(decoded) => {
            reads_again(&decoded, json_body);
            reads_again(&decoded, yaml_body);
        }
        Err(error) => refused(&error),
    }
}

#![allow(clippy::unwrap_used)]
use super::*;

fn good() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    json!({
        "metadata": {"name": "widgets.shop.example"},
        "spec": {"group": "shop.example", "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        "status": {"storedVersions": ["v1"]},
    })
}

/// The problems of a definition with one thing changed.
fn with(pointer: &str, value: Value) -> Vec<String> {
    let mut object = good();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[name] = value;
    definition(&object, None)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The problems of a definition whose field `spec.a` has this schema, at `@`.
fn with_field(schema: Value) -> Vec<String> {
    let place = "spec.validation.openAPIV3Schema.properties[spec].properties[a]";
    let pointer = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a";
    let found = with(pointer, schema);
    found
        .into_iter()
        .map(|problem| problem.replace(place, "@"))
        .collect()
}

#[test]
fn a_right_definition_has_no_problems() {
    assert_eq!(definition(&good(), None), []);
    assert_eq!(definition(&good(), Some(&good())), []);
}

#[test]
fn names_versions_and_their_parts() {
    let version = "/spec/versions/0";
    let cases: Vec<(String, Value, &[&str])> = vec![
        (
            "/spec/group".into(),
            json!(""),
            &[
                "metadata.name: Invalid value: \"widgets.shop.example\": must be spec.names.plural+\".\"+spec.group",
                "spec.group: Required value",
            ],
        ),
        (
            "/spec/scope".into(),
            json!("Some"),
            &[
                "spec.scope: Unsupported value: \"Some\": supported values: \"Cluster\", \"Namespaced\"",
            ],
        ),
        (
            "/spec/names/listKind".into(),
            json!("Widget"),
            &[
                "spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same",
            ],
        ),
        (
            "/spec/names/singular".into(),
            json!(""),
            &["spec.names.singular: Required value"],
        ),
        (
            "/spec/preserveUnknownFields".into(),
            json!(true),
            &[
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            ],
        ),
        (
            "/spec/conversion/webhook".into(),
            json!({"conversionReviewVersions": ["v1"]}),
            &[
                "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
            ],
        ),
        (
            format!("{version}/storage"),
            json!(false),
            &[
                "spec.versions: Invalid value: [{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,\"DeprecationWarning\":null,\"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}]: must have exactly one version marked as storage version",
            ],
        ),
        (
            format!("{version}/schema"),
            json!({}),
            &["spec.versions[0].schema.openAPIV3Schema: Required value"],
        ),
        (
            format!("{version}/deprecationWarning"),
            json!("x"),
            &[
                "spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions",
            ],
        ),
        (
            "/spec/versions".into(),
            json!([{"name": "v1", "served": true, "storage": true, "deprecated": true, "deprecationWarning": "a\u{200b}",
                "schema": {"openAPIV3Schema": {"type": "object"}}}]),
            &[
                "spec.versions[0].deprecationWarning: Invalid value: \"a\u{200b}\": must only contain printable UTF-8 characters; non-printable character found at index 1",
            ],
        ),
        (
            format!("{version}/additionalPrinterColumns"),
            json!([{"type": "x", "format": "y", "jsonPath": "a"}]),
            &[
                "spec.additionalPrinterColumns[0].name: Required value",
                "spec.additionalPrinterColumns[0].type: Invalid value: \"x\": must be one of boolean,date,integer,number,string",
                "spec.additionalPrinterColumns[0].format: Invalid value: \"y\": must be one of byte,date,date-time,double,float,int32,int64,password",
                "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a simple json path starting with .",
            ],
        ),
        (
            format!("{version}/subresources"),
            json!({"scale": {"statusReplicasPath": ".spec.a", "labelSelectorPath": "b"}}),
            &[
                "spec.subresources.scale.specReplicasPath: Required value",
                "spec.subresources.scale.statusReplicasPath: Invalid value: \".spec.a\": should be a json path under .status",
                "spec.subresources.scale.labelSelectorPath: Invalid value: \"b\": must be a simple json path starting with .",
            ],
        ),
        (
            format!("{version}/selectableFields"),
            json!([{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.a"}, {"jsonPath": ".spec"}, {"jsonPath": ".spec.b"}, {"jsonPath": ".spec.a[0]"}]),
            &[
                "spec.selectableFields[1].jsonPath: Duplicate value: \".spec.a\"",
                "spec.selectableFields[2].jsonPath: Invalid value: \".spec\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                "spec.selectableFields[3].jsonPath: Invalid value: \".spec.b\": is an invalid path: does not refer to a valid field",
                "spec.selectableFields[4].jsonPath: Invalid value: \".spec.a[0]\": is an invalid path: array notation is not allowed",
            ],
        ),
        (
            "/status/storedVersions".into(),
            json!(["v1", "v0"]),
            &[
                "status.storedVersions[1]: Invalid value: \"v0\": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions",
            ],
        ),
    ];
    for (pointer, value, expected) in cases {
        assert_eq!(with(&pointer, value.clone()), expected, "{pointer} {value}");
    }
}

#[test]
fn what_differs_between_versions_is_told_at_the_version() {
    let mut object = good();
    let mut other = object["spec"]["versions"][0].clone();
    (other["name"], other["storage"]) = (json!("v2"), json!(false));
    other["schema"]["openAPIV3Schema"]["properties"]["b"] = json!({});
    object["spec"]["versions"]
        .as_array_mut()
        .unwrap()
        .push(other);
    let found: Vec<_> = definition(&object, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "spec.versions[1].schema.openAPIV3Schema.properties[b].type: Required value: must not be empty for specified object fields"
        ]
    );
}

#[test]
fn schemas_are_structural_and_say_all_that_is_wrong() {
    let text = json!({"type": "string"});
    let map_list = |keys: Value, items: Value| json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": items});
    let cases: Vec<(Value, &[&str])> = vec![
        (
            json!({}),
            &["@.type: Required value: must not be empty for specified object fields"],
        ),
        (
            json!({"type": "foo"}),
            &[
                "@.type: Unsupported value: \"foo\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ],
        ),
        (
            json!({"type": "array"}),
            &["@.items: Required value: must be specified"],
        ),
        (
            json!({"type": "array", "items": [text]}),
            &["@.items: Forbidden: items must be a schema object and not an array"],
        ),
        (
            json!({"type": "object", "additionalProperties": false, "properties": {"x": text}}),
            &[
                "@.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
            ],
        ),
        (
            json!({"type": "object", "$ref": "x"}),
            &["@.$ref: Forbidden: $ref is not supported"],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            &[
                "@.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
            ],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            &[],
        ),
        (
            json!({"type": "string", "anyOf": [{"type": "string", "title": "t"}]}),
            &[
                "@.anyOf[0].title: Forbidden: must be empty to be structural",
                "@.anyOf[0].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            &[
                "@.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-list-type": "set"}),
            &[
                "@.type: Invalid value: \"object\": must be array if x-kubernetes-list-type is specified",
            ],
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
            &[
                "@.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
        (
            map_list(
                json!(["k", "k", "z"]),
                json!({"type": "object", "required": ["k"], "properties": {"k": text}}),
            ),
            &[
                "@.x-kubernetes-list-map-keys: Invalid value: [\"k\",\"k\",\"z\"]: must not contain duplicate entries",
                "@.x-kubernetes-list-map-keys: Invalid value: [\"k\",\"k\",\"z\"]: entries must all be names of item properties",
            ],
        ),
        (
            map_list(
                json!(["k"]),
                json!({"type": "object", "properties": {"k": text}}),
            ),
            &[
                "@.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        ),
        (
            json!({"type": "string", "default": 1}),
            &[
                "@.default: Invalid value: \"integer\":  in body must be of type string: \"integer\"",
            ],
        ),
        (
            json!({"type": "object", "default": {"z": 1}}),
            &["@.default: Invalid value: {\"z\":1}: must not have unknown fields"],
        ),
        (
            json!({"type": "object", "properties": {"q": {"type": "integer"}}, "default": {"q": "x"}}),
            &[
                "@.default.q: Invalid value: \"string\": q in body must be of type integer: \"string\"",
            ],
        ),
        (
            json!({"type": "string", "allOf": [{"default": false, "additionalProperties": false}]}),
            &["@.allOf[0].default: Forbidden: must be undefined to be structural"],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "string"}],
                "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}),
            &["@.anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(with_field(schema.clone()), expected, "{schema}");
    }
    let root = |schema: Value| with("/spec/versions/0/schema/openAPIV3Schema", schema);
    let place = "spec.validation.openAPIV3Schema";
    assert_eq!(
        root(json!({"type": "string"})),
        [format!(
            "{place}.type: Invalid value: \"string\": must be object at the root"
        )]
    );
    assert_eq!(
        root(json!({"type": "object", "allOf": [{"properties": {"x": {"minLength": 1}}}]})),
        [format!(
            "{place}.properties[x]: Required value: because it is defined in {place}.allOf[0].properties[x]"
        )]
    );
    assert_eq!(
        root(
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}})
        ),
        [format!(
            "{place}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        )]
    );
}

#[test]
fn rules_are_judged_with_their_schema() {
    let rule = |rule: Value| {
        with_field(json!({"type": "string", "maxLength": 10, "x-kubernetes-validations": [rule]}))
    };
    let shown = "{\"Rule\":\"self > 1\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}".replace('>', "\\u003e");
    assert_eq!(
        rule(json!({"rule": "self > 1"})),
        [format!(
            "@.x-kubernetes-validations[0].rule: Invalid value: {shown}: compilation failed: ERROR: <input>:1:6: found no matching overload for '_>_' applied to '(string, int)'\n | self > 1\n | .....^"
        )]
    );
    assert_eq!(
        rule(json!({})),
        ["@.x-kubernetes-validations[0].rule: Required value: rule is not specified"]
    );
    assert_eq!(
        rule(json!({"rule": "true", "message": " ", "reason": "x", "fieldPath": ".x"})),
        [
            "@.x-kubernetes-validations[0].message: Invalid value: \" \": must be non-empty if specified",
            "@.x-kubernetes-validations[0].reason: Unsupported value: \"x\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            "@.x-kubernetes-validations[0].fieldPath: Invalid value: \".x\": must be a valid path",
        ]
    );
    assert_eq!(
        rule(json!({"rule": "self != ''", "optionalOldSelf": true})),
        [
            "@.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
        ]
    );
    let unbounded = json!({"type": "array", "items": {"type": "string"},
        "x-kubernetes-validations": [{"rule": "self.all(x, self.all(y, x == y))"}]});
    let found = with_field(unbounded);
    assert!(found[0].starts_with("@.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"), "{found:?}");
    let items = json!({"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 5,
        "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}});
    assert_eq!(
        with_field(items),
        [
            "@.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within @"
        ]
    );
}

#[test]
fn defaults_keep_the_rules() {
    let with_default = |rule: Value| {
        with_field(
            json!({"type": "object", "properties": {"n": {"type": "integer", "default": 1,
            "x-kubernetes-validations": [rule]}}}),
        )
    };
    let at = "@.properties[n].default";
    for (rule, expected) in [
        (json!({"rule": "self < 3"}), ""),
        (json!({"rule": "self == oldSelf"}), ""),
        (
            json!({"rule": "self > 3"}),
            "Invalid value: 1: failed rule: self > 3",
        ),
        (
            json!({"rule": "self > oldSelf", "reason": "FieldValueForbidden", "message": "grow"}),
            "Forbidden: grow",
        ),
        (
            json!({"rule": "oldSelf.hasValue()", "optionalOldSelf": true}),
            "Invalid value: 1: failed rule: oldSelf.hasValue()",
        ),
        (
            json!({"rule": "1 / 0 == self"}),
            "Invalid value: \"integer\": division by zero evaluating rule: 1 / 0 == self",
        ),
    ] {
        let expected = match expected {
            "" => vec![],
            text => vec![format!("{at}: {text}")],
        };
        assert_eq!(with_default(rule.clone()), expected, "{rule}");
    }
}

#[test]
fn formats_that_mean_nothing_are_named_once() {
    let mut object = good();
    object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = json!({
        "a": {"type": "integer", "format": "date"}, "b": {"type": "string", "format": "date"},
        "c": {"type": "array", "items": {"type": "string", "format": "x"}, "allOf": [{"items": {"format": "x"}}]},
        "d": {"type": "object", "additionalProperties": {"type": "number", "format": "double"}},
    });
    assert_eq!(unknown_formats(&object), ["date", "x"]);
    assert_eq!(unknown_formats(&good()), [""; 0]);
}

#[test]
fn what_is_beside_the_spec_is_held_against_it_unless_the_status_is_written() {
    let mut old = good();
    old["spec"]["group"] = json!("shop.k8s.io");
    old["metadata"]["annotations"] = json!({APPROVAL: "unapproved"});
    old["status"]["storedVersions"] = json!(["v1", "v0"]);
    let mut new = old.clone();
    new["metadata"] = json!({});
    let fields = |found: Vec<FieldError>| found.into_iter().map(|error| error.field);
    let found: Vec<_> = fields(beside_spec(&new, &old)).collect();
    let annotation = format!("metadata.annotations[{APPROVAL}]");
    assert_eq!(found, ["status.storedVersions[1]", &annotation]);
    new["status"]["acceptedNames"]["plural"] = json!("A");
    let found: Vec<_> = fields(beside_spec(&new, &old)).collect();
    assert_eq!(found, ["status.acceptedNames.plural"]);
}

#[test]
fn what_is_fixed_stays() {
    let mut old = good();
    old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    let mut new = old.clone();
    (new["spec"]["scope"], new["spec"]["names"]["kind"]) = (json!("Cluster"), json!("Other"));
    let found: Vec<_> = definition(&new, Some(&old))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.names.kind: Invalid value: \"Other\": field is immutable",
        ]
    );
}

use std::{collections::BTreeSet, fs, path::Path};

use api_types::{DeploymentSpec, crd_values, crds, render_crds};
use serde_json::{Value, json};

/// The files are what the types say. `UPDATE_CRDS=1 cargo test -p api-types` rewrites them, as does
/// `operator crdgen`.
#[test]
fn files_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
    for (name, text) in render_crds().unwrap() {
        let path = folder.join(name);
        if std::env::var_os("UPDATE_CRDS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "crds/{name} is not what the types say: run UPDATE_CRDS=1 cargo test -p api-types"
        );
    }
}

#[test]
fn text_reads_back_as_the_same_value() {
    for (text, value) in render_crds().unwrap().values().zip(crd_values()) {
        assert_eq!(serde_saphyr::from_str::<Value>(text).unwrap(), value);
    }
}

#[test]
fn typed_definitions_lose_nothing() {
    assert_eq!(crds().len(), 3);
    for (typed, value) in crds().iter().zip(crd_values()) {
        assert_eq!(
            without_fractions(serde_json::to_value(typed).unwrap()),
            without_fractions(value)
        );
    }
}

fn without_fractions(value: Value) -> Value {
    match value {
        Value::Number(n) => n.as_f64().into(),
        Value::Array(list) => list.into_iter().map(without_fractions).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(k, v)| (k, without_fractions(v)))
            .collect(),
        other => other,
    }
}

/// Every schema in a definition, with its path.
fn schemas<'a>(
    path: String,
    schema: &'a Value,
    in_array: bool,
    visit: &mut impl FnMut(&str, &'a Value, bool),
) {
    visit(&path, schema, in_array);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        schemas(format!("{path}.{name}"), property, in_array, visit);
    }
    if let Some(items) = schema.get("items") {
        schemas(format!("{path}[]"), items, true, visit);
    }
    if let Some(values) = schema.get("additionalProperties") {
        schemas(format!("{path}{{}}"), values, in_array, visit);
    }
}

fn each_schema(mut visit: impl FnMut(&str, &Value, bool)) {
    for crd in crd_values() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schemas(kind, schema, false, &mut visit);
    }
}

#[test]
fn every_field_is_explained() {
    each_schema(|path, schema, _| {
        let property = !path.ends_with("[]") && !path.ends_with("{}");
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(
            !property || description.len() > 5,
            "{path} has no description"
        );
        assert!(
            !description.replace("\n\n", "").contains('\n'),
            "{path} has a line break in its description"
        );
    });
}

#[test]
fn every_specified_text_number_and_list_is_bounded() {
    each_schema(|path, schema, _| {
        if !path.contains(".spec") {
            return;
        }
        let has = |key: &str| schema.get(key).is_some();
        match schema["type"].as_str() {
            Some("string") => assert!(has("maxLength") || has("enum"), "{path} has no maxLength"),
            Some("integer" | "number") => {
                assert!(has("maximum") || has("enum"), "{path} has no maximum")
            }
            Some("boolean") => {}
            Some("array") => assert!(has("maxItems"), "{path} has no maxItems"),
            Some("object") => assert!(
                has("properties") || has("maxProperties"),
                "{path} has no maxProperties"
            ),
            _ => assert!(
                has("x-kubernetes-int-or-string") && has("maxLength"),
                "{path} has no bound"
            ),
        }
    });
}

/// A number that fits no field of a typed client would hide all objects of its kind from it.
#[test]
fn every_integer_has_a_size() {
    each_schema(|path, schema, _| {
        let sized = schema["format"].is_string() || schema["maximum"].is_number();
        assert!(schema["type"] != "integer" || sized, "{path} has no size");
    });
}

#[test]
fn nothing_is_published_that_an_api_server_would_change() {
    each_schema(|path, schema, in_array| {
        assert!(schema.get("nullable").is_none(), "{path} is nullable");
        assert!(
            !in_array || schema.get("default").is_none(),
            "{path} has a default inside a list"
        );
        assert!(
            schema["default"] != Value::Null || schema.get("default").is_none(),
            "{path} defaults to null"
        );
        let known = ["int32", "int64", "double", "date-time"];
        assert!(
            schema["format"].as_str().is_none_or(|f| known.contains(&f)),
            "{path} has format {}",
            schema["format"]
        );
        for forbidden in ["$ref", "anyOf", "oneOf", "allOf", "title"] {
            assert!(schema.get(forbidden).is_none(), "{path} has {forbidden}");
        }
        for key in schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let required = schema["items"]["required"].as_array().unwrap();
            assert!(
                required.contains(key),
                "{path}: the key {key} must be required"
            );
        }
    });
    for crd in crd_values() {
        for (name, list) in crd["spec"]["names"].as_object().unwrap() {
            assert!(
                list.as_array().is_none_or(|l| !l.is_empty()),
                "{name} is an empty list"
            );
        }
    }
}

/// T35: names that kubectl knows for core kinds stay theirs.
#[test]
fn short_names_clash_with_nothing() {
    let kubernetes = [
        "deploy", "no", "po", "svc", "ns", "cm", "ev", "rs", "ds", "sts", "ep", "ing", "sa", "crd",
        "crds",
    ];
    let mut seen: BTreeSet<String> = kubernetes.iter().map(|s| (*s).to_owned()).collect();
    for crd in crd_values() {
        let names = &crd["spec"]["names"];
        let own = [&names["plural"], &names["singular"]]
            .into_iter()
            .chain(names["shortNames"].as_array().unwrap());
        for name in own {
            assert!(
                seen.insert(name.as_str().unwrap().to_owned()),
                "{name} is taken"
            );
        }
    }
}

#[test]
fn deployment_has_status_and_scale() {
    let crd = &crd_values()[0];
    let subresources = &crd["spec"]["versions"][0]["subresources"];
    assert_eq!(subresources["status"], serde_json::json!({}));
    assert_eq!(subresources["scale"]["specReplicasPath"], ".spec.replicas");
    assert_eq!(
        subresources["scale"]["statusReplicasPath"],
        ".status.replicas"
    );
    assert_eq!(
        subresources["scale"]["labelSelectorPath"],
        ".status.selector"
    );
}

/// What a controller takes for unset is what the API server writes.
#[test]
fn defaults_of_the_schema_are_those_of_the_types() {
    let schema = &crd_values()[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut spec = json!({"image": ""});
    for (name, property) in schema["properties"]["spec"]["properties"]
        .as_object()
        .unwrap()
    {
        if let Some(default) = property.get("default") {
            spec[name] = default.clone();
        }
    }
    assert_eq!(
        serde_json::from_value::<DeploymentSpec>(spec.clone()).unwrap(),
        DeploymentSpec::default()
    );
    assert_eq!(
        serde_json::to_value(DeploymentSpec::default()).unwrap(),
        spec
    );
}

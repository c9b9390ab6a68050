//! Every sample is right as it stands, with no field that the schema does not know.

use std::{fs, path::Path};

use api_types::{API_VERSION, Deployment, Node, Route};
use serde_json::Value;

use crate::bad_input::Kind;

fn documents() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/samples");
    let files = [folder.clone(), folder.join("optional")]
        .into_iter()
        .flat_map(|f| fs::read_dir(f).unwrap());
    let files = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file());
    files
        .flat_map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            documents
                .into_iter()
                .map(move |d| (path.display().to_string(), d))
        })
        .collect()
}

#[test]
fn samples_of_our_kinds_are_right() {
    let ours: Vec<_> = documents()
        .into_iter()
        .filter(|(_, d)| d["apiVersion"] == API_VERSION)
        .collect();
    assert!(ours.len() >= 5, "the samples are not where this test looks");
    for (path, sample) in ours {
        let name = sample["kind"].as_str().unwrap().to_owned();
        let kind = Kind::new(&name);
        assert_eq!(kind.errors(&sample), [], "{path}");
        unknown_fields(&path, &sample["spec"], &kind.schema["properties"]["spec"]);
        let typed = match name.as_str() {
            "Deployment" => serde_json::from_value::<Deployment>(sample).map(drop),
            "Node" => serde_json::from_value::<Node>(sample).map(drop),
            _ => serde_json::from_value::<Route>(sample).map(drop),
        };
        assert!(typed.is_ok(), "{path}: {typed:?}");
    }
}

fn unknown_fields(path: &str, value: &Value, schema: &Value) {
    for item in value.as_array().into_iter().flatten() {
        unknown_fields(path, item, &schema["items"]);
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let property = schema["properties"]
            .get(key)
            .or_else(|| schema.get("additionalProperties"));
        unknown_fields(
            path,
            value,
            property.unwrap_or_else(|| panic!("{path}: unknown field {key}")),
        );
    }
}

/// They start on a machine without a registry: one image for all.
#[test]
fn samples_use_one_image() {
    for (path, sample) in documents() {
        let image = &sample["spec"]["image"];
        assert!(
            image.is_null() || image == "busybox:1.36",
            "{path} uses {image}"
        );
    }
}

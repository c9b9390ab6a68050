//! Objects of our own kinds: what the server accepts, controllers can read.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::source::Source;
use crate::decode::json_body;
use crate::schema::Schema;
use crate::validation::validate_object;

/// One of our kinds as the server serves it.
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) api_version: String,
    source: Value,
    pub(super) schema: Schema,
}

pub(super) fn kinds() -> &'static [Kind] {
    static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
        let kind = |crd: Value| {
            let version = &crd["spec"]["versions"][0];
            let source = version["schema"]["openAPIV3Schema"].clone();
            Kind {
                name: crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(),
                api_version: format!(
                    "{}/{}",
                    crd["spec"]["group"].as_str().unwrap(),
                    version["name"].as_str().unwrap()
                ),
                schema: Schema::custom_resource(&source).unwrap(),
                source,
            }
        };
        api_types::crd::crd_values().into_iter().map(kind).collect()
    });
    &KINDS
}

impl Kind {
    /// An object that mostly fits.
    pub(super) fn object(&self, source: &mut Source<'_>) -> Value {
        let mut object = source.shaped(&self.source);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".into(), json!(self.api_version));
            fields.insert("kind".into(), json!(self.name));
            let labels = json!({source.text(): source.text()});
            fields.insert(
                "metadata".into(),
                json!({"name": "web", "namespace": "default", "labels": labels}),
            );
        }
        // As it comes out of a request.
        json_body(object.to_string().as_bytes()).map_or(Value::Null, |body| body.value)
    }
}

pub(super) fn objects(data: &[u8]) {
    let mut source = Source(data);
    let kind = &kinds()[source.below(kinds().len())];
    let (mut new, mut old) = (kind.object(&mut source), kind.object(&mut source));
    if !new.is_object() {
        return;
    }
    for object in [&mut new, &mut old] {
        admit(&kind.schema, object);
    }
    let mut again = new.clone();
    admit(&kind.schema, &mut again);
    assert_eq!(again, new, "admission changes what was admitted");
    for old in [None, Some(&old)] {
        let problems = validate_object(&kind.schema, &new, old);
        for problem in &problems {
            assert!(
                !problem.field.is_empty() && !problem.body().is_empty(),
                "{problem:?}"
            );
        }
    }
    let accepted = validate_object(&kind.schema, &new, None).is_empty()
        && api_types::validate::validate(&kind.name, &new).is_empty();
    if accepted {
        match kind.name.as_str() {
            "Deployment" => readable::<api_types::Deployment>(&new),
            "Node" => readable::<api_types::Node>(&new),
            "Route" => readable::<api_types::Route>(&new),
            other => panic!("{other}"),
        }
    }
}

fn admit(schema: &Schema, object: &mut Value) {
    schema.drop_nulls(object);
    schema.prune(object);
    schema.apply_defaults(object);
}

fn readable<T: DeserializeOwned>(object: &Value) {
    if let Err(error) = serde_json::from_value::<T>(object.clone()) {
        panic!("accepted, and no controller can read it: {error}: {object}");
    }
}

//! The text of an object and where its revision goes.
//!
//! Postgres stores the text without `metadata.resourceVersion`; every reader gets it with. The
//! revision is put in as the last field of `metadata`, so stamping copies bytes and parses nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::object::{Key, Object};

/// The JSON text of an object that has no revision yet.
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    /// Position of the brace that closes `metadata`.
    end_of_metadata: usize,
    /// Does `metadata` have fields?
    comma: bool,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Text {
    /// Takes `metadata.resourceVersion` out and serializes.
    ///
    /// # Errors
    /// The value, or its `metadata`, is not a JSON object.
    pub(crate) fn from_value(mut value: Value) -> Result<Self, Error> {
        let Some(top) = value.as_object_mut() else {
            return Err(Error::Database(
                "the value to store is not a JSON object".into(),
            ));
        };
        let metadata = top
            .entry("metadata")
            .or_insert_with(|| Value::Object(Default::default()));
        if metadata.is_null() {
            *metadata = Value::Object(Default::default());
        }
        let Some(metadata) = metadata.as_object_mut() else {
            return Err(Error::Database(
                "metadata of the value to store is not a JSON object".into(),
            ));
        };
        metadata.remove("resourceVersion");
        Self::parse(value.to_string())
    }

    /// Reads what `from_value` wrote and Postgres kept.
    pub(crate) fn parse(text: String) -> Result<Self, Error> {
        let Range { start, end } = metadata_span(&text)?;
        let metadata = &text[start..end];
        // Labels that are not strings are none: the store knows no kind and refuses no field.
        let labels = serde_json::from_str::<Metadata>(metadata)
            .unwrap_or_default()
            .labels;
        let comma = !metadata[1..metadata.len() - 1].trim().is_empty();
        Ok(Self {
            end_of_metadata: end - 1,
            comma,
            labels: labels.unwrap_or_default(),
            text,
        })
    }

    /// The text without a revision, as it is stored.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The object at a revision.
    pub(crate) fn into_object(self, key: Key, revision: u64) -> Arc<Object> {
        let (head, tail) = self.text.split_at(self.end_of_metadata);
        let comma = if self.comma { "," } else { "" };
        let stamp = stamp(revision);
        let json = [head, comma, &stamp, tail].concat();
        Arc::new(Object {
            key,
            revision,
            json: Bytes::from(json),
            labels: self.labels,
        })
    }
}

/// The object with another revision: what a watcher gets when an object leaves its filter.
pub(crate) fn restamped(object: &Object, revision: u64) -> Result<Arc<Object>, Error> {
    let text = std::str::from_utf8(&object.json).map_err(|e| Error::Database(e.to_string()))?;
    let span = metadata_span(text)?;
    let old = stamp(object.revision);
    let Some(at) = text[span.clone()].rfind(&old).map(|at| span.start + at) else {
        return Err(Error::Database(format!(
            "{} has no revision in its text",
            object.key
        )));
    };
    let json = [&text[..at], &stamp(revision), &text[at + old.len()..]].concat();
    Ok(Arc::new(Object {
        key: object.key.clone(),
        revision,
        json: Bytes::from(json),
        labels: object.labels.clone(),
    }))
}

fn stamp(revision: u64) -> String {
    format!("\"resourceVersion\":\"{revision}\"")
}

/// Where the text of the top-level `metadata` object is, braces included.
fn metadata_span(text: &str) -> Result<Range<usize>, Error> {
    let bad =
        |e: &dyn std::fmt::Display| Error::Database(format!("an object's text is damaged: {e}"));
    let top: Top<'_> = serde_json::from_str(text).map_err(|e| bad(&e))?;
    let metadata = top.metadata.get();
    if !metadata.starts_with('{') {
        return Err(bad(&"metadata is not an object"));
    }
    let start = metadata.as_ptr().addr() - text.as_ptr().addr();
    Ok(start..start + metadata.len())
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Arc<Object> {
        Text::from_value(value)
            .unwrap()
            .into_object(Key::new("r", "n", "x"), 7)
    }

    #[test]
    fn the_revision_is_set_and_nothing_else_changes() {
        let table = [
            json!({"metadata": {"name": "x"}, "spec": {"metadata": {"a": 1}}}),
            json!({"metadata": {}, "a": "\"metadata\":{}"}),
            json!({"metadata": {"name": "x", "resourceVersion": "3"}}),
            json!({"a": {"metadata": {"resourceVersion": "3"}}}),
            json!({"metadata": null, "z": "\u{0}\u{10ffff}"}),
            json!({"metadata": {"annotations": {"a": "\"resourceVersion\":\"7\""}}}),
        ];
        for value in table {
            let mut wanted = value.clone();
            if wanted["metadata"].is_null() {
                wanted["metadata"] = json!({});
            }
            wanted["metadata"]["resourceVersion"] = json!("7");
            let object = object(value);
            assert_eq!(
                serde_json::from_slice::<Value>(&object.json).unwrap(),
                wanted
            );
            wanted["metadata"]["resourceVersion"] = json!("12");
            let moved = restamped(&object, 12).unwrap();
            assert_eq!(
                serde_json::from_slice::<Value>(&moved.json).unwrap(),
                wanted
            );
            assert_eq!(moved.revision, 12);
        }
    }

    #[test]
    fn labels_are_extracted() {
        let labels = |v: Value| object(v).labels.clone().into_iter().collect::<Vec<_>>();
        assert_eq!(
            labels(json!({"metadata": {"labels": {"a": "b"}}})),
            [("a".to_owned(), "b".to_owned())]
        );
        assert!(labels(json!({"metadata": {"labels": null}})).is_empty());
        assert!(labels(json!({"metadata": {"labels": {"a": 1}}})).is_empty());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for value in [json!([]), json!("x"), json!({"metadata": []})] {
            assert!(Text::from_value(value).is_err());
        }
    }
}

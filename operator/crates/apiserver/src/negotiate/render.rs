//! Stored objects in the form that a client asked for.
//!
//! Guarantee: the full JSON view of a resource that is served as it is stored copies bytes and
//! parses nothing.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use store::Object;

use super::{Form, Format, View, json_bytes, respond};
use crate::columns;
use crate::registry::ResourceDef;
use crate::status_error::ApiError;

/// What a table row carries of its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads `includeObject`.
    ///
    /// # Errors
    /// `BadRequest` for anything but the three values.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(ApiError::BadRequest(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// Where a list ends and goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListPosition {
    pub(crate) revision: u64,
    pub(crate) next: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl ListPosition {
    /// Lists of custom kinds always say how they go on.
    fn metadata(&self, custom: bool) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if custom {
            metadata["continue"] = json!("");
        }
        if let Some(next) = &self.next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        metadata
    }
}

/// Writes the objects of one resource in one form.
#[derive(Clone)]
pub(crate) struct Renderer {
    pub(crate) def: Arc<ResourceDef>,
    pub(crate) form: Form,
    pub(crate) include: Include,
}

impl Renderer {
    /// Is what is stored what is sent?
    fn verbatim(&self) -> bool {
        self.form.view == View::Full && self.def.conversion.is_none()
    }

    /// The served form of a stored object.
    pub(crate) fn served(&self, json: &[u8]) -> Result<Value, ApiError> {
        served(&self.def, json)
    }

    /// An answer with one stored object.
    pub(crate) fn stored(&self, code: StatusCode, object: &Object) -> Result<Response, ApiError> {
        if self.verbatim() && self.form.format == Format::Json {
            return Ok(json_bytes(code, object.json.clone()));
        }
        Ok(self.value(code, self.served(&object.json)?))
    }

    /// An answer with one object in its served form.
    pub(crate) fn value(&self, code: StatusCode, object: Value) -> Response {
        respond(self.form.format, code, &self.one(object, true))
    }

    fn one(&self, object: Value, columns: bool) -> Value {
        match self.form.view {
            View::Full => object,
            View::Metadata | View::MetadataList => self.partial(&object),
            View::Table => {
                let version = object["metadata"]["resourceVersion"].clone();
                let rows = vec![self.row(object)];
                self.table(&json!({"resourceVersion": version}), rows, columns)
            }
        }
    }

    fn partial(&self, object: &Value) -> Value {
        json!({"kind": "PartialObjectMetadata", "apiVersion": self.form.meta_version(), "metadata": object["metadata"]})
    }

    fn row(&self, object: Value) -> Value {
        let cells = columns::cells(&self.def, &object);
        let mut row = json!({"cells": cells});
        match self.include {
            Include::None => row["object"] = Value::Null,
            Include::Metadata => row["object"] = self.partial(&object),
            Include::Object => row["object"] = object,
        }
        row
    }

    fn table(&self, metadata: &Value, rows: Vec<Value>, columns: bool) -> Value {
        let definitions = if columns {
            columns::definitions(&self.def)
        } else {
            Value::Array(Vec::new())
        };
        json!({"kind": "Table", "apiVersion": self.form.meta_version(), "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
    }

    /// An answer with a list.
    pub(crate) fn list(
        &self,
        objects: &[Arc<Object>],
        position: &ListPosition,
    ) -> Result<Response, ApiError> {
        if self.verbatim() && self.form.format == Format::Json {
            return Ok(json_bytes(
                StatusCode::OK,
                self.list_bytes(objects, position),
            ));
        }
        let items = objects
            .iter()
            .map(|object| self.served(&object.json))
            .collect::<Result<Vec<_>, _>>()?;
        let full = self.form.view == View::Full;
        let metadata = position.metadata(self.def.custom && full);
        let value = match self.form.view {
            View::Full => {
                json!({"kind": &*self.def.list_kind, "apiVersion": self.def.api_version(), "metadata": metadata, "items": items})
            }
            View::Table => self.table(
                &metadata,
                items.into_iter().map(|item| self.row(item)).collect(),
                true,
            ),
            View::Metadata | View::MetadataList => {
                let items: Vec<Value> = items.iter().map(|item| self.partial(item)).collect();
                json!({"kind": "PartialObjectMetadataList", "apiVersion": self.form.meta_version(), "metadata": metadata, "items": items})
            }
        };
        Ok(respond(self.form.format, StatusCode::OK, &value))
    }

    fn list_bytes(&self, objects: &[Arc<Object>], position: &ListPosition) -> Vec<u8> {
        let (kind, version) = (json!(&*self.def.list_kind), json!(self.def.api_version()));
        let head = format!(
            "{{\"kind\":{kind},\"apiVersion\":{version},\"metadata\":{},\"items\":[",
            position.metadata(self.def.custom)
        );
        let size: usize = objects.iter().map(|object| object.json.len() + 1).sum();
        let mut out = Vec::with_capacity(head.len() + size + 2);
        out.extend_from_slice(head.as_bytes());
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&object.json);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// The `object` of a watch event; `first` events of a table carry the columns.
    pub(crate) fn event(&self, object: &Object, first: bool) -> Result<Bytes, ApiError> {
        if self.verbatim() {
            return Ok(object.json.clone());
        }
        Ok(self
            .one(self.served(&object.json)?, first)
            .to_string()
            .into())
    }

    /// The `object` of a bookmark.
    pub(crate) fn bookmark(&self, revision: u64, end_of_initial_events: bool) -> Value {
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if end_of_initial_events {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.form.view {
            View::Full => {
                json!({"kind": &*self.def.kind, "apiVersion": self.def.api_version(), "metadata": metadata})
            }
            View::Metadata | View::MetadataList => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": self.form.meta_version(), "metadata": metadata})
            }
            View::Table => self.table(&metadata, Vec::new(), false),
        }
    }
}

/// The served form of a stored object.
pub(crate) fn served(def: &ResourceDef, json: &[u8]) -> Result<Value, ApiError> {
    let value = serde_json::from_slice(json)
        .map_err(|error| ApiError::Internal(format!("a stored object is not JSON: {error}")))?;
    Ok(def.from_stored(value))
}

//! Stored objects in the form that a client asked for.
//!
//! Guarantees: the full JSON view of a resource that is served as it is stored copies bytes and
//! parses nothing, in lists too. A large list takes the memory of a piece, however slowly it is taken; YAML apart.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use serde_json::{Value, json};
use store::Object;

use super::{Form, Format, View, json_bytes, respond, untyped};
use crate::columns;
use crate::registry::ResourceDef;
use crate::status_error::ApiError;

/// A list of objects of this size or more is written while it is sent: all of it for each client, some of
/// whom may not take it, would be gigabytes.
const LARGE: usize = 128 * 1024;
/// So much at a time.
const PIECE: usize = 64 * 1024;

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
            Value::Null
        };
        json!({"kind": "Table", "apiVersion": self.form.meta_version(), "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
    }

    /// An answer with a list.
    pub(crate) fn list(
        &self,
        objects: Vec<Arc<Object>>,
        position: &ListPosition,
    ) -> Result<Response, ApiError> {
        let (view, def) = (self.form.view, &self.def);
        let (kind, version, items) = match view {
            View::Full => (&*def.list_kind, def.api_version(), "items"),
            View::Table => ("Table", self.form.meta_version().to_owned(), "rows"),
            View::Metadata | View::MetadataList => (
                "PartialObjectMetadataList",
                self.form.meta_version().to_owned(),
                "items",
            ),
        };
        let metadata = position.metadata(def.custom && view == View::Full);
        let mut list = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
        if view == View::Table {
            list["columnDefinitions"] = columns::definitions(def);
        }
        if self.form.format == Format::Yaml {
            let values = objects.iter().map(|object| self.item(&object.json));
            list[items] = values.collect::<Result<_, _>>()?;
            return Ok(respond(Format::Yaml, StatusCode::OK, &list));
        }
        let mut start = list.to_string();
        start.truncate(start.len() - 1);
        let start = format!("{start},\"{items}\":[").into_bytes();
        let size: usize = objects.iter().map(|object| object.json.len()).sum();
        let body = if size < LARGE {
            let mut pieces = self.clone().pieces(start, objects, usize::MAX);
            Body::from(pieces.next().transpose()?.unwrap_or_default())
        } else {
            let pieces = self.clone().pieces(start, objects, PIECE);
            Body::from_stream(stream::iter(pieces))
        };
        Ok(json_bytes(StatusCode::OK, body))
    }

    /// The text of a list from its `start`, in pieces of this size or a little more.
    fn pieces(
        self,
        mut start: Vec<u8>,
        objects: Vec<Arc<Object>>,
        size: usize,
    ) -> impl Iterator<Item = Result<Bytes, ApiError>> {
        let (mut objects, mut ended) = (objects.into_iter(), false);
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let mut piece = std::mem::take(&mut start);
            while piece.len() < size {
                let Some(object) = objects.next() else {
                    piece.extend_from_slice(b"]}");
                    ended = true;
                    break;
                };
                if self.verbatim() && self.def.custom {
                    piece.extend_from_slice(&object.json);
                } else if self.verbatim() {
                    untyped::push(&mut piece, &object.json);
                } else {
                    match self.item(&object.json) {
                        Ok(item) => piece.extend_from_slice(item.to_string().as_bytes()),
                        Err(error) => {
                            ended = true;
                            tracing::error!(key = %object.key, %error, "a list cannot be written");
                            return Some(Err(error));
                        }
                    }
                }
                if objects.len() > 0 {
                    piece.push(b',');
                }
            }
            Some(Ok(piece.into()))
        })
    }

    /// One of a list. Those of Kubernetes' own kinds do not repeat their type.
    fn item(&self, json: &[u8]) -> Result<Value, ApiError> {
        let mut object = self.served(json)?;
        if self.form.view == View::Full
            && !self.def.custom
            && let Some(fields) = object.as_object_mut()
        {
            fields.retain(|name, _| name != "apiVersion" && name != "kind");
        }
        Ok(match self.form.view {
            View::Full => object,
            View::Table => self.row(object),
            View::Metadata | View::MetadataList => self.partial(&object),
        })
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
        let object = json!({"kind": &*self.def.kind, "apiVersion": self.def.api_version(), "metadata": metadata});
        self.one(object, false)
    }
}

/// The served form of a stored object.
pub(crate) fn served(def: &ResourceDef, json: &[u8]) -> Result<Value, ApiError> {
    let value = serde_json::from_slice(json)
        .map_err(|error| ApiError::Internal(format!("a stored object is not JSON: {error}")))?;
    Ok(def.from_stored(value))
}

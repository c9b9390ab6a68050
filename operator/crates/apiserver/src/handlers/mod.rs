//! One verb per file. What they share: the call, its options, and the ways to write.

mod admit;
mod apply;
mod body;
mod create;
mod delete;
mod delete_collection;
mod get;
mod list;
mod options;
mod patch;
mod update;
mod watch;
mod websocket;
mod write;

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;

pub(crate) use apply::Stated;
pub(crate) use create::create;
pub(crate) use delete::{DeleteOptions, Deleted, delete, delete_stored};
pub(crate) use delete_collection::delete_collection;
pub(crate) use get::get;
pub(crate) use list::list;
#[cfg(any(test, fuzzing))]
pub(crate) use list::{Token, consistency};
pub(crate) use options::{FieldValidation, Query};
pub(crate) use patch::{Format as PatchFormat, document as patch_document, patch, patched, unfit};
pub(crate) use update::{check_uid, update};
pub(crate) use watch::{Streaming, watch};
pub(crate) use websocket::{credentials, upgrade};
pub(crate) use write::{Part, Proposal, conflict, is_held, received, rewrite, tracked};

use crate::authn::UserInfo;
use crate::flow;
use crate::negotiate::{Include, Renderer, View};
use crate::registry::{ResourceDef, Verb};
use crate::request_info::ResourcePath;
use crate::server::ApiServer;
use crate::status_error::{ApiError, Subject};
use crate::validation;

/// So many warnings are kept: kubectl prints each on a line, and every one is looked for in those before.
const WARNINGS: usize = 32;

/// Everything a handler knows of the request it answers.
pub(crate) struct Call {
    pub(crate) server: ApiServer,
    pub(crate) def: Arc<ResourceDef>,
    pub(crate) path: ResourcePath,
    pub(crate) user: UserInfo,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) renderer: Renderer,
    /// Whose share of the server this takes.
    pub(crate) client: flow::Client,
    /// The socket that a watch is to be sent over.
    pub(crate) upgrade: Mutex<Option<WebSocketUpgrade>>,
    /// What the client should know although the request succeeds.
    pub(crate) warnings: Mutex<Vec<String>>,
}

/// What a handler answers.
pub(crate) type Reply = Result<Response, ApiError>;

impl Call {
    /// The object that the path names.
    pub(crate) fn key(&self) -> store::Key {
        self.key_of(&self.path.name)
    }

    /// An object of the path's collection.
    pub(crate) fn key_of(&self, name: &str) -> store::Key {
        store::Key {
            resource: self.def.storage.clone(),
            namespace: self.path.namespace.as_str().into(),
            name: name.into(),
        }
    }

    /// The error for an object that is not there.
    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::NotFound(Subject::resource(&self.def, &self.path.name))
    }

    /// The content type of the body.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
    }

    /// Says each of these once, however often the change is computed.
    pub(crate) fn warn(&self, texts: Vec<String>) {
        let mut warnings = self.warnings.lock();
        for text in texts {
            if warnings.len() < WARNINGS && !warnings.contains(&text) {
                warnings.push(text);
            }
        }
    }

    /// Says what whoever writes an object should know about it.
    fn warn_of(&self, new: &Value, old: Option<&Value>) {
        if self.def.custom {
            self.warn(validation::meta::warnings(new, old));
        }
        self.warn(self.def.strategy.warnings(new, old));
    }

    /// Who writes, for managed fields: `fieldManager`, or the user agent up to its first `/`.
    pub(crate) fn field_manager(&self) -> String {
        let named = self.query.get("fieldManager");
        let agent = || {
            self.headers
                .get(http::header::USER_AGENT)
                .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        };
        let manager = match named {
            Some(name) if !name.is_empty() => name,
            _ => agent()
                .unwrap_or("unknown")
                .split('/')
                .next()
                .unwrap_or("unknown"),
        };
        manager.chars().take(128).collect()
    }
}

/// The renderer of a request.
pub(crate) fn renderer(
    def: &Arc<ResourceDef>,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Renderer, ApiError> {
    // What is only asked, a review, has no table.
    let tables = def.supports(Verb::Get);
    let form = crate::negotiate::form(headers, |view| tables || view != View::Table)?;
    let include = match form.view {
        View::Table => Include::parse(query.get("includeObject").unwrap_or_default())?,
        _ => Include::default(),
    };
    Ok(Renderer {
        def: def.clone(),
        form,
        include,
    })
}
/// The error for a new object of a kind whose definition goes.
pub(crate) fn definition_ends(call: &Call) -> ApiError {
    let name = serde_json::from_slice::<serde_json::Value>(&call.body).unwrap_or_default();
    let name = name["metadata"]["name"].as_str().unwrap_or_default();
    ApiError::Forbidden {
        subject: Subject::resource(&call.def, name),
        message: "create not allowed while custom resource definition is terminating".to_owned(),
    }
}

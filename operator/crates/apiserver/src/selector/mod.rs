//! Label and field selectors, and the filter that the store runs for them.

mod field;
mod label;

use std::sync::Arc;

use store::{Filter, Object};

pub(crate) use field::FieldSelector;
pub(crate) use label::LabelSelector;

use crate::registry::ResourceDef;
use crate::status_error::ApiError;

/// Which objects of a collection a request is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads the two query parameters.
    ///
    /// # Errors
    /// `BadRequest` for what does not parse, and for fields that are not selectable.
    pub(crate) fn parse(def: &ResourceDef, labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = LabelSelector::parse(labels)
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let fields = FieldSelector::parse(fields)
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        if let Some(name) = fields.names().find(|name| !selectable(def, name)) {
            let message = if def.custom || !def.selectable_fields.is_empty() {
                format!("field label not supported: {name}")
            } else {
                format!(
                    "{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )
            };
            return Err(ApiError::BadRequest(message));
        }
        Ok(Self { labels, fields })
    }

    /// The same of the object of this name only, unless it is empty.
    pub(crate) fn named(mut self, name: &str) -> Self {
        if !name.is_empty() {
            self.fields.add("metadata.name", name);
        }
        self
    }

    /// The filter for the store; `None` selects everything.
    pub(crate) fn filter(&self, def: &Arc<ResourceDef>) -> Option<Filter> {
        if self.labels.is_empty() && self.fields.is_empty() {
            return None;
        }
        let (selection, def) = (self.clone(), def.clone());
        Some(Arc::new(move |object: &Object| {
            selection.labels.matches(&object.labels)
                && selection.fields.matches(&object.key, || {
                    let stored = serde_json::from_slice(&object.json).unwrap_or_default();
                    let mut object = def.from_stored(stored);
                    def.strategy.prepare_selection(&mut object);
                    object
                })
        }))
    }
}

fn selectable(def: &ResourceDef, field: &str) -> bool {
    match field {
        "metadata.name" => true,
        // Of the kinds without a namespace, those with fields of their own (Namespaces) have none.
        "metadata.namespace" => def.namespaced || def.custom || def.selectable_fields.is_empty(),
        _ => def.selectable_fields.iter().any(|known| known == field),
    }
}

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
        let labels = LabelSelector::parse(labels).map_err(|error| {
            ApiError::BadRequest(format!("unable to parse requirement: {error}"))
        })?;
        let fields = FieldSelector::parse(fields)
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        for name in fields.names() {
            let known = name == "metadata.name" || name == "metadata.namespace";
            if !known && !def.selectable_fields.iter().any(|field| field == name) {
                return Err(ApiError::BadRequest(format!(
                    "field label not supported: {name}"
                )));
            }
        }
        Ok(Self { labels, fields })
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
                    def.from_stored(serde_json::from_slice(&object.json).unwrap_or_default())
                })
        }))
    }
}

//! Adding and releasing our finalizer.
//!
//! Not kube's `finalizer()`: its clean-up either succeeds or fails, and waiting for tasks to end
//! is neither.

use std::fmt::Debug;

use api_types::labels::FINALIZER;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::error::Error;
use crate::status::FIELD_MANAGER;

/// Adds the finalizer when it is not there.
pub(crate) async fn ensure<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    if object
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        return Ok(());
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    write(api, object, &finalizers).await
}

/// Takes the finalizer off; the object goes away with the last one.
pub(crate) async fn release<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let left: Vec<String> = object
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .cloned()
        .collect();
    if left.len() == object.finalizers().len() {
        return Ok(());
    }
    write(api, object, &left).await
}

/// The resource version makes it a compare-and-swap: others have finalizers too.
async fn write<K>(api: &Api<K>, object: &K, finalizers: &[String]) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": object.resource_version()}});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch(&object.name_any(), &params, &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::Finalizer(error)),
    }
}

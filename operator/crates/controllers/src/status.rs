//! Status: one patch, and only when something differs.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::context::Scope;
use crate::error::Error;
use crate::metrics::Kind;

/// Name under which our controllers own status fields.
pub const FIELD_MANAGER: &str = "obiente-operator";

/// Makes `status` of the object `wanted`, with a merge patch of just the difference, and only
/// when there is one. `wanted` must carry the transition times of `have` wherever a condition
/// did not change, or equality would be lost to the clock.
pub(crate) async fn patch_status<K, S>(
    api: &Api<K>,
    object: &K,
    have: Option<&S>,
    wanted: &S,
    scope: &Scope<K>,
) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
    S: Serialize,
{
    let value = |status: Option<&S>| serde_json::to_value(status).map_err(kube::Error::SerdeError);
    let difference = value(have)
        .and_then(|have| Ok(merge_difference(&have, &value(Some(wanted))?)))
        .map_err(Error::api("render the status"))?;
    let Some(difference) = difference else {
        return Ok(());
    };
    scope
        .context
        .metrics
        .status_writes
        .get_or_create(&Kind { kind: scope.kind })
        .inc();
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"status": difference}));
    match api.patch_status(&object.name_any(), &params, &patch).await {
        Ok(written) => {
            scope.memory.wrote(written);
            Ok(())
        }
        // Deleted meanwhile: there is nobody left to tell.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::api("write the status")(error)),
    }
}

/// The merge patch (RFC 7396) that turns `have` into `wanted`; `None` when they are equal.
fn merge_difference(have: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(have), Value::Object(wanted)) = (have, wanted) else {
        return (have != wanted).then(|| wanted.clone());
    };
    let mut patch = Map::new();
    for key in have.keys().filter(|key| !wanted.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in wanted {
        if let Some(difference) = merge_difference(have.get(key).unwrap_or(&Value::Null), value) {
            patch.insert(key.clone(), difference);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_are_sent_and_what_is_gone_is_nulled() {
        let have = json!({"a": 1, "b": {"x": 1, "y": 2}, "gone": true, "list": [1, 2]});
        let wanted = json!({"a": 1, "b": {"x": 1, "y": 3}, "list": [1]});
        assert_eq!(
            merge_difference(&have, &wanted),
            Some(json!({"b": {"y": 3}, "gone": null, "list": [1]}))
        );
        assert_eq!(merge_difference(&wanted, &wanted), None);
        assert_eq!(merge_difference(&Value::Null, &wanted), Some(wanted));
    }
}

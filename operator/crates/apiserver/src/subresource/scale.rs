//! `scale`: the number of replicas of any kind, as `autoscaling/v1`.

use std::sync::LazyLock;

use http::{Method, StatusCode};
use k8s_openapi::api::autoscaling::v1::Scale;
use serde_json::{Map, Value, json};
use store::Consistency;

use crate::decode;
use crate::handlers::{
    Call, Part, PatchFormat, Proposal, Reply, Stated, check_uid, patch_document, patched, rewrite,
    unfit,
};
use crate::meta;
use crate::negotiate::{respond, served};
use crate::registry::ScalePaths;
use crate::routes::not_allowed;
use crate::schema::{Schema, core};
use crate::status_error::ApiError;
use crate::validation::{FieldError, cannot_unmarshal};

/// A `Scale` has no room for more.
const MOST: i64 = i32::MAX as i64;

/// Answers `…/NAME/scale`.
pub(crate) async fn answer(call: &Call, method: &Method, paths: &ScalePaths) -> Reply {
    match *method {
        Method::GET => {
            let store = &call.server.inner.store;
            let object = store
                .get(&call.key(), Consistency::Latest)
                .await?
                .ok_or_else(|| call.not_found())?;
            let object = served(&call.def, &object.json)?;
            if get(&object, &paths.spec_replicas).is_none() {
                let path = &paths.spec_replicas;
                let why = format!("the spec replicas field {path:?} does not exist");
                return Err(ApiError::Internal(why));
            }
            reply(call, &scale_of(&object, paths))
        }
        Method::PUT => {
            let body = decode::body(call.content_type(), &call.body)?.value;
            if let Some(why) = unreadable(&body) {
                return Err(ApiError::BadRequest(why));
            }
            change(call, paths, |_| Ok(body.clone())).await
        }
        Method::PATCH => {
            let format = PatchFormat::of(call)?;
            if format == PatchFormat::Apply {
                return apply(call, paths).await;
            }
            let patch = patch_document(format, &call.body)?;
            change(call, paths, |scale| {
                let scale = patched(&call.def, format, scale, &patch)?;
                match unreadable(&scale) {
                    Some(why) => Err(unfit(&scale, &why)),
                    None => Ok(scale),
                }
            })
            .await
        }
        _ => Err(not_allowed(call, method)),
    }
}

async fn change(
    call: &Call,
    paths: &ScalePaths,
    edit: impl Fn(&Value) -> Result<Value, ApiError>,
) -> Reply {
    let apply = |current: &Value| {
        let mut scale = edit(&scale_of(current, paths))?;
        check_kind(&scale)?;
        check_uid(&call.def, &scale, current)?;
        let mut object = current.clone();
        // What the client believes of identity and version is checked like that of the object.
        for field in ["name", "namespace", "uid", "resourceVersion"] {
            if let Some(value) = meta::fields(&mut scale)?.get(field) {
                meta::fields(&mut object)?.insert(field.to_owned(), value.clone());
            }
        }
        set(&mut object, &paths.spec_replicas, json!(replicas(&scale)))?;
        Ok(Proposal {
            object,
            ..Proposal::default()
        })
    };
    let written = rewrite(call, &call.key(), Part::Main, apply).await?;
    reply(call, &scale_of(&written.object(&call.def)?, paths))
}

/// What says that it is something else is not taken for a scale.
fn check_kind(scale: &Value) -> Result<(), ApiError> {
    match scale.get("kind") {
        None | Some(Value::Null) => Ok(()),
        Some(kind) if kind == "Scale" || kind == "" => Ok(()),
        Some(kind) => Err(ApiError::BadRequest(format!(
            "the kind in the data ({kind}) does not match the expected kind (Scale)"
        ))),
    }
}

/// Server-side apply: what is stated of the scale is stated of the object's field, through this
/// subresource.
async fn apply(call: &Call, paths: &ScalePaths) -> Reply {
    let mut stated = Stated::of(call)?;
    let scale = std::mem::take(&mut stated.config);
    for (field, wanted) in [("apiVersion", "autoscaling/v1"), ("kind", "Scale")] {
        if scale.get(field).is_none_or(|found| found != wanted) {
            let message = format!("{field} of an applied scale must be {wanted:?}");
            return Err(ApiError::BadRequest(message));
        }
    }
    stated.config = json!({
        "apiVersion": call.def.api_version(),
        "kind": call.def.kind,
        "metadata": {"name": call.path.name},
    });
    if let Some(why) = unreadable(&scale) {
        return Err(ApiError::BadRequest(why));
    }
    if !scale["spec"]["replicas"].is_null() {
        let number = json!(replicas(&scale));
        set(&mut stated.config, &paths.spec_replicas, number)?;
    }
    let written = stated.change(call, Part::Main).await?;
    reply(call, &scale_of(&written.object(&call.def)?, paths))
}

/// The wanted number; nothing means none. Whether it may be is for the object to say.
fn replicas(scale: &Value) -> i64 {
    scale["spec"]["replicas"].as_i64().unwrap_or_default()
}

/// Why something is no scale, if it is none.
fn unreadable(scale: &Value) -> Option<String> {
    // The source is fixed at compile time; the tests prove that it parses.
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| core::schema::<Scale>().unwrap_or_default());
    cannot_unmarshal(&SCHEMA, scale, true)
}

fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let metadata: Map<String, Value> = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ]
    .into_iter()
    .filter_map(|field| Some((field.to_owned(), object["metadata"].get(field)?.clone())))
    .collect();
    let number = |path: &str| {
        get(object, path)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    // No replicas are not written, as everywhere in `autoscaling/v1`.
    let spec = match number(&paths.spec_replicas) {
        0 => json!({}),
        replicas => json!({"replicas": replicas}),
    };
    let mut status = json!({"replicas": number(&paths.status_replicas)});
    if let Some(selector) = paths
        .label_selector
        .as_deref()
        .and_then(|path| get(object, path))
    {
        status["selector"] = selector.clone();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}

fn get<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .filter(|segment| !segment.is_empty())
        .try_fold(object, |value, segment| value.get(segment))
}

/// What is wrong with what `scale` shows of an object; what `old` has, too, is left alone.
pub(crate) fn problems(paths: &ScalePaths, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let is_new = |path: &&String| old.is_none_or(|old| get(old, path) != get(object, path));
    let number = |path: &String| {
        let found = accessed(object, path).and_then(|value| match value {
            Some(value) => value.as_i64().ok_or_else(|| misfit(path, value, "int64")),
            None => Ok(0),
        });
        let (value, why) = match found {
            Err(why) => (0, why),
            Ok(value @ ..=-1) => (value, "should be a non-negative integer".to_owned()),
            Ok(value) if value > MOST => (value, format!("should be less than or equal to {MOST}")),
            Ok(_) => return None,
        };
        Some(FieldError::invalid(path, value, why))
    };
    let selector = |path: &String| match accessed(object, path) {
        Ok(Some(value)) if !value.is_string() => {
            Some(FieldError::invalid(path, "", misfit(path, value, "string")))
        }
        Err(why) => Some(FieldError::invalid(path, "", why)),
        _ => None,
    };
    let numbers = [&paths.spec_replicas, &paths.status_replicas];
    let numbers = numbers.into_iter().filter(is_new).filter_map(number);
    let selectors = paths.label_selector.iter().filter(is_new);
    numbers.chain(selectors.filter_map(selector)).collect()
}

/// What is at a path; nothing is below nothing.
fn accessed<'a>(object: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let mut segments = path.split('.').filter(|segment| !segment.is_empty());
    segments.try_fold(Some(object), |at, segment| match at {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(fields)) => Ok(fields.get(segment)),
        Some(other) => Err(misfit(path, other, "map[string]interface{}")),
    })
}

fn misfit(path: &str, value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let shown = match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("{path} accessor error: {shown} is of the type {found}, expected {wanted}")
}

fn set(object: &mut Value, path: &str, value: Value) -> Result<(), ApiError> {
    let segments: Vec<&str> = path
        .split('.')
        .filter(|segment| !segment.is_empty())
        .collect();
    let Some((last, parents)) = segments.split_last() else {
        return Ok(());
    };
    let wrong = || {
        ApiError::BadRequest(format!(
            "{path} cannot be set: what is above it is not an object"
        ))
    };
    let mut at = object;
    for segment in parents {
        at = at
            .as_object_mut()
            .ok_or_else(wrong)?
            .entry(*segment)
            .or_insert_with(|| json!({}));
    }
    at.as_object_mut()
        .ok_or_else(wrong)?
        .insert((*last).to_owned(), value);
    Ok(())
}

fn reply(call: &Call, scale: &Value) -> Reply {
    Ok(respond(call.renderer.form.format, StatusCode::OK, scale))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn from_and_to_an_object() {
        let paths = ScalePaths {
            spec_replicas: ".spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            label_selector: Some(".status.selector".into()),
        };
        let mut object = json!({"metadata": {"name": "web", "labels": {"a": "b"}}, "status": {"replicas": 2, "selector": "a=b"}});
        set(&mut object, &paths.spec_replicas, json!(3)).unwrap();
        let scale = scale_of(&object, &paths);
        assert_eq!(scale["spec"], json!({"replicas": 3}));
        assert_eq!(scale["status"], json!({"replicas": 2, "selector": "a=b"}));
        assert_eq!(scale["metadata"], json!({"name": "web"}));
        assert!(set(&mut json!({"spec": 1}), ".spec.replicas", json!(3)).is_err());
    }

    #[test]
    fn what_it_shows_must_fit() {
        let paths = ScalePaths {
            spec_replicas: ".spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            label_selector: Some(".status.selector".into()),
        };
        let found = |object: Value, old: Option<&Value>| -> Vec<String> {
            let problems = problems(&paths, &object, old);
            problems.iter().map(ToString::to_string).collect()
        };
        for fine in [
            json!({}),
            json!({"spec": null}),
            json!({"spec": {"replicas": i32::MAX}, "status": {"replicas": 0, "selector": "a=b"}}),
        ] {
            assert_eq!(found(fine.clone(), None), [""; 0], "{fine}");
        }
        let wrong = json!({"spec": {"replicas": -1}, "status": {"replicas": 2_147_483_648_u32, "selector": 4}});
        assert_eq!(
            found(wrong.clone(), None),
            [
                ".spec.replicas: Invalid value: -1: should be a non-negative integer",
                ".status.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647",
                ".status.selector: Invalid value: \"\": .status.selector accessor error: 4 is of the type int64, expected string",
            ]
        );
        assert_eq!(found(wrong.clone(), Some(&wrong)), [""; 0]);
        assert_eq!(
            found(json!({"spec": {"replicas": "x"}, "status": []}), None),
            [
                ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64",
                ".status.replicas: Invalid value: 0: .status.replicas accessor error: [] is of the type []interface {}, expected map[string]interface{}",
                ".status.selector: Invalid value: \"\": .status.selector accessor error: [] is of the type []interface {}, expected map[string]interface{}",
            ]
        );
    }
}

//! `LimitRange`: what one task may ask for, and what it asks for where nothing is said.
//!
//! A task is one container, so the limits of type `Pod` bound the same sums as those of type
//! `Container`. Only what is created, or changed in its resources, is looked at: a limit that comes
//! later changes nothing that is there. What is filled in belongs to no field manager, as in
//! Kubernetes.

use serde_json::{Map, Value, json};
use store::{Consistency, ListQuery};

use super::Amount;
use crate::handlers::Call;
use crate::meta;
use crate::registry::ResourceDef;
use crate::status_error::{ApiError, Subject};

/// Collection in the store.
const LIMIT_RANGES: &str = "limitranges";
/// The resources that limits can be set for.
pub(crate) const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// All limits of a namespace that concern a request.
#[derive(Debug, Default)]
pub(crate) struct Limits(Vec<Value>);

impl Limits {
    /// None for kinds that run no tasks.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn of(call: &Call) -> Result<Self, ApiError> {
        if !call.def.strategy.runs_tasks() {
            return Ok(Self::default());
        }
        let query = ListQuery {
            resource: LIMIT_RANGES.into(),
            namespace: Some(call.path.namespace.as_str().into()),
            filter: None,
            at: Consistency::Cached,
            after: None,
            limit: None,
        };
        let mut limits = Vec::new();
        for object in call.server.inner.store.list(query).await?.objects {
            let mut range: Value = serde_json::from_slice(&object.json)
                .map_err(|error| ApiError::Internal(error.to_string()))?;
            if let Some(Value::Array(items)) = range.pointer_mut("/spec/limits") {
                limits.append(items);
            }
        }
        Ok(Self(limits))
    }

    /// Completes the resources of a new object, or of one in which they are others.
    pub(crate) fn fill(&self, object: &mut Value, old: Option<&Value>) {
        if self.0.is_empty() || is_same(object, old) {
            return;
        }
        let stated = object["spec"]["resources"]["limits"].clone();
        let containers = || self.0.iter().filter(|limit| limit["type"] == "Container");
        for limit in containers() {
            for (name, value) in entries(&limit["default"]) {
                set(object, "limits", name, value);
            }
        }
        for limit in containers() {
            for (name, value) in entries(&limit["defaultRequest"]) {
                // Who says only what it may use at most wants as much as that.
                set(object, "requests", name, stated.get(name).unwrap_or(value));
            }
        }
    }

    /// Is it within the limits?
    ///
    /// # Errors
    /// `Forbidden`, with everything that is not.
    pub(crate) fn check(
        &self,
        def: &ResourceDef,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), ApiError> {
        if self.0.is_empty() || is_same(object, old) {
            return Ok(());
        }
        let resources = &object["spec"]["resources"];
        let mut problems = Vec::new();
        for limit in &self.0 {
            for (field, check) in CHECKS {
                for (name, bound) in entries(&limit[field]) {
                    let asked = Asked {
                        request: amount(&resources["requests"][name]),
                        limit: amount(&resources["limits"][name]),
                    };
                    let bound = amount(bound).unwrap_or_default();
                    let kind = limit["type"].as_str().unwrap_or_default();
                    problems.extend(check(&asked, name, kind, bound));
                }
            }
        }
        let message = match &*problems {
            [] => return Ok(()),
            [problem] => problem.clone(),
            problems => format!("[{}]", problems.join(", ")),
        };
        Err(ApiError::Forbidden {
            subject: Subject::resource(def, meta::name(object)),
            message,
        })
    }
}

/// What a task asks for of one resource.
struct Asked {
    request: Option<Amount>,
    limit: Option<Amount>,
}

type Check = fn(&Asked, &str, &str, Amount) -> Option<String>;

const CHECKS: [(&str, Check); 3] = [
    ("min", minimum),
    ("max", maximum),
    ("maxLimitRequestRatio", ratio),
];

fn minimum(asked: &Asked, name: &str, kind: &str, bound: Amount) -> Option<String> {
    let text = format!("minimum {name} usage per {kind} is {bound}");
    match (asked.request, asked.limit) {
        (None, _) => Some(format!("{text}.  No request is specified")),
        (Some(request), _) if request < bound => Some(format!("{text}, but request is {request}")),
        (_, Some(limit)) if limit < bound => Some(format!("{text}, but limit is {limit}")),
        _ => None,
    }
}

fn maximum(asked: &Asked, name: &str, kind: &str, bound: Amount) -> Option<String> {
    let text = format!("maximum {name} usage per {kind} is {bound}");
    match (asked.limit, asked.request) {
        (None, _) => Some(format!("{text}.  No limit is specified")),
        (Some(limit), _) if limit > bound => Some(format!("{text}, but limit is {limit}")),
        (_, Some(request)) if request > bound => Some(format!("{text}, but request is {request}")),
        _ => None,
    }
}

fn ratio(asked: &Asked, name: &str, kind: &str, bound: Amount) -> Option<String> {
    let text = format!("{name} max limit to request ratio per {kind} is {bound}");
    let given = |amount: Option<Amount>| amount.filter(|amount| *amount != Amount::default());
    let Some(request) = given(asked.request) else {
        return Some(format!(
            "{text}, but no request is specified or request is 0"
        ));
    };
    let Some(limit) = given(asked.limit) else {
        return Some(format!("{text}, but no limit is specified or limit is 0"));
    };
    let found = limit.approximately() / request.approximately();
    (found > bound.approximately()).then(|| format!("{text}, but provided ratio is {found:.6}"))
}

fn is_same(object: &Value, old: Option<&Value>) -> bool {
    old.is_some_and(|old| old["spec"]["resources"] == object["spec"]["resources"])
}

/// The entries of a map of quantities, of resources that tasks have.
fn entries(list: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let items = list.as_object().into_iter().flatten();
    items.map(|(name, value)| (name.as_str(), value))
}

/// Quantities are validated before they come here.
fn amount(quantity: &Value) -> Option<Amount> {
    Amount::read(quantity).ok()
}

/// Sets what is not set. What is no object is left to validation.
fn set(object: &mut Value, field: &str, name: &str, value: &Value) {
    let mut place = object.get_mut("spec");
    for step in ["resources", field] {
        let fields = place.and_then(Value::as_object_mut);
        place = fields.map(|fields| fields.entry(step).or_insert_with(|| json!({})));
    }
    if let Some(fields) = place.and_then(Value::as_object_mut) {
        let fields: &mut Map<String, Value> = fields;
        fields.entry(name).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filled(limits: &Value, resources: Value, old: Option<Value>) -> Value {
        let object = |resources: Value| json!({"spec": {"resources": resources}});
        let mut new = object(resources);
        if new["spec"]["resources"].is_null() {
            new["spec"] = json!({});
        }
        let limits = Limits(vec![limits.clone()]);
        limits.fill(&mut new, old.map(object).as_ref());
        new["spec"]["resources"].take()
    }

    #[test]
    fn defaults_fill_what_is_not_said() {
        let limits = json!({"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}});
        let all = json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}});
        assert_eq!(filled(&limits, Value::Null, None), all);
        assert_eq!(
            filled(&limits, json!({"requests": {"cpu": "50m"}}), None),
            json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "50m"}})
        );
        assert_eq!(
            filled(&limits, json!({"limits": {"cpu": "50m"}}), None),
            json!({"limits": {"cpu": "50m", "memory": "1Gi"}, "requests": {"cpu": "50m"}})
        );
        // What is there and does not change is left alone; what goes away comes back.
        assert_eq!(filled(&limits, Value::Null, Some(Value::Null)), Value::Null);
        assert_eq!(filled(&limits, Value::Null, Some(all.clone())), all);
        let pod = json!({"type": "Pod", "default": {"cpu": "1"}});
        assert_eq!(filled(&pod, Value::Null, None), Value::Null);
        assert_eq!(filled(&limits, json!("wrong"), None), json!("wrong"));
    }

    #[test]
    fn what_is_out_of_bounds_is_told_as_in_kubernetes() {
        let bounds = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "2"}});
        let cases = [
            (
                json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "1024Mi"}}),
                "",
            ),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
                "[minimum cpu usage per Container is 100m.  No request is specified, cpu max limit to request ratio per Container is 2, but no request is specified or request is 0]",
            ),
            (
                json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "60m", "memory": "1Gi"}}),
                "minimum cpu usage per Container is 100m, but request is 50m",
            ),
            (
                json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "100m"}}),
                "maximum memory usage per Container is 1Gi.  No limit is specified",
            ),
            (
                json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "100m", "memory": "2Gi"}}),
                "maximum memory usage per Container is 1Gi, but limit is 2Gi",
            ),
            (
                json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "250m", "memory": "1Gi"}}),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
            ),
        ];
        for (resources, expected) in cases {
            let resources = [
                ("requests", &resources["requests"]),
                ("limits", &resources["limits"]),
            ];
            let mut problems = Vec::new();
            for (field, check) in CHECKS {
                for (name, bound) in entries(&bounds[field]) {
                    let [request, limit] = resources.map(|(_, list)| amount(&list[name]));
                    let bound = amount(bound).unwrap();
                    problems.extend(check(&Asked { request, limit }, name, "Container", bound));
                }
            }
            let text = match &*problems {
                [] => String::new(),
                [one] => one.clone(),
                many => format!("[{}]", many.join(", ")),
            };
            assert_eq!(text, expected);
        }
    }
}

//! The one form of objects that Kubernetes holds in typed fields.
//!
//! Such an object looks the same however a client wrote it: what has the zero value of its type is
//! left out (`labels: {}`, `name: ""`), unless the zero value means something (`immutable: false`),
//! and a few fields are always there (`spec: {}`, `rules: null`). Clients see it in answers, in
//! `managedFields` and in what counts as a change. Custom resources have it in their metadata only.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Kind, Schema};

/// How a field is written when there is nothing in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Zero {
    /// As the client wrote it.
    #[default]
    Kept,
    /// Not at all.
    Omitted,
    /// Always, and like this when the client left it out.
    Written(Value),
}

/// Scalars whose zero value means something else than their absence, and the list of owners, which
/// is emptied to end the tracking.
const POINTERS: [&str; 12] = [
    "automountServiceAccountToken",
    "blockOwnerDeletion",
    "controller",
    "deletionGracePeriodSeconds",
    "expirationSeconds",
    "holderIdentity",
    "immutable",
    "leaseDurationSeconds",
    "leaseTransitions",
    "managedFields",
    "preferredHolder",
    "strategy",
];
/// Structures that are there even when they are empty.
const STRUCTURES: [&str; 6] = [
    "deprecatedSource",
    "regarding",
    "roleRef",
    "source",
    "spec",
    "status",
];
/// Lists that are there although they are not required.
const LISTS: [&str; 1] = ["rules"];
/// Times that are there even when they are not set.
const TIMES: [&str; 7] = [
    "deprecatedFirstTimestamp",
    "deprecatedLastTimestamp",
    "eventTime",
    "firstTimestamp",
    "lastObservedTime",
    "lastTimestamp",
    "lastTransitionTime",
];
/// Texts that are there although they are not required.
const TEXTS: [&str; 3] = [
    "reportingComponent",
    "reportingController",
    "reportingInstance",
];

impl Schema {
    /// Brings a value into the form that its schema's zero values describe. Values of the wrong
    /// type are left for validation. Doing it twice changes nothing.
    pub fn normalize(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    if let Zero::Written(zero) = &schema.zero
                        && fields.get(name).is_none_or(is_zero)
                    {
                        fields.insert(name.clone(), zero.clone());
                    }
                }
                fields.retain(|name, field| {
                    let Some(schema) = self.field(name) else {
                        return true;
                    };
                    if let (true, Zero::Written(zero)) = (field.is_null(), &schema.zero) {
                        *field = zero.clone();
                    }
                    schema.normalize(field);
                    schema.zero != Zero::Omitted || !is_zero(field)
                });
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.normalize(item));
                }
            }
            Value::String(text) => {
                if let Some(time) = self.time(text) {
                    *text = time;
                }
            }
            _ => {}
        }
    }

    /// A time as Kubernetes writes it, where this is the type of one: in UTC, in whole seconds or in
    /// microseconds.
    fn time(&self, text: &str) -> Option<String> {
        let form = match self.type_name.as_str() {
            "v1.Time" => "%Y-%m-%dT%H:%M:%SZ",
            "v1.MicroTime" => "%Y-%m-%dT%H:%M:%S.%6fZ",
            _ => return None,
        };
        Some(text.parse::<Timestamp>().ok()?.strftime(form).to_string())
    }

    /// Sets the zero values of all fields below, by the rules of Kubernetes' own types.
    pub(super) fn set_zeros(&mut self) {
        let required = std::mem::take(&mut self.required);
        for (name, field) in &mut self.properties {
            let field = Arc::make_mut(field);
            field.set_zeros();
            field.zero = field.zero_of(name, required.contains(name));
            field.nullable |= field.zero == Zero::Written(Value::Null);
        }
        self.required = required;
        if let Some(items) = &mut self.items {
            Arc::make_mut(items).set_zeros();
        }
        if let Some(entry) = &mut self.additional {
            let entry = Arc::make_mut(entry);
            entry.set_zeros();
            if entry.kind == Some(Kind::String) {
                entry.zero = Zero::Written(json!(""));
            }
        }
    }

    fn zero_of(&self, name: &str, required: bool) -> Zero {
        let written = |always: &[&str], zero: Value, otherwise: Zero| {
            let written = required || always.contains(&name);
            if written {
                Zero::Written(zero)
            } else {
                otherwise
            }
        };
        let is_time = self.constraints.format.as_deref() == Some("date-time");
        match self.kind {
            _ if POINTERS.contains(&name) => Zero::Kept,
            Some(Kind::Object) if self.additional.is_some() => Zero::Omitted,
            Some(Kind::Object) => written(&STRUCTURES, json!({}), Zero::Kept),
            Some(Kind::Array) => written(&LISTS, Value::Null, Zero::Omitted),
            Some(Kind::String) if is_time => written(&TIMES, Value::Null, Zero::Kept),
            Some(Kind::String) => written(&TEXTS, json!(""), Zero::Omitted),
            Some(Kind::Integer | Kind::Number) => written(&[], json!(0), Zero::Omitted),
            Some(Kind::Boolean) => written(&[], json!(false), Zero::Omitted),
            None => Zero::Kept,
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::{ConfigMap, Event, LimitRange, Namespace};
    use k8s_openapi::api::rbac::v1::Role;

    use super::*;
    use crate::schema::core;

    #[test]
    fn objects_have_one_form() {
        let cases = [
            (
                core::typed::<ConfigMap>().unwrap(),
                json!({"data": {}, "binaryData": null, "immutable": false,
                    "metadata": {"name": "", "labels": {}, "annotations": {"a": null}, "finalizers": [],
                        "ownerReferences": [{"uid": "u", "controller": false}], "managedFields": []}}),
                json!({"immutable": false, "metadata": {"annotations": {"a": ""}, "managedFields": [],
                    "ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": "u", "controller": false}]}}),
            ),
            (
                core::typed::<Namespace>().unwrap(),
                json!({}),
                json!({"spec": {}, "status": {}}),
            ),
            (
                core::typed::<Role>().unwrap(),
                json!({"rules": []}),
                json!({"rules": null}),
            ),
            (
                core::typed::<LimitRange>().unwrap(),
                json!({"spec": null}),
                json!({"spec": {"limits": null}}),
            ),
            (
                core::typed::<Event>().unwrap(),
                json!({"count": 0, "type": "Normal", "lastTimestamp": "2026-01-01T02:00:00.5+02:00",
                    "eventTime": "2026-01-01T00:00:00.123456789Z"}),
                json!({"eventTime": "2026-01-01T00:00:00.123456Z", "firstTimestamp": null, "involvedObject": {},
                    "lastTimestamp": "2026-01-01T00:00:00Z",
                    "reportingComponent": "", "reportingInstance": "", "source": {}, "type": "Normal"}),
            ),
        ];
        for (schema, mut value, expected) in cases {
            schema.normalize(&mut value);
            let mut twice = value.clone();
            schema.normalize(&mut twice);
            assert_eq!(value, twice);
            if expected.get("metadata").is_none() {
                value.as_object_mut().unwrap().remove("metadata");
            }
            assert_eq!(value, expected);
        }
    }

    #[test]
    fn other_schemas_leave_values_as_they_are() {
        let source = json!({"type": "object", "required": ["b"], "properties": {
            "a": {"type": "string"}, "b": {"type": "object", "additionalProperties": {"type": "string"}}}});
        let schema = Schema::custom_resource(&source).unwrap();
        let mut value = json!({"a": "", "b": {}, "metadata": {"labels": {}}});
        schema.normalize(&mut value);
        assert_eq!(value, json!({"a": "", "b": {}, "metadata": {}}));
    }
}

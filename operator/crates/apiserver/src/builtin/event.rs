//! Events: one stored form (core), served under two groups; kept for a while after they were last
//! seen.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event as CoreEvent;
use k8s_openapi::api::events::v1::Event;
use serde_json::{Map, Value, json};
use store::{Consistency, Expect, ListQuery, Object, Op, Write, WriteError};
use tokio_util::sync::CancellationToken;

use super::{Names, stored};
use crate::admission::quota;
use crate::meta;
use crate::registry::{Conversion, ResourceDef, Strategy};
use crate::server::{ApiServer, ServerError};
use crate::status_error::ApiError;
use crate::validation::FieldError;
use crate::validation::names::qualified_name;

const GROUP: &str = "events.k8s.io";
/// How often old Events are looked for, at most.
const SWEEP: Duration = Duration::from_secs(60);
/// And at least, however short they are kept.
const SWEEP_FLOOR: Duration = Duration::from_millis(100);
/// Names in core, and in `events.k8s.io`; everything else is called the same.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Longest text of an Event of the new form, and of what it says besides.
const LONGEST: [(&str, usize); 4] = [
    ("reportingInstance", 128),
    ("action", 128),
    ("reason", 128),
    ("message", 1024),
];
/// What is said once, in the new API.
const FIXED: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

/// See the module. Fields are told of by the names that they have in core, as in Kubernetes.
struct EventStrategy {
    /// Is it the form of `events.k8s.io`? That is strict, core takes nearly everything.
    newer: bool,
}

impl Strategy for EventStrategy {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    /// In core an event is selected by who reported it as `source`.
    fn prepare_selection(&self, object: &mut Value) {
        let component = &object["source"]["component"];
        let source = match component.as_str() {
            None | Some("") => &object["reportingComponent"],
            Some(_) => component,
        };
        object["source"] = source.clone();
    }

    fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        self.check_legacy(object, &mut problems);
        let series = old.is_none_or(|old| old["series"] != object["series"]);
        if self.newer && series {
            check_series(&object["series"], &mut problems);
        }
        match old {
            _ if !self.newer => {}
            None => self.check_new(object, &mut problems),
            Some(old) => {
                for name in FIXED {
                    let (was, is) = (self.field(old, name), self.field(object, name));
                    if was != is {
                        let shown = match name {
                            "reportingComponent" => "reportingController",
                            name => name,
                        };
                        let detail = "field is immutable";
                        problems.push(FieldError::invalid(shown, is.clone(), detail));
                    }
                }
            }
        }
        problems
    }
}

impl EventStrategy {
    /// A field by its name in core.
    fn field<'a>(&self, object: &'a Value, name: &str) -> &'a Value {
        let renamed = RENAMED.iter().find(|(core, _)| self.newer && *core == name);
        &object[renamed.map_or(name, |(_, newer)| newer)]
    }

    fn text<'a>(&self, object: &'a Value, name: &str) -> &'a str {
        self.field(object, name).as_str().unwrap_or_default()
    }

    /// What both forms ask for.
    fn check_legacy(&self, object: &Value, problems: &mut Vec<FieldError>) {
        let own = meta::text(object, "namespace");
        let about = self.field(object, "involvedObject")["namespace"].as_str();
        let about = about.unwrap_or_default();
        let timed = !self.text(object, "eventTime").is_empty();
        // What is about no namespace is told of in one that is always there.
        let fits = match (about, own) {
            ("", "default") => true,
            ("", "kube-system") => timed,
            ("", _) => false,
            (about, own) => timed || about == own,
        };
        if !fits {
            let detail = "does not match event.namespace";
            problems.push(FieldError::invalid(
                "involvedObject.namespace",
                about,
                detail,
            ));
        }
        if !timed {
            return;
        }
        let place = if self.newer {
            "reportingController"
        } else {
            "reportingComponent"
        };
        let reporter = self.text(object, "reportingComponent");
        if reporter.is_empty() {
            problems.push(FieldError::required(place, ""));
        }
        let wrong = qualified_name(reporter).into_iter();
        problems.extend(wrong.map(|detail| FieldError::invalid(place, reporter, detail)));
        for (name, most) in LONGEST {
            let text = self.text(object, name);
            if text.is_empty() && name != "message" {
                problems.push(FieldError::required(name, ""));
            }
            if text.len() > most {
                let detail = format!("can have at most {most} characters");
                problems.push(FieldError::invalid(name, "", detail));
            }
        }
    }

    fn check_new(&self, object: &Value, problems: &mut Vec<FieldError>) {
        if self.text(object, "eventTime").is_empty() {
            problems.push(FieldError::required("eventTime", ""));
        }
        let kind = self.text(object, "type");
        if !["Normal", "Warning"].contains(&kind) {
            let detail = format!("has invalid value: {kind}");
            problems.push(FieldError::invalid("type", "", detail));
        }
        let source = self.field(object, "source");
        for (name, unset) in [
            (
                "firstTimestamp",
                self.text(object, "firstTimestamp").is_empty(),
            ),
            (
                "lastTimestamp",
                self.text(object, "lastTimestamp").is_empty(),
            ),
            (
                "count",
                self.field(object, "count").as_i64().unwrap_or_default() == 0,
            ),
            ("source", source.as_object().is_none_or(Map::is_empty)),
        ] {
            if !unset {
                problems.push(FieldError::invalid(name, "", "needs to be unset"));
            }
        }
    }
}

fn check_series(series: &Value, problems: &mut Vec<FieldError>) {
    if !series.is_object() {
        return;
    }
    if series["count"].as_i64().unwrap_or_default() < 2 {
        let problem = FieldError::invalid("series.count", "", "should be at least 2");
        problems.push(problem);
    }
    if series["lastObservedTime"]
        .as_str()
        .unwrap_or_default()
        .is_empty()
    {
        problems.push(FieldError::required("series.lastObservedTime", ""));
    }
}

/// Both rows of the table.
///
/// # Errors
/// A schema that does not compile: a bug.
pub(super) fn definitions() -> Result<[ResourceDef; 2], ServerError> {
    let names = || Names::core("events", "Event", &["ev"]);
    let core = stored::<CoreEvent>(names(), EventStrategy { newer: false })?;
    let newer = stored::<Event>(
        Names {
            group: GROUP,
            ..names()
        },
        EventStrategy { newer: true },
    )?;
    Ok([
        ResourceDef {
            selectable_fields: selectable(
                "involvedObject",
                &["reason", "reportingComponent", "source", "type"],
            ),
            storage: core.storage.clone(),
            ..core.clone()
        },
        ResourceDef {
            selectable_fields: selectable("regarding", &["reason", "reportingController", "type"]),
            storage: core.storage,
            conversion: Some(Conversion::Form {
                from_stored,
                to_stored,
            }),
            ..newer
        },
    ])
}

fn selectable(about: &str, own: &[&str]) -> Vec<String> {
    let parts = [
        "kind",
        "namespace",
        "name",
        "uid",
        "apiVersion",
        "resourceVersion",
        "fieldPath",
    ];
    let own = own.iter().map(|&field| field.to_owned());
    let parts = parts.into_iter().map(|part| format!("{about}.{part}"));
    parts.chain(own).collect()
}

/// When it last happened, in either form.
fn last_seen(object: &Value) -> Option<Timestamp> {
    let times = [
        &object["series"]["lastObservedTime"],
        &object["lastTimestamp"],
        &object["deprecatedLastTimestamp"],
        &object["eventTime"],
        &object["metadata"]["creationTimestamp"],
    ];
    times
        .into_iter()
        .filter_map(Value::as_str)
        .filter_map(|text| text.parse::<Timestamp>().ok())
        .max()
}

fn from_stored(object: Value) -> Value {
    let mut object = renamed(object, "events.k8s.io/v1", |core, newer| (core, newer));
    // The core group always writes them.
    if let Some(fields) = object.as_object_mut() {
        for field in ["reportingController", "reportingInstance"] {
            if fields.get(field).is_some_and(|text| text == "") {
                fields.remove(field);
            }
        }
    }
    object
}

fn to_stored(object: Value) -> Value {
    renamed(object, "v1", |core, newer| (newer, core))
}

fn renamed(
    object: Value,
    api_version: &str,
    direction: fn(&'static str, &'static str) -> (&'static str, &'static str),
) -> Value {
    let Value::Object(fields) = object else {
        return object;
    };
    let name_of = |name: String| {
        let pairs = RENAMED.iter().map(|(core, newer)| direction(core, newer));
        pairs
            .into_iter()
            .find(|(from, _)| *from == name)
            .map_or(name, |(_, to)| to.to_owned())
    };
    let mut fields: Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| (name_of(name), value))
        .collect();
    fields.insert("apiVersion".to_owned(), json!(api_version));
    Value::Object(fields)
}

/// The loop: removes old Events until cancelled.
pub(crate) async fn run(server: ApiServer, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(
        server
            .inner
            .config
            .limits
            .event_ttl
            .clamp(SWEEP_FLOOR, SWEEP),
    );
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        match cancel
            .run_until_cancelled(sweep(&server, Timestamp::now()))
            .await
        {
            Some(Ok(0)) | None => {}
            Some(Ok(count)) => tracing::debug!(count, "removed old Events"),
            Some(Err(error)) => tracing::warn!(%error, "cannot remove old Events, trying again"),
        }
    }
}

/// Removes Events last seen longer ago than they are kept; returns how many.
pub(crate) async fn sweep(server: &ApiServer, now: Timestamp) -> Result<usize, ApiError> {
    let store = &server.inner.store;
    let oldest = now
        .checked_sub(server.inner.config.limits.event_ttl)
        .unwrap_or(Timestamp::MIN);
    let query = ListQuery {
        resource: "events".into(),
        namespace: None,
        filter: Some(std::sync::Arc::new(move |object: &Object| {
            is_older(object, oldest)
        })),
        at: Consistency::Cached,
        after: None,
        limit: None,
    };
    let snapshot = server.inner.registry.snapshot();
    let Some(def) = snapshot.find("", "v1", "events") else {
        return Ok(0);
    };
    let mut removed = 0;
    for object in store.list(query).await?.objects {
        let expect = Expect::Revision(object.revision);
        let write = Write {
            key: object.key.clone(),
            expect,
            op: Op::Delete(None),
            guards: Vec::new(),
        };
        match quota::commit(server, def, Some(&object), write).await? {
            Ok(_) => removed += 1,
            // It happened again, or is gone already.
            Err(
                WriteError::Conflict { .. } | WriteError::Guard(_) | WriteError::Replace { .. },
            ) => {}
            Err(WriteError::Store(error)) => return Err(error.into()),
        }
    }
    Ok(removed)
}

fn is_older(object: &Object, oldest: Timestamp) -> bool {
    let seen = serde_json::from_slice::<Value>(&object.json)
        .ok()
        .and_then(|event| last_seen(&event));
    seen.is_some_and(|seen| seen < oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"name": "web"},
            "message": "m", "source": {"component": "c"}, "count": 2, "reportingComponent": "c", "reason": "r",
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": null,
        });
        let newer = from_stored(core.clone());
        let expected = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"name": "web"},
            "note": "m", "deprecatedSource": {"component": "c"}, "deprecatedCount": 2, "reportingController": "c",
            "reason": "r", "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": null,
        });
        assert_eq!(newer, expected);
        assert_eq!(to_stored(newer), core);
    }

    #[test]
    fn last_seen_is_the_latest_time() {
        let event = json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "eventTime": "2026-01-01T00:00:05.123456Z", "series": {"lastObservedTime": "2026-01-01T00:01:00Z"}});
        assert_eq!(last_seen(&event), "2026-01-01T00:01:00Z".parse().ok());
    }
}

//! The columns of the kinds that Kubernetes itself defines.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, human_duration};
use crate::registry::{Cell, PrinterColumn};

/// The columns of a core kind after its name; empty (name and age) for kinds that have no others.
pub fn builtin(group: &str, kind: &str) -> Vec<PrinterColumn> {
    match (group, kind) {
        ("", "Namespace") => {
            vec![
                text("Status", "The status of the namespace", |o| {
                    o["status"]["phase"].clone()
                }),
                created(),
            ]
        }
        ("", "Secret") => vec![
            text(
                "Type",
                "Used to facilitate programmatic handling of secret data.",
                |o| o["type"].clone(),
            ),
            text("Data", "Number of keys of the data", |o| count(&o["data"])),
            created(),
        ],
        ("", "ConfigMap") => vec![
            text("Data", "Number of keys of data and binaryData", |o| {
                Value::from(entries(&o["data"]) + entries(&o["binaryData"]))
            }),
            created(),
        ],
        ("", "ServiceAccount") => {
            vec![
                text("Secrets", "Number of secrets", |o| count(&o["secrets"])),
                created(),
            ]
        }
        ("coordination.k8s.io", "Lease") => {
            vec![
                text("Holder", "The identity of the holder", |o| {
                    o["spec"]["holderIdentity"]
                        .as_str()
                        .unwrap_or_default()
                        .into()
                }),
                created(),
            ]
        }
        ("", "ResourceQuota") => vec![
            text(
                "Request",
                "What is used and may be used, beside limits of cpu and memory",
                |o| quota(o, false),
            ),
            text(
                "Limit",
                "What is used and may be used of the limits of cpu and memory",
                |o| quota(o, true),
            ),
            created(),
        ],
        ("", "Pod") => pod(),
        ("" | "events.k8s.io", "Event") => event(),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("", "LimitRange")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let created = text("Created At", CREATED, |o| {
                o["metadata"]["creationTimestamp"].clone()
            });
            vec![PrinterColumn {
                kind: "date".into(),
                ..created
            }]
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(),
        _ => Vec::new(),
    }
}

const CREATED: &str = "When the object was created";

fn column(
    name: &str,
    description: &str,
    priority: i32,
    compute: fn(&Value) -> Value,
) -> PrinterColumn {
    PrinterColumn {
        name: name.into(),
        kind: "string".into(),
        format: String::new(),
        description: description.into(),
        priority,
        cell: Cell::Computed(compute),
    }
}

fn text(name: &str, description: &str, compute: fn(&Value) -> Value) -> PrinterColumn {
    column(name, description, 0, compute)
}

fn wide(name: &str, description: &str, compute: fn(&Value) -> Value) -> PrinterColumn {
    column(name, description, 1, compute)
}

fn created() -> PrinterColumn {
    text("Age", CREATED, |object| {
        ago(&object["metadata"]["creationTimestamp"])
    })
}

fn ago(timestamp: &Value) -> Value {
    age::since(timestamp, Timestamp::now())
}

/// `name: used/hard` of the limits of a quota, or of everything else.
fn quota(quota: &Value, limits: bool) -> Value {
    let hard = quota["status"]["hard"].as_object().into_iter().flatten();
    let items = hard
        .filter(|(name, _)| name.contains("limits") == limits)
        .map(|(name, hard)| {
            let amount = |value: &Value| value.as_str().unwrap_or("0").to_owned();
            let used = amount(&quota["status"]["used"][name]);
            format!("{name}: {used}/{}", amount(hard))
        });
    items.collect::<Vec<_>>().join(", ").into()
}

fn count(value: &Value) -> Value {
    entries(value).into()
}

fn entries(value: &Value) -> usize {
    value
        .as_object()
        .map(serde_json::Map::len)
        .or_else(|| value.as_array().map(Vec::len))
        .unwrap_or_default()
}

fn or_none(value: &Value) -> Value {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or("<none>")
        .into()
}

/// Events have no name up front: what they are about is what people look for.
fn event() -> Vec<PrinterColumn> {
    let name = wide("Name", "The name of the event", |o| {
        o["metadata"]["name"].clone()
    });
    vec![
        text("Last Seen", "Time of the last occurrence", |o| {
            let last = first_of(
                o,
                &[
                    "/series/lastObservedTime",
                    "/lastTimestamp",
                    "/deprecatedLastTimestamp",
                    "/eventTime",
                ],
            );
            last.map_or_else(|| first_seen(o), ago)
        }),
        text("Type", "Normal or Warning", |o| o["type"].clone()),
        text("Reason", "Why it happened", |o| o["reason"].clone()),
        text("Object", "What it is about", |o| {
            let about = subject(o);
            let kind = about["kind"].as_str().unwrap_or_default().to_lowercase();
            format!("{kind}/{}", about["name"].as_str().unwrap_or_default()).into()
        }),
        wide("Subobject", "Which part of the object", |o| {
            subject(o)["fieldPath"].as_str().unwrap_or_default().into()
        }),
        wide("Source", "Who reported it", |o| {
            let source = if o["source"].is_object() {
                &o["source"]
            } else {
                &o["deprecatedSource"]
            };
            let component = source["component"]
                .as_str()
                .or_else(|| o["reportingComponent"].as_str());
            let component = component.or_else(|| o["reportingController"].as_str());
            let host = source["host"]
                .as_str()
                .or_else(|| o["reportingInstance"].as_str());
            let parts: Vec<_> = [component, host]
                .into_iter()
                .flatten()
                .filter(|part| !part.is_empty())
                .collect();
            parts.join(", ").into()
        }),
        text("Message", "What happened", |o| {
            let message = o["message"].as_str().or_else(|| o["note"].as_str());
            message.unwrap_or_default().trim().into()
        }),
        wide("First Seen", "Time of the first occurrence", first_seen),
        wide("Count", "How often it occurred", |o| {
            let count = first_of(o, &["/series/count", "/count", "/deprecatedCount"]);
            count
                .and_then(Value::as_i64)
                .filter(|count| *count > 0)
                .unwrap_or(1)
                .into()
        }),
        PrinterColumn {
            format: "name".into(),
            ..name
        },
    ]
}

fn subject(event: &Value) -> &Value {
    if event["involvedObject"].is_object() {
        &event["involvedObject"]
    } else {
        &event["regarding"]
    }
}

fn first_seen(event: &Value) -> Value {
    ago(first_of(
        event,
        &["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"],
    )
    .unwrap_or(&Value::Null))
}

fn first_of<'v>(value: &'v Value, pointers: &[&str]) -> Option<&'v Value> {
    pointers
        .iter()
        .filter_map(|pointer| value.pointer(pointer))
        .find(|found| !found.is_null())
}

fn pod() -> Vec<PrinterColumn> {
    vec![
        text("Ready", "Containers that are ready, of all", |o| {
            let ready = statuses(o).filter(|status| status["ready"] == true).count();
            format!("{ready}/{}", entries(&o["spec"]["containers"])).into()
        }),
        text("Status", "What the pod is doing", pod_status),
        text("Restarts", "How often containers were restarted", |o| {
            let restarts: i64 = statuses(o)
                .filter_map(|status| status["restartCount"].as_i64())
                .sum();
            let last = statuses(o)
                .filter_map(|status| status["lastState"]["terminated"]["finishedAt"].as_str());
            let last = last.filter_map(|at| at.parse::<Timestamp>().ok()).max();
            match last.filter(|_| restarts > 0) {
                Some(at) => format!(
                    "{restarts} ({} ago)",
                    human_duration(Timestamp::now().as_second() - at.as_second())
                )
                .into(),
                None => restarts.to_string().into(),
            }
        }),
        created(),
        wide("IP", "Address of the pod", |o| {
            or_none(&o["status"]["podIP"])
        }),
        wide("Node", "Where it runs", |o| or_none(&o["spec"]["nodeName"])),
        wide(
            "Nominated Node",
            "Where it would run after preemption",
            |o| or_none(&o["status"]["nominatedNodeName"]),
        ),
        wide("Readiness Gates", "Further conditions of readiness", |_| {
            "<none>".into()
        }),
    ]
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
}

fn pod_status(pod: &Value) -> Value {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating".into();
    }
    let reason = |status: &Value| {
        let state = &status["state"];
        let terminated = &state["terminated"];
        let waiting = state["waiting"]["reason"]
            .as_str()
            .filter(|reason| !reason.is_empty());
        let ended = terminated["reason"]
            .as_str()
            .filter(|reason| !reason.is_empty());
        let code = terminated["exitCode"]
            .as_i64()
            .map(|code| format!("ExitCode:{code}"));
        waiting.or(ended).map(str::to_owned).or(code)
    };
    let of_pod = pod["status"]["reason"]
        .as_str()
        .filter(|reason| !reason.is_empty())
        .map(str::to_owned);
    let from_containers = statuses(pod).filter_map(reason).last();
    let phase = || {
        pod["status"]["phase"]
            .as_str()
            .unwrap_or("Unknown")
            .to_owned()
    };
    from_containers.or(of_pod).unwrap_or_else(phase).into()
}

fn binding() -> Vec<PrinterColumn> {
    fn subjects(binding: &Value, kind: &str) -> Value {
        let all = binding["subjects"].as_array().into_iter().flatten();
        let names = all
            .filter(|subject| subject["kind"] == kind)
            .filter_map(|subject| {
                let name = subject["name"].as_str()?;
                Some(
                    match subject["namespace"]
                        .as_str()
                        .filter(|_| kind == "ServiceAccount")
                    {
                        Some(namespace) => format!("{namespace}/{name}"),
                        None => name.into(),
                    },
                )
            });
        names.collect::<Vec<_>>().join(", ").into()
    }
    vec![
        text("Role", "The role that is bound", |o| {
            let part = |field: &str| o["roleRef"][field].as_str().unwrap_or_default();
            format!("{}/{}", part("kind"), part("name")).into()
        }),
        created(),
        wide("Users", "Users it is bound to", |o| subjects(o, "User")),
        wide("Groups", "Groups it is bound to", |o| subjects(o, "Group")),
        wide("ServiceAccounts", "Service accounts it is bound to", |o| {
            subjects(o, "ServiceAccount")
        }),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(group: &str, kind: &str, object: &Value) -> Vec<(String, Value)> {
        let shown = |column: &PrinterColumn| match &column.cell {
            Cell::Computed(compute) => (column.name.clone(), compute(object)),
            Cell::JsonPath(_) => (column.name.clone(), Value::Null),
        };
        builtin(group, kind).iter().map(shown).collect()
    }

    fn pairs(expected: &[(&str, Value)]) -> Vec<(String, Value)> {
        expected
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect()
    }

    #[test]
    fn core_kinds_have_the_columns_of_kubernetes() {
        let unknown = json!("<unknown>");
        assert_eq!(
            row("", "Namespace", &json!({"status": {"phase": "Active"}})),
            pairs(&[("Status", json!("Active")), ("Age", unknown.clone())])
        );
        assert_eq!(
            row(
                "",
                "Secret",
                &json!({"type": "Opaque", "data": {"a": "", "b": ""}})
            ),
            pairs(&[
                ("Type", json!("Opaque")),
                ("Data", json!(2)),
                ("Age", unknown.clone())
            ])
        );
        assert_eq!(
            row(
                "",
                "ConfigMap",
                &json!({"data": {"a": ""}, "binaryData": {"b": ""}})
            ),
            pairs(&[("Data", json!(2)), ("Age", unknown.clone())])
        );
        assert_eq!(
            row("", "ServiceAccount", &json!({})),
            pairs(&[("Secrets", json!(0)), ("Age", unknown.clone())])
        );
        assert_eq!(
            row(
                "coordination.k8s.io",
                "Lease",
                &json!({"spec": {"holderIdentity": "me"}})
            ),
            pairs(&[("Holder", json!("me")), ("Age", unknown)])
        );
    }

    #[test]
    fn quotas_show_what_is_used() {
        let hard = json!({"limits.cpu": "2", "requests.cpu": "1", "secrets": "10"});
        let used = json!({"limits.cpu": "500m", "requests.cpu": "0", "secrets": "3"});
        assert_eq!(
            row(
                "",
                "ResourceQuota",
                &json!({"status": {"hard": hard, "used": used}})
            ),
            pairs(&[
                ("Request", json!("requests.cpu: 0/1, secrets: 3/10")),
                ("Limit", json!("limits.cpu: 500m/2")),
                ("Age", json!("<unknown>"))
            ])
        );
    }

    #[test]
    fn events_show_what_they_are_about_in_both_forms() {
        let core = json!({"metadata": {"name": "e"}, "type": "Normal", "reason": "Updated", "message": " done\n", "count": 3,
            "involvedObject": {"kind": "Deployment", "name": "web"}, "source": {"component": "c", "host": "h"}});
        let new = json!({"metadata": {"name": "e"}, "type": "Normal", "reason": "Updated", "note": "done", "deprecatedCount": 3,
            "regarding": {"kind": "Deployment", "name": "web"}, "reportingController": "c", "reportingInstance": "h"});
        for (group, event) in [("", core), ("events.k8s.io", new)] {
            let cells: Vec<_> = row(group, "Event", &event)
                .into_iter()
                .map(|(_, cell)| cell)
                .collect();
            let unknown = "<unknown>";
            assert_eq!(
                Value::from(cells),
                json!([
                    unknown,
                    "Normal",
                    "Updated",
                    "deployment/web",
                    "",
                    "c, h",
                    "done",
                    unknown,
                    3,
                    "e"
                ]),
                "{group}"
            );
        }
    }

    #[test]
    fn pods_tell_their_state() {
        let pod = |status: Value| json!({"spec": {"containers": [{}], "nodeName": "n1"}, "status": status});
        let cases = [
            (
                json!({"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 2, "state": {"running": {}}}]}),
                "1/1",
                "Running",
                "2",
            ),
            (
                json!({"phase": "Running", "containerStatuses": [{"ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                "0/1",
                "CrashLoopBackOff",
                "0",
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}),
                "0/1",
                "ExitCode:3",
                "0",
            ),
            (json!({"phase": "Pending"}), "0/1", "Pending", "0"),
        ];
        for (status, ready, state, restarts) in cases {
            let cells = row("", "Pod", &pod(status));
            assert_eq!(
                (&cells[0].1, &cells[1].1, &cells[2].1),
                (&json!(ready), &json!(state), &json!(restarts))
            );
        }
        assert_eq!(
            pod_status(&json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
            "Terminating"
        );
    }

    #[test]
    fn nothing_in_an_object_makes_a_cell_fail() {
        for (group, kind) in [
            ("", "Pod"),
            ("", "Event"),
            ("", "Secret"),
            ("rbac.authorization.k8s.io", "RoleBinding"),
        ] {
            for object in [
                json!(null),
                json!({}),
                json!({"status": 5, "spec": [], "data": "x", "subjects": {}}),
            ] {
                assert_eq!(row(group, kind, &object).len(), builtin(group, kind).len());
            }
        }
    }
}

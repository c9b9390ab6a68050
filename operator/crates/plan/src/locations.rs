//! Rows of `deployment_locations` and `node_metadata`: the Swarm as a person can query it.
//!
//! Everything comes from the managers' list of tasks (F38, F39, F76): no container is inspected,
//! no node asked. Each call gives the whole table, so that what is gone goes (F40), and rows are
//! hashed, so that what did not change is not written (F78).

use std::collections::BTreeMap;

use api_types::Deployment;
use api_types::labels;
use serde_json::json;

use crate::Row;
use crate::model::{Node, Service, Snapshot, Task, TaskState};
use crate::route::{ObjectKey, Resolution};

/// All rows of `deployment_locations` (key `task_id`): one per task of a Deployment of ours (F37).
pub fn task_rows<'a>(
    snapshot: &Snapshot,
    deployments: impl IntoIterator<Item = &'a Deployment>,
    resolution: &Resolution,
) -> Vec<Row> {
    let ports: BTreeMap<ObjectKey, u16> = deployments
        .into_iter()
        .filter_map(|deployment| {
            let key = ObjectKey::new(
                deployment.metadata.namespace.clone()?,
                deployment.metadata.name.clone()?,
            );
            Some((key, deployment.spec.ports.first()?.container_port))
        })
        .collect();
    let services: BTreeMap<&str, &Service> = snapshot
        .services
        .iter()
        .map(|service| (service.id.as_str(), service))
        .collect();
    let nodes: BTreeMap<&str, &Node> = snapshot
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let row = |task: &Task| {
        let service = services.get(task.service_id.as_str()).copied();
        let id = identity(task, service, labels::DEPLOYMENT_ID)?;
        let key = id
            .split_once('/')
            .map(|(namespace, name)| ObjectKey::new(namespace, name))?;
        let node = nodes.get(task.node_id.as_str()).copied();
        let domain = resolution
            .attached(&key.namespace, &key.name)
            .iter()
            .flat_map(|route| &route.hostnames)
            .min();
        Some(Row::new(
            task.id.clone(),
            json!({
                "deployment_id": id,
                "deployment_uid": identity(task, service, labels::DEPLOYMENT_UID),
                "service_id": task.service_id,
                "slot": (task.slot != 0).then_some(task.slot),
                "node_id": set(&task.node_id),
                "node_hostname": node.map(|node| node.hostname.as_str()),
                "container_id": set(&task.container_id),
                "status": status(task, node),
                "desired_state": task.desired_state,
                "port": ports.get(&key),
                "domain": domain,
                "health_status": health(task),
                "image": task.spec.container.image,
                "error": set(&task.error),
                "exit_code": task.exit_code,
                "created_at": task.created_at,
            }),
        ))
    };
    snapshot.tasks.iter().filter_map(row).collect()
}

/// A label of the task's container, or where the task is too old to have it, of its service.
pub(crate) fn identity<'a>(
    task: &'a Task,
    service: Option<&'a Service>,
    key: &str,
) -> Option<&'a String> {
    task.spec
        .container
        .labels
        .get(key)
        .or_else(|| service?.spec.labels.get(key))
}

/// The task's state; what a node that does not answer last said is not known to be true (F53).
fn status(task: &Task, node: Option<&Node>) -> serde_json::Value {
    let assigned = !task.node_id.is_empty()
        && (TaskState::Assigned..=TaskState::Running).contains(&task.state);
    if assigned && node.is_none_or(|node| node.state != "ready") {
        return json!("unknown");
    }
    json!(task.state)
}

/// What the health check says, where the Deployment has one of its own.
fn health(task: &Task) -> Option<&'static str> {
    let check = task.spec.container.health_check.as_ref()?;
    if check.test.first().is_some_and(|first| first == "NONE") {
        return None;
    }
    match task.state {
        TaskState::Running => Some("healthy"),
        TaskState::Starting => Some("starting"),
        _ if task.error.contains("unhealthy") => Some("unhealthy"),
        _ => None,
    }
}

/// All rows of `node_metadata` (key `node_id`).
pub fn node_rows(snapshot: &Snapshot) -> Vec<Row> {
    snapshot
        .nodes
        .iter()
        .map(|node| {
            Row::new(
                node.id.clone(),
                json!({
                    "hostname": node.hostname,
                    "role": node.spec.role,
                    "availability": node.spec.availability,
                    "status": node.state,
                    "region": node.spec.labels.get(labels::NODE_REGION),
                    "labels": node.spec.labels,
                    "total_cpu_millicores": node.nano_cpus / 1_000_000,
                    "total_memory_bytes": node.memory_bytes,
                }),
            )
        })
        .collect()
}

fn set(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::{World, route};

    #[test]
    fn one_row_for_each_task_with_the_truth_about_it() {
        // cases F37, F39, F41, F53
        let mut world = World::new(
            json!({"image": "web:1", "replicas": 3, "ports": [{"name": "http", "containerPort": 8080}],
            "healthCheck": {"exec": {"command": ["true"]}}}),
        );
        world.routes.push(route("r", 0, json!({"hostnames": ["b.example.com", "a.example.com"], "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}]})));
        world.converge();
        let rows =
            |world: &World| task_rows(&world.snapshot, [&world.deployment], &world.resolution());
        let before = rows(&world);
        assert_eq!(before.len(), 3);
        insta::assert_json_snapshot!("location", before[0].columns);
        world.pass(1000);
        assert_eq!(rows(&world), before, "case F78");

        world.snapshot.nodes[0].state = "down".into();
        world.snapshot.tasks[1].state = TaskState::Failed;
        world.snapshot.tasks[1].error = "task: non-zero exit (3)".into();
        world.snapshot.tasks[1].exit_code = Some(3);
        let after = rows(&world);
        assert_eq!(after[0].columns["status"], "unknown");
        assert_eq!(
            (&after[1].columns["status"], &after[1].columns["exit_code"]),
            (&json!("failed"), &json!(3))
        );
        assert_ne!(after[1].hash, before[1].hash);
        // Whose it is, its container says, so that it survives its service (F40).
        world.snapshot.services.clear();
        assert_eq!(rows(&world).len(), 3);
        world.snapshot.tasks.pop();
        assert_eq!(rows(&world).len(), 2);
    }

    #[test]
    fn rows_of_nodes_use_dockers_words() {
        let mut world = World::new(json!({"image": "x"}));
        world.snapshot.nodes[0].nano_cpus = 2_000_000_000;
        world.snapshot.nodes[0]
            .spec
            .labels
            .insert(labels::NODE_REGION.into(), "eu".into());
        let rows = node_rows(&world.snapshot);
        assert_eq!(rows[0].key, "n1id");
        assert_eq!(rows[0].columns["total_cpu_millicores"], 2000);
        assert_eq!(rows[0].columns["availability"], "active");
        assert_eq!(rows[0].columns["region"], "eu");
        assert!(rows[1].columns["region"].is_null());
    }
}

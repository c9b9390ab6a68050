//! The tables that people query.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Row;
use store::{Epoch, LeaseOutcome, ProjectionError, ProjectionRow, ProjectionTable, Store};

use crate::support::*;

fn row(key: &str, columns: Value) -> ProjectionRow {
    let Value::Object(columns) = columns else {
        panic!("columns are an object")
    };
    ProjectionRow {
        key: key.into(),
        hash: format!("hash of {key}"),
        columns,
    }
}

async fn leader(store: &Store, holder: &str) -> Epoch {
    let ttl = Duration::from_millis(1);
    loop {
        let outcome = store
            .acquire_lease("controllers", holder, ttl)
            .await
            .unwrap();
        if let LeaseOutcome::Held(lease) = outcome {
            return lease.epoch().clone();
        }
    }
}

fn location(key: &str, deployment: &str, node: &str, desired: &str) -> ProjectionRow {
    row(
        key,
        json!({
            "deployment_id": deployment, "deployment_uid": "u", "service_id": "s", "slot": 1,
            "node_id": node, "node_hostname": "h", "container_id": null, "status": "running",
            "desired_state": desired, "port": 80, "domain": "myapp.com", "health_status": "healthy",
            "image": "nginx", "error": "bad \u{0} byte", "exit_code": 137,
            "created_at": "2026-01-02T03:04:05.123456789Z",
        }),
    )
}

fn node(key: &str, availability: &str) -> ProjectionRow {
    row(
        key,
        json!({
            "hostname": key, "role": "worker", "availability": availability, "status": "ready",
            "region": "eu", "labels": {"a": "b"}, "total_cpu_millicores": 4000,
            "total_memory_bytes": 8_000_000_000_u64, "max_deployments": 50,
        }),
    )
}

fn route(key: &str, domain: &str) -> ProjectionRow {
    row(
        key,
        json!({
            "deployment_id": "shop/web", "domain": domain, "path_prefix": null, "target_port": 80,
            "protocol": "HTTP", "ssl_enabled": true, "ssl_cert_resolver": "le",
            "load_balancer_algo": "wrr", "middleware": ["a"], "route_uid": "u", "rule": "r",
        }),
    )
}

/// The three queries that the tables were made for.
#[tokio::test]
async fn the_promised_queries() {
    use ProjectionTable::{Locations, Nodes, Routing};
    let (database, store) = fresh().await;
    let epoch = leader(&store, "one").await;
    let write = |table, rows| store.write_projection(&epoch, table, rows, BTreeSet::new());
    write(
        Nodes,
        vec![
            node("n1", "active"),
            node("n2", "active"),
            node("n3", "drain"),
        ],
    )
    .await
    .unwrap();
    let locations = vec![
        location("t1", "shop/web", "n1", "running"),
        location("t2", "shop/web", "n1", "running"),
        location("t3", "shop/api", "n1", "running"),
        location("t4", "shop/web", "n2", "running"),
        location("t5", "shop/old", "n2", "shutdown"),
    ];
    write(Locations, locations).await.unwrap();
    write(
        Routing,
        vec![route("r1", "myapp.com"), route("r2", "other.com")],
    )
    .await
    .unwrap();
    let mut c = database.connect().await;
    let rows = sqlx::query("SELECT * FROM deployment_locations WHERE deployment_id = 'shop/web'")
        .fetch_all(&mut c)
        .await
        .unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].get::<&str, _>("error"), "bad \u{fffd} byte");
    assert_eq!(
        (
            rows[0].get::<i32, _>("port"),
            rows[0].get::<i32, _>("exit_code")
        ),
        (80, 137)
    );
    let sql =
        "SELECT * FROM node_metadata WHERE availability='active' ORDER BY deployment_count ASC";
    let rows = sqlx::query(sql).fetch_all(&mut c).await.unwrap();
    let counts: Vec<(&str, i64)> = rows
        .iter()
        .map(|row| (row.get("node_id"), row.get("deployment_count")))
        .collect();
    assert_eq!(counts, [("n2", 1), ("n1", 2)]);
    let sql = "SELECT * FROM deployment_routing WHERE domain = 'myapp.com'";
    let rows = sqlx::query(sql).fetch_all(&mut c).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<&str, _>("path_prefix"), "");
    assert_eq!(rows[0].get::<Value, _>("middleware"), json!(["a"]));
}

#[tokio::test]
async fn upserts_and_deletes() {
    use ProjectionTable::Locations;
    let (database, store) = fresh().await;
    let epoch = leader(&store, "one").await;
    let rows = vec![
        location("t1", "a/a", "n", "running"),
        location("t2", "a/a", "n", "running"),
    ];
    store
        .write_projection(&epoch, Locations, rows, BTreeSet::new())
        .await
        .unwrap();
    let mut c = database.connect().await;
    let sql = "update deployment_locations set resource_usage = '{\"cpu\": 1}'";
    sqlx::query(sql).execute(&mut c).await.unwrap();
    let mut changed = location("t2", "a/b", "n", "shutdown");
    changed.hash = "new".into();
    changed.columns.remove("domain");
    let gone = BTreeSet::from(["t1".to_owned(), "never".to_owned()]);
    store
        .write_projection(&epoch, Locations, vec![changed], gone)
        .await
        .unwrap();
    let loaded = store.load_projection(Locations).await.unwrap();
    assert_eq!(
        loaded,
        BTreeMap::from([("t2".to_owned(), "new".to_owned())])
    );
    let row = sqlx::query("select * from deployment_locations")
        .fetch_one(&mut c)
        .await
        .unwrap();
    assert_eq!(row.get::<&str, _>("deployment_id"), "a/b");
    assert_eq!(
        row.get::<Option<&str>, _>("domain"),
        None,
        "a row is written whole"
    );
    assert_eq!(
        row.get::<Value, _>("resource_usage"),
        json!({"cpu": 1}),
        "another writer's"
    );
}

/// One transaction hands a host from one route to another; two routes of one host are refused.
#[tokio::test]
async fn a_host_changes_hands() {
    use ProjectionTable::Routing;
    let (_database, store) = fresh().await;
    let epoch = leader(&store, "one").await;
    let write = |rows| store.write_projection(&epoch, Routing, rows, BTreeSet::new());
    write(vec![route("r1", "a.com"), route("r2", "b.com")])
        .await
        .unwrap();
    write(vec![route("r1", "b.com"), route("r2", "a.com")])
        .await
        .unwrap();
    let error = write(vec![route("r3", "a.com")]).await.unwrap_err();
    assert!(
        error.to_string().contains("deployment_routing_match"),
        "{error}"
    );
    assert_eq!(store.load_projection(Routing).await.unwrap().len(), 2);
}

/// T28: a deposed leader writes nothing.
#[tokio::test]
async fn a_deposed_leader_is_refused() {
    use ProjectionTable::Nodes;
    let (_database, store) = fresh().await;
    let old = leader(&store, "one").await;
    let new = leader(&store, "two").await;
    let rows = || vec![node("n", "active")];
    let refused = store
        .write_projection(&old, Nodes, rows(), BTreeSet::new())
        .await;
    assert!(
        matches!(&refused, Err(ProjectionError::Deposed(epoch)) if *epoch == old),
        "{refused:?}"
    );
    assert!(store.load_projection(Nodes).await.unwrap().is_empty());
    store
        .write_projection(&new, Nodes, rows(), BTreeSet::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_column_is_refused() {
    let (_database, store) = fresh().await;
    let epoch = leader(&store, "one").await;
    let rows = vec![row("n", json!({"deployment_count": 1}))];
    let refused = store
        .write_projection(&epoch, ProjectionTable::Nodes, rows, BTreeSet::new())
        .await;
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("deployment_count") && text.contains("max_deployments"),
        "{text}"
    );
}

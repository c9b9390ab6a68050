//! Rows of `deployment_routing`: what is routed where, as a person can query it.

use serde_json::json;

use super::{Decision, ObjectKey, Resolution, Router};
use crate::Row;

/// All rows of the table `deployment_routing` (key `routing_key`): one per router, which makes
/// (domain, path, rule) unique as the table demands.
pub fn rows(resolution: &Resolution) -> Vec<Row> {
    let mut rows = Vec::new();
    for (route, result) in &resolution.routes {
        for decision in &result.decisions {
            if let Some(router) = &decision.router {
                rows.push(row(route, &result.uid, decision, router));
            }
        }
    }
    rows
}

fn row(route: &ObjectKey, uid: &str, decision: &Decision, router: &Router) -> Row {
    // Encrypted and plain requests for one host are two routers with the same rule.
    let scheme = if decision.tls { "https" } else { "http" };
    Row::new(
        router.name.clone(),
        json!({
            "deployment_id": ObjectKey::new(route.namespace.clone(), decision.backend.name.clone()).to_string(),
            "domain": decision.hostname,
            "path_prefix": decision.path,
            "target_port": decision.backend.port,
            "protocol": scheme,
            "ssl_enabled": decision.tls,
            "ssl_cert_resolver": router.certificate_resolver,
            "load_balancer_algo": "round_robin",
            "middleware": router.middlewares,
            "route_uid": uid,
            "rule": format!("{scheme} {}", router.rule),
        }),
    )
}

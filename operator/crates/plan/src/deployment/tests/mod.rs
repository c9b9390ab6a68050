#![allow(clippy::unwrap_used, clippy::panic)]

mod adopt;
mod drift;
mod rollout;
mod service;
mod state;
mod teardown;

use serde_json::json;

use crate::deployment::Plan;
use crate::model::{UpdateState, UpdateStatus};
use crate::testing::{World, route};

pub(super) fn world() -> World {
    World::new(
        json!({"image": "web:1", "replicas": 2, "ports": [{"name": "http", "containerPort": 8080}]}),
    )
}

pub(super) fn web_route(host: &str) -> api_types::Route {
    route(
        "r",
        0,
        json!({"hostnames": [host], "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}]}),
    )
}

pub(super) fn said(plan: &Plan) -> Vec<String> {
    plan.events
        .iter()
        .map(|event| format!("{}: {}", event.reason, event.message))
        .collect()
}

pub(super) fn yes(reason: &str) -> (String, String) {
    ("True".into(), reason.into())
}

pub(super) fn no(reason: &str) -> (String, String) {
    ("False".into(), reason.into())
}

pub(super) fn update(world: &World, state: UpdateState) -> Option<UpdateStatus> {
    Some(UpdateStatus {
        state,
        message: format!("{state:?}"),
        started_at: Some(world.now),
        completed_at: None,
    })
}

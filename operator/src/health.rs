//! `/livez`, `/readyz`, `/health`.
//!
//! Liveness is only that this process answers: a liveness that asked Postgres would have a
//! healthy process killed while its database restarts. Readiness is that requests can be
//! served: the store answers and the caches are filled. Leadership and the Swarm are neither;
//! `/health` tells them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// No check may take longer: a probe that hangs is worse than one that fails.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

type Outcome = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// One named check.
#[derive(Clone)]
struct Check {
    name: &'static str,
    /// Does a failure make the process unready, or is it only told by `/health`?
    readiness: bool,
    run: Arc<dyn Fn() -> Outcome + Send + Sync>,
}

/// The checks of this process.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<Check>,
}

impl Health {
    /// Adds a check whose failure makes the process unready.
    #[must_use]
    pub fn ready<F>(self, name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, String>> + Send + 'static,
    {
        self.with(name, true, run)
    }

    /// Adds a check that only `/health` tells of.
    #[must_use]
    pub fn told<F>(self, name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, String>> + Send + 'static,
    {
        self.with(name, false, run)
    }

    fn with<F>(
        mut self,
        name: &'static str,
        readiness: bool,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Value, String>> + Send + 'static,
    {
        self.checks.push(Check {
            name,
            readiness,
            run: Arc::new(move || Box::pin(run())),
        });
        self
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/healthz", get(readyz))
            .route("/health", get(health))
            .with_state(Arc::new(self))
    }

    async fn run(&self) -> Vec<(&Check, Result<Value, String>)> {
        futures::future::join_all(self.checks.iter().map(|check| async move {
            let outcome = tokio::time::timeout(CHECK_TIMEOUT, (check.run)())
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())));
            (check, outcome)
        }))
        .await
    }
}

async fn livez() -> &'static str {
    "ok"
}

async fn readyz(
    State(health): State<Arc<Health>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let outcomes: Vec<_> = health
        .run()
        .await
        .into_iter()
        .filter(|(check, _)| check.readiness)
        .collect();
    let ready = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    if ready && !query.contains_key("verbose") {
        return "ok".into_response();
    }
    let mut text: String = outcomes
        .iter()
        .map(|(check, outcome)| match outcome {
            Ok(_) => format!("[+]{} ok\n", check.name),
            Err(reason) => format!("[-]{} failed: {reason}\n", check.name),
        })
        .collect();
    text.push_str(if ready {
        "readyz check passed\n"
    } else {
        "readyz check failed\n"
    });
    (status(ready), text).into_response()
}

async fn health(State(health): State<Arc<Health>>) -> Response {
    let outcomes = health.run().await;
    let ready = outcomes
        .iter()
        .all(|(check, outcome)| outcome.is_ok() || !check.readiness);
    let all = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    let checks: BTreeMap<&str, Value> = outcomes
        .into_iter()
        .map(|(check, outcome)| {
            let told = match outcome {
                Ok(detail) => json!({"ok": true, "detail": detail}),
                Err(reason) => json!({"ok": false, "reason": reason}),
            };
            (check.name, told)
        })
        .collect();
    let word = match (ready, all) {
        (true, true) => "ok",
        (true, false) => "degraded",
        (false, _) => "unready",
    };
    (
        status(ready),
        Json(json!({"status": word, "checks": checks})),
    )
        .into_response()
}

fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(health: Health, path: &str) -> (u16, String) {
        let request = axum::http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let response = health.router().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn only_readiness_checks_make_unready() {
        let swarm_away = Health::default()
            .ready("store", || async { Ok(Value::Null) })
            .told("swarm", || async { Err("no route".to_owned()) });
        assert_eq!(ask(swarm_away.clone(), "/readyz").await, (200, "ok".into()));
        let (code, body) = ask(swarm_away, "/health").await;
        assert_eq!(code, 200);
        assert!(
            body.contains("\"degraded\"") && body.contains("no route"),
            "{body}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_fails_in_time_and_liveness_does_not_care() {
        let hangs = Health::default().ready("store", std::future::pending);
        assert_eq!(ask(hangs.clone(), "/livez").await.0, 200);
        let (code, body) = ask(hangs, "/readyz?verbose").await;
        assert_eq!(code, 503);
        assert!(
            body.contains("[-]store failed: no answer within 1 s"),
            "{body}"
        );
    }
}

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

use axum::extract::{self, Query, State};
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
            .route("/livez/{check}", get(livez))
            .route("/readyz", get(readyz))
            .route("/readyz/{check}", get(readyz))
            .route("/healthz", get(healthz))
            .route("/healthz/{check}", get(healthz))
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

type Asked = (Option<extract::Path<String>>, Query<Vec<(String, String)>>);

async fn livez(asked: Asked) -> Response {
    probe("livez", Vec::new(), asked)
}

async fn readyz(State(health): State<Arc<Health>>, asked: Asked) -> Response {
    probe("readyz", health.run().await, asked)
}

async fn healthz(State(health): State<Arc<Health>>, asked: Asked) -> Response {
    probe("healthz", health.run().await, asked)
}

/// What Kubernetes' probes answer: `ok`, or a line for each check where one fails or `verbose` is
/// asked for. Checks can be asked for alone, or be left out with `exclude`.
fn probe(
    probe: &str,
    outcomes: Vec<(&Check, Result<Value, String>)>,
    (alone, Query(query)): Asked,
) -> Response {
    let ran = outcomes.into_iter().filter(|(check, _)| check.readiness);
    let ran = ran.map(|(check, outcome)| (check.name, outcome.err()));
    let mut checks: Vec<(&str, Option<String>)> =
        std::iter::once(("ping", None)).chain(ran).collect();
    if let Some(extract::Path(name)) = alone {
        checks.retain(|(check, _)| *check == name);
        if checks.is_empty() {
            return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
        }
    }
    let excludes = query.iter().filter(|(key, _)| key == "exclude");
    let mut excluded: Vec<&str> = excludes.map(|(_, name)| name.as_str()).collect();
    let (mut text, mut ready) = (String::new(), true);
    for (name, failure) in checks {
        let given = excluded.len();
        excluded.retain(|excluded| *excluded != name);
        text += &match failure {
            _ if excluded.len() < given => format!("[+]{name} excluded: ok\n"),
            None => format!("[+]{name} ok\n"),
            Some(reason) => {
                ready = false;
                format!("[-]{name} failed: {reason}\n")
            }
        };
    }
    if ready && !query.iter().any(|(key, _)| key == "verbose") {
        return "ok".into_response();
    }
    if !excluded.is_empty() {
        let names: Vec<_> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(",");
        text += &format!("warn: some health checks cannot be excluded: no matches for {names}\n");
    }
    let end = if ready { "passed" } else { "failed" };
    text += &format!("{probe} check {end}\n");
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

    #[tokio::test]
    async fn checks_are_told_asked_for_alone_and_excluded() {
        let health = Health::default()
            .ready("store", || async { Err("away".to_owned()) })
            .told("swarm", || async { Ok(Value::Null) });
        let cases = [
            ("/livez?verbose", 200, "[+]ping ok\nlivez check passed\n"),
            (
                "/readyz",
                503,
                "[+]ping ok\n[-]store failed: away\nreadyz check failed\n",
            ),
            (
                "/healthz?verbose&exclude=store&exclude=x",
                200,
                "[+]ping ok\n[+]store excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\nhealthz check passed\n",
            ),
            ("/readyz/ping", 200, "ok"),
            (
                "/readyz/store",
                503,
                "[-]store failed: away\nreadyz check failed\n",
            ),
            ("/livez/store", 404, "404 page not found\n"),
            ("/readyz/swarm", 404, "404 page not found\n"),
        ];
        for (path, code, body) in cases {
            assert_eq!(
                ask(health.clone(), path).await,
                (code, body.to_owned()),
                "{path}"
            );
        }
    }
}

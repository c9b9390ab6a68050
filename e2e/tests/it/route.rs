//! Routes through the real Traefik.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::eventually_within;
use serde_json::json;

use crate::world::{Namespace, PROMPTLY, condition_of, route, shared, web};

async fn answers(
    ns: &Namespace<'_>,
    host: &str,
    path: &str,
    status: u16,
    text: &str,
) -> anyhow::Result<()> {
    let traefik = ns.world.traefik().await?;
    eventually_within(
        PROMPTLY,
        &format!("{host}{path} answers {status} {text:?}"),
        async || {
            let (seen, body) = traefik.get(host, path).await?;
            ensure!(seen == status && body.contains(text), "{seen} {body}");
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_route_brings_requests_to_the_task_and_takes_them_away_again() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("route").await?;
    let host = format!("{}.example.com", ns.name);
    ns.kubectl.apply(&web("web", 2)).await?;
    ns.ready("deployment", "web").await?;
    let tasks = ns.world.swarm.running_tasks(&ns.service_name("web"))?;
    let ids = |tasks: &[e2e::lab::Task]| {
        let mut ids: Vec<String> = tasks.iter().map(|task| task.id.clone()).collect();
        ids.sort();
        ids
    };

    ns.kubectl.apply(&route("web", &host, "web")).await?;
    ns.condition("route", "web", "Accepted", "True", None)
        .await?;
    ns.condition("route", "web", "Programmed", "True", None)
        .await?;
    answers(&ns, &host, "/", 200, "busybox 1.36").await?;
    let rows = ns
        .world
        .sql(&format!(
            "select * from deployment_routing where domain = '{host}'"
        ))
        .await?;
    ensure!(rows.len() == 1, "{rows:?}");
    ensure!(
        rows[0]["deployment_id"] == format!("{}/web", ns.name),
        "{rows:?}"
    );
    ensure!(rows[0]["target_port"] == 8080, "{rows:?}");
    let routers = ns.world.traefik().await?.routers().await?;
    let ours = routers.iter().find(|router| {
        router["rule"]
            .as_str()
            .is_some_and(|rule| rule.contains(&host))
    });
    let ours = ours.with_context(|| format!("no router for {host} in {routers:?}"))?;
    ensure!(
        ours["status"] == "enabled" && ours.get("error").is_none(),
        "{ours}"
    );

    ns.kubectl.run(&["delete", "route", "web"]).await?;
    answers(&ns, &host, "/", 404, "").await?;
    ensure!(
        ns.world
            .sql(&format!(
                "select 1 from deployment_routing where domain = '{host}'"
            ))
            .await?
            .is_empty()
    );
    let labels = ns.service("web")?["Spec"]["Labels"].clone();
    let left: Vec<&String> = labels
        .as_object()
        .context("labels")?
        .keys()
        .filter(|k| k.contains("routers"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    let after = ns.world.swarm.running_tasks(&ns.service_name("web"))?;
    ensure!(
        ids(&after) == ids(&tasks),
        "tasks were restarted: {tasks:?}, {after:?}"
    );
    Ok(())
}

#[tokio::test]
async fn paths_lead_to_different_deployments() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("paths").await?;
    let host = format!("{}.example.com", ns.name);
    ns.kubectl
        .apply(&format!(
            "{}---\n{}",
            web("one", 1),
            web("two", 1).replace("1.36", "1.37")
        ))
        .await?;
    ns.kubectl
        .apply(&format!(
            "{{apiVersion: obiente.cloud/v1alpha1, kind: Route, metadata: {{name: both}}, spec: {{hostnames: [{host}], rules: [\
             {{matches: [{{path: {{type: Exact, value: /index.html}}}}], backendRefs: [{{name: two, port: 8080}}]}},\
             {{backendRefs: [{{name: one, port: 8080}}]}}]}}}}"
        ))
        .await?;
    answers(&ns, &host, "/", 200, "busybox 1.36").await?;
    answers(&ns, &host, "/index.html", 200, "busybox 1.37").await
}

#[tokio::test]
async fn the_oldest_route_keeps_the_host() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("conflict").await?;
    let host = format!("{}.example.com", ns.name);
    ns.kubectl
        .apply(&format!(
            "{}---\n{}",
            web("one", 1),
            web("two", 1).replace("1.36", "1.37")
        ))
        .await?;
    ns.kubectl.apply(&route("first", &host, "one")).await?;
    ns.condition("route", "first", "Programmed", "True", None)
        .await?;
    // Creation times have seconds: the names would decide within one, the other way round.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ns.kubectl.apply(&route("a-second", &host, "two")).await?;
    let loser = ns
        .condition("route", "a-second", "Accepted", "False", Some("Conflict"))
        .await?;
    let message = condition_of(&loser, "Accepted")?["message"].clone();
    ensure!(
        message.as_str().is_some_and(|text| text.contains("first")),
        "does not name the winner: {message}"
    );
    answers(&ns, &host, "/", 200, "busybox 1.36").await?;

    ns.kubectl.run(&["delete", "route", "first"]).await?;
    ns.condition("route", "a-second", "Accepted", "True", None)
        .await?;
    answers(&ns, &host, "/", 200, "busybox 1.37").await
}

#[tokio::test]
async fn a_route_says_what_it_lacks() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("backend").await?;
    let host = format!("{}.example.com", ns.name);
    ns.kubectl.apply(&route("web", &host, "web")).await?;
    ns.condition(
        "route",
        "web",
        "ResolvedRefs",
        "False",
        Some("BackendNotFound"),
    )
    .await?;
    ns.kubectl
        .apply(&web("web", 1).replace("containerPort: 8080", "containerPort: 9999"))
        .await?;
    ns.condition(
        "route",
        "web",
        "ResolvedRefs",
        "False",
        Some("PortNotFound"),
    )
    .await?;
    ns.kubectl.apply(&web("web", 1)).await?;
    let found = ns
        .condition("route", "web", "ResolvedRefs", "True", None)
        .await?;
    ensure!(found["spec"]["hostnames"] == json!([host]));
    ns.ready("route", "web").await?;
    answers(&ns, &host, "/", 200, "busybox").await
}

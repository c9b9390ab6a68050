//! Pods: the tasks of Deployments, in the words that kubectl users know.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::{Kubectl, KubectlVersion};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::Instant;

use crate::world::{Namespace, World, condition_of, shared, web};

const OF_WEB: &str = "obiente.cloud/deployment=web";
/// Between two writes of a Pod in a crash loop.
const PACE: Duration = Duration::from_secs(10);

async fn pods(kubectl: &Kubectl, selector: &str) -> anyhow::Result<Vec<Value>> {
    let list = kubectl.get(&["pods", "-l", selector]).await?;
    Ok(list["items"].as_array().context("no items")?.clone())
}

/// Name, uid and revision of each, by name.
fn identities(pods: &[Value]) -> Vec<(&Value, &Value, &Value)> {
    pods.iter()
        .map(|pod| {
            let metadata = &pod["metadata"];
            (
                &metadata["name"],
                &metadata["uid"],
                &metadata["resourceVersion"],
            )
        })
        .collect()
}

/// Waits until so many Pods are there and ready.
async fn ready(kubectl: &Kubectl, count: usize) -> anyhow::Result<Vec<Value>> {
    eventually(&format!("{count} ready pods"), async || {
        let pods = pods(kubectl, OF_WEB).await?;
        for pod in &pods {
            let ready = condition_of(pod, "Ready")?;
            ensure!(ready["status"] == "True", "{}", pod["status"]);
        }
        ensure!(pods.len() == count, "{} pods", pods.len());
        Ok(pods)
    })
    .await
}

/// Status column of the first Pod of a Deployment.
async fn shown(ns: &Namespace<'_>, deployment: &str, column: &str) -> anyhow::Result<String> {
    let selector = format!("obiente.cloud/deployment={deployment}");
    let table = ns.kubectl.run(&["get", "pods", "-l", &selector]).await?;
    let mut lines = table.lines();
    let at = lines.next().and_then(|titles| titles.find(column));
    let line = lines.next().with_context(|| table.clone())?;
    let rest = line
        .get(at.context("no such column")?..)
        .unwrap_or_default();
    Ok(rest
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

#[tokio::test]
async fn kubectl_finds_its_way() -> anyhow::Result<()> {
    for version in KubectlVersion::ALL {
        let ns = shared().await?.namespace_with("pods", version).await?;
        ns.kubectl.apply(&web("web", 2)).await?;
        let found = ready(&ns.kubectl, 2).await?;
        let name = found[0]["metadata"]["name"].as_str().context("no name")?;
        let wait = ["wait", "--for=condition=Ready", &format!("pod/{name}")];
        ns.kubectl.run(&wait).await?;
        let wide = ns.kubectl.run(&["get", "po", "-A", "-o", "wide"]).await?;
        for word in [
            "NAMESPACE",
            "READY",
            "RESTARTS",
            "IP",
            "NODE",
            "1/1",
            "Running",
            name,
        ] {
            ensure!(wide.contains(word), "{version:?}: no {word} in {wide}");
        }
        let described = ns.kubectl.run(&["describe", "pod", name]).await?;
        for word in [
            "Controlled By:  Deployment/web",
            "docker://",
            "busybox:1.36",
            "8080/TCP",
        ] {
            ensure!(
                described.contains(word),
                "{version:?}: no {word} in {described}"
            );
        }
        // The task is the one that the Swarm has, on the node that it says.
        let task = found[0]["metadata"]["annotations"]["obiente.cloud/task-id"].clone();
        let tasks = ns.world.swarm.running_tasks(&ns.service_name("web"))?;
        let task = tasks.iter().find(|found| task == found.id.as_str());
        let node = &task.context("no such task")?.node;
        ensure!(found[0]["spec"]["nodeName"] == node.as_str(), "{node}");
        let selector = ns.kubectl.get(&["deployment", "web"]).await?["status"]["selector"].clone();
        ensure!(selector == OF_WEB, "{selector}");
        for (args, instead) in [
            (
                &["delete", "pod", name][..],
                "scale, edit or delete the Deployment",
            ),
            (&["logs", name], "docker service logs"),
            (&["attach", name], "use docker on the node"),
        ] {
            let refused = ns.kubectl.try_run(args, "").await?;
            let said = refused.stderr.contains(instead);
            ensure!(
                !refused.success && said,
                "{version:?} {args:?}: {refused:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn scaling_down_deletes_and_a_removed_deployment_leaves_none() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("pods-scale").await?;
    ns.kubectl.apply(&web("web", 3)).await?;
    ready(&ns.kubectl, 3).await?;
    let watch = ["get", "pods", "--watch-only", "--output-watch-events"];
    let mut watch = ns.kubectl.spawn(&watch, Stdio::null())?;
    let mut events = BufReader::new(watch.stdout.take().context("no output")?).lines();
    // Until the watch is there, a change may be missed: it is told of a new Pod first.
    ns.kubectl
        .run(&["scale", "deployment", "web", "--replicas=4"])
        .await?;
    next(&mut events, "ADDED").await?;
    ready(&ns.kubectl, 4).await?;
    ns.kubectl
        .run(&["scale", "deployment", "web", "--replicas=1"])
        .await?;
    for _ in 0..3 {
        next(&mut events, "DELETED").await?;
    }
    ready(&ns.kubectl, 1).await?;
    ns.kubectl.run(&["delete", "deployment", "web"]).await?;
    next(&mut events, "DELETED").await?;
    ensure!(pods(&ns.kubectl, OF_WEB).await?.is_empty());
    Ok(())
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStdout>>;

async fn next(events: &mut Lines, kind: &str) -> anyhow::Result<()> {
    while !first(events).await?.starts_with(kind) {}
    Ok(())
}

/// The next line; on a busy machine it may take its time.
async fn first(events: &mut Lines) -> anyhow::Result<String> {
    let line = tokio::time::timeout(Duration::from_secs(180), events.next_line());
    line.await.context("no event")??.context("the watch ended")
}

#[tokio::test]
async fn failures_have_the_names_that_users_know() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("pods-failures").await?;
    let failing = |name: &str, what: &str| {
        format!(
            "{{apiVersion: obiente.cloud/v1alpha1, kind: Deployment, metadata: {{name: {name}}}, spec: {{{what}, \
             restartPolicy: {{delaySeconds: 1}}}}}}\n"
        )
    };
    let crash = r#"image: "busybox:1.36", command: [sh, -c, "exit 3"]"#;
    ns.kubectl.apply(&failing("crash", crash)).await?;
    ns.kubectl
        .apply(&failing("lost", r#"image: "busybox:9.99""#))
        .await?;
    eventually("the image is said to be missing", async || {
        let status = shown(&ns, "lost", "STATUS").await?;
        ensure!(
            ["ErrImagePull", "ImagePullBackOff"].contains(&&*status),
            "{status}"
        );
        Ok(())
    })
    .await?;
    eventually("a crash loop that counts", async || {
        let status = shown(&ns, "crash", "STATUS").await?;
        let restarts = shown(&ns, "crash", "RESTARTS").await?;
        ensure!(
            status == "CrashLoopBackOff" && restarts.parse::<u8>()? >= 2,
            "{status} {restarts}"
        );
        Ok(())
    })
    .await?;
    let pod = pods(&ns.kubectl, "obiente.cloud/deployment=crash")
        .await?
        .remove(0);
    let ended = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    ensure!(
        ended["exitCode"] == 3 && ended["reason"] == "Error",
        "{pod}"
    );
    bounded(&ns).await
}

/// However often it crashes: one Pod makes way for another, at the most, in each pace.
async fn bounded(ns: &Namespace<'_>) -> anyhow::Result<()> {
    let watch = [
        "get",
        "pods",
        "-l",
        "obiente.cloud/deployment=crash",
        "--watch-only",
        "--output-watch-events",
    ];
    let mut watch = ns.kubectl.spawn(&watch, Stdio::null())?;
    let mut events = BufReader::new(watch.stdout.take().context("no output")?).lines();
    // The Swarm itself may be slow to begin.
    let mut seen = vec![first(&mut events).await?, first(&mut events).await?];
    let end = Instant::now() + 2 * PACE;
    while let Ok(line) = tokio::time::timeout_at(end, events.next_line()).await {
        seen.push(line?.context("the watch ended")?);
    }
    let (titles, seen): (Vec<_>, Vec<_>) = seen.iter().partition(|line| line.starts_with("EVENT"));
    ensure!(titles.len() == 1 && seen.len() <= 7, "{seen:#?}");
    let ready = seen.iter().filter(|line| line.contains("1/1")).count();
    ensure!(ready == 0, "never ready: {seen:#?}");
    Ok(())
}

/// One scenario in order, because all of it is about the same few Pods.
#[tokio::test]
async fn they_stay_the_same_and_say_what_is_not_known() -> anyhow::Result<()> {
    let mut world = World::new(2).await?;
    let kubectl = {
        let ns = world.namespace("pods-kept").await?;
        ns.kubectl.apply(&web("web", 2)).await?;
        ready(&ns.kubectl, 2).await?;
        ns.kubectl.clone()
    };
    let before = pods(&kubectl, OF_WEB).await?;

    // Another process starts with what is there: the same Pods, and not one is written.
    world.operator.kill()?;
    world.operator.restart().await?;
    kubectl.apply(&web("other", 1)).await?;
    let wait = [
        "wait",
        "--for=condition=Ready",
        "pod",
        "-l",
        "obiente.cloud/deployment=other",
        "--timeout=180s",
    ];
    eventually("the Pod of another Deployment", async || {
        kubectl.run(&wait).await
    })
    .await?;
    let after = pods(&kubectl, OF_WEB).await?;
    ensure!(
        identities(&before) == identities(&after),
        "{before:#?}\n{after:#?}"
    );
    // Several polls of the Swarm later, still nothing is.
    let writes = world
        .operator
        .metrics()
        .await?
        .sum("controllers_pod_writes_total", &[]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let later = world
        .operator
        .metrics()
        .await?
        .sum("controllers_pod_writes_total", &[]);
    ensure!(
        writes == later && writes > 0.0,
        "{writes} writes, then {later}"
    );

    // Tasks move off a node: Pods of theirs go, others come.
    let patch = |value: &str| format!(r#"{{"spec":{{"availability":"{value}"}}}}"#);
    kubectl
        .run(&["patch", "node", "n2", "--type=merge", "-p", &patch("Drain")])
        .await?;
    eventually("no Pod is on n2", async || {
        let there = ["pods", "--field-selector", "spec.nodeName=n2"];
        let there = kubectl.get(&there).await?;
        ensure!(
            there["items"].as_array().is_some_and(Vec::is_empty),
            "{there}"
        );
        Ok(())
    })
    .await?;
    ready(&kubectl, 2).await?;

    world.swarm.lab(["kill-node", "1"])?;
    eventually("nothing is known of any Pod", async || {
        for pod in pods(&kubectl, OF_WEB).await? {
            let ready = condition_of(&pod, "Ready")?;
            ensure!(
                ready["status"] == "Unknown" && ready["reason"] == "SwarmUnreachable",
                "{ready}"
            );
            ensure!(pod["status"]["phase"] == "Unknown", "{}", pod["status"]);
        }
        Ok(())
    })
    .await?;
    world.swarm.lab(["start-node", "1"])?;
    ready(&kubectl, 2).await.map(drop)
}

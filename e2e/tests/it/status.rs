//! Conditions say what is wrong, while it is wrong.

use anyhow::{Context as _, ensure};
use e2e::eventually;

use crate::world::{Namespace, condition_of, shared, web};

fn with(name: &str, fields: &str) -> String {
    format!(
        "{{apiVersion: obiente.cloud/v1alpha1, kind: Deployment, metadata: {{name: {name}}}, spec: {{\
         image: 'busybox:1.36', command: [sleep, '3600'], terminationGracePeriodSeconds: 0, {fields}}}}}"
    )
}

/// Waits until the Deployment is not ready for that reason.
async fn fails(ns: &Namespace<'_>, name: &str, reason: &str) -> anyhow::Result<serde_json::Value> {
    eventually(&format!("{name} is not ready: {reason}"), async || {
        let object = ns.kubectl.get(&["deployment", name]).await?;
        let ready = condition_of(&object, "Ready")?;
        ensure!(
            ready["status"] == "False" && ready["reason"] == reason,
            "{}",
            object["status"]
        );
        Ok(object)
    })
    .await
}

#[tokio::test]
async fn an_image_that_does_not_exist() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("image").await?;
    ns.kubectl
        .apply(&with("app", "").replace("busybox:1.36", "no-such-image:1"))
        .await?;
    let object = fails(&ns, "app", "ImageNotFound").await?;
    ensure!(
        object["status"].to_string().contains("no-such-image:1"),
        "{}",
        object["status"]
    );
    ns.kubectl.apply(&with("app", "")).await?;
    ns.ready("deployment", "app").await.map(drop)
}

#[tokio::test]
async fn no_suitable_node() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("nonode").await?;
    ns.kubectl
        .apply(&with(
            "app",
            "placement: {constraints: ['node.labels.moon == full']}",
        ))
        .await?;
    fails(&ns, "app", "NoSuitableNode").await?;
    ns.kubectl
        .apply(&with("app", "resources: {requests: {memory: 100Ti}}"))
        .await?;
    fails(&ns, "app", "NoSuitableNode").await?;
    ns.kubectl.apply(&with("app", "replicas: 1")).await?;
    ns.ready("deployment", "app").await.map(drop)
}

#[tokio::test]
async fn a_crash_loop_with_exit_code_and_log() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("crashloop").await?;
    let crashing = with("app", "restartPolicy: {delaySeconds: 0}").replace(
        "[sleep, '3600']",
        r#"[sh, -c, "echo starting; echo the disk is full >&2; exit 42"]"#,
    );
    ns.kubectl.apply(&crashing).await?;
    let object = fails(&ns, "app", "CrashLoop").await?;
    let failure = &object["status"]["lastFailure"];
    ensure!(failure["exitCode"] == 42, "{failure}");
    eventually("the tail of the log (case F60)", async || {
        let object = ns.kubectl.get(&["deployment", "app"]).await?;
        let tail = object["status"]["lastFailure"]["logTail"]
            .as_str()
            .context("no log")?;
        ensure!(tail.contains("the disk is full"), "{tail}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn progress_is_visible() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("progress").await?;
    // A task that becomes healthy after three seconds, so that there is something to see.
    let slow = with("app", "healthCheck: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1, failureThreshold: 30}")
        .replace("[sleep, '3600']", "[sh, -c, 'sleep 3; touch /tmp/up; exec sleep 3600']");
    ns.kubectl.apply(&slow).await?;
    eventually("it is reconciling and not ready", async || {
        let object = ns.kubectl.get(&["deployment", "app"]).await?;
        ensure!(
            condition_of(&object, "Ready")?["status"] != "True",
            "ready too early: {}",
            object["status"]
        );
        ensure!(
            condition_of(&object, "Reconciling")?["status"] == "True",
            "{}",
            object["status"]
        );
        Ok(())
    })
    .await?;
    let object = ns.ready("deployment", "app").await?;
    let reconciling =
        condition_of(&object, "Reconciling").map(|condition| condition["status"] == "True");
    ensure!(
        !reconciling.unwrap_or(false),
        "ready and reconciling: {}",
        object["status"]
    );
    Ok(())
}

#[tokio::test]
async fn status_is_still_when_nothing_happens() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("still").await?;
    ns.kubectl.apply(&web("web", 1)).await?;
    ns.ready("deployment", "web").await?;
    ns.all_available().await?;
    let version = async || -> anyhow::Result<String> {
        ns.kubectl
            .run(&[
                "get",
                "deployment",
                "web",
                "-o",
                "jsonpath={.metadata.resourceVersion}",
            ])
            .await
    };
    eventually("two seconds without a write", async || {
        let before = version().await?;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let after = version().await?;
        ensure!(before == after, "trap T14: {before}, then {after}");
        Ok(())
    })
    .await?;
    let before = version().await?;
    for _ in 0..5 {
        ns.kubectl
            .run(&["annotate", "--overwrite", "deployment", "web", "poke=me"])
            .await?;
    }
    let poked = version().await?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    ensure!(
        before != poked && version().await? == poked,
        "a converged object was written"
    );
    Ok(())
}

#[tokio::test]
async fn a_failed_update_is_rolled_back_and_said() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("rollback").await?;
    let fields = "rollout: {monitorSeconds: 2}, restartPolicy: {delaySeconds: 0}";
    ns.kubectl.apply(&with("app", fields)).await?;
    ns.ready("deployment", "app").await?;
    let broken = with("app", fields).replace("[sleep, '3600']", "['false']");
    ns.kubectl.apply(&broken).await?;
    // Case F21: the old spec serves (a program that ends at once had taken the only task's place
    // for a moment), and that is what the conditions say.
    ns.condition("deployment", "app", "RolledBack", "True", None)
        .await?;
    let object = ns
        .condition("deployment", "app", "Available", "True", None)
        .await?;
    ensure!(
        condition_of(&object, "RolledBack")?["status"] == "True",
        "{}",
        object["status"]
    );
    let progressing = condition_of(&object, "Progressing")?;
    ensure!(
        progressing["status"] == "False" && progressing["reason"] == "RolledBack",
        "{progressing}"
    );
    ensure!(
        condition_of(&object, "Ready")?["status"] == "False",
        "{}",
        object["status"]
    );
    // It is not tried again by itself (several polls later), and a new spec is.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let command = ns.service("app")?["Spec"]["TaskTemplate"]["ContainerSpec"]["Command"].clone();
    ensure!(
        command == serde_json::json!(["sleep", "3600"]),
        "it was tried again: {command}"
    );
    ns.kubectl
        .apply(&with("app", fields).replace("3600", "3601"))
        .await?;
    ns.ready("deployment", "app").await.map(drop)
}

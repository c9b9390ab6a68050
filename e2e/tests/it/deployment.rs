//! A Deployment is exactly one Swarm service, as its spec says, and nothing of it is left afterwards.

use anyhow::{Context as _, ensure};
use e2e::eventually;
use serde_json::{Value, json};

use crate::world::{shared, web};

/// Every field of the spec that has a counterpart in the Engine.
const EVERY_FIELD: &str = r#"
apiVersion: obiente.cloud/v1alpha1
kind: Deployment
metadata: {name: full}
spec:
  replicas: 2
  image: busybox:1.36
  command: [sh, -c]
  args: ["echo $GREETING; exec sleep 3600"]
  workingDir: /tmp
  user: "1000:1000"
  hostname: full-host
  init: true
  readOnlyRootFilesystem: true
  capabilities: {add: [NET_ADMIN], drop: [CHOWN]}
  stopSignal: SIGINT
  terminationGracePeriodSeconds: 1
  env:
    - {name: GREETING, value: hello}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: SELF, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  envFrom:
    - {prefix: S_, configMapRef: {name: settings}}
  resources: {requests: {cpu: 50m, memory: 8Mi}, limits: {cpu: 500m, memory: 64Mi, pids: 100}}
  ports:
    - {name: http, containerPort: 8080}
    - {name: admin, containerPort: 9000, hostPort: 19000, publishMode: Host}
  labels: {team: shop}
  healthCheck: {exec: {command: ["true"]}, periodSeconds: 2, timeoutSeconds: 1, failureThreshold: 4, initialDelaySeconds: 1}
  placement: {constraints: ["node.hostname != n1"], spreadBy: [zone], maxReplicasPerNode: 1}
  rollout: {maxParallel: 2, delaySeconds: 3, monitorSeconds: 4, maxFailureRatio: 0.5, onFailure: Pause}
  rollback: {maxParallel: 0, order: StopFirst}
  restartPolicy: {condition: OnFailure, delaySeconds: 2, maxAttempts: 3, windowSeconds: 60}
"#;

const SETTINGS: &str = r#"
{apiVersion: v1, kind: Secret, metadata: {name: keys}, data: {token: czNjcmV0LXZhbHVl}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: blue}}
---
"#;

/// Asserts that a part of the Engine's spec is that.
fn same(spec: &Value, pointer: &str, expected: Value) -> anyhow::Result<()> {
    let found = spec.pointer(pointer).unwrap_or(&Value::Null);
    ensure!(
        *found == expected,
        "{pointer}: {found}, not {expected}, in {spec}"
    );
    Ok(())
}

#[tokio::test]
async fn every_field_reaches_the_engine() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("fields").await?;
    ns.kubectl
        .apply(&format!("{SETTINGS}{EVERY_FIELD}"))
        .await?;
    ns.ready("deployment", "full").await?;
    let service = ns.service("full")?;
    let spec = &service["Spec"];
    let container = &spec["TaskTemplate"]["ContainerSpec"];
    for (pointer, expected) in [
        ("/Command", json!(["sh", "-c"])),
        ("/Args", json!(["echo $GREETING; exec sleep 3600"])),
        ("/Dir", json!("/tmp")),
        ("/User", json!("1000:1000")),
        ("/Hostname", json!("full-host")),
        ("/Init", json!(true)),
        ("/ReadOnly", json!(true)),
        ("/StopSignal", json!("SIGINT")),
        ("/StopGracePeriod", json!(1_000_000_000)),
        ("/CapabilityAdd", json!(["CAP_NET_ADMIN"])),
        ("/CapabilityDrop", json!(["CAP_CHOWN"])),
        ("/Healthcheck/Test", json!(["CMD", "true"])),
        ("/Healthcheck/Interval", json!(2_000_000_000)),
        ("/Healthcheck/Timeout", json!(1_000_000_000)),
        ("/Healthcheck/Retries", json!(4)),
        ("/Healthcheck/StartPeriod", json!(1_000_000_000)),
    ] {
        same(container, pointer, expected)?;
    }
    let mut env: Vec<&str> = container["Env"]
        .as_array()
        .context("Env")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    env.sort_unstable();
    ensure!(
        env == [
            "COLOUR=blue",
            "GREETING=hello",
            "SELF=full",
            "S_colour=blue",
            "TOKEN=s3cret-value"
        ],
        "{env:?}"
    );
    for (pointer, expected) in [
        ("/Mode/Replicated/Replicas", json!(2)),
        (
            "/TaskTemplate/Resources/Reservations/NanoCPUs",
            json!(50_000_000),
        ),
        (
            "/TaskTemplate/Resources/Reservations/MemoryBytes",
            json!(8 << 20),
        ),
        (
            "/TaskTemplate/Resources/Limits/NanoCPUs",
            json!(500_000_000),
        ),
        (
            "/TaskTemplate/Resources/Limits/MemoryBytes",
            json!(64 << 20),
        ),
        ("/TaskTemplate/Resources/Limits/Pids", json!(100)),
        (
            "/TaskTemplate/Placement/Preferences/0/Spread/SpreadDescriptor",
            json!("node.labels.zone"),
        ),
        ("/TaskTemplate/Placement/MaxReplicas", json!(1)),
        ("/TaskTemplate/RestartPolicy/Condition", json!("on-failure")),
        (
            "/TaskTemplate/RestartPolicy/Delay",
            json!(2_000_000_000_i64),
        ),
        ("/TaskTemplate/RestartPolicy/MaxAttempts", json!(3)),
        (
            "/TaskTemplate/RestartPolicy/Window",
            json!(60_000_000_000_i64),
        ),
        ("/UpdateConfig/Parallelism", json!(2)),
        ("/UpdateConfig/Delay", json!(3_000_000_000_i64)),
        ("/UpdateConfig/Monitor", json!(4_000_000_000_i64)),
        ("/UpdateConfig/MaxFailureRatio", json!(0.5)),
        ("/UpdateConfig/FailureAction", json!("pause")),
        // A port in Host mode cannot be held twice (case F28).
        ("/UpdateConfig/Order", json!("stop-first")),
        ("/RollbackConfig/Order", json!("stop-first")),
        ("/EndpointSpec/Mode", json!("vip")),
        ("/Labels/team", json!("shop")),
        ("/Labels/cloud.obiente.deployment", json!("true")),
        (
            "/Labels/cloud.obiente.deployment-id",
            json!(format!("{}/full", ns.name)),
        ),
    ] {
        same(spec, pointer, expected)?;
    }
    let ports = spec["EndpointSpec"]["Ports"].as_array().context("Ports")?;
    ensure!(
        ports.len() == 1 && ports[0]["PublishedPort"] == 19000 && ports[0]["PublishMode"] == "host",
        "{ports:?}"
    );
    let constraints = spec["TaskTemplate"]["Placement"]["Constraints"].to_string();
    ensure!(constraints.contains("node.hostname"), "{constraints}");
    let labels = format!("{}{}", spec["Labels"], container["Labels"]);
    ensure!(
        !labels.contains("s3cret-value"),
        "a Secret's value is in a label: {labels}"
    );
    let events = ns.kubectl.run(&["get", "events", "-o", "yaml"]).await?;
    ensure!(
        !events.contains("s3cret-value") && !ns.world.operator.log()?.contains("s3cret-value"),
        "a Secret leaked"
    );
    Ok(())
}

#[tokio::test]
async fn what_did_not_change_is_not_touched() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("unchanged").await?;
    let manifest = format!("{SETTINGS}{EVERY_FIELD}")
        .replace("hostPort: 19000, publishMode: Host", "protocol: UDP");
    ns.kubectl.apply(&manifest).await?;
    // The last thing that a rollout has to say is that its tasks stayed up.
    let before = eventually("all tasks are available", async || {
        let object = ns.kubectl.get(&["deployment", "full"]).await?;
        ensure!(
            object["status"]["availableReplicas"] == 2,
            "{}",
            object["status"]
        );
        Ok(object)
    })
    .await?;
    let version = ns.service("full")?["Version"].clone();
    let said = ns.kubectl.apply(&manifest).await?;
    ensure!(
        said.lines().all(|line| line.ends_with("unchanged")),
        "{said}"
    );
    // Something that does change shows that the controllers have run since.
    ns.kubectl.apply(&web("other", 1)).await?;
    ns.ready("deployment", "other").await?;
    let after = ns.kubectl.get(&["deployment", "full"]).await?;
    ensure!(
        after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"],
        "{}\n{}",
        before["status"],
        after["status"]
    );
    ensure!(
        ns.service("full")?["Version"] == version,
        "the service was written"
    );
    Ok(())
}

#[tokio::test]
async fn a_change_is_an_update_of_the_same_service() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("change").await?;
    ns.kubectl.apply(&web("web", 2)).await?;
    ns.ready("deployment", "web").await?;
    let id = ns.service("web")?["ID"].clone();

    ns.kubectl
        .run(&["scale", "deployment", "web", "--replicas=3"])
        .await?;
    let scaled = ns.ready("deployment", "web").await?;
    ensure!(
        scaled["status"]["readyReplicas"] == 3,
        "{}",
        scaled["status"]
    );

    ns.kubectl
        .run(&[
            "patch",
            "deployment",
            "web",
            "--type=merge",
            "-p",
            r#"{"spec":{"image":"busybox:1.37"}}"#,
        ])
        .await?;
    ns.event(
        "web",
        "ServiceUpdated",
        &["image", "busybox:1.36", "busybox:1.37"],
    )
    .await?;
    let updated = ns.ready("deployment", "web").await?;
    ensure!(
        updated["status"]["updatedReplicas"] == 3,
        "{}",
        updated["status"]
    );
    let service = ns.service("web")?;
    ensure!(service["ID"] == id, "the service was replaced");
    ensure!(
        service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
            .as_str()
            .is_some_and(|i| i.contains("1.37"))
    );
    ensure!(ns.services()? == [ns.service_name("web")]);

    // Keys that are gone from the spec are gone from the service (cases F1, F17).
    ns.kubectl
        .run(&[
            "patch",
            "deployment",
            "web",
            "--type=merge",
            "-p",
            r#"{"spec":{"labels":{"a":"1","b":"2"}}}"#,
        ])
        .await?;
    ns.ready("deployment", "web").await?;
    ns.kubectl
        .run(&[
            "patch",
            "deployment",
            "web",
            "--type=merge",
            "-p",
            r#"{"spec":{"labels":{"a":null}}}"#,
        ])
        .await?;
    ns.ready("deployment", "web").await?;
    let labels = ns.service("web")?["Spec"]["Labels"].clone();
    ensure!(labels.get("a").is_none() && labels["b"] == "2", "{labels}");
    Ok(())
}

#[tokio::test]
async fn a_changed_secret_reaches_the_tasks() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("secret").await?;
    let manifest = |value: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: keys}}, stringData: {{token: {value}}}}}\n---\n\
             {{apiVersion: obiente.cloud/v1alpha1, kind: Deployment, metadata: {{name: app}}, spec: {{\
             image: 'busybox:1.36', command: [sleep, '3600'], terminationGracePeriodSeconds: 0, \
             env: [{{name: TOKEN, valueFrom: {{secretKeyRef: {{name: keys, key: token}}}}}}]}}}}"
        )
    };
    ns.kubectl.apply(&manifest("one")).await?;
    ns.ready("deployment", "app").await?;
    ns.kubectl.apply(&manifest("two")).await?;
    eventually("the service has the new value", async || {
        let env = ns.service("app")?["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"].clone();
        ensure!(env == json!(["TOKEN=two"]), "{env}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_missing_is_a_condition_and_not_an_error() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("missing").await?;
    ns.kubectl
        .apply(
            "{apiVersion: obiente.cloud/v1alpha1, kind: Deployment, metadata: {name: app}, spec: {image: 'busybox:1.36', \
             command: [sleep, '3600'], env: [{name: A, valueFrom: {configMapKeyRef: {name: later, key: a}}}]}}",
        )
        .await?;
    let waiting = ns
        .condition(
            "deployment",
            "app",
            "Ready",
            "False",
            Some("ConfigMapNotFound"),
        )
        .await?;
    ensure!(
        waiting["status"].to_string().contains("later"),
        "does not say which: {}",
        waiting["status"]
    );
    ensure!(
        ns.services()?.is_empty(),
        "a service without its settings was created"
    );
    ns.kubectl
        .run(&["create", "configmap", "later", "--from-literal=a=1"])
        .await?;
    ns.ready("deployment", "app").await.map(drop)
}

#[tokio::test]
async fn a_deleted_deployment_leaves_nothing() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("deleted").await?;
    ns.kubectl.apply(&web("web", 2)).await?;
    ns.ready("deployment", "web").await?;
    ns.kubectl
        .run(&["delete", "deployment", "web", "--timeout=180s"])
        .await?;
    // The finalizer held the object until this was so; nothing to wait for. The rows follow the
    // same look at the Swarm, beside it.
    ensure!(ns.services()?.is_empty(), "{:?}", ns.services()?);
    let rows = format!(
        "select * from deployment_locations where deployment_id = '{}/web'",
        ns.name
    );
    eventually("its rows are gone", async || {
        let left = ns.world.sql(&rows).await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_namespace_takes_its_content_along() -> anyhow::Result<()> {
    let world = shared().await?;
    let ns = world.namespace("content").await?;
    ns.kubectl
        .apply(&format!("{}---\n{}", web("one", 1), web("two", 1)))
        .await?;
    ns.kubectl
        .run(&["create", "secret", "generic", "keys", "--from-literal=a=b"])
        .await?;
    ns.ready("deployment", "one").await?;
    ns.ready("deployment", "two").await?;
    ns.kubectl
        .run(&["delete", "namespace", &ns.name, "--timeout=180s"])
        .await?;
    ensure!(ns.services()?.is_empty(), "{:?}", ns.services()?);
    let gone = ns
        .kubectl
        .try_run(&["get", "namespace", &ns.name], "")
        .await?;
    ensure!(
        !gone.success && gone.stderr.contains("NotFound"),
        "{gone:?}"
    );
    eventually("its network is gone", async || {
        let networks = world
            .swarm
            .docker(["network", "ls", "--format", "{{.Name}}"])?;
        ensure!(!networks.contains(&ns.name), "{networks}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn global_mode_is_a_task_on_every_node() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("global").await?;
    ns.kubectl
        .apply(
            "{apiVersion: obiente.cloud/v1alpha1, kind: Deployment, metadata: {name: agent}, spec: {mode: Global, \
             image: 'busybox:1.36', command: [sleep, '3600'], terminationGracePeriodSeconds: 0}}",
        )
        .await?;
    let ready = ns.ready("deployment", "agent").await?;
    ensure!(ready["status"]["readyReplicas"] == 3, "{}", ready["status"]);
    let mut nodes: Vec<String> = ns
        .world
        .swarm
        .running_tasks(&ns.service_name("agent"))?
        .into_iter()
        .map(|task| task.node)
        .collect();
    nodes.sort();
    ensure!(nodes == ["n1", "n2", "n3"], "{nodes:?}");
    Ok(())
}

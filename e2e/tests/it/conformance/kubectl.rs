//! kubectl's rarer commands, with the oldest and the usual kubectl; waiting with the newest.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::lab::{Kubectl, KubectlVersion, Output};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::kubectl::{each_version, says};
use crate::world::{shared, web};

/// A command that must be refused with a complaint that has this in it.
async fn refused(kubectl: &Kubectl, args: &[&str], stdin: &str, part: &str) -> anyhow::Result<()> {
    let Output {
        success,
        stdout,
        stderr,
    } = kubectl.try_run(args, stdin).await?;
    ensure!(
        !success && stderr.contains(part),
        "kubectl {}: no {part:?} in:\n{stdout}{stderr}",
        args.join(" ")
    );
    Ok(())
}

/// Objects of a namespace as `kind/name`, one kind after the other.
async fn names(kubectl: &Kubectl, kinds: &str) -> anyhow::Result<String> {
    let text = kubectl
        .run(&["get", kinds, "-l", "app=l", "-o", "name"])
        .await?;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

const LIST: &str = r#"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one, labels: {app: l}}, data: {a: "1"}}
- {apiVersion: obiente.cloud/v1alpha1, kind: Deployment, metadata: {name: one, labels: {app: l}}, spec: {image: "busybox:1.36", replicas: 0}}
"#;

#[tokio::test]
async fn lists_last_applied_and_prune() -> anyhow::Result<()> {
    each_version("prune", async |ns| {
        let kubectl = &ns.kubectl;
        let apply = ["apply", "-f", "-"];
        kubectl.apply(LIST).await?;
        // A list of one kind.
        let typed = LIST
            .replace(
                "v1\nkind: List",
                "obiente.cloud/v1alpha1\nkind: DeploymentList",
            )
            .replace("name: one", "name: two");
        let deployments: Vec<&str> = typed
            .lines()
            .filter(|line| !line.contains("ConfigMap"))
            .collect();
        kubectl.apply(&deployments.join("\n")).await?;
        ensure!(
            names(kubectl, "deployments,configmaps").await?
                == "deployment.obiente.cloud/one deployment.obiente.cloud/two configmap/one"
        );
        let misspelt = LIST.replace("replicas: 0", "replica: 0");
        refused(kubectl, &apply, &misspelt, r#"unknown field "#).await?;
        says(
            kubectl,
            &["apply", "view-last-applied", "configmap", "one"],
            &[r#"a: "1""#],
        )
        .await?;
        kubectl
            .run_with(&["apply", "set-last-applied", "-f", "-"], LIST)
            .await?;

        let keep: Vec<&str> = LIST
            .lines()
            .filter(|line| !line.contains("Deployment"))
            .collect();
        let flag = if kubectl
            .run(&["apply", "--help"])
            .await?
            .contains("--prune-allowlist")
        {
            "--prune-allowlist"
        } else {
            "--prune-whitelist"
        };
        let kinds = format!("{flag}=obiente.cloud/v1alpha1/Deployment");
        let prune = [&apply[..], &["--prune", "-l", "app=l", &kinds]].concat();
        let said = kubectl.run_with(&prune, &keep.join("\n")).await?;
        ensure!(said.matches("pruned").count() == 2, "{said}");
        kubectl
            .run(&[
                "wait",
                "--for=delete",
                "deployments",
                "--all",
                "--timeout=180s",
            ])
            .await?;
        ensure!(names(kubectl, "deployments,configmaps").await? == "configmap/one");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn server_side_apply_and_its_conflicts() -> anyhow::Result<()> {
    each_version("apply", async |ns| {
        let kubectl = &ns.kubectl;
        let apply = ["apply", "--server-side", "-f", "-"];
        kubectl.run_with(&apply, &web("web", 0)).await?;
        let other = [&apply[..], &["--field-manager=other"]].concat();
        let said = kubectl.try_run(&other, &web("web", 1)).await?;
        for part in [
            "conflict",
            r#""kubectl""#,
            ".spec.replicas",
            "--force-conflicts",
        ] {
            ensure!(
                !said.success && said.stderr.contains(part),
                "no {part} in {said:?}"
            );
        }
        kubectl
            .run_with(
                &[&other[..], &["--force-conflicts"]].concat(),
                &web("web", 0),
            )
            .await?;
        // From client-side to server-side: what is no longer applied goes.
        kubectl.apply(LIST).await?;
        kubectl
            .run_with(
                &apply,
                &LIST.replace(r#"data: {a: "1"}"#, r#"data: {b: "1"}"#),
            )
            .await?;
        let data = kubectl.get(&["configmap", "one"]).await?["data"].clone();
        ensure!(data["b"] == "1", "{data}");
        ensure!(
            kubectl
                .run(&["version", "--client"])
                .await?
                .contains("1.20")
                || data["a"].is_null(),
            "not migrated: {data}"
        );
        refused(
            kubectl,
            &apply,
            &web("web", 0).replace("replicas", "replica"),
            "replica",
        )
        .await
    })
    .await
}

#[tokio::test]
async fn changes_with_conditions() -> anyhow::Result<()> {
    each_version("change", async |ns| {
        let kubectl = &ns.kubectl;
        kubectl
            .run(&[
                "create",
                "configmap",
                "x",
                "--from-literal=a=b",
                "--save-config",
            ])
            .await?;
        let again = ["create", "configmap", "x", "--from-literal=a=c"];
        refused(kubectl, &again, "", r#"configmaps "x" already exists"#).await?;
        let dry = kubectl
            .run(&[
                "create",
                "configmap",
                "y",
                "--from-literal=a=b",
                "--dry-run=server",
                "-o",
                "yaml",
            ])
            .await?;
        ensure!(
            dry.contains("uid:") && !dry.contains("resourceVersion"),
            "{dry}"
        );
        kubectl.run(&["label", "configmaps", "x", "tier=1"]).await?;
        refused(
            kubectl,
            &["label", "configmaps", "x", "tier=2"],
            "",
            "--overwrite is false",
        )
        .await?;
        kubectl
            .run(&["label", "configmaps", "--all", "tier=3", "--overwrite"])
            .await?;
        refused(
            kubectl,
            &["label", "configmap", "x", "no=1", "--resource-version=1"],
            "",
            "the object has been modified",
        )
        .await?;
        let absent = r#"[{"op":"remove","path":"/data/none"}]"#;
        refused(
            kubectl,
            &["patch", "configmap", "x", "--type=json", "-p", absent],
            "",
            "/data/none",
        )
        .await?;

        kubectl.apply(&web("web", 0)).await?;
        let strategic = [
            "patch",
            "deployment",
            "web",
            "-p",
            r#"{"spec":{"replicas":0}}"#,
        ];
        refused(kubectl, &strategic, "", "application/merge-patch+json").await?;
        let wrong = [
            "patch",
            "deployment",
            "web",
            "--type=merge",
            "-p",
            r#"{"spec":{"replicas":"x"}}"#,
        ];
        refused(
            kubectl,
            &wrong,
            "",
            "spec.replicas in body must be of type integer",
        )
        .await?;
        kubectl
            .run(&[
                "scale",
                "deployment",
                "web",
                "--replicas=0",
                "--current-replicas=0",
            ])
            .await?;
        let from = [
            "scale",
            "deployment",
            "web",
            "--replicas=1",
            "--current-replicas=5",
        ];
        refused(kubectl, &from, "", "xpected replicas to be 5, was 0").await?;
        kubectl
            .run_with(&["replace", "--force", "-f", "-"], &web("web", 0))
            .await?;
        for policy in ["foreground", "orphan"] {
            let delete = [
                "delete",
                "-f",
                "-",
                &format!("--cascade={policy}"),
                "--timeout=180s",
            ];
            kubectl.run_with(&delete, &web("web", 0)).await?;
            kubectl.apply(&web("web", 0)).await?;
        }
        kubectl
            .run(&["delete", "deployment", "web", "--wait=false"])
            .await?;
        kubectl
            .run(&["delete", "configmaps", "-l", "tier=3"])
            .await?;
        refused(
            kubectl,
            &["delete", "configmap", "x"],
            "",
            r#"configmaps "x" not found"#,
        )
        .await?;
        kubectl
            .run(&["delete", "configmap", "x", "--ignore-not-found"])
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn roles_and_accounts() -> anyhow::Result<()> {
    each_version("roles", async |ns| {
        let kubectl = &ns.kubectl;
        kubectl.run(&["create", "serviceaccount", "robot"]).await?;
        kubectl
            .run(&[
                "create",
                "role",
                "reader",
                "--verb=get,list",
                "--resource=configmaps,deployments.obiente.cloud",
            ])
            .await?;
        let account = format!("--serviceaccount={}:robot", ns.name);
        kubectl
            .run(&["create", "rolebinding", "reader", "--role=reader", &account])
            .await?;
        let robot = format!("--as=system:serviceaccount:{}:robot", ns.name);
        says(
            kubectl,
            &["auth", "can-i", "list", "deployments.obiente.cloud", &robot],
            &["yes"],
        )
        .await?;
        let denied = kubectl
            .try_run(&["auth", "can-i", "delete", "configmaps", &robot], "")
            .await?;
        ensure!(
            !denied.success && denied.stdout.contains("no"),
            "{denied:?}"
        );
        says(
            kubectl,
            &["auth", "can-i", "--list", &robot],
            &["deployments.obiente.cloud", "[get list]"],
        )
        .await?;
        kubectl.run(&["get", "configmaps", &robot]).await?;
        let what = r#"secrets is forbidden: User "system:serviceaccount:"#;
        refused(kubectl, &["get", "secrets", &robot], "", what).await?;
        says(
            kubectl,
            &["describe", "role", "reader"],
            &["deployments.obiente.cloud", "[get list]"],
        )
        .await?;
        says(
            kubectl,
            &["describe", "rolebinding", "reader"],
            &["ServiceAccount", "robot"],
        )
        .await
    })
    .await
}

#[tokio::test]
async fn what_is_shown() -> anyhow::Result<()> {
    each_version("show", async |ns| {
        let kubectl = &ns.kubectl;
        says(kubectl, &["get", "--raw", "/version"], &["gitVersion"]).await?;
        says(
            kubectl,
            &["get", "--raw", &format!("/api/v1/namespaces/{}", ns.name)],
            &[r#""kind":"Namespace""#],
        )
        .await?;
        refused(
            kubectl,
            &["get", "--raw", "/apis/none.example/v1"],
            "",
            "could not find the requested resource",
        )
        .await?;
        for name in ["b", "a", "c"] {
            kubectl
                .run(&["create", "configmap", name, "--from-literal=k=v"])
                .await?;
        }
        let columns = [
            "get",
            "configmaps",
            "--no-headers",
            "-o",
            "custom-columns=N:.metadata.name",
            "--chunk-size=1",
            "--sort-by=.metadata.creationTimestamp",
        ];
        let text = kubectl.run(&columns).await?;
        let mut shown: Vec<&str> = text.split_whitespace().collect();
        shown.sort_unstable();
        shown.retain(|name| *name != "kube-root-ca.crt");
        ensure!(shown == ["a", "b", "c"], "{text}");
        says(
            kubectl,
            &["get", "configmaps", "--sort-by=.metadata.name"],
            &["NAME", "DATA"],
        )
        .await?;
        says(
            kubectl,
            &[
                "get",
                "namespaces",
                "--field-selector",
                "status.phase=Active",
                "-o",
                "name",
            ],
            &[&ns.name],
        )
        .await?;
        refused(
            kubectl,
            &["get", "configmaps", "--field-selector", "data.k=v"],
            "",
            "is not a known field selector",
        )
        .await?;
        says(kubectl, &["get", "all", "-o", "name"], &[]).await?;
        says(
            kubectl,
            &["api-resources", "-o", "wide", "--namespaced=false"],
            &["namespaces", "create"],
        )
        .await?;
        says(kubectl, &["explain", "configmap.data"], &["map[string]"]).await?;
        // What is not served says so; nothing hangs.
        refused(
            kubectl,
            &["get", "statefulsets"],
            "",
            "doesn't have a resource type",
        )
        .await?;
        refused(kubectl, &["top", "nodes"], "", "Metrics API not available").await?;
        refused(
            kubectl,
            &["create", "job", "x", "--image=x"],
            "",
            "could not find the requested resource",
        )
        .await
    })
    .await
}

/// Parts that only newer kubectl have.
#[tokio::test]
async fn subresources_and_events() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("sub").await?;
    let kubectl = &ns.kubectl;
    kubectl.apply(&web("web", 0)).await?;
    ns.event("web", "ServiceCreated", &[]).await?;
    says(
        kubectl,
        &["events", "--for", "deployment.obiente.cloud/web"],
        &["ServiceCreated"],
    )
    .await?;
    says(
        kubectl,
        &["get", "deployment", "web", "--subresource=status"],
        &["web", "0"],
    )
    .await?;
    says(
        kubectl,
        &[
            "get",
            "deployment",
            "web",
            "--subresource=scale",
            "-o",
            "yaml",
        ],
        &["kind: Scale", "apiVersion: autoscaling/v1"],
    )
    .await?;
    let patch = [
        "patch",
        "deployment",
        "web",
        "--subresource=scale",
        "--type=merge",
        "-p",
        r#"{"spec":{"replicas":0}}"#,
    ];
    says(kubectl, &patch, &["scale.autoscaling/web"]).await?;
    let diff = kubectl
        .try_run(&["diff", "--server-side", "-f", "-"], &web("web", 3))
        .await?;
    ensure!(
        !diff.success && diff.stdout.contains("+  replicas: 3"),
        "{diff:?}"
    );
    says(
        kubectl,
        &[
            "get",
            "deployment",
            "web",
            "-o",
            "yaml",
            "--show-managed-fields",
        ],
        &["f:replicas"],
    )
    .await
}

/// kubectl 1.36 waits by streaming lists: what is there already must be told, with its end marked.
#[tokio::test]
async fn waiting() -> anyhow::Result<()> {
    for version in [KubectlVersion::V1_32, KubectlVersion::V1_36] {
        let ns = shared().await?.namespace_with("wait", version).await?;
        let kubectl = &ns.kubectl;
        kubectl.apply(&web("web", 0)).await?;
        let phase = format!("namespace/{}", ns.name);
        kubectl
            .run(&[
                "wait",
                "--for=jsonpath={.status.phase}=Active",
                &phase,
                "--timeout=180s",
            ])
            .await?;
        kubectl
            .run(&[
                "wait",
                "--for=condition=Ready",
                "deployment/web",
                "--timeout=180s",
            ])
            .await?;
        kubectl
            .run(&["wait", "--for=create", "deployment/web", "--timeout=180s"])
            .await?;
        let none = [
            "wait",
            "--for=condition=Never",
            "deployment/web",
            "--timeout=1s",
        ];
        refused(kubectl, &none, "", "timed out waiting for the condition").await?;
        let waiting = kubectl.clone();
        let gone = tokio::spawn(async move {
            let args = ["wait", "--for=delete", "deployment/web", "--timeout=180s"];
            waiting.run(&args).await
        });
        kubectl
            .run(&["delete", "deployment", "web", "--timeout=180s"])
            .await?;
        gone.await.context("the wait")??;
        // A watch of many objects, too.
        let args = ["get", "configmaps", "-w", "-o", "name"];
        let mut watch = kubectl.spawn(&args, Stdio::null())?;
        kubectl.run(&["create", "configmap", "late"]).await?;
        let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
        let late = async {
            // The namespace has a map of its own.
            while !lines
                .next_line()
                .await?
                .context("the watch ended")?
                .ends_with("/late")
            {}
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), late).await??;
        watch.kill().await?;
    }
    Ok(())
}

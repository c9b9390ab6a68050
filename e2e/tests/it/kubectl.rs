//! Unmodified kubectl, old and new: every verb that people use.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::eventually;
use e2e::lab::{Kubectl, KubectlVersion};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::world::{Namespace, shared, web};

/// A command whose output must have all of the given parts.
pub async fn says(kubectl: &Kubectl, args: &[&str], parts: &[&str]) -> anyhow::Result<()> {
    let text = kubectl.run(args).await?;
    for part in parts {
        ensure!(
            text.contains(part),
            "kubectl {}: no {part:?} in:\n{text}",
            args.join(" ")
        );
    }
    Ok(())
}

/// The same work in a namespace of its own, with each kubectl.
pub async fn each_version(
    scenario: &str,
    work: impl AsyncFn(Namespace<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for version in KubectlVersion::ALL {
        let ns = shared().await?.namespace_with(scenario, version).await?;
        work(ns).await.with_context(|| format!("{version:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn discovery_and_explain() -> anyhow::Result<()> {
    each_version("discover", async |ns| {
        let kubectl = &ns.kubectl;
        says(
            kubectl,
            &["api-resources"],
            &[
                "deployments",
                "routes",
                "nodes",
                "secrets",
                "configmaps",
                "events",
                "namespaces",
            ],
        )
        .await?;
        let names = kubectl
            .run(&["api-resources", "--api-group=obiente.cloud", "-o", "name"])
            .await?;
        let mut names: Vec<&str> = names.lines().collect();
        names.sort_unstable();
        ensure!(
            names
                == [
                    "deployments.obiente.cloud",
                    "nodes.obiente.cloud",
                    "routes.obiente.cloud"
                ],
            "{names:?}"
        );
        says(kubectl, &["version"], &["Server Version"]).await?;
        says(
            kubectl,
            &["api-versions"],
            &["obiente.cloud/v1alpha1", "v1"],
        )
        .await?;
        says(
            kubectl,
            &["explain", "deployment.spec", "--recursive"],
            &["replicas", "healthCheck", "nodeSelector", "maxParallel"],
        )
        .await?;
        says(
            kubectl,
            &["explain", "deployment.spec.image"],
            &["docker pull"],
        )
        .await?;
        says(
            kubectl,
            &["explain", "route.spec.rules.matches.path"],
            &["Prefix"],
        )
        .await?;
        says(kubectl, &["explain", "node.spec.availability"], &["Drain"]).await
    })
    .await
}

#[tokio::test]
async fn get_in_every_form() -> anyhow::Result<()> {
    each_version("get", async |ns| {
        let kubectl = &ns.kubectl;
        kubectl
            .apply(&web("web", 1).replace("{name: web}", "{name: web, labels: {tier: front}}"))
            .await?;
        ns.ready("deployment", "web").await?;
        says(
            kubectl,
            &["get", "deployments"],
            &[
                "NAME",
                "DESIRED",
                "READY",
                "IMAGE",
                "STATUS",
                "AGE",
                "web",
                "busybox:1.36",
            ],
        )
        .await?;
        says(
            kubectl,
            &["get", "deployments", "-o", "wide"],
            &["NODES", "SERVICE", &ns.service_name("web")],
        )
        .await?;
        says(
            kubectl,
            &["get", "deployment", "web", "-o", "yaml"],
            &["kind: Deployment", "image: busybox:1.36"],
        )
        .await?;
        says(
            kubectl,
            &["get", "deployments", "-o", "name"],
            &["deployment.obiente.cloud/web"],
        )
        .await?;
        says(
            kubectl,
            &[
                "get",
                "deployment",
                "web",
                "-o",
                "jsonpath={.status.readyReplicas}",
            ],
            &["1"],
        )
        .await?;
        says(
            kubectl,
            &["get", "deployments", "-l", "tier=front"],
            &["web"],
        )
        .await?;
        says(
            kubectl,
            &[
                "get",
                "deployments",
                "-l",
                "tier in (front)",
                "--show-labels",
            ],
            &["tier=front"],
        )
        .await?;
        let none = kubectl
            .run(&["get", "deployments", "-l", "tier=back", "-o", "name"])
            .await?;
        ensure!(none.is_empty(), "{none}");
        says(
            kubectl,
            &[
                "get",
                "deployments",
                "--field-selector",
                "metadata.name=web",
                "-o",
                "name",
            ],
            &["web"],
        )
        .await?;
        says(
            kubectl,
            &["get", "deployments,routes,nodes"],
            &["deployment.obiente.cloud/web", "node.obiente.cloud/n1"],
        )
        .await?;
        says(
            kubectl,
            &["get", "deployments", "--all-namespaces"],
            &[&ns.name, "web"],
        )
        .await?;
        says(kubectl, &["get", "namespaces"], &[&ns.name, "Active"]).await
    })
    .await
}

#[tokio::test]
async fn describe_shows_conditions_and_events() -> anyhow::Result<()> {
    each_version("describe", async |ns| {
        ns.kubectl.apply(&web("web", 1)).await?;
        ns.ready("deployment", "web").await?;
        ns.event("web", "ServiceCreated", &[]).await?;
        says(
            &ns.kubectl,
            &["describe", "deployment", "web"],
            &["Conditions", "Available", "Events", "ServiceCreated"],
        )
        .await?;
        says(
            &ns.kubectl,
            &["describe", "node", "n1"],
            &["Capacity", "Engine Version"],
        )
        .await?;
        says(&ns.kubectl, &["get", "events"], &["ServiceCreated"]).await
    })
    .await
}

#[tokio::test]
async fn watch_prints_changes() -> anyhow::Result<()> {
    each_version("watch", async |ns| {
        ns.kubectl.apply(&web("web", 0)).await?;
        let mut watch = ns
            .kubectl
            .spawn(&["get", "deployments", "-w", "-o", "name"], Stdio::null())?;
        let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
        let mut line = async || -> anyhow::Result<String> {
            let next = tokio::time::timeout(Duration::from_secs(30), lines.next_line());
            next.await
                .context("nothing in 30 s")??
                .context("the watch ended")
        };
        ensure!(line().await?.ends_with("/web"));
        ns.kubectl.apply(&web("second", 0)).await?;
        while !line().await?.ends_with("/second") {}
        watch.kill().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_way_to_change() -> anyhow::Result<()> {
    each_version("edit", async |ns| {
        let kubectl = &ns.kubectl;
        kubectl.apply(&web("web", 0)).await?;
        let at = async |path: &str| {
            kubectl
                .run(&[
                    "get",
                    "deployment",
                    "web",
                    "-o",
                    &format!("jsonpath={{{path}}}"),
                ])
                .await
        };

        let different = kubectl
            .try_run(&["diff", "-f", "-"], &web("web", 2))
            .await?;
        ensure!(
            !different.success && different.stdout.contains("+  replicas: 2"),
            "{different:?}"
        );
        let same = kubectl
            .try_run(&["diff", "-f", "-"], &web("web", 0))
            .await?;
        ensure!(same.success && same.stdout.is_empty(), "{same:?}");
        kubectl
            .run_with(&["apply", "--dry-run=server", "-f", "-"], &web("web", 2))
            .await?;
        ensure!(at(".spec.replicas").await? == "0", "a dry run was written");

        kubectl
            .run(&["scale", "deployment", "web", "--replicas=1"])
            .await?;
        ensure!(at(".spec.replicas").await? == "1");
        kubectl
            .run(&["label", "deployment", "web", "tier=front"])
            .await?;
        kubectl
            .run(&["annotate", "deployment", "web", "note=a"])
            .await?;
        kubectl
            .run(&["label", "deployment", "web", "tier-"])
            .await?;
        ensure!(
            at(".metadata.labels.tier").await?.is_empty()
                && at(".metadata.annotations.note").await? == "a"
        );
        kubectl
            .run(&[
                "patch",
                "deployment",
                "web",
                "--type=merge",
                "-p",
                r#"{"spec":{"labels":{"a":"b"}}}"#,
            ])
            .await?;
        kubectl
            .run(&[
                "patch",
                "deployment",
                "web",
                "--type=json",
                "-p",
                r#"[{"op":"add","path":"/spec/labels/c","value":"d"}]"#,
            ])
            .await?;
        ensure!(at(".spec.labels.a").await? + &at(".spec.labels.c").await? == "bd");
        let edited = kubectl
            .clone()
            .with_editor("sed -i s/busybox:1.36/busybox:1.37/");
        edited.run(&["edit", "deployment", "web"]).await?;
        ensure!(at(".spec.image").await? == "busybox:1.37");
        kubectl
            .run_with(
                &["apply", "--server-side", "--force-conflicts", "-f", "-"],
                &web("web", 2),
            )
            .await?;
        ensure!(at(".spec.image").await? + &at(".spec.replicas").await? == "busybox:1.362");
        kubectl
            .run_with(&["replace", "-f", "-"], &web("web", 1))
            .await?;
        ensure!(at(".spec.labels").await?.is_empty());
        kubectl
            .run(&[
                "wait",
                "--for=condition=Ready",
                "deployment/web",
                "--timeout=180s",
            ])
            .await?;
        kubectl
            .run_with(&["delete", "-f", "-", "--timeout=180s"], &web("web", 1))
            .await?;
        let gone = kubectl.try_run(&["get", "deployment", "web"], "").await?;
        ensure!(
            !gone.success && gone.stderr.contains("NotFound"),
            "{gone:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn namespaces_secrets_and_config_maps() -> anyhow::Result<()> {
    each_version("core", async |ns| {
        let kubectl = &ns.kubectl;
        let second = format!("{}-second", ns.name);
        kubectl.run(&["create", "namespace", &second]).await?;
        says(kubectl, &["get", "namespace", &second], &["Active"]).await?;
        kubectl
            .run(&["delete", "namespace", &second, "--timeout=180s"])
            .await?;
        kubectl
            .run(&[
                "create",
                "secret",
                "generic",
                "keys",
                "--from-literal=token=abc",
            ])
            .await?;
        says(
            kubectl,
            &["get", "secret", "keys", "-o", "jsonpath={.data.token}"],
            &["YWJj"],
        )
        .await?;
        says(
            kubectl,
            &["describe", "secret", "keys"],
            &["token:  3 bytes"],
        )
        .await?;
        kubectl
            .run(&[
                "create",
                "configmap",
                "settings",
                "--from-literal=colour=blue",
            ])
            .await?;
        says(kubectl, &["get", "configmaps"], &["settings", "1"]).await?;
        says(kubectl, &["describe", "configmap", "settings"], &["blue"]).await?;
        // Strategic merge: kubectl's default for built-in types.
        kubectl
            .run(&[
                "patch",
                "configmap",
                "settings",
                "-p",
                r#"{"data":{"size":"big"}}"#,
            ])
            .await?;
        says(
            kubectl,
            &["get", "configmap", "settings", "-o", "yaml"],
            &["size: big", "colour: blue"],
        )
        .await?;
        kubectl.run(&["delete", "configmap", "settings"]).await?;
        kubectl.run(&["delete", "secret", "keys"]).await?;
        kubectl
            .run(&["delete", "namespace", &ns.name, "--timeout=180s"])
            .await?;
        eventually("the namespace is gone", async || {
            let found = kubectl.try_run(&["get", "namespace", &ns.name], "").await?;
            ensure!(!found.success, "{}", found.stdout);
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn who_am_i_and_what_may_i() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("auth").await?;
    says(
        &ns.kubectl,
        &["auth", "can-i", "create", "deployments"],
        &["yes"],
    )
    .await?;
    says(&ns.kubectl, &["auth", "whoami"], &["Username"]).await
}

#[tokio::test]
async fn a_service_account_is_who_its_token_says() -> anyhow::Result<()> {
    let world = shared().await?;
    let ns = world.namespace("tokens").await?;
    let robot = format!("system:serviceaccount:{}:robot", ns.name);
    ns.kubectl
        .run(&["create", "serviceaccount", "robot"])
        .await?;
    // A subject without namespace is in that of the binding.
    ns.kubectl
        .apply(
            r#"{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: robot},
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view},
            subjects: [{kind: ServiceAccount, name: robot}]}"#,
        )
        .await?;
    let acting = ["auth", "can-i", "list", "configmaps", "--as", &robot];
    eventually("the role is in force", async || {
        says(&ns.kubectl, &acting, &["yes"]).await
    })
    .await?;
    let token = ns
        .kubectl
        .run(&["create", "token", "robot", "--duration", "20m"])
        .await?;

    let admin = std::fs::read_to_string(world.operator.kubeconfig())?;
    let mut config: Value = serde_json::from_str(&admin)?;
    config["users"][0]["user"] = json!({"token": token.trim()});
    let file = world
        .operator
        .kubeconfig()
        .with_extension(format!("of-{}", ns.name));
    std::fs::write(&file, config.to_string())?;
    for version in KubectlVersion::ALL {
        let kubectl = Kubectl::new(version, &file)?.in_namespace(&ns.name);
        says(&kubectl, &["get", "configmaps"], &["kube-root-ca.crt"]).await?;
        let refused = kubectl.try_run(&["get", "secrets"], "").await?;
        ensure!(
            !refused.success
                && refused
                    .stderr
                    .contains(&format!("User \"{robot}\" cannot list")),
            "{version:?}: {}",
            refused.stderr
        );
    }
    let kubectl = Kubectl::new(KubectlVersion::V1_32, &file)?.in_namespace(&ns.name);
    let parts = [
        robot.as_str(),
        "system:serviceaccounts",
        "authentication.kubernetes.io/credential-id",
    ];
    says(&kubectl, &["auth", "whoami"], &parts).await?;
    ns.kubectl
        .run(&["delete", "serviceaccount", "robot"])
        .await?;
    let gone = kubectl.try_run(&["get", "configmaps"], "").await?;
    let says = "You must be logged in to the server";
    ensure!(gone.stderr.contains(says), "{}", gone.stderr);
    Ok(())
}

//! Whatever is wrong is refused with the field, the value and what would be right; nothing panics.

use anyhow::{Context as _, ensure};
use e2e::lab::KubectlVersion;
use serde_json::{Value, json};

use crate::world::shared;

/// A fault in a Deployment's spec: the fields (over a valid minimum), and what the answer must name.
const DEPLOYMENT: &[(&str, &[&str])] = &[
    ("replicas: many", &["spec.replicas", "string", "integer"]),
    (
        "replicas: -1",
        &["spec.replicas", "-1", "greater than or equal to 0"],
    ),
    (
        "replicas: 10001",
        &["spec.replicas", "10001", "less than or equal to 10000"],
    ),
    ("replicas: 1.5", &["spec.replicas", "integer"]),
    (
        "mode: Sometimes",
        &["spec.mode", "Sometimes", "Replicated", "Global"],
    ),
    ("image: ''", &["spec.image"]),
    ("image: 'UPPER case:1'", &["spec.image", "UPPER case:1"]),
    ("image: 'a:b:c'", &["spec.image", "a:b:c"]),
    ("image: 5", &["spec.image", "integer", "string"]),
    ("imge: x", &["spec.imge", "unknown field"]),
    ("command: sleep", &["spec.command", "array"]),
    ("args: [1]", &["spec.args[0]", "integer", "string"]),
    (
        "workingDir: relative",
        &["spec.workingDir", "relative", "absolute"],
    ),
    ("stopSignal: quit", &["spec.stopSignal", "quit", "SIGQUIT"]),
    (
        "terminationGracePeriodSeconds: -1",
        &["spec.terminationGracePeriodSeconds", "-1"],
    ),
    ("tty: 'yes'", &["spec.tty", "string", "boolean"]),
    (
        "capabilities: {add: [NOT_A_CAP]}",
        &["spec.capabilities.add[0]", "NOT_A_CAP"],
    ),
    (
        "env: [{name: A, value: x}, {name: A, value: z}]",
        &["spec.env[1]", "Duplicate", "A"],
    ),
    ("env: [{name: 1A}]", &["spec.env[0].name", "1A"]),
    ("env: [{value: x}]", &["spec.env[0].name", "equired"]),
    (
        "env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
        &["spec.env[0]", "valueFrom"],
    ),
    (
        "env: [{name: A, valueFrom: {}}]",
        &["spec.env[0].valueFrom"],
    ),
    (
        "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.moon}}}]",
        &["fieldPath", "metadata.moon", "metadata.uid"],
    ),
    (
        "env: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]",
        &["secretKeyRef.key", "equired"],
    ),
    ("envFrom: [{}]", &["spec.envFrom[0]"]),
    (
        "resources: {limits: {memory: 12Q}}",
        &["spec.resources.limits.memory", "12Q"],
    ),
    (
        "resources: {requests: {cpu: lots}}",
        &["spec.resources.requests.cpu", "lots"],
    ),
    (
        "resources: {requests: {cpu: '2'}, limits: {cpu: '1'}}",
        &["spec.resources.requests.cpu", "limit"],
    ),
    (
        "resources: {limits: {pids: 0}}",
        &["spec.resources.limits.pids", "0"],
    ),
    (
        "ports: [{name: http, containerPort: 0}]",
        &["spec.ports[0].containerPort", "0", "1"],
    ),
    (
        "ports: [{name: http, containerPort: 70000}]",
        &["spec.ports[0].containerPort", "70000", "65535"],
    ),
    (
        "ports: [{name: a, containerPort: 1}, {name: a, containerPort: 2}]",
        &["spec.ports[1]", "Duplicate", "a"],
    ),
    (
        "ports: [{name: a, containerPort: 1}, {name: b, containerPort: 1}]",
        &["spec.ports", "once per protocol"],
    ),
    (
        "ports: [{name: a, containerPort: 1, protocol: ICMP}]",
        &["spec.ports[0].protocol", "ICMP", "TCP"],
    ),
    (
        "ports: [{name: a, containerPort: 1, publishMode: Host}]",
        &["spec.ports[0]", "hostPort"],
    ),
    (
        "ports: [{containerPort: 1}]",
        &["spec.ports[0].name", "equired"],
    ),
    (
        "endpointMode: DNSRR, ports: [{name: a, containerPort: 1, hostPort: 80}]",
        &["endpointMode", "DNSRR"],
    ),
    (
        "labels: {traefik.enable: 'true'}",
        &["spec.labels", "traefik.enable", "Route"],
    ),
    (
        "labels: {cloud.obiente.deployment: 'no'}",
        &["spec.labels", "cloud.obiente.deployment"],
    ),
    (
        "networks: [{name: a}, {name: a}]",
        &["spec.networks[1]", "Duplicate", "a"],
    ),
    ("healthCheck: {}", &["spec.healthCheck", "exec"]),
    (
        "healthCheck: {exec: {command: []}}",
        &["spec.healthCheck.exec.command"],
    ),
    (
        "healthCheck: {exec: {command: ['true']}, none: true}",
        &["spec.healthCheck", "none"],
    ),
    (
        "healthCheck: {exec: {command: ['true']}, failureThreshold: 0}",
        &["spec.healthCheck.failureThreshold", "0"],
    ),
    (
        "placement: {constraints: ['node.moon == full']}",
        &["spec.placement.constraints[0]", "node.moon"],
    ),
    (
        "placement: {constraints: ['gibberish']}",
        &["spec.placement.constraints[0]", "gibberish"],
    ),
    (
        "placement: {maxReplicasPerNode: 0}",
        &["spec.placement.maxReplicasPerNode", "0"],
    ),
    (
        "rollout: {order: Sideways}",
        &["spec.rollout.order", "Sideways", "StartFirst", "StopFirst"],
    ),
    (
        "rollout: {maxFailureRatio: 2}",
        &["spec.rollout.maxFailureRatio", "2", "1"],
    ),
    (
        "rollout: {monitorSeconds: 0}",
        &["spec.rollout.monitorSeconds", "0"],
    ),
    (
        "restartPolicy: {condition: Never}",
        &["spec.restartPolicy.condition", "Never", "OnFailure"],
    ),
    ("suspend: maybe", &["spec.suspend", "string", "boolean"]),
];

const ROUTE: &[(&str, &[&str])] = &[
    (
        "hostnames: [], rules: [{backendRefs: [{name: a, port: 80}]}]",
        &["spec.hostnames"],
    ),
    (
        "hostnames: ['not a host'], rules: [{backendRefs: [{name: a, port: 80}]}]",
        &["spec.hostnames[0]", "not a host"],
    ),
    (
        "hostnames: ['a.b', 'a.b'], rules: [{backendRefs: [{name: a, port: 80}]}]",
        &["spec.hostnames[1]", "a.b"],
    ),
    ("hostnames: [a.b]", &["spec.rules", "equired"]),
    ("hostnames: [a.b], rules: []", &["spec.rules"]),
    (
        "hostnames: [a.b], rules: [{backendRefs: [{name: a, port: 0}]}]",
        &["spec.rules[0].backendRefs[0].port", "0"],
    ),
    (
        "hostnames: [a.b], rules: [{backendRefs: [{name: a, port: http}]}]",
        &["spec.rules[0].backendRefs[0].port", "string"],
    ),
    (
        "hostnames: [a.b], rules: [{matches: [{path: {type: Prefix, value: nope}}], backendRefs: [{name: a, port: 80}]}]",
        &["spec.rules[0].matches[0].path.value", "nope", "/"],
    ),
    (
        "hostnames: [a.b], rules: [{matches: [{path: {type: Suffix, value: /}}], backendRefs: [{name: a, port: 80}]}]",
        &["spec.rules[0].matches[0].path.type", "Suffix", "Prefix"],
    ),
    (
        "hostnames: [a.b], rules: [{matches: [{path: {type: RegularExpression, value: '/('}}], backendRefs: [{name: a, port: 80}]}]",
        &["spec.rules[0].matches[0].path.value", "/("],
    ),
    (
        "hostnames: [a.b], rulez: [], rules: [{backendRefs: [{name: a, port: 80}]}]",
        &["spec.rulez", "unknown field"],
    ),
];

const NODE: &[(&str, &[&str])] = &[
    (
        "availability: Away",
        &["spec.availability", "Away", "Drain"],
    ),
    ("swarmId: short", &["spec.swarmId", "short"]),
    (
        "labels: {cloud.obiente.x: y}",
        &["spec.labels", "cloud.obiente.x"],
    ),
    ("labels: {a: 1}", &["spec.labels", "integer", "string"]),
    ("taints: []", &["spec.taints", "unknown field"]),
];

#[tokio::test]
async fn every_field_of_the_three_kinds() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("bad").await?;
    let deployment = |fields: &str| match fields.starts_with("image:") {
        true => fields.to_owned(),
        false => format!("image: 'busybox:1.36', {fields}"),
    };
    let all = DEPLOYMENT
        .iter()
        .map(|(fields, parts)| ("Deployment", deployment(fields), parts));
    let all = all.chain(
        ROUTE
            .iter()
            .map(|(fields, parts)| ("Route", (*fields).to_owned(), parts)),
    );
    let all = all.chain(
        NODE.iter()
            .map(|(fields, parts)| ("Node", (*fields).to_owned(), parts)),
    );
    let mut wrong = Vec::new();
    for (kind, fields, parts) in all {
        let manifest = format!(
            "{{apiVersion: obiente.cloud/v1alpha1, kind: {kind}, metadata: {{name: bad}}, spec: {{{fields}}}}}"
        );
        match ns.kubectl.refused(&manifest).await {
            Ok(complaint) if parts.iter().all(|part| complaint.contains(part)) => {}
            Ok(complaint) => wrong.push(format!(
                "{kind} {fields}: expected {parts:?} in: {complaint}"
            )),
            Err(_) => wrong.push(format!("{kind} {fields}: accepted")),
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let stored = ns
        .kubectl
        .run(&["get", "deployments,routes", "-o", "name"])
        .await?;
    ensure!(stored.is_empty(), "{stored}");
    Ok(())
}

/// What a raw request is answered.
struct Answer {
    code: u16,
    body: Value,
}

async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    media: &str,
    body: Vec<u8>,
) -> anyhow::Result<Answer> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media);
    let request = request.body(kube::client::Body::from(body))?;
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body())
        .await?
        .to_bytes();
    let body =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    Ok(Answer { code, body })
}

#[tokio::test]
async fn requests_that_are_no_requests() -> anyhow::Result<()> {
    let world = shared().await?;
    let client = world.operator.client().await?;
    let collection = "/apis/obiente.cloud/v1alpha1/namespaces/default/deployments";
    let (elsewhere, none) = (
        collection.replace("default", "no-such-namespace"),
        format!("{collection}/none"),
    );
    let named = |name: &str| {
        json!({"apiVersion": "obiente.cloud/v1alpha1", "kind": "Deployment",
        "metadata": {"name": name}, "spec": {"image": "busybox"}})
        .to_string()
    };
    let json = "application/json";
    let merge = "application/merge-patch+json";
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let cases: Vec<(&str, &str, &str, String, u16)> = vec![
        ("POST", collection, json, "{".into(), 400),
        ("POST", collection, json, String::new(), 400),
        ("POST", collection, json, "[]".into(), 400),
        ("POST", collection, json, "null".into(), 400),
        ("POST", collection, "application/yaml", "a: [".into(), 400),
        ("POST", collection, json, deep, 400),
        ("POST", collection, "text/plain", named("a"), 415),
        (
            "POST",
            collection,
            json,
            named("a").replace("Deployment", "Route"),
            422,
        ),
        (
            "POST",
            collection,
            json,
            named("a").replace("v1alpha1", "v9"),
            400,
        ),
        ("POST", collection, json, named("Upper_Case"), 422),
        ("POST", collection, json, named(""), 422),
        (
            "POST",
            collection,
            json,
            named("a").replace("\"metadata\":{", "\"metadata\":{\"namespace\":\"other\","),
            400,
        ),
        ("POST", &elsewhere, json, named("a"), 404),
        (
            "GET",
            "/apis/obiente.cloud/v1alpha1/namespaces/default/deployments/none",
            json,
            String::new(),
            404,
        ),
        (
            "GET",
            "/apis/obiente.cloud/v1alpha1/namespaces/default/starships",
            json,
            String::new(),
            404,
        ),
        (
            "GET",
            "/apis/obiente.cloud/v9/deployments",
            json,
            String::new(),
            404,
        ),
        ("GET", "/apis/apps/v1/deployments", json, String::new(), 404),
        ("GET", "/no/such/path", json, String::new(), 404),
        (
            "GET",
            "/apis/obiente.cloud/v1alpha1/deployments?labelSelector=a%3D%3D%3Db",
            json,
            String::new(),
            400,
        ),
        (
            "GET",
            "/apis/obiente.cloud/v1alpha1/deployments?fieldSelector=spec.moon%3D1",
            json,
            String::new(),
            400,
        ),
        (
            "GET",
            "/apis/obiente.cloud/v1alpha1/deployments?limit=many",
            json,
            String::new(),
            400,
        ),
        (
            "GET",
            "/apis/obiente.cloud/v1alpha1/deployments?continue=garbage",
            json,
            String::new(),
            400,
        ),
        (
            "GET",
            "/apis/obiente.cloud/v1alpha1/deployments?resourceVersion=abc",
            json,
            String::new(),
            400,
        ),
        ("PUT", collection, json, named("a"), 405),
        ("PATCH", &none, merge, "{}".into(), 404),
        (
            "PATCH",
            &none,
            "application/strategic-merge-patch+json",
            "{}".into(),
            415,
        ),
        ("DELETE", &none, json, String::new(), 404),
    ];
    let mut wrong = Vec::new();
    for (method, path, media, body, code) in cases {
        let short: String = body.chars().take(80).collect();
        let answer = send(&client, method, path, media, body.into_bytes())
            .await
            .with_context(|| format!("{method} {path} {short}"))?;
        let status = &answer.body;
        let is_status = status["kind"] == "Status"
            && status["status"] == "Failure"
            && status["code"] == answer.code;
        let told = is_status
            && status["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
        // Outside the API's own groups Kubernetes says no more.
        let plain = code == 404 && status == "404 page not found\n";
        if answer.code != code || !(told || plain) {
            wrong.push(format!(
                "{method} {path} {short}: {} {status}, not {code}",
                answer.code
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let log = world.operator.log()?;
    ensure!(!log.contains("panicked"), "something panicked: see the log");
    Ok(())
}

#[tokio::test]
async fn malformed_yaml_never_leaves_kubectl() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("yaml").await?;
    for version in KubectlVersion::ALL {
        let kubectl = ns.world.operator.kubectl(version)?.in_namespace(&ns.name);
        let complaint = kubectl.refused("apiVersion: [").await?;
        ensure!(complaint.contains("error"), "{complaint}");
        let unknown = "{apiVersion: obiente.cloud/v1alpha1, kind: Starship, metadata: {name: x}}";
        kubectl.refused(unknown).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_too_large() -> anyhow::Result<()> {
    let ns = shared().await?.namespace("large").await?;
    let value = "x".repeat(4 << 20);
    let manifest = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: big}}, data: {{a: {value}}}}}"
    );
    for version in KubectlVersion::ALL {
        let kubectl = ns.world.operator.kubectl(version)?.in_namespace(&ns.name);
        let output = kubectl.try_run(&["create", "-f", "-"], &manifest).await?;
        let named = output.stderr.contains("too large") && output.stderr.contains("limit is");
        ensure!(!output.success && named, "{version:?}: {}", output.stderr);
    }
    Ok(())
}

use serde_json::{Value, json};

use super::{Kind, Row};

fn deployment() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"image": "busybox:1.36"}})
}

#[test]
fn deployment_refuses() {
    let host_port =
        json!([{"name": "http", "containerPort": 80, "hostPort": 80, "publishMode": "Host"}]);
    let selector = |name: &str, key: &str| json!({"name": name, "key": key});
    let env = |value_from: Value| json!([{"name": "A", "valueFrom": value_from}]);
    let rows: Vec<Row> = vec![
        (
            "spec",
            json!({"image": "a", "mode": "Global", "replicas": 3}),
            "spec.replicas",
            "leave replicas out",
        ),
        (
            "spec",
            json!({"image": "a", "mode": "Global", "placement": {"maxReplicasPerNode": 1}}),
            "spec.placement.maxReplicasPerNode",
            "leave maxReplicasPerNode out",
        ),
        (
            "spec",
            json!({"image": "a", "mode": "Global", "placement": {"spreadBy": ["zone"]}}),
            "spec.placement.spreadBy",
            "leave spreadBy out",
        ),
        (
            "spec",
            json!({"image": "a", "endpointMode": "DNSRR", "ports": [{"name": "a", "containerPort": 1, "hostPort": 1}]}),
            "spec.endpointMode",
            "use VIP",
        ),
        (
            "spec",
            json!({"image": "a", "rollout": {"order": "StartFirst"}, "ports": host_port}),
            "spec.rollout.order",
            "use StopFirst",
        ),
        (
            "spec",
            json!({"image": "a", "rollback": {"order": "StartFirst"}, "ports": host_port}),
            "spec.rollback.order",
            "use StopFirst",
        ),
        (
            "spec.image",
            json!("Web:1"),
            "spec.image",
            "'Web:1' is not an image reference",
        ),
        (
            "spec.image",
            json!("Acme/web"),
            "spec.image",
            "'Acme/web' is not",
        ),
        (
            "spec.image",
            json!("web:"),
            "spec.image",
            "is not an image reference",
        ),
        (
            "spec.image",
            json!("web@sha256:abc"),
            "spec.image",
            "is not an image reference",
        ),
        (
            "spec.image",
            json!("https://ghcr.io/web"),
            "spec.image",
            "is not an image reference",
        ),
        (
            "spec.image",
            json!("web 1"),
            "spec.image",
            "is not an image reference",
        ),
        (
            "spec.workingDir",
            json!("srv"),
            "spec.workingDir",
            "'srv' is not an absolute path",
        ),
        (
            "spec.user",
            json!("a b"),
            "spec.user",
            "'a b' is not a user",
        ),
        ("spec.user", json!("1000:"), "spec.user", "is not a user"),
        (
            "spec.hostname",
            json!("web_{{.Env}}"),
            "spec.hostname",
            "is not a host name",
        ),
        (
            "spec.stopSignal",
            json!("sigterm"),
            "spec.stopSignal",
            "'sigterm' is not a signal",
        ),
        (
            "spec.capabilities",
            json!({"add": ["KILL"], "drop": ["KILL"]}),
            "spec.capabilities",
            "same time",
        ),
        (
            "spec.env",
            json!([{"name": "1A", "value": ""}]),
            "spec.env[0].name",
            "'1A' is not the name of an environment variable",
        ),
        (
            "spec.env",
            json!([{"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]),
            "spec.env[0]",
            "A has both",
        ),
        (
            "spec.env",
            env(json!({})),
            "spec.env[0].valueFrom",
            "exactly one",
        ),
        (
            "spec.env",
            env(
                json!({"secretKeyRef": selector("s", "k"), "fieldRef": {"fieldPath": "metadata.uid"}}),
            ),
            "spec.env[0].valueFrom",
            "exactly one",
        ),
        (
            "spec.env",
            env(json!({"secretKeyRef": selector("S", "k")})),
            "spec.env[0].valueFrom.secretKeyRef.name",
            "'S' is not the name of an object",
        ),
        (
            "spec.env",
            env(json!({"secretKeyRef": selector("s", "a/b")})),
            "spec.env[0].valueFrom.secretKeyRef.key",
            "'a/b' is not a key",
        ),
        (
            "spec.env",
            env(json!({"configMapKeyRef": selector("s_", "k")})),
            "spec.env[0].valueFrom.configMapKeyRef.name",
            "is not the name of an object",
        ),
        (
            "spec.env",
            env(json!({"configMapKeyRef": selector("s", " ")})),
            "spec.env[0].valueFrom.configMapKeyRef.key",
            "is not a key",
        ),
        (
            "spec.envFrom",
            json!([{"prefix": "A"}]),
            "spec.envFrom[0]",
            "exactly one of secretRef and configMapRef",
        ),
        (
            "spec.envFrom",
            json!([{"prefix": "9", "secretRef": {"name": "s"}}]),
            "spec.envFrom[0].prefix",
            "cannot begin",
        ),
        (
            "spec.envFrom",
            json!([{"secretRef": {"name": "S"}}]),
            "spec.envFrom[0].secretRef.name",
            "is not the name of an object",
        ),
        (
            "spec.envFrom",
            json!([{"configMapRef": {"name": "S"}}]),
            "spec.envFrom[0].configMapRef.name",
            "is not the name of an object",
        ),
        (
            "spec.resources",
            json!({"requests": {"cpu": "half"}}),
            "spec.resources.requests.cpu",
            "\"half\" is not a quantity",
        ),
        (
            "spec.resources",
            json!({"limits": {"cpu": 0}}),
            "spec.resources.limits.cpu",
            "from 1m to 1M cores",
        ),
        (
            "spec.resources",
            json!({"limits": {"cpu": "-1"}}),
            "spec.resources.limits.cpu",
            "from 1m to 1M cores",
        ),
        (
            "spec.resources",
            json!({"requests": {"memory": "64MB"}}),
            "spec.resources.requests.memory",
            "\"64MB\" is not a quantity",
        ),
        (
            "spec.resources",
            json!({"requests": {"memory": "256m"}}),
            "spec.resources.requests.memory",
            "at least 4Mi",
        ),
        (
            "spec.resources",
            json!({"limits": {"memory": "5Mi"}}),
            "spec.resources.limits.memory",
            "as a limit 6Mi",
        ),
        (
            "spec.resources",
            json!({"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}),
            "spec.resources.requests.cpu",
            "limits.cpu, which is 1500m",
        ),
        (
            "spec.resources",
            json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}),
            "spec.resources.requests.memory",
            "limits.memory, which is 1G",
        ),
        (
            "spec.ports",
            json!([{"name": "HTTP", "containerPort": 1}]),
            "spec.ports[0].name",
            "'HTTP' is not the name of a port",
        ),
        (
            "spec.ports",
            json!([{"name": "80", "containerPort": 1}]),
            "spec.ports[0].name",
            "at least one letter",
        ),
        (
            "spec.ports",
            json!([{"name": "a", "containerPort": 1, "publishMode": "Host"}]),
            "spec.ports[0].publishMode",
            "publishMode needs hostPort",
        ),
        (
            "spec.ports",
            json!([{"name": "a", "containerPort": 1}, {"name": "b", "containerPort": 1, "protocol": "TCP"}]),
            "spec.ports",
            "a containerPort may be listed once per protocol",
        ),
        (
            "spec.ports",
            json!([{"name": "a", "containerPort": 1, "hostPort": 9}, {"name": "b", "containerPort": 2, "hostPort": 9}]),
            "spec.ports",
            "a hostPort may be published once per protocol",
        ),
        (
            "spec.networks",
            json!([{"name": "ingress"}]),
            "spec.networks[0].name",
            "'ingress' is not an overlay network",
        ),
        (
            "spec.networks",
            json!([{"name": "a", "aliases": ["A", "b"]}]),
            "spec.networks[0].aliases[0]",
            "'A' is not an alias",
        ),
        (
            "spec.healthCheck",
            json!({}),
            "spec.healthCheck",
            "exactly one of exec and none",
        ),
        (
            "spec.healthCheck",
            json!({"none": false}),
            "spec.healthCheck",
            "exactly one of exec and none",
        ),
        (
            "spec.healthCheck",
            json!({"none": true, "exec": {"command": ["a"]}}),
            "spec.healthCheck",
            "exactly one of exec and none",
        ),
        (
            "spec.healthCheck",
            json!({"none": true, "periodSeconds": 1}),
            "spec.healthCheck",
            "none: true excludes",
        ),
        (
            "spec.placement",
            json!({"constraints": ["node.role = worker"]}),
            "spec.placement.constraints[0]",
            "'node.role = worker' is not a constraint",
        ),
        (
            "spec.placement",
            json!({"constraints": ["node.id == a", "node.role == boss"]}),
            "spec.placement.constraints[1]",
            "manager or worker",
        ),
        (
            "spec.placement",
            json!({"constraints": ["disk == ssd"]}),
            "spec.placement.constraints[0]",
            "node.labels.KEY",
        ),
        (
            "spec.placement",
            json!({"spreadBy": ["node.labels.zone x"]}),
            "spec.placement.spreadBy[0]",
            "is not the key of a node label",
        ),
        (
            "spec.placement",
            json!({"spreadBy": ["zone", "zone"]}),
            "spec.placement.spreadBy",
            "once",
        ),
        (
            "spec.placement",
            json!({"nodeSelector": {"a b": "c"}}),
            "spec.placement.nodeSelector[a b]",
            "the key must consist",
        ),
        (
            "spec.placement",
            json!({"nodeSelector": {"disk": ""}}),
            "spec.placement.nodeSelector[disk]",
            "the value must consist",
        ),
        (
            "spec.labels",
            json!({"traefik.enable": "true"}),
            "spec.labels[traefik.enable]",
            "write a Route instead",
        ),
        (
            "spec.labels",
            json!({"cloud.obiente.deployment": "x"}),
            "spec.labels[cloud.obiente.deployment]",
            "choose another key",
        ),
        (
            "spec.labels",
            json!({"-": "x"}),
            "spec.labels[-]",
            "the key must consist",
        ),
        (
            "metadata.name",
            json!("a.b"),
            "metadata.name",
            "also a host name",
        ),
    ];
    Kind::new("Deployment").refuses(&deployment(), &rows);
}

#[test]
fn deployment_accepts() {
    let digest = format!("localhost:5000/a/b__c:1@sha256:{}", "0".repeat(64));
    Kind::new("Deployment").accepts(
        &deployment(),
        &[
            ("spec.image", json!("ghcr.io/acme/web:1.4.2")),
            ("spec.image", json!("Registry.example.com/web")),
            ("spec.image", json!("registry:5000/web")),
            ("spec.image", json!("[::1]:5000/web")),
            ("spec.image", json!(digest)),
            ("spec.hostname", json!("web-{{.Task.Slot}}")),
            ("spec.user", json!("www-data:1000")),
            ("spec.stopSignal", json!("SIGRTMIN+3")),
            ("spec.stopSignal", json!("9")),
            ("spec.resources", json!({"requests": {"cpu": "0.5", "memory": 67108864}, "limits": {"cpu": 1, "memory": "64Mi", "pids": 5}})),
            ("spec.placement", json!({"constraints": ["node.role==manager", "node.labels.zone != eu west", "engine.labels.os == 5.10"]})),
            ("spec.placement", json!({"nodeSelector": {"disk": "ssd"}})),
            ("spec.ports", json!([{"name": "dns", "containerPort": 53, "hostPort": 53}, {"name": "dns-udp", "containerPort": 53, "hostPort": 53, "protocol": "UDP"}])),
            ("spec.healthCheck", json!({"none": true})),
            ("spec", json!({"image": "a", "mode": "Global", "replicas": 1})),
            ("spec.labels", json!({"com.example/team": "Läden & Co"})),
        ],
    );
}

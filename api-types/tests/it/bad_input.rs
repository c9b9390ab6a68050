//! One row per mistake: where it is made, and what the user reads.

use std::collections::BTreeSet;

use api_types::{crd_values, validate};
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Value, json};

/// Place of the value, value, place named by the error, what the error says.
type Row = (&'static str, Value, &'static str, &'static str);

struct Kind {
    name: &'static str,
    schema: Value,
    compiled: CompiledSchema,
}

impl Kind {
    fn new(name: &'static str) -> Self {
        let crd = crd_values()
            .into_iter()
            .find(|crd| crd["spec"]["names"]["kind"] == name)
            .unwrap();
        let schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        let compiled = compile_schema(&schema);
        assert!(
            !compiled.has_errors(),
            "{:?}",
            compiled.compilation_errors()
        );
        Self {
            name,
            schema,
            compiled,
        }
    }

    /// Every error: place and text, and the rule where it was one.
    fn errors(&self, object: &Value) -> Vec<(String, String, Option<String>)> {
        let cel = Validator::new()
            .validate_compiled(&self.compiled, object, None)
            .err();
        let cel = cel
            .into_iter()
            .flat_map(kube_cel::ValidationErrors::into_vec);
        let cel = cel.map(|e| {
            assert_eq!(
                e.kind,
                kube_cel::ErrorKind::ValidationFailure,
                "{e} in {object}"
            );
            (e.field_path, e.message, Some(e.rule))
        });
        cel.chain(
            validate(self.name, object)
                .into_iter()
                .map(|e| (e.path, e.detail, None)),
        )
        .collect()
    }

    /// Each row yields exactly the one error that it names, and every rule of the kind is in some row.
    fn refuses(&self, base: &Value, rows: &[Row]) {
        assert_eq!(self.errors(base), [], "the base object must be right");
        let mut fired = BTreeSet::new();
        for (place, value, path, says) in rows {
            let mut object = base.clone();
            put(&mut object, place, value.clone());
            let errors = self.errors(&object);
            let row = format!("{place} = {value}");
            assert_eq!(errors.len(), 1, "{row}: {errors:?}");
            let (found, text, rule) = &errors[0];
            assert_eq!(found, path, "{row}: {text}");
            assert!(text.contains(says), "{row}: {text}");
            fired.extend(rule.clone());
        }
        let mut all = BTreeSet::new();
        rules(&self.schema, &mut all);
        let idle: Vec<_> = all.difference(&fired).collect();
        assert!(idle.is_empty(), "rules that no row breaks: {idle:#?}");
    }

    fn accepts(&self, base: &Value, rows: &[(&str, Value)]) {
        for (place, value) in rows {
            let mut object = base.clone();
            put(&mut object, place, value.clone());
            assert_eq!(self.errors(&object), [], "{place} = {value}");
        }
    }
}

fn rules(schema: &Value, all: &mut BTreeSet<String>) {
    let own = schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten();
    all.extend(own.map(|rule| rule["rule"].as_str().unwrap().to_owned()));
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .for_each(|(_, property)| rules(property, all));
    schema
        .get("items")
        .into_iter()
        .for_each(|items| rules(items, all));
}

/// Sets a field.
fn put(object: &mut Value, place: &str, value: Value) {
    let mut node = object;
    for step in place.split('.') {
        node = &mut node[step];
    }
    *node = value;
}

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
            "leave replicas (3) out",
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
            "same time: KILL",
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
            "'half' is not an amount of CPU",
        ),
        (
            "spec.resources",
            json!({"limits": {"cpu": 0}}),
            "spec.resources.limits.cpu",
            "'0' is not an amount of CPU",
        ),
        (
            "spec.resources",
            json!({"limits": {"cpu": "-1"}}),
            "spec.resources.limits.cpu",
            "'-1' is not",
        ),
        (
            "spec.resources",
            json!({"requests": {"memory": "64MB"}}),
            "spec.resources.requests.memory",
            "'64MB' is not an amount of memory",
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
            "at least 6Mi",
        ),
        (
            "spec.resources",
            json!({"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}),
            "spec.resources.requests.cpu",
            "the request 2 must not be above the limit 1500m",
        ),
        (
            "spec.resources",
            json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}),
            "spec.resources.requests.memory",
            "the request 1Gi must not be above the limit 1G",
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
            "more than one of a (1), b (1)",
        ),
        (
            "spec.ports",
            json!([{"name": "a", "containerPort": 1, "hostPort": 9}, {"name": "b", "containerPort": 2, "hostPort": 9}]),
            "spec.ports",
            "more than one of a (9), b (9)",
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
            "spec.networks[0].aliases",
            "wrong: A",
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

fn route() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {
        "hostnames": ["shop.example.com"],
        "rules": [{
            "matches": [{"path": {"type": "Prefix", "value": "/"}}],
            "backendRefs": [{"name": "web", "port": 8080}],
        }],
    }})
}

fn with_rule(field: &str, value: Value) -> Value {
    let mut rule = route()["spec"]["rules"][0].clone();
    rule[field] = value;
    json!([rule])
}

#[test]
fn route_refuses() {
    let matched = |field: &str, value: Value| with_rule("matches", json!([{ field: value }]));
    let path = |kind: &str, value: &str| matched("path", json!({"type": kind, "value": value}));
    let filter = |kind: &str, field: &str, value: Value| {
        with_rule("filters", json!([{"type": kind, field: value}]))
    };
    let request = |value: Value| filter("RequestHeaderModifier", "requestHeaderModifier", value);
    let response = |value: Value| filter("ResponseHeaderModifier", "responseHeaderModifier", value);
    let redirect = |value: Value| filter("RequestRedirect", "requestRedirect", value);
    let rewrite = |value: Value| filter("URLRewrite", "urlRewrite", value);
    let backend = json!({"name": "web", "port": 1});
    let named = json!({"name": "api", "backendRefs": [backend]});
    let prefix = json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}});
    let mut without_match = rewrite(prefix);
    without_match[0]["matches"] = json!([]);
    let header = |name: &str, value: &str| json!({"set": [{"name": name, "value": value}]});
    let r = "spec.rules";
    let rows: Vec<Row> = vec![
        (
            "spec.hostnames",
            json!(["Shop.example.com"]),
            "spec.hostnames[0]",
            "'Shop.example.com' is not a host name",
        ),
        (
            "spec.hostnames",
            json!(["a.example", "https://shop"]),
            "spec.hostnames[1]",
            "without port and scheme",
        ),
        (
            "spec.hostnames",
            json!(["shop:80"]),
            "spec.hostnames[0]",
            "without port",
        ),
        (
            "spec.hostnames",
            json!(["a.*.example"]),
            "spec.hostnames[0]",
            "only at the beginning",
        ),
        (
            "spec.hostnames",
            json!(["10.0.0.1"]),
            "spec.hostnames[0]",
            "is not a host name",
        ),
        (
            "spec.hostnames",
            json!(["-a.example"]),
            "spec.hostnames[0]",
            "is not a host name",
        ),
        (
            "spec.entryPoints",
            json!(["web secure"]),
            "spec.entryPoints[0]",
            "is not the name of an entry point",
        ),
        (
            "spec.tls",
            json!({"mode": "None", "certificateResolver": "le"}),
            "spec.tls.certificateResolver",
            "needs mode Terminate",
        ),
        (
            "spec.tls",
            json!({"certificateResolver": "l e"}),
            "spec.tls.certificateResolver",
            "is not the name of a certificate resolver",
        ),
        (
            r,
            json!([named, named]),
            "spec.rules",
            "used more often: api, api",
        ),
        (
            r,
            with_rule("name", json!("API")),
            "spec.rules[0].name",
            "'API' is not the name of a rule",
        ),
        (
            r,
            with_rule("name", json!("0")),
            "spec.rules[0].name",
            "not digits alone",
        ),
        (
            r,
            with_rule("backendRefs", json!([backend, backend])),
            "spec.rules[0].backendRefs",
            "not supported in this version",
        ),
        (
            r,
            with_rule("backendRefs", json!([{"name": "Web", "port": 1}])),
            "spec.rules[0].backendRefs[0].name",
            "'Web' is not the name of a Deployment",
        ),
        (
            r,
            path("Prefix", "api"),
            "spec.rules[0].matches[0].path.value",
            "'api' is not a path",
        ),
        (
            r,
            path("Exact", "/a//b"),
            "spec.rules[0].matches[0].path.value",
            "no empty element",
        ),
        (
            r,
            path("Prefix", "/a?b"),
            "spec.rules[0].matches[0].path.value",
            "none of ? #",
        ),
        (
            r,
            path("RegularExpression", "/a`"),
            "spec.rules[0].matches[0].path.value",
            "back-quote",
        ),
        (
            r,
            path("RegularExpression", "/(a"),
            "spec.rules[0].matches[0].path.value",
            "unclosed group",
        ),
        (
            r,
            matched("headers", json!([{"name": "a b", "value": "x"}])),
            "spec.rules[0].matches[0].headers[0].name",
            "is not the name of a header",
        ),
        (
            r,
            matched("headers", json!([{"name": "a", "value": "x`"}])),
            "spec.rules[0].matches[0].headers[0].value",
            "back-quote",
        ),
        (
            r,
            matched("queryParams", json!([{"name": "a=", "value": "x"}])),
            "spec.rules[0].matches[0].queryParams[0].name",
            "is not the name of a query parameter",
        ),
        (
            r,
            matched("queryParams", json!([{"name": "a", "value": "\n"}])),
            "spec.rules[0].matches[0].queryParams[0].value",
            "control character",
        ),
        (
            r,
            with_rule(
                "filters",
                json!([{"type": "URLRewrite", "urlRewrite": {"hostname": "a"}}, {"type": "URLRewrite", "urlRewrite": {"hostname": "b"}}]),
            ),
            "spec.rules[0].filters",
            "once in a rule",
        ),
        (
            r,
            with_rule(
                "filters",
                json!([{"type": "URLRewrite", "urlRewrite": {"hostname": "a"}}, {"type": "RequestRedirect", "requestRedirect": {"port": 1}}]),
            ),
            "spec.rules[0].filters",
            "exclude each other",
        ),
        (
            r,
            without_match,
            "spec.rules[0].matches",
            "exactly one match",
        ),
        (
            r,
            with_rule("filters", json!([{"type": "RequestHeaderModifier"}])),
            "spec.rules[0].filters[0].requestHeaderModifier",
            "set requestHeaderModifier",
        ),
        (
            r,
            with_rule("filters", json!([{"type": "ResponseHeaderModifier"}])),
            "spec.rules[0].filters[0].responseHeaderModifier",
            "set responseHeaderModifier",
        ),
        (
            r,
            with_rule("filters", json!([{"type": "RequestRedirect"}])),
            "spec.rules[0].filters[0].requestRedirect",
            "set requestRedirect",
        ),
        (
            r,
            with_rule("filters", json!([{"type": "URLRewrite"}])),
            "spec.rules[0].filters[0].urlRewrite",
            "set urlRewrite",
        ),
        (
            r,
            request(json!({})),
            "spec.rules[0].filters[0].requestHeaderModifier",
            "at least one",
        ),
        (
            r,
            request(json!({"set": [{"name": "a", "value": "b"}], "remove": ["a"]})),
            "spec.rules[0].filters[0].requestHeaderModifier",
            "set and removed",
        ),
        (
            r,
            request(header("a:", "b")),
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].name",
            "'a:' is not the name of a header",
        ),
        (
            r,
            request(header("a", "b\r\nc")),
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].value",
            "control character",
        ),
        (
            r,
            request(json!({"remove": ["a b"]})),
            "spec.rules[0].filters[0].requestHeaderModifier.remove",
            "names of headers",
        ),
        (
            r,
            response(json!({"set": []})),
            "spec.rules[0].filters[0].responseHeaderModifier",
            "at least one",
        ),
        (
            r,
            response(json!({"remove": [""]})),
            "spec.rules[0].filters[0].responseHeaderModifier.remove",
            "names of headers",
        ),
        (
            r,
            redirect(json!({})),
            "spec.rules[0].filters[0].requestRedirect",
            "at least one of scheme",
        ),
        (
            r,
            redirect(json!({"hostname": "*.a"})),
            "spec.rules[0].filters[0].requestRedirect.hostname",
            "is not a host name",
        ),
        (
            r,
            redirect(json!({"path": {"type": "ReplaceFullPath"}})),
            "spec.rules[0].filters[0].requestRedirect.path",
            "set replaceFullPath",
        ),
        (
            r,
            redirect(json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": "a"}})),
            "spec.rules[0].filters[0].requestRedirect.path.replaceFullPath",
            "'a' is not a path",
        ),
        (
            r,
            rewrite(json!({})),
            "spec.rules[0].filters[0].urlRewrite",
            "at least one of hostname and path",
        ),
        (
            r,
            rewrite(json!({"hostname": "a:1"})),
            "spec.rules[0].filters[0].urlRewrite.hostname",
            "is not a host name",
        ),
        (
            r,
            rewrite(json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "v2"}})),
            "spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch",
            "'v2' is not a path",
        ),
    ];
    Kind::new("Route").refuses(&route(), &rows);
}

#[test]
fn route_accepts() {
    Kind::new("Route").accepts(
        &route(),
        &[
            ("spec.hostnames", json!(["localhost", "*.example.com", "xn--bcher-kva.example", "1.example.com"])),
            ("spec.tls", json!({"certificateResolver": "letsencrypt"})),
            ("spec.rules", with_rule("matches", json!([{"path": {"type": "Prefix", "value": "/api/v1/"}}, {"method": "GET"}]))),
            ("spec.rules", with_rule("matches", json!([{"path": {"type": "RegularExpression", "value": "/users/[0-9]+"}}]))),
            ("spec.rules", with_rule("filters", json!([{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]))),
            ("spec.rules", with_rule("filters", json!([{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}]))),
        ],
    );
}

#[test]
fn node_refuses() {
    let rows: Vec<Row> = vec![
        (
            "spec.swarmId",
            json!("ABC"),
            "spec.swarmId",
            "'ABC' is not the id of a Swarm node",
        ),
        (
            "spec.region",
            json!("eu west"),
            "spec.region",
            "'eu west' is not a region",
        ),
        ("spec.zone", json!("-"), "spec.zone", "'-' is not a zone"),
        (
            "spec.labels",
            json!({"cloud.obiente.zone": "a"}),
            "spec.labels[cloud.obiente.zone]",
            "spec.zone",
        ),
        (
            "spec.labels",
            json!({"a/b": "a"}),
            "spec.labels[a/b]",
            "the key must consist",
        ),
        (
            "spec.labels",
            json!({"a": "b c"}),
            "spec.labels[a]",
            "the value must consist",
        ),
    ];
    Kind::new("Node").refuses(&json!({"metadata": {"name": "n1"}, "spec": {}}), &rows);
}

/// Validation looks at JSON that no schema has seen yet: it must not fall over whatever is there.
#[test]
fn validate_survives_any_shape() {
    for shape in [
        json!(null),
        json!([]),
        json!({"spec": 1}),
        json!({"spec": {"labels": [], "rules": {"a": 1}}}),
    ] {
        for kind in ["Deployment", "Node", "Route", "Secret"] {
            assert_eq!(validate(kind, &shape), []);
        }
    }
}

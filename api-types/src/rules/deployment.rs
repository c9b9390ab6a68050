//! Rules of `Deployment`.

use super::{Rule, rule, text};

const OBJECT_NAME: &str =
    r"self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
const OBJECT_NAME_SAYS: &str = "is not the name of an object: write lower-case letters, digits, - and ., for example web-settings";
const DATA_KEY: &str = r"self.matches(r'^[-._a-zA-Z0-9]+$')";
const DATA_KEY_SAYS: &str =
    "is not a key of a Secret or ConfigMap: write letters, digits, -, _ and .";
const TIMINGS: &str = "!has(self.none) || !self.none || !(has(self.initialDelaySeconds) || has(self.periodSeconds) \
                       || has(self.timeoutSeconds) || has(self.failureThreshold))";

pub(super) const RULES: &[Rule] = &[
    rule(
        "spec",
        ".replicas",
        "self.mode != 'Global' || self.replicas == 1",
        "mode Global runs one task on every eligible node: leave replicas out, or use mode Replicated",
    ),
    rule(
        "spec",
        ".placement.maxReplicasPerNode",
        "self.mode != 'Global' || !has(self.placement) || !has(self.placement.maxReplicasPerNode)",
        "mode Global runs one task on every eligible node: leave maxReplicasPerNode out, or use mode Replicated",
    ),
    rule(
        "spec",
        ".placement.spreadBy",
        "self.mode != 'Global' || !has(self.placement) || !has(self.placement.spreadBy) || self.placement.spreadBy.size() == 0",
        "mode Global runs one task on every eligible node: leave spreadBy out, or use mode Replicated",
    ),
    rule(
        "spec",
        ".endpointMode",
        "self.endpointMode != 'DNSRR' || !has(self.ports) || self.ports.all(p, !has(p.hostPort) || (has(p.publishMode) && p.publishMode == 'Host'))",
        "DNSRR excludes ports published in Ingress mode: use VIP, or publishMode Host for every hostPort",
    ),
    rule(
        "spec",
        ".rollout.order",
        "!has(self.rollout.order) || self.rollout.order != 'StartFirst' || !has(self.ports) || !self.ports.exists(p, has(p.publishMode) && p.publishMode == 'Host')",
        "StartFirst excludes ports published in Host mode, which two tasks cannot hold at once: use StopFirst or leave order out",
    ),
    rule(
        "spec",
        ".rollback.order",
        "!has(self.rollback) || !has(self.rollback.order) || self.rollback.order != 'StartFirst' || !has(self.ports) || !self.ports.exists(p, has(p.publishMode) && p.publishMode == 'Host')",
        "StartFirst excludes ports published in Host mode, which two tasks cannot hold at once: use StopFirst or leave order out",
    ),
    text(
        "spec.image",
        r"self.matches(r'^((localhost(:[0-9]{1,5})?|[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?((\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)+(:[0-9]{1,5})?|:[0-9]{1,5})|\[[a-fA-F0-9:]+\](:[0-9]{1,5})?)/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(@[a-z0-9]+:[0-9a-f]{32,128})?$')",
        "is not an image reference: write [registry[:port]/]name[:tag][@sha256:digest] with the name in lower case, for example ghcr.io/acme/web:1.4.2",
    ),
    text(
        "spec.workingDir",
        "self.startsWith('/')",
        "is not an absolute path: it must start with /, for example /srv/app",
    ),
    text(
        "spec.user",
        r"self.matches(r'^[a-zA-Z0-9_][a-zA-Z0-9_.-]*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*)?$')",
        "is not a user: write a name or number, and a group after a colon if wanted, for example 1000:1000",
    ),
    text(
        "spec.hostname",
        r"self.matches(r'^([a-zA-Z0-9]|\{\{\.(Node|Service|Task)\.[A-Za-z]+\}\})([a-zA-Z0-9.-]|\{\{\.(Node|Service|Task)\.[A-Za-z]+\}\})*$')",
        "is not a host name: write letters, digits, - and ., or Swarm placeholders, for example web-{{.Task.Slot}}",
    ),
    text(
        "spec.stopSignal",
        r"self.matches(r'^((SIG)?[A-Z][A-Z0-9]*([+-][0-9]{1,2})?|[1-9][0-9]?)$')",
        "is not a signal: write its name in capitals or its number, for example SIGQUIT or 3",
    ),
    rule(
        "spec.capabilities",
        "",
        "!has(self.add) || !has(self.drop) || !self.add.exists(c, c in self.drop)",
        "a capability cannot be added and dropped at the same time",
    ),
    text(
        "spec.env[].name",
        r"self.matches(r'^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
        "is not the name of an environment variable: write letters, digits, _, - and ., not starting with a digit, for example LOG_LEVEL",
    ),
    rule(
        "spec.env[]",
        "",
        "!has(self.value) || !has(self.valueFrom)",
        "value and valueFrom exclude each other: keep one of the two",
    )
    .showing("self.name + ' has both value and valueFrom: keep one of the two'"),
    rule(
        "spec.env[].valueFrom",
        "",
        "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(x, x).size() == 1",
        "set exactly one of secretKeyRef, configMapKeyRef and fieldRef",
    ),
    text(
        "spec.env[].valueFrom.secretKeyRef.name",
        OBJECT_NAME,
        OBJECT_NAME_SAYS,
    ),
    text(
        "spec.env[].valueFrom.secretKeyRef.key",
        DATA_KEY,
        DATA_KEY_SAYS,
    ),
    text(
        "spec.env[].valueFrom.configMapKeyRef.name",
        OBJECT_NAME,
        OBJECT_NAME_SAYS,
    ),
    text(
        "spec.env[].valueFrom.configMapKeyRef.key",
        DATA_KEY,
        DATA_KEY_SAYS,
    ),
    rule(
        "spec.envFrom[]",
        "",
        "has(self.secretRef) != has(self.configMapRef)",
        "set exactly one of secretRef and configMapRef",
    ),
    text(
        "spec.envFrom[].prefix",
        r"self.matches(r'^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
        "cannot begin the name of an environment variable: write letters, digits, _, - and ., not starting with a digit, for example DB_",
    ),
    text(
        "spec.envFrom[].secretRef.name",
        OBJECT_NAME,
        OBJECT_NAME_SAYS,
    ),
    text(
        "spec.envFrom[].configMapRef.name",
        OBJECT_NAME,
        OBJECT_NAME_SAYS,
    ),
    text(
        "spec.ports[].name",
        "self.matches('^([a-z0-9]+-)*[a-z0-9]+$') && self.matches('[a-z]')",
        "is not the name of a port: write lower-case letters, digits and single -, with at least one letter, for example http",
    ),
    rule(
        "spec.ports[]",
        ".publishMode",
        "!has(self.publishMode) || has(self.hostPort)",
        "publishMode needs hostPort: add the port to publish, or leave publishMode out",
    ),
    rule(
        "spec.ports",
        "",
        "self.all(p, self.exists_one(q, q.containerPort == p.containerPort && (has(q.protocol) ? q.protocol : 'TCP') == (has(p.protocol) ? p.protocol : 'TCP')))",
        "a containerPort may be listed once per protocol",
    ),
    rule(
        "spec.ports",
        "",
        "self.all(p, !has(p.hostPort) || self.exists_one(q, has(q.hostPort) && q.hostPort == p.hostPort && (has(q.protocol) ? q.protocol : 'TCP') == (has(p.protocol) ? p.protocol : 'TCP')))",
        "a hostPort may be published once per protocol",
    ),
    text(
        "spec.networks[].name",
        "self.matches('^[a-zA-Z0-9][a-zA-Z0-9_.-]*$') && !(self in ['ingress', 'host', 'bridge', 'none', 'docker_gwbridge'])",
        "is not an overlay network that a service can join: write the name of an existing one, for example databases",
    ),
    text(
        "spec.networks[].aliases[]",
        "self.matches('^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$')",
        "is not an alias: write lower-case letters, digits, -, _ and ., for example api",
    ),
    rule(
        "spec.healthCheck",
        "",
        "has(self.exec) != (has(self.none) && self.none)",
        "set exactly one of exec and none: true",
    ),
    rule(
        "spec.healthCheck",
        "",
        TIMINGS,
        "none: true excludes initialDelaySeconds, periodSeconds, timeoutSeconds and failureThreshold",
    ),
    text(
        "spec.placement.constraints[]",
        r#"self.matches(r"^(node\.(id|hostname|ip|platform\.os|platform\.arch)|(node|engine)\.labels\.[a-zA-Z0-9_][a-zA-Z0-9_.-]*) *(==|!=) *[a-zA-Z0-9:_.*()?+\[\]\\^$|/-][a-zA-Z0-9:_ .*()?+\[\]\\^$|/-]*$") || self.matches('^node\\.role *(==|!=) *(manager|worker) *$')"#,
        "is not a constraint: write FIELD == VALUE or FIELD != VALUE, where FIELD is node.id, node.hostname, node.ip, node.role (manager or worker), node.platform.os, node.platform.arch, node.labels.KEY or engine.labels.KEY",
    ),
    text(
        "spec.placement.spreadBy[]",
        "self.matches('^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$')",
        "is not the key of a node label: write letters, digits, _, . and -, without node.labels in front, for example zone",
    ),
    rule(
        "spec.placement.spreadBy",
        "",
        "self.all(k, self.exists_one(l, l == k))",
        "each key may be listed once",
    ),
];

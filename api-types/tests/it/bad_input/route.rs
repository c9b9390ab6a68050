use serde_json::{Value, json};

use super::{Kind, Row};

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
        (r, json!([named, named]), "spec.rules", "may be used once"),
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
            "spec.rules[0].filters[0].requestHeaderModifier.remove[0]",
            "name of a header",
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
            "spec.rules[0].filters[0].responseHeaderModifier.remove[0]",
            "name of a header",
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

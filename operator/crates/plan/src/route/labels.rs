//! Traefik v3 labels of one router with its service and middlewares.
//!
//! Names derive from namespace, Route, rule and match and never from a position (F8): another
//! rule before this one renames nothing. They contain no dot, which Traefik's label parser would
//! take for the end of the name, and are bounded in length.

use std::collections::BTreeMap;

use api_types::route::{Route, RouteRule, TlsMode};

use super::filter::{FilterError, middlewares};
use super::rule::MatchKey;
use crate::cluster::bounded;
use crate::hash::{hash_of, short_hash};

/// Longest readable part of a name; a hash follows.
const LONGEST_NAME: usize = 80;

/// What one match of one host name looks like in Traefik.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub router: String,
    pub rule: String,
    pub middlewares: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// Renders the labels of `key`, which is a match of `rule`, which is a rule of `route`.
pub(crate) fn render(
    route: &Route,
    rule: &RouteRule,
    port: u16,
    key: &MatchKey,
) -> Result<Rendered, FilterError> {
    let names = Names::new(route, rule);
    let service = names.name(&["service"]);
    let router = names.name(&["router", &hash_of(key)]);
    let mut labels = BTreeMap::new();
    let mut names_of_middlewares = Vec::new();
    for middleware in middlewares(&rule.filters, &key.path)? {
        let name = format!(
            "{}-{}",
            names.name(&["middleware", &hash_of(&key.path)]),
            middleware.suffix
        );
        for (option, value) in middleware.options {
            labels.insert(format!("traefik.http.middlewares.{name}.{option}"), value);
        }
        names_of_middlewares.push(name);
    }
    labels.insert(
        format!("traefik.http.services.{service}.loadbalancer.server.port"),
        port.to_string(),
    );
    let text = key.rule();
    let mut option = |name: &str, value: String| {
        labels.insert(format!("traefik.http.routers.{router}.{name}"), value)
    };
    option("rule", text.clone());
    option("service", service);
    option("priority", key.priority(route.spec.priority).to_string());
    if !names_of_middlewares.is_empty() {
        option("middlewares", names_of_middlewares.join(","));
    }
    if !route.spec.entry_points.is_empty() {
        option("entrypoints", route.spec.entry_points.join(","));
    }
    if let Some(tls) = route
        .spec
        .tls
        .as_ref()
        .filter(|tls| tls.mode == TlsMode::Terminate)
    {
        option("tls", "true".to_owned());
        if let Some(resolver) = &tls.certificate_resolver {
            option("tls.certresolver", resolver.clone());
            // Traefik reads the names of a certificate from Host(), which a wildcard does not have (F9).
            if key.wildcard().is_some() {
                option("tls.domains[0].main", key.host.clone());
            }
        }
    }
    Ok(Rendered {
        router,
        rule: text,
        middlewares: names_of_middlewares,
        labels,
    })
}

/// Names of everything that belongs to one rule.
struct Names {
    readable: String,
    identity: String,
}

impl Names {
    fn new(route: &Route, rule: &RouteRule) -> Self {
        let namespace = route.metadata.namespace.as_deref().unwrap_or_default();
        let name = route.metadata.name.as_deref().unwrap_or_default();
        // An unnamed rule is known by what it matches.
        let rule_key = rule.name.clone().unwrap_or_else(|| hash_of(&rule.matches));
        let mut readable = format!("{namespace}-{name}");
        if let Some(rule) = &rule.name {
            readable = format!("{readable}-{rule}");
        }
        let identity = format!("{namespace}/{name}/{rule_key}");
        Self {
            readable: bounded(&readable.replace('.', "-"), &identity, LONGEST_NAME),
            identity,
        }
    }

    fn name(&self, parts: &[&str]) -> String {
        format!(
            "{}-{}",
            self.readable,
            short_hash(&format!("{}/{}", self.identity, parts.join("/")))
        )
    }
}

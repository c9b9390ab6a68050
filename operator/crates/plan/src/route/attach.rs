//! From all Routes and Deployments to the routes that each Deployment gets.

use std::collections::{BTreeMap, BTreeSet};

use api_types::conditions::reason;
use api_types::deployment::Protocol;
use api_types::route::{BackendRef, RouteMatch, TlsMode};
use api_types::{Deployment, Route};
use jiff::Timestamp;

use super::conflict::{Claim, winners};
use super::labels::{Rendered, render};
use super::rule::MatchKey;

/// Namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of any namespaced object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What all Routes together mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolution {
    /// What was decided about each Route.
    pub routes: BTreeMap<ObjectKey, RouteResolution>,
    /// What each Deployment carries: at most one entry per Route, sorted by the Route's name.
    pub by_deployment: BTreeMap<ObjectKey, Vec<AttachedRoute>>,
}

impl Resolution {
    /// What a Deployment carries.
    pub fn attached(&self, namespace: &str, name: &str) -> &[AttachedRoute] {
        self.by_deployment
            .get(&ObjectKey::new(namespace, name))
            .map_or(&[], Vec::as_slice)
    }
}

/// What was decided about one Route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteResolution {
    /// The Route's uid.
    pub uid: String,
    /// Per rule, match and host name, in the order of the spec.
    pub decisions: Vec<Decision>,
}

/// One host name in one match of one rule: what was asked for and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The host name as in the spec.
    pub hostname: String,
    /// The rule's name, or its number counted from 0.
    pub rule: String,
    /// Path that matches, in the user's words; an expression where it is one.
    pub path: String,
    /// Is the path an expression?
    pub path_is_expression: bool,
    /// Encrypted?
    pub tls: bool,
    /// Where the requests go.
    pub backend: BackendRef,
    /// Who has these requests, when it is another Route or another rule.
    pub winner: Option<ObjectKey>,
    /// Why it cannot be routed although it won.
    pub problem: Option<Problem>,
    /// Name of the router and the rule in Traefik's words, where it is routed.
    pub router: Option<Router>,
}

impl Decision {
    /// Do requests go to the backend once the labels are written?
    pub fn is_routed(&self) -> bool {
        self.router.is_some()
    }
}

/// A router in Traefik.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Its name.
    pub name: String,
    /// Its rule.
    pub rule: String,
    /// Names of its middlewares, in order.
    pub middlewares: Vec<String>,
    /// Certificate resolver.
    pub certificate_resolver: Option<String>,
}

/// Why a rule cannot be routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One word, of [`api_types::conditions::reason`].
    pub reason: &'static str,
    /// What is missing or wrong, and what would be right.
    pub message: String,
}

/// What one Route puts on the service of one Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttachedRoute {
    /// Name of the Route; it is in the Deployment's namespace.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Traefik labels, without those that all routes share.
    pub labels: BTreeMap<String, String>,
    /// Host names that it answers for, sorted.
    pub hostnames: BTreeSet<String>,
}

/// One match with everything that is needed to decide about it.
struct Candidate<'a> {
    route: &'a Route,
    rule: usize,
    hostname: &'a str,
    key: MatchKey,
    claim: Claim,
}

/// Decides about all Routes at once. The order of the input does not matter. Routes that are being
/// deleted count no more.
pub fn resolve<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
    deployments: impl IntoIterator<Item = &'a Deployment>,
) -> Resolution {
    let deployments: BTreeMap<ObjectKey, &Deployment> = deployments
        .into_iter()
        .map(|deployment| {
            (
                key_of(&deployment.metadata.namespace, &deployment.metadata.name),
                deployment,
            )
        })
        .collect();
    let routes: BTreeMap<ObjectKey, &Route> = routes
        .into_iter()
        .filter(|route| route.metadata.deletion_timestamp.is_none())
        .map(|route| {
            (
                key_of(&route.metadata.namespace, &route.metadata.name),
                route,
            )
        })
        .collect();
    let candidates: Vec<Candidate<'_>> = routes
        .iter()
        .flat_map(|(key, route)| candidates(key, route))
        .collect();
    let winners = winners(
        candidates
            .iter()
            .map(|candidate| (&candidate.key, &candidate.claim)),
    );
    let mut resolution = Resolution::default();
    for (key, route) in &routes {
        let uid = route.metadata.uid.clone().unwrap_or_default();
        resolution.routes.insert(
            key.clone(),
            RouteResolution {
                uid,
                decisions: Vec::new(),
            },
        );
    }
    for candidate in &candidates {
        let winner = winners
            .get(&candidate.key)
            .filter(|winner| **winner != &candidate.claim)
            .map(|winner| &winner.route);
        decide(candidate, winner, &deployments, &mut resolution);
    }
    resolution
}

fn key_of(namespace: &Option<String>, name: &Option<String>) -> ObjectKey {
    ObjectKey::new(
        namespace.as_deref().unwrap_or_default(),
        name.as_deref().unwrap_or_default(),
    )
}

fn candidates<'a>(key: &ObjectKey, route: &'a Route) -> Vec<Candidate<'a>> {
    let created = route
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(Timestamp::MAX, |time| time.0);
    let everything = [RouteMatch::default()];
    let mut list = Vec::new();
    for (r, rule) in route.spec.rules.iter().enumerate() {
        let matches = if rule.matches.is_empty() {
            &everything[..]
        } else {
            &rule.matches[..]
        };
        for (m, matched) in matches.iter().enumerate() {
            for hostname in &route.spec.hostnames {
                let claim = Claim {
                    created,
                    route: key.clone(),
                    position: (r, m),
                };
                let key = MatchKey::new(hostname, terminates_tls(route), matched);
                list.push(Candidate {
                    route,
                    rule: r,
                    hostname,
                    key,
                    claim,
                });
            }
        }
    }
    list
}

fn terminates_tls(route: &Route) -> bool {
    route
        .spec
        .tls
        .as_ref()
        .is_some_and(|tls| tls.mode == TlsMode::Terminate)
}

fn decide(
    candidate: &Candidate<'_>,
    winner: Option<&ObjectKey>,
    deployments: &BTreeMap<ObjectKey, &Deployment>,
    resolution: &mut Resolution,
) {
    let Candidate {
        route, key, claim, ..
    } = candidate;
    let Some(rule) = route.spec.rules.get(candidate.rule) else {
        return;
    };
    let backend = rule.backend_refs.first().cloned().unwrap_or_default();
    let target = ObjectKey::new(claim.route.namespace.clone(), backend.name.clone());
    let rendered = match winner {
        Some(_) => Ok(None),
        None => backend_problem(
            &rule.backend_refs,
            &target,
            deployments.get(&target).copied(),
        )
        .and_then(|()| match render(route, rule, backend.port, key) {
            Ok(rendered) => Ok(Some(rendered)),
            Err(error) => Err(Problem {
                reason: reason::INVALID_SPEC,
                message: error.to_string(),
            }),
        }),
    };
    let (problem, router) = match rendered {
        Ok(None) => (None, None),
        Ok(Some(rendered)) => (None, Some(attach(candidate, &target, rendered, resolution))),
        Err(problem) => (Some(problem), None),
    };
    if let Some(result) = resolution.routes.get_mut(&claim.route) {
        result.decisions.push(Decision {
            hostname: candidate.hostname.to_owned(),
            rule: rule
                .name
                .clone()
                .unwrap_or_else(|| candidate.rule.to_string()),
            path: key.path.text().to_owned(),
            path_is_expression: matches!(key.path, super::rule::PathKey::Expression(_)),
            tls: key.tls,
            backend,
            winner: winner.cloned(),
            problem,
            router,
        });
    }
}

/// Puts the labels on the Deployment.
fn attach(
    candidate: &Candidate<'_>,
    target: &ObjectKey,
    rendered: Rendered,
    resolution: &mut Resolution,
) -> Router {
    let Candidate {
        route, key, claim, ..
    } = candidate;
    let attached = resolution.by_deployment.entry(target.clone()).or_default();
    let at = match attached.binary_search_by(|entry| entry.name.cmp(&claim.route.name)) {
        Ok(at) => at,
        Err(at) => {
            attached.insert(
                at,
                AttachedRoute {
                    name: claim.route.name.clone(),
                    uid: route.metadata.uid.clone().unwrap_or_default(),
                    generation: route.metadata.generation.unwrap_or_default(),
                    ..AttachedRoute::default()
                },
            );
            at
        }
    };
    if let Some(entry) = attached.get_mut(at) {
        entry.labels.extend(rendered.labels);
        entry.hostnames.insert(key.host.clone());
    }
    Router {
        name: rendered.router,
        rule: rendered.rule,
        middlewares: rendered.middlewares,
        certificate_resolver: route
            .spec
            .tls
            .as_ref()
            .filter(|_| key.tls)
            .and_then(|tls| tls.certificate_resolver.clone()),
    }
}

/// Is there exactly one backend, and does it listen?
fn backend_problem(
    backends: &[BackendRef],
    target: &ObjectKey,
    deployment: Option<&Deployment>,
) -> Result<(), Problem> {
    let [backend] = backends else {
        let message = format!(
            "backendRefs must name exactly one Deployment, not {}",
            backends.len()
        );
        return Err(Problem {
            reason: reason::INVALID_SPEC,
            message,
        });
    };
    let Some(deployment) = deployment else {
        let message = format!("there is no Deployment {target}");
        return Err(Problem {
            reason: reason::BACKEND_NOT_FOUND,
            message,
        });
    };
    let mut ports = deployment
        .spec
        .ports
        .iter()
        .filter(|port| port.container_port == backend.port)
        .peekable();
    if ports.peek().is_none() {
        let listed: Vec<String> = deployment
            .spec
            .ports
            .iter()
            .map(|port| port.container_port.to_string())
            .collect();
        let has = if listed.is_empty() {
            "no ports".to_owned()
        } else {
            format!("the ports {}", listed.join(", "))
        };
        let message = format!(
            "Deployment {target} has no port {}: it lists {has}",
            backend.port
        );
        return Err(Problem {
            reason: reason::PORT_NOT_FOUND,
            message,
        });
    }
    if ports.all(|port| port.protocol.unwrap_or_default() != Protocol::TCP) {
        let message = format!("port {} of Deployment {target} is not TCP", backend.port);
        return Err(Problem {
            reason: reason::UNSUPPORTED_PROTOCOL,
            message,
        });
    }
    Ok(())
}

//! What to report of a Route.
//!
//! `Programmed` goes from Unknown (the labels are not on the service) over False (they are, and
//! Traefik may not have read them) to True (its refresh interval went by). The change of status
//! stamps the moment at which the labels were first seen, so no other memory is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api_types::conditions as c;
use api_types::conditions::reason;
use api_types::route::{HostStatus, RouteWinner};
use api_types::{Route, RouteStatus, labels};
use jiff::Timestamp;

use super::{Decision, ObjectKey, Resolution};
use crate::conditions::{Conditions, Is, find};
use crate::{ClusterConfig, Observed};

/// Everything that a report about one Route looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Settings of the installation.
    pub cluster: &'a ClusterConfig,
    /// The object as stored, status included.
    pub route: &'a Route,
    /// What was decided about all Routes.
    pub resolution: &'a Resolution,
    /// The Swarm.
    pub observed: Observed<'a>,
    /// Now.
    pub now: Timestamp,
}

/// What to report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The whole status.
    pub status: RouteStatus,
    /// Look again after this time: Traefik will have read the labels by then.
    pub recheck: Option<Duration>,
}

/// One condition before it is written.
struct Said {
    is: Is,
    reason: &'static str,
    message: String,
}

impl Said {
    fn new(is: impl Into<Is>, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            is: is.into(),
            reason,
            message: message.into(),
        }
    }
}

/// The whole status of a Route.
pub fn status(input: &Input<'_>) -> Report {
    let key = ObjectKey::new(
        input
            .route
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default(),
        input.route.metadata.name.as_deref().unwrap_or_default(),
    );
    let decisions = input
        .resolution
        .routes
        .get(&key)
        .map_or(&[][..], |result| &result.decisions);
    let generation = input.route.metadata.generation.unwrap_or_default();
    let before = input.route.status.clone().unwrap_or_default();
    let mut conditions = Conditions::new(&before.conditions, generation, input.now);

    let accepted = accepted(decisions);
    let resolved = resolved(decisions);
    let (programmed, recheck) = programmed(input, &key, decisions, &before);
    let (ready, reconciling, stalled) = summary(&accepted, &resolved, &programmed);
    for (type_, said) in [
        (c::READY, ready),
        (c::RECONCILING, reconciling),
        (c::STALLED, stalled),
        (c::ACCEPTED, accepted),
        (c::RESOLVED_REFS, resolved),
        (c::PROGRAMMED, programmed),
    ] {
        conditions.set(type_, said.is, said.reason, said.message);
    }
    let status = RouteStatus {
        observed_generation: Some(generation),
        urls: urls(decisions),
        hosts: hosts(decisions),
        deployments: decisions
            .iter()
            .map(|d| d.backend.name.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        conditions: conditions.finish(),
    };
    Report { status, recheck }
}

fn accepted(decisions: &[Decision]) -> Said {
    let invalid = decisions.iter().find_map(|d| {
        d.problem
            .as_ref()
            .filter(|p| p.reason == reason::INVALID_SPEC)
    });
    if let Some(problem) = invalid {
        return Said::new(false, reason::INVALID_SPEC, &problem.message);
    }
    let lost: Vec<String> = decisions
        .iter()
        .filter_map(conflict_message)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if lost.is_empty() {
        return Said::new(
            true,
            reason::ACCEPTED,
            "all host names and paths are this Route's",
        );
    }
    if decisions.iter().all(|d| d.winner.is_some()) {
        return Said::new(false, reason::CONFLICT, lost.join("; "));
    }
    Said::new(true, reason::PARTIALLY_ACCEPTED, lost.join("; "))
}

fn conflict_message(decision: &Decision) -> Option<String> {
    let winner = decision.winner.as_ref()?;
    Some(format!(
        "{}{} belongs to Route {winner}",
        decision.hostname, decision.path
    ))
}

fn resolved(decisions: &[Decision]) -> Said {
    match decisions.iter().find_map(|d| {
        d.problem
            .as_ref()
            .filter(|p| p.reason != reason::INVALID_SPEC)
    }) {
        Some(problem) => Said::new(false, problem.reason, &problem.message),
        None => Said::new(
            true,
            reason::RESOLVED_REFS,
            "every Deployment and port exists",
        ),
    }
}

fn programmed(
    input: &Input<'_>,
    key: &ObjectKey,
    decisions: &[Decision],
    before: &RouteStatus,
) -> (Said, Option<Duration>) {
    let snapshot = match input.observed {
        Observed::Known(snapshot) => snapshot,
        Observed::Unknown(why) => {
            return (Said::new(Is::Unknown, reason::SWARM_UNREACHABLE, why), None);
        }
    };
    if !decisions.iter().any(Decision::is_routed) {
        return (
            Said::new(
                false,
                reason::NOT_PROGRAMMED,
                "no rule of this Route can be routed",
            ),
            None,
        );
    }
    let waiting: Vec<&str> = input
        .resolution
        .by_deployment
        .iter()
        .filter(|(deployment, _)| deployment.namespace == key.namespace)
        .filter(|(deployment, attached)| {
            let wanted = attached
                .iter()
                .find(|route| route.name == key.name)
                .map(|route| &route.labels);
            wanted.is_some_and(|wanted| !carries(snapshot, &input.cluster.uid, deployment, wanted))
        })
        .map(|(deployment, _)| deployment.name.as_str())
        .collect();
    if !waiting.is_empty() {
        let message = format!(
            "the labels are not yet on the service of Deployment {}",
            waiting.join(", ")
        );
        return (
            Said::new(Is::Unknown, reason::NOT_PROGRAMMED, message),
            None,
        );
    }
    let generation = input.route.metadata.generation;
    let seen = find(&before.conditions, c::PROGRAMMED)
        .filter(|condition| condition.observed_generation == generation);
    let refresh = input.cluster.traefik.refresh;
    let remaining = match seen {
        Some(condition) if condition.status == c::status::TRUE => Duration::ZERO,
        Some(condition) if condition.status == c::status::FALSE => {
            let age = input.now.duration_since(condition.last_transition_time.0);
            refresh.saturating_sub(Duration::try_from(age).unwrap_or_default())
        }
        _ => refresh,
    };
    if remaining.is_zero() {
        let message = "the labels are on the services, and Traefik had time to read them";
        return (Said::new(true, reason::PROGRAMMED, message), None);
    }
    let message = format!(
        "the labels are on the services; Traefik reads them every {} s",
        refresh.as_secs_f32()
    );
    (
        Said::new(false, reason::NOT_PROGRAMMED, message),
        Some(remaining),
    )
}

/// Does the live service of a Deployment have these labels?
fn carries(
    snapshot: &crate::model::Snapshot,
    cluster_uid: &str,
    deployment: &ObjectKey,
    wanted: &BTreeMap<String, String>,
) -> bool {
    let id = deployment.to_string();
    snapshot.services.iter().any(|service| {
        let live = &service.spec.labels;
        live.get(labels::DEPLOYMENT_ID) == Some(&id)
            && live
                .get(labels::CLUSTER_UID)
                .is_some_and(|uid| uid == cluster_uid)
            && live
                .get(super::ENABLE_LABEL)
                .is_some_and(|value| value == "true")
            && wanted
                .iter()
                .all(|(key, value)| live.get(key) == Some(value))
    })
}

/// Ready, Reconciling and Stalled from the others.
fn summary(accepted: &Said, resolved: &Said, programmed: &Said) -> (Said, Said, Said) {
    let complete = accepted.is == Is::True && accepted.reason == reason::ACCEPTED;
    let worst = [
        (!complete, accepted),
        (resolved.is != Is::True, resolved),
        (programmed.is != Is::True, programmed),
    ]
    .into_iter()
    .find_map(|(bad, said)| bad.then_some(said));
    let Some(worst) = worst else {
        let ready = Said::new(true, reason::READY, "requests are routed");
        return (
            ready,
            Said::new(false, reason::READY, ""),
            Said::new(false, reason::READY, ""),
        );
    };
    let unreachable = worst.reason == reason::SWARM_UNREACHABLE;
    let ready = Said::new(
        if unreachable { Is::Unknown } else { Is::False },
        worst.reason,
        &worst.message,
    );
    // A conflict lasts until somebody changes a Route; the rest comes right by itself or with
    // an object that may be on its way.
    let stalled = !complete;
    (
        ready,
        Said::new(
            !stalled,
            worst.reason,
            if stalled { "" } else { &worst.message },
        ),
        Said::new(
            stalled,
            worst.reason,
            if stalled { &worst.message } else { "" },
        ),
    )
}

fn urls(decisions: &[Decision]) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for decision in decisions.iter().filter(|d| d.is_routed()) {
        let scheme = if decision.tls { "https" } else { "http" };
        let path = if decision.path_is_expression {
            "/"
        } else {
            &decision.path
        };
        let url = format!("{scheme}://{}{path}", decision.hostname);
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// One entry per host name and rule; a rule is accepted when all its matches are.
fn hosts(decisions: &[Decision]) -> Vec<HostStatus> {
    let mut hosts: Vec<HostStatus> = Vec::new();
    for decision in decisions {
        let invalid = decision
            .problem
            .as_ref()
            .filter(|p| p.reason == reason::INVALID_SPEC);
        let entry = HostStatus {
            hostname: decision.hostname.clone(),
            rule: decision.rule.clone(),
            accepted: decision.winner.is_none() && invalid.is_none(),
            reason: match (&decision.winner, invalid) {
                (Some(_), _) => reason::CONFLICT.to_owned(),
                (None, Some(problem)) => problem.reason.to_owned(),
                (None, None) => reason::ACCEPTED.to_owned(),
            },
            message: conflict_message(decision)
                .or_else(|| invalid.map(|problem| problem.message.clone())),
            winner: decision.winner.as_ref().map(|winner| RouteWinner {
                namespace: winner.namespace.clone(),
                name: winner.name.clone(),
            }),
        };
        match hosts
            .iter_mut()
            .find(|host| host.hostname == entry.hostname && host.rule == entry.rule)
        {
            None => hosts.push(entry),
            Some(known) if known.accepted && !entry.accepted => *known = entry,
            Some(_) => {}
        }
    }
    hosts
}

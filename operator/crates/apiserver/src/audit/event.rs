//! A request as the audit log tells it. The types are `audit.k8s.io/v1`'s.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, header};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::authn::UserInfo;
use crate::authz::{Attributes, Decision};

/// Slower requests have their duration beside their times. Kubernetes' own number.
const SLOW: SignedDuration = SignedDuration::from_millis(500);

/// So much is told, and waits in memory, of what clients may make as long as they like.
const LONGEST_URI: usize = 8 * 1024;
const LONGEST_AGENT: usize = 1024;
const LONGEST_PATH: usize = 2 * 1024;
/// The parameters whose values are told: those that Kubernetes has. Into others people write what they
/// like, tokens too.
const PARAMETERS: [&str; 26] = [
    "allowWatchBookmarks",
    "container",
    "continue",
    "dryRun",
    "exclude",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "follow",
    "force",
    "gracePeriodSeconds",
    "includeObject",
    "labelSelector",
    "limit",
    "orphanDependents",
    "pretty",
    "previous",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "tailLines",
    "timeout",
    "timeoutSeconds",
    "verbose",
    "watch",
];
/// Code of a request whose client went away before the answer.
const CLIENT_GONE: u16 = 499;

/// The address that a request comes from; put on it where the connection is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// Where in its life a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum Stage {
    /// The answer has begun, and goes on.
    ResponseStarted,
    /// The answer is given.
    #[default]
    ResponseComplete,
    /// The handler failed in an unforeseen way.
    Panic,
}

/// What an answer is about, where the request does not say; travels with the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Why it failed.
    pub(crate) reason: &'static str,
    /// The object; new ones have their name in the body only.
    pub(crate) name: String,
}

/// All that the log tells of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    id: String,
    method: Method,
    uri: String,
    source: Option<IpAddr>,
    agent: Option<String>,
    received: Timestamp,
    /// What it asks for, once that is known.
    pub(crate) asked: Attributes,
    /// Who asks, once that is known.
    pub(crate) user: UserInfo,
    /// Whom that acts as.
    pub(crate) impersonated: Option<UserInfo>,
    /// May they; `None` when it did not come so far.
    pub(crate) decision: Option<Decision>,
    pub(crate) stage: Stage,
    pub(crate) code: u16,
    pub(crate) outcome: Outcome,
    pub(super) time: Timestamp,
}

impl Entry {
    /// A request that comes in now.
    pub(crate) fn new<B>(request: &http::Request<B>) -> Self {
        let agent = request.headers().get(header::USER_AGENT);
        Self {
            id: id(request.headers()),
            method: request.method().clone(),
            uri: request.uri().path_and_query().map(told).unwrap_or_default(),
            source: request
                .extensions()
                .get()
                .map(|PeerAddress(address)| *address),
            agent: agent
                .map(|agent| cut(&String::from_utf8_lossy(agent.as_bytes()), LONGEST_AGENT)),
            received: Timestamp::now(),
            code: CLIENT_GONE,
            outcome: Outcome {
                reason: "ClientClosedRequest",
                name: String::new(),
            },
            ..Self::default()
        }
    }

    /// Names this request; the same for who asked and in the logs.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What need not wait for the log: of a path that is longer than any object's, nothing is named.
    pub(super) fn shrink(&mut self) {
        if std::mem::take(&mut self.asked.path).len() > LONGEST_PATH {
            let verb = std::mem::take(&mut self.asked.verb);
            self.asked = Attributes {
                verb,
                ..Attributes::default()
            };
        }
    }

    /// Its line.
    pub(super) fn event(&self) -> Event<'_> {
        let failed = self.code >= 400;
        Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: "Metadata",
            audit_id: &self.id,
            stage: self.stage,
            request_uri: &self.uri,
            verb: self.verb(),
            user: User::of(&self.user),
            impersonated_user: self.impersonated.as_ref().map(User::of),
            source_ips: self.source.as_slice(),
            user_agent: self.agent.as_deref(),
            object_ref: self.object(),
            response_status: ResponseStatus {
                metadata: Empty {},
                status: failed.then_some("Failure"),
                reason: failed.then_some(self.outcome.reason),
                code: self.code,
            },
            request_received_timestamp: micros(self.received),
            stage_timestamp: micros(self.time),
            annotations: self.annotations(),
        }
    }

    fn verb(&self) -> Cow<'_, str> {
        match self.asked.verb.as_str() {
            "" => self.method.as_str().to_lowercase().into(),
            verb => verb.into(),
        }
    }

    fn object(&self) -> Option<ObjectRef<'_>> {
        let asked = &self.asked;
        // What other failures are about may be something else: the user that nobody may be.
        let made = asked.verb == "create" && self.decision.as_ref().is_some_and(Decision::allows);
        let name = if made {
            &self.outcome.name
        } else {
            &asked.name
        };
        (!asked.resource.is_empty()).then_some(ObjectRef {
            resource: &asked.resource,
            namespace: &asked.namespace,
            name,
            api_group: &asked.group,
            api_version: &asked.version,
            subresource: &asked.subresource,
        })
    }

    fn annotations(&self) -> BTreeMap<&'static str, Cow<'_, str>> {
        let mut annotations = BTreeMap::new();
        let decision = match &self.decision {
            Some(Decision::Allow(reason)) => Some(("allow", reason.as_str())),
            Some(Decision::Deny(reason)) => Some(("forbid", reason.as_str())),
            None => None,
        };
        if let Some((decision, reason)) = decision {
            annotations.insert("authorization.k8s.io/decision", decision.into());
            annotations.insert("authorization.k8s.io/reason", reason.into());
        }
        let took = self.time.duration_since(self.received);
        if took > SLOW && self.asked.verb != "watch" {
            let text = format!("{:.6}s", took.as_secs_f64());
            annotations.insert("apiserver.latency.k8s.io/total", text.into());
        }
        annotations
    }
}

/// As much of a URI as is told.
fn told(uri: &PathAndQuery) -> String {
    let Some(query) = uri.query().filter(|query| !query.is_empty()) else {
        return cut(uri.path(), LONGEST_URI);
    };
    let told = |pair: &str| {
        let name = pair.split_once('=').map(|(name, _)| name);
        match (PARAMETERS.contains(&name.unwrap_or(pair)), name) {
            (true, _) => pair.to_owned(),
            (false, Some(name)) => format!("{name}=REDACTED"),
            (false, None) => "REDACTED".to_owned(),
        }
    };
    let query: Vec<String> = query.split('&').map(told).collect();
    cut(&format!("{}?{}", uri.path(), query.join("&")), LONGEST_URI)
}

/// The client's own id of the request, where it is one.
fn id(headers: &HeaderMap) -> String {
    let given = headers.get("audit-id").and_then(|id| id.to_str().ok());
    match given
        .filter(|id| (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        Some(id) => id.to_owned(),
        None => Uuid::new_v4().to_string(),
    }
}

/// A copy, which keeps nothing else of the request in memory, of at most so many bytes.
fn cut(text: &str, longest: usize) -> String {
    text[..text.floor_char_boundary(longest)].to_owned()
}

/// RFC 3339 with microseconds, as `metav1.MicroTime`.
fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: Cow<'a, str>,
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<User<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    source_ips: &'a [IpAddr],
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef<'a>>,
    response_status: ResponseStatus,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, Cow<'a, str>>,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> User<'a> {
    fn of(user: &'a UserInfo) -> Self {
        Self {
            username: &user.name,
            uid: user.uid.as_deref(),
            groups: &user.groups,
            extra: &user.extra,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
}

#[derive(Serialize)]
struct ResponseStatus {
    metadata: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_not_told() {
        let cases = [
            ("/api", "/api"),
            ("/api?watch&limit=5", "/api?watch&limit=5"),
            (
                "/api?access_token=abc&limit=5&abc",
                "/api?access_token=REDACTED&limit=5&REDACTED",
            ),
            ("/api?limit=5%26token=abc", "/api?limit=5%26token=abc"),
            ("/api?", "/api"),
        ];
        for (uri, expected) in cases {
            let request = http::Request::get(uri).body(());
            let entry = request.map(|request| Entry::new(&request).uri);
            assert_eq!(entry.ok().as_deref(), Some(expected), "{uri}");
        }
    }
}

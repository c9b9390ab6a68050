//! May they?
//!
//! The decision is behind a trait so that role rules can take the place of the simple rule here
//! without any change to the request path.

use async_trait::async_trait;

use crate::authn::{MASTERS, UserInfo};
use crate::status_error::{ApiError, Subject};

/// What is asked for, as an authorizer sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, …; for paths that are no resource the HTTP method in lower case.
    pub verb: String,
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural; empty for paths that are no resource.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped resources and over all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// The path.
    pub path: String,
}

/// An authorizer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, with a reason where there is one to tell.
    Deny(String),
}

/// Decides what users may do.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// May this user do this?
    async fn authorize(&self, user: &UserInfo, attributes: &Attributes) -> Decision;
}

/// What everybody may read, known or not.
const PUBLIC: &[&str] = &[
    "/livez",
    "/readyz",
    "/healthz",
    "/health",
    "/version",
    "/version/",
];
/// What everybody who is known may read: without it no client finds out what it may not do.
const DISCOVERY: &[&str] = &["/api", "/apis", "/openapi"];
/// Questions about oneself.
const SELF_REVIEWS: &[&str] = &[
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "selfsubjectreviews",
];

/// Members of `system:masters` may do everything, everybody else may look around.
#[derive(Clone, Copy, Debug, Default)]
pub struct MastersOnly;

#[async_trait]
impl Authorizer for MastersOnly {
    async fn authorize(&self, user: &UserInfo, attributes: &Attributes) -> Decision {
        let reads =
            attributes.resource.is_empty() && matches!(attributes.verb.as_str(), "get" | "head");
        let within = |root: &&str| {
            attributes
                .path
                .strip_prefix(*root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let allowed = user.groups.iter().any(|group| group == MASTERS)
            || reads && PUBLIC.iter().any(within)
            || !user.is_anonymous()
                && (reads && DISCOVERY.iter().any(within)
                    || attributes.verb == "create"
                        && SELF_REVIEWS.contains(&attributes.resource.as_str()));
        if allowed {
            Decision::Allow
        } else {
            Decision::Deny(String::new())
        }
    }
}

/// The error for what is not allowed, in Kubernetes' words.
pub fn forbidden(user: &UserInfo, attributes: &Attributes, reason: &str) -> ApiError {
    let Attributes {
        verb,
        group,
        resource,
        subresource,
        namespace,
        name,
        path,
        ..
    } = attributes;
    let subject = Subject {
        group: group.clone(),
        resource: resource.clone(),
        name: name.clone(),
    };
    let what = if resource.is_empty() {
        format!("cannot {verb} path \"{path}\"")
    } else {
        let scope = match namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let resource = match subresource.as_str() {
            "" => resource.clone(),
            subresource => format!("{resource}/{subresource}"),
        };
        format!("cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}")
    };
    let reason = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    ApiError::Forbidden {
        subject,
        message: format!("User \"{}\" {what}{reason}", user.name),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resource(verb: &str, resource: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            path: "/api/v1/x".into(),
            ..Attributes::default()
        }
    }

    fn path(path: &str) -> Attributes {
        Attributes {
            verb: "get".into(),
            path: path.into(),
            ..Attributes::default()
        }
    }

    #[tokio::test]
    async fn who_may_what() {
        let (nobody, user, root) = (
            UserInfo::anonymous(),
            UserInfo::new("u", &[]),
            UserInfo::new("r", &[MASTERS]),
        );
        let cases = [
            (resource("list", "secrets"), [false, false, true]),
            (
                resource("create", "selfsubjectreviews"),
                [false, true, true],
            ),
            (
                resource("create", "subjectaccessreviews"),
                [false, false, true],
            ),
            (path("/version"), [true, true, true]),
            (path("/livez"), [true, true, true]),
            (path("/livez/x"), [true, true, true]),
            (path("/livezx"), [false, false, true]),
            (path("/metrics"), [false, false, true]),
            (path("/apis"), [false, true, true]),
            (path("/openapi/v3/apis/x"), [false, true, true]),
        ];
        for (attributes, expected) in cases {
            for (user, expected) in [&nobody, &user, &root].into_iter().zip(expected) {
                let decision = MastersOnly.authorize(user, &attributes).await;
                assert_eq!(
                    decision == Decision::Allow,
                    expected,
                    "{} {attributes:?}",
                    user.name
                );
            }
        }
    }

    #[test]
    fn wording() {
        let mut attributes = resource("get", "deployments");
        attributes.group = "obiente.cloud".into();
        attributes.namespace = "shop".into();
        attributes.name = "web".into();
        let text = forbidden(&UserInfo::new("u", &[]), &attributes, "").to_string();
        let expected = "deployments.obiente.cloud \"web\" is forbidden: User \"u\" cannot get resource \
            \"deployments\" in API group \"obiente.cloud\" in the namespace \"shop\"";
        assert_eq!(text, expected);
        let text = forbidden(&UserInfo::anonymous(), &path("/metrics"), "").to_string();
        assert_eq!(
            text,
            "forbidden: User \"system:anonymous\" cannot get path \"/metrics\""
        );
    }
}

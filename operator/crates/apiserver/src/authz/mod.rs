//! May they?
//!
//! Members of `system:masters` may do everything, everybody may read health and version, all else
//! is what roles and their bindings say.

mod aggregate;
pub(crate) mod escalation;
pub(crate) mod policy;
mod rbac;
mod rules;

pub(crate) use aggregate::run as aggregate;
pub(crate) use rbac::{ACCOUNT_PREFIX, GROUP, Rbac, together};

use crate::authn::UserInfo;
use crate::handlers::Call;
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
    /// Yes, with the binding that says so where there is one.
    Allow(String),
    /// No, with a reason where there is one to tell.
    Deny(String),
}

impl Decision {
    /// Is it a yes?
    pub fn allows(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// What everybody may read, known or not, whatever the roles say.
const PUBLIC: &[&str] = &[
    "/livez",
    "/readyz",
    "/healthz",
    "/health",
    "/version",
    "/version/",
];

/// May whoever patches an object make it, where it is not there?
///
/// # Errors
/// `Forbidden`.
pub(crate) fn may_create(call: &Call) -> Result<(), ApiError> {
    let path = &call.path;
    let attributes = Attributes {
        verb: "create".to_owned(),
        group: path.group.clone(),
        version: path.version.clone(),
        resource: path.resource.clone(),
        namespace: path.namespace.clone(),
        name: path.name.clone(),
        ..Attributes::default()
    };
    match call.server.inner.rbac.authorize(&call.user, &attributes) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => Err(forbidden(&call.user, &attributes, &reason)),
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

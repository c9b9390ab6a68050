//! From all Routes and Deployments to the routes that each Deployment gets.

use std::collections::BTreeMap;

use api_types::{Deployment, Route};

/// Namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What all Routes together mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolution {
    /// What was decided about each Route.
    pub routes: BTreeMap<ObjectKey, RouteResolution>,
    /// What each Deployment carries: at most one entry per Route, sorted by the Route's name.
    pub by_deployment: BTreeMap<ObjectKey, Vec<AttachedRoute>>,
}

/// What was decided about one Route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteResolution {
    /// Per host name, rule and match, in the order of the spec.
    pub decisions: Vec<Decision>,
}

/// One host name in one match of one rule: what was asked for and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The host name.
    pub hostname: String,
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
    pub hostnames: Vec<String>,
}

/// Decides about all Routes at once. The order of the input does not matter.
pub fn resolve<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
    deployments: impl IntoIterator<Item = &'a Deployment>,
) -> Resolution {
    let _ = (routes.into_iter().count(), deployments.into_iter().count());
    Resolution::default()
}

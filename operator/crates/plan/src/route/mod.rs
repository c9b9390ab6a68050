//! Routes: which of them get which requests, the Traefik labels that say so, and what to report.
//!
//! [`resolve`] looks at all Routes and Deployments at once, since a conflict is between two of
//! them. Its result is what the Deployment controller puts on services ([`AttachedRoute`]), what
//! the Route controller reports ([`status`]) and what the table `deployment_routing` holds ([`rows`]).

mod attach;
mod conflict;
mod filter;
mod labels;
mod routing;
mod rule;
mod status;
#[cfg(test)]
mod tests;

pub use attach::{
    AttachedRoute, Decision, ObjectKey, Problem, Resolution, RouteResolution, Router, resolve,
};
pub use routing::rows;
pub use status::{Input, Report, status};

/// Label that makes Traefik look at a service at all.
pub(crate) const ENABLE_LABEL: &str = "traefik.enable";
/// Label that tells Traefik in which network it reaches the tasks. Traefik ignores a service
/// that names the network for another provider (F2), so this is the only one ever written.
pub(crate) const NETWORK_LABEL: &str = "traefik.swarm.network";

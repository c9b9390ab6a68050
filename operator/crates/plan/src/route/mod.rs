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

pub use attach::{AttachedRoute, Decision, ObjectKey, Resolution, RouteResolution, resolve};
pub use routing::rows;
pub use status::{Input, Report, status};

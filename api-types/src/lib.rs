//! The kinds that users write (`Deployment`, `Route`, `Node`) and every name we own.
//!
//! Why: the published schemas, the labels on Swarm services and the reasons in conditions are
//! contracts with users and with other programs. They live in one crate without I/O, so that the
//! API server, the decisions and the controllers cannot disagree about them.
//!
//! Guarantees: [`crds`] is a pure function of these types; what it returns is accepted by any
//! Kubernetes API server as it is. A field exists here only when it is implemented: everything
//! else is an unknown field and refused by the API server.
//!
//! Assumptions: typed structs are for controllers and for generating schemas. The API server
//! stores JSON under the published schema and never round-trips it through these types.

#![expect(
    clippy::duplicated_attributes,
    reason = "every printcolumn of a kind has its own type_ and priority"
)]

pub mod conditions;
pub mod crd;
pub mod deployment;
pub mod labels;
pub mod node;
pub mod route;
mod rules;
mod shapes;
pub mod units;
pub mod validate;

pub use crd::{crd_values, crds, render_crds};
pub use deployment::{Deployment, DeploymentSpec, DeploymentStatus};
pub use node::{Node, NodeSpec, NodeStatus};
pub use route::{Route, RouteSpec, RouteStatus};
pub use validate::{FieldError, validate};

/// The API group of our kinds.
pub const GROUP: &str = "obiente.cloud";
/// The served and stored version of our kinds.
pub const VERSION: &str = "v1alpha1";
/// `GROUP/VERSION`, as manifests write it.
pub const API_VERSION: &str = "obiente.cloud/v1alpha1";

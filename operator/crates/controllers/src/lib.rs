//! One loop per kind that observes, plans, acts and reports.
//!
//! Everything is decided in `plan`; everything about the Swarm goes through `swarm`; everything
//! about objects goes through a `kube::Client`. What is left here is the order of calls.
//!
//! # Guarantees
//! - A reconcile of an object that is as it should be makes no call that writes, to the API or
//!   to the Swarm.
//! - A plan is made only on an observation that has seen our own last act on the object.
//! - Whatever is cut off in the middle is observed again and finished by the next reconcile.
//!
//! # Assumptions
//! - [`run`] is called by one process at a time: the caller holds the leader's lease, and cancels
//!   when it is lost. The projections' fence and the Swarm's version indexes hold off the rest.

mod context;
mod deployment;
mod error;
mod events;
mod finalizer;
mod memory;
mod metrics;
mod node;
mod pending;
mod pods;
mod projections;
mod resolver;
mod route;
mod runtime;
mod sink;
mod status;
mod triggers;
mod watchers;

pub use context::Settings;
pub use error::Error;
pub use metrics::Metrics;
pub use runtime::run;
pub use sink::{ProjectionSink, SinkError, Table};

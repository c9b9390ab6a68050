//! The only user of the Docker Engine API.
//!
//! One observer per process polls a Swarm manager and publishes immutable [`Observation`]s;
//! Docker events only wake it. Every write is one [`plan::model::Step`] and returns a position
//! on this client's clock, so that a caller can wait for an observation that has seen it.
//!
//! # Guarantees
//! - A published snapshot holds every service, task, node and network that the Engine listed;
//!   a field that has an unexpected shape never hides the object it belongs to.
//! - When polls fail for longer than [`Config::unknown_after`] the observation is `Unknown`,
//!   with the reason; it is never a stale snapshot that claims to be current.
//! - Nothing is written that does not carry our label and cluster uid, nodes apart.
//!
//! # Assumptions
//! - The address is a Swarm manager with Engine API 1.41 (Docker 20.10) or newer.
//! - One caller writes services and networks, one writes nodes: a write replaces the whole spec.

mod act;
mod client;
mod convert;
mod doorbell;
mod error;
mod logs;
mod metrics;
mod observer;
mod raw;
mod snapshot;

pub use act::Acted;
pub use client::{Address, AddressError, Config, Swarm};
pub use error::{Error, ErrorKind};
pub use logs::LogTail;
pub use metrics::Metrics;
pub use observer::{Observation, WaitError};

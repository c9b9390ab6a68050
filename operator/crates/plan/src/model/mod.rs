//! The small types that decisions are made on: what was observed in the Swarm, what is
//! wanted of it, and the steps between the two.
//!
//! They are ours and not bollard's generated ones, so that a golden file of a plan can be
//! read by a person and a change of the Engine API does not touch a decision.

mod observed;
mod service;
mod step;

pub use observed::*;
pub use service::*;
pub use step::*;

//! The lab, and what scenarios and the benchmark share.
//!
//! Why: what this product promises can only be proven on the real things. The lab brings up real
//! Docker Engines as one Swarm, a real Postgres, the real Traefik and real kubectl, and runs the
//! real operator binary against them.
//!
//! Guarantees: whatever the lab starts is gone when its value is dropped, or when the process ends
//! in whatever way (see [`cleanup`]). Labs of different processes do not meet.
//!
//! Assumptions: root on Linux, and `e2e/setup.sh test` has run. What is missing is an error that
//! says so; nothing is skipped.

pub mod cleanup;
mod eventually;
pub mod lab;

pub use eventually::{eventually, eventually_within};

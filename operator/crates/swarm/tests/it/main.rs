//! The contract with the Docker Engine, against a real one.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod acts;
mod engine;
mod observation;
mod support;
mod tasks;

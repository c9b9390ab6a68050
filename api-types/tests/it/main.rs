//! What is published, and what users read when they get something wrong.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod bad_input;
mod published;
mod samples;

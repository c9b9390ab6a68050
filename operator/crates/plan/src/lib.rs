//! Every decision of the control plane, as pure functions: no I/O, no clock, no random numbers.
//!
//! Controllers observe, ask here what is to be done ([`deployment::plan`], [`node::plan`],
//! [`route::resolve`]), act, and ask here what to report ([`deployment::status`], …).
//!
//! Guarantees: all functions are total and deterministic; the time is an argument; a plan leaves
//! nothing to decide to whoever carries it out; equal worlds give empty plans.
//!
//! Assumptions: objects passed validation, and a [`model::Snapshot`] holds only services of ours.
//! Neither is trusted with anything destructive: see [`check`].

pub mod check;
pub mod cluster;
pub mod conditions;
mod constraint;
pub mod deployment;
mod hash;
pub mod locations;
pub mod model;
pub mod node;
pub mod pod;
pub mod retry;
pub mod route;
#[cfg(test)]
mod testing;

pub use cluster::{Cidr, ClusterConfig, PoolExhausted, SubnetPool, TraefikConfig};

use serde::{Deserialize, Serialize};

/// What is known of the Swarm. Unknown is a value: after a failed poll nothing is assumed.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// The newest snapshot.
    Known(&'a model::Snapshot),
    /// No manager answers; why, in a sentence.
    Unknown(&'a str),
}

impl<'a> Observed<'a> {
    /// The snapshot, when there is one.
    pub fn snapshot(self) -> Option<&'a model::Snapshot> {
        match self {
            Self::Known(snapshot) => Some(snapshot),
            Self::Unknown(_) => None,
        }
    }
}

/// An Event to publish about the object once the steps of its plan are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedEvent {
    /// `true`: type `Warning`.
    pub warning: bool,
    /// One word, of [`api_types::conditions::reason`].
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl PlannedEvent {
    pub(crate) fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// One row of a projection table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Value of the key column.
    pub key: String,
    /// Hash of `columns`: equal hashes need no write.
    pub hash: String,
    /// Column name to value, without key and hash.
    pub columns: serde_json::Map<String, serde_json::Value>,
}

impl Row {
    pub(crate) fn new(key: String, columns: serde_json::Value) -> Self {
        let columns = match columns {
            serde_json::Value::Object(columns) => columns,
            _ => serde_json::Map::new(),
        };
        Self {
            key,
            hash: hash::hash_of(&columns),
            columns,
        }
    }
}

//! The Kubernetes surface over the store.
//!
//! A request runs: `dispatch` (identity, path, permission, deadline) → one of `handlers` (decode,
//! patch, default, validate) → `store` → answer in the negotiated form. The crate knows nothing of
//! Swarm, and no handler knows a kind: what is served is a table (`registry`), filled from
//! `CustomResourceDefinition`s and from the built-in kinds in `builtin`.
//!
//! Errors become HTTP codes and `metav1.Status` in `status_error` and nowhere else.

mod admission;
mod audit;
mod authn;
mod authz;
mod builtin;
mod config;
mod decode;
mod dispatch;
mod documents;
mod flow;
mod gc;
mod handlers;
mod meta;
mod metrics;
mod negotiate;
pub mod registry;
mod request_body;
mod request_info;
mod routes;
mod selector;
mod server;
mod status_error;
mod subresource;
mod turns;

pub mod columns;
pub mod discovery;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod managed_fields;
pub mod openapi;
pub mod patch;
pub mod schema;
pub mod validation;

pub use audit::AuditConfig;
pub use authn::{CONTROLLERS, KeyError, MASTERS, StaticToken, UserInfo};
pub use config::{Config, Limits, ServiceAccounts, VersionInfo};
pub use server::{ApiServer, ServerError};
pub use status_error::ApiError;

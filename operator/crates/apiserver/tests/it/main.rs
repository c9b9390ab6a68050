//! The API over a real Postgres: requests through the router in memory, kube's client and
//! runtime as first users.

#![allow(clippy::unwrap_used, clippy::panic)]

mod accounts;
mod apply;
mod audit;
mod crud;
mod definitions;
mod documents;
mod escalation;
mod forms;
mod garbage;
mod hostile;
mod interleavings;
mod kinds;
mod limit_ranges;
mod limits;
mod lists;
mod namespaces;
mod pods;
mod quotas;
mod refusals;
mod reviews;
mod roles;
mod runtime;
mod support;
mod tls;
mod watches;
mod websockets;

#[path = "../../../store/tests/it/postgres.rs"]
#[allow(dead_code)]
mod postgres;

//! The store against a real Postgres. The names of the contract follow the storage tests of
//! kube-apiserver (`RunTestGet…`, `RunTestWatch…`).

#![allow(clippy::unwrap_used, clippy::panic)]

mod compaction;
mod faults;
mod leases;
mod linear;
mod lists;
mod postgres;
mod projections;
mod property;
mod proxy;
mod replicas;
mod support;
mod watches;
mod writes;

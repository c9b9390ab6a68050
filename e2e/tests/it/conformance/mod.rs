//! Clients that nobody here wrote, and the requests of those that cannot be had: each does to this
//! server what it does to a kube-apiserver.
//!
//! kubectl's everyday commands and kube-rs have scenarios of their own (`kubectl`, `clients`); here
//! is the rest. `programs` runs Helm, Python and JavaScript; `replay` sends, request by request,
//! what Argo CD, Flux, k9s and Headlamp send, from the files in `sequences/`; `every_kind` does to
//! each kind in discovery what a cluster cache does.

mod every_kind;
mod kube_rs;
mod kubectl;
mod programs;
mod replay;
mod wire;

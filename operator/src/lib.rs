//! Wiring of the operator: command line, configuration, certificates, the embedded Postgres,
//! leadership, health, and the order in which everything starts and stops. It contains no
//! decision about any object.

pub mod cli;
pub mod config;
pub mod crdgen;
pub mod embedded_postgres;
pub mod health;
pub mod kubeconfig;
pub mod leader;
pub mod pki;
pub mod shutdown;
pub mod telemetry;
pub mod wiring;

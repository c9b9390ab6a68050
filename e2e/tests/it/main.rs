//! What the product promises, proven on real components: one behaviour per file.

mod bad_input;
mod clients;
mod conformance;
mod crash;
mod deployment;
mod drift;
mod first_run;
mod foreign;
mod health;
mod imports;
mod kubectl;
mod lab;
mod locations;
mod node;
mod outages;
mod pods;
mod project;
mod quota;
mod route;
mod samples;
mod status;
mod world;
